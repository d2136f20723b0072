//! What one written row changes in what is known of a database, and what is wrong with the row by itself: it cannot
//! be read, the trail does not continue, a sealed operation is another, a version goes back.

use std::collections::btree_map;

use fieldsync::audit::{Event, Row as AuditRow};
use fieldsync::conflict::{Conflict, ConflictState};
use fieldsync::model::{RecordId, Version};
use fieldsync::outbox::OutboxRow;
use fieldsync::plan::{Row, Table};
use fieldsync::value::{Hash, Key, canonical, hash_bytes, to_value};
use serde::Deserialize;
use serde_json::Value;

use crate::oracle::lines::Seen;
use crate::oracle::stored::{Queued, Stored, number};
use crate::seams::server::lock;
use crate::sim::{Invariant, Sim};

#[derive(Deserialize)]
pub(super) struct StateSeen {
    pub(super) version: Version,
}

#[derive(Deserialize)]
pub(super) struct Listed {
    pub(super) seq: u64,
}

#[derive(Deserialize)]
pub(super) struct OverlaySeen {
    pub(super) ops: Vec<Listed>,
    pub(super) version: Option<Version>,
    pub(super) waiting: Option<StateSeen>,
    pub(super) key: RecordId,
    pub(super) id: RecordId,
    /// Its text, in which no temp ID may stand that has become a real one, but its own.
    #[serde(skip)]
    pub(super) text: String,
}

#[derive(Deserialize)]
struct BaseSeen {
    version: Version,
}

