//! Creates that refer to each other in a circle, outside of a group: none of them can be the first. A circle opens where
//! one of them may go up without its reference, which an update brings later.

use super::queue::{Item, Queue};
use super::{Seals, State};
use crate::model::{Kind, OpId};
use crate::schema::Schema;

/// What is to be done about a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// One of its creates, by client sequence.
    pub seq: u64,
    /// Its operation.
    pub operation: OpId,
    /// The paths at which it refers to others of the circle.
    pub paths: Vec<String>,
    /// Whether it may go without those references first. If not, none of them may, and a person has to put it right.
    pub opens: bool,
}

impl Queue {
    /// The first circle about which something can be done: at the last written of its creates whose references into it may
    /// be empty. What was sent, or came with a file, stays as it is; and a group takes effect whole, or not at all.
    pub fn circle(&self, schema: &Schema, seals: &Seals) -> Option<Circle> {
        // Somebody in a circle refers to what was written later. Nearly always nobody does.
        let mut last_create = vec![0; self.places.len()];
        for item in self.items.values().filter(|item| item.node.kind == Kind::Create) {
            last_create[self.places.present(item.node.record)] = item.node.seq;
        }
        let forward = |item: &&Item| item.node.needs.iter().any(|need| last_create[self.places.present(need.place)] > item.node.seq);
        self.items.values().find(forward)?;
        let acting = self.acting();
        let cycles = self.graph(&acting).cycles();
        cycles.iter().find_map(|cycle| {
            let members: Vec<&Item> = acting.iter().copied().filter(|item| cycle.operations.contains(&item.operation.id)).collect();
            // One that waits for a person already holds the others.
            let waits = members.iter().any(|item| item.row.state != State::Pending);
            let found = || members.iter().rev().filter_map(|item| self.of_circle(item, &members, schema, seals));
            let first = found().next().filter(|_| !waits)?;
            Some(found().find(|circle| circle.opens).unwrap_or(first))
        })
    }

    /// One of a circle's creates, if it is one that can be dealt with here.
    fn of_circle(&self, item: &Item, members: &[&Item], schema: &Schema, seals: &Seals) -> Option<Circle> {
        if item.node.kind != Kind::Create || item.row.is_imported() || seals.contains(item.node.seq) {
            return None;
        }
        let created =
            |place| members.iter().any(|other| other.node.kind == Kind::Create && self.places.present(other.node.record) == place);
        let own = self.places.present(item.node.record);
        let into = item.node.needs.iter().filter(|need| {
            let place = self.places.present(need.place);
            place != own && created(place)
        });
        let mut paths: Vec<String> = into.map(|need| need.reference.path.clone()).collect();
        paths.dedup();
        let declared = schema.entity(&item.operation.entity)?;
        let is_required = |path: &String| declared.fields.iter().any(|(field, shape)| field.as_str() == path && shape.required);
        let opens = item.node.group.is_none() && !paths.iter().any(is_required);
        (!paths.is_empty()).then(|| Circle { seq: item.node.seq, operation: item.operation.id.clone(), paths, opens })
    }
}
