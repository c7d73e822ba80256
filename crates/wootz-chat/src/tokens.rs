//! Which markers are control tokens of the model's vocabulary.

/// What a text is to a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerToken {
    /// Not one token.
    Absent,
    /// A token of text: a grammar spells it.
    Text,
    /// A control token: a grammar allows it only by its id.
    Control(u32),
}

/// The control tokens among a format's markers.
#[derive(Debug, Clone, Default)]
pub(crate) struct ControlTokens(Vec<(String, u32)>);

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextPart<'text> {
    Text(&'text str),
    Token(u32),
}

impl ControlTokens {
    /// The control tokens in the texts of a format.
    pub(crate) fn of(
        texts: impl IntoIterator<Item = &'static str>,
        token: &impl Fn(&str) -> MarkerToken,
    ) -> ControlTokens {
        let mut tokens = ControlTokens::default();
        for text in texts {
            for candidate in candidates(text) {
                if let MarkerToken::Control(id) = token(candidate)
                    && !tokens.0.iter().any(|(known, _)| known == candidate)
                {
                    tokens.0.push((candidate.to_owned(), id));
                }
            }
        }
        tokens
    }

    /// The id of a control token.
    pub(crate) fn id(&self, text: &str) -> Option<u32> {
        self.0.iter().find(|(known, _)| known == text).map(|(_, id)| *id)
    }

    /// The first control token of a text: where it stands, and its id.
    pub(crate) fn first(&self, text: &str) -> Option<(usize, u32)> {
        let mut at = 0;
        for part in self.split(text) {
            match part {
                TextPart::Text(text) => at += text.len(),
                TextPart::Token(id) => return Some((at, id)),
            }
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text, split at its control tokens.
    pub(crate) fn split<'text>(&self, text: &'text str) -> Vec<TextPart<'text>> {
        let (mut parts, mut rest) = (Vec::new(), text);
        loop {
            let next =
                self.0.iter().filter_map(|(token, id)| rest.find(token).map(|at| (at, token.len(), *id)));
            let Some((at, length, id)) = next.min_by_key(|(at, length, _)| (*at, usize::MAX - length)) else {
                break;
            };
            if at > 0 {
                parts.push(TextPart::Text(&rest[..at]));
            }
            parts.push(TextPart::Token(id));
            rest = &rest[at + length..];
        }
        if !rest.is_empty() {
            parts.push(TextPart::Text(rest));
        }
        parts
    }
}

/// The parts of a text that look like control tokens: in angle brackets, square brackets or DeepSeek's bars.
pub(crate) fn candidates(text: &'static str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (at, character) in text.char_indices() {
        let end = match character {
            '<' => '>',
            '[' => ']',
            '｜' => '｜',
            _ => continue,
        };
        let inside = &text[at + character.len_utf8()..];
        if let Some(length) = inside.find(end) {
            found.push(&text[at..at + character.len_utf8() + length + end.len_utf8()]);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats;
    use crate::syntax::GEMMA_QUOTE;

    #[test]
    fn texts_are_split_at_control_tokens() {
        let known = |text: &str| match text {
            "<|open|>" => MarkerToken::Control(7),
            "<|sep|>" => MarkerToken::Control(8),
            _ => MarkerToken::Absent,
        };
        let tokens = ControlTokens::of(formats::KIMI_K3.texts(), &known);
        assert_eq!(
            tokens.split("<|open|>call tool=\"x\"<|sep|>"),
            [TextPart::Token(7), TextPart::Text("call tool=\"x\""), TextPart::Token(8)]
        );
        assert_eq!(tokens.first("to <|sep|><|open|>"), Some((3, 8)));
        assert_eq!(tokens.first("none"), None);
        assert_eq!(candidates("<｜DSML｜invoke name=\""), ["｜DSML｜"]);
        assert_eq!(candidates("[TOOL_CALLS]x"), ["[TOOL_CALLS]"]);
        assert_eq!(candidates(GEMMA_QUOTE), [GEMMA_QUOTE]);
    }
}
