//! A look at one stored row, as a check takes it: the row is held against its sum, against its key and its index entries, and
//! against the rows that must be there with it.

use serde_json::Value;

use super::audit::rows_about;
use super::cache::{Cache, Run, each, readable};
use super::overlay::OverlayRow;
use super::rows::{BaseRow, Device, IdRow, number};
use super::state::SyncState;
use crate::audit::{self, Event};
use crate::conflict::Conflict;
use crate::integrity::{Fault, Proof, Wrong, judge};
use crate::model::{Base, Operation, RecordId};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Row, Table};
use crate::schema::{Entity, Schema};
use crate::value::{Key, KeyRange, from_text, from_value, hash_bytes};

/// Mappings of a chain that are followed: each is a round of reading.
const HOPS_MAX: usize = 4;

/// What is known around the rows of a part.
pub(super) struct Around<'c> {
    pub(super) schema: &'c Schema,
    pub(super) table: Table,
    /// Where the database stands; nothing if that cannot be read.
    pub(super) sync: Option<SyncState>,
    /// The last client sequence.
    pub(super) last: u64,
    /// Whose database it is; nothing if that cannot be read.
    pub(super) device: Option<Device>,
}

/// What a look at one row found.
pub(super) struct Found {
    pub(super) unhashed: bool,
    pub(super) wrong: Option<Wrong>,
}

