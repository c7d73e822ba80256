//! Loading: everything that a step needs is set aside, and everything that can fail fails here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrayvec::ArrayVec;
use wootz_backend::cache::pages_for;
use wootz_backend::ops::{Op, Program, Projection, Rows};
use wootz_backend::program::shard_program;
use wootz_backend::shard::Shard;
use wootz_backend::step::{PAGE_TOKENS, PageCopy, SequenceSlice, Step, StepLimits};
use wootz_backend::{BackendError, Binding};
use wootz_spec::ModelSpec;
use wootz_weights::{Checkpoint, Tensor};

use super::pipeline::Draws;
use super::{GpuMemory, GpuModel, STEP_BUFFERS, device_error, uses, weights};
use crate::choices::Choices;
use crate::device::{Device, Kernel, Slice};
use crate::kernels::attention::{HEAD_SIZES, PagedCache};
use crate::kernels::gemm_packed::Sharing;
use crate::kernels::gemv::{Gemv, MOST_ROWS};
use crate::kernels::joint::MOST_JOINT;
use crate::lower::arena::read_once;
use crate::lower::{
    Arena, Choosing, Joint, Lowering, Places, SPARE_BYTES, Selection, StepData, Weights, matmul,
    scratch_bytes,
};
use crate::select::{Answers, Choice, Library, Shape};

/// How a model is loaded on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuSettings {
    /// Pages of the key/value pool, of 16 tokens each.
    pub pages: usize,
    /// Rows of a step at most.
    pub rows: usize,
    /// Sampled rows of a step at most.
    pub samples: usize,
    /// What a row's result may depend on.
    pub answers: Answers,
    /// Whose kernels multiply many rows.
    pub library: Library,
    /// What was found out about the device.
    pub choices: Choices,
}

impl Default for GpuSettings {
    /// 4096 tokens of context, 512 rows, 32 of them sampled, the fastest kernels.
    fn default() -> Self {
        Self {
            pages: 256,
            rows: 512,
            samples: 32,
            answers: Answers::Fastest,
            library: Library::Auto,
            choices: Choices::default(),
        }
    }
}

/// How far loading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuLoadProgress {
    /// Weights are being put on the device.
    Weights,
    /// Kernels are being compiled.
    Kernels {
        /// How many are ready.
        done: usize,
        /// How many there are.
        total: usize,
    },
}

/// Loads a model, or what one rank has of it.
pub(super) fn load(
    spec: ModelSpec,
    (checkpoint, shard): (&Checkpoint, &Shard),
    mut device: Box<dyn Device>,
    settings: &GpuSettings,
    progress: &mut dyn FnMut(GpuLoadProgress),
) -> Result<GpuModel, BackendError> {
    let program = shard_program(&spec, shard);
    let binding = Binding::of_shard(&spec, &program, checkpoint, shard)?;
    check_heads(&program)?;
    uses::check(&program, &binding)?;
    let rows = settings.rows.max(1);
    let limits = StepLimits {
        vocab: spec.vocab,
        positions: spec.context.min(settings.pages.saturating_mul(PAGE_TOKENS)),
        rows,
        samples: settings.samples.clamp(1, rows),
        pages: settings.pages,
    };
    progress(GpuLoadProgress::Weights);
    let (weights, weight_bytes) = weights::load(&mut *device, &program, &binding)?;
    let GpuSettings { answers, library, choices, .. } = settings.clone();
    let selection = Selection { facts: device.facts().clone(), answers, library, choices };
    let products = Products::new(&program, &binding, &weights, &selection, &limits)?;
    let draws = Draws::new(&mut *device, &limits)?;
    let (places, step_buffers) = set_aside(&mut *device, &program, &limits, products.scratch)?;
    let memory = GpuMemory {
        weights: weight_bytes,
        cache: places.cache.pool.length as u64,
        activations: (places.activations.length
            + places.scratch.length
            + places.products.length
            + STEP_BUFFERS * step_buffers[0].length) as u64
            + draws.bytes,
    };
    let read_once = read_once(&program);
    let lowering = Lowering { program, weights, places, selection, choices: products.choices, read_once };
    let mut data = StepData::new(&limits, lowering.division());
    let mut kernels = kernels(&lowering, &mut data, step_buffers[0], (&limits, &products.telling_rows));
    let drawing = draws.every_kernel(lowering.logits(1));
    kernels.extend(drawing.into_iter().map(|dispatch| dispatch.kernel));
    let total = kernels.len();
    device
        .prepare(&kernels, &mut |done| progress(GpuLoadProgress::Kernels { done, total }))
        .map_err(|error| device_error(&error, ""))?;
    let logits = Vec::with_capacity(limits.samples * spec.vocab);
    Ok(GpuModel {
        spec,
        limits,
        memory,
        device,
        lowering,
        kernels,
        data,
        step_buffers,
        next_buffer: 0,
        draws,
        logits,
    })
}

