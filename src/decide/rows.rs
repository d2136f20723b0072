//! The rows that decisions read and write, but for the overlay ([`super::overlay`]), with their keys and index entries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::state::SyncState;
use crate::conflict::Conflict;
use crate::integrity::{sum, with_sum};
use crate::model::{ClientId, OpId, RecordId, Version};
use crate::plan::{Read, Row, Table};
use crate::protocol::ServerState;
use crate::schema::Entity;
use crate::value::{Hash, Key, KeyRange, Object, canonical_object, to_text, to_value};

/// Reads the last row of the audit trail: the counter of the database.
pub(super) fn last_audit() -> Read {
    Read::last(Table::Audit)
}

/// The trail's last row about an operation: there is one if it was ever here.
pub(super) fn last_audit_of(operation: &OpId) -> Read {
    let range = KeyRange::only(operation.as_str().into());
    Read::Range { table: Table::Audit, by_index: true, range, limit: Some(1), reverse: true }
}

/// Reads the whole outbox: what is unsent, and what the server applied and has not told to be durable.
pub(super) fn outbox_rows() -> Read {
    Read::range(Table::Outbox, KeyRange::all())
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
    /// Under which layout all its rows were written, or were written again since.
    #[serde(default)]
    pub layout: u32,
    /// Whether every row has a sum: a release with sums made the database, or a repair gave each row one.
    #[serde(default)]
    pub sums: bool,
}

impl Device {
    /// The layout of this release. 2: conflicts have index entries and steps.
    pub const LAYOUT: u32 = 2;
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

/// A counter as it stands in a key; 0 where none does.
pub(super) fn number(key: &Key) -> u64 {
    match key {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter from 1")]
        Key::Number(number) => *number as u64,
        Key::Text(_) | Key::List(_) => 0,
    }
}

/// A plain row, with its sum.
pub(super) fn row(key: Key, content: &impl Serialize) -> Row {
    let text = with_sum(&key.to_value(), &to_value(content));
    Row { key, text, index: Vec::new() }
}

/// A conflict as a row.
pub(super) fn conflict_row(conflict: &Conflict) -> Row {
    Row { index: conflict.entries(), ..row(conflict.id.into(), conflict) }
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
#[allow(clippy::too_many_arguments, reason = "what a row consists of, half of it as text that was made before")]
pub(super) fn base_row(
    generation: u64,
    entity: &str,
    declared: &Entity,
    id: &RecordId,
    version: Version,
    text: &str,
    data: &Object,
    sum: &Hash,
) -> Row {
    let text =
        ["{\"id\":", &to_text(id), ",\"version\":", &to_text(&version), ",\"data\":", text, ",\"sum\":\"", sum.as_str(), "\"}"].concat();
    let values = index_values(declared, data).into_iter();
    let index = values.map(|(name, value)| [generation.into(), entity.into(), name.as_str().into(), value].into()).collect();
    Row { key: BaseRow::key(generation, entity, id), text, index }
}

impl BaseRow {
    /// The sum of a base row. Of its key it has no generation, so that it is made once, whatever that will be.
    pub(super) fn sum(entity: &str, id: &RecordId, version: Version, data: &Object) -> Hash {
        let content = ["{\"data\":", &canonical_object(data), ",\"id\":", &to_text(id), ",\"version\":", &to_text(&version), "}"];
        sum(&json!([entity, id.to_value()]), &content.concat())
    }
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
        let version = if sync.filling.is_some() && sync.checkpoint.is_none() { Version::LOST } else { self.version };
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
        let sum = Self::sum(entity, &self.id, self.version, &self.data);
        base_row(generation, entity, declared, &self.id, self.version, &to_text(&self.data), &self.data, &sum)
    }
}

/// An index range below a fixed beginning.
pub(super) fn under(prefix: Vec<Key>, values: KeyRange) -> KeyRange {
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

/// The entries of a record in the indexes of its entity: at declared paths, and for what no other record shall hold.
pub(super) fn index_values(declared: &Entity, data: &Object) -> Vec<(String, Key)> {
    let document = serde_json::Value::Object(data.clone());
    let mut values = Vec::new();
    for path in declared.index_paths() {
        values.extend(path.values(&document).into_iter().filter_map(Key::of).map(|key| (path.as_str().to_owned(), key)));
    }
    values.extend(declared.holdings(data).into_iter().map(|holding| (holding.name, Key::Text(holding.values))));
    values
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
