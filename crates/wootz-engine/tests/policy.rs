//! Who is next: orders, fairness, and that nobody waits for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use wootz_engine::{
    AGEING, GENERATED_WEIGHT, GREATEST_PRIORITY, LONGEST_HORIZON, PROMPT_WEIGHT, Policy, RequestId, Running,
    Scheduling, Standing, Tenant, Waiting, WaitingQueue,
};

fn waiting(id: u64, arrived_ms: u64, scheduling: Scheduling) -> Waiting {
    let arrived = Duration::from_millis(arrived_ms);
    Waiting { id: RequestId(id), arrived, scheduling, standing: Standing::New }
}

fn running(waiting: &Waiting) -> Running {
    Running { id: waiting.id, arrived: waiting.arrived, scheduling: waiting.scheduling }
}

fn priority(priority: i32) -> Scheduling {
    Scheduling { priority, ..Scheduling::default() }
}

fn due(seconds: u64, priority: i32) -> Scheduling {
    Scheduling { deadline: Some(Duration::from_secs(seconds)), priority, ..Scheduling::default() }
}

fn of(tenant: u64) -> Scheduling {
    Scheduling { tenant: Tenant(tenant), ..Scheduling::default() }
}

fn order(queue: &mut WaitingQueue) -> Vec<u64> {
    let next = || queue.next().inspect(|&id| assert!(queue.start(id, 0).is_some()));
    std::iter::from_fn(next).map(|id| id.0).collect()
}

fn queue_of(policy: Policy, waiting: impl IntoIterator<Item = Waiting>) -> WaitingQueue {
    let mut queue = WaitingQueue::new(policy);
    waiting.into_iter().for_each(|waiting| queue.push(waiting));
    queue
}

#[test]
fn higher_priorities_go_first_and_equal_ones_in_the_order_of_arrival() {
    let arrivals = [waiting(1, 0, priority(0)), waiting(2, 1, priority(3)), waiting(3, 2, priority(3))];
    let later = [waiting(4, 3, priority(-1)), waiting(5, 4, priority(0))];
    assert_eq!(order(&mut queue_of(Policy::Fcfs, arrivals.into_iter().chain(later))), [2, 3, 1, 5, 4]);
}

#[test]
fn waiting_makes_up_for_priority() {
    let late = AGEING.as_millis() as u64 * 2;
    let arrivals =
        [waiting(1, 0, priority(0)), waiting(2, late - 1, priority(2)), waiting(3, late + 1, priority(2))];
    assert_eq!(order(&mut queue_of(Policy::Fcfs, arrivals)), [2, 1, 3]);
}

#[test]
fn the_earliest_deadline_goes_first_and_priority_decides_between_equal_ones() {
    let arrivals = [
        waiting(1, 0, priority(9)),
        waiting(2, 1000, due(30, 0)),
        waiting(3, 2000, due(5, 0)),
        waiting(4, 1000, due(6, 1)),
        waiting(5, 3000, due(u64::MAX, 0)),
        waiting(6, 90_000, priority(0)),
    ];
    assert_eq!(order(&mut queue_of(Policy::Deadline, arrivals)), [4, 3, 2, 1, 6, 5]);
}

#[test]
fn a_preempted_request_goes_ahead_of_others_of_the_same_rank() {
    for policy in Policy::ALL {
        let mut queue = queue_of(policy, [waiting(1, 5, of(1)), waiting(2, 5, of(1))]);
        queue.push(Waiting { standing: Standing::Preempted, ..waiting(3, 5, of(1)) });
        assert_eq!(order(&mut queue), [3, 1, 2], "{policy}");
    }
}

#[test]
fn a_tenant_that_comes_back_has_saved_up_nothing() {
    let mut queue = WaitingQueue::new(Policy::FairShare);
    // Tenant 1 uses the engine alone for long.
    for id in 0..100 {
        queue.push(waiting(id, id, of(1)));
        queue.start(RequestId(id), 1000);
    }
    // Then both ask for the same again and again: they take turns.
    for id in 200..220 {
        queue.push(waiting(id, 500, of(1)));
        queue.push(waiting(id + 100, 500, of(2)));
    }
    let mut turns = BTreeMap::<u64, usize>::new();
    for _ in 0..20 {
        let id = queue.next().expect("many wait");
        let started = queue.start(id, 100).expect("it waits");
        *turns.entry(started.scheduling.tenant.0).or_default() += 1;
    }
    assert!(turns.values().all(|turns| (9..=11).contains(turns)), "{turns:?}");
}

