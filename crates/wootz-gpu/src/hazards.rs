//! Barriers, only where they are needed.
//!
//! Dispatches between two barriers may run at the same time, so a barrier has to stand wherever one touches bytes
//! that another before it, since the last barrier, touches too, unless both only read them:
//!
//! ```text
//! read after write     the result is not there yet
//! write after read     the reader would see what comes later
//! write after write    the earlier value could be the one that stays
//! ```
//!
//! Ranges are compared byte by byte, so two parts of one buffer are no conflict.

use std::collections::BTreeMap;

use crate::device::{Access, BufferId, Command, Dispatch, Slice};

/// The bytes that were touched since the last barrier.
#[derive(Debug, Clone, Default)]
pub struct Hazards {
    buffers: BTreeMap<BufferId, Touched>,
}

/// The bytes of one buffer that were touched since the last barrier.
#[derive(Debug, Clone, Default)]
struct Touched {
    read: Ranges,
    written: Ranges,
}

impl Hazards {
    /// Takes note of a dispatch. The answer is whether a barrier has to stand before it; if so, only this dispatch
    /// has been seen since.
    pub fn before(&mut self, dispatch: &Dispatch) -> bool {
        let conflict = dispatch.slices().any(|(slice, access)| self.conflicts(slice, access));
        if conflict {
            self.buffers.values_mut().for_each(Touched::forget);
        }
        for (slice, access) in dispatch.slices() {
            let touched = self.buffers.entry(slice.buffer).or_default();
            if access != Access::Write {
                touched.read.add(slice);
            }
            if access != Access::Read {
                touched.written.add(slice);
            }
        }
        conflict
    }

    fn conflicts(&self, slice: Slice, access: Access) -> bool {
        self.buffers.get(&slice.buffer).is_some_and(|touched| {
            touched.written.overlap(slice) || (access != Access::Read && touched.read.overlap(slice))
        })
    }
}

impl Touched {
    fn forget(&mut self) {
        self.read.0.clear();
        self.written.0.clear();
    }
}

/// Disjoint ranges that don't touch, by where they begin: where each ends.
#[derive(Debug, Clone, Default)]
struct Ranges(BTreeMap<usize, usize>);

impl Ranges {
    fn overlap(&self, slice: Slice) -> bool {
        let end = slice.offset + slice.length;
        // Of the ranges that begin before the slice's end, the last one ends last.
        self.0.range(..end).next_back().is_some_and(|(_, &last)| slice.length > 0 && last > slice.offset)
    }

    fn add(&mut self, slice: Slice) {
        if slice.length == 0 {
            return;
        }
        let (mut start, mut end) = (slice.offset, slice.offset + slice.length);
        while let Some((&first, &last)) = self.0.range(..=end).next_back().filter(|(_, last)| **last >= start)
        {
            self.0.remove(&first);
            (start, end) = (start.min(first), end.max(last));
        }
        self.0.insert(start, end);
    }
}

/// The dispatches in their order, with a barrier before each that needs one.
pub fn with_barriers(dispatches: impl IntoIterator<Item = Dispatch>) -> Vec<Command> {
    let mut hazards = Hazards::default();
    let mut commands = Vec::new();
    for dispatch in dispatches {
        if hazards.before(&dispatch) {
            commands.push(Command::Barrier);
        }
        commands.push(Command::Dispatch(dispatch));
    }
    commands
}

/// The dispatches in their order, with a barrier between any two: the plain program that [`with_barriers`] must
/// agree with.
pub fn with_every_barrier(dispatches: impl IntoIterator<Item = Dispatch>) -> Vec<Command> {
    let commands =
        dispatches.into_iter().flat_map(|dispatch| [Command::Barrier, Command::Dispatch(dispatch)]);
    commands.skip(1).collect()
}

/// Barriers of a list of commands.
pub fn barriers(commands: &[Command]) -> usize {
    commands.iter().filter(|command| **command == Command::Barrier).count()
}

