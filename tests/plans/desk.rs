//! One database in memory, and whoever takes decisions over it by hand: each is run as the engine runs it.

use std::cell::Cell;
use std::rc::Rc;

use fieldsync::decide::{
    ApplyPage, Claim, Claimed, Decision, Effects, Fresh, GetRecord, Intent, LocalWrite, Outcomes, PageResult, Planned,
};
use fieldsync::decide::{RecordView, Sent, SyncState, Wanted, WriteError, Written};
use fieldsync::model::{Epoch, IdSource, OpId, Operation, RecordId, Stamp, Version};
use fieldsync::outbox::{OutboxRow, State};
use fieldsync::plan::{Plan, Step, Table, View};
use fieldsync::protocol::{Outcome, RawPage, Rejection};
use fieldsync::schema::Schema;
use fieldsync::store::memory::MemoryStore;
use fieldsync::store::{Durability, Store};
use futures_executor::block_on;
use serde_json::{Value, json};

const NOW: u64 = 1_700_000_000_000;

/// A database of the entity `pet`.
pub struct Desk {
    pub store: MemoryStore,
    pub schema: Rc<Schema>,
    ids: IdSource,
    /// Whether a write may become part of an unsent one.
    pub coalesce: bool,
    /// Rows that the decisions have been given.
    pub rows_read: Rc<Cell<usize>>,
}

/// An operation as its sender knows it.
#[derive(Clone, Debug)]
pub struct Op {
    pub seq: u64,
    pub id: OpId,
    pub row: RecordId,
}

/// A plan, and how many rows it was given.
#[derive(Clone)]
struct Counted<P> {
    plan: P,
    asked: usize,
    rows: Rc<Cell<usize>>,
}

impl<P: Plan> Plan for Counted<P> {
    type Out = P::Out;
    fn step(&mut self, seen: &View) -> Step<P::Out> {
        let given: usize = (0..self.asked).map(|at| seen.rows(at).len()).sum();
        self.rows.set(self.rows.get() + given);
        let step = self.plan.step(seen);
        if let Step::Read(reads) = &step {
            self.asked = reads.len();
        }
        step
    }
}

pub fn object(value: Value) -> fieldsync::value::Object {
    value.as_object().cloned().expect("an object")
}

