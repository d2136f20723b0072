//! Base and pending operations stay apart; the view is the one with the others on top. When the base moves,
//! the operations that were never sealed are judged again and move with it (DESIGN 5.12, 5.13).

use super::cache::{Cache, Run, each};
use super::chain::{Queued, in_conflict};
use super::effects::Settled;
use super::overlay::{OpRef, OverlayRow};
use super::rows::IdRow;
use super::valid::doubt;
use super::work::Work;
use crate::audit::Event;
use crate::conflict::{Ask, Conflict, ConflictState, FoundBy, Local, Verdict, judge};
use crate::model::{Action, Base, OpId, Operation, RecordId, Stamp, Version};
use crate::outbox::{OutboxRow, State};
use crate::protocol::ServerState;
use crate::protocol::limits::CLOCK_TOLERANCE_MS;
use crate::schema::{ConflictRules, map_references, references};
use crate::value::Object;

/// A record after an action.
pub(super) fn after(record: Option<Object>, action: &Action) -> Option<Object> {
    match (action, record) {
        (Action::Create { data }, _) => Some(data.clone()),
        (Action::Update { delta }, Some(mut record)) => {
            delta.apply(&mut record);
            Some(record)
        }
        (Action::Update { .. }, None) | (Action::Delete, _) => None,
    }
}

/// The server's clock as this device knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerClock {
    /// Server time minus device time, ms.
    pub offset_ms: i64,
    /// Device time, ms.
    pub now: u64,
}

impl ServerClock {
    /// A local stamp as the server would count it.
    pub fn effective(&self, stamp: Stamp) -> Stamp {
        let latest = self.now.saturating_add_signed(self.offset_ms).saturating_add(CLOCK_TOLERANCE_MS);
        stamp.effective(self.offset_ms, latest)
    }
    /// Judges an operation that was written on `base` and leaves `view`, and will stand on `on`.
    pub(super) fn judge(
        self,
        operation: &Operation,
        base: Option<&Object>,
        on: Option<&Object>,
        view: Option<&Object>,
        server: &ServerState,
        rules: &ConflictRules,
    ) -> Verdict {
        let mut stamps = operation.stamps.clone();
        for stamp in stamps.values_mut() {
            *stamp = self.effective(*stamp);
        }
        let version = if let Base::Version(version) = operation.base { Some(version) } else { None };
        let (action, stamp) = (&operation.action, self.effective(operation.stamp));
        judge(Local { action, stamp, stamps: &stamps, version, base, on, view }, server, rules)
    }
}

/// What temp IDs in these operations became meanwhile, applied to a record that they were applied to.
pub(super) fn map_temps(db: &mut Cache, work: &Work<'_>, entity: &str, data: &mut Option<Object>) -> Run<()> {
    let (Some(declared), Some(data)) = (work.schema().entity(entity), data) else { return Ok(()) };
    let temps: Vec<_> = references(declared, data).into_iter().filter(|found| found.id.as_temp().is_some()).collect();
    // All at once: one round, however many there are.
    db.prefetch(temps.iter().map(|found| IdRow::read(&found.entity, &found.id)));
    let mut mapping: Vec<(String, RecordId, RecordId)> = Vec::new();
    for found in temps {
        let now = super::ids::present(db, &found.entity, &found.id)?;
        if now != found.id {
            mapping.push((found.entity, found.id, now));
        }
    }
    map_references(declared, data, &mut |entity, id| {
        mapping.iter().find(|(e, old, _)| e == entity && old == id).map(|(_, _, now)| now.clone())
    });
    Ok(())
}

