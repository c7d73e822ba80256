//! Which tokens the next step works on, and what its logits mean for the requests.
//!
//! The policy: requests start in the order of their arrival, as soon as the pages that they can ever need are
//! free; every running answer advances by a token in each step, and prompts share the rows that are left.
//! Pages of finished requests stay as a prefix for later ones until somebody needs them.

use std::collections::VecDeque;
use std::time::Duration;

use wootz_backend::cache::pages_for;
use wootz_backend::sampling::{Draw, DrawFailure, Logprobs, Sampled, SamplingSettings};
use wootz_backend::step::{PAGE_TOKENS, SequenceSlice, Step, StepLimits, pending};

use crate::EngineError;
use crate::event::{AnswerEvent, Event, EventKind, FinishReason};
use crate::pages::{Page, PagePool, Taken};
use crate::request::{Answers, Request, RequestId};
use crate::sampler::{Place, Sampler};
use crate::sequence::Sequence;

/// Plans steps and applies their results. No I/O, no clock: the same calls give the same steps.
#[derive(Debug)]
pub struct Scheduler {
    limits: StepLimits,
    /// The most sequences that run together.
    sequences: usize,
    /// The longest sequence, in tokens.
    context: usize,
    pool: PagePool,
    waiting: VecDeque<Sequence>,
    running: Vec<Sequence>,
    /// Finished sequences whose pages may serve as a prefix, least recently used first.
    retained: Vec<Prefix>,
    /// Sequences that have ended, or were cancelled, while a step under way still writes to their pages.
    leaving: Vec<Sequence>,
    /// The steps under way, oldest first: their sequences, as in [`Step::sequences`].
    planned: VecDeque<Vec<Planned>>,
}

/// Tokens whose keys and values are in pages that no sequence uses.
#[derive(Debug)]
struct Prefix {
    tokens: Vec<u32>,
    pages: Vec<Page>,
}

/// A sequence's part in a step under way.
#[derive(Debug, Clone, Copy)]
struct Planned {
    request: RequestId,
    /// Its row of the logits, where its next token is to be chosen.
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

impl Scheduler {
    /// A scheduler with nothing to do, for a model with these limits, that runs at most so many `sequences` together.
    pub fn new(limits: StepLimits, sequences: usize) -> Self {
        Self {
            limits,
            sequences: sequences.min(limits.rows).min(limits.samples).max(1),
            context: limits.positions.min(limits.pages * PAGE_TOKENS),
            pool: PagePool::new(limits.pages),
            waiting: VecDeque::new(),
            running: Vec::new(),
            retained: Vec::new(),
            leaving: Vec::new(),
            planned: VecDeque::new(),
        }
    }

    /// Takes a request in, or says why it can never be served.
    pub fn add(&mut self, id: RequestId, request: Request, now: Duration) -> Result<(), EngineError> {
        let (context, vocab) = (self.context, self.limits.vocab);
        if request.prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        if let Some(&token) = request.prompt.iter().find(|&&token| token as usize >= vocab) {
            return Err(EngineError::TokenOutsideVocabulary { token, vocab });
        }
        if request.prompt.len() >= context {
            return Err(EngineError::ContextFull { prompt: request.prompt.len(), context });
        }
        if request.answers != Answers::default() || request.prompt_logprobs.is_some() {
            return Err(EngineError::Unsupported {
                what: "more than one answer, or log probabilities of the prompt,".into(),
                possible: "ask for one answer without them".into(),
            });
        }
        let sampler = Sampler::new(request.sampling.clone(), request.logprobs, vocab)?;
        self.waiting.push_back(Sequence::new(id, request, sampler, context, now));
        Ok(())
    }

