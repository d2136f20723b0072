//! A named point at which a test lets the process die. Compiled into debug builds and with the feature
//! `gates`; a release build has none.
//!
//! `FIELDSYNC_GATE=after-commit:N` aborts the process right after the Nth upload that changed something has
//! been committed and before it is answered: what a client sees then is a lost answer. `before-commit:N`
//! aborts it when everything is decided and nothing is written.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    BeforeCommit,
    AfterCommit,
}

/// The point that was asked for, if one was.
#[derive(Debug)]
pub(super) struct Gate {
    closing: Option<(Point, AtomicU64)>,
}

impl Gate {
    pub(super) fn from_environment() -> Self {
        Self { closing: std::env::var("FIELDSYNC_GATE").ok().and_then(|setting| Self::parse(&setting)) }
    }

    fn parse(setting: &str) -> Option<(Point, AtomicU64)> {
        let (name, count) = setting.split_once(':')?;
        let point = match name {
            "before-commit" => Point::BeforeCommit,
            "after-commit" => Point::AfterCommit,
            _ => return None,
        };
        Some((point, AtomicU64::new(count.parse().ok().filter(|count| *count > 0)?)))
    }

    pub(super) fn pass(&self, point: Point) {
        if let Some((closing, left)) = &self.closing
            && *closing == point
            && left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            std::process::abort();
        }
    }
}
