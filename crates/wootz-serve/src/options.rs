//! The options that chat and plain completions share, as JSON and as what the engine takes.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Deserialize;
use utoipa::ToSchema;
use wootz_engine::{Answers, BeamSearch, PenaltyWindow, PrefixReuse, SamplingSettings, Scheduling, validate};
use wootz_weights::tokenizer::SpecialText;

use crate::ServedModel;
use crate::error::ApiError;
use crate::models::check_name;

/// Stop strings in one request, and bytes of each: every piece of text is searched for all of them.
const STOPS: usize = 32;
const STOP_BYTES: usize = 1024;
/// Biased tokens in one request: each step adds all of them.
const BIASES: usize = 4096;
/// Stop tokens in one request.
const STOP_TOKENS: usize = 1024;
/// Answers to one prompt.
const ANSWERS: u32 = 128;

/// How answers are made, whatever the endpoint. What is absent or null has its default.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
pub struct GenerationOptions {
    /// The model's name, as `/v1/models` lists it; absent: the model that is served.
    pub model: Option<String>,
    /// Whether the answer comes as server-sent events while it is made.
    pub stream: Option<bool>,
    /// What a stream holds besides.
    pub stream_options: Option<StreamOptions>,
    /// The most tokens of an answer.
    pub max_tokens: Option<u64>,
    /// How many answers.
    #[schema(minimum = 1, maximum = 128)]
    pub n: Option<u32>,
    /// Texts that end the answer and are no part of it.
    pub stop: Option<OneOrMany>,
    /// The same seed, prompt and options give the same answer, whatever else the server does. Absent: drawn.
    pub seed: Option<i64>,
    /// Flattens (above 1) or sharpens (below 1) the distribution; 0 always takes the most likely token. Default 1.
    #[schema(minimum = 0)]
    pub temperature: Option<f32>,
    /// Keeps the most likely tokens up to this share of probability. Default 1, off.
    #[schema(minimum = 0, maximum = 1)]
    pub top_p: Option<f32>,
    /// Keeps the k most likely tokens; 0 and -1, the default, are off.
    #[schema(minimum = -1)]
    pub top_k: Option<i64>,
    /// Keeps tokens at least this many times as likely as the most likely one. Default 0, off.
    #[schema(minimum = 0, maximum = 1)]
    pub min_p: Option<f32>,
    /// Keeps tokens whose surprise is nearest to the expected one, up to this share. Default 1, off.
    #[schema(minimum = 0, maximum = 1)]
    pub typical_p: Option<f32>,
    /// Makes tokens that were used less likely by this factor. Default 1, off.
    pub repetition_penalty: Option<f32>,
    /// The same, as llama.cpp calls it.
    pub repeat_penalty: Option<f32>,
    /// How many of the last tokens, of prompt and answer together, penalties look at; -1, the default, is all.
    #[schema(minimum = -1)]
    pub repeat_last_n: Option<i64>,
    /// Taken off a token's logit for each time that it was used. Default 0.
    pub frequency_penalty: Option<f32>,
    /// Taken off the logit of a token that was used. Default 0.
    pub presence_penalty: Option<f32>,
    /// Added to the logits of tokens, by token id; -100 all but forbids one.
    pub logit_bias: Option<BTreeMap<String, f32>>,
    /// Whether the answer goes on after the model's end token, up to the most tokens.
    pub ignore_eos: Option<bool>,
    /// Ids of tokens that end the answer, besides the model's own.
    pub stop_token_ids: Option<Vec<u32>>,
    /// Whether a stop string is part of the answer that it ends.
    pub include_stop_str_in_output: Option<bool>,
    /// Whether the text leaves the names of special tokens out. Default true.
    pub skip_special_tokens: Option<bool>,
    /// Follows the `n` best answers together instead of drawing.
    pub use_beam_search: Option<bool>,
    /// With beam search: scores are divided by length to this power. Default 1.
    pub length_penalty: Option<f32>,
    /// Lower is earlier, as in vLLM. Default 0.
    pub priority: Option<i32>,
    /// By when the answer should begin, in milliseconds; heeded under `--policy deadline`.
    pub deadline_ms: Option<u64>,
    /// Whether what was computed for earlier prompts that begin alike is taken over. Default true. It never changes the
    /// answer.
    pub cache_prompt: Option<bool>,
    /// A name of the one who asks. It changes nothing in the answer, and is not recorded.
    pub user: Option<String>,
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// What a stream holds besides the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamOptions {
    /// A last event with the counts of tokens.
    pub include_usage: Option<bool>,
    /// The counts so far in every event, as vLLM has it.
    pub continuous_usage_stats: Option<bool>,
    /// Random text that hides the lengths of tokens: not possible here, so it can only be false.
    pub include_obfuscation: Option<bool>,
}