impl Around<'_> {
    /// What is wrong with a row, as it is told.
    pub(super) fn fault(&self, key: &Key, wrong: Wrong) -> Fault {
        let about = named(self.table, key).map(|(entity, id)| (entity, id.to_value()));
        Fault::new(wrong, self.table.name(), about, key.to_value())
    }

    /// Looks at one row.
    pub(super) fn look(&self, db: &mut Cache, row: &Row) -> Run<Found> {
        let mut unhashed = false;
        let content = match from_text::<Value>(&row.text) {
            Ok(Value::Object(mut content)) if self.table != Table::Audit => {
                match judge(&place(self.table, &row.key), &mut content) {
                    Proof::Bad => return Ok(Found { unhashed, wrong: Some(Wrong::Hash) }),
                    Proof::Missing if self.device.as_ref().is_some_and(|device| device.sums) => {
                        return Ok(Found { unhashed, wrong: Some(Wrong::Hash) });
                    }
                    Proof::Missing => unhashed = true,
                    Proof::Good => {}
                }
                Value::Object(content)
            }
            Ok(content) => content,
            Err(_) => return Ok(Found { unhashed, wrong: Some(Wrong::Unreadable) }),
        };
        let wrong = match self.table {
            Table::Base => self.base(row, &content),
            Table::Overlay => self.overlay(db, row, &content)?,
            Table::Outbox => self.outbox(db, row, &content)?,
            Table::Audit => Self::audit(row, &content),
            Table::Ids => Self::ids(db, row, &content)?,
            Table::Conflicts => Self::conflict(row, &content),
            Table::State => Self::state(db, row, &content)?,
            Table::Sessions | Table::Quarantine => Wrong::Unreadable.when(!content.is_object()),
        };
        Ok(Found { unhashed, wrong })
    }

    fn base(&self, row: &Row, content: &Value) -> Option<Wrong> {
        let Ok(stored) = from_value::<BaseRow>(content) else { return Some(Wrong::Unreadable) };
        let Some((generation, (entity, id))) = first(&row.key).zip(named(Table::Base, &row.key)) else { return Some(Wrong::Key) };
        if stored.id.to_key() != *id {
            return Some(Wrong::Key);
        }
        let Some(sync) = &self.sync else { return None };
        let filling = sync.filling.as_ref().is_some_and(|filling| filling.generation == number(generation));
        if !filling && sync.generation != number(generation) {
            return Some(Wrong::Stray);
        }
        let expected = stored.row(number(generation), entity, self.schema.entity(entity)?).index;
        // An index that was declared since the download has no entries yet.
        let counts = |entry: &Key| match entry {
            Key::List(items) => matches!(&items[..], [_, _, Key::Text(path), _] if self.is_covered(entity, path)),
            Key::Number(_) | Key::Text(_) => false,
        };
        Wrong::Index.when(!same(&row.index, &expected, &counts))
    }

    fn is_covered(&self, entity: &str, path: &str) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.is_indexed(entity, path))
    }

    fn overlay(&self, db: &mut Cache, row: &Row, content: &Value) -> Run<Option<Wrong>> {
        let Ok(stored) = from_value::<OverlayRow>(content) else { return Ok(Some(Wrong::Unreadable)) };
        if OverlayRow::key_of(&stored.entity, &stored.key) != row.key {
            return Ok(Some(Wrong::Key));
        }
        db.prefetch(stored.ops.iter().map(|op| Read::Get(Table::Outbox, op.seq.into())));
        for op in &stored.ops {
            let is_there = match db.rows(&Read::Get(Table::Outbox, op.seq.into()))?.first() {
                None => false,
                // Where it cannot be read, that is told of it.
                Some(row) => operation(&row.text).is_none_or(|(_, operation)| operation.id == op.id),
            };
            if !is_there {
                return Ok(Some(Wrong::Queue));
            }
        }
        if let Some(conflict) = stored.conflict
            && db.count(&has_conflict(conflict))? == 0
        {
            return Ok(Some(Wrong::Conflict));
        }
        let Some(declared) = self.schema.entity(&stored.entity) else { return Ok(None) };
        Ok(Wrong::Index.when(!self.overlay_index_is_right(row, &stored, declared)))
    }

    fn overlay_index_is_right(&self, row: &Row, stored: &OverlayRow, declared: &Entity) -> bool {
        let covers_all =
            self.sync.as_ref().is_some_and(|sync| SyncState::wanted(self.schema).iter().all(|path| sync.covers.contains(path)));
        let counts = |entry: &Key| match entry {
            Key::List(items) => match &items[..] {
                [Key::Text(entity), Key::Text(list), _] if entity.is_empty() => list != "temp" || covers_all,
                [Key::Text(entity), Key::Text(path), _] => path.is_empty() || self.is_covered(entity, path),
                _ => false,
            },
            Key::Number(_) | Key::Text(_) => false,
        };
        same(&row.index, &stored.row(declared).index, &counts)
    }

    fn outbox(&self, db: &mut Cache, row: &Row, content: &Value) -> Run<Option<Wrong>> {
        let Ok(stored) = from_value::<OutboxRow>(content) else { return Ok(Some(Wrong::Unreadable)) };
        let Ok(operation) = stored.operation() else { return Ok(Some(Wrong::Unreadable)) };
        if number(&row.key) != operation.seq {
            return Ok(Some(Wrong::Key));
        }
        if operation.seq > self.last {
            return Ok(Some(Wrong::Sequence));
        }
        let over = OverlayRow::read(&operation.entity, &stored.row);
        let before = operation.base.follows().map(|earlier| Read::count_index(Table::Audit, KeyRange::only(earlier.as_str().into())));
        db.prefetch([over.clone(), rows_about(operation.id.as_str())].into_iter().chain(before.clone()));
        if !is_told(db, &stored, &operation)? {
            return Ok(Some(Wrong::Untold));
        }
        let listed = readable::<OverlayRow>(db, &over)?.is_some_and(|row| row.op(operation.seq).is_some_and(|op| op.id == operation.id));
        if !listed && !matches!(stored.state, State::Acknowledged { .. }) {
            return Ok(Some(Wrong::Queue));
        }
        if let State::Conflict { conflict } = stored.state
            && db.count(&has_conflict(conflict))? == 0
        {
            return Ok(Some(Wrong::Conflict));
        }
        match (&before, &operation.base) {
            // What came with a file may follow what never was here.
            (Some(before), Base::After(_)) if !stored.is_carried() && db.count(before)? == 0 => Ok(Some(Wrong::After)),
            _ => Ok(None),
        }
    }

    fn audit(row: &Row, content: &Value) -> Option<Wrong> {
        let Ok(stored) = from_value::<audit::Row>(content) else { return Some(Wrong::Unreadable) };
        if stored.seq != number(&row.key) {
            return Some(Wrong::Key);
        }
        let expected: Vec<Key> = stored.entries.iter().map(|entry| entry.operation.as_str().into()).collect();
        Wrong::Index.when(!same(&row.index, &expected, &|_| true))
    }

    fn ids(db: &mut Cache, row: &Row, content: &Value) -> Run<Option<Wrong>> {
        let Ok(stored) = from_value::<IdRow>(content) else { return Ok(Some(Wrong::Unreadable)) };
        let Some((entity, earlier)) = named(Table::Ids, &row.key) else { return Ok(Some(Wrong::Key)) };
        let (mut seen, mut at) = (vec![earlier.clone()], stored.id);
        for _ in 0..HOPS_MAX {
            if seen.contains(&at.to_key()) {
                return Ok(Some(Wrong::Circle));
            }
            let Some(next) = readable::<IdRow>(db, &IdRow::read(entity, &at))? else { break };
            seen.push(at.to_key());
            at = next.id;
        }
        Ok(None)
    }

    fn conflict(row: &Row, content: &Value) -> Option<Wrong> {
        let Ok(stored) = from_value::<Conflict>(content) else { return Some(Wrong::Unreadable) };
        if stored.id != number(&row.key) {
            return Some(Wrong::Key);
        }
        Wrong::Index.when(!same(&row.index, &stored.entries(), &|_| true))
    }

    fn state(db: &mut Cache, row: &Row, content: &Value) -> Run<Option<Wrong>> {
        let Key::Text(name) = &row.key else { return Ok(Some(Wrong::Key)) };
        Ok(match name.as_str() {
            "device" => Wrong::Unreadable.when(from_value::<Device>(content).is_err()),
            "sync" => match from_value::<SyncState>(content) {
                Err(_) => Some(Wrong::Unreadable),
                Ok(sync) => {
                    let ahead = sync.filling.as_ref().is_none_or(|filling| filling.generation > sync.generation);
                    let placed = sync.through.is_none() || sync.checkpoint.is_some();
                    let known = sync.checkpoint.is_none() || sync.epoch.is_some();
                    Wrong::State.when(!(ahead && placed && known))
                }
            },
            "seals" => {
                let Ok(ranges) = from_value::<Vec<(u64, u64)>>(content) else { return Ok(Some(Wrong::Unreadable)) };
                let (mut last, mut wrong) = (0, None);
                each(ranges, |(from, to)| {
                    let range = KeyRange { lower: Some((from.into(), false)), upper: Some((to.into(), false)) };
                    let is_range = from > last && to >= from;
                    if !is_range || db.count(&Read::count(Table::Outbox, range))? != to - from + 1 {
                        wrong = Some(Wrong::State);
                    }
                    last = to;
                    Ok(())
                })?;
                wrong
            }
            "quarantine" => Wrong::Unreadable.when(!content.is_string()),
            _ if name.starts_with("sink/") => Wrong::Unreadable.when(!content.is_u64()),
            _ => Wrong::Unreadable.when(!content.is_object()),
        })
    }
}

