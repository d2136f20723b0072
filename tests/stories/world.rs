//! A small world for stories: devices with tabs, one real server (its production handlers over the memory
//! store), a network that loses what the story says, and a clock that stands until it is moved.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use fieldsync::engine::{Direction, Engine, Settings, SyncResult};
use fieldsync::model::{Epoch, IdSource};
use fieldsync::platform::network::{Body, Incoming, Network, NetworkFault, Outgoing};
use fieldsync::platform::{Channel, Clock, Entropy, Host, Identity, Locks};
use fieldsync::protocol::paths;
use fieldsync::schema::Schema;
use fieldsync::store::memory::MemoryStore;
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::EntropyError;
use fieldsync_server::service::{Refusal, Service};
use fieldsync_server::store::memory::MemoryStore as ServerMemory;
use serde_json::{Value, json};

/// The entities of every story.
pub const SCHEMA: &str = r#"{"name": "stories", "version": 1, "entities": {
    "client": {"indexes": ["name"]},
    "pet": {"references": {"clientId": "client"}, "conflicts": {"fields": {"dose": "manual"}}},
    "appointment": {"references": {"petId": "pet", "clientId": "client"}},
    "note": {"references": {"appointmentId": "appointment"}},
    "tag": {"key": "uuid"}}}"#;

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
    service: Arc<Service<ServerMemory>>,
    server_clock: Arc<ServerClock>,
    now: Rc<Cell<u64>>,
    requests: Rc<RefCell<Vec<String>>>,
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
}

