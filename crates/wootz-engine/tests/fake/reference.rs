//! Answers by definition: no pages, no chunks, no batch.

use wootz_backend::step::{PAGE_TOKENS, StepLimits};
use wootz_engine::{Answers, BeamSearch, FinishReason, Place, Request, Sampler};

use super::logits_after;

/// Tokens that an answer of this request may have, with its prompt: what the model and the pool hold.
pub fn context(request: &Request, limits: &StepLimits) -> usize {
    let answers = request.answers.count();
    let shared = if answers == 1 { 0 } else { request.prompt.len().saturating_sub(1) / PAGE_TOKENS };
    let own = limits.pages.saturating_sub(shared) / answers;
    limits.positions.min((shared + own) * PAGE_TOKENS)
}

/// Every answer of a request, in order.
pub fn answers(request: &Request, limits: &StepLimits) -> Vec<(Vec<u32>, FinishReason)> {
    match request.answers {
        Answers::Sampled(count) => (0..count.get()).map(|answer| sampled(request, answer, limits)).collect(),
        Answers::Beams(search) => beams(request, search, limits),
    }
}

/// The length at which answers end, and why.
fn limit(request: &Request, limits: &StepLimits) -> (usize, FinishReason) {
    let context = context(request, limits);
    match request.max_tokens.map(|max| request.prompt.len() + max.get()) {
        Some(tokens) if tokens <= context => (tokens, FinishReason::MaxTokens),
        _ => (context, FinishReason::ContextFull),
    }
}

fn sampled(request: &Request, answer: usize, limits: &StepLimits) -> (Vec<u32>, FinishReason) {
    let mut sampling = request.sampling.clone();
    sampling.seed = sampling.seed.wrapping_add(answer as u64);
    let mut sampler = Sampler::new(sampling, request.logprobs, limits.vocab).unwrap();
    let (limit, reason) = limit(request, limits);
    let prompt = request.prompt.len();
    let mut tokens = request.prompt.clone();
    loop {
        let place = Place { context: &tokens, draw: (tokens.len() - prompt) as u64, allowed: None };
        let token = sampler.sample(&logits_after(&tokens, limits.vocab), place).unwrap().token;
        if request.end_tokens.contains(&token) {
            return (tokens.split_off(prompt), FinishReason::EndToken(token));
        }
        tokens.push(token);
        if tokens.len() >= limit {
            return (tokens.split_off(prompt), reason);
        }
    }
}

/// `ln p` of every token after `tokens`.
pub fn log_probabilities(tokens: &[u32], vocab: usize) -> Vec<f64> {
    let logits = logits_after(tokens, vocab);
    let mass: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit) - mass.ln()).collect()
}

fn beams(request: &Request, search: BeamSearch, limits: &StepLimits) -> Vec<(Vec<u32>, FinishReason)> {
    let width = search.width.get();
    let score = |sum: f64, length: usize| sum / (length.max(1) as f64).powf(f64::from(search.length_penalty));
    let (limit, reason) = limit(request, limits);
    let prompt = request.prompt.len();
    let mut live = vec![(0.0, request.prompt.clone())];
    let mut complete: Vec<(f64, Vec<u32>, FinishReason)> = Vec::new();
    loop {
        let mut all = Vec::new();
        for (sum, tokens) in &live {
            for (token, logprob) in log_probabilities(tokens, limits.vocab).into_iter().enumerate() {
                all.push((sum + logprob, tokens, token as u32));
            }
        }
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut next = Vec::new();
        for (rank, (sum, tokens, token)) in all.into_iter().take(2 * width).enumerate() {
            if next.len() == width {
                break;
            }
            if !request.end_tokens.contains(&token) {
                let mut tokens = tokens.clone();
                tokens.push(token);
                next.push((sum, tokens));
            } else if rank < width {
                let answer = tokens[prompt..].to_vec();
                complete.push((score(sum, answer.len() + 1), answer, FinishReason::EndToken(token)));
            }
        }
        complete.sort_by(|a, b| b.0.total_cmp(&a.0));
        complete.truncate(width);
        let Some((best, tokens)) = next.first() else { break };
        let done = |worst: &(f64, Vec<u32>, FinishReason)| worst.0 >= score(*best, tokens.len() - prompt);
        if complete.get(width - 1).is_some_and(done) {
            break;
        }
        live = next;
        if live[0].1.len() >= limit {
            for (sum, tokens) in live {
                complete.push((score(sum, tokens.len() - prompt), tokens[prompt..].to_vec(), reason));
            }
            complete.sort_by(|a, b| b.0.total_cmp(&a.0));
            complete.truncate(width);
            break;
        }
    }
    while complete.len() < width {
        complete.push(complete[complete.len() - 1].clone());
    }
    complete.into_iter().map(|(_, tokens, reason)| (tokens, reason)).collect()
}
