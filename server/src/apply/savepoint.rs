//! Writing into the working copy, and taking it back: while a savepoint is open, every write notes what stood there
//! before. So a group costs what it writes, however large the batch around it is.

use fieldsync::model::{OpId, TempId, Version};
use fieldsync::protocol::Outcome;
use fieldsync::schema::Reference;

use super::Working;
use crate::store::{ChangeRow, Conflict, Receipt, Record, RecordKey, TenantState, UniqueKey};

/// Where to go back to.
#[derive(Debug)]
pub(super) struct Savepoint {
    pub(super) state: TenantState,
    changes: usize,
    receipts: usize,
    writes: Vec<Undo>,
}

impl Savepoint {
    /// The version of the first change since.
    pub(super) fn first_change(&self, changes: &[ChangeRow]) -> Option<Version> {
        changes.get(self.changes).map(|change| change.version)
    }
}

/// What a write replaced. The outer `Option` is whether anything was known of it.
#[derive(Debug)]
enum Undo {
    Temp(TempId),
    Counter { entity: String, last: Option<u64>, new: bool },
    Record { key: RecordKey, record: Option<Option<Record>>, refers: Option<Vec<Reference>>, holds: Option<Vec<UniqueKey>> },
    Open { key: RecordKey, open: Option<Option<Conflict>> },
    Conflict { id: String, met: Option<Conflict> },
    Receipt { operation: OpId, supersedes: Option<OpId> },
    Counted { first: OpId, before: Option<bool>, new: bool },
}

impl Working {
    /// Notes that the changes from this version on come to everybody at once; those of a group do so anyway.
    pub(super) fn keep_together(&mut self, first: Version) {
        if self.savepoint.is_none() && first < self.state.sequence {
            self.groups.push((first, self.state.sequence));
        }
    }

    /// Opens a savepoint, where none is open.
    pub(super) fn begin_group(&mut self) {
        let here =
            || Savepoint { state: self.state.clone(), changes: self.changes.len(), receipts: self.new_receipts.len(), writes: Vec::new() };
        if self.savepoint.is_none() {
            self.savepoint = Some(here());
        }
    }

    /// Lets what was written since the savepoint stand.
    pub(super) fn keep_group(&mut self) {
        let before = self.savepoint.take().map_or(self.changes.len(), |savepoint| savepoint.changes);
        if let [first, .., last] = &self.changes[before..] {
            self.groups.push((first.version, last.version));
        }
        self.promised.clear();
        self.leaving.clear();
    }

    /// Takes back what was written since the savepoint. What was read stays known.
    pub(super) fn undo_group(&mut self) {
        let Some(savepoint) = self.savepoint.take() else { return };
        self.promised.clear();
        self.leaving.clear();
        self.state = savepoint.state;
        self.changes.truncate(savepoint.changes);
        self.new_receipts.truncate(savepoint.receipts);
        for write in savepoint.writes.into_iter().rev() {
            self.undo(write);
        }
    }

    fn undo(&mut self, write: Undo) {
        match write {
            Undo::Temp(temp) => {
                self.new_temps.remove(&temp);
                // It was looked up before it was given a meaning, and had none.
                self.temps.insert(temp, None);
            }
            Undo::Counter { entity, last, new } => {
                if new {
                    self.new_counters.remove(&entity);
                }
                match last {
                    Some(last) => self.counters.insert(entity, last),
                    None => self.counters.remove(&entity),
                };
            }
            Undo::Record { key, record, refers, holds } => {
                self.set_refers(&key, refers);
                self.set_holds(&key, holds);
                match record {
                    Some(record) => self.records.insert(key, record),
                    None => self.records.remove(&key),
                };
            }
            Undo::Open { key, open } => {
                match open {
                    Some(open) => self.conflicts.insert(key, open),
                    None => self.conflicts.remove(&key),
                };
            }
            Undo::Conflict { id, met } => {
                match met {
                    Some(met) => self.met_conflicts.insert(id, met),
                    None => self.met_conflicts.remove(&id),
                };
            }
            Undo::Receipt { operation, supersedes } => {
                if let Some(later) = supersedes.and_then(|earlier| self.new_successors.get_mut(&earlier)) {
                    later.remove(&operation);
                }
                self.receipts.insert(operation, None);
            }
            Undo::Counted { first, before, new } => {
                if new {
                    self.new_counted.remove(&first);
                }
                match before {
                    Some(before) => self.counted.insert(first, before),
                    None => self.counted.remove(&first),
                };
            }
        }
    }

