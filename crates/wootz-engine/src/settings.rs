//! How an engine runs.

use std::time::Duration;

use crate::disk::DiskSettings;
use crate::policy::Policy;

/// How an engine runs, whatever the request.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// The most answers that are worked on together.
    pub sequences: usize,
    /// The most requests that wait; one more is refused.
    pub queue: usize,
    /// Who of the waiting ones is next.
    pub policy: Policy,
    /// What 95 of 100 gaps between two tokens of an answer should stay below, however long a prompt comes in between.
    pub target: Duration,
    /// Where pages outlive memory; `None`: nowhere.
    pub disk: Option<DiskSettings>,
}

impl Default for EngineSettings {
    /// 32 answers together, 512 waiting requests in order of arrival, 50 ms between tokens, nothing on disk.
    fn default() -> Self {
        Self {
            sequences: 32,
            queue: 512,
            policy: Policy::Fcfs,
            target: Duration::from_millis(50),
            disk: None,
        }
    }
}
