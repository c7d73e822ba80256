//! From a request to the engine to pieces of text, for every endpoint that generates.
//!
//! The engine gives tokens. Here they become text that never ends inside a character, stop strings end an answer and are
//! held back while they may still appear, and tokens are reported together with the text that they begin in.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use wootz_engine::{
    EngineError, EventKind, EventStream, Guide, Logprobs, Passed, Prediction, Request, Sampled,
    SampledLogprobs, StopFilter, Tenant, Usage,
};
use wootz_weights::tokenizer::{OwnedDecodeStream, SpecialText, TextStart, Tokenizer};

use crate::ServedModel;
use crate::error::ApiError;
use crate::options::{GenerationSettings, StopText};
use crate::token_text::{TokenText, describe};

/// A prompt and everything that its answers are made with.
#[derive(Debug, Clone)]
pub struct GenerationRequest {
    /// The prompt's tokens.
    pub prompt: Vec<u32>,
    /// How answers are made.
    pub settings: GenerationSettings,
    /// What steers them besides the sampler.
    pub guide: Guide,
    /// What the answer will probably be.
    pub prediction: Prediction,
    /// Log probabilities wanted with each token.
    pub logprobs: Logprobs,
    /// Log probabilities wanted of the prompt's tokens, each with so many rivals.
    pub prompt_logprobs: Option<usize>,
    /// Whether special tokens give their names.
    pub special: SpecialText,
    /// What the answer is to the text before it.
    pub start: TextStart,
    /// On whose account.
    pub tenant: Tenant,
}

/// Something to tell the client about an answer.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Which answer, from 0.
    pub answer: usize,
    /// What.
    pub kind: PieceKind,
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub enum PieceKind {
    /// The prompt is computed. Once, for all answers.
    Prompted {
        /// Its tokens that did not have to be computed.
        reused: usize,
        /// How long the request waited before its first step.
        queued: Duration,
    },
    /// The prompt's tokens with their log probabilities, if they were asked for. Once, for all answers.
    PromptTokens(Vec<TokenText>),
    /// Text of the answer, and the tokens that begin in it.
    Text {
        /// The text; empty where a token's text is to come.
        text: String,
        /// How many tokens the answer has so far, whether or not their text is out.
        generated: usize,
        /// The tokens, if log probabilities were asked for.
        tokens: Vec<TokenText>,
    },
    /// The answer is complete.
    Finished {
        /// `stop` or `length`.
        reason: &'static str,
        /// What it took.
        usage: Usage,
    },
}

/// The answers to one prompt, as they come. Dropping it cancels them.
#[derive(Debug)]
pub struct Generation {
    events: EventStream,
    tokenizer: Arc<Tokenizer>,
    prompt: Vec<u32>,
    answers: Vec<AnswerText>,
    ready: VecDeque<Piece>,
}

/// The text of one answer, as it comes.
#[derive(Debug, Clone)]
struct AnswerText {
    decoder: OwnedDecodeStream,
    filter: StopFilter,
    stops: Vec<String>,
    stop_text: StopText,
    /// Bytes that came out of the decoder.
    decoded: usize,
    /// Characters that came out of the decoder.
    characters: usize,
    /// Bytes that the client got.
    passed: usize,
    generated: usize,
    /// Tokens whose text the client has not begun to get; each with the byte where that begins.
    held: VecDeque<(usize, TokenText)>,
    /// Tokens at which a stop string was complete.
    stopped: Option<usize>,
}

impl Generation {
    /// Hands a request to the engine.
    ///
    /// # Errors
    /// A prompt that leaves no room in the context, and whatever the engine refuses: a full queue, a setting out of range.
    pub fn start(model: &ServedModel, request: GenerationRequest) -> Result<Self, ApiError> {
        let GenerationRequest {
            prompt,
            settings,
            guide,
            prediction,
            logprobs,
            prompt_logprobs,
            special,
            start,
            tenant,
        } = request;
        let room = model.context.saturating_sub(prompt.len());
        let room = NonZeroUsize::new(room)
            .ok_or(EngineError::ContextFull { prompt: prompt.len(), context: model.context })?;
        let count = settings.answers.count();
        let answer = AnswerText {
            decoder: model.tokenizer.owned_stream(special, start),
            filter: StopFilter::new(settings.stops.iter().cloned()),
            stops: settings.stops,
            stop_text: settings.stop_text,
            decoded: 0,
            characters: 0,
            passed: 0,
            generated: 0,
            held: VecDeque::new(),
            stopped: None,
        };
        let mut scheduling = settings.scheduling;
        scheduling.tenant = tenant;
        let events = model.engine.submit(Request {
            prompt: prompt.clone(),
            sampling: settings.sampling,
            max_tokens: Some(settings.max_tokens.map_or(room, |most| most.min(room))),
            end_tokens: settings.end_tokens,
            logprobs,
            prompt_logprobs,
            reuse: settings.reuse,
            answers: settings.answers,
            guide,
            prediction,
            scheduling,
        })?;
        let answers = vec![answer; count];
        Ok(Self { events, tokenizer: Arc::clone(&model.tokenizer), prompt, answers, ready: VecDeque::new() })
    }

