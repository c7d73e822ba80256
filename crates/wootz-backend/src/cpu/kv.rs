//! Writing keys and values to the cache.

use half::f16;

use super::simd::lanes::{Kernel, LANES, Lanes};
use crate::step::PAGE_TOKENS;

/// Writes one token's key and value heads, rounded to f16, to its place in a cell.
pub struct WriteCell<'a> {
    /// `[head_dim]`.
    pub key: &'a [f32],
    /// `[head_dim]`.
    pub value: &'a [f32],
    /// The token's place in its page.
    pub slot: usize,
    /// The cell: keys `[head_dim][16]`, then values `[16][head_dim]`.
    pub cell: &'a mut [f16],
}

impl Kernel for WriteCell<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let dim = self.key.len();
        let (keys, values) = self.cell.split_at_mut(dim * PAGE_TOKENS);
        let row = &mut values[self.slot * dim..][..dim];
        let mut first = 0;
        while first < dim {
            let end = dim.min(first + LANES);
            let halves = rounded(lanes, &self.key[first..end]);
            for element in first..end {
                keys[element * PAGE_TOKENS + self.slot] = halves[element - first];
            }
            let halves = rounded(lanes, &self.value[first..end]);
            row[first..end].copy_from_slice(&halves[..end - first]);
            first = end;
        }
    }
}

#[inline(always)]
fn rounded<L: Lanes>(lanes: L, part: &[f32]) -> [f16; LANES] {
    let mut halves = [f16::ZERO; LANES];
    let x = match part.first_chunk() {
        Some(whole) => lanes.load(whole),
        None => lanes.load_part(part),
    };
    lanes.store_f16(&mut halves, x);
    halves
}