/// How the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// All at once.
    Whole,
    /// As events.
    Stream(StreamUsage),
}

/// Where a stream says counts of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamUsage {
    /// Nowhere.
    None,
    /// In an event of its own at the end.
    Last,
    /// In every event, and at the end.
    Every,
}

/// Whether a stop string is part of the answer that it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopText {
    /// It is not.
    Left,
    /// It is.
    Kept,
}

/// The options, checked against a model.
#[derive(Debug, Clone)]
pub struct GenerationSettings {
    /// How tokens are chosen.
    pub sampling: SamplingSettings,
    /// The most tokens; `None`: as many as the context holds.
    pub max_tokens: Option<NonZeroUsize>,
    /// How many answers, and how they come about.
    pub answers: Answers,
    /// Texts that end an answer.
    pub stops: Vec<String>,
    /// Whether they are part of it.
    pub stop_text: StopText,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
    /// When it runs, but for the tenant.
    pub scheduling: Scheduling,
    /// Whether earlier prompts that begin alike are of use.
    pub reuse: PrefixReuse,
    /// Whether special tokens give their names.
    pub special: SpecialText,
    /// How it comes.
    pub delivery: Delivery,
}

impl GenerationOptions {
    /// What the options mean for a model.
    ///
    /// # Errors
    /// A value out of its range, a combination that makes no sense, a model that is not here (404).
    pub fn settings(&self, model: &ServedModel) -> Result<GenerationSettings, ApiError> {
        check_name(model, self.model.as_deref())?;
        let sampling = self.sampling(model.vocab)?;
        validate(&sampling, model.vocab)?;
        Ok(GenerationSettings {
            sampling,
            max_tokens: self.max_tokens()?,
            answers: self.answers(model)?,
            stops: self.stops()?,
            stop_text: match self.include_stop_str_in_output {
                Some(true) => StopText::Kept,
                _ => StopText::Left,
            },
            end_tokens: self.end_tokens(model)?,
            scheduling: Scheduling {
                priority: self.priority.unwrap_or(0).saturating_neg(),
                deadline: self.deadline_ms.map(Duration::from_millis),
                ..Scheduling::default()
            },
            reuse: match self.cache_prompt {
                Some(false) => PrefixReuse::Nothing,
                _ => PrefixReuse::Longest,
            },
            special: match self.skip_special_tokens {
                Some(false) => SpecialText::Show,
                _ => SpecialText::Hide,
            },
            delivery: self.delivery()?,
        })
    }

