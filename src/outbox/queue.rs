//! The outbox in memory, as its sender sees it: what may go now, and what each of the others waits for.

use std::collections::BTreeMap;

use super::{OutboxRow, Seals, State};
use crate::model::{Kind, OpId, Operation, RecordId};
use crate::planted::{Bug, is};
use crate::relations::{Cycle, Graph, Need, Node, Places};
use crate::schema::Schema;

/// One operation of the outbox.
#[derive(Clone, Debug)]
pub struct Item {
    /// As it is stored.
    pub row: OutboxRow,
    /// What the row's body says.
    pub operation: Operation,
    pub(super) node: Node,
    /// Whether its lane stops behind an operation that waits for a person.
    strict: bool,
}

/// Where an operation stands, derived from the whole queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may go now, as number so-and-so.
    Ready(usize),
    /// It waits for these operations, which wait for a person or for each other's answer.
    WaitsForOperations(Vec<OpId>),
    /// It refers to temp IDs for which no record was created here yet.
    WaitsForRecords(Vec<RecordId>),
    /// It is part of a cycle, or behind one.
    InCycle(Cycle),
    /// Acknowledged, in conflict or parked: the row says which.
    Held,
}

/// The unfinished operations by client sequence.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    pub(super) items: BTreeMap<u64, Item>,
    pub(super) places: Places,
}

