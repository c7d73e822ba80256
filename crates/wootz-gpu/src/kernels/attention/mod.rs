//! Paged attention: `kernels/attention_*.metal`.

mod cases;
mod combine;
mod decode;
mod latent;
mod prefill;
mod tables;

use wootz_backend::cache::CacheShape;
use wootz_backend::ops::Heads;
use wootz_backend::step::PAGE_TOKENS;
use wootz_spec::Span;

pub use combine::CombineArguments;
pub use decode::{AttentionArguments, AttentionDecode};
pub use latent::{AttentionLatent, LATENT_SIZES};
pub use prefill::AttentionPrefill;
pub use tables::{DecodeRows, Division, PrefillTiles, Route, StepSlices, StepTables, TILE_ROWS};

use super::Concept;
use crate::device::{Argument, Slice};
use crate::source::KernelSource;

/// The attention kernels.
pub const CONCEPT: Concept = Concept { name: "attention", sources: SOURCES, cases: cases::cases };

/// A source whose kernels take [`AttentionArguments`] or [`CombineArguments`].
macro_rules! sources {
    ($($file:literal),* $(,)?) => {
        &[$(KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../../kernels/", $file)),
            arguments: &[AttentionArguments::MSL, CombineArguments::MSL],
        }),*]
    };
}

const SOURCES: &[KernelSource] = sources![
    "attention_combine.metal",
    "attention_latent.metal",
    "attention_registers_64.metal",
    "attention_registers_80.metal",
    "attention_registers_96.metal",
    "attention_registers_128.metal",
    "attention_registers_192.metal",
    "attention_registers_256.metal",
    "attention_small.metal",
    "attention_64.metal",
    "attention_80.metal",
    "attention_96.metal",
    "attention_128.metal",
    "attention_192.metal",
    "attention_256.metal",
];

/// The source of that name.
fn source(file: &str) -> &'static KernelSource {
    SOURCES.iter().find(|source| source.file == file).expect("a file of this concept")
}

/// Head sizes that attention kernels exist for.
pub const HEAD_SIZES: [usize; 9] = [8, 16, 32, 64, 80, 96, 128, 192, 256];

/// Tokens of a partition: `PARTITION_TOKENS` of `common/attention.h`.
const PARTITION_TOKENS: usize = 256;

/// What attention multiplies on. The answers differ in rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unit {
    /// Whatever a device has: single rows in f32 throughout, prompts on tiles.
    #[default]
    Cores,
    /// A matrix unit whose factors lie in registers ([`crate::device::DeviceFacts::register_factors`]), where a head size has
    /// a kernel for it: queries and powers are rounded to f16.
    Registers,
}

/// Where attention's results go: `[rows, heads, head_dim]`.
#[derive(Debug, Clone, Copy)]
pub enum Results {
    /// As f32.
    Floats(Slice),
    /// As f16: the kernels of [`Unit::Registers`] can.
    Halves(Slice),
}

impl Results {
    fn slice(self) -> Slice {
        match self {
            Results::Floats(slice) | Results::Halves(slice) => slice,
        }
    }

    fn are_halves(self) -> bool {
        matches!(self, Results::Halves(_))
    }
}

/// A pool of pages on the device.
#[derive(Debug, Clone, Copy)]
pub struct PagedCache {
    /// Its memory: f16 `[page][layer][kv_head]` of cells, 16-byte aligned.
    pub pool: Slice,
    /// Its shape.
    pub shape: CacheShape,
}

impl PagedCache {
    /// Elements from one page to the next.
    pub(crate) fn page_stride(&self) -> u32 {
        self.shape.page_elements() as u32
    }

    /// Elements from the beginning of a page to the first cell of `layer`.
    pub(crate) fn layer_offset(&self, layer: usize) -> u32 {
        self.shape.cell_offset(0, layer, 0) as u32
    }
}

/// A pool of pages of a latent cache (multi-head latent attention) on the device.
///
/// A cell is one transposed matrix `[latent + rope][16 tokens]` f16, and there is one a layer: the key of a token is its
/// whole column, the value the first `latent` elements of the same column. Pages are `[page][layer]`.
#[derive(Debug, Clone, Copy)]
pub struct LatentCache {
    /// Its memory, 16-byte aligned.
    pub pool: Slice,
    /// Layers with a cache.
    pub layers: usize,
    /// Elements that are key and value (512).
    pub latent: usize,
    /// Elements that are key only: the rotated ones (64).
    pub rope: usize,
}

impl LatentCache {
    /// Elements (f16) of one page.
    pub fn page_elements(&self) -> usize {
        self.layers * (self.latent + self.rope) * PAGE_TOKENS
    }

    pub(crate) fn page_stride(&self) -> u32 {
        self.page_elements() as u32
    }

    pub(crate) fn layer_offset(&self, layer: usize) -> u32 {
        (layer * (self.latent + self.rope) * PAGE_TOKENS) as u32
    }
}

/// What a row looks at, and how its scores become weights.
#[derive(Debug, Clone, Copy)]
pub struct Weighing {
    /// Factor on `q · k`.
    pub scale: f32,
    /// How far back a row looks.
    pub span: Span,
    /// Scores become `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// `[heads]` f32: for each head a score without a value, which takes its share of the weights.
    pub sinks: Option<Slice>,
}

impl Weighing {
    /// The window for a kernel: 0 is none.
    fn window(&self) -> u32 {
        match self.span {
            Span::Full => 0,
            // A row looks at itself at least.
            Span::Window(tokens) => u32::try_from(tokens.max(1)).unwrap_or(u32::MAX),
        }
    }

    /// The sinks, or what stands in their place.
    fn sinks_or(&self, other: Slice) -> Argument {
        Argument::read(self.sinks.unwrap_or(other))
    }

    /// The most partitions that a row at or before `position` looks at.
    fn partitions(&self, position: usize) -> usize {
        let all = position / PARTITION_TOKENS + 1;
        match self.span {
            Span::Full => all,
            Span::Window(tokens) => {
                all.min(tokens.saturating_add(PARTITION_TOKENS - 2) / PARTITION_TOKENS + 1)
            }
        }
    }
}

/// Attention over one layer of a cache.
#[derive(Debug, Clone, Copy)]
pub struct Attend {
    /// The cache; its head size is one of [`HEAD_SIZES`].
    pub cache: PagedCache,
    /// The cache layer.
    pub layer: usize,
    /// The query heads: a multiple of the cache's heads, of the same size.
    pub heads: Heads,
    /// Scale, span, cap and sinks.
    pub weighing: Weighing,
}

impl Attend {
    /// Query heads that share a key/value head.
    fn group(&self) -> usize {
        self.heads.count / self.cache.shape.kv_heads
    }

    /// What every kernel is told; `partitions` is the stride of what a split kernel leaves, `halves` whether results
    /// are f16.
    fn arguments(&self, partitions: usize, halves: bool) -> AttentionArguments {
        AttentionArguments {
            heads: self.heads.count as u32,
            group: self.group() as u32,
            page_stride: self.cache.page_stride(),
            layer_offset: self.cache.layer_offset(self.layer),
            window: self.weighing.window(),
            partitions: partitions as u32,
            sinks: u32::from(self.weighing.sinks.is_some()),
            scale: self.weighing.scale,
            softcap: self.weighing.softcap.unwrap_or(0.0),
            halves: u32::from(halves),
        }
    }
}
