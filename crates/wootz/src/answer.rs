//! One answer: a request sent to the engine, its text written as it comes.

use std::time::{Duration, Instant};

use wootz_engine::{
    Engine, EngineError, EventKind, EventStream, FinishReason, Guide, Logprobs, Passed, Request, Sampled,
    SamplingSettings, StopFilter, Usage,
};
use wootz_weights::tokenizer::{DecodeStream, SpecialText, Tokenizer};

use crate::failure::Failure;
use crate::form::{ContentReader, Form};
use crate::interrupt::Answering;

/// How long Ctrl-C may go unnoticed.
const GLANCE: Duration = Duration::from_millis(20);

/// What an answer is made with, whatever the prompt.
#[derive(Debug, Clone)]
pub struct AnswerSettings {
    /// How tokens are chosen.
    pub sampling: SamplingSettings,
    /// The most tokens; `None`: as many as the context holds.
    pub max_tokens: Option<std::num::NonZeroUsize>,
    /// Texts that end the answer and are no part of it.
    pub stops: Vec<String>,
    /// Log probabilities wanted.
    pub logprobs: Logprobs,
    /// What the answer is to the text before it.
    pub start: Start,
    /// What the answer has to follow.
    pub form: Option<Form>,
}

/// What an answer is to the text before it, which decides about a space at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A text of its own, after a chat template: the tokenizer's space before the first word is none of it.
    OwnText,
    /// The prompt goes on.
    Continuation,
}

/// What takes an answer in as it comes.
pub trait Sink {
    /// A token was chosen. Its text may come later, when what follows shows how it is to be read.
    fn token(&mut self, sampled: &Sampled) -> Result<(), Failure>;
    /// Text that is part of the answer.
    fn text(&mut self, text: &str) -> Result<(), Failure>;
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The engine ended it.
    Engine(FinishReason),
    /// A stop string, by its place in the list.
    StopString(usize),
    /// Ctrl-C.
    Interrupted,
}

impl Ending {
    /// The word for it, as HTTP APIs have it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Engine(reason) => reason.name(),
            Ending::StopString(_) => "stop",
            Ending::Interrupted => "interrupted",
        }
    }
}

/// An answer that has ended.
#[derive(Debug)]
pub struct Answer {
    /// Its text.
    pub text: String,
    /// Why it ended.
    pub ending: Ending,
    /// Counts of tokens.
    pub usage: Usage,
    /// From the request to the first token.
    pub prompt_time: Duration,
    /// From the first token to the last.
    pub generation_time: Duration,
}

impl Answer {
    /// Prompt tokens computed in a second.
    pub fn prompt_speed(&self) -> f64 {
        (self.usage.prompt - self.usage.reused) as f64 / self.prompt_time.as_secs_f64().max(1e-9)
    }

    /// Tokens generated in a second after the first; `None` when there was no second one.
    pub fn generation_speed(&self) -> Option<f64> {
        let steps = self.usage.generated.checked_sub(1).filter(|&steps| steps > 0)?;
        Some(steps as f64 / self.generation_time.as_secs_f64().max(1e-9))
    }

    /// Both, for people.
    pub fn summary(&self) -> String {
        let Usage { prompt, reused, generated, .. } = self.usage;
        let prompt = match reused {
            0 => format!("prompt {prompt} tokens, {:.1} tokens/s", self.prompt_speed()),
            _ => format!("prompt {prompt} tokens ({reused} reused), {:.1} tokens/s", self.prompt_speed()),
        };
        let speed =
            self.generation_speed().map_or_else(String::new, |speed| format!(", {speed:.1} tokens/s"));
        let ending = match self.ending {
            Ending::Engine(
                FinishReason::EndToken(_) | FinishReason::GrammarComplete | FinishReason::Stopped,
            ) => "",
            Ending::Engine(FinishReason::MaxTokens) => " · stopped at --max-tokens",
            Ending::Engine(FinishReason::ContextFull) => " · the context is full",
            Ending::StopString(_) => " · stop string",
            Ending::Interrupted => " · interrupted",
        };
        format!("{prompt} · generated {generated} tokens{speed}{ending}")
    }
}

