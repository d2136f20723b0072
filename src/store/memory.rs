//! The store in memory: sorted maps, nothing durable. Its *packed* mode keeps the base in segments of
//! random size, as a store may that packs many records into one value: nobody above may notice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Counts, Durability, Store, StoreError};
use crate::plan::{Answer, Plan, ROUNDS_MAX, Read, Row, Step, Table, View, Write};
use crate::value::{Key, KeyRange};

/// The most records in a segment of the packed mode.
const SEGMENT_RECORDS_MAX: u64 = 9;

/// A store in memory. Clones share their rows, as tabs share a database.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    tables: Rc<RefCell<BTreeMap<Table, Rows>>>,
    counts: Rc<Cell<Counts>>,
    touched: Rc<Cell<usize>>,
    closed: Rc<Cell<bool>>,
    packed_seed: Option<u64>,
    yields: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
    /// An empty store whose base is packed into segments of random size.
    pub fn packed(seed: u64) -> Self {
        Self { packed_seed: Some(seed), ..Self::default() }
    }
    /// An empty store that lets others run before and after each commit, as a real one does.
    pub fn yielding() -> Self {
        Self { yields: true, ..Self::default() }
    }
    async fn give_way(&self) {
        let mut given = !self.yields;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut given, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }
    /// Another handle on the same rows, open even if this one is closed.
    pub fn reopen(&self) -> Self {
        Self { closed: Rc::default(), ..self.clone() }
    }
    /// How many rows were read and entries counted since it was made, for tests: either takes time for each.
    pub fn touched(&self) -> usize {
        self.touched.get()
    }
    /// Every row of a table, for tests.
    pub fn dump(&self, table: Table) -> Vec<(Key, String)> {
        self.tables
            .borrow()
            .get(&table)
            .map(|rows| rows.range(&KeyRange::all(), false).map(|(key, row)| (key.clone(), row.text.clone())).collect())
            .unwrap_or_default()
    }

    fn answer(&self, read: &Read) -> Answer {
        let tables = self.tables.borrow();
        let plain = |key: &Key, row: &Row| Row { key: key.clone(), text: row.text.clone(), index: Vec::new() };
        match read {
            Read::Get(table, key) => {
                Answer::Rows(tables.get(table).and_then(|rows| rows.get(key)).map(|row| plain(key, row)).into_iter().collect())
            }
            Read::Count { table, by_index, range } => {
                let count = tables.get(table).map_or(0, |rows| match by_index {
                    true => rows.index.iter().filter(|(entry, _)| range.contains(entry)).count(),
                    false => rows.range(range, false).count(),
                });
                Answer::Count(count.try_into().unwrap_or(u64::MAX))
            }
            Read::Whole { table, range, limit } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let found = tables.get(table).map(|rows| rows.range(range, false).take(limit).map(|(_, row)| row.clone()).collect());
                Answer::Rows(found.unwrap_or_default())
            }
            Read::Range { table, by_index, range, limit, reverse } => {
                let limit = limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX));
                let Some(rows) = tables.get(table) else { return Answer::Rows(Vec::new()) };
                let found = if *by_index {
                    let mut entries: Vec<&(Key, Key)> = rows.index.iter().filter(|(entry, _)| range.contains(entry)).collect();
                    if *reverse {
                        entries.reverse();
                    }
                    entries.into_iter().take(limit).filter_map(|(_, key)| rows.get(key).map(|row| plain(key, row))).collect()
                } else {
                    rows.range(range, *reverse).take(limit).map(|(key, row)| plain(key, row)).collect()
                };
                Answer::Rows(found)
            }
        }
    }

    fn run<P: Plan>(&self, mut plan: P, writes: bool) -> Result<(Vec<Write>, P::Out), StoreError> {
        if self.closed.get() {
            return Err(StoreError::Closed);
        }
        let mut seen = View::default();
        for _ in 0..=ROUNDS_MAX {
            match plan.step(&seen) {
                Step::Read(reads) if writes && reads.iter().any(is_long_way_back) => {
                    return Err(StoreError::Contract { reason: "a plan that writes reads backwards one row at a time" });
                }
                Step::Read(reads) => {
                    let answers: Vec<Answer> = reads.iter().map(|read| self.answer(read)).collect();
                    let touched = answers.iter().map(|answer| match answer {
                        Answer::Rows(rows) => rows.len(),
                        Answer::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
                    });
                    self.touched.set(self.touched.get() + touched.sum::<usize>());
                    seen = View::new(answers);
                }
                Step::Done(batch, out) => return Ok((batch, out)),
            }
        }
        Err(StoreError::Contract { reason: "too many rounds of reading" })
    }

    fn apply(&self, batch: Vec<Write>) {
        let mut tables = self.tables.borrow_mut();
        for write in batch {
            let table = match &write {
                Write::Put(table, _) | Write::Delete(table, _) | Write::DeleteRange(table, _) => *table,
            };
            let packed = (table == Table::Base).then_some(self.packed_seed).flatten();
            let rows = tables.entry(table).or_insert_with(|| Rows::new(packed));
            match write {
                Write::Put(_, row) => rows.put(row),
                Write::Delete(_, key) => rows.delete(&key),
                Write::DeleteRange(_, range) => {
                    let keys: Vec<Key> = rows.range(&range, false).map(|(key, _)| key.clone()).collect();
                    keys.iter().for_each(|key| rows.delete(key));
                }
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}

/// A cursor of IndexedDB succeeds once per row: only for one row is its first success its last.
fn is_long_way_back(read: &Read) -> bool {
    matches!(read, Read::Range { limit, reverse: true, .. } if *limit != Some(1))
}

impl Store for MemoryStore {
    async fn transact<P: Plan>(&self, _durability: Durability, plan: P) -> Result<P::Out, StoreError> {
        self.give_way().await;
        let (batch, out) = self.run(plan, true)?;
        self.count(|counts| {
            counts.plans += 1;
            if !batch.is_empty() {
                counts.commits += 1;
                counts.writes += batch.len() as u64;
            }
        });
        self.apply(batch);
        self.give_way().await;
        Ok(out)
    }
    async fn read<P: Plan>(&self, plan: P) -> Result<P::Out, StoreError> {
        self.count(|counts| counts.reads += 1);
        match self.run(plan, false)? {
            (batch, out) if batch.is_empty() => Ok(out),
            _ => Err(StoreError::Contract { reason: "a read wanted to write" }),
        }
    }
    fn counts(&self) -> Counts {
        self.counts.get()
    }
    fn close(&self) {
        self.closed.set(true);
    }
}

/// One table: its rows, and the index entries that lead to them.
#[derive(Debug)]
struct Rows {
    rows: Layout,
    index: BTreeSet<(Key, Key)>,
}

/// How the rows lie.
#[derive(Debug)]
enum Layout {
    /// Each for itself.
    Plain(BTreeMap<Key, Row>),
    /// In segments, by the key of their first row.
    Packed { segments: BTreeMap<Key, Vec<Row>>, random: u64 },
}

impl Rows {
    fn new(packed: Option<u64>) -> Self {
        let rows = match packed {
            None => Layout::Plain(BTreeMap::new()),
            Some(seed) => Layout::Packed { segments: BTreeMap::new(), random: seed },
        };
        Self { rows, index: BTreeSet::new() }
    }

    fn get(&self, key: &Key) -> Option<&Row> {
        match &self.rows {
            Layout::Plain(rows) => rows.get(key),
            Layout::Packed { segments, .. } => {
                let (_, segment) = segments.range(..=key.clone()).next_back()?;
                segment.iter().find(|row| row.key == *key)
            }
        }
    }

    fn range<'r>(&'r self, range: &'r KeyRange, reverse: bool) -> Box<dyn Iterator<Item = (&'r Key, &'r Row)> + 'r> {
        let all: Box<dyn DoubleEndedIterator<Item = (&Key, &Row)>> = match &self.rows {
            Layout::Plain(rows) => Box::new(rows.iter()),
            Layout::Packed { segments, .. } => Box::new(segments.values().flatten().map(|row| (&row.key, row))),
        };
        let found = all.filter(|(key, _)| range.contains(key));
        if reverse { Box::new(found.rev()) } else { Box::new(found) }
    }

    fn put(&mut self, row: Row) {
        self.delete(&row.key);
        self.index.extend(row.index.iter().map(|entry| (entry.clone(), row.key.clone())));
        match &mut self.rows {
            Layout::Plain(rows) => {
                rows.insert(row.key.clone(), row);
            }
            Layout::Packed { segments, random } => pack(segments, random, row),
        }
    }

    fn delete(&mut self, key: &Key) {
        let Some(old) = self.get(key).cloned() else { return };
        for entry in old.index {
            self.index.remove(&(entry, key.clone()));
        }
        match &mut self.rows {
            Layout::Plain(rows) => {
                rows.remove(key);
            }
            Layout::Packed { segments, .. } => {
                let Some(first) = segments.range(..=key.clone()).next_back().map(|(first, _)| first.clone()) else { return };
                let mut segment = segments.remove(&first).unwrap_or_default();
                segment.retain(|row| row.key != *key);
                if let Some(row) = segment.first() {
                    segments.insert(row.key.clone(), segment);
                }
            }
        }
    }
}

/// Puts a row into the segment where it belongs and splits that at a random place when it grew too long.
fn pack(segments: &mut BTreeMap<Key, Vec<Row>>, random: &mut u64, row: Row) {
    let first = segments.range(..=row.key.clone()).next_back().map(|(first, _)| first.clone());
    let mut segment = first.and_then(|first| segments.remove(&first)).unwrap_or_default();
    let at = segment.partition_point(|other| other.key < row.key);
    segment.insert(at, row);
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let longest = usize::try_from(1 + (*random >> 33) % SEGMENT_RECORDS_MAX).unwrap_or(1);
    while segment.len() > longest {
        let rest = segment.split_off(longest);
        if let Some(row) = segment.first() {
            segments.insert(row.key.clone(), segment);
        }
        segment = rest;
    }
    if let Some(row) = segment.first() {
        segments.insert(row.key.clone(), segment);
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;
    use futures_executor::block_on;

    #[test]
    fn the_memory_store_keeps_the_contract() {
        for case in contract::CASES {
            block_on(contract::run(case, MemoryStore::new(), async |store: &MemoryStore| store.reopen()));
        }
    }

    #[test]
    fn the_packed_store_keeps_the_contract() {
        for seed in 0..20 {
            for case in contract::CASES {
                block_on(contract::run(case, MemoryStore::packed(seed), async |store: &MemoryStore| store.reopen()));
            }
        }
    }
}