#[test]
fn generated_tokens_count_too() {
    let mut queue = queue_of(Policy::FairShare, [waiting(1, 0, of(1)), waiting(2, 1, of(2))]);
    assert_eq!(queue.next(), Some(RequestId(1)));
    queue.served(Tenant(1), 1);
    assert_eq!(queue.next(), Some(RequestId(2)));
}

#[test]
fn names_are_read_back() {
    for policy in Policy::ALL {
        assert_eq!(policy.name().parse(), Ok(policy));
    }
    assert!("random".parse::<Policy>().expect_err("there is none").to_string().contains("fair-share"));
}

/// A request that somebody may send.
fn scheduling() -> impl Strategy<Value = Scheduling> {
    let deadline = prop::option::of((0u64..100).prop_map(Duration::from_secs));
    let priority = prop_oneof![4 => -3i32..4, 1 => any::<i32>()];
    (priority, deadline, 0u64..5).prop_map(|(priority, deadline, tenant)| Scheduling {
        priority,
        deadline,
        tenant: Tenant(tenant),
    })
}

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Happening {
    Arrives(Scheduling),
    Starts(usize),
    Leaves(usize),
    Served(u64, usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => scheduling().prop_map(Happening::Arrives),
        3 => (0usize..2000).prop_map(Happening::Starts),
        1 => (0usize..50).prop_map(Happening::Leaves),
        2 => (0u64..5, 0usize..100).prop_map(|(tenant, tokens)| Happening::Served(tenant, tokens)),
    ]
}

fn play(policy: Policy, happenings: &[Happening]) -> Vec<RequestId> {
    let (mut queue, mut present, mut started) = (WaitingQueue::new(policy), Vec::new(), Vec::new());
    for (time, happening) in happenings.iter().enumerate() {
        match happening {
            Happening::Arrives(scheduling) => {
                present.push(RequestId(time as u64));
                queue.push(waiting(time as u64, time as u64 * 700, *scheduling));
            }
            Happening::Starts(tokens) => {
                let Some(id) = queue.next() else { continue };
                assert!(queue.start(id, *tokens).is_some_and(|waiting| waiting.id == id));
                present.retain(|&other| other != id);
                started.push(id);
            }
            Happening::Leaves(index) if !present.is_empty() => {
                let id = present.remove(index % present.len());
                assert!(queue.remove(id).is_some() && queue.remove(id).is_none());
            }
            Happening::Leaves(_) => {}
            Happening::Served(tenant, tokens) => queue.served(Tenant(*tenant), *tokens),
        }
        assert_eq!((queue.len(), queue.next().is_none()), (present.len(), present.is_empty()));
    }
    started
}

