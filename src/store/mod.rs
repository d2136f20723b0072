//! Room `store`: where rows are kept. One trait, a memory store for tests and other seams, the IndexedDB
//! store of the browser, and one suite of contract tests that all of them pass.
//!
//! Knows `plan`, `query`, `schema` and `model`; what a row means is nothing to it. `store/indexeddb` is the
//! only place that knows rexie.

#[cfg(any(test, feature = "testing"))]
pub mod contract;
#[cfg(all(target_arch = "wasm32", feature = "browser"))]
pub mod indexeddb;
pub mod memory;

use crate::plan::Plan;

/// What must have happened before a commit is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// The system has it: enough for what can be downloaded again.
    Relaxed,
    /// The disk has it, as far as the browser can know.
    Strict,
}

/// What a store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Read-write transactions committed.
    pub commits: u64,
    /// Plans that ran in them; more than commits where overlapping ones shared a commit.
    pub plans: u64,
    /// Read transactions.
    pub reads: u64,
    /// Rows written or deleted.
    pub writes: u64,
}

/// Why a transaction did not commit. Nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The browser has no room left.
    #[error("the storage is full")]
    Full,
    /// The database cannot be opened or used at all.
    #[error("the storage is unavailable: {reason}")]
    Unavailable {
        /// The browser's name for it.
        reason: String,
    },
    /// The database did not open in time. A browser says why only to the request whose turn it is, and not to those that
    /// queue behind it.
    #[error("the database did not open within 15 seconds: most likely another tab of this app keeps it; close the other tabs")]
    Blocked,
    /// The browser undid the transaction.
    #[error("the transaction was undone: {reason}")]
    Aborted {
        /// The browser's name for it.
        reason: String,
    },
    /// Another tab opened a newer layout, or the storage was cleared under us; this context must be reloaded.
    #[error("this database was replaced, by a newer version of the app or by clearing the storage; reload")]
    Outdated,
    /// The store was closed.
    #[error("the database is closed")]
    Closed,
    /// A plan did not come to an end within its rounds, or wanted to write where it may only read.
    #[error("a plan broke its contract: {reason}")]
    Contract {
        /// How.
        reason: &'static str,
    },
}

impl StoreError {
    /// The stable code that JavaScript sees.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full => "storage_full",
            Self::Unavailable { .. } => "storage_unavailable",
            Self::Blocked => "storage_blocked",
            Self::Aborted { .. } => "storage_aborted",
            Self::Outdated => "outdated",
            Self::Closed => "closed",
            Self::Contract { .. } => "storage_contract",
        }
    }
    /// Whether the same call can succeed later, unchanged.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Aborted { .. } | Self::Blocked)
    }
}

/// A place for rows, shared by all tabs and workers of one database.
///
/// Transactions of all contexts are serialisable: each plan sees the rows as if no other ran. A commit is
/// reported only after it is as durable as was asked, and what is reported as failed has left no trace.
#[allow(async_fn_in_trait, reason = "the engine is single-threaded on every target")]
pub trait Store: 'static {
    /// Runs a plan and commits what it wants written. Waiting plans may share one commit; each still sees
    /// the rows as its predecessor left them, and if the commit fails each runs again alone.
    async fn transact<P: Plan>(&self, durability: Durability, plan: P) -> Result<P::Out, StoreError>;
    /// Runs a plan that only reads, on one unchanging picture of the rows.
    async fn read<P: Plan>(&self, plan: P) -> Result<P::Out, StoreError>;
    /// What was done so far.
    fn counts(&self) -> Counts;
    /// Lets the database go. Everything after is [`StoreError::Closed`].
    fn close(&self);
}