impl Stored {
    pub(super) fn put(&mut self, sim: Option<&Sim>, table: Table, row: &Row) -> Result<(), (Invariant, String)> {
        let unreadable = |error: serde_json::Error| (Invariant::Sound, format!("a row of {table:?} cannot be read: {error}: {}", row.text));
        match table {
            Table::Audit => {
                let audit: AuditRow = serde_json::from_str(&row.text).map_err(unreadable)?;
                let previous = self.last.as_ref();
                if previous.is_some_and(|(seq, _)| *seq >= audit.seq) {
                    return Err((Invariant::I12, format!("the audit row {} comes after {:?}", audit.seq, previous)));
                }
                let link = link(&audit, previous.map(|(_, hash)| hash));
                let (seq, holds) = (audit.seq, link == audit.hash);
                lock(&self.truth.watch).commits.rows.insert(audit.hash.clone());
                self.audit.insert(seq, audit.clone());
                self.last = Some((audit.seq, audit.hash));
                if let Some(sim) = sim {
                    self.last_coalesced = audit.entries.iter().any(|entry| matches!(entry.event, Event::Coalesced { by: Some(_), .. }));
                    audit.entries.iter().filter_map(|entry| named(&entry.event)).for_each(|name| sim.mark(name));
                    let anew = audit.entries.iter().filter(|entry| matches!(entry.event, Event::Superseded { .. })).count();
                    if anew > 1 {
                        sim.mark("group issued anew");
                    }
                    let written = audit.entries.iter().filter(|entry| matches!(entry.event, Event::Written { .. }));
                    let mut watch = lock(&self.truth.watch);
                    watch
                        .commits
                        .written
                        .entry(self.truth.tenant.clone())
                        .or_default()
                        .extend(written.map(|entry| entry.operation.clone()));
                }
                for entry in audit.entries {
                    if let Event::Superseded { by } | Event::Coalesced { by: Some(by), .. } = &entry.event {
                        lock(&self.truth.watch).commits.lines.became(&entry.operation, by);
                    }
                    if matches!(entry.event, Event::Amended { .. }) {
                        lock(&self.truth.watch).commits.lines.joined(&entry.operation);
                    }
                    if let Event::Coalesced { by: Some(by), .. } = &entry.event {
                        self.joined.insert(entry.operation.clone(), self.trail.get(by).map_or(0, Vec::len));
                    }
                    self.trail.entry(entry.operation).or_default().push(entry.event);
                }
                if !holds {
                    return Err((Invariant::I12, format!("the audit row {seq} does not continue the one before")));
                }
            }
            Table::Outbox => {
                let stored: OutboxRow = serde_json::from_str(&row.text).map_err(unreadable)?;
                let operation = stored
                    .operation()
                    .map_err(|error| (Invariant::Sound, format!("an operation cannot be read: {error}: {}", row.text)))?;
                let seq = number(&row.key);
                let overlay = [operation.entity.as_str().into(), stored.row.to_key()].into();
                let saw = || {
                    let row = self.overlay.get(&overlay)?;
                    let text: Value = serde_json::from_str(&row.text).ok()?;
                    let before = row.ops.iter().map_while(|op| (op.seq != seq).then_some(op.seq));
                    let under = before.filter_map(|seq| self.outbox.get(&seq)).map(|queued| queued.operation.id.clone());
                    Some(Seen { version: row.version?, data: text.get("base").cloned().unwrap_or_default(), under: under.collect() })
                };
                // What was imported was written elsewhere.
                if !stored.is_imported() {
                    lock(&self.truth.watch).commits.lines.drafted(&operation, &self.name, saw);
                }
                let before = self.outbox.get(&seq).map(|queued| queued.body == stored.body);
                self.outbox.insert(seq, Queued { operation, body: stored.body, state: stored.state, waits_for: stored.waits_for, overlay });
                if before == Some(false) && self.seals.contains(seq) {
                    return Err((Invariant::I16, format!("the sealed operation {seq} was rewritten")));
                }
            }
            Table::Overlay => {
                let mut seen: OverlaySeen = serde_json::from_str(&row.text).map_err(unreadable)?;
                seen.text.clone_from(&row.text);
                self.unlist(&row.key);
                for op in &seen.ops {
                    self.listed.entry(op.seq).or_default().push(row.key.clone());
                }
                if let (Some(sim), true) = (sim, seen.waiting.is_some()) {
                    sim.mark("state waited for an outcome");
                }
                let now = seen.version;
                self.records.put(&row.key, self.overlay.get(&row.key), Some(&seen));
                let before = self.overlay.insert(row.key.clone(), seen).and_then(|row| row.version);
                if before > now {
                    return Err((Invariant::I5, format!("the version of {:?} went back from {before:?} to {now:?}", row.key)));
                }
            }
            Table::Base => {
                let seen: BaseSeen = serde_json::from_str(&row.text).map_err(unreadable)?;
                let before = self.base.insert(row.key.clone(), seen.version);
                if before > Some(seen.version) {
                    return Err((Invariant::I5, format!("the base of {:?} went back from {before:?} to {}", row.key, seen.version)));
                }
            }
            Table::State => match &row.key {
                Key::Text(name) if name == "seals" => self.seals = serde_json::from_str(&row.text).map_err(unreadable)?,
                Key::Text(name) if name == "sync" => {
                    #[derive(Deserialize)]
                    struct Seen {
                        epoch: Option<String>,
                        through: Option<Version>,
                        generation: u64,
                        covers: Vec<String>,
                    }
                    let seen: Seen = serde_json::from_str(&row.text).map_err(unreadable)?;
                    if self.epoch.is_some() && self.epoch != seen.epoch {
                        self.records.forget();
                        self.base.clear();
                        self.overlay.values_mut().for_each(|row| row.version = None);
                    }
                    if let (Some(sim), true) = (sim, seen.generation > self.generation) {
                        sim.mark("another generation filled");
                    }
                    (self.epoch, self.through, self.generation, self.covers) = (seen.epoch, seen.through, seen.generation, seen.covers);
                }
                _ => {}
            },
            Table::Conflicts => {
                let conflict: Conflict = serde_json::from_str(&row.text).map_err(unreadable)?;
                if conflict.state != ConflictState::Open {
                    self.ended.insert(row.key.clone(), row.text.clone());
                }
                if let (Some(sim), Some("rule")) = (sim, conflict.resolved_by.as_deref()) {
                    sim.mark("conflict by rule");
                }
                // What another device met says something here once a person has decided it here, and no operation waits.
                if conflict.met_at_offset_ms.is_none() || conflict.resolved_by.is_some() {
                    lock(&self.truth.watch).commits.lines.met(&conflict);
                }
                if conflict.met_at_offset_ms.is_none() {
                    self.decisions.put(&conflict);
                }
            }
            Table::Ids | Table::Sessions | Table::Quarantine => {}
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, table: Table, key: &Key) {
        match table {
            Table::Outbox => drop(self.outbox.remove(&number(key))),
            Table::Overlay => {
                self.unlist(key);
                let before = self.overlay.remove(key);
                self.records.put(key, before.as_ref(), None);
            }
            Table::Base => drop(self.base.remove(key)),
            Table::Audit | Table::Ids | Table::Conflicts | Table::Sessions | Table::Quarantine | Table::State => {}
        }
    }

    fn unlist(&mut self, key: &Key) {
        for op in self.overlay.get(key).iter().flat_map(|row| &row.ops) {
            if let btree_map::Entry::Occupied(mut rows) = self.listed.entry(op.seq) {
                rows.get_mut().retain(|row| row != key);
                if rows.get().is_empty() {
                    rows.remove();
                }
            }
        }
    }
}

/// The mark of an event.
fn named(event: &Event) -> Option<&'static str> {
    match event {
        Event::Conflict { .. } => Some("conflict for a person"),
        Event::Parked { .. } => Some("operation parked"),
        Event::Superseded { .. } => Some("operation superseded"),
        Event::Coalesced { .. } => Some("coalesced"),
        Event::Rebased { .. } => Some("base rebased"),
        _ => None,
    }
}

/// The link of an audit row, computed by what the documentation says of it.
pub(super) fn link(row: &AuditRow, previous: Option<&Hash>) -> Hash {
    let mut content = to_value(row);
    if let Some(fields) = content.as_object_mut() {
        fields.remove("hash");
    }
    let mut bytes = vec![1];
    bytes.extend_from_slice(previous.unwrap_or(&Hash::zero()).as_str().as_bytes());
    bytes.extend_from_slice(canonical(&content).as_bytes());
    hash_bytes(&bytes)
}
