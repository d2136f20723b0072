//! A session's nouns: what is wanted of it, its result, and why it stopped early.

use serde::Serialize;
use serde_json::Value;

use super::EngineError;
use crate::model::{Epoch, OpId};
use crate::platform::network::TransportError;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Send what is queued.
    Up,
    /// Fetch what changed.
    Down,
    /// Both.
    Both,
}

impl Direction {
    /// Both of them.
    pub(super) fn with(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// What a session is to bring about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which way.
    pub direction: Direction,
    /// Only the operations of this entity, with the unsent ones that they need, and only its records.
    pub entity: Option<String>,
    /// Only these operations, with the unsent ones that they need; none named means all.
    pub operations: Vec<OpId>,
}

impl Wanted {
    /// All that can be done that way.
    pub fn all(direction: Direction) -> Self {
        Self { direction, entity: None, operations: Vec::new() }
    }
    /// What brings about both. Two different selections are both in the whole.
    pub(super) fn with(&self, other: &Self) -> Self {
        if self == other { self.clone() } else { Self::all(self.direction.with(other.direction)) }
    }
    /// Whether every operation may go.
    pub(super) fn is_whole(&self) -> bool {
        self.entity.is_none() && self.operations.is_empty()
    }
}

/// Why a session did not reach its end. Nothing is lost by it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncError {
    /// `network`, `timeout`, `aborted`, `paused`, `auth_required`, `identity_mismatch`, `forbidden`, `rate_limited`, `too_large`,
    /// `invalid_request`, `server`, `upgrade_required`, `epoch_changed`, `checkpoint_expired`, `protocol`, or that of the store.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether it goes on by itself later.
    pub retryable: bool,
    /// How long the server wants to be left alone, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Of a page that is not as it was hashed, which: `{entity, checkpoint}`, what the download was of and behind where it lay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Value>>,
    /// The lineage that a request named, and the one of its answer.
    #[serde(skip)]
    pub(super) lineage: Option<Box<(Epoch, Epoch)>>,
    /// What the server says of an audit trail that it did not take.
    #[serde(skip)]
    pub(super) refused: Option<Value>,
}

impl SyncError {
    /// One with a code of ours.
    pub(super) fn new(code: &str, message: &str, retryable: bool) -> Self {
        Self {
            code: code.to_owned(),
            message: message.to_owned(),
            retryable,
            retry_after_ms: None,
            details: None,
            lineage: None,
            refused: None,
        }
    }
    /// Another context was faster: nothing was lost, and looking again helps.
    pub(super) fn overtaken() -> Self {
        Self::new("aborted", "another context went on from here", true)
    }
    /// The server has another history than the one that this database knows.
    pub(super) fn epoch_changed(asked: Option<&Epoch>, answered: &Epoch) -> Self {
        let lineage = asked.map(|asked| Box::new((asked.clone(), answered.clone())));
        Self { lineage, ..Self::new("epoch_changed", "the server has another history now", true) }
    }
    /// The session was stopped by whoever started it.
    pub(super) fn aborted() -> Self {
        Self::new("aborted", "the session was stopped", false)
    }
}

impl From<EngineError> for SyncError {
    fn from(error: EngineError) -> Self {
        Self::new(error.code, &error.message, error.retryable)
    }
}

impl From<TransportError> for SyncError {
    fn from(error: TransportError) -> Self {
        let message = error.to_string();
        match error {
            TransportError::Network(_) | TransportError::NotOurs { .. } => Self::new("network", &message, true),
            TransportError::Garbled => Self::new("garbled", &message, true),
            TransportError::Timeout => Self::new("timeout", &message, true),
            TransportError::Refused { status, fault, retry_after_ms } => {
                let (code, retryable) = match status {
                    401 => ("auth_required", false),
                    403 if fault.code == "identity_mismatch" => ("identity_mismatch", false),
                    403 => ("forbidden", false),
                    404 | 405 | 426 => ("upgrade_required", false),
                    409 => ("epoch_changed", true),
                    410 => ("checkpoint_expired", false),
                    413 => ("too_large", false),
                    408 | 425 => ("timeout", true),
                    // A server with another key: what it cannot read, it can give anew.
                    422 if fault.code == "invalid_checkpoint" => ("checkpoint_expired", false),
                    // Without a fault of ours in it, it may be anybody's on the way.
                    400 | 415 | 422 if fault.code.is_empty() => ("network", true),
                    422 if fault.code == "audit_refused" => ("audit_refused", false),
                    400 | 415 | 422 => ("invalid_request", false),
                    429 => ("rate_limited", true),
                    500..=599 => ("server", true),
                    _ => ("protocol", false),
                };
                let refused = fault.details.filter(|_| code == "audit_refused");
                Self { code: code.to_owned(), message, retryable, retry_after_ms, details: None, lineage: None, refused }
            }
        }
    }
}

/// What a session did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncResult {
    /// Whether nothing failed; conflicts are no failure.
    pub success: bool,
    /// Operations applied.
    pub synced: u64,
    /// Operations that the server refused for good.
    pub failed: u64,
    /// Conflicts found.
    pub conflicts: u64,
    /// Of the operations sent those that met one.
    #[serde(skip)]
    pub met: u64,
    /// Its batches: how many, and how long it took to build, send and apply them, ms.
    #[serde(skip)]
    pub batches: [u64; 4],
    /// Records downloaded.
    pub downloaded: u64,
    /// Records that could not be read and went into quarantine.
    pub quarantined: u64,
    /// The operations that were sent, with what became of them.
    pub operations: Vec<Value>,
    /// What became of each: `offlineId`, `serverId`, `status` (`success`, `conflict`, `failed`), `message`.
    pub results: Vec<Value>,
    /// Temp IDs whose real ones became known.
    pub id_mappings: Vec<Value>,
    /// The entity, if only one was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity_type: Option<String>,
    /// Why it stopped early.
    pub errors: Vec<SyncError>,
    /// From the first step to the last, ms.
    pub duration: u64,
    /// When it began, ms by the device.
    pub started: u64,
    /// Which way.
    pub direction: Direction,
}
