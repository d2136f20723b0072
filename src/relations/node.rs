//! From operations to edges.

use std::collections::BTreeMap;

use crate::model::{Base, Kind, OpId, Operation, RecordId};
use crate::schema::{Schema, fold_delta, references};

/// A record that an operation refers to, referred to before, or drops.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    /// The entity type.
    pub entity: String,
    /// The record.
    pub id: RecordId,
    /// The declared path of the reference.
    pub path: String,
}

/// What ordering needs to know of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The operation.
    pub id: OpId,
    /// Its client sequence.
    pub seq: u64,
    /// The record that it creates, changes or deletes.
    pub record: (String, RecordId),
    /// What it does.
    pub kind: Kind,
    /// The earlier operation of the same record that it was written on.
    pub after: Option<OpId>,
    /// The operation in whose place it stands.
    pub supersedes: Option<OpId>,
    /// What it needs: the references that it sets.
    pub needs: Vec<Touch>,
    /// What it held or drops besides.
    pub drops: Vec<(String, RecordId)>,
}

impl Node {
    /// Reads a node out of an operation. `drops` comes from whoever saw the record before the operation.
    pub fn of(operation: &Operation, schema: &Schema, drops: Vec<(String, RecordId)>) -> Self {
        let set = match &operation.action {
            crate::model::Action::Create { data } => Some(data.clone()),
            crate::model::Action::Update { delta } => Some(fold_delta(delta)),
            crate::model::Action::Delete => None,
        };
        let needs = match (schema.entity(&operation.entity), set) {
            (Some(entity), Some(set)) => {
                references(entity, &set).into_iter().map(|r| Touch { entity: r.entity, id: r.id, path: r.path }).collect()
            }
            _ => Vec::new(),
        };
        Self {
            id: operation.id.clone(),
            seq: operation.seq,
            record: (operation.entity.clone(), operation.record.clone()),
            kind: operation.action.kind(),
            after: match &operation.base {
                Base::After(id) => Some(id.clone()),
                Base::None | Base::Version(_) => None,
            },
            supersedes: operation.supersedes.clone(),
            needs,
            drops,
        }
    }
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

/// For each node, the nodes (by position) that come before it, and why. `present` maps an earlier ID of a
/// record to its present one, so that a temp ID and the real ID it became are one record.
pub fn edges(nodes: &[Node], present: &dyn Fn(&str, &RecordId) -> RecordId) -> Vec<Vec<(usize, Why)>> {
    let place = |entity: &str, id: &RecordId| (entity.to_owned(), present(entity, id));
    let mut by_id: BTreeMap<&OpId, usize> = BTreeMap::new();
    let mut creates: BTreeMap<(String, RecordId), usize> = BTreeMap::new();
    let mut holders: BTreeMap<(String, RecordId), Vec<usize>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        by_id.insert(&node.id, at);
        if node.kind == Kind::Create {
            creates.insert(place(&node.record.0, &node.record.1), at);
        }
        for touch in &node.needs {
            holders.entry(place(&touch.entity, &touch.id)).or_default().push(at);
        }
        for (entity, id) in &node.drops {
            holders.entry(place(entity, id)).or_default().push(at);
        }
    }
    // Whoever stands in the place of an operation is waited for in its stead.
    for (at, node) in nodes.iter().enumerate() {
        if let Some(old) = &node.supersedes {
            by_id.entry(old).or_insert(at);
        }
    }
    nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let mut before: Vec<(usize, Why)> = Vec::new();
            let mut add = |other: usize, why: Why| {
                if other != at && !before.iter().any(|(known, _)| *known == other) {
                    before.push((other, why));
                }
            };
            if let Some(other) = node.after.as_ref().and_then(|id| by_id.get(id)) {
                add(*other, Why::SameRecord);
            }
            for touch in &node.needs {
                if let Some(other) = creates.get(&place(&touch.entity, &touch.id)) {
                    add(*other, Why::Refers(touch.path.clone()));
                }
            }
            if node.kind == Kind::Delete {
                let held = holders.get(&place(&node.record.0, &node.record.1));
                for other in held.into_iter().flatten().filter(|other| nodes[**other].seq < node.seq) {
                    add(*other, Why::Deletes);
                }
            }
            before
        })
        .collect()
}
