//! Who of the waiting requests runs next.

/// In which order waiting requests start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Higher priority first, then in the order of arrival.
    #[default]
    Fcfs,
    /// The nearest deadline first.
    Deadline,
    /// Tenants take turns by what they have used.
    FairShare,
}
