//! Log probabilities of the model's own distribution.

use wootz_backend::sampling::TokenLogprob;

use super::candidates::{Candidate, take_top};
use super::passes::mass;

/// `ln Σ exp(logits)`, computed around the greatest of them.
pub(crate) fn log_sum_exp(logits: &[f32], best: f32) -> f64 {
    mass(logits, best, 1.0).ln() + f64::from(best)
}

/// The `count` most likely tokens, most likely first, given `log_sum_exp` of the logits.
pub(super) fn most_likely(
    logits: &[f32],
    count: usize,
    log_sum: f64,
    list: &mut Vec<Candidate>,
) -> Vec<TokenLogprob> {
    take_top(logits, count, list);
    list.iter()
        .map(|c| TokenLogprob { token: c.token, logprob: (f64::from(c.logit) - log_sum) as f32 })
        .collect()
}
