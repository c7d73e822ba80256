//! Where an answer stands between its reasoning and its grammar.

use wootz_grammar::{Grammar, GrammarError, TokenMask};

use super::marks::advance;
use super::{Followed, Guide, ReasoningGuide};

/// The state of one answer's guide.
#[derive(Debug, Clone)]
pub(super) struct GuideState {
    reasoning: ReasoningGuide,
    /// Until the answer proper begins, as compiled; then where it stands.
    grammar: Option<Grammar>,
    end_tokens: Vec<u32>,
    section: Section,
    /// Tokens inside reasoning so far, marks not counted.
    reasoned: usize,
}

/// The part of the answer that the next token belongs to.
#[derive(Debug, Clone)]
enum Section {
    /// Reasoning may begin: the answer ends with so many tokens of the opening mark.
    Before {
        matched: usize,
        /// The grammar, should those tokens be the beginning of the answer instead; `None`: they cannot be.
        otherwise: Option<Grammar>,
    },
    /// Reasoning; the answer ends with so many tokens of the closing mark.
    Inside { matched: usize },
    /// The budget is spent: so many tokens are written of what closes the section.
    Closing { written: usize },
    /// The answer proper.
    Answer,
}

impl GuideState {
    /// The state before the first token.
    pub(super) fn new(guide: Guide, end_tokens: &[u32]) -> Self {
        let mut reasoning = guide.reasoning.unwrap_or_default();
        if reasoning.closing.is_empty() {
            reasoning.closing.clone_from(&reasoning.ends);
        }
        let mut state = Self {
            section: Section::Answer,
            reasoned: 0,
            end_tokens: end_tokens.to_vec(),
            reasoning,
            grammar: guide.grammar,
        };
        if state.reasoning.opened && !state.reasoning.ends.is_empty() {
            state.section = state.inside(0);
        } else if state.may_reason() {
            state.section = Section::Before { matched: 0, otherwise: state.grammar.clone() };
        }
        state
    }

    /// Whether a section can be opened by the model.
    fn may_reason(&self) -> bool {
        !self.reasoning.begins.is_empty() && !self.reasoning.ends.is_empty()
    }

    /// Reasoning, or what closes it where there may be no more. A closing mark that the model has begun is finished as
    /// it is.
    fn inside(&self, matched: usize) -> Section {
        match self.reasoning.budget {
            Some(budget) if matched == 0 && self.reasoned >= budget => Section::Closing { written: 0 },
            _ => Section::Inside { matched },
        }
    }

    /// Whether no mask will ever be needed.
    pub(super) fn is_free(&self) -> bool {
        let sections =
            matches!(self.section, Section::Inside { .. } | Section::Closing { .. }) || self.may_reason();
        self.grammar.is_none() && !(sections && self.reasoning.budget.is_some())
    }

    /// Tokens inside reasoning so far.
    pub(super) fn reasoned(&self) -> usize {
        self.reasoned
    }

    /// Fills `mask` with the tokens that may come next; false: all may, and the mask means nothing.
    pub(super) fn next(&mut self, mask: &mut TokenMask) -> Result<bool, GrammarError> {
        if let Some(token) = self.forced() {
            mask.clear();
            mask.allow(token);
            return Ok(true);
        }
        match &mut self.section {
            Section::Inside { .. } if self.grammar.is_some() => {
                // An answer that ended here would not follow the grammar.
                *mask = TokenMask::all(mask.width());
                for end in self.end_tokens.iter().filter(|end| !self.reasoning.ends.contains(end)) {
                    mask.forbid(*end);
                }
                for token in &self.reasoning.forbidden {
                    mask.forbid(*token);
                }
                Ok(true)
            }
            Section::Before { matched, otherwise: Some(grammar) } => {
                fill(grammar, mask, &self.end_tokens)?;
                mask.allow(self.reasoning.begins[*matched]);
                Ok(true)
            }
            Section::Answer => match &mut self.grammar {
                Some(grammar) => fill(grammar, mask, &self.end_tokens).map(|()| true),
                None => Ok(false),
            },
            // What closes the section is forced, above.
            Section::Inside { .. } | Section::Before { .. } | Section::Closing { .. } => Ok(false),
        }
    }

