//! Where the threads of a group's devices meet: emulators add up there what they have, and NVIDIA's GPUs wait for each other
//! where they must not run ahead.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::collective::Group;

/// Where the ranks of a group add up what they have, one sum after another.
pub struct Meeting {
    ranks: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// A rank's place in a meeting.
#[derive(Clone)]
pub struct Seat {
    /// Where it meets the others.
    pub meeting: Arc<Meeting>,
    /// Which it is.
    pub rank: usize,
}

#[derive(Default)]
struct State {
    abandoned: bool,
    /// What the ranks that have come bring, by rank.
    brought: Vec<Option<Vec<f32>>>,
    /// The sum, and how many have not taken it yet.
    sum: Option<(Arc<[f32]>, usize)>,
}

/// Why there is no sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSum {
    /// Another device of the group has failed.
    Abandoned,
    /// Ranks bring so many values, and so many others.
    Lengths(usize, usize),
}

impl Meeting {
    /// For so many ranks.
    pub fn new(ranks: usize) -> Self {
        let state = State { brought: vec![None; ranks], ..State::default() };
        Self { ranks, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The sum of what all ranks bring, added in their order, once the last has come.
    pub fn add_up(&self, rank: usize, values: Vec<f32>) -> Result<Arc<[f32]>, NoSum> {
        // Until all have taken the sum before.
        let mut state = self.wait_while(self.lock(), |state| state.sum.is_some())?;
        if let Some(other) = state.brought.iter().flatten().find(|other| other.len() != values.len()) {
            return Err(NoSum::Lengths(values.len(), other.len()));
        }
        state.brought[rank] = Some(values);
        if state.brought.iter().all(Option::is_some) {
            let mut all = state.brought.iter_mut().filter_map(Option::take);
            let mut sum = all.next().unwrap_or_default();
            for values in all {
                sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            state.sum = Some((sum.into(), self.ranks));
            self.changed.notify_all();
        }
        let mut state = self.wait_while(state, |state| state.sum.is_none())?;
        let (sum, left) = state.sum.take().expect("it is there: waited for");
        if left > 1 {
            state.sum = Some((sum.clone(), left - 1));
        } else {
            self.changed.notify_all();
        }
        Ok(sum)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        mut waits: impl FnMut(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, NoSum> {
        let state = self.changed.wait_while(state, |state| !state.abandoned && waits(state));
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if state.abandoned { Err(NoSum::Abandoned) } else { Ok(state) }
    }

    /// What a panic under the lock leaves is still a state: nothing in it is half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group for Meeting {
    fn abandon(&self) {
        self.lock().abandoned = true;
        self.changed.notify_all();
    }

    fn adds_in_order(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_each_other() {
        let meeting = Meeting::new(3);
        std::thread::scope(|scope| {
            let rank = |rank: usize| {
                let meeting = &meeting;
                scope.spawn(move || -> Vec<f32> {
                    let bring = |round: usize| vec![(10 * round + rank) as f32];
                    (0..200).map(|round| meeting.add_up(rank, bring(round)).unwrap()[0]).collect()
                })
            };
            let found = [rank(0), rank(1), rank(2)].map(|thread| thread.join().unwrap());
            let expected: Vec<f32> = (0..200).map(|round| (30 * round + 3) as f32).collect();
            assert!(found.iter().all(|sums| *sums == expected));
        });
    }

    #[test]
    fn nobody_waits_for_one_who_has_failed() {
        let meeting = Meeting::new(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| meeting.add_up(0, vec![1.0]));
            meeting.abandon();
            assert_eq!(waits.join().unwrap(), Err(NoSum::Abandoned));
        });
        assert_eq!(meeting.add_up(1, vec![1.0]), Err(NoSum::Abandoned));
    }

    #[test]
    fn values_of_other_lengths_are_no_sum() {
        let meeting = Meeting::new(2);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| meeting.add_up(0, vec![1.0]));
            while meeting.lock().brought[0].is_none() {
                std::thread::yield_now();
            }
            assert_eq!(meeting.add_up(1, vec![1.0, 2.0]), Err(NoSum::Lengths(2, 1)));
            meeting.abandon();
            waits.join().unwrap().unwrap_err();
        });
    }
}
