//! Writing keys and values to pages: `kernels/kv_write.metal`.

use arrayvec::ArrayVec;
use half::f16;
use wootz_backend::cache::CacheShape;
use wootz_backend::step::PAGE_TOKENS;

use super::Concept;
use super::attention::{LatentCache, PagedCache};
use crate::case::{Case, Check, Tolerance, values};
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;
use crate::twins::attention::Cells;

/// The kv_write kernels.
pub const CONCEPT: Concept = Concept { name: "kv_write", sources: SOURCES, cases };

const SOURCES: &[KernelSource] = &[KernelSource {
    file: "kv_write.metal",
    text: include_str!("../../../../kernels/kv_write.metal"),
    arguments: &[KvWriteArguments::MSL, LatentWriteArguments::MSL],
}];

kernel_args! {
    /// Arguments of `kv_write`.
    pub struct KvWriteArguments {
        /// Rows to write.
        rows: u32,
        /// Key heads, and as many value heads.
        kv_heads: u32,
        /// Elements of a head: a multiple of 8.
        head_dim: u32,
        /// Elements from one page to the next.
        page_stride: u32,
        /// Elements from the beginning of a page to the layer's first cell.
        layer_offset: u32,
    }
}

kernel_args! {
    /// Arguments of `kv_write_latent`.
    pub struct LatentWriteArguments {
        /// Rows to write.
        rows: u32,
        /// Elements that are key and value: a multiple of 8.
        latent_dim: u32,
        /// Elements from one row of them to the next.
        latent_stride: u32,
        /// Elements that are key only: a multiple of 8.
        rope_dim: u32,
        /// Elements from one row of them to the next.
        rope_stride: u32,
        /// Elements from one page to the next.
        page_stride: u32,
        /// Elements from the beginning of a page to the layer's cell.
        layer_offset: u32,
    }
}

/// Rows and dims of a threadgroup, and its threads.
const ROWS: usize = 16;
const DIMS: usize = 64;
const THREADS: u32 = 128;

/// Writes each row's key and value heads where `slots` says.
#[derive(Debug, Clone, Copy)]
pub struct KvWrite {
    /// How many rows: at least 1.
    pub rows: usize,
    /// Where to; its head size is a multiple of 8.
    pub cache: PagedCache,
    /// The cache layer.
    pub layer: usize,
    /// `[rows, kv_heads · head_dim]`, 16-byte aligned.
    pub key: Slice,
    /// `[rows, kv_heads · head_dim]`, 16-byte aligned.
    pub value: Slice,
    /// `[rows]` u32: [`super::attention::StepTables::slots`].
    pub slots: Slice,
}

impl KvWrite {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let CacheShape { kv_heads, head_dim, .. } = self.cache.shape;
        let arguments = KvWriteArguments {
            rows: self.rows as u32,
            kv_heads: kv_heads as u32,
            head_dim: head_dim as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "kv_write" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.key),
                Argument::read(self.value),
                Argument::read(self.slots),
                // Most of the pool stays as it is: what other layers and earlier steps wrote.
                Argument::update(self.cache.pool),
                Argument::inline(&arguments),
            ]),
            grid: grid(self.rows, kv_heads, head_dim),
            work: work(self.rows, 2 * kv_heads * head_dim),
        }
    }
}

/// Writes each row's latent and rotated key where `slots` says.
#[derive(Debug, Clone, Copy)]
pub struct LatentWrite {
    /// How many rows: at least 1.
    pub rows: usize,
    /// Where to.
    pub cache: LatentCache,
    /// The cache layer.
    pub layer: usize,
    /// `[rows]` of the cache's `latent` elements, 16-byte aligned.
    pub latent: Slice,
    /// Elements from one row of `latent` to the next: a multiple of 4.
    pub latent_stride: usize,
    /// `[rows]` of the cache's `rope` elements, 16-byte aligned.
    pub rope: Slice,
    /// Elements from one row of `rope` to the next: a multiple of 4.
    pub rope_stride: usize,
    /// `[rows]` u32: [`super::attention::StepTables::slots`].
    pub slots: Slice,
}

