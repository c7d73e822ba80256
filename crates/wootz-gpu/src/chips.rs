//! Apple's chips: what bounds the speed of a model on each. A model of the machines, not a measurement.
//!
//! - *Bandwidth and memory* are Apple's own figures (the chips' announcements and the technical specifications of
//!   the Macs that have them).
//! - *The half-precision rate* is computed: a core multiplies and adds 128 numbers in a cycle, in f16 as in f32, and
//!   `simdgroup_matrix` runs on the same units (P. Turner, `metal-benchmarks`). The clocks are those that macOS'
//!   `powermetrics` shows, rounded: take the rates as good to a tenth.
//! - *The tensor rate* of the M5 family is Apple's "over four times the peak GPU compute of M4", taken as four times
//!   the rate of the M4 chip with as many cores. Only Metal 4's tensor operations reach it.

/// A chip, in one of its variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chip {
    /// Its name as Metal gives it: `Apple M4 Max`.
    pub name: &'static str,
    /// GPU cores of this variant.
    pub cores: u32,
    /// Bytes a second from memory.
    pub bandwidth: f64,
    /// Half-precision operations a second by the shader cores (a multiply-add is two).
    pub half_rate: f64,
    /// The same by tensor units, where the chip has them.
    pub tensor_rate: Option<f64>,
    /// Gibibytes of memory that Macs with it were sold with.
    pub memory: &'static [u64],
}

/// A multiply-add of each of a core's 128 lanes.
const OPERATIONS_PER_CYCLE: f64 = 256.0;

/// Clocks in Hz, by generation.
const M1: f64 = 1.28e9;
const M2: f64 = 1.40e9;
const M3: f64 = 1.38e9;
const M4: f64 = 1.58e9;

const fn chip(
    name: &'static str,
    cores: u32,
    gigabytes_per_second: f64,
    clock: f64,
    memory: &'static [u64],
) -> Chip {
    let half_rate = cores as f64 * OPERATIONS_PER_CYCLE * clock;
    Chip { name, cores, bandwidth: gigabytes_per_second * 1e9, half_rate, tensor_rate: None, memory }
}

/// An M5: shaders at about the clock of the M4, and tensor units.
const fn chip5(name: &'static str, cores: u32, gigabytes_per_second: f64, memory: &'static [u64]) -> Chip {
    let shaders = chip(name, cores, gigabytes_per_second, M4, memory);
    Chip { tensor_rate: Some(4.0 * shaders.half_rate), ..shaders }
}

/// All chips, oldest first.
#[rustfmt::skip]
pub const CHIPS: &[Chip] = &[
    chip("Apple M1",        7,  68.3, M1, &[8, 16]),
    chip("Apple M1",        8,  68.3, M1, &[8, 16]),
    chip("Apple M1 Pro",   14, 204.8, M1, &[16, 32]),
    chip("Apple M1 Pro",   16, 204.8, M1, &[16, 32]),
    chip("Apple M1 Max",   24, 409.6, M1, &[32, 64]),
    chip("Apple M1 Max",   32, 409.6, M1, &[32, 64]),
    chip("Apple M1 Ultra", 48, 819.2, M1, &[64, 128]),
    chip("Apple M1 Ultra", 64, 819.2, M1, &[64, 128]),
    chip("Apple M2",        8, 102.4, M2, &[8, 16, 24]),
    chip("Apple M2",       10, 102.4, M2, &[8, 16, 24]),
    chip("Apple M2 Pro",   16, 204.8, M2, &[16, 32]),
    chip("Apple M2 Pro",   19, 204.8, M2, &[16, 32]),
    chip("Apple M2 Max",   30, 409.6, M2, &[32, 64, 96]),
    chip("Apple M2 Max",   38, 409.6, M2, &[32, 64, 96]),
    chip("Apple M2 Ultra", 60, 819.2, M2, &[64, 128, 192]),
    chip("Apple M2 Ultra", 76, 819.2, M2, &[64, 128, 192]),
    chip("Apple M3",        8, 102.4, M3, &[8, 16, 24]),
    chip("Apple M3",       10, 102.4, M3, &[8, 16, 24]),
    chip("Apple M3 Pro",   14, 153.6, M3, &[18, 36]),
    chip("Apple M3 Pro",   18, 153.6, M3, &[18, 36]),
    chip("Apple M3 Max",   30, 307.2, M3, &[36, 96]),
    chip("Apple M3 Max",   40, 409.6, M3, &[48, 64, 128]),
    chip("Apple M3 Ultra", 60, 819.2, M3, &[96, 256]),
    chip("Apple M3 Ultra", 80, 819.2, M3, &[96, 256, 512]),
    chip("Apple M4",        8, 120.0, M4, &[16, 24, 32]),
    chip("Apple M4",       10, 120.0, M4, &[16, 24, 32]),
    chip("Apple M4 Pro",   16, 273.0, M4, &[24, 48, 64]),
    chip("Apple M4 Pro",   20, 273.0, M4, &[24, 48, 64]),
    chip("Apple M4 Max",   32, 410.0, M4, &[36]),
    chip("Apple M4 Max",   40, 546.0, M4, &[48, 64, 128]),
    chip5("Apple M5",        8, 153.0, &[16, 24]),
    chip5("Apple M5",       10, 153.0, &[16, 24, 32]),
    chip5("Apple M5 Pro",   16, 307.0, &[24, 48, 64]),
    chip5("Apple M5 Pro",   20, 307.0, &[24, 48, 64]),
    chip5("Apple M5 Max",   32, 460.0, &[36]),
    chip5("Apple M5 Max",   40, 614.0, &[48, 64, 128]),
];

