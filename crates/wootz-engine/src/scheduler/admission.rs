//! Which requests start, and how answers of one request fork.

use std::time::Duration;

use wootz_backend::cache::pages_for;
use wootz_backend::step::PAGE_TOKENS;

use crate::group::{Group, GroupState, pages_until_next};
use crate::request::RequestId;
use crate::sequence::Sequence;

use super::{Drawing, Scheduler, Slot};

/// What the prefix cache has for a sequence's next block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// No more: the rest has to be computed.
    Over,
    /// A step under way computes it for another sequence, or it is on its way from the disk.
    Soon,
}

impl Scheduler {
    /// Starts waiting requests, in the queue's order, while there is room and somebody can draw for them.
    pub(super) fn admit(&mut self, now: Duration, drawing: Drawing) {
        while let Some(id) = self.queue.next() {
            let Some(group) = self.groups.get(&id) else {
                self.queue.remove(id);
                continue;
            };
            let undrawn = group.host && drawing == Drawing::Device;
            if undrawn || !self.has_slots_for(group) || !self.has_pages_for(id) {
                return;
            }
            self.start(id, now);
        }
    }

    /// Whether there are slots for a waiting request's answers.
    pub(super) fn has_slots_for(&self, group: &Group) -> bool {
        self.reserved + group.wanted_slots() <= self.sequences
    }

    /// Whether a waiting request's tokens, and the next ones of those that run, find pages.
    fn has_pages_for(&mut self, id: RequestId) -> bool {
        if self.order.is_empty() && self.leaving == 0 {
            // Alone, every request that was taken in fits.
            return true;
        }
        let Some(group) = self.groups.get_mut(&id) else { return false };
        let further = if group.forked { 0 } else { group.answers() - 1 };
        let reuses = group.reuses();
        let GroupState::Waiting(parked) = &mut group.state else { return false };
        let wanted = pages_until_next(parked.iter().map(|sequence| sequence.tokens.len())) + further;
        let missing = |slot: &usize| match &self.slots[*slot] {
            Slot::Running(sequence) => sequence.missing_pages(),
            _ => 0,
        };
        let promised: usize = self.order.iter().map(missing).sum();
        let available = self.pages.available().saturating_sub(promised);
        if wanted <= available {
            return true;
        }
        if !reuses {
            return false;
        }
        // Pages that others hold anyway take no room.
        let mut held = 0;
        for sequence in parked.iter_mut() {
            for index in 0..(sequence.tokens.len() - 1) / PAGE_TOKENS {
                let key = sequence.key(index, &self.root);
                match self.pages.find(&key) {
                    Some(page) => held += usize::from(self.pages.holders(page) > 0),
                    None => break,
                }
            }
        }
        wanted - held.min(wanted) <= available
    }