/// Refuses heads that no attention kernel computes.
fn check_heads(program: &Program) -> Result<(), BackendError> {
    let dims = program.ops.iter().filter_map(|op| match op {
        Op::Attention { query_heads, .. } => Some(query_heads.dim),
        _ => None,
    });
    match dims.into_iter().find(|dim| !HEAD_SIZES.contains(dim)) {
        None => Ok(()),
        Some(dim) => Err(BackendError::NoKernel {
            what: format!("attention with heads of {dim} elements"),
            possible: HEAD_SIZES.map(|size| size.to_string()).join(", "),
        }),
    }
}

/// The kernels of all matrix products that a step may have, and what they need.
struct Products {
    choices: Choosing,
    /// Bytes of scratch.
    scratch: usize,
    /// Numbers of rows of a step, at least one for each set of kernels that multiply its rows.
    telling_rows: Vec<usize>,
}

impl Products {
    /// Chooses for every matrix and number of rows, so that no step has to.
    ///
    /// # Errors
    /// When no kernel is left for one of them.
    fn new(
        program: &Program,
        binding: &Binding,
        weights: &Weights,
        selection: &Selection,
        limits: &StepLimits,
    ) -> Result<Products, BackendError> {
        let mut matrices = vec![None; program.weights.len()];
        let mut known: HashMap<_, Arc<[Choice]>> = HashMap::new();
        for projection in program.ops.iter().flat_map(Op::projections) {
            let weight = projection.matrix;
            let matrix = weights.matrices[weight.0].expect("a factor was loaded as a matrix");
            let bias = projection.bias.is_some();
            let most = match program.buffers[projection.out.0].rows {
                Rows::Tokens => limits.rows,
                Rows::Samples => limits.samples,
            };
            // Where a matrix begins decides which of two kernels reads it.
            let reader = Gemv::kernel(&matrix, 1);
            let shape = (matrix.format, matrix.rows, matrix.columns, reader, bias, most);
            let table = match known.get(&shape) {
                Some(table) => Arc::clone(table),
                None => {
                    let choose = |rows| {
                        let choice = selection.choose(&Shape { rows, matrix, bias });
                        choice.ok_or_else(|| none_is_left(binding.tensor(weight)))
                    };
                    let table = (1..=most).map(choose).collect::<Result<Arc<[Choice]>, _>>()?;
                    known.insert(shape, Arc::clone(&table));
                    table
                }
            };
            matrices[weight.0] = Some(table);
        }
        let joints = joints(weights, &matrices, selection);
        let choices = Choosing { matrices, joints };
        // Layers are alike: what was counted for one need not be counted for the others.
        let mut counted = HashSet::new();
        let mut ops: Vec<&Op> = program.ops.iter().collect();
        let tables = |op: &Op| -> Vec<_> {
            let table = |one: &Projection| {
                let joint = weights.joint_of[one.matrix.0].map(|joint| Arc::as_ptr(&choices.joints[joint]));
                (choices.matrices[one.matrix.0].as_ref().map(Arc::as_ptr), joint)
            };
            op.projections().map(table).collect()
        };
        ops.retain(|op| counted.insert(tables(op)));
        let scratch = ops.into_iter().map(|op| product_scratch(op, &choices, weights)).max().unwrap_or(0);
        // Up to the largest batch of the kernel for few rows, each number has a kernel of its own; beyond, a choice may stand
        // for kernels of 16, 32 and 64 rows.
        let differs = |rows: usize| {
            let joint = choices.joints.iter().any(|table| table.get(rows - 1) != table.get(rows - 2));
            joint || known.values().any(|table| table.get(rows - 1) != table.get(rows - 2))
        };
        let tells = |&rows: &usize| {
            rows <= MOST_ROWS || (rows - 1).is_power_of_two() || rows == limits.rows || differs(rows)
        };
        let telling_rows = (1..=limits.rows).filter(tells).collect();
        Ok(Products { choices, scratch, telling_rows })
    }
}

