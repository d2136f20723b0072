//! Opening a circle of creates: one goes up without the references that close it, and an update behind it brings them once
//! the others are there. What the app sees stays as it is.

use std::rc::Rc;

use super::cache::{Cache, Decision, Run};
use super::effects::Effects;
use super::merge::is_open;
use super::overlay::OpRef;
use super::rows::{last_audit, seals};
use super::state::SyncState;
use super::work::Work;
use crate::audit::Event;
use crate::model::{Action, Base, OpId, Operation};
use crate::outbox::{Circle, OutboxRow};
use crate::plan::{Read, Table, WriteBatch};
use crate::schema::{Entity, Schema};
use crate::value::{FieldPath, Object};

/// Splits a create in two.
#[derive(Clone, Debug)]
pub struct OpenCircle {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The create, and what it leaves out.
    pub circle: Circle,
    /// The ID of the update, made before.
    pub operation: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

impl Decision for OpenCircle {
    /// What to show; nothing if the create is not what it was any more.
    type Out = Option<Effects>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let stored = Read::Get(Table::Outbox, self.circle.seq.into());
        db.prefetch([last_audit(), SyncState::read(), seals(), stored]);
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        let found =
            work.outbox(db, self.circle.seq)?.filter(|(row, create)| create.id == self.circle.operation && is_open(&work, row, create));
        let Some((stored, create)) = found else { return Ok((Vec::new(), None)) };
        let row = work.overlay(db, &create.entity, &stored.row)?;
        let Some((mut row, declared)) = row.zip(self.schema.entity(&create.entity)) else { return Ok((Vec::new(), None)) };
        let (Action::Create { data }, Some(view)) = (&create.action, &row.view) else { return Ok((Vec::new(), None)) };
        let (first, seen) = (self.without(declared, data), view.clone());
        // What was written over the references since is in operations of its own, and comes with those.
        let delta = declared.conflicts.delta(&self.without(declared, view), &seen);
        let create = Operation { action: Action::Create { data: first }, ..create };
        work.note(&create, Event::Amended { content: create.fingerprint() });
        work.queue(&create, stored.instead(&create));
        let last = row.ops.last().map_or_else(|| create.id.clone(), |op| op.id.clone());
        let update = Operation {
            id: self.operation.clone(),
            seq: work.take_seq(),
            action: Action::Update { delta },
            base: Base::After(last),
            supersedes: None,
            first: None,
            ..create
        };
        row.ops.push(OpRef::to(&update));
        work.note(&update, Event::Written { kind: update.action.kind(), content: update.fingerprint() });
        work.queue(&update, OutboxRow::new(&update, row.key.clone(), Vec::new(), self.now));
        work.put(row);
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Some(effects)))
    }
}

impl OpenCircle {
    /// The fields without what stands at the paths that are left out.
    fn without(&self, declared: &Entity, data: &Object) -> Object {
        let mut document = serde_json::Value::Object(data.clone());
        let is_left_out = |path: &&FieldPath| self.circle.paths.iter().any(|left_out| left_out == path.as_str());
        for path in declared.references.keys().filter(is_left_out) {
            path.for_each_mut(&mut document, &mut |value| *value = serde_json::Value::Null);
        }
        match document {
            serde_json::Value::Object(data) => data,
            _ => data.clone(),
        }
    }
}
