//! Where the tile kernel takes a segment of a panel from: from unpacked bytes, or straight from the packed planes.

use super::base::*;
use super::load::{Rows, byte_rows, bytes, bytes_at, half_rows, multiply, rows, signed_byte_rows, words};
use crate::cpu::matmul::format::{Codes, Format, PANEL_ROWS, Scales, Segment};

/// Evaluates `$body` with `$name` as a constant equal to `$format`: each format gets its own copy of the loops.
macro_rules! for_format {
    ($format:expr, $name:ident => $body:expr) => {
        for_format!(@ $format, $name => $body; Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q4_K Q5_K Q6_K)
    };
    (@ $format:expr, $name:ident => $body:expr; $($one:ident)*) => {
        match $format {
            $(Format::$one => {
                const $name: Format = Format::$one;
                $body
            })*
        }
    };
}
pub(super) use for_format;

/// A segment of a panel, as the tile kernel reads it. Blocks, halves and pairs count from the segment's start.
pub trait Source: Copy {
    /// The codes of two quads, 8 columns, in the order of the kind of dots that it serves: signed, and with zero at
    /// [`Source::zero_shift`].
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8];
    /// The zero of the codes as a shift of the cell's `negated` to the right; `None` if zero is 0.
    fn zero_shift(self) -> Option<u32>;
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
    #[inline(always)]
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8] {
        self.codes[block * 4 + pair]
    }
    #[inline(always)]
    fn zero_shift(self) -> Option<u32> {
        None
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
        let (four, _) = self.factors[pair].as_chunks::<4>();
        std::array::from_fn(|i| {
            let [[a, b], [c, d], [e, f], [g, h]] = four[i];
            words(&[a, b, c, d, e, f, g, h])
        })
    }
}

/// A segment as it lies in memory, for the kinds of dots whose unit is one row.
#[derive(Clone, Copy)]
pub struct Packed<'a> {
    format: Format,
    codes: &'a [[u8; 64]],
    scales: &'a [u8],
    /// The scale of the whole segment, where there is one.
    scale: Rows,
}

impl<'a> Packed<'a> {
    /// `segment` of a matrix of `format`.
    #[inline(always)]
    pub fn new(format: Format, segment: Segment<'a>) -> Self {
        let scale = match format.scales() {
            Scales::Half | Scales::HalfAndMinimum => [vdupq_n_f32(1.0); 4],
            Scales::SixBitAndMinimum | Scales::EightBitHalves => half_rows(segment.scales, 0),
        };
        Self { format, codes: segment.codes.as_chunks().0, scales: segment.scales, scale }
    }

    /// The codes of quad `quad`, 0 and above.
    #[inline(always)]
    pub fn quad(self, block: usize, quad: usize) -> [uint8x16_t; 4] {
        let planes = self.format.codes().bytes() / 64;
        let planes = &self.codes[block * planes..(block + 1) * planes];
        let plane = |index: usize| -> [uint8x16_t; 4] {
            let (four, _) = planes[index].as_chunks::<16>();
            std::array::from_fn(|i| bytes(&four[i]))
        };
        let nibbles = || match quad {
            0..4 => plane(quad).map(|both| vandq_u8(both, vdupq_n_u8(0x0f))),
            _ => plane(quad - 4).map(vshrq_n_u8::<4>),
        };
        match self.format.codes() {
            Codes::Bytes => plane(quad),
            Codes::Nibbles => nibbles(),
            Codes::NibblesAndBit => {
                select(0x10, plane(4).map(|bits| shifted(bits, 4 - quad as i32)), nibbles())
            }
            Codes::NibblesAndPair => {
                let pairs = plane(4 + quad / 4).map(|pairs| shifted(pairs, 4 - 2 * (quad % 4) as i32));
                select(0x30, pairs, nibbles())
            }
        }
    }
}

/// The bits of `high` where `mask` has them, of `low` elsewhere.
#[inline(always)]
fn select(mask: u8, high: [uint8x16_t; 4], low: [uint8x16_t; 4]) -> [uint8x16_t; 4] {
    std::array::from_fn(|i| vbslq_u8(vdupq_n_u8(mask), high[i], low[i]))
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

impl Source for Packed<'_> {
    #[inline(always)]
    fn codes(self, block: usize, pair: usize) -> [int8x16_t; 8] {
        let (a, b) = (self.quad(block, 2 * pair), self.quad(block, 2 * pair + 1));
        // Only bytes have codes above 127: their zero is taken off here, that of the others from the sums.
        let flip = vdupq_n_u8(if self.format.codes() == Codes::Bytes { 0x80 } else { 0 });
        let signed = |code| vreinterpretq_s8_u8(veorq_u8(code, flip));
        [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]].map(signed)
    }

    #[inline(always)]
    fn zero_shift(self) -> Option<u32> {
        match self.format.zero() {
            0 | 128 => None,
            zero => Some(7 - zero.trailing_zeros()),
        }
    }

    #[inline(always)]
    fn scale(self, group: usize) -> Rows {
        match self.format.scales() {
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
        match self.format.scales() {
            Scales::SixBitAndMinimum => half_rows(self.scales, 32).map(vnegq_f32),
            _ => half_rows(self.scales, group * 64 + 32),
        }
    }

    #[inline(always)]
    fn factors(self, pair: usize) -> [int16x8_t; 4] {
        let (low, high) = (bytes_at(self.scales, 192 + pair * 32), bytes_at(self.scales, 208 + pair * 32));
        let [low, high] = [low, high].map(|x| [vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x)]);
        [low[0], low[1], high[0], high[1]].map(vreinterpretq_s16_u16)
    }
}
