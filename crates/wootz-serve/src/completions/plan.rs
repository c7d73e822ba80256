//! From a body to what the engine is asked.

use wootz_engine::{Answers, Guide, Logprobs};
use wootz_weights::tokenizer::{AddBos, Special, SpecialText, Tokenizer};

use super::fill;
use super::json::{CompletionOptions, CompletionRequest, Prompt, PromptItem};
use crate::ServedModel;
use crate::error::ApiError;
use crate::json::Parameters;
use crate::options::{Delivery, GenerationOptions, GenerationSettings, answer_count};
use crate::structured::StructuredOptions;

/// Without `max_tokens` an answer has at most so many, by OpenAI's documentation.
const DEFAULT_TOKENS: u64 = 16;
/// The most likely tokens that can be asked for.
const MOST_LOGPROBS: u32 = 100;

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The prompts, in order.
    pub prompts: Vec<PlannedPrompt>,
    /// How answers are made.
    pub settings: GenerationSettings,
    /// What steers them.
    pub guide: Guide,
    /// Answers to each prompt that the client gets.
    pub keep: usize,
    /// Most likely tokens to be told with each token.
    pub logprobs: Option<usize>,
    /// What of the prompt is in the answer.
    pub echo: Echo,
    /// How log probabilities name tokens.
    pub names: TokenNames,
}

/// A prompt.
#[derive(Debug)]
pub struct PlannedPrompt {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Its text.
    pub text: String,
}

/// What of the prompt is in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// Nothing.
    None,
    /// It comes first.
    Prompt,
    /// There is nothing else: for its log probabilities.
    PromptAlone,
}

/// How log probabilities name tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenNames {
    /// By their text.
    Text,
    /// By their ids.
    Id,
}

impl TokenNames {
    /// The name of a token.
    pub fn name(self, token: u32, bytes: &[u8]) -> String {
        match (self, std::str::from_utf8(bytes)) {
            (TokenNames::Id, _) => format!("token_id:{token}"),
            (TokenNames::Text, Ok(text)) => text.to_owned(),
            (TokenNames::Text, Err(_)) => {
                let digits = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
                format!("bytes:{}", digits.collect::<String>())
            }
        }
    }
}

impl Plan {
    /// What the engine is asked for with each token: answers are compared by it where only some are kept.
    pub fn engine_logprobs(&self) -> Logprobs {
        match self.logprobs {
            Some(count) => Logprobs::Top(count),
            None if self.settings.answers.count() > self.keep => Logprobs::Top(0),
            None => Logprobs::None,
        }
    }

    /// What the engine is asked for with the prompt's tokens.
    pub fn prompt_logprobs(&self) -> Option<usize> {
        self.logprobs.filter(|_| self.echo != Echo::None)
    }
}

/// Reads a body.
///
/// # Errors
/// Whatever is wrong with it.
pub fn plan(model: &ServedModel, body: &[u8], most_prompts: usize) -> Result<Plan, ApiError> {
    let body = Parameters::default().with::<CompletionRequest>().read(body)?;
    let own: CompletionOptions = body.part()?;
    let mut options: GenerationOptions = body.part()?;
    let grammar = body.part::<StructuredOptions>()?.grammar()?;
    let echo = echo(&own, &mut options)?;
    most_tokens(&own, &mut options)?;
    let keep = options.n.unwrap_or(1);
    let mut settings = options.settings(model)?;
    if let Some(best_of) = own.best_of {
        settings.answers = best_of_answers(best_of, keep, &settings, model)?;
    }
    let logprobs = logprobs(&own)?;
    let prompts = prompts(model, &own, most_prompts)?;
    Ok(Plan {
        prompts,
        settings,
        guide: Guide { reasoning: None, grammar: grammar.map(|form| model.chat.compile(form)).transpose()? },
        keep: keep as usize,
        logprobs,
        echo,
        names: match own.return_tokens_as_token_ids {
            Some(true) => TokenNames::Id,
            _ => TokenNames::Text,
        },
    })
}

/// What of the prompt is wanted. Scoring alone (`max_tokens` 0) is one token that nobody sees.
fn echo(own: &CompletionOptions, options: &mut GenerationOptions) -> Result<Echo, ApiError> {
    if !own.echo.unwrap_or(false) {
        return Ok(Echo::None);
    }
    if own.suffix.is_some() {
        return Err(ApiError::invalid(
            "echo",
            "echo is not possible with suffix: the prompt is no text of its own then",
        ));
    }
    if options.use_beam_search == Some(true) {
        return Err(ApiError::invalid("echo", "echo is not possible with use_beam_search"));
    }
    if options.max_tokens == Some(0) {
        options.max_tokens = Some(1);
        return Ok(Echo::PromptAlone);
    }
    Ok(Echo::Prompt)
}

