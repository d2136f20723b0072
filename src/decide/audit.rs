//! Reading the trail: a page of it, a page that is checked against the one before, what a sink has not seen. And what
//! the readers leave in `state`: how far it was verified, how far a sink has come, where it begins after a wipe.

use serde_json::{Value, json};

use super::cache::{Cache, Decision, Run, unreadable};
use super::rows::{number, row};
use crate::audit::{Chain, FirstBad, Reason, Stored};
use crate::conflict::{Conflict, ConflictState};
use crate::model::OpId;
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Row, Table, Write, WriteBatch};
use crate::value::{Hash, Key, KeyRange, from_value};

/// Rows that one transaction reads of the trail.
const PAGE_ROWS: u32 = 250;

/// A place in the trail, as it was when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// The number of the row.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
    /// When that was, ms by the device.
    pub at: u64,
}

impl Point {
    /// The row before the first that is kept: the rows up to it went with a wipe.
    pub(super) const ANCHOR: &'static str = "auditAnchor";
    /// The row up to which all was in order when it was last verified from the beginning.
    const VERIFIED: &'static str = "auditVerified";

    fn read(name: &str) -> Read {
        Read::Get(Table::State, name.into())
    }
    fn one(db: &mut Cache, name: &str) -> Run<Option<Self>> {
        let stored: Option<Value> = db.one(&Self::read(name))?;
        let number = |stored: &Value, name| stored[name].as_u64();
        Ok(stored.and_then(|stored| {
            Some(Self { number: number(&stored, "number")?, hash: from_value(&stored["hash"]).ok()?, at: number(&stored, "at")? })
        }))
    }
    /// As a row.
    pub(super) fn row(&self, name: &str) -> Row {
        row(name.into(), &json!({"number": self.number, "hash": self.hash.as_str(), "at": self.at}))
    }
}

/// The place before the row with this number, if the trail does not begin there.
pub(super) fn before(db: &mut Cache, kept: u64, now: u64) -> Run<Option<Point>> {
    let previous = below(kept);
    db.prefetch([Point::read(Point::ANCHOR), previous.clone()]);
    let found = stored(db, &previous)?.pop();
    let found = found.and_then(|row| Some(Point { number: row.key, hash: row.hash()?, at: now }));
    Ok(found.or(Point::one(db, Point::ANCHOR)?))
}

/// The last row below a number.
fn below(number: u64) -> Read {
    let range = KeyRange { lower: None, upper: Some((number.into(), true)) };
    Read::Range { table: Table::Audit, by_index: false, range, limit: Some(1), reverse: true }
}

fn stored(db: &mut Cache, read: &Read) -> Run<Vec<Stored>> {
    Ok(db.rows(read)?.iter().map(|row| Stored { key: number(&row.key), text: row.text.clone() }).collect())
}

/// What a reader wants. One decision for all of them, because each kind of decision is code that every page downloads.
#[derive(Clone, Debug)]
pub enum Inspect {
    /// A page of the trail.
    Page {
        /// Those with an entry about this operation, all of them; or a page of all rows.
        operation: Option<String>,
        /// Those that come after this number in the order; nothing from its beginning.
        after: Option<u64>,
        /// From the last to the first.
        descending: bool,
    },
    /// A page of what this sink has not acknowledged.
    Sink(String),
    /// The next page is verified.
    Follow(Following),
    /// What came after this row, and all that is unfinished at that moment.
    End(u64),
}

/// What a reader was told, as far as it is about what it wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Rows, as they are stored.
    pub rows: Vec<Stored>,
    /// How far the trail was verified.
    pub following: Following,
    /// What is unfinished.
    pub unfinished: Unfinished,
}

impl Decision for Inspect {
    type Out = Inspected;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Inspected)> {
        let mut told = Inspected::default();
        match self {
            Self::Page { operation, after, descending } => told.rows = page(db, operation.as_deref(), *after, *descending)?,
            Self::Sink(name) => {
                let after = db.one(&Read::Get(Table::State, sink(name)))?;
                told.rows = page(db, None, after, false)?;
            }
            Self::Follow(following) => told.following = follow(db, following.clone())?,
            Self::End(after) => {
                told.rows = stored(db, &Read::range(Table::Audit, KeyRange::above((*after).into())))?;
                told.unfinished = unfinished(db)?;
            }
        }
        Ok((Vec::new(), told))
    }
}

fn page(db: &mut Cache, operation: Option<&str>, after: Option<u64>, descending: bool) -> Run<Vec<Stored>> {
    let bound = after.map(|number| (number.into(), true));
    let range = if descending { KeyRange { lower: None, upper: bound } } else { KeyRange { lower: bound, upper: None } };
    let read = match operation {
        Some(operation) => Read::index(Table::Audit, KeyRange::only(operation.into())),
        None => Read::Range { table: Table::Audit, by_index: false, range, limit: Some(PAGE_ROWS), reverse: descending },
    };
    let mut rows = stored(db, &read)?;
    if operation.is_some() && descending {
        rows.reverse();
    }
    Ok(rows)
}

/// How far the trail was verified: what a step gives is what the next one goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Following {
    /// The number of the first row to verify; nothing for all.
    pub from: Option<u64>,
    /// How many rows were in order.
    pub rows: u64,
    /// Where it came; nothing before the first step.
    pub chain: Option<Chain>,
    /// Whether all rows before `from` are known to be in order.
    pub whole: bool,
    /// The number of the last row that there is.
    pub last: u64,
    /// Whether this is the end.
    pub done: bool,
    /// What was not in order.
    pub first_bad: Option<FirstBad>,
}

