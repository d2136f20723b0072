//! The local write: creates, updates and deletes, one or several in one transaction. Three puts for each: the
//! overlay row that shows it, the outbox row that sends it, the audit row that proves it.
//!
//! Several are a group: all of them take effect at the server, or none. What each of them does is in [`super::writing`].

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, Stop};
use super::effects::Effects;
use super::intent::{Intent, Place, WriteError, too_many};
use super::overlay::{OverlayRow, RecordView};
use super::rows::{last_audit, last_audit_of, seals};
use super::state::SyncState;
use super::work::Work;
use super::writing::Writing;
use crate::model::OpId;
use crate::plan::WriteBatch;
use crate::relations::Named;
use crate::schema::Schema;
use crate::value::Object;

/// One thing that the app wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The entity type; it is in the schema.
    pub entity: String,
    /// What the app wants.
    pub intent: Intent,
    /// The operation's ID, made before.
    pub operation: OpId,
}

/// Local writes, all of them or none.
#[derive(Clone, Debug)]
pub struct LocalWrite {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// What the app wants, in its order. The first one's ID names the group, if there are several.
    pub wanted: Vec<Wanted>,
    /// Whether a write may become part of an earlier one that was not claimed yet.
    pub coalesce: bool,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The generation of `base` as last seen, so that the record comes with the first round.
    pub generation: u64,
    /// Whether nothing shall be stored: only what the records would be is asked.
    pub dry: bool,
    /// What the app's functions were shown that the records would be: if it comes to anything else, nothing is stored.
    pub shown: Option<Rc<Vec<Option<Object>>>>,
    /// Records that count as gone, where nothing is stored and what was to go before is still here.
    pub ended: Rc<Vec<Named>>,
    /// Whether the trail keeps what is given up: nothing else has it from then on, and nobody has looked at it one by one.
    pub keeps: bool,
    /// Records that an earlier try found to go along.
    pub along: Rc<Vec<Named>>,
}

/// Writes that took effect here.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// The records afterwards, as they were wanted; nothing where one was deleted.
    pub records: Vec<Option<RecordView>>,
    /// The operations; nothing where an update changed nothing.
    pub operations: Vec<Option<OpId>>,
    /// What to show.
    pub effects: Effects,
}

impl Decision for LocalWrite {
    /// A refusal names the place of the write that caused it, where one did.
    type Out = Result<Written, (Option<usize>, WriteError)>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let by_operation = self.wanted.first().map(|first| last_audit_of(&first.operation));
        db.prefetch([last_audit(), SyncState::read(), seals()]);
        db.prefetch(by_operation.clone());
        for wanted in &self.wanted {
            self.place(wanted).prefetch(db, &wanted.intent, self.generation);
        }
        db.settle()?;
        let replayed = by_operation.is_some_and(|read| db.rows(&read).is_ok_and(|rows| !rows.is_empty()));
        let sync = SyncState::look(db)?;
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.keep(self.keeps);
        work.seals(db)?;
        if replayed {
            return self.replayed(db, &work);
        }
        let (mut records, mut operations) = (Vec::new(), Vec::new());
        let mut missing = false;
        let mut writing = Writing::of(self, db, &mut work, &sync);
        for (at, wanted) in self.wanted.iter().enumerate() {
            match writing.one(wanted) {
                Ok(Ok((record, operation))) => {
                    records.push(record);
                    operations.push(operation);
                }
                // With rows missing before it, nobody knows yet whether it is really refused.
                Ok(Err(_)) if missing => {}
                Ok(Err(error)) => return Ok((Vec::new(), Err((Some(at), error)))),
                // Let the others name their rows too, so that they all come in one round.
                Err(Stop::Wait) => missing = true,
                Err(corrupt @ Stop::Corrupt(_)) => return Err(corrupt),
            }
        }
        if missing {
            return Err(Stop::Wait);
        }
        let would_be = || records.iter().map(|record: &Option<RecordView>| record.as_ref().map(|record| &record.data));
        if self.shown.as_ref().is_some_and(|shown| !would_be().eq(shown.iter().map(Option::as_ref))) {
            return Ok((Vec::new(), Err((None, WriteError::Unsettled))));
        }
        if !writing.fits() {
            return Ok((Vec::new(), Err((None, too_many()))));
        }
        if self.dry {
            return Ok((Vec::new(), Ok(Written { records, operations, effects: Effects::default() })));
        }
        writing.enqueue();
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Ok(Written { records, operations, effects })))
    }
}

impl LocalWrite {
    pub(super) fn place<'p>(&'p self, wanted: &'p Wanted) -> Place<'p> {
        Place { schema: &self.schema, entity: &wanted.entity }
    }

    /// The connection died after the commit and before we were told: the writes stand.
    fn replayed(&self, db: &mut Cache, work: &Work<'_>) -> Run<(WriteBatch, <Self as Decision>::Out)> {
        let mut records = Vec::new();
        for wanted in &self.wanted {
            let id = super::ids::present(db, &wanted.entity, wanted.intent.id())?;
            records.push(work.overlay_by_id(db, &wanted.entity, &id)?.and_then(OverlayRow::into_view));
        }
        let operations = self.wanted.iter().map(|wanted| Some(wanted.operation.clone())).collect();
        Ok((Vec::new(), Ok(Written { records, operations, effects: Effects::default() })))
    }
}
