//! Running a program's phases on a team of threads.
//!
//! A step of several rows shares everything out: rows, panels of matrices, tiles of attention, with a barrier
//! after each phase. In a step of one row, what belongs to the row alone is so little that every thread computes
//! it for itself, which spares half of the barriers. The arithmetic is the same either way.

use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};

use half::f16;
use wootz_spec::Activation;

use super::elementwise::{Gate, Scale, Sum};
use super::matmul::format::PANEL_ROWS;
use super::matmul::{self, PackedMatrix};
use super::memory::{Activations, Inputs, Local, Place, STRIP_COLUMNS, STRIP_PANELS};
use super::norm::{AddNorm, NormWeight, RmsNorm};
use super::phases::{Phase, Phases, RowOp};
use super::plan::Plan;
use super::pool::{Stopped, Worker};
use super::rope::RopeTable;
use super::simd::{Isa, Shared, SharedOut};
use crate::cache::CacheShape;
use crate::ops::{Buffer, Projection, Rows, Weight};
use crate::step::PageCopy;

/// Rows that a thread takes at once.
const ROWS: usize = 4;

/// Pieces of a matrix for each thread, so that a thread that was held up leaves its share to the others.
const SHARES: usize = 12;

/// From so many rows on, results go through strips.
const STRIP_ROWS: usize = 16;

/// A loaded model as its threads see it.
#[derive(Debug)]
pub struct Executor {
    pub(super) isa: Isa,
    pub(super) phases: Phases,
    /// `[weight]`: those that are matrices.
    pub(super) matrices: Vec<Option<PackedMatrix>>,
    /// `[weight]`: those that are biases.
    pub(super) biases: Vec<Option<Vec<f32>>>,
    pub(super) norms: Vec<NormWeight>,
    pub(super) ropes: Vec<RopeTable>,
    pub(super) shared: Activations,
    pub(super) inputs: Inputs,
    pub(super) pool: Shared<f16>,
    pub(super) cache: CacheShape,
    pub(super) partials: super::attention::Partials,
    pub(super) plan: RwLock<Plan>,
    pub(super) locals: Vec<Mutex<Local>>,
}

/// One thread's view of a step.
pub(super) struct Turn<'a> {
    pub(super) worker: &'a Worker<'a>,
    pub(super) plan: &'a Plan,
    pub(super) local: &'a mut Local,
}

impl Turn<'_> {
    fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.plan.step.tokens.len(),
            Rows::Samples => self.plan.step.sample_rows.len(),
        }
    }
}

impl Executor {
    /// Copies pages of the pool, in order. The one who starts a step does so before its threads begin.
    pub fn copy_pages(&self, copies: &[PageCopy]) {
        let elements = self.cache.page_elements();
        let range = |page: u32| page as usize * elements..(page as usize + 1) * elements;
        for copy in copies {
            self.pool.write(range(copy.to)).copy_from_slice(self.pool.read(range(copy.from)));
        }
    }

    /// One thread's part of the planned step.
    pub fn run(&self, worker: &Worker<'_>) -> Result<(), Stopped> {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        let mut local = self.locals[worker.index].lock().unwrap_or_else(PoisonError::into_inner);
        let mut turn = Turn { worker, plan: &plan, local: &mut local };
        for phase in &self.phases.phases {
            match phase {
                Phase::Rows(rows, ops) => self.rows(&mut turn, *rows, ops)?,
                Phase::Project(rows, projections) => self.project(&mut turn, *rows, projections)?,
                Phase::GateUp { gate, up, activation } => self.gate_up(&mut turn, gate, up, *activation)?,
                Phase::Attention(attention) => self.attention(&mut turn, attention)?,
            }
        }
        Ok(())
    }

    /// Row ops: every row in every thread, or the rows shared out.
    fn rows(&self, turn: &mut Turn<'_>, rows: Rows, ops: &[RowOp]) -> Result<(), Stopped> {
        let count = turn.rows(rows);
        let run = |turn: &mut Turn<'_>, row| ops.iter().for_each(|op| self.row(turn, op, row));
        if turn.plan.single() {
            (0..count).for_each(|row| run(turn, row));
            return Ok(());
        }
        while let Some(taken) = turn.worker.take(count, ROWS) {
            taken.for_each(|row| run(turn, row));
        }
        turn.worker.barrier()
    }

