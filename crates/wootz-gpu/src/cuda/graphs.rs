//! Submissions that come again: steps of generation are the same launches with the same arguments, while what differs
//! (tokens, positions, page tables) lies in device memory. Such a list becomes a graph, which the driver starts at once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use super::graph::Graph;
use crate::device::{Argument, Command};

/// Graphs at most. Each holds its launches in host and device memory, about a kilobyte for each.
const MOST: usize = 256;

/// Lists that were seen.
#[derive(Default)]
pub struct Graphs {
    known: HashMap<u64, Known>,
    /// Counts submissions.
    clock: u64,
}

struct Known {
    used: u64,
    /// The list and its graph, once the list has come for the second time.
    graph: Option<(Vec<Command>, Graph)>,
}

/// What to do with a list of commands.
pub enum Next<'a> {
    /// It is new, or rare: launch one after the other.
    Launch,
    /// It has come before: make a graph of it, and give it to [`Graphs::keep`].
    Build(u64),
    /// Start this.
    Start(&'a Graph),
}

impl Graphs {
    /// What to do with a list.
    pub fn next(&mut self, commands: &[Command]) -> Next<'_> {
        self.clock += 1;
        let key = fingerprint(commands);
        let clock = self.clock;
        match self.known.get_mut(&key) {
            None => {
                self.make_room();
                self.known.insert(key, Known { used: clock, graph: None });
                Next::Launch
            }
            Some(known) => {
                known.used = clock;
                match &self.known[&key].graph {
                    None => Next::Build(key),
                    Some((list, graph)) if same(list, commands) => Next::Start(graph),
                    // Another list with the same fingerprint.
                    Some(_) => Next::Launch,
                }
            }
        }
    }

    /// Keeps a graph for the next time, and gives it back to be started.
    pub fn keep(&mut self, key: u64, commands: &[Command], graph: Graph) -> &Graph {
        let known = self.known.entry(key).or_insert(Known { used: self.clock, graph: None });
        let (_, graph) = known.graph.insert((commands.to_vec(), graph));
        graph
    }

    /// Forgets all, because memory that they name is given back.
    pub fn clear(&mut self) {
        self.known.clear();
    }

    /// Forgets what was not used for longest.
    fn make_room(&mut self) {
        if self.known.len() >= MOST {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.used).map(|(key, _)| *key);
            oldest.and_then(|key| self.known.remove(&key));
        }
    }
}

/// Whether two lists are the same launches with the same arguments. (How much work they are differs from step to step.)
fn same(list: &[Command], other: &[Command]) -> bool {
    list.len() == other.len()
        && list.iter().zip(other).all(|pair| match pair {
            (Command::Barrier, Command::Barrier) => true,
            (Command::Dispatch(a), Command::Dispatch(b)) => {
                (a.kernel, a.grid) == (b.kernel, b.grid) && a.arguments == b.arguments
            }
            _ => false,
        })
}

/// The same for the same list, and hardly ever for another.
fn fingerprint(commands: &[Command]) -> u64 {
    let mut hash = FxHasher::default();
    for command in commands {
        let Command::Dispatch(dispatch) = command else {
            hash.write_u8(0);
            continue;
        };
        // Kernels are named by static text.
        hash.write_usize(dispatch.kernel.entry.as_ptr() as usize);
        dispatch.grid.threadgroups.hash(&mut hash);
        for argument in &dispatch.arguments {
            match argument {
                Argument::Buffer(slice, _) => slice.hash(&mut hash),
                Argument::Inline(bytes) => hash.write(bytes),
            }
        }
    }
    hash.finish()
}
