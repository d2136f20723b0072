//! What a decision has read so far, and the loop that fetches what it still misses.

use serde::de::DeserializeOwned;

use crate::plan::{Answer, Plan, Read, Row, Step, Table, View, WriteBatch};
use crate::planted::{Bug, is};
use crate::value::from_text;

/// A row that cannot be read: damaged, or written by a newer release of the app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of '{table}' cannot be read: {reason}")]
pub struct Corrupt {
    /// Stable: `integrity`, or `outdated` where a newer release knows better.
    pub code: &'static str,
    /// The table.
    pub table: &'static str,
    /// What the parser said.
    pub reason: String,
}

/// Why a decision stopped before its end.
#[derive(Debug)]
pub enum Stop {
    /// Rows are missing; they have been noted.
    Wait,
    /// A row cannot be read. Boxed: every step hands it on, and nearly none has it (measured: 2 % of the module).
    Corrupt(Box<Corrupt>),
}

impl Stop {
    /// A row that cannot be read.
    pub(super) fn corrupt(code: &'static str, table: Table, reason: String) -> Self {
        Self::Corrupt(Box::new(Corrupt { code, table: table.name(), reason }))
    }
}

/// An operation in the outbox that cannot be read.
#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
pub(super) fn unreadable(error: crate::value::ReadError) -> Stop {
    Stop::corrupt("integrity", Table::Outbox, error.to_string())
}

/// What only a newer release of the app can write.
pub(super) fn outdated(table: Table, entity: &str) -> Stop {
    Stop::corrupt("outdated", table, format!("a newer release of the app declares {entity}"))
}

/// The result of one run of a decision.
pub(super) type Run<T> = Result<T, Stop>;

/// One after another. Where rows are missing the others still name theirs, so that they all come in one round.
pub(super) fn each<T>(items: impl IntoIterator<Item = T>, mut one: impl FnMut(T) -> Run<()>) -> Run<()> {
    let mut missing = false;
    for item in items {
        match one(item) {
            Err(Stop::Wait) => missing = true,
            done => done?,
        }
    }
    if missing { Err(Stop::Wait) } else { Ok(()) }
}

/// The rows read so far.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    /// Sorted by what was asked.
    answers: Vec<(Read, Answer)>,
    wanted: Vec<Read>,
}

impl Cache {
    /// Notes that these will be needed, so that they come in one round with whatever stops the decision.
    pub fn prefetch(&mut self, reads: impl IntoIterator<Item = Read>) {
        for read in reads {
            if self.known(&read).is_none() {
                self.wanted.push(read);
            }
        }
    }
    fn known(&self, read: &Read) -> Option<usize> {
        self.answers.binary_search_by(|(known, _)| known.cmp(read)).ok()
    }
    fn answer(&mut self, read: &Read) -> Run<&Answer> {
        match self.known(read) {
            Some(at) => Ok(&self.answers[at].1),
            None => {
                self.wanted.push(read.clone());
                Err(Stop::Wait)
            }
        }
    }
    /// The rows of one read.
    pub fn rows(&mut self, read: &Read) -> Run<&[Row]> {
        match self.answer(read)? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Count(_) => Ok(&[]),
        }
    }
    /// How many rows one read counts.
    pub fn count(&mut self, read: &Read) -> Run<u64> {
        match self.answer(read)? {
            Answer::Count(count) => Ok(*count),
            Answer::Rows(_) => Ok(0),
        }
    }
    /// The contents of all rows of one read.
    pub fn all<T: DeserializeOwned>(&mut self, read: &Read) -> Run<Vec<T>> {
        let table = table(read);
        self.rows(read)?.iter().map(|row| parse(table, &row.text)).filter(|row| row.is_ok() || !is(Bug::RottenIgnored)).collect()
    }
    /// The content of the first row of one read.
    pub fn one<T: DeserializeOwned>(&mut self, read: &Read) -> Run<Option<T>> {
        let table = table(read);
        self.rows(read)?.first().map(|row| parse(table, &row.text)).filter(|row| row.is_ok() || !is(Bug::RottenIgnored)).transpose()
    }
    /// Goes on only when everything that was prefetched is there.
    pub fn settle(&mut self) -> Run<()> {
        if self.wanted.is_empty() { Ok(()) } else { Err(Stop::Wait) }
    }
    /// The rows of a table that were read, whatever was asked.
    pub(super) fn seen(&self, wanted: Table) -> impl Iterator<Item = &Row> {
        let answers = self.answers.iter().filter(move |(read, _)| table(read) == wanted);
        answers.flat_map(|(_, answer)| match answer {
            Answer::Rows(rows) => &rows[..],
            Answer::Count(_) => &[],
        })
    }
    fn absorb(&mut self, asked: Vec<Read>, seen: &View) {
        // Both are sorted: one walk puts them together.
        let mut before = std::mem::take(&mut self.answers).into_iter().peekable();
        for (at, read) in asked.into_iter().enumerate() {
            while let Some(earlier) = before.next_if(|(earlier, _)| *earlier < read) {
                self.answers.push(earlier);
            }
            let answer = match &read {
                Read::Count { .. } => Answer::Count(seen.count(at)),
                Read::Get(..) | Read::Range { .. } | Read::Whole { .. } => Answer::Rows(seen.rows(at).to_vec()),
            };
            self.answers.push((read, answer));
        }
        self.answers.extend(before);
    }
}

fn table(read: &Read) -> Table {
    match read {
        Read::Get(table, _) | Read::Range { table, .. } | Read::Whole { table, .. } | Read::Count { table, .. } => *table,
    }
}

fn parse<T: DeserializeOwned>(table: Table, text: &str) -> Run<T> {
    from_text(text).map_err(|error| Stop::corrupt("integrity", table, error.to_string()))
}

/// The first row of a read, if there is one and it can be read.
pub(super) fn readable<T: DeserializeOwned>(db: &mut Cache, read: &Read) -> Run<Option<T>> {
    Ok(db.rows(read)?.first().and_then(|row| from_text(&row.text).ok()))
}

/// The rows of a read that can be read. The others are faults that a check names, and hide none of these.
pub(super) fn all_readable<T: DeserializeOwned>(db: &mut Cache, read: &Read) -> Run<Vec<T>> {
    Ok(db.rows(read)?.iter().filter_map(|row| from_text(&row.text).ok()).collect())
}

/// A decision over stored rows, written as one story.
pub trait Decision: Clone + 'static {
    /// What it finds out.
    type Out: 'static;
    /// Runs from the top over what has been read, and stops where a row is missing.
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)>;
}

/// A decision as a plan.
#[derive(Clone, Debug)]
pub struct Planned<D> {
    decision: D,
    cache: Cache,
}

impl<D: Decision> Planned<D> {
    /// Makes a plan of a decision.
    pub fn new(decision: D) -> Self {
        Self { decision, cache: Cache::default() }
    }
}

impl<D: Decision> Plan for Planned<D> {
    type Out = Result<D::Out, Corrupt>;

    fn step(&mut self, seen: &View) -> Step<Self::Out> {
        let asked = std::mem::take(&mut self.cache.wanted);
        self.cache.absorb(asked, seen);
        match self.decision.decide(&mut self.cache) {
            Ok((batch, out)) => Step::Done(batch, Ok(out)),
            Err(Stop::Corrupt(corrupt)) => Step::Done(Vec::new(), Err(*corrupt)),
            Err(Stop::Wait) => {
                self.cache.wanted.sort_unstable();
                self.cache.wanted.dedup();
                Step::Read(self.cache.wanted.clone())
            }
        }
    }
}
