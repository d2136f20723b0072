//! What the engine tells. Events are queued here and delivered after the call that caused them has returned:
//! a listener may call the engine again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::RecordId;

/// Above so many records an announcement names only the entity.
const IDS_NAMED_MAX: usize = 256;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The status is another.
    Status {
        /// As `status()` returns it.
        status: Value,
    },
    /// A session has come further.
    Progress {
        /// `initialize`, `upload`, `download` or `finalize`.
        phase: &'static str,
        /// Operations or records done in this phase.
        done: u64,
        /// Of so many, as far as is known.
        total: u64,
        /// Bytes moved in this phase.
        bytes: u64,
    },
    /// Records look different.
    Change {
        /// The entity type.
        entity: String,
        /// Which; absent when they are many.
        #[serde(skip_serializing_if = "Option::is_none")]
        ids: Option<Vec<RecordId>>,
        /// `local`, `sync` or `elsewhere`.
        source: &'static str,
    },
    /// The outbox is another.
    Queue,
    /// A conflict was found, has ended, or something was written on its record meanwhile.
    Conflict {
        /// Its key.
        id: u64,
    },
    /// A function of the app was late, failed, or answered what it may not: nothing of what it was asked about is in here.
    Warning {
        /// What was wrong with it.
        code: &'static str,
        /// The entity that it is for.
        entity: String,
        /// The conflict that it was asked about, where it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        conflict_id: Option<u64>,
        /// The record that it was asked about, where it was one.
        #[serde(skip_serializing_if = "Option::is_none")]
        record_id: Option<RecordId>,
    },
    /// Somebody should look, or need not any more.
    Alert {
        /// Which.
        code: String,
        /// Since when it holds, ms by the device.
        since: u64,
        /// What was seen.
        value: f64,
        /// What would be in order.
        limit: f64,
        /// It holds no more.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        over: bool,
    },
    /// The server did not take the audit trail: it has another one, or a part of it is missing or not in order.
    Audit {
        /// `audit_refused`.
        code: &'static str,
        /// `gap`, `fork`, `broken`, or why the request was refused as a whole.
        reason: Value,
        /// The row.
        number: Value,
    },
    /// A session has ended.
    Session {
        /// As `sync()` returns it.
        result: Value,
    },
    /// Another tab opened a newer version, or the storage was cleared: this context must be reloaded.
    Outdated,
}

/// What one context tells the others: IDs only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Announcement {
    /// Changed records by entity; `None` when they are many.
    pub(super) changed: Vec<(String, Option<Vec<RecordId>>)>,
    /// Entity, earlier ID, present ID.
    pub(super) mapped: Vec<(String, RecordId, RecordId)>,
    /// Conflicts found or ended.
    pub(super) conflicts: Vec<u64>,
    /// Whether the outbox changed.
    pub(super) queue: bool,
    /// About the sender's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sender: Option<Sender>,
}

/// A word about the sender's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Sender {
    /// Somebody waits for it: does its holder live?
    Asked,
    /// It does.
    Lives,
}

/// Changed records by entity.
pub(super) fn by_entity(changed: &[(String, RecordId)]) -> Vec<(String, Option<Vec<RecordId>>)> {
    let mut entities: Vec<(String, Option<Vec<RecordId>>)> = Vec::new();
    for (entity, id) in changed {
        let at = entities.iter().position(|(known, _)| known == entity).unwrap_or_else(|| {
            entities.push((entity.clone(), Some(Vec::new())));
            entities.len() - 1
        });
        let ids = &mut entities[at].1;
        match ids {
            Some(named) if named.len() == IDS_NAMED_MAX && !named.contains(id) => *ids = None,
            Some(named) if !named.contains(id) => named.push(id.clone()),
            Some(_) | None => {}
        }
    }
    entities
}
