//! Upload: a batch of operations up, exactly one result for each back.
//!
//! The server applies a batch in one SQL transaction with a savepoint per operation, in the order given.
//! Applied, conflict and rejected are final: they are stored as receipts, and the same operation sent
//! again gets the same answer as `duplicate`. Blocked and deferred are not stored: send it again later.

use serde::{Deserialize, Serialize};

use super::{Reply, RequestHead};
use crate::model::{OpId, RecordId, Stamp, Version};
use crate::schema::Fault;
use crate::value::{Object, Sorted};

/// A batch. Its operations may be anything that passes their bytes on: what was sealed is not parsed and written again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadRequest<O> {
    /// Head.
    pub head: RequestHead,
    /// Each an [`crate::model::Operation`], dependencies first.
    pub operations: Vec<O>,
    /// The real IDs that creates among them had in an earlier epoch. The server gives them again where they are free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
    /// Where operations among them stand that follow one of which the server may know nothing any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands: Vec<Stand>,
}

/// The version that an operation stands on: what it follows took effect or was replaced, and the server waits for it
/// all the same, because it was restored to a time before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    /// The operation.
    pub operation: OpId,
    /// The version of the record that its client knows.
    pub version: Version,
}

/// The real ID that a create led to before the server lost it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Former {
    /// The create.
    pub operation: OpId,
    /// The ID that the record has at this client.
    pub id: RecordId,
}

/// The answer to [`UploadRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadResponse {
    /// Head.
    pub reply: Reply,
    /// One for each operation, in the order of the request.
    pub results: Vec<OperationResult>,
}

/// What became of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationResult {
    /// Which.
    pub operation: OpId,
    /// What.
    pub outcome: Outcome,
}

/// The server's word on one operation.
///
/// On the wire an object with `status` and, beside it, the fields of that status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "OutcomeWire", into = "OutcomeWire")]
pub enum Outcome {
    /// It took effect.
    Applied {
        /// The record's real ID.
        real_id: RecordId,
        /// The record's version after it.
        version: Version,
        /// Its effective stamp, by the server's clock.
        stamp: Stamp,
        /// Of what found that what it wants is so already: the later version that it is durable with. In a group, where
        /// others changed something, the first that they left.
        rests_on: Option<Version>,
    },
    /// It took no effect, because the record is not what the operation was written on.
    Conflict {
        /// The server's name for the conflict.
        conflict_id: String,
        /// What stands against what.
        kind: ConflictKind,
        /// The record's real ID: a create can be in conflict with one that was sent in its place from elsewhere.
        real_id: Option<RecordId>,
        /// The record as the server has it.
        server: ServerState,
        /// Whether what the operation does to counts and lists was done already, by another one in the place of the same
        /// operation: it must not be done once more.
        done: bool,
        /// Of [`ConflictKind::Constraint`]: which, and the other record.
        constraint: Option<Box<Broken>>,
    },
    /// It can never take effect as it is.
    Rejected {
        /// Why.
        error: Rejection,
    },
    /// It waits for another operation that the server has not applied.
    Blocked {
        /// Temp IDs and operation IDs that are not there yet.
        waits_for: Vec<String>,
    },
    /// Not now; send it again later.
    Deferred {
        /// After how long, in ms.
        retry_after_ms: u64,
    },
    /// It was answered before; this is that answer.
    Duplicate {
        /// The final outcome as first given.
        original: Box<Outcome>,
    },
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Applied,
    Conflict,
    Rejected,
    Blocked,
    Deferred,
    Duplicate,
}

/// Written out instead of a tagged enum: serde reads those through a buffer of its own, which is much code.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutcomeWire {
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    real_id: Option<RecordId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stamp: Option<Stamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rests_on: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflict_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<ConflictKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<ServerState>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    done: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    constraint: Option<Box<Broken>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Rejection>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waits_for: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<Box<OutcomeWire>>,
}

impl From<Outcome> for OutcomeWire {
    fn from(outcome: Outcome) -> Self {
        let mut wire = Self {
            status: Status::Duplicate,
            real_id: None,
            version: None,
            stamp: None,
            rests_on: None,
            conflict_id: None,
            kind: None,
            server: None,
            done: false,
            constraint: None,
            error: None,
            waits_for: None,
            retry_after_ms: None,
            original: None,
        };
        match outcome {
            Outcome::Applied { real_id, version, stamp, rests_on } => {
                wire.status = Status::Applied;
                (wire.real_id, wire.version, wire.stamp, wire.rests_on) = (Some(real_id), Some(version), Some(stamp), rests_on);
            }
            Outcome::Conflict { conflict_id, kind, real_id, server, done, constraint } => {
                (wire.status, wire.done, wire.constraint) = (Status::Conflict, done, constraint);
                (wire.conflict_id, wire.kind, wire.real_id, wire.server) = (Some(conflict_id), Some(kind), real_id, Some(server));
            }
            Outcome::Rejected { error } => (wire.status, wire.error) = (Status::Rejected, Some(error)),
            Outcome::Blocked { waits_for } => (wire.status, wire.waits_for) = (Status::Blocked, Some(waits_for)),
            Outcome::Deferred { retry_after_ms } => (wire.status, wire.retry_after_ms) = (Status::Deferred, Some(retry_after_ms)),
            Outcome::Duplicate { original } => wire.original = Some(Box::new((*original).into())),
        }
        wire
    }
}

