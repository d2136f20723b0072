//! The rows that decisions read and write, with their keys and index entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::state::SyncState;
use crate::model::{ClientId, OpId, Operation, RecordId, Stamp, TempId, Version};
use crate::plan::{Read, Row, Table};
use crate::protocol::ServerState;
use crate::schema::Entity;
use crate::value::{FieldPath, Key, KeyRange, Object, to_text};

/// Reads the last row of the audit trail: the counter of the database.
pub(super) fn last_audit() -> Read {
    Read::last(Table::Audit)
}

/// Who this database belongs to. Written once, when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// This database on this device.
    pub client: ClientId,
    /// Whose.
    pub tenant: String,
    /// Whose.
    pub user: String,
    /// When it was made, ms by the device.
    pub created: u64,
}

impl Device {
    /// Reads it.
    pub fn read() -> Read {
        Read::Get(Table::State, "device".into())
    }
    /// As a row.
    pub fn row(&self) -> Row {
        row("device".into(), self)
    }
}

/// Reads the seals.
pub(super) fn seals() -> Read {
    Read::Get(Table::State, "seals".into())
}

/// The seals as a row.
pub(super) fn seals_row(seals: &crate::outbox::Seals) -> Row {
    row("seals".into(), seals)
}

/// A plain row.
pub(super) fn row(key: Key, content: &impl Serialize) -> Row {
    let text = to_text(content);
    Row { key, text, index: Vec::new() }
}

/// One earlier ID of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRow {
    /// The present ID.
    pub id: RecordId,
    /// When the earlier ID was issued, ms by the device.
    pub created: u64,
    /// When the present one became known, ms by the device.
    pub synced: u64,
}

impl IdRow {
    /// Reads what became of an ID.
    pub fn read(entity: &str, earlier: &RecordId) -> Read {
        Read::Get(Table::Ids, Self::key(entity, earlier))
    }
    /// Its key.
    pub fn key(entity: &str, earlier: &RecordId) -> Key {
        [entity.into(), earlier.to_key()].into()
    }
}

/// A record as the server had it when it was downloaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaseRow {
    /// The real ID.
    pub id: RecordId,
    /// The version.
    pub version: Version,
    /// The fields.
    pub data: Object,
}

/// A base row around fields that are still text. `data` is only looked into for its index entries.
pub(super) fn base_row(
    generation: u64,
    entity: &str,
    declared: &Entity,
    id: &RecordId,
    version: Version,
    text: &str,
    data: &Object,
) -> Row {
    let text = ["{\"id\":", &to_text(id), ",\"version\":", &to_text(&version), ",\"data\":", text, "}"].concat();
    let index =
        index_values(declared, data).map(|(path, value)| [generation.into(), entity.into(), path.as_str().into(), value].into()).collect();
    Row { key: BaseRow::key(generation, entity, id), text, index }
}

impl BaseRow {
    /// Its key.
    pub fn key(generation: u64, entity: &str, id: &RecordId) -> Key {
        [generation.into(), entity.into(), id.to_key()].into()
    }
    /// Reads one.
    pub fn read(generation: u64, entity: &str, id: &RecordId) -> Read {
        Read::Get(Table::Base, Self::key(generation, entity, id))
    }
    /// The server's state that it is. Until a resync after a change of epoch is over, its version is one of the old
    /// lineage, and older than all of the new one.
    pub(super) fn state(self, sync: &SyncState) -> ServerState {
        let version = if sync.filling.is_some() && sync.checkpoint.is_none() { Version(0) } else { self.version };
        ServerState::plain(version, Some(self.data))
    }
    /// Reads those with an index value in this range.
    pub fn read_index(generation: u64, entity: &str, path: &str, values: KeyRange) -> Read {
        Read::index(Table::Base, under(vec![generation.into(), entity.into(), path.into()], values))
    }
    /// Every record of an entity.
    pub fn range(generation: u64, entity: &str) -> KeyRange {
        KeyRange::within(vec![generation.into(), entity.into()])
    }
    /// As a row.
    pub fn row(&self, generation: u64, entity: &str, declared: &Entity) -> Row {
        base_row(generation, entity, declared, &self.id, self.version, &to_text(&self.data), &self.data)
    }
}

/// An index range below a fixed beginning.
fn under(prefix: Vec<Key>, values: KeyRange) -> KeyRange {
    let whole = KeyRange::within(prefix.clone());
    let join = |bound: Option<(Key, bool)>, otherwise: Option<(Key, bool)>| match bound {
        Some((key, open)) => {
            let mut items = prefix.clone();
            items.push(key);
            Some((Key::List(items), open))
        }
        None => otherwise,
    };
    KeyRange { lower: join(values.lower, whole.lower), upper: join(values.upper, whole.upper) }
}

fn index_values<'e>(declared: &'e Entity, data: &Object) -> impl Iterator<Item = (&'e FieldPath, Key)> {
    let document = serde_json::Value::Object(data.clone());
    declared.index_paths().flat_map(move |path| {
        let keys: Vec<Key> = path.values(&document).into_iter().filter_map(Key::of).collect();
        keys.into_iter().map(move |key| (path, key))
    })
}

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
}

impl OpRef {
    /// To an operation that is still to be applied.
    pub(super) fn to(operation: &Operation) -> Self {
        Self { seq: operation.seq, id: operation.id.clone(), based: false }
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
    /// The record as the server has it at `version`; nothing if it has none.
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
    /// This state of the server, unless the record stands on a newer one.
    pub(super) fn newest(&self, server: ServerState) -> ServerState {
        match self.version {
            Some(version) if version > server.version => ServerState { version, data: self.base.clone(), ..server },
            _ => server,
        }
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
    /// Whether the base holds already what this operation of the record does.
    pub(super) fn has_based(&self, seq: u64) -> bool {
        self.ops.iter().any(|op| op.seq == seq && op.based)
    }
    /// Whether both are the row of one record.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.key == other.key && self.entity == other.entity
    }
    /// Whether nothing is left to do: it only waits until a page covers it.
    pub(super) fn is_clean(&self) -> bool {
        self.ops.is_empty()
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
            for (path, value) in index_values(declared, view) {
                if matches!(&value, Key::Text(text) if TempId::parse(text).is_some()) {
                    row.index.push(["".into(), "temp".into(), value.clone()].into());
                }
                row.index.push([entity.clone(), path.as_str().into(), value].into());
            }
        }
        if self.is_clean() {
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

/// A set of records. One kind of set for all of this room: each further kind is code that every page downloads.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn key(entity: &str, id: &RecordId) -> String {
        format!("{entity}/{}", id.to_value())
    }
    /// Adds a record. Says whether it is new.
    pub(super) fn insert(&mut self, entity: &str, id: &RecordId) -> bool {
        self.put(entity, id, 0)
    }
    /// Adds a record with a number. Says whether it is new.
    pub(super) fn put(&mut self, entity: &str, id: &RecordId, number: usize) -> bool {
        self.0.insert(Self::key(entity, id), number).is_none()
    }
    /// The number of a record.
    pub(super) fn get(&self, entity: &str, id: &RecordId) -> Option<usize> {
        self.0.get(&Self::key(entity, id)).copied()
    }
    /// Whether the record is in it.
    pub(super) fn contains(&self, entity: &str, id: &RecordId) -> bool {
        self.get(entity, id).is_some()
    }
}