    fn note(&mut self, write: Undo) {
        if let Some(savepoint) = &mut self.savepoint {
            savepoint.writes.push(write);
        }
    }

    pub(super) fn put_temp(&mut self, temp: TempId, key: RecordKey) {
        self.note(Undo::Temp(temp.clone()));
        self.new_temps.insert(temp.clone());
        self.temps.insert(temp, Some(key));
    }

    pub(super) fn put_counter(&mut self, entity: &str, last: u64) {
        let new = self.new_counters.insert(entity.to_owned());
        let before = self.counters.insert(entity.to_owned(), last);
        self.note(Undo::Counter { entity: entity.to_owned(), last: before, new });
    }

    pub(super) fn put_record(&mut self, record: Record, references: Vec<Reference>, holds: Vec<UniqueKey>, change: ChangeRow) {
        let key = record.key.clone();
        let refers = self.set_refers(&key, Some(references));
        let holds = self.set_holds(&key, Some(holds));
        let record = self.records.insert(key.clone(), Some(record));
        self.note(Undo::Record { key, record, refers, holds });
        self.changes.push(change);
    }

    /// Notes what a record written here refers to, both ways round. Returns what it referred to before.
    fn set_refers(&mut self, key: &RecordKey, now: Option<Vec<Reference>>) -> Option<Vec<Reference>> {
        let target = |reference: &Reference| RecordKey { entity: reference.entity.clone(), id: reference.id.clone() };
        let before = self.refers.remove(key);
        for reference in before.iter().flatten() {
            if let Some(from) = self.referred.get_mut(&target(reference)) {
                from.remove(key);
            }
        }
        if let Some(now) = now {
            for reference in &now {
                self.referred.entry(target(reference)).or_default().insert(key.clone());
            }
            self.refers.insert(key.clone(), now);
        }
        before
    }

    /// Notes what a record written here holds for itself, both ways round. Returns what it held before.
    fn set_holds(&mut self, key: &RecordKey, now: Option<Vec<UniqueKey>>) -> Option<Vec<UniqueKey>> {
        let before = self.holds.remove(key);
        for unique in before.iter().flatten() {
            if let Some(holders) = self.held.get_mut(unique) {
                holders.remove(key);
            }
        }
        if let Some(now) = now {
            for unique in &now {
                self.held.entry(unique.clone()).or_default().insert(key.clone());
            }
            self.holds.insert(key.clone(), now);
        }
        before
    }

    /// A conflict in its new state; `own` if it is one of the sending client, which has one open at most over a record.
    pub(super) fn put_conflict(&mut self, conflict: Conflict, own: bool) {
        if own {
            let open = self.conflicts.insert(conflict.key.clone(), conflict.closed_by.is_none().then(|| conflict.clone()));
            self.note(Undo::Open { key: conflict.key.clone(), open });
        }
        let id = conflict.id.clone();
        let met = self.met_conflicts.insert(id.clone(), conflict);
        self.note(Undo::Conflict { id, met });
    }

    pub(super) fn put_receipt(&mut self, receipt: Receipt) {
        let (operation, supersedes) = (receipt.operation.clone(), receipt.supersedes.clone());
        if let Some(earlier) = &supersedes {
            self.new_successors.entry(earlier.clone()).or_default().insert(operation.clone());
        }
        self.new_receipts.push(operation.clone());
        self.receipts.insert(operation.clone(), Some(receipt));
        self.note(Undo::Receipt { operation, supersedes });
    }

    pub(super) fn put_counted(&mut self, first: OpId) {
        let new = self.new_counted.insert(first.clone());
        let before = self.counted.insert(first.clone(), true);
        self.note(Undo::Counted { first, before, new });
    }

    /// Another outcome in a receipt that was put since the savepoint: taken back with it.
    pub(super) fn amend_receipt(&mut self, operation: &OpId, outcome: &Outcome) {
        if let Some(Some(receipt)) = self.receipts.get_mut(operation) {
            receipt.outcome = outcome.clone();
        }
    }
}
