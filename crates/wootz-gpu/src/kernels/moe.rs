//! Mixture of experts: `kernels/moe*.metal`.

mod cases;
mod gemv;
mod routing;

use arrayvec::ArrayVec;

use super::Concept;
use crate::device::{Argument, Dispatch, Grid, Kernel, Slice, Work};
use crate::kernel_args;
use crate::source::KernelSource;

pub use gemv::{ExpertGemv, NoExpertGemv};
pub use routing::{ExpertGroups, GroupScore, MOST_EXPERTS, MOST_SLOTS, Routing, RoutingError, Scoring};

/// The moe kernels.
pub const CONCEPT: Concept = Concept { name: "moe", sources: SOURCES, cases: cases::cases };

macro_rules! gemv_source {
    ($file:literal) => {
        KernelSource {
            file: $file,
            text: include_str!(concat!("../../../../kernels/", $file)),
            arguments: &[MoeGemvArguments::MSL],
        }
    };
}

const SOURCES: &[KernelSource] = &[
    KernelSource {
        file: "moe.metal",
        text: include_str!("../../../../kernels/moe.metal"),
        arguments: &[RouteArguments::MSL, SortArguments::MSL, GatherArguments::MSL, CombineArguments::MSL],
    },
    gemv_source!("moe_gemv_plain.metal"),
    gemv_source!("moe_gemv_legacy.metal"),
    gemv_source!("moe_gemv_k.metal"),
    gemv_source!("moe_gemv_fp4.metal"),
    gemv_source!("moe_gemv_affine4.metal"),
    gemv_source!("moe_gemv_affine8.metal"),
];

kernel_args! {
    /// Arguments of moe_route.
    pub struct RouteArguments {
        /// How many rows.
        rows: u32,
        /// Experts in all.
        experts: u32,
        /// Experts that a row goes to.
        slots: u32,
        /// Whether scores are sigmoids instead of a softmax.
        sigmoid: u32,
        /// Whether a bias is added for the choice.
        has_bias: u32,
        /// Groups of experts; 1 = none.
        groups: u32,
        /// Groups that a row may choose from.
        kept_groups: u32,
        /// How many of a group's best scores are its own: 1 or 2.
        group_best: u32,
        /// Whether weights sum to `scale`.
        normalised: u32,
        /// Factor on weights.
        scale: f32,
    }
}

kernel_args! {
    /// Arguments of moe_sort.
    pub struct SortArguments {
        /// Rows times slots.
        pairs: u32,
        /// Experts in all.
        experts: u32,
        /// Parts of the pairs that threads go through at the same time.
        segments: u32,
    }
}

kernel_args! {
    /// Arguments of moe_gather.
    pub struct GatherArguments {
        /// Elements in a row.
        width: u32,
        /// Pairs of a row.
        slots: u32,
    }
}

kernel_args! {
    /// Arguments of moe_combine.
    pub struct CombineArguments {
        /// Elements in a row.
        width: u32,
        /// Pairs of a row.
        slots: u32,
        /// Whether results are in the order of their experts.
        sorted: u32,
        /// Whether something is added.
        has_added: u32,
    }
}

kernel_args! {
    /// Arguments of moe_gemv.
    pub struct MoeGemvArguments {
        /// Outputs of an expert.
        outputs: u32,
        /// Elements of a row.
        columns: u32,
        /// Pairs that share a row of the input.
        pairs_per_row: u32,
        /// Whether experts have a bias.
        has_bias: u32,
    }
}

/// Rows that a threadgroup routes: `ROWS_PER_GROUP` of the kernel.
const ROUTED_ROWS: usize = 4;

/// Chooses experts for rows.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// How many rows.
    pub rows: usize,
    /// How: [`Routing::checked`].
    pub routing: Routing,
    /// `[rows, experts]` f32.
    pub logits: Slice,
    /// `[experts]` f32, added to scores for the choice only.
    pub selection_bias: Option<Slice>,
    /// `[rows, slots]` u32.
    pub chosen: Slice,
    /// `[rows, slots]` f32.
    pub weights: Slice,
}

impl Route {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let Routing { experts, slots, .. } = self.routing;
        let groups = self.routing.groups.unwrap_or(ExpertGroups { count: 1, kept: 1, by: GroupScore::Best });
        let arguments = RouteArguments {
            rows: self.rows as u32,
            experts: experts as u32,
            slots: slots as u32,
            sigmoid: (self.routing.scoring == Scoring::Sigmoid).into(),
            has_bias: self.selection_bias.is_some().into(),
            groups: groups.count as u32,
            kept_groups: groups.kept as u32,
            group_best: if groups.by == GroupScore::BestTwo { 2 } else { 1 },
            normalised: self.routing.normalised.into(),
            scale: self.routing.scale,
        };
        let (logits, pairs) = ((self.rows * experts) as u64, (self.rows * slots) as u64);
        let bias = if self.selection_bias.is_some() { experts as u64 } else { 0 };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "moe_route" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.logits),
                Argument::read(self.selection_bias.unwrap_or(self.logits)),
                Argument::write(self.chosen),
                Argument::write(self.weights),
                Argument::inline(&arguments),
            ]),
            grid: Grid {
                threadgroups: [self.rows.div_ceil(ROUTED_ROWS) as u32, 1, 1],
                threads: [32 * ROUTED_ROWS as u32, 1, 1],
            },
            work: Work {
                bytes_read: 4 * (logits + bias),
                bytes_written: 8 * pairs,
                operations: (8 + slots as u64) * logits,
            },
        }
    }
}

