//! Mending rows that are not in order. What the server has is taken away and downloaded anew; what can be made from
//! other rows is made from them; what is unsent is never thrown away. Each mended row is told by an entry of the audit trail.

use serde_json::Value;

use super::audit::{Gap, NOTES, page_after, stored};
use super::cache::{Cache, Run, each, readable};
use super::chain::renew_view;
use super::check::Checked;
use super::ids::present;
use super::look::{Around, Found, is_told, named, operation, place, record};
use super::overlay::{OpRef, OverlayRow};
use super::rows::{BaseRow, Device, IdRow, last_audit, number, outbox_rows, seals, seals_row};
use super::state::SyncState;
use super::work::Work;
use crate::audit::{Event, Stored};
use crate::conflict::Conflict;
use crate::integrity::{Mended, Wrong, with_sum};
use crate::model::{Action, Base, OpId, Operation, RecordId};
use crate::outbox::{OutboxRow, Seals, State};
use crate::plan::{Read, Row, Table, Write, WriteBatch};
use crate::value::{Key, from_text};

/// How to mend.
#[derive(Clone, Debug)]
pub struct Mend {
    /// Whether nothing shall be stored.
    pub dry: bool,
    /// The name under which the trail tells of what was mended, made before.
    pub name: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The device, as whoever opened the database knows it.
    pub device: Device,
}

const NO_OTHER: Mended = Mended::Not("nothing else that is stored says what it was");
const UNSENT: Mended = Mended::Not("it is kept as it is, because it may be unsent work");
const GIVE_UP: Mended = Mended::Not("queue.list has its text, and queue.discard gives it up");
const NOT_HERE: Mended = Mended::Not("the record's downloaded state is not here: sync, and repair again");

impl Mend {
    /// Mends what is wrong with the rows of a part, and gives those a sum that have none.
    pub(super) fn all(&self, db: &mut Cache, around: &Around<'_>, rows: Vec<(Row, Found)>, part: &mut Checked) -> Run<WriteBatch> {
        // The last part of a repair: from now on a row without a sum is a fault.
        let ends = around.table == Table::State && part.last.is_none();
        let first = around.device.clone().filter(|device| ends && !device.sums);
        if first.is_none() && rows.iter().all(|(_, found)| found.wrong.is_none() && !found.unhashed) {
            return Ok(WriteBatch::new());
        }
        db.prefetch([last_audit(), SyncState::read(), seals()]);
        let mut work = Work::anew(db, around.schema, &self.user, self.now)?;
        let mut mended = false;
        // Every row names what it wants to see, so that the number of rounds does not grow with the faults.
        each(rows, |(stored, found)| {
            part.unhashed += u64::from(found.unhashed && found.wrong.is_none());
            let stored = if found.unhashed { summed(around, stored) } else { stored };
            let Some(wrong) = found.wrong else {
                if found.unhashed {
                    work.write(Write::Put(around.table, stored));
                }
                return Ok(());
            };
            let done = self.one(db, &mut work, around, &stored, wrong, &mut part.resync)?;
            // What mends around a row of the outbox leaves the row itself.
            if found.unhashed && (around.table == Table::Outbox || matches!(done, Mended::Not(_))) {
                work.write(Write::Put(around.table, stored.clone()));
            }
            if let Mended::By(action) = done {
                let about = named(around.table, &stored.key).and_then(|(entity, id)| Some((entity, record(id)?)));
                let (entity, id) = about.unwrap_or_else(|| (around.table.name(), RecordId::Text(stored.key.to_value().to_string())));
                work.tell(
                    &self.name,
                    entity,
                    &id,
                    Event::Repaired { code: [around.table.name(), "/", wrong.code(), "/", action].concat() },
                );
                mended = true;
            }
            part.faults.push((around.fault(&stored.key, wrong), Some(done)));
            Ok(())
        })?;
        if let Some(device) = first {
            work.write(Write::Put(Table::State, Device { sums: true, ..device }.row()));
        }
        if part.resync {
            Self::fetch_anew(&mut work, around);
        }
        let (batch, effects) = work.finish(db)?;
        if self.dry {
            return Ok(WriteBatch::new());
        }
        part.effects = mended.then_some(effects);
        Ok(batch)
    }

    /// Everything is to be downloaded anew: that is noted in the transaction that takes something away. Where that note is
    /// lost itself, mending it does the same.
    fn fetch_anew(work: &mut Work<'_>, around: &Around<'_>) {
        if let Some(sync) = around.sync.clone().filter(|sync| around.table != Table::State && !sync.begins_anew()) {
            Self::fill(work, around, sync);
        }
    }

