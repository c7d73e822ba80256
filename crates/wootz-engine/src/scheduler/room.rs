//! Pages for the next rows, and who gives pages up when there are none.

use wootz_backend::step::{PAGE_TOKENS, PageCopy};

use crate::group::GroupState;
use crate::policy::{Running, Standing};
use crate::request::RequestId;
use crate::sequence::Sequence;

use super::admission::further_pages;
use super::{Scheduler, Slot, computes_no_more};

/// What became of the pages for a sequence's next rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There are pages for so many rows, after this copy.
    For { rows: usize, copy: Option<PageCopy> },
    /// Not in this step.
    None,
}

/// What became of one page.
enum Taken {
    Page(u32),
    /// Pages come back when a step under way is done; or the sequence itself has given its pages up.
    None,
}

impl Scheduler {
    /// Finds pages for the next rows of a sequence, of `rows` if possible, of fewer if need be.
    pub(super) fn make_room(&mut self, slot: usize, rows: usize) -> Room {
        let Slot::Running(sequence) = &self.slots[slot] else { return Room::None };
        let computed = sequence.computed;
        let mut copy = None;
        if !computed.is_multiple_of(PAGE_TOKENS) {
            let from = sequence.pages[computed / PAGE_TOKENS];
            if self.pages.holders(from) > 1 {
                let Taken::Page(to) = self.page_for(slot) else { return Room::None };
                let Some(sequence) = self.sequence(slot) else { return Room::None };
                sequence.pages[computed / PAGE_TOKENS] = to;
                self.pages.release(from);
                copy = Some(PageCopy { from, to });
            }
        }
        let missing = self.sequence(slot).map_or(0, |sequence| further_pages(sequence, computed + rows));
        for _ in 0..missing {
            let before = self.sequence(slot).map_or(0, |sequence| sequence.pages.len() * PAGE_TOKENS);
            let taken = if before > computed {
                // Some rows have pages already: nobody gives up pages for the others.
                self.pages.take().map_or(Taken::None, Taken::Page)
            } else {
                self.page_for(slot)
            };
            let Some(sequence) = self.sequence(slot) else { return Room::None };
            match taken {
                Taken::Page(page) => sequence.pages.push(page),
                Taken::None if before > computed => return Room::For { rows: before - computed, copy },
                Taken::None => return Room::None,
            }
        }
        Room::For { rows, copy }
    }

    fn sequence(&mut self, slot: usize) -> Option<&mut Sequence> {
        match &mut self.slots[slot] {
            Slot::Running(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// A page, taken from the request that would have started last if there is no other.
    fn page_for(&mut self, slot: usize) -> Taken {
        loop {
            if let Some(page) = self.pages.take() {
                return Taken::Page(page);
            }
            if self.leaving > 0 {
                return Taken::None;
            }
            let Some(own) = self.sequence(slot).map(|sequence| sequence.request) else { return Taken::None };
            let running = self.order.iter().filter_map(|&slot| {
                let Slot::Running(sequence) = &self.slots[slot] else { return None };
                let group = self.groups.get(&sequence.request)?;
                let (arrived, scheduling) = (group.arrived, group.scheduling());
                Some(Running { id: sequence.request, arrived, scheduling })
            });
            let Some(victim) = self.queue.victim(running) else { return Taken::None };
            self.preempt(victim);
            if victim == own {
                return Taken::None;
            }
        }
    }

    /// A running request gives its pages up and waits again. What it has computed stays in the prefix cache while
    /// nobody needs the pages.
    fn preempt(&mut self, id: RequestId) {
        let Some(mut group) = self.groups.remove(&id) else { return };
        if let GroupState::Running(slots) = &group.state {
            self.reserved -= group.wanted_slots();
            self.host -= usize::from(group.host);
            let parked = slots.iter().filter_map(|&slot| self.vacate(slot)).collect();
            group.state = GroupState::Waiting(parked);
            group.preempted = true;
            self.unforked.retain(|&other| other != id);
            self.counts.preemptions += 1;
            self.line_up(id, &group, Standing::Preempted);
        }
        self.groups.insert(id, group);
    }

    /// Takes a sequence out of its slot, without its pages.
    pub(super) fn vacate(&mut self, slot: usize) -> Option<Sequence> {
        let Slot::Running(mut sequence) = std::mem::replace(&mut self.slots[slot], Slot::Empty) else {
            return None;
        };
        self.order.retain(|&other| other != slot);
        let keys = sequence.known_keys();
        computes_no_more(&mut self.computing, slot, &keys[sequence.entered.min(keys.len())..]);
        let pages = sequence.start_over();
        match std::mem::take(&mut sequence.under_way) {
            0 => {
                self.release(pages);
                self.empty.push(slot);
            }
            under_way => {
                self.leaving += pages.len();
                self.slots[slot] = Slot::Leaving { pages, under_way };
            }
        }
        Some(*sequence)
    }

    /// A step with rows of a sequence that is gone is over.
    pub(super) fn left(&mut self, slot: usize) {
        let Slot::Leaving { pages, under_way } = &mut self.slots[slot] else { return };
        *under_way -= 1;
        if *under_way == 0 {
            let pages = std::mem::take(pages);
            self.leaving -= pages.len();
            self.release(pages);
            self.slots[slot] = Slot::Empty;
            self.empty.push(slot);
        }
    }

    /// The last page first, so that the first block of a sequence counts as used last.
    fn release(&mut self, pages: Vec<u32>) {
        pages.into_iter().rev().for_each(|page| self.pages.release(page));
    }

    /// An answer is over.
    pub(super) fn finish(&mut self, slot: usize) {
        let Some(sequence) = self.vacate(slot) else { return };
        let Some(group) = self.groups.get_mut(&sequence.request) else { return };
        if let GroupState::Running(slots) = &mut group.state {
            slots.retain(|&other| other != slot);
            self.reserved -= 1;
            if slots.is_empty() {
                self.end_group(sequence.request);
            }
        }
    }

    /// A request is over, with whatever is left of it.
    pub(super) fn end_group(&mut self, id: RequestId) {
        let Some(group) = self.groups.remove(&id) else { return };
        match &group.state {
            GroupState::Waiting(_) => drop(self.queue.remove(id)),
            GroupState::Running(slots) => {
                self.host -= usize::from(group.host);
                self.reserved -= group.wanted_slots();
                for &slot in slots {
                    self.vacate(slot);
                }
                self.unforked.retain(|&other| other != id);
            }
        }
    }

    /// What this request has computed is in doubt: no other is to find it.
    pub(super) fn forget(&mut self, id: RequestId) {
        let Some(GroupState::Running(slots)) = self.groups.get(&id).map(|group| &group.state) else { return };
        for &slot in slots {
            let Slot::Running(sequence) = &self.slots[slot] else { continue };
            let keys = sequence.known_keys();
            for key in keys[..sequence.entered.min(keys.len())].iter().rev() {
                if !self.pages.forget(key) {
                    break;
                }
            }
        }
    }
}