impl World {
    pub fn new() -> Self {
        let clock = Arc::new(ServerClock::default());
        clock.0.store(1_700_000_000_000, Ordering::Relaxed);
        let epoch: Epoch = IdSource::default().epoch(1, [7; 10]);
        let key = ServerKey::parse("a key for stories that is long enough").expect("a key");
        let schema = Schema::parse(SCHEMA).expect("a schema");
        let service = Service::new(ServerMemory::new(epoch), schema, &key, clock.clone(), Arc::new(ServerEntropy::default()));
        Self {
            service: Arc::new(service),
            server_clock: clock,
            now: Rc::new(Cell::new(1_700_000_000_000)),
            requests: Rc::default(),
            sleepers: Rc::default(),
        }
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
        let rows = self.service.store().changes("clinic").await;
        rows.iter().map(|row| (row.key.entity.clone(), format!("{:?}", row.kind).to_lowercase())).collect()
    }
    /// A device of a user of the clinic.
    pub fn device(&self, user: &str) -> Device {
        Device {
            world: self.clone(),
            user: user.to_owned(),
            store: MemoryStore::new(),
            locks: LocalLocks::default(),
            bus: Rc::default(),
            skew: 0,
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
}

/// A context of a device.
pub struct Tab {
    pub engine: Engine<MemoryStore, LocalHost>,
    faults: Rc<RefCell<VecDeque<(&'static str, Fault)>>>,
    gate: Rc<RefCell<Option<Gate>>>,
}

/// Holds an answer back until the story goes on.
#[derive(Clone, Default)]
pub struct Gate {
    reached: Flag,
    open: Flag,
}

#[derive(Clone, Default)]
struct Flag(Rc<RefCell<(bool, Vec<Waker>)>>);
impl Flag {
    fn raise(&self) {
        let waiting = {
            let mut flag = self.0.borrow_mut();
            flag.0 = true;
            std::mem::take(&mut flag.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
    async fn raised(&self) {
        poll_fn(|context| {
            let mut flag = self.0.borrow_mut();
            if flag.0 {
                return Poll::Ready(());
            }
            flag.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Gate {
    /// Ends when the answer is there and held back.
    pub async fn reached(&self) {
        self.reached.raised().await;
    }
    /// Lets it through.
    pub fn open(&self) {
        self.open.raise();
    }
}

impl Device {
    /// Opens a tab.
    pub async fn tab(&self) -> Tab {
        self.tab_with(json!({})).await
    }
    /// Opens a tab with some settings.
    pub async fn tab_with(&self, settings: Value) -> Tab {
        let mut all = json!({"tenant": "clinic", "user": self.user, "baseUrl": "/api/v1/sync", "autoSync": false,
            "schema": serde_json::from_str::<Value>(SCHEMA).expect("JSON")});
        for (key, value) in settings.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        let channel = Rc::new(LocalChannel::default());
        self.bus.borrow_mut().push(channel.clone());
        let (faults, gate): (Rc<RefCell<VecDeque<_>>>, Rc<RefCell<Option<Gate>>>) = (Rc::default(), Rc::default());
        let host = LocalHost {
            clock: LocalClock { now: self.world.now.clone(), skew: self.skew, sleepers: self.world.sleepers.clone() },
            entropy: LocalEntropy(Cell::new(self.bus.as_ptr() as u64 ^ (self.bus.borrow().len() as u64) << 20)),
            locks: self.locks.clone(),
            channel: BusChannel { own: channel, bus: self.bus.clone() },
            network: Loopback { world: self.world.clone(), identity: identity(&self.user), faults: faults.clone(), gate: gate.clone() },
        };
        let settings = Settings::parse(&all.to_string()).expect("settings");
        let (engine, events) = Engine::open(self.store.reopen(), host, settings).await.expect("opens");
        drop(events);
        Tab { engine, faults, gate }
    }
}

impl Tab {
    /// The network does this to the next request of that path.
    pub fn fault(&self, path: &'static str, fault: Fault) {
        self.faults.borrow_mut().push_back((path, fault));
    }
    /// Holds back the next upload's answer.
    pub fn hold_upload(&self) -> Gate {
        let gate = Gate::default();
        self.gate.replace(Some(gate.clone()));
        gate
    }
    pub async fn sync(&self) -> SyncResult {
        self.engine.sync(Direction::Both, None).await
    }
    pub async fn up(&self) -> SyncResult {
        self.engine.sync(Direction::Up, None).await
    }
    pub async fn down(&self) -> SyncResult {
        self.engine.sync(Direction::Down, None).await
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

fn identity(user: &str) -> fieldsync_server::token::Identity {
    fieldsync_server::token::Identity { tenant: "clinic".to_owned(), user: user.to_owned() }
}

/// The parts of a tab.
pub struct LocalHost {
    clock: LocalClock,
    entropy: LocalEntropy,
    locks: LocalLocks,
    channel: BusChannel,
    network: Loopback,
}

impl Host for LocalHost {
    type Clock = LocalClock;
    type Entropy = LocalEntropy;
    type Locks = LocalLocks;
    type Channel = BusChannel;
    type Identity = LocalHost;
    type Network = Loopback;
    fn clock(&self) -> &LocalClock {
        &self.clock
    }
    fn entropy(&self) -> &LocalEntropy {
        &self.entropy
    }
    fn locks(&self) -> &LocalLocks {
        &self.locks
    }
    fn channel(&self) -> &BusChannel {
        &self.channel
    }
    fn identity(&self) -> &LocalHost {
        self
    }
    fn network(&self) -> &Loopback {
        &self.network
    }
}

impl Identity for LocalHost {
    async fn token(&self, _: &str, _: &str, _: bool) -> Option<String> {
        Some("the loopback network knows who asks".to_owned())
    }
}

pub struct LocalClock {
    now: Rc<Cell<u64>>,
    skew: i64,
    sleepers: Rc<RefCell<Vec<Waker>>>,
}

impl Clock for LocalClock {
    fn now(&self) -> u64 {
        self.now.get().saturating_add_signed(self.skew)
    }
    async fn sleep(&self, wait_ms: u64) {
        let due = self.now.get() + wait_ms;
        poll_fn(|context| {
            if self.now.get() >= due {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

pub struct LocalEntropy(Cell<u64>);

impl Entropy for LocalEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0.set(next);
            *byte = next.to_be_bytes()[0];
        }
    }
}

#[derive(Clone, Default)]
pub struct LocalLocks(Rc<RefCell<(bool, VecDeque<Waker>)>>);

pub struct Held(LocalLocks);

impl Drop for Held {
    fn drop(&mut self) {
        let next = {
            let mut lock = self.0.0.borrow_mut();
            lock.0 = false;
            lock.1.pop_front()
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Locks for LocalLocks {
    type Guard = Held;
    async fn acquire(&self, _: &str) -> Held {
        poll_fn(|context| {
            let mut lock = self.0.borrow_mut();
            if lock.0 {
                lock.1.push_back(context.waker().clone());
                return Poll::Pending;
            }
            lock.0 = true;
            Poll::Ready(())
        })
        .await;
        Held(self.clone())
    }
}

#[derive(Default)]
pub struct LocalChannel(RefCell<(VecDeque<String>, Vec<Waker>, bool)>);

pub struct BusChannel {
    own: Rc<LocalChannel>,
    bus: Rc<RefCell<Vec<Rc<LocalChannel>>>>,
}

impl Channel for BusChannel {
    fn announce(&self, message: &str) {
        for other in self.bus.borrow().iter().filter(|other| !Rc::ptr_eq(other, &self.own)) {
            let waiting = {
                let mut inbox = other.0.borrow_mut();
                inbox.0.push_back(message.to_owned());
                std::mem::take(&mut inbox.1)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
    async fn next(&self) -> Option<String> {
        poll_fn(|context| {
            let mut inbox = self.own.0.borrow_mut();
            if let Some(message) = inbox.0.pop_front() {
                return Poll::Ready(Some(message));
            }
            if inbox.2 {
                return Poll::Ready(None);
            }
            inbox.1.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
    fn close(&self) {
        let waiting = {
            let mut inbox = self.own.0.borrow_mut();
            inbox.2 = true;
            std::mem::take(&mut inbox.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The network: calls the server's handlers with real bytes.
pub struct Loopback {
    world: World,
    identity: fieldsync_server::token::Identity,
    faults: Rc<RefCell<VecDeque<(&'static str, Fault)>>>,
    gate: Rc<RefCell<Option<Gate>>>,
}

/// An answer in pieces; the last may be a fault.
#[derive(Debug)]
pub struct Pieces(VecDeque<Result<Vec<u8>, NetworkFault>>);

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, NetworkFault> {
        self.0.pop_front().transpose()
    }
}

fn lost() -> NetworkFault {
    NetworkFault { reason: "lost".to_owned() }
}

impl Network for Loopback {
    type Body = Pieces;

    async fn send(&self, request: Outgoing) -> Result<Incoming<Pieces>, NetworkFault> {
        let fault = {
            let mut faults = self.faults.borrow_mut();
            let ours = faults.front().is_some_and(|(path, _)| *path == request.path);
            if ours { faults.pop_front().map(|(_, fault)| fault) } else { None }
        };
        match fault {
            Some(Fault::LoseRequest) => return Err(lost()),
            Some(Fault::Html) => return Ok(answer(200, "text/html", b"<html>Please log in</html>".to_vec())),
            Some(Fault::Status(status, retry_after_ms)) => {
                let body = json!({"error": {"code": "scripted", "message": "scripted", "retryable": status >= 429}}).to_string();
                return Ok(Incoming { retry_after_ms, ..answer(status, "application/json", body.into_bytes()) });
            }
            Some(Fault::LoseAnswer | Fault::CutAnswer) | None => {}
        }
        self.world.requests.borrow_mut().push(request.path.clone());
        let mut done = self.serve(&request).await;
        if request.path == paths::UPLOAD {
            let gate = self.gate.take();
            if let Some(gate) = gate {
                gate.reached.raise();
                gate.open.raised().await;
            }
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(lost()),
            Some(Fault::CutAnswer) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                done.body = Pieces([Ok(whole[..whole.len() * 2 / 3].to_vec())].into());
                Ok(done)
            }
            _ => Ok(done),
        }
    }
}

fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Incoming<Pieces> {
    Incoming { status, content_type: content_type.to_owned(), retry_after_ms: None, body: Pieces([Ok(body)].into()) }
}

impl Loopback {
    async fn serve(&self, request: &Outgoing) -> Incoming<Pieces> {
        let service = &self.world.service;
        let body = request.body.clone().unwrap_or_default().into_bytes();
        let refused = |refusal: Refusal| {
            let (status, _, _) = refusal.reason.classify();
            let text = serde_json::to_vec(&refusal.fault()).expect("JSON");
            answer(status, "application/json", text)
        };
        fn json<T: serde::Serialize>(value: T) -> Incoming<Pieces> {
            answer(200, "application/json", serde_json::to_vec(&value).expect("JSON"))
        }
        match request.path.as_str() {
            paths::INITIALIZE => service.initialize(&self.identity, &body).await.map_or_else(refused, json),
            paths::UPLOAD => service.upload(&self.identity, &body).await.map_or_else(refused, json),
            paths::STATUS => service.status(&self.identity, &body).await.map_or_else(refused, json),
            paths::DOWNLOAD => match service.download(&self.identity, &body).await {
                Err(refusal) => refused(refusal),
                Ok(mut pages) => {
                    let mut pieces = VecDeque::new();
                    while let Ok(Some(lines)) = pages.next().await {
                        // Cut where no line ends, as a network does.
                        let middle = lines.len() / 2;
                        pieces.push_back(Ok(lines[..middle].to_vec()));
                        pieces.push_back(Ok(lines[middle..].to_vec()));
                    }
                    Incoming { body: Pieces(pieces), ..answer(200, "application/x-ndjson", Vec::new()) }
                }
            },
            other => answer(404, "application/json", other.as_bytes().to_vec()),
        }
    }
}

/// Runs a story.
pub fn tell<F: Future<Output = ()>>(story: F) {
    futures_executor::block_on(story);
}
