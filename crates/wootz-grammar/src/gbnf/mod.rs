//! Grammars in llama.cpp's dialect of Backus-Naur form, translated to Lark.

mod characters;
mod conflicts;
mod facts;
mod lark;
mod parse;
mod syntax;
mod words;

use std::collections::HashSet;

use crate::{GrammarError, GrammarLimits, Vocabulary};
use facts::Facts;
use syntax::{Node, NodeId, Syntax};
use words::Words;

/// The Lark grammar of the same texts as a GBNF grammar.
pub(crate) fn to_lark(
    text: &str,
    vocabulary: &Vocabulary,
    limits: &GrammarLimits,
) -> Result<String, GrammarError> {
    crate::source::bounded("GBNF grammar", "bytes", text.len(), limits.bytes)?;
    let mut syntax = parse::parse(text, vocabulary, limits)?;
    let facts = Facts::of(&syntax)?;
    let mut apart = HashSet::new();
    loop {
        let words = Words::of(&mut syntax, &facts, &apart)?;
        let lost = conflicts::find(&syntax, &facts, &words)?;
        let before = apart.len();
        for word in lost {
            words.words[word].nodes.iter().for_each(|node| take_apart(&syntax, *node, &mut apart));
        }
        if apart.len() == before {
            return Ok(lark::write(&syntax, &words, vocabulary));
        }
    }
}

/// Has a word made of smaller ones. Where it is a rule, the rule's text is what has to be taken apart.
fn take_apart(syntax: &Syntax, node: NodeId, apart: &mut HashSet<NodeId>) {
    let mut node = node;
    while apart.insert(node) {
        let Node::Rule(rule) = &syntax.nodes[node] else { return };
        node = syntax.rules[*rule].body;
    }
}
