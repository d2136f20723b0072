//! The end of open conflicts, decided by a person or a function of the app: a new operation stands in the place of the one
//! that met the conflict. Both sides stay in the conflict's row. One transaction ends one conflict or many; a preview runs the
//! same and stores nothing.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run, each};
use super::chain::{Fresh, Instead, Onto, around, reissue, stood_on, whole_operations};
use super::effects::Effects;
use super::intent::WriteError;
use super::meanwhile::{Meanwhile, absorb, against, meanwhile, tell_ended};
use super::rebase::{ServerClock, after};
use super::rows::{last_audit, last_audit_of, seals};
use super::state::SyncState;
use super::valid::refusal;
use super::work::Work;
use crate::conflict::{Conflict, ConflictState};
use crate::model::{Action, Base, OpId, Operation};
use crate::plan::{Read, Table, WriteBatch};
use crate::planted::{Bug, is};
use crate::protocol::ServerState;
use crate::schema::{ConflictRules, ReferenceError, Rule, Schema, check_references};
use crate::value::{Object, Sorted};

/// How to end a conflict.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// The server's side stands.
    ServerWins,
    /// The local side stands.
    ClientWins,
    /// Fields changed on one side merge; the same field goes to the later stamp.
    LastWriteWins,
    /// As [`Self::LastWriteWins`], or exactly these fields.
    Merge(Option<Object>),
}

impl Resolution {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ServerWins => "server-wins",
            Self::ClientWins => "client-wins",
            Self::LastWriteWins => "last-write-wins",
            Self::Merge(_) => "merge",
        }
    }
}

/// What the records of conflicts would be, by the conflicts' keys; nothing where one would be deleted.
type Shown = Rc<Vec<(u64, Option<Object>)>>;

/// Ends conflicts, in one transaction; or only shows what that would come to.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The conflicts' keys.
    pub conflicts: Vec<u64>,
    /// How.
    pub resolution: Resolution,
    /// Whether nothing shall be stored.
    pub dry: bool,
    /// Why, where the person said so.
    pub reason: Option<String>,
    /// Whether new records that the server refused may be given up: where that wants a reason, there is one.
    pub gives_up: bool,
    /// That a function of the app decides, and the conflict as that function (a `rule`) was asked about it: if it is another by
    /// now, it is left for the next time.
    pub asked: Option<Box<Conflict>>,
    /// What the records would be, by conflict, as the app's functions (`validators` and `transforms`) were shown it: if it comes to
    /// anything else, nothing is stored.
    pub shown: Option<Shown>,
    /// IDs for the operations that will stand in the places of those in conflict and their groups.
    pub fresh: Fresh,
    /// Whose database it is, and who decides.
    pub user: String,
}

/// What became of conflicts that were to be ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Those that were ended, or would be: then with what that comes to.
    pub ended: Vec<(u64, Option<Preview>)>,
    /// Those that were not.
    pub refused: Vec<(u64, ResolveError)>,
    /// Those whose turn comes in another transaction: another of their group was ended in this one, or it is not what the
    /// function that decides was shown.
    pub left: Vec<u64>,
    /// Those that come to something else than the app's functions were shown. Then nothing is stored of any.
    pub overtaken: Vec<u64>,
    /// What to show.
    pub effects: Effects,
}

/// What the end of a conflict comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    /// What would be sent; nothing where a record that the server does not have is given up.
    pub operation: Option<Operation>,
    /// What the record would be, with all that is pending on it; nothing if it were deleted.
    pub record: Option<Object>,
}

/// Why a conflict was not ended. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such open conflict.
    #[error("there is no such open conflict")]
    Unknown(u64),
    /// Another device met it in a transaction: what would stand in its place is of several operations.
    #[error("it was written in a transaction, and only its own device has the others")]
    InTransaction,
    /// It would give unsent work up, and that wants a reason.
    #[error("the settings want a reason for giving unsent work up")]
    NoReason,
    /// The merged fields hold a value at a reference path that is no ID.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The write that it comes to is refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Decision for Resolve {
    type Out = Resolved;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Resolved)> {
        let by_operation = last_audit_of(&self.fresh.first());
        db.prefetch([last_audit(), seals(), SyncState::read(), by_operation.clone()]);
        for id in &self.conflicts {
            db.prefetch([Read::Get(Table::Conflicts, (*id).into())]);
        }
        let mut resolved = Resolved::default();
        if !db.rows(&by_operation)?.is_empty() {
            // The connection died after the commit and before we were told: what is decided stands.
            for id in &self.conflicts {
                let found: Option<Conflict> = db.one(&Read::Get(Table::Conflicts, (*id).into()))?;
                match found.filter(|conflict| conflict.state == ConflictState::Open) {
                    Some(open) => resolved.left.push(open.id),
                    None => resolved.ended.push((*id, None)),
                }
            }
            return Ok((Vec::new(), resolved));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.fresh.now)?;
        work.because(self.reason.as_deref());
        work.seals(db)?;
        let mut groups: Vec<OpId> = Vec::new();
        each(&self.conflicts, |id| {
            match self.one(db, &mut work, *id, &mut groups)? {
                Ok(true) => {
                    let preview = if self.dry || self.shown.is_some() { self.preview(db, &work, *id)? } else { None };
                    resolved.ended.push((*id, preview));
                }
                Ok(false) => resolved.left.push(*id),
                Err(error) => resolved.refused.push((*id, error)),
            }
            Ok(())
        })?;
        let overtaken = self.overtaken(&resolved);
        if !overtaken.is_empty() {
            return Ok((Vec::new(), Resolved { overtaken, ..Resolved::default() }));
        }
        if self.dry {
            return Ok((Vec::new(), resolved));
        }
        resolved.ended.iter_mut().for_each(|(_, preview)| *preview = None);
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Resolved { effects, ..resolved }))
    }
}

