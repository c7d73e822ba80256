//! Which parts of a GBNF grammar become words of the parser's lexer.
//!
//! The parser reads words (regular expressions) and always takes the longest that any of the words allowed at a place
//! matches; GBNF knows characters only. A grammar of one-character words says the same, slowly: so regular parts are made
//! words wherever taking the longest can do no harm, and taken apart where it could ([`super::conflicts`]).

use std::collections::{HashMap, HashSet};

use super::facts::Facts;
use super::syntax::{Node, NodeId, Syntax};
use crate::GrammarError;

/// The most characters and classes in all words together.
const LARGEST: usize = 200_000;

/// A part of a rule, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// A word, by its place in [`Words::words`]; `nullable`: or nothing.
    Word { word: usize, nullable: bool },
    /// A token, or any but that.
    Token { id: u32, negated: bool },
    /// A rule, by its place in [`Syntax::rules`].
    Rule(usize),
    /// All of these in order.
    Sequence(Vec<Item>),
    /// One of these.
    Choice(Vec<Item>),
    /// So many times.
    Repeat { item: Box<Item>, min: u32, max: Option<u32> },
}

/// A word of the lexer; never the empty text.
#[derive(Debug)]
pub(super) struct Word {
    /// What it matches, in the syntax of Rust's regular expressions; perhaps the empty text too.
    pub(super) regex: String,
    pub(super) nullable: bool,
    /// The nodes that are this word.
    pub(super) nodes: Vec<NodeId>,
}

/// A grammar in words.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    /// The rules that are still rules, by place.
    pub(super) rules: Vec<(usize, Item)>,
}

impl Words {
    /// The grammar with the largest words possible of which none stands in `apart`.
    pub(super) fn of(
        syntax: &mut Syntax,
        facts: &Facts,
        apart: &HashSet<NodeId>,
    ) -> Result<Self, GrammarError> {
        let mut maker = Maker { syntax, facts, apart, by_regex: HashMap::new(), words: Vec::new(), size: 0 };
        let mut rules = Vec::new();
        let mut seen = HashSet::from([maker.syntax.root]);
        let mut pending = vec![maker.syntax.root];
        while let Some(rule) = pending.pop() {
            let item = maker.item(maker.syntax.rules[rule].body)?;
            named(&item, &mut |rule| {
                if seen.insert(rule) {
                    pending.push(rule);
                }
            });
            rules.push((rule, item));
        }
        Ok(Self { words: maker.words, rules })
    }
}

/// Calls `found` for every rule that an item names.
fn named(item: &Item, found: &mut impl FnMut(usize)) {
    match item {
        Item::Word { .. } | Item::Token { .. } => {}
        Item::Rule(rule) => found(*rule),
        Item::Sequence(items) | Item::Choice(items) => items.iter().for_each(|item| named(item, found)),
        Item::Repeat { item, .. } => named(item, found),
    }
}

struct Maker<'a> {
    syntax: &'a mut Syntax,
    facts: &'a Facts,
    apart: &'a HashSet<NodeId>,
    by_regex: HashMap<String, usize>,
    words: Vec<Word>,
    size: usize,
}

impl Maker<'_> {
    fn item(&mut self, node: NodeId) -> Result<Item, GrammarError> {
        if self.is_word(node) {
            return self.word(node);
        }
        Ok(match self.syntax.nodes[node].clone() {
            // A set of characters is regular and has no parts; it cannot get here.
            Node::Characters(_) => self.word(node)?,
            Node::Token { id, negated } => Item::Token { id, negated },
            Node::Rule(rule) => Item::Rule(rule),
            Node::Sequence(nodes) => self.sequence(node, &nodes)?,
            Node::Choice(nodes) => {
                Item::Choice(nodes.iter().map(|node| self.item(*node)).collect::<Result<_, _>>()?)
            }
            Node::Repeat { node, min, max } => Item::Repeat { item: Box::new(self.item(node)?), min, max },
        })
    }

    fn is_word(&self, node: NodeId) -> bool {
        let single = matches!(self.syntax.nodes[node], Node::Characters(_));
        single || (!self.apart.contains(&node) && self.facts.shape(self.syntax, node).is_some())
    }

    /// A sequence that is no word: each run of regular parts in it is one, unless the sequence is to stay apart.
    fn sequence(&mut self, node: NodeId, nodes: &[NodeId]) -> Result<Item, GrammarError> {
        let mut grouped = Vec::new();
        let mut rest = nodes;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|node| self.is_word(**node)).count();
            if run > 1 && run < nodes.len() && !self.apart.contains(&node) {
                let group = self.syntax.add(Node::Sequence(rest[..run].to_vec()));
                grouped.push(group);
                rest = &rest[run..];
            } else {
                grouped.push(*first);
                rest = &rest[1..];
            }
        }
        if grouped.len() < nodes.len() {
            // The next time the groups are found as they are, and may be named to stay apart.
            self.syntax.nodes[node] = Node::Sequence(grouped.clone());
        }
        Ok(Item::Sequence(grouped.iter().map(|node| self.item(*node)).collect::<Result<_, _>>()?))
    }

    fn word(&mut self, node: NodeId) -> Result<Item, GrammarError> {
        let shape = self.facts.shape(self.syntax, node);
        let size = shape.map_or(0, |shape| shape.size);
        if size == 0 {
            return Ok(Item::Sequence(Vec::new()));
        }
        self.size += size;
        if self.size > LARGEST {
            let problem = format!("its regular parts written out have more than {LARGEST} characters");
            return Err(GrammarError::TooComplex(problem));
        }
        let nullable = self.facts.is_nullable(self.syntax, node);
        let mut regex = String::new();
        write(self.syntax, node, &mut regex);
        let next = self.words.len();
        let word = *self.by_regex.entry(regex).or_insert_with_key(|regex| {
            self.words.push(Word { regex: regex.clone(), nullable, nodes: Vec::new() });
            next
        });
        self.words[word].nodes.push(node);
        Ok(Item::Word { word, nullable })
    }
}

/// Appends a regular part in the syntax of Rust's regular expressions.
fn write(syntax: &Syntax, node: NodeId, out: &mut String) {
    use std::fmt::Write;
    match &syntax.nodes[node] {
        Node::Characters(set) => set.write(out),
        Node::Token { .. } => {}
        Node::Rule(rule) => write(syntax, syntax.rules[*rule].body, out),
        Node::Sequence(nodes) => nodes.iter().for_each(|node| write(syntax, *node, out)),
        Node::Choice(nodes) => {
            for (index, node) in nodes.iter().enumerate() {
                out.push_str(if index == 0 { "(?:" } else { "|" });
                write(syntax, *node, out);
            }
            out.push(')');
        }
        Node::Repeat { node, min, max } => {
            out.push_str("(?:");
            write(syntax, *node, out);
            // Writing to a string cannot fail.
            let _ = match (min, max) {
                (0, None) => write!(out, ")*"),
                (1, None) => write!(out, ")+"),
                (0, Some(1)) => write!(out, ")?"),
                (min, None) => write!(out, "){{{min},}}"),
                (min, Some(max)) => write!(out, "){{{min},{max}}}"),
            };
        }
    }
}
