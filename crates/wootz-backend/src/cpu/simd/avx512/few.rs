//! Few rows: codes are unpacked in registers and each byte of the weights is read once, in the order of memory.

use std::arch::x86_64::*;
use std::ops::Range;

use super::planes::{broadcast, broadcast_f32, factors, halves, quads, signed, unsigned};
use crate::cpu::matmul::format::{Codes, Format, Scheme, Segment, segments};
use crate::cpu::matmul::input::{Input, Int8Cell};
use crate::cpu::matmul::kernels::{Lanes, PackedPanel};
use crate::cpu::matmul::unpack::CHUNK_SEGMENTS;

/// How far ahead of their use lines are asked into the second-level cache: several times the memory's latency times
/// what one core can read. Of the distances tried (1, 3, 4, 8, 10 KiB) the one that reads fastest.
const FAR: usize = 10 << 10;
/// How far ahead they are then asked into the first-level cache. Asked there from the start, they would wait for one
/// of its few line buffers: 80% of what memory gives, where both steps give 90%.
const NEAR: usize = 768;

/// See [`Kernels::multiply_packed`](crate::cpu::matmul::kernels::Kernels::multiply_packed): up to 4 rows.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub fn multiply(
    format: Format,
    panel: PackedPanel<'_>,
    input: &Input,
    rows: Range<usize>,
    sums: &mut [Lanes],
) -> bool {
    assert_eq!(sums.len(), rows.len());
    match sums.len() {
        0 => {}
        1 => by_format::<1>(format, panel, input, rows, sums),
        2 => by_format::<2>(format, panel, input, rows, sums),
        3 => by_format::<3>(format, panel, input, rows, sums),
        4 => by_format::<4>(format, panel, input, rows, sums),
        _ => return false,
    }
    true
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn by_format<const ROWS: usize>(
    format: Format,
    panel: PackedPanel<'_>,
    input: &Input,
    rows: Range<usize>,
    sums: &mut [Lanes],
) {
    const BYTES: u8 = Codes::Bytes as u8;
    const NIBBLES: u8 = Codes::Nibbles as u8;
    const BIT: u8 = Codes::NibblesAndBit as u8;
    const PAIR: u8 = Codes::NibblesAndPair as u8;
    const CENTRED: u8 = Scheme::Centred32 as u8;
    const MINIMUM: u8 = Scheme::Minimum32 as u8;
    const MINIMUM_256: u8 = Scheme::Minimum256 as u8;
    const HALVES_256: u8 = Scheme::CentredHalves256 as u8;
    let run = match format {
        Format::Q8_0 => run::<BYTES, CENTRED, ROWS>,
        Format::Q4_0 => run::<NIBBLES, CENTRED, ROWS>,
        Format::Q5_0 => run::<BIT, CENTRED, ROWS>,
        Format::Q4_1 => run::<NIBBLES, MINIMUM, ROWS>,
        Format::Q5_1 => run::<BIT, MINIMUM, ROWS>,
        Format::Q4_K => run::<NIBBLES, MINIMUM_256, ROWS>,
        Format::Q5_K => run::<BIT, MINIMUM_256, ROWS>,
        Format::Q6_K => run::<PAIR, HALVES_256, ROWS>,
    };
    run(format, panel, input, rows, sums);
}

/// The cells of a pass and the place of a segment in them.
#[derive(Clone, Copy)]
struct Place {
    cells: *const Int8Cell,
    /// The segment's number in its chunk.
    at: usize,
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn run<const CODES: u8, const SCHEME: u8, const ROWS: usize>(
    format: Format,
    panel: PackedPanel<'_>,
    input: &Input,
    rows: Range<usize>,
    sums: &mut [Lanes],
) {
    let mut acc = [_mm512_setzero_ps(); ROWS];
    for (index, segment) in segments(format, panel.bytes, panel.columns).enumerate() {
        let cells = input.int8_chunk(index / CHUNK_SEGMENTS, rows.clone());
        assert_eq!(cells.len(), ROWS);
        let place = Place { cells: cells.as_ptr(), at: index % CHUNK_SEGMENTS };
        // SAFETY: `ROWS` cells, and a segment cut by its format.
        unsafe {
            if SCHEME == Scheme::Centred32 as u8 || SCHEME == Scheme::Minimum32 as u8 {
                block_scales::<CODES, SCHEME, ROWS>(segment, place, &mut acc);
            } else {
                segment_scale::<CODES, SCHEME, ROWS>(segment, place, &mut acc);
            }
        }
        for line in (0..segment.scales.len()).step_by(64) {
            ahead(segment.scales.as_ptr().wrapping_add(line));
        }
    }
    for (sums, acc) in sums.iter_mut().zip(acc) {
        // SAFETY: 16 f32.
        unsafe { _mm512_storeu_ps(sums.as_mut_ptr(), acc) };
    }
}

/// Asks for the lines [`FAR`] and [`NEAR`] ahead of `line`.
#[target_feature(enable = "avx512f")]
#[inline]
fn ahead(line: *const u8) {
    _mm_prefetch::<_MM_HINT_T1>(line.wrapping_add(FAR).cast());
    _mm_prefetch::<_MM_HINT_T0>(line.wrapping_add(NEAR).cast());
}

/// The quads of block `block`, and the request for those that come later.
///
/// # Safety
/// The segment has the block, in planes as [`Codes`] number `CODES` says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn block_quads<const CODES: u8>(segment: Segment<'_>, block: usize) -> [__m512i; 8] {
    let bytes = bytes_of(CODES);
    // SAFETY: the caller's promise.
    let codes = unsafe { segment.codes.as_ptr().add(block * bytes) };
    for line in (0..bytes).step_by(64) {
        ahead(codes.wrapping_add(line));
    }
    // SAFETY: the caller's promise.
    unsafe { quads::<CODES>(codes) }
}

/// [`Codes::bytes`] of number `codes`.
const fn bytes_of(codes: u8) -> usize {
    if codes == Codes::Bytes as u8 {
        Codes::Bytes.bytes()
    } else if codes == Codes::Nibbles as u8 {
        Codes::Nibbles.bytes()
    } else if codes == Codes::NibblesAndBit as u8 {
        Codes::NibblesAndBit.bytes()
    } else {
        Codes::NibblesAndPair.bytes()
    }
}

/// −zero · Σx from −128 · Σx, for the zero that goes with these codes.
#[target_feature(enable = "avx512f")]
#[inline]
fn centre<const CODES: u8>(negated: __m512i) -> __m512i {
    if CODES == Codes::Bytes as u8 {
        negated
    } else if CODES == Codes::Nibbles as u8 {
        _mm512_srai_epi32::<4>(negated)
    } else if CODES == Codes::NibblesAndBit as u8 {
        _mm512_srai_epi32::<3>(negated)
    } else {
        _mm512_srai_epi32::<2>(negated)
    }
}

/// `start` plus the dot products of the quads with the values at `values`, in two chains: one instruction waits for
/// the one before it.
///
/// # Safety
/// `values` must be readable for so many words.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn dot<const QUADS: usize>(quads: &[__m512i], values: *const i32, start: __m512i) -> __m512i {
    let mut sums = [start, _mm512_setzero_si512()];
    for (index, quad) in quads.iter().enumerate().take(QUADS) {
        // SAFETY: the caller's promise.
        let values = unsafe { broadcast(values.add(index)) };
        sums[index % 2] = _mm512_dpbusd_epi32(sums[index % 2], *quad, values);
    }
    _mm512_add_epi32(sums[0], sums[1])
}

