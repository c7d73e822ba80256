//! A tokenizer from the metadata of a GGUF file.

use std::sync::Arc;

use ahash::AHashMap;
use tokenizers::models::ModelWrapper;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::{BertNormalizer, Precompiled, Prepend, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::tokenizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper};

use super::engine::{Encoding, Engine};
use super::error::TokenizerError;
use super::merges::{MergeOptions, Merges, split_merge};
use super::pre_tokenizers::{self, Pieces, PreTokenizer, Start};
use super::special_tokens::ends_of_generation;
use super::text_index::TextIndex;
use super::vocabulary::{FirstSpace, Spelling, TokenKind, Vocabulary};
use super::{Surroundings, Tokenizer};
use crate::error::WeightsError;
use crate::gguf::{Array, Metadata, Strings, Value};

/// SentencePiece's character for a space.
const SPACE: &str = "▁";
const TOKENS: &str = "tokenizer.ggml.tokens";
const MODELS: &str = "gpt2, gemma4, llama, t5, bert, none";

/// What the metadata says about every kind of tokenizer.
struct Facts<'a> {
    metadata: &'a Metadata,
    texts: Arc<Strings>,
    kinds: Vec<TokenKind>,
    unknown: Option<u32>,
}

/// The parts that differ between the kinds of tokenizers.
struct Parts {
    encoding: Encoding,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    spelling: Spelling,
    first_space: FirstSpace,
    /// Whether a text begins with the token for it, and ends with it, where the metadata does not say.
    begin: bool,
    end: bool,
}

pub(super) fn from_metadata(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    let model = match metadata.optional_str("tokenizer.ggml.model")? {
        None if metadata.get(TOKENS).is_none() => return Ok(Tokenizer::without_text()),
        None => return Err(metadata.missing("tokenizer.ggml.model").into()),
        Some("none" | "no_vocab") => return Ok(Tokenizer::without_text()),
        Some(model) => model,
    };
    let mut facts = Facts::read(metadata, model)?;
    let index = TextIndex::new(Arc::clone(&facts.texts));
    let named = ["eos", "eot", "eom"].map(|name| facts.id(name));
    let eos = named[0].or(facts.default_id(model, "eos"));
    let ends =
        ends_of_generation(named.into_iter().flatten().chain(eos), &mut facts.kinds, |text| index.id(text));
    let parts = match model {
        "gpt2" => bpe(&facts, index, metadata.optional_str("tokenizer.ggml.pre")?.unwrap_or("default"))?,
        "gemma4" => bpe(&facts, index, "gemma4")?,
        "llama" => sentence_piece(&facts, index)?,
        "t5" => unigram(&facts)?,
        "bert" => word_piece(&facts)?,
        other => return Err(unsupported(metadata, "tokenizer model", other, MODELS.to_owned())),
    };
    let bos = facts.id("bos").or(facts.id("cls")).or(facts.default_id(model, "bos"));
    let surroundings = facts.surroundings(model, &parts, bos, eos)?;
    let added = facts.added_tokens()?;
    let engine = Engine::new(parts.encoding, parts.normalizer, parts.pre_tokenizer, added)
        .map_err(|error| metadata.wrong(TOKENS, error, "a usable vocabulary"))?;
    let vocabulary = Vocabulary::new(facts.texts, facts.kinds, parts.spelling, parts.first_space);
    Ok(Tokenizer { engine: Some(engine), vocabulary, surroundings, bos, eos, ends })
}

fn unsupported(metadata: &Metadata, part: &'static str, found: &str, supported: String) -> TokenizerError {
    let file = metadata.path().display().to_string();
    TokenizerError::Unsupported { file, part, found: found.to_owned(), supported }
}

