//! Repetition, frequency and presence penalties.

use wootz_backend::sampling::{PenaltyWindow, SamplingSettings};

/// Counts the tokens of a window without a hash map: one counter a vocabulary entry, of which only the
/// touched ones are cleared again.
#[derive(Debug, Default)]
pub(super) struct WindowCounts {
    counts: Vec<u32>,
    seen: Vec<u32>,
}

impl WindowCounts {
    /// Changes `logits` of the tokens that stand in the window at the end of `context`.
    ///
    /// The repetition penalty is the one of Keskar et al. 2019 (CTRL) in its usual form that also works on
    /// negative logits; frequency and presence are subtracted after it.
    pub(super) fn penalise(&mut self, settings: &SamplingSettings, context: &[u32], logits: &mut [f32]) {
        let window = match settings.penalty_window {
            PenaltyWindow::Whole => context,
            PenaltyWindow::Last(count) => &context[context.len().saturating_sub(count)..],
        };
        self.counts.resize(logits.len(), 0);
        for &token in window {
            if let Some(count) = self.counts.get_mut(token as usize) {
                if *count == 0 {
                    self.seen.push(token);
                }
                *count += 1;
            }
        }
        for token in self.seen.drain(..) {
            let count = std::mem::take(&mut self.counts[token as usize]);
            let logit = &mut logits[token as usize];
            if *logit > 0.0 {
                *logit /= settings.repetition_penalty;
            } else {
                *logit *= settings.repetition_penalty;
            }
            *logit -= count as f32 * settings.frequency_penalty + settings.presence_penalty;
        }
    }
}
