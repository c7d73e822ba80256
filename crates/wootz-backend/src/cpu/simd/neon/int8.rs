//! The int8 products, entered with each kind of dots: many rows from unpacked panels, few from packed ones.

use std::ops::Range;

use super::base::*;
use super::dots::{Dots, Matrices, SignedDots, Widening};
use super::load::{four, vector};
use super::source::{Packed, Unpacked, for_format};
use super::tile;
use crate::cpu::matmul::format::{Format, SEGMENT_BLOCKS, SEGMENT_COLUMNS, Scheme, segments};
use crate::cpu::matmul::input::{INT8_CHUNK, Input, Int8Cell};
use crate::cpu::matmul::kernels::{Lanes, PackedPanel};
use crate::cpu::matmul::unpack::{CHUNK_BLOCKS, UnpackedPanel};

/// The codes of a chunk of a panel, arranged: `[block][pair of quads]`.
type Arranged = [[int8x16_t; 8]; 4 * CHUNK_BLOCKS];

/// Many rows of unpacked panels.
pub struct Many<'a> {
    /// The format's scheme.
    pub scheme: Scheme,
    /// The rows.
    pub cells: &'a [Int8Cell],
    /// The panels.
    pub panels: &'a [UnpackedPanel],
    /// Blocks of the panels that are filled.
    pub blocks: usize,
    /// `[panel][row]`.
    pub sums: &'a mut [Lanes],
}

/// A few rows straight from a packed panel.
pub struct Few<'a> {
    /// The panel's format.
    pub format: Format,
    /// The panel.
    pub panel: PackedPanel<'a>,
    /// The rows' values.
    pub input: &'a Input,
    /// The rows: 1 to 4.
    pub rows: Range<usize>,
    /// One a row.
    pub sums: &'a mut [Lanes],
}

