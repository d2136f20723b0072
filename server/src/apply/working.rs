//! The working copy of one upload: the rows that it has read, with what its operations have done so far on
//! top, and what will be written in the end.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::model::{Action, OpId, RecordId, TempId, Version};
use fieldsync::schema::{KeyPolicy, Reference, Schema, references_set};

use super::savepoint::Savepoint;
use super::{Incoming, Stop};
use crate::store::{AuditRow, ChangeRow, Conflict, Found, Receipt, Record, RecordKey, TenantState, UniqueKey, Wanted, WriteBatch};

/// Rows by key. `None` means: asked for, and there is none.
#[derive(Debug)]
pub struct Working {
    pub(super) state: TenantState,
    pub(super) receipts: BTreeMap<OpId, Option<Receipt>>,
    successors: BTreeMap<OpId, BTreeSet<OpId>>,
    /// Whether the counts of lines were made, by the first operation of each.
    pub(super) counted: BTreeMap<OpId, bool>,
    pub(super) temps: BTreeMap<TempId, Option<RecordKey>>,
    pub(super) records: BTreeMap<RecordKey, Option<Record>>,
    pruned: BTreeSet<RecordKey>,
    pub(super) counters: BTreeMap<String, u64>,
    dependents: BTreeMap<RecordKey, BTreeSet<RecordKey>>,
    pub(super) conflicts: BTreeMap<RecordKey, Option<Conflict>>,
    /// Conflicts by their names, as they are stored, with the user whose client met them.
    named: BTreeMap<String, Option<(Conflict, String)>>,
    /// What the records written here refer to now, and the same the other way round.
    pub(super) refers: BTreeMap<RecordKey, Vec<Reference>>,
    pub(super) referred: BTreeMap<RecordKey, BTreeSet<RecordKey>>,
    /// Who holds what for itself, as it is stored.
    uniques: BTreeMap<UniqueKey, BTreeSet<RecordKey>>,
    /// What the records written here hold for themselves now, and the same the other way round.
    pub(super) holds: BTreeMap<RecordKey, Vec<UniqueKey>>,
    pub(super) held: BTreeMap<UniqueKey, BTreeSet<RecordKey>>,
    pub(super) new_temps: BTreeSet<TempId>,
    pub(super) new_counters: BTreeSet<String>,
    pub(super) new_receipts: Vec<OpId>,
    pub(super) new_successors: BTreeMap<OpId, BTreeSet<OpId>>,
    pub(super) new_counted: BTreeSet<OpId>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) groups: Vec<(Version, Version)>,
    pub(super) met_conflicts: BTreeMap<String, Conflict>,
    /// What the creates of the group that is being judged will make: the key of each, and the operation.
    pub(super) promised: BTreeMap<RecordKey, OpId>,
    /// The records that the group which is being judged deletes: they stand in nobody's way.
    pub(super) leaving: BTreeSet<RecordKey>,
    /// Where to go back to, while a group is being judged.
    pub(super) savepoint: Option<Savepoint>,
}

impl Working {
    /// Nothing read, nothing done.
    pub fn new(state: TenantState) -> Self {
        Self {
            state,
            receipts: BTreeMap::new(),
            successors: BTreeMap::new(),
            counted: BTreeMap::new(),
            temps: BTreeMap::new(),
            records: BTreeMap::new(),
            pruned: BTreeSet::new(),
            counters: BTreeMap::new(),
            dependents: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            named: BTreeMap::new(),
            refers: BTreeMap::new(),
            referred: BTreeMap::new(),
            uniques: BTreeMap::new(),
            holds: BTreeMap::new(),
            held: BTreeMap::new(),
            new_temps: BTreeSet::new(),
            new_counters: BTreeSet::new(),
            new_receipts: Vec::new(),
            new_successors: BTreeMap::new(),
            new_counted: BTreeSet::new(),
            changes: Vec::new(),
            groups: Vec::new(),
            met_conflicts: BTreeMap::new(),
            promised: BTreeMap::new(),
            leaving: BTreeSet::new(),
            savepoint: None,
        }
    }