fn follow(db: &mut Cache, mut at: Following) -> Run<Following> {
    let ends = [Read::last(Table::Audit), Read::last(Table::Outbox), Read::last(Table::Conflicts), sinks()];
    let start = below(at.from.unwrap_or_default());
    db.prefetch([Point::read(Point::ANCHOR), Point::read(Point::VERIFIED), start.clone()].into_iter().chain(ends.clone()));
    let (anchor, verified) = (Point::one(db, Point::ANCHOR)?, Point::one(db, Point::VERIFIED)?);
    let mut known = verified.map(|point| (point.number, point.hash));
    let mut chain = match at.chain.take() {
        Some(chain) => chain,
        None => {
            // What stands before the first row that is wanted is taken as it is.
            let before = stored(db, &start)?.pop().and_then(|row| row.hash().map(|hash| Chain::at(row.key, hash)));
            let chain = before.unwrap_or_else(Chain::beginning);
            at.whole = chain.through == 0 || known.as_ref().is_some_and(|(number, _)| chain.through <= *number);
            chain
        }
    };
    if let Some(anchor) = anchor.filter(|anchor| anchor.number > chain.through) {
        chain = Chain::at(anchor.number, anchor.hash);
        at.whole = true;
    }
    known = known.filter(|(number, _)| chain.through <= *number);
    let range = KeyRange::above(chain.through.into());
    let next = Read::Range { table: Table::Audit, by_index: false, range, limit: Some(PAGE_ROWS + 1), reverse: false };
    let rows = stored(db, &next)?;
    let more = rows.len() > PAGE_ROWS as usize;
    let mut bad = remembered(&chain, &mut known);
    for (number, row) in rows.iter().take(PAGE_ROWS as usize).enumerate() {
        if bad.is_some() {
            break;
        }
        bad = chain.follow(row, rows.get(number + 1)).err();
        at.rows += u64::from(bad.is_none());
        bad = bad.or_else(|| remembered(&chain, &mut known));
    }
    let mut told = known.map_or(0, |(number, _)| number);
    for read in &ends {
        told = told.max(db.rows(read)?.first().map_or(0, |row| number(&row.key)));
    }
    for through in db.all::<u64>(&ends[3])? {
        told = told.max(through);
    }
    at.last = db.rows(&ends[0])?.first().map_or(0, |row| number(&row.key));
    if bad.is_none() && !more && told > chain.through {
        bad = Some(FirstBad { number: told, reason: Reason::Truncated });
    }
    Ok(Following { chain: Some(chain), done: bad.is_some() || !more, first_bad: bad, ..at })
}

/// Whether the trail is another than the one that was verified once: the row of then is gone, or has another hash.
fn remembered(chain: &Chain, known: &mut Option<(u64, Hash)>) -> Option<FirstBad> {
    let (number, hash) = known.take_if(|(number, _)| *number <= chain.through)?;
    let bad = |reason| Some(FirstBad { number, reason });
    match number == chain.through {
        false => bad(Reason::Missing),
        true if hash != chain.head => bad(Reason::Changed),
        true => None,
    }
}

/// Remembers how far a reader came.
#[derive(Clone, Debug)]
pub enum Remember {
    /// Everything up to here was in order.
    Verified(Point),
    /// This sink took everything up to this row. What it took once stays taken.
    Taken(String, u64),
}

impl Decision for Remember {
    type Out = ();

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, ())> {
        let row = match self {
            Self::Verified(point) => point.row(Point::VERIFIED),
            Self::Taken(name, through) => {
                let known: Option<u64> = db.one(&Read::Get(Table::State, sink(name)))?;
                row(sink(name), &known.map_or(*through, |known| known.max(*through)))
            }
        };
        Ok((vec![Write::Put(Table::State, row)], ()))
    }
}

/// What was acknowledged to all sinks: a number each.
fn sinks() -> Read {
    Read::range(Table::State, KeyRange { lower: Some((sink(""), false)), upper: Some(("sink0".into(), true)) })
}

fn sink(name: &str) -> Key {
    ["sink/", name].concat().as_str().into()
}

/// What waits at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Operations in the outbox.
    pub operations: Vec<OpId>,
    /// The oldest parked operation, and when it was written, ms by the device.
    pub parked: Option<(u64, OpId)>,
    /// The oldest one that the server has no word on.
    pub pending: Option<(u64, OpId)>,
    /// Open conflicts,
    pub conflicts: u64,
    /// and when the oldest of them was found, ms by the device.
    pub conflict: Option<u64>,
    /// When the whole trail was last in order.
    pub verified: Option<Point>,
}

fn unfinished(db: &mut Cache) -> Run<Unfinished> {
    let [outbox, conflicts] = [Table::Outbox, Table::Conflicts].map(|table| Read::range(table, KeyRange::all()));
    db.prefetch([outbox.clone(), conflicts.clone(), Point::read(Point::VERIFIED)]);
    let mut found = Unfinished { verified: Point::one(db, Point::VERIFIED)?, ..Unfinished::default() };
    for waiting in db.all::<OutboxRow>(&outbox)? {
        let operation = waiting.operation().map_err(unreadable)?.id;
        let oldest = match waiting.state {
            State::Pending => Some(&mut found.pending),
            State::Parked { .. } => Some(&mut found.parked),
            State::Acknowledged { .. } | State::Conflict { .. } => None,
        };
        if let Some(oldest) = oldest
            && oldest.as_ref().is_none_or(|(created, _)| waiting.created < *created)
        {
            *oldest = Some((waiting.created, operation.clone()));
        }
        found.operations.push(operation);
    }
    for conflict in db.all::<Conflict>(&conflicts)? {
        if conflict.state == ConflictState::Open {
            found.conflicts += 1;
            found.conflict = Some(found.conflict.map_or(conflict.detected_at, |oldest| oldest.min(conflict.detected_at)));
        }
    }
    Ok(found)
}
