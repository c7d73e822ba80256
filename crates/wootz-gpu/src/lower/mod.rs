//! From a program's ops to launches of kernels.
//!
//! [`Lowering`] knows where everything lies that lives as long as the model; [`Lowering::lower`] adds what one step
//! brings. It allocates no device memory and asks no device, so a plan can be made of a model that no machine here holds.

pub mod arena;
mod copies;
pub mod factors;
mod gate_up;
mod heads;
pub mod matmul;
mod normed;
mod pair;
mod sampled;
pub mod step_data;

use arrayvec::ArrayVec;
use wootz_backend::ops::{Buffer, Op, Program, Projection, Rows, Weight};
use wootz_spec::{Rope as RopeSpec, Span};

pub use arena::Arena;
pub use factors::{Choosing, Factor, Joint};
pub use matmul::{Product, Products, Selection};
pub use normed::SPARE_BYTES;
pub use step_data::{StepData, StepPlaces};

use crate::collective::AllReduce;
use crate::device::{Dispatch, Kernel, Slice};
use crate::kernels::attention::{
    Attend, AttentionDecode, AttentionPrefill, Division, PagedCache, Results, Route, StepTables, TILE_ROWS,
    Unit, Weighing,
};
use crate::kernels::embedding::{Embed, GatherAdd};
use crate::kernels::gemm::{HalfInput, HalfRows};
use crate::kernels::gemm_packed::{PackedPair, PairInput, UnnormedRow};
use crate::kernels::joint::{JointRows, MOST_JOINT};
use crate::kernels::matrix::StoredMatrix;
use crate::kernels::norm::{AddRmsNorm, Normed, RmsNorm};
use crate::select::Answers;

/// Where the tensors of a program lie on the device, in the order of [`Program::weights`].
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// Those whose rows are looked up.
    pub tables: Vec<Option<StoredMatrix>>,
    /// Those that are multiplied with.
    pub matrices: Vec<Option<StoredMatrix>>,
    /// Those that are vectors, as f32.
    pub vectors: Vec<Option<Slice>>,
    /// Matrices that lie one after another.
    pub joints: Vec<Joint>,
    /// Which of the joints has a matrix.
    pub joint_of: Vec<Option<usize>>,
    /// The different rotations of the model.
    pub rotations: Vec<Rotation>,
}

impl Weights {
    fn matrix(&self, weight: Weight) -> StoredMatrix {
        self.matrices[weight.0].expect("a weight that ops multiply with was loaded as a matrix")
    }

    fn vector(&self, weight: Weight) -> Slice {
        self.vectors[weight.0].expect("a weight that is no matrix was loaded as a vector")
    }
}

/// A rotation whose frequencies are on the device.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// As the program has it.
    pub rope: RopeSpec,
    /// The tensor with the checkpoint's divisors.
    pub factors: Option<Weight>,
    /// `[pairs]` f32.
    pub frequencies: Slice,
    /// Factor on cosines and sines.
    pub magnitude: f32,
}

/// Memory that steps are computed in.
#[derive(Debug, Clone)]
pub struct Places {
    /// Activations: [`Arena`] says where each buffer begins.
    pub activations: Slice,
    /// Where each buffer begins in it.
    pub arena: Arena,
    /// The key/value pool.
    pub cache: PagedCache,
    /// Scratch of decode attention.
    pub scratch: Slice,
    /// Scratch of matrix products.
    pub products: Slice,
    /// For each row of a step 1, f32: the power of rows that are f16 as they are.
    pub ones: Slice,
    /// [`SPARE_BYTES`]: where a residual goes whose place is still read.
    pub spare: Slice,
}

/// A model that is laid out on a device.
#[derive(Debug, Clone)]
pub struct Lowering {
    /// What is computed.
    pub program: Program,
    /// On which weights.
    pub weights: Weights,
    /// In which memory.
    pub places: Places,
    /// What kernels are chosen by.
    pub selection: Selection,
    /// The kernels of matrix products.
    pub choices: Choosing,
    /// For each buffer of the program, whether everything that is put there is read by one op only.
    pub read_once: Vec<bool>,
}

