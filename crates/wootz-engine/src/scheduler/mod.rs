//! Which tokens the next step works on, and what its logits mean for the requests.
//!
//! Requests wait in a queue ([`WaitingQueue`]) and start when there are slots for their answers and pages for their
//! tokens. Every running answer advances by a token in each step; prompts share the rows that the budget leaves, in
//! chunks. Pages are taken as they are filled. When there are none, the request that would have started last gives its
//! pages up, waits again, and later computes what it had: its answer is the same.
//!
//! Blocks that are computed are in the prefix cache at once, so requests with a common beginning share it while they run.
//! Answers of one request fork off before the prompt's last token; what they write to is copied first.

mod admission;
mod apply;
mod beams;
mod disk;
mod plan;
mod room;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use wootz_backend::sampling::Draw;
use wootz_backend::step::StepLimits;

use crate::EngineError;
use crate::block::BlockKey;
use crate::budget::{StepBudget, StepShape};
use crate::event::{AnswerEvent, Event, EventKind, FinishReason, Usage};
use crate::group::{Group, GroupState, Place};
use crate::guide::MaskWorker;
use crate::metrics::{PageCounts, PrefixCounts, TokenCounts};
use crate::pages::Pages;
use crate::policy::{Standing, Waiting, WaitingQueue};
use crate::request::{Request, RequestId};
use crate::sequence::Sequence;
use crate::settings::EngineSettings;

use disk::DiskTier;

/// Plans steps and applies their results. No I/O, and no clock but to measure itself: the same calls give the same steps.
#[derive(Debug)]
pub struct Scheduler {
    limits: StepLimits,
    /// The most sequences that run together.
    sequences: usize,
    pages: Pages,
    /// Every request that has not ended.
    groups: HashMap<RequestId, Group>,
    queue: WaitingQueue,
    slots: Vec<Slot>,
    empty: Vec<usize>,
    /// The slots that run, in the order of their start.
    order: Vec<usize>,
    /// Slots that running requests have, or will need.
    reserved: usize,
    /// Running requests whose answers have not forked yet.
    unforked: Vec<RequestId>,
    /// Pages of sequences that are gone while a step under way still writes to them.
    leaving: usize,
    /// The steps under way, oldest first.
    planned: VecDeque<Planned>,
    /// The number of the next step.
    next_step: u64,
    budget: StepBudget,
    /// Blocks that steps under way compute, and by which slot.
    computing: HashMap<BlockKey, usize>,
    /// The parent of all first blocks.
    root: BlockKey,
    /// Running requests that the device can't draw for.
    host: usize,
    counts: Counts,
    disk: DiskTier,
}

/// What a scheduler has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tokens of prompts, and of answers.
    pub tokens: TokenCounts,
    /// Blocks of prompts.
    pub prefix: PrefixCounts,
    /// Requests that gave their pages up.
    pub preemptions: u64,
    /// How long it took to draw tokens here, and what else is made of logits.
    pub sampling: Duration,
}

/// A place for a sequence. It is used again when no step under way has rows of its sequence.
#[derive(Debug)]
enum Slot {
    Empty,
    Running(Box<Sequence>),
    /// Its sequence is gone; steps under way write to these pages.
    Leaving {
        pages: Vec<u32>,
        under_way: usize,
    },
}

/// A step under way.
#[derive(Debug)]
struct Planned {
    number: u64,
    parts: Vec<Part>,
    shape: StepShape,
}

/// A sequence's part in a step under way.
#[derive(Debug, Clone, Copy)]
struct Part {
    slot: usize,
    request: RequestId,
    /// Its sequence has computed so many tokens after the step.
    end: usize,
    /// The first of the sample rows that tell of the prompt's tokens, how many there are, and the first token told of.
    scores: Option<(usize, usize, usize)>,
    /// The sample row from which its next token is to be chosen.
    sample: Option<usize>,
    /// The token before that one is not known yet: this sample row of the step before draws it.
    pending: Option<u32>,
}

