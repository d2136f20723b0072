//! Finding conflicts: a page of those that a filter means, read from the shortest list that holds them all, how many there
//! are of each sort, and the entries of conflicts that were stored before they had any.

use std::rc::Rc;

use serde::Serialize;

use super::cache::{Cache, Decision, Run, all_readable, each, readable};
use super::held::renewed;
use super::overlay::OverlayRow;
use super::rows::{Device, IdRow, conflict_row, number};
use crate::conflict::{Conflict, ConflictState, Filter, FilterError, filter};
use crate::model::RecordId;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::schema::Schema;
use crate::value::{Key, KeyRange, Object, from_text, to_value};

/// So many are read at least where not all that is read is meant.
const LOOKED_THROUGH_MIN: u32 = 50;
/// So many get their entries in one transaction.
const INDEXED_AT_ONCE: u32 = 100;

/// The conflicts that a filter means, in its order; or one by its key.
#[derive(Clone, Debug)]
pub struct ListConflicts {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Which.
    pub filter: Filter,
    /// The one with this key, and no other. Not a decision of its own: each kind of decision is code of its own.
    pub only: Option<u64>,
}

/// A part of the conflicts that were asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConflictPage {
    /// In order.
    pub found: Vec<Conflict>,
    /// Whether there can be more that were asked for: they come after this one.
    pub more_after: Option<u64>,
}

impl ListConflicts {
    /// The IDs under which conflicts of the record can stand: that by which it is asked for, and those that it has.
    fn records(&self, db: &mut Cache) -> Run<Vec<(String, RecordId)>> {
        let Some(asked) = &self.filter.record else { return Ok(Vec::new()) };
        let temp = asked.as_temp();
        let named = temp.as_ref().map(|temp| temp.entity()).or(self.filter.entity.as_deref());
        let mut places = Vec::new();
        for (entity, _) in self.schema.entities.iter() {
            if named.is_none_or(|named| named == entity) {
                let (became, row) = (IdRow::read(entity, asked), OverlayRow::read_by_id(entity, asked));
                db.prefetch([became.clone(), row.clone()]);
                places.push((entity, became, row));
            }
        }
        db.settle()?;
        let mut records = Vec::new();
        for (entity, became, row) in places {
            let mut ids = vec![asked.clone()];
            ids.extend(db.one::<IdRow>(&became)?.map(|row| row.id));
            if let Some(row) = db.one::<OverlayRow>(&row)? {
                ids.push(row.key);
                ids.push(row.id);
            }
            for id in ids {
                let record = (entity.clone(), id);
                if !records.contains(&record) {
                    records.push(record);
                }
            }
        }
        Ok(records)
    }

    /// The lists to read: of several ways the one with the fewest conflicts.
    fn shortest(&self, db: &mut Cache, ways: Vec<Vec<Read>>) -> Run<Vec<Read>> {
        let mut shortest: (u64, Vec<Read>) = (u64::MAX, Vec::new());
        each(ways, |way| {
            let mut length = 0;
            each(&way, |read| {
                if let Read::Range { range, .. } = read {
                    length += db.count(&Read::count_index(Table::Conflicts, range.clone()))?;
                }
                Ok(())
            })?;
            if length < shortest.0 {
                shortest = (length, way);
            }
            Ok(())
        })?;
        Ok(shortest.1)
    }

    /// A way of which one read of each list answers: it comes to their ends, or enough of it is meant. Counting takes time
    /// for every entry of a list, and is needed only where there is no such way.
    fn answering(&self, db: &mut Cache, ways: &[Vec<Read>], records: &[(String, RecordId)]) -> Run<Option<Vec<Read>>> {
        let Some(wanted) = self.filter.limit else { return Ok(None) };
        db.prefetch(ways.iter().flatten().cloned());
        for way in ways {
            let (mut ended, mut meant) = (true, 0);
            for read in way {
                let found: Vec<Conflict> = all_readable(db, read)?;
                ended &= db.rows(read)?.len() < size(wanted.max(LOOKED_THROUGH_MIN));
                meant += found.iter().filter(|conflict| self.filter.matches(conflict, records)).count();
            }
            if ended || meant >= size(wanted) {
                return Ok(Some(way.clone()));
            }
        }
        Ok(None)
    }

