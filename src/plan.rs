//! Room `plan`: a decision as a value that asks for rows, sees them, and answers with what to write.
//!
//! A plan runs inside one transaction: it names a set of reads, the store brings them all, the plan looks
//! at them and names the next set or is done. It cannot await anything, so the transaction cannot idle and
//! die. After a lost connection the same plan is run again from the start on what is stored then; its
//! writes are never replayed.
//!
//! To a plan every table is a sorted map of JSON texts. How many records one stored value holds is the
//! store's affair.

use crate::value::{Key, KeyRange};

/// The most rounds of reading in one plan.
pub const ROUNDS_MAX: usize = 8;

/// The nine tables (DESIGN 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Server state as downloaded. Key: generation, entity, real ID.
    Base,
    /// What differs from it. Key: entity and the ID that the record had when the row was made.
    Overlay,
    /// Unfinished operations. Key: client sequence.
    Outbox,
    /// Append-only. Key: client sequence.
    Audit,
    /// An earlier ID to the present one. Key: entity, earlier ID.
    Ids,
    /// Conflicts. Key: client sequence.
    Conflicts,
    /// Sync sessions. Key: counter.
    Sessions,
    /// What could not be read. Key: entity, ID.
    Quarantine,
    /// Checkpoint, epoch, generation, settings. Key: name.
    State,
}

impl Table {
    /// All of them. Whoever opens the database lists every one.
    pub const ALL: [Self; 9] =
        [Self::Base, Self::Overlay, Self::Outbox, Self::Audit, Self::Ids, Self::Conflicts, Self::Sessions, Self::Quarantine, Self::State];
    /// The name of the object store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Overlay => "overlay",
            Self::Outbox => "outbox",
            Self::Audit => "audit",
            Self::Ids => "ids",
            Self::Conflicts => "conflicts",
            Self::Sessions => "sessions",
            Self::Quarantine => "quarantine",
            Self::State => "state",
        }
    }
    /// Whether its rows have index entries. Each entry leads to its row; none is unique.
    pub fn is_indexed(self) -> bool {
        matches!(self, Self::Base | Self::Overlay | Self::Audit | Self::Conflicts)
    }
}

/// A row as a plan sees and writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// Its content: JSON text.
    pub text: String,
    /// Its index entries, for writing. A row that was read has none here, but for [`Read::Whole`].
    pub index: Vec<Key>,
}

/// One read of a round.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// One row by its key.
    Get(Table, Key),
    /// Rows by a range of keys.
    Range {
        /// Of which table.
        table: Table,
        /// Of the row's own keys, or of its index entries.
        by_index: bool,
        /// Which.
        range: KeyRange,
        /// At most so many.
        limit: Option<u32>,
        /// From the last backwards.
        reverse: bool,
    },
    /// Rows by a range of their keys, each with its index entries. For whoever checks those: nobody else needs them.
    Whole {
        /// Of which table.
        table: Table,
        /// Of the rows' own keys.
        range: KeyRange,
        /// At most so many.
        limit: u32,
    },
    /// How many rows lie in a range of keys, or how many index entries do.
    Count {
        /// Of which table.
        table: Table,
        /// Of the rows' own keys, or of their index entries.
        by_index: bool,
        /// Which.
        range: KeyRange,
    },
}

impl Read {
    /// The last row of a table.
    pub fn last(table: Table) -> Self {
        Self::Range { table, by_index: false, range: KeyRange::all(), limit: Some(1), reverse: true }
    }
    /// Every row whose own key lies in the range.
    pub fn range(table: Table, range: KeyRange) -> Self {
        Self::Range { table, by_index: false, range, limit: None, reverse: false }
    }
    /// How many rows have their own key in the range.
    pub fn count(table: Table, range: KeyRange) -> Self {
        Self::Count { table, by_index: false, range }
    }
    /// How many index entries lie in the range.
    pub fn count_index(table: Table, range: KeyRange) -> Self {
        Self::Count { table, by_index: true, range }
    }
    /// Every row with an index entry in the range; a row with two such entries comes twice.
    pub fn index(table: Table, range: KeyRange) -> Self {
        Self::Range { table, by_index: true, range, limit: None, reverse: false }
    }
}

/// The reads of one round, answered together.
pub type ReadSet = Vec<Read>;

/// The answer to one read.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The rows found.
    Rows(Vec<Row>),
    /// How many there are.
    Count(u64),
}

/// What the last round brought, in the order of its reads. Empty before the first round.
#[derive(Clone, Debug, Default)]
pub struct View {
    answers: Vec<Answer>,
}

impl View {
    /// Made by a store.
    pub fn new(answers: Vec<Answer>) -> Self {
        Self { answers }
    }
    /// The rows that read number `at` found.
    pub fn rows(&self, at: usize) -> &[Row] {
        match self.answers.get(at) {
            Some(Answer::Rows(rows)) => rows,
            Some(Answer::Count(_)) | None => &[],
        }
    }
    /// The first row that read number `at` found.
    pub fn row(&self, at: usize) -> Option<&Row> {
        self.rows(at).first()
    }
    /// What the count number `at` counted.
    pub fn count(&self, at: usize) -> u64 {
        match self.answers.get(at) {
            Some(Answer::Count(count)) => *count,
            Some(Answer::Rows(_)) | None => 0,
        }
    }
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Writes a row, over what stood there.
    Put(Table, Row),
    /// Takes a row away.
    Delete(Table, Key),
    /// Takes all rows away whose own keys lie in the range.
    DeleteRange(Table, KeyRange),
}

/// What a plan wants written, in order. An empty one writes nothing.
pub type WriteBatch = Vec<Write>;

/// What a plan does next.
#[derive(Debug)]
pub enum Step<T> {
    /// Reads these, then steps again.
    Read(ReadSet),
    /// Writes this and is done.
    Done(WriteBatch, T),
}

/// A decision over stored rows.
pub trait Plan: Clone + 'static {
    /// What it finds out.
    type Out: 'static;
    /// Sees what the last set of reads brought. Synchronous, without clock, randomness or JavaScript.
    fn step(&mut self, seen: &View) -> Step<Self::Out>;
}
