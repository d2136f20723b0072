//! Room `engine`: the thin async part. It takes time and IDs, runs decisions in the store, carries batches
//! and pages over the network, and tells whoever listens. It decides nothing itself.
//!
//! The life of a session: take the sender's lock, look at the outbox, then {claim, upload, outcomes} until
//! nothing is ready, then {page} until there is no more, then write the session down. Every step is one
//! transaction; between steps the tab may die, and the next sender goes on from what is stored.
//!
//! Knows the traits of `store` and `platform`, never an adapter.

mod alerts;
mod audit;
mod circle;
mod config;
mod conflicts;
mod download;
mod error;
mod events;
mod functions;
mod held;
mod integrity;
mod items;
mod lineage;
mod log;
mod measures;
mod notify;
mod options;
mod orphans;
mod outbox;
mod pause;
mod quarantine;
mod reason;
mod records;
mod relationships;
mod retention;
mod role;
mod rules;
mod schedule;
mod sender;
mod session;
mod shown;
mod suspects;
mod sync;
mod trail;
mod transforms;
mod upload;
mod validators;
mod waiting;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::mpsc;
use serde_json::Value;

use crate::decide::{Decision, Device, Fresh, IndexConflicts, OpenDevice, Planned, SyncState};
use crate::model::{ClientId, IdSource, OpId, RecordId};
use crate::outbox::{BatchSize, Hold, Queue, Seals};
use crate::platform::network::{Counters, Http};
use crate::platform::{Channel, Clock, Entropy, Host};
use crate::store::{Durability, Store};
use crate::value::Object;

pub use config::{Settings, database_name};
pub use error::EngineError;
pub use events::Event;
pub use notify::Cancel;
pub use reason::Act;
pub use relationships::{build_graph, extract, find_cycles, topological_sort, validate};
pub use session::{Direction, SyncError, SyncResult, Wanted};

use notify::Notify;
use waiting::Watches;

/// The engine of one database in one context. Handles are cheap and share it.
pub struct Engine<S, H> {
    inner: Rc<Inner<S, H>>,
}

impl<S, H> Clone for Engine<S, H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S, H> std::fmt::Debug for Engine<S, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("tenant", &self.inner.settings.tenant).finish_non_exhaustive()
    }
}

struct Inner<S, H> {
    store: S,
    host: H,
    settings: Settings,
    device: Device,
    ids: RefCell<IdSource>,
    /// The outbox as far as it is known here; see [`outbox`].
    queue: RefCell<Queue>,
    seals: RefCell<Seals>,
    /// The sequence up to which it is known; nothing before it was first read.
    known: Cell<Option<u64>>,
    state: RefCell<SyncState>,
    /// The table with a row that no session can go without, and that cannot be read.
    stops: Cell<Option<&'static str>>,
    flight: RefCell<Seals>,
    attempts: RefCell<Vec<(u64, Attempt)>>,
    batch: Cell<BatchSize>,
    initialised: Cell<bool>,
    /// Whether the server has conflicts of other devices, by its own account; nothing where there is nothing to do about it.
    held: Cell<Option<bool>>,
    trail: Cell<trail::Trail>,
    /// The ID under which this page first showed a record, by its present one. A JSON object, because that kind of map is
    /// in the module anyway.
    keys: RefCell<Object>,
    watches: RefCell<Watches>,
    events: mpsc::UnboundedSender<Event>,
    poke: Notify,
    reconnect: Notify,
    role: RefCell<role::Role>,
    sender: Cell<sender::Sending>,
    offline: Cell<bool>,
    closed: Notify,
    counters: Cell<Counters>,
    totals: Cell<Totals>,
    last_result: RefCell<Option<SyncResult>>,
    last_success: Cell<Option<u64>>,
    /// What was measured since it was opened.
    measures: RefCell<measures::Measures>,
    /// The alerts that hold, as far as they were told here.
    alerts: RefCell<Vec<Value>>,
    /// What the app told of the storage (used, allowed), and how many breaches a report found last.
    storage: Cell<Option<f64>>,
    breaches: Cell<Option<f64>>,
    /// A session went well: what can wait until then has its time.
    rest: Notify,
    /// Now by the server, as it last said.
    server_now: Cell<u64>,
    /// When a purge last came to its end here, as far as this context knows.
    purged_at: Cell<u64>,
    /// When all was last looked over, ms by the device.
    checked_at: Cell<u64>,
    /// How far it is being looked over.
    checking: RefCell<Option<String>>,
}

/// How often an operation was sent without a final answer, and what came instead.
#[derive(Clone, Debug, Default)]
struct Attempt {
    count: u32,
    error: Option<(String, String)>,
    /// How often the server broke down over it while it was sent alone.
    alone: u32,
    /// How long it is left alone, once that was too often.
    rest: Hold,
}

