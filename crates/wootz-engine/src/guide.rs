//! What steers an answer besides the sampler.

/// What steers an answer besides the sampler. The default leaves it free.
#[derive(Debug, Clone, Default)]
pub struct Guide {}
