//! One answer on its way: its tokens, and the pages that hold their keys and values.

use std::sync::Arc;

use wootz_backend::cache::pages_for;
use wootz_backend::sampling::Sampled;
use wootz_backend::step::PAGE_TOKENS;

use crate::beam::Beam;
use crate::block::BlockKey;
use crate::event::{FinishReason, Usage};
use crate::guide::AnswerGuide;
use crate::prediction::{Drafting, Prediction};
use crate::request::RequestId;
use crate::sampler::Sampler;

/// An answer that the scheduler works on.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) request: RequestId,
    pub(crate) answer: usize,
    /// Prompt, then answer.
    pub(crate) tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub(crate) prompt: usize,
    /// How many leading tokens have their keys and values in `pages`, or will have when the steps under way are done.
    pub(crate) computed: usize,
    /// Of those, how many are known to be right: their steps are done.
    pub(crate) settled: usize,
    /// Its next step may go no further than this: a request's first answer waits there for the others to fork off.
    pub(crate) halt: Option<usize>,
    /// The token after the last one is being drawn.
    pub(crate) awaited: Option<Awaited>,
    /// Steps under way that write to `pages`.
    pub(crate) under_way: usize,
    /// Tokens that did not have to be computed when it first came to them.
    pub(crate) reused: usize,
    /// Leading blocks of which it is counted whether they were found: once, though it may start several times.
    pub(crate) looked_up: usize,
    /// Page `i` holds positions `16·i .. 16·(i + 1)`; as many as `computed` tokens need.
    pub(crate) pages: Vec<u32>,
    /// Keys of the first full blocks; filled as they are needed.
    keys: Vec<BlockKey>,
    /// How many leading pages are in the prefix cache.
    pub(crate) entered: usize,
    /// How many leading blocks were asked of the disk.
    pub(crate) fetched: usize,
    /// Whether further pages may be entered there.
    pub(crate) sharing: Sharing,
    /// The length at which it ends.
    pub(crate) limit: Limit,
    pub(crate) end_tokens: Arc<[u32]>,
    pub(crate) sampler: Sampler,
    pub(crate) guide: AnswerGuide,
    /// How it follows its prediction.
    pub(crate) drafting: Drafting,
    /// Predicted tokens that the step under way computes after its last one.
    pub(crate) drafts: Vec<u32>,
    /// In a beam search: the hypothesis that it follows.
    pub(crate) beam: Option<Beam>,
}

/// A token that a step under way draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// Which step, counted from 0.
    pub(crate) step: u64,
    /// Its sample row.
    pub(crate) sample: u32,
}

/// Whether a sequence's pages can be found by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Full pages are entered into the prefix cache.
    Open,
    /// A page of it is there twice, computed by two sequences at a time: what follows is not entered.
    Detached,
}

/// The length at which a sequence ends, and why there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Tokens of prompt and answer.
    pub(crate) tokens: usize,
    /// What to call it.
    pub(crate) reason: FinishReason,
}

/// What a sequence is made of.
#[derive(Debug)]
pub(crate) struct SequenceParts {
    pub(crate) request: RequestId,
    pub(crate) answer: usize,
    pub(crate) prompt: Vec<u32>,
    pub(crate) limit: Limit,
    pub(crate) end_tokens: Arc<[u32]>,
    pub(crate) sampler: Sampler,
    pub(crate) guide: AnswerGuide,
    pub(crate) prediction: Prediction,
}

impl Sequence {
    /// A sequence that has computed nothing and holds nothing.
    pub(crate) fn new(parts: SequenceParts) -> Self {
        let SequenceParts { request, answer, prompt, limit, end_tokens, sampler, guide, prediction } = parts;
        Self {
            request,
            answer,
            prompt: prompt.len(),
            tokens: prompt,
            computed: 0,
            settled: 0,
            halt: None,
            awaited: None,
            under_way: 0,
            reused: 0,
            looked_up: 0,
            pages: Vec::new(),
            keys: Vec::new(),
            entered: 0,
            fetched: 0,
            sharing: Sharing::Open,
            limit,
            end_tokens,
            sampler,
            guide,
            drafting: Drafting::new(prediction),
            drafts: Vec::new(),
            beam: None,
        }
    }