/// A scale and an activation scale each block.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn block_scales<const CODES: u8, const SCHEME: u8, const ROWS: usize>(
    segment: Segment<'_>,
    place: Place,
    acc: &mut [__m512; ROWS],
) {
    let minimum = SCHEME == Scheme::Minimum32 as u8;
    // SAFETY: the segment's blocks and scales and the pass's cells exist.
    unsafe {
        for block in 0..segment.blocks {
            let quads = block_quads::<CODES>(segment, block);
            let scales = segment.scales.as_ptr().add(block * if minimum { 64 } else { 32 });
            let scale = halves(scales);
            let in_chunk = place.at * 8 + block;
            for (row, acc) in acc.iter_mut().enumerate() {
                let cell = place.cells.add(row);
                let values = (&raw const (*cell).quants).cast::<i32>().add(in_chunk * 8);
                let start = if minimum {
                    _mm512_setzero_si512()
                } else {
                    centre::<CODES>(broadcast((&raw const (*cell).negated).cast::<i32>().add(in_chunk)))
                };
                let sum = _mm512_cvtepi32_ps(dot::<8>(&quads, values, start));
                let both = _mm512_mul_ps(
                    scale,
                    broadcast_f32((&raw const (*cell).scales).cast::<f32>().add(in_chunk)),
                );
                *acc = _mm512_fmadd_ps(sum, both, *acc);
                if minimum {
                    let weighted = broadcast_f32((&raw const (*cell).weighted).cast::<f32>().add(in_chunk));
                    *acc = _mm512_fmadd_ps(halves(scales.add(32)), weighted, *acc);
                }
            }
        }
    }
}

