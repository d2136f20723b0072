//! Reading the trail: a page of it, and a page that is held against the one before and against what else is stored. And
//! what its readers leave in `state`: how far it was verified, how far a sink has come, where it begins after a wipe.

use serde::Serialize;
use serde_json::Value;

use super::cache::{Cache, Decision, Run};
use super::held::NAMED_FROM;
use super::rows::{number, row};
use crate::audit::{Chain, FirstBad, LastCheck, Open, Reason, Stored};
use crate::plan::{Read, Row, Table, Write, WriteBatch};
use crate::value::{Hash, Key, KeyRange, Object, from_value, to_value};

/// Where the state has the row of the trail up to which all was in order when it was last verified from the beginning.
const VERIFIED: &str = "auditVerified";
/// Where it has the row of the trail up to which the server has it.
const UPLOADED: &str = "auditUploaded";
/// Where it has that the server did not take it.
const REFUSED: &str = "auditRefused";
/// Where it has when the whole store was last checked.
const CHECKED: &str = "checked";
/// All of these: who loses one looks, or asks the server, again.
pub(super) const NOTES: [&str; 4] = [VERIFIED, UPLOADED, REFUSED, CHECKED];

/// Rows that one transaction reads of the trail.
const PAGE_ROWS: u32 = 250;

/// A place in the trail, as it was when somebody looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The number of the row.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
    /// When that was, ms by the device.
    pub at: u64,
}

impl Point {
    /// The row before the first that is kept: the rows up to it went with a wipe, or because they were old.
    pub(super) const ANCHOR: &'static str = "auditAnchor";
    /// The place that is stored, if one is and can be read.
    pub fn of(stored: &[Stored]) -> Option<Self> {
        let stored = stored.first()?.object()?;
        let number = |name| stored.get(name).and_then(Value::as_u64);
        Some(Self { number: number("number")?, hash: from_value(stored.get("hash")?).ok()?, at: number("at")? })
    }
    /// Reads how far the trail was verified.
    pub fn verified() -> Read {
        Read::Get(Table::State, VERIFIED.into())
    }
    /// Reads how far the server has the trail.
    pub fn uploaded() -> Read {
        Read::Get(Table::State, UPLOADED.into())
    }
    /// Reads where the trail begins.
    pub fn anchor() -> Read {
        Read::Get(Table::State, Self::ANCHOR.into())
    }
    /// As a row.
    pub(super) fn row(&self, name: &str) -> Row {
        row(name.into(), self)
    }
}

/// The place before the row with this number, if the trail does not begin there.
pub(super) fn before(db: &mut Cache, kept: u64, now: u64) -> Run<Option<Point>> {
    let (anchor, previous) = (Point::anchor(), below(kept));
    db.prefetch([anchor.clone(), previous.clone()]);
    let found = stored(db, &previous)?.pop();
    let found = found.map(|row| Point { number: row.key, hash: row.head(), at: now });
    Ok(found.or(Point::of(&stored(db, &anchor)?)))
}

/// The last row below a number.
pub(super) fn below(number: u64) -> Read {
    let range = KeyRange { lower: None, upper: Some((number.into(), true)) };
    Read::Range { table: Table::Audit, by_index: false, range, limit: Some(1), reverse: true }
}

/// The rows of a read, as they are stored.
pub(super) fn stored(db: &mut Cache, read: &Read) -> Run<Vec<Stored>> {
    Ok(db.rows(read)?.iter().map(|row| Stored { key: number(&row.key), text: row.text.clone() }).collect())
}

/// Rows as they are stored, all of one moment: a list for each read. One decision for every reader of the trail, because
/// each kind of decision is code that every page downloads.
#[derive(Clone, Debug)]
pub struct Rows(pub Vec<Read>);

impl Decision for Rows {
    type Out = Vec<Vec<Stored>>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch(self.0.iter().cloned());
        db.settle()?;
        let mut found = Vec::new();
        for read in &self.0 {
            found.push(stored(db, read)?);
        }
        Ok((Vec::new(), found))
    }
}

/// All rows with an entry about an operation.
pub fn rows_about(operation: &str) -> Read {
    Read::index(Table::Audit, KeyRange::only(operation.into()))
}

/// The page that comes after a number in the order; without one, the first.
pub fn page_after(after: Option<u64>, descending: bool) -> Read {
    let bound = after.map(|number| (number.into(), true));
    let range = if descending { KeyRange { lower: None, upper: bound } } else { KeyRange { lower: bound, upper: None } };
    Read::Range { table: Table::Audit, by_index: false, range, limit: Some(PAGE_ROWS), reverse: descending }
}

/// Every session that is kept.
pub fn all_sessions() -> Read {
    Read::range(Table::Sessions, KeyRange::all())
}

