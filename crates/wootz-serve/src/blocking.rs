//! Work that takes a while: parsing long bodies, tokenizing, compiling grammars.

use crate::error::ApiError;

/// Runs work on a thread of its own, so that streams go on meanwhile. A panic in it costs this request only.
///
/// # Errors
/// The work's own, and 500 if it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(ApiError::internal("the server failed on this request; others are not affected"))
    })
}