    /// Takes in what was asked for. What this upload already has stays as it is.
    pub fn learn(&mut self, wanted: &Wanted, found: Found) {
        for receipt in &found.successors {
            if let Some(earlier) = &receipt.supersedes {
                self.successors.entry(earlier.clone()).or_default().insert(receipt.operation.clone());
            }
        }
        for receipt in found.receipts.into_iter().chain(found.successors) {
            self.receipts.entry(receipt.operation.clone()).or_insert(Some(receipt));
        }
        for (temp, key) in found.temps {
            self.temps.entry(temp).or_insert(Some(key));
        }
        for record in found.records {
            self.records.entry(record.key.clone()).or_insert(Some(record));
        }
        self.pruned.extend(found.pruned);
        for (entity, last) in found.counters {
            self.counters.entry(entity).or_insert(last);
        }
        for (to, from) in found.dependents {
            self.dependents.entry(to).or_default().insert(from);
        }
        for (unique, key) in found.uniques {
            self.uniques.entry(unique).or_default().insert(key);
        }
        for unique in &wanted.uniques {
            self.uniques.entry(unique.clone()).or_default();
        }
        for conflict in found.conflicts {
            self.conflicts.entry(conflict.key.clone()).or_insert(Some(conflict));
        }
        for (conflict, user) in found.named {
            self.named.insert(conflict.id.clone(), Some((conflict, user)));
        }
        for name in &wanted.named {
            self.named.entry(name.clone()).or_insert(None);
        }
        self.counted.extend(found.counted.into_iter().map(|first| (first, true)));
        for first in &wanted.counted {
            self.counted.entry(first.clone()).or_insert(false);
        }
        for id in &wanted.receipts {
            self.receipts.entry(id.clone()).or_insert(None);
        }
        for id in &wanted.successors {
            self.successors.entry(id.clone()).or_default();
        }
        for temp in &wanted.temps {
            self.temps.entry(temp.clone()).or_insert(None);
        }
        for key in &wanted.records {
            self.records.entry(key.clone()).or_insert(None);
        }
        for entity in &wanted.counters {
            self.counters.entry(entity.clone()).or_insert(0);
        }
        for key in &wanted.dependents {
            self.dependents.entry(key.clone()).or_default();
        }
        for key in &wanted.conflicts {
            self.conflicts.entry(key.clone()).or_insert(None);
        }
    }

