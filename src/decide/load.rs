//! Opening a database, and bringing the sender's picture of the outbox up to date.

use serde_json::Value;

use super::audit::last_check;
use super::cache::{Cache, Decision, Run, readable};
use super::chain::Queued;
use super::damaged::{queued, whole_outbox};
use super::quarantine::Quarantined;
use super::retention::{Purge, number_in};
use super::rows::{Device, last_audit, number, seals};
use super::session::LogSession;
use super::state::SyncState;
use crate::audit::{self, Event};
use crate::metrics::alerts_in;
use crate::outbox::Seals;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::value::{KeyRange, Object, from_text};

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
    /// When a purge last came to its end, or else when the database was made, ms by the device.
    pub purged_at: u64,
    /// When all was last looked over, or else when the database was made, ms by the device.
    pub checked_at: u64,
    /// The alerts that hold.
    pub alerts: Vec<Value>,
    /// The declaration by which what lies in quarantine was looked at last; nothing if nothing lies there.
    pub looked_at: Option<String>,
}

impl Decision for OpenDevice {
    type Out = Opened;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Opened)> {
        let outbox = Read::count(Table::Outbox, KeyRange::all());
        db.prefetch([Device::read(), SyncState::read(), last_audit(), outbox.clone(), Quarantined::count(), Quarantined::looked_at()]);
        db.prefetch([Purge::note(), LogSession::last(), last_check()]);
        let is_new = db.rows(&Device::read())?.is_empty();
        let batch = if is_new { vec![Write::Put(Table::State, self.fresh.row())] } else { Vec::new() };
        // The name of the database says already whose it is: where the row is lost, it is opened under a new name of the
        // device, until a repair stores that.
        let stored: Option<Device> = readable(db, &Device::read())?;
        let mut noted = [0; 2];
        for (at, note) in [Purge::note(), last_check()].iter().enumerate() {
            let note: Option<Object> = readable(db, note)?;
            let made = stored.as_ref().map_or(self.fresh.created, |device| device.created);
            noted[at] = note.map(|note| number_in(&note, "at")).filter(|at| *at > 0).unwrap_or(made);
        }
        let session: Option<Object> = readable(db, &LogSession::last())?;
        let opened = Opened {
            alerts: session.map(|session| alerts_in(&session)).unwrap_or_default(),
            purged_at: noted[0],
            checked_at: noted[1],
            device: stored.unwrap_or_else(|| self.fresh.clone()),
            sync: SyncState::look(db)?,
            last_seq: db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key)),
            unfinished: db.count(&outbox)?,
            looked_at: match db.count(&Quarantined::count())? {
                0 => None,
                _ => Some(readable::<String>(db, &Quarantined::looked_at())?.unwrap_or_default()),
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
    /// Whether to read all of it once more.
    pub whole: bool,
}

/// What the sender had not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// Whether `rows` is the whole outbox, to replace what was known.
    pub whole: bool,
    /// The rows, with their operations.
    pub rows: Vec<Queued>,
    /// The table with a row that nothing can be sent or fetched without, and that cannot be read.
    pub stops: Option<&'static str>,
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
        let last_seq = db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key));
        let (mut known, mut only_written): (Vec<audit::Row>, bool) = (Vec::new(), !self.whole && self.known.is_some());
        if self.known.is_some() {
            for row in db.rows(&trail)? {
                match from_text(&row.text) {
                    Ok(row) => known.push(row),
                    Err(_) => only_written = false,
                }
            }
        }
        only_written &= known.iter().flat_map(|row| &row.entries).all(|entry| matches!(entry.event, Event::Written { .. }));
        let rows = if only_written { queued(db, &newer)? } else { whole_outbox(db)? };
        let mut stops = None;
        if is_lost::<audit::Row>(db, &last_audit())? {
            stops = Some(Table::Audit.name());
        } else if is_lost::<Seals>(db, &seals())? || is_lost::<SyncState>(db, &SyncState::read())? {
            stops = Some(Table::State.name());
        }
        let seals = readable(db, &seals())?.unwrap_or_default();
        let sync = SyncState::look(db)?;
        Ok((Vec::new(), Loaded { whole: !only_written, rows, stops, seals, last_seq, sync, trail: known }))
    }
}

/// Whether there is a row, and it cannot be read.
fn is_lost<T: serde::de::DeserializeOwned>(db: &mut Cache, read: &Read) -> Run<bool> {
    Ok(db.rows(read)?.first().is_some_and(|row| from_text::<T>(&row.text).is_err()))
}
