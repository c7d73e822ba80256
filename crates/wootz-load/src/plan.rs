//! Which requests there are, and when each is due.

use std::time::Duration;

use rand_chacha::rand_core::Rng;

use crate::prompts::Conversation;
use crate::record::Part;
use crate::trace::{BLOCK, TraceEntry};
use crate::words::{Key, Meter, Passage};

/// All requests of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// In the order in which they are due.
    pub requests: Vec<PlannedRequest>,
    /// When they are due.
    pub pace: Pace,
    /// One more, which is sent when the streams are under way.
    pub beside: Option<PlannedRequest>,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRequest {
    /// Its text; of a conversation, what the user says in each turn. At least one.
    pub turns: Vec<String>,
    /// The most tokens of its answer, and exactly so many where the server can be told to ignore the end.
    pub output_tokens: u32,
    /// Its part in the load.
    pub part: Part,
}

/// A turn of a conversation that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What was asked.
    pub asked: String,
    /// The text of the answer.
    pub answered: String,
}

impl Plan {
    /// How many requests are sent, if all are answered: one for each turn.
    pub fn sent(&self) -> usize {
        self.requests.iter().map(|request| request.turns.len()).sum()
    }
}

/// When requests are due.
#[derive(Debug, Clone, PartialEq)]
pub enum Pace {
    /// So many at any time: the next is due when one has ended.
    Closed {
        /// How many.
        streams: usize,
    },
    /// Each at its time, whatever becomes of the others.
    Open(Vec<Duration>),
}

/// How requests arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// So many at any time.
    Streams(usize),
    /// At random times: so many a second on average, independent of each other.
    Poisson(f64),
    /// All at the start.
    AtOnce,
    /// When the trace says.
    AsTraced,
}

/// What the requests ask.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompts {
    /// These conversations, one after the other; each next turn is due when the one before is answered.
    Listed(Vec<Conversation>),
    /// Different texts of so many tokens.
    Synthetic {
        /// Tokens of each.
        tokens: usize,
    },
    /// Texts of which groups begin alike.
    SharedPrefix {
        /// How many groups; requests belong to them in turn.
        groups: usize,
        /// Tokens that a group shares.
        prefix: usize,
        /// Tokens of each prompt after those.
        tokens: usize,
    },
    /// Lengths, and what is shared, of a trace.
    Traced(ScaledTrace),
}

/// Everything that decides a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// What is asked.
    pub prompts: Prompts,
    /// Requests of a run.
    pub requests: usize,
    /// Tokens of an answer; a trace has its own.
    pub output_tokens: u32,
    /// Tokens of a prompt that comes beside the running streams.
    pub beside: Option<usize>,
    /// Equal seeds give equal plans.
    pub seed: u64,
}

/// A trace, fitted to what a model can hold.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaledTrace {
    /// Its requests.
    pub entries: Vec<TraceEntry>,
    /// Tokens of a shared block.
    pub block: usize,
    /// How many prompts were cut to the limit.
    pub cut_prompts: usize,
    /// How many answers were cut to the limit.
    pub cut_outputs: usize,
}

/// How a trace is made to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TraceScale {
    /// Times are multiplied by this: below 1 it goes faster.
    pub time: f64,
    /// Lengths are multiplied by this.
    pub tokens: f64,
    /// The most tokens of a prompt, after scaling.
    pub longest_prompt: u32,
    /// The most tokens of an answer, after scaling.
    pub longest_output: u32,
}

impl ScaledTrace {
    /// The first `requests` of a trace, scaled and cut.
    pub fn new(entries: &[TraceEntry], requests: usize, scale: TraceScale) -> Self {
        let scaled = |length: u32| ((f64::from(length) * scale.tokens).round() as u32).max(1);
        let (mut cut_prompts, mut cut_outputs) = (0, 0);
        let fit = |length: u32, limit: u32, cut: &mut usize| {
            let length = scaled(length);
            *cut += usize::from(length > limit);
            length.min(limit)
        };
        let entries = entries.iter().take(requests).map(|entry| TraceEntry {
            // Traces are hours long; a scale that makes ages of them ends at about 30 years.
            at: Duration::from_secs_f64((entry.at.as_secs_f64() * scale.time).min(1e9)),
            input: fit(entry.input, scale.longest_prompt, &mut cut_prompts),
            output: fit(entry.output, scale.longest_output, &mut cut_outputs),
            blocks: entry.blocks.clone(),
        });
        let entries = entries.collect();
        let block = ((BLOCK as f64 * scale.tokens).round() as usize).max(1);
        Self { entries, block, cut_prompts, cut_outputs }
    }
}

/// Tokens of the answer to a long prompt: what is measured is over with the first.
const LONG_OUTPUT: u32 = 4;

/// What a text is for: a part of its key.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Own = 1,
    Prefix,
    Block,
    Beside,
    Arrivals,
    WarmUp,
}

