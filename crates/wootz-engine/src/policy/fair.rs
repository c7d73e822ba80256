//! Fair shares between tenants: virtual token counters.
//!
//! The algorithm is the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (2024): each
//! tenant's counter grows with the tokens computed for it, and the tenant with the smallest counter is next. A tenant
//! that comes back after it had nothing waiting is lifted to the smallest counter of those that wait, so that nobody
//! saves up a claim. Between two tenants that always have something waiting, the counters never differ by more than
//! about what one request, or one full batch, costs.
//!
//! One thing is added. New tenants without end, each lifted to the smallest counter, could keep an old tenant
//! with a larger one waiting for ever. So the counter that they are lifted to rises slowly with the tokens served.

use std::collections::{BTreeSet, HashMap};

use crate::policy::rank::Rank;
use crate::request::{RequestId, Tenant};

/// Tenants without a waiting request whose counters are remembered. The smallest are forgotten first: they are the
/// ones that coming back would lift.
const IDLE_TENANTS: usize = 4096;

/// The level rises by what each waiting tenant got on average, divided by this: slowly, since a level above the
/// smallest counter makes newcomers wait longer.
const LEVEL_SLOWNESS: u64 = 4;

/// The tenants' counters and lines.
#[derive(Debug, Default)]
pub(super) struct FairShares {
    shares: HashMap<Tenant, Share>,
    /// Tenants with a waiting request: the first is next. Equal counters: whose first request is ahead.
    ready: BTreeSet<(u64, Rank, Tenant)>,
    /// Tenants without one, by counter.
    idle: BTreeSet<(u64, Tenant)>,
    /// The least that a tenant comes back with.
    level: u64,
    /// Served tokens, weighted, that have not raised the level yet.
    served: u64,
    /// The tenant whose last waiting request left most recently: the measure when nobody waits.
    last: Option<Tenant>,
}

/// One tenant.
#[derive(Debug, Default)]
struct Share {
    /// Weighted tokens.
    counter: u64,
    line: BTreeSet<Rank>,
}

impl FairShares {
    /// The request that is next.
    pub(super) fn next(&self) -> Option<RequestId> {
        self.ready.first().map(|(_, rank, _)| rank.id)
    }

    /// A tenant's counter; for one that is not known, the one it would come with.
    pub(super) fn counter(&self, tenant: Tenant) -> u64 {
        self.shares.get(&tenant).map_or_else(|| self.lift(), |share| share.counter)
    }

    /// Lines a request up.
    pub(super) fn push(&mut self, tenant: Tenant, rank: Rank) {
        let lift = self.lift();
        self.change(tenant, |share| {
            if share.line.is_empty() {
                share.counter = share.counter.max(lift);
            }
            share.line.insert(rank);
        });
        self.raise_level(0);
    }

    /// Takes a request out.
    pub(super) fn remove(&mut self, tenant: Tenant, rank: &Rank) {
        let removed = |share: &mut Share| {
            share.line.remove(rank);
        };
        if self.change(tenant, removed) {
            self.last = Some(tenant);
        }
    }

    /// Adds weighted tokens to a tenant's counter.
    pub(super) fn charge(&mut self, tenant: Tenant, cost: u64) {
        self.change(tenant, |share| share.counter = share.counter.saturating_add(cost));
        self.raise_level(cost);
    }

    /// The counter that a tenant without a waiting request comes back with, if its own is smaller.
    fn lift(&self) -> u64 {
        match self.ready.first() {
            Some(_) => self.level,
            None => {
                let last = self.last.and_then(|tenant| self.shares.get(&tenant));
                last.map_or(self.level, |share| share.counter.max(self.level))
            }
        }
    }

    /// Changes a tenant and puts it where it then belongs. Whether it has no waiting request any more.
    fn change(&mut self, tenant: Tenant, change: impl FnOnce(&mut Share)) -> bool {
        let unknown = Share { counter: 0, line: BTreeSet::new() };
        let share = self.shares.entry(tenant).or_insert(unknown);
        match share.line.first() {
            Some(&first) => self.ready.remove(&(share.counter, first, tenant)),
            None => self.idle.remove(&(share.counter, tenant)),
        };
        change(share);
        match share.line.first() {
            Some(&first) => self.ready.insert((share.counter, first, tenant)),
            None => self.idle.insert((share.counter, tenant)),
        };
        let idle = share.line.is_empty();
        if self.idle.len() > IDLE_TENANTS
            && let Some((_, forgotten)) = self.idle.pop_first()
        {
            self.shares.remove(&forgotten);
        }
        idle
    }

    /// Raises the level by what was served while somebody waits, and keeps it within the counters of those who do.
    fn raise_level(&mut self, cost: u64) {
        let (Some(least), Some(most)) = (self.ready.first(), self.ready.last()) else { return };
        self.served = self.served.saturating_add(cost);
        // How many wait changes; the remainder of one count is good enough for the next.
        let waiting = self.ready.len() as u64 * LEVEL_SLOWNESS;
        let raised = self.level.saturating_add(self.served / waiting);
        self.served %= waiting;
        self.level = raised.clamp(least.0, most.0);
    }
}
