//! The text of a GBNF grammar.
//!
//! The dialect is that of llama.cpp (grammars/README.md there): a rule is `name ::= alternatives`, ended by the line;
//! inside parentheses and after `|`, lines do not matter.

use std::collections::HashMap;

use super::characters::Characters;
use super::syntax::{Node, NodeId, Rule, Syntax};
use crate::source::bounded;
use crate::{GrammarError, GrammarLimits, Vocabulary};

/// The most repetitions that must be there, as in llama.cpp.
const MOST_REQUIRED: u32 = 2000;
/// The most repetitions that may be bounded.
const MOST_ALLOWED: u32 = 100_000;

/// Parses a grammar.
pub(super) fn parse(
    text: &str,
    vocabulary: &Vocabulary,
    limits: &GrammarLimits,
) -> Result<Syntax, GrammarError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        vocabulary,
        limits,
        syntax: Syntax::default(),
        names: HashMap::new(),
        bodies: Vec::new(),
    };
    parser.space(Lines::Cross);
    while parser.peek().is_some() {
        parser.rule()?;
    }
    parser.finish()
}

/// Whether a gap may go over the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Cross,
    Stay,
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    depth: usize,
    vocabulary: &'a Vocabulary,
    limits: &'a GrammarLimits,
    syntax: Syntax,
    /// Rules by name: their place, and where they were first named.
    names: HashMap<&'a str, (usize, usize)>,
    bodies: Vec<Option<NodeId>>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes past `wanted`, if it comes next.
    fn skip(&mut self, wanted: &str) -> bool {
        let found = self.rest().starts_with(wanted);
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), GrammarError> {
        if self.skip(wanted) { Ok(()) } else { Err(self.error(&format!("\"{wanted}\" is expected here"))) }
    }

    /// An error at the next byte.
    fn error(&self, problem: &str) -> GrammarError {
        self.error_at(self.at, problem)
    }

    fn error_at(&self, at: usize, problem: &str) -> GrammarError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        GrammarError::source("GBNF grammar", format!("line {line}, column {column}: {problem}"))
    }

    /// Goes past spaces and comments.
    fn space(&mut self, lines: Lines) {
        loop {
            let rest = self.rest();
            let gap =
                |c: char| matches!(c, ' ' | '\t') || (lines == Lines::Cross && matches!(c, '\r' | '\n'));
            let after = rest.trim_start_matches(gap);
            self.at += rest.len() - after.len();
            if !after.starts_with('#') {
                return;
            }
            self.at += after.find(['\r', '\n']).unwrap_or(after.len());
        }
    }

    fn name(&mut self) -> Result<&'a str, GrammarError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        if end == 0 {
            let problem = match self.peek() {
                Some('_') => "a rule's name is made of letters, digits and \"-\", not \"_\"",
                _ => "the name of a rule is expected here (letters, digits and \"-\")",
            };
            return Err(self.error(problem));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    /// The place of the rule of this name, which stands at `at`.
    fn named(&mut self, name: &'a str, at: usize) -> usize {
        let next = self.names.len();
        let (place, _) = *self.names.entry(name).or_insert((next, at));
        if place == next {
            self.bodies.push(None);
        }
        place
    }

    fn rule(&mut self) -> Result<(), GrammarError> {
        let at = self.at;
        let name = self.name()?;
        self.space(Lines::Stay);
        self.expect("::=")?;
        self.space(Lines::Cross);
        let place = self.named(name, at);
        bounded("GBNF grammar", "rules", self.names.len(), self.limits.rules)?;
        if self.bodies[place].is_some() {
            return Err(self.error_at(at, &format!("the rule \"{name}\" is defined a second time")));
        }
        let body = self.alternatives(Lines::Stay)?;
        self.bodies[place] = Some(body);
        match self.peek() {
            None => {}
            Some('\r' | '\n') => self.space(Lines::Cross),
            Some(other) => {
                return Err(self.error(&format!("{other:?} means nothing here; the rule should end")));
            }
        }
        Ok(())
    }

    fn alternatives(&mut self, lines: Lines) -> Result<NodeId, GrammarError> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.error(&format!("parentheses are nested more than {} deep", self.limits.depth)));
        }
        let mut choices = vec![self.sequence(lines)?];
        while self.skip("|") {
            self.space(Lines::Cross);
            choices.push(self.sequence(lines)?);
        }
        self.depth -= 1;
        Ok(if choices.len() == 1 { choices[0] } else { self.syntax.add(Node::Choice(choices)) })
    }

    fn sequence(&mut self, lines: Lines) -> Result<NodeId, GrammarError> {
        let mut items = Vec::new();
        while let Some(mut item) = self.item()? {
            self.space(lines);
            let mut repeats = 0;
            while let Some((min, max)) = self.repetition(lines)? {
                item = self.syntax.add(Node::Repeat { node: item, min, max });
                repeats += 1;
                if repeats > self.limits.depth {
                    return Err(self.error("too many repetitions of repetitions"));
                }
            }
            items.push(item);
            bounded("GBNF grammar", "symbols", self.syntax.nodes.len(), self.limits.symbols)?;
        }
        if matches!(self.peek(), Some('*' | '+' | '?' | '{')) {
            return Err(self.error("there is nothing before this to repeat"));
        }
        Ok(if items.len() == 1 { items[0] } else { self.syntax.add(Node::Sequence(items)) })
    }

    /// The next item, if one comes.
    fn item(&mut self) -> Result<Option<NodeId>, GrammarError> {
        let at = self.at;
        let node = match self.peek() {
            Some('"') => self.literal()?,
            Some('[') => Node::Characters(self.class()?),
            Some('.') => {
                self.at += 1;
                Node::Characters(Characters::all())
            }
            Some('<' | '!') => self.token()?,
            Some('(') => {
                self.at += 1;
                self.space(Lines::Cross);
                let inner = self.alternatives(Lines::Cross)?;
                self.expect(")")?;
                return Ok(Some(inner));
            }
            Some(c) if is_name(c) => {
                let name = self.name()?;
                Node::Rule(self.named(name, at))
            }
            _ => return Ok(None),
        };
        Ok(Some(self.syntax.add(node)))
    }

    fn literal(&mut self) -> Result<Node, GrammarError> {
        let start = self.at;
        self.at += 1;
        let mut nodes = Vec::new();
        while !self.skip("\"") {
            if self.peek().is_none() {
                return Err(self.error_at(start, "the text that begins here has no closing quote"));
            }
            let code = self.character()?;
            let set = Characters::of(vec![(code, code)]);
            nodes.push(self.syntax.add(Node::Characters(set)));
        }
        Ok(Node::Sequence(nodes))
    }

    fn class(&mut self) -> Result<Characters, GrammarError> {
        let start = self.at;
        self.at += 1;
        let negated = self.skip("^");
        let mut ranges = Vec::new();
        while !self.skip("]") {
            if self.peek().is_none() {
                return Err(self.error_at(start, "the class that begins here has no closing bracket"));
            }
            let low = self.character()?;
            let mut high = low;
            if self.rest().starts_with('-') && !self.rest().starts_with("-]") {
                self.at += 1;
                let at = self.at;
                if self.peek().is_none() {
                    return Err(self.error("the range has no end"));
                }
                high = self.character()?;
                if high < low {
                    return Err(self.error_at(at, "the range ends before it begins"));
                }
            }
            ranges.push((low, high));
        }
        let set = Characters::of(ranges);
        let set = if negated { set.negated() } else { set };
        if set.is_empty() {
            return Err(self.error_at(start, "no character is in this class"));
        }
        Ok(set)
    }

    /// A character of a text or a class, perhaps escaped.
    fn character(&mut self) -> Result<u32, GrammarError> {
        let at = self.at;
        let Some(first) = self.peek() else { return Err(self.error("the grammar ends too early")) };
        self.at += first.len_utf8();
        if first != '\\' {
            return Ok(u32::from(first));
        }
        let escaped = self.peek();
        self.at += escaped.map_or(0, char::len_utf8);
        let digits = match escaped {
            Some('n') => return Ok(0x0A),
            Some('r') => return Ok(0x0D),
            Some('t') => return Ok(0x09),
            Some(c @ ('\\' | '"' | '[' | ']' | '-')) => return Ok(u32::from(c)),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => {
                let problem =
                    "unknown escape; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\xNN \\uNNNN \\UNNNNNNNN";
                return Err(self.error_at(at, problem));
            }
        };
        let hex = self.rest().get(..digits).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        match code.filter(|code| char::from_u32(*code).is_some()) {
            Some(code) => {
                self.at += digits;
                Ok(code)
            }
            None => {
                Err(self.error_at(at, &format!("{digits} hexadecimal digits of a character should follow")))
            }
        }
    }

    fn token(&mut self) -> Result<Node, GrammarError> {
        let negated = self.skip("!");
        let start = self.at;
        self.expect("<")?;
        let Some(length) = self.rest().find('>').filter(|length| *length <= 1000) else {
            return Err(self.error_at(start, "the token that begins here has no closing \">\""));
        };
        let inner = &self.rest()[..length];
        self.at += length + 1;
        let id = match inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
            Some(number) => {
                number.parse().ok().filter(|id| (*id as usize) < self.vocabulary.len()).ok_or_else(|| {
                    let last = self.vocabulary.len().saturating_sub(1);
                    self.error_at(start, &format!("\"{number}\" is no token id; ids go from 0 to {last}"))
                })?
            }
            None => self.vocabulary.token(&format!("<{inner}>")).ok_or_else(|| {
                self.error_at(start, &format!("the model has no token \"<{inner}>\"; give its id as <[id]>"))
            })?,
        };
        Ok(Node::Token { id, negated })
    }

    /// How often the item before comes, if that is said.
    fn repetition(&mut self, lines: Lines) -> Result<Option<(u32, Option<u32>)>, GrammarError> {
        let bounds = match self.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => return self.bounds(lines).map(Some),
            _ => return Ok(None),
        };
        self.at += 1;
        self.space(lines);
        Ok(Some(bounds))
    }

    fn bounds(&mut self, lines: Lines) -> Result<(u32, Option<u32>), GrammarError> {
        self.at += 1;
        self.space(lines);
        let min = self.number(MOST_REQUIRED)?.ok_or_else(|| self.error("a number is expected here"))?;
        self.space(lines);
        let mut max = Some(min);
        if self.skip(",") {
            self.space(lines);
            let at = self.at;
            max = self.number(MOST_ALLOWED)?;
            if max.is_some_and(|max| max < min) {
                return Err(self.error_at(at, &format!("at most so many is less than at least {min}")));
            }
            self.space(lines);
        }
        self.expect("}")?;
        self.space(lines);
        Ok((min, max))
    }

    fn number(&mut self, limit: u32) -> Result<Option<u32>, GrammarError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end == 0 {
            return Ok(None);
        }
        match rest[..end].parse().ok().filter(|number| *number <= limit) {
            Some(number) => {
                self.at += end;
                Ok(Some(number))
            }
            None => Err(self.error(&format!("at most {limit} repetitions can be asked for here"))),
        }
    }

    fn finish(mut self) -> Result<Syntax, GrammarError> {
        let mut named: Vec<(usize, &str, usize)> =
            self.names.iter().map(|(name, (place, at))| (*place, *name, *at)).collect();
        named.sort_unstable();
        for (place, name, at) in named {
            let Some(body) = self.bodies[place] else {
                return Err(self.error_at(at, &format!("the rule \"{name}\" is named but nowhere defined")));
            };
            self.syntax.rules.push(Rule { name: name.to_owned(), body });
        }
        match self.names.get("root") {
            Some((place, _)) => self.syntax.root = *place,
            None => {
                return Err(GrammarError::source("GBNF grammar", "there is no rule \"root\" to begin with"));
            }
        }
        Ok(self.syntax)
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}