impl LatentWrite {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let LatentCache { latent, rope, .. } = self.cache;
        let arguments = LatentWriteArguments {
            rows: self.rows as u32,
            latent_dim: latent as u32,
            latent_stride: self.latent_stride as u32,
            rope_dim: rope as u32,
            rope_stride: self.rope_stride as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
        };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "kv_write_latent" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.latent),
                Argument::read(self.rope),
                Argument::read(self.slots),
                Argument::update(self.cache.pool),
                Argument::inline(&arguments),
            ]),
            grid: grid(self.rows, 1, latent + rope),
            work: work(self.rows, latent + rope),
        }
    }
}

fn grid(rows: usize, heads: usize, dims: usize) -> Grid {
    let threadgroups = [rows.div_ceil(ROWS) as u32, heads as u32, dims.div_ceil(DIMS) as u32];
    Grid { threadgroups, threads: [THREADS, 1, 1] }
}

fn work(rows: usize, width: usize) -> Work {
    let (rows, elements) = (rows as u64, (rows * width) as u64);
    Work { bytes_read: 4 * (elements + rows), bytes_written: 2 * elements, operations: 0 }
}

fn cases() -> Vec<Case> {
    let shape = |kv_heads, head_dim| CacheShape { layers: 2, kv_heads, head_dim };
    let mut cases: Vec<Case> =
        [(1, shape(1, 64)), (5, shape(3, 8)), (16, shape(1, 128)), (37, shape(2, 80)), (3, shape(1, 256))]
            .map(|(rows, shape)| kv_write_case(rows, shape))
            .into();
    cases.extend(
        [(1, 512, 64), (19, 512, 64), (2, 16, 8)]
            .map(|(rows, latent, rope)| latent_write_case(rows, latent, rope)),
    );
    cases
}

/// Slots of `rows` tokens: two sequences' runs over scattered pages, the first from the middle of a page.
fn slots(rows: usize) -> (Vec<u32>, usize) {
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

/// A pool in which everything but the written elements must stay poison, exactly rounded.
fn pool_after(case: &mut Case, elements: usize, written: impl Iterator<Item = (usize, f32)>) -> Slice {
    let mut expected = vec![f32::NAN; elements];
    for (index, value) in written {
        expected[index] = f16::from_f32(value).to_f32();
    }
    let poison = vec![0xff; 2 * elements];
    case.buffer("pool", poison, Check::F16(expected, Tolerance::EXACT))
}

fn kv_write_case(rows: usize, shape: CacheShape) -> Case {
    let CacheShape { layers, kv_heads, head_dim } = shape;
    let mut case = Case::new(format!("kv_write {rows} rows of {kv_heads}x{head_dim}"));
    let (keys, key_values) = (values(rows * kv_heads * head_dim, 1), values(rows * kv_heads * head_dim, 2));
    let (slots, pages) = slots(rows);
    let (cells, layer) = (Cells::KeysAndValues(shape), layers - 1);
    let places = (0..rows * kv_heads * head_dim).flat_map(|index| {
        let (row, head, dim) = (index / (kv_heads * head_dim), index / head_dim % kv_heads, index % head_dim);
        let slot = slots[row] as usize;
        [
            (cells.key(slot, layer, head, dim), keys[index]),
            (cells.value(slot, layer, head, dim), key_values[index]),
        ]
    });
    let pool = pool_after(&mut case, pages * shape.page_elements(), places);
    let (key, value) = (case.input("key", &keys), case.input("value", &key_values));
    let slots = case.input("slots", &slots);
    let cache = PagedCache { pool, shape };
    case.dispatch([KvWrite { rows, cache, layer, key, value, slots }.dispatch()]);
    case
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
    let pool = pool_after(&mut case, pages * cells.page_elements(), places);
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
