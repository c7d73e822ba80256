//! Panics that cost only what they concern.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does some work. Its panic comes back as what it said; whatever the work was changing is not to be used after that.
pub(crate) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason given".into())
    })
}
