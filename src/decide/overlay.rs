//! The overlay row of a record: what is known of it beyond its base row, from its first operation until a page
//! covers what is left; and the record as the app sees it.

use serde::{Deserialize, Serialize};

use super::rows::{BaseRow, Seen, index_values, row, under};
use super::state::SyncState;
use crate::model::{OpId, Operation, RecordId, Stamp, TempId, Version};
use crate::plan::{Read, Row, Table};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::schema::{Entity, Holding};
use crate::value::{Key, KeyRange, Object};

/// An unfinished operation of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpRef {
    /// Its client sequence.
    pub seq: u64,
    /// Its ID.
    pub id: OpId,
    /// Whether what it does is in the row's base already: a later one was applied, and only its own receipt is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub based: bool,
    /// What the server had of the record when it was written, where the row's base has moved since and it was not judged:
    /// it was sent by then, is parked, waits for a decision before it, or was written over such a one: then it is what its
    /// writer was shown. And of what came with a file, and whatever stands in its place here, always: what was written here
    /// is news to it. And of what was not applied yet when the server was restored. Whoever has one keeps one: once
    /// judged, it is the state that it was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<Object>,
}

impl OpRef {
    /// To an operation that is still to be applied.
    pub(super) fn to(operation: &Operation) -> Self {
        Self { seq: operation.seq, id: operation.id.clone(), based: false, ground: None }
    }
}

/// What is known of a record beyond, or instead of, its base row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OverlayRow {
    /// The entity type.
    pub entity: String,
    /// The ID when the row was made; never changes.
    pub key: RecordId,
    /// The present ID.
    pub id: RecordId,
    /// The server's version that `base` is; none if the server never had it.
    pub version: Option<Version>,
    /// The record as the server has it at `version`; nothing if it has none. After a restore, as the server had it
    /// before ([`super::epoch`]).
    pub base: Option<Object>,
    /// The record as the app sees it: base and pending operations. Nothing: deleted.
    pub view: Option<Object>,
    /// Its unfinished operations, in order.
    pub ops: Vec<OpRef>,
    /// A newer state of the server that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<ServerState>,
    /// When the app last wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// Its open conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<u64>,
    /// Whether one of its operations is parked.
    #[serde(default)]
    pub parked: bool,
}

