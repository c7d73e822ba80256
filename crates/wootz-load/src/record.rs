//! What happened to one request.

use std::time::Duration;

use serde::Serialize;

use crate::statistics::{percentile, sorted};

/// One request, sent or about to be. All times count from the start of the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its place in the plan.
    pub index: usize,
    /// What part it has in the load.
    pub part: Part,
    /// When it was due.
    pub due: Duration,
    /// When it was sent.
    pub sent: Duration,
    /// When its last byte came, or it failed.
    pub ended: Duration,
    /// Its tokens as they came.
    pub arrivals: Vec<Arrival>,
    /// What the server counted.
    pub usage: Usage,
    /// How it ended.
    pub outcome: Outcome,
}

/// The part of a request in a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One like the others.
    Plain,
    /// The first of those that share a prefix: nothing is cached yet.
    FirstOfGroup(usize),
    /// A later one of those that share a prefix.
    LaterOfGroup(usize),
    /// The long prompt that comes beside running streams.
    Beside,
}

/// Text that came at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrival {
    /// When.
    pub at: Duration,
    /// Tokens in it; 0 where a part of a token came.
    pub tokens: u32,
}

/// Tokens as the server counted them; `None` where it did not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Of the prompt.
    pub prompt: Option<u64>,
    /// Of the prompt, those that were not computed again.
    pub cached: Option<u64>,
    /// Of the answer.
    pub output: Option<u64>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Answered to the end.
    Answered,
    /// It failed.
    Failed {
        /// In what way.
        kind: ErrorKind,
        /// What was said about it.
        message: String,
    },
    /// The run was ended before it was.
    Interrupted,
    /// It was a stream beside a long prompt, and not needed any more when that was answered.
    LetGo,
}

/// In what way a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// No connection.
    Connection,
    /// It took longer than it may.
    Timeout,
    /// A status that is no success.
    Status(u16),
    /// An error in the stream, after a good status.
    InStream,
    /// The stream broke or ended before the answer did.
    Broken,
    /// What came is not what the API says.
    Malformed,
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ErrorKind::Connection => f.write_str("no connection"),
            ErrorKind::Timeout => f.write_str("timeout"),
            ErrorKind::Status(status) => write!(f, "status {status}"),
            ErrorKind::InStream => f.write_str("error in the stream"),
            ErrorKind::Broken => f.write_str("broken stream"),
            ErrorKind::Malformed => f.write_str("malformed answer"),
        }
    }
}

/// The time between two tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gap {
    /// When it began.
    pub from: Duration,
    /// When it ended.
    pub to: Duration,
    /// Tokens that came at its end.
    pub tokens: u32,
}

impl Gap {
    /// Seconds that each of its tokens took.
    pub fn seconds_per_token(&self) -> f64 {
        (self.to - self.from).as_secs_f64() / f64::from(self.tokens)
    }
}

impl Record {
    /// Whether it was answered to the end.
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Answered
    }

    /// Output tokens: as the server counted them or, where it did not, as they came.
    pub fn output_tokens(&self) -> u64 {
        self.usage
            .output
            .unwrap_or_else(|| self.arrivals.iter().map(|arrival| u64::from(arrival.tokens)).sum())
    }

    /// Seconds from when it was due to the first of its tokens.
    pub fn time_to_first_token(&self) -> Option<f64> {
        Some((self.first()? - self.due).as_secs_f64())
    }

    /// Seconds from when it was due to its end.
    pub fn end_to_end(&self) -> Option<f64> {
        self.succeeded().then(|| (self.ended - self.due).as_secs_f64())
    }

    /// Seconds for each token after those that came first.
    pub fn time_per_output_token(&self) -> Option<f64> {
        let (first, last) = (self.arrivals.first()?, self.arrivals.last()?);
        let later = self.output_tokens().checked_sub(u64::from(first.tokens)).filter(|&tokens| tokens > 0)?;
        (last.at > first.at).then(|| (last.at - first.at).as_secs_f64() / later as f64)
    }

    /// When the first token came.
    pub fn first(&self) -> Option<Duration> {
        self.arrivals.first().map(|arrival| arrival.at)
    }

    /// The gaps between its tokens. Parts of a token (arrivals of zero tokens) end no gap.
    pub fn gaps(&self) -> impl Iterator<Item = Gap> + '_ {
        let mut previous = self.first();
        self.arrivals.iter().skip(1).filter(|arrival| arrival.tokens > 0).filter_map(move |arrival| {
            let from = previous.replace(arrival.at)?;
            Some(Gap { from, to: arrival.at, tokens: arrival.tokens })
        })
    }

    /// The 95th percentile of its inter-token latencies, in seconds.
    pub fn own_inter_token_p95(&self) -> Option<f64> {
        let all: Vec<f64> = self.gaps().flat_map(per_token).collect();
        (!all.is_empty()).then(|| percentile(&sorted(&all), 0.95))
    }
}

/// A gap's inter-token latencies: one for each of its tokens, which share the gap's time.
pub fn per_token(gap: Gap) -> impl Iterator<Item = f64> {
    std::iter::repeat_n(gap.seconds_per_token(), gap.tokens as usize)
}
