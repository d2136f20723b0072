//! Conflicts as the server has them: what it refused because the record had moved on, with the whole operation, so
//! that it outlives the device that wrote it.
//!
//! `conflicts` lists them: a user's own, met by any of his devices, or, for a coordinator, the tenant's.
//! `resolve-conflict` ends one from anywhere: the server writes the operation that stands in the refused one's place,
//! judges it like any other, and keeps its receipt.

use serde::{Deserialize, Serialize};

use super::{ConflictKind, Outcome, Reply, RequestHead, ServerState};
use crate::model::{ClientId, OpId, Operation, RecordId, Version};
use crate::value::Object;

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
    /// If it is deleted, what it was before, as long as that is kept: with it the refused change is a whole record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Object>,
    /// Server time minus device time when it was refused, as that device measured it: with it the operation's stamps
    /// are compared.
    #[serde(default)]
    pub offset_ms: i64,
    /// When it was opened, server time, ms.
    pub opened_at: u64,
    /// The operation that closed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<OpId>,
}

/// Ends a conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveConflictRequest {
    /// Head.
    pub head: RequestHead,
    /// Which conflict.
    pub conflict_id: String,
    /// A new UUIDv7: the ID of the operation that the server writes. The same request under the same ID is the same
    /// decision, however often it is sent.
    pub operation: OpId,
    /// The version of the record that was decided on.
    pub expected_version: Version,
    /// How it ends.
    pub resolution: Choice,
    /// With [`Choice::Merge`]: exactly these fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Object>,
    /// For people, kept in the audit chain; at most [`super::limits::REASON_BYTES_MAX`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a conflict ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// The record stays as it is.
    ServerWins,
    /// What was refused is done to the record as it is now, field by field.
    ClientWins,
    /// As [`Self::ClientWins`], but for fields that have a later stamp at the server.
    LastWriteWins,
    /// Exactly the fields that are given; without any as [`Self::LastWriteWins`].
    Merge,
}

/// The answer to [`ResolveConflictRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveConflictResponse {
    /// Head.
    pub reply: Reply,
    /// What became of the decision.
    pub outcome: Decided,
    /// The record as the server has it now.
    pub record: ServerState,
}

/// What became of a decision.
///
/// On the wire an object with `status`: that of an [`Outcome`], `stale` or `closed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Decided {
    /// The server's word on the operation that it wrote.
    Judged(Outcome),
    /// No operation was written, and nothing is remembered.
    Unjudged(Unjudged),
}

/// Why no operation was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Unjudged {
    /// The record is not the one that was decided on: look at it, and decide again.
    Stale,
    /// The conflict is closed.
    Closed {
        /// The operation that closed it.
        closed_by: OpId,
    },
}