impl Queue {
    /// Adds an operation.
    pub fn insert(&mut self, row: OutboxRow, schema: &Schema) -> Result<(), crate::value::ReadError> {
        let operation = row.operation()?;
        self.put(row, operation, schema);
        Ok(())
    }
    /// The same with what was read from its text before.
    pub fn put(&mut self, row: OutboxRow, mut operation: Operation, schema: &Schema) {
        if row.damaged.is_some() {
            // Nobody knows in which lane it was; records of its entity are in this one.
            operation.lane = schema.entity(&operation.entity).and_then(|declared| declared.lane.clone());
        }
        let mut node = Node::of(&operation, schema, &row.drops, &mut self.places);
        node.supersedes.extend(row.replaces.iter().map(|id| self.places.operation(id)));
        let strict = schema.lanes.get(node.lane).is_some_and(|lane| lane.strict);
        self.items.insert(operation.seq, Item { row, operation, node, strict });
    }
    /// Forgets all operations; what is known of IDs stays.
    pub fn clear(&mut self) {
        self.items.clear();
    }
    /// Takes one out that has ended.
    pub fn remove(&mut self, seq: u64) -> Option<Item> {
        self.items.remove(&seq)
    }
    /// Learns that a record has another ID now.
    pub fn map(&mut self, entity: &str, earlier: &RecordId, present: &RecordId) {
        self.places.map(entity, earlier, present);
    }
    /// One operation.
    pub fn get(&self, seq: u64) -> Option<&Item> {
        self.items.get(&seq)
    }
    /// All of them, in the order in which they were written.
    pub fn items(&self) -> impl Iterator<Item = (u64, &Item)> {
        self.items.iter().map(|(seq, item)| (*seq, item))
    }
    /// How many wait to be applied.
    pub fn pending(&self) -> usize {
        self.items.values().filter(|item| item.row.state == State::Pending).count()
    }
    /// How many are in conflict, and how many are parked.
    pub fn held(&self) -> (usize, usize) {
        let count = |wanted: fn(&State) -> bool| self.items.values().filter(|item| wanted(&item.row.state)).count();
        (count(|state| matches!(state, State::Conflict { .. })), count(|state| matches!(state, State::Parked { .. })))
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Which records are created here, by place.
    fn created(&self) -> Vec<bool> {
        let mut created = vec![false; self.places.len()];
        for item in self.items.values().filter(|item| item.node.kind == Kind::Create) {
            created[self.places.present(item.node.record)] = true;
        }
        created
    }

    /// Whether a reference points to a temp ID that, as far as is known, became nothing and is created by nobody.
    fn is_unknown(&self, need: &Need, created: &[bool]) -> bool {
        let mapped = self.places.present(need.place) != need.place;
        !mapped && !created[need.place] && need.reference.id.as_temp().is_some()
    }

    /// Entities and temp IDs that operations refer to and of which nothing is known here; and those of creates that
    /// were sent, which can have a real ID, by which others name them: a server that was restored lost the record.
    pub fn unknown_temps(&self, seals: &Seals) -> Vec<(String, RecordId)> {
        let created = self.created();
        let needs = self.items.values().flat_map(|item| &item.node.needs).filter(|need| self.is_unknown(need, &created));
        let named = needs.map(|need| (need.reference.entity.clone(), need.reference.id.clone()));
        let sent = self.items.values().filter(|item| {
            let node = &item.node;
            let mapped = self.places.present(node.record) != node.record;
            node.kind == Kind::Create && seals.contains(node.seq) && !mapped && item.operation.record.as_temp().is_some()
        });
        named.chain(sent.map(|item| (item.operation.entity.clone(), item.operation.record.clone()))).collect()
    }

    /// The operations that the server has not applied yet.
    pub(super) fn acting(&self) -> Vec<&Item> {
        self.items.values().filter(|item| !matches!(item.row.state, State::Acknowledged { .. })).collect()
    }
    /// What comes before each of them.
    pub(super) fn graph(&self, items: &[&Item]) -> Graph {
        let nodes: Vec<&Node> = items.iter().map(|item| &item.node).collect();
        Graph::build(&nodes, &self.places)
    }

    /// Where every operation stands, in the order of [`Self::items`].
    pub fn standing(&self) -> Vec<(u64, Standing)> {
        let acting = self.acting();
        let graph = self.graph(&acting);
        let ordered = graph.order();
        let created = self.created();
        let mut stands: Vec<Option<Standing>> = vec![None; acting.len()];
        let (mut stuck, mut ready) = (vec![false; acting.len()], 0);
        let stopped = self.stopped_lanes(acting.iter().copied());
        // The members of a group stand next to each other, and what holds one of them holds all.
        for unit in ordered.order.chunk_by(|a, b| graph.unit(*a) == graph.unit(*b)) {
            let (mut behind, mut missing): (Vec<OpId>, Vec<RecordId>) = (Vec::new(), Vec::new());
            for at in unit {
                let item = acting[*at];
                let before = graph.before(*at).iter().map(|(other, _)| *other).filter(|other| stuck[*other] && !is(Bug::DependentsSent));
                let held = unit.iter().copied().filter(|other| acting[*other].row.state != State::Pending);
                behind.extend(before.chain(held).map(|other| acting[other].operation.id.clone()));
                behind.extend(
                    stopped.iter().find(|(lane, seq, _)| *lane == item.node.lane && *seq < item.node.seq).map(|(.., id)| id.clone()),
                );
                // What is not written on another can wait for a decision on that all the same, and until what was decided
                // is at the server: it is to meet that. Unless that comes after it for another reason.
                let in_its_place = |name: &OpId| {
                    let is_it = |other: &&Item| other.row.names(&other.operation).any(|own| own == name);
                    let other = acting.iter().position(is_it)?;
                    match acting[other].row.state {
                        State::Conflict { .. } => true,
                        State::Pending => !graph.comes_after(other, *at),
                        State::Parked { .. } | State::Acknowledged { .. } => false,
                    }
                    .then(|| acting[other].operation.id.clone())
                };
                behind.extend(item.row.behind.as_ref().and_then(in_its_place));
                let unknown = item.node.needs.iter().filter(|need| self.is_unknown(need, &created));
                missing.extend(unknown.map(|need| need.reference.id.clone()));
            }
            behind.dedup();
            for at in unit {
                let standing = match (behind.is_empty(), missing.is_empty()) {
                    _ if acting[*at].row.state != State::Pending => Standing::Held,
                    (false, _) => Standing::WaitsForOperations(behind.clone()),
                    (true, false) => Standing::WaitsForRecords(missing.clone()),
                    (true, true) => {
                        ready += 1;
                        Standing::Ready(ready - 1)
                    }
                };
                stuck[*at] = !matches!(standing, Standing::Ready(_));
                stands[*at] = Some(standing);
            }
        }
        // What the order could not place is in a cycle, or behind one.
        for at in 0..acting.len() {
            if stands[at].is_some() {
                continue;
            }
            let own = ordered.cycles.iter().find(|cycle| cycle.operations.contains(&acting[at].operation.id));
            // What holds one member of a group holds all.
            let unit = (0..acting.len()).filter(|other| graph.unit(*other) == graph.unit(at));
            let before = unit.flat_map(|member| graph.before(member)).map(|(other, _)| *other);
            let behind = before.filter(|other| !ordered.order.contains(other) && graph.unit(*other) != graph.unit(at));
            let behind = || behind.map(|other| acting[other].operation.id.clone()).collect();
            stands[at] = Some(own.cloned().map_or_else(|| Standing::WaitsForOperations(behind()), Standing::InCycle));
        }
        let mut stands = stands.into_iter();
        let next = |item: &Item| match item.row.state {
            State::Acknowledged { .. } => Standing::Held,
            State::Pending | State::Conflict { .. } | State::Parked { .. } => stands.next().flatten().unwrap_or(Standing::Held),
        };
        self.items.values().map(next).zip(self.items.keys()).map(|(standing, seq)| (*seq, standing)).collect()
    }

    /// The strict lanes in which an operation waits for a person: the lane, and the first such operation.
    fn stopped_lanes<'i>(&self, acting: impl Iterator<Item = &'i Item>) -> Vec<(usize, u64, OpId)> {
        let mut stopped: Vec<(usize, u64, OpId)> = Vec::new();
        for item in acting.filter(|item| item.strict && item.row.state != State::Pending) {
            if !stopped.iter().any(|(lane, ..)| *lane == item.node.lane) {
                stopped.push((item.node.lane, item.node.seq, item.operation.id.clone()));
            }
        }
        stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Base, IdSource, Stamp};
    use crate::outbox::Failure;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::parse(r#"{"name":"t","version":1,"entities":{"client":{},"pet":{"references":{"clientId":"client","motherId":"pet"}}}}"#)
            .expect("a schema")
    }

