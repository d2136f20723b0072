//! The seam between the server's decisions and where its rows lie.
//!
//! The unit of writing is one upload: [`ServerStore::begin`] opens the tenant's write transaction, every
//! read through it sees one state that nobody else changes, and [`UploadTransaction::commit`] writes the
//! whole batch or nothing. Dropping it without a commit leaves no trace. The decisions between the two are
//! pure (room `apply`): an operation that is refused has contributed nothing to the batch, which is the
//! savepoint of each operation, without a statement for it.
//!
//! [`sqlite`] is the real one, [`memory`] its twin for tests and simulation; one contract suite runs on both.

mod conflicts;
mod lineage;
pub mod memory;
mod page;
mod prune;
mod rows;
pub mod sqlite;

use std::future::Future;

use fieldsync::model::{ClientId, Epoch, Version};

pub(crate) use lineage::SAFE_MAX;
pub use lineage::issued_before;
pub use prune::prune;
pub use rows::{
    AuditRow, ChangeRow, Conflict, ConflictFilter, ConflictRow, ConflictRows, Found, Holdings, Origin, PageRow, PageRows, Receipt, Record,
    RecordKey, Scope, TenantState, UniqueKey, Wanted, WriteBatch,
};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer held the database for too long: the same request may succeed later.
    #[error("the database is busy")]
    Busy,
    /// The database failed.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was to be read has been pruned meanwhile.
    #[error("tombstones were pruned while the answer was being sent")]
    Pruned,
    /// What is to be written is there already.
    #[error("{0} is there already, and is not written over")]
    Exists(String),
    /// The database holds something that this server did not write.
    #[error("the database holds a row that cannot be read: {0}")]
    Unreadable(String),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// How much one page may hold. At least one row is always given.
#[derive(Clone, Copy, Debug)]
pub struct PageBounds {
    /// Rows.
    pub records_max: usize,
    /// Bytes of what they hold.
    pub bytes_max: usize,
}

/// Where the server's rows lie. Every call names its tenant and sees nothing of another.
pub trait ServerStore: Send + Sync + 'static {
    /// The write transaction of one upload.
    type Upload: UploadTransaction;

    /// The lineage of this database, fixed when it was made.
    fn epoch(&self) -> &Epoch;

    /// Opens the tenant's write transaction for a client. Waits for whoever holds it, with a bound.
    fn begin(&self, tenant: &str, client: &ClientId) -> impl Future<Output = Result<Self::Upload, StoreError>> + Send;

    /// Notes that the client was seen, and tells to which user it belongs: to the first that came with it.
    fn owner(&self, tenant: &str, client: &ClientId, user: &str, now_ms: u64) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// What there is of a tenant and a client.
    fn holdings(&self, tenant: &str, client: &ClientId) -> impl Future<Output = Result<Holdings, StoreError>> + Send;

    /// The conflicts of the tenant that pass the filter, in the order of their names, as far as the bounds allow.
    fn conflicts(
        &self,
        tenant: &str,
        filter: &ConflictFilter,
        bounds: PageBounds,
    ) -> impl Future<Output = Result<ConflictRows, StoreError>> + Send;

    /// How many records of the scope changed after `after`.
    fn count_after(&self, tenant: &str, after: Version, scope: &Scope) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// The records of the scope that changed after `after`, by ascending version, as far as the bounds allow. A group
    /// is not split.
    fn page(
        &self,
        tenant: &str,
        client: &ClientId,
        after: Version,
        scope: &Scope,
        bounds: PageBounds,
    ) -> impl Future<Output = Result<PageRows, StoreError>> + Send;

    /// All tenants.
    fn tenants(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// The version below which every change of the tenant came before this time.
    fn settled_before(&self, tenant: &str, received_ms: u64) -> impl Future<Output = Result<Version, StoreError>> + Send;

    /// Forgets the tombstones of the tenant up to a version, except those that an open conflict is about. First says
    /// so to everybody who stands below, then lets the rows go. What stays is that their IDs are taken.
    fn forget(&self, tenant: &str, through: Version) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Whether the database answers.
    fn ready(&self) -> impl Future<Output = bool> + Send;
}

/// A write transaction. It is the only one of its tenant while it lives.
pub trait UploadTransaction: Send {
    /// The tenant's counters.
    fn state(&self) -> &TenantState;
    /// Reads rows.
    fn load(&mut self, wanted: &Wanted) -> impl Future<Output = Result<Found, StoreError>> + Send;
    /// Writes the batch and makes it durable.
    fn commit(self, batch: WriteBatch) -> impl Future<Output = Result<(), StoreError>> + Send;
}
