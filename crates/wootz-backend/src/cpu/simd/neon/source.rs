//! Where the tile kernel takes a segment of a panel from: from unpacked bytes, or straight from the packed planes.

use super::base::*;
use super::load::{
    Rows, byte_rows, bytes_at, four, half_rows, multiply, rows, signed_byte_rows, vector, words,
};
use crate::cpu::matmul::format::{Codes, Format, PANEL_ROWS, Scales, Segment};

/// Evaluates `$body` with `$name` as a constant, the number of `$format`: each format gets its own copy of the loops.
macro_rules! for_format {
    ($format:expr, $name:ident => $body:expr) => {
        $crate::cpu::simd::neon::source::for_format!(@ $format, $name => $body; Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K)
    };
    (@ $format:expr, $name:ident => $body:expr; $($one:ident)*) => {
        match $format {
            $(Format::$one => {
                const $name: u8 = Format::$one as u8;
                $body
            })*
        }
    };
}
pub(super) use for_format;

/// A segment of a panel, as the tile kernel reads it. Blocks, halves and pairs count from the segment's start.
pub trait Source: Copy {
    /// The codes of two quads, 8 columns, in the order of the kind of dots that it serves: signed, and with zero at
    /// [`Source::ZERO_SHIFT`].
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8];
    /// The zero of the codes as a shift of the cell's `negated` to the right; `None` if zero is 0.
    const ZERO_SHIFT: Option<u32>;
    /// The scale of block (or half block) `group`.
    fn scale(self, group: usize) -> Rows;
    /// What to add: the minimum of block `group`, or the segment's negated scale of the minima.
    fn minimum(self, group: usize) -> Rows;
    /// The factors of the minima of blocks `2 · pair` and `2 · pair + 1`: both of each panel row.
    fn factors(self, pair: usize) -> [int16x8_t; 4];
}

/// A segment unpacked, its codes arranged for a kind of dots.
#[derive(Clone, Copy)]
pub struct Unpacked<'a> {
    /// `[block][pair of quads]`, zero at 0.
    pub codes: &'a [[int8x16_t; 8]],
    /// `[block]` or `[half block]`.
    pub scales: &'a [[f32; PANEL_ROWS]],
    /// `[block]` or one.
    pub minima: &'a [[f32; PANEL_ROWS]],
    /// `[pair of blocks]`.
    pub factors: &'a [[[i16; 2]; PANEL_ROWS]],
}

impl Source for Unpacked<'_> {
    const ZERO_SHIFT: Option<u32> = None;

    #[inline(always)]
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8] {
        self.codes[block * 4 + pair]
    }
    #[inline(always)]
    fn scale(self, group: usize) -> Rows {
        rows(&self.scales[group])
    }
    #[inline(always)]
    fn minimum(self, group: usize) -> Rows {
        rows(&self.minima[group])
    }
    #[inline(always)]
    fn factors(self, pair: usize) -> [int16x8_t; 4] {
        let [a, b, c, d] = *self.factors[pair].as_flattened().as_chunks::<8>().0 else {
            unreachable!("a pair has 32 factors")
        };
        [words(&a), words(&b), words(&c), words(&d)]
    }
}

/// A segment of format number `FORMAT` as it lies in memory, for the kinds of dots whose unit is one row.
#[derive(Clone, Copy)]
pub struct Packed<'a, const FORMAT: u8> {
    codes: &'a [[u8; 64]],
    scales: &'a [u8],
    /// The scale of the whole segment, where there is one.
    scale: Rows,
}

impl<'a, const FORMAT: u8> Packed<'a, FORMAT> {
    /// The format.
    pub const FORMAT: Format = {
        let format = Format::ALL[FORMAT as usize];
        assert!(format as u8 == FORMAT);
        format
    };
    /// Vectors of a block.
    const PLANES: usize = Self::FORMAT.codes().bytes() / 64;

    /// `segment` of a matrix of this format.
    #[inline(always)]
    pub fn new(segment: Segment<'a>) -> Self {
        let scale = match Self::FORMAT.scales() {
            Scales::Half | Scales::HalfAndMinimum => [vdupq_n_f32(1.0); 4],
            Scales::SixBitAndMinimum | Scales::EightBitHalves => half_rows(segment.scales, 0),
        };
        Self { codes: segment.codes.as_chunks().0, scales: segment.scales, scale }
    }

