//! A tokenizer from a Hugging Face folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ahash::AHashMap;
use serde::Deserialize;
use serde_json::Value as Json;
use tokenizers::models::ModelWrapper;
use tokenizers::tokenizer::Model;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper};

use super::Tokenizer;
use super::engine::{Encoding, Engine};
use super::error::TokenizerError;
use super::merges::{MergeOptions, Merges, split_merge};
use super::special_tokens::ends_of_generation;
use super::surroundings::Surroundings;
use super::text_index::TextIndex;
use super::vocabulary::{FirstSpace, Spelling, TokenKind, Vocabulary, byte_of};
use crate::error::WeightsError;
use crate::gguf::Strings;

/// Ids beyond the number of tokens that a vocabulary may leave unused.
const UNUSED_IDS: usize = 1 << 20;

/// `tokenizer.json`. `truncation` and `padding` are left-overs of training runs and have no say here.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedTokenEntry>,
    #[serde(default)]
    normalizer: Json,
    #[serde(default)]
    pre_tokenizer: Json,
    #[serde(default)]
    post_processor: Json,
    #[serde(default)]
    decoder: Json,
    model: ModelFile,
}

/// An entry of `added_tokens`.
#[derive(Deserialize)]
struct AddedTokenEntry {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    special: bool,
}

/// The `model` object: BPE is read here, so that it can be checked before the library builds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum ModelFile {
    Bpe(BpeFile),
    Other(Json),
}

#[derive(Deserialize)]
struct BpeFile {
    vocab: AHashMap<String, u32>,
    merges: Vec<MergeEntry>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MergeEntry {
    Pair(String, String),
    Line(String),
}

/// The files around `tokenizer.json`; `Null` where there is none.
struct Companions {
    tokenizer_config: Json,
    special_tokens_map: Json,
    generation_config: Json,
    config: Json,
}

pub(super) fn from_folder(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(WeightsError::io(&path, "open"))?;
    let file: TokenizerFile = serde_json::from_slice(&bytes)
        .map_err(|error| WeightsError::malformed(&path, "the file", error, "a tokenizer"))?;
    let companions = Companions::read(folder)?;
    Builder { path, companions }.build(file)
}

impl Companions {
    fn read(folder: &Path) -> Result<Companions, WeightsError> {
        let read = |name: &str| {
            let path = folder.join(name);
            match std::fs::read(&path) {
                Ok(bytes) => serde_json::from_slice(&bytes)
                    .map_err(|error| WeightsError::malformed(&path, "the file", error, "JSON")),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Json::Null),
                Err(error) => Err(WeightsError::io(&path, "read")(error)),
            }
        };
        Ok(Companions {
            tokenizer_config: read("tokenizer_config.json")?,
            special_tokens_map: read("special_tokens_map.json")?,
            generation_config: read("generation_config.json")?,
            config: read("config.json")?,
        })
    }

    /// The text of a role ("bos_token"): a string, or an object with `content`.
    fn text(&self, role: &str) -> Option<&str> {
        [&self.tokenizer_config[role], &self.special_tokens_map[role]]
            .into_iter()
            .find_map(|value| value.as_str().or(value["content"].as_str()))
    }

    /// The ids of a role ("eos_token_id"): a number or a list.
    fn ids(&self, role: &str) -> Vec<u32> {
        [&self.generation_config[role], &self.config[role]]
            .into_iter()
            .find(|value| !value.is_null())
            .map(|value| match value {
                Json::Array(ids) => ids.iter().filter_map(Json::as_u64).collect(),
                single => single.as_u64().into_iter().collect(),
            })
            .unwrap_or_else(Vec::<u64>::new)
            .into_iter()
            .filter_map(|id| u32::try_from(id).ok())
            .collect()
    }
}

/// What errors name, and what the other files say.
struct Builder {
    path: PathBuf,
    companions: Companions,
}

impl Builder {
    fn build(&self, mut file: TokenizerFile) -> Result<Tokenizer, TokenizerError> {
        let spelling = self.spelling(&file.decoder, &file.pre_tokenizer)?;
        self.check_normalizer(&file.normalizer)?;
        self.check_pre_tokenizer(&file.pre_tokenizer)?;
        let normalizer: Option<NormalizerWrapper> = self.parse("normalizer", file.normalizer)?;
        let pre_tokenizer: Option<PreTokenizerWrapper> = self.parse("pre_tokenizer", file.pre_tokenizer)?;
        let mut surroundings = Surroundings::from_post_processor(&file.post_processor)
            .map_err(|found| self.wrong("post_processor", found, "a known post-processor"))?;

        file.added_tokens.sort_by_key(|token| token.id);
        let (encoding, texts, mut kinds) = self.model(file.model, &file.added_tokens)?;
        let added = file.added_tokens.iter().map(AddedTokenEntry::to_added_token).collect();
        let engine = Engine::new(encoding, normalizer, pre_tokenizer, added)
            .map_err(|error| self.wrong("added_tokens", error, "tokens that can be added"))?;
        for token in &file.added_tokens {
            let got = engine.token_id(&token.content);
            if got != Some(token.id) && !token.content.is_empty() {
                let found = format!("the id {} for {:?}", token.id, token.content);
                return Err(self.wrong("added_tokens", found, format!("{got:?}: ids without gaps")).into());
            }
        }
        let size = kinds.len() as u32;
        let role = |text: &str, ids: &str| {
            let by_text = self.companions.text(text).and_then(|text| engine.token_id(text));
            by_text.or_else(|| self.companions.ids(ids).into_iter().find(|id| *id < size))
        };
        let bos = role("bos_token", "bos_token_id");
        let eos = role("eos_token", "eos_token_id");
        surroundings.before.retain(|id| *id < size);
        surroundings.after.retain(|id| *id < size);
        self.apply_settings(&mut surroundings, bos, eos);
        let named = self.companions.ids("eos_token_id").into_iter().chain(eos);
        let ends = ends_of_generation(named, &mut kinds, |text| engine.token_id(text));
        let (spelling, first_space) = spelling;
        let vocabulary = Vocabulary::new(texts, kinds, spelling, first_space);
        Ok(Tokenizer { engine: Some(engine), vocabulary, surroundings, bos, eos, ends })
    }