#[cfg(test)]
mod tests {
    use arrayvec::ArrayVec;
    use proptest::prelude::*;

    use super::*;
    use crate::device::{Argument, Grid, Kernel, Work};
    use crate::source::KernelSource;

    /// Bytes of each buffer of the interpreter.
    const BYTES: usize = 24;
    static SOURCE: KernelSource = KernelSource { file: "nothing.metal", text: "", arguments: &[] };

    /// A dispatch that mixes all that it reads, with its number, into all that it writes.
    fn dispatch(number: u32, slices: &[(usize, usize, usize, Access)]) -> Dispatch {
        let argument = |&(buffer, offset, length, access): &(usize, usize, usize, Access)| {
            Argument::Buffer(Slice { buffer: BufferId(buffer), offset, length }, access)
        };
        let mut arguments: ArrayVec<_, _> = slices.iter().map(argument).collect();
        arguments.push(Argument::inline(&number));
        let grid = Grid { threadgroups: [1, 1, 1], threads: [32, 1, 1] };
        Dispatch { kernel: Kernel { source: &SOURCE, entry: "mix" }, arguments, grid, work: Work::default() }
    }

    /// A machine that reads and writes in two steps, so that dispatches of a group can overlap in time.
    struct Interpreter {
        memory: [[u8; BYTES]; 2],
    }

    impl Interpreter {
        fn read(&self, dispatch: &Dispatch) -> u64 {
            let mut state = 17u64;
            let mut mix = |byte: u8| state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            for argument in &dispatch.arguments {
                match argument {
                    Argument::Inline(bytes) => bytes.iter().for_each(|&byte| mix(byte)),
                    Argument::Buffer(_, Access::Write) => {}
                    Argument::Buffer(slice, _) => self.memory[slice.buffer.0][slice.offset..][..slice.length]
                        .iter()
                        .for_each(|&byte| mix(byte)),
                }
            }
            state
        }

        fn write(&mut self, dispatch: &Dispatch, state: u64) {
            for (slice, access) in dispatch.slices().filter(|(_, access)| *access != Access::Read) {
                let bytes = &mut self.memory[slice.buffer.0][slice.offset..][..slice.length];
                for (place, byte) in bytes.iter_mut().enumerate() {
                    *byte = (state >> (8 * (place % 8))) as u8 ^ access as u8;
                }
            }
        }

        /// Runs groups of dispatches between barriers. `key` decides in which order those of a group read, and in
        /// which order, after a part of the reads, they write.
        fn run(commands: &[Command], key: u64) -> [[u8; BYTES]; 2] {
            let mut machine = Interpreter { memory: [[1; BYTES], [2; BYTES]] };
            for group in commands.split(|command| *command == Command::Barrier) {
                let mut events: Vec<(u64, usize, bool)> = Vec::new();
                for place in 0..group.len() {
                    let read = scramble(key, 2 * place as u64);
                    let write = read.max(scramble(key, 2 * place as u64 + 1));
                    events.extend([(read, place, false), (write, place, true)]);
                }
                // A write never comes before its own read: of equal times `false` is first.
                events.sort_by_key(|&(time, place, write)| (time, write, place));
                let mut states = vec![0; group.len()];
                for (_, place, write) in events {
                    let Command::Dispatch(dispatch) = &group[place] else { continue };
                    match write {
                        false => states[place] = machine.read(dispatch),
                        true => machine.write(dispatch, states[place]),
                    }
                }
            }
            machine.memory
        }
    }