/// Moves a record to a newer state of the server and judges what is pending on it. None of `pending` is sealed, except
/// those in `kept`, each with what it was before it was decided, which only go on top. Whatever is not judged now keeps what it was written on, for when it is.
pub(super) fn rebase(
    db: &mut Cache,
    work: &mut Work<'_>,
    row: &mut OverlayRow,
    server: &ServerState,
    clock: ServerClock,
    pending: Vec<Queued>,
    kept: &[(u64, &Action)],
) -> Run<()> {
    // All of them in one round.
    each(row.ops.iter().map(|op| op.ground.clone()), |mut ground| map_temps(db, work, &row.entity, &mut ground))?;
    let mut local = row.base.clone();
    // The same with what was written here, whatever was decided on it since.
    let mut written = row.base.clone();
    let mut view = server.data.clone();
    let mut ops: Vec<OpRef> = Vec::new();
    let carried_seqs: Vec<u64> = pending.iter().filter(|(stored, _)| stored.is_carried()).map(|(_, operation)| operation.seq).collect();
    let mut links = Links::of(&pending);
    // Those that stand on the new state now. The server takes what follows them for written on that, and judged.
    let mut judged: Vec<OpId> = Vec::new();
    // One open conflict of a record is enough: the rest waits for what is decided on it.
    let mut open = in_conflict(&pending).cloned();
    let rules = work.schema().entity(&row.entity).map(|entity| entity.conflicts.clone()).unwrap_or_default();
    for (stored, mut operation) in pending {
        let reference = row.op(operation.seq).cloned().unwrap_or_else(|| OpRef::to(&operation));
        let known = kept.iter().find(|(seq, _)| *seq == operation.seq);
        let is_kept = known.is_some();
        local = after(local, &operation.action);
        written = after(written, known.map_or(&operation.action, |(_, before)| before));
        let mut ground = row.ground_of(operation.seq);
        // Once an earlier operation of this chain has brought a deleted record back, the next ones stand on that.
        let restored = server.data.is_none() && view.is_some();
        let verdict = 'met: {
            if is_kept || open.is_some() || stored.state != State::Pending {
                if is_kept && operation.base == Base::Version(server.version) {
                    judged.push(operation.id.clone());
                } else if !is_kept && stored.state == State::Pending {
                    set_apart(work, &stored, &mut operation, &judged, server.version, open.as_ref());
                }
                break 'met None;
            }
            map_temps(db, work, &row.entity, &mut ground)?;
            let mut verdict = if restored {
                Verdict::unopposed(operation.action.clone())
            } else {
                let mine = whole_groups(local.clone(), written.as_ref(), &rules);
                clock.judge(&operation, ground.as_ref(), view.as_ref(), mine.as_ref(), server, &rules)
            };
            doubt(work.schema(), &row.entity, &mut verdict, view.as_ref(), local.as_ref());
            // On a deleted record a change that stays as it was written is seen by nobody, for only a create brings that back:
            // it is judged at once, dated or not.
            let is_seen = server.data.is_some() || matches!(operation.action, Action::Create { .. });
            if !verdict.fields.is_empty() && is_seen && !server.is_dated() {
                // Nobody here knows which side is the later one. The server does, and meets it on what it was written on.
                set_apart(work, &stored, &mut operation, &judged, server.version, None);
                break 'met None;
            }
            if verdict.ask != Ask::Nobody {
                // Whoever has it by a file may send it before somebody decides.
                let stored = set_apart(work, &stored, &mut operation, &judged, server.version, None).unwrap_or_else(|| stored.clone());
                let conflict = record(work, row, &operation, &ground, &local, server, &verdict, None);
                row.conflict = Some(conflict.id);
                work.queue(&operation, stored.with(State::Conflict { conflict: conflict.id }));
                work.note(&operation, Event::Conflict { conflict: conflict.id });
                work.settle(&operation.id, Settled::Conflict { conflict: conflict.id });
                work.found(&conflict);
                open = Some(operation.id.clone());
                break 'met None;
            }
            Some(verdict)
        };
        let Some(verdict) = verdict else {
            // It stays as it was written.
            view = after(view, &operation.action);
            ops.push(OpRef { ground: Some(ground.unwrap_or_default()), ..reference });
            continue;
        };
        let conflict = (!verdict.fields.is_empty()).then(|| record(work, row, &operation, &ground, &local, server, &verdict, Some("rule")));
        if let Some(conflict) = &conflict {
            work.found(conflict);
        }
        // A group keeps its number: what is left of a member without effect is an empty change.
        let empty = operation.group.is_some().then(Action::nothing);
        let Some(action) = verdict.action.or(empty) else {
            work.end(operation.seq);
            work.note(&operation, Event::Coalesced { by: None, version: Some(server.version) });
            let settled =
                conflict.map_or(Settled::Applied { version: server.version }, |conflict| Settled::Conflict { conflict: conflict.id });
            work.settle(&operation.id, settled);
            links.ends(operation);
            continue;
        };
        view = after(view, &action);
        let base = links.lead_on(&operation.base);
        let base = match base {
            Base::After(earlier) if ops.iter().any(|op| op.id == *earlier) => base.clone(),
            // Not on what stands before it here: the server meets the one with the other.
            _ if stored.is_carried() && !restored => Base::Version(server.version),
            // As when it was written: see `followed` in [`super::write`].
            _ => {
                let own = ops.iter().rev().find(|op| !carried_seqs.contains(&op.seq));
                own.or(ops.last()).map_or(Base::Version(server.version), |op| Base::After(op.id.clone()))
            }
        };
        if operation.action != action || operation.base != base {
            operation.action = action;
            operation.base = base;
            work.queue(&operation, stored.instead(&operation));
            work.note(&operation, Event::Rebased { version: server.version });
        }
        judged.push(operation.id);
        let ground = reference.ground.is_some().then(|| server.data.clone().unwrap_or_default());
        ops.push(OpRef { ground, ..reference });
    }
    map_temps(db, work, &row.entity, &mut view)?;
    row.version = Some(server.version);
    // What had waited for operations of a group that stands anew, and is past.
    row.waiting.take_if(|state| state.version <= server.version);
    row.base.clone_from(&server.data);
    row.view = view;
    row.ops = ops;
    Ok(())
}

