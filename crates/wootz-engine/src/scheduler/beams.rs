//! Beam search: hypotheses are sequences that fork from each other.

use crate::EngineError;
use crate::beam::{Beam, Chosen, Complete};
use crate::event::{Event, EventKind};
use crate::group::GroupState;
use crate::request::RequestId;
use crate::sequence::Sequence;

use super::apply::Results;
use super::{Part, Scheduler, Slot, about, timed};

impl Scheduler {
    /// Notes how a hypothesis may go on.
    pub(super) fn note_candidates(&mut self, part: &Part, results: Results<'_>) -> Result<(), EngineError> {
        let Slot::Running(sequence) = &mut self.slots[part.slot] else { return Ok(()) };
        let search = self.groups.get(&sequence.request).and_then(|group| group.beams.as_ref());
        let (Some(search), Some(sample)) = (search, part.sample) else { return Ok(()) };
        // What the device drew is no use for a search, which is never planned ahead.
        let Some(logits) = results.logits(sample) else { return Ok(()) };
        let continuations = || sequence.sampler.continuations(logits, search.wanted());
        let candidates = timed(&mut self.counts.sampling, continuations)?;
        if let Some(beam) = &mut sequence.beam {
            beam.candidates = candidates;
        }
        Ok(())
    }

    /// Goes on with the best hypotheses, once the continuations of all are known.
    pub(super) fn advance_search(&mut self, id: RequestId, events: &mut Vec<Event>) {
        let slots = self.slots_of(id);
        let beams: Option<Vec<&Beam>> = slots.iter().map(|&slot| ready_beam(&self.slots[slot])).collect();
        let Some(beams) = beams.filter(|beams| !beams.is_empty()) else { return };
        let Some(group) = self.groups.get_mut(&id) else { return };
        let tenant = group.scheduling().tenant;
        let end_tokens = group.end_tokens.clone();
        let Some(search) = &mut group.beams else { return };
        let length = beams[0].drawn.len() + 1;
        let followed = search.choose(&beams, &end_tokens);
        if search.is_over(&followed, length) {
            self.end_search(id, events);
            return;
        }
        self.queue.served(tenant, followed.len());
        self.follow(id, &slots, followed);
        self.end_at_limit(id, events);
    }

    /// Each hypothesis goes on with its first continuation; further ones fork from it; those without any are dropped.
    fn follow(&mut self, id: RequestId, slots: &[usize], followed: Vec<Chosen>) {
        let mut first: Vec<Option<Chosen>> = vec![None; slots.len()];
        let mut forks: Vec<Sequence> = Vec::new();
        for chosen in followed {
            if first[chosen.parent].is_none() {
                let parent = chosen.parent;
                first[parent] = Some(chosen);
                continue;
            }
            let Slot::Running(parent) = &self.slots[slots[chosen.parent]] else { continue };
            let Some(group) = self.groups.get(&id) else { continue };
            let (prompt, drawn) = parent.tokens.split_at(parent.prompt);
            // The settings were checked when the request came.
            let Ok(mut fork) = group.further(id, 0, prompt.to_vec()) else { continue };
            fork.tokens.extend_from_slice(drawn);
            fork.follow(parent);
            fork.beam.clone_from(&parent.beam);
            fork.pages.iter().for_each(|&page| self.pages.share(page));
            go_on(&mut fork, chosen);
            forks.push(fork);
        }
        let mut kept = Vec::with_capacity(slots.len());
        for (&slot, chosen) in slots.iter().zip(first) {
            match (chosen, &mut self.slots[slot]) {
                (Some(chosen), Slot::Running(sequence)) => {
                    go_on(sequence, chosen);
                    kept.push(slot);
                }
                _ => drop(self.vacate(slot)),
            }
        }
        kept.extend(forks.into_iter().map(|fork| self.place(fork)).collect::<Vec<_>>());
        if let Some(group) = self.groups.get_mut(&id) {
            group.state = GroupState::Running(kept);
        }
    }

    /// Ends the search when its hypotheses are as long as they may be.
    fn end_at_limit(&mut self, id: RequestId, events: &mut Vec<Event>) {
        let mut at_limit = Vec::new();
        for slot in self.slots_of(id) {
            let Slot::Running(sequence) = &mut self.slots[slot] else { continue };
            if sequence.tokens.len() < sequence.limit.tokens {
                return;
            }
            at_limit.extend(sequence.beam.take().map(|beam| (beam, sequence.limit.reason)));
        }
        let Some(search) = self.groups.get_mut(&id).and_then(|group| group.beams.as_mut()) else { return };
        for (beam, reason) in at_limit {
            let score = search.score(beam.sum, beam.drawn.len());
            search.add(Complete { score, drawn: beam.drawn, reason });
        }
        self.end_search(id, events);
    }

    /// Gives the answers out, best first. If there are fewer than asked for, the last one stands for the rest.
    fn end_search(&mut self, id: RequestId, events: &mut Vec<Event>) {
        let first = self.slots_of(id).first().copied();
        let Some(Slot::Running(sequence)) = first.map(|slot| &mut self.slots[slot]) else { return };
        let prompt_usage = sequence.usage();
        let Some(group) = self.groups.get_mut(&id) else { return };
        let answers = group.answers();
        let complete =
            group.beams.as_mut().map(|search| std::mem::take(&mut search.complete)).unwrap_or_default();
        if complete.is_empty() {
            events.push(about(id, 0, EventKind::Failed(EngineError::NoTokenLeft)));
            self.end_group(id);
            return;
        }
        for (answer, found) in
            (0..answers).zip(complete.iter().chain(std::iter::repeat(complete.last()).flatten()))
        {
            let usage = crate::event::Usage { generated: found.drawn.len(), reasoning: 0, ..prompt_usage };
            self.counts.tokens.generated += found.drawn.len() as u64;
            let tokens = found.drawn.iter().cloned();
            events.extend(tokens.map(|sampled| about(id, answer, EventKind::Token(sampled))));
            events.push(about(id, answer, EventKind::Finished { reason: found.reason, usage }));
        }
        self.end_group(id);
    }
}

/// Appends a continuation to the hypothesis that it continues.
fn go_on(sequence: &mut Sequence, chosen: Chosen) {
    sequence.tokens.push(chosen.sampled.token);
    if let Some(beam) = &mut sequence.beam {
        beam.sum = chosen.sum;
        beam.drawn.push(chosen.sampled);
        beam.candidates.clear();
    }
}

/// The hypothesis in a slot, if its continuations are known.
fn ready_beam(slot: &Slot) -> Option<&Beam> {
    let Slot::Running(sequence) = slot else { return None };
    sequence.beam.as_ref().filter(|beam| !beam.candidates.is_empty())
}
