//! The end of an open conflict, decided by a person: a new operation stands in the place of the one that
//! met the conflict. Both sides stay in the conflict's row.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::rebase::{ServerClock, operations, rebase};
use super::rows::{last_audit, seals};
use super::state::SyncState;
use super::work::{Effects, Work};
use crate::conflict::{Conflict, ConflictState, Local, judge};
use crate::model::{Action, Base, OpId, Operation};
use crate::outbox::OutboxRow;
use crate::plan::{Read, Table, WriteBatch};
use crate::protocol::ServerState;
use crate::schema::{ConflictRules, ReferenceError, Rule, Schema, check_references};
use crate::value::{Delta, KeyRange, Object};

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
    /// The ID of the operation that will stand in its place.
    pub operation: OpId,
    /// Now, ms by the device.
    pub now: u64,
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
        let by_operation = Read::index(Table::Audit, KeyRange::only(self.operation.as_str().into()));
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
        let stored_read = Read::Get(Table::Outbox, conflict.operation.seq.into());
        let Some(stored) = db.one::<OutboxRow>(&stored_read)? else { return unknown() };
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let Some(mut row) = work.overlay(db, &conflict.entity, &stored.row)? else { return unknown() };
        let sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        let clock = ServerClock { offset_ms: sync.offset_ms, now: self.now };
        let pending = operations(db, &row)?;

        let server = row.waiting.take().filter(|state| state.version >= conflict.server.version).unwrap_or_else(|| conflict.server.clone());
        let by = Operation {
            id: self.operation.clone(),
            seq: work.take_seq(),
            action: self.action(&conflict, &server, clock),
            base: Base::Version(server.version),
            stamp: work.stamp(),
            supersedes: Some(conflict.operation.id.clone()),
            ..conflict.operation.clone()
        };
        let (mut kept, mut chain) = (vec![by.seq], Vec::new());
        let sealed = work.seals(db)?.clone();
        for (other_row, other) in pending {
            if other.id == conflict.operation.id {
                chain.push((OutboxRow::new(&by, stored.row.clone(), stored.drops.clone(), stored.created), by.clone()));
            } else {
                if sealed.contains(other.seq) {
                    kept.push(other.seq);
                }
                chain.push((other_row, other));
            }
        }
        work.supersede(&stored, &conflict.operation, &by);
        row.conflict = None;
        rebase(db, &mut work, &mut row, &server, clock, chain, &kept)?;
        work.put(row);
        conflict.server = server;
        conflict.state = ConflictState::Resolved;
        conflict.resolution = Some(self.resolution.name().to_owned());
        conflict.resolved_by = Some(self.user.clone());
        conflict.resolved_at = Some(self.now);
        work.conflict(&conflict);
        let (batch, effects) = work.finish();
        Ok((batch, Ok(effects)))
    }
}

impl Resolve {
    fn action(&self, conflict: &Conflict, server: &ServerState, clock: ServerClock) -> Action {
        let nothing = Action::Update { delta: Delta::default() };
        let rule = match &self.resolution {
            Resolution::Merge(Some(exactly)) => {
                return match &server.data {
                    Some(there) => Action::Update { delta: Delta::diff(there, exactly) },
                    None => Action::Create { data: exactly.clone() },
                };
            }
            Resolution::ServerWins => return nothing,
            Resolution::ClientWins => Rule::ClientWins,
            Resolution::LastWriteWins | Resolution::Merge(None) => Rule::LastWriteWins,
        };
        let local = Local {
            action: &conflict.operation.action,
            stamp: clock.effective(conflict.operation.stamp),
            base: conflict.base.as_ref(),
            view: conflict.local.as_ref(),
        };
        let rules = ConflictRules { default: rule, ..ConflictRules::default() };
        judge(local, server, &rules).action.unwrap_or(nothing)
    }
}