    fn sampling(&self, vocab: usize) -> Result<SamplingSettings, ApiError> {
        let repetition = match (self.repetition_penalty, self.repeat_penalty) {
            (Some(one), Some(other)) if one != other => {
                let message =
                    "repetition_penalty and repeat_penalty are the same option, and were given two values";
                return Err(ApiError::invalid("repeat_penalty", message));
            }
            (one, other) => one.or(other),
        };
        Ok(SamplingSettings {
            logit_bias: self.logit_bias(vocab)?,
            repetition_penalty: repetition.unwrap_or(1.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            penalty_window: match at_least_minus_one("repeat_last_n", self.repeat_last_n)? {
                None => PenaltyWindow::Whole,
                Some(count) => PenaltyWindow::Last(count),
            },
            top_k: at_least_minus_one("top_k", self.top_k)?.unwrap_or(0),
            typical_p: self.typical_p.unwrap_or(1.0),
            // 0 is in OpenAI's range: the likeliest token alone.
            top_p: self.top_p.map_or(1.0, |share| if share == 0.0 { f32::MIN_POSITIVE } else { share }),
            min_p: self.min_p.unwrap_or(0.0),
            temperature: self.temperature.unwrap_or(1.0),
            // Any whole number is a seed: negative ones are as good as others.
            seed: self.seed.map_or_else(fresh_seed, i64::cast_unsigned),
        })
    }

    fn logit_bias(&self, vocab: usize) -> Result<Vec<(u32, f32)>, ApiError> {
        let biases = self.logit_bias.iter().flatten();
        if biases.clone().count() > BIASES {
            let message = format!("logit_bias names more than {BIASES} tokens, the most that are possible");
            return Err(ApiError::invalid("logit_bias", message));
        }
        let bias = |(key, &bias): (&String, &f32)| {
            let token = key.parse::<u32>().ok().filter(|&token| (token as usize) < vocab);
            token.map(|token| (token, bias)).ok_or_else(|| {
                let shown: String = key.chars().take(32).collect();
                let message = format!(
                    "logit_bias has the key {shown:?}; keys are token ids from 0 to {}",
                    vocab.max(1) - 1
                );
                ApiError::invalid("logit_bias", message)
            })
        };
        biases.map(bias).collect()
    }

    fn max_tokens(&self) -> Result<Option<NonZeroUsize>, ApiError> {
        let most = self.max_tokens.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        match most.map(NonZeroUsize::new) {
            Some(None) => Err(ApiError::invalid("max_tokens", "max_tokens is 0; it has to be at least 1")),
            Some(most) => Ok(most),
            None => Ok(None),
        }
    }

    fn answers(&self, model: &ServedModel) -> Result<Answers, ApiError> {
        let beams = self.use_beam_search.unwrap_or(false);
        if self.length_penalty.is_some() && !beams {
            return Err(ApiError::invalid("length_penalty", "length_penalty is for use_beam_search only"));
        }
        let n = self.n.unwrap_or(1);
        let count = answer_count("n", n, model)?;
        if !beams {
            return Ok(Answers::Sampled(count));
        }
        if self.delivery()? != Delivery::Whole {
            let message = "a beam search knows its answers at the end only: use_beam_search excludes stream";
            return Err(ApiError::invalid("use_beam_search", message));
        }
        if self.stop.is_some() {
            let message = "a beam search compares whole answers: use_beam_search excludes stop; stop_token_ids is possible";
            return Err(ApiError::invalid("use_beam_search", message));
        }
        self.check_nothing_is_drawn()?;
        let length_penalty = self.length_penalty.unwrap_or(1.0);
        Ok(Answers::Beams(BeamSearch { width: count, length_penalty }))
    }

    /// A beam search compares answers by the model's own probabilities. A temperature of 0 or 1 says as much.
    fn check_nothing_is_drawn(&self) -> Result<(), ApiError> {
        let given = [
            ("temperature", self.temperature.is_some_and(|value| value != 0.0 && value != 1.0)),
            ("top_p", self.top_p.is_some_and(|value| value != 1.0)),
            ("top_k", self.top_k.is_some_and(|value| value > 0)),
            ("min_p", self.min_p.is_some_and(|value| value != 0.0)),
            ("typical_p", self.typical_p.is_some_and(|value| value != 1.0)),
            ("repetition_penalty", self.repetition_penalty.is_some_and(|value| value != 1.0)),
            ("repeat_penalty", self.repeat_penalty.is_some_and(|value| value != 1.0)),
            ("frequency_penalty", self.frequency_penalty.is_some_and(|value| value != 0.0)),
            ("presence_penalty", self.presence_penalty.is_some_and(|value| value != 0.0)),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!(
                    "a beam search draws nothing: use_beam_search excludes {name}; logit_bias is possible"
                );
                Err(ApiError::invalid(name, message))
            }
        }
    }

