//! The trails of devices, as the server has them: each continues where it ended, holds what a device wrote and nothing else,
//! and none has two ends. Where a device lets old rows go, what is open keeps its own, and the server has them all.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::audit::{Event, Row as AuditRow, Stored as StoredRow};
use fieldsync::plan::{Table, Write};
use fieldsync::value::Hash;
use serde_json::Value;

use super::stored::Stored;
use super::written::link;
use crate::seams::server::lock;
use crate::sim::{Invariant, Sim};
use crate::world::{Database, World};

/// Fewer rows of a trail are written between the last session and the end, when nothing moves any more.
const LATEST: usize = 8;

/// What the server has of the trails of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trails {
    /// Number and hash of the last row, by device.
    heads: BTreeMap<String, (u64, Hash)>,
    pub(crate) rows: BTreeSet<Hash>,
}

impl Trails {
    /// A row of the tenant's chain is about to be committed. `written` are the rows that devices have stored, whenever.
    pub(super) fn take(&mut self, content: &Value, written: &BTreeSet<Hash>) -> Result<(), String> {
        let (trail, device) = (&content["trail"], content["client"].as_str().unwrap_or_default());
        if content["refused"] == "audit_refused" {
            // A restored server has less than its devices think, and says so.
            let lost = trail["reason"] == "gap";
            return if lost { Ok(()) } else { Err(format!("the trail of {device} is refused: {content}")) };
        }
        let Some(rows) = trail["rows"].as_array() else { return Ok(()) };
        let (through, mut head) = self.heads.get(device).cloned().unwrap_or((0, Hash::zero()));
        if trail["after"].as_u64() != Some(through) {
            return Err(format!("the trail of {device} ends at {through}, and rows are put behind {}", trail["after"]));
        }
        // What went with a wipe is not there to be followed.
        let mut follows = trail.get("begins").is_none();
        let mut last = through;
        for row in rows {
            let row: AuditRow = serde_json::from_value(row.clone()).map_err(|error| format!("{device}: {error}: {row}"))?;
            if row.seq <= last || follows && link(&row, Some(&head)) != row.hash {
                return Err(format!("row {} of {device} does not continue {last}", row.seq));
            }
            if !written.contains(&row.hash) {
                return Err(format!("row {} of {device} was never written there", row.seq));
            }
            self.rows.insert(row.hash.clone());
            (last, head, follows) = (row.seq, row.hash, true);
        }
        self.heads.insert(device.to_owned(), (last, head));
        Ok(())
    }
}

impl Stored {
    /// Old rows of the trail go: they were all taken by the server, where it takes them, and tell of nothing that is open.
    pub(super) fn purged(&mut self, sim: &Sim, batch: &[Write]) {
        let range = batch.iter().find_map(|write| match write {
            Write::DeleteRange(Table::Audit, range) => Some(range),
            _ => None,
        });
        let Some(range) = range else { return };
        sim.mark("trail let go");
        let goes: Vec<u64> = self.audit.keys().copied().filter(|seq| range.contains(&(*seq).into())).collect();
        for seq in goes {
            let Some(row) = self.audit.remove(&seq) else { continue };
            let open = row.entries.iter().find(|entry| self.outbox.values().any(|queued| queued.operation.id == entry.operation));
            sim.check(Invariant::I12, open.is_none(), || format!("{}: row {seq} goes and tells of {open:?}, which is open", self.name));
            let taken = lock(&self.truth.watch).commits.taken.contains(&row.hash);
            sim.check(Invariant::I12, taken, || format!("{}: row {seq} goes before the server has it", self.name));
            self.purged.insert(seq, row);
        }
    }
}

/// At the end the server has the trail, but for what was written since the last session.
pub(super) fn taken(world: &World, database: &Database, rows: &[StoredRow]) {
    let server = lock(&world.server.watch);
    let there = server.commits.tenants.get(&database.plan.tenant);
    let is_there = |row: &&StoredRow| row.hash().is_some_and(|hash| there.is_some_and(|there| there.trails.rows.contains(&hash)));
    let last = rows.iter().rev().take_while(|row| !is_there(row)).count();
    let missing = rows.iter().filter(|row| !is_there(row)).count();
    world.sim.check(Invariant::I12, missing == last && missing < LATEST, || {
        format!("{}: of {} rows of the trail the server has not {missing}, the last {last} among them", database.name, rows.len())
    });
}

/// Whether a batch lets old rows of the trail go.
pub(super) fn lets_go(batch: &[Write]) -> bool {
    let rows = batch.iter().filter_map(|write| match write {
        Write::Put(Table::Audit, row) => serde_json::from_str::<AuditRow>(&row.text).ok(),
        _ => None,
    });
    rows.into_iter().flat_map(|row| row.entries).any(|entry| matches!(entry.event, Event::Purged { conflict: None, .. }))
}
