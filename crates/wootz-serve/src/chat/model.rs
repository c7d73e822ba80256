//! What chats need of a model besides its engine: template, format of its answers, grammars.

use serde_json::{Map, Value};
use wootz_chat::ChatFormat;
use wootz_grammar::{Grammar, GrammarCompiler, GrammarError, GrammarSource, TokenText, Vocabulary};
use wootz_weights::Checkpoint;
use wootz_weights::chat_template::{ChatInput, ChatTemplate, Ending, TemplateError, TemplateOrigin};
use wootz_weights::tokenizer::{TokenKind, Tokenizer};

use super::guide::chat_format;
use super::request::PromptEnd;
use crate::error::ApiError;

/// What chats need of a model.
#[derive(Debug)]
pub struct ChatModel {
    template: ChatTemplate,
    bos: String,
    eos: String,
    /// How its answers mark reasoning and calls.
    pub format: ChatFormat,
    grammars: GrammarCompiler,
}

/// Why a model can't be chatted with.
#[derive(Debug, thiserror::Error)]
pub enum ChatModelError {
    /// Its template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Its vocabulary.
    #[error(transparent)]
    Grammar(#[from] GrammarError),
}

/// A conversation to be rendered.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    /// Messages as the template reads them.
    pub messages: &'a [Value],
    /// Tools as the template reads them; empty: none.
    pub tools: &'a [Value],
    /// What the prompt ends with.
    pub end: PromptEnd,
    /// Further variables.
    pub variables: &'a Map<String, Value>,
}

impl ChatModel {
    /// With the checkpoint's own template, or what stands in for it.
    ///
    /// # Errors
    /// A template that can't be read, a vocabulary that grammars can't follow.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        tokenizer: &Tokenizer,
        vocab: usize,
    ) -> Result<Self, ChatModelError> {
        let template = match ChatTemplate::from_checkpoint(checkpoint)? {
            Some(template) => template,
            None => match TemplateOrigin::without_template(|text| tokenizer.token_id(text).is_some()) {
                TemplateOrigin::ChatMl => ChatTemplate::chatml()?,
                _ => ChatTemplate::transcript()?,
            },
        };
        Self::new(template, tokenizer, vocab)
    }

    /// With a template, for a model that computes `vocab` logits.
    ///
    /// # Errors
    /// A vocabulary that grammars can't follow.
    pub fn new(template: ChatTemplate, tokenizer: &Tokenizer, vocab: usize) -> Result<Self, ChatModelError> {
        let text = |token: Option<u32>| token.and_then(|id| tokenizer.token_text(id)).unwrap_or_default();
        let format = chat_format(template.source(), tokenizer);
        let tokens = (0..vocab).map(|id| token_text(tokenizer, u32::try_from(id).unwrap_or(u32::MAX)));
        let vocabulary = Vocabulary::new(tokens, tokenizer.eos_ids())?;
        let (bos, eos) = (text(tokenizer.bos()), text(tokenizer.eos()));
        Ok(Self { template, bos, eos, format, grammars: GrammarCompiler::new(vocabulary)? })
    }

    /// A grammar for this model, asked for by a parameter.
    ///
    /// # Errors
    /// What in it can't be used.
    pub fn compile(&self, (param, source): (&'static str, GrammarSource)) -> Result<Grammar, ApiError> {
        self.grammars.compile(&source).map_err(|error| ApiError::invalid(param, error.to_string()))
    }

    /// The template's source.
    pub fn template(&self) -> &str {
        self.template.source()
    }

    /// The text of a prompt.
    ///
    /// # Errors
    /// What the template refuses, and a last message that it does not show as it is.
    pub fn prompt(&self, conversation: Conversation<'_>) -> Result<String, ApiError> {
        let Conversation { messages, tools, end, variables } = conversation;
        let ending =
            if end == PromptEnd::AssistantTurn { Ending::AssistantTurn } else { Ending::LastMessage };
        let text = self.template.render(&ChatInput {
            messages,
            tools: (!tools.is_empty()).then_some(tools),
            ending,
            bos_token: &self.bos,
            eos_token: &self.eos,
            variables: Some(variables),
        });
        let text = text.map_err(|error| ApiError::invalid("messages", error.to_string()))?;
        match end {
            PromptEnd::AssistantTurn | PromptEnd::LastMessage => Ok(text),
            PromptEnd::WithinLastMessage => up_to_last_content(text, messages),
        }
    }
}

/// A prompt that ends with the text of its last message: what the template writes after it is cut off.
fn up_to_last_content(mut text: String, messages: &[Value]) -> Result<String, ApiError> {
    let last = messages.last().map(|message| &message["content"]);
    let content = match last {
        Some(Value::String(content)) => content.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    };
    // Templates may strip the text; what it ends with then has to do.
    for content in [content.as_str(), content.trim()] {
        if let Some(start) = text.rfind(content).filter(|_| !content.is_empty()) {
            text.truncate(start + content.len());
            return Ok(text);
        }
    }
    Err(ApiError::invalid(
        "continue_final_message",
        "the chat template does not show the last message's text as it is, so nothing can go on from it",
    ))
}

/// A token as grammars see it.
fn token_text(tokenizer: &Tokenizer, id: u32) -> TokenText {
    match tokenizer.token_kind(id) {
        None | Some(TokenKind::Unused) => TokenText { bytes: Vec::new(), special: false },
        Some(_) => TokenText {
            bytes: tokenizer.token_bytes(id).unwrap_or_default(),
            special: tokenizer.is_special(id),
        },
    }
}