impl Resolve {
    /// Those of which the functions saw another record than the one that they come to now, or none.
    fn overtaken(&self, resolved: &Resolved) -> Vec<u64> {
        let Some(shown) = &self.shown else { return Vec::new() };
        let shown: Vec<(u64, Option<&Object>)> = shown.iter().map(|(id, record)| (*id, record.as_ref())).collect();
        let now: Vec<(u64, Option<&Object>)> =
            resolved.ended.iter().map(|(id, preview)| (*id, preview.as_ref().and_then(|preview| preview.record.as_ref()))).collect();
        let other = shown.iter().filter(|pair| !now.contains(pair));
        let unseen = now.iter().filter(|(id, _)| !shown.iter().any(|(seen, _)| seen == id));
        other.chain(unseen).map(|(id, _)| *id).collect()
    }

    /// Ends one of them, unless another of its group was ended already.
    fn one(&self, db: &mut Cache, work: &mut Work<'_>, id: u64, groups: &mut Vec<OpId>) -> Run<Result<bool, ResolveError>> {
        let found: Option<Conflict> = db.one(&Read::Get(Table::Conflicts, id.into()))?;
        if found.as_ref().is_some_and(|conflict| self.gave_up(conflict)) {
            return Ok(Ok(true));
        }
        let Some(mut conflict) = found.filter(|conflict| conflict.state == ConflictState::Open) else {
            return Ok(Err(ResolveError::Unknown(id)));
        };
        let met = conflict.operation.clone();
        let with = match conflict.met_at_offset_ms {
            Some(_) => None,
            None => self.with_meanwhile(db, work, &mut conflict)?,
        };
        let (taken, shown) = with.map_or_else(|| (Vec::new(), conflict.local.clone()), |with| (with.taken, with.shown));
        if self.asked.as_ref().is_some_and(|asked| !conflict.is_as_asked(asked, shown.as_ref())) {
            return Ok(Ok(false));
        }
        if let Some(group) = &conflict.operation.group {
            if groups.contains(&group.id) {
                return Ok(Ok(false));
            }
            groups.push(group.id.clone());
        }
        if let (Resolution::Merge(Some(exactly)), Some(declared)) = (&self.resolution, self.schema.entity(&conflict.entity))
            && let Err(error) = check_references(declared, exactly)
        {
            return Ok(Err(error.into()));
        }
        if let Some(offset_ms) = conflict.met_at_offset_ms {
            return self.held(db, work, conflict, offset_ms);
        }
        if let Some(error) = self.breaks(db, work, &conflict)? {
            return Ok(Err(error.into()));
        }
        if conflict.is_of_new() {
            return self.unborn(db, work, conflict, (met, taken));
        }
        let Some((stored, _)) = work.outbox(db, conflict.operation.seq)? else { return Ok(Err(ResolveError::Unknown(id))) };
        let Some(mut row) = work.overlay(db, &conflict.entity, &stored.row)? else { return Ok(Err(ResolveError::Unknown(id))) };
        let sync = SyncState::look(db)?;
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now };
        let server = against(&row, &conflict);
        row.waiting = None;
        // Where nobody here knows when that state was written, the stamps of the one that it was in conflict with stand in.
        let ServerState { version, data, .. } = server.clone();
        let dated = if server.is_dated() { server.clone() } else { ServerState { version, data, ..conflict.server.clone() } };
        let on = stood_on(db, work, &row, &conflict.operation, &server)?;
        let by = Operation {
            action: self.action(&conflict, on.as_ref(), &dated, clock),
            base: if is(Bug::ResolvedOnOldState) { conflict.operation.base.clone() } else { Base::Version(server.version) },
            stamp: work.stamp(),
            stamps: Sorted::new(),
            ..conflict.operation.clone()
        };
        if let Some(error) = refusal(&self.schema, &conflict.entity, &by.action, after(on, &by.action).as_ref()) {
            return Ok(Err(error.into()));
        }
        let stood = after(server.data.clone(), &by.action);
        row.conflict = None;
        let gone = absorb(db, work, &mut row, &stored, &conflict, taken)?;
        let known = row.version;
        let instead = Instead { old: &conflict.operation, by, onto: Onto::Judged(&server), clock };
        reissue(db, work, &mut row, instead, &self.fresh)?;
        // It stands on the version of `server` now. If that is of a lineage that was lost, what a receipt of the
        // present one told stays.
        row.version = row.version.max(known);
        work.put(row);
        let renewed = dated.version > conflict.server.version;
        conflict.server = dated;
        if renewed {
            conflict.renew(self.fresh.now);
        }
        let by = work.in_place_of(&conflict.operation.id);
        tell_ended(work, &gone, by.as_ref());
        let who = if self.asked.is_some() { "rule" } else { &self.user };
        conflict.resolve(self.fresh.now, who, self.resolution.name(), by, stood.as_ref(), Some(&self.schema));
        conflict.operation = met;
        work.conflict(&conflict);
        Ok(Ok(true))
    }

    /// Reads what the end of a conflict will need: its group, what a merge is held against, and what may join the group.
    fn ahead(&self, db: &mut Cache, work: &Work<'_>, conflict: &Conflict) -> Run<()> {
        let _ = self.breaks(db, work, conflict);
        let (_, rows) = around(db, work, &conflict.operation)?;
        if conflict.operation.group.is_none() {
            return Ok(());
        }
        each(rows, |row| each(whole_operations(db, work, &row)?, |(_, operation)| around(db, work, &operation).map(drop)))
    }

    /// Puts into a conflict of this device what was written on its record meanwhile.
    fn with_meanwhile(&self, db: &mut Cache, work: &Work<'_>, conflict: &mut Conflict) -> Run<Option<Meanwhile>> {
        // What it will need later too, so that it all comes in few rounds: who is missing waits below.
        let _ = self.ahead(db, work, conflict);
        let Some((stored, _)) = work.outbox(db, conflict.operation.seq)? else { return Ok(None) };
        let Some(row) = work.overlay(db, &conflict.entity, &stored.row)? else { return Ok(None) };
        let given_up = conflict.is_of_new() && self.resolution == Resolution::ServerWins;
        let exactly = given_up || matches!(self.resolution, Resolution::Merge(Some(_)));
        let server = against(&row, conflict);
        meanwhile(db, work, &row, conflict, (&server, exactly)).map(Some)
    }

    /// What the end of a conflict comes to, after it was taken.
    fn preview(&self, db: &mut Cache, work: &Work<'_>, id: u64) -> Run<Option<Preview>> {
        let found: Option<Conflict> = db.one(&Read::Get(Table::Conflicts, id.into()))?;
        let Some(conflict) = found else { return Ok(None) };
        let Some((stored, operation)) = work.queued_in_place_of(&conflict.operation.id) else {
            return Ok(conflict.is_of_new().then_some(Preview { operation: None, record: None }));
        };
        let record = work.overlay(db, &operation.entity, &stored.row)?.and_then(|row| row.view);
        Ok(Some(Preview { operation: Some(operation), record }))
    }

    /// What is to be done on the server's side, with what earlier operations of ours do to that: `on`.
    pub(super) fn action(&self, conflict: &Conflict, on: Option<&Object>, server: &ServerState, clock: ServerClock) -> Action {
        let nothing = Action::nothing();
        let declared = self.schema.entity(&conflict.entity).map(|entity| entity.conflicts.clone()).unwrap_or_default();
        let rule = match &self.resolution {
            Resolution::Merge(Some(exactly)) => {
                return match &server.data {
                    Some(there) => Action::Update { delta: declared.delta(there, exactly) },
                    None => Action::Create { data: exactly.clone() },
                };
            }
            Resolution::ServerWins => return nothing,
            Resolution::ClientWins => Rule::ClientWins,
            Resolution::LastWriteWins | Resolution::Merge(None) => Rule::LastWriteWins,
        };
        // What can be put together stays so, whoever has the rest.
        let fields = declared.fields.into_iter().filter(|(_, rule)| rule.merges()).collect();
        let rules =
            ConflictRules { default: rule, fields, groups: declared.groups, metadata: declared.metadata, ..ConflictRules::default() };
        let verdict = clock.judge(&conflict.operation, conflict.base.as_ref(), on, conflict.local.as_ref(), server, &rules);
        verdict.action.unwrap_or(nothing)
    }
}
