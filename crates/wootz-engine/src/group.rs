//! A request on its way: its answers, and what they have in common.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use wootz_backend::cache::pages_for;
use wootz_backend::step::{PAGE_TOKENS, StepLimits};

use crate::EngineError;
use crate::beam::BeamGroup;
use crate::event::FinishReason;
use crate::guide::AnswerGuide;
use crate::prediction::Prediction;
use crate::request::{Answers, PrefixReuse, Request, RequestId, Scheduling};
use crate::sampler::{SampledLogprobs, Sampler};
use crate::sequence::{Limit, Sequence, SequenceParts};

/// A request that waits or runs.
#[derive(Debug)]
pub(crate) struct Group {
    /// What was asked for; prompt and prediction have gone to the first answer.
    request: Request,
    vocab: usize,
    pub(crate) end_tokens: Arc<[u32]>,
    limit: Limit,
    pub(crate) arrived: Duration,
    /// How long it waited for its first start.
    pub(crate) queued: Option<Duration>,
    pub(crate) state: GroupState,
    /// Whether all answers have their own sequence.
    pub(crate) forked: bool,
    /// Whether it gave its pages up once.
    pub(crate) preempted: bool,
    /// Whether the caller knows that the prompt is computed.
    pub(crate) prompted: bool,
    /// Log probabilities of the prompt's tokens so far, if they were asked for.
    pub(crate) scores: Option<Vec<Option<SampledLogprobs>>>,
    pub(crate) beams: Option<BeamGroup>,
    /// Whether its tokens have to be drawn here.
    pub(crate) host: bool,
}

/// Where a group's sequences are.
#[derive(Debug)]
pub(crate) enum GroupState {
    /// In the queue, holding no pages.
    Waiting(Vec<Sequence>),
    /// In these slots.
    Running(Vec<usize>),
}

impl Group {
    /// Checks a request, and says why it can never be served.
    pub(crate) fn new(
        id: RequestId,
        mut request: Request,
        place: &Place,
        now: Duration,
    ) -> Result<Self, EngineError> {
        let vocab = place.limits.vocab;
        let answers = request.answers.count();
        let context = check(&request, place)?;
        let sampler = Sampler::new(request.sampling.clone(), request.logprobs, vocab)?;
        let guide = AnswerGuide::new(request.guide.clone(), &request.end_tokens, vocab);
        let beams = match request.answers {
            Answers::Sampled(_) => None,
            Answers::Beams(search) => {
                if !guide.is_free() {
                    return Err(EngineError::Unsupported {
                        what: "a beam search with a grammar or a reasoning budget".into(),
                        possible: "draw the answers instead".into(),
                    });
                }
                Some(BeamGroup::new(search, vocab)?)
            }
        };
        let end_tokens: Arc<[u32]> = request.end_tokens.clone().into();
        let limit = limit_of(&request, context);
        let host = place.host || !guide.is_free() || beams.is_some() || request.prompt_logprobs.is_some();
        let prompt = std::mem::take(&mut request.prompt);
        let scores = request.prompt_logprobs.map(|_| vec![None]);
        let forked = answers == 1;
        let length = prompt.len();
        let mut first = Sequence::new(SequenceParts {
            request: id,
            answer: 0,
            prompt,
            limit,
            end_tokens: end_tokens.clone(),
            sampler,
            guide,
            prediction: std::mem::take(&mut request.prediction),
        });
        // Each drawn answer computes the prompt's last token itself, for logits of its own. Beams fork after their first.
        first.halt = (!forked && beams.is_none()).then(|| length - 1);
        first.beam = beams.as_ref().map(|_| Default::default());
        Ok(Self {
            request,
            vocab,
            end_tokens,
            limit,
            arrived: now,
            queued: None,
            state: GroupState::Waiting(vec![first]),
            forked: forked || beams.is_some(),
            preempted: false,
            prompted: false,
            scores,
            beams,
            host,
        })
    }

    /// Whether it takes over what was computed before. What it computed itself before it gave its pages up it does in any
    /// case: its answers may fit only if they share their prompt.
    pub(crate) fn reuses(&self) -> bool {
        self.request.reuse == PrefixReuse::Longest || self.preempted
    }

