//! Where the server's rows lie: in its twin in memory, for speed, or in a real SQLite file through the production
//! store, for truth. SQLite's calls run to their end inside the turn that makes them, on a runtime of their own, so
//! one seed still decides everything: time does not move on while the database works, and nobody acts between two
//! statements of one request. What this cannot show is what several requests do to each other inside the database.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldsync::model::{ClientId, Epoch, Version};
use fieldsync_server::store::memory::{MemoryStore, MemoryUpload, Snapshot};
use fieldsync_server::store::sqlite::{SqliteStore, SqliteUpload};
use fieldsync_server::store::{
    ConflictFilter, ConflictRows, Found, Holdings, PageBounds, PageRows, Scope, ServerStore, StoreError, TenantState, UploadTransaction,
    Wanted, WriteBatch,
};
use tokio::runtime::{Builder, Runtime};

use super::server::at_once;

/// What a database needs that lies in files.
#[derive(Debug)]
pub(crate) struct Files {
    runtime: Runtime,
    folder: PathBuf,
    count: AtomicU64,
}

impl Files {
    fn new() -> Arc<Self> {
        static WORLDS: AtomicU64 = AtomicU64::new(0);
        let world = WORLDS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("fieldsync-simulate-{}-{world}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime without any driver but time");
        Arc::new(Self { runtime, folder, count: AtomicU64::new(0) })
    }
    /// A file that is not there yet.
    fn next(&self) -> PathBuf {
        self.folder.join(format!("{}.sqlite", self.count.fetch_add(1, Ordering::Relaxed)))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed now is removed with the other temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The database of the server.
#[derive(Debug)]
pub(crate) enum Database {
    Memory(Arc<MemoryStore>),
    Sqlite(Lite),
}

/// A SQLite database that is open.
#[derive(Debug)]
pub(crate) struct Lite {
    /// There as long as this lives.
    store: Option<SqliteStore>,
    file: PathBuf,
    files: Arc<Files>,
}

/// A backup.
#[derive(Debug)]
pub(crate) enum Backup {
    Memory(Snapshot),
    Sqlite(PathBuf, Arc<Files>),
}

impl Lite {
    fn open(file: PathBuf, files: Arc<Files>, epoch: Epoch) -> Self {
        let store = files.runtime.block_on(SqliteStore::open(&file.to_string_lossy(), epoch)).expect("a database can be opened");
        Self { store: Some(store), file, files }
    }
    fn run<'l, T, F: Future<Output = T>>(&'l self, call: impl FnOnce(&'l SqliteStore) -> F) -> T {
        let store = self.store.as_ref().unwrap_or_else(gone);
        self.files.runtime.block_on(call(store))
    }
}

impl Drop for Lite {
    fn drop(&mut self) {
        let _entered = self.files.runtime.enter();
        self.store.take();
    }
}

impl Database {
    /// An empty one.
    pub(crate) fn new(epoch: Epoch, sqlite: bool) -> Self {
        if !sqlite {
            return Self::Memory(Arc::new(MemoryStore::new(epoch)));
        }
        let files = Files::new();
        Self::Sqlite(Lite::open(files.next(), files, epoch))
    }

    pub(crate) fn back_up(&self) -> Backup {
        match self {
            Self::Memory(store) => Backup::Memory(at_once(store.snapshot())),
            Self::Sqlite(lite) => {
                let to = lite.files.next();
                lite.run(|store| store.backup(&to)).expect("a backup can be written");
                Backup::Sqlite(to, lite.files.clone())
            }
        }
    }

    /// One that begins a new epoch from a backup.
    pub(crate) fn restore(backup: &Backup, epoch: Epoch, now_ms: u64) -> Self {
        match backup {
            Backup::Memory(snapshot) => Self::Memory(Arc::new(MemoryStore::restore(snapshot, epoch, now_ms))),
            Backup::Sqlite(from, files) => {
                let to = files.next();
                let restored = files.runtime.block_on(SqliteStore::restore(from, &to, epoch.clone(), now_ms));
                restored.expect("a backup can be restored");
                Self::Sqlite(Lite::open(to, files.clone(), epoch))
            }
        }
    }

    /// What the next process finds where this one died: the files as they lie there, never closed.
    pub(crate) fn after_death(&self) -> Self {
        let lite = match self {
            Self::Memory(store) => return Self::Memory(store.clone()),
            Self::Sqlite(lite) => lite,
        };
        let to = lite.files.next();
        for end in ["", "-wal"] {
            let named = |file: &PathBuf| PathBuf::from(format!("{}{end}", file.display()));
            // Without a log everything is in the file.
            let copied = std::fs::copy(named(&lite.file), named(&to));
            assert!(copied.is_ok() || !end.is_empty(), "the database of the dead process can be read");
        }
        Self::Sqlite(Lite::open(to, lite.files.clone(), self.epoch().clone()))
    }
}

/// A write transaction.
pub(crate) enum Upload {
    Memory(MemoryUpload),
    Sqlite(LiteUpload),
}

/// One of SQLite.
pub(crate) struct LiteUpload {
    /// There until it is committed.
    upload: Option<SqliteUpload>,
    files: Arc<Files>,
}

impl Drop for LiteUpload {
    fn drop(&mut self) {
        let _entered = self.files.runtime.enter();
        self.upload.take();
    }
}

impl ServerStore for Database {
    type Upload = Upload;

    fn epoch(&self) -> &Epoch {
        match self {
            Self::Memory(store) => store.epoch(),
            Self::Sqlite(lite) => lite.store.as_ref().map_or_else(gone, ServerStore::epoch),
        }
    }
    async fn begin(&self, tenant: &str, client: &ClientId) -> Result<Upload, StoreError> {
        match self {
            Self::Memory(store) => Ok(Upload::Memory(store.begin(tenant, client).await?)),
            Self::Sqlite(lite) => {
                let upload = lite.run(|store| store.begin(tenant, client))?;
                Ok(Upload::Sqlite(LiteUpload { upload: Some(upload), files: lite.files.clone() }))
            }
        }
    }
    async fn owner(&self, tenant: &str, client: &ClientId, user: &str, now_ms: u64) -> Result<String, StoreError> {
        match self {
            Self::Memory(store) => store.owner(tenant, client, user, now_ms).await,
            Self::Sqlite(lite) => lite.run(|store| store.owner(tenant, client, user, now_ms)),
        }
    }
    async fn holdings(&self, tenant: &str, client: &ClientId) -> Result<Holdings, StoreError> {
        match self {
            Self::Memory(store) => store.holdings(tenant, client).await,
            Self::Sqlite(lite) => lite.run(|store| store.holdings(tenant, client)),
        }
    }
    async fn conflicts(&self, tenant: &str, filter: &ConflictFilter, bounds: PageBounds) -> Result<ConflictRows, StoreError> {
        match self {
            Self::Memory(store) => store.conflicts(tenant, filter, bounds).await,
            Self::Sqlite(lite) => lite.run(|store| store.conflicts(tenant, filter, bounds)),
        }
    }
    async fn count_after(&self, tenant: &str, after: Version, scope: &Scope) -> Result<u64, StoreError> {
        match self {
            Self::Memory(store) => store.count_after(tenant, after, scope).await,
            Self::Sqlite(lite) => lite.run(|store| store.count_after(tenant, after, scope)),
        }
    }
    async fn page(
        &self,
        tenant: &str,
        client: &ClientId,
        after: Version,
        scope: &Scope,
        bounds: PageBounds,
    ) -> Result<PageRows, StoreError> {
        match self {
            Self::Memory(store) => store.page(tenant, client, after, scope, bounds).await,
            Self::Sqlite(lite) => lite.run(|store| store.page(tenant, client, after, scope, bounds)),
        }
    }
    async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Memory(store) => store.tenants().await,
            Self::Sqlite(lite) => lite.run(ServerStore::tenants),
        }
    }
    async fn settled_before(&self, tenant: &str, received_ms: u64) -> Result<Version, StoreError> {
        match self {
            Self::Memory(store) => store.settled_before(tenant, received_ms).await,
            Self::Sqlite(lite) => lite.run(|store| store.settled_before(tenant, received_ms)),
        }
    }
    async fn forget(&self, tenant: &str, through: Version) -> Result<u64, StoreError> {
        match self {
            Self::Memory(store) => store.forget(tenant, through).await,
            Self::Sqlite(lite) => lite.run(|store| store.forget(tenant, through)),
        }
    }
    async fn ready(&self) -> bool {
        match self {
            Self::Memory(store) => store.ready().await,
            Self::Sqlite(lite) => lite.run(ServerStore::ready),
        }
    }
}

impl UploadTransaction for Upload {
    fn state(&self) -> &TenantState {
        match self {
            Self::Memory(upload) => upload.state(),
            Self::Sqlite(lite) => lite.upload.as_ref().map_or_else(gone, UploadTransaction::state),
        }
    }
    async fn load(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        match self {
            Self::Memory(upload) => upload.load(wanted).await,
            Self::Sqlite(LiteUpload { upload, files }) => files.runtime.block_on(upload.as_mut().unwrap_or_else(gone).load(wanted)),
        }
    }
    async fn commit(self, batch: WriteBatch) -> Result<(), StoreError> {
        match self {
            Self::Memory(upload) => upload.commit(batch).await,
            Self::Sqlite(mut lite) => {
                let upload = lite.upload.take().unwrap_or_else(gone);
                lite.files.runtime.block_on(upload.commit(batch))
            }
        }
    }
}

fn gone<T>() -> T {
    unreachable!("it is there until it is committed or dropped")
}