/// Every conflict.
pub fn all_conflicts() -> Read {
    Read::range(Table::Conflicts, KeyRange::all())
}

/// How far the trail was verified: what a step gives is what the next one goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifying {
    /// The number of the first row to verify; nothing for all.
    pub from: Option<u64>,
    /// How many rows were in order.
    pub rows: u64,
    /// Where it came; nothing before the first step.
    pub chain: Option<Chain>,
    /// The number of the last row that went with a wipe, or because it was old; 0 where none did.
    pub begins: u64,
    /// Whether all rows before `from` are known to be in order.
    pub whole: bool,
    /// The number of the last row that there is.
    pub last: u64,
    /// Whether this is the end.
    pub done: bool,
    /// What was not in order.
    pub first_bad: Option<FirstBad>,
}

impl Verifying {
    /// Where the answer to the reads has how far the trail was verified.
    pub const VERIFIED_AT: usize = 3;

    /// Whether this is the end and everything was in order.
    pub fn is_ok(&self) -> bool {
        self.done && self.first_bad.is_none()
    }

    /// What the next step looks at.
    pub fn wants(&self) -> Vec<Read> {
        let from = self.from.unwrap_or_default();
        Self::reads(from, self.chain.as_ref().map_or(from.saturating_sub(1), |chain| chain.through))
    }
    /// The page that comes after `through`, the last rows whose keys come from the one counter, and what was noted.
    pub fn reads(from: u64, through: u64) -> Vec<Read> {
        let range = KeyRange::above(through.into());
        let page = Read::Range { table: Table::Audit, by_index: false, range, limit: Some(PAGE_ROWS + 1), reverse: false };
        let [audit, outbox, session] = [Table::Audit, Table::Outbox, Table::Sessions].map(Read::last);
        // The keys of conflicts that other devices met do not come from the counter.
        let met_here = KeyRange { lower: None, upper: Some((NAMED_FROM.into(), true)) };
        let conflicts = Read::Range { table: Table::Conflicts, by_index: false, range: met_here, limit: Some(1), reverse: true };
        vec![page, below(from), Point::anchor(), Point::verified(), audit, outbox, conflicts, session, sinks()]
    }

    /// Takes the answer in.
    pub fn step(mut self, told: &[Vec<Stored>]) -> Self {
        let [rows, start, anchor, verified, audit, outbox, conflicts, session, sinks] = told else { return self };
        let mut known = Point::of(verified).map(|point| (point.number, point.hash));
        let mut chain = self.chain.take().unwrap_or_else(|| {
            // What stands before the first row that is wanted is taken as it is.
            let before = start.first().map(|row| Chain::at(row.key, row.head()));
            let chain = before.unwrap_or_else(Chain::beginning);
            self.whole = chain.through == 0 || known.as_ref().is_some_and(|(number, _)| chain.through <= *number);
            chain
        });
        if let Some(anchor) = Point::of(anchor).filter(|anchor| anchor.number > chain.through) {
            chain = Chain::at(anchor.number, anchor.hash);
            (self.whole, self.begins) = (true, anchor.number);
        }
        known = known.filter(|(number, _)| chain.through <= *number);
        let mut bad = remembered(&chain, &mut known);
        let (page, more) = (page_of(rows), rows.len() > PAGE_ROWS as usize);
        for (at, row) in page.iter().enumerate() {
            if bad.is_none() {
                bad = chain.follow(row, rows.get(at + 1)).err();
                self.rows += u64::from(bad.is_none());
            }
            if bad.is_none() {
                bad = remembered(&chain, &mut known);
            }
        }
        let key = |rows: &[Stored]| rows.first().map_or(0, |row| row.key);
        let taken = sinks.iter().filter_map(|sink| sink.text.parse().ok()).max().unwrap_or(0);
        let taken = session.iter().map(audited).fold(taken, u64::max);
        let told = known.map_or(0, |(number, _)| number).max(key(outbox)).max(key(conflicts)).max(key(audit)).max(taken);
        if bad.is_none() && !more && told > chain.through {
            bad = Some(FirstBad { number: told, reason: Reason::Truncated });
        }
        Self { chain: Some(chain), last: key(audit), done: bad.is_some() || !more, first_bad: bad, ..self }
    }
}

/// Of the rows that a step has read, those that it is about: one more is read to tell whether there is one.
pub fn page_of(rows: &[Stored]) -> &[Stored] {
    &rows[..rows.len().min(PAGE_ROWS as usize)]
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
    /// The server has everything up to here, by its own account.
    Uploaded(Point),
    /// The server did not take what follows: `{reason, number, at}`. Until it takes something.
    Refused(Value),
    /// The whole store was checked.
    Checked(LastCheck),
    /// This sink took everything up to this row. What it took once stays taken.
    Taken(String, u64),
}

