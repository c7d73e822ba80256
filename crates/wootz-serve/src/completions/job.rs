//! Prompts under way, and their answers when they are whole.

use wootz_engine::{Prediction, Tenant, Usage};
use wootz_weights::tokenizer::TextStart;

use super::json::{Completion, CompletionChoice, CompletionLogprobs, Head};
use super::plan::{Echo, Plan, PlannedPrompt};
use crate::ServedModel;
use crate::error::ApiError;
use crate::generation::{Generation, GenerationRequest, PieceKind};
use crate::token_text::TokenText;
use crate::usage::UsageJson;

/// A prompt under way.
#[derive(Debug)]
pub struct Job {
    /// Its place in the request.
    pub number: usize,
    /// Its tokens' number.
    pub prompt_tokens: usize,
    /// Its text.
    pub text: String,
    /// Its answers.
    pub generation: Generation,
}

/// Hands all prompts to the engine, or none: the first refusal drops, and so cancels, those before it.
///
/// # Errors
/// What the engine refuses.
pub fn start(model: &ServedModel, mut plan: Plan, tenant: Tenant) -> Result<(Plan, Vec<Job>), ApiError> {
    let prompts = std::mem::take(&mut plan.prompts);
    let job = |(number, PlannedPrompt { tokens, text }): (usize, PlannedPrompt)| {
        let prompt_tokens = tokens.len();
        let request = GenerationRequest {
            prompt: tokens,
            settings: plan.settings.clone(),
            guide: plan.guide.clone(),
            prediction: Prediction::default(),
            logprobs: plan.engine_logprobs(),
            prompt_logprobs: plan.prompt_logprobs(),
            special: plan.settings.special,
            start: TextStart::Continuation,
            tenant,
        };
        Ok(Job { number, prompt_tokens, text, generation: Generation::start(model, request)? })
    };
    let jobs: Result<Vec<Job>, ApiError> = prompts.into_iter().enumerate().map(job).collect();
    jobs.map(|jobs| (plan, jobs))
}

/// An answer that has ended, or is to.
#[derive(Debug, Clone, Default)]
struct Answer {
    text: String,
    tokens: Vec<TokenText>,
    reason: Option<&'static str>,
    usage: Usage,
}

impl Answer {
    /// How likely its tokens were on average: by this the best are chosen.
    fn mean_logprob(&self) -> f64 {
        let sum: f64 = self.tokens.iter().filter_map(|token| token.logprob).map(f64::from).sum();
        // No tokens at all: certain.
        sum / self.tokens.len().max(1) as f64
    }
}

/// All answers, when they have ended.
///
/// # Errors
/// What ends an answer before its time.
pub async fn whole(plan: &Plan, jobs: Vec<Job>, head: Head) -> Result<Completion, ApiError> {
    let mut usage = UsageJson::default();
    let mut choices = Vec::new();
    // They run together; it does not matter in which order they are waited for.
    for job in jobs {
        choices.extend(finish(plan, job, &mut usage).await?);
    }
    Ok(head.completion(choices, Some(Some(usage))))
}

/// The answers to one prompt.
async fn finish(plan: &Plan, mut job: Job, usage: &mut UsageJson) -> Result<Vec<CompletionChoice>, ApiError> {
    let mut answers = vec![Answer::default(); plan.settings.answers.count()];
    let mut echoed = Vec::new();
    let mut cached = 0;
    while let Some(piece) = job.generation.next().await? {
        let answer = &mut answers[piece.answer];
        match piece.kind {
            PieceKind::Prompted { reused, .. } => cached = reused,
            PieceKind::PromptTokens(tokens) => echoed = tokens,
            PieceKind::Text { text, tokens, .. } => {
                answer.text.push_str(&text);
                answer.tokens.extend(tokens);
            }
            PieceKind::Finished { reason, usage } => {
                answer.reason = Some(reason);
                answer.usage = usage;
            }
        }
    }
    usage.add_prompt(job.prompt_tokens, cached);
    if plan.echo == Echo::PromptAlone {
        answers
            .iter_mut()
            .for_each(|answer| *answer = Answer { reason: Some("length"), ..Answer::default() });
    }
    answers.iter().for_each(|answer| usage.add_answer(&answer.usage));
    if answers.len() > plan.keep && matches!(plan.settings.answers, wootz_engine::Answers::Sampled(_)) {
        // A stable sort: of equally likely answers, the first.
        answers.sort_by(|a, b| b.mean_logprob().total_cmp(&a.mean_logprob()));
    }
    answers.truncate(plan.keep);
    let first = job.number * plan.keep;
    let choices = answers.into_iter().enumerate().map(|(number, answer)| {
        let (text, shift) = match plan.echo {
            Echo::None => (answer.text, 0),
            Echo::Prompt | Echo::PromptAlone => {
                (format!("{}{}", job.text, answer.text), job.text.chars().count())
            }
        };
        let logprobs = plan.logprobs.map(|_| {
            let mut lists = CompletionLogprobs::new(&echoed, 0, plan.names);
            lists.append(CompletionLogprobs::new(&answer.tokens, shift, plan.names));
            lists
        });
        CompletionChoice { index: first + number, text, logprobs, finish_reason: answer.reason }
    });
    Ok(choices.collect())
}
