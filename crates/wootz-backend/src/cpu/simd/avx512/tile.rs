//! The int8 tile kernel: up to 6 rows × 2 panels of accumulators in registers, over a chunk of unpacked columns.
//!
//! Each broadcast of four activations serves both panels, each vector of weights all rows: 8 loads for 12 dot
//! products, so that the dot-product units are the limit.

// Rows and panels index several arrays at once.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::planes::{broadcast, broadcast_f32};
use crate::cpu::matmul::format::Scheme;
use crate::cpu::matmul::input::Int8Cell;
use crate::cpu::matmul::kernels::Lanes;
use crate::cpu::matmul::unpack::UnpackedPanel;

const ROWS: usize = 6;

/// Where a tile reads and writes.
#[derive(Clone, Copy)]
struct Tile {
    cells: *const Int8Cell,
    panels: *const UnpackedPanel,
    blocks: usize,
    sums: *mut Lanes,
    /// Rows from one panel's sums to the next's.
    stride: usize,
}

/// See [`Kernels::multiply`](crate::cpu::matmul::kernels::Kernels::multiply).
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn multiply(
    scheme: Scheme,
    cells: &[Int8Cell],
    panels: &[UnpackedPanel],
    blocks: usize,
    sums: &mut [Lanes],
) {
    assert!(sums.len() == cells.len() * panels.len() && blocks <= 16 && panels.len() <= 2);
    assert!(!scheme.segment_scale() || blocks.is_multiple_of(8));
    let mut first = 0;
    let mut tiles = cells.len().div_ceil(ROWS);
    while first < cells.len() {
        // Tiles of about equal length: of short ones the dot products' latency shows.
        let rows = (cells.len() - first).div_ceil(tiles);
        tiles -= 1;
        // SAFETY: `first + rows` cells exist, and as many sums of each panel.
        unsafe {
            let tile = Tile {
                cells: cells.as_ptr().add(first),
                panels: panels.as_ptr(),
                blocks,
                sums: sums.as_mut_ptr().add(first),
                stride: cells.len(),
            };
            match panels.len() {
                1 => by_scheme::<1>(scheme, tile, rows),
                _ => by_scheme::<2>(scheme, tile, rows),
            }
        }
        first += rows;
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn by_scheme<const PANELS: usize>(scheme: Scheme, tile: Tile, rows: usize) {
    // SAFETY: passed on.
    unsafe {
        match scheme {
            Scheme::Centred32 => by_rows::<{ Scheme::Centred32 as u8 }, PANELS>(tile, rows),
            Scheme::Minimum32 => by_rows::<{ Scheme::Minimum32 as u8 }, PANELS>(tile, rows),
            Scheme::Minimum256 => by_rows::<{ Scheme::Minimum256 as u8 }, PANELS>(tile, rows),
            Scheme::CentredHalves256 => by_rows::<{ Scheme::CentredHalves256 as u8 }, PANELS>(tile, rows),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn by_rows<const SCHEME: u8, const PANELS: usize>(tile: Tile, rows: usize) {
    // SAFETY: passed on.
    unsafe {
        match rows {
            1 => run::<SCHEME, 1, PANELS>(tile),
            2 => run::<SCHEME, 2, PANELS>(tile),
            3 => run::<SCHEME, 3, PANELS>(tile),
            4 => run::<SCHEME, 4, PANELS>(tile),
            5 => run::<SCHEME, 5, PANELS>(tile),
            _ => run::<SCHEME, 6, PANELS>(tile),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn run<const SCHEME: u8, const ROWS: usize, const PANELS: usize>(tile: Tile) {
    // SAFETY: passed on.
    unsafe {
        if SCHEME == Scheme::Centred32 as u8 || SCHEME == Scheme::Minimum32 as u8 {
            block_scales::<SCHEME, ROWS, PANELS>(tile);
        } else {
            for segment in 0..tile.blocks / 8 {
                segment_scale::<SCHEME, ROWS, PANELS>(tile, segment);
            }
        }
    }
}

type Integers<const ROWS: usize, const PANELS: usize> = [[__m512i; PANELS]; ROWS];
type Floats<const ROWS: usize, const PANELS: usize> = [[__m512; PANELS]; ROWS];

/// Adds `QUADS` quads from quad `quad` (counted from the chunk's start) on.
///
/// # Safety
/// `tile` must have `ROWS` cells and `PANELS` panels, and the chunk so many quads.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn dots<const QUADS: usize, const ROWS: usize, const PANELS: usize>(
    tile: Tile,
    quad: usize,
    mut sums: Integers<ROWS, PANELS>,
) -> Integers<ROWS, PANELS> {
    for index in quad..quad + QUADS {
        let mut weights = [_mm512_setzero_si512(); PANELS];
        for (panel, weights) in weights.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *weights = unsafe {
                _mm512_load_si512((&raw const (*tile.panels.add(panel)).quads).cast::<__m512i>().add(index))
            };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            let values =
                unsafe { broadcast((&raw const (*tile.cells.add(row)).quants).cast::<i32>().add(index)) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbusd_epi32(*sum, weights, values);
            }
        }
        keep_order();
    }
    sums
}

/// Keeps the compiler from moving loads across. It would hoist them until accumulators no longer fit the registers,
/// and an accumulator in memory halves the speed.
#[inline(always)]
pub fn keep_order() {
    // SAFETY: no instruction at all.
    unsafe { std::arch::asm!("", options(nostack, preserves_flags)) };
}

/// What the accumulators of a group of columns start from, one number a row.
///
/// # Safety
/// `of` must give readable addresses.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn starts<const ROWS: usize, const PANELS: usize>(
    of: impl Fn(usize) -> *const i32,
) -> Integers<ROWS, PANELS> {
    let mut starts: Integers<ROWS, PANELS> = [[_mm512_setzero_si512(); PANELS]; ROWS];
    for panel in 0..PANELS {
        for (row, start) in starts.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            start[panel] = unsafe { broadcast(of(row)) };
        }
        // A load each is cheaper than a copy: it takes no register.
        keep_order();
    }
    starts
}

/// A scale and an activation scale each block.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn block_scales<const SCHEME: u8, const ROWS: usize, const PANELS: usize>(tile: Tile) {
    // SAFETY: `ROWS` cells, `PANELS` panels, their sums, and `blocks` blocks exist.
    unsafe {
        let mut acc: Floats<ROWS, PANELS> = [[_mm512_setzero_ps(); PANELS]; ROWS];
        for row in 0..ROWS {
            for panel in 0..PANELS {
                acc[row][panel] = _mm512_loadu_ps(tile.sums.add(panel * tile.stride + row).cast());
            }
        }
        for block in 0..tile.blocks {
            let start: Integers<ROWS, PANELS> = if SCHEME == Scheme::Centred32 as u8 {
                starts(|row| (&raw const (*tile.cells.add(row)).negated).cast::<i32>().add(block))
            } else {
                [[_mm512_setzero_si512(); PANELS]; ROWS]
            };
            let sums = dots::<8, ROWS, PANELS>(tile, block * 8, start);
            for panel in 0..PANELS {
                let unpacked = tile.panels.add(panel);
                let scale = _mm512_load_ps((&raw const (*unpacked).scales).cast::<f32>().add(block * 16));
                for row in 0..ROWS {
                    let cell = tile.cells.add(row);
                    let activation = broadcast_f32((&raw const (*cell).scales).cast::<f32>().add(block));
                    let sum = _mm512_cvtepi32_ps(sums[row][panel]);
                    acc[row][panel] = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, activation), acc[row][panel]);
                    if SCHEME == Scheme::Minimum32 as u8 {
                        let minimum =
                            _mm512_load_ps((&raw const (*unpacked).minima).cast::<f32>().add(block * 16));
                        let weighted = broadcast_f32((&raw const (*cell).weighted).cast::<f32>().add(block));
                        acc[row][panel] = _mm512_fmadd_ps(minimum, weighted, acc[row][panel]);
                    }
                    keep_order();
                }
            }
        }
        for row in 0..ROWS {
            for panel in 0..PANELS {
                _mm512_storeu_ps(tile.sums.add(panel * tile.stride + row).cast(), acc[row][panel]);
            }
        }
    }
}

/// A scale each block or half block, an activation scale each segment. The outer accumulators stay in memory: the
/// registers hold those of the segment.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn segment_scale<const SCHEME: u8, const ROWS: usize, const PANELS: usize>(
    tile: Tile,
    segment: usize,
) {
    // SAFETY: `ROWS` cells, `PANELS` panels, their sums, and the segment exist.
    unsafe {
        let mut part: Floats<ROWS, PANELS> = [[_mm512_setzero_ps(); PANELS]; ROWS];
        if SCHEME == Scheme::CentredHalves256 as u8 {
            for half in segment * 16..segment * 16 + 16 {
                let start =
                    starts(|row| (&raw const (*tile.cells.add(row)).negated_halves).cast::<i32>().add(half));
                let sums = dots::<4, ROWS, PANELS>(tile, half * 4, start);
                scale_into(tile, half, sums, &mut part);
            }
        } else {
            for block in segment * 8..segment * 8 + 8 {
                let zero: Integers<ROWS, PANELS> = [[_mm512_setzero_si512(); PANELS]; ROWS];
                let sums = dots::<8, ROWS, PANELS>(tile, block * 8, zero);
                scale_into(tile, block, sums, &mut part);
            }
            minima(tile, segment, &mut part);
        }
        for row in 0..ROWS {
            let scale = broadcast_f32((&raw const (*tile.cells.add(row)).scales).cast::<f32>().add(segment));
            for panel in 0..PANELS {
                let sum = tile.sums.add(panel * tile.stride + row).cast::<f32>();
                _mm512_storeu_ps(sum, _mm512_fmadd_ps(part[row][panel], scale, _mm512_loadu_ps(sum)));
            }
        }
    }
}

