//! What the results of a step mean for the requests.

use std::time::Duration;

use wootz_backend::sampling::{DrawFailure, Sampled};
use wootz_backend::step::PAGE_TOKENS;

use crate::EngineError;
use crate::event::{Event, EventKind, FinishReason};
use crate::group::GroupState;
use crate::pages::Entered;
use crate::prediction::DraftCounts;
use crate::request::RequestId;
use crate::sampler::Place;
use crate::sequence::{Sequence, Sharing};

use super::{Part, Planned, Scheduler, Slot, UnderWay, about, computes_no_more, timed};

/// What a step gave.
#[derive(Debug, Clone, Copy)]
pub(super) enum Results<'a> {
    /// `[samples, vocab]` logits.
    Logits { logits: &'a [f32], vocab: usize },
    /// A token a sample row.
    Drawn(&'a [Result<Sampled, DrawFailure>]),
}

impl<'a> Results<'a> {
    /// The logits of a sample row, where there are any.
    pub(super) fn logits(self, sample: usize) -> Option<&'a [f32]> {
        match self {
            Results::Logits { logits, vocab } => Some(row(logits, vocab, sample)),
            Results::Drawn(_) => None,
        }
    }

    /// The token that a sample row gives a sequence.
    fn choose(self, sample: usize, sequence: &mut Sequence) -> Result<Sampled, EngineError> {
        match self {
            Results::Logits { logits, vocab } => {
                let logits = row(logits, vocab, sample);
                let draw = sequence.generated() as u64;
                let allowed = sequence.guide.allowed()?;
                sequence.sampler.sample(logits, Place { context: &sequence.tokens, draw, allowed })
            }
            Results::Drawn(drawn) => match &drawn[sample] {
                Ok(sampled) => Ok(sampled.clone()),
                Err(DrawFailure::BrokenLogit { token, found }) => {
                    Err(EngineError::BrokenLogit { token: *token, found: *found })
                }
                Err(DrawFailure::NoTokenLeft) => Err(EngineError::NoTokenLeft),
            },
        }
    }
}

/// The logits `[vocab]` of a sample row.
fn row(logits: &[f32], vocab: usize, sample: usize) -> &[f32] {
    &logits[sample * vocab..][..vocab]
}

/// What a step draws for an answer.
#[derive(Debug, Clone, Copy)]
struct Drawn<'a> {
    /// The sample row of its next token; those of the drafts follow.
    sample: usize,
    /// Tokens that may turn out to be the next ones.
    drafts: &'a [u32],
}

impl Scheduler {
    /// Takes in the logits `[samples, vocab]` of the oldest step under way, and says what they mean for the requests.
    pub fn apply(&mut self, logits: &[f32]) -> Vec<Event> {
        let vocab = self.limits.vocab;
        self.take_in(Results::Logits { logits, vocab })
    }

    /// The same with tokens that the device drew, one a sample row.
    pub fn apply_drawn(&mut self, drawn: &[Result<Sampled, DrawFailure>]) -> Vec<Event> {
        self.take_in(Results::Drawn(drawn))
    }

    fn take_in(&mut self, results: Results<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(planned) = self.planned.pop_front() else { return events };
        let mut searches: Vec<RequestId> = Vec::new();
        for part in &planned.parts {
            let Slot::Running(sequence) = &mut self.slots[part.slot] else {
                self.left(part.slot);
                continue;
            };
            sequence.under_way -= 1;
            // Which of the drafts are right is to be seen.
            let drafts = std::mem::take(&mut sequence.drafts);
            sequence.computed -= drafts.len();
            sequence.settled = match sequence.under_way {
                0 => sequence.computed,
                _ => sequence.settled.max(part.end),
            };
            sequence.awaited = sequence.awaited.filter(|awaited| awaited.step != planned.number);
            let id = sequence.request;
            self.enter_blocks(part.slot);
            let told = self.tell_scores(part, results).and_then(|()| match part.sample {
                None => Ok(()),
                Some(_) if self.groups.get(&id).is_some_and(|group| group.beams.is_some()) => {
                    self.announce(id, part.slot, &mut events);
                    if searches.last() != Some(&id) {
                        searches.push(id);
                    }
                    self.note_candidates(part, results)
                }
                Some(sample) => {
                    self.announce(id, part.slot, &mut events);
                    self.next_tokens(part.slot, Drawn { sample, drafts: &drafts }, results, &mut events)
                }
            });
            if let Err(error) = told {
                self.fail_group(id, error, &mut events);
            }
        }
        for id in searches {
            self.advance_search(id, &mut events);
        }
        events
    }

    /// Chooses the next token of an answer, and further ones for as long as they were drafts: what the next is drawn from
    /// was computed already then.
    fn next_tokens(
        &mut self,
        slot: usize,
        drawn: Drawn<'_>,
        results: Results<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), EngineError> {
        let mut accepted = 0;
        let ended = loop {
            let Some((token, ended)) = self.next_token(slot, drawn.sample + accepted, results, events)?
            else {
                return Ok(());
            };
            if drawn.drafts.get(accepted) != Some(&token) {
                break ended;
            }
            accepted += 1;
            if ended.is_some() {
                break ended;
            }
            if let Slot::Running(sequence) = &mut self.slots[slot] {
                sequence.computed += 1;
                sequence.settled = sequence.computed;
            }
            self.enter_blocks(slot);
        };
        let Slot::Running(sequence) = &mut self.slots[slot] else { return Ok(()) };
        let tried = DraftCounts { accepted, rejected: drawn.drafts.len() - accepted };
        sequence.drafting.tried(tried);
        self.counts.tokens.drafts_accepted += tried.accepted as u64;
        self.counts.tokens.drafts_rejected += tried.rejected as u64;
        if let Some(reason) = ended {
            let (id, answer, usage) = (sequence.request, sequence.answer, sequence.usage());
            events.push(about(id, answer, EventKind::Finished { reason, usage }));
            self.finish(slot);
        }
        Ok(())
    }