    /// Takes over what `other` has computed; its pages are to be shared by the caller.
    pub(crate) fn follow(&mut self, other: &Sequence) {
        (self.reused, self.looked_up) = (other.reused, other.looked_up);
        (self.computed, self.settled) = (other.computed, other.settled);
        (self.entered, self.sharing) = (other.entered, other.sharing);
        self.pages.clone_from(&other.pages);
        self.keys.clone_from(&other.keys);
    }

    /// Gives up what it has computed. Its pages are the caller's.
    pub(crate) fn start_over(&mut self) -> Vec<u32> {
        (self.computed, self.settled, self.entered) = (0, 0, 0);
        // What came from the disk may have to come again.
        self.fetched = 0;
        self.awaited = None;
        self.drafts.clear();
        self.sharing = Sharing::Open;
        if let Some(beam) = &mut self.beam {
            beam.candidates.clear();
        }
        std::mem::take(&mut self.pages)
    }

    /// Tokens whose keys and values are still to be computed, the awaited one among them if the step before `step` draws
    /// it; none if the awaited one is certain to be the last, or has to be known first, as after drafts.
    pub(crate) fn pending(&self, step: u64) -> usize {
        if !self.drafts.is_empty() {
            return 0;
        }
        let known = self.tokens.len();
        match self.awaited {
            None => self.halt.map_or(known, |halt| halt.min(known)) - self.computed,
            Some(_) if known + 1 >= self.limit.tokens => 0,
            Some(awaited) if awaited.step + 1 != step => 0,
            Some(_) => known + 1 - self.computed,
        }
    }

    /// Predicted tokens that can be computed together with its last token, at most `most`: they take no page of their own.
    pub(crate) fn draftable(&self, most: usize) -> &[u32] {
        let known = self.tokens.len();
        if self.awaited.is_some() || self.computed + 1 != known || self.halt.is_some() {
            return &[];
        }
        let in_page = (self.pages.len() * PAGE_TOKENS).saturating_sub(known);
        let in_answer = self.limit.tokens.saturating_sub(known + 1);
        self.drafting.drafts(most.min(in_page).min(in_answer))
    }

    /// The key of full block `index` of its tokens.
    pub(crate) fn key(&mut self, index: usize, root: &BlockKey) -> BlockKey {
        while self.keys.len() <= index {
            let next = self.keys.len();
            let parent = self.keys.last().unwrap_or(root);
            let tokens = self.tokens[next * PAGE_TOKENS..].first_chunk().expect("the block is full");
            let key = parent.child(tokens);
            self.keys.push(key);
        }
        self.keys[index]
    }

    /// The keys that were computed so far.
    pub(crate) fn known_keys(&self) -> &[BlockKey] {
        &self.keys
    }

    /// Pages that it will take before its next token is drawn, besides those that it has.
    pub(crate) fn missing_pages(&self) -> usize {
        pages_for(self.tokens.len() + 1).saturating_sub(self.pages.len())
    }

    /// Tokens of the answer so far.
    pub(crate) fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Its counts of tokens.
    pub(crate) fn usage(&mut self) -> Usage {
        // A guide whose worker is gone has failed the answer already.
        let reasoning = self.guide.reasoning_tokens().unwrap_or(0);
        let (generated, drafts) = (self.generated(), self.drafting.counts());
        Usage { prompt: self.prompt, reused: self.reused, generated, reasoning, drafts }
    }

    /// What a token that was chosen means: the answer goes on, or ends.
    pub(crate) fn take(&mut self, sampled: &Sampled) -> Result<Option<FinishReason>, crate::EngineError> {
        if self.end_tokens.contains(&sampled.token) {
            return Ok(Some(FinishReason::EndToken(sampled.token)));
        }
        self.tokens.push(sampled.token);
        self.drafting.observe(&self.tokens[self.prompt..]);
        let followed = self.guide.observe(sampled.token)?;
        if followed == crate::guide::Followed::Complete {
            return Ok(Some(FinishReason::GrammarComplete));
        }
        Ok((self.tokens.len() >= self.limit.tokens).then_some(self.limit.reason))
    }
}
