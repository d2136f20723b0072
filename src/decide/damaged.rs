//! What stands in for a row that cannot be read. Nothing is written over such a row by itself: a newer release, or somebody
//! with a copy, may know what it was. But one of them must not stop everything else. An operation of the outbox is taken for
//! a parked one that does nothing, under the name that its record has for it: what depends on it waits, and a person can give
//! it up. Where the note of the download is lost, the rows that are there are shown.

use super::cache::{Cache, Run, Stop};
use super::chain::Queued;
use super::look::operation;
use super::overlay::{OpRef, OverlayRow};
use super::rows::{number, outbox_rows};
use super::state::{Filling, SyncState};
use crate::model::{Action, Base, IdSource, OpId, Operation, RecordId};
use crate::outbox::{Failure, OutboxRow, State};
use crate::plan::{Read, Row, Table};
use crate::value::{Key, KeyRange, Sorted, from_text};

/// The outbox, whole or from some sequence on, with the operation in each row.
pub(super) fn queued(db: &mut Cache, read: &Read) -> Run<Vec<Queued>> {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for row in db.rows(read)? {
        match operation(&row.text) {
            Some(known) => found.push(known),
            None => lost.push(row.clone()),
        }
    }
    if lost.is_empty() {
        return Ok(found);
    }
    let overlay = db.rows(&Read::range(Table::Overlay, KeyRange::all()))?;
    let rows: Vec<OverlayRow> = overlay.iter().filter_map(|row| from_text(&row.text).ok()).collect();
    for row in lost {
        let seq = number(&row.key);
        let mut lost = rows.iter().find_map(|over| Some(stand_in(over, over.op(seq)?))).unwrap_or_else(|| nameless(seq));
        // The member that a group lacks: what holds it holds the others, and it ends with them.
        let lacks = |wanted: &crate::model::Group| {
            let members = found.iter().filter(|(_, other)| other.group.as_ref().is_some_and(|group| group.id == wanted.id));
            members.clone().count() < wanted.of && members.clone().any(|(_, other)| seq.abs_diff(other.seq) < wanted.of as u64)
        };
        lost.1.group = found.iter().find_map(|(_, other)| other.group.clone().filter(lacks));
        lost.0.body = crate::value::to_text(&lost.1);
        lost.0.damaged = Some(row.text);
        found.push(lost);
    }
    found.sort_by_key(|(_, operation)| operation.seq);
    Ok(found)
}

/// All of it.
pub(super) fn whole_outbox(db: &mut Cache) -> Run<Vec<Queued>> {
    queued(db, &outbox_rows())
}

/// What stands in for one of a record's operations.
pub(super) fn stand_in(over: &OverlayRow, op: &OpRef) -> Queued {
    let before = over.ops.iter().take_while(|other| other.seq != op.seq).last();
    let base = before.map_or_else(|| over.version.map_or(Base::None, Base::Version), |before| Base::After(before.id.clone()));
    made(op.seq, op.id.clone(), &over.entity, over.id.clone(), over.key.clone(), base)
}

/// One that no record knows, or none that can be read.
fn nameless(seq: u64) -> Queued {
    let id = RecordId::Text(seq.to_string());
    made(seq, IdSource::default().op_id(seq, [0; IdSource::ENTROPY_BYTES]), Table::Outbox.name(), id.clone(), id, Base::None)
}

fn made(seq: u64, id: OpId, entity: &str, record: RecordId, row: RecordId, base: Base) -> Queued {
    let operation = Operation {
        id,
        seq,
        entity: entity.to_owned(),
        record,
        action: Action::nothing(),
        base,
        stamp: crate::model::Stamp::default(),
        stamps: Sorted::new(),
        author: String::new(),
        lane: None,
        group: None,
        supersedes: None,
        first: None,
        seen: None,
        schema: 0,
    };
    let message = "What it was to do cannot be read any more: give it up, and do it again.".to_owned();
    let failure = Failure { code: "damaged".to_owned(), message, path: None, faults: Vec::new() };
    let state = State::Parked { failure, unheard: false };
    (OutboxRow { state, damaged: Some(String::new()), ..OutboxRow::new(&operation, row, Vec::new(), 0) }, operation)
}

impl SyncState {
    /// Where the database stands, for whoever does not go on from there.
    pub(super) fn look(db: &mut Cache) -> Run<Self> {
        match db.one(&Self::read()) {
            Err(Stop::Corrupt(_)) => Self::anew(db),
            known => Ok(known?.unwrap_or_default()),
        }
    }
    /// Whether nothing has come yet of a resync that is under way.
    pub(super) fn begins_anew(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.checkpoint.is_none())
    }
    /// What the downloaded rows say by themselves: the first generation is the one that is shown.
    pub(super) fn anew(db: &mut Cache) -> Run<Self> {
        let edges = [false, true].map(|reverse| Read::Range {
            table: Table::Base,
            by_index: false,
            range: KeyRange::all(),
            limit: Some(1),
            reverse,
        });
        db.prefetch(edges.iter().cloned());
        let mut generations = [0, 0];
        for (generation, edge) in generations.iter_mut().zip(&edges) {
            *generation = db.rows(edge)?.first().map_or(0, generation_of);
        }
        let [generation, last] = generations;
        let filling = (last > generation).then_some(Filling { generation: last, checkpoint: None });
        Ok(Self { generation, filling, ..Self::default() })
    }
}

fn generation_of(row: &Row) -> u64 {
    match &row.key {
        Key::List(items) => items.first().map_or(0, number),
        Key::Number(_) | Key::Text(_) => 0,
    }
}
