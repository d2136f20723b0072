//! Room `outbox`: the life of an operation between the save that wrote it and the end that its audit row
//! tells.
//!
//! ```text
//! pending ──claim: sealed──▶ pending, sealed ──receipt: applied──▶ acknowledged ──durable──▶ settled (gone)
//!                                            ├─receipt: conflict─▶ conflict ──resolved──▶ superseded (gone)
//!                                            └─receipt: rejected─▶ parked
//! ```
//! Only these states are stored. *Syncing* (in flight at the living sender), *blocked* and *failed* are
//! derived, with what is waited for: see [`Queue::standing`]. Blocked and deferred answers, and every
//! failure of the network, leave a row as it is: it is sent again, the same bytes, until there is a receipt.
//!
//! Knows `value`, `model`, `schema` and `relations`.

mod backoff;
mod batch;
mod circle;
mod queue;
mod row;
mod seals;

pub use backoff::{Backoff, BatchSize, Hold};
pub use circle::Circle;
pub use queue::{Item, Queue, Standing};
pub use row::{Failure, OutboxRow, State};
pub use seals::Seals;
