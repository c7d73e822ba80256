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