impl Desk {
    pub fn new() -> Self {
        let schema = Schema::parse(r#"{"name": "plans", "version": 1, "entities": {"pet": {"indexes": ["name"]}}}"#).expect("a schema");
        Self { store: MemoryStore::new(), schema: Rc::new(schema), ids: IdSource::default(), coalesce: false, rows_read: Rc::default() }
    }
    /// A desk with one pet that the server has at version 1, as `{"name": "Rex", "age": 1}`.
    pub fn with_rex() -> Self {
        let mut desk = Self::new();
        assert!(matches!(desk.page(None, "one", vec![rex(1, json!({"name": "Rex", "age": 1}))]), PageResult::Applied(_)));
        desk
    }
    pub fn decide<D: Decision>(&self, decision: D) -> D::Out {
        let counted = self.counted(decision);
        block_on(self.store.transact(Durability::Strict, counted)).expect("the store takes it").expect("its rows can be read")
    }
    /// Takes a decision that only reads.
    pub fn look<D: Decision>(&self, decision: D) -> D::Out {
        let counted = self.counted(decision);
        block_on(self.store.read(counted)).expect("the store takes it").expect("its rows can be read")
    }
    fn counted<D: Decision>(&self, decision: D) -> Counted<Planned<D>> {
        Counted { plan: Planned::new(decision), asked: 0, rows: self.rows_read.clone() }
    }
    pub fn op_id(&mut self) -> OpId {
        self.ids.op_id(NOW, [3; 10])
    }
    pub fn temp_id(&mut self) -> RecordId {
        self.ids.temp_id(NOW, [3; 10], "pet").into()
    }
    pub fn local(&self, operation: &OpId, intent: Intent) -> Result<Written, (Option<usize>, WriteError)> {
        self.decide(LocalWrite {
            schema: self.schema.clone(),
            wanted: vec![Wanted { entity: "pet".to_owned(), intent, operation: operation.clone() }],
            coalesce: self.coalesce,
            now: NOW,
            user: "anna".to_owned(),
            generation: 0,
            dry: false,
            shown: None,
            ended: Rc::default(),
            keeps: false,
            along: Rc::default(),
        })
    }
    /// Writes as the app does; gives the operation.
    pub fn write(&mut self, intent: Intent) -> Op {
        let id = self.op_id();
        self.local(&id, intent).expect("written");
        self.op(&id)
    }
    pub fn create(&mut self, data: Value) -> Op {
        let id = self.temp_id();
        self.write(Intent::Create { id, data: object(data) })
    }
    pub fn update(&mut self, id: &RecordId, set: Value) -> Op {
        self.write(Intent::Update { id: id.clone(), set: object(set), unset: Vec::new() })
    }
    fn op(&self, id: &OpId) -> Op {
        let found = self.outbox().into_iter().find(|(_, operation)| operation.id == *id);
        let (stored, operation) = found.expect("it is in the outbox");
        Op { seq: operation.seq, id: operation.id, row: stored.row }
    }
    /// All operations that are stored.
    pub fn outbox(&self) -> Vec<(OutboxRow, Operation)> {
        let rows = self.store.dump(Table::Outbox).into_iter();
        rows.map(|(_, text)| {
            let row: OutboxRow = serde_json::from_str(&text).expect("a row");
            let operation = row.operation().expect("an operation");
            (row, operation)
        })
        .collect()
    }
    /// The stored row of one operation.
    pub fn stored(&self, op: &Op) -> OutboxRow {
        let found = self.outbox().into_iter().find(|(_, operation)| operation.seq == op.seq);
        found.expect("it is in the outbox").0
    }
    pub fn state(&self, op: &Op) -> State {
        self.stored(op).state
    }
    /// The last sequence: up to there everybody here knows everything.
    pub fn known(&self) -> u64 {
        let last = self.store.dump(Table::Audit).pop().expect("something was written");
        serde_json::from_str::<Value>(&last.1).expect("JSON")["seq"].as_u64().expect("a sequence")
    }
    pub fn claim(&self, ops: &[&Op], known: u64) -> Claimed {
        self.decide(Claim { operations: ops.iter().map(|op| (op.seq, op.id.clone())).collect(), known, forms: Vec::new() })
    }
    /// The server's answer to these operations, durable up to a version.
    pub fn answer(&mut self, epoch: Epoch, durable: u64, sent: &[(&Op, Outcome)]) -> Option<Effects> {
        let fresh = Fresh { now: NOW, random: [durable.to_le_bytes()[0], 5, 5, 5, 5, 5, 5, 5, 5, 5] };
        let sent = sent.iter().map(|(op, outcome)| Sent {
            seq: op.seq,
            id: op.id.clone(),
            row: op.row.clone(),
            entity: "pet".to_owned(),
            outcome: outcome.clone(),
        });
        self.decide(Outcomes {
            schema: self.schema.clone(),
            sent: sent.collect(),
            epoch: Some(epoch),
            durable: Version(durable),
            offset_ms: 0,
            imported: true,
            fresh,
            now: NOW,
            user: "anna".to_owned(),
        })
    }
    /// A downloaded page of the first epoch, built on a checkpoint.
    pub fn page(&mut self, from: Option<&str>, checkpoint: &str, changes: Vec<Value>) -> PageResult {
        self.page_of(epoch(1), from, checkpoint, changes)
    }
    pub fn page_of(&mut self, epoch: Epoch, from: Option<&str>, checkpoint: &str, changes: Vec<Value>) -> PageResult {
        let from = SyncState { checkpoint: from.map(str::to_owned), ..self.sync() };
        self.page_on(epoch, from, None, json!({"checkpoint": checkpoint, "changes": changes}))
    }
    /// A page that was asked for where the database stood so, of everything or of one entity.
    pub fn page_on(&mut self, epoch: Epoch, from: SyncState, scope: Option<&str>, page: Value) -> PageResult {
        let text = page.to_string();
        let page = RawPage::read(&text).expect("a page");
        self.decide(ApplyPage {
            schema: self.schema.clone(),
            changes: Rc::new(ApplyPage::check(&page, &self.schema, &mut |_, _, _| None)),
            from,
            scope: scope.map(str::to_owned),
            checkpoint: page.checkpoint.clone(),
            through: page.through,
            epoch,
            offset_ms: 0,
            parked: true,
            now: NOW,
            user: "anna".to_owned(),
        })
    }
    /// Where the database stands against the server.
    pub fn sync(&self) -> SyncState {
        let stored = self.store.dump(Table::State).into_iter().find(|(key, _)| *key == "sync".into());
        stored.map(|(_, text)| serde_json::from_str(&text).expect("a state")).unwrap_or_default()
    }
    pub fn get(&self, id: &RecordId) -> Option<RecordView> {
        self.decide(GetRecord { entity: "pet".to_owned(), id: id.clone(), generation: 0 })
    }
    /// Every row of every table: what must not change when nothing may.
    pub fn everything(&self) -> Vec<(Table, String)> {
        let rows = |table| self.store.dump(table).into_iter().map(move |(key, text)| (table, format!("{key:?} {text}")));
        Table::ALL.into_iter().flat_map(rows).collect()
    }
}

/// Rex's real ID.
pub const REX: RecordId = RecordId::Integer(7);

/// Rex as a page brings him.
pub fn rex(version: u64, data: Value) -> Value {
    json!({"entity": "pet", "id": REX.to_value(), "version": version.to_string(), "kind": "upsert", "data": data, "stamp": [1, 0]})
}

/// A lineage of the server.
pub fn epoch(number: u64) -> Epoch {
    IdSource::default().epoch(number, [9; 10])
}

pub fn applied(real: &RecordId, version: u64) -> Outcome {
    Outcome::Applied { real_id: real.clone(), version: Version(version), stamp: Stamp { ms: NOW, n: 0 }, rests_on: None }
}

pub fn rejected() -> Outcome {
    Outcome::Rejected { error: Rejection { code: "invalid_value".to_owned(), message: "no".to_owned(), path: None, faults: Vec::new() } }
}
