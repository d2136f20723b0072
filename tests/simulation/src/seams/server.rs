//! The server: its production handlers over a store. A thin layer around that store lets it die before or after a
//! commit, and shows every commit to the oracle.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use fieldsync::model::{ClientId, Epoch, IdSource, Version};
use fieldsync::schema::Schema;
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::EntropyError;
use fieldsync_server::service::{Service, Watermark};
use fieldsync_server::store::{
    ConflictFilter, ConflictRows, Found, Holdings, PageBounds, PageRows, Scope, ServerStore, StoreError, TenantState, UploadTransaction,
    Wanted, WriteBatch,
};

use super::database::{Backup, Database, Upload};
use crate::fault::Fault;
use crate::oracle::commits::Commits;
use crate::random::mix;
use crate::sim::START;

/// The server's clock, moved by the world.
#[derive(Debug)]
pub(crate) struct ServerClock {
    pub(crate) now: AtomicU64,
    pub(crate) jumped: AtomicI64,
}

impl fieldsync_server::seams::Clock for ServerClock {
    fn now_ms(&self) -> u64 {
        self.now.load(Ordering::Relaxed).saturating_add_signed(self.jumped.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
struct ServerEntropy(AtomicU64);

impl fieldsync_server::seams::Entropy for ServerEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = mix(self.0.fetch_add(1, Ordering::Relaxed), 77).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// What the next commit meets, and what the oracle saw of all of them.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) fault: Option<Fault>,
    pub(crate) commits: Commits,
}

/// The store that the service stands on.
#[derive(Debug)]
pub(crate) struct WatchedStore {
    inner: Database,
    watch: Arc<Mutex<Watch>>,
}

/// A transaction of it.
pub(crate) struct WatchedUpload {
    inner: Upload,
    tenant: String,
    watch: Arc<Mutex<Watch>>,
}

impl ServerStore for WatchedStore {
    type Upload = WatchedUpload;
    fn epoch(&self) -> &Epoch {
        self.inner.epoch()
    }
    async fn begin(&self, tenant: &str, client: &ClientId) -> Result<WatchedUpload, StoreError> {
        let inner = self.inner.begin(tenant, client).await?;
        Ok(WatchedUpload { inner, tenant: tenant.to_owned(), watch: self.watch.clone() })
    }
    async fn owner(&self, tenant: &str, client: &ClientId, user: &str, now_ms: u64) -> Result<String, StoreError> {
        self.inner.owner(tenant, client, user, now_ms).await
    }
    async fn holdings(&self, tenant: &str, client: &ClientId) -> Result<Holdings, StoreError> {
        self.inner.holdings(tenant, client).await
    }
    async fn conflicts(&self, tenant: &str, filter: &ConflictFilter, bounds: PageBounds) -> Result<ConflictRows, StoreError> {
        self.inner.conflicts(tenant, filter, bounds).await
    }
    async fn count_after(&self, tenant: &str, after: Version, scope: &Scope) -> Result<u64, StoreError> {
        self.inner.count_after(tenant, after, scope).await
    }
    async fn page(
        &self,
        tenant: &str,
        client: &ClientId,
        after: Version,
        scope: &Scope,
        bounds: PageBounds,
    ) -> Result<PageRows, StoreError> {
        self.inner.page(tenant, client, after, scope, bounds).await
    }
    async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        self.inner.tenants().await
    }
    async fn settled_before(&self, tenant: &str, received_ms: u64) -> Result<Version, StoreError> {
        self.inner.settled_before(tenant, received_ms).await
    }
    async fn forget(&self, tenant: &str, through: Version) -> Result<u64, StoreError> {
        self.inner.forget(tenant, through).await
    }
    async fn ready(&self) -> bool {
        self.inner.ready().await
    }
}

impl UploadTransaction for WatchedUpload {
    fn state(&self) -> &TenantState {
        self.inner.state()
    }
    async fn load(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        self.inner.load(wanted).await
    }
    async fn commit(self, batch: WriteBatch) -> Result<(), StoreError> {
        let Self { inner, tenant, watch } = self;
        let fault = lock(&watch).fault.take();
        let died = || StoreError::Unreadable("the process died".to_owned());
        match fault {
            Some(Fault::ServerDiesBefore(_)) => return Err(died()),
            Some(Fault::ServerBusy) => return Err(StoreError::Busy),
            _ => {}
        }
        lock(&watch).commits.see(&tenant, &batch);
        inner.commit(batch).await?;
        match fault {
            Some(Fault::ServerDiesAfter(_)) => Err(died()),
            Some(Fault::ServerUnsure) => Err(StoreError::Busy),
            _ => Ok(()),
        }
    }
}

/// A lock that survives whoever broke while holding it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server of a run.
pub(crate) struct Server {
    service: RefCell<Arc<Service<WatchedStore>>>,
    schema: Schema,
    entropy: Arc<ServerEntropy>,
    watermark: Watermark,
    backup: RefCell<Backup>,
    epochs: Cell<u8>,
    pub(crate) clock: Arc<ServerClock>,
    pub(crate) watch: Arc<Mutex<Watch>>,
    /// Until when nobody answers.
    pub(crate) away_until: Cell<u64>,
    /// Copies of requests that are still to arrive.
    pub(crate) under_way: Cell<u32>,
}

impl Server {
    pub(crate) fn new(seed: u64, schema: &Schema, watermark: Watermark, sqlite: bool) -> Self {
        let clock = Arc::new(ServerClock { now: AtomicU64::new(START), jumped: AtomicI64::new(0) });
        let watch: Arc<Mutex<Watch>> = Arc::default();
        lock(&watch).commits.lines.learn(schema);
        lock(&watch).commits.lines.begin(epoch(0).to_string());
        let entropy = Arc::new(ServerEntropy(AtomicU64::new(mix(seed, 5))));
        let store = Database::new(epoch(0), sqlite);
        let backup = store.back_up();
        let inner = WatchedStore { inner: store, watch: watch.clone() };
        let service = RefCell::new(service(inner, schema, watermark, &clock, &entropy));
        let (backup, schema) = (RefCell::new(backup), schema.clone());
        Self {
            service,
            schema,
            entropy,
            watermark,
            backup,
            epochs: Cell::new(0),
            clock,
            watch,
            away_until: Cell::new(0),
            under_way: Cell::new(0),
        }
    }

