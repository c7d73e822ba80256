//! Who is next: the requests that wait, in the order in which they start.
//!
//! Every order here is a key that never changes while a request waits, or a counter of its tenant: nothing has to be
//! sorted again as time passes, and the same calls give the same order. No clock: times come in as arguments, counted
//! from any one beginning.

mod fair;
mod rank;

use std::collections::{BTreeSet, HashMap};
use std::fmt::{Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::request::{RequestId, Scheduling, Tenant};

use fair::FairShares;
use rank::Rank;

pub use rank::{AGEING, DEFAULT_HORIZON, GREATEST_PRIORITY, LONGEST_HORIZON};

/// In which order waiting requests start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// First come, first served, higher priorities before lower ones. A step of priority is worth [`AGEING`] of
    /// waiting, so that even the lowest priority starts in the end.
    #[default]
    Fcfs,
    /// The earliest deadline first. A request without one counts as due [`DEFAULT_HORIZON`] after its arrival, and one
    /// with a later deadline than [`LONGEST_HORIZON`] as due then. Equal deadlines: the higher priority.
    Deadline,
    /// The tenant that has had the fewest tokens first; among its own requests as under [`Policy::Fcfs`].
    FairShare,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 3] = [Policy::Fcfs, Policy::Deadline, Policy::FairShare];

    /// Its name in options.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Fcfs => "fcfs",
            Policy::Deadline => "deadline",
            Policy::FairShare => "fair-share",
        }
    }
}

impl Display for Policy {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let named = |policy: &Policy| policy.name() == text;
        Policy::ALL.into_iter().find(named).ok_or_else(|| UnknownPolicy(text.to_owned()))
    }
}

/// A name that is no policy's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scheduling policy `{0}`; there are fcfs, deadline and fair-share")]
pub struct UnknownPolicy(pub String);

/// Whether a request has run before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It ran, and gave its pages up: it goes ahead of new ones of the same rank.
    Preempted,
    /// It has not run yet.
    New,
}

/// A request that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The request.
    pub id: RequestId,
    /// When it arrived; a preempted one keeps its time.
    pub arrived: Duration,
    /// What its sender asked for.
    pub scheduling: Scheduling,
    /// Whether it ran before.
    pub standing: Standing,
}

/// A request that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Running {
    /// The request.
    pub id: RequestId,
    /// When it arrived.
    pub arrived: Duration,
    /// What its sender asked for.
    pub scheduling: Scheduling,
}

/// The requests that wait. Every change takes O(log n).
#[derive(Debug)]
pub struct WaitingQueue {
    policy: Policy,
    waiting: HashMap<RequestId, Waiting>,
    order: Order,
}

/// The order in which they start.
#[derive(Debug)]
enum Order {
    /// One line.
    Line(BTreeSet<Rank>),
    /// A line for each tenant.
    Shares(FairShares),
}

impl WaitingQueue {
    /// A queue in which nobody waits.
    pub fn new(policy: Policy) -> Self {
        let order = match policy {
            Policy::Fcfs | Policy::Deadline => Order::Line(BTreeSet::new()),
            Policy::FairShare => Order::Shares(FairShares::default()),
        };
        Self { policy, waiting: HashMap::new(), order }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lines a request up. One that waits already is put where it now belongs.
    pub fn push(&mut self, waiting: Waiting) {
        self.remove(waiting.id);
        let rank = Rank::of_waiting(self.policy, &waiting);
        match &mut self.order {
            Order::Line(line) => {
                line.insert(rank);
            }
            Order::Shares(shares) => shares.push(waiting.scheduling.tenant, rank),
        }
        self.waiting.insert(waiting.id, waiting);
    }

    /// Who is next, if anybody waits. It stays in the queue.
    pub fn next(&self) -> Option<RequestId> {
        match &self.order {
            Order::Line(line) => line.first().map(|rank| rank.id),
            Order::Shares(shares) => shares.next(),
        }
    }

    /// Takes a request out that begins to run, and charges its tenant for the prompt tokens that it will compute.
    pub fn start(&mut self, id: RequestId, prompt_tokens: usize) -> Option<Waiting> {
        let waiting = self.remove(id)?;
        if let Order::Shares(shares) = &mut self.order {
            shares.charge(waiting.scheduling.tenant, prompt_tokens as u64 * PROMPT_WEIGHT);
        }
        Some(waiting)
    }

    /// Takes a request out that will not run.
    pub fn remove(&mut self, id: RequestId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        let rank = Rank::of_waiting(self.policy, &waiting);
        match &mut self.order {
            Order::Line(line) => {
                line.remove(&rank);
            }
            Order::Shares(shares) => shares.remove(waiting.scheduling.tenant, &rank),
        }
        Some(waiting)
    }

    /// Charges a tenant for tokens that were generated for it.
    pub fn served(&mut self, tenant: Tenant, generated_tokens: usize) {
        if let Order::Shares(shares) = &mut self.order {
            shares.charge(tenant, generated_tokens as u64 * GENERATED_WEIGHT);
        }
    }

    /// Who gives its pages up when there are too few: the one that would have started last. So the one that would have
    /// started first never has to, and every request ends.
    pub fn victim(&self, running: impl IntoIterator<Item = Running>) -> Option<RequestId> {
        let standing = |running: &Running| {
            let rank = Rank::of_running(self.policy, running);
            match &self.order {
                Order::Line(_) => (0, rank),
                Order::Shares(shares) => (shares.counter(running.scheduling.tenant), rank),
            }
        };
        running.into_iter().max_by_key(standing).map(|running| running.id)
    }
}

/// What a token of a prompt costs a tenant, and what a token of an answer does. The weights are those of Sheng et al.,
/// "Fairness in Serving Large Language Models" (2024), which follow what providers charge.
pub const PROMPT_WEIGHT: u64 = 1;
/// See [`PROMPT_WEIGHT`].
pub const GENERATED_WEIGHT: u64 = 2;