/// [`Many`] with a kind of dots: each scheme and count of units has its own copy of the loops, in a function of its
/// own, since the compiler takes less care of larger ones.
macro_rules! many {
    ($(#[$text:meta])* $name:ident, $features:literal, $dots:expr, $kind:ty, $registers:literal) => {
        $(#[$text])*
        #[target_feature(enable = $features)]
        pub fn $name(self) {
            #[target_feature(enable = $features)]
            fn tile<const SCHEME: u8, const U: usize>(
                segment: (Unpacked<'_>, usize, usize),
                cells: &[Int8Cell],
                sums: &mut [Lanes],
            ) {
                tile::multiply::<$kind, _, SCHEME, $registers, U>($dots, segment, cells, sums);
            }

            #[target_feature(enable = $features)]
            fn with<const SCHEME: u8>(many: Many<'_>) {
                const ROWS: usize = <$kind as Dots<$registers>>::ROWS;
                let mut arranged = [[vdupq_n_s8(0); 8]; 4 * CHUNK_BLOCKS];
                for (panel, sums) in many.panels.iter().zip(many.sums.chunks_exact_mut(many.cells.len())) {
                    arrange::<$kind, $registers>($dots, many.scheme, panel, many.blocks, &mut arranged);
                    for (cells, sums) in many.cells.chunks(4).zip(sums.chunks_mut(4)) {
                        for at in 0..many.blocks.div_ceil(SEGMENT_BLOCKS) {
                            let blocks = (many.blocks - at * SEGMENT_BLOCKS).min(SEGMENT_BLOCKS);
                            let segment = (unpacked(many.scheme, panel, &arranged, at), at, blocks);
                            match (cells.len().div_ceil(ROWS), ROWS) {
                                (1, _) => tile::<SCHEME, 1>(segment, cells, sums),
                                (2, _) | (_, 2) => tile::<SCHEME, 2>(segment, cells, sums),
                                (3, _) => tile::<SCHEME, 3>(segment, cells, sums),
                                _ => tile::<SCHEME, 4>(segment, cells, sums),
                            }
                        }
                    }
                }
            }

            match self.scheme {
                Scheme::Centred32 => with::<{ Scheme::Centred32 as u8 }>(self),
                Scheme::Minimum32 => with::<{ Scheme::Minimum32 as u8 }>(self),
                Scheme::Minimum256 => with::<{ Scheme::Minimum256 as u8 }>(self),
                Scheme::CentredHalves256 => with::<{ Scheme::CentredHalves256 as u8 }>(self),
            }
        }
    };
}

impl Many<'_> {
    many! {
        /// With widening products.
        widening, "neon", Widening, Widening, 4
    }
    many! {
        /// With dot products.
        // SAFETY: wherever this stands, the feature is enabled.
        signed_dots, "neon,dotprod", unsafe { SignedDots::new() }, SignedDots, 4
    }
    many! {
        /// With matrix products.
        // SAFETY: wherever this stands, the feature is enabled.
        matrices, "neon,i8mm", unsafe { Matrices::new() }, Matrices, 8
    }
}

/// Arranges the codes of `panel` for `dots`, with zero at 0.
#[inline(always)]
fn arrange<D: Dots<V>, const V: usize>(
    dots: D,
    scheme: Scheme,
    panel: &UnpackedPanel,
    blocks: usize,
    arranged: &mut Arranged,
) {
    let centred = matches!(scheme, Scheme::Centred32 | Scheme::CentredHalves256);
    let flip = vdupq_n_u8(if centred { 0x80 } else { 0 });
    let quads = panel.quads[..blocks].as_flattened().as_chunks::<2>().0;
    for ([a, b], arranged) in quads.iter().zip(arranged) {
        let (a, b) = (vector(a), vector(b));
        let a = four!(i => vreinterpretq_s8_u8(veorq_u8(a[i], flip)));
        let b = four!(i => vreinterpretq_s8_u8(veorq_u8(b[i], flip)));
        *arranged = dots.arrange([a, b]);
    }
}

/// Segment `at` of `panel`.
fn unpacked<'a>(scheme: Scheme, panel: &'a UnpackedPanel, arranged: &'a Arranged, at: usize) -> Unpacked<'a> {
    let first = at * SEGMENT_BLOCKS;
    let (groups, minima) =
        (if scheme.halves() { 2 } else { 1 }, if scheme.segment_scale() { 1 } else { SEGMENT_BLOCKS });
    Unpacked {
        codes: &arranged[4 * first..4 * (first + SEGMENT_BLOCKS)],
        scales: &panel.scales[groups * first..groups * (first + SEGMENT_BLOCKS)],
        minima: &panel.minima[at * minima..(at + 1) * minima],
        factors: &panel.factors[first / 2..(first + SEGMENT_BLOCKS) / 2],
    }
}

/// [`Few`] with a kind of dots: each format and count of rows has its own copy of the loops, in a function of its own.
macro_rules! few {
    ($(#[$text:meta])* $name:ident, $features:literal, $dots:expr, $kind:ty) => {
        $(#[$text])*
        #[target_feature(enable = $features)]
        pub fn $name(self) {
            #[target_feature(enable = $features)]
            fn tile<const FORMAT: u8, const SCHEME: u8, const U: usize>(few: Few<'_>) {
                const SEGMENTS: usize = INT8_CHUNK / SEGMENT_COLUMNS;
                few.sums.fill([0.0; 16]);
                for (index, segment) in segments(few.format, few.panel.bytes, few.panel.columns).enumerate() {
                    let cells = few.input.int8_chunk(index / SEGMENTS, few.rows.clone());
                    let source = (Packed::<FORMAT>::new(segment), index % SEGMENTS, segment.blocks);
                    tile::multiply::<$kind, _, SCHEME, 4, U>($dots, source, cells, few.sums);
                }
            }

            #[target_feature(enable = $features)]
            fn with<const FORMAT: u8, const SCHEME: u8>(few: Few<'_>) {
                match few.rows.len() {
                    1 => tile::<FORMAT, SCHEME, 1>(few),
                    2 => tile::<FORMAT, SCHEME, 2>(few),
                    3 => tile::<FORMAT, SCHEME, 3>(few),
                    _ => tile::<FORMAT, SCHEME, 4>(few),
                }
            }

            for_format!(self.format, FORMAT => {
                const SCHEME: u8 = Packed::<FORMAT>::FORMAT.scheme() as u8;
                with::<FORMAT, SCHEME>(self)
            });
        }
    };
}

impl Few<'_> {
    /// Rows at most.
    pub const ROWS: usize = 4;

    few! {
        /// With widening products.
        widening, "neon", Widening, Widening
    }
    few! {
        /// With dot products.
        // SAFETY: wherever this stands, the feature is enabled.
        signed_dots, "neon,dotprod", unsafe { SignedDots::new() }, SignedDots
    }
}