/// A step under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderWay {
    /// The one that was planned first.
    Oldest,
    /// The one that was planned last.
    Newest,
}

/// Who can draw a request's tokens, or draws a step's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// The device: its steps may follow each other without a wait.
    Device,
    /// The engine, from the logits of each step.
    Host,
}

impl Scheduler {
    /// A scheduler with nothing to do, for a model with these limits.
    pub fn new(limits: StepLimits, settings: &EngineSettings) -> Self {
        Self {
            limits,
            sequences: settings.sequences.min(limits.rows).min(limits.samples).max(1),
            pages: Pages::new(limits.pages),
            groups: HashMap::new(),
            queue: WaitingQueue::new(settings.policy),
            slots: Vec::new(),
            empty: Vec::new(),
            order: Vec::new(),
            reserved: 0,
            unforked: Vec::new(),
            leaving: 0,
            planned: VecDeque::new(),
            next_step: 0,
            budget: StepBudget::new(settings.target),
            computing: HashMap::new(),
            root: BlockKey::root(settings.disk.as_ref().map_or(&[], |disk| &disk.model[..])),
            host: 0,
            counts: Counts::default(),
            disk: DiskTier::default(),
        }
    }

    /// Takes a request in, or says why it can never be served.
    ///
    /// # Errors
    /// An empty prompt, a token that the model lacks, settings outside their range, more tokens or answers than fit.
    pub fn add(
        &mut self,
        id: RequestId,
        request: Request,
        drawing: Drawing,
        now: Duration,
    ) -> Result<(), EngineError> {
        let host = drawing == Drawing::Host;
        let place = Place { limits: self.limits, sequences: self.sequences, host };
        let group = Group::new(id, request, &place, now)?;
        self.line_up(id, &group, Standing::New);
        self.groups.insert(id, group);
        Ok(())
    }

    fn line_up(&mut self, id: RequestId, group: &Group, standing: Standing) {
        let (arrived, scheduling) = (group.arrived, group.scheduling());
        self.queue.push(Waiting { id, arrived, scheduling, standing });
    }

    /// Forgets a request. What it has computed stays in the prefix cache.
    pub fn cancel(&mut self, id: RequestId) {
        self.end_group(id);
    }

    /// Ends an answer: the caller has all that it wants of it. Hypotheses of a beam search are no answers yet.
    pub fn stop(&mut self, id: RequestId, answer: usize) -> Vec<Event> {
        let finished = |usage| EventKind::Finished { reason: FinishReason::Stopped, usage };
        self.stop_answer(id, answer).map(|usage| about(id, answer, finished(usage))).into_iter().collect()
    }

    fn stop_answer(&mut self, id: RequestId, answer: usize) -> Option<Usage> {
        let group = self.groups.get_mut(&id).filter(|group| group.forked && group.beams.is_none())?;
        if let GroupState::Waiting(parked) = &mut group.state {
            let index = parked.iter().position(|sequence| sequence.answer == answer)?;
            let usage = parked.remove(index).usage();
            if parked.is_empty() {
                self.end_group(id);
            }
            return Some(usage);
        }
        for slot in self.slots_of(id) {
            if let Slot::Running(sequence) = &mut self.slots[slot]
                && sequence.answer == answer
            {
                let usage = sequence.usage();
                self.finish(slot);
                return Some(usage);
            }
        }
        None
    }

    /// How many requests wait to run.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// How many answers are worked on.
    pub fn running(&self) -> usize {
        self.order.len()
    }

    /// How many more answers could be.
    pub fn room(&self) -> usize {
        self.sequences.saturating_sub(self.reserved)
    }