/// What the products of an op need, with as many rows as need most.
fn product_scratch(op: &Op, choices: &Choosing, weights: &Weights) -> usize {
    let tables = op.projections().filter_map(|projection| choices.matrices[projection.matrix.0].as_ref());
    let most = tables.map(|table| table.len()).min().unwrap_or(0);
    let of = |rows: usize| {
        let factors = choices.factors(weights, op.projections(), rows).into_iter();
        let factors: Vec<_> = factors.map(|factor| (factor.choice, factor.matrix)).collect();
        matmul::Products::scratch_bytes(rows, &factors)
    };
    (1..=most).map(of).max().unwrap_or(0)
}

/// How all matrices of each joint are multiplied with in one launch: where each by itself, too, would be multiplied packed.
/// (Where it is not, its product is another's, which has one result.)
fn joints(
    weights: &Weights,
    matrices: &[Option<Arc<[Choice]>>],
    selection: &Selection,
) -> Vec<Arc<[Option<Sharing>]>> {
    let mut known: HashMap<_, Arc<[Option<Sharing>]>> = HashMap::new();
    let table = |joint: &Joint| {
        let (matrix, bias) = (joint.matrix, joint.bias.is_some());
        let members = joint.members.iter().filter_map(|member| matrices[member.0].as_ref());
        let members: ArrayVec<&Arc<[Choice]>, MOST_JOINT> = members.collect();
        let most = members.iter().map(|table| table.len()).min().unwrap_or(0);
        let sharing = |rows: usize| {
            let packed = |table: &&Arc<[Choice]>| matches!(table[rows - 1], Choice::Packed(_));
            match selection.choose(&Shape { rows, matrix, bias }) {
                Some(Choice::Packed(sharing)) if members.iter().all(packed) => Some(sharing),
                _ => None,
            }
        };
        let shapes: ArrayVec<_, MOST_JOINT> =
            joint.members.iter().map(|member| weights.matrices[member.0].map(|one| one.rows)).collect();
        let shape = (matrix.format, matrix.columns, shapes, bias, most);
        Arc::clone(known.entry(shape).or_insert_with(|| (1..=most).map(sharing).collect()))
    };
    weights.joints.iter().map(table).collect()
}

fn none_is_left(tensor: &Tensor) -> BackendError {
    BackendError::NoKernel {
        what: format!("tensor {} {:?} of type {}", tensor.name, tensor.shape, tensor.kind),
        possible: "none: every kernel for it gave wrong results on this device (wootz doctor)".into(),
    }
}