/// Sorts pairs by their experts, those of one expert in their order.
#[derive(Debug, Clone, Copy)]
pub struct SortPairs {
    /// Rows times slots.
    pub pairs: usize,
    /// Experts in all: at most [`MOST_EXPERTS`].
    pub experts: usize,
    /// `[pairs]` u32.
    pub chosen: Slice,
    /// `[experts + 1]` u32: sorted pairs `offsets[e] .. offsets[e + 1]` are those of expert `e`.
    pub offsets: Slice,
    /// `[pairs]` u32: the pair at each sorted place.
    pub sorted: Slice,
    /// `[pairs]` u32: the sorted place of each pair.
    pub places: Slice,
}

impl SortPairs {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let segments = (1024 / self.experts).clamp(1, self.pairs);
        let arguments = SortArguments {
            pairs: self.pairs as u32,
            experts: self.experts as u32,
            segments: segments as u32,
        };
        let threads = (self.experts * segments).next_multiple_of(32) as u32;
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "moe_sort" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.chosen),
                Argument::write(self.offsets),
                Argument::write(self.sorted),
                Argument::write(self.places),
                Argument::inline(&arguments),
            ]),
            grid: Grid { threadgroups: [1, 1, 1], threads: [threads, 1, 1] },
            work: Work {
                bytes_read: 4 * self.pairs as u64,
                bytes_written: 8 * self.pairs as u64 + 4 * (self.experts as u64 + 1),
                operations: 0,
            },
        }
    }
}

/// `out[place] = input[sorted[place] / slots]`.
#[derive(Debug, Clone, Copy)]
pub struct GatherPairs {
    /// Rows times slots.
    pub pairs: usize,
    /// Pairs of a row.
    pub slots: usize,
    /// Elements in a row.
    pub width: usize,
    /// `[pairs / slots, width]` f32.
    pub input: Slice,
    /// `[pairs]` u32: of [`SortPairs`].
    pub sorted: Slice,
    /// `[pairs, width]` f32.
    pub out: Slice,
}

impl GatherPairs {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let elements = (self.pairs * self.width) as u64;
        let arguments = GatherArguments { width: self.width as u32, slots: self.slots as u32 };
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "moe_gather" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.input),
                Argument::read(self.sorted),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: quads(self.width, self.pairs),
            work: Work {
                bytes_read: 4 * (elements / self.slots as u64 + self.pairs as u64),
                bytes_written: 4 * elements,
                operations: 0,
            },
        }
    }
}

/// `out[r] = added[r] + Σ_slot weights[r, slot] · results[pair (r, slot)]`.
#[derive(Debug, Clone, Copy)]
pub struct Combine {
    /// How many rows.
    pub rows: usize,
    /// Pairs of a row.
    pub slots: usize,
    /// Elements in a row.
    pub width: usize,
    /// `[rows · slots, width]` f32.
    pub results: Slice,
    /// `[rows, slots]` f32: of [`Route`].
    pub weights: Slice,
    /// `[rows · slots]` u32: of [`SortPairs`], if results are sorted.
    pub places: Option<Slice>,
    /// `[rows, width]` f32: a shared expert's result.
    pub added: Option<Slice>,
    /// `[rows, width]` f32.
    pub out: Slice,
}

impl Combine {
    /// The launch.
    pub fn dispatch(&self) -> Dispatch {
        let arguments = CombineArguments {
            width: self.width as u32,
            slots: self.slots as u32,
            sorted: self.places.is_some().into(),
            has_added: self.added.is_some().into(),
        };
        let (elements, slots) = ((self.rows * self.width) as u64, self.slots as u64);
        let words = 1 + u64::from(self.places.is_some());
        Dispatch {
            kernel: Kernel { source: &SOURCES[0], entry: "moe_combine" },
            arguments: ArrayVec::from_iter([
                Argument::read(self.results),
                Argument::read(self.weights),
                Argument::read(self.places.unwrap_or(self.weights)),
                Argument::read(self.added.unwrap_or(self.results)),
                Argument::write(self.out),
                Argument::inline(&arguments),
            ]),
            grid: quads(self.width, self.rows),
            work: Work {
                bytes_read: 4 * (slots + u64::from(self.added.is_some())) * elements
                    + 4 * words * self.rows as u64 * slots,
                bytes_written: 4 * elements,
                operations: 2 * slots * elements,
            },
        }
    }
}

/// A thread a quad of a row.
fn quads(width: usize, rows: usize) -> Grid {
    let quads = width.div_ceil(4);
    let threads = quads.next_multiple_of(32).min(256);
    Grid { threadgroups: [quads.div_ceil(threads) as u32, rows as u32, 1], threads: [threads as u32, 1, 1] }
}