    /// Whether there is nothing to plan, and nothing under way.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.planned.is_empty()
    }

    /// How many planned steps are neither applied nor failed.
    pub fn under_way(&self) -> usize {
        self.planned.len()
    }

    /// Whether tokens of the next step must be drawn here, so that each step is waited for: those of a request that runs,
    /// or of one that would start.
    pub fn needs_host(&self) -> bool {
        let first = self.queue.next().and_then(|id| self.groups.get(&id));
        self.host > 0 || first.is_some_and(|group| group.host && self.has_slots_for(group))
    }

    /// Notes how long the oldest step under way took; to be called before its results are taken in.
    pub fn took(&mut self, took: Duration) {
        let shape = self.planned.front().map_or_else(StepShape::default, |planned| planned.shape);
        self.budget.observe(shape, took);
    }

    /// How many steps were planned so far.
    pub fn steps_planned(&self) -> u64 {
        self.next_step
    }

    /// Goes on with the counts of another.
    pub fn counting_from(mut self, counts: Counts) -> Self {
        self.counts = counts;
        self
    }

    /// What it has done so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The pages of the pool, by what they are used for.
    pub fn pages(&self) -> PageCounts {
        self.pages.counts()
    }

    /// Looks for contradictions in its books; panics if there are any. For tests: it goes through every page.
    pub fn check(&self) {
        self.pages.check();
        let counts = self.pages.counts();
        assert_eq!(counts.free + counts.cached + counts.held, self.limits.pages as u64);
        let mut holders = vec![0u32; self.limits.pages];
        let mut leaving = 0;
        for slot in &self.slots {
            let pages = match slot {
                Slot::Empty => continue,
                Slot::Running(sequence) => &sequence.pages,
                Slot::Leaving { pages, .. } => {
                    leaving += pages.len();
                    pages
                }
            };
            pages.iter().for_each(|&page| holders[page as usize] += 1);
        }
        assert_eq!(leaving, self.leaving);
        for (page, &count) in holders.iter().enumerate() {
            assert_eq!(self.pages.holders(page as u32), count, "holders of page {page}");
        }
        if self.is_idle() {
            let nothing = (self.reserved, self.order.len(), self.queue.len(), self.host, self.unforked.len());
            assert_eq!(nothing, (0, 0, 0, 0, 0));
            assert!(self.computing.is_empty());
        }
    }

    /// Has the masks computed that the newest planned step's tokens are chosen with, while the device runs it.
    pub fn prepare_masks(&mut self, worker: &MaskWorker) {
        let Some(planned) = self.planned.back() else { return };
        for part in planned.parts.iter().filter(|part| part.sample.is_some()) {
            if let Slot::Running(sequence) = &mut self.slots[part.slot] {
                sequence.guide.prepare(worker);
            }
        }
    }

    /// How each sample row of the step that was planned last is to be drawn, in order.
    pub fn draws(&self) -> Vec<Draw<'_>> {
        let Some(planned) = self.planned.back() else { return Vec::new() };
        let draw = |part: &Part| {
            part.sample?;
            let Slot::Running(sequence) = &self.slots[part.slot] else { return None };
            let (settings, logprobs) = sequence.sampler.asked();
            let index = (sequence.generated() + usize::from(part.pending.is_some())) as u64;
            Some(Draw { settings, logprobs, context: &sequence.tokens, pending: part.pending, index })
        };
        planned.parts.iter().filter_map(draw).collect()
    }
}

/// Takes blocks of a slot's sequence off the list of those that steps under way compute.
fn computes_no_more(computing: &mut HashMap<BlockKey, usize>, slot: usize, keys: &[BlockKey]) {
    if computing.is_empty() {
        return;
    }
    for key in keys {
        if computing.get(key) == Some(&slot) {
            computing.remove(key);
        }
    }
}

/// Does some work, and adds how long it took.
fn timed<T>(spent: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    *spent += begun.elapsed();
    done
}

/// An event of an answer.
fn about(request: RequestId, answer: usize, kind: EventKind) -> Event {
    Event { request, event: AnswerEvent { answer, kind } }
}
