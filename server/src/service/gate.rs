//! A named point at which a test lets the process die. Compiled only with the feature `gates`.
//!
//! `FIELDSYNC_GATE=after-commit:N` aborts the process right after the Nth upload has been committed and
//! before it is answered: what a client sees then is a lost answer.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(super) struct Gate {
    /// Uploads until the end; below one: never.
    left: Option<AtomicU64>,
}

impl Gate {
    pub(super) fn from_environment() -> Self {
        let setting = std::env::var("FIELDSYNC_GATE").ok();
        let count = setting.as_deref().and_then(|setting| setting.strip_prefix("after-commit:")?.parse().ok());
        Self { left: count.filter(|count| *count > 0).map(AtomicU64::new) }
    }

    pub(super) fn after_commit(&self) {
        if self.left.as_ref().is_some_and(|left| left.fetch_sub(1, Ordering::SeqCst) == 1) {
            std::process::abort();
        }
    }
}
