//! From what the engine asks of each sampled row to what the sample kernels read, and from what they write back.

use arrayvec::ArrayVec;
use wootz_backend::sampling::{
    Draw, DrawFailure, Logprobs, PenaltyWindow, Sampled, SampledLogprobs, SamplingSettings, TokenLogprob,
};

use crate::device::{Device, DeviceError, Dispatch, Slice};
use crate::kernels::sample::{
    self, BROKEN_LOGIT, Changes, Drawing, LAUNCHES, NO_TOKEN, NO_TOKEN_LEFT, PREVIOUS_ROW, PartScratch,
    RowSettings, Sample, SampleRow, TOP_LIMIT,
};

/// Logit biases of a row at most. More are drawn for on the host.
pub const BIAS_LIMIT: usize = 1024;

/// What draws may need, fixed when a model is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrawLimits {
    /// Sampled rows of a step.
    pub samples: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// Tokens of a context.
    pub context: usize,
}

impl DrawLimits {
    /// Whether the device draws so.
    pub fn allow(&self, settings: &SamplingSettings, logprobs: Logprobs) -> bool {
        settings.logit_bias.len() <= BIAS_LIMIT
            && RowSettings::of(settings, logprobs).encode(self.vocab).is_ok()
    }

    /// Bytes of each array that the host writes for a step: [`DrawInputs`] in its order.
    pub fn input_bytes(&self) -> [usize; 4] {
        let (biases, history) = (self.samples * BIAS_LIMIT, self.samples * self.context);
        [self.samples * size_of::<SampleRow>(), 4 * biases, 4 * biases, 4 * history]
    }

    /// Bytes of each array that the device writes for a step: [`DrawResults`] in its order.
    pub fn result_bytes(&self) -> [usize; 5] {
        let top = self.samples * TOP_LIMIT;
        [4 * self.samples, 8 * self.samples, 4 * self.samples, 4 * top, 4 * top]
    }

    /// Bytes of each array that is scratch of one step: [`DrawScratch`] in its order.
    pub fn scratch_bytes(&self) -> [usize; 6] {
        let logits = 4 * self.samples * self.vocab;
        let [bests, masses, within, lists] = PartScratch::bytes(self.samples, self.vocab);
        [logits, logits, bests, masses, within, lists]
    }
}

/// What the host writes for a step.
#[derive(Debug, Clone, Copy)]
pub struct DrawInputs {
    /// `[samples]` of [`SampleRow`].
    pub rows: Slice,
    /// u32, the biases of all rows one after another.
    pub bias_tokens: Slice,
    /// f32, theirs.
    pub bias_values: Slice,
    /// u32, the penalty windows of all rows one after another.
    pub history: Slice,
}

/// What the device writes for a step. The next step reads `tokens`.
#[derive(Debug, Clone, Copy)]
pub struct DrawResults {
    /// `[samples]` u32.
    pub tokens: Slice,
    /// `[samples, 2]` u32.
    pub status: Slice,
    /// `[samples]` f32.
    pub chosen: Slice,
    /// `[samples, top]` u32.
    pub top_tokens: Slice,
    /// `[samples, top]` f32.
    pub top_logprobs: Slice,
}

/// What only lives within a step.
#[derive(Debug, Clone, Copy)]
pub struct DrawScratch {
    /// `[samples, vocab]` f32.
    pub changed: Slice,
    /// `[samples, vocab]` u32.
    pub counts: Slice,
    /// What is known of the parts of each row.
    pub parts: PartScratch,
}

/// The draws of one step in the host's memory. Refilled for every step without allocating, once it has grown.
#[derive(Debug, Clone, Default)]
pub struct DrawTables {
    rows: Vec<SampleRow>,
    bias_tokens: Vec<u32>,
    bias_values: Vec<f32>,
    history: Vec<u32>,
}