    fn page(&self, db: &mut Cache) -> Run<Result<ConflictPage, FilterError>> {
        let wrong = |path: &str, reason| Ok(Err(FilterError { path: path.to_owned(), reason }));
        if self.filter.entity.as_ref().is_some_and(|entity| self.schema.entity(entity).is_none()) {
            return wrong("entity", "must be an entity of the schema");
        }
        let records = self.records(db)?;
        let mut after = None;
        if let Some(id) = self.filter.after {
            let before: Option<Conflict> = readable(db, &Read::Get(Table::Conflicts, id.into()))?;
            let Some(before) = before else { return wrong("after", "must be the id of a conflict") };
            after = Some(before.place());
        }
        let lists = self.filter.ways(&records);
        let all_meant = lists.len() == 1;
        let mut limit = self.filter.limit.map(|limit| if all_meant { limit } else { limit.max(LOOKED_THROUGH_MIN) });
        // Backwards a store reads one row after another: all of them come faster forwards.
        let reverse = self.filter.descending && limit.is_some();
        let read = |list: &Key| {
            let range = self.filter.range(list, after);
            Read::Range { table: Table::Conflicts, by_index: true, range, limit, reverse }
        };
        let mut ways: Vec<Vec<Read>> = lists.iter().map(|way| way.iter().map(read).collect()).collect();
        let mut reads = if all_meant {
            ways.pop().unwrap_or_default()
        } else if let Some(way) = self.answering(db, &ways, &records)? {
            way
        } else {
            self.shortest(db, ways)?
        };
        db.prefetch(reads.iter().cloned());
        let mut broken = false;
        for read in &reads {
            let found: Vec<Conflict> = all_readable(db, read)?;
            broken |= found.len() < db.rows(read)?.len();
        }
        if broken && limit.take().is_some() {
            // Nobody knows the place of a row that cannot be read, and so none behind which a page could go on: all are read.
            for read in &mut reads {
                if let Read::Range { limit, .. } = read {
                    *limit = None;
                }
            }
            db.prefetch(reads.iter().cloned());
        }
        let mut looked: Vec<Conflict> = Vec::new();
        for read in &reads {
            for conflict in all_readable::<Conflict>(db, read)? {
                // Each list is in the order of reading: nearly always it is the last.
                let before = |known: &Conflict| (known.place() < conflict.place()) != reverse;
                let at = looked.partition_point(before);
                looked.insert(at, conflict);
            }
        }
        if reverse != self.filter.descending {
            looked.reverse();
        }
        let most = limit.map_or(usize::MAX, size);
        let last = looked.get(most.wrapping_sub(1)).map(|last| last.id);
        looked.truncate(most);
        looked.retain(|conflict| self.filter.matches(conflict, &records));
        let wanted = self.filter.limit.map_or(usize::MAX, size);
        let more_after = last.filter(|_| looked.len() < wanted);
        looked.truncate(wanted);
        renewed(db, &self.schema, &mut looked)?;
        Ok(Ok(ConflictPage { found: looked, more_after }))
    }
}

fn size(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

impl Decision for ListConflicts {
    type Out = Result<ConflictPage, FilterError>;
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        if let Some(id) = self.only {
            let mut found: Vec<Conflict> = db.all(&Read::Get(Table::Conflicts, id.into()))?;
            renewed(db, &self.schema, &mut found)?;
            return Ok((Vec::new(), Ok(ConflictPage { found, more_after: None })));
        }
        Ok((Vec::new(), self.page(db)?))
    }
}

/// How many conflicts there are of each sort. What has none is left out of the maps.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConflictCounts {
    /// All of them.
    pub total: u64,
    /// Those that wait for a person.
    pub open: u64,
    /// Those that are decided.
    pub resolved: u64,
    /// Those of which the decision was taken back.
    pub undone: u64,
    /// By kind.
    pub by_kind: Object,
    /// By entity.
    pub by_entity: Object,
    /// By the way in which they were decided.
    pub by_resolution: Object,
    /// When the oldest of the open ones was found, ms by the device.
    pub oldest_open: Option<u64>,
}

fn add(counts: &mut Object, name: &str, more: u64) {
    if more > 0 {
        let known = counts.get(name).and_then(serde_json::Value::as_u64).unwrap_or(0);
        counts.insert(name.to_owned(), (known + more).into());
    }
}