    /// `add_bos_token` and `add_eos_token` of `tokenizer_config.json` override the post-processor.
    fn apply_settings(&self, around: &mut Surroundings, bos: Option<u32>, eos: Option<u32>) {
        let settings = &self.companions.tokenizer_config;
        if let (Some(add), Some(bos)) = (settings["add_bos_token"].as_bool(), bos) {
            around.before.retain(|id| *id != bos);
            if add {
                around.before.insert(0, bos);
            }
        }
        if let (Some(add), Some(eos)) = (settings["add_eos_token"].as_bool(), eos) {
            around.after.retain(|id| *id != eos);
            if add {
                around.after.push(eos);
            }
        }
    }

    /// The model, and texts and kinds by id.
    fn model(
        &self,
        file: ModelFile,
        added: &[AddedTokenEntry],
    ) -> Result<(Encoding, Arc<Strings>, Vec<TokenKind>), TokenizerError> {
        match file {
            ModelFile::Bpe(file) => {
                let words = file.vocab.iter().map(|(text, id)| (text.as_str(), *id));
                let byte_fallback = file.byte_fallback.unwrap_or(false);
                let (texts, kinds) = self.tokens(words, added, byte_fallback)?;
                let options = MergeOptions {
                    unknown: file.unk_token.and_then(|text| file.vocab.get(&text).copied()),
                    fuse_unknown: file.fuse_unk.unwrap_or(false),
                    byte_fallback,
                    whole_first: file.ignore_merges.unwrap_or(false),
                    continuing_prefix: file.continuing_subword_prefix.unwrap_or_default(),
                    end_suffix: file.end_of_word_suffix.unwrap_or_default(),
                };
                let merges = file.merges.iter().filter_map(|merge| match merge {
                    MergeEntry::Pair(left, right) => Some((left.as_str(), right.as_str())),
                    MergeEntry::Line(line) => split_merge(line),
                });
                let index = TextIndex::new(Arc::clone(&texts));
                Ok((Encoding::Merges(Merges::ranked(index, &kinds, merges, options)), texts, kinds))
            }
            ModelFile::Other(json) => {
                let kind = json["type"].as_str().unwrap_or("without a type").to_owned();
                if !["Unigram", "WordPiece", "WordLevel"].contains(&kind.as_str()) {
                    let supported = "BPE (with vocab and merges), Unigram, WordPiece, WordLevel".to_owned();
                    return Err(self.unsupported("tokenizer model", kind, supported));
                }
                let byte_fallback = json["byte_fallback"].as_bool().unwrap_or(false);
                let model: ModelWrapper = serde_json::from_value(json)
                    .map_err(|error| self.wrong("model", error, format!("a {kind} model")))?;
                let words = model.get_vocab();
                let words = words.iter().map(|(text, id)| (text.as_str(), *id));
                let (texts, kinds) = self.tokens(words, added, byte_fallback)?;
                Ok((Encoding::Library(model), texts, kinds))
            }
        }
    }

    /// Texts and kinds by id. Ids that no token has are unused.
    fn tokens<'a>(
        &self,
        words: impl ExactSizeIterator<Item = (&'a str, u32)> + Clone,
        added: &'a [AddedTokenEntry],
        byte_fallback: bool,
    ) -> Result<(Arc<Strings>, Vec<TokenKind>), WeightsError> {
        let count = words.len() + added.len();
        let largest = words.clone().map(|(_, id)| id).chain(added.iter().map(|token| token.id)).max();
        let size = largest.map_or(0, |id| id as usize + 1);
        if size > count + UNUSED_IDS {
            let found = format!("the id {} among {count} tokens", size - 1);
            return Err(self.wrong("model", found, "ids that are rows of a table"));
        }
        let mut texts = vec![""; size];
        let mut kinds = vec![TokenKind::Unused; size];
        for (text, id) in words {
            let byte = byte_fallback && byte_of(text).is_some();
            texts[id as usize] = text;
            kinds[id as usize] = if byte { TokenKind::Byte } else { TokenKind::Normal };
        }
        for token in added {
            texts[token.id as usize] = &token.content;
            kinds[token.id as usize] =
                if token.special { TokenKind::Control } else { TokenKind::UserDefined };
        }
        Ok((Arc::new(texts.into_iter().collect()), kinds))
    }

