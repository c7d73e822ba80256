//! Filling in the middle: prompts of a text before and a text after, for models that were trained so.

use wootz_weights::tokenizer::{AddBos, Special, Tokenizer};

use crate::error::ApiError;

/// The tokens of a family of models, and the order that it was trained in.
struct Family {
    prefix: &'static str,
    suffix: &'static str,
    middle: &'static str,
    order: Order,
}

/// Where the texts stand.
enum Order {
    /// prefix token, text before, suffix token, text after, middle token.
    PrefixFirst,
    /// suffix token, text after, prefix token, text before.
    SuffixFirst,
}

use Order::{PrefixFirst, SuffixFirst};

/// Families by the names of their tokens, as their tokenizers write them.
const FAMILIES: [Family; 7] = [
    // Qwen2.5-Coder, CodeGemma.
    family("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", PrefixFirst),
    // StarCoder, StarCoder2.
    family("<fim_prefix>", "<fim_suffix>", "<fim_middle>", PrefixFirst),
    // SantaCoder.
    family("<fim-prefix>", "<fim-suffix>", "<fim-middle>", PrefixFirst),
    // GLM-4 and others that write "code".
    family("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", PrefixFirst),
    // Code Llama.
    family("▁<PRE>", "▁<SUF>", "▁<MID>", PrefixFirst),
    // DeepSeek Coder, whose middle token ends the prompt and whose "hole" stands between.
    family("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", PrefixFirst),
    // Codestral.
    family("[PREFIX]", "[SUFFIX]", "", SuffixFirst),
];

const fn family(prefix: &'static str, suffix: &'static str, middle: &'static str, order: Order) -> Family {
    Family { prefix, suffix, middle, order }
}

/// The tokens of a prompt whose answer stands between two texts.
///
/// # Errors
/// A model without tokens for it.
pub fn tokens(tokenizer: &Tokenizer, before: &str, after: &str) -> Result<Vec<u32>, ApiError> {
    let id = |name: &str| if name.is_empty() { Some(None) } else { tokenizer.token_id(name).map(Some) };
    let found = FAMILIES.iter().find_map(|family| {
        let marks = (id(family.prefix)??, id(family.suffix)??, id(family.middle)?);
        Some((marks, &family.order))
    });
    let Some(((prefix, suffix, middle), order)) = found else {
        let message =
            "this model has no tokens for filling in the middle, so suffix is not possible; leave it out";
        return Err(ApiError::unsupported("suffix", message));
    };
    let text = |text: &str| tokenizer.encode(text, Special::Plain, AddBos::Never);
    let mut tokens = tokenizer.surroundings().0.to_vec();
    match order {
        PrefixFirst => {
            tokens.push(prefix);
            tokens.extend(text(before)?);
            tokens.push(suffix);
            tokens.extend(text(after)?);
        }
        SuffixFirst => {
            tokens.push(suffix);
            tokens.extend(text(after)?);
            tokens.push(prefix);
            tokens.extend(text(before)?);
        }
    }
    tokens.extend(middle);
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A tokenizer of two words and some special tokens.
    fn tokenizer(special: &[&str]) -> Tokenizer {
        let words = ["[UNK]", "before", "after"];
        let vocabulary: serde_json::Map<_, _> = words
            .iter()
            .chain(special)
            .enumerate()
            .map(|(id, word)| ((*word).to_owned(), json!(id)))
            .collect();
        let added = special.iter().enumerate().map(|(number, content)| {
            json!({"id": words.len() + number, "content": content, "special": true, "single_word": false,
                "lstrip": false, "rstrip": false, "normalized": false})
        });
        let file = json!({
            "version": "1.0",
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": null,
            "decoder": null,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary},
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), file.to_string()).unwrap();
        Tokenizer::from_folder(folder.path()).unwrap()
    }

    #[test]
    fn each_family_has_its_order() {
        for Family { prefix, suffix, middle, order } in &FAMILIES {
            let special: Vec<&str> =
                [*prefix, *suffix, *middle].into_iter().filter(|name| !name.is_empty()).collect();
            // The ids are 3, 4, 5 in the order of the names.
            let expected: &[u32] = match order {
                PrefixFirst => &[3, 1, 4, 2, 5],
                SuffixFirst => &[4, 2, 3, 1],
            };
            assert_eq!(tokens(&tokenizer(&special), "before", "after").unwrap(), expected, "{prefix}");
        }
    }

    #[test]
    fn a_model_without_such_tokens_is_told() {
        let error = tokens(&tokenizer(&["<fim_prefix>"]), "before", "after").unwrap_err();
        assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some("suffix")));
    }
}
