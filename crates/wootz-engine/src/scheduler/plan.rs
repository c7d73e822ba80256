//! The next step: whose rows, how many, in which pages.

use std::time::Duration;

use wootz_backend::cache::pages_for;
use wootz_backend::step::{PAGE_TOKENS, PageCopy, SequenceSlice, Step, pending};

use crate::budget::{LEAST_ROWS, StepLoad, StepShape};
use crate::sequence::{Awaited, Sequence, Sharing};

use super::admission::{Reuse, usable};
use super::room::Room;
use super::{Drawing, Part, Planned, Scheduler, Slot};

/// Rows that a sequence gets in the step that is being planned.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    slot: usize,
    rows: usize,
    /// Further rows, of tokens that are predicted to follow.
    drafts: usize,
    copy: Option<PageCopy>,
}

impl Scheduler {
    /// The next step; `None` when there is nothing to compute, or nothing before a step under way is done. `now` is the
    /// time since the engine's start.
    ///
    /// Who draws the step's tokens is the device only if [`Self::needs_host`] says that it can; its steps may follow each
    /// other before their results are known. Those whose tokens are drawn here may have drafts in them.
    pub fn plan(&mut self, now: Duration, drawing: Drawing) -> Option<Step> {
        self.fork_ready();
        self.admit(now, drawing);
        let order = self.order.clone();
        let prompts = self.queue.len() + order.iter().filter(|&&slot| self.is_prompt(slot)).count();
        let mut chosen = Vec::with_capacity(order.len());
        self.choose_answers(&order, &mut chosen);
        if drawing == Drawing::Host {
            self.choose_drafts(prompts, &mut chosen);
        }
        self.choose_prompts(&order, prompts, &mut chosen);
        // Who gave its pages up for another's rows has none.
        chosen.retain(|chosen| matches!(self.slots[chosen.slot], Slot::Running(_)));
        if chosen.is_empty() {
            // A request may have found all of its prompt but the last token: its answers can begin right now.
            return if self.fork_ready() { self.plan(now, drawing) } else { None };
        }
        let mut step = Step::default();
        let (mut parts, mut shape) =
            (Vec::with_capacity(chosen.len()), StepShape { prompts, ..StepShape::default() });
        for chosen in chosen {
            step.copies.extend(chosen.copy);
            parts.push(self.add_rows(&mut step, chosen, &mut shape));
        }
        self.planned.push_back(Planned { number: self.next_step, parts, shape });
        self.next_step += 1;
        Some(step)
    }

    /// One row for every answer that can go on.
    fn choose_answers(&mut self, order: &[usize], chosen: &mut Vec<Chosen>) {
        for &slot in order {
            let Slot::Running(sequence) = &self.slots[slot] else { continue };
            if sequence.pending(self.next_step) == 1
                && let Room::For { copy, .. } = self.make_room(slot, 1)
            {
                chosen.push(Chosen { slot, rows: 1, drafts: 0, copy });
            }
        }
    }

    /// Drafts beside the rows of answers. What is known to be needed goes first: they take no page, leave rows for
    /// prompts, and if others stream, get no more than half of what may be added to the step on their account.
    fn choose_drafts(&self, prompts: usize, chosen: &mut [Chosen]) {
        let answers = self.order.len();
        let rows = self.limits.rows.saturating_sub(answers + LEAST_ROWS);
        let mut left = rows.min(self.limits.samples.saturating_sub(answers));
        if chosen.len() > 1 {
            left = left.min(self.budget.prompt_rows(self.load(chosen, prompts)) / 2);
        }
        for index in 0..chosen.len() {
            let share = left.div_ceil(chosen.len() - index);
            if let Slot::Running(sequence) = &self.slots[chosen[index].slot] {
                chosen[index].drafts = sequence.draftable(share).len();
                left -= chosen[index].drafts;
            }
        }
    }

    /// Whether a slot's sequence has rows of a prompt left, or of an answer that is computed anew.
    fn is_prompt(&self, slot: usize) -> bool {
        matches!(&self.slots[slot], Slot::Running(sequence) if sequence.pending(self.next_step) > 1)
    }

    /// What the rows of answers come to, beside so many prompts.
    fn load(&self, chosen: &[Chosen], prompts: usize) -> StepLoad {
        let mut load = StepLoad { prompts, ..StepLoad::default() };
        for chosen in chosen {
            if let Slot::Running(sequence) = &self.slots[chosen.slot] {
                load.decode_rows += 1;
                load.decode_attended += sequence.computed + 1;
                load.prompt_at = load.prompt_at.max(sequence.computed + 1);
            }
        }
        load
    }