    /// What these operations will most likely ask for, as far as it can be told from what is known, so that
    /// a batch is read by a few statements. Called twice: temp IDs come first, the records that they name second.
    pub fn foresee(&self, schema: &Schema, operations: &[Incoming<'_>], former: &BTreeMap<OpId, RecordId>) -> Wanted {
        let mut wanted = Wanted::default();
        for operation in operations.iter().filter_map(|incoming| incoming.operation.as_ref().ok()) {
            wanted.receipts.extend([Some(&operation.id), operation.supersedes.as_ref()].into_iter().flatten().cloned());
            wanted.receipts.extend(operation.base.follows().cloned());
            if operation.is_relative() && *operation.first() != operation.id {
                wanted.receipts.insert(operation.first().clone());
                wanted.counted.insert(operation.first().clone());
            }
            let Some(entity) = schema.entity(&operation.entity) else { continue };
            let own = former.get(&operation.id).into_iter().chain([&operation.record]);
            own.for_each(|id| self.foresee_record(&mut wanted, &operation.entity, id));
            if let Action::Create { data } = &operation.action {
                if entity.key == KeyPolicy::Integer {
                    wanted.counters.insert(operation.entity.clone());
                }
                let held = entity.holdings(data).into_iter();
                wanted.uniques.extend(held.map(|holding| UniqueKey { entity: operation.entity.clone(), holding }));
            }
            for reference in references_set(entity, &operation.action) {
                self.foresee_record(&mut wanted, &reference.entity, &reference.id);
            }
        }
        wanted.receipts.extend(operations.iter().map(|incoming| incoming.id.clone()));
        wanted.receipts.retain(|id| !self.receipts.contains_key(id));
        wanted.counted.retain(|first| !self.counted.contains_key(first));
        wanted.temps.retain(|temp| !self.temps.contains_key(temp));
        wanted.records.retain(|key| !self.records.contains_key(key));
        wanted.counters.retain(|entity| !self.counters.contains_key(entity));
        wanted.uniques.retain(|unique| !self.uniques.contains_key(unique));
        wanted
    }

    fn foresee_record(&self, wanted: &mut Wanted, entity: &str, id: &RecordId) {
        match id.as_temp() {
            None => {
                wanted.records.insert(RecordKey { entity: entity.to_owned(), id: id.clone() });
            }
            Some(temp) => match self.temps.get(&temp) {
                None => {
                    wanted.temps.insert(temp);
                }
                Some(Some(key)) => {
                    wanted.records.insert(key.clone());
                }
                Some(None) => {}
            },
        }
    }

    pub(super) fn receipt(&self, id: &OpId) -> Result<Option<&Receipt>, Stop> {
        let missing = || Stop::missing(Wanted { receipts: [id.clone()].into(), ..Wanted::default() });
        self.receipts.get(id).map(Option::as_ref).ok_or_else(missing)
    }
    /// The operations with a receipt that supersede this one.
    pub(super) fn successors(&self, id: &OpId) -> Result<impl Iterator<Item = &OpId>, Stop> {
        let missing = || Stop::missing(Wanted { successors: [id.clone()].into(), ..Wanted::default() });
        let stored = self.successors.get(id).ok_or_else(missing)?;
        Ok(stored.iter().chain(self.new_successors.get(id).into_iter().flatten()))
    }
    /// Whether the counts of a line were made by another operation than its first.
    pub(super) fn is_counted(&self, first: &OpId) -> Result<bool, Stop> {
        let missing = || Stop::missing(Wanted { counted: [first.clone()].into(), ..Wanted::default() });
        self.counted.get(first).copied().ok_or_else(missing)
    }
    pub(super) fn temp(&self, temp: &TempId) -> Result<Option<&RecordKey>, Stop> {
        let missing = || Stop::missing(Wanted { temps: [temp.clone()].into(), ..Wanted::default() });
        self.temps.get(temp).map(Option::as_ref).ok_or_else(missing)
    }
    pub(super) fn record(&self, key: &RecordKey) -> Result<Option<&Record>, Stop> {
        let missing = || Stop::missing(Wanted { records: [key.clone()].into(), ..Wanted::default() });
        self.records.get(key).map(Option::as_ref).ok_or_else(missing)
    }
    /// Whether there is no such record, nor ever was one: its ID can be given.
    pub(super) fn is_free(&self, key: &RecordKey) -> Result<bool, Stop> {
        Ok(self.record(key)?.is_none() && !self.pruned.contains(key) && !self.promised.contains_key(key))
    }
    /// The last integer ID that was issued for the entity.
    pub(super) fn counter(&self, entity: &str) -> Result<u64, Stop> {
        let missing = || Stop::missing(Wanted { counters: [entity.to_owned()].into(), ..Wanted::default() });
        self.counters.get(entity).map(|last| self.state.issued.max(*last)).ok_or_else(missing)
    }
    /// Whether this operation is the one that makes the record.
    pub(super) fn is_promised(&self, key: &RecordKey, to: &OpId) -> bool {
        self.promised.get(key) == Some(to)
    }
    pub(super) fn open_conflict(&self, key: &RecordKey) -> Result<Option<&Conflict>, Stop> {
        let missing = || Stop::missing(Wanted { conflicts: [key.clone()].into(), ..Wanted::default() });
        self.conflicts.get(key).map(Option::as_ref).ok_or_else(missing)
    }
    /// A conflict by its name, whoever met it, as it is now; and the user whose client that was.
    pub(super) fn named(&self, name: &str) -> Result<Option<(&Conflict, &str)>, Stop> {
        let missing = || Stop::missing(Wanted { named: [name.to_owned()].into(), ..Wanted::default() });
        let stored = self.named.get(name).ok_or_else(missing)?.as_ref();
        Ok(stored.map(|(conflict, user)| (self.met_conflicts.get(name).unwrap_or(conflict), user.as_str())))
    }
    /// The live records, other than itself, that refer to this one now, and do not leave with the group that is being judged.
    pub(super) fn dependents(&self, key: &RecordKey) -> Result<BTreeSet<&RecordKey>, Stop> {
        let missing = || Stop::missing(Wanted { dependents: [key.clone()].into(), ..Wanted::default() });
        let stored = self.dependents.get(key).ok_or_else(missing)?;
        let here = self.referred.get(key).into_iter().flatten().filter(|from| *from != key);
        // What was written here is judged by `referred` alone. But of more than were read nobody knows that they were written.
        let all = stored.len() < Wanted::DEPENDENTS_MAX;
        let below = stored.iter().filter(|from| !(all && self.refers.contains_key(*from)));
        Ok(here.chain(below).filter(|from| !self.leaving.contains(*from)).collect())
    }

    /// Another live record that holds this now.
    pub(super) fn holder(&self, unique: &UniqueKey, own: &RecordKey) -> Result<Option<&RecordKey>, Stop> {
        if let Some(key) = self.held.get(unique).into_iter().flatten().find(|key| *key != own) {
            return Ok(Some(key));
        }
        let missing = || Stop::missing(Wanted { uniques: [unique.clone()].into(), ..Wanted::default() });
        let stored = self.uniques.get(unique).ok_or_else(missing)?;
        // What was written here is judged by `held` alone.
        Ok(stored.iter().find(|key| *key != own && !self.holds.contains_key(*key)))
    }

    /// Receipts that are new, in the order of their operations.
    pub(super) fn new_receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.new_receipts.iter().filter_map(|id| self.receipts.get(id)?.as_ref())
    }