    /// The handlers as they stand now.
    pub(crate) fn service(&self) -> Arc<Service<WatchedStore>> {
        self.service.borrow().clone()
    }

    /// Makes a backup.
    pub(crate) fn back_up(&self) {
        let service = self.service();
        self.backup.replace(service.store().inner.back_up());
        lock(&self.watch).commits.back_up();
    }

    /// Begins a new epoch from the last backup. Who was being answered is cut off.
    pub(crate) fn restore(&self, now: u64) {
        self.epochs.set(self.epochs.get().wrapping_add(1));
        let epoch = epoch(self.epochs.get());
        lock(&self.watch).commits.restore(&epoch);
        self.stand_on(Database::restore(&self.backup.borrow(), epoch, now));
    }

    /// The process died, and with it whatever it was answering; the next one opens what it left.
    pub(crate) fn die(&self) {
        let left = self.service().store().inner.after_death();
        self.stand_on(left);
    }

    fn stand_on(&self, inner: Database) {
        let store = WatchedStore { inner, watch: self.watch.clone() };
        self.service.replace(service(store, &self.schema, self.watermark, &self.clock, &self.entropy));
    }

    /// Forgets the tombstones of every tenant.
    pub(crate) fn prune(&self) {
        let service = self.service();
        for tenant in at_once(service.store().tenants()).unwrap_or_default() {
            let through = Version(self.sequence(&tenant));
            let _ = at_once(service.store().forget(&tenant, through));
            lock(&self.watch).commits.tenants.entry(tenant).or_default().forgotten = through;
        }
    }

    /// The last number that a tenant's changes have.
    pub(crate) fn sequence(&self, tenant: &str) -> u64 {
        let service = self.service();
        let nobody = ClientId::parse("0190a1b2-0000-7000-8000-000000000000").expect("a client ID");
        at_once(service.store().holdings(tenant, &nobody)).map_or(0, |holdings| holdings.state.sequence.0)
    }
}

fn epoch(number: u8) -> Epoch {
    IdSource::default().epoch(START + u64::from(number), [number; IdSource::ENTROPY_BYTES])
}

fn service(
    store: WatchedStore,
    schema: &Schema,
    watermark: Watermark,
    clock: &Arc<ServerClock>,
    entropy: &Arc<ServerEntropy>,
) -> Arc<Service<WatchedStore>> {
    let key = ServerKey::parse(&"simulated server key ".repeat(2)).expect("the key is long enough");
    Arc::new(Service::new(store, schema.clone(), &key, clock.clone(), entropy.clone()).with_watermark(watermark))
}

/// The store answers at once when nobody holds it, and between two turns nobody does.
pub(crate) fn at_once<T>(answer: impl Future<Output = T>) -> T {
    match std::pin::pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("somebody holds the server's store between two turns"),
    }
}
