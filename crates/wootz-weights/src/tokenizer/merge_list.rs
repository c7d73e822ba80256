//! The `tokenizers` crate's BPE model from a vocabulary and merges that a file announces, checked first.

use ahash::AHashMap;
use tokenizers::models::bpe::BPE;

/// The options of a BPE model that are not its vocabulary.
#[derive(Debug, Clone, Default)]
pub(super) struct BpeOptions {
    pub(super) unknown: Option<String>,
    pub(super) fuse_unknown: bool,
    pub(super) byte_fallback: bool,
    /// A piece that is a token is that token, whatever the merges say.
    pub(super) ignore_merges: bool,
    pub(super) continuing_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
}

/// Builds the model. A merge of tokens that the vocabulary does not have can never happen, so it is left out.
pub(super) fn build(
    vocabulary: AHashMap<String, u32>,
    mut merges: Vec<(String, String)>,
    options: BpeOptions,
) -> Result<BPE, String> {
    let longest = vocabulary.keys().map(String::len).max().unwrap_or(0);
    let prefix = options.continuing_prefix.clone().unwrap_or_default();
    let mut joined = String::new();
    merges.retain(|(left, right)| {
        let Some(rest) = right.strip_prefix(prefix.as_str()) else { return false };
        if left.len() + rest.len() > longest {
            return false;
        }
        joined.clear();
        joined.push_str(left);
        joined.push_str(rest);
        [left, right, &joined].into_iter().all(|text| vocabulary.contains_key(text.as_str()))
    });
    let mut builder = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .fuse_unk(options.fuse_unknown)
        .byte_fallback(options.byte_fallback)
        .ignore_merges(options.ignore_merges);
    if let Some(unknown) = options.unknown {
        builder = builder.unk_token(unknown);
    }
    if let Some(prefix) = options.continuing_prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = options.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    builder.build().map_err(|error| error.to_string())
}

/// The two sides of a merge written as one string; the first token may begin with a space.
pub(super) fn split_merge(merge: &str) -> Option<(String, String)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge[first..].find(' ')?;
    Some((merge[..space].to_owned(), merge[space + 1..].to_owned()))
}