/// A scale each block or half block, an activation scale each segment.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn segment_scale<const CODES: u8, const SCHEME: u8, const ROWS: usize>(
    segment: Segment<'_>,
    place: Place,
    acc: &mut [__m512; ROWS],
) {
    let in_halves = SCHEME == Scheme::CentredHalves256 as u8;
    // SAFETY: the segment's blocks and scales and the pass's cells exist.
    unsafe {
        let scales = segment.scales.as_ptr();
        let scale = halves(scales);
        let mut part = [_mm512_setzero_ps(); ROWS];
        for block in 0..8 {
            let quads = block_quads::<CODES>(segment, block);
            let in_chunk = place.at * 8 + block;
            if in_halves {
                let first = _mm512_mul_ps(scale, signed(scales.add(32 + block * 32)));
                let second = _mm512_mul_ps(scale, signed(scales.add(48 + block * 32)));
                for (row, part) in part.iter_mut().enumerate() {
                    let cell = place.cells.add(row);
                    let values = (&raw const (*cell).quants).cast::<i32>().add(in_chunk * 8);
                    let starts = (&raw const (*cell).negated_halves).cast::<i32>().add(in_chunk * 2);
                    let sum = dot::<4>(&quads[..4], values, centre::<CODES>(broadcast(starts)));
                    *part = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), first, *part);
                    let sum = dot::<4>(&quads[4..], values.add(4), centre::<CODES>(broadcast(starts.add(1))));
                    *part = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), second, *part);
                }
            } else {
                let scale = _mm512_mul_ps(scale, unsigned(scales.add(64 + block * 16)));
                for (row, part) in part.iter_mut().enumerate() {
                    let values = (&raw const (*place.cells.add(row)).quants).cast::<i32>().add(in_chunk * 8);
                    let sum = dot::<8>(&quads, values, _mm512_setzero_si512());
                    *part = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, *part);
                }
            }
        }
        if !in_halves {
            minima(segment, place, &mut part);
        }
        for (row, (acc, part)) in acc.iter_mut().zip(part).enumerate() {
            let scale =
                broadcast_f32((&raw const (*place.cells.add(row)).scales).cast::<f32>().add(place.at));
            *acc = _mm512_fmadd_ps(part, scale, *acc);
        }
    }
}

/// `part += Σ_blocks (factor · Σx) · −scale of the minima`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn minima<const ROWS: usize>(segment: Segment<'_>, place: Place, part: &mut [__m512; ROWS]) {
    // SAFETY: the segment's scales and the pass's cells exist.
    unsafe {
        let scales = segment.scales.as_ptr();
        let minimum = _mm512_xor_ps(halves(scales.add(32)), _mm512_set1_ps(-0.0));
        let mut sums = [_mm512_setzero_si512(); ROWS];
        for pair in 0..4 {
            let factors = factors(scales.add(192 + pair * 32));
            for (row, sum) in sums.iter_mut().enumerate() {
                let values = (&raw const (*place.cells.add(row)).sums).cast::<i32>().add(place.at * 4 + pair);
                *sum = _mm512_dpwssd_epi32(*sum, factors, broadcast(values));
            }
        }
        for (part, sum) in part.iter_mut().zip(sums) {
            *part = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), minimum, *part);
        }
    }
}
