//! Chat completions that are sent when all answers are complete.

use wootz_chat::Delta;

use super::answer::{Answer, Course};
use super::message::{CalledFunction, FunctionKind};
use super::plan::{Head, Started};
use super::reply::{
    AnswerMessage, AssistantRole, ChatCompletion, Choice, ChoiceLogprobs, CompleteCall, FinishWord,
};
use crate::error::ApiError;
use crate::generation::PieceKind;
use crate::token_text::TokenText;
use crate::usage::UsageJson;

/// An answer with everything that has come of it.
struct Collected {
    answer: Answer,
    message: AnswerMessage,
    tokens: Vec<TokenText>,
    finish: FinishWord,
}

/// Waits for all answers.
///
/// # Errors
/// What ends an answer before its time.
pub async fn completion(head: Head, started: Started) -> Result<ChatCompletion, ApiError> {
    let Started { mut generation, answers, prompt_tokens, logprobs } = started;
    let mut collected: Vec<Collected> = answers.into_iter().map(Collected::new).collect();
    let mut usage = UsageJson::default();
    let mut cached = 0;
    while let Some(piece) = generation.next().await? {
        let Some(one) = collected.get_mut(piece.answer) else { continue };
        match piece.kind {
            PieceKind::Prompted { reused, .. } => cached = reused,
            PieceKind::PromptTokens(_) => {}
            PieceKind::Text { text, generated, tokens } => {
                let (progress, course) = one.answer.push(&text, tokens, generated);
                one.add(progress.deltas, progress.tokens);
                if course == Course::Stopped {
                    generation.stop(piece.answer);
                }
            }
            PieceKind::Finished { reason, usage: took } => {
                let (progress, finish, took) = one.answer.finish(reason, took);
                one.add(progress.deltas, progress.tokens);
                one.finish = finish;
                usage.add_answer(&took);
            }
        }
    }
    usage.add_prompt(prompt_tokens, cached);
    let choices = collected.into_iter().enumerate().map(|(index, one)| one.choice(index, logprobs.is_some()));
    Ok(head.completion(choices.collect(), usage))
}

impl Collected {
    fn new(answer: Answer) -> Self {
        Self { answer, message: AnswerMessage::default(), tokens: Vec::new(), finish: FinishWord::Stop }
    }

    fn add(&mut self, deltas: Vec<Delta>, tokens: Vec<TokenText>) {
        self.tokens.extend(tokens);
        for delta in deltas {
            match delta {
                Delta::Content(text) => self.message.content.get_or_insert_default().push_str(&text),
                Delta::Reasoning(text) => {
                    self.message.reasoning_content.get_or_insert_default().push_str(&text);
                }
                Delta::ToolCall { id, name, .. } => self.message.tool_calls.push(CompleteCall {
                    id,
                    kind: FunctionKind::Function,
                    function: CalledFunction { name, arguments: String::new() },
                }),
                Delta::ToolArguments { index, text } => {
                    if let Some(call) = self.message.tool_calls.get_mut(index) {
                        call.function.arguments.push_str(&text);
                    }
                }
            }
        }
    }

    fn choice(mut self, index: usize, logprobs: bool) -> Choice {
        if self.message.tool_calls.is_empty() {
            self.message.content.get_or_insert_default();
        }
        self.message.reasoning = self.message.reasoning_content.clone();
        self.message.role = AssistantRole::Assistant;
        Choice {
            index,
            message: self.message,
            logprobs: logprobs.then(|| ChoiceLogprobs::new(&self.tokens)),
            finish_reason: self.finish,
        }
    }
}
