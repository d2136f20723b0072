//! Bringing back what lost a conflict, and taking back the last step of one. Both are ordinary writes on the record as it
//! is now, judged by the server as any other, in one transaction with the step in the conflict's row and an audit row that
//! names the conflict.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::effects::Effects;
use super::ids::present;
use super::intent::{Intent, Place, WriteError, check_size, too_many};
use super::overlay::{OverlayRow, RecordView};
use super::rebase::{after, map_temps};
use super::rows::{last_audit, last_audit_of, seals};
use super::state::SyncState;
use super::work::Work;
use super::write::LocalWrite;
use super::writing::Writing;
use crate::audit::Event;
use crate::conflict::{Back, Conflict, ConflictState, Step, StepKind, steps};
use crate::model::{Action, OpId, RecordId};
use crate::plan::{Read, Table, WriteBatch};
use crate::relations::Named;
use crate::schema::{Schema, fold_delta, unfold_delta};
use crate::value::Object;

/// What is wanted of a conflict that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What had lost comes back.
    Restore,
    /// The last step is taken back: the resolution, or a restore.
    Undo,
}

/// Brings something back.
#[derive(Clone, Debug)]
pub struct TakeBack {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The conflict's key.
    pub conflict: u64,
    /// What is wanted.
    pub wish: Wish,
    /// Why, where the person said so.
    pub reason: Option<String>,
    /// The ID of the operation that may have to be written.
    pub operation: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The generation of `base` as last seen.
    pub generation: u64,
    /// Whether nothing shall be stored.
    pub dry: bool,
    /// What the app's functions were shown that the record would be: if it comes to anything else, nothing is stored.
    pub shown: Option<Rc<Vec<Option<Object>>>>,
    /// Records that an earlier try found to go along.
    pub along: Rc<Vec<Named>>,
}

/// What was brought back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TakenBack {
    /// The operation that does it; nothing if the record was so already.
    pub operation: Option<OpId>,
    /// The fields, dotted, that were left alone because they were written since; `*` is the whole record.
    pub kept: Vec<String>,
    /// The record as it is then, if an operation does it.
    pub record: Option<(String, RecordView)>,
    /// What to show.
    pub effects: Effects,
}

/// Why nothing was brought back. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TakeBackError {
    /// There is no such conflict.
    #[error("there is no such conflict")]
    Unknown(u64),
    /// It is open, or what had lost is back already.
    #[error("nothing of this conflict is lost: it is open, or what had lost is back already")]
    NothingLost(u64),
    /// It is open, or its last step was an undo.
    #[error("this conflict has no step that could be taken back: it is open, or the last one was an undo")]
    NothingDone(u64),
    /// The write is not allowed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Decision for TakeBack {
    type Out = Result<TakenBack, TakeBackError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let refused = |error: TakeBackError| Ok((Vec::new(), Err(error)));
        let (read, by_operation) = (Read::Get(Table::Conflicts, self.conflict.into()), last_audit_of(&self.operation));
        db.prefetch([last_audit(), seals(), SyncState::read(), read.clone(), by_operation.clone()]);
        let Some(mut conflict) = db.one::<Conflict>(&read)? else { return refused(TakeBackError::Unknown(self.conflict)) };
        if !db.rows(&by_operation)?.is_empty() {
            // The connection died after the commit and before we were told: the step is there.
            let step = conflict.steps.pop().unwrap_or_else(|| Step::new(StepKind::Undone, self.now));
            return Ok((Vec::new(), Ok(TakenBack { operation: step.operation, kept: step.kept, ..TakenBack::default() })));
        }
        let sync = SyncState::look(db)?;
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.because(self.reason.as_deref());
        work.seals(db)?;
        let place = Place { schema: &self.schema, entity: &conflict.entity };
        let id = present(db, &conflict.entity, &conflict.record)?;
        // All in one round: who is missing waits below.
        place.prefetch(db, &Intent::Delete { id: id.clone() }, sync.generation);
        for step in &conflict.steps {
            for picture in [&step.lost, &step.left].into_iter().flatten() {
                let _ = now(db, &work, &conflict.entity, picture);
            }
        }
        let known = place.existing(db, &work, &id, sync.generation)?;
        let row = known.unwrap_or_else(|| gone(&conflict, id, &sync));
        for op in &row.ops {
            db.prefetch([Read::Get(Table::Outbox, op.seq.into())]);
        }
        let back = match self.back(db, &work, &conflict, &row)? {
            Ok(back) => back,
            Err(error) => return refused(error),
        };
        let mut step = match self.wish {
            Wish::Restore => Step { lost: back.lost, left: back.left, ..Step::new(StepKind::Restored, self.now) },
            Wish::Undo => Step { kept: back.kept.clone(), ..Step::new(StepKind::Undone, self.now) },
        };
        step.by = Some(self.user.clone());
        let event = match self.wish {
            Wish::Restore => Event::Restored { conflict: conflict.id },
            Wish::Undo => {
                let of_restore = conflict.last_taken().is_some_and(|last| last.step == StepKind::Restored);
                step.how = Some(if of_restore { "restore" } else { "resolution" }.to_owned());
                if !of_restore {
                    conflict.state = ConflictState::Undone;
                }
                Event::Undone { conflict: conflict.id }
            }
        };
        let (record, mut left) = (row.id.clone(), None);
        if let Some(action) = back.action {
            let write = self.write();
            let mut writing = Writing::of(&write, db, &mut work, &sync);
            match writing.act(&self.operation, row, action)? {
                // What goes along can be too much for one request.
                Ok(_) if !writing.fits() => return refused(too_many().into()),
                Ok((record, operation)) => (left, step.operation) = (record, operation),
                Err(error) => return refused(error.into()),
            }
            writing.enqueue();
        }
        let data = left.as_ref().map(|record| &record.data);
        if self.shown.as_ref().is_some_and(|shown| shown.iter().map(Option::as_ref).ne([data])) {
            return refused(WriteError::Unsettled.into());
        }
        let left = left.map(|record| (conflict.entity.clone(), record));
        if self.dry {
            return Ok((Vec::new(), Ok(TakenBack { record: left, ..TakenBack::default() })));
        }
        work.tell(&self.operation, &conflict.entity, &record, event);
        let operation = step.operation.clone();
        conflict.steps.push(step);
        work.conflict(&conflict);
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Ok(TakenBack { operation, kept: back.kept, record: left, effects })))
    }
}