/// The most tokens, by either name.
fn most_tokens(own: &CompletionOptions, options: &mut GenerationOptions) -> Result<(), ApiError> {
    match (options.max_tokens, own.n_predict) {
        (Some(_), Some(_)) => {
            let message = "max_tokens and n_predict are the same option; give one of them";
            Err(ApiError::invalid("n_predict", message))
        }
        (Some(_), None) => Ok(()),
        (None, Some(-1)) => Ok(()),
        (None, Some(most)) => {
            let most = u64::try_from(most).ok().filter(|&most| most > 0);
            let message = "n_predict has to be -1, which is as many as the context holds, or at least 1";
            options.max_tokens = Some(most.ok_or_else(|| ApiError::invalid("n_predict", message))?);
            Ok(())
        }
        (None, None) => {
            options.max_tokens = Some(DEFAULT_TOKENS);
            Ok(())
        }
    }
}

fn best_of_answers(
    best_of: u32,
    keep: u32,
    settings: &GenerationSettings,
    model: &ServedModel,
) -> Result<Answers, ApiError> {
    if best_of < keep {
        let message = format!("best_of is {best_of}, but n is {keep}: it has to be at least n");
        return Err(ApiError::invalid("best_of", message));
    }
    if best_of > keep && settings.delivery != Delivery::Whole {
        let message = "which answers are best is known at the end only: best_of above n excludes stream";
        return Err(ApiError::invalid("best_of", message));
    }
    let count = answer_count("best_of", best_of, model)?;
    Ok(match settings.answers {
        Answers::Sampled(_) => Answers::Sampled(count),
        Answers::Beams(search) => Answers::Beams(wootz_engine::BeamSearch { width: count, ..search }),
    })
}

fn logprobs(own: &CompletionOptions) -> Result<Option<usize>, ApiError> {
    match own.logprobs {
        Some(count) if count > MOST_LOGPROBS => {
            let message = format!("logprobs is {count}; possible are 0 to {MOST_LOGPROBS}");
            Err(ApiError::invalid("logprobs", message))
        }
        count => Ok(count.map(|count| count as usize)),
    }
}

fn prompts(
    model: &ServedModel,
    own: &CompletionOptions,
    most: usize,
) -> Result<Vec<PlannedPrompt>, ApiError> {
    let items = match own.prompt.clone() {
        None => return Err(ApiError::invalid("prompt", "there is no prompt")),
        Some(Prompt::Text(text)) => vec![PromptItem::Text(text)],
        Some(Prompt::Tokens(tokens)) => vec![PromptItem::Tokens(tokens)],
        Some(Prompt::Many(items)) => items,
    };
    if items.len() > most {
        let message =
            format!("prompt has {} prompts; at most {most} are possible in one request", items.len());
        return Err(ApiError::invalid("prompt", message));
    }
    let add = match own.add_special_tokens {
        Some(false) => AddBos::Never,
        _ => AddBos::IfMissing,
    };
    let planned = items.into_iter().map(|item| match (item, &own.suffix) {
        (PromptItem::Text(text), None) => {
            Ok(PlannedPrompt { tokens: model.tokenizer.encode(&text, Special::Parse, add)?, text })
        }
        (PromptItem::Text(text), Some(suffix)) => {
            Ok(PlannedPrompt { tokens: fill::tokens(&model.tokenizer, &text, suffix)?, text })
        }
        (PromptItem::Tokens(tokens), None) => {
            let text = text_of(&model.tokenizer, &tokens);
            Ok(PlannedPrompt { tokens, text })
        }
        (PromptItem::Tokens(_), Some(_)) => {
            Err(ApiError::invalid("suffix", "suffix needs a prompt that is text, not token ids"))
        }
    });
    planned.map(|prompt| prompt.and_then(|prompt| check(prompt, model))).collect()
}

/// Refuses what the engine would refuse too, before any other prompt of the batch has begun.
fn check(prompt: PlannedPrompt, model: &ServedModel) -> Result<PlannedPrompt, ApiError> {
    let length = prompt.tokens.len();
    if length == 0 {
        return Err(wootz_engine::EngineError::EmptyPrompt.into());
    }
    if length >= model.context {
        let error = wootz_engine::EngineError::ContextFull { prompt: length, context: model.context };
        return Err(ApiError::from(error).or_param("prompt"));
    }
    match prompt.tokens.iter().find(|&&token| token as usize >= model.vocab) {
        Some(&token) => {
            let error = wootz_engine::EngineError::TokenOutsideVocabulary { token, vocab: model.vocab };
            Err(ApiError::from(error).or_param("prompt"))
        }
        None => Ok(prompt),
    }
}

/// The text of a prompt's tokens. An id that has none, of a model with more rows than tokens, adds nothing.
fn text_of(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let mut stream = tokenizer.continue_stream(SpecialText::Hide);
    let mut text: String = tokens.iter().filter_map(|&token| stream.push(token).ok()).collect();
    text.push_str(&stream.finish());
    text
}
