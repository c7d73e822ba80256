//! The gated half of a feed-forward block: one launch where few rows meet packed matrices, else products and then the gate.

use wootz_backend::ops::{Buffer, Op, Projection};

use super::StepLowering;
use super::factors::Gating;
use crate::device::Kernel;
use crate::kernels::activation::{Gate, Gated, GatedHalf, StridedRows};
use crate::kernels::gemm::HalfInput;
use crate::kernels::gemm_packed::{GatedGemm, LongestRow, NormedGatedGemm, Sharing, UnnormedRow, packing};
use crate::kernels::matrix::Packing;

/// What a gate and its matrices are computed from in one launch.
enum GateInput {
    /// A row that the launch norms.
    Row(UnnormedRow),
    /// Rows that are f16 already.
    Halves(HalfInput),
}

impl GateInput {
    /// Its kernels for any number of rows: with reproducible answers, all numbers go one way.
    fn kernels(&self, packing: Packing) -> [Kernel; 2] {
        match self {
            GateInput::Row(_) => [NormedGatedGemm::kernel(packing); 2],
            GateInput::Halves(_) => [1, usize::MAX].map(|rows| GatedGemm::kernel(packing, rows)),
        }
    }
}

impl StepLowering<'_> {
    /// Appends the launches of [`Op::GateUp`]; what comes next may want its result as f16.
    pub(super) fn gate_up(&mut self, op: &Op, next: Option<&Op>) {
        let Op::GateUp { input, gate, up, activation, out } = op else {
            unreachable!("{op:?} has no gate");
        };
        if self.gated_product(*input, gate, *out, next) {
            return;
        }
        self.project(*input, [gate, up].into_iter());
        let (rows, width) = (self.rows(*out), self.width(*out));
        let strided = |buffer| StridedRows { slice: self.slice(buffer), stride: width };
        let (gate, up) = (strided(gate.out), strided(up.out));
        let activation = Gate::Plain((*activation).into());
        let once = self.model.read_once[out.0];
        let launch = match once.then(|| self.halves_for(*out, next)).flatten() {
            Some(out) => GatedHalf { activation, rows, width, gate, up, out }.dispatch(),
            None => Gated { activation, rows, width, gate, up, out: self.slice(*out) }.dispatch(),
        };
        self.dispatches.push(launch);
    }

    /// One launch for all of it: where its matrices are multiplied with as few rows' are, its input is f16 already or a row that
    /// the launch norms, and its result is read as f16 only. The answer is whether there is one.
    fn gated_product(&mut self, input: Buffer, gate: &Projection, out: Buffer, next: Option<&Op>) -> bool {
        let (model, rows, width) = (self.model, self.rows(out), self.width(out));
        let Some(number) = model.weights.joint_of[gate.matrix.0].filter(|_| rows > 0) else { return false };
        let joint = &model.weights.joints[number];
        let (Some(Gating { spread, power }), Some(packing)) = (joint.gating, packing(&joint.matrix)) else {
            return false;
        };
        let converted = self.halves_of;
        let row = self.unnormed.filter(|(buffer, _)| *buffer == input).map(|(_, row)| row);
        let halves = converted.filter(|(buffer, _)| *buffer == input).map(|(_, halves)| halves);
        let input = match (row, halves) {
            (Some(row), _) if UnnormedRow::fits(spread.simdgroups, row.columns) => GateInput::Row(row),
            (None, Some(halves)) => GateInput::Halves(halves),
            _ => return false,
        };
        let [first, second] = input.kernels(packing);
        let sound = [first, second, LongestRow::kernel(packing)].iter().all(|&kernel| model.is_sound(kernel));
        let few = matches!(model.choices.joints[number][rows - 1], Some(Sharing::Few(_)));
        // The f16 input lies where those of the next product would: the result takes the place of the f32 that it stands for.
        let fits = HalfInput::bytes(rows, width) <= self.slice(out).length;
        if !(few && fits && sound && model.read_once[out.0]) || self.halves_for(out, next).is_none() {
            self.halves_of = converted;
            return false;
        }
        let (matrix, place) = (joint.matrix, HalfInput::within(self.slice(out), rows, width));
        self.dispatches.push(match input {
            GateInput::Row(row) => NormedGatedGemm { spread, matrix, power, row, out: place }.dispatch(),
            GateInput::Halves(input) => {
                GatedGemm { spread, rows, matrix, power, input, out: place }.dispatch()
            }
        });
        (self.unnormed, self.halves_of) = (None, Some((out, place)));
        true
    }
}