    fn start(&mut self, id: RequestId, now: Duration) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        group.queued.get_or_insert(now.saturating_sub(group.arrived));
        let wanted = group.wanted_slots();
        self.reserved += wanted;
        self.host += usize::from(group.host);
        if !group.forked {
            self.unforked.push(id);
        }
        let parked = std::mem::replace(&mut group.state, GroupState::Running(Vec::new()));
        let GroupState::Waiting(parked) = parked else { return };
        let slots: Vec<usize> = parked.into_iter().map(|sequence| self.place(sequence)).collect();
        group.state = GroupState::Running(slots.clone());
        self.groups.insert(id, group);
        let mut rows = 0;
        for slot in slots {
            self.reuse(slot);
            if let Slot::Running(sequence) = &self.slots[slot] {
                rows += sequence.tokens.len() - sequence.computed;
            }
        }
        self.queue.start(id, rows);
    }

    /// Gives a sequence a slot.
    pub(super) fn place(&mut self, sequence: Sequence) -> usize {
        let slot = self.empty.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Empty);
            self.slots.len() - 1
        });
        self.slots[slot] = Slot::Running(Box::new(sequence));
        self.order.push(slot);
        slot
    }

    /// Takes over the blocks from the prefix cache that a sequence would compute next.
    pub(super) fn reuse(&mut self, slot: usize) -> Reuse {
        let Slot::Running(sequence) = &mut self.slots[slot] else { return Reuse::Over };
        let Some(group) = self.groups.get(&sequence.request) else { return Reuse::Over };
        let usable = usable(sequence, group);
        while sequence.computed.is_multiple_of(PAGE_TOKENS) && sequence.computed + PAGE_TOKENS <= usable {
            let key = sequence.key(sequence.computed / PAGE_TOKENS, &self.root);
            let Some(page) = self.pages.find(&key) else {
                let other = self.computing.get(&key).is_some_and(|&by| by != slot);
                let soon = other || self.disk.fetch(sequence, usable, &self.root);
                return if soon { Reuse::Soon } else { Reuse::Over };
            };
            self.disk.used(&key);
            self.pages.share(page);
            sequence.pages.push(page);
            sequence.computed += PAGE_TOKENS;
            if sequence.under_way == 0 {
                sequence.settled = sequence.computed;
            }
            let block = sequence.computed / PAGE_TOKENS;
            if sequence.computed < sequence.prompt && sequence.looked_up < block {
                sequence.looked_up = block;
                sequence.reused += PAGE_TOKENS;
                self.counts.prefix.hits += 1;
                *match block <= sequence.fetched {
                    true => &mut self.counts.tokens.prompt_reused_from_disk,
                    false => &mut self.counts.tokens.prompt_reused_from_memory,
                } += PAGE_TOKENS as u64;
            }
        }
        Reuse::Over
    }

    /// Lets the further answers of requests begin whose prompt is computed but for its last token.
    /// Whether any did.
    pub(super) fn fork_ready(&mut self) -> bool {
        let before = self.unforked.len();
        let mut index = 0;
        while index < self.unforked.len() {
            let id = self.unforked[index];
            if self.fork(id) {
                self.unforked.swap_remove(index);
            } else {
                index += 1;
            }
        }
        self.unforked.len() < before
    }

    /// Whether the answers of this request have their own sequences now.
    fn fork(&mut self, id: RequestId) -> bool {
        let Some(group) = self.groups.get_mut(&id) else { return true };
        let GroupState::Running(slots) = &group.state else { return true };
        let Some(&first) = slots.first() else { return true };
        let Slot::Running(sequence) = &mut self.slots[first] else { return true };
        if sequence.halt != Some(sequence.computed) {
            return false;
        }
        sequence.halt = None;
        let mut further = Vec::new();
        for answer in 1..group.answers() {
            // The settings were checked when the request came.
            let Ok(mut other) = group.further(id, answer, sequence.tokens.clone()) else { continue };
            other.follow(sequence);
            other.pages.iter().for_each(|&page| self.pages.share(page));
            further.push(other);
        }
        group.forked = true;
        let placed: Vec<usize> = further.into_iter().map(|sequence| self.place(sequence)).collect();
        if let Some(Group { state: GroupState::Running(slots), .. }) = self.groups.get_mut(&id) {
            slots.extend(placed);
        }
        true
    }
}

/// How many leading tokens need not be computed if their keys and values are there: not the last one, whose logits are
/// wanted, and none whose successor's log probability is still to be told.
pub(super) fn usable(sequence: &Sequence, group: &Group) -> usize {
    if !group.reuses() {
        return 0;
    }
    let known = sequence.tokens.len() - 1;
    let scored = group.scores.as_ref().map_or(usize::MAX, |scores| scores.len() - 1);
    known.min(scored).min(sequence.halt.unwrap_or(usize::MAX))
}

/// Pages of a sequence that computes up to `end`, beyond those that it has.
pub(super) fn further_pages(sequence: &Sequence, end: usize) -> usize {
    pages_for(end).saturating_sub(sequence.pages.len())
}