    /// The tenant's counters after what was decided so far.
    pub fn state(&self) -> &TenantState {
        &self.state
    }

    /// How much will be written: change rows, for the log.
    pub fn change_count(&self) -> usize {
        self.changes.len()
    }

    /// What the upload writes, or nothing if it changes nothing.
    pub fn into_batch(mut self, audit: Option<AuditRow>) -> Option<WriteBatch> {
        if self.new_receipts.is_empty() {
            return None;
        }
        let (records, temps) = (&mut self.records, &mut self.temps);
        let receipts = &mut self.receipts;
        let mut conflicts: Vec<_> = self.met_conflicts.into_values().collect();
        // A record may have one open conflict: those that were closed make room first.
        conflicts.sort_by_key(|conflict| conflict.closed_by.is_none());
        Some(WriteBatch {
            state: self.state,
            uniques: self.holds.into_iter().flat_map(|(key, holds)| holds.into_iter().map(move |unique| (unique, key.clone()))).collect(),
            records: self.refers.into_iter().filter_map(|(key, refers)| Some((records.remove(&key)??, refers))).collect(),
            temps: self
                .new_temps
                .into_iter()
                .filter(|_| !fieldsync::planted::is(fieldsync::planted::Bug::ServerTempForgotten))
                .filter_map(|temp| temps.remove_entry(&temp))
                .filter_map(|(temp, key)| Some((temp, key?)))
                .collect(),
            counters: self.new_counters.iter().filter_map(|entity| self.counters.remove_entry(entity)).collect(),
            receipts: self.new_receipts.iter().filter_map(|id| receipts.remove(id)?).collect(),
            counted: self.new_counted.into_iter().collect(),
            changes: self.changes,
            groups: self.groups,
            conflicts,
            audit: audit.into_iter().collect(),
            trail: None,
        })
    }
}