proptest! {
    #[test]
    fn the_order_is_the_same_every_time(happenings in prop::collection::vec(happening(), 0..200)) {
        for policy in Policy::ALL {
            prop_assert_eq!(play(policy, &happenings), play(policy, &happenings));
        }
    }

    /// Whoever starts arrived before the one that waits could be overtaken no more.
    #[test]
    fn nobody_is_overtaken_for_ever(arrivals in prop::collection::vec((0u64..20_000, scheduling()), 1..120)) {
        for (policy, bound) in [
            (Policy::Fcfs, AGEING * 2 * GREATEST_PRIORITY as u32), (Policy::Deadline, LONGEST_HORIZON),
        ] {
            let (mut queue, mut now, mut arrived) = (WaitingQueue::new(policy), 0, BTreeMap::new());
            // One starts for every two that come.
            for (id, &(gap, scheduling)) in arrivals.iter().enumerate() {
                now += gap;
                queue.push(waiting(id as u64, now, scheduling));
                arrived.insert(RequestId(id as u64), Duration::from_millis(now));
                if id % 2 == 1 {
                    let started = queue.next().expect("some wait");
                    queue.start(started, 10);
                    let at = arrived.remove(&started).expect("it waited");
                    let oldest = arrived.values().min().copied().unwrap_or(at);
                    prop_assert!(at <= oldest + bound);
                }
            }
        }
    }

    /// An adversary brings a new tenant for every request, and each pretends to have had nothing yet.
    #[test]
    fn new_tenants_without_end_cannot_starve_an_old_one(used in 0usize..5000, cost in 1usize..200) {
        let mut queue = WaitingQueue::new(Policy::FairShare);
        queue.push(waiting(0, 0, of(1)));
        queue.push(waiting(1, 0, of(2)));
        queue.start(RequestId(0), used);
        queue.push(waiting(2, 0, of(1)));
        // The level rises by an eighth of what is served while two wait, in whole tokens.
        let bound = 10 * (used + cost) / cost + 20;
        for id in 3..3 + bound as u64 {
            queue.push(waiting(id, id, of(id)));
            let started = queue.next().expect("some wait");
            if started == RequestId(2) {
                return Ok(());
            }
            queue.start(started, cost);
        }
        prop_assert!(false, "it never started within {bound}");
    }

    /// Between two tenants that always have something waiting, service differs by at most twice the dearest request or
    /// batch (theorem 4.4 of the paper).
    #[test]
    fn backlogged_tenants_get_the_same(
        costs in prop::collection::vec((1usize..500, 0usize..200), 20..200), tenants in 2u64..6, batch in 1usize..8,
    ) {
        let mut queue = WaitingQueue::new(Policy::FairShare);
        let mut next_id = 0;
        let mut send = |queue: &mut WaitingQueue, tenant: u64| {
            queue.push(waiting(next_id, next_id, of(tenant)));
            next_id += 1;
        };
        // A heavy tenant sends many, the others just enough to have one waiting whenever another starts.
        (0..50).for_each(|_| send(&mut queue, 0));
        (2..2 * tenants).for_each(|number| send(&mut queue, number / 2));
        let mut service = vec![0u64; tenants as usize];
        let mut answering: Vec<(u64, usize)> = Vec::new();
        let (mut dearest_prompt, mut dearest_batch) = (0, 0);
        for &(prompt, answer) in &costs {
            let id = queue.next().expect("all are backlogged");
            let tenant = queue.start(id, prompt).expect("it waits").scheduling.tenant.0;
            service[tenant as usize] += prompt as u64 * PROMPT_WEIGHT;
            dearest_prompt = dearest_prompt.max(prompt as u64 * PROMPT_WEIGHT);
            send(&mut queue, tenant);
            answering.push((tenant, answer));
            dearest_batch = dearest_batch.max(answering.iter().map(|&(_, left)| left as u64).sum::<u64>() * GENERATED_WEIGHT);
            // A full batch answers until one of it has ended.
            while answering.len() >= batch {
                for (tenant, left) in answering.iter_mut().filter(|(_, left)| *left > 0) {
                    *left -= 1;
                    queue.served(Tenant(*tenant), 1);
                    service[*tenant as usize] += GENERATED_WEIGHT;
                }
                answering.retain(|&(_, left)| left > 0);
            }
            let (least, most) = (service.iter().min().unwrap_or(&0), service.iter().max().unwrap_or(&0));
            prop_assert!(most - least <= 2 * (dearest_prompt + dearest_batch), "{service:?}");
        }
    }

    #[test]
    fn the_victim_is_whoever_would_have_started_last(
        arrivals in prop::collection::vec((0u64..20_000, scheduling()), 1..40)
    ) {
        for policy in [Policy::Fcfs, Policy::Deadline] {
            let all: Vec<Waiting> = arrivals.iter().enumerate()
                .map(|(id, &(at, scheduling))| waiting(id as u64, at, scheduling)).collect();
            let last = order(&mut queue_of(policy, all.clone())).pop();
            let victim = WaitingQueue::new(policy).victim(all.iter().map(running));
            prop_assert_eq!(victim.map(|id| id.0), last);
        }
    }
}

#[test]
fn the_victim_is_the_newest_of_the_lowest_priority_and_of_the_tenant_that_had_most() {
    let queue = WaitingQueue::new(Policy::Fcfs);
    let all = [
        waiting(1, 0, priority(0)),
        waiting(2, 1, priority(5)),
        waiting(3, 2, priority(0)),
        waiting(4, 3, priority(1)),
    ];
    assert_eq!(queue.victim(all.iter().map(running)), Some(RequestId(3)));
    assert_eq!(queue.victim([]), None);
    let mut queue = WaitingQueue::new(Policy::FairShare);
    queue.served(Tenant(1), 100);
    let all = [waiting(1, 0, of(1)), waiting(2, 1, of(1)), waiting(3, 2, of(2))];
    assert_eq!(queue.victim(all.iter().map(running)), Some(RequestId(2)));
}
