//! The seam between an engine and a device that runs a model.

use wootz_spec::ModelSpec;

use crate::cache::CacheShape;
use crate::error::BackendError;
use crate::sampling::{Draw, DrawFailure, Logprobs, Sampled, SamplingSettings};
use crate::step::{Step, StepLimits};

/// A model loaded on a device, with its key/value pool.
///
/// The pool belongs to the device and is addressed by page ids, which the engine hands out: a step writes the
/// keys and values of its rows to the pages that its page tables name, and reads all earlier positions there.
pub trait Model: Send {
    /// What the model is.
    fn spec(&self) -> &ModelSpec;

    /// The shape of the key/value cache.
    fn cache(&self) -> CacheShape;

    /// What a step may hold: fixed when the model was loaded, as is the memory for it.
    fn limits(&self) -> StepLimits;

    /// Runs one step. The result is `[sample rows, vocab]` logits in the order of [`Step::sample_rows`].
    ///
    /// # Errors
    /// A malformed step is refused before anything is computed ([`Step::validate`]). Where the device fails
    /// in the middle, the pages that the step writes hold nothing of use; all others are unharmed.
    fn forward(&mut self, step: &Step) -> Result<&[f32], BackendError>;

    /// Copies a page out of the pool, in the format of [`crate::cache`]; `bytes` is
    /// [`CacheShape::page_bytes`] long.
    ///
    /// It may be called while steps are under way, does not wait for them, and sees what steps that were collected have
    /// written. The caller sees to it that no step under way writes the page.
    ///
    /// # Errors
    /// [`BackendError::Page`] when there is no such page or `bytes` has another length; or the device failed.
    fn read_page(&mut self, page: u32, bytes: &mut [u8]) -> Result<(), BackendError>;

    /// Copies a page into the pool. Steps that begin afterwards see it.
    ///
    /// It may be called while steps are under way, and does not wait for them. The caller sees to it that none of them
    /// reads or writes the page. Bytes are not examined: they are what [`Model::read_page`] of the same model gave.
    ///
    /// # Errors
    /// [`BackendError::Page`] when there is no such page or `bytes` has another length; or the device failed, and the
    /// page holds nothing of use.
    fn write_page(&mut self, page: u32, bytes: &[u8]) -> Result<(), BackendError>;

    /// The part of it that runs steps without being waited for, where the device can draw tokens itself.
    fn pipeline(&mut self) -> Option<&mut dyn Pipeline> {
        None
    }
}

/// Steps that follow each other without a wait between them.
///
/// A step is submitted while the one before it still runs. Its rows may name tokens that are not known yet
/// ([`pending`](crate::step::pending)): what a sample row of the step before draws. They stay on the device.
pub trait Pipeline {
    /// Whether the device can draw so. If not, the caller takes the logits of [`Model::forward`] and draws itself.
    fn draws(&self, settings: &SamplingSettings, logprobs: Logprobs) -> bool;

    /// Starts a step after all that were started before, and returns. There is a draw for each sample row, in order.
    ///
    /// # Errors
    /// A malformed step is refused, and nothing was started.
    fn submit(&mut self, step: &Step, draws: &[Draw<'_>]) -> Result<(), BackendError>;

    /// Waits for the oldest step that was not collected yet: what each sample row drew.
    ///
    /// # Errors
    /// Where the device failed in it; as with [`Model::forward`], pages of other steps are unharmed, but a step that was
    /// submitted after it and names its tokens has drawn nothing of use.
    ///
    /// # Panics
    /// If no step is under way.
    fn collect(&mut self) -> Result<Vec<Result<Sampled, DrawFailure>>, BackendError>;
}