impl Decision for Remember {
    /// How far it is now; 0 where that is no row of this trail.
    type Out = u64;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, u64)> {
        let (row, number) = match self {
            Self::Verified(point) => (point.row(VERIFIED), point.number),
            Self::Uploaded(point) => {
                let own = Read::Get(Table::Audit, point.number.into());
                db.prefetch([own.clone(), Point::anchor(), Point::uploaded()]);
                let anchor = Point::of(&stored(db, &Point::anchor())?).filter(|anchor| anchor.number == point.number);
                let own = stored(db, &own)?.pop().map(|row| row.head()).or(anchor.map(|anchor| anchor.hash));
                if own.as_ref() != Some(&point.hash) {
                    return Ok((Vec::new(), 0));
                }
                let known = Point::of(&stored(db, &Point::uploaded())?).map_or(0, |known| known.number);
                let mut batch = vec![Write::Put(Table::State, point.row(UPLOADED))];
                if point.number > known {
                    // It takes something again. Only to hear what it has is no word on what it refused.
                    batch.push(Write::Delete(Table::State, REFUSED.into()));
                }
                return Ok((batch, point.number));
            }
            Self::Refused(told) => (row(REFUSED.into(), told), 0),
            Self::Checked(check) => (row(CHECKED.into(), check), check.at),
            Self::Taken(name, through) => {
                let known: u64 = db.one(&Read::Get(Table::State, sink(name)))?.unwrap_or_default();
                if known >= *through {
                    return Ok((Vec::new(), known));
                }
                (row(sink(name), through), *through)
            }
        };
        Ok((vec![Write::Put(Table::State, row)], number))
    }
}

/// How far the trail went, by what a session noted.
pub(super) fn audited(session: &Stored) -> u64 {
    session.object().and_then(|session| session.get("audit")?.as_u64()).unwrap_or_default()
}

pub(super) fn sinks() -> Read {
    Read::range(Table::State, KeyRange { lower: Some((sink(""), false)), upper: Some(("sink0".into(), true)) })
}

/// Where the trail goes on behind a row that cannot be read: what lies between is a gap, and told as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The row.
    pub row: u64,
    /// From here on it is proved again.
    pub until: Point,
}

impl Gap {
    const NAMES: [&'static str; 2] = ["auditGap/", "auditGap0"];

    /// Reads all of them.
    pub fn all() -> Read {
        let [from, to] = Self::NAMES.map(Key::from);
        Read::range(Table::State, KeyRange { lower: Some((from, false)), upper: Some((to, true)) })
    }
    /// Those that are stored.
    pub fn of(rows: &[Stored]) -> Vec<Self> {
        let one = |row: &Stored| Some(Self { row: row.object()?.get("row")?.as_u64()?, until: Point::of(std::slice::from_ref(row))? });
        rows.iter().filter_map(one).collect()
    }
    /// Behind a row that cannot be read, and the one that follows it: that is linked to the text which stands there, or else, because
    /// nobody knows any more what it was linked to, it is taken as it is.
    pub(super) fn behind(bad: &Stored, next: Option<&Stored>, now: u64) -> Self {
        let not_linked = |row: &&Stored| row.hash().is_some() && Chain::at(bad.key, bad.head()).follow(row, None).is_err();
        let from = next.filter(not_linked).unwrap_or(bad);
        Self { row: bad.key, until: Point { number: from.key, hash: from.head(), at: now } }
    }
    /// As a row.
    pub(super) fn stored(&self) -> Row {
        let mut content = to_value(&self.until);
        content["row"] = self.row.into();
        row([Self::NAMES[0], &self.row.to_string()].concat().as_str().into(), &content)
    }
}

fn sink(name: &str) -> Key {
    ["sink/", name].concat().as_str().into()
}

/// Reads that the server did not take the trail.
pub fn trail_refused() -> Read {
    Read::Get(Table::State, REFUSED.into())
}

/// Reads when the whole store was last checked.
pub fn last_check() -> Read {
    Read::Get(Table::State, CHECKED.into())
}

/// Of these conflicts those that are open.
pub fn open_conflicts(rows: &[Stored]) -> Open {
    let found = |conflict: Object| {
        let open = conflict.get("state").is_some_and(|state| state == "open");
        conflict.get("detectedAt").and_then(Value::as_u64).filter(|_| open)
    };
    let mut open = Open::default();
    for at in rows.iter().filter_map(Stored::object).filter_map(found) {
        open.count += 1;
        open.oldest = Some(open.oldest.map_or(at, |oldest| oldest.min(at)));
    }
    open
}
