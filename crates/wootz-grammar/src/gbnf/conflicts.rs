//! Where taking the longest word would lose a text that the grammar has.
//!
//! A word's end is lost if the character that follows it in some text could as well go on in a word: in the same, or in
//! another that may stand at the same place. Words are compared as automata of their characters (Glushkov's
//! construction, repetitions without their bounds) and all pairs of words are taken to meet: both err on the side of
//! taking apart too much, which costs time and nothing else.

use std::collections::HashSet;

use super::characters::Characters;
use super::facts::Facts;
use super::syntax::{Node, NodeId, Syntax};
use super::words::{Item, Words};
use crate::GrammarError;

/// Work for one look at a grammar: comparisons and edges.
const WORK: usize = 20_000_000;

/// The words that must be taken apart, by place.
pub(super) fn find(syntax: &Syntax, facts: &Facts, words: &Words) -> Result<Vec<usize>, GrammarError> {
    let mut work = Work(WORK);
    let mut automata = Automata { syntax, places: Vec::new(), facts };
    let mut starts = Vec::with_capacity(words.words.len());
    for (index, word) in words.words.iter().enumerate() {
        let part = automata.add(word.nodes[0], index, &mut work)?;
        part.last.iter().for_each(|place| automata.places[*place].ends = true);
        starts.push(part.first);
    }
    let firsts: Vec<Characters> = starts.iter().map(|first| automata.characters(first)).collect();
    let after = Following::of(facts, words, &firsts, syntax.rules.len(), &mut work)?.words;
    automata.lost(&starts, &after, &mut work)
}

/// Counts down.
struct Work(usize);

impl Work {
    fn spend(&mut self, amount: usize) -> Result<(), GrammarError> {
        self.0 = self.0.checked_sub(amount).ok_or_else(|| {
            GrammarError::TooComplex("too many of its rules could begin or go on alike".to_owned())
        })?;
        Ok(())
    }
}

/// A character of a word: a state of the automaton, entered by any of the set.
struct Place<'a> {
    set: &'a Characters,
    word: usize,
    /// The word may end here.
    ends: bool,
    next: Vec<usize>,
}

struct Automata<'a> {
    syntax: &'a Syntax,
    facts: &'a Facts,
    places: Vec<Place<'a>>,
}

/// The places where a part may begin and end.
#[derive(Default)]
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
}

impl<'a> Automata<'a> {
    /// Adds the places of a regular part. Its nesting is bounded ([`super::facts`]).
    fn add(&mut self, node: NodeId, word: usize, work: &mut Work) -> Result<Part, GrammarError> {
        let syntax = self.syntax;
        work.spend(1)?;
        Ok(match &syntax.nodes[node] {
            Node::Characters(set) => {
                self.places.push(Place { set, word, ends: false, next: Vec::new() });
                let place = self.places.len() - 1;
                Part { first: vec![place], last: vec![place] }
            }
            Node::Token { .. } => Part::default(),
            Node::Rule(rule) => self.add(syntax.rules[*rule].body, word, work)?,
            Node::Sequence(nodes) => {
                let mut whole = Part::default();
                let mut empty = true;
                for node in nodes {
                    let part = self.add(*node, word, work)?;
                    self.link(&whole.last, &part.first, work)?;
                    let nullable = self.facts.is_nullable(syntax, *node);
                    if empty {
                        whole.first.extend(&part.first);
                    }
                    if !nullable {
                        whole.last.clear();
                    }
                    whole.last.extend(part.last);
                    work.spend(whole.last.len())?;
                    empty &= nullable;
                }
                whole
            }
            Node::Choice(nodes) => {
                let mut whole = Part::default();
                for node in nodes {
                    let part = self.add(*node, word, work)?;
                    whole.first.extend(part.first);
                    whole.last.extend(part.last);
                }
                whole
            }
            Node::Repeat { node, max, .. } => {
                let part = self.add(*node, word, work)?;
                match max {
                    Some(0) => return Ok(Part::default()),
                    Some(1) => {}
                    _ => self.link(&part.last, &part.first, work)?,
                }
                part
            }
        })
    }

    fn link(&mut self, from: &[usize], to: &[usize], work: &mut Work) -> Result<(), GrammarError> {
        work.spend(from.len() * to.len())?;
        for place in from {
            self.places[*place].next.extend(to);
        }
        Ok(())
    }

    /// The characters of some places together.
    fn characters(&self, places: &[usize]) -> Characters {
        let mut all = Characters::default();
        for place in places {
            all.add(self.places[*place].set);
        }
        all
    }

