//! Who runs next: threads in order, or drawn from a seed.

/// In which order threads and threadgroups run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Schedule {
    /// Each thread runs until it waits, then the next one by number.
    #[default]
    InOrder,
    /// Drawn at every switch from a generator with this seed. A kernel without mistakes computes the same.
    Random(u64),
}

impl Schedule {
    /// The seed, if the schedule is random.
    pub(super) fn seed(self) -> Option<u64> {
        match self {
            Self::InOrder => None,
            Self::Random(seed) => Some(seed),
        }
    }
}

/// A small generator of numbers (splitmix64): any seed will do, and the same one gives the same numbers anywhere.
#[derive(Clone)]
pub struct Generator(u64);

impl Generator {
    /// A generator for one stream of one seed, such as one threadgroup of a run.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut mixed = Self(seed);
        Self(mixed.next() ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// The number of one of the bits that are set; `mask` is not zero.
    pub fn one_of(&mut self, mask: u32) -> u32 {
        let mut rest = mask;
        for _ in 0..self.below(mask.count_ones()) {
            rest &= rest - 1;
        }
        rest.trailing_zeros()
    }
}

/// The first bit set after number `after`, going round; `mask` is not zero.
pub fn following(mask: u32, after: u32) -> u32 {
    let turn = (after + 1) % 32;
    (mask.rotate_right(turn).trailing_zeros() + turn) % 32
}

/// The numbers below `count`, in a random order that costs no memory: a step coprime to the count goes round.
pub struct Shuffled {
    count: u64,
    start: u64,
    step: u64,
}

impl Shuffled {
    /// An order for `count` things.
    pub fn new(schedule: Schedule, count: u64) -> Self {
        let Some(seed) = schedule.seed() else { return Self { count, start: 0, step: 1 } };
        let mut generator = Generator::new(seed, u64::MAX);
        let start = generator.next() % count.max(1);
        let mut step = generator.next() % count.max(1);
        while common_divisor(step, count) > 1 {
            step += 1;
        }
        Self { count, start, step: step.max(1) }
    }

    /// What stands at one place of the order.
    pub fn at(&self, place: u64) -> u64 {
        let moved = u128::from(place) * u128::from(self.step) + u128::from(self.start);
        (moved % u128::from(self.count)) as u64
    }
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_bit_goes_round() {
        assert_eq!(following(0b1001, 0), 3);
        assert_eq!(following(0b1001, 3), 0);
        assert_eq!(following(1 << 31, 31), 31);
        assert_eq!(following(0b10, 31), 1);
    }

    #[test]
    fn a_drawn_bit_is_set_and_each_has_its_turn() {
        let mut generator = Generator::new(7, 0);
        let mut seen = 0u32;
        for _ in 0..200 {
            let bit = generator.one_of(0x8000_0101);
            seen |= 1 << bit;
        }
        assert_eq!(seen, 0x8000_0101);
    }

    #[test]
    fn every_threadgroup_has_one_place() {
        for count in [1, 2, 3, 12, 97, 1024] {
            for schedule in [Schedule::InOrder, Schedule::Random(1), Schedule::Random(99)] {
                let order = Shuffled::new(schedule, count);
                let mut places: Vec<u64> = (0..count).map(|place| order.at(place)).collect();
                places.sort_unstable();
                assert!(places.into_iter().eq(0..count), "{count} {schedule:?}");
            }
        }
    }
}