impl DrawTables {
    /// Describes `draws`, each of which the limits allow.
    pub fn fill(&mut self, draws: &[Draw<'_>], vocab: usize) {
        let DrawTables { rows, bias_tokens, bias_values, history } = self;
        rows.clear();
        bias_tokens.clear();
        bias_values.clear();
        history.clear();
        for draw in draws {
            let (first_bias, first_token) = (bias_tokens.len() as u32, history.len() as u32);
            bias_tokens.extend(draw.settings.logit_bias.iter().map(|&(token, _)| token));
            bias_values.extend(draw.settings.logit_bias.iter().map(|&(_, bias)| bias));
            let settings = RowSettings::of(draw.settings, draw.logprobs);
            if settings.looks_back() {
                let pending = draw.pending.map(|sample| PREVIOUS_ROW | sample);
                let (before, after) = window(draw.settings.penalty_window, draw.context, pending);
                history.extend_from_slice(before);
                history.extend(after);
            }
            let row = RowSettings {
                logit_bias: first_bias..bias_tokens.len() as u32,
                history: first_token..history.len() as u32,
                draw: draw.index,
                ..settings
            };
            rows.push(row.encode(vocab).expect("the limits allow every draw"));
        }
    }

    /// Writes the tables to the device.
    pub fn write(&self, device: &mut dyn Device, to: &DrawInputs) -> Result<(), DeviceError> {
        let mut put = |slice: Slice, bytes: &[u8]| match bytes.len() {
            0 => Ok(()),
            length => device.write(slice.part(0, length), bytes),
        };
        put(to.rows, bytemuck::cast_slice(&self.rows))?;
        put(to.bias_tokens, bytemuck::cast_slice(&self.bias_tokens))?;
        put(to.bias_values, bytemuck::cast_slice(&self.bias_values))?;
        put(to.history, bytemuck::cast_slice(&self.history))
    }

    /// Rows that are drawn from.
    pub fn samples(&self) -> usize {
        self.rows.len()
    }

    /// Top tokens that the step gives for each row.
    fn top(&self) -> usize {
        self.rows.iter().map(|row| row.top_count as usize).max().unwrap_or(0)
    }

    /// The launches that draw from `logits` `[samples, vocab]`; `previous` are the tokens of the step before.
    pub fn dispatches(
        &self,
        vocab: usize,
        logits: Slice,
        (inputs, scratch, results): (&DrawInputs, &DrawScratch, &DrawResults),
        previous: Slice,
    ) -> ArrayVec<Dispatch, LAUNCHES> {
        let (samples, top) = (self.rows.len(), self.top());
        let changes = self.rows.iter().any(SampleRow::changes_logits).then_some(Changes {
            logits: scratch.changed,
            counts: scratch.counts,
            // Nobody asks for a mask, so none is looked at.
            masks: inputs.rows,
            bias_tokens: inputs.bias_tokens,
            bias_values: inputs.bias_values,
            history: inputs.history,
            previous,
        });
        let logprobs = self.rows.iter().any(|row| row.logprobs != 0).then_some(sample::Logprobs {
            top,
            chosen: results.chosen,
            top_tokens: results.top_tokens,
            top_logprobs: results.top_logprobs,
        });
        let settings = inputs.rows.part(0, samples * size_of::<SampleRow>());
        let (tokens, status) = (results.tokens, results.status);
        let (drawing, parts) = (Drawing::of(&self.rows), scratch.parts);
        let rows = samples;
        Sample { rows, vocab, logits, settings, changes, drawing, parts, tokens, status, logprobs }
            .dispatches()
    }

    /// What was drawn for each row, once the step has ended.
    pub fn read(
        &self,
        device: &mut dyn Device,
        from: &DrawResults,
    ) -> Result<Vec<Result<Sampled, DrawFailure>>, DeviceError> {
        let (samples, top) = (self.rows.len(), self.top());
        let mut words = |slice: Slice, count: usize| -> Result<Vec<u32>, DeviceError> {
            let mut words = vec![0_u32; count];
            if count > 0 {
                device.read(slice.part(0, 4 * count), bytemuck::cast_slice_mut(&mut words))?;
            }
            Ok(words)
        };
        let tokens = words(from.tokens, samples)?;
        let status = words(from.status, 2 * samples)?;
        let measured = self.rows.iter().any(|row| row.logprobs != 0);
        let chosen = words(from.chosen, if measured { samples } else { 0 })?;
        let top_tokens = words(from.top_tokens, samples * top)?;
        let top_logprobs = words(from.top_logprobs, samples * top)?;
        let sampled = |row: usize| {
            let logprobs = (self.rows[row].logprobs != 0).then(|| {
                let places = row * top..row * top + self.rows[row].top_count as usize;
                let pairs = top_tokens[places.clone()].iter().zip(&top_logprobs[places]);
                let present = pairs.filter(|(token, _)| **token != NO_TOKEN);
                let top =
                    present.map(|(&token, &bits)| TokenLogprob { token, logprob: f32::from_bits(bits) });
                SampledLogprobs { chosen: f32::from_bits(chosen[row]), top: top.collect() }
            });
            Sampled { token: tokens[row], logprobs }
        };
        let draw = |row: usize| match status[2 * row] {
            NO_TOKEN_LEFT => Err(DrawFailure::NoTokenLeft),
            // The device names the token; what its logit was is not worth a transfer.
            BROKEN_LOGIT => Err(DrawFailure::BrokenLogit { token: status[2 * row + 1], found: f32::NAN }),
            _ => Ok(sampled(row)),
        };
        Ok((0..samples).map(draw).collect())
    }
}

/// The part of a context, and of the token after it, that a window of penalties shows.
fn window(window: PenaltyWindow, context: &[u32], pending: Option<u32>) -> (&[u32], Option<u32>) {
    match window {
        PenaltyWindow::Whole => (context, pending),
        PenaltyWindow::Last(0) => (&[], None),
        PenaltyWindow::Last(count) => {
            let known = count - usize::from(pending.is_some());
            (&context[context.len().saturating_sub(known)..], pending)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_counts_the_pending_token() {
        let context = [1, 2, 3, 4];
        assert_eq!(window(PenaltyWindow::Last(2), &context, None), (&context[2..], None));
        assert_eq!(window(PenaltyWindow::Last(2), &context, Some(9)), (&context[3..], Some(9)));
        assert_eq!(window(PenaltyWindow::Last(1), &context, Some(9)), (&context[4..], Some(9)));
        assert_eq!(window(PenaltyWindow::Last(9), &context, Some(9)), (&context[..], Some(9)));
        assert_eq!(window(PenaltyWindow::Last(0), &context, Some(9)), (&context[..0], None));
        assert_eq!(window(PenaltyWindow::Whole, &context, Some(9)), (&context[..], Some(9)));
    }

    #[test]
    fn tables_lay_rows_out_one_after_another() {
        let biased = SamplingSettings {
            logit_bias: vec![(3, 1.0), (4, -1.0)],
            repetition_penalty: 1.1,
            ..SamplingSettings::plain(1.0)
        };
        let greedy = SamplingSettings::greedy();
        let draw = |settings, pending| Draw {
            settings,
            logprobs: Logprobs::None,
            context: &[7, 8, 9],
            pending,
            index: 5,
        };
        let mut tables = DrawTables::default();
        tables.fill(&[draw(&biased, Some(2)), draw(&greedy, None), draw(&biased, None)], 100);
        assert_eq!(tables.bias_tokens, [3, 4, 3, 4]);
        assert_eq!(tables.history, [7, 8, 9, PREVIOUS_ROW | 2, 7, 8, 9]);
        assert_eq!((tables.rows[2].bias_start, tables.rows[2].bias_count), (2, 2));
        assert_eq!((tables.rows[2].history_start, tables.rows[2].history_count), (4, 3));
        assert!(tables.rows[0].changes_logits() && !tables.rows[1].changes_logits());
    }

    #[test]
    fn what_the_host_draws_is_not_allowed() {
        let limits = DrawLimits { samples: 1, vocab: 100, context: 10 };
        let plain = SamplingSettings::plain(1.0);
        assert!(limits.allow(&plain, Logprobs::Top(5)));
        assert!(!limits.allow(&plain, Logprobs::Top(TOP_LIMIT + 1)));
        assert!(!limits.allow(&SamplingSettings { typical_p: 0.5, ..plain.clone() }, Logprobs::None));
        let many = vec![(0, 0.5); BIAS_LIMIT + 1];
        assert!(!limits.allow(&SamplingSettings { logit_bias: many, ..plain }, Logprobs::None));
    }
}
