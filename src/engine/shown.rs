//! What JavaScript sees of the nouns: the shapes of the public surface.

use serde_json::{Value, json};

use crate::conflict::{Conflict, ConflictState};
use crate::decide::{RecordState, RecordView};
use crate::model::{Action, Base, Operation, RecordId};
use crate::outbox::{Item, Standing, State};

/// A record with its `id` and its `_sync`.
pub(super) fn record(record: RecordView, key: Option<RecordId>, flying: bool) -> Value {
    let mut sync = json!({"version": record.version, "key": key.unwrap_or_else(|| record.id.clone())});
    if record.state != RecordState::Synced {
        sync["state"] = if flying && record.state == RecordState::Pending { json!("syncing") } else { json!(record.state) };
        sync["stamp"] = json!(record.stamp.map(|stamp| stamp.ms));
    }
    let mut fields = record.data;
    fields.insert("id".to_owned(), record.id.to_value());
    fields.insert("_sync".to_owned(), sync);
    Value::Object(fields)
}

/// An operation.
pub(super) fn operation(operation: &Operation, state: &str) -> Value {
    let data = match &operation.action {
        Action::Create { data } => json!(data),
        Action::Update { delta } => json!(delta),
        Action::Delete => Value::Null,
    };
    let version = match &operation.base {
        Base::Version(version) => Some(version),
        Base::None | Base::After(_) => None,
    };
    json!({
        "id": operation.id, "seq": operation.seq, "entity": operation.entity, "recordId": operation.record,
        "kind": operation.action.kind(), "data": data, "base": operation.base, "stamp": operation.stamp.ms, "author": operation.author,
        "supersedes": operation.supersedes, "state": state, "createdAt": operation.stamp.ms, "lastModified": operation.stamp.ms,
        "version": version, "serverVersion": null,
    })
}

/// A conflict.
pub(super) fn conflict(conflict: &Conflict) -> Value {
    let state = match conflict.state {
        ConflictState::Open => "open",
        ConflictState::Resolved => "resolved",
    };
    json!({
        "id": conflict.id, "conflictId": conflict.conflict_id, "conflictType": "version", "kind": conflict.kind,
        "entity": conflict.entity, "recordId": conflict.record, "operation": operation(&conflict.operation, "conflict"),
        "localData": conflict.local, "serverData": conflict.server.data, "baseData": conflict.base, "serverVersion": conflict.server.version,
        "affectedFields": conflict.fields, "detectedAt": conflict.detected_at, "state": state,
        "resolution": conflict.resolution, "resolvedBy": conflict.resolved_by, "resolvedAt": conflict.resolved_at,
    })
}

/// An item of the queue, with its state and the reason why it waits.
pub(super) fn item(item: &Item, standing: &Standing, sealed: bool, flying: bool, attempts: u32, last: Option<&(String, String)>) -> Value {
    let (state, reason) = match (&item.row.state, standing) {
        (State::Parked { failure }, _) => ("parked", json!({"code": failure.code, "message": failure.message, "path": failure.path})),
        (State::Conflict { conflict }, _) => (
            "conflict",
            json!({"code": "conflict", "message": "Both sides changed this record; somebody has to decide", "conflictId": conflict}),
        ),
        (State::Acknowledged { .. }, _) => {
            ("acknowledged", json!({"code": "not_durable", "message": "Applied; kept until the server cannot lose it"}))
        }
        (State::Pending, Standing::Ready(_)) if flying => ("syncing", Value::Null),
        (State::Pending, Standing::Ready(_) | Standing::Held) => match last {
            Some((code, message)) => ("failed", json!({"code": code, "message": message})),
            None => ("pending", Value::Null),
        },
        (State::Pending, Standing::WaitsForOperations(ids)) => {
            ("blocked", json!({"code": "waits_for_operation", "message": "Waits for an earlier operation", "waitsFor": ids}))
        }
        (State::Pending, Standing::WaitsForRecords(ids)) => {
            ("blocked", json!({"code": "waits_for_record", "message": "Refers to a record that was not created yet", "waitsFor": ids}))
        }
        (State::Pending, Standing::InCycle(cycle)) => (
            "blocked",
            json!({"code": "dependency_cycle", "message": format!("Records refer to each other in a circle: {}", cycle.fields.join(", ")), "waitsFor": cycle.operations}),
        ),
    };
    let shown = operation(&item.operation, state);
    json!({
        "seq": item.operation.seq, "operationId": item.operation.id, "entity": item.operation.entity, "recordId": item.operation.record,
        "kind": item.operation.action.kind(), "payload": shown["data"], "state": state, "reason": reason, "attempts": attempts,
        "lane": item.operation.lane, "createdAt": item.row.created, "sealed": sealed, "operation": shown,
    })
}
