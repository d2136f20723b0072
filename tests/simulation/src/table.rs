//! One table of a simulated store: rows by key, and the index entries that lead to them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use fieldsync::plan::{Answer, Read, Row};
use fieldsync::value::{Key, KeyRange};

/// Rows in the order of their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: BTreeMap<Key, Row>,
    index: BTreeSet<(Key, Key)>,
}

impl Table {
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.values()
    }
    /// Puts a row, gives back what stood there.
    pub(crate) fn put(&mut self, row: Row) -> Option<Row> {
        let before = self.delete(&row.key);
        self.index.extend(row.index.iter().map(|entry| (entry.clone(), row.key.clone())));
        self.rows.insert(row.key.clone(), row);
        before
    }
    /// Takes a row away, gives it back.
    pub(crate) fn delete(&mut self, key: &Key) -> Option<Row> {
        let before = self.rows.remove(key)?;
        for entry in &before.index {
            self.index.remove(&(entry.clone(), key.clone()));
        }
        Some(before)
    }
    /// The text of a row, to be spoilt or mended.
    pub(crate) fn text(&mut self, key: &Key) -> Option<&mut String> {
        self.rows.get_mut(key).map(|row| &mut row.text)
    }
    /// The text of a row.
    pub(crate) fn text_of(&self, key: &Key) -> Option<&str> {
        self.rows.get(key).map(|row| row.text.as_str())
    }
    /// The keys in a range.
    pub(crate) fn keys(&self, range: &KeyRange) -> Vec<Key> {
        if is_empty(range) { Vec::new() } else { self.rows.range(bounds(range)).map(|(key, _)| key.clone()).collect() }
    }

    /// The index entries in a range, in order.
    fn entries<'t>(&'t self, range: &'t KeyRange) -> impl Iterator<Item = &'t (Key, Key)> {
        // Entries with the same value are told apart by the keys of their rows.
        let from = match &range.lower {
            Some((key, _)) => Bound::Included((key.clone(), Key::Number(f64::NEG_INFINITY))),
            None => Bound::Unbounded,
        };
        let found = self.index.range((from, Bound::Unbounded));
        found
            .skip_while(|(entry, _)| matches!(&range.lower, Some((key, true)) if entry == key))
            .take_while(|(entry, _)| range.upper.as_ref().is_none_or(|(key, open)| if *open { entry < key } else { entry <= key }))
    }

    /// Answers a read of this table.
    pub(crate) fn answer(&self, read: &Read) -> Answer {
        match read {
            Read::Get(_, key) => Answer::Rows(self.rows.get(key).map(plain).into_iter().collect()),
            Read::Count { range, .. } if is_empty(range) => Answer::Count(0),
            Read::Count { by_index: true, range, .. } => Answer::Count(self.entries(range).count() as u64),
            Read::Count { by_index: false, range, .. } => Answer::Count(self.rows.range(bounds(range)).count() as u64),
            Read::Range { range, .. } | Read::Whole { range, .. } if is_empty(range) => Answer::Rows(Vec::new()),
            Read::Whole { range, limit, .. } => {
                Answer::Rows(self.rows.range(bounds(range)).take(*limit as usize).map(|(_, row)| row.clone()).collect())
            }
            Read::Range { by_index, range, limit, reverse, .. } => {
                let limit = limit.map_or(usize::MAX, |limit| limit as usize);
                if *by_index {
                    let mut keys: Vec<&Key> = self.entries(range).map(|(_, key)| key).collect();
                    if *reverse {
                        keys.reverse();
                    }
                    Answer::Rows(keys.into_iter().take(limit).filter_map(|key| self.rows.get(key)).map(plain).collect())
                } else if *reverse {
                    Answer::Rows(self.rows.range(bounds(range)).rev().take(limit).map(|(_, row)| plain(row)).collect())
                } else {
                    Answer::Rows(self.rows.range(bounds(range)).take(limit).map(|(_, row)| plain(row)).collect())
                }
            }
        }
    }
}

fn plain(row: &Row) -> Row {
    Row { key: row.key.clone(), text: row.text.clone(), index: Vec::new() }
}

/// A sorted map refuses a range whose end lies before its beginning; a store answers it with nothing.
fn is_empty(range: &KeyRange) -> bool {
    match (&range.lower, &range.upper) {
        (Some((lower, lower_open)), Some((upper, upper_open))) => lower > upper || (lower == upper && (*lower_open || *upper_open)),
        _ => false,
    }
}

fn bounds(range: &KeyRange) -> (Bound<&Key>, Bound<&Key>) {
    (bound(range.lower.as_ref()), bound(range.upper.as_ref()))
}

fn bound(end: Option<&(Key, bool)>) -> Bound<&Key> {
    match end {
        Some((key, true)) => Bound::Excluded(key),
        Some((key, false)) => Bound::Included(key),
        None => Bound::Unbounded,
    }
}