    fn at(standing: &[(u64, Standing)], wanted: u64) -> Standing {
        standing.iter().find(|(seq, _)| *seq == wanted).map(|(_, standing)| standing.clone()).expect("in the queue")
    }

    struct Desk {
        ids: IdSource,
        seq: u64,
        queue: Queue,
    }

    impl Desk {
        fn new() -> Self {
            Self { ids: IdSource::default(), seq: 0, queue: Queue::default() }
        }
        fn write(&mut self, entity: &str, id: &str, action: serde_json::Value, base: Base) -> OpId {
            self.seq += 1;
            let operation = Operation {
                id: self.ids.op_id(1, [1; 10]),
                seq: self.seq,
                entity: entity.to_owned(),
                record: RecordId::Text(id.to_owned()),
                action: serde_json::from_value::<Action>(action).expect("an action"),
                base,
                stamp: Stamp { ms: 1, n: 0 },
                author: "a".to_owned(),
                stamps: crate::value::Sorted::new(),
                lane: None,
                group: None,
                supersedes: None,
                first: None,
                seen: None,
                schema: 1,
            };
            let row = OutboxRow::new(&operation, operation.record.clone(), Vec::new(), 1);
            self.queue.insert(row, &schema()).expect("readable");
            operation.id
        }
        fn create(&mut self, entity: &str, id: &str, data: serde_json::Value) -> OpId {
            self.write(entity, id, json!({"kind": "create", "data": data}), Base::None)
        }
    }

    #[test]
    fn a_batch_holds_dependencies_first_and_stays_within_its_bounds() {
        let mut desk = Desk::new();
        desk.create("pet", "temp_1_b_pet", json!({"clientId": "temp_1_a_client"}));
        desk.create("client", "temp_1_a_client", json!({}));
        desk.create("client", "temp_1_c_client", json!({}));
        assert_eq!(desk.queue.batch(10, 1 << 20, &[]), [2, 1, 3]);
        assert_eq!(desk.queue.batch(2, 1 << 20, &[]), [2, 1]);
        assert_eq!(desk.queue.batch(10, 1, &[]), [2]);
    }

    #[test]
    fn only_what_depends_on_a_parked_operation_waits_and_says_for_what() {
        let mut desk = Desk::new();
        let client = desk.create("client", "temp_1_a_client", json!({}));
        let pet = desk.create("pet", "temp_1_b_pet", json!({"clientId": "temp_1_a_client"}));
        desk.write("pet", "temp_1_b_pet", json!({"kind": "update", "delta": {}}), Base::After(pet.clone()));
        desk.create("client", "temp_1_c_client", json!({}));
        let mut row = desk.queue.get(1).expect("there").row.clone();
        row.state = State::Parked {
            failure: Failure { code: "x".to_owned(), message: "x".to_owned(), path: None, faults: Vec::new() },
            unheard: false,
        };
        desk.queue.insert(row, &schema()).expect("readable");
        let standing = desk.queue.standing();
        assert_eq!(at(&standing, 1), Standing::Held);
        assert_eq!(at(&standing, 2), Standing::WaitsForOperations(vec![client]));
        assert_eq!(at(&standing, 3), Standing::WaitsForOperations(vec![pet]));
        assert_eq!(at(&standing, 4), Standing::Ready(0));
    }

    #[test]
    fn a_reference_to_a_record_not_yet_created_waits_until_it_is() {
        let mut desk = Desk::new();
        desk.create("pet", "temp_1_b_pet", json!({"clientId": "temp_1_a_client"}));
        let missing = RecordId::Text("temp_1_a_client".to_owned());
        assert_eq!(at(&desk.queue.standing(), 1), Standing::WaitsForRecords(vec![missing.clone()]));
        let mut mapped = desk.queue.clone();
        mapped.map("client", &missing, &RecordId::Integer(7));
        assert_eq!(at(&mapped.standing(), 1), Standing::Ready(0));
        desk.create("client", "temp_1_a_client", json!({}));
        assert_eq!(desk.queue.batch(9, 1 << 20, &[]), [2, 1]);
    }