/// `part += sums · scales[index]`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn scale_into<const ROWS: usize, const PANELS: usize>(
    tile: Tile,
    index: usize,
    sums: Integers<ROWS, PANELS>,
    part: &mut Floats<ROWS, PANELS>,
) {
    for panel in 0..PANELS {
        // SAFETY: the panel exists.
        let scale = unsafe {
            _mm512_load_ps((&raw const (*tile.panels.add(panel)).scales).cast::<f32>().add(index * 16))
        };
        for row in 0..ROWS {
            part[row][panel] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[row][panel]), scale, part[row][panel]);
        }
    }
}

/// `part += Σ_blocks (factor · Σx) · minimum`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn minima<const ROWS: usize, const PANELS: usize>(
    tile: Tile,
    segment: usize,
    part: &mut Floats<ROWS, PANELS>,
) {
    // SAFETY: the rows, panels and the segment exist.
    unsafe {
        let mut sums: Integers<ROWS, PANELS> = [[_mm512_setzero_si512(); PANELS]; ROWS];
        for pair in segment * 4..segment * 4 + 4 {
            for panel in 0..PANELS {
                let factors = _mm512_load_si512(
                    (&raw const (*tile.panels.add(panel)).factors).cast::<__m512i>().add(pair),
                );
                for (row, sums) in sums.iter_mut().enumerate() {
                    let values = broadcast((&raw const (*tile.cells.add(row)).sums).cast::<i32>().add(pair));
                    sums[panel] = _mm512_dpwssd_epi32(sums[panel], factors, values);
                }
            }
        }
        for panel in 0..PANELS {
            let minimum =
                _mm512_load_ps((&raw const (*tile.panels.add(panel)).minima).cast::<f32>().add(segment * 16));
            for row in 0..ROWS {
                part[row][panel] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[row][panel]), minimum, part[row][panel]);
            }
        }
    }
}