    /// The codes of quad `quad`, 0 and above.
    #[inline(always)]
    pub fn quad(&self, block: usize, quad: usize) -> [uint8x16_t; 4] {
        let planes = &self.codes[block * Self::PLANES..(block + 1) * Self::PLANES];
        if let Codes::Bytes = Self::FORMAT.codes() {
            return vector(&planes[quad]);
        }
        let both = vector(&planes[quad % 4]);
        let low = if quad < 4 {
            four!(i => vandq_u8(both[i], vdupq_n_u8(0x0f)))
        } else {
            four!(i => vshrq_n_u8::<4>(both[i]))
        };
        match Self::FORMAT.codes() {
            Codes::Bytes | Codes::Nibbles => low,
            Codes::NibblesAndBit => {
                let bits = vector(&planes[4]);
                four!(i => vbslq_u8(vdupq_n_u8(0x10), shifted(bits[i], 4 - quad as i32), low[i]))
            }
            Codes::NibblesAndPair => {
                let pairs = vector(&planes[4 + quad / 4]);
                four!(i => vbslq_u8(vdupq_n_u8(0x30), shifted(pairs[i], 4 - 2 * (quad % 4) as i32), low[i]))
            }
        }
    }
}

/// Bytes shifted by `left` bits, to the right where negative. A constant once inlined.
#[inline(always)]
fn shifted(bytes: uint8x16_t, left: i32) -> uint8x16_t {
    match left {
        4 => vshlq_n_u8::<4>(bytes),
        3 => vshlq_n_u8::<3>(bytes),
        2 => vshlq_n_u8::<2>(bytes),
        1 => vshlq_n_u8::<1>(bytes),
        -1 => vshrq_n_u8::<1>(bytes),
        -2 => vshrq_n_u8::<2>(bytes),
        -3 => vshrq_n_u8::<3>(bytes),
        _ => bytes,
    }
}

impl<const FORMAT: u8> Source for Packed<'_, FORMAT> {
    const ZERO_SHIFT: Option<u32> = match Self::FORMAT.zero() {
        0 | 128 => None,
        zero => Some(7 - zero.trailing_zeros()),
    };

    #[inline(always)]
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8] {
        let (a, b) = (self.quad(block, 2 * pair), self.quad(block, 2 * pair + 1));
        // Only bytes have codes above 127: their zero is taken off here, that of the others from the sums.
        let flip = vdupq_n_u8(if let Codes::Bytes = Self::FORMAT.codes() { 0x80 } else { 0 });
        let a = four!(i => vreinterpretq_s8_u8(veorq_u8(a[i], flip)));
        let b = four!(i => vreinterpretq_s8_u8(veorq_u8(b[i], flip)));
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]
    }

    #[inline(always)]
    fn scale(self, group: usize) -> Rows {
        match Self::FORMAT.scales() {
            Scales::Half => half_rows(self.scales, group * 32),
            Scales::HalfAndMinimum => half_rows(self.scales, group * 64),
            Scales::SixBitAndMinimum => {
                multiply(self.scale, byte_rows(bytes_at(self.scales, 64 + group * 16)))
            }
            Scales::EightBitHalves => {
                let factors = vreinterpretq_s8_u8(bytes_at(self.scales, 32 + group * 16));
                multiply(self.scale, signed_byte_rows(factors))
            }
        }
    }

    #[inline(always)]
    fn minimum(self, group: usize) -> Rows {
        match Self::FORMAT.scales() {
            Scales::SixBitAndMinimum => {
                let scale = half_rows(self.scales, 32);
                four!(i => vnegq_f32(scale[i]))
            }
            _ => half_rows(self.scales, group * 64 + 32),
        }
    }

    #[inline(always)]
    fn factors(self, pair: usize) -> [int16x8_t; 4] {
        let (low, high) = (bytes_at(self.scales, 192 + pair * 32), bytes_at(self.scales, 208 + pair * 32));
        [
            vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(low))),
            vreinterpretq_s16_u16(vmovl_high_u8(low)),
            vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(high))),
            vreinterpretq_s16_u16(vmovl_high_u8(high)),
        ]
    }
}
