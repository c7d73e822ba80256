//! What a user may ask of the sampler.

use crate::EngineError;

/// How the next token is chosen from the logits. Each field's "off" value makes its filter do nothing.
///
/// The filters are applied in the order of the fields here, which is llama.cpp's order: biases and penalties
/// change logits, then each filter keeps a part of what the one before it left, and the temperature comes last.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingSettings {
    /// Added to a token's logit before everything else. Minus infinity forbids the token.
    pub logit_bias: Vec<(u32, f32)>,
    /// Divides positive logits and multiplies negative ones of tokens in the penalty window. 1 = off.
    pub repetition_penalty: f32,
    /// Subtracted once for each time that a token stands in the penalty window. 0 = off.
    pub frequency_penalty: f32,
    /// Subtracted once from a token that stands in the penalty window. 0 = off.
    pub presence_penalty: f32,
    /// Which tokens the three penalties look at.
    pub penalty_window: PenaltyWindow,
    /// Keeps the `k` most likely tokens. 0 = off.
    pub top_k: usize,
    /// Keeps the tokens whose surprise is nearest to the entropy, up to this mass. 1 = off.
    pub typical_p: f32,
    /// Keeps the most likely tokens until their mass reaches this. 1 = off.
    pub top_p: f32,
    /// Keeps tokens at least this many times as likely as the most likely one. 0 = off.
    pub min_p: f32,
    /// Divides the logits of what is left before the draw. 0 = greedy: always the most likely token.
    pub temperature: f32,
    /// The same seed, prompt and settings give the same tokens.
    pub seed: u64,
}

/// How far back the penalties look, over the prompt and the answer together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyWindow {
    /// At the last `n` tokens.
    Last(usize),
    /// At the whole context.
    Whole,
}

impl Default for SamplingSettings {
    /// What people expect of a local model: temperature 0.8, top-k 40, top-p 0.95, min-p 0.05.
    fn default() -> Self {
        Self { top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, ..Self::plain(1.0) }
    }
}

impl SamplingSettings {
    /// Always the most likely token.
    pub fn greedy() -> Self {
        Self::plain(0.0)
    }

    /// Everything off but the temperature.
    pub fn plain(temperature: f32) -> Self {
        Self {
            logit_bias: Vec::new(),
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: PenaltyWindow::Last(64),
            top_k: 0,
            typical_p: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            temperature,
            seed: 0,
        }
    }

    /// Whether every value is in its range, and every biased token in a vocabulary of `vocab` tokens.
    pub fn validate(&self, vocab: usize) -> Result<(), EngineError> {
        let positive = |x: f32| x > 0.0 && x.is_finite();
        let share = |x: f32| x > 0.0 && x <= 1.0;
        let ranges = [
            (
                "repetition-penalty",
                self.repetition_penalty,
                positive(self.repetition_penalty),
                "greater than 0",
            ),
            (
                "frequency-penalty",
                self.frequency_penalty,
                self.frequency_penalty.is_finite(),
                "a finite number",
            ),
            ("presence-penalty", self.presence_penalty, self.presence_penalty.is_finite(), "a finite number"),
            ("typical-p", self.typical_p, share(self.typical_p), "greater than 0 and at most 1 (1 = off)"),
            ("top-p", self.top_p, share(self.top_p), "greater than 0 and at most 1 (1 = off)"),
            ("min-p", self.min_p, (0.0..=1.0).contains(&self.min_p), "from 0 (off) to 1"),
            (
                "temperature",
                self.temperature,
                self.temperature >= 0.0 && self.temperature.is_finite(),
                "0 (greedy) or greater",
            ),
        ];
        for (setting, found, ok, allowed) in ranges {
            if !ok {
                return Err(EngineError::Setting { setting, found: found.to_string(), allowed });
            }
        }
        for &(token, bias) in &self.logit_bias {
            if bias.is_nan() || bias == f32::INFINITY {
                let allowed = "a finite number, or -inf to forbid the token";
                return Err(EngineError::Setting { setting: "logit-bias", found: bias.to_string(), allowed });
            }
            if token as usize >= vocab {
                return Err(EngineError::TokenOutsideVocabulary { token, vocab });
            }
        }
        Ok(())
    }

    /// Whether the logits must be changed before the filters.
    pub(super) fn changes_logits(&self) -> bool {
        !self.logit_bias.is_empty() || self.penalises()
    }

    /// Whether any penalty is on.
    pub(super) fn penalises(&self) -> bool {
        self.penalty_window != PenaltyWindow::Last(0)
            && (self.repetition_penalty != 1.0
                || self.frequency_penalty != 0.0
                || self.presence_penalty != 0.0)
    }
}
