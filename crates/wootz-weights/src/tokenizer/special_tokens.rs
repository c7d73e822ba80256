//! Tokens that mean something by their name, in every format.

use super::vocabulary::TokenKind;

/// Tokens after which a model has nothing more to say, as models name them. Files often name only one of a model's.
const ENDS_OF_GENERATION: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Tokens that fill in the middle of a file ends with.
const ENDS_OF_FILL_IN: &[&str] = &[
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
];

/// Marks of gpt-oss that a client has to see: they are control tokens in the file.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// All tokens that end a generation: the ones the file names, and those that end it by their name. Gives the kinds of
/// tokens that files get wrong too: what ends a generation is a control token.
///
/// `find` gives the id of a token's text. The result is sorted, without doubles.
pub(super) fn ends_of_generation(
    named: impl IntoIterator<Item = u32>,
    kinds: &mut [TokenKind],
    find: impl Fn(&str) -> Option<u32>,
) -> Vec<u32> {
    let mut ends: Vec<u32> = named.into_iter().filter(|id| (*id as usize) < kinds.len()).collect();
    for name in ENDS_OF_GENERATION {
        if let Some(id) = find(name) {
            kinds[id as usize] = TokenKind::Control;
            ends.push(id);
        }
    }
    // Ordinary vocabularies contain `<PAD>` too; it ends something only where a model was taught to fill in.
    if find("<|fim_prefix|>").or(find("<fim_prefix>")).or(find("<fim-prefix>")).or(find("<PRE>")).is_some() {
        for id in ENDS_OF_FILL_IN.iter().filter_map(|name| find(name)) {
            if kinds[id as usize] == TokenKind::Control {
                ends.push(id);
            }
        }
    }
    for id in SHOWN.iter().filter_map(|name| find(name)) {
        kinds[id as usize] = TokenKind::UserDefined;
    }
    // Harmony and Solar end turns with `<|end|>` inside one answer; other models end the answer with it.
    let several_turns = (find("<|return|>").is_some() && find("<|call|>").is_some())
        || (find("<|calls|>").is_some() && find("<|flush|>").is_some());
    if several_turns && let Some(end) = find("<|end|>") {
        ends.retain(|id| *id != end);
        kinds[end as usize] = TokenKind::UserDefined;
    }
    // Gemma 4 and PLaMo have an ordinary token `</s>`.
    let ordinary = find("<|tool_response>").is_some() || find("<|plamo:eos|>").is_some();
    if ordinary && let Some(end) = find("</s>") {
        ends.retain(|id| *id != end);
        kinds[end as usize] = TokenKind::Normal;
    }
    ends.sort_unstable();
    ends.dedup();
    ends
}
