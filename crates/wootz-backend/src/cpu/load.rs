//! From a checkpoint's tensors to an executor: matrices packed, vectors read, memory set aside.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use wootz_spec::ModelSpec;
use wootz_weights::{Checkpoint, Tensor};

use super::attention::{AttentionShape, Partials};
use super::executor::Executor;
use super::matmul::{InputKind, PackError, PackedMatrix};
use super::memory::{Activations, Inputs, Local};
use super::model::{CpuSettings, Memory};
use super::norm::NormWeight;
use super::phases::{Phase, Phases, RowOp};
use super::plan::Plan;
use super::rope::RopeTable;
use super::simd::arena::Shared;
use crate::binding::Binding;
use crate::error::BackendError;
use crate::ops::{Buffer, Op, Program, Weight};
use crate::program::program;
use crate::step::{PAGE_TOKENS, StepLimits};

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadProgress {
    /// Bytes of the file that are packed.
    pub done: usize,
    /// Bytes to pack.
    pub total: usize,
}

/// What [`load`] gives.
pub(super) struct Loaded {
    pub executor: Executor,
    pub limits: StepLimits,
    pub logits: Buffer,
    pub tile_rows: usize,
}

/// Rows whose attention can be shared out by partitions.
const PARTIAL_ROWS: usize = 8;

/// A tensor that is larger than this is packed by all threads together, others by a thread each.
const LARGE: usize = 32 << 20;

/// Loads a model.
pub(super) fn load(
    spec: &ModelSpec,
    checkpoint: &Checkpoint,
    settings: &CpuSettings,
    progress: &mut (dyn FnMut(LoadProgress) + Send),
) -> Result<Loaded, BackendError> {
    let program = program(spec);
    let binding = Binding::new(spec, &program, checkpoint)?;
    let phases = Phases::new(&program);
    let limits = StepLimits {
        vocab: spec.vocab,
        positions: spec.context.min(settings.pages.saturating_mul(PAGE_TOKENS)),
        rows: settings.rows.max(1),
        samples: settings.samples.clamp(1, settings.rows.max(1)),
        pages: settings.pages,
    };
    let ropes: Vec<RopeTable> = phases
        .ropes
        .iter()
        .map(|(rope, factors)| {
            RopeTable::new(rope, &factors.map_or_else(Vec::new, |factors| binding.tensor(factors).to_f32()))
        })
        .collect();
    let norms =
        phases.norms.iter().map(|&(weight, norm)| norm_weight(binding.tensor(weight), norm)).collect();
    let biases = biases(&program, &binding);
    release_files(&program, &binding);
    let matrices = pack(&program, &binding, settings, progress)?;
    release_files(&program, &binding);
    let memory = set_aside(&program, &phases, &ropes, &matrices, (settings, &limits))?;
    let shape = attention_shape(&phases);
    let executor = Executor {
        isa: settings.isa,
        norms,
        biases,
        phases,
        matrices,
        ropes,
        shared: memory.shared,
        inputs: memory.inputs,
        pool: memory.pool,
        cache: program.cache,
        partials: memory.partials,
        plan: RwLock::new(Plan::with_room(&limits)),
        locals: memory.locals,
    };
    let tile_rows = shape.map_or(1, |shape| shape.tile_rows());
    Ok(Loaded { executor, limits, logits: program.logits, tile_rows })
}

/// Lets the pages of the files leave memory. The system may map 2 MiB of a file for one read, so that each tensor
/// brings back some of its neighbours: vectors are read and released before the matrices are packed, and what packing
/// itself brought back goes after it.
fn release_files(program: &Program, binding: &Binding) {
    for weight in 0..program.weights.len() {
        let tensor = binding.tensor(Weight(weight));
        tensor.file.release(0..tensor.file.bytes().len());
    }
}

fn norm_weight(tensor: &Tensor, norm: wootz_spec::Norm) -> NormWeight {
    let weight = tensor.to_f32().iter().map(|weight| weight + norm.weight_offset).collect();
    NormWeight { weight, eps: norm.eps }
}

/// The largest attention of a model: what memory is made for.
fn attention_shape(phases: &Phases) -> Option<AttentionShape> {
    let shapes = phases.phases.iter().filter_map(|phase| match phase {
        Phase::Attention(attention) => Some(attention.shape),
        _ => None,
    });
    shapes.max_by_key(|shape| shape.heads * shape.head_dim)
}

