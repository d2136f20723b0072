//! What JavaScript sees of the nouns: the shapes of the public surface.

use serde::Serialize;
use serde_json::Value;

use crate::conflict::{Conflict, ConflictState, FoundBy, Step};
use crate::decide::{Preview, RecordState, RecordView};
use crate::model::{Action, Base, Kind, OpId, Operation, RecordId, TempId, Version};
use crate::outbox::{Item, Standing, State};
use crate::protocol::{ConflictKind, Outcome};
use crate::schema::Fault;
use crate::value::{Delta, Object, to_value};

#[derive(Serialize)]
struct ShownSync {
    version: Option<Version>,
    key: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stamp: Option<u64>,
}

/// A record with its `id` and its `_sync`.
pub(super) fn record(record: RecordView, key: Option<Value>, flying: bool) -> Value {
    let state = match record.state {
        RecordState::Synced => None,
        RecordState::Pending if flying => Some("syncing"),
        RecordState::Pending => Some("pending"),
        RecordState::Conflict => Some("conflict"),
        RecordState::Parked => Some("parked"),
    };
    let stamp = state.and(record.stamp).map(|stamp| stamp.ms);
    let sync = ShownSync { version: record.version, key: key.unwrap_or_else(|| record.id.to_value()), state, stamp };
    let mut fields = record.data;
    fields.insert("id".to_owned(), record.id.to_value());
    fields.insert("_sync".to_owned(), to_value(&sync));
    Value::Object(fields)
}

#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'o> {
    Data(&'o Object),
    Delta(&'o Delta),
    Nothing,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownOperation<'o> {
    id: &'o OpId,
    seq: u64,
    entity: &'o str,
    record_id: &'o RecordId,
    kind: Kind,
    data: Payload<'o>,
    base: &'o Base,
    stamp: u64,
    author: &'o str,
    supersedes: Option<&'o OpId>,
    state: &'o str,
    created_at: u64,
    last_modified: u64,
    version: Option<Version>,
    server_version: Option<Version>,
}

fn shown_operation<'o>(operation: &'o Operation, state: &'o str, server_version: Option<Version>) -> ShownOperation<'o> {
    ShownOperation {
        id: &operation.id,
        seq: operation.seq,
        entity: &operation.entity,
        record_id: &operation.record,
        kind: operation.action.kind(),
        data: payload(operation),
        base: &operation.base,
        stamp: operation.stamp.ms,
        author: &operation.author,
        supersedes: operation.supersedes.as_ref(),
        state,
        created_at: operation.stamp.ms,
        last_modified: operation.stamp.ms,
        version: match operation.base {
            Base::Version(version) => Some(version),
            Base::None | Base::After(_) => None,
        },
        server_version,
    }
}

fn payload(operation: &Operation) -> Payload<'_> {
    match &operation.action {
        Action::Create { data } => Payload::Data(data),
        Action::Update { delta } => Payload::Delta(delta),
        Action::Delete => Payload::Nothing,
    }
}

/// An operation, and the record's version at the server after it, where that is known.
pub(super) fn operation(operation: &Operation, state: &str, server_version: Option<Version>) -> Value {
    to_value(&shown_operation(operation, state, server_version))
}

/// An operation, and what the server said of it.
pub(super) fn outcome(operation: &Operation, outcome: &Outcome) -> Value {
    let (state, version) = match outcome.original() {
        Outcome::Applied { version, .. } => ("applied", Some(*version)),
        Outcome::Conflict { server, .. } => ("conflict", Some(server.version).filter(|version| *version != Version::LOST)),
        Outcome::Rejected { .. } => ("rejected", None),
        Outcome::Blocked { .. } => ("blocked", None),
        Outcome::Deferred { .. } | Outcome::Duplicate { .. } => ("deferred", None),
    };
    self::operation(operation, state, version)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownConflict<'c> {
    id: u64,
    conflict_id: &'c str,
    conflict_type: FoundBy,
    kind: ConflictKind,
    entity: &'c str,
    record_id: &'c RecordId,
    operation: ShownOperation<'c>,
    local_data: &'c Option<Object>,
    server_data: &'c Option<Object>,
    base_data: &'c Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<Version>,
    affected_fields: &'c [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<ShownOther<'c>>,
    detected_at: u64,
    state: ConflictState,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: &'c Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_by: &'c Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved_at: Option<u64>,
    steps: &'c [Step],
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asks: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownOther<'c> {
    id: &'c RecordId,
    data: &'c Option<Object>,
}

#[derive(Serialize)]
struct ShownPreview<'p> {
    id: u64,
    record: &'p Option<Object>,
    operation: Option<SentInPreview<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SentInPreview<'p> {
    entity: &'p str,
    record_id: &'p RecordId,
    kind: Kind,
    data: Payload<'p>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownContent<'o> {
    operation_id: &'o OpId,
    entity: &'o str,
    record_id: &'o RecordId,
    kind: Kind,
    payload: Payload<'o>,
}

/// An operation by what is in it, wherever it stands.
pub(super) fn content(operation: &Operation) -> Value {
    let (operation_id, kind, payload) = (&operation.id, operation.action.kind(), payload(operation));
    to_value(&ShownContent { operation_id, entity: &operation.entity, record_id: &operation.record, kind, payload })
}