/// Whether the trail tells of an operation, and of this content. What was rebased since, it tells without a hash.
pub(super) fn is_told(db: &mut Cache, stored: &OutboxRow, operation: &Operation) -> Run<bool> {
    let mut told = None;
    for row in db.rows(&rows_about(operation.id.as_str()))? {
        let Ok(row) = from_text::<audit::Row>(&row.text) else { continue };
        for entry in row.entries.into_iter().filter(|entry| entry.operation == operation.id) {
            match entry.event {
                Event::Written { content, .. } | Event::Amended { content } | Event::Imported { content } => told = Some(Some(content)),
                Event::Rebased { .. } => told = Some(None),
                _ => {}
            }
        }
    }
    let content = if stored.is_imported() { hash_bytes(stored.body.as_bytes()) } else { operation.fingerprint() };
    Ok(told.is_some_and(|told| told.is_none_or(|told| told == content)))
}

/// An outbox row and its operation, if they can be read.
pub(super) fn operation(text: &str) -> Option<(OutboxRow, Operation)> {
    let stored: OutboxRow = from_text(text).ok()?;
    let operation = stored.operation().ok()?;
    Some((stored, operation))
}

fn has_conflict(conflict: u64) -> Read {
    Read::count(Table::Conflicts, KeyRange::only(conflict.into()))
}

fn first(key: &Key) -> Option<&Key> {
    match key {
        Key::List(items) => items.first(),
        Key::Number(_) | Key::Text(_) => None,
    }
}

/// The entity and the ID in a row's key, where it has them.
pub(super) fn named(table: Table, key: &Key) -> Option<(&str, &Key)> {
    match (table, key) {
        (Table::Base, Key::List(items)) => match &items[..] {
            [_, Key::Text(entity), id] => Some((entity, id)),
            _ => None,
        },
        (Table::Overlay | Table::Ids | Table::Quarantine, Key::List(items)) => match &items[..] {
            [Key::Text(entity), id] => Some((entity, id)),
            _ => None,
        },
        _ => None,
    }
}

/// Of a row's key what its sum is over: a base row has the same one in every generation.
pub(super) fn place(table: Table, key: &Key) -> Value {
    match (table, key) {
        (Table::Base, Key::List(items)) => items.iter().skip(1).map(Key::to_value).collect::<Vec<_>>().into(),
        _ => key.to_value(),
    }
}

/// Whether both have the same entries, of those that count.
fn same(found: &[Key], expected: &[Key], counts: &dyn Fn(&Key) -> bool) -> bool {
    let within = |these: &[Key], those: &[Key]| these.iter().filter(|entry| counts(entry)).all(|entry| those.contains(entry));
    within(found, expected) && within(expected, found)
}

/// The ID in a key.
pub(super) fn record(id: &Key) -> Option<RecordId> {
    RecordId::from_value(&id.to_value()).ok()
}