    /// How tokens spell bytes: what the decoder undoes.
    fn spelling(&self, decoder: &Json, pre: &Json) -> Result<(Spelling, FirstSpace), TokenizerError> {
        let mut steps = Vec::new();
        flatten(decoder, "decoders", &mut steps);
        let mut cuts = Vec::new();
        flatten(pre, "pretokenizers", &mut cuts);
        let mut spelling = if steps.is_empty() { Spelling::Words } else { Spelling::Verbatim };
        let mut first_space = if steps.is_empty() { FirstSpace::Dropped } else { FirstSpace::Kept };
        if steps.is_empty() && cuts.iter().any(|cut| cut["type"] == "ByteLevel") {
            return Ok((Spelling::ByteLevel, FirstSpace::Kept));
        }
        for step in steps {
            match step["type"].as_str().unwrap_or("without a type") {
                "ByteLevel" => spelling = Spelling::ByteLevel,
                "Metaspace" => {
                    let space = step["replacement"].as_str().and_then(|text| text.chars().next());
                    spelling = Spelling::SentencePiece(space.unwrap_or('▁'));
                    let never = step["prepend_scheme"] == "never" || step["add_prefix_space"] == false;
                    first_space = if never { FirstSpace::Kept } else { FirstSpace::Dropped };
                }
                "Replace" if step["content"] == " " => {
                    let space = step["pattern"]["String"].as_str().and_then(|text| text.chars().next());
                    spelling = Spelling::SentencePiece(space.unwrap_or('▁'));
                }
                "Strip" if step["content"] == " " && step["start"].as_u64() >= Some(1) => {
                    first_space = FirstSpace::Dropped;
                }
                "WordPiece" => {
                    spelling = Spelling::WordPiece(step["prefix"].as_str().unwrap_or("##").to_owned());
                    first_space = FirstSpace::Dropped;
                }
                "BPEDecoder" => {
                    spelling = Spelling::WordEnd(step["suffix"].as_str().unwrap_or("</w>").to_owned());
                }
                "ByteFallback" | "Fuse" | "Strip" => {}
                other => {
                    let supported = "ByteLevel, Metaspace, Replace by a space, ByteFallback, Fuse, Strip, WordPiece, BPEDecoder";
                    return Err(self.unsupported("decoder", other.to_owned(), supported.to_owned()));
                }
            }
        }
        Ok((spelling, first_space))
    }

    /// The library trusts character maps.
    fn check_normalizer(&self, normalizer: &Json) -> Result<(), WeightsError> {
        let mut steps = Vec::new();
        flatten(normalizer, "normalizers", &mut steps);
        for step in steps {
            if let Some(text) = step["precompiled_charsmap"].as_str() {
                let map = super::charsmap::from_base64(text);
                map.ok_or_else(|| "text that is not base64".to_owned())
                    .and_then(|map| super::charsmap::check(&map))
                    .map_err(|found| self.wrong("normalizer", found, "a complete character map"))?;
            }
        }
        Ok(())
    }

    /// The library trusts lengths.
    fn check_pre_tokenizer(&self, pre: &Json) -> Result<(), WeightsError> {
        let mut steps = Vec::new();
        flatten(pre, "pretokenizers", &mut steps);
        if steps.iter().any(|step| step["type"] == "FixedLength" && step["length"] == 0) {
            return Err(self.wrong(
                "pre_tokenizer",
                "pieces of length 0",
                "pieces of at least one character",
            ));
        }
        Ok(())
    }

    fn parse<T: serde::de::DeserializeOwned>(
        &self,
        place: &'static str,
        json: Json,
    ) -> Result<Option<T>, WeightsError> {
        let kind = json["type"].as_str().unwrap_or("of another kind").to_owned();
        serde_json::from_value(json)
            .map_err(|error| self.wrong(place, format!("{kind}: {error}"), format!("a known {place}")))
    }

    fn wrong(&self, place: &str, found: impl ToString, expected: impl ToString) -> WeightsError {
        WeightsError::malformed(&self.path, place, found, expected)
    }

    fn unsupported(&self, part: &'static str, found: String, supported: String) -> TokenizerError {
        TokenizerError::Unsupported { file: self.path.display().to_string(), part, found, supported }
    }
}

/// The steps of a component that may be a `Sequence` of others.
fn flatten<'a>(component: &'a Json, list: &str, steps: &mut Vec<&'a Json>) {
    match component[list].as_array() {
        Some(parts) => parts.iter().for_each(|part| flatten(part, list, steps)),
        None if component.is_null() => {}
        None => steps.push(component),
    }
}

impl AddedTokenEntry {
    fn to_added_token(&self) -> AddedToken {
        AddedToken::from(self.content.clone(), self.special)
            .single_word(self.single_word)
            .lstrip(self.lstrip)
            .rstrip(self.rstrip)
            .normalized(self.normalized)
    }
}
