//! One answer as it comes: taken apart into content, reasoning and calls, cut at stop strings.

use wootz_chat::{Delta, OutputParser};
use wootz_engine::{Passed, StopFilter, Usage};

use super::content_tokens::ContentTokens;
use super::reasoning::Shown;
use super::reply::FinishWord;
use crate::options::StopText;
use crate::token_text::TokenText;

/// What every answer of a request is read with.
#[derive(Debug, Clone)]
pub struct AnswerRules {
    /// Texts that end it. They are looked for in the content only: not in reasoning, nor in the arguments of calls.
    pub stops: Vec<String>,
    /// Whether they are part of it.
    pub stop_text: StopText,
    /// Whether reasoning is passed on.
    pub shown: Shown,
}

/// An answer under way.
#[derive(Debug)]
pub struct Answer {
    parser: OutputParser,
    filter: StopFilter,
    rules: AnswerRules,
    tokens: ContentTokens,
    calls: usize,
    /// Tokens at which a stop string was complete.
    stopped: Option<usize>,
}

/// What a piece of text has become.
#[derive(Debug, Default)]
pub struct Progress {
    /// New parts of the message.
    pub deltas: Vec<Delta>,
    /// Tokens of the content that were decided on.
    pub tokens: Vec<TokenText>,
}

/// Whether an answer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It does.
    Open,
    /// A stop string has just ended it.
    Stopped,
}

impl Answer {
    /// An answer of which nothing is there yet.
    pub fn new(parser: OutputParser, rules: AnswerRules) -> Self {
        let filter = StopFilter::new(rules.stops.iter().cloned());
        Self { parser, filter, rules, tokens: ContentTokens::default(), calls: 0, stopped: None }
    }

    /// Whether a stop string has ended it.
    pub fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Takes a piece of text in, and the tokens that begin in it; the answer has `generated` tokens so far.
    pub fn push(&mut self, text: &str, tokens: Vec<TokenText>, generated: usize) -> (Progress, Course) {
        if self.stopped.is_some() {
            return (Progress::default(), Course::Open);
        }
        self.tokens.push(tokens);
        let deltas = self.parser.push(text);
        self.take(deltas, generated)
    }

    /// The text is over. Returns what was held back, why the answer ended and what it took.
    pub fn finish(&mut self, reason: &'static str, usage: Usage) -> (Progress, FinishWord, Usage) {
        let mut progress = Progress::default();
        if self.stopped.is_none() {
            let deltas = self.parser.finish();
            progress = self.take(deltas, usage.generated).0;
        }
        if self.stopped.is_none() {
            let held = self.filter.finish();
            self.emit(held, &mut progress);
        }
        let word = match (self.stopped, reason) {
            (None, "length") => FinishWord::Length,
            _ if self.calls > 0 => FinishWord::ToolCalls,
            _ => FinishWord::Stop,
        };
        // What came after a stop string is no part of the answer; how much came depends on the load.
        let usage = match self.stopped {
            Some(generated) => {
                let mut cut = Usage { generated, reasoning: usage.reasoning.min(generated), ..usage };
                cut.drafts.accepted = cut.drafts.accepted.min(generated);
                cut
            }
            None => usage,
        };
        (progress, word, usage)
    }

    fn take(&mut self, deltas: Vec<Delta>, generated: usize) -> (Progress, Course) {
        let mut progress = Progress::default();
        let is_content = |delta: &Delta| matches!(delta, Delta::Content(_));
        let no_content = !deltas.is_empty() && !deltas.iter().any(is_content);
        for delta in deltas {
            match delta {
                Delta::Content(text) => {
                    self.tokens.found(&text);
                    let (text, course) = self.filter(&text);
                    self.emit(text, &mut progress);
                    if course == Course::Stopped {
                        self.stopped = Some(generated);
                        return (progress, Course::Stopped);
                    }
                }
                other => {
                    // What was held back of the content is no beginning of a stop string.
                    let held = self.filter.finish();
                    self.emit(held, &mut progress);
                    self.calls += usize::from(matches!(other, Delta::ToolCall { .. }));
                    if self.rules.shown == Shown::Yes || !matches!(other, Delta::Reasoning(_)) {
                        progress.deltas.push(other);
                    }
                }
            }
        }
        if no_content {
            self.tokens.clear();
        }
        (progress, Course::Open)
    }

    /// Content for the client.
    fn emit(&mut self, text: String, progress: &mut Progress) {
        if !text.is_empty() {
            progress.tokens.extend(self.tokens.release(text.len()));
            progress.deltas.push(Delta::Content(text));
        }
    }

    fn filter(&mut self, text: &str) -> (String, Course) {
        match self.filter.push(text) {
            Passed::Text(text) => (text, Course::Open),
            Passed::Stopped { mut text, stop } => {
                if self.rules.stop_text == StopText::Kept
                    && let Some(stop) = self.rules.stops.get(stop)
                {
                    text.push_str(stop);
                }
                (text, Course::Stopped)
            }
        }
    }
}
