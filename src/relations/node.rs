//! From operations to edges.

use super::places::{Place, Places};
use crate::model::{Kind, OpId, Operation, RecordId};
use crate::schema::{Reference, Schema, references_set};

/// A reference that an operation sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// The record it points to.
    pub place: Place,
    /// The reference itself.
    pub reference: Reference,
}

/// What ordering needs to know of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub id: OpId,
    /// Its client sequence.
    pub seq: u64,
    /// What it does.
    pub kind: Kind,
    /// Its own place.
    pub place: Place,
    /// The record that it creates, changes or deletes.
    pub record: Place,
    /// The earlier operation of the same record that it was written on.
    pub after: Option<Place>,
    /// The operations in whose place it stands.
    pub supersedes: Vec<Place>,
    /// The references that it sets.
    pub needs: Vec<Need>,
    /// Records that it referred to before and no longer does.
    pub drops: Vec<Place>,
    /// Its group: all members go together.
    pub group: Option<Place>,
    /// The place of its lane among the lanes: lower goes first.
    pub lane: usize,
}

impl Node {
    /// Reads a node out of an operation. `drops` comes from whoever saw the record before the operation.
    pub fn of(operation: &Operation, schema: &Schema, drops: &[(String, RecordId)], places: &mut Places) -> Self {
        let set = schema.entity(&operation.entity).map(|declared| references_set(declared, &operation.action)).unwrap_or_default();
        Self {
            id: operation.id.clone(),
            seq: operation.seq,
            kind: operation.action.kind(),
            place: places.operation(&operation.id),
            record: places.record(&operation.entity, &operation.record),
            after: operation.base.follows().map(|id| places.operation(id)),
            supersedes: operation.supersedes.iter().map(|id| places.operation(id)).collect(),
            needs: needs(set, places),
            drops: drops.iter().map(|(entity, id)| places.record(entity, id)).collect(),
            group: operation.group.as_ref().map(|group| places.operation(&group.id)),
            lane: schema.lane(operation.lane.as_deref()),
        }
    }
}

/// References with the places that they point to.
pub fn needs(set: Vec<Reference>, places: &mut Places) -> Vec<Need> {
    set.into_iter().map(|reference| Need { place: places.record(&reference.entity, &reference.id), reference }).collect()
}

/// Why one operation comes after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It refers, by this field, to what the other creates.
    Refers(String),
    /// Both are of one record.
    SameRecord,
    /// It deletes what the other held.
    Deletes,
}

/// For each node, the nodes (by position) that come before it, and why.
pub(super) fn edges(nodes: &[&Node], places: &Places) -> Vec<Vec<(usize, Why)>> {
    const NOBODY: usize = usize::MAX;
    // By place: who is this operation, or stands in its stead; who creates this record; who held it.
    let mut actors = vec![NOBODY; places.len()];
    let mut creates = vec![NOBODY; places.len()];
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); places.len()];
    for (at, node) in nodes.iter().enumerate() {
        actors[node.place] = at;
        if node.kind == Kind::Create {
            creates[places.present(node.record)] = at;
        }
        for place in node.needs.iter().map(|need| need.place).chain(node.drops.iter().copied()) {
            holders[places.present(place)].push(at);
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        for old in &node.supersedes {
            if actors[*old] == NOBODY {
                actors[*old] = at;
            }
        }
    }
    let before = |(at, node): (usize, &&Node)| {
        let mut before: Vec<(usize, Why)> = Vec::new();
        let mut add = |other: usize, why: Why| {
            if other != NOBODY && other != at && !before.iter().any(|(known, _)| *known == other) {
                before.push((other, why));
            }
        };
        if let Some(earlier) = node.after {
            add(actors[earlier], Why::SameRecord);
        }
        for need in &node.needs {
            add(creates[places.present(need.place)], Why::Refers(need.reference.path.clone()));
        }
        if node.kind == Kind::Delete {
            for other in holders[places.present(node.record)].iter().filter(|other| nodes[**other].seq < node.seq) {
                add(*other, Why::Deletes);
            }
        }
        before
    };
    nodes.iter().enumerate().map(before).collect()
}
