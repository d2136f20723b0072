//! A small world for stories: devices with tabs, one real server (its production handlers over the memory
//! store), a network that loses what the story says, and a clock that stands until it is moved. The stores
//! of the devices give way around every commit, as IndexedDB does.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use fieldsync::engine::{Direction, Engine, EngineError, Event, Settings, SyncResult};
use fieldsync::model::{Epoch, IdSource};
use fieldsync::plan::Table;
use fieldsync::protocol::paths;
use fieldsync::schema::Schema;
use fieldsync::store::memory::MemoryStore;
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::EntropyError;
use fieldsync_server::service::{Service, Watermark};
use fieldsync_server::store::memory::{MemoryStore as ServerMemory, Snapshot};
use fieldsync_server::token::{COORDINATOR, Identity};
use futures_channel::mpsc;
use serde_json::{Value, json};

pub use crate::telling::{Gate, tell, turns};

use crate::network::Loopback;
use crate::parts::{Answer, AppFunctions, BusChannel, LocalChannel, LocalClock, LocalEntropy, LocalHost, LocalLocks};

/// The entities of every story.
pub const SCHEMA: &str = r#"{"name": "stories", "version": 1, "entities": {
    "client": {"indexes": ["name"]},
    "pet": {"references": {"clientId": "client"}, "conflicts": {"fields": {"dose": "manual"}}},
    "appointment": {"references": {"petId": "pet", "clientId": "client"}},
    "note": {"references": {"appointmentId": "appointment"}},
    "tag": {"key": "uuid"},
    "owner": {"references": {"clientId": "client"}, "unique": [["email"], ["clientId", "number"]]},
    "card": {"key": "uuid", "references": {"ownerId": "owner"}, "unique": [["code"]]},
    "product": {"conflicts": {
        "fields": {"shelf": "manual", "stock": "counter", "labels": "set", "parts": {"list": "id"}, "story": "text"}, "groups": [["price", "currency"]]}},
    "order": {"references": {"lines[].productId": "product"}}}}"#;

#[derive(Debug, Default)]
struct ServerClock(AtomicU64);
impl fieldsync_server::seams::Clock for ServerClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct ServerEntropy(AtomicU64);
impl fieldsync_server::seams::Entropy for ServerEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for byte in bytes {
            let next = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            *byte = next.to_be_bytes()[0];
        }
        Ok(())
    }
}

/// One server and the time of everybody.
#[derive(Clone)]
pub struct World {
    /// Another after a restore.
    service: Rc<RefCell<Arc<Service<ServerMemory>>>>,
    server_clock: Arc<ServerClock>,
    now: Rc<Cell<u64>>,
    pub requests: Rc<RefCell<Vec<String>>>,
    sleepers: Rc<RefCell<Vec<Waker>>>,
}

