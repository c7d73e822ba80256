//! Tokenizers: from text to token ids, and from ids to text while they come.
//!
//! Built from a Hugging Face folder (`tokenizer.json` and its companions) or from the metadata of a GGUF file. The
//! pipeline and most models are the `tokenizers` crate's; byte pair encoding is our own.

mod byte_level;
mod charsmap;
mod decode_stream;
mod engine;
mod error;
mod gguf;
mod hugging_face;
mod merges;
mod pre_tokenizers;
mod special_tokens;
mod surroundings;
mod text_index;
mod vocabulary;

pub use decode_stream::{DecodeStream, OwnedDecodeStream, SpecialText};
pub use error::TokenizerError;
pub use vocabulary::TokenKind;

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::gguf::{Metadata, Strings};
use engine::Engine;
use surroundings::Surroundings;
use vocabulary::{FirstSpace, Spelling, Vocabulary};

/// What a token's name in the text means: `<|im_end|>`, `</s>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// It is that token: for templates, which write structure.
    Parse,
    /// It is text like any other: for what users write. (Tokens that are text, such as runs of spaces, stay tokens.)
    Plain,
}

/// Whether the tokens that begin and end a text are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddBos {
    /// As the model was trained: its own settings say which come before and after a text.
    AsModel,
    /// As [`Self::AsModel`], but not where the text already begins or ends with them: for rendered templates of models
    /// whose template may or may not write them.
    IfMissing,
    /// None: the text is a continuation, or writes them itself.
    Never,
}

/// What a text is to the text before it, which decides about a space at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextStart {
    /// A text of its own: the tokenizer's space before the first word is none of it.
    OwnText,
    /// It goes on.
    Continuation,
}

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokenizer {
    /// `None` for a model that takes ids only.
    engine: Option<Engine>,
    vocabulary: Vocabulary,
    surroundings: Surroundings,
    bos: Option<u32>,
    eos: Option<u32>,
    /// All tokens that end a generation, sorted.
    ends: Vec<u32>,
}

impl Tokenizer {
    /// The tokenizer that a checkpoint brings.
    ///
    /// # Errors
    /// A missing or damaged file or key, or a kind of tokenizer that is not supported, by name.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Tokenizer, TokenizerError> {
        match (checkpoint.gguf_metadata(), checkpoint.folder()) {
            (Some(metadata), _) => Tokenizer::from_metadata(metadata),
            (None, Some(folder)) => Tokenizer::from_folder(folder),
            (None, None) => Ok(Tokenizer::without_text()),
        }
    }

    /// The tokenizer in the metadata of a GGUF file (`tokenizer.ggml.*`).
    ///
    /// # Errors
    /// As [`Self::from_checkpoint`].
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
        gguf::from_metadata(metadata)
    }

    /// The tokenizer in a folder: `tokenizer.json`, and what `tokenizer_config.json`, `special_tokens_map.json`,
    /// `generation_config.json` and `config.json` say about its special tokens.
    ///
    /// # Errors
    /// As [`Self::from_checkpoint`].
    pub fn from_folder(folder: impl AsRef<std::path::Path>) -> Result<Tokenizer, TokenizerError> {
        hugging_face::from_folder(folder.as_ref())
    }

    /// A tokenizer for ids only.
    fn without_text() -> Tokenizer {
        let vocabulary =
            Vocabulary::new(Arc::new(Strings::default()), Vec::new(), Spelling::Verbatim, FirstSpace::Kept);
        let surroundings = Surroundings::default();
        Tokenizer { engine: None, vocabulary, surroundings, bos: None, eos: None, ends: Vec::new() }
    }

    /// The ids of a text.
    ///
    /// # Errors
    /// A model without a tokenizer; a character that the vocabulary cannot spell and has no token for.
    pub fn encode(&self, text: &str, special: Special, add: AddBos) -> Result<Vec<u32>, TokenizerError> {
        let engine = self.engine.as_ref().ok_or(TokenizerError::NoText)?;
        let ids = engine.encode(text, special)?;
        Ok(self.surroundings.add(ids, add))
    }

    /// The text of ids, without that of special tokens. Bytes that are no character give U+FFFD.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.decode_with(ids, SpecialText::Hide)
    }

    /// The text of ids, with or without that of special tokens.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn decode_with(&self, ids: &[u32], special: SpecialText) -> Result<String, TokenizerError> {
        let mut stream = DecodeStream::new(&self.vocabulary, special, self.vocabulary.first_space);
        let mut text = String::new();
        for id in ids {
            stream.push_to(*id, &mut text)?;
        }
        text.push_str(&stream.finish());
        Ok(text)
    }

    /// Text from ids that come one by one, from the beginning of a text and without that of special tokens.
    pub fn decode_stream(&self) -> DecodeStream<'_> {
        self.decode_stream_with(SpecialText::Hide)
    }

    /// As [`Self::decode_stream`], with or without the text of special tokens.
    pub fn decode_stream_with(&self, special: SpecialText) -> DecodeStream<'_> {
        DecodeStream::new(&self.vocabulary, special, self.vocabulary.first_space)
    }

    /// Text that continues other text: a space before its first word belongs to it.
    pub fn continue_stream(&self, special: SpecialText) -> DecodeStream<'_> {
        DecodeStream::new(&self.vocabulary, special, FirstSpace::Kept)
    }

    /// A stream that keeps the tokenizer alive: [`Self::decode_stream_with`] for a text of its own, and
    /// [`Self::continue_stream`] for one that goes on.
    pub fn owned_stream(self: &Arc<Self>, special: SpecialText, start: TextStart) -> OwnedDecodeStream {
        let stream = match start {
            TextStart::OwnText => self.decode_stream_with(special),
            TextStart::Continuation => self.continue_stream(special),
        };
        stream.into_owned(Arc::clone(self))
    }

    /// The bytes that a token stands for, a special token's name included; `None` outside the vocabulary. A token may
    /// be a part of a character.
    pub fn token_bytes(&self, id: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.vocabulary.append_bytes(id, &mut bytes).then_some(bytes)
    }

    /// A token as the vocabulary writes it (`Ġthe`, `▁the`, `<0x0A>`).
    pub fn token_text(&self, id: u32) -> Option<String> {
        self.vocabulary.text(id).map(str::to_owned)
    }

    /// What a token is for.
    pub fn token_kind(&self, id: u32) -> Option<TokenKind> {
        self.vocabulary.kind(id)
    }

    /// The token that the vocabulary writes exactly so.
    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.engine.as_ref()?.token_id(text)
    }

    /// Whether a token is structure rather than text.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.vocabulary.kind(id), Some(TokenKind::Control | TokenKind::Unknown))
    }

    /// Number of tokens; the model's logits may have more rows than that, none of which is text. 0 without a tokenizer.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The token that begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.eos
    }

    /// All tokens after which a generation is over: end of sequence, of turn, of message.
    pub fn eos_ids(&self) -> &[u32] {
        &self.ends
    }

    /// The ids that come before and after a text under [`AddBos::AsModel`].
    pub fn surroundings(&self) -> (&[u32], &[u32]) {
        (&self.surroundings.before, &self.surroundings.after)
    }
}
