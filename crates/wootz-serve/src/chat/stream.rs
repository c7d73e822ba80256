//! Chat completions that are sent as they come.

use std::collections::VecDeque;

use futures_util::stream::{self, Stream};
use wootz_chat::Delta;

use super::answer::{Answer, Course, Progress};
use super::message::FunctionKind;
use super::plan::{Head, Started};
use super::reply::{
    AssistantRole, CallDelta, ChatChunk, ChoiceLogprobs, ChunkChoice, ChunkDelta, FinishWord, FunctionDelta,
};
use crate::error::ApiError;
use crate::generation::{Generation, Piece, PieceKind};
use crate::options::StreamUsage;
use crate::usage::UsageJson;

/// What a stream knows between two chunks.
struct State {
    head: Head,
    generation: Generation,
    answers: Vec<Streamed>,
    prompt_tokens: usize,
    logprobs: bool,
    usage_in: StreamUsage,
    usage: UsageJson,
    ready: VecDeque<ChatChunk>,
    over: Over,
}

/// An answer, and what the stream has said of it.
struct Streamed {
    answer: Answer,
    begun: bool,
    /// Tokens counted so far.
    counted: usize,
}

/// What of a stream has been said.
#[derive(PartialEq, Eq)]
enum Over {
    No,
    Answers,
    All,
}

/// The chunks of all answers, in the order in which they come.
pub fn chunks(
    head: Head,
    started: Started,
    usage_in: StreamUsage,
) -> impl Stream<Item = Result<ChatChunk, ApiError>> + Send + 'static {
    let Started { generation, answers, prompt_tokens, logprobs } = started;
    let answers = answers.into_iter().map(|answer| Streamed { answer, begun: false, counted: 0 }).collect();
    let state = State {
        head,
        generation,
        answers,
        prompt_tokens,
        logprobs: logprobs.is_some(),
        usage_in,
        usage: UsageJson::default(),
        ready: VecDeque::new(),
        over: Over::No,
    };
    stream::unfold(state, |mut state| async move { state.next().await.map(|chunk| (chunk, state)) })
}

impl State {
    async fn next(&mut self) -> Option<Result<ChatChunk, ApiError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            match self.over {
                Over::No => match self.generation.next().await {
                    Ok(Some(piece)) => self.take(piece),
                    Ok(None) => self.over = Over::Answers,
                    Err(error) => return Some(Err(error)),
                },
                Over::Answers => {
                    self.over = Over::All;
                    if self.usage_in != StreamUsage::None {
                        return Some(Ok(self.head.chunk(Vec::new(), Some(Some(self.usage)))));
                    }
                }
                Over::All => return None,
            }
        }
    }

    /// Turns a piece into chunks.
    fn take(&mut self, piece: Piece) {
        let number = piece.answer;
        let Some(one) = self.answers.get_mut(number) else { return };
        match piece.kind {
            PieceKind::Prompted { reused, .. } => {
                self.usage.add_prompt(self.prompt_tokens, reused);
                (0..self.answers.len()).for_each(|number| self.begin(number));
            }
            PieceKind::PromptTokens(_) => {}
            // What comes after a stop string is no part of the answer.
            PieceKind::Text { .. } if one.answer.is_stopped() => {}
            PieceKind::Text { text, generated, tokens } => {
                self.usage.add_tokens(generated.saturating_sub(one.counted));
                one.counted = generated;
                let (progress, course) = one.answer.push(&text, tokens, generated);
                if course == Course::Stopped {
                    self.generation.stop(number);
                }
                self.progress(number, progress);
            }
            PieceKind::Finished { reason, usage } => {
                let (progress, finish, took) = one.answer.finish(reason, usage);
                // Tokens after a stop string were counted before it was found to be complete.
                self.usage.completion_tokens = self.usage.completion_tokens + took.generated - one.counted;
                self.usage.total_tokens = self.usage.total_tokens + took.generated - one.counted;
                self.usage.add_details(&took);
                one.counted = took.generated;
                self.progress(number, progress);
                self.send(number, ChunkDelta::default(), None, Some(finish));
            }
        }
    }

    /// Says who speaks, once.
    fn begin(&mut self, number: usize) {
        if let Some(one) = self.answers.get_mut(number).filter(|one| !one.begun) {
            one.begun = true;
            let delta = ChunkDelta {
                role: Some(AssistantRole::Assistant),
                content: Some(String::new()),
                ..ChunkDelta::default()
            };
            self.send(number, delta, None, None);
        }
    }

    fn progress(&mut self, number: usize, progress: Progress) {
        let mut logprobs = Some(ChoiceLogprobs::new(&progress.tokens))
            .filter(|_| self.logprobs && !progress.tokens.is_empty());
        for delta in progress.deltas {
            let logprobs = if matches!(delta, Delta::Content(_)) { logprobs.take() } else { None };
            self.send(number, chunk_delta(delta), logprobs, None);
        }
    }

    fn send(
        &mut self,
        index: usize,
        delta: ChunkDelta,
        logprobs: Option<ChoiceLogprobs>,
        finish_reason: Option<FinishWord>,
    ) {
        let usage = match self.usage_in {
            StreamUsage::None => None,
            StreamUsage::Last => Some(None),
            StreamUsage::Every => Some(Some(self.usage)),
        };
        let choice = ChunkChoice { index, delta, logprobs, finish_reason };
        self.ready.push_back(self.head.chunk(vec![choice], usage));
    }
}

fn chunk_delta(delta: Delta) -> ChunkDelta {
    match delta {
        Delta::Content(text) => ChunkDelta { content: Some(text), ..ChunkDelta::default() },
        Delta::Reasoning(text) => ChunkDelta {
            reasoning: Some(text.clone()),
            reasoning_content: Some(text),
            ..ChunkDelta::default()
        },
        Delta::ToolCall { index, id, name } => {
            let function = FunctionDelta { name: Some(name), arguments: String::new() };
            let call = CallDelta { index, id: Some(id), kind: Some(FunctionKind::Function), function };
            ChunkDelta { tool_calls: vec![call], ..ChunkDelta::default() }
        }
        Delta::ToolArguments { index, text } => {
            let function = FunctionDelta { name: None, arguments: text };
            let call = CallDelta { index, id: None, kind: None, function };
            ChunkDelta { tool_calls: vec![call], ..ChunkDelta::default() }
        }
    }
}