/// The weights that are matrices.
fn matrix_weights(program: &Program) -> Vec<Weight> {
    let mut weights: Vec<Weight> = Vec::new();
    for op in &program.ops {
        match op {
            Op::Embed { table, .. } => weights.push(*table),
            Op::Project { projections, .. } => weights.extend(projections.iter().map(|p| p.matrix)),
            Op::GateUp { gate, up, .. } => weights.extend([gate.matrix, up.matrix]),
            _ => {}
        }
    }
    weights.sort_unstable_by_key(|weight| weight.0);
    weights.dedup();
    weights
}

/// `[weight]`: the biases, as f32.
fn biases(program: &Program, binding: &Binding) -> Vec<Option<Vec<f32>>> {
    let mut biases = vec![None; program.weights.len()];
    for op in &program.ops {
        let projections = match op {
            Op::Project { projections, .. } => projections.clone(),
            Op::GateUp { gate, up, .. } => vec![*gate, *up],
            _ => Vec::new(),
        };
        for bias in projections.iter().filter_map(|projection| projection.bias) {
            biases[bias.0] = Some(binding.tensor(bias).to_f32());
        }
    }
    biases
}

/// `[weight]`: the matrices, packed. Large ones one after another by all threads, so that hardly more than one is in
/// memory twice; small ones by a thread each.
fn pack(
    program: &Program,
    binding: &Binding,
    settings: &CpuSettings,
    progress: &mut (dyn FnMut(LoadProgress) + Send),
) -> Result<Vec<Option<PackedMatrix>>, BackendError> {
    let weights = matrix_weights(program);
    let bytes = |weight: &Weight| binding.tensor(*weight).bytes.len();
    let total = weights.iter().map(bytes).sum();
    let mut packed: Vec<Option<PackedMatrix>> = Vec::new();
    packed.resize_with(program.weights.len(), || None);
    let mut done = 0;
    let (large, small): (Vec<Weight>, Vec<Weight>) = weights.iter().partition(|weight| bytes(weight) > LARGE);
    for weight in large {
        let tensor = binding.tensor(weight);
        packed[weight.0] = Some(PackedMatrix::pack(tensor, settings.isa, settings.threads)?);
        done += bytes(&weight);
        progress(LoadProgress { done, total });
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new((packed, done, progress));
    let pack_rest = || -> Result<(), PackError> {
        while let Some(weight) = small.get(next.fetch_add(1, Ordering::Relaxed)) {
            let matrix = PackedMatrix::pack(binding.tensor(*weight), settings.isa, 1)?;
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            let (packed, done, progress) = &mut *results;
            packed[weight.0] = Some(matrix);
            *done += bytes(weight);
            progress(LoadProgress { done: *done, total });
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..settings.threads).map(|_| scope.spawn(pack_rest)).collect();
        let own = pack_rest();
        let joined = helpers.into_iter().map(|helper| helper.join().expect("packing does not panic"));
        joined.fold(own, Result::and)
    })?;
    let (packed, ..) = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(packed)
}

/// Everything that steps compute in.
struct SetAside {
    shared: Activations,
    inputs: Inputs,
    pool: Shared<half::f16>,
    partials: Partials,
    locals: Vec<Mutex<Local>>,
}

/// The widest row that each kind of input is converted from.
fn input_widths(program: &Program, matrices: &[Option<PackedMatrix>]) -> Vec<(InputKind, usize)> {
    let mut widths: Vec<(InputKind, usize)> = Vec::new();
    let readers = program.ops.iter().flat_map(|op| match op {
        Op::Project { projections, .. } => projections.iter().map(|p| p.matrix).collect(),
        Op::GateUp { gate, up, .. } => vec![gate.matrix, up.matrix],
        _ => Vec::new(),
    });
    for matrix in readers.filter_map(|reader| matrices[reader.0].as_ref()) {
        match widths.iter_mut().find(|(kind, _)| *kind == matrix.input_kind()) {
            Some((_, width)) => *width = matrix.columns().max(*width),
            None => widths.push((matrix.input_kind(), matrix.columns())),
        }
    }
    widths
}