impl Lowering {
    /// How a step's rows are divided between the attention kernels, and into tiles that all layers take.
    pub fn division(&self) -> Division {
        let route = match self.selection.answers {
            Answers::Fastest => Route::Fast,
            Answers::Reproducible => Route::OneAnswer,
        };
        let tile_rows = self.program.ops.iter().filter_map(|op| match *op {
            Op::Attention { query_heads, kv_heads, .. } => {
                let unit = self.unit(AttentionPrefill::on_registers(query_heads.dim));
                Some(AttentionPrefill::tile_rows(unit, query_heads, kv_heads))
            }
            _ => None,
        });
        Division { route, tile_rows: tile_rows.min().unwrap_or(TILE_ROWS) }
    }

    /// Whether a kernel is not known to be wrong on this device.
    fn is_sound(&self, kernel: Kernel) -> bool {
        !self.selection.choices.excluded.contains(kernel.entry)
    }

    /// What attention multiplies on, if there is a kernel that takes factors from registers.
    fn unit(&self, on_registers: Option<Kernel>) -> Unit {
        match self.selection.facts.register_factors
            && on_registers.is_some_and(|kernel| self.is_sound(kernel))
        {
            true => Unit::Registers,
            false => Unit::Cores,
        }
    }

    /// The launches of one step, in an order in which each may need what those before it wrote.
    pub fn lower(&self, tables: &StepTables, places: &StepPlaces) -> Vec<Dispatch> {
        let mut step = StepLowering {
            model: self,
            tables,
            places,
            halves_of: None,
            unnormed: None,
            moved: None,
            dispatches: Vec::new(),
        };
        let mut rest = self.program.ops.as_slice();
        while let Some((op, after)) = rest.split_first() {
            let fused = match step.heads_to_cache(rest) {
                0 => step.sum_and_norm(rest),
                fused => fused,
            };
            rest = &rest[fused.max(1)..];
            if fused == 0 {
                step.op(op, after.first());
            }
        }
        step.dispatches
    }

    /// Where the logits of a step with `samples` sampled rows are.
    pub fn logits(&self, samples: usize) -> Slice {
        self.slice(self.program.logits, samples)
    }

    fn slice(&self, buffer: Buffer, rows: usize) -> Slice {
        let bytes = 4 * rows * self.program.buffers[buffer.0].width;
        self.places.activations.part(self.places.arena.offsets[buffer.0], bytes)
    }

    fn vector(&self, weight: Weight) -> Slice {
        self.weights.vector(weight)
    }
}

/// One step being lowered.
struct StepLowering<'a> {
    model: &'a Lowering,
    tables: &'a StepTables,
    places: &'a StepPlaces,
    /// The buffer that the op before made f16 of too, where products look for it.
    halves_of: Option<(Buffer, HalfInput)>,
    /// The buffer of a norm that the products that read it do themselves.
    unnormed: Option<(Buffer, UnnormedRow)>,
    /// The residual, where it lies in another place than its own.
    moved: Option<(Buffer, Slice)>,
    dispatches: Vec<Dispatch>,
}

