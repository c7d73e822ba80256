//! What a row asks of the sampler, for people and for the device.

use std::ops::Range;

use wootz_backend::sampling::{Logprobs, SamplingSettings};

use crate::kernel_args;

/// Logits of a row at most: shares are integers of 44 fractional bits, and 2^20 of them fit in 64.
pub const VOCABULARY_LIMIT: usize = (1 << 20) - 1;
/// Top tokens of a row at most: they are ranked in threadgroup memory.
pub const TOP_LIMIT: usize = 128;

kernel_args! {
    /// How one row is sampled, as the kernels read it. Made by [`RowSettings::encode`].
    pub struct SampleRow {
        /// Whether the most likely token is taken.
        greedy: u32,
        /// 1 / temperature.
        scale: f32,
        /// How many tokens top-k keeps; 0 = all.
        top_k: u32,
        /// The share that top-p keeps, times 2^64, lower half first; 0 = all.
        top_p: [u32; 2],
        /// Whether min-p is on.
        has_min_p: u32,
        /// ln of min-p.
        min_p_floor: f32,
        /// The seed, lower half first.
        seed: [u32; 2],
        /// The number of the draw, lower half first.
        draw: [u32; 2],
        /// Repetition penalty.
        repetition: f32,
        /// Frequency penalty.
        frequency: f32,
        /// Presence penalty.
        presence: f32,
        /// Whether mask, bias or penalties change the logits.
        changes: u32,
        /// First word of the mask, or `u32::MAX` for none.
        mask: u32,
        /// First entry of the biases.
        bias_start: u32,
        /// How many biases.
        bias_count: u32,
        /// First entry of the penalty window.
        history_start: u32,
        /// Tokens in the penalty window.
        history_count: u32,
        /// Whether log probabilities are wanted.
        logprobs: u32,
        /// How many top tokens are wanted.
        top_count: u32,
    }
}

impl SampleRow {
    /// Whether sampling needs [`super::Changes`] for this row.
    pub fn changes_logits(&self) -> bool {
        self.changes != 0
    }

    /// Whether more than the most likely token is asked for.
    pub fn draws(&self) -> bool {
        self.greedy == 0
    }
}

/// How one row is sampled. The meaning of each setting is that of the engine's sampler; so are the ranges, which
/// the engine has checked.
#[derive(Debug, Clone, PartialEq)]
pub struct RowSettings {
    /// Entries of [`super::Changes::bias_tokens`] and `bias_values` that are added to this row's logits.
    pub logit_bias: Range<u32>,
    /// Divides positive logits and multiplies negative ones of tokens in the window. 1 = off.
    pub repetition_penalty: f32,
    /// Subtracted once for each time that a token stands in the window. 0 = off.
    pub frequency_penalty: f32,
    /// Subtracted once from a token that stands in the window. 0 = off.
    pub presence_penalty: f32,
    /// Entries of [`super::Changes::history`] that are this row's penalty window.
    pub history: Range<u32>,
    /// The word of [`super::Changes::masks`] at which this row's bits begin: token `t` is bit `t % 32` of word `t / 32`.
    pub mask: Option<u32>,
    /// Keeps the `k` most likely tokens. 0 = off.
    pub top_k: usize,
    /// 1 = off; the device has no other.
    pub typical_p: f32,
    /// Keeps the most likely tokens until their mass reaches this. 1 = off.
    pub top_p: f32,
    /// Keeps tokens at least this many times as likely as the most likely one. 0 = off.
    pub min_p: f32,
    /// 0 = the most likely token.
    pub temperature: f32,
    /// Of the random numbers.
    pub seed: u64,
    /// How many tokens were drawn before under this seed.
    pub draw: u64,
    /// How many top tokens to give with log probabilities; `None`: no log probabilities at all.
    pub logprobs: Option<usize>,
}

impl Default for RowSettings {
    /// The most likely token, and nothing else.
    fn default() -> RowSettings {
        RowSettings {
            logit_bias: 0..0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            history: 0..0,
            mask: None,
            top_k: 0,
            typical_p: 1.0,
            top_p: 1.0,
            min_p: 0.0,
            temperature: 0.0,
            seed: 0,
            draw: 0,
            logprobs: None,
        }
    }
}

/// Why a row can't be sampled on the device.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleRefusal {
    /// It needs the entropy, and another order than that of the logits.
    #[error("typical-p {found} is not sampled on the device: the host's sampler does it (1 = off)")]
    TypicalP {
        /// What was asked for.
        found: f32,
    },
    /// The vocabulary is larger than sums of shares allow.
    #[error(
        "a vocabulary of {found} tokens is sampled on the host: the device takes at most {VOCABULARY_LIMIT}"
    )]
    Vocabulary {
        /// Its size.
        found: usize,
    },
    /// More top tokens than fit in threadgroup memory.
    #[error("{found} top log probabilities are computed on the host: the device gives at most {TOP_LIMIT}")]
    TopLogprobs {
        /// How many were asked for.
        found: usize,
    },
}

