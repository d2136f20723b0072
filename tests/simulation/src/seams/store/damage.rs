//! Rows that rot: their texts break off, and nobody may write over one that he could not read.

use fieldsync::audit::{Event, Row as AuditRow};
use fieldsync::model::OpId;
use fieldsync::outbox::OutboxRow;
use fieldsync::plan::{Row, Table as Name, Write};
use fieldsync::value::Key;

use super::Rows;
use crate::sim::{Invariant, Sim};

/// A row whose text has rotted.
pub(super) struct Damage {
    table: Name,
    key: Key,
    was: String,
    is: String,
}

impl Rows {
    /// The text of some row breaks off.
    pub(super) fn rot(&self, sim: &Sim) {
        let mut tables = self.tables.borrow_mut();
        let all: usize = tables.iter().map(|table| table.rows().count()).sum();
        let mut at = usize::try_from(sim.executor.draw(all.max(1) as u64)).unwrap_or(0);
        for (name, table) in Name::ALL.into_iter().zip(tables.iter_mut()) {
            let Some(key) = table.rows().nth(at).map(|row| row.key.clone()) else {
                at -= table.rows().count();
                continue;
            };
            let Some(text) = table.text(&key) else { return };
            let was = text.clone();
            let half = (0..=was.len() / 2).rev().find(|end| was.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(half);
            sim.mark("row damaged");
            sim.tell(|| format!("the row {key:?} of {} is damaged", name.name()));
            self.damaged.borrow_mut().push(Damage { table: name, key, is: text.clone(), was });
            return self.was_damaged.set(true);
        }
    }

    /// What is damaged still is what it was before.
    pub(crate) fn repair(&self) {
        let mut tables = self.tables.borrow_mut();
        // The last damage first: a row can be damaged twice.
        for Damage { table, key, was, is } in self.damaged.borrow_mut().drain(..).rev() {
            if let Some(text) = tables[table as usize].text(&key).filter(|text| **text == is) {
                *text = was;
            }
        }
    }

    /// Nobody may write over what he could not read, but what the server has too, a note of what a reader found, and what a
    /// person gave up.
    pub(super) fn unread(&self, sim: &Sim, name: Name, before: Option<&Row>, given_up: &[OpId]) {
        let Some(row) = before.filter(|row| !matches!(name, Name::Base | Name::Sessions | Name::Quarantine) && !is_note(&row.key)) else {
            return;
        };
        let damaged = self.damaged.borrow();
        let is_given_up = |was: &str| {
            let stored: Option<OutboxRow> = serde_json::from_str(was).ok();
            stored.and_then(|stored| stored.operation().ok()).is_some_and(|operation| given_up.contains(&operation.id))
        };
        let lost = damaged.iter().find(|damage| (damage.table, &damage.key, &damage.is) == (name, &row.key, &row.text));
        let lost = lost.filter(|damage| name != Name::Outbox || !is_given_up(&damage.was));
        sim.check(Invariant::I1, lost.is_none(), || format!("a damaged row of {} is lost: {:?}", name.name(), lost.map(|lost| &lost.was)));
    }
}

/// Whether a row of the state is a note that is found or asked for again.
fn is_note(key: &Key) -> bool {
    matches!(key, Key::Text(name) if ["auditVerified", "auditUploaded", "auditRefused", "checked"].contains(&name.as_str()))
}

/// The operations of which a batch says in the audit trail that a person gave them up.
pub(super) fn given_up(batch: &[Write]) -> Vec<OpId> {
    let told = batch.iter().filter_map(|write| match write {
        Write::Put(Name::Audit, row) => serde_json::from_str::<AuditRow>(&row.text).ok(),
        _ => None,
    });
    let entries = told.flat_map(|row| row.entries).filter(|entry| matches!(entry.event, Event::Discarded));
    entries.map(|entry| entry.operation).collect()
}