    /// The only token that may come next, where a mark has to be finished.
    fn forced(&self) -> Option<u32> {
        match &self.section {
            Section::Inside { matched } => {
                // What may be the beginning of the closing mark is counted only when it turns out not to be.
                let spent = self.reasoning.budget.is_some_and(|budget| self.reasoned >= budget);
                spent.then(|| self.reasoning.ends[*matched])
            }
            Section::Closing { written } => Some(self.reasoning.closing[*written]),
            Section::Before { matched: matched @ 1.., otherwise: None } if self.grammar.is_some() => {
                Some(self.reasoning.begins[*matched])
            }
            Section::Before { .. } | Section::Answer => None,
        }
    }

    /// Takes in the next token.
    pub(super) fn observe(&mut self, token: u32) -> Result<Followed, GrammarError> {
        match &mut self.section {
            Section::Inside { matched } => {
                let held = *matched;
                let matched = advance(&self.reasoning.ends, held, token);
                if matched == self.reasoning.ends.len() {
                    self.section = self.after_reasoning();
                } else {
                    self.reasoned += held + 1 - matched;
                    self.section = self.inside(matched);
                }
                Ok(Followed::Continues)
            }
            Section::Closing { written } => {
                if self.reasoning.closing[*written] != token {
                    return Err(GrammarError::Refused { token });
                }
                *written += 1;
                if *written == self.reasoning.closing.len() {
                    self.section = self.after_reasoning();
                }
                Ok(Followed::Continues)
            }
            Section::Before { matched, otherwise: None } if self.grammar.is_none() => {
                *matched = advance(&self.reasoning.begins, *matched, token);
                if *matched == self.reasoning.begins.len() {
                    self.section = self.inside(0);
                }
                Ok(Followed::Continues)
            }
            Section::Before { matched, otherwise } => {
                let taken = otherwise.as_mut().map(|grammar| grammar.accept(token));
                if self.reasoning.begins[*matched] == token {
                    *matched += 1;
                    if *matched == self.reasoning.begins.len() {
                        self.section = self.inside(0);
                    } else if !matches!(taken, Some(Ok(()))) {
                        *otherwise = None;
                    }
                    return Ok(Followed::Continues);
                }
                taken.unwrap_or(Err(GrammarError::Refused { token }))?;
                self.grammar = otherwise.take();
                self.section = Section::Answer;
                Ok(self.followed())
            }
            Section::Answer => {
                if let Some(grammar) = &mut self.grammar {
                    grammar.accept(token)?;
                }
                Ok(self.followed())
            }
        }
    }

    /// What comes when a section is closed: a grammar is followed to its end, free text may reason again.
    fn after_reasoning(&self) -> Section {
        if self.grammar.is_none() && self.may_reason() {
            Section::Before { matched: 0, otherwise: None }
        } else {
            Section::Answer
        }
    }

    fn followed(&self) -> Followed {
        match &self.grammar {
            Some(grammar) if grammar.is_complete() => Followed::Complete,
            _ => Followed::Continues,
        }
    }
}

/// The grammar's mask, with the request's own end tokens where the answer may end.
fn fill(grammar: &mut Grammar, mask: &mut TokenMask, end_tokens: &[u32]) -> Result<(), GrammarError> {
    grammar.mask(mask)?;
    if grammar.is_complete() || grammar.may_end()? {
        for end in end_tokens {
            mask.allow(*end);
        }
    }
    Ok(())
}

#[cfg(test)]
impl GuideState {
    /// Reasoning whose budget is spent: this token closes it.
    pub(super) fn closing(token: u32) -> Self {
        let reasoning =
            ReasoningGuide { opened: true, ends: vec![token], budget: Some(0), ..ReasoningGuide::default() };
        Self::new(Guide { reasoning: Some(reasoning), grammar: None }, &[])
    }

    /// The state after a mistake: using it panics.
    pub(super) fn broken() -> Self {
        Self { section: Section::Closing { written: 1 }, ..Self::closing(7) }
    }
}