    /// Waits for the next piece; `None` when all answers are complete. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// What ends all answers: a fault of the device, the end of the engine.
    pub async fn next(&mut self) -> Result<Option<Piece>, ApiError> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(Some(piece));
            }
            let Some(event) = self.events.recv().await? else { return Ok(None) };
            self.take(event.answer, event.kind)?;
        }
    }

    /// Ends one answer: what reads its text has found its end. Text that is on its way may still come before its
    /// [`PieceKind::Finished`].
    pub fn stop(&self, answer: usize) {
        self.events.stop(answer);
    }

    /// Turns an event into pieces.
    fn take(&mut self, number: usize, kind: EventKind) -> Result<(), ApiError> {
        let piece = |kind| Piece { answer: number, kind };
        let Some(answer) = self.answers.get_mut(number) else { return Ok(()) };
        match kind {
            EventKind::Prompted { reused, queued } => {
                self.ready.push_back(piece(PieceKind::Prompted { reused, queued }));
            }
            EventKind::PromptLogprobs(logprobs) => {
                let tokens = prompt_tokens(&self.tokenizer, &self.prompt, logprobs);
                self.ready.push_back(piece(PieceKind::PromptTokens(tokens)));
            }
            EventKind::Token(sampled) => {
                let before = answer.stopped;
                self.ready.extend(answer.token(&self.tokenizer, sampled)?.map(piece));
                if before.is_none() && answer.stopped.is_some() {
                    self.events.stop(number);
                }
            }
            EventKind::Finished { reason, usage } => {
                self.ready.extend(answer.flush().map(piece));
                // What came after a stop string is no part of the answer; how much came depends on the load.
                let (name, usage) = match answer.stopped {
                    Some(generated) => {
                        ("stop", Usage { generated, reasoning: usage.reasoning.min(generated), ..usage })
                    }
                    None => (reason.name(), usage),
                };
                self.ready.push_back(piece(PieceKind::Finished { reason: name, usage }));
            }
            EventKind::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The prompt's tokens, each with where its text begins.
fn prompt_tokens(
    tokenizer: &Tokenizer,
    prompt: &[u32],
    logprobs: Vec<Option<SampledLogprobs>>,
) -> Vec<TokenText> {
    let mut stream = tokenizer.continue_stream(SpecialText::Hide);
    let mut characters = 0;
    let tokens = prompt.iter().zip(logprobs).map(|(&token, logprobs)| {
        let text = describe(tokenizer, token, characters, logprobs);
        characters += stream.push(token).map_or(0, |text| text.chars().count());
        text
    });
    tokens.collect()
}

impl AnswerText {
    /// Takes a token in.
    fn token(&mut self, tokenizer: &Tokenizer, sampled: Sampled) -> Result<Option<PieceKind>, EngineError> {
        if self.stopped.is_some() {
            return Ok(None);
        }
        self.generated += 1;
        let text = self.decoder.push(sampled.token).map_err(|error| EngineError::Text(error.to_string()))?;
        if sampled.logprobs.is_some() {
            let described = describe(tokenizer, sampled.token, self.characters, sampled.logprobs);
            self.held.push_back((self.decoded, described));
        }
        self.decoded += text.len();
        self.characters += text.chars().count();
        Ok(Some(self.pass(&text)))
    }

    /// Text on its way to the client, but for what belongs, or may belong, to a stop string.
    fn pass(&mut self, text: &str) -> PieceKind {
        match self.filter.push(text) {
            Passed::Text(text) => {
                let end = self.passed + text.len();
                self.release(text, end)
            }
            Passed::Stopped { mut text, stop } => {
                self.stopped = Some(self.generated);
                let mut end = self.passed + text.len();
                if self.stop_text == StopText::Kept
                    && let Some(stop) = self.stops.get(stop)
                {
                    text.push_str(stop);
                    end += stop.len();
                }
                self.release(text, end)
            }
        }
    }

    /// Text for the client, with the tokens that begin before byte `end`.
    fn release(&mut self, text: String, end: usize) -> PieceKind {
        self.passed += text.len();
        let begun = self.held.iter().take_while(|(start, _)| *start < end).count();
        let tokens = self.held.drain(..begun).map(|(_, token)| token).collect();
        PieceKind::Text { text, generated: self.generated, tokens }
    }

    /// The end of an answer: what was held back, if no stop string ended it.
    fn flush(&mut self) -> Option<PieceKind> {
        if self.stopped.is_some() {
            return None;
        }
        let rest = self.decoder.finish();
        self.decoded += rest.len();
        let mut piece = self.pass(&rest);
        if self.stopped.is_none() {
            let held = self.filter.finish();
            let last = self.release(held, usize::MAX);
            if let (PieceKind::Text { text, tokens, .. }, PieceKind::Text { text: more, tokens: rest, .. }) =
                (&mut piece, last)
            {
                text.push_str(&more);
                tokens.extend(rest);
            }
        }
        match &piece {
            PieceKind::Text { text, tokens, .. } if text.is_empty() && tokens.is_empty() => None,
            _ => Some(piece),
        }
    }
}