    /// The arena and the place of a buffer in this step.
    pub(super) fn find<'a>(&'a self, turn: &'a Turn<'_>, buffer: Buffer) -> (&'a Shared<f32>, Place) {
        let own = turn.plan.single() && self.phases.row_buffers[buffer.0];
        let home = if own { &turn.local.own } else { &self.shared };
        (home.elements(), home.place(buffer))
    }

    fn read<'a>(&'a self, turn: &'a Turn<'_>, buffer: Buffer, row: usize) -> &'a [f32] {
        let (elements, place) = self.find(turn, buffer);
        elements.read(place.row(row))
    }

    #[allow(clippy::mut_from_ref)]
    pub(super) fn write<'a>(&'a self, turn: &'a Turn<'_>, buffer: Buffer, row: usize) -> &'a mut [f32] {
        let (elements, place) = self.find(turn, buffer);
        elements.write(place.row(row))
    }

    /// The arena and the place of a rotation's angles in this step.
    pub(super) fn angles<'a>(&'a self, turn: &'a Turn<'_>, rope: usize) -> (&'a Shared<f32>, Place) {
        let home = if turn.plan.single() { &turn.local.own } else { &self.shared };
        (home.elements(), home.angles(rope))
    }

    fn row(&self, turn: &mut Turn<'_>, op: &RowOp, row: usize) {
        match *op {
            RowOp::Embed { table, scale, out } => {
                let token = turn.plan.step.tokens[row] as usize;
                let own = turn.plan.single() && self.phases.row_buffers[out.0];
                let Local { multiply, own: private, .. } = &mut *turn.local;
                let home = if own { &*private } else { &self.shared };
                let out = home.elements().write(home.place(out).row(row));
                self.matrix(table).row(token, out, multiply);
                if scale != 1.0 {
                    self.isa.run(Scale { row: out, factor: scale });
                }
            }
            RowOp::Angles => {
                for (number, rope) in self.ropes.iter().enumerate() {
                    let (elements, place) = self.angles(turn, number);
                    rope.fill(turn.plan.step.positions[row], elements.write(place.row(row)));
                }
            }
            RowOp::Norm { input, norm, out } => {
                let (input, out) = (self.read(turn, input, row), self.write(turn, out, row));
                self.isa.run(RmsNorm { input, norm: &self.norms[norm], out });
            }
            RowOp::AddNorm { residual, input, norm, out } => {
                let (residual, out) = (self.write(turn, residual, row), self.write(turn, out, row));
                let (input, norm) = (self.read(turn, input, row), &self.norms[norm]);
                self.isa.run(AddNorm { residual, input, norm, out });
            }
            RowOp::GatherAdd { residual, input, out } => {
                let from = turn.plan.step.sample_rows[row] as usize;
                let (left, right) = (self.read(turn, residual, from), self.read(turn, input, from));
                self.isa.run(Sum { left, right, out: self.write(turn, out, row) });
            }
            RowOp::Convert { input, ref readers } => {
                let values = self.read(turn, input, row);
                let kind = |reader: &Weight| self.matrix(*reader).input_kind();
                for (index, reader) in readers.iter().enumerate() {
                    if !readers[..index].iter().any(|earlier| kind(earlier) == kind(reader)) {
                        self.inputs(turn).get(kind(reader)).write_row(row, values);
                    }
                }
            }
        }
    }

    fn inputs<'a>(&'a self, turn: &'a Turn<'_>) -> &'a Inputs {
        if turn.plan.single() { &turn.local.own_inputs } else { &self.inputs }
    }

    fn matrix(&self, weight: Weight) -> &PackedMatrix {
        match &self.matrices[weight.0] {
            Some(matrix) => matrix,
            None => unreachable!("weight {} was packed as a matrix at load", weight.0),
        }
    }

    /// Shares `total` panels out, `most` at a time, then waits for all threads.
    fn panels(
        &self,
        turn: &mut Turn<'_>,
        (total, most): (usize, usize),
        mut work: impl FnMut(&mut Turn<'_>, Range<usize>),
    ) -> Result<(), Stopped> {
        let share = (total / (turn.worker.threads() * SHARES)).next_multiple_of(4);
        while let Some(panels) = turn.worker.take(total, share.clamp(4, most)) {
            work(turn, panels);
        }
        turn.worker.barrier()
    }

    /// Matrices of one input: their panels in one row.
    fn project(&self, turn: &mut Turn<'_>, rows: Rows, projections: &[Projection]) -> Result<(), Stopped> {
        let count = turn.rows(rows);
        let total = projections.iter().map(|projection| self.matrix(projection.matrix).panels()).sum();
        self.panels(turn, (total, usize::MAX), |turn, panels| {
            let mut first = 0;
            for projection in projections {
                let end = first + self.matrix(projection.matrix).panels();
                let own = panels.start.max(first)..panels.end.min(end);
                if !own.is_empty() {
                    self.multiply(turn, projection, own.start - first..own.end - first, count);
                }
                first = end;
            }
        })
    }

    /// `gate = activation(gate(input)) · up(input)`: each thread multiplies the columns that it computed both factors of.
    fn gate_up(
        &self,
        turn: &mut Turn<'_>,
        gate: &Projection,
        up: &Projection,
        activation: Activation,
    ) -> Result<(), Stopped> {
        let count = turn.rows(Rows::Tokens);
        let place = self.shared.place(gate.out);
        let total = self.matrix(gate.matrix).panels();
        self.panels(turn, (total, STRIP_PANELS), |turn, panels| {
            let columns = panels.start * PANEL_ROWS..place.width.min(panels.end * PANEL_ROWS);
            self.strip(turn, (gate, 0), panels.clone(), count);
            self.strip(turn, (up, 1), panels, count);
            for row in 0..count {
                let start = place.row(row).start;
                let out = self.shared.elements().write(start + columns.start..start + columns.end);
                let part = |strip: usize| {
                    let start = (strip * count + row) * STRIP_COLUMNS;
                    turn.local.strips.read(start..start + columns.len())
                };
                self.isa.run(Gate { gate: part(0), up: part(1), activation, out });
            }
        })
    }

    /// Some panels of one matrix, for the converted rows. Many rows go through a strip, so that each row of the result
    /// is written in one piece of some length.
    fn multiply(&self, turn: &mut Turn<'_>, projection: &Projection, panels: Range<usize>, rows: usize) {
        let place = self.shared.place(projection.out);
        if rows < STRIP_ROWS {
            let Local { multiply, own_inputs, .. } = &mut *turn.local;
            let inputs = if turn.plan.single() { &*own_inputs } else { &self.inputs };
            let out = self.shared.elements().rows_out(place.start, place.width, rows);
            return self.multiply_to(projection, panels, inputs, rows, (&out, multiply));
        }
        for first in panels.clone().step_by(STRIP_PANELS) {
            let some = first..panels.end.min(first + STRIP_PANELS);
            let columns = some.start * PANEL_ROWS..place.width.min(some.end * PANEL_ROWS);
            self.strip(turn, (projection, 0), some, rows);
            for row in 0..rows {
                let start = place.row(row).start;
                let out = self.shared.elements().write(start + columns.start..start + columns.end);
                let strip = row * STRIP_COLUMNS..row * STRIP_COLUMNS + columns.len();
                out.copy_from_slice(turn.local.strips.read(strip));
            }
        }
    }

    /// At most [`STRIP_PANELS`] panels of one matrix, to the thread's strip of that number.
    fn strip(&self, turn: &mut Turn<'_>, to: (&Projection, usize), panels: Range<usize>, rows: usize) {
        let Local { multiply, own_inputs, strips, .. } = &mut *turn.local;
        let inputs = if turn.plan.single() { &*own_inputs } else { &self.inputs };
        let out = strips.rows_out(to.1 * rows * STRIP_COLUMNS, STRIP_COLUMNS, rows);
        let out = out.from_column(panels.start * PANEL_ROWS);
        self.multiply_to(to.0, panels, inputs, rows, (&out, multiply));
    }

    fn multiply_to(
        &self,
        projection: &Projection,
        panels: Range<usize>,
        inputs: &Inputs,
        rows: usize,
        (out, scratch): (&SharedOut<'_>, &mut matmul::Scratch),
    ) {
        if rows == 0 {
            return;
        }
        let matrix = self.matrix(projection.matrix);
        let bias = projection.bias.map(|bias| match &self.biases[bias.0] {
            Some(bias) => bias.as_slice(),
            None => unreachable!("weight {} was read as a bias at load", bias.0),
        });
        matrix.multiply(panels, inputs.get(matrix.input_kind()), rows, bias, out, scratch);
    }
}