fn sum(counts: &Object) -> u64 {
    counts.values().filter_map(serde_json::Value::as_u64).sum()
}

impl ConflictCounts {
    /// Counts one more.
    pub fn add(&mut self, conflict: &Conflict) {
        self.total += 1;
        *self.of(conflict.state) += 1;
        add(&mut self.by_kind, to_value(&conflict.kind).as_str().unwrap_or_default(), 1);
        add(&mut self.by_entity, &conflict.entity, 1);
        if let Some(how) = &conflict.resolution {
            add(&mut self.by_resolution, how, 1);
        }
        if conflict.state == ConflictState::Open {
            let known = self.oldest_open.unwrap_or(u64::MAX);
            self.oldest_open = Some(known.min(conflict.detected_at));
        }
    }

    fn of(&mut self, state: ConflictState) -> &mut u64 {
        match state {
            ConflictState::Open => &mut self.open,
            ConflictState::Resolved => &mut self.resolved,
            ConflictState::Undone => &mut self.undone,
        }
    }
}

/// Counts conflicts by their entries alone: all, or those of a span of time.
#[derive(Clone, Debug)]
pub struct CountConflicts {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Only its span of time counts.
    pub filter: Filter,
}

impl Decision for CountConflicts {
    /// Nothing where a conflict is of a sort that this release does not know: then they have to be looked at.
    type Out = Option<ConflictCounts>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let range = |list: Key| self.filter.range(&list, None);
        let first = range(filter::of_state(ConflictState::Open));
        let oldest = Read::Range { table: Table::Conflicts, by_index: true, range: first, limit: Some(1), reverse: false };
        let mut counts = ConflictCounts::default();
        db.prefetch([oldest.clone()]);
        // Twice: all are named before one of them is waited for.
        for named in [false, true] {
            let mut count = |list: Key| {
                let read = Read::count_index(Table::Conflicts, range(list));
                if named {
                    return db.count(&read);
                }
                db.prefetch([read]);
                Ok(0)
            };
            for state in filter::STATES {
                let found = count(filter::of_state(state))?;
                *counts.of(state) = found;
                counts.total += found;
            }
            for kind in filter::KINDS {
                add(&mut counts.by_kind, to_value(&kind).as_str().unwrap_or_default(), count(filter::of_kind(kind))?);
            }
            for (name, _) in self.schema.entities.iter() {
                add(&mut counts.by_entity, name, count(filter::of_entity(name))?);
            }
            for how in filter::RESOLUTIONS {
                add(&mut counts.by_resolution, how, count(filter::of_resolution(how))?);
            }
        }
        counts.oldest_open = readable::<Conflict>(db, &oldest)?.map(|conflict| conflict.detected_at);
        let ended = counts.resolved + counts.undone;
        let sums = (sum(&counts.by_kind), sum(&counts.by_entity), sum(&counts.by_resolution));
        let all_known = sums == (counts.total, counts.total, ended) && counts.oldest_open.is_some() == (counts.open > 0);
        Ok((Vec::new(), all_known.then_some(counts)))
    }
}

/// Gives index entries and steps to conflicts that were stored before there were any, a part of them in one transaction.
#[derive(Clone, Debug)]
pub struct IndexConflicts {
    /// Those up to this one have theirs.
    pub done: u64,
}

impl Decision for IndexConflicts {
    /// The last one of this part; nothing once all have theirs, which is stored.
    type Out = Option<u64>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Option<u64>)> {
        let range = KeyRange::above(self.done.into());
        let read = Read::Range { table: Table::Conflicts, by_index: false, range, limit: Some(INDEXED_AT_ONCE), reverse: false };
        db.prefetch([Device::read(), read.clone()]);
        let device: Option<Device> = db.one(&Device::read())?;
        let Some(device) = device.filter(|device| device.layout < Device::LAYOUT) else { return Ok((Vec::new(), None)) };
        let mut batch = Vec::new();
        let mut last = None;
        for row in db.rows(&read)? {
            last = Some(number(&row.key));
            let Ok(mut conflict) = from_text::<Conflict>(&row.text) else { continue };
            conflict.begin();
            batch.push(Write::Put(Table::Conflicts, conflict_row(&conflict)));
        }
        if last.is_none() {
            batch.push(Write::Put(Table::State, Device { layout: Device::LAYOUT, ..device }.row()));
        }
        Ok((batch, last))
    }
}
