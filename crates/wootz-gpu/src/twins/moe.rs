//! Mixture of experts, by sorting.

use crate::kernels::moe::{GroupScore, Routing, Scoring};

/// The experts and weights of one row.
pub fn route(logits: &[f32], selection_bias: Option<&[f32]>, routing: &Routing) -> Vec<(u32, f32)> {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let power = |logit: f32| f64::from(logit - best).exp();
    let sum: f64 = logits.iter().map(|&logit| power(logit)).sum();
    let scores: Vec<f64> = logits
        .iter()
        .map(|&logit| match routing.scoring {
            Scoring::Softmax => power(logit) / sum,
            Scoring::Sigmoid => 1.0 / (1.0 + f64::from(-logit).exp()),
        })
        .collect();
    let choice = |expert: usize| scores[expert] + selection_bias.map_or(0.0, |bias| f64::from(bias[expert]));
    let mut allowed: Vec<usize> = (0..logits.len()).collect();
    if let Some(groups) = routing.groups {
        let size = logits.len() / groups.count;
        let score = |group: usize| -> f64 {
            let mut choices: Vec<f64> = (group * size..(group + 1) * size).map(choice).collect();
            choices.sort_by(|a, b| b.total_cmp(a));
            let count = if groups.by == GroupScore::BestTwo { 2 } else { 1 };
            choices.iter().take(count).sum()
        };
        let mut order: Vec<usize> = (0..groups.count).collect();
        order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        order.truncate(groups.kept);
        allowed.retain(|expert| order.contains(&(expert / size)));
    }
    allowed.sort_by(|&a, &b| choice(b).total_cmp(&choice(a)));
    allowed.truncate(routing.slots);
    let sum: f64 = allowed.iter().map(|&expert| scores[expert]).sum();
    let divisor = if routing.normalised { sum + 1e-20 } else { 1.0 };
    let weight = |expert: usize| (scores[expert] / divisor * f64::from(routing.scale)) as f32;
    allowed.into_iter().map(|expert| (expert as u32, weight(expert))).collect()
}

/// Pairs in the order of their experts, and where each expert's begin.
pub fn sort(chosen: &[u32], experts: usize) -> (Vec<u32>, Vec<u32>) {
    let mut sorted: Vec<u32> = (0..chosen.len() as u32).collect();
    sorted.sort_by_key(|&pair| chosen[pair as usize]);
    let before = |expert: usize| chosen.iter().filter(|&&chosen| (chosen as usize) < expert).count() as u32;
    (sorted, (0..=experts).map(before).collect())
}

/// `out[p] = W[experts[p]] · input[p / pairs_per_row]`, with `matrix` `[experts, outputs, columns]`.
pub fn expert_products(
    input: &[f32],
    pairs_per_row: usize,
    matrix: &[f32],
    (outputs, columns): (usize, usize),
    experts: &[u32],
) -> Vec<f32> {
    let mut out = Vec::with_capacity(experts.len() * outputs);
    for (pair, &expert) in experts.iter().enumerate() {
        let x = &input[pair / pairs_per_row * columns..][..columns];
        let rows = matrix[expert as usize * outputs * columns..][..outputs * columns].chunks_exact(columns);
        out.extend(rows.map(|row| wootz_backend::cpu::reference::dot(row, x)));
    }
    out
}

/// `out[r] = added[r] + Σ_slot weights[r, slot] · results[pair (r, slot)]`, results in the order of pairs.
pub fn combine(results: &[f32], weights: &[f32], slots: usize, added: Option<&[f32]>) -> Vec<f32> {
    let width = results.len() / weights.len();
    let rows = weights.len() / slots;
    let element = |index: usize| {
        let (row, column) = (index / width, index % width);
        let product = |slot: usize| {
            let pair = row * slots + slot;
            f64::from(weights[pair]) * f64::from(results[pair * width + column])
        };
        let sum: f64 = (0..slots).map(product).sum();
        (sum + added.map_or(0.0, |added| f64::from(added[index]))) as f32
    };
    (0..rows * width).map(element).collect()
}
