//! What a decision leaves to tell once it is stored: who waits for an operation, what looks different now, and where the
//! database stands.

use super::state::SyncState;
use crate::model::{OpId, RecordId, Version};
use crate::outbox::{Failure, OutboxRow};

/// How an operation ended, for whoever waits for it.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Applied.
    Applied {
        /// The record's version after it.
        version: Version,
    },
    /// In a conflict.
    Conflict {
        /// The conflict's key.
        conflict: u64,
    },
    /// Parked.
    Rejected(Failure),
    /// Given up by the user, or annulled by a later write: it never reaches the server.
    Discarded,
}

/// What changed, for whoever shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Entity and present ID of every record that looks different now.
    pub changed: Vec<(String, RecordId)>,
    /// Earlier IDs and what they became.
    pub mapped: Vec<(String, RecordId, RecordId)>,
    /// Operations that ended.
    pub settled: Vec<(OpId, Settled)>,
    /// Operations in whose place another stands now.
    pub superseded: Vec<(OpId, OpId)>,
    /// Outbox rows written, by sequence.
    pub queued: Vec<OutboxRow>,
    /// Outbox rows taken away.
    pub ended: Vec<u64>,
    /// How many conflicts were found.
    pub found: u64,
    /// Conflicts found, renewed, ended or purged.
    pub conflicts: Vec<u64>,
    /// Records that could not be read and went into quarantine.
    pub quarantined: u64,
    /// Where the database stands against the server, if that is another now.
    pub sync: Option<Box<SyncState>>,
    /// The sequence of the audit row, if one was written.
    pub seq: Option<u64>,
    /// The sequence that stood before.
    pub after_seq: u64,
}
