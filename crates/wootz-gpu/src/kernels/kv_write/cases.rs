//! The kernel that writes latent keys, exactly; and what others that write to pages are compared by.

use half::f16;
use wootz_backend::step::PAGE_TOKENS;

use super::LatentWrite;
use crate::case::{Case, Check, Tolerance, values};
use crate::device::Slice;
use crate::kernels::attention::LatentCache;
use crate::twins::attention::Cells;

pub fn cases() -> Vec<Case> {
    [(1, 512, 64), (19, 512, 64), (2, 16, 8), (5, 64, 8)]
        .map(|(rows, latent, rope)| latent_write_case(rows, latent, rope))
        .into()
}

/// Slots of `rows` tokens: two sequences' runs over scattered pages, the first from the middle of a page.
pub fn slots(rows: usize) -> (Vec<u32>, usize) {
    let pages = rows.div_ceil(PAGE_TOKENS) + 2;
    let first = rows.div_ceil(3);
    let place = |position: usize, from: usize| {
        let page = (position / PAGE_TOKENS * 5 + from) % pages;
        (page * PAGE_TOKENS + position % PAGE_TOKENS) as u32
    };
    let mut slots: Vec<u32> = (0..first).map(|row| place(row + 13, 0)).collect();
    let taken = slots.clone();
    let free = (0..pages * PAGE_TOKENS).map(|slot| slot as u32).filter(|slot| !taken.contains(slot));
    slots.extend(free.take(rows - first));
    (slots, pages)
}

/// A pool in which everything but the written elements must stay poison.
pub fn pool_after(
    case: &mut Case,
    elements: usize,
    written: impl Iterator<Item = (usize, f32)>,
    tolerance: Tolerance,
) -> Slice {
    let mut expected = vec![f32::NAN; elements];
    for (index, value) in written {
        expected[index] = f16::from_f32(value).to_f32();
    }
    let poison = vec![0xff; 2 * elements];
    case.buffer("pool", poison, Check::F16(expected, tolerance))
}

fn latent_write_case(rows: usize, latent: usize, rope: usize) -> Case {
    let mut case = Case::new(format!("kv_write_latent {rows} rows of {latent}+{rope}"));
    let (layers, layer) = (3, 1);
    let cells = Cells::Latent { layers, latent, rope };
    // The rotated key lies behind the latent in one row, as the projection leaves it; the normed latent elsewhere.
    let (stride, joined, normed) =
        (latent + rope, values(rows * (latent + rope), 1), values(rows * latent, 2));
    let (slots, pages) = slots(rows);
    let places = (0..rows * stride).map(|index| {
        let (row, dim) = (index / stride, index % stride);
        let value = if dim < latent { normed[row * latent + dim] } else { joined[index] };
        (cells.key(slots[row] as usize, layer, 0, dim), value)
    });
    let pool = pool_after(&mut case, pages * cells.page_elements(), places, Tolerance::EXACT);
    let (normed, joined) = (case.input("latent", &normed), case.input("joined", &joined));
    let slots = case.input("slots", &slots);
    let rope_part = joined.part(4 * latent, joined.length - 4 * latent);
    let write = LatentWrite {
        rows,
        cache: LatentCache { pool, layers, latent, rope },
        layer,
        latent: normed,
        latent_stride: latent,
        rope: rope_part,
        rope_stride: stride,
        slots,
    };
    case.dispatch([write.dispatch()]);
    case
}
