//! The end of an open conflict, decided by a person: a new operation stands in the place of the one that
//! met the conflict. Both sides stay in the conflict's row.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::chain::{Fresh, Instead, Onto, around, reissue, stood_on};
use super::effects::Effects;
use super::rebase::ServerClock;
use super::rows::{last_audit, last_audit_of, seals};
use super::state::SyncState;
use super::work::Work;
use crate::conflict::{Conflict, ConflictState};
use crate::model::{Action, Base, Operation, Version};
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
    fn name(&self) -> &'static str {
        match self {
            Self::ServerWins => "server-wins",
            Self::ClientWins => "client-wins",
            Self::LastWriteWins => "last-write-wins",
            Self::Merge(_) => "merge",
        }
    }
}

/// Ends one conflict.
#[derive(Clone, Debug)]
pub struct Resolve {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The conflict's key.
    pub conflict: u64,
    /// How.
    pub resolution: Resolution,
    /// IDs for the operations that will stand in the places of it and its group.
    pub fresh: Fresh,
    /// Whose database it is, and who decides.
    pub user: String,
}

/// Why a conflict was not ended. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// There is no such open conflict.
    #[error("there is no such open conflict")]
    Unknown,
    /// The merged fields hold a value at a reference path that is no ID.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl Decision for Resolve {
    type Out = Result<Effects, ResolveError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let read = Read::Get(Table::Conflicts, self.conflict.into());
        let by_operation = last_audit_of(&self.fresh.first());
        db.prefetch([last_audit(), seals(), SyncState::read(), read.clone(), by_operation.clone()]);
        if !db.rows(&by_operation)?.is_empty() {
            // The connection died after the commit and before we were told: the decision stands.
            return Ok((Vec::new(), Ok(Effects::default())));
        }
        let unknown = || Ok((Vec::new(), Err(ResolveError::Unknown)));
        let found: Option<Conflict> = db.one(&read)?;
        let Some(mut conflict) = found.filter(|conflict| conflict.state == ConflictState::Open) else { return unknown() };
        if let (Resolution::Merge(Some(exactly)), Some(declared)) = (&self.resolution, self.schema.entity(&conflict.entity))
            && let Err(error) = check_references(declared, exactly)
        {
            return Ok((Vec::new(), Err(error.into())));
        }
        let mut work = Work::begin(db, &self.schema, &self.user, self.fresh.now)?;
        work.seals(db)?;
        let Some((stored, _)) = work.outbox(db, conflict.operation.seq)? else { return unknown() };
        // What it will need later too, so that it all comes in few rounds: who is missing waits below.
        let _ = around(db, &work, &conflict.operation);
        let Some(mut row) = work.overlay(db, &conflict.entity, &stored.row)? else { return unknown() };
        let sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.fresh.now };
        let server = row.waiting.take().filter(|state| state.version >= conflict.server.version).unwrap_or_else(|| conflict.server.clone());
        // Another operation of ours may have been applied since: what it left is the server's state now. But a state of
        // a lineage that was lost stands: nobody knows what of the new one is older, and it is what was decided on.
        let server = if server.version == Version::LOST { server } else { row.newest(server) };
        // Where nobody here knows when that state was written, the stamps of the one that it was in conflict with stand in.
        let ServerState { version, data, .. } = server.clone();
        let dated = if server.is_dated() { server.clone() } else { ServerState { version, data, ..conflict.server.clone() } };
        let on = stood_on(db, &work, &row, &conflict.operation, &server)?;
        let by = Operation {
            action: self.action(&conflict, on.as_ref(), &dated, clock),
            base: if is(Bug::ResolvedOnOldState) { conflict.operation.base.clone() } else { Base::Version(server.version) },
            stamp: work.stamp(),
            stamps: Sorted::new(),
            ..conflict.operation.clone()
        };
        row.conflict = None;
        let known = row.version;
        let instead = Instead { old: &conflict.operation, by, onto: Onto::Judged(&server), clock };
        reissue(db, &mut work, &mut row, instead, &self.fresh)?;
        // It stands on the version of `server` now. If that is of a lineage that was lost, what a receipt of the
        // present one told stays.
        row.version = row.version.max(known);
        work.put(row);
        conflict.server = dated;
        conflict.state = ConflictState::Resolved;
        conflict.resolution = Some(self.resolution.name().to_owned());
        conflict.resolved_by = Some(self.user.clone());
        conflict.resolved_at = Some(self.fresh.now);
        work.conflict(&conflict);
        let (batch, effects) = work.finish()?;
        Ok((batch, Ok(effects)))
    }
}

impl Resolve {
    fn action(&self, conflict: &Conflict, on: Option<&Object>, server: &ServerState, clock: ServerClock) -> Action {
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
        let rules = ConflictRules { default: rule, fields, groups: declared.groups };
        let verdict = clock.judge(&conflict.operation, conflict.base.as_ref(), on, conflict.local.as_ref(), server, &rules);
        verdict.action.unwrap_or(nothing)
    }
}