    fn stops(&self) -> Result<Vec<String>, ApiError> {
        let stops = match &self.stop {
            None => return Ok(Vec::new()),
            Some(OneOrMany::One(stop)) => std::slice::from_ref(stop),
            Some(OneOrMany::Many(stops)) => stops.as_slice(),
        };
        let wrong = if stops.len() > STOPS {
            format!("stop has {} texts; at most {STOPS} are possible", stops.len())
        } else if stops.iter().any(String::is_empty) {
            "stop has an empty text, which would end every answer at once".to_owned()
        } else if stops.iter().any(|stop| stop.len() > STOP_BYTES) {
            format!("stop has a text of more than {STOP_BYTES} bytes")
        } else {
            return Ok(stops.to_vec());
        };
        Err(ApiError::invalid("stop", wrong))
    }

    fn end_tokens(&self, model: &ServedModel) -> Result<Vec<u32>, ApiError> {
        let mut ends = match self.ignore_eos {
            Some(true) => Vec::new(),
            _ => model.tokenizer.eos_ids().to_vec(),
        };
        let own = self.stop_token_ids.as_deref().unwrap_or_default();
        if own.len() > STOP_TOKENS {
            let message = format!("stop_token_ids has {} ids; at most {STOP_TOKENS} are possible", own.len());
            return Err(ApiError::invalid("stop_token_ids", message));
        }
        if let Some(token) = own.iter().find(|&&token| token as usize >= model.vocab) {
            let message = format!("stop_token_ids has {token}; ids go from 0 to {}", model.vocab.max(1) - 1);
            return Err(ApiError::invalid("stop_token_ids", message));
        }
        ends.extend_from_slice(own);
        Ok(ends)
    }

    fn delivery(&self) -> Result<Delivery, ApiError> {
        let options = self.stream_options.unwrap_or_default();
        if options.include_obfuscation == Some(true) {
            let message = "include_obfuscation is not possible here; leave it out, or set it to false";
            return Err(ApiError::unsupported("stream_options.include_obfuscation", message));
        }
        match (self.stream.unwrap_or(false), self.stream_options) {
            (false, None) => Ok(Delivery::Whole),
            (false, Some(_)) => Err(ApiError::invalid(
                "stream_options",
                "stream_options is possible with \"stream\": true only",
            )),
            (true, _) => {
                Ok(Delivery::Stream(match (options.continuous_usage_stats, options.include_usage) {
                    (Some(true), _) => StreamUsage::Every,
                    (_, Some(true)) => StreamUsage::Last,
                    _ => StreamUsage::None,
                }))
            }
        }
    }
}

/// So many answers to one prompt, if that is possible.
///
/// # Errors
/// None, or more than the engine works on together.
pub fn answer_count(param: &str, count: u32, model: &ServedModel) -> Result<NonZeroUsize, ApiError> {
    let most = (ANSWERS as usize).min(model.sequences);
    let found = usize::try_from(count).unwrap_or(usize::MAX);
    NonZeroUsize::new(found).filter(|_| found <= most).ok_or_else(|| {
        let message = format!("{param} is {count}; possible are 1 to {most}");
        ApiError::invalid(param, message)
    })
}

/// A count, or -1 for none.
fn at_least_minus_one(param: &str, value: Option<i64>) -> Result<Option<usize>, ApiError> {
    match value {
        None | Some(-1) => Ok(None),
        Some(count) => usize::try_from(count).map(Some).map_err(|_| {
            ApiError::invalid(param, format!("{param} is {count}; it has to be -1 or more, where -1 is off"))
        }),
    }
}

/// A seed that differs from request to request.
fn fresh_seed() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}
