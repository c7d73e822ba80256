//! Launches that run beside each other while a graph is recorded from streams.

use std::sync::Arc;

use super::driver::{Context, Event, Stream};
use crate::device::DeviceError;

/// Streams beside the one that everything goes through: a layer's query, key and value are multiplied at the same time.
const BRANCHES: usize = 3;

/// Streams that leave another and come back to it.
#[derive(Debug)]
pub struct Branches {
    /// When they may begin.
    forked: Event,
    /// Each with the moment when it has ended.
    streams: Vec<(Stream, Event)>,
}

impl Branches {
    /// Streams for any work.
    pub fn new(context: &Arc<Context>) -> Result<Self, DeviceError> {
        let branch = |_| Ok((Stream::new(context)?, Event::new(context)?));
        let streams = (0..BRANCHES).map(branch).collect::<Result<_, _>>()?;
        Ok(Self { forked: Event::new(context)?, streams })
    }

    /// Lets `launch` put each of `items`, which don't depend on each other, into a stream: of those that begin after what
    /// `trunk` holds, and that it goes on after.
    pub fn spread<T>(
        &self,
        trunk: &Stream,
        items: &[T],
        mut launch: impl FnMut(&T, &Stream) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let used = &self.streams[..items.len().saturating_sub(1).min(self.streams.len())];
        if !used.is_empty() {
            trunk.record(&self.forked)?;
        }
        used.iter().try_for_each(|(stream, _)| stream.wait(&self.forked))?;
        let streams = || used.iter().map(|(stream, _)| stream).chain([trunk]);
        items.iter().zip(streams().cycle()).try_for_each(|(item, stream)| launch(item, stream))?;
        used.iter().try_for_each(|(stream, ended)| {
            stream.record(ended)?;
            trunk.wait(ended)
        })
    }
}