impl<'a> Facts<'a> {
    fn read(metadata: &'a Metadata, model: &str) -> Result<Facts<'a>, WeightsError> {
        let texts = Arc::new(metadata.get_strings(TOKENS)?.clone());
        let size = texts.len();
        const TYPES: &str = "tokenizer.ggml.token_type";
        let kinds = match metadata.optional_u64s(TYPES)? {
            None => vec![TokenKind::Normal; size],
            Some(numbers) if numbers.len() >= size => {
                numbers[..size].iter().map(|number| TokenKind::from_gguf(*number)).collect()
            }
            Some(numbers) => {
                let expected = format!("one for each of {size} tokens");
                return Err(metadata.wrong(TYPES, format!("{} token types", numbers.len()), expected));
            }
        };
        let mut facts = Facts { metadata, texts, kinds, unknown: None };
        facts.unknown = facts.id("unknown").or(facts.default_id(model, "unknown"));
        Ok(facts)
    }

    /// The id that the metadata gives a role ("bos", "eos", …). One outside the vocabulary means that there is none.
    fn id(&self, role: &str) -> Option<u32> {
        let id = self.metadata.optional_u32(&format!("tokenizer.ggml.{role}_token_id")).ok().flatten()?;
        ((id as usize) < self.texts.len()).then_some(id)
    }

    /// The id of a role in the original vocabulary of the kind, for files that leave it out.
    fn default_id(&self, model: &str, role: &str) -> Option<u32> {
        let id = match (model, role) {
            ("llama", "bos") => 1,
            ("llama", "eos") => 2,
            ("llama", "unknown") => 0,
            ("t5", "eos") => 1,
            ("t5", "unknown") => 2,
            ("bert", "bos") => 101,
            ("bert", "unknown") => 100,
            _ => return None,
        };
        ((id as usize) < self.texts.len()).then_some(id)
    }

    fn scores(&self) -> Result<Vec<f32>, WeightsError> {
        const SCORES: &str = "tokenizer.ggml.scores";
        let scores = self.metadata.get_f32s(SCORES)?;
        if scores.len() < self.texts.len() {
            let expected = format!("one for each of {} tokens", self.texts.len());
            return Err(self.metadata.wrong(SCORES, format!("{} scores", scores.len()), expected));
        }
        Ok(scores)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, WeightsError> {
        self.metadata.optional_bool(&format!("tokenizer.ggml.{name}"))
    }

    fn surroundings(
        &self,
        model: &str,
        parts: &Parts,
        bos: Option<u32>,
        eos: Option<u32>,
    ) -> Result<Surroundings, WeightsError> {
        let add_bos = self.flag("add_bos_token")?.unwrap_or(parts.begin);
        let add_eos = self.flag("add_eos_token")?.unwrap_or(parts.end);
        let separator = self.id("seperator").or(self.id("separator"));
        let after = match model {
            "bert" => separator.or((self.texts.len() > 102).then_some(102)),
            _ if add_eos => eos,
            _ if self.flag("add_sep_token")? == Some(true) => separator,
            _ => None,
        };
        Ok(Surroundings {
            before: bos.filter(|_| add_bos).into_iter().collect(),
            after: after.into_iter().collect(),
        })
    }

    /// The tokens that are found in text before anything else happens to it.
    fn added_tokens(&self) -> Result<Vec<AddedToken>, WeightsError> {
        let name = self.metadata.optional_str("general.name")?.unwrap_or_default().to_lowercase();
        // Phi 3 swallows the whitespace after its marks; GGUF has no place to say so.
        let phi3 = name.contains("phi-3") || name.contains("phi3");
        let mut added = Vec::new();
        for (text, kind) in self.texts.iter().zip(&self.kinds) {
            let special = match kind {
                TokenKind::Control | TokenKind::Unknown => true,
                TokenKind::UserDefined => false,
                _ => continue,
            };
            if !text.is_empty() {
                let swallows = phi3 && !["<unk>", "<s>", "<|endoftext|>"].contains(&text);
                added.push(AddedToken::from(text, special).normalized(false).rstrip(swallows));
            }
        }
        Ok(added)
    }
}

fn bpe(facts: &Facts, index: TextIndex, name: &str) -> Result<Parts, TokenizerError> {
    let Some(way) = pre_tokenizers::find(name) else {
        return Err(unsupported(facts.metadata, "pre-tokenizer", name, pre_tokenizers::known()));
    };
    let spelt = way.pieces == Pieces::SentencePiece;
    let options = MergeOptions {
        byte_fallback: spelt,
        whole_first: way.pieces == Pieces::WholeFirst,
        ..MergeOptions::default()
    };
    let merges = facts.metadata.get_strings("tokenizer.ggml.merges")?.iter().filter_map(split_merge);
    let merges = Merges::ranked(index, &facts.kinds, merges, options);
    let normalizer = if spelt { Some(replace_spaces(facts.metadata)?.into()) } else { None };
    Ok(Parts {
        encoding: Encoding::Merges(merges),
        normalizer,
        pre_tokenizer: Some(splits(facts.metadata, way)?),
        spelling: if spelt { Spelling::SentencePiece('▁') } else { Spelling::ByteLevel },
        first_space: FirstSpace::Kept,
        begin: way.start == Start::Bos,
        end: false,
    })
}

fn splits(metadata: &Metadata, way: &PreTokenizer) -> Result<PreTokenizerWrapper, WeightsError> {
    let mut steps = Vec::new();
    for pattern in way.splits {
        let pattern = SplitPattern::Regex((*pattern).to_owned());
        let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
            .map_err(|error| metadata.wrong("tokenizer.ggml.pre", error, "a pattern that compiles"))?;
        steps.push(split.into());
    }
    if way.pieces != Pieces::SentencePiece {
        steps.push(ByteLevel::new(false, false, false).into());
    }
    Ok(PreTokenizers::new(steps).into())
}

fn replace_spaces(metadata: &Metadata) -> Result<Replace, WeightsError> {
    Replace::new(" ", SPACE).map_err(|error| metadata.wrong(TOKENS, error, "a vocabulary with ▁ for spaces"))
}

fn sentence_piece(facts: &Facts, index: TextIndex) -> Result<Parts, TokenizerError> {
    let options = MergeOptions { unknown: facts.unknown, byte_fallback: true, ..MergeOptions::default() };
    let merges = Merges::scored(index, &facts.kinds, facts.scores()?, options);
    let prefix = facts.flag("add_space_prefix")?.unwrap_or(true);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if prefix {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    steps.push(replace_spaces(facts.metadata)?.into());
    Ok(Parts {
        encoding: Encoding::Merges(merges),
        normalizer: Some(Sequence::new(steps).into()),
        pre_tokenizer: None,
        spelling: Spelling::SentencePiece('▁'),
        first_space: if prefix { FirstSpace::Dropped } else { FirstSpace::Kept },
        begin: true,
        end: false,
    })
}

fn unigram(facts: &Facts) -> Result<Parts, TokenizerError> {
    let scores = facts.scores()?;
    let vocabulary = facts
        .texts
        .iter()
        .zip(&scores)
        .zip(&facts.kinds)
        .map(|((text, score), kind)| {
            // What the user defined is always taken: the best possible log-probability.
            let score = if *kind == TokenKind::UserDefined { 0.0 } else { f64::from(*score) };
            (text.to_owned(), score)
        })
        .collect();
    let bytes = facts.kinds.contains(&TokenKind::Byte);
    let model = Unigram::from(vocabulary, facts.unknown.map(|id| id as usize), bytes)
        .map_err(|error| facts.metadata.wrong(TOKENS, error, "a Unigram vocabulary with an unknown token"))?;
    let prefix = facts.flag("add_space_prefix")?.unwrap_or(true);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if let Some(map) = precompiled(facts.metadata)? {
        steps.push(map.into());
    }
    if facts.flag("remove_extra_whitespaces")?.unwrap_or(false) {
        steps.push(Strip::new(true, true).into());
        let pattern = tokenizers::normalizers::replace::ReplacePattern::Regex(" {2,}".to_owned());
        let runs = Replace::new(pattern, " ")
            .map_err(|error| facts.metadata.wrong(TOKENS, error, "a pattern that compiles"))?;
        steps.push(runs.into());
    }
    if prefix {
        steps.push(Prepend::new(SPACE.to_owned()).into());
    }
    steps.push(replace_spaces(facts.metadata)?.into());
    Ok(Parts {
        encoding: Encoding::Library(ModelWrapper::Unigram(model)),
        normalizer: Some(Sequence::new(steps).into()),
        pre_tokenizer: None,
        spelling: Spelling::SentencePiece('▁'),
        first_space: if prefix { FirstSpace::Dropped } else { FirstSpace::Kept },
        begin: false,
        end: true,
    })
}

/// The map that replaces characters before anything else (`nmt_nfkc` as a rule).
fn precompiled(metadata: &Metadata) -> Result<Option<Precompiled>, WeightsError> {
    const MAP: &str = "tokenizer.ggml.precompiled_charsmap";
    let bytes: Vec<u8> = match metadata.get(MAP) {
        None => return Ok(None),
        Some(Value::Array(Array::U8(bytes))) => bytes.clone(),
        Some(Value::Array(Array::I8(bytes))) => bytes.iter().map(|byte| *byte as u8).collect(),
        Some(_) => return Err(metadata.wrong(MAP, "another type", "an array of bytes")),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    super::charsmap::check(&bytes).map_err(|found| metadata.wrong(MAP, found, "a complete character map"))?;
    let map =
        Precompiled::from(&bytes).map_err(|error| metadata.wrong(MAP, error, "a complete character map"))?;
    Ok(Some(map))
}

/// BERT's: GGUF marks the beginning of a word by `▁`, the library its continuation by `##`.
fn word_piece(facts: &Facts) -> Result<Parts, TokenizerError> {
    const CONTINUED: &str = "##";
    let spelt = |text: &str, kind: TokenKind| match (kind, text.strip_prefix(SPACE)) {
        (TokenKind::Normal, Some(word)) => word.to_owned(),
        (TokenKind::Normal, None) => format!("{CONTINUED}{text}"),
        _ => text.to_owned(),
    };
    let mut vocabulary: AHashMap<String, u32> = AHashMap::with_capacity(facts.texts.len());
    for (id, (text, kind)) in facts.texts.iter().zip(&facts.kinds).enumerate() {
        vocabulary.insert(spelt(text, *kind), id as u32);
    }
    let unknown = facts.unknown.and_then(|id| facts.texts.get(id as usize)).unwrap_or("[UNK]").to_owned();
    let model = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token(unknown)
        .continuing_subword_prefix(CONTINUED.to_owned())
        .max_input_chars_per_word(usize::MAX)
        .build()
        .map_err(|error| facts.metadata.wrong(TOKENS, error, "a WordPiece vocabulary"))?;
    let lowercase = facts.flag("normalizer.lowercase")?.unwrap_or(true);
    let accents = facts.flag("normalizer.strip_accents")?.unwrap_or(lowercase);
    Ok(Parts {
        encoding: Encoding::Library(ModelWrapper::WordPiece(model)),
        normalizer: Some(BertNormalizer::new(true, true, Some(accents), lowercase).into()),
        pre_tokenizer: Some(BertPreTokenizer.into()),
        spelling: Spelling::SentencePiece('▁'),
        first_space: FirstSpace::Dropped,
        begin: true,
        end: true,
    })
}