impl StepLowering<'_> {
    fn rows(&self, buffer: Buffer) -> usize {
        match self.model.program.buffers[buffer.0].rows {
            Rows::Tokens => self.places.rows,
            Rows::Samples => self.places.samples,
        }
    }

    fn slice(&self, buffer: Buffer) -> Slice {
        match self.moved {
            Some((moved, place)) if moved == buffer => place,
            _ => self.model.slice(buffer, self.rows(buffer)),
        }
    }

    fn width(&self, buffer: Buffer) -> usize {
        self.model.program.buffers[buffer.0].width
    }

    /// Appends the launches of an op; what comes next may want its result as f16.
    fn op(&mut self, op: &Op, next: Option<&Op>) {
        match op {
            &Op::Embed { table, scale, out } => {
                let table = self.model.weights.tables[table.0].expect("a table was loaded as a matrix");
                let &StepPlaces { rows, tokens, previous, .. } = self.places;
                let out = self.slice(out);
                self.dispatches.push(Embed { rows, table, scale, tokens, previous, out }.dispatch());
            }
            Op::RmsNorm { .. } | Op::AddNorm { .. } if self.norm_within(op, next) => {}
            &Op::RmsNorm { input, weight, norm, out } => {
                let (rows, width, weight) = (self.rows(out), self.width(out), self.model.vector(weight));
                let (input, out) = (self.slice(input), self.normed_for(out, next));
                if rows > 0 {
                    self.dispatches.push(RmsNorm { rows, width, norm, input, weight, out }.dispatch());
                }
            }
            &Op::AddNorm { residual, input, weight, norm, out } => {
                let (rows, width, weight) = (self.rows(out), self.width(out), self.model.vector(weight));
                let out = self.normed_for(out, next);
                let (input, residual) = (self.slice(input), self.slice(residual));
                let launch = AddRmsNorm { rows, width, norm, input, residual, weight, out };
                self.dispatches.push(launch.dispatch());
            }
            Op::Project { input, projections } => {
                self.project(*input, projections.iter());
            }
            Op::GateUp { .. } => self.gate_up(op, next),
            Op::HeadNorm { .. } | Op::Rope { .. } | Op::KvWrite { .. } => {
                unreachable!("a program norms heads, rotates them and writes the key in one go: {op:?}")
            }
            &Op::Attention { layer, query, query_heads, kv_heads: _, scale, span, out } => {
                let weighing = Weighing { scale, span, softcap: None, sinks: None };
                let attend = Attend { cache: self.model.places.cache, layer, heads: query_heads, weighing };
                let results = self.results_for(&attend, out, next);
                self.attention(attend, self.slice(query), results, span);
            }
            &Op::AllReduce { buffer } => {
                self.dispatches.push(AllReduce { values: self.slice(buffer) }.dispatch());
            }
            &Op::GatherAdd { residual, input, out } => {
                let (count, width, rows) = (self.rows(out), self.width(out), self.places.sample_rows);
                let (residual, input, out) = (self.slice(residual), self.slice(input), self.slice(out));
                if count > 0 {
                    self.dispatches.push(GatherAdd { count, width, residual, input, rows, out }.dispatch());
                }
            }
        }
    }

    fn project<'b>(&mut self, input: Buffer, projections: impl Iterator<Item = &'b Projection> + Clone) {
        let rows = self.rows(input);
        if rows == 0 || self.project_unnormed(input, projections.clone()) {
            return;
        }
        let factors = self.model.choices.factors(&self.model.weights, projections, rows);
        let converted =
            self.halves_of.take().filter(|(buffer, _)| *buffer == input).map(|(_, halves)| halves);
        let (columns, input, scratch) = (self.width(input), self.slice(input), self.model.places.products);
        if let Some((spread, members)) = self.pair(&factors, Some(rows)) {
            let halves = converted.unwrap_or_else(|| {
                let out = Products::halves(scratch, rows, columns);
                self.dispatches.push(HalfRows { rows, columns, input, out }.dispatch());
                out
            });
            let input = PairInput::Rows(rows, halves);
            self.dispatches.push(PackedPair { spread, members, input }.dispatch());
            return;
        }
        let product = |factor: Factor<'_>| {
            let out = self.results(&factor);
            let Factor { choice, matrix, bias, .. } = factor;
            Product { choice, matrix, bias, out }
        };
        let products: Vec<Product> = factors.into_iter().map(product).collect();
        Products { rows, input, converted, products: &products, scratch }.append(&mut self.dispatches);
    }

    /// Where the results of a factor's projections go.
    fn results(&self, factor: &Factor<'_>) -> JointRows {
        let result = |one: &&Projection| (self.slice(one.out), self.width(one.out));
        let results: ArrayVec<_, MOST_JOINT> = factor.projections.iter().map(result).collect();
        JointRows::of(&results)
    }

    /// Where the op that makes `buffer` puts it as f16, if the products that come next take it so.
    fn halves_for(&mut self, buffer: Buffer, next: Option<&Op>) -> Option<HalfInput> {
        let rows = self.rows(buffer);
        let takes = |op: &Op| match op {
            Op::Project { input, .. } | Op::GateUp { input, .. } if *input == buffer && rows > 0 => {
                // Those that are multiplied with together would take it so each by itself, too.
                let choice = |one: &Projection| self.model.choices.of(one.matrix, rows);
                op.projections().all(|projection| choice(projection).takes_halves())
            }
            _ => false,
        };
        let halves = next
            .is_some_and(takes)
            .then(|| Products::halves(self.model.places.products, rows, self.width(buffer)));
        self.halves_of = halves.map(|halves| (buffer, halves));
        halves
    }

    /// Where a norm puts its result, and as what it is read.
    fn normed_for(&mut self, out: Buffer, next: Option<&Op>) -> Normed {
        match self.halves_for(out, next) {
            None => Normed::Floats(self.slice(out)),
            Some(halves) if self.model.read_once[out.0] => Normed::Halves(halves),
            Some(halves) => Normed::Both(self.slice(out), halves),
        }
    }

    /// As what attention leaves its results: as f16 where its kernels can, and nobody else reads them. They are averages
    /// of values that are f16 themselves, so their power is 1.
    fn results_for(&mut self, attend: &Attend, out: Buffer, next: Option<&Op>) -> Results {
        let dim = attend.heads.dim;
        let on_registers = |kernel| self.model.unit(kernel) == Unit::Registers;
        let can = self.model.read_once[out.0]
            && on_registers(AttentionDecode::on_registers(dim))
            && (self.tables.prefill(attend.weighing.span).is_none()
                || on_registers(AttentionPrefill::on_registers(dim)));
        let halves = if can { self.halves_for(out, next) } else { None };
        let Some(halves) = halves else { return Results::Floats(self.slice(out)) };
        let inverse = self.model.places.ones.part(0, 4 * self.rows(out));
        self.halves_of = Some((out, HalfInput { inverse, ..halves }));
        Results::Halves(halves.halves)
    }

    fn attention(&mut self, attend: Attend, query: Slice, out: Results, span: Span) {
        let step = self.places.step;
        if let Some(tiles) = self.tables.prefill(span) {
            let unit = self.model.unit(AttentionPrefill::on_registers(attend.heads.dim));
            self.dispatches.push(AttentionPrefill { tiles, attend, unit, step, query, out }.dispatch());
        }
        if let Some(rows) = self.tables.decode(span) {
            let scratch = self.model.places.scratch;
            let unit = self.model.unit(AttentionDecode::on_registers(attend.heads.dim));
            let launch = AttentionDecode { rows, attend, unit, step, scratch, query, out };
            self.dispatches.extend(launch.dispatches());
        }
    }
}

/// Bytes of decode scratch for steps of up to `rows` rows at positions up to `longest`: enough for all of them, or for
/// some at a time.
pub fn scratch_bytes(program: &Program, rows: usize, longest: usize) -> usize {
    let of_op = |op: &Op| match *op {
        Op::Attention { query_heads, scale, span, .. } => {
            let weighing = Weighing { scale, span, softcap: None, sinks: None };
            let bytes = |rows| AttentionDecode::scratch_bytes(rows, longest, query_heads, &weighing);
            bytes(rows).min(bytes(4).max(SCRATCH_BYTES))
        }
        _ => 0,
    };
    program.ops.iter().map(of_op).max().unwrap_or(0)
}

/// More scratch than this is not set aside where rows can take turns.
const SCRATCH_BYTES: usize = 64 << 20;