/// What the network does with the next request of this path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives.
    LoseRequest,
    /// The server acts, and nobody hears of it.
    LoseAnswer,
    /// The answer comes, cut off in the middle.
    CutAnswer,
    /// A login page answers in the server's place.
    Html,
    /// The server answers so.
    Status(u16, Option<u64>),
    /// The server sees the token of another user.
    Mismatch,
    /// Nobody ever answers.
    Stall,
    /// Something on the way answers so.
    Foreign(u16),
    /// The server acts, and says of every operation that its record was deleted meanwhile.
    AllGone,
    /// The answer comes, and a field has another name in it.
    Garble,
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ServerClock::default());
        clock.0.store(1_700_000_000_000, Ordering::Relaxed);
        let epoch: Epoch = IdSource::default().epoch(1, [7; 10]);
        let service = Self::server(ServerMemory::new(epoch), &clock, SCHEMA);
        Self {
            service: Rc::new(RefCell::new(Arc::new(service))),
            server_clock: clock,
            now: Rc::new(Cell::new(1_700_000_000_000)),
            requests: Rc::default(),
            sleepers: Rc::default(),
        }
    }
    fn server(store: ServerMemory, clock: &Arc<ServerClock>, schema: &str) -> Service<ServerMemory> {
        let key = ServerKey::parse("a key for stories that is long enough").expect("a key");
        let schema = Schema::parse(schema).expect("a schema");
        Service::new(store, schema, &key, clock.clone(), Arc::new(ServerEntropy::default()))
    }
    /// A world whose server has this schema.
    pub fn declaring(schema: &Value) -> Self {
        let world = Self::new();
        let epoch: Epoch = IdSource::default().epoch(1, [7; 10]);
        let service = Self::server(ServerMemory::new(epoch), &world.server_clock, &schema.to_string());
        world.service.replace(Arc::new(service));
        world
    }
    /// A world whose server promises as durable only what its last backup holds.
    pub fn with_backups() -> Self {
        let world = Self::new();
        let epoch: Epoch = IdSource::default().epoch(1, [7; 10]);
        let service = Self::server(ServerMemory::new(epoch), &world.server_clock, SCHEMA).with_watermark(Watermark::Backup);
        world.service.replace(Arc::new(service));
        world
    }
    /// The server as it is now.
    pub fn service(&self) -> Arc<Service<ServerMemory>> {
        self.service.borrow().clone()
    }
    /// Writes a backup of the server.
    pub async fn backup(&self) -> Snapshot {
        self.service().store().snapshot().await
    }
    /// The server is lost, and begins a new epoch from a backup.
    pub fn restore(&self, backup: &Snapshot) {
        let epoch = IdSource::default().epoch(self.now(), [8; 10]);
        let store = ServerMemory::restore(backup, epoch, self.now());
        self.service.replace(Arc::new(Self::server(store, &self.server_clock, SCHEMA).with_watermark(Watermark::Backup)));
    }
    /// Time goes on for everybody.
    pub fn pass(&self, ms: u64) {
        self.now.set(self.now.get() + ms);
        self.server_clock.0.fetch_add(ms, Ordering::Relaxed);
        let sleepers = std::mem::take(&mut *self.sleepers.borrow_mut());
        sleepers.into_iter().for_each(Waker::wake);
    }
    /// Lets time go on, step by step, until something has happened.
    pub async fn until<T>(&self, something: impl Future<Output = T>) -> T {
        let mut something = std::pin::pin!(something);
        poll_fn(|context| match something.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => {
                self.pass(50);
                context.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await
    }
    /// The time.
    pub fn now(&self) -> u64 {
        self.now.get()
    }
    /// The paths of all requests that reached the server.
    pub fn requests(&self, path: &str) -> usize {
        self.requests.borrow().iter().filter(|known| *known == path).count()
    }
    /// The operations that changed something at the server, in order: entity and kind.
    pub async fn changes(&self) -> Vec<(String, String)> {
        let rows = self.service().store().changes("clinic").await;
        rows.iter().map(|row| (row.key.entity.clone(), format!("{:?}", row.kind).to_lowercase())).collect()
    }
    /// Somebody who may decide over everybody's conflicts asks the server directly.
    pub async fn ask(&self, user: &str, path: &str, request: Value) -> Value {
        let mut body = request;
        body["head"] = json!({"protocol": 1, "requestId": path, "tenant": "clinic", "user": user,
            "client": "0190a1b2-0000-7000-9000-000000000999"});
        let (service, body) = (self.service(), body.to_string());
        let who = Identity { roles: vec![COORDINATOR.to_owned()], ..identity(user) };
        match path {
            paths::CONFLICTS => json!(service.conflicts(&who, body.as_bytes()).await.expect("a list")),
            _ => json!(service.resolve_conflict(&who, body.as_bytes()).await.expect("an answer")),
        }
    }
    /// A device of a user of the clinic.
    pub fn device(&self, user: &str) -> Device {
        Device {
            world: self.clone(),
            user: user.to_owned(),
            store: MemoryStore::yielding(),
            locks: LocalLocks::default(),
            bus: Rc::default(),
            skew: 0,
            coordinator: false,
            jumped: Rc::default(),
        }
    }
}

/// One database: its tabs share what is here.
pub struct Device {
    world: World,
    user: String,
    pub store: MemoryStore,
    locks: LocalLocks,
    bus: Rc<RefCell<Vec<Rc<LocalChannel>>>>,
    /// How far the device's clock is off, ms.
    pub skew: i64,
    /// Whether its user may decide over everybody's conflicts.
    pub coordinator: bool,
    jumped: Rc<Cell<i64>>,
}

/// A context of a device.
pub struct Tab {
    pub engine: Engine<MemoryStore, LocalHost>,
    faults: Rc<RefCell<VecDeque<(&'static str, Fault)>>>,
    gate: Rc<RefCell<Option<Gate>>>,
    poison: Rc<RefCell<Option<(&'static str, u16)>>>,
    functions: AppFunctions,
    /// What the engine told, from its opening on.
    pub events: RefCell<mpsc::UnboundedReceiver<Event>>,
    swap: Rc<RefCell<Option<String>>>,
}

impl Device {
    /// Somebody sets the device's clock.
    pub fn set_clock(&self, by_ms: i64) {
        self.jumped.set(self.jumped.get() + by_ms);
    }
    /// How often the sender's role was stolen.
    pub fn steals(&self) -> usize {
        self.locks.steals()
    }
    /// Opens a tab.
    pub async fn tab(&self) -> Tab {
        self.tab_with(json!({})).await
    }
    /// Opens a tab with some settings.
    pub async fn tab_with(&self, settings: Value) -> Tab {
        self.tab_of(settings, |_| ()).await
    }
    /// Opens a tab whose app brings functions, which may be asked while it opens.
    pub async fn tab_of(&self, settings: Value, bring: impl FnOnce(&AppFunctions)) -> Tab {
        self.try_tab_of(settings, bring).await.expect("opens")
    }
    /// The same, which may be refused.
    pub async fn try_tab_of(&self, settings: Value, bring: impl FnOnce(&AppFunctions)) -> Result<Tab, EngineError> {
        let mut all = json!({"tenant": "clinic", "user": self.user, "baseUrl": "/api/v1/sync", "autoSync": false, "coalesce": false,
            "schema": serde_json::from_str::<Value>(SCHEMA).expect("JSON")});
        for (key, value) in settings.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        let channel = Rc::new(LocalChannel::default());
        self.bus.borrow_mut().push(channel.clone());
        let (faults, gate): (Rc<RefCell<VecDeque<_>>>, Rc<RefCell<Option<Gate>>>) = (Rc::default(), Rc::default());
        let poison: Rc<RefCell<Option<(&'static str, u16)>>> = Rc::default();
        let functions = AppFunctions::default();
        bring(&functions);
        let swap: Rc<RefCell<Option<String>>> = Rc::default();
        let host = LocalHost {
            clock: LocalClock {
                now: self.world.now.clone(),
                skew: self.skew,
                jumped: self.jumped.clone(),
                sleepers: self.world.sleepers.clone(),
            },
            entropy: LocalEntropy(Cell::new(self.bus.as_ptr() as u64 ^ (self.bus.borrow().len() as u64) << 20)),
            locks: self.locks.clone(),
            channel: BusChannel { own: channel, bus: self.bus.clone() },
            network: Loopback {
                world: self.world.clone(),
                identity: Identity {
                    roles: self.coordinator.then(|| COORDINATOR.to_owned()).into_iter().collect(),
                    ..identity(&self.user)
                },
                faults: faults.clone(),
                gate: gate.clone(),
                poison: poison.clone(),
                swap: swap.clone(),
            },
            functions: functions.clone(),
        };
        let settings = Settings::parse(&all.to_string()).expect("settings");
        let (engine, events) = Engine::open(self.store.reopen(), host, settings).await?;
        Ok(Tab { engine, faults, gate, poison, swap, functions, events: RefCell::new(events) })
    }
}

impl Tab {
    /// The network does this to the next request of that path.
    pub fn fault(&self, path: &'static str, fault: Fault) {
        self.faults.borrow_mut().push_back((path, fault));
    }
    /// The app has a function of this sort for an entity: what it says, it says at once.
    pub fn function(&self, sort: &str, entity: &str, says: impl Fn(Value) -> Option<Value> + 'static) {
        self.functions.function(sort, entity, says);
    }
    /// The same for one that says it later.
    pub fn late_function(&self, sort: &str, entity: &str, says: impl Fn(Value) -> Answer + 'static) {
        self.functions.late_function(sort, entity, says);
    }
    /// What was told of the app's functions since this was asked last: code and entity.
    pub fn warnings(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.borrow_mut().try_recv() {
            if let Event::Warning { code, entity, .. } = event {
                told.push((code.to_owned(), entity));
            }
        }
        told
    }
    /// The conflicts of which something was told since this was asked last.
    pub fn conflicts_told(&self) -> Vec<u64> {
        let mut told = Vec::new();
        while let Ok(event) = self.events.borrow_mut().try_recv() {
            if let Event::Conflict { id } = event {
                told.push(id);
            }
        }
        told
    }
    /// The server refuses every upload that holds this text with this status; with nothing, it does so no more.
    pub fn poison(&self, poison: Option<(&'static str, u16)>) {
        self.poison.replace(poison);
    }
    /// Other fields in the answers, in the place of those that [`crate::network::MARK`] says; with nothing, none any more.
    pub fn swap(&self, by: Option<String>) {
        self.swap.replace(by);
    }
    /// Holds back the next upload's answer.
    pub fn hold_upload(&self) -> Gate {
        let gate = Gate::default();
        self.gate.replace(Some(gate.clone()));
        gate
    }
    pub async fn sync(&self) -> SyncResult {
        self.session(Direction::Both).await
    }
    pub async fn up(&self) -> SyncResult {
        self.session(Direction::Up).await
    }
    pub async fn down(&self) -> SyncResult {
        self.session(Direction::Down).await
    }
    async fn session(&self, direction: Direction) -> SyncResult {
        let result = self.engine.sync(direction, None).await;
        self.in_order().await;
        result
    }
    /// After every session the rows are in order. The chain and the references are for those whom they concern. Of a table that
    /// has many rows only the first part is looked at: all of it would take long.
    async fn in_order(&self) {
        const ROWS_MAX: u64 = 150;
        let mut position = json!({});
        while position["phase"].as_u64().unwrap_or_default() < Table::ALL.len() as u64 {
            let step = match self.engine.check_integrity(&position.to_string()).await {
                Ok(step) => step,
                Err(error) => return assert_eq!(error.code, "closed"),
            };
            assert_eq!(step["faults"], json!([]), "the rows are in order after every session");
            let behind = json!({"phase": position["phase"].as_u64().unwrap_or_default() + 1});
            let is_long = step["progress"]["total"].as_u64() > Some(ROWS_MAX);
            position = if is_long { behind } else { step["position"].clone() };
        }
    }
    /// Creates a record; gives its ID as JSON text.
    pub async fn create(&self, entity: &str, data: Value) -> String {
        let saved = self.engine.create(entity, &data.to_string()).await.expect("created");
        saved["record"]["id"].to_string()
    }
    pub async fn update(&self, entity: &str, id: &str, set: Value) -> Value {
        self.engine.update(entity, id, &json!({"set": set}).to_string()).await.expect("updated")
    }
    pub async fn delete(&self, entity: &str, id: &str) {
        self.engine.delete(entity, id).await.expect("deleted");
    }
    pub async fn get(&self, entity: &str, id: &str) -> Option<Value> {
        self.engine.get(entity, id).await.expect("read")
    }
    pub async fn all(&self, entity: &str) -> Vec<Value> {
        self.engine.query(entity, r#"{"orderBy": "id"}"#).await.expect("read")
    }
    pub async fn queue(&self) -> Vec<Value> {
        self.engine.queue().await.expect("read")
    }
}

fn identity(user: &str) -> Identity {
    Identity::new("clinic", user)
}
