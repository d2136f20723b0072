//! The end of a database on this device: everything goes but its name and the end of its trail, which tells
//! what unsent work went with it, and the place in the trail where that end continues it.

use std::rc::Rc;

use super::audit::{Point, before};
use super::cache::{Cache, Decision, Run};
use super::damaged::whole_outbox;
use super::effects::{Effects, Settled};
use super::rows::{Device, last_audit, number, outbox_rows};
use super::state::SyncState;
use super::work::Work;
use crate::audit::Event;
use crate::outbox::State;
use crate::plan::{Table, Write, WriteBatch};
use crate::schema::Schema;
use crate::value::KeyRange;

/// Empties a database.
#[derive(Clone, Debug)]
pub struct Wipe {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Whether unsent work goes too.
    pub force: bool,
    /// Why, where the person said so. It makes a row of the trail also where nothing is unsent.
    pub reason: Option<String>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for Wipe {
    /// How much unsent work went and what changed, or how much stands in the way.
    type Out = Result<(usize, Effects), usize>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch([last_audit(), SyncState::read(), Device::read(), outbox_rows()]);
        let mut work = Work::anew(db, &self.schema, &self.user, self.now)?;
        work.because(self.reason.as_deref());
        let mut unsent = 0;
        for (stored, operation) in whole_outbox(db)? {
            if !matches!(stored.state, State::Acknowledged { .. }) {
                unsent += 1;
                work.note(&operation, Event::Discarded);
                work.settle(&operation.id, Settled::Discarded);
            }
        }
        if unsent > 0 && !self.force {
            return Ok((Vec::new(), Err(unsent)));
        }
        let last = db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key));
        // What is written and shows values is unsent as long as it is the last row: none of them stays.
        let tells = unsent > 0 || self.reason.is_some();
        let (kept, device) = (if tells { last + 1 } else { last }, db.rows(&Device::read())?.first().cloned());
        let anchor = before(db, kept, self.now)?;
        let mut batch: WriteBatch = Vec::new();
        for table in Table::ALL {
            let range = match table {
                Table::Audit => KeyRange { lower: None, upper: Some((kept.into(), true)) },
                _ => KeyRange::all(),
            };
            batch.push(Write::DeleteRange(table, range));
        }
        batch.extend(device.map(|row| Write::Put(Table::State, row)));
        batch.extend(anchor.map(|anchor| Write::Put(Table::State, anchor.row(Point::ANCHOR))));
        let (written, effects) = work.finish(db)?;
        batch.extend(written);
        Ok((batch, Ok((unsent, effects))))
    }
}