    #[test]
    fn what_names_a_record_by_its_real_id_comes_after_the_create_that_goes_up_once_more() {
        let mut desk = Desk::new();
        let client = desk.create("client", "temp_1_a_client", json!({}));
        desk.create("client", "temp_1_c_client", json!({}));
        desk.create("pet", "temp_1_b_pet", json!({"clientId": 7}));
        park(&mut desk, 1, &schema());
        assert_eq!(at(&desk.queue.standing(), 3), Standing::Ready(1), "nobody knows who 7 is");
        let mut seals = Seals::default();
        seals.insert(1);
        let (earlier, real) = (RecordId::Text("temp_1_a_client".to_owned()), RecordId::Integer(7));
        assert_eq!(desk.queue.unknown_temps(&seals), [("client".to_owned(), earlier.clone())], "only what was sent can have one");
        desk.queue.map("client", &earlier, &real);
        assert_eq!(desk.queue.unknown_temps(&seals), []);
        assert_eq!(at(&desk.queue.standing(), 3), Standing::WaitsForOperations(vec![client]));
    }

    fn park(desk: &mut Desk, seq: u64, schema: &Schema) {
        let mut row = desk.queue.get(seq).expect("there").row.clone();
        row.state = State::Parked {
            failure: Failure { code: "x".to_owned(), message: "x".to_owned(), path: None, faults: Vec::new() },
            unheard: false,
        };
        desk.queue.insert(row, schema).expect("readable");
    }

    #[test]
    fn a_strict_lane_stops_behind_a_parked_operation_and_no_other_lane_does() {
        let text = r#"{"name":"t","version":1,"lanes":[{"name":"fiscal","strict":true},{"name":"loose"}],"entities":{"client":{}}}"#;
        let schema = Schema::parse(text).expect("a schema");
        let mut desk = Desk::new();
        for (seq, lane) in [(1, "fiscal"), (2, "loose"), (3, "fiscal"), (4, "loose"), (5, "fiscal")] {
            desk.create("client", &format!("temp_{seq}_a_client"), json!({}));
            let mut operation = desk.queue.get(seq).expect("there").operation.clone();
            operation.lane = Some(lane.to_owned());
            desk.queue.insert(OutboxRow::new(&operation, operation.record.clone(), Vec::new(), 1), &schema).expect("readable");
        }
        assert_eq!(desk.queue.batch(9, 1 << 20, &[]), [1, 3, 5, 2, 4], "the first lane goes first");
        park(&mut desk, 3, &schema);
        park(&mut desk, 2, &schema);
        let parked = desk.queue.get(3).expect("there").operation.id.clone();
        assert_eq!(desk.queue.batch(9, 1 << 20, &[]), [1, 4]);
        assert_eq!(at(&desk.queue.standing(), 5), Standing::WaitsForOperations(vec![parked]));
    }

    #[test]
    fn a_group_is_never_split_and_what_holds_one_member_holds_all() {
        let mut desk = Desk::new();
        let first = desk.create("client", "temp_1_a_client", json!({}));
        desk.create("client", "temp_1_b_client", json!({}));
        desk.create("client", "temp_1_c_client", json!({}));
        desk.create("client", "temp_1_d_client", json!({}));
        for seq in [1, 3] {
            let mut operation = desk.queue.get(seq).expect("there").operation.clone();
            operation.group = Some(crate::model::Group { id: first.clone(), of: 2 });
            desk.queue.insert(OutboxRow::new(&operation, operation.record.clone(), Vec::new(), 1), &schema()).expect("readable");
        }
        assert_eq!(desk.queue.batch(1, 1 << 20, &[]), [1, 3], "larger than the batch: alone");
        assert_eq!(desk.queue.batch(3, 1 << 20, &[]), [1, 3, 2]);
        assert_eq!(desk.queue.batch(9, 1 << 20, &[3]), [2, 4], "a member that stays keeps the others");
        park(&mut desk, 3, &schema());
        assert_eq!(desk.queue.batch(9, 1 << 20, &[]), [2, 4]);
        let third = desk.queue.get(3).expect("there").operation.id.clone();
        assert_eq!(at(&desk.queue.standing(), 1), Standing::WaitsForOperations(vec![third]));
    }

    #[test]
    fn a_cycle_holds_its_members_and_names_the_fields() {
        let mut desk = Desk::new();
        desk.create("pet", "temp_1_a_pet", json!({"motherId": "temp_1_b_pet"}));
        desk.create("pet", "temp_1_b_pet", json!({"motherId": "temp_1_a_pet"}));
        desk.create("client", "temp_1_c_client", json!({}));
        assert_eq!(desk.queue.batch(9, 1 << 20, &[]), [3]);
        assert!(matches!(at(&desk.queue.standing(), 2), Standing::InCycle(cycle) if cycle.fields == ["motherId"]));
    }
}