impl Workload {
    /// The plan of a run. Runs have different texts, so that what one leaves in a server's cache is of no use to another.
    pub fn plan(&self, arrivals: Arrivals, run: u64, meter: &Meter) -> Plan {
        let count = match &self.prompts {
            Prompts::Traced(trace) => trace.entries.len().min(self.requests),
            _ => self.requests,
        };
        let requests = (0..count).map(|index| self.request(index, run, meter)).collect();
        Plan { requests, pace: self.pace(arrivals, count, run), beside: self.long_prompt(run, meter) }
    }

    /// A short request that is like none of the measured ones.
    pub fn warm_up(&self, index: usize, meter: &Meter) -> PlannedRequest {
        let passage = Passage { key: self.key(0, Purpose::WarmUp, index as u64), tokens: 32 };
        PlannedRequest { turns: vec![meter.prompt(&[passage])], output_tokens: 4, part: Part::Plain }
    }

    /// Texts to find out with how many tokens a server makes of so many words.
    pub fn measure(&self, words: usize) -> PlannedRequest {
        let key = self.key(1, Purpose::WarmUp, words as u64);
        let prompt = key.words(words).trim_start().to_string();
        PlannedRequest { turns: vec![prompt], output_tokens: 1, part: Part::Plain }
    }

    fn key(&self, run: u64, purpose: Purpose, index: u64) -> Key {
        Key([self.seed, run, purpose as u64, index])
    }

    fn request(&self, index: usize, run: u64, meter: &Meter) -> PlannedRequest {
        let own = |tokens| Passage { key: self.key(run, Purpose::Own, index as u64), tokens };
        let output_tokens = self.output_tokens;
        match &self.prompts {
            Prompts::Listed(texts) => {
                let place =
                    (run as usize).wrapping_mul(self.requests).wrapping_add(index) % texts.len().max(1);
                let turns = texts.get(place).map_or_else(Vec::new, |conversation| conversation.turns.clone());
                PlannedRequest { turns, output_tokens, part: Part::Plain }
            }
            &Prompts::Synthetic { tokens } => {
                PlannedRequest { turns: vec![meter.prompt(&[own(tokens)])], output_tokens, part: Part::Plain }
            }
            &Prompts::SharedPrefix { groups, prefix, tokens } => {
                let group = index % groups.max(1);
                let key = self.key(run, Purpose::Prefix, group as u64);
                let prompt = meter.prompt(&[Passage { key, tokens: prefix }, own(tokens)]);
                let part = if index < groups { Part::FirstOfGroup(group) } else { Part::LaterOfGroup(group) };
                PlannedRequest { turns: vec![prompt], output_tokens, part }
            }
            Prompts::Traced(trace) => {
                let entry = &trace.entries[index];
                let passages = match entry.blocks.is_empty() {
                    true => vec![own(entry.input as usize)],
                    false => self.blocks(entry, trace.block, run),
                };
                PlannedRequest {
                    turns: vec![meter.prompt(&passages)],
                    output_tokens: entry.output,
                    part: Part::Plain,
                }
            }
        }
    }

    /// The blocks of a prompt, as far as its length goes.
    fn blocks(&self, entry: &TraceEntry, block: usize, run: u64) -> Vec<Passage> {
        let length = entry.input as usize;
        let starts = (0..length).step_by(block).zip(&entry.blocks);
        let passage = |(start, &id): (usize, &u64)| Passage {
            key: self.key(run, Purpose::Block, id),
            tokens: block.min(length - start),
        };
        starts.map(passage).collect()
    }

    fn long_prompt(&self, run: u64, meter: &Meter) -> Option<PlannedRequest> {
        let passage = Passage { key: self.key(run, Purpose::Beside, 0), tokens: self.beside? };
        let turns = vec![meter.prompt(&[passage])];
        Some(PlannedRequest { turns, output_tokens: LONG_OUTPUT, part: Part::Beside })
    }

    fn pace(&self, arrivals: Arrivals, count: usize, run: u64) -> Pace {
        match (arrivals, &self.prompts) {
            (Arrivals::Streams(streams), _) => Pace::Closed { streams: streams.min(count).max(1) },
            (Arrivals::Poisson(rate), _) => {
                let mut random = self.key(run, Purpose::Arrivals, 0).random();
                let mut at = 0.0;
                let times = (0..count).map(|_| {
                    at += exponential(&mut random) / rate;
                    Duration::from_secs_f64(at.min(1e9))
                });
                Pace::Open(times.collect())
            }
            (Arrivals::AsTraced, Prompts::Traced(trace)) => {
                Pace::Open(trace.entries.iter().take(count).map(|entry| entry.at).collect())
            }
            (Arrivals::AtOnce | Arrivals::AsTraced, _) => Pace::Open(vec![Duration::ZERO; count]),
        }
    }
}

/// A number from the exponential distribution with mean 1.
fn exponential(random: &mut impl Rng) -> f64 {
    // 53 random bits, moved off zero, so that the logarithm is finite.
    let uniform = ((random.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -uniform.ln()
}