    /// The rows that are left, for prompts in the order of their start.
    fn choose_prompts(&mut self, order: &[usize], prompts: usize, chosen: &mut Vec<Chosen>) {
        let mut load = self.load(chosen, prompts);
        let drafts: usize = chosen.iter().map(|chosen| chosen.drafts).sum();
        // Each running sequence may want the logits of one row; the others can tell of drafts and of a prompt's tokens.
        let mut samples = self.limits.samples.saturating_sub(self.order.len() + drafts);
        let mut left = None;
        for &slot in order {
            if !self.is_prompt(slot) || self.reuse(slot) == Reuse::Soon {
                continue;
            }
            let Slot::Running(sequence) = &self.slots[slot] else { continue };
            let left = left.get_or_insert_with(|| {
                load.prompt_at = sequence.computed;
                let free = self.limits.rows - load.decode_rows - drafts;
                self.budget.prompt_rows(load).saturating_sub(drafts).max(LEAST_ROWS).min(free)
            });
            let mut rows = sequence.pending(self.next_step).min(*left);
            if let Some(group) = self.groups.get(&sequence.request).filter(|group| group.scores.is_some()) {
                let known = usable(sequence, group).saturating_sub(sequence.computed);
                rows = rows.min(known + samples + 1);
                samples -= rows.saturating_sub(known + 1);
            }
            if rows > 0
                && let Room::For { rows, copy } = self.make_room(slot, rows)
            {
                *left -= rows;
                chosen.push(Chosen { slot, rows, drafts: 0, copy });
                self.note_computing(slot, rows);
            }
        }
    }

    /// Notes the blocks that the chosen rows of a sequence fill, before others choose theirs: whoever has the same
    /// beginning waits for them. Blocks that will not be in the prefix cache are nothing to wait for.
    fn note_computing(&mut self, slot: usize, rows: usize) {
        let Slot::Running(sequence) = &mut self.slots[slot] else { return };
        if sequence.sharing != Sharing::Open {
            return;
        }
        let end = (sequence.computed + rows).min(sequence.tokens.len());
        for index in sequence.computed / PAGE_TOKENS..end / PAGE_TOKENS {
            let key = sequence.key(index, &self.root);
            self.computing.entry(key).or_insert(slot);
        }
    }

    /// Appends the chosen rows to `step`.
    fn add_rows(&mut self, step: &mut Step, chosen: Chosen, shape: &mut StepShape) -> Part {
        let Chosen { slot, rows, drafts, .. } = chosen;
        let Slot::Running(sequence) = &mut self.slots[slot] else {
            unreachable!("only running ones are left")
        };
        let start = sequence.computed;
        let end = start + rows;
        let pending = sequence.pending(self.next_step);
        let all = rows == pending && sequence.halt.is_none();
        sequence.drafts = sequence.draftable(drafts).to_vec();
        match pending {
            1 => note_answer(shape, start),
            _ => note_prompt(shape, start, rows),
        }
        (0..sequence.drafts.len()).for_each(|draft| note_answer(shape, end + draft));
        let first_row = write_rows(step, sequence, end);
        let mut scores = None;
        if let Some(told) = self.groups.get(&sequence.request).and_then(|group| group.scores.as_ref()) {
            // The row of position p tells of the token after it.
            let first = start.max(told.len() - 1);
            let last = end.min(sequence.prompt - 1);
            if first < last {
                scores = Some((step.sample_rows.len(), last - first, first + 1));
                let rows = first_row + first - start..first_row + last - start;
                step.sample_rows.extend(rows.map(|row| row as u32));
            }
        }
        let group = self.groups.get(&sequence.request);
        if group.is_some_and(|group| group.reuses() && group.scores.is_none()) {
            // The last token is computed in any case: a block that ends with it is not looked for.
            let blocks = end.min(sequence.prompt - 1) / PAGE_TOKENS;
            let before = sequence.looked_up.max(start / PAGE_TOKENS);
            self.counts.prefix.misses += blocks.saturating_sub(before) as u64;
            sequence.looked_up = sequence.looked_up.max(blocks);
        }
        let of_prompt = end.min(sequence.prompt).saturating_sub(start);
        self.counts.tokens.prompt_computed += of_prompt as u64;
        let before = sequence.awaited.map(|awaited| awaited.sample);
        let sample = all.then_some(step.sample_rows.len());
        if let Some(sample) = sample {
            step.sample_rows.extend((first_row + rows - 1..step.tokens.len()).map(|row| row as u32));
            sequence.awaited = Some(Awaited { step: self.next_step, sample: sample as u32 });
        }
        sequence.computed = end + sequence.drafts.len();
        sequence.under_way += 1;
        Part { slot, request: sequence.request, end, scores, sample, pending: before }
    }
}

fn note_answer(shape: &mut StepShape, position: usize) {
    shape.decode_rows += 1;
    shape.decode_attended += position + 1;
}

fn note_prompt(shape: &mut StepShape, start: usize, rows: usize) {
    shape.prompt_rows += rows;
    shape.prompt_attended += rows * start + rows * (rows + 1) / 2;
}

/// The tokens of a sequence from the first that is not computed to `end`, then its drafts, with their pages. The first
/// row.
fn write_rows(step: &mut Step, sequence: &Sequence, end: usize) -> usize {
    let (first_row, first_page) = (step.tokens.len(), step.page_table.len());
    let known = end.min(sequence.tokens.len());
    step.tokens.extend_from_slice(&sequence.tokens[sequence.computed.min(known)..known]);
    if let Some(awaited) = sequence.awaited.filter(|_| end > known) {
        step.tokens.push(pending(awaited.sample));
    }
    step.tokens.extend_from_slice(&sequence.drafts);
    let end = end + sequence.drafts.len();
    step.positions.extend(sequence.computed as u32..end as u32);
    step.page_table.extend_from_slice(&sequence.pages[..pages_for(end)]);
    step.sequences
        .push(SequenceSlice { rows: first_row..step.tokens.len(), pages: first_page..step.page_table.len() });
    first_row
}
