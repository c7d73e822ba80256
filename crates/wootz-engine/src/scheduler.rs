//! Which tokens the next step works on, and what its logits mean for the requests.
//!
//! The policy: requests start in the order of their arrival, as soon as the pages that they can ever need are
//! free; every running answer advances by a token in each step, and prompts share the rows that are left.
//! Pages of finished requests stay as a prefix for later ones until somebody needs them.

use std::collections::VecDeque;

use wootz_backend::cache::pages_for;
use wootz_backend::step::{PAGE_TOKENS, SequenceSlice, Step, StepLimits};

use crate::EngineError;
use crate::event::{Event, EventKind, FinishReason};
use crate::pages::{Page, PagePool, Taken};
use crate::request::{Request, RequestId};
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
    /// The sequences of the step in flight, as in its `sequences`.
    planned: Vec<Planned>,
}

/// Tokens whose keys and values are in pages that no sequence uses.
#[derive(Debug)]
struct Prefix {
    tokens: Vec<u32>,
    pages: Vec<Page>,
}

/// A sequence's part in the step in flight.
#[derive(Debug, Clone, Copy)]
struct Planned {
    request: RequestId,
    rows: usize,
    /// Its row of the logits, where its next token is to be chosen.
    sample: Option<usize>,
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
            planned: Vec::new(),
        }
    }

    /// Takes a request in, or says why it can never be served.
    pub fn add(&mut self, id: RequestId, request: Request) -> Result<(), EngineError> {
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
        let sampler = Sampler::new(request.sampling.clone(), request.logprobs, vocab)?;
        self.waiting.push_back(Sequence::new(id, request, sampler, context));
        Ok(())
    }

    /// Forgets a request. What it has computed stays as a prefix. To be called between `apply` and `plan`.
    pub fn cancel(&mut self, id: RequestId) {
        if let Some(index) = self.waiting.iter().position(|sequence| sequence.id == id) {
            // It may hold a prefix already.
            self.waiting.remove(index).into_iter().for_each(|sequence| self.retain(sequence));
        }
        if let Some(index) = self.running.iter().position(|sequence| sequence.id == id) {
            let sequence = self.running.remove(index);
            self.retain(sequence);
        }
    }

    /// Whether there is nothing to plan.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// The next step, or `None` when there is nothing to do.
    pub fn plan(&mut self) -> Option<Step> {
        self.admit();
        if self.running.is_empty() {
            return None;
        }
        self.planned.clear();
        let mut step = Step::default();
        let answering = self.running.iter().filter(|sequence| sequence.pending() == 1).count();
        let mut prompt_rows = self.limits.rows.saturating_sub(answering);
        for sequence in &self.running {
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
                if sample.is_some() {
                    step.sample_rows.push(step.tokens.len() as u32 - 1);
                }
                self.planned.push(Planned { request: sequence.id, rows, sample });
            }
        }
        Some(step)
    }

    /// Takes in the logits `[samples, vocab]` of the planned step, and says what that means for the requests.
    pub fn apply(&mut self, step: &Step, logits: &[f32]) -> Vec<Event> {
        let vocab = self.limits.vocab;
        debug_assert_eq!(logits.len(), step.sample_rows.len() * vocab);
        let mut events = Vec::new();
        for planned in std::mem::take(&mut self.planned) {
            let Some(index) = self.running.iter().position(|sequence| sequence.id == planned.request) else {
                continue;
            };
            let sequence = &mut self.running[index];
            sequence.computed += planned.rows;
            let Some(sample) = planned.sample else { continue };
            if sequence.generated() == 0 {
                let kind = EventKind::Prompted { reused: sequence.reused };
                events.push(Event { request: sequence.id, kind });
            }
            let row = &logits[sample * vocab..(sample + 1) * vocab];
            let place = Place { context: &sequence.tokens, draw: sequence.generated() as u64 };
            let mut ended = None;
            match sequence.sampler.sample(row, place) {
                Err(error) => ended = Some(EventKind::Failed(error)),
                Ok(sampled) if sequence.end_tokens.contains(&sampled.token) => {
                    let reason = FinishReason::EndToken(sampled.token);
                    ended = Some(EventKind::Finished { reason, usage: sequence.usage() });
                }
                Ok(sampled) => {
                    sequence.tokens.push(sampled.token);
                    events.push(Event { request: sequence.id, kind: EventKind::Token(sampled) });
                    if sequence.tokens.len() >= sequence.limit.tokens {
                        let reason = sequence.limit.reason;
                        ended = Some(EventKind::Finished { reason, usage: sequence.usage() });
                    }
                }
            }
            if let Some(kind) = ended {
                let sequence = self.running.remove(index);
                events.push(Event { request: sequence.id, kind });
                self.retain(sequence);
            }
        }
        events
    }

    /// The planned step failed on the device: its sequences end, their pages are free and hold nothing of worth.
    pub fn fail(&mut self, error: &EngineError) -> Vec<Event> {
        let mut events = Vec::new();
        for planned in std::mem::take(&mut self.planned) {
            if let Some(index) = self.running.iter().position(|sequence| sequence.id == planned.request) {
                let sequence = self.running.remove(index);
                self.pool.give_back(sequence.pages);
                events.push(Event { request: planned.request, kind: EventKind::Failed(error.clone()) });
            }
        }
        events
    }

    /// Starts waiting requests, in order, while there is room.
    fn admit(&mut self) {
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
                Taken::All => self.running.push(sequence),
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
    step.tokens.extend_from_slice(&sequence.tokens[sequence.computed..end]);
    step.positions.extend(sequence.computed as u32..end as u32);
    step.page_table.extend(sequence.pages[..pages_for(end)].iter().map(Page::id));
    step.sequences
        .push(SequenceSlice { rows: first_row..step.tokens.len(), pages: first_page..step.page_table.len() });
}