    /// Where in the queue it belongs.
    pub(crate) fn scheduling(&self) -> Scheduling {
        self.request.scheduling
    }

    /// Answers that it is to have.
    pub(crate) fn answers(&self) -> usize {
        self.request.answers.count()
    }

    /// How many rivals' log probabilities the prompt's tokens come with.
    pub(crate) fn prompt_rivals(&self) -> usize {
        self.request.prompt_logprobs.unwrap_or(0)
    }

    /// Whether its sequences have slots.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, GroupState::Running(_))
    }

    /// Sequences that it needs now.
    pub(crate) fn wanted_slots(&self) -> usize {
        match &self.state {
            _ if self.beams.is_some() || !self.forked => self.answers(),
            GroupState::Waiting(parked) => parked.len(),
            GroupState::Running(slots) => slots.len(),
        }
    }

    /// The sequence of another answer, which has computed nothing yet.
    pub(crate) fn further(
        &self,
        id: RequestId,
        answer: usize,
        prompt: Vec<u32>,
    ) -> Result<Sequence, EngineError> {
        let mut sampling = self.request.sampling.clone();
        sampling.seed = sampling.seed.wrapping_add(answer as u64);
        Ok(Sequence::new(SequenceParts {
            request: id,
            answer,
            prompt,
            limit: self.limit,
            end_tokens: self.end_tokens.clone(),
            sampler: Sampler::new(sampling, self.request.logprobs, self.vocab)?,
            guide: AnswerGuide::new(self.request.guide.clone(), &self.end_tokens, self.vocab),
            prediction: Prediction::default(),
        }))
    }
}

/// What a request is measured against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) limits: StepLimits,
    /// The most answers together.
    pub(crate) sequences: usize,
    /// Whether the device can't draw this request's tokens.
    pub(crate) host: bool,
}

/// Tokens that each of its answers can have, its prompt among them; or why a request can never be served.
fn check(request: &Request, place: &Place) -> Result<usize, EngineError> {
    let vocab = place.limits.vocab;
    if request.prompt.is_empty() {
        return Err(EngineError::EmptyPrompt);
    }
    let mut given = request.prompt.iter().chain(request.prediction.tokens());
    if let Some(&token) = given.find(|&&token| token as usize >= vocab) {
        return Err(EngineError::TokenOutsideVocabulary { token, vocab });
    }
    let answers = request.answers.count();
    if answers > place.sequences {
        return Err(EngineError::Unsupported {
            what: format!("{answers} answers to one request"),
            possible: format!("this engine works on at most {} together", place.sequences),
        });
    }
    if request.answers != Answers::default() && !request.prediction.is_empty() {
        return Err(EngineError::Unsupported {
            what: "a prediction for several answers, or for those of a beam search,".into(),
            possible: "ask for one answer, or leave the prediction out".into(),
        });
    }
    let context = context_of(request, &place.limits);
    match request.prompt.len() {
        prompt if prompt >= context => Err(EngineError::ContextFull { prompt, context }),
        _ => Ok(context),
    }
}

/// Tokens that each answer of a request can have, its prompt among them: what the model and the pool hold. Answers share
/// the full pages of the prompt but for its last token.
fn context_of(request: &Request, limits: &StepLimits) -> usize {
    let answers = request.answers.count();
    let shared = match answers {
        1 => 0,
        _ => request.prompt.len().saturating_sub(1) / PAGE_TOKENS,
    };
    let own = limits.pages.saturating_sub(shared) / answers.max(1);
    limits.positions.min((shared + own).saturating_mul(PAGE_TOKENS))
}

/// The nearer of what the request asks for and what the context holds.
fn limit_of(request: &Request, context: usize) -> Limit {
    let asked = request.max_tokens.map(NonZeroUsize::get);
    match asked.and_then(|count| count.checked_add(request.prompt.len())) {
        Some(tokens) if tokens <= context => Limit { tokens, reason: FinishReason::MaxTokens },
        _ => Limit { tokens: context, reason: FinishReason::ContextFull },
    }
}

/// Pages that sequences of these lengths take until each has its next token.
pub(crate) fn pages_until_next(lengths: impl IntoIterator<Item = usize>) -> usize {
    lengths.into_iter().map(|length| pages_for(length + 1)).sum()
}