/// All memory but the weights'.
fn set_aside(
    device: &mut dyn Device,
    program: &Program,
    limits: &StepLimits,
    products: usize,
) -> Result<(Places, [Slice; STEP_BUFFERS]), BackendError> {
    let norms_within = device.facts().register_factors;
    let mut allocate = |bytes: Option<usize>, purpose, remedy: &str| {
        let length = bytes.unwrap_or(usize::MAX).max(1);
        match device.allocate(length, purpose) {
            Ok(buffer) => Ok(Slice { buffer, offset: 0, length }),
            Err(error) => Err(device_error(&error, remedy)),
        }
    };
    let pool = program.cache.pool_elements(limits.pages).and_then(|elements| elements.checked_mul(2));
    let pool = allocate(pool, "the key/value pool", "ask for a shorter context")?;
    let remedy = "ask for fewer rows in a step";
    let sizes: Option<Vec<usize>> = program
        .buffers
        .iter()
        .map(|shape| {
            let rows = match shape.rows {
                Rows::Tokens => limits.rows,
                Rows::Samples => limits.samples,
            };
            rows.checked_mul(shape.width)?.checked_mul(4)
        })
        .collect();
    let arena = sizes.and_then(|sizes| Arena::new(program, &sizes, norms_within));
    let bytes = arena.as_ref().map(|arena| arena.bytes);
    let activations = allocate(bytes, "the activations of a step", remedy)?;
    let scratch = scratch_bytes(program, limits.rows, limits.positions.saturating_sub(1));
    let scratch = allocate(Some(scratch), "the scratch of attention", remedy)?;
    let products = allocate(Some(products), "the scratch of matrix products", remedy)?;
    let ones = allocate(limits.rows.checked_mul(4), "the powers of a step's rows", remedy)?;
    let spare = allocate(Some(SPARE_BYTES), "a second place for the residual", remedy)?;
    let mut step_buffer = || allocate(Some(StepData::bytes(limits)), "the data of a step", remedy);
    let step_buffers = [step_buffer()?, step_buffer()?, step_buffer()?];
    let arena = arena.expect("memory of its size was just allocated");
    let cache = PagedCache { pool, shape: program.cache };
    let powers = vec![1.0_f32; ones.length / 4];
    device.write(ones, bytemuck::cast_slice(&powers)).map_err(|error| device_error(&error, ""))?;
    Ok((Places { activations, arena, cache, scratch, products, ones, spare }, step_buffers))
}

/// Every kernel that a step within `limits` can use: those of steps that tell all choices apart.
fn kernels(
    lowering: &Lowering,
    data: &mut StepData,
    buffer: Slice,
    (limits, telling_rows): (&StepLimits, &[usize]),
) -> Vec<Kernel> {
    let copies = lowering.copies(&[PageCopy { from: 0, to: 1 }], buffer.part(0, 8));
    let mut kernels: Vec<Kernel> = copies.map(|dispatch| dispatch.kernel).collect();
    let mut known = HashSet::new();
    for &rows in telling_rows {
        // With as many rows sampled as there are, and with rows to be picked out.
        let prompts = [rows, rows + 1].map(|tokens| prompt(tokens, rows, limits));
        for step in prompts.into_iter().chain([answers(rows, limits)]) {
            let places = data.fill(&step, buffer);
            for dispatch in lowering.lower(&data.tables, &places) {
                if known.insert(dispatch.kernel) {
                    kernels.push(dispatch.kernel);
                }
            }
        }
    }
    kernels
}

/// One sequence with so many new tokens, from its beginning, of which the last so many are sampled, if that many may be.
fn prompt(tokens: usize, samples: usize, limits: &StepLimits) -> Step {
    let rows = tokens.min(limits.positions).min(limits.rows);
    let pages = pages_for(rows);
    Step {
        tokens: vec![0; rows],
        positions: (0..rows as u32).collect(),
        sequences: vec![SequenceSlice { rows: 0..rows, pages: 0..pages }],
        page_table: vec![0; pages],
        sample_rows: (rows.saturating_sub(samples.min(limits.samples)) as u32..rows as u32).collect(),
        copies: Vec::new(),
    }
}

/// So many sequences with one new token each, at the end of the longest context.
fn answers(rows: usize, limits: &StepLimits) -> Step {
    let last = limits.positions.saturating_sub(1);
    let pages = pages_for(last + 1);
    Step {
        tokens: vec![0; rows],
        positions: vec![last as u32; rows],
        sequences: (0..rows).map(|row| SequenceSlice { rows: row..row + 1, pages: 0..pages }).collect(),
        page_table: vec![0; pages],
        sample_rows: (0..rows.min(limits.samples) as u32).collect(),
        copies: Vec::new(),
    }
}