/// A record with the fields that come from one side as they were written, all of them.
fn whole_groups(mut record: Option<Object>, written: Option<&Object>, rules: &ConflictRules) -> Option<Object> {
    if let (Some(record), Some(written)) = (&mut record, written) {
        for field in rules.groups.iter().flatten() {
            match written.get(field) {
                Some(value) => record.insert(field.clone(), value.clone()),
                None => record.remove(field),
            };
        }
    }
    record
}

/// What may be followed still, and what leads on from there: what stands in the place of carried work, or, of what ended
/// here, its base. Carried work follows nothing of here in another's place: it only waited for what was decided on that.
struct Links(Vec<(OpId, Base)>);

impl Links {
    fn of(pending: &[Queued]) -> Self {
        let carried = pending.iter().filter(|(stored, _)| stored.is_carried());
        let links = carried.flat_map(|(stored, operation)| {
            let names = stored.replaces.iter().chain(&operation.supersedes);
            names.map(|name| (name.clone(), Base::After(operation.id.clone())))
        });
        Self(links.collect())
    }
    /// An operation is no more: what followed it follows what it followed.
    fn ends(&mut self, operation: Operation) {
        self.0.push((operation.id, operation.base));
    }
    /// Where a base leads in the end.
    fn lead_on<'l>(&'l self, mut base: &'l Base) -> &'l Base {
        // As many steps as there are names, and no more: in a file they may go round in a circle.
        for _ in &self.0 {
            let next = self.0.iter().find(|(gone, _)| base.follows() == Some(gone));
            let Some((_, on)) = next else { break };
            base = on;
        }
        base
    }
}

/// Takes what is not judged from behind what was, or the server would take it for judged. It goes at once, or waits for
/// the decision that is `open` on the record: what that leaves is what it has to meet. Gives its row, if that changed.
fn set_apart(
    work: &mut Work<'_>,
    stored: &OutboxRow,
    operation: &mut Operation,
    judged: &[OpId],
    on: Version,
    open: Option<&OpId>,
) -> Option<OutboxRow> {
    if !operation.base.follows().is_some_and(|earlier| judged.contains(earlier)) {
        return None;
    }
    operation.base = Base::Version(Version::LOST);
    let mut apart = stored.instead(operation);
    apart.behind = open.cloned();
    work.queue(operation, apart.clone());
    // Whoever has it in memory learns by the audit trail that it is not what it was.
    work.note(operation, Event::Rebased { version: on });
    Some(apart)
}

/// The conflict that a verdict found.
#[allow(clippy::too_many_arguments, reason = "a conflict is the meeting of all of these")]
pub(super) fn record(
    work: &mut Work<'_>,
    row: &OverlayRow,
    operation: &Operation,
    base: &Option<Object>,
    local: &Option<Object>,
    server: &ServerState,
    verdict: &Verdict,
    resolved_by: Option<&str>,
) -> Conflict {
    let found_by = work.schema().entity(&row.entity).map(|entity| FoundBy::signs(&entity.conflicts)).unwrap_or_default();
    let mut conflict = Conflict {
        id: work.take_seq(),
        conflict_id: operation.id.to_string(),
        kind: verdict.kind,
        found_by,
        entity: row.entity.clone(),
        record: row.id.clone(),
        operation: operation.clone(),
        base: base.clone(),
        local: local.clone(),
        server: server.clone(),
        fields: verdict.fields.clone(),
        places: verdict.places.clone(),
        other: None,
        detected_at: work.now(),
        state: ConflictState::Open,
        resolution: None,
        resolved_by: None,
        resolved_at: None,
        steps: Vec::new(),
        met_at_offset_ms: None,
        ahead_since: None,
        asks: (verdict.ask == Ask::Function).then_some(0),
    };
    conflict.begin();
    if verdict.invalid {
        conflict.steps[0].how = Some("invalid_record".to_owned());
    }
    if let Some(by) = resolved_by {
        let there = server.data.clone();
        let stood = verdict.action.as_ref().map_or(there.clone(), |action| after(there, action));
        conflict.resolve(work.now(), by, verdict.resolution, None, stood.as_ref(), None);
    }
    conflict
}