impl TryFrom<OutcomeWire> for Outcome {
    type Error = &'static str;
    fn try_from(wire: OutcomeWire) -> Result<Self, Self::Error> {
        const MISSING: &str = "an outcome lacks a field of its status";
        Ok(match wire.status {
            Status::Applied => Self::Applied {
                real_id: wire.real_id.ok_or(MISSING)?,
                version: wire.version.ok_or(MISSING)?,
                stamp: wire.stamp.ok_or(MISSING)?,
                rests_on: wire.rests_on,
            },
            Status::Conflict => Self::Conflict {
                conflict_id: wire.conflict_id.ok_or(MISSING)?,
                kind: wire.kind.ok_or(MISSING)?,
                real_id: wire.real_id,
                server: wire.server.ok_or(MISSING)?,
                done: wire.done,
                constraint: wire.constraint,
            },
            Status::Rejected => Self::Rejected { error: wire.error.ok_or(MISSING)? },
            Status::Blocked => Self::Blocked { waits_for: wire.waits_for.ok_or(MISSING)? },
            Status::Deferred => Self::Deferred { retry_after_ms: wire.retry_after_ms.ok_or(MISSING)? },
            Status::Duplicate => Self::Duplicate { original: Box::new((*wire.original.ok_or(MISSING)?).try_into()?) },
        })
    }
}

impl Outcome {
    /// The outcome itself, also where it is repeated.
    pub fn original(&self) -> &Self {
        match self {
            Self::Duplicate { original } => original,
            Self::Applied { .. } | Self::Conflict { .. } | Self::Rejected { .. } | Self::Blocked { .. } | Self::Deferred { .. } => self,
        }
    }
    /// Of what is applied, the version that it is durable with.
    pub fn rests_on(&self) -> Option<Version> {
        match self.original() {
            Self::Applied { version, rests_on, .. } => Some(rests_on.unwrap_or(*version)),
            _ => None,
        }
    }
    /// Whether the server remembers it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Applied { .. } | Self::Conflict { .. } | Self::Rejected { .. })
    }
}

/// What stands against what: the client's side first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictKind {
    /// Both changed it.
    UpdateUpdate,
    /// Changed here, deleted there.
    UpdateDelete,
    /// Deleted here, changed there.
    DeleteUpdate,
    /// A constraint over several records.
    Constraint,
}

/// A constraint that an operation would have broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broken {
    /// The paths of the constraint, as declared.
    pub fields: Vec<String>,
    /// The record that has these values.
    pub id: RecordId,
    /// Its version: whoever has downloaded that far knows what became of it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Its fields; nothing where the user may not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Object>,
}

/// A record as the server has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerState {
    /// Its version.
    pub version: Version,
    /// Its fields; nothing if it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Object>,
    /// The effective stamp of its creation or deletion: that of every field without one of its own.
    pub stamp: Stamp,
    /// The effective stamps of top-level fields that changed since.
    #[serde(default, skip_serializing_if = "Sorted::is_empty")]
    pub field_stamps: Sorted<String, Stamp>,
}

impl ServerState {
    /// A state of which nobody here knows when it was written: whatever is written on it is later.
    pub fn plain(version: Version, data: Option<Object>) -> Self {
        Self { version, data, stamp: Stamp::default(), field_stamps: Sorted::new() }
    }
    /// Whether it is known when it was written.
    pub fn is_dated(&self) -> bool {
        self.stamp != Stamp::default() || !self.field_stamps.is_empty()
    }
    /// The effective stamp of a top-level field.
    pub fn stamp_of(&self, field: &str) -> Stamp {
        self.field_stamps.get(field).copied().unwrap_or(self.stamp)
    }
    /// The effective stamp of the last change to any field.
    pub fn last_stamp(&self) -> Stamp {
        self.field_stamps.values().copied().fold(self.stamp, Stamp::max)
    }
}

/// Why an operation can never take effect as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Stable: `unknown_entity`, `unknown_record`, `invalid_value`, `invalid_reference`, `reference_missing`,
    /// `reference_deleted`, `has_dependents`, `already_exists`, `too_large`, `forbidden`, `operation_reused`,
    /// `dependency_failed`, `invalid_operation`, `invalid_record`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Every field that is not as the schema declares it, of `invalid_record`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_wire_form_of_every_outcome_is_fixed() {
        let forms = [
            json!({"status": "applied", "realId": 7, "version": "12", "stamp": [1, 0]}),
            json!({"status": "applied", "realId": 7, "version": "12", "stamp": [1, 0], "restsOn": "15"}),
            json!({"status": "conflict", "conflictId": "c", "kind": "update-delete", "realId": 7, "server": {"version": "3", "stamp": [1, 0]}}),
            json!({"status": "conflict", "conflictId": "c", "kind": "update-delete", "server": {"version": "3", "stamp": [1, 0]}}),
            json!({"status": "conflict", "conflictId": "c", "kind": "update-update", "server": {"version": "3", "stamp": [1, 0]}, "done": true}),
            json!({"status": "conflict", "conflictId": "c", "kind": "constraint", "server": {"version": "0", "stamp": [0, 0]},
                "constraint": {"fields": ["email"], "id": 7, "data": {"email": "a@b"}}}),
            json!({"status": "rejected", "error": {"code": "reference_missing", "message": "no such client", "path": "clientId"}}),
            json!({"status": "blocked", "waitsFor": ["temp_1_a_pet"]}),
            json!({"status": "deferred", "retryAfterMs": 500}),
            json!({"status": "duplicate", "original": {"status": "applied", "realId": "x", "version": "1", "stamp": [1, 0]}}),
        ];
        for form in forms {
            let outcome: Outcome = serde_json::from_value(form.clone()).expect("reads");
            assert_eq!(serde_json::to_value(&outcome).expect("writes"), form);
        }
    }
}
