//! A simdgroup: 32 lanes that exchange values.
//!
//! A collective is a rendezvous. Each lane lays its value down and waits; the last one to come lets all go on, and
//! each reads what it needs of the others' values. There are two exchanges, used in turns: a fast lane may lay down
//! its value for the next collective while a slow one still reads this one's. It can't come to the one after that
//! before every lane has come to the next, and so has read this one's.

use super::abi::{EXCHANGE_BYTES, Exchange, LANES, kind};
use super::fault::FaultKind;
use super::mistake::Mistake;

/// What lanes do together, and where they were called to do it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// A number of [`kind`].
    pub kind: u32,
    /// Bytes of one lane's value.
    pub bytes: u32,
    /// The return address in the kernel.
    pub site: usize,
}

/// 32 lanes, as sets of lanes by what they do. A present lane is in one of the sets, or it runs.
pub struct Simdgroup {
    /// Lanes that exist. The last simdgroup of a threadgroup may have fewer than 32.
    pub present: u32,
    /// Lanes that can go on.
    pub ready: u32,
    /// Lanes that wait for the others at [`operation`](Self::operation).
    pub at_collective: u32,
    /// Lanes that wait at a threadgroup barrier.
    pub at_barrier: u32,
    /// Lanes that have returned from the kernel.
    pub finished: u32,
    /// What the lanes in `at_collective` do.
    pub operation: Operation,
    turn: usize,
}

impl Simdgroup {
    /// A simdgroup without lanes.
    pub fn new() -> Self {
        Self {
            present: 0,
            ready: 0,
            at_collective: 0,
            at_barrier: 0,
            finished: 0,
            operation: Operation { kind: 0, bytes: 0, site: 0 },
            turn: 0,
        }
    }

    /// Makes it one of so many lanes that are all ready to begin.
    pub fn begin(&mut self, lanes: usize) {
        self.present = u32::MAX >> (LANES - lanes);
        self.ready = self.present;
        self.at_collective = 0;
        self.at_barrier = 0;
        self.finished = 0;
    }

    /// A lane comes to a collective. Says where its values are exchanged, and whether it was the last to come: then
    /// all the others are ready.
    pub fn arrive(
        &mut self,
        exchanges: &mut [Exchange; 2],
        lane: u32,
        operation: Operation,
        value: &[u8],
    ) -> Result<(*mut Exchange, bool), Box<Mistake>> {
        if let Some(mistake) = self.objection(lane, &operation) {
            return Err(mistake);
        }
        if self.at_collective == 0 {
            self.operation = operation;
        }
        let exchange = &mut exchanges[self.turn];
        exchange.values[lane as usize][..value.len()].copy_from_slice(value);
        self.at_collective |= 1 << lane;
        let complete = self.at_collective == self.present;
        if complete {
            exchange.lanes = u64::from(self.at_collective);
            self.ready = self.at_collective & !(1 << lane);
            self.at_collective = 0;
            self.turn ^= 1;
        }
        Ok((exchange, complete))
    }

    #[inline]
    fn objection(&self, lane: u32, operation: &Operation) -> Option<Box<Mistake>> {
        let waiting = &self.operation;
        let different =
            self.at_collective != 0 && (waiting.kind != operation.kind || waiting.bytes != operation.bytes);
        let hopeless = self.finished | self.at_barrier;
        if !different && hopeless == 0 && operation.bytes as usize <= EXCHANGE_BYTES {
            return None;
        }
        Some(self.explain(lane, operation))
    }

    #[cold]
    fn explain(&self, lane: u32, operation: &Operation) -> Box<Mistake> {
        let name = kind::name(operation.kind);
        if operation.bytes as usize > EXCHANGE_BYTES {
            let bytes = operation.bytes;
            let text = format!("{name} of {bytes} bytes a lane: {EXCHANGE_BYTES} are possible");
            return Mistake::new(FaultKind::Refused, text);
        }
        if self.at_collective != 0 && self.operation.kind != operation.kind {
            let other = kind::name(self.operation.kind);
            let lanes = Lanes(self.at_collective);
            let text = format!("lane {lane} calls {name} while {lanes} of its simdgroup wait at {other}");
            return Mistake::new(FaultKind::DivergentCollective, text).with_other(self.operation.site);
        }
        if self.at_collective != 0 && self.operation.bytes != operation.bytes {
            let (bytes, other) = (operation.bytes, self.operation.bytes);
            let text = format!(
                "lane {lane} calls {name} with a value of {bytes} bytes, {} with one of {other}",
                Lanes(self.at_collective)
            );
            return Mistake::new(FaultKind::DivergentCollective, text).with_other(self.operation.site);
        }
        if self.finished != 0 {
            let lanes = Lanes(self.finished);
            let text =
                format!("lane {lane} calls {name}, but {lanes} of its simdgroup have returned already");
            return Mistake::new(FaultKind::FinishedThreads, text);
        }
        let lanes = Lanes(self.at_barrier);
        let text =
            format!("lane {lane} calls {name} while {lanes} of its simdgroup wait at a threadgroup_barrier");
        Mistake::new(FaultKind::DivergentCollective, text)
    }
}

/// A set of lanes in words.
pub struct Lanes(pub u32);

impl std::fmt::Display for Lanes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.count_ones() {
            1 => write!(formatter, "lane {}", self.0.trailing_zeros()),
            count => write!(formatter, "{count} lanes (mask {:#010x})", self.0),
        }
    }
}