    /// Chooses the next token of an answer, and says whether it was the last.
    fn next_token(
        &mut self,
        slot: usize,
        sample: usize,
        results: Results<'_>,
        events: &mut Vec<Event>,
    ) -> Result<Option<(u32, Option<FinishReason>)>, EngineError> {
        let Slot::Running(sequence) = &mut self.slots[slot] else { return Ok(None) };
        let (id, answer) = (sequence.request, sequence.answer);
        let sampled = timed(&mut self.counts.sampling, || results.choose(sample, sequence))?;
        let (before, token) = (sequence.tokens.len(), sampled.token);
        let ended = sequence.take(&sampled)?;
        if sequence.tokens.len() > before {
            events.push(about(id, answer, EventKind::Token(sampled)));
            self.counts.tokens.generated += 1;
            if let Some(group) = self.groups.get(&id) {
                self.queue.served(group.scheduling().tenant, 1);
            }
        }
        Ok(Some((token, ended)))
    }

    /// Says once that a request's prompt is computed.
    fn announce(&mut self, id: RequestId, slot: usize, events: &mut Vec<Event>) {
        let Some(group) = self.groups.get_mut(&id).filter(|group| !group.prompted) else { return };
        group.prompted = true;
        let Slot::Running(sequence) = &self.slots[slot] else { return };
        let queued = group.queued.unwrap_or(Duration::ZERO);
        events.push(about(id, 0, EventKind::Prompted { reused: sequence.reused, queued }));
        if let Some(scores) = group.scores.take() {
            events.push(about(id, 0, EventKind::PromptLogprobs(scores)));
        }
    }

    /// Takes in the log probabilities of prompt tokens.
    fn tell_scores(&mut self, part: &Part, results: Results<'_>) -> Result<(), EngineError> {
        let Some((first_sample, count, first_token)) = part.scores else { return Ok(()) };
        let Slot::Running(sequence) = &mut self.slots[part.slot] else { return Ok(()) };
        let Some(group) = self.groups.get_mut(&sequence.request) else { return Ok(()) };
        let rivals = group.prompt_rivals();
        let Some(scores) = &mut group.scores else { return Ok(()) };
        for index in 0..count {
            let Some(logits) = results.logits(first_sample + index) else { return Ok(()) };
            let token = sequence.tokens[first_token + index];
            let score = || sequence.sampler.score(logits, token, rivals);
            scores.push(Some(timed(&mut self.counts.sampling, score)?));
        }
        Ok(())
    }

    /// Enters the full pages that are known to be right into the prefix cache.
    fn enter_blocks(&mut self, slot: usize) {
        let Slot::Running(sequence) = &mut self.slots[slot] else { return };
        let full = sequence.settled.min(sequence.tokens.len()) / PAGE_TOKENS;
        while sequence.entered < full && sequence.sharing == Sharing::Open {
            let index = sequence.entered;
            let key = sequence.key(index, &self.root);
            let parent = index.checked_sub(1).map(|before| sequence.known_keys()[before]);
            computes_no_more(&mut self.computing, slot, &[key]);
            let page = sequence.pages[index];
            match self.pages.enter(key, parent, page) {
                Entered::Here => {
                    sequence.entered += 1;
                    self.disk.note(key, page);
                }
                Entered::Elsewhere(other) if sequence.under_way == 0 => {
                    self.pages.share(other);
                    self.pages.release(page);
                    sequence.pages[index] = other;
                    sequence.entered += 1;
                }
                Entered::Elsewhere(_) | Entered::Orphan => {
                    sequence.sharing = Sharing::Detached;
                    computes_no_more(&mut self.computing, slot, &sequence.known_keys()[index..]);
                }
            }
        }
    }

    /// A request ends without its answers. What it computed is not to be found by others, if numbers in it are none.
    fn fail_group(&mut self, id: RequestId, error: EngineError, events: &mut Vec<Event>) {
        if self.groups.contains_key(&id) {
            if matches!(error, EngineError::BrokenLogit { .. }) {
                self.forget(id);
            }
            events.push(about(id, 0, EventKind::Failed(error)));
            self.end_group(id);
        }
    }

    /// A step under way failed on the device, or could not be started: its requests end. What they computed in earlier
    /// steps is unharmed.
    pub fn fail(&mut self, which: UnderWay, error: &EngineError) -> Vec<Event> {
        let planned = match which {
            UnderWay::Oldest => self.planned.pop_front(),
            UnderWay::Newest => self.planned.pop_back(),
        };
        let mut events = Vec::new();
        let Some(Planned { parts, .. }) = planned else { return events };
        let mut failed = Vec::new();
        for part in parts {
            match &mut self.slots[part.slot] {
                Slot::Running(sequence) => {
                    sequence.under_way -= 1;
                    failed.push(part.request);
                }
                _ => {
                    self.left(part.slot);
                    // Answers that forked from one that is gone hold pages that this step was to compute.
                    if matches!(self.groups.get(&part.request), Some(group) if group.is_running()) {
                        failed.push(part.request);
                    }
                }
            }
        }
        for id in failed {
            if self.groups.contains_key(&id) {
                events.push(about(id, 0, EventKind::Failed(error.clone())));
                self.end_group(id);
            }
        }
        events
    }

    /// The slots of a running request.
    pub(super) fn slots_of(&self, id: RequestId) -> Vec<usize> {
        match self.groups.get(&id).map(|group| &group.state) {
            Some(GroupState::Running(slots)) => slots.clone(),
            _ => Vec::new(),
        }
    }
}
