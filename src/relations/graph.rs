//! The graph itself: a stable topological order (Kahn 1962, the waiting set kept as a heap by lane and
//! sequence) and the cycles of what is left (Tarjan 1972, iterative: a queue of 100,000 must not overflow a
//! wasm stack).
//!
//! The members of a group are one unit: they stand together in the order, by sequence, and what one of them
//! waits for, all wait for. A unit inherits the best lane of whatever waits for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::node::{Node, Why, edges};
use super::places::Places;
use crate::model::OpId;

/// Operations and what comes before each.
#[derive(Clone, Debug)]
pub struct Graph {
    ids: Vec<OpId>,
    seqs: Vec<u64>,
    before: Vec<Vec<(usize, Why)>>,
    /// The first member of the unit that a node belongs to: itself, if it is in no group.
    unit: Vec<usize>,
    lanes: Vec<usize>,
}

/// Operations that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The operations, by sequence.
    pub operations: Vec<OpId>,
    /// The reference fields that close it.
    pub fields: Vec<String>,
}

/// The result of ordering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// Positions, every one after all that come before it. Those in a cycle, or behind one, are missing.
    pub order: Vec<usize>,
    /// Every cycle.
    pub cycles: Vec<Cycle>,
}

impl Graph {
    /// Builds the graph of these nodes.
    pub fn build(nodes: &[&Node], places: &Places) -> Self {
        let mut first = vec![usize::MAX; places.len()];
        let mut unit = Vec::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let of = node.group.map_or(at, |group| {
                first[group] = first[group].min(at);
                first[group]
            });
            unit.push(of);
        }
        Self {
            ids: nodes.iter().map(|node| node.id.clone()).collect(),
            seqs: nodes.iter().map(|node| node.seq).collect(),
            before: edges(nodes, places),
            unit,
            lanes: nodes.iter().map(|node| node.lane).collect(),
        }
    }
    /// A graph from its parts, as somebody else wrote them down.
    pub fn from_parts(ids: Vec<OpId>, seqs: Vec<u64>, before: Vec<Vec<(usize, Why)>>) -> Self {
        let (unit, lanes) = ((0..ids.len()).collect(), vec![0; ids.len()]);
        Self { ids, seqs, before, unit, lanes }
    }
    /// The first member of the unit that this node belongs to.
    pub fn unit(&self, at: usize) -> usize {
        self.unit.get(at).copied().unwrap_or(at)
    }
    /// What comes before the node at this position.
    pub fn before(&self, at: usize) -> &[(usize, Why)] {
        self.before.get(at).map_or(&[], Vec::as_slice)
    }
    /// Whether one of them comes after another, directly or through others.
    pub fn comes_after(&self, at: usize, other: usize) -> bool {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        for (member, unit) in self.unit.iter().enumerate() {
            before[*unit].extend(self.before[member].iter().map(|(earlier, _)| self.unit[*earlier]));
        }
        let mut open = vec![self.unit(at)];
        while let Some(unit) = open.pop() {
            if unit == self.unit(other) {
                return true;
            }
            // Taken, so that no unit is gone through twice.
            open.append(&mut before[unit]);
        }
        false
    }
    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The order: first the better lane, then what came first, never before what it depends on.
    pub fn order(&self) -> Ordered {
        // Edges and members by unit; an edge within a unit means nothing for the order.
        let mut waits = vec![0_usize; self.len()];
        let mut behind: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        let mut lanes = self.lanes.clone();
        for (at, before) in self.before.iter().enumerate() {
            let unit = self.unit[at];
            members[unit].push(at);
            lanes[unit] = lanes[unit].min(self.lanes[at]);
            for (other, _) in before {
                let other = self.unit[*other];
                if other != unit {
                    behind[other].push(unit);
                    waits[unit] += 1;
                }
            }
        }
        let mut units = self.sort(&waits, &behind, &lanes);
        if lanes.iter().any(|lane| *lane != lanes[0]) {
            for unit in units.iter().rev() {
                lanes[*unit] = behind[*unit].iter().map(|other| lanes[*other]).fold(lanes[*unit], usize::min);
            }
            units = self.sort(&waits, &behind, &lanes);
        }
        let order: Vec<usize> = units.into_iter().flat_map(|unit| std::mem::take(&mut members[unit])).collect();
        let cycles = if order.len() == self.len() { Vec::new() } else { self.cycles() };
        Ordered { order, cycles }
    }

    fn sort(&self, waits: &[usize], behind: &[Vec<usize>], lanes: &[usize]) -> Vec<usize> {
        let mut waits = waits.to_vec();
        let entry = |unit: usize| Reverse((lanes[unit], self.seqs[unit], unit));
        let mut ready: BinaryHeap<_> = (0..self.len()).filter(|at| self.unit[*at] == *at && waits[*at] == 0).map(entry).collect();
        let mut order = Vec::with_capacity(self.len());
        while let Some(Reverse((_, _, unit))) = ready.pop() {
            order.push(unit);
            for next in &behind[unit] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    ready.push(entry(*next));
                }
            }
        }
        order
    }

    /// Every set of operations that wait for each other, with the fields that make it.
    pub fn cycles(&self) -> Vec<Cycle> {
        let mut cycles: Vec<Cycle> = Vec::new();
        for component in self.strong_components() {
            let cycle = self.name(component);
            let at = cycles.partition_point(|other| other.operations < cycle.operations);
            cycles.insert(at, cycle);
        }
        cycles
    }

    fn name(&self, component: Vec<usize>) -> Cycle {
        let mut by_seq: BinaryHeap<Reverse<(u64, usize)>> = component.iter().map(|at| Reverse((self.seqs[*at], *at))).collect();
        let mut component = Vec::with_capacity(by_seq.len());
        while let Some(Reverse((_, at))) = by_seq.pop() {
            component.push(at);
        }
        let mut fields: Vec<String> = Vec::new();
        for at in &component {
            for (other, why) in &self.before[*at] {
                if let (true, Why::Refers(path)) = (component.contains(other), why)
                    && !fields.contains(path)
                {
                    fields.push(path.clone());
                }
            }
        }
        Cycle { operations: component.iter().map(|at| self.ids[*at].clone()).collect(), fields }
    }

    /// Strongly connected components, of units, that wait for themselves: all members of each.
    fn strong_components(&self) -> Vec<Vec<usize>> {
        let mut before: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.len()];
        for (at, edges) in self.before.iter().enumerate() {
            let unit = self.unit[at];
            members[unit].push(at);
            before[unit]
                .extend(edges.iter().filter(|(other, _)| self.unit[*other] != unit || *other == at).map(|(other, _)| self.unit[*other]));
        }
        const UNSEEN: usize = usize::MAX;
        let mut index = vec![UNSEEN; self.len()];
        let mut low = vec![0; self.len()];
        let mut on_stack = vec![false; self.len()];
        let (mut stack, mut found, mut next) = (Vec::new(), Vec::new(), 0);
        for start in 0..self.len() {
            if index[start] != UNSEEN || self.unit[start] != start {
                continue;
            }
            // Each frame: a node, and which of its edges comes next.
            let mut frames = vec![(start, 0)];
            while let Some((at, edge)) = frames.pop() {
                if edge == 0 {
                    index[at] = next;
                    low[at] = next;
                    next += 1;
                    stack.push(at);
                    on_stack[at] = true;
                }
                if let Some(to) = before[at].get(edge) {
                    frames.push((at, edge + 1));
                    if index[*to] == UNSEEN {
                        frames.push((*to, 0));
                    } else if on_stack[*to] {
                        low[at] = low[at].min(index[*to]);
                    }
                    continue;
                }
                if low[at] == index[at] {
                    let mut component = Vec::new();
                    while let Some(member) = stack.pop() {
                        on_stack[member] = false;
                        component.push(member);
                        if member == at {
                            break;
                        }
                    }
                    // One that waits for itself is a circle of one.
                    if component.len() > 1 || before[at].contains(&at) {
                        found.push(component.iter().flat_map(|unit| std::mem::take(&mut members[*unit])).collect());
                    }
                }
                if let Some((parent, _)) = frames.last() {
                    low[*parent] = low[*parent].min(low[at]);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Base, Group, IdSource, Operation, RecordId, Stamp};
    use crate::schema::Schema;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::parse(
            r#"{"name":"t","version":1,"lanes":[{"name":"urgent"}],"entities":{"client":{"references":{"favouriteId":"pet"}},"pet":{"references":{"clientId":"client"}},
            "appointment":{"references":{"petId":"pet","clientId":"client"}},"note":{"references":{"appointmentId":"appointment"}}}}"#,
        )
        .expect("a schema")
    }

    fn create(ids: &mut IdSource, seq: u64, entity: &str, id: &str, data: serde_json::Value) -> Operation {
        Operation {
            id: ids.op_id(1, [7; 10]),
            seq,
            entity: entity.to_owned(),
            record: RecordId::Text(id.to_owned()),
            action: Action::Create { data: data.as_object().cloned().expect("an object") },
            base: Base::None,
            stamp: Stamp { ms: 1, n: 0 },
            author: "a".to_owned(),
            stamps: crate::value::Sorted::new(),
            lane: None,
            group: None,
            supersedes: None,
            first: None,
            seen: None,
            schema: 1,
        }
    }

    #[test]
    fn a_group_stands_together_and_waits_for_what_any_of_it_waits_for() {
        let ids = &mut IdSource::default();
        let mut operations = [
            create(ids, 1, "pet", "p", json!({"clientId": "c"})),
            create(ids, 2, "client", "x", json!({"favouriteId": "p"})),
            create(ids, 3, "client", "d", json!({})),
            create(ids, 4, "client", "c", json!({})),
        ];
        let group = Group { id: operations[0].id.clone(), of: 2 };
        operations[0].group = Some(group.clone());
        operations[2].group = Some(group);
        let found = graph(&operations);
        assert_eq!(found.order().order, [3, 0, 2, 1]);
        // The third comes after the fourth by its group, and the second after all.
        let after = |at, other| found.comes_after(at, other);
        assert_eq!([after(2, 3), after(1, 3), after(3, 2), after(0, 1), after(0, 2)], [true, true, false, false, true]);
        // In a circle with each other they are one unit, and no cycle.
        let mut circle = [create(ids, 1, "pet", "p", json!({"clientId": "c"})), create(ids, 2, "client", "c", json!({"favouriteId": "p"}))];
        assert_eq!(graph(&circle).order().cycles.len(), 1);
        let group = Group { id: circle[0].id.clone(), of: 2 };
        circle[0].group = Some(group.clone());
        circle[1].group = Some(group);
        assert_eq!(graph(&circle).order(), Ordered { order: vec![0, 1], cycles: vec![] });
    }

    #[test]
    fn a_better_lane_goes_first_and_takes_what_it_depends_on_along() {
        let ids = &mut IdSource::default();
        let mut operations = [
            create(ids, 1, "client", "a", json!({})),
            create(ids, 2, "client", "c", json!({})),
            create(ids, 3, "pet", "p", json!({"clientId": "c"})),
            create(ids, 4, "client", "d", json!({})),
        ];
        operations[2].lane = Some("urgent".to_owned());
        operations[3].lane = Some("urgent".to_owned());
        assert_eq!(graph(&operations).order().order, [1, 2, 3, 0]);
    }

    fn graph(operations: &[Operation]) -> Graph {
        let mut places = Places::default();
        let nodes: Vec<Node> = operations.iter().map(|operation| Node::of(operation, &schema(), &[], &mut places)).collect();
        Graph::build(&nodes.iter().collect::<Vec<_>>(), &places)
    }

    #[test]
    fn children_written_first_go_last_and_equals_keep_their_order() {
        let ids = &mut IdSource::default();
        let operations = [
            create(ids, 1, "note", "n", json!({"appointmentId": "a"})),
            create(ids, 2, "appointment", "a", json!({"petId": "p", "clientId": "c"})),
            create(ids, 3, "client", "x", json!({})),
            create(ids, 4, "pet", "p", json!({"clientId": "c"})),
            create(ids, 5, "client", "c", json!({})),
        ];
        assert_eq!(graph(&operations).order(), Ordered { order: vec![2, 4, 3, 1, 0], cycles: vec![] });
    }

    #[test]
    fn a_cycle_is_named_with_its_fields_and_only_what_hangs_on_it_waits() {
        let ids = &mut IdSource::default();
        let operations = [
            create(ids, 1, "client", "c", json!({"favouriteId": "p"})),
            create(ids, 2, "pet", "p", json!({"clientId": "c"})),
            create(ids, 3, "appointment", "a", json!({"petId": "p"})),
            create(ids, 4, "client", "d", json!({})),
        ];
        let ordered = graph(&operations).order();
        assert_eq!(ordered.order, [3]);
        assert_eq!(ordered.cycles.len(), 1);
        assert_eq!(ordered.cycles[0].operations, [operations[0].id.clone(), operations[1].id.clone()]);
        assert_eq!(ordered.cycles[0].fields, ["favouriteId", "clientId"]);
    }

    #[test]
    fn a_delete_waits_for_whoever_held_its_record() {
        let ids = &mut IdSource::default();
        let mut drop = create(ids, 1, "pet", "p", json!({}));
        drop.action = Action::Update { delta: serde_json::from_value(json!({"set": {"/clientId": null}})).expect("a delta") };
        let mut delete = create(ids, 2, "client", "c", json!({}));
        delete.action = Action::Delete;
        let mut places = Places::default();
        let held = [("client".to_owned(), RecordId::Text("c".to_owned()))];
        let nodes = [Node::of(&delete, &schema(), &[], &mut places), Node::of(&drop, &schema(), &held, &mut places)];
        assert_eq!(Graph::build(&[&nodes[0], &nodes[1]], &places).order().order, [1, 0]);
    }

    #[test]
    fn an_operation_waits_for_whoever_stands_in_the_place_of_its_predecessor() {
        let ids = &mut IdSource::default();
        let first = create(ids, 1, "client", "c", json!({}));
        let mut second = create(ids, 2, "client", "c", json!({}));
        second.action = Action::Delete;
        second.base = Base::After(first.id.clone());
        let mut instead = create(ids, 3, "client", "c", json!({}));
        instead.supersedes = Some(first.id.clone());
        assert_eq!(graph(&[second, instead]).order().order, [1, 0]);
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_neither_overflows_nor_reorders() {
        let ids = &mut IdSource::default();
        let n = 100_000;
        let names: Vec<OpId> = (0..n).map(|_| ids.op_id(1, [7; 10])).collect();
        let before = (0..n).map(|at| if at + 1 < n { vec![(at + 1, Why::SameRecord)] } else { vec![] }).collect();
        let chain = Graph::from_parts(names, (0..n as u64).collect(), before);
        let ordered = chain.order();
        assert_eq!(ordered.order.first(), Some(&(n - 1)));
        assert_eq!(ordered.order.len(), n);
        assert!(chain.cycles().is_empty());
    }
}