    fn scramble(key: u64, number: u64) -> u64 {
        let mixed = (key ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40
    }

    fn any_program() -> impl Strategy<Value = Vec<Dispatch>> {
        let access = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::ReadWrite)];
        let slice = (0..2usize, 0..BYTES, 0..6usize, access).prop_map(|(buffer, offset, length, access)| {
            (buffer, offset, length.min(BYTES - offset), access)
        });
        let slices = proptest::collection::vec(slice, 1..4);
        proptest::collection::vec(slices, 0..12).prop_map(|program| {
            let numbered = program.into_iter().enumerate();
            // A dispatch's own slices don't overlap where it writes: that would be a race within the kernel.
            let apart = |slices: Vec<(usize, usize, usize, Access)>| {
                let mut kept: Vec<(usize, usize, usize, Access)> = Vec::new();
                for slice in slices {
                    let other = |known: &(usize, usize, usize, Access)| {
                        known.0 == slice.0 && known.1 < slice.1 + slice.2 && slice.1 < known.1 + known.2
                    };
                    if !kept.iter().any(other) {
                        kept.push(slice);
                    }
                }
                kept
            };
            numbered.map(|(number, slices)| dispatch(number as u32, &apart(slices))).collect()
        })
    }

    proptest! {
        #[test]
        fn fewer_barriers_compute_the_same(program in any_program(), key: u64) {
            let expected = Interpreter::run(&with_every_barrier(program.clone()), 0);
            prop_assert_eq!(Interpreter::run(&with_barriers(program), key), expected);
        }

        #[test]
        fn every_barrier_is_needed(program in any_program()) {
            // Each stands between two dispatches that conflict: taking it away would leave them in one group.
            let commands = with_barriers(program);
            let groups: Vec<&[Command]> = commands.split(|command| *command == Command::Barrier).collect();
            for pair in groups.windows(2) {
                let Some(Command::Dispatch(next)) = pair[1].first() else { continue };
                let conflict = pair[0].iter().any(|command| match command {
                    Command::Dispatch(before) => before.slices().any(|(slice, access)| {
                        next.slices().any(|(other, theirs)| {
                            slice.overlaps(&other) && (access != Access::Read || theirs != Access::Read)
                        })
                    }),
                    Command::Barrier => false,
                });
                prop_assert!(conflict);
            }
        }
    }

    #[test]
    fn each_kind_of_conflict_has_a_barrier_and_only_those() {
        use Access::{Read, ReadWrite, Write};
        let barriers_of = |first, second| {
            let slices = |access, offset| [(0, offset, 4, access)];
            let at = |offset| {
                barriers(&with_barriers([
                    dispatch(0, &slices(first, 0)),
                    dispatch(1, &slices(second, offset)),
                ]))
            };
            (at(2), at(4))
        };
        for (first, second, needed) in
            [(Write, Read, 1), (Read, Write, 1), (Write, Write, 1), (Read, Read, 0), (ReadWrite, Read, 1)]
        {
            assert_eq!(barriers_of(first, second), (needed, 0), "{first:?} {second:?}");
        }
    }

    #[test]
    fn a_barrier_orders_everything_before_it() {
        use Access::{Read, Write};
        let program = [
            dispatch(0, &[(0, 0, 4, Write)]),
            dispatch(1, &[(0, 8, 4, Write)]),
            dispatch(2, &[(0, 0, 4, Read), (1, 0, 4, Write)]),
            dispatch(3, &[(0, 8, 4, Read), (1, 4, 4, Write)]),
        ];
        assert_eq!(barriers(&with_barriers(program)), 1);
    }

    #[test]
    fn ranges_that_touch_become_one() {
        let mut ranges = Ranges::default();
        let slice = |offset, length| Slice { buffer: BufferId(0), offset, length };
        for (offset, length) in [(0, 4), (8, 4), (4, 4), (20, 1), (10, 5), (3, 0)] {
            ranges.add(slice(offset, length));
        }
        assert_eq!(ranges.0, BTreeMap::from([(0, 15), (20, 21)]));
        assert!(
            ranges.overlap(slice(14, 1)) && !ranges.overlap(slice(15, 5)) && !ranges.overlap(slice(3, 0))
        );
    }
}