impl OverlayRow {
    /// The row's key, from the entity and the ID that the record had when it was made.
    pub(super) fn key_of(entity: &str, key: &RecordId) -> Key {
        [entity.into(), key.to_key()].into()
    }
    /// Reads the row by its own key.
    pub(super) fn read(entity: &str, key: &RecordId) -> Read {
        Read::Get(Table::Overlay, Self::key_of(entity, key))
    }
    /// Reads the row by any ID that the record has or had while it was in the overlay.
    pub(super) fn read_by_id(entity: &str, id: &RecordId) -> Read {
        Read::index(Table::Overlay, KeyRange::only([entity.into(), "".into(), id.to_key()].into()))
    }
    /// Reads every row of an entity, each once or twice.
    pub(super) fn read_entity(entity: &str) -> Read {
        Read::index(Table::Overlay, KeyRange::within(vec![entity.into(), "".into()]))
    }
    /// Reads the rows that refer to a record.
    pub(super) fn read_referring(entity: &str, path: &str, to: &RecordId) -> Read {
        Read::index(Table::Overlay, KeyRange::only([entity.into(), path.into(), to.to_key()].into()))
    }
    /// Reads the rows that hold something for themselves.
    pub(super) fn read_holding(entity: &str, holding: &Holding) -> Read {
        Read::index(Table::Overlay, KeyRange::only([entity.into(), holding.name.as_str().into(), holding.values.as_str().into()].into()))
    }
    /// Reads the rows that refer to a record by its temp ID, of whatever release of the app they are.
    pub(super) fn read_naming(temp: &RecordId) -> Read {
        Read::index(Table::Overlay, KeyRange::only(["".into(), "temp".into(), temp.to_key()].into()))
    }
    /// Reads the clean rows whose version is at or below this.
    pub(super) fn read_clean(through: Version) -> Read {
        Read::index(
            Table::Overlay,
            under(vec!["".into(), "clean".into()], KeyRange { lower: None, upper: Some((through.0.into(), false)) }),
        )
    }
    /// A row for a record that is not here yet.
    pub(super) fn fresh(entity: &str, id: RecordId) -> Self {
        Self {
            entity: entity.to_owned(),
            key: id.clone(),
            id,
            version: None,
            base: None,
            view: None,
            ops: Vec::new(),
            waiting: None,
            stamp: None,
            conflict: None,
            parked: false,
        }
    }
    /// A row over a base row.
    pub(super) fn over(entity: &str, base: BaseRow, sync: &SyncState) -> Self {
        let id = base.id.clone();
        let ServerState { version, data, .. } = base.state(sync);
        Self { version: Some(version), base: data.clone(), view: data, ..Self::fresh(entity, id) }
    }
    /// This state of the server, unless the record stands on a newer one: nobody here knows when the server counts that.
    /// But where both sides have nothing, it is one deletion.
    pub(super) fn newest(&self, server: ServerState) -> ServerState {
        match self.version {
            Some(version) if self.stands_newer(&server) => ServerState::plain(version, self.base.clone()),
            Some(version) => ServerState { version: version.max(server.version), ..server },
            None => server,
        }
    }
    /// Whether the record stands on something newer than this state of the server, and something else.
    pub(super) fn stands_newer(&self, server: &ServerState) -> bool {
        self.version > Some(server.version) && (self.base.is_some() || server.data.is_some())
    }
    /// Newer states of the server wait for the outcome of what is under way.
    pub(super) fn meet(&mut self, states: impl IntoIterator<Item = ServerState>) {
        for state in states {
            let known = self.version.max(self.waiting.as_ref().map(|waiting| waiting.version));
            if Some(state.version) > known {
                self.waiting = Some(state);
            }
        }
    }
    /// One of its operations.
    pub(super) fn op(&self, seq: u64) -> Option<&OpRef> {
        self.ops.iter().find(|op| op.seq == seq)
    }
    /// Whether the base holds already what this operation of the record does.
    pub(super) fn has_based(&self, seq: u64) -> bool {
        self.op(seq).is_some_and(|op| op.based)
    }
    /// Whether what this operation was written on is kept with it.
    pub(super) fn has_ground(&self, seq: u64) -> bool {
        self.op(seq).is_some_and(|op| op.ground.is_some())
    }
    /// Whether this one of its operations was written on something else than the base, and nobody has judged it yet.
    pub(super) fn is_unjudged(&self, op: &OpRef) -> bool {
        op.ground.is_some() && op.ground != self.base
    }
    /// What the server had of the record when one of its operations was written.
    pub(super) fn ground_of(&self, seq: u64) -> Option<Object> {
        let kept = self.op(seq).filter(|_| !is(Bug::GroundForgotten)).and_then(|op| op.ground.clone());
        kept.or_else(|| self.base.clone())
    }
    /// Whether both are the row of one record.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.entity == other.entity
    }
    /// Whether nothing is left to do: it only waits until a page covers it.
    pub(super) fn is_clean(&self) -> bool {
        self.ops.is_empty()
    }
    /// Whether the record was given up before the server had it. Its row stays: what refers to it later is refused, and
    /// does not wait for ever.
    fn is_given_up(&self) -> bool {
        self.is_clean() && self.version.is_none() && self.view.is_none() && self.id.as_temp().is_some()
    }
    /// The record's state, as far as it is stored.
    pub(super) fn state(&self) -> RecordState {
        if self.conflict.is_some() {
            RecordState::Conflict
        } else if self.parked {
            RecordState::Parked
        } else if self.ops.is_empty() {
            RecordState::Synced
        } else {
            RecordState::Pending
        }
    }
    /// As a row.
    pub(super) fn row(&self, declared: &Entity) -> Row {
        let mut row = row(Self::key_of(&self.entity, &self.key), self);
        let entity: Key = self.entity.as_str().into();
        row.index.push([entity.clone(), "".into(), self.key.to_key()].into());
        if self.id != self.key {
            row.index.push([entity.clone(), "".into(), self.id.to_key()].into());
        }
        if let Some(view) = &self.view {
            for (name, value) in index_values(declared, view) {
                if matches!(&value, Key::Text(text) if TempId::parse(text).is_some()) {
                    row.index.push(["".into(), "temp".into(), value.clone()].into());
                }
                row.index.push([entity.clone(), name.as_str().into(), value].into());
            }
        }
        if self.is_clean() && !self.is_given_up() {
            row.index.push(["".into(), "clean".into(), self.version.unwrap_or_default().0.into()].into());
        }
        row
    }
}

/// The state of a record: derived from its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// As the server has it.
    Synced,
    /// Operations wait.
    Pending,
    /// A person has to decide.
    Conflict,
    /// An operation is parked.
    Parked,
}

/// A record as a read finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordView {
    /// The present ID.
    pub id: RecordId,
    /// The fields.
    pub data: Object,
    /// The server's version that it stands on.
    pub version: Option<Version>,
    /// Its state.
    pub state: RecordState,
    /// When the app last wrote it, while that is not synced.
    pub stamp: Option<Stamp>,
    /// Its unfinished operations.
    pub ops: Vec<OpRef>,
}

impl From<BaseRow> for RecordView {
    fn from(row: BaseRow) -> Self {
        Self { id: row.id, data: row.data, version: Some(row.version), state: RecordState::Synced, stamp: None, ops: Vec::new() }
    }
}

impl OverlayRow {
    /// The record as the app sees it; nothing if it is deleted.
    pub(super) fn into_view(self) -> Option<RecordView> {
        let state = self.state();
        let stamp = if self.ops.is_empty() { None } else { self.stamp };
        let data = self.view?;
        Some(RecordView { id: self.id, data, version: self.version, state, stamp, ops: self.ops })
    }
}

/// Rows found through an index, each once.
pub(super) fn once(rows: Vec<OverlayRow>) -> Vec<OverlayRow> {
    let mut seen = Seen::default();
    rows.into_iter().filter(|row| seen.insert(&row.entity, &row.key)).collect()
}
