//! A grammar in words, as the text of a Lark grammar.

use super::syntax::Syntax;
use super::words::{Item, Words};
use crate::Vocabulary;

/// The Lark grammar.
pub(super) fn write(syntax: &Syntax, words: &Words, vocabulary: &Vocabulary) -> String {
    let mut out = format!("start: r{}\n", syntax.root);
    for (rule, item) in &words.rules {
        out.push_str(&format!("r{rule}: "));
        write_item(item, vocabulary, &mut out);
        out.push('\n');
    }
    for (index, word) in words.words.iter().enumerate() {
        // Words of the lexer are never empty: where one may be, that is said where it is used.
        let some = if word.nullable { " & /(?s:.)+/" } else { "" };
        out.push_str(&format!("W{index}: /{}/{some}\n", word.regex));
    }
    out
}

fn write_item(item: &Item, vocabulary: &Vocabulary, out: &mut String) {
    match item {
        Item::Word { word, nullable } => {
            out.push_str(&format!("W{word}{}", if *nullable { "?" } else { "" }));
        }
        Item::Token { id, negated: false } => out.push_str(&format!("<[{id}]>")),
        Item::Token { id, negated: true } => {
            // The end of the answer is no token of its text.
            let ids: Vec<String> = std::iter::once(id).chain(vocabulary.ends()).map(u32::to_string).collect();
            out.push_str(&format!("<[^{}]>", ids.join(",")));
        }
        Item::Rule(rule) => out.push_str(&format!("r{rule}")),
        Item::Sequence(items) if items.is_empty() => out.push_str("\"\""),
        Item::Sequence(items) => {
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { " " } else { "" });
                write_item(item, vocabulary, out);
            }
            out.push(')');
        }
        Item::Choice(items) => {
            out.push('(');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { " | " } else { "" });
                write_item(item, vocabulary, out);
            }
            out.push(')');
        }
        Item::Repeat { item, min, max } => {
            out.push('(');
            write_item(item, vocabulary, out);
            out.push_str(&match (min, max) {
                (0, None) => ")*".to_owned(),
                (1, None) => ")+".to_owned(),
                (0, Some(1)) => ")?".to_owned(),
                (min, None) => format!("){{{min},}}"),
                (min, Some(max)) => format!("){{{min},{max}}}"),
            });
        }
    }
}
