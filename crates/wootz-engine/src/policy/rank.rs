//! The place of a request in a line, as a key that holds for as long as it waits.

use std::cmp::Reverse;
use std::time::Duration;

use crate::policy::{Policy, Running, Standing, Waiting};
use crate::request::{RequestId, Scheduling};

/// How long a request must have waited to be as far ahead as one of the next higher priority that arrives now.
pub const AGEING: Duration = Duration::from_secs(5);

/// Priorities above this count as this, those below its negative as that: else ageing would not reach them in any
/// useful time.
pub const GREATEST_PRIORITY: i32 = 100;

/// When a request without a deadline is due under [`Policy::Deadline`], counted from its arrival.
pub const DEFAULT_HORIZON: Duration = Duration::from_secs(60);

/// The latest deadline that counts, from a request's arrival: one that is years away must not mean never.
pub const LONGEST_HORIZON: Duration = Duration::from_secs(600);

/// A place in a line: the smallest goes first. The fields count in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Nanoseconds. When it arrived, less what its priority is worth; or when it is due.
    ///
    /// Ageing needs no clock: of two requests that both wait, the difference of what they have waited never changes.
    time: i128,
    priority: Reverse<i32>,
    standing: Standing,
    arrived: Duration,
    /// So that no two are equal.
    pub(super) id: RequestId,
}

impl Rank {
    pub(super) fn of_waiting(policy: Policy, waiting: &Waiting) -> Self {
        let Waiting { id, arrived, scheduling, standing } = *waiting;
        Self::new(policy, scheduling, Arrival { id, arrived, standing })
    }

    /// The rank that a running request had while it waited.
    pub(super) fn of_running(policy: Policy, running: &Running) -> Self {
        let Running { id, arrived, scheduling } = *running;
        Self::new(policy, scheduling, Arrival { id, arrived, standing: Standing::New })
    }

    fn new(policy: Policy, scheduling: Scheduling, arrival: Arrival) -> Self {
        let Arrival { id, arrived, standing } = arrival;
        let priority = scheduling.priority.clamp(-GREATEST_PRIORITY, GREATEST_PRIORITY);
        let time = match policy {
            Policy::Fcfs | Policy::FairShare => {
                nanoseconds(arrived) - i128::from(priority) * nanoseconds(AGEING)
            }
            Policy::Deadline => {
                let horizon = scheduling.deadline.unwrap_or(DEFAULT_HORIZON).min(LONGEST_HORIZON);
                nanoseconds(arrived) + nanoseconds(horizon)
            }
        };
        Self { time, priority: Reverse(priority), standing, arrived, id }
    }
}

/// What a rank needs of a request, besides what its sender asked for.
struct Arrival {
    id: RequestId,
    arrived: Duration,
    standing: Standing,
}

/// Every duration fits: 2^64 seconds are below 2^94 nanoseconds.
fn nanoseconds(duration: Duration) -> i128 {
    duration.as_nanos() as i128
}