/// An answer on its way.
struct Progress<'a> {
    decoder: DecodeStream<'a>,
    reader: ContentReader,
    filter: StopFilter,
    text: String,
    usage: Usage,
    begun: Instant,
    first: Option<Instant>,
}

/// Asks the engine, and passes tokens and text on until the answer ends.
pub fn answer(
    engine: &Engine,
    tokenizer: &Tokenizer,
    prompt: Vec<u32>,
    settings: &AnswerSettings,
    sink: &mut dyn Sink,
) -> Result<Answer, Failure> {
    let answering = Answering::begin();
    let prompt_tokens = prompt.len();
    let stream = engine.submit(Request {
        sampling: settings.sampling.clone(),
        max_tokens: settings.max_tokens,
        logprobs: settings.logprobs,
        guide: settings.form.as_ref().map_or_else(Guide::default, Form::guide),
        ..Request::new(prompt, tokenizer.eos_ids().to_vec())
    })?;
    let special = settings.form.as_ref().map_or(SpecialText::Hide, Form::special);
    let mut progress = Progress {
        decoder: match settings.start {
            Start::OwnText => tokenizer.decode_stream_with(special),
            Start::Continuation => tokenizer.continue_stream(special),
        },
        reader: settings.form.as_ref().map_or_else(ContentReader::default, Form::reader),
        filter: StopFilter::new(settings.stops.iter().cloned()),
        text: String::new(),
        usage: Usage { prompt: prompt_tokens, ..Usage::default() },
        begun: Instant::now(),
        first: None,
    };
    let ending = progress.follow(&stream, &answering, sink)?;
    let ended = Instant::now();
    let first = progress.first.unwrap_or(ended);
    Ok(Answer {
        text: progress.text,
        ending,
        usage: progress.usage,
        prompt_time: first - progress.begun,
        generation_time: ended - first,
    })
}

impl Progress<'_> {
    /// Until the last event, a stop string or Ctrl-C.
    fn follow(
        &mut self,
        stream: &EventStream,
        answering: &Answering,
        sink: &mut dyn Sink,
    ) -> Result<Ending, Failure> {
        loop {
            if answering.interrupted() {
                self.flush(sink)?;
                return Ok(Ending::Interrupted);
            }
            match stream.next_within(GLANCE)?.map(|event| event.kind) {
                None | Some(EventKind::PromptLogprobs(_)) => {}
                Some(EventKind::Prompted { reused, .. }) => {
                    self.usage.reused = reused;
                    self.first = Some(Instant::now());
                }
                Some(EventKind::Token(sampled)) => {
                    self.usage.generated += 1;
                    sink.token(&sampled)?;
                    let piece =
                        self.decoder.push(sampled.token).map_err(|e| EngineError::Text(e.to_string()))?;
                    let content = self.reader.push(&piece);
                    if let Some(stop) = self.pass(&content, sink)? {
                        return Ok(Ending::StopString(stop));
                    }
                }
                Some(EventKind::Finished { reason, .. }) => {
                    return Ok(self.flush(sink)?.map_or(Ending::Engine(reason), Ending::StopString));
                }
                Some(EventKind::Failed(error)) => return Err(error.into()),
            }
        }
    }

    /// Passes text on, but for what belongs, or may belong, to a stop string.
    fn pass(&mut self, piece: &str, sink: &mut dyn Sink) -> Result<Option<usize>, Failure> {
        let (text, stop) = match self.filter.push(piece) {
            Passed::Text(text) => (text, None),
            Passed::Stopped { text, stop } => (text, Some(stop)),
        };
        self.emit(&text, sink)?;
        Ok(stop)
    }

    /// Passes on what was held back.
    fn flush(&mut self, sink: &mut dyn Sink) -> Result<Option<usize>, Failure> {
        let rest = self.decoder.finish();
        let rest = self.reader.push(&rest) + &self.reader.finish();
        if let Some(stop) = self.pass(&rest, sink)? {
            return Ok(Some(stop));
        }
        let held = self.filter.finish();
        self.emit(&held, sink)?;
        Ok(None)
    }

    fn emit(&mut self, text: &str, sink: &mut dyn Sink) -> Result<(), Failure> {
        if !text.is_empty() {
            self.text.push_str(text);
            sink.text(text)?;
        }
        Ok(())
    }
}
