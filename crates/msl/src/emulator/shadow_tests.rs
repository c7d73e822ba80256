//! The shadow against a reference that forgets nothing: it compares each access with all earlier ones.

use proptest::prelude::*;

use super::{Access, Shadow};
use crate::emulator::order::{Clock, Mark, Space};

const BYTES: usize = 16;
const THREADS: u16 = 96;

#[derive(Debug, Clone)]
enum Event {
    Access { thread: u16, place: usize, size: usize, what: Access },
    ThreadgroupBarrier(u32),
    SimdgroupBarrier(usize, u32),
    NextThreadgroup,
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        6 => Just(Access::Read),
        3 => Just(Access::Write),
        1 => Just(Access::Atomic { reads: true, writes: true }),
        1 => Just(Access::Atomic { reads: true, writes: false }),
    ]
}

/// A thread of few, some of them in one simdgroup, accesses a few bytes; now and then comes a barrier.
fn event() -> impl Strategy<Value = Event> {
    let threads = prop::sample::select(vec![0u16, 1, 5, 32, 33, 64]);
    let sizes = prop::sample::select(vec![1usize, 2, 4, 8]);
    prop_oneof![
        10 => (threads, 0..BYTES, sizes, access()).prop_map(|(thread, place, size, what)| {
            Event::Access { thread, place: place / size * size, size, what }
        }),
        2 => (0u32..4).prop_map(Event::ThreadgroupBarrier),
        4 => (0..usize::from(THREADS) / 32, 0u32..4).prop_map(|(group, flags)| Event::SimdgroupBarrier(group, flags)),
        1 => Just(Event::NextThreadgroup),
    ]
}

/// All accesses so far, each with its place.
struct Reference {
    space: Space,
    seen: Vec<(usize, Mark, bool)>,
}

impl Reference {
    fn races(&mut self, clock: &Clock, place: usize, size: usize, mark: Mark, what: Access) -> bool {
        let mut found = false;
        for byte in place..place + size {
            found |= self.seen.iter().any(|(at, earlier, wrote)| {
                let matters = *at == byte && (*wrote || what.writes());
                matters
                    && !(earlier.atomic != 0 && what.is_atomic())
                    && !clock.ordered(self.space, earlier, mark.thread)
            });
        }
        self.seen.extend((place..place + size).map(|byte| (byte, mark, what.writes())));
        found
    }
}

/// Runs events until the first race; says at which event the shadow and the reference find one.
fn first_races(space: Space, events: &[Event]) -> (Option<usize>, Option<usize>) {
    let mut clock = Clock::new();
    clock.begin_threadgroup(0);
    let mut shadow = Shadow::new(space, BYTES, false).unwrap_or_else(|_| panic!("no memory"));
    let mut reference = Reference { space, seen: Vec::new() };
    for (step, event) in events.iter().enumerate() {
        match *event {
            Event::ThreadgroupBarrier(flags) => clock.threadgroup_barrier(flags),
            Event::SimdgroupBarrier(group, flags) => clock.simdgroup_barrier(group, flags),
            Event::NextThreadgroup => clock.begin_threadgroup(step as u64),
            Event::Access { thread, place, size, what } => {
                let mark = Mark { time: clock.now(), site: 0, thread, atomic: what.is_atomic().into() };
                let expected = reference.races(&clock, place, size, mark, what);
                let found = shadow.access(&clock, place, size, mark, what);
                let found = found.unwrap_or_else(|_| panic!("no memory")).is_some();
                if found || expected {
                    return (found.then_some(step), expected.then_some(step));
                }
            }
        }
    }
    (None, None)
}

fn is_atomic(event: &Event) -> bool {
    matches!(event, Event::Access { what, .. } if what.is_atomic())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn two_readers_stand_for_all(events in prop::collection::vec(event(), 1..40)) {
        let plain: Vec<Event> = events.into_iter().filter(|event| !is_atomic(event)).collect();
        for space in [Space::Device, Space::Threadgroup] {
            let (found, expected) = first_races(space, &plain);
            prop_assert_eq!(found, expected, "{:?}", space);
        }
    }

    #[test]
    fn nothing_is_found_that_is_not_there(events in prop::collection::vec(event(), 1..40)) {
        for space in [Space::Device, Space::Threadgroup] {
            let (found, expected) = first_races(space, &events);
            prop_assert!(found.is_none() || found == expected, "{:?}: {:?} {:?}", space, found, expected);
        }
    }
}
