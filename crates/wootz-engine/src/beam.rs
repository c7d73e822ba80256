//! Beam search: which continuations of the hypotheses are followed, and when the search is over.
//!
//! The rules are those of Transformers' `generate` with `early_stopping=False`: of all continuations of all hypotheses the
//! best `2 · width` are looked at; an end token among the best `width` of them completes a hypothesis, the best `width`
//! others are followed. The search is over when `width` complete hypotheses score no worse than the best of those that
//! are followed would if it ended now.

use std::cmp::Ordering;

use crate::EngineError;
use crate::event::FinishReason;
use crate::request::BeamSearch;
use crate::sampler::Sampled;

/// A hypothesis that is followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beam {
    /// The sum of its tokens' log probabilities.
    pub(crate) sum: f64,
    /// Its tokens.
    pub(crate) drawn: Vec<Sampled>,
    /// Its best continuations with their log probabilities, once they are known.
    pub(crate) candidates: Vec<(f64, Sampled)>,
}

/// A hypothesis that is complete.
#[derive(Debug, Clone)]
pub(crate) struct Complete {
    pub(crate) score: f64,
    pub(crate) drawn: Vec<Sampled>,
    pub(crate) reason: FinishReason,
}

/// A search on its way.
#[derive(Debug)]
pub(crate) struct BeamGroup {
    width: usize,
    length_penalty: f64,
    /// Complete hypotheses, best first, at most `width`.
    pub(crate) complete: Vec<Complete>,
}

/// A continuation that is followed.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Which hypothesis it continues.
    pub(crate) parent: usize,
    pub(crate) sum: f64,
    pub(crate) sampled: Sampled,
}

impl BeamGroup {
    /// A search, after checking what is asked for.
    pub(crate) fn new(search: BeamSearch, vocab: usize) -> Result<Self, EngineError> {
        let BeamSearch { width, length_penalty } = search;
        if !length_penalty.is_finite() {
            let (setting, found) = ("length-penalty", length_penalty.to_string());
            return Err(EngineError::Setting { setting, found, allowed: "a finite number" });
        }
        if width.get() > vocab {
            let (setting, found) = ("beam-width", width.to_string());
            return Err(EngineError::Setting { setting, found, allowed: "at most the number of tokens" });
        }
        let length_penalty = f64::from(length_penalty);
        Ok(Self { width: width.get(), length_penalty, complete: Vec::new() })
    }

    /// Continuations that each hypothesis is asked for.
    pub(crate) fn wanted(&self) -> usize {
        2 * self.width
    }

    /// Chooses among the continuations of all hypotheses.
    pub(crate) fn choose(&mut self, beams: &[&Beam], end_tokens: &[u32]) -> Vec<Chosen> {
        let of_beam = |(parent, beam): (usize, &&Beam)| {
            let sum = beam.sum;
            let chosen = move |(logprob, sampled): &(f64, Sampled)| Chosen {
                parent,
                sum: sum + logprob,
                sampled: sampled.clone(),
            };
            beam.candidates.iter().map(chosen).collect::<Vec<_>>()
        };
        let mut all: Vec<Chosen> = beams.iter().enumerate().flat_map(of_beam).collect();
        all.sort_by(|a, b| {
            let ties = || (a.parent, a.sampled.token).cmp(&(b.parent, b.sampled.token));
            b.sum.total_cmp(&a.sum).then_with(ties)
        });
        let mut followed = Vec::with_capacity(self.width);
        for (rank, chosen) in all.into_iter().take(self.wanted()).enumerate() {
            if followed.len() == self.width {
                break;
            }
            if !end_tokens.contains(&chosen.sampled.token) {
                followed.push(chosen);
            } else if rank < self.width {
                let drawn = beams[chosen.parent].drawn.clone();
                let score = self.score(chosen.sum, drawn.len() + 1);
                self.add(Complete { score, drawn, reason: FinishReason::EndToken(chosen.sampled.token) });
            }
        }
        followed
    }

    /// Takes a complete hypothesis in, if it is among the best.
    pub(crate) fn add(&mut self, complete: Complete) {
        let worse = |other: &Complete| other.score.total_cmp(&complete.score) == Ordering::Less;
        let place = self.complete.iter().position(worse).unwrap_or(self.complete.len());
        self.complete.insert(place, complete);
        self.complete.truncate(self.width);
    }

    /// Whether nothing that is followed would be better than what is complete; `length` counts the tokens of what is
    /// followed.
    pub(crate) fn is_over(&self, followed: &[Chosen], length: usize) -> bool {
        let Some(best) = followed.first() else { return true };
        let worst = self.complete.get(self.width - 1);
        worst.is_some_and(|worst| worst.score >= self.score(best.sum, length))
    }

    /// The score of a hypothesis of `length` tokens.
    pub(crate) fn score(&self, sum: f64, length: usize) -> f64 {
        sum / (length.max(1) as f64).powf(self.length_penalty)
    }
}