    /// Forgets a request. What it has computed stays as a prefix.
    pub fn cancel(&mut self, id: RequestId) {
        if let Some(index) = self.waiting.iter().position(|sequence| sequence.id == id) {
            // It may hold a prefix already.
            self.waiting.remove(index).into_iter().for_each(|sequence| self.retain(sequence));
        }
        if let Some(index) = self.running.iter().position(|sequence| sequence.id == id) {
            let sequence = self.running.remove(index);
            self.leave(sequence);
        }
    }

    /// How many requests wait to run.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many more sequences could run.
    pub fn room(&self) -> usize {
        self.sequences - self.running.len()
    }

    /// Ends an answer: the caller has all that it wants of it.
    pub fn stop(&mut self, id: RequestId, answer: usize) -> Vec<Event> {
        let found =
            self.running.iter().chain(&self.waiting).find(|sequence| sequence.id == id && answer == 0);
        let Some(usage) = found.map(Sequence::usage) else { return Vec::new() };
        self.cancel(id);
        vec![about(id, EventKind::Finished { reason: FinishReason::Stopped, usage })]
    }

    /// Whether there is nothing to plan, and nothing under way.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.planned.is_empty()
    }

    /// How many planned steps are neither applied nor failed.
    pub fn under_way(&self) -> usize {
        self.planned.len()
    }

    /// How every request that waits or runs wants its tokens drawn.
    pub fn asked(&self) -> impl Iterator<Item = (&SamplingSettings, Logprobs)> {
        self.waiting.iter().chain(&self.running).map(|sequence| sequence.sampler.asked())
    }

    /// The next step, or `None` when there is nothing to do before a step under way has been applied.
    ///
    /// With a step under way, its draws are not known: rows that need them name them by
    /// [`pending`](wootz_backend::step::pending). At most one may be under way then.
    pub fn plan(&mut self, now: Duration) -> Option<Step> {
        debug_assert!(self.planned.len() < 2, "a token can be pending on the step before only");
        self.admit(now);
        let mut step = Step::default();
        let mut planned = Vec::new();
        let answering = self.running.iter().filter(|sequence| sequence.pending() == 1).count();
        let mut prompt_rows = self.limits.rows.saturating_sub(answering);
        for sequence in &mut self.running {
            let rows = match sequence.pending() {
                1 => 1,
                pending => {
                    let rows = pending.min(prompt_rows);
                    prompt_rows -= rows;
                    rows
                }
            };
            if rows > 0 {
                let sample = (rows == sequence.pending()).then_some(step.sample_rows.len());
                add_rows(&mut step, sequence, rows);
                planned.push(Planned { request: sequence.id, sample, pending: sequence.awaited });
                sequence.computed += rows;
                sequence.under_way += 1;
                if let Some(sample) = sample {
                    step.sample_rows.push(step.tokens.len() as u32 - 1);
                    sequence.awaited = Some(sample as u32);
                }
            }
        }
        if planned.is_empty() {
            return None;
        }
        self.planned.push_back(planned);
        Some(step)
    }