    fn fill(work: &mut Work<'_>, around: &Around<'_>, mut sync: SyncState) {
        for write in sync.refill() {
            work.write(write);
        }
        sync.covering = Some(SyncState::wanted(around.schema));
        work.write(Write::Put(Table::State, sync.row()));
    }

    fn one(&self, db: &mut Cache, work: &mut Work<'_>, around: &Around<'_>, stored: &Row, wrong: Wrong, resync: &mut bool) -> Run<Mended> {
        Ok(match (around.table, wrong) {
            (Table::Base, Wrong::Index) => indexed(around, work, stored),
            (Table::Base, _) => {
                *resync |= wrong != Wrong::Stray;
                work.write(Write::Delete(Table::Base, stored.key.clone()));
                if let Some((entity, id)) = named(Table::Base, &stored.key).and_then(|(entity, id)| Some((entity, record(id)?))) {
                    work.touch(entity, &id);
                }
                Mended::By("dropped")
            }
            (Table::Overlay | Table::Audit | Table::Conflicts, Wrong::Index) => indexed(around, work, stored),
            (Table::Overlay, Wrong::Conflict) => NO_OTHER,
            (Table::Overlay, _) => match named(Table::Overlay, &stored.key).and_then(|(entity, id)| Some((entity, record(id)?))) {
                Some((entity, key)) => Self::rebuild(db, work, around, entity, &key, wrong == Wrong::Queue, resync)?,
                None => UNSENT,
            },
            (Table::Outbox, Wrong::Queue) => match operation(&stored.text) {
                Some((row, operation)) => Self::rebuild(db, work, around, &operation.entity, &row.row, false, resync)?,
                None => UNSENT,
            },
            (Table::Outbox, Wrong::Hash) => match operation(&stored.text) {
                // What goes up is what the trail has proof of.
                Some((row, operation)) if is_told(db, &row, &operation)? && Key::from(operation.seq) == stored.key => {
                    work.queue(&operation, row);
                    Mended::By("proven")
                }
                _ => UNSENT,
            },
            (Table::Outbox, Wrong::Unreadable) => GIVE_UP,
            (Table::Outbox, _) => UNSENT,
            (Table::Audit, Wrong::Unreadable) => self.go_on(db, work, around, stored)?,
            (Table::Sessions, _) => {
                work.write(Write::Delete(Table::Sessions, stored.key.clone()));
                Mended::By("dropped")
            }
            (Table::Quarantine, _) => {
                *resync = true;
                work.write(Write::Delete(Table::Quarantine, stored.key.clone()));
                Mended::By("dropped")
            }
            (Table::State, _) if is_note(&stored.key) => {
                work.write(Write::Delete(Table::State, stored.key.clone()));
                Mended::By("dropped")
            }
            (Table::State, Wrong::Unreadable) if stored.key == "device".into() => {
                work.write(Write::Put(Table::State, Device { sums: false, ..self.device.clone() }.row()));
                Mended::By("renewed")
            }
            (Table::State, _) if stored.key == "sync".into() => {
                *resync = true;
                Self::fill(work, around, SyncState::anew(db)?);
                Mended::By("renewed")
            }
            (Table::State, _) if stored.key == "seals".into() => {
                // Any of them may have been sent.
                let mut all = Seals::default();
                for row in db.rows(&outbox_rows())? {
                    all.insert(number(&row.key));
                }
                work.write(Write::Put(Table::State, seals_row(&all)));
                Mended::By("renewed")
            }
            (
                Table::Audit | Table::Ids | Table::Conflicts | Table::State,
                // Named one by one: of each further fault it is to be decided what mends it.
                Wrong::Unreadable
                | Wrong::Hash
                | Wrong::Key
                | Wrong::Index
                | Wrong::Stray
                | Wrong::Queue
                | Wrong::Untold
                | Wrong::After
                | Wrong::Sequence
                | Wrong::Conflict
                | Wrong::Circle
                | Wrong::State
                | Wrong::Chain
                | Wrong::Reference,
            ) => NO_OTHER,
        })
    }

    /// A row of the trail that cannot be read stays, and a verification names it; behind it the trail goes on. What lies between is
    /// noted, so that what comes behind can go up, and told: where it is the last row, the row that tells of it is the one behind it.
    fn go_on(&self, db: &mut Cache, work: &mut Work<'_>, around: &Around<'_>, bad: &Row) -> Run<Mended> {
        let bad = Stored { key: number(&bad.key), text: bad.text.clone() };
        let (known, next) = (Gap::all(), page_after(Some(bad.key), false));
        db.prefetch([known.clone(), next.clone()]);
        let is_last = around.last == bad.key;
        if !is_last && Gap::of(&stored(db, &known)?).iter().any(|gap| gap.row == bad.key) {
            return Ok(NO_OTHER);
        }
        let gap = Gap::behind(&bad, stored(db, &next)?.first(), self.now);
        work.write(Write::Put(Table::State, gap.stored()));
        Ok(Mended::By(if is_last { "continued" } else { "passed" }))
    }

