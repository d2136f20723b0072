//! Conflicts as the server has them: what it refused because the record had moved on, with the whole operation, so
//! that it outlives the device that wrote it.
//!
//! `conflicts` lists them: a user's own, met by any of his devices, or, for a coordinator, the tenant's.

use serde::{Deserialize, Serialize};

use super::{ConflictKind, Reply, RequestHead, ServerState};
use crate::model::{ClientId, OpId, Operation, RecordId, Version};

/// Asks for conflicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictsRequest {
    /// Head.
    pub head: RequestHead,
    /// Only those over records of this entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Only those over the record of this real ID; needs `entity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// Only those that stand so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Standing>,
    /// Where to go on: the `next` of the answer before. Opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most, 1 to [`super::limits::CONFLICTS_MAX`]; that many where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Whether somebody has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Nobody has decided.
    Open,
    /// An operation that stands in the refused one's place was applied.
    Closed,
}

/// The answer to [`ConflictsRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictsResponse {
    /// Head.
    pub reply: Reply,
    /// The conflicts, in the order in which they were opened.
    pub conflicts: Vec<HeldConflict>,
    /// There are more: where to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A conflict as the server has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldConflict {
    /// Its name.
    pub conflict_id: String,
    /// What stands against what.
    pub kind: ConflictKind,
    /// The entity type.
    pub entity: String,
    /// The record's real ID.
    pub id: RecordId,
    /// The database whose operation was refused.
    pub client: ClientId,
    /// Whose database that is.
    pub user: String,
    /// The last operation that was refused, whole.
    pub operation: Operation,
    /// The server's version that it met.
    pub version: Version,
    /// The record as the server has it now.
    pub server: ServerState,
    /// When it was opened, server time, ms.
    pub opened_at: u64,
    /// The operation that closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<OpId>,
}
