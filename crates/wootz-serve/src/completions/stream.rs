//! Answers as they come.

use std::collections::VecDeque;

use futures_util::stream::{self, SelectAll, Stream, StreamExt};

use super::job::Job;
use super::json::{Completion, CompletionChoice, CompletionLogprobs, Head};
use super::plan::{Echo, Plan};
use crate::error::ApiError;
use crate::generation::{Piece, PieceKind};
use crate::options::StreamUsage;
use crate::token_text::TokenText;
use crate::usage::UsageJson;

/// A piece, and the number of the prompt that it answers.
type Numbered = (usize, Result<Piece, ApiError>);

/// What a stream knows between two events.
struct State {
    plan: Plan,
    head: Head,
    usage_in: StreamUsage,
    pieces: SelectAll<stream::BoxStream<'static, Numbered>>,
    prompts: Vec<PromptState>,
    usage: UsageJson,
    ready: VecDeque<Completion>,
    over: Over,
}

/// What of a stream has been said.
#[derive(PartialEq, Eq)]
enum Over {
    No,
    Answers,
    All,
}

/// What a stream knows of a prompt.
struct PromptState {
    tokens: usize,
    text: String,
    characters: usize,
    /// Tokens that each answer has so far.
    generated: Vec<usize>,
}

/// The events of a stream, in the order in which answers come.
pub fn chunks(
    plan: Plan,
    jobs: Vec<Job>,
    head: Head,
    usage_in: StreamUsage,
) -> impl Stream<Item = Result<Completion, ApiError>> + Send + 'static {
    let answers = plan.settings.answers.count();
    let mut prompts = Vec::new();
    let mut pieces = SelectAll::new();
    for Job { number, prompt_tokens, text, generation } in jobs {
        let characters = text.chars().count();
        prompts.push(PromptState { tokens: prompt_tokens, text, characters, generated: vec![0; answers] });
        let of_one = stream::unfold(generation, move |mut generation| async move {
            let piece = generation.next().await.transpose()?;
            Some(((number, piece), generation))
        });
        pieces.push(of_one.boxed());
    }
    let usage = UsageJson::default();
    let state =
        State { plan, head, usage_in, pieces, prompts, usage, ready: VecDeque::new(), over: Over::No };
    stream::unfold(state, |mut state| async move { state.next().await.map(|chunk| (chunk, state)) })
}

impl State {
    async fn next(&mut self) -> Option<Result<Completion, ApiError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            match self.over {
                Over::No => match self.pieces.next().await {
                    Some((number, Ok(piece))) => self.take(number, piece),
                    Some((_, Err(error))) => return Some(Err(error)),
                    None => self.over = Over::Answers,
                },
                Over::Answers => {
                    self.over = Over::All;
                    if self.usage_in != StreamUsage::None {
                        return Some(Ok(self.head.completion(Vec::new(), Some(Some(self.usage)))));
                    }
                }
                Over::All => return None,
            }
        }
    }

    /// Turns a piece into events.
    fn take(&mut self, number: usize, piece: Piece) {
        let Some(prompt) = self.prompts.get_mut(number) else { return };
        match piece.kind {
            PieceKind::Prompted { reused, .. } => {
                self.usage.add_prompt(prompt.tokens, reused);
                if self.plan.echo != Echo::None && self.plan.logprobs.is_none() {
                    self.echo(number, &[]);
                }
            }
            PieceKind::PromptTokens(tokens) => self.echo(number, &tokens),
            PieceKind::Text { .. } if self.plan.echo == Echo::PromptAlone => {}
            PieceKind::Text { text, generated, tokens } => {
                let before = std::mem::replace(&mut prompt.generated[piece.answer], generated);
                self.usage.add_tokens(generated - before);
                if !text.is_empty() || !tokens.is_empty() {
                    let shift = if self.plan.echo == Echo::None { 0 } else { prompt.characters };
                    self.push(number, piece.answer, Part { text, tokens: &tokens, shift, reason: None });
                }
            }
            PieceKind::Finished { reason, usage } => {
                let alone = self.plan.echo == Echo::PromptAlone;
                if !alone {
                    self.usage.add_tokens(usage.generated.saturating_sub(prompt.generated[piece.answer]));
                    self.usage.completion_tokens_details.reasoning_tokens += usage.reasoning;
                }
                let reason = Some(if alone { "length" } else { reason });
                self.push(number, piece.answer, Part { text: String::new(), tokens: &[], shift: 0, reason });
            }
        }
    }

    /// The prompt, at the beginning of each answer to it.
    fn echo(&mut self, number: usize, tokens: &[TokenText]) {
        for answer in 0..self.plan.settings.answers.count() {
            let text = self.prompts[number].text.clone();
            self.push(number, answer, Part { text, tokens, shift: 0, reason: None });
        }
    }

    fn push(&mut self, number: usize, answer: usize, part: Part<'_>) {
        let logprobs = self.plan.logprobs.filter(|_| part.reason.is_none());
        let logprobs = logprobs.map(|_| CompletionLogprobs::new(part.tokens, part.shift, self.plan.names));
        let choice = CompletionChoice {
            index: number * self.plan.keep + answer,
            text: part.text,
            logprobs,
            finish_reason: part.reason,
        };
        let usage = match self.usage_in {
            StreamUsage::None => None,
            StreamUsage::Last => Some(None),
            StreamUsage::Every => Some(Some(self.usage)),
        };
        self.ready.push_back(self.head.completion(vec![choice], usage));
    }
}

/// A part of an answer.
struct Part<'a> {
    text: String,
    tokens: &'a [TokenText],
    shift: usize,
    reason: Option<&'static str>,
}
