//! Sampling by sorting everything: the definition that the search without sorting is held to.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::kernels::sample::{PREVIOUS_ROW, RowSettings};

/// What mask, biases and history of all rows lie in.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Bits of allowed tokens.
    pub masks: &'a [u32],
    /// Tokens and what is added to their logits.
    pub biases: &'a [(u32, f32)],
    /// Tokens, or rows of the previous step.
    pub history: &'a [u32],
    /// The tokens of the previous step.
    pub previous: &'a [u32],
}

/// A token, or the token that a row of the previous step chose.
pub fn resolve(entry: u32, previous: &[u32]) -> u32 {
    if entry & PREVIOUS_ROW == 0 { entry } else { previous[(entry & !PREVIOUS_ROW) as usize] }
}

/// The logits after mask, bias and penalties.
pub fn changed(logits: &[f32], row: &RowSettings, inputs: &Inputs) -> Vec<f32> {
    let mut changed = logits.to_vec();
    if let Some(mask) = row.mask {
        for (token, logit) in changed.iter_mut().enumerate() {
            let allowed = inputs.masks[mask as usize + token / 32] >> (token % 32) & 1 != 0;
            // A broken logit stays, so that it is reported.
            if !allowed && *logit < f32::INFINITY {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
    for &(token, bias) in &inputs.biases[row.logit_bias.start as usize..row.logit_bias.end as usize] {
        if let Some(logit) = changed.get_mut(token as usize) {
            *logit += bias;
        }
    }
    let mut counts = vec![0_u32; logits.len()];
    for &entry in &inputs.history[row.history.start as usize..row.history.end as usize] {
        if let Some(count) = counts.get_mut(resolve(entry, inputs.previous) as usize) {
            *count += 1;
        }
    }
    for (logit, &count) in changed.iter_mut().zip(&counts).filter(|(_, count)| **count > 0) {
        let penalty = row.repetition_penalty;
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        *logit -= count as f32 * row.frequency_penalty + row.presence_penalty;
    }
    changed
}

/// The token that is chosen from changed logits, at least one of which is possible.
pub fn choose(logits: &[f32], row: &RowSettings) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let logit = |token: u32| logits[token as usize];
    order.retain(|&token| logit(token) > f32::NEG_INFINITY);
    // Minus zero equals zero.
    let rank = |token: u32| logit(token) + 0.0;
    order.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)).then(a.cmp(&b)));
    let best = logit(order[0]);
    if row.temperature == 0.0 {
        return order[0];
    }
    let filtered = (row.top_k > 0 && row.top_k < logits.len()) || row.top_p < 1.0 || row.min_p > 0.0;
    if row.top_k > 0 {
        order.truncate(row.top_k);
    }
    let share = |token: u32| f64::from(logit(token) - best).exp();
    if row.top_p < 1.0 {
        let wanted = f64::from(row.top_p) * order.iter().map(|&token| share(token)).sum::<f64>();
        let mut sum = 0.0;
        let reaches = |&token: &u32| {
            sum += share(token);
            sum >= wanted
        };
        let last = order.iter().position(reaches).unwrap_or(order.len() - 1);
        order.truncate(last + 1);
    }
    if row.min_p > 0.0 {
        order.retain(|&token| logit(token) - best >= row.min_p.ln());
    }
    if !filtered {
        order.sort_unstable();
    }
    let scale = (1.0 / row.temperature).min(f32::MAX);
    let tempered = |token: u32| f64::from((logit(token) - best) * scale).exp();
    let mut rest = uniform(row.seed, row.draw) * order.iter().map(|&token| tempered(token)).sum::<f64>();
    let reaches = |token: &u32| {
        rest -= tempered(*token);
        rest < 0.0
    };
    order.iter().copied().find(reaches).unwrap_or(order[order.len() - 1])
}

/// ChaCha12 with the seed as its key and the draw as its block counter.
fn uniform(seed: u64, draw: u64) -> f64 {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut generator = ChaCha12Rng::from_seed(key);
    generator.set_word_pos(u128::from(draw) * 16);
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// The log probability of each token under the model's own logits.
pub fn logprobs(logits: &[f32]) -> Vec<f32> {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mass: f64 = logits.iter().map(|&logit| f64::from(logit - best).exp()).sum();
    logits.iter().map(|&logit| (f64::from(logit - best) - mass.ln()) as f32).collect()
}
