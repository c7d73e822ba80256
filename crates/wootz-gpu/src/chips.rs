//! Apple's chips: what bounds the speed of a model on each.

/// A chip, in one of its variants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chip {
    /// Its name as Metal gives it: `Apple M4 Max`.
    pub name: &'static str,
    /// GPU cores of this variant.
    pub cores: u32,
    /// Bytes a second from memory.
    pub bandwidth: f64,
    /// Half-precision operations a second (a multiply-add is two).
    pub half_rate: f64,
}

/// All chips.
pub const CHIPS: &[Chip] = &[
    Chip { name: "Apple M1", cores: 8, bandwidth: 68.3e9, half_rate: 2.6e12 },
    Chip { name: "Apple M4 Max", cores: 40, bandwidth: 546e9, half_rate: 18.4e12 },
];

/// The chip that a device says it is. Where the number of cores is unknown or not listed, the variant with the fewest
/// cores: what it is certain to have.
pub fn find(name: &str, cores: Option<u32>) -> Option<&'static Chip> {
    let variants = || CHIPS.iter().filter(|chip| chip.name == name);
    variants().find(|chip| Some(chip.cores) == cores).or_else(|| variants().min_by_key(|chip| chip.cores))
}
