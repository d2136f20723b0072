//! The trail is kept for a time only, too: its oldest rows go in idle time, a page in one transaction. Number and hash of the last
//! one that went stay where a verification begins, and in the row that tells of it, so that what is left is proved as before.
//!
//! What is unfinished keeps every row that tells of it; so does a sink that has not taken it, and the server, where the trail
//! goes up. A row that does not continue the trail stays, with all behind it: nothing sweeps a trace away.

use std::rc::Rc;

use super::audit::{Point, page_after, sinks, stored};
use super::cache::{Cache, Decision, Run};
use super::effects::Effects;
use super::rows::{last_audit, number};
use super::state::SyncState;
use super::work::Work;
use crate::audit::{Chain, Event, Stored, time};
use crate::model::{OpId, RecordId};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::Schema;
use crate::value::KeyRange;

/// Fewer do not go: the row that tells of it is one more.
const ROWS_MIN: usize = 10;

/// Takes the oldest rows of the trail away.
#[derive(Clone, Debug)]
pub struct PurgeTrail {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Rows of before this time go, ms.
    pub before: u64,
    /// Whether only those go that the server has.
    pub uploaded: bool,
    /// The name of this act in the trail.
    pub name: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// Whether it shall only be said what would go.
    pub dry: bool,
}

impl Decision for PurgeTrail {
    /// How many rows went, and what to show.
    type Out = (u64, Effects);

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let (page, unfinished) = (page_after(None, false), first(Table::Outbox));
        db.prefetch([last_audit(), SyncState::read(), page.clone(), unfinished.clone(), sinks(), Point::uploaded(), Point::anchor()]);
        let key = |stored: &[Stored]| stored.first().map(|row| row.key);
        let last = db.rows(&last_audit())?.first().map(|row| number(&row.key));
        // Neither the last row, nor any since the oldest operation was written that is unfinished.
        let open = key(&stored(db, &unfinished)?).filter(|_| !is(Bug::TrailLetGoOpen));
        let ends = [last, open].into_iter().flatten().map(|first| first.saturating_sub(1));
        let taken: Vec<u64> = stored(db, &sinks())?.iter().map(|sink| sink.text.parse().unwrap_or_default()).collect();
        let there = Point::of(&stored(db, &Point::uploaded())?).map_or(0, |point| point.number);
        let until = ends.chain(taken).chain(self.uploaded.then_some(there)).min().unwrap_or_default();
        let anchor = Point::of(&stored(db, &Point::anchor())?);
        let mut chain = anchor.map_or_else(Chain::beginning, |anchor| Chain::at(anchor.number, anchor.hash));
        let goes = |row: &&Stored| {
            let is_old = row.object().is_some_and(|object| time(&object) < self.before);
            row.key <= until && is_old && chain.follow(row, None).is_ok()
        };
        let gone = stored(db, &page)?.iter().take_while(goes).count();
        if gone < ROWS_MIN {
            return Ok((Vec::new(), (0, Effects::default())));
        }
        if self.dry {
            return Ok((Vec::new(), (gone as u64, Effects::default())));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let row = RecordId::Integer(i64::try_from(chain.through).unwrap_or(i64::MAX));
        work.tell(&self.name, Table::Audit.name(), &row, Event::Purged { conflict: None, content: chain.head.clone() });
        work.write(Write::DeleteRange(Table::Audit, KeyRange { lower: None, upper: Some((chain.through.into(), false)) }));
        let anchor = Point { number: chain.through, hash: chain.head, at: self.now };
        work.write(Write::Put(Table::State, anchor.row(Point::ANCHOR)));
        let (batch, effects) = work.finish(db)?;
        Ok((batch, (gone as u64, effects)))
    }
}

/// The row with the lowest key of a table.
fn first(table: Table) -> Read {
    Read::Range { table, by_index: false, range: KeyRange::all(), limit: Some(1), reverse: false }
}
