//! Conflicts that wait for a person: each is one operation's, and a record has one at most.

use std::collections::BTreeSet;

use fieldsync::conflict::{Conflict, ConflictState};
use fieldsync::outbox::State;

use super::stored::Stored;
use crate::sim::{Invariant, Sim};

/// The conflicts that are open.
#[derive(Default)]
pub(super) struct Decisions {
    open: BTreeSet<u64>,
}

impl Decisions {
    /// A conflict is stored.
    pub(super) fn put(&mut self, conflict: &Conflict) {
        match conflict.state {
            ConflictState::Open => self.open.insert(conflict.id),
            ConflictState::Resolved | ConflictState::Undone => self.open.remove(&conflict.id),
        };
    }
}

impl Stored {
    /// Every open conflict is that of one operation, and no record has two.
    pub(super) fn asked(&self, sim: &Sim) {
        let of = |state: &State| match state {
            State::Conflict { conflict } => Some(*conflict),
            _ => None,
        };
        let asked: Vec<_> = self.outbox.values().filter_map(|queued| Some((of(&queued.state)?, &queued.overlay))).collect();
        if asked.is_empty() && self.decisions.open.is_empty() {
            return;
        }
        let named: BTreeSet<u64> = asked.iter().map(|(conflict, _)| *conflict).collect();
        sim.check(Invariant::I4, named == self.decisions.open, || {
            format!("{}: operations wait for the decision of {named:?}, open are {:?}", self.name, self.decisions.open)
        });
        let records: BTreeSet<_> = asked.iter().map(|(_, row)| row).collect();
        sim.check(Invariant::I4, records.len() == asked.len(), || format!("{}: a record has several conflicts: {asked:?}", self.name));
    }
}