fn set_aside(
    program: &Program,
    phases: &Phases,
    ropes: &[RopeTable],
    matrices: &[Option<PackedMatrix>],
    (settings, limits): (&CpuSettings, &StepLimits),
) -> Result<SetAside, BackendError> {
    let no_room = |purpose, bytes: u64, remedy| {
        move |_: io::Error| BackendError::OutOfMemory { purpose, bytes, remedy }
    };
    let elements = program.cache.pool_elements(limits.pages).unwrap_or(usize::MAX);
    let pool = Shared::zeroed(elements).map_err(no_room(
        "the key/value pool",
        (elements as u64).saturating_mul(2),
        "ask for a shorter context",
    ))?;
    pool.prefer_huge_pages();
    let remedy = "ask for fewer rows in a step";
    let widths = input_widths(program, matrices);
    let rows: usize = program.buffers.iter().map(|buffer| buffer.width * 4).sum();
    let bytes = (limits.rows as u64).saturating_mul(rows as u64);
    let no_activations = || no_room("the activations of a step", bytes, remedy);
    let used = |buffer| is_used(phases, buffer);
    let shared =
        Activations::new(program, used, ropes, (limits.rows, limits.samples)).map_err(no_activations())?;
    let inputs = Inputs::new(settings.isa, &widths, limits.rows).map_err(no_activations())?;
    let shape = attention_shape(phases);
    let (head_dim, heads, group) = shape.map_or((0, 0, 1), |s| (s.head_dim, s.heads, s.group()));
    let partitions = limits.positions.div_ceil(super::attention::blocks::PARTITION_TOKENS);
    let partials = Partials::new(PARTIAL_ROWS * heads, partitions, head_dim).map_err(no_activations())?;
    let local = || {
        Local::new(settings.isa, program, &phases.row_buffers, ropes, &widths, limits, (head_dim, group))
            .map(Mutex::new)
    };
    let locals =
        (0..settings.threads.max(1)).map(|_| local()).collect::<io::Result<_>>().map_err(no_activations())?;
    Ok(SetAside { shared, inputs, pool, partials, locals })
}

/// Whether the executor uses a buffer: the two factors of a gate are not kept apart.
fn is_used(phases: &Phases, buffer: Buffer) -> bool {
    phases.phases.iter().any(|phase| match phase {
        Phase::Rows(_, ops) => ops.iter().any(|op| match *op {
            RowOp::Embed { out, .. } => out == buffer,
            RowOp::Angles => false,
            RowOp::Norm { input, out, .. } => input == buffer || out == buffer,
            RowOp::AddNorm { residual, input, out, .. } | RowOp::GatherAdd { residual, input, out } => {
                [residual, input, out].contains(&buffer)
            }
            RowOp::Convert { input, .. } => input == buffer,
        }),
        Phase::Project(_, projections) => projections.iter().any(|projection| projection.out == buffer),
        Phase::GateUp { gate, .. } => gate.out == buffer,
        Phase::Attention(attention) => {
            let written = attention.before.write.is_some_and(|(key, value)| key == buffer || value == buffer);
            written || attention.query == buffer || attention.out == buffer
        }
    })
}

impl Executor {
    /// What its memory is for.
    pub(super) fn memory(&self) -> Memory {
        let matrices: usize = self.matrices.iter().flatten().map(PackedMatrix::bytes).sum();
        let biases: usize = self.biases.iter().flatten().map(Vec::len).sum();
        let norms: usize = self.norms.iter().map(|norm| norm.weight.len()).sum();
        let locals: usize = self
            .locals
            .iter()
            .map(|local| local.lock().unwrap_or_else(PoisonError::into_inner).bytes())
            .sum();
        Memory {
            weights: matrices + (biases + norms) * size_of::<f32>(),
            cache: self.pool.bytes(),
            activations: self.shared.bytes() + self.inputs.bytes() + self.partials.bytes() + locals,
        }
    }

    /// Bytes of weights that a step of one sampled row reads: every matrix that is multiplied, once.
    pub(super) fn bytes_per_token(&self) -> usize {
        let bytes = |weight: Weight| self.matrices[weight.0].as_ref().map_or(0, PackedMatrix::bytes);
        let of_phase = |phase: &Phase| match phase {
            Phase::Project(_, projections) => projections.iter().map(|p| bytes(p.matrix)).sum(),
            Phase::GateUp { gate, up, .. } => bytes(gate.matrix) + bytes(up.matrix),
            Phase::Rows(..) | Phase::Attention(_) => 0,
        };
        self.phases.phases.iter().map(of_phase).sum()
    }
}