/// What went through this engine since it was opened.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    operations_up: u64,
    records_down: u64,
    sessions_purged: u64,
    conflicts_purged: u64,
    audit_purged: u64,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Opens the database. The second part are the engine's events, to be delivered by the caller.
    pub async fn open(store: S, host: H, settings: Settings) -> Result<(Self, mpsc::UnboundedReceiver<Event>), EngineError> {
        let mut ids = IdSource::default();
        let now = host.clock().now();
        let fresh = Device {
            client: ids.client_id(now, entropy(&host)),
            tenant: settings.tenant.clone(),
            user: settings.user.clone(),
            created: now,
            layout: Device::LAYOUT,
            sums: true,
        };
        let opened = decide(&store, Durability::Strict, OpenDevice { fresh }).await?;
        if (&opened.device.tenant, &opened.device.user) != (&settings.tenant, &settings.user) {
            return Err(EngineError::new("integrity", "this database belongs to another tenant or user"));
        }
        if opened.device.layout < Device::LAYOUT {
            // Begun again from the first if the tab dies in the middle: it does no harm twice.
            let mut done = Some(0);
            while let Some(last) = done {
                done = decide(&store, Durability::Relaxed, IndexConflicts { done: last }).await?;
            }
        }
        let (events, listener) = mpsc::unbounded();
        let batch = BatchSize::new(settings.batch_size, settings.batch_size_max, crate::protocol::limits::BATCH_BYTES_MAX);
        let inner = Inner {
            store,
            host,
            device: opened.device,
            ids: RefCell::new(ids),
            queue: RefCell::default(),
            seals: RefCell::default(),
            known: Cell::new((opened.unfinished == 0).then_some(opened.last_seq)),
            state: RefCell::new(opened.sync),
            stops: Cell::default(),
            flight: RefCell::default(),
            attempts: RefCell::default(),
            batch: Cell::new(batch),
            initialised: Cell::new(false),
            held: Cell::new(None),
            trail: Cell::default(),
            keys: RefCell::default(),
            watches: RefCell::default(),
            events,
            poke: Notify::default(),
            reconnect: Notify::default(),
            role: RefCell::default(),
            sender: Cell::default(),
            offline: Cell::new(false),
            closed: Notify::default(),
            counters: Cell::default(),
            totals: Cell::default(),
            last_result: RefCell::default(),
            last_success: Cell::default(),
            measures: RefCell::default(),
            alerts: RefCell::new(opened.alerts),
            storage: Cell::default(),
            breaches: Cell::default(),
            rest: Notify::default(),
            server_now: Cell::default(),
            purged_at: Cell::new(opened.purged_at),
            checked_at: Cell::new(opened.checked_at),
            checking: RefCell::default(),
            settings,
        };
        let engine = Self { inner: Rc::new(inner) };
        engine.check_functions().await?;
        if opened.unfinished > 0 {
            engine.refresh().await?;
        }
        if opened.looked_at.is_some_and(|release| release != engine.inner.settings.schema.release) {
            match engine.look_again().await {
                // What lies there waits until that is mended.
                Err(error) if error.code == "integrity" => {}
                done => done.map(drop)?,
            }
        }
        engine.inner.poke.notify();
        Ok((engine, listener))
    }

    /// Ends the engine: a session under way stops at its next step, the database is let go. What was saved
    /// stays saved, what is queued stays queued.
    pub fn close(&self) {
        self.inner.closed.notify();
        self.inner.role.borrow_mut().close();
        self.inner.host.channel().close();
        self.inner.store.close();
        self.inner.watches.borrow_mut().close();
        self.inner.events.close_channel();
    }

    /// The settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// This database on this device.
    pub fn client(&self) -> &ClientId {
        &self.inner.device.client
    }

    fn now(&self) -> u64 {
        self.inner.host.clock().now()
    }

    fn entropy(&self) -> [u8; IdSource::ENTROPY_BYTES] {
        entropy(&self.inner.host)
    }

    fn op_id(&self) -> OpId {
        let (now, random) = (self.now(), self.entropy());
        self.inner.ids.borrow_mut().op_id(now, random)
    }

    /// IDs for a decision that may have to write operations.
    fn fresh(&self) -> Fresh {
        Fresh { now: self.now(), random: self.entropy() }
    }

    fn uuid(&self) -> String {
        let (now, random) = (self.now(), self.entropy());
        self.inner.ids.borrow_mut().uuid(now, random)
    }

    /// A temp ID for a new record.
    pub fn temp_id(&self, entity: &str) -> Result<RecordId, EngineError> {
        self.entity(entity)?;
        let (now, random) = (self.now(), self.entropy());
        Ok(self.inner.ids.borrow_mut().temp_id(now, random, entity).into())
    }

    fn entity(&self, name: &str) -> Result<&crate::schema::Entity, EngineError> {
        let unknown = || EngineError::new("unknown_entity", &format!("the schema has no entity '{name}'"));
        self.inner.settings.schema.entity(name).ok_or_else(unknown)
    }

    fn http(&self) -> Http<'_, H::Network, H::Clock> {
        Http {
            network: self.inner.host.network(),
            clock: self.inner.host.clock(),
            timeout_ms: self.inner.settings.timeout_ms,
            counters: &self.inner.counters,
        }
    }

    fn emit(&self, event: Event) {
        // After close nobody listens, and that is all right.
        let _ = self.inner.events.unbounded_send(event);
    }

    fn decide<D: Decision>(&self, durability: Durability, decision: D) -> impl Future<Output = Result<D::Out, EngineError>> {
        decide(&self.inner.store, durability, decision)
    }

    fn look<D: Decision>(&self, decision: D) -> impl Future<Output = Result<D::Out, EngineError>> {
        let done = self.inner.store.read(Planned::new(decision));
        async move { done.await?.map_err(EngineError::from) }
    }
}

/// The decision is in the store's hands when this returns: what is awaited holds no copy of it.
fn decide<S: Store, D: Decision>(store: &S, durability: Durability, decision: D) -> impl Future<Output = Result<D::Out, EngineError>> {
    let done = store.transact(durability, Planned::new(decision));
    async move { done.await?.map_err(EngineError::from) }
}

fn entropy(host: &impl Host) -> [u8; IdSource::ENTROPY_BYTES] {
    let mut bytes = [0; IdSource::ENTROPY_BYTES];
    host.entropy().fill(&mut bytes);
    bytes
}