impl RowSettings {
    /// What a request's settings ask for, without what is laid out beside them: biases, history, mask and draw.
    pub fn of(settings: &SamplingSettings, logprobs: Logprobs) -> RowSettings {
        RowSettings {
            repetition_penalty: settings.repetition_penalty,
            frequency_penalty: settings.frequency_penalty,
            presence_penalty: settings.presence_penalty,
            top_k: settings.top_k,
            typical_p: settings.typical_p,
            top_p: settings.top_p,
            min_p: settings.min_p,
            temperature: settings.temperature,
            seed: settings.seed,
            logprobs: match logprobs {
                Logprobs::None => None,
                Logprobs::Top(count) => Some(count),
            },
            ..RowSettings::default()
        }
    }

    /// Whether any penalty is on: then the row needs its history.
    pub fn looks_back(&self) -> bool {
        self.repetition_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0
    }

    /// The row as the kernels read it, for logits of `vocab` tokens.
    ///
    /// # Errors
    /// When the row has to be sampled on the host.
    pub fn encode(&self, vocab: usize) -> Result<SampleRow, SampleRefusal> {
        if self.typical_p < 1.0 {
            return Err(SampleRefusal::TypicalP { found: self.typical_p });
        }
        if vocab > VOCABULARY_LIMIT {
            return Err(SampleRefusal::Vocabulary { found: vocab });
        }
        let top_count = self.logprobs.unwrap_or(0);
        if top_count > TOP_LIMIT {
            return Err(SampleRefusal::TopLogprobs { found: top_count });
        }
        // A share below 1 in f32 has 24 bits, so its product with 2^64 is an integer unless it is tiny.
        let top_p =
            if self.top_p < 1.0 { ((f64::from(self.top_p) * 2.0_f64.powi(64)) as u64).max(1) } else { 0 };
        let history = if self.looks_back() { self.history.clone() } else { 0..0 };
        let changes = self.mask.is_some() || !self.logit_bias.is_empty() || !history.is_empty();
        Ok(SampleRow {
            greedy: (self.temperature == 0.0).into(),
            // Finite for the smallest temperatures too, so that 0 times it is 0.
            scale: (1.0 / self.temperature).min(f32::MAX),
            top_k: if self.top_k < vocab { self.top_k as u32 } else { 0 },
            top_p: halves(top_p),
            has_min_p: (self.min_p > 0.0).into(),
            min_p_floor: if self.min_p > 0.0 { self.min_p.ln() } else { 0.0 },
            seed: halves(self.seed),
            draw: halves(self.draw),
            repetition: self.repetition_penalty,
            frequency: self.frequency_penalty,
            presence: self.presence_penalty,
            changes: changes.into(),
            mask: self.mask.unwrap_or(u32::MAX),
            bias_start: self.logit_bias.start,
            bias_count: self.logit_bias.len() as u32,
            history_start: history.start,
            history_count: history.len() as u32,
            logprobs: self.logprobs.is_some().into(),
            top_count: top_count as u32,
        })
    }
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_does_not_sample_is_refused_by_name() {
        let refused = |settings: RowSettings, vocab| settings.encode(vocab).unwrap_err().to_string();
        let typical = RowSettings { typical_p: 0.9, ..RowSettings::default() };
        assert!(refused(typical, 10).contains("typical-p 0.9"));
        assert!(refused(RowSettings::default(), 1 << 20).contains("1048576"));
        let many = RowSettings { logprobs: Some(129), ..RowSettings::default() };
        assert!(refused(many, 1000).contains("at most 128"));
    }

    #[test]
    fn settings_that_change_nothing_ask_for_no_changes() {
        let quiet = RowSettings { history: 3..9, ..RowSettings::default() };
        assert!(!quiet.encode(100).unwrap().changes_logits());
        let loud = RowSettings { presence_penalty: 0.1, ..quiet };
        assert!(loud.encode(100).unwrap().changes_logits());
    }

    #[test]
    fn shares_and_seeds_are_kept_to_the_bit() {
        let settings =
            RowSettings { top_p: 0.75, seed: 0x0123_4567_89ab_cdef, top_k: 100, ..RowSettings::default() };
        let row = settings.encode(100).unwrap();
        assert_eq!(row.top_p, [0, 0xc000_0000]);
        assert_eq!(row.seed, [0x89ab_cdef, 0x0123_4567]);
        assert_eq!(row.top_k, 0, "as many as there are is all of them");
    }
}