    /// How each sample row of the step that was planned last is to be drawn, in order.
    pub fn draws(&self) -> Vec<Draw<'_>> {
        let Some(planned) = self.planned.back() else { return Vec::new() };
        let sampled = planned.iter().filter(|planned| planned.sample.is_some());
        let draw = |planned: &Planned| {
            let sequence = self.running.iter().find(|sequence| sequence.id == planned.request)?;
            let (settings, logprobs) = sequence.sampler.asked();
            let index = (sequence.generated() + usize::from(planned.pending.is_some())) as u64;
            Some(Draw { settings, logprobs, context: &sequence.tokens, pending: planned.pending, index })
        };
        sampled.filter_map(draw).collect()
    }

    /// Takes in the logits `[samples, vocab]` of the oldest step under way, and says what they mean for the requests.
    pub fn apply(&mut self, logits: &[f32]) -> Vec<Event> {
        let vocab = self.limits.vocab;
        self.apply_with(|sequence, sample| {
            let place = Place { context: &sequence.tokens, draw: sequence.generated() as u64, allowed: None };
            sequence.sampler.sample(&logits[sample * vocab..][..vocab], place)
        })
    }

    /// The same with tokens that the device drew, one a sample row.
    pub fn apply_drawn(&mut self, drawn: &[Result<Sampled, DrawFailure>]) -> Vec<Event> {
        self.apply_with(|_, sample| match &drawn[sample] {
            Ok(sampled) => Ok(sampled.clone()),
            Err(DrawFailure::BrokenLogit { token, found }) => {
                Err(EngineError::BrokenLogit { token: *token, found: *found })
            }
            Err(DrawFailure::NoTokenLeft) => Err(EngineError::NoTokenLeft),
        })
    }

    /// Takes in the oldest step under way, whose tokens `choose` gives by sequence and sample row.
    fn apply_with(
        &mut self,
        mut choose: impl FnMut(&mut Sequence, usize) -> Result<Sampled, EngineError>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for planned in self.planned.pop_front().unwrap_or_default() {
            let Some(index) = self.done_with(planned.request) else { continue };
            let sequence = &mut self.running[index];
            let Some(sample) = planned.sample else { continue };
            if sequence.generated() == 0 {
                let kind = EventKind::Prompted { reused: sequence.reused, queued: sequence.queued };
                events.push(about(sequence.id, kind));
            }
            if sequence.under_way == 0 {
                sequence.awaited = None;
            }
            let mut ended = None;
            match choose(sequence, sample) {
                Err(error) => {
                    // Broken logits come of broken keys and values as easily as of broken weights.
                    sequence.computed = 0;
                    ended = Some(EventKind::Failed(error));
                }
                Ok(sampled) if sequence.end_tokens.contains(&sampled.token) => {
                    let reason = FinishReason::EndToken(sampled.token);
                    ended = Some(EventKind::Finished { reason, usage: sequence.usage() });
                }
                Ok(sampled) => {
                    sequence.tokens.push(sampled.token);
                    events.push(about(sequence.id, EventKind::Token(sampled)));
                    if sequence.tokens.len() >= sequence.limit.tokens {
                        let reason = sequence.limit.reason;
                        ended = Some(EventKind::Finished { reason, usage: sequence.usage() });
                    }
                }
            }
            if let Some(kind) = ended {
                let sequence = self.running.remove(index);
                events.push(about(sequence.id, kind));
                self.leave(sequence);
            }
        }
        events
    }

    /// A step under way failed on the device, or could not be started: its sequences end, and their pages hold nothing
    /// of worth.
    pub fn fail(&mut self, which: UnderWay, error: &EngineError) -> Vec<Event> {
        let planned = match which {
            UnderWay::Oldest => self.planned.pop_front(),
            UnderWay::Newest => self.planned.pop_back(),
        };
        let mut events = Vec::new();
        for planned in planned.unwrap_or_default() {
            // What was cancelled meanwhile keeps none of it as a prefix either.
            if let Some(cancelled) = self.leaving.iter_mut().find(|sequence| sequence.id == planned.request) {
                cancelled.computed = 0;
            }
            if let Some(index) = self.done_with(planned.request) {
                let mut sequence = self.running.remove(index);
                sequence.computed = 0;
                self.leave(sequence);
                events.push(about(planned.request, EventKind::Failed(error.clone())));
            }
        }
        events
    }

    /// Notes that a step with rows of this request is over. The request's place among the running ones, if it is
    /// still one of them.
    fn done_with(&mut self, request: RequestId) -> Option<usize> {
        if let Some(index) = self.running.iter().position(|sequence| sequence.id == request) {
            self.running[index].under_way -= 1;
            return Some(index);
        }
        if let Some(index) = self.leaving.iter().position(|sequence| sequence.id == request) {
            let mut sequence = self.leaving.remove(index);
            sequence.under_way -= 1;
            self.leave(sequence);
        }
        None
    }

    /// Keeps what a sequence has computed as soon as no step under way writes to its pages.
    fn leave(&mut self, sequence: Sequence) {
        match sequence.under_way {
            0 => self.retain(sequence),
            _ => self.leaving.push(sequence),
        }
    }

    /// Starts waiting requests, in order, while there is room.
    fn admit(&mut self, now: Duration) {
        while self.running.len() < self.sequences {
            let Some(mut sequence) = self.waiting.pop_front() else { return };
            self.take_over_prefix(&mut sequence);
            let wanted = pages_for(sequence.limit.tokens);
            if wanted < sequence.pages.len() {
                self.pool.give_back(sequence.pages.drain(wanted..));
            }
            let missing = wanted - sequence.pages.len();
            while self.pool.free() < missing && !self.retained.is_empty() {
                self.pool.give_back(self.retained.remove(0).pages);
            }
            match self.pool.take(missing, &mut sequence.pages) {
                Taken::All => {
                    sequence.queued = now.saturating_sub(sequence.arrived);
                    self.running.push(sequence);
                }
                Taken::TooFew => {
                    // It keeps what it took over, and waits for a running sequence to end.
                    self.waiting.push_front(sequence);
                    return;
                }
            }
        }
    }

    /// The pages of the pool, for those who look after the books: free, held.
    pub fn pages(&self) -> (usize, usize) {
        (self.pool.free(), self.pool.held())
    }

    /// Of the held ones, those that are kept as a prefix.
    pub fn retained_pages(&self) -> usize {
        self.retained.iter().map(|prefix| prefix.pages.len()).sum()
    }

    /// Gives a sequence that holds nothing the pages of the retained prefix that it shares most with.
    fn take_over_prefix(&mut self, sequence: &mut Sequence) {
        if !sequence.pages.is_empty() {
            return;
        }
        // The last token is computed in any case: its logits are wanted.
        let usable = &sequence.tokens[..sequence.tokens.len() - 1];
        let shared = |prefix: &Prefix| prefix.tokens.iter().zip(usable).take_while(|(a, b)| a == b).count();
        let best = self.retained.iter().map(shared).enumerate().max_by_key(|&(_, count)| count);
        if let Some((index, count)) = best.filter(|&(_, count)| count > 0) {
            sequence.pages = self.retained.remove(index).pages;
            sequence.computed = count;
            sequence.reused = count;
        }
    }

    /// Keeps the pages of an ended sequence that hold something, and frees the others.
    fn retain(&mut self, sequence: Sequence) {
        let Sequence { mut tokens, mut pages, computed, .. } = sequence;
        // A step that was planned before the end was known may have computed a row beyond it.
        let computed = computed.min(tokens.len());
        tokens.truncate(computed);
        self.pool.give_back(pages.drain(pages_for(computed).min(pages.len())..));
        if !pages.is_empty() {
            self.retained.push(Prefix { tokens, pages });
        }
    }
}

/// Appends the next `rows` tokens of `sequence` to `step`.
fn add_rows(step: &mut Step, sequence: &Sequence, rows: usize) {
    let (first_row, first_page) = (step.tokens.len(), step.page_table.len());
    let end = sequence.computed + rows;
    let known = end.min(sequence.tokens.len());
    step.tokens.extend_from_slice(&sequence.tokens[sequence.computed.min(known)..known]);
    if let Some(sample) = sequence.awaited.filter(|_| end > known) {
        step.tokens.push(pending(sample));
    }
    step.positions.extend(sequence.computed as u32..end as u32);
    step.page_table.extend(sequence.pages[..pages_for(end)].iter().map(Page::id));
    step.sequences
        .push(SequenceSlice { rows: first_row..step.tokens.len(), pages: first_page..step.page_table.len() });
}

/// An event of a request's only answer.
fn about(request: RequestId, kind: EventKind) -> Event {
    Event { request, event: AnswerEvent { answer: 0, kind } }
}