impl Chip {
    /// The name for a command line: `m4-max`.
    pub fn short_name(&self) -> String {
        self.name.trim_start_matches("Apple ").to_lowercase().replace(' ', "-")
    }

    /// The number of its Apple GPU family.
    pub fn family(&self) -> u8 {
        match self.name.as_bytes().get("Apple M".len()) {
            Some(b'1') => 7,
            Some(b'2') => 8,
            Some(b'3' | b'4') => 9,
            _ => 10,
        }
    }

    /// Bytes that Metal recommends to use of a Mac with `gibibytes` of memory: two thirds up to 36, three
    /// quarters above, as `recommendedMaxWorkingSetSize` reports it.
    pub fn working_set(gibibytes: u64) -> u64 {
        let all = gibibytes << 30;
        if gibibytes <= 36 { all / 3 * 2 } else { all / 4 * 3 }
    }
}

/// The chip that a device says it is. Where the number of cores is unknown or not listed, the variant with the fewest
/// cores: what it is certain to have.
pub fn find(name: &str, cores: Option<u32>) -> Option<&'static Chip> {
    let variants = || CHIPS.iter().filter(|chip| chip.name == name);
    variants().find(|chip| Some(chip.cores) == cores).or_else(|| variants().min_by_key(|chip| chip.cores))
}

/// The chip of a command line: `m4-max`, or with its cores `m4-max-32`. Without them the variant with the most.
pub fn parse(text: &str) -> Option<&'static Chip> {
    let text = text.to_lowercase();
    let exact = CHIPS.iter().find(|chip| text == format!("{}-{}", chip.short_name(), chip.cores));
    exact.or_else(|| CHIPS.iter().rev().find(|chip| text == chip.short_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_can_be_named() {
        for chip in CHIPS {
            assert_eq!(parse(&format!("{}-{}", chip.short_name(), chip.cores)), Some(chip));
            assert_eq!(find(chip.name, Some(chip.cores)), Some(chip));
            assert!(chip.memory.is_sorted() && !chip.memory.is_empty());
        }
        assert_eq!(parse("M4-Max").map(|chip| chip.cores), Some(40));
        assert_eq!(find("Apple M4 Max", None).map(|chip| chip.cores), Some(32));
        assert_eq!(parse("m9"), None);
    }

    #[test]
    fn rates_are_those_that_are_published() {
        // Apple: M1 2.6 TFLOPS, M1 Max 10.4, M1 Ultra 21, M2 3.6.
        for (name, published) in [("m1", 2.6), ("m1-max", 10.4), ("m1-ultra", 21.0), ("m2", 3.6)] {
            let rate = parse(name).unwrap().half_rate / 1e12;
            assert!((rate / published - 1.0).abs() < 0.02, "{name}: {rate}");
        }
    }
}
