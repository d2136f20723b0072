//! Conflicts that other devices met and the server holds. They are kept in rows of their own, each once, so that they
//! are seen and decided here too.
//!
//! Such a conflict is about an operation that is not in this outbox. So what ends it is a write like any other, on the
//! record as it is here, that names the refused operation as the one in whose place it stands: it works without a
//! network, waits in the queue, and closes the server's copy when it is applied.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::cascade::{following, has_dependents};
use super::chain::{Queued, operations};
use super::effects::Effects;
use super::intent::{Place, WriteError};
use super::meanwhile::shown_with;
use super::overlay::{OpRef, OverlayRow};
use super::rebase::{ServerClock, after};
use super::resolve::{Resolution, Resolve, ResolveError};
use super::rows::{BaseRow, last_audit};
use super::state::SyncState;
use super::work::Work;
use super::written::Change as Written;
use crate::audit::Event;
use crate::conflict::{Conflict, ConflictState, Filter, FoundBy, Step, StepKind, WHOLE, filter};
use crate::model::{Action, Epoch, OpId, RecordId, Stamp};
use crate::outbox::OutboxRow;
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::{HeldConflict, ServerState};
use crate::schema::{Schema, references_set};
use crate::value::{Change, Delta, Sorted, hash_bytes};

/// Takes in the open conflicts that the server told of.
#[derive(Clone, Debug)]
pub struct KeepHeld {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// What the server holds of other devices: what this one met itself it knows better.
    pub held: Rc<Vec<HeldConflict>>,
    /// Whether that is all that is open there.
    pub complete: bool,
    /// The server's lineage.
    pub epoch: Option<Epoch>,
    /// Refused operations in whose place something stands in the queue: those conflicts are decided.
    pub decided: Rc<Vec<OpId>>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for KeepHeld {
    /// What to show; nothing if the answer is of another lineage.
    type Out = Option<Effects>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        // What is open here, and all that is known of a record of which the server tells: this device may have met the same
        // conflict itself, or know that it is decided.
        let mut reads = vec![Filter::default().range(&filter::of_state(ConflictState::Open), None)];
        reads.extend(self.held.iter().map(|held| Filter::default().range(&filter::of_record(&held.entity, &held.id), None)));
        let reads: Vec<Read> = reads.into_iter().map(|range| Read::index(Table::Conflicts, range)).collect();
        db.prefetch([last_audit(), SyncState::read()]);
        db.prefetch(reads.iter().cloned());
        let mut sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        if sync.epoch.is_some() && sync.epoch != self.epoch {
            return Ok((Vec::new(), None));
        }
        let mut stored: Vec<Conflict> = Vec::new();
        for read in &reads {
            for conflict in db.all::<Conflict>(read)? {
                if !stored.iter().any(|known| known.id == conflict.id) {
                    stored.push(conflict);
                }
            }
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let mut open = false;
        for held in self.held.iter().filter(|held| self.schema.entity(&held.entity).is_some()) {
            let known = stored.iter().find(|known| known.conflict_id == held.conflict_id);
            if known.is_some_and(|known| known.met_at_offset_ms.is_none()) || self.decided.contains(&held.operation.id) {
                continue;
            }
            open = true;
            let mut kept = kept(held);
            if let Some(declared) = self.schema.entity(&held.entity) {
                kept.fields.retain(|field| !field.split('.').next().is_some_and(|top| declared.conflicts.is_metadata(top)));
            }
            if known != Some(&kept) {
                work.conflict(&kept);
            }
        }
        let is_listed = |known: &Conflict| self.held.iter().any(|held| held.conflict_id == known.conflict_id);
        for known in
            stored.iter().filter(|known| known.met_at_offset_ms.is_some() && known.state == ConflictState::Open && !is_listed(known))
        {
            if self.complete {
                // How and by whom is known there.
                let how = Some(filter::ELSEWHERE.to_owned());
                let mut ended = Conflict { state: ConflictState::Resolved, resolution: how.clone(), ..known.clone() };
                ended.resolved_at = Some(self.now);
                ended.steps.push(Step { how, ..Step::new(StepKind::Resolved, self.now) });
                work.conflict(&ended);
            } else {
                open = true;
            }
        }
        if sync.held != open {
            sync.held = open;
            work.write(Write::Put(Table::State, sync.row()));
        }
        let (batch, mut effects) = work.finish(db)?;
        effects.sync = Some(Box::new(sync));
        Ok((batch, Some(effects)))
    }
}

/// The keys of conflicts that have no sequence here begin with this one: above all sequences, and twice as much is within
/// what JavaScript counts exactly.
pub(super) const NAMED_FROM: u64 = 1 << 52;

/// The key of a conflict that has no sequence here: made from its name.
fn key_of(name: &str) -> u64 {
    let hash = hash_bytes(name.as_bytes());
    let digits = hash.as_str().chars().take(13).filter_map(|digit| digit.to_digit(16));
    NAMED_FROM | digits.fold(0, |key, digit| key << 4 | u64::from(digit))
}

/// Whether more is here of the record than the server told of: news, or what was written here and is unsent.
fn is_more(conflict: &Conflict, row: &OverlayRow) -> bool {
    row.version > Some(conflict.server.version) || !row.is_clean()
}

/// Shows open conflicts as they are by now, which is what somebody decides on: those of this device with what was written here
/// meanwhile, those that other devices met with the record as it is to be seen here, because pages bring news of that, and none
/// of the conflict.
pub(super) fn renewed(db: &mut Cache, schema: &Schema, found: &mut [Conflict]) -> Run<()> {
    shown_with(db, schema, found)?;
    let mut held: Vec<&mut Conflict> = found.iter_mut().collect();
    held.retain(|conflict| conflict.met_at_offset_ms.is_some() && conflict.state == ConflictState::Open);
    if held.is_empty() {
        return Ok(());
    }
    let sync = SyncState::look(db)?;
    let over = |conflict: &Conflict| OverlayRow::read_by_id(&conflict.entity, &conflict.record);
    let below = |conflict: &Conflict| BaseRow::read(sync.generation, &conflict.entity, &conflict.record);
    db.prefetch(held.iter().flat_map(|conflict| [over(conflict), below(conflict)]));
    for conflict in held {
        let row = match db.one::<OverlayRow>(&over(conflict))? {
            None => db.one::<BaseRow>(&below(conflict))?.map(|row| OverlayRow::over(&conflict.entity, row, &sync)),
            row => row,
        };
        if let Some(OverlayRow { version: Some(version), view, .. }) = row.filter(|row| is_more(conflict, row)) {
            conflict.local = after(view.clone(), &conflict.operation.action).or(conflict.local.take());
            conflict.server = ServerState { version, data: view, ..conflict.server.clone() };
        }
    }
    Ok(())
}

/// What is here of a record, with when it was written: by its own stamps what was written here. News count as written now, for
/// nobody here knows better.
fn dated(told: &ServerState, mut here: ServerState, own: &[Queued], clock: ServerClock, now: Stamp) -> ServerState {
    let mut date = |action: &Action, at: &dyn Fn(&str) -> Stamp| match action {
        Action::Update { delta } => {
            for field in delta.changes().filter_map(|(place, _)| place.keys().next()) {
                here.field_stamps.insert(field.to_string(), clock.effective(at(&field)));
            }
        }
        Action::Create { .. } | Action::Delete => (here.stamp, here.field_stamps) = (clock.effective(at("")), Sorted::new()),
    };
    if here.version > told.version && here.data != told.data {
        let news = told.data.as_ref().zip(here.data.as_ref()).map(|(before, since)| Delta::diff(before, since));
        date(&news.map_or(Action::Delete, |delta| Action::Update { delta }), &|_| now);
    }
    own.iter().for_each(|(_, own)| date(&own.action, &|field| own.stamp_of(field)));
    here
}

/// A conflict of the server as a row of here.
fn kept(held: &HeldConflict) -> Conflict {
    let fields = match &held.operation.action {
        Action::Update { delta } if held.server.data.is_some() => delta.changes().map(|(pointer, _)| pointer.dotted()).collect(),
        Action::Create { .. } | Action::Update { .. } | Action::Delete => vec![WHOLE.to_owned()],
    };
    // Nobody here knows what the other side changed of that.
    let mut places = Vec::new();
    if let Action::Update { delta } = &held.operation.action {
        for (place, change) in delta.changes() {
            match change {
                Change::Set(_) | Change::Unset => places.push(place.clone()),
                Change::List(items) => places.extend(items.items().changes().map(|(item, _)| place.below(item))),
                Change::Add(_) => {}
            }
        }
    }
    let mut kept = Conflict {
        id: key_of(&held.conflict_id),
        conflict_id: held.conflict_id.clone(),
        kind: held.kind,
        found_by: FoundBy::Version,
        entity: held.entity.clone(),
        record: held.id.clone(),
        operation: held.operation.clone(),
        base: None,
        local: after(held.server.data.as_ref().or(held.before.as_ref()).cloned(), &held.operation.action),
        server: held.server.clone(),
        fields,
        places,
        other: None,
        detected_at: held.opened_at,
        state: ConflictState::Open,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        steps: Vec::new(),
        met_at_offset_ms: Some(held.offset_ms),
        ahead_since: None,
        asks: None,
    };
    kept.begin();
    kept
}

impl Resolve {
    /// Ends a conflict that another device met, whose clock was off by so much.
    pub(super) fn held(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        mut conflict: Conflict,
        offset_ms: i64,
    ) -> Run<Result<bool, ResolveError>> {
        let refused = |error: WriteError| Ok(Err(error.into()));
        let (entity, id) = (&conflict.entity, &conflict.record);
        db.prefetch([OverlayRow::read_by_id(entity, id)]);
        let sync = SyncState::look(db)?;
        if self.resolution != Resolution::ServerWins && conflict.operation.group.as_ref().is_some_and(|group| group.of > 1) {
            return Ok(Err(ResolveError::InTransaction));
        }
        let place = Place { schema: &self.schema, entity };
        let unknown = |entity: &str, id: &RecordId| WriteError::UnknownRecord { entity: entity.to_owned(), id: id.clone() };
        let deleted = || OverlayRow { version: Some(conflict.server.version), ..OverlayRow::fresh(entity, id.clone()) };
        // If it is deleted, no download tells of that anew.
        let found = place.existing(db, work, id, sync.generation)?.or_else(|| conflict.server.data.is_none().then(deleted));
        let exactly = matches!(self.resolution, Resolution::ServerWins | Resolution::Merge(Some(_)));
        // Of a record that is deleted, an update is only a part of what would have to come back, unless the rest is known.
        let is_part = matches!(conflict.operation.action, Action::Update { .. }) && conflict.local.is_none();
        let whole = |row: &OverlayRow| row.view.is_some() || exactly || !is_part;
        let Some((mut row, version)) = found.filter(whole).and_then(|row| row.version.map(|version| (row, version))) else {
            return refused(unknown(entity, id));
        };
        let here = ServerState { version, data: row.view.clone(), ..conflict.server.clone() };
        let (own, at_home) = (operations(db, work, &row)?, ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now });
        let server = dated(&conflict.server, here, &own, at_home, work.stamp());
        let is_more = is_more(&conflict, &row);
        let clock = ServerClock { offset_ms, now: self.fresh.now };
        let action = self.action(&conflict, row.view.as_ref(), &server, clock);
        if let Some((entity, id)) = self.foreign(db, work, entity, &action)? {
            return refused(unknown(&entity, &id));
        }
        // It closes one conflict: what refers to the record is for its own delete to take along.
        if action == Action::Delete {
            match following(db, work, &sync, place, &row.id, (&[], &[]))? {
                Ok(following) if following.is_empty() => {}
                Ok(following) => return refused(has_dependents(entity, row.id, following.named())),
                Err(WriteError::Deeper { found }) => return refused(has_dependents(entity, row.id, found)),
                Err(error) => return refused(error),
            }
        }
        let id = work.take_id(&self.fresh);
        let Written { mut operation, drops, ground } = match place.written(db, work, &sync, &mut row, action, (&id, &self.user))? {
            Ok(change) => change,
            Err(error) => return refused(error),
        };
        operation.seq = work.take_seq();
        let operation = operation.in_place_of(&conflict.operation, conflict.operation.id.clone());
        row.ops.push(OpRef { ground, ..OpRef::to(&operation) });
        work.note(&operation, Event::Written { kind: operation.action.kind(), content: operation.fingerprint() });
        let code = self.resolution.name().to_owned();
        work.tell(&operation.id, &operation.entity, &operation.record, Event::Resolved { conflict: conflict.id, code });
        work.queue(&operation, OutboxRow::new(&operation, row.key.clone(), drops, self.fresh.now));
        // By the name of the refused one a preview finds it.
        work.supersede_watch(&conflict.operation.id, &operation.id);
        let stood = row.view.clone();
        work.put(row);
        if is_more && !is(Bug::HeldOnOldState) {
            conflict.local = after(server.data.clone(), &conflict.operation.action).or(conflict.local.take());
            conflict.server = server;
            conflict.renew(self.fresh.now);
        }
        conflict.resolve(self.fresh.now, &self.user, self.resolution.name(), Some(operation.id), stood.as_ref(), Some(&self.schema));
        work.conflict(&conflict);
        Ok(Ok(true))
    }

    /// A record that an action refers to by a temp ID of another device, which means nothing here.
    fn foreign(&self, db: &mut Cache, work: &Work<'_>, entity: &str, action: &Action) -> Run<Option<(String, RecordId)>> {
        let set = self.schema.entity(entity).map(|declared| references_set(declared, action)).unwrap_or_default();
        for to in set.into_iter().filter(|to| to.id.as_temp().is_some()) {
            let is_known = super::ids::present(db, &to.entity, &to.id)? != to.id;
            if !is_known && work.overlay_by_id(db, &to.entity, &to.id)?.is_none() {
                return Ok(Some((to.entity, to.id)));
            }
        }
        Ok(None)
    }
}
