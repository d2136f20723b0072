//! A check of the stored rows, part by part. Each row is looked at ([`super::look`]); what is not in order is told, and mended
//! where that is asked for ([`super::mend`]), in the transaction that saw it.

use std::rc::Rc;

pub(super) use super::cache::readable;
use super::cache::{Cache, Decision, Run, each};
use super::effects::Effects;
use super::look::{Around, Found};
use super::mend::Mend;
use super::rows::{Device, last_audit, number, seals};
use super::state::SyncState;
use crate::integrity::{Fault, Mended};
use crate::plan::{Read, Row, Table, WriteBatch};
use crate::schema::Schema;
use crate::value::{Key, KeyRange};

/// Rows that one part looks at.
const PART_ROWS: u32 = 250;

/// Looks at the next rows of a table.
#[derive(Clone, Debug)]
pub struct CheckRows {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Which table.
    pub table: Table,
    /// Behind this key; from the first row without one.
    pub after: Option<Key>,
    /// How to mend, if that is wanted.
    pub mend: Option<Mend>,
}

/// What one part found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// How many rows there are in the table; told by its first part alone, because counting takes time.
    pub of: u64,
    /// How many rows were looked at.
    pub rows: u64,
    /// How many of them have no sum: a release without sums wrote them. Of a part that is mended, those that are otherwise in
    /// order: they get one.
    pub unhashed: u64,
    /// What is not in order, and what became of it where it was to be mended.
    pub faults: Vec<(Fault, Option<Mended>)>,
    /// The last row that was looked at, if there can be more.
    pub last: Option<Key>,
    /// Whether what was taken away is to be downloaded anew.
    pub resync: bool,
    /// What changed, if something was mended.
    pub effects: Option<Effects>,
}

impl Decision for CheckRows {
    type Out = Checked;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Checked)> {
        let range = self.after.clone().map_or_else(KeyRange::all, KeyRange::above);
        let read = Read::Whole { table: self.table, range, limit: PART_ROWS };
        let count = Read::count(self.table, KeyRange::all());
        db.prefetch([SyncState::read(), Device::read(), last_audit(), read.clone()]);
        if self.after.is_none() {
            db.prefetch([count.clone()]);
        }
        if self.mend.is_some() {
            db.prefetch([seals()]);
        }
        db.settle()?;
        let rows = db.rows(&read)?.to_vec();
        let around = Around {
            schema: &self.schema,
            table: self.table,
            sync: readable(db, &SyncState::read())?,
            device: readable(db, &Device::read())?,
            last: db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key)),
        };
        let mut part = Checked { rows: rows.len() as u64, ..Checked::default() };
        if self.after.is_none() {
            part.of = db.count(&count)?;
        }
        part.last = rows.last().filter(|_| rows.len() == PART_ROWS as usize).map(|row| row.key.clone());
        let mut seen: Vec<(Row, Found)> = Vec::new();
        each(rows, |row| {
            let found = around.look(db, &row)?;
            seen.push((row, found));
            Ok(())
        })?;
        let mut batch = WriteBatch::new();
        match &self.mend {
            Some(mend) => batch = mend.all(db, &around, seen, &mut part)?,
            None => {
                for (row, found) in seen {
                    part.unhashed += u64::from(found.unhashed);
                    part.faults.extend(found.wrong.map(|wrong| (around.fault(&row.key, wrong), None)));
                }
            }
        }
        Ok((batch, part))
    }
}