/// What the end of a conflict would come to.
pub(super) fn preview(id: u64, operation: Option<&Operation>, preview: &Preview) -> Value {
    let operation = operation.map(|operation| SentInPreview {
        entity: &operation.entity,
        record_id: &operation.record,
        kind: operation.action.kind(),
        data: payload(operation),
    });
    to_value(&ShownPreview { id, record: &preview.record, operation })
}

/// A conflict.
pub(super) fn conflict(conflict: &Conflict) -> Value {
    to_value(&ShownConflict {
        id: conflict.id,
        conflict_id: &conflict.conflict_id,
        conflict_type: conflict.found_by,
        kind: conflict.kind,
        entity: &conflict.entity,
        record_id: &conflict.record,
        operation: shown_operation(&conflict.operation, "conflict", None),
        local_data: &conflict.local,
        server_data: &conflict.server.data,
        base_data: &conflict.base,
        server_version: Some(conflict.server.version).filter(|_| !conflict.is_of_new()),
        affected_fields: &conflict.fields,
        other: conflict.other.as_ref().map(|other| ShownOther { id: &other.id, data: &other.data }),
        detected_at: conflict.detected_at,
        state: conflict.state,
        resolution: &conflict.resolution,
        resolved_by: &conflict.resolved_by,
        resolved_at: conflict.resolved_at,
        steps: &conflict.steps,
        origin: if conflict.met_at_offset_ms.is_some() { "server" } else { "device" },
        asks: conflict.asks.map(|_| "function"),
    })
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reason<'r> {
    code: &'r str,
    message: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict_id: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    waits_for: Vec<String>,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    faults: &'r [Fault],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownItem<'i> {
    seq: u64,
    operation_id: &'i OpId,
    entity: &'i str,
    record_id: &'i RecordId,
    kind: Kind,
    payload: Payload<'i>,
    state: &'i str,
    reason: Reason<'i>,
    attempts: u32,
    lane: &'i Option<String>,
    created_at: u64,
    sealed: bool,
    operation: ShownOperation<'i>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<&'i str>,
}

/// What is known of an item beside what is stored.
pub(super) struct Aside<'a> {
    pub(super) standing: &'a Standing,
    pub(super) sealed: bool,
    pub(super) flying: bool,
    pub(super) attempts: u32,
    pub(super) last: Option<&'a (String, String)>,
}

/// An item of the queue, with its state and the reason why it waits.
pub(super) fn item(item: &Item, shown: &Operation, aside: &Aside<'_>) -> Value {
    let circle;
    let of = |ids: &[OpId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let reason = |code, message| Reason { code, message, ..Reason::default() };
    let behind = || reason("waits_for_operation", "Waits for an earlier operation.");
    let (state, reason) = match (&item.row.state, aside.standing) {
        (State::Parked { failure, .. }, _) => {
            ("parked", Reason { path: failure.path.as_deref(), faults: &failure.faults, ..reason(&failure.code, &failure.message) })
        }
        (State::Conflict { conflict }, _) => {
            let why = reason("conflict", "The server has something that it cannot be applied to; somebody has to decide.");
            ("conflict", Reason { conflict_id: Some(*conflict), ..why })
        }
        (State::Acknowledged { .. }, _) => ("acknowledged", reason("not_durable", "Applied; kept until the server cannot lose it.")),
        (State::Pending, Standing::Ready(_)) if aside.flying => ("syncing", reason("sending", "On its way; the answer is not here yet.")),
        (State::Pending, Standing::Ready(_)) if !item.row.waits_for.is_empty() => {
            let named = &item.row.waits_for;
            let records: Vec<String> = named.iter().filter(|id| TempId::parse(id).is_some()).cloned().collect();
            let why = if records.is_empty() {
                Reason { waits_for: named.clone(), ..behind() }
            } else {
                Reason { waits_for: records, ..reason("waits_for_record", "Waits for a record that the server does not know.") }
            };
            ("blocked", why)
        }
        (State::Pending, Standing::Ready(_) | Standing::Held) => match aside.last {
            Some((code, message)) => ("failed", reason(code, message)),
            None => ("pending", reason("ready", "Goes with the next sync.")),
        },
        (State::Pending, Standing::WaitsForOperations(ids)) => ("blocked", Reason { waits_for: of(ids), ..behind() }),
        (State::Pending, Standing::WaitsForRecords(ids)) => {
            let waits_for = ids.iter().map(ToString::to_string).collect();
            ("blocked", Reason { waits_for, ..reason("waits_for_record", "Refers to a record that was not created yet.") })
        }
        (State::Pending, Standing::InCycle(cycle)) => {
            circle = format!("Records refer to each other in a circle: {}.", cycle.fields.join(", "));
            ("blocked", Reason { waits_for: of(&cycle.operations), ..reason("dependency_cycle", &circle) })
        }
    };
    to_value(&ShownItem {
        seq: shown.seq,
        operation_id: &shown.id,
        entity: &shown.entity,
        record_id: &shown.record,
        kind: shown.action.kind(),
        payload: payload(shown),
        state,
        reason,
        attempts: aside.attempts,
        lane: &shown.lane,
        created_at: item.row.created,
        sealed: aside.sealed,
        operation: shown_operation(shown, state, None),
        damaged: item.row.damaged.as_deref(),
    })
}
