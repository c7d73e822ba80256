//! The int8 products, entered with each kind of dots: many rows from unpacked panels, few from packed ones.

use std::ops::Range;

use super::base::*;
use super::dots::{Dots, Matrices, SignedDots, Widening};
use super::load::bytes;
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

impl Many<'_> {
    /// With widening products.
    pub fn widening(self) {
        self.run::<_, 4, 4>(Widening);
    }

    /// With dot products.
    #[target_feature(enable = "neon,dotprod")]
    pub fn signed_dots(self) {
        // SAFETY: the feature is enabled here.
        self.run::<_, 4, 4>(unsafe { SignedDots::new() });
    }

    /// With matrix products.
    #[target_feature(enable = "neon,i8mm")]
    pub fn matrices(self) {
        // SAFETY: the feature is enabled here.
        self.run::<_, 8, 2>(unsafe { Matrices::new() });
    }

    #[inline(always)]
    fn run<D: Dots<V>, const V: usize, const U: usize>(self, dots: D) {
        // Each scheme has its own copy of the loops.
        match self.scheme {
            Scheme::Centred32 => self.with::<D, V, U>(dots, Scheme::Centred32),
            Scheme::Minimum32 => self.with::<D, V, U>(dots, Scheme::Minimum32),
            Scheme::Minimum256 => self.with::<D, V, U>(dots, Scheme::Minimum256),
            Scheme::CentredHalves256 => self.with::<D, V, U>(dots, Scheme::CentredHalves256),
        }
    }

    #[inline(always)]
    fn with<D: Dots<V>, const V: usize, const U: usize>(self, dots: D, scheme: Scheme) {
        let mut arranged = [[vdupq_n_s8(0); 8]; 4 * CHUNK_BLOCKS];
        for (panel, sums) in self.panels.iter().zip(self.sums.chunks_exact_mut(self.cells.len())) {
            arrange(dots, scheme, panel, self.blocks, &mut arranged);
            let tiles = self.cells.chunks(U * D::ROWS).zip(sums.chunks_mut(U * D::ROWS));
            for (cells, sums) in tiles {
                for at in 0..self.blocks.div_ceil(SEGMENT_BLOCKS) {
                    let blocks = (self.blocks - at * SEGMENT_BLOCKS).min(SEGMENT_BLOCKS);
                    let segment = (unpacked(scheme, panel, &arranged, at), at, blocks);
                    match cells.len().div_ceil(D::ROWS) {
                        1 => tile::multiply::<D, _, V, 1>(dots, scheme, segment, cells, sums),
                        2 => tile::multiply::<D, _, V, 2>(dots, scheme, segment, cells, sums),
                        3 => tile::multiply::<D, _, V, 3>(dots, scheme, segment, cells, sums),
                        _ => tile::multiply::<D, _, V, U>(dots, scheme, segment, cells, sums),
                    }
                }
            }
        }
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
    for (quads, arranged) in quads.iter().zip(arranged) {
        *arranged = dots.arrange(quads.each_ref().map(|quad| {
            let (four, _) = quad.as_chunks::<16>();
            std::array::from_fn(|i| vreinterpretq_s8_u8(veorq_u8(bytes(&four[i]), flip)))
        }));
    }
}

/// Segment `at` of `panel`.
#[inline(always)]
fn unpacked<'a>(scheme: Scheme, panel: &'a UnpackedPanel, arranged: &'a Arranged, at: usize) -> Unpacked<'a> {
    let first = at * SEGMENT_BLOCKS;
    Unpacked {
        codes: &arranged[4 * first..4 * (first + SEGMENT_BLOCKS)],
        scales: if scheme.halves() {
            &panel.scales[2 * first..2 * (first + SEGMENT_BLOCKS)]
        } else {
            &panel.scales[first..first + SEGMENT_BLOCKS]
        },
        minima: if scheme.segment_scale() {
            &panel.minima[at..at + 1]
        } else {
            &panel.minima[first..first + SEGMENT_BLOCKS]
        },
        factors: &panel.factors[first / 2..(first + SEGMENT_BLOCKS) / 2],
    }
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

impl Few<'_> {
    /// Rows at most.
    pub const ROWS: usize = 4;

    /// With widening products.
    pub fn widening(self) {
        self.run(Widening);
    }

    /// With dot products.
    #[target_feature(enable = "neon,dotprod")]
    pub fn signed_dots(self) {
        // SAFETY: the feature is enabled here.
        self.run(unsafe { SignedDots::new() });
    }

    #[inline(always)]
    fn run<D: Dots<4>>(self, dots: D) {
        for_format!(self.format, FORMAT => self.with(dots, FORMAT));
    }

    #[inline(always)]
    fn with<D: Dots<4>>(self, dots: D, format: Format) {
        let scheme = format.scheme();
        self.sums.fill([0.0; 16]);
        for (index, segment) in segments(format, self.panel.bytes, self.panel.columns).enumerate() {
            const SEGMENTS: usize = INT8_CHUNK / SEGMENT_COLUMNS;
            let cells = self.input.int8_chunk(index / SEGMENTS, self.rows.clone());
            let source = (Packed::new(format, segment), index % SEGMENTS, segment.blocks);
            match cells.len() {
                1 => tile::multiply::<D, _, 4, 1>(dots, scheme, source, cells, self.sums),
                2 => tile::multiply::<D, _, 4, 2>(dots, scheme, source, cells, self.sums),
                3 => tile::multiply::<D, _, 4, 3>(dots, scheme, source, cells, self.sums),
                _ => tile::multiply::<D, _, 4, 4>(dots, scheme, source, cells, self.sums),
            }
        }
    }
}
