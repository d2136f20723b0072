//! Opening a database, and bringing the sender's picture of the outbox up to date.

use super::cache::{Cache, Decision, Run};
use super::quarantine::Quarantined;
use super::rows::{Device, last_audit, seals, whole_outbox};
use super::state::SyncState;
use crate::audit::{self, Event};
use crate::outbox::{OutboxRow, Seals};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::value::KeyRange;

/// Opens the database of a tenant and a user, or finds that it is somebody else's.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    /// What to store if the database is new.
    pub fresh: Device,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Whose database it is.
    pub device: Device,
    /// Where it stands against the server.
    pub sync: SyncState,
    /// The last client sequence.
    pub last_seq: u64,
    /// Operations in the outbox.
    pub unfinished: u64,
    /// The declaration by which what lies in quarantine was looked at last; nothing if nothing lies there.
    pub looked_at: Option<String>,
}

impl Decision for OpenDevice {
    type Out = Opened;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Opened)> {
        let outbox = Read::count(Table::Outbox, KeyRange::all());
        db.prefetch([Device::read(), SyncState::read(), last_audit(), outbox.clone(), Quarantined::count(), Quarantined::looked_at()]);
        let stored: Option<Device> = db.one(&Device::read())?;
        let batch = if stored.is_none() { vec![Write::Put(Table::State, self.fresh.row())] } else { Vec::new() };
        let opened = Opened {
            device: stored.unwrap_or_else(|| self.fresh.clone()),
            sync: db.one(&SyncState::read())?.unwrap_or_default(),
            last_seq: db.one::<audit::Row>(&last_audit())?.map_or(0, |row| row.seq),
            unfinished: db.count(&outbox)?,
            looked_at: match db.count(&Quarantined::count())? {
                0 => None,
                _ => Some(db.one::<String>(&Quarantined::looked_at())?.unwrap_or_default()),
            },
        };
        Ok((batch, opened))
    }
}

/// Reads what the sender has not seen of the outbox.
#[derive(Clone, Debug)]
pub struct Load {
    /// The sequence up to which it knows the outbox; nothing if it does not know it at all.
    pub known: Option<u64>,
}

/// What the sender had not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Whether `rows` is the whole outbox, to replace what was known.
    pub whole: bool,
    /// The rows.
    pub rows: Vec<OutboxRow>,
    /// What is sealed.
    pub seals: Seals,
    /// The sequence up to which the outbox is known now.
    pub last_seq: u64,
    /// Where the database stands against the server.
    pub sync: SyncState,
    /// What happened in between, for whoever waits for an operation.
    pub trail: Vec<audit::Row>,
}

impl Decision for Load {
    type Out = Loaded;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Loaded)> {
        let above = KeyRange::above(self.known.unwrap_or(0).into());
        let newer = Read::range(Table::Outbox, above.clone());
        let trail = Read::range(Table::Audit, above);
        db.prefetch([last_audit(), seals(), SyncState::read(), newer.clone()]);
        if self.known.is_some() {
            db.prefetch([trail.clone()]);
        }
        let last_seq = db.one::<audit::Row>(&last_audit())?.map_or(0, |row| row.seq);
        let trail: Vec<audit::Row> = if self.known.is_some() { db.all(&trail)? } else { Vec::new() };
        let only_written = trail.iter().flat_map(|row| &row.entries).all(|entry| matches!(entry.event, Event::Written { .. }));
        let whole = self.known.is_none() || !only_written;
        let rows = if whole { db.all(&whole_outbox())? } else { db.all(&newer)? };
        let seals = db.one(&seals())?.unwrap_or_default();
        let sync = db.one(&SyncState::read())?.unwrap_or_default();
        Ok((Vec::new(), Loaded { whole, rows, seals, last_seq, sync, trail }))
    }
}
