//! What is kept for a time only: sessions in the log, and conflicts that are decided, with both their sides. They go in idle
//! time, a part in one transaction; the trail tells of each conflict that went. What is open stays, and so does the
//! conflict of a record of which something is unsent: what was decided on it may come back.
//!
//! Ages are by the earlier of two clocks, the device's and the server's, so that a clock that is set ahead purges nothing
//! early. A stamp that lies in the future says nothing of an age: a session is then as old as the one after it, and a
//! conflict as old as the day on which this was seen.

use std::rc::Rc;

use serde_json::{Value, json};

use super::audit::{all_sessions, stored};
use super::cache::{Cache, Decision, Run, each};
use super::check::readable;
use super::effects::Effects;
use super::ids::present;
use super::overlay::OverlayRow;
use super::rows::{conflict_row, last_audit, row};
use super::state::SyncState;
use super::work::Work;
use crate::audit::Event;
use crate::conflict::{Conflict, ConflictState, Filter, filter};
use crate::metrics::outlived;
use crate::model::{OpId, RecordId};
use crate::plan::{Read, Row, Table, Write, WriteBatch};
use crate::schema::Schema;
use crate::value::{KeyRange, Object, from_text, hash_bytes};

/// So many conflicts are looked at in one transaction.
const LOOKED_AT: u32 = 100;
/// How long after a purge nothing is looked at, ms: 6 h.
const PAUSE_MS: u64 = 6 * 60 * 60 * 1_000;

/// How long rows are kept, ms; nothing means for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// A session, from its end on.
    pub sync_log: Option<u64>,
    /// A conflict, from its last step on.
    pub conflicts: Option<u64>,
    /// A row of the audit trail.
    pub audit: Option<u64>,
}

/// Where a purge is: among the conflicts that were found long ago, or among those with a stamp of the future.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PurgeAt {
    ahead: bool,
    after: Option<(u64, u64)>,
}

/// Takes away a part of what was kept for long enough.
#[derive(Clone, Debug)]
pub struct Purge {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// How long what is kept.
    pub retention: Retention,
    /// Where to go on; nothing at the beginning.
    pub at: Option<PurgeAt>,
    /// The name of this act in the trail.
    pub name: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// The same by the server.
    pub server_now: u64,
    /// Whose database it is.
    pub user: String,
    /// Whether it shall only be said what would go.
    pub dry: bool,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Purged {
    /// Rows of the log.
    pub sessions: u64,
    /// Conflicts.
    pub conflicts: u64,
    /// Where it goes on; nothing at the end.
    pub next: Option<PurgeAt>,
    /// When a purge last came to its end, ms by the device.
    pub at: u64,
    /// What to show.
    pub effects: Effects,
}

impl Purge {
    /// Reads when the last purge ended, and what all of them took away: `{at, sessions, conflicts}`.
    pub fn note() -> Read {
        Read::Get(Table::State, "purged".into())
    }
    /// Whether it is time for another. A note of the future is none.
    pub fn is_due(last: u64, now: u64) -> bool {
        !(last..last.saturating_add(PAUSE_MS)).contains(&now)
    }

    /// The conflicts to look at, and the time before which one must have ended to go.
    fn conflicts(&self, at: PurgeAt) -> Option<(Read, u64)> {
        let now = self.now.min(self.server_now);
        let before = now.saturating_sub(self.retention.conflicts?);
        let span = match at.ahead {
            true => Filter { since: Some(now + 1), ..Filter::default() },
            false => Filter { until: Some(before), ..Filter::default() },
        };
        let range = span.range(&filter::all(), at.after);
        Some((Read::Range { table: Table::Conflicts, by_index: true, range, limit: Some(LOOKED_AT), reverse: false }, before))
    }

