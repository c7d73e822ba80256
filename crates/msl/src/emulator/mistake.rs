//! A mistake as it is found: on the fiber that makes it, with addresses that are not resolved yet.

use super::fault::FaultKind;

/// A mistake, before it is told to the caller as a [`Fault`](super::Fault).
pub struct Mistake {
    pub kind: FaultKind,
    pub message: String,
    /// Return addresses, from the place of the mistake outwards.
    pub frames: Vec<usize>,
    /// The return address of another thread that has a part in it.
    pub other: Option<usize>,
    /// The thread, if it isn't the running one.
    pub thread: Option<u32>,
}

impl Mistake {
    #[cold]
    pub fn new(kind: FaultKind, message: String) -> Box<Self> {
        Box::new(Self { kind, message, frames: Vec::new(), other: None, thread: None })
    }

    /// Names the place of the other thread.
    pub fn with_other(mut self: Box<Self>, site: usize) -> Box<Self> {
        self.other = Some(site);
        self
    }

    /// Names the place of the mistake, where the running thread has none (it has returned).
    pub fn at(mut self: Box<Self>, site: usize) -> Box<Self> {
        self.frames = vec![site];
        self
    }
}
