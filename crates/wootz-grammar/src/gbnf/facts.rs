//! What follows from a grammar's rules: which may be empty, which are regular, and that none begins with itself.

use super::syntax::{Node, NodeId, Syntax};
use crate::GrammarError;

/// A regular part that is written out in more characters than this is not made one expression.
const LARGEST: usize = 4000;
/// As [`LARGEST`], for the nesting.
const DEEPEST: usize = 60;

/// The measure of a regular part with all rules in it written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Characters and classes.
    pub(super) size: usize,
    depth: usize,
}

/// Facts about the rules of a grammar, by their places.
#[derive(Debug)]
pub(super) struct Facts {
    nullable: Vec<bool>,
    regular: Vec<Option<Shape>>,
}

impl Facts {
    pub(super) fn of(syntax: &Syntax) -> Result<Self, GrammarError> {
        let rules = syntax.rules.len();
        let references: Vec<Vec<usize>> = syntax
            .rules
            .iter()
            .map(|rule| {
                let mut found = Vec::new();
                syntax.references(rule.body, &mut found);
                found.sort_unstable();
                found.dedup();
                found
            })
            .collect();
        let mut users = vec![Vec::new(); rules];
        for (rule, found) in references.iter().enumerate() {
            found.iter().for_each(|used| users[*used].push(rule));
        }
        let mut facts = Self { nullable: vec![false; rules], regular: vec![None; rules] };
        facts.find_nullable(syntax, &users);
        facts.find_regular(syntax, &references, &users);
        facts.refuse_left_recursion(syntax)?;
        Ok(facts)
    }

    /// Whether a node can be the empty text.
    pub(super) fn is_nullable(&self, syntax: &Syntax, node: NodeId) -> bool {
        match &syntax.nodes[node] {
            Node::Characters(_) | Node::Token { .. } => false,
            Node::Rule(rule) => self.nullable[*rule],
            Node::Sequence(nodes) => nodes.iter().all(|node| self.is_nullable(syntax, *node)),
            Node::Choice(nodes) => nodes.iter().any(|node| self.is_nullable(syntax, *node)),
            Node::Repeat { node, min, .. } => *min == 0 || self.is_nullable(syntax, *node),
        }
    }

    /// Whether a rule can be the empty text.
    pub(super) fn is_nullable_rule(&self, rule: usize) -> bool {
        self.nullable[rule]
    }

    /// The shape of a node that is regular and small enough to be one expression.
    pub(super) fn shape(&self, syntax: &Syntax, node: NodeId) -> Option<Shape> {
        let mut shape = match &syntax.nodes[node] {
            Node::Characters(_) => return Some(Shape { size: 1, depth: 1 }),
            Node::Token { .. } => return None,
            Node::Rule(rule) => return self.regular[*rule],
            inner => inner.children().iter().try_fold(Shape { size: 0, depth: 0 }, |shape, child| {
                let child = self.shape(syntax, *child)?;
                Some(Shape { size: shape.size + child.size, depth: shape.depth.max(child.depth) })
            })?,
        };
        shape.depth += 1;
        (shape.size <= LARGEST && shape.depth <= DEEPEST).then_some(shape)
    }

    fn find_nullable(&mut self, syntax: &Syntax, users: &[Vec<usize>]) {
        let mut pending: Vec<usize> = (0..syntax.rules.len()).collect();
        while let Some(rule) = pending.pop() {
            if !self.nullable[rule] && self.is_nullable(syntax, syntax.rules[rule].body) {
                self.nullable[rule] = true;
                pending.extend(&users[rule]);
            }
        }
    }

    /// Rules are looked at after all that they use; those in a circle, and those that use them, never.
    fn find_regular(&mut self, syntax: &Syntax, references: &[Vec<usize>], users: &[Vec<usize>]) {
        let mut missing: Vec<usize> = references.iter().map(Vec::len).collect();
        let mut ready: Vec<usize> = (0..missing.len()).filter(|rule| missing[*rule] == 0).collect();
        while let Some(rule) = ready.pop() {
            self.regular[rule] = self.shape(syntax, syntax.rules[rule].body);
            for user in &users[rule] {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    ready.push(*user);
                }
            }
        }
    }

    /// As llama.cpp, which cannot follow a rule that begins with itself.
    fn refuse_left_recursion(&self, syntax: &Syntax) -> Result<(), GrammarError> {
        let begins: Vec<Vec<usize>> = syntax
            .rules
            .iter()
            .map(|rule| {
                let mut found = Vec::new();
                self.first_rules(syntax, rule.body, &mut found);
                found
            })
            .collect();
        // Rules that begin with nothing that is left are taken away; a circle stays.
        let mut users = vec![Vec::new(); begins.len()];
        let mut missing: Vec<usize> = begins.iter().map(Vec::len).collect();
        for (rule, found) in begins.iter().enumerate() {
            found.iter().for_each(|used| users[*used].push(rule));
        }
        let mut ready: Vec<usize> = (0..missing.len()).filter(|rule| missing[*rule] == 0).collect();
        while let Some(rule) = ready.pop() {
            for user in &users[rule] {
                missing[*user] -= 1;
                if missing[*user] == 0 {
                    ready.push(*user);
                }
            }
        }
        let Some(stuck) = missing.iter().position(|missing| *missing > 0) else { return Ok(()) };
        // From any of them, going on to what it begins with leads into the circle.
        let mut seen = vec![false; begins.len()];
        let mut rule = stuck;
        while !std::mem::replace(&mut seen[rule], true) {
            rule = begins[rule].iter().copied().find(|first| missing[*first] > 0).unwrap_or(rule);
        }
        Err(GrammarError::source(
            "GBNF grammar",
            format!(
                "the rule \"{}\" begins with itself; write the repetition with \"*\" or \"+\", or put the rule last",
                syntax.rules[rule].name
            ),
        ))
    }

    /// The rules that a node may begin with.
    fn first_rules(&self, syntax: &Syntax, node: NodeId, found: &mut Vec<usize>) {
        match &syntax.nodes[node] {
            Node::Rule(rule) => found.push(*rule),
            Node::Sequence(nodes) => {
                for node in nodes {
                    self.first_rules(syntax, *node, found);
                    if !self.is_nullable(syntax, *node) {
                        break;
                    }
                }
            }
            other => other.children().iter().for_each(|node| self.first_rules(syntax, *node, found)),
        }
    }
}