impl TakeBack {
    /// What is to be done to the record.
    fn back(&self, db: &mut Cache, work: &Work<'_>, conflict: &Conflict, row: &OverlayRow) -> Run<Result<Back, TakeBackError>> {
        let view = row.view.as_ref();
        let mut now = |picture| now(db, work, &conflict.entity, picture);
        let mut back = match self.wish {
            Wish::Restore => {
                let Some(lost) = conflict.lost() else { return Ok(Err(TakeBackError::NothingLost(conflict.id))) };
                let Some(back) = steps::restore(&now(lost)?, view) else {
                    let gone = WriteError::UnknownRecord { entity: conflict.entity.clone(), id: row.id.clone() };
                    return Ok(Err(gone.into()));
                };
                back
            }
            Wish::Undo => {
                let pictures = conflict.last_taken().and_then(|last| last.lost.as_ref().zip(last.left.as_ref()));
                let Some((lost, left)) = pictures else { return Ok(Err(TakeBackError::NothingDone(conflict.id))) };
                steps::undo(&now(lost)?, &now(left)?, view)
            }
        };
        let left = back.action.as_ref().and_then(|action| after(row.view.clone(), action));
        let rules = work.schema().entity(&conflict.entity).map(|entity| &entity.conflicts);
        if let (Some(Action::Update { delta }), Some(view), Some(left), Some(rules)) = (&mut back.action, view, &left, rules) {
            // Told as any write is, so that it stands beside what others do to a list or a count.
            *delta = rules.delta(view, left);
        }
        Ok(match left.as_ref().map(check_size) {
            Some(Err(error)) => Err(error.into()),
            Some(Ok(())) | None => Ok(back),
        })
    }

    fn write(&self) -> LocalWrite {
        LocalWrite {
            schema: self.schema.clone(),
            wanted: Vec::new(),
            // The conflict names this operation, so it stays one of its own.
            coalesce: false,
            now: self.now,
            user: self.user.clone(),
            generation: self.generation,
            dry: false,
            shown: None,
            ended: Rc::default(),
            keeps: false,
            along: self.along.clone(),
        }
    }
}

/// A record of which nothing is left here: it was deleted at the latest at the version up to which everything is known, or
/// the server never had it.
fn gone(conflict: &Conflict, id: RecordId, sync: &SyncState) -> OverlayRow {
    let version = sync.through_of(&conflict.entity).max(Some(conflict.server.version)).filter(|_| !conflict.is_of_new());
    OverlayRow { version, ..OverlayRow::fresh(&conflict.entity, id) }
}

/// A picture with the IDs that the records in it have now.
fn now(db: &mut Cache, work: &Work<'_>, entity: &str, picture: &Action) -> Run<Action> {
    let mut data = match picture {
        Action::Create { data } => Some(data.clone()),
        Action::Update { delta } => Some(fold_delta(delta)),
        Action::Delete => None,
    };
    map_temps(db, work, entity, &mut data)?;
    Ok(match (picture, data) {
        (Action::Create { .. }, Some(data)) => Action::Create { data },
        (Action::Update { delta }, Some(data)) => {
            let mut delta = delta.clone();
            unfold_delta(&mut delta, data);
            Action::Update { delta }
        }
        (picture, _) => picture.clone(),
    })
}