    /// The words that could swallow what follows another word, or themselves. `after`: what may follow each word.
    fn lost(
        &self,
        starts: &[Vec<usize>],
        after: &[Characters],
        work: &mut Work,
    ) -> Result<Vec<usize>, GrammarError> {
        let firsts: Vec<usize> = starts.iter().flatten().copied().collect();
        let mut seen = HashSet::new();
        let mut pending = Vec::new();
        // Pairs of places that the same text leads to.
        let mut meet = |pending: &mut Vec<_>, one: &[usize], other: &[usize], work: &mut Work| {
            for a in one {
                for b in other {
                    work.spend(1 + self.places[*b].set.ranges() / 8)?;
                    if self.places[*a].set.meets(self.places[*b].set) && seen.insert((*a, *b)) {
                        pending.push((*a, *b));
                    }
                }
            }
            Ok::<_, GrammarError>(())
        };
        meet(&mut pending, &firsts, &firsts, work)?;
        let mut lost = HashSet::new();
        while let Some((a, b)) = pending.pop() {
            let (one, other) = (&self.places[a], &self.places[b]);
            if lost.contains(&other.word) {
                continue;
            }
            let follows = &after[one.word];
            work.spend(1 + other.next.len())?;
            if one.ends && other.next.iter().any(|next| self.places[*next].set.meets(follows)) {
                lost.insert(other.word);
                continue;
            }
            meet(&mut pending, &one.next, &other.next, work)?;
        }
        let mut lost: Vec<usize> = lost.into_iter().collect();
        lost.sort_unstable();
        Ok(lost)
    }
}

/// The characters that may follow each rule and each word.
struct Following<'a> {
    facts: &'a Facts,
    words: Vec<Characters>,
    rules: Vec<Characters>,
    /// What each rule may begin with.
    first_of_rules: Vec<Characters>,
    firsts: &'a [Characters],
}

impl<'a> Following<'a> {
    fn of(
        facts: &'a Facts,
        words: &Words,
        firsts: &'a [Characters],
        rules: usize,
        work: &mut Work,
    ) -> Result<Self, GrammarError> {
        let mut following = Self {
            facts,
            words: vec![Characters::default(); words.words.len()],
            rules: vec![Characters::default(); rules],
            first_of_rules: vec![Characters::default(); rules],
            firsts,
        };
        // Both grow to a fixed point: sets only become larger.
        let mut changed = true;
        while changed {
            changed = false;
            for (rule, item) in words.rules.iter().rev() {
                let first = following.first(item, work)?;
                changed |= following.first_of_rules[*rule].add(&first);
            }
        }
        changed = true;
        while changed {
            changed = false;
            for (rule, item) in &words.rules {
                let after = following.rules[*rule].clone();
                changed |= following.pass(item, &after, work)?;
            }
        }
        Ok(following)
    }

    /// What an item may begin with.
    fn first(&self, item: &Item, work: &mut Work) -> Result<Characters, GrammarError> {
        work.spend(1)?;
        let mut all = Characters::default();
        match item {
            Item::Word { word, .. } => return Ok(self.firsts[*word].clone()),
            // A mark is no character.
            Item::Token { .. } => {}
            Item::Rule(rule) => return Ok(self.first_of_rules[*rule].clone()),
            Item::Sequence(items) => {
                for item in items {
                    all.add(&self.first(item, work)?);
                    if !self.is_nullable(item) {
                        break;
                    }
                }
            }
            Item::Choice(items) => {
                for item in items {
                    all.add(&self.first(item, work)?);
                }
            }
            Item::Repeat { item, .. } => return self.first(item, work),
        }
        work.spend(all.ranges())?;
        Ok(all)
    }

    /// Notes what follows everything inside `item`, given what follows it. Whether anything was new.
    fn pass(&mut self, item: &Item, after: &Characters, work: &mut Work) -> Result<bool, GrammarError> {
        work.spend(1 + after.ranges())?;
        Ok(match item {
            Item::Word { word, .. } => self.words[*word].add(after),
            Item::Token { .. } => false,
            Item::Rule(rule) => self.rules[*rule].add(after),
            Item::Sequence(items) => {
                let mut after = after.clone();
                let mut changed = false;
                for item in items.iter().rev() {
                    changed |= self.pass(item, &after, work)?;
                    let mut first = self.first(item, work)?;
                    if self.is_nullable(item) {
                        first.add(&after);
                    }
                    after = first;
                }
                changed
            }
            Item::Choice(items) => {
                let mut changed = false;
                for item in items {
                    changed |= self.pass(item, after, work)?;
                }
                changed
            }
            Item::Repeat { item, max, .. } => {
                let mut after = after.clone();
                if *max != Some(1) {
                    after.add(&self.first(item, work)?);
                }
                self.pass(item, &after, work)?
            }
        })
    }

    fn is_nullable(&self, item: &Item) -> bool {
        match item {
            Item::Word { nullable, .. } => *nullable,
            Item::Token { .. } => false,
            Item::Rule(rule) => self.facts.is_nullable_rule(*rule),
            Item::Sequence(items) => items.iter().all(|item| self.is_nullable(item)),
            Item::Choice(items) => items.iter().any(|item| self.is_nullable(item)),
            Item::Repeat { item, min, .. } => *min == 0 || self.is_nullable(item),
        }
    }
}