    /// Sorts the conflicts that were read: those that can go, and those whose age begins to count today.
    fn sort(&self, found: &[Row], before: u64) -> (Vec<(Conflict, Row)>, Vec<Conflict>) {
        let now = self.now.min(self.server_now);
        let (mut old, mut ahead) = (Vec::new(), Vec::new());
        for row in found {
            let Ok(conflict) = from_text::<Conflict>(&row.text) else { continue };
            let ended = conflict.steps.last().map_or(conflict.detected_at, |step| step.at);
            match conflict.ahead_since.filter(|_| ended > now) {
                _ if conflict.state == ConflictState::Open => {}
                None if ended > now => ahead.push(Conflict { ahead_since: Some(now), ..conflict }),
                since if since.unwrap_or(ended) < before => old.push((conflict, row.clone())),
                _ => {}
            }
        }
        (old, ahead)
    }
}

impl Decision for Purge {
    type Out = Purged;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Purged)> {
        let at = self.at.unwrap_or_default();
        let log = self.retention.sync_log.filter(|_| self.at.is_none());
        let conflicts = self.conflicts(at);
        db.prefetch([last_audit(), SyncState::read(), Self::note()]);
        db.prefetch(log.map(|_| all_sessions()));
        db.prefetch(conflicts.iter().map(|(read, _)| read.clone()));
        let note: Object = readable(db, &Self::note())?.unwrap_or_default();
        let [last, sessions, conflicts_before] = ["at", "sessions", "conflicts"].map(|name| number_in(&note, name));
        if !self.dry && self.at.is_none() && last > 0 && !Self::is_due(last, self.now) {
            // Another context was faster.
            return Ok((Vec::new(), Purged { at: last, ..Purged::default() }));
        }
        // Who only asks is answered behind a row of the trail that cannot be read, too.
        let begin = if self.dry { Work::anew } else { Work::begin };
        let mut work = begin(db, &self.schema, &self.user, self.now)?;
        let mut purged = Purged::default();
        if let Some(kept) = log {
            let rows = stored(db, &all_sessions())?;
            let told: Vec<Object> = rows.iter().map(|row| row.object().unwrap_or_default()).collect();
            let now = self.now.min(self.server_now);
            let gone = &rows[..outlived(&told, now, now.saturating_sub(kept))];
            if let Some(last) = gone.last() {
                purged.sessions = gone.len() as u64;
                work.write(Write::DeleteRange(Table::Sessions, KeyRange { lower: None, upper: Some((last.key.into(), false)) }));
            }
        }
        if let Some((read, before)) = conflicts {
            let found = db.rows(&read)?.to_vec();
            let place = |row: &Row| from_text::<Conflict>(&row.text).ok().map(|conflict| conflict.place());
            purged.next = match found.iter().rev().find_map(place) {
                Some(last) if found.len() >= LOOKED_AT as usize => Some(PurgeAt { after: Some(last), ..at }),
                _ if !at.ahead => Some(PurgeAt { ahead: true, after: None }),
                _ => None,
            };
            let (old, ahead) = self.sort(&found, before);
            for conflict in &ahead {
                work.write(Write::Put(Table::Conflicts, conflict_row(conflict)));
            }
            each(old, |(conflict, row)| {
                let id = present(db, &conflict.entity, &conflict.record)?;
                if !is_busy(db, &conflict.entity, &id)? {
                    purged.conflicts += 1;
                    work.tell(&self.name, &conflict.entity, &id, purge_of(&conflict, &row));
                    work.forget(conflict.id);
                }
                Ok(())
            })?;
        }
        if self.dry {
            return Ok((Vec::new(), Purged { at: last, ..purged }));
        }
        purged.at = if purged.next.is_none() { self.now } else { last };
        if purged.at != last || purged.sessions + purged.conflicts > 0 {
            let (sessions, conflicts) = (sessions + purged.sessions, conflicts_before + purged.conflicts);
            let note = json!({"at": purged.at, "sessions": sessions, "conflicts": conflicts});
            work.write(Write::Put(Table::State, row("purged".into(), &note)));
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Purged { effects, ..purged }))
    }
}

/// A number of a note; 0 where it has none.
pub(super) fn number_in(note: &Object, name: &str) -> u64 {
    note.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// Whether something of a record is unfinished, or nobody can read whether it is.
fn is_busy(db: &mut Cache, entity: &str, id: &RecordId) -> Run<bool> {
    let is_clean = |row: OverlayRow| row.ops.is_empty() && row.conflict.is_none();
    let rows = db.rows(&OverlayRow::read_by_id(entity, id))?;
    Ok(!rows.iter().all(|row| from_text(&row.text).is_ok_and(is_clean)))
}

/// What the trail tells: which conflict went, and the hash of the text that was stored.
fn purge_of(conflict: &Conflict, row: &Row) -> Event {
    Event::Purged { conflict: Some(conflict.id), content: hash_bytes(row.text.as_bytes()) }
}