    /// Makes a record's overlay row anew, from what was downloaded of it and its operations in the outbox. Where none is left
    /// there, a row that lists one is kept: `lists_what_is_gone`.
    #[allow(clippy::too_many_arguments, reason = "where, of what, and why")]
    fn rebuild(
        db: &mut Cache,
        work: &mut Work<'_>,
        around: &Around<'_>,
        entity: &str,
        key: &RecordId,
        lists_what_is_gone: bool,
        resync: &mut bool,
    ) -> Run<Mended> {
        if around.schema.entity(entity).is_none() {
            return Ok(Mended::Not("the app declares this entity no more"));
        }
        db.prefetch([IdRow::read(entity, key)]);
        let mut own: Vec<(OutboxRow, Operation)> = Vec::new();
        for row in db.rows(&outbox_rows())? {
            let known = operation(&row.text);
            own.extend(known.filter(|(row, operation)| {
                operation.entity == entity && row.row == *key && !matches!(row.state, State::Acknowledged { .. })
            }));
        }
        let id = present(db, entity, key)?;
        let generation = around.sync.as_ref().map_or(0, |sync| sync.generation);
        db.prefetch(own.iter().map(|(_, operation)| Read::Get(Table::Outbox, operation.seq.into())));
        let base: Option<BaseRow> = readable(db, &BaseRow::read(generation, entity, &id))?;
        let Some((_, first)) = own.first() else {
            if lists_what_is_gone {
                return Ok(Mended::Not("its operation is gone; the record is kept as it was last seen"));
            }
            // Nothing of it is unsent: the server has what it was.
            *resync = true;
            work.write(Write::Delete(Table::Overlay, OverlayRow::key_of(entity, key)));
            work.touch(entity, &id);
            return Ok(Mended::By("dropped"));
        };
        let made_here = matches!(first.action, Action::Create { .. }) && first.base == Base::None;
        if base.is_none() && !made_here {
            return Ok(NOT_HERE);
        }
        // What the lost row knew beyond the base row, no later page would bring.
        *resync |= base.is_some();
        let fresh = OverlayRow::fresh(entity, key.clone());
        let mut row = match base.zip(around.sync.as_ref()) {
            Some((base, sync)) => OverlayRow { key: key.clone(), ..OverlayRow::over(entity, base, sync) },
            None => OverlayRow { id, ..fresh },
        };
        for (stored, operation) in &own {
            row.ops.push(OpRef::to(operation));
            row.stamp = Some(operation.stamp);
            row.parked |= matches!(stored.state, State::Parked { .. });
            if let State::Conflict { conflict } = stored.state {
                row.conflict = Some(conflict);
            }
        }
        renew_view(db, work, &mut row)?;
        work.put(row);
        Ok(Mended::By("rebuilt"))
    }
}

/// Writes a row anew with the index entries of its content.
fn indexed(around: &Around<'_>, work: &mut Work<'_>, stored: &Row) -> Mended {
    match entries(around, stored) {
        Some(index) => work.write(Write::Put(around.table, Row { index, ..stored.clone() })),
        None => return NO_OTHER,
    }
    Mended::By("indexed")
}

/// The index entries of a row that can be read.
fn entries(around: &Around<'_>, stored: &Row) -> Option<Vec<Key>> {
    match around.table {
        Table::Base => {
            let Key::List(items) = &stored.key else { return None };
            let (entity, _) = named(Table::Base, &stored.key)?;
            let read: BaseRow = from_text(&stored.text).ok()?;
            Some(read.row(number(items.first()?), entity, around.schema.entity(entity)?).index)
        }
        Table::Overlay => {
            let read: OverlayRow = from_text(&stored.text).ok()?;
            Some(read.row(around.schema.entity(&read.entity)?).index)
        }
        Table::Conflicts => from_text::<Conflict>(&stored.text).ok().map(|read| read.entries()),
        _ => {
            let read: crate::audit::Row = from_text(&stored.text).ok()?;
            Some(read.entries.iter().map(|entry| entry.operation.as_str().into()).collect())
        }
    }
}

/// A row that has no sum with one, else as it is.
fn summed(around: &Around<'_>, stored: Row) -> Row {
    match from_text::<Value>(&stored.text) {
        Ok(content) => Row { text: with_sum(&place(around.table, &stored.key), &content), ..stored },
        Err(_) => stored,
    }
}

/// Whether a row of the state only notes what a reader found, or what the server knows better.
fn is_note(key: &Key) -> bool {
    matches!(key, Key::Text(name) if NOTES.contains(&name.as_str()))
}
