//! Text to ids: the `tokenizers` crate's pipeline (added tokens, normalising, cutting) around its models, and around our
//! own byte pair encoding, which loads an order of magnitude faster and knows SentencePiece's scores.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokenizers::models::bpe::BPE;
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::tokenizer::{Model, Token, TokenizerImpl};
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Result,
};

use super::Special;
use super::error::TokenizerError;
use super::merges::Merges;

type Pipeline =
    TokenizerImpl<SharedModel, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// What turns a piece of text into tokens.
pub(super) enum Encoding {
    /// Unigram, WordPiece, WordLevel.
    Library(ModelWrapper),
    /// Byte pair encoding.
    Merges(Merges),
}

/// A model that two pipelines share: one parses special tokens, the other takes them as plain text.
#[derive(Clone)]
struct SharedModel(Arc<Encoding>);

impl Model for SharedModel {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, text: &str) -> Result<Vec<Token>> {
        match &*self.0 {
            Encoding::Library(model) => model.tokenize(text),
            Encoding::Merges(merges) => Ok(merges
                .encode(text)
                .into_iter()
                // Nothing reads the text of these tokens: the vocabulary has it.
                .map(|token| Token::new(token.id, String::new(), (token.start, token.end)))
                .collect()),
        }
    }

    fn token_to_id(&self, text: &str) -> Option<u32> {
        match &*self.0 {
            Encoding::Library(model) => model.token_to_id(text),
            Encoding::Merges(merges) => merges.index().id(text),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match &*self.0 {
            Encoding::Library(model) => model.id_to_token(id),
            Encoding::Merges(_) => None,
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match &*self.0 {
            Encoding::Library(model) => model.get_vocab(),
            Encoding::Merges(_) => HashMap::new(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match &*self.0 {
            Encoding::Library(model) => model.get_vocab_size(),
            Encoding::Merges(merges) => merges.index().len(),
        }
    }

    fn save(&self, folder: &Path, prefix: Option<&str>) -> Result<Vec<PathBuf>> {
        match &*self.0 {
            Encoding::Library(model) => model.save(folder, prefix),
            Encoding::Merges(_) => Err("this vocabulary is not the library's to save".into()),
        }
    }

    fn get_trainer(&self) -> TrainerWrapper {
        match &*self.0 {
            Encoding::Library(model) => model.get_trainer(),
            Encoding::Merges(_) => BPE::default().get_trainer().into(),
        }
    }
}

/// A pipeline that encodes text without what surrounds it (begin, end).
pub(super) struct Engine {
    parsing: Pipeline,
    /// Made when plain text is first asked for.
    plain: OnceLock<Pipeline>,
}

impl Engine {
    /// Added tokens must be in the model's vocabulary or be given in the order of their ids after it.
    pub(super) fn new(
        encoding: Encoding,
        normalizer: Option<NormalizerWrapper>,
        pre_tokenizer: Option<PreTokenizerWrapper>,
        added: Vec<AddedToken>,
    ) -> std::result::Result<Engine, String> {
        let mut parsing = Pipeline::new(SharedModel(Arc::new(encoding)));
        parsing.with_normalizer(normalizer).map_err(|error| error.to_string())?;
        parsing.with_pre_tokenizer(pre_tokenizer);
        if !added.is_empty() {
            parsing.add_tokens(added).map_err(|error| error.to_string())?;
        }
        Ok(Engine { parsing, plain: OnceLock::new() })
    }

    pub(super) fn encode(
        &self,
        text: &str,
        special: Special,
    ) -> std::result::Result<Vec<u32>, TokenizerError> {
        let pipeline = match special {
            Special::Parse => &self.parsing,
            Special::Plain => self.plain.get_or_init(|| {
                let mut plain = self.parsing.clone();
                plain.set_encode_special_tokens(true);
                plain
            }),
        };
        let encoding =
            pipeline.encode_fast(text, false).map_err(|error| TokenizerError::Encoding(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    pub(super) fn token_id(&self, text: &str) -> Option<u32> {
        self.parsing.token_to_id(text)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match &*self.parsing.get_model().0 {
            Encoding::Library(_) => "Engine(library)",
            Encoding::Merges(_) => "Engine(merges)",
        })
    }
}
