//! The seam between an engine and a device that runs a model.

use wootz_spec::ModelSpec;

use crate::cache::CacheShape;
use crate::error::BackendError;
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
}
