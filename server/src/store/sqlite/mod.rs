//! SQLite: one file, one writing connection, several reading ones. WAL with `synchronous=FULL`: when a commit
//! returns, it has been flushed, so everything up to the sequence is durable at once.
//!
//! Sequence numbers are counted up from the tenant's row while the upload holds SQLite's only write lock
//! (`BEGIN IMMEDIATE`), and the row is written back with the batch. Nobody can take a number in between and
//! a rollback returns them all, so the order of the sequence is the order of the commits and has no hole. A
//! database with several writers gets the same by `UPDATE tenants SET sequence = sequence + n` as the last
//! statement before the commit, and stamping the rows from its answer.

mod backup;
mod conflicts;
mod prune;
mod read;
mod schema;
mod unique;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use fieldsync::model::{ClientId, Epoch, RecordId, Version};
use fieldsync::schema::Schema;
use fieldsync::value::Hash;
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, Sqlite, SqlitePool, Transaction};

use super::conflicts::Listing;
use super::{
    AuditRow, ConflictFilter, ConflictRows, Found, Holdings, PageBounds, PageRows, Scope, ServerStore, StoreError, TenantState,
    UploadTransaction, Wanted, WriteBatch,
};

/// How long a statement waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a transaction is begun anew while the file stays busy.
const BEGIN_ATTEMPTS: u32 = 3;
/// How long a request waits for its turn at a connection.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections that read.
const READERS: u32 = 4;

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// Primary codes of SQLite; the extended ones carry them in their lowest byte.
        const BUSY: u32 = 5;
        const LOCKED: u32 = 6;
        let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<u32>().ok());
        if matches!(error, sqlx::Error::PoolTimedOut) || code.is_some_and(|code| matches!(code & 0xff, BUSY | LOCKED)) {
            return Self::Busy;
        }
        Self::Failed(Box::new(error))
    }
}

/// The store in a SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    epoch: Epoch,
    issued: u64,
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens a database, makes it if it is not there. `:memory:` lives as long as the store. A new database
    /// takes `epoch` for its lineage, an existing one keeps its own.
    pub async fn open(database: &str, epoch: Epoch) -> Result<Self, StoreError> {
        let in_memory = database == ":memory:";
        let options = SqliteConnectOptions::new()
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(64);
        let options = if in_memory {
            options.in_memory(true)
        } else {
            options.filename(Path::new(database)).create_if_missing(true).journal_mode(SqliteJournalMode::Wal)
        };
        // A connection that is closed takes a database in memory with it: none ever is.
        let pool = |connections: u32| {
            let pool = SqlitePoolOptions::new().max_connections(connections).min_connections(1);
            pool.acquire_timeout(TURN_TIMEOUT).idle_timeout(None).max_lifetime(None)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::raw_sql(schema::TABLES).execute(&writer).await?;
        let readers = if in_memory { writer.clone() } else { pool(READERS).connect_with(options).await? };
        let mut store = Self { epoch, issued: 0, writer, readers };
        store.settle_meta().await?;
        Ok(store)
    }

    /// Writes the layout and the lineage of a new database, or reads them from an old one.
    async fn settle_meta(&mut self) -> Result<(), StoreError> {
        for (name, value) in [("layout", schema::LAYOUT), ("epoch", self.epoch.as_str()), ("issued", "0")] {
            sqlx::query("INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO NOTHING")
                .bind(name)
                .bind(value)
                .execute(&self.writer)
                .await?;
        }
        let layout = self.meta("layout").await?;
        if layout == "1" {
            let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
            sqlx::raw_sql(schema::FROM_1).execute(&mut *transaction).await?;
            transaction.commit().await?;
        } else if layout != schema::LAYOUT {
            return Err(StoreError::Unreadable(format!("layout {layout}; this server writes {}", schema::LAYOUT)));
        }
        self.epoch = Epoch::parse(&self.meta("epoch").await?).map_err(|_| StoreError::Unreadable("the epoch is no UUID".to_owned()))?;
        let issued = self.meta("issued").await?;
        self.issued = issued.parse().map_err(|_| StoreError::Unreadable("the numbers issued in earlier epochs".to_owned()))?;
        Ok(())
    }

    async fn meta(&self, name: &str) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM meta WHERE name = ?1").bind(name).fetch_one(&self.writer).await?)
    }

    /// Takes over the constraints of a schema: finds out anew what each record holds for itself. A server does so when it
    /// starts.
    pub async fn hold(&self, schema: &Schema) -> Result<(), StoreError> {
        unique::fill(&self.writer, schema).await
    }

    /// The audit rows of a tenant, in order.
    pub async fn audit(&self, tenant: &str) -> Result<Vec<AuditRow>, StoreError> {
        let mut rows = Vec::new();
        self.each_audit_row(tenant, |row| {
            rows.push(row);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(rows)
    }

    /// Every audit row of a tenant in order, one at a time, until `each` breaks off. Returns the tenant's counters as they were
    /// in the same state of the database.
    pub async fn each_audit_row(&self, tenant: &str, mut each: impl FnMut(AuditRow) -> ControlFlow<()>) -> Result<TenantState, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        let state = read::tenant_state(&mut snapshot, tenant, self.issued).await?;
        let rows = sqlx::query("SELECT number, content, hash FROM audit WHERE tenant = ?1 ORDER BY number");
        let mut rows = rows.bind(tenant).fetch(&mut *snapshot);
        while let Some(row) = rows.try_next().await? {
            let row = AuditRow { number: from_db(row.try_get(0)?)?, content: row.try_get(1)?, hash: hash_from(row.try_get(2)?)? };
            if each(row).is_break() {
                break;
            }
        }
        Ok(state)
    }

    /// The tenants that have an audit chain, or shall have one by their counters.
    pub async fn audited(&self) -> Result<Vec<String>, StoreError> {
        let tenants = sqlx::query_scalar("SELECT tenant FROM tenants UNION SELECT tenant FROM audit ORDER BY tenant");
        Ok(tenants.fetch_all(&self.readers).await?)
    }

    /// A setting of the connection that writes, as SQLite reports it now.
    pub async fn pragma(&self, setting: Setting) -> Result<String, StoreError> {
        let statement = match setting {
            Setting::Synchronous => "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
            Setting::JournalMode => "SELECT journal_mode FROM pragma_journal_mode",
            Setting::ForeignKeys => "SELECT CAST(foreign_keys AS TEXT) FROM pragma_foreign_keys",
        };
        Ok(sqlx::query_scalar(statement).fetch_one(&self.writer).await?)
    }

    /// Waits until nobody uses the database, moves the log into the file and closes it.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// What [`SqliteStore::pragma`] can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// `2` is FULL: a commit is flushed before it returns.
    Synchronous,
    /// `wal`, or `memory`.
    JournalMode,
    /// `1` is on.
    ForeignKeys,
}

/// The write transaction: dropped without a commit, it is rolled back.
#[derive(Debug)]
pub struct SqliteUpload {
    transaction: Transaction<'static, Sqlite>,
    tenant: String,
    client: ClientId,
    state: TenantState,
}

impl ServerStore for SqliteStore {
    type Upload = SqliteUpload;

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    async fn begin(&self, tenant: &str, client: &ClientId) -> Result<SqliteUpload, StoreError> {
        let mut attempt = 1;
        let mut transaction = loop {
            match self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from) {
                Ok(transaction) => break transaction,
                Err(StoreError::Busy) if attempt < BEGIN_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        };
        let state = read::tenant_state(&mut transaction, tenant, self.issued).await?;
        Ok(SqliteUpload { transaction, tenant: tenant.to_owned(), client: client.clone(), state })
    }

    async fn owner(&self, tenant: &str, client: &ClientId, user: &str, now_ms: u64) -> Result<String, StoreError> {
        /// A client that was seen within a minute is not noted again: reading costs no flush.
        const NOTE_AFTER_MS: i64 = 60_000;
        let now = to_db(now_ms)?;
        let known = sqlx::query("SELECT user_id, last_seen_ms FROM clients WHERE tenant = ?1 AND client = ?2")
            .bind(tenant)
            .bind(client.as_str())
            .fetch_optional(&self.readers)
            .await?;
        if let Some(row) = known {
            let (owner, last_seen): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            if owner != user || now - last_seen < NOTE_AFTER_MS {
                return Ok(owner);
            }
        }
        let owner = sqlx::query_scalar(
            "INSERT INTO clients (tenant, client, user_id, first_seen_ms, last_seen_ms) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (tenant, client) DO UPDATE SET last_seen_ms = max(last_seen_ms, excluded.last_seen_ms) RETURNING user_id",
        )
        .bind(tenant)
        .bind(client.as_str())
        .bind(user)
        .bind(now)
        .fetch_one(&self.writer)
        .await?;
        Ok(owner)
    }

    async fn holdings(&self, tenant: &str, client: &ClientId) -> Result<Holdings, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        read::holdings(&mut snapshot, tenant, client, self.issued).await
    }

    async fn conflicts(&self, tenant: &str, filter: &ConflictFilter, bounds: PageBounds) -> Result<ConflictRows, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        let state = read::tenant_state(&mut snapshot, tenant, self.issued).await?;
        Ok(conflicts::list(&mut snapshot, tenant, filter, Listing::new(bounds)).await?.finish(state))
    }

    async fn count_after(&self, tenant: &str, after: Version, scope: &Scope) -> Result<u64, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        read::count_after(&mut snapshot, tenant, after, scope).await
    }

    async fn page(
        &self,
        tenant: &str,
        client: &ClientId,
        after: Version,
        scope: &Scope,
        bounds: PageBounds,
    ) -> Result<PageRows, StoreError> {
        // One read transaction: the counters and the rows are of one state.
        let mut snapshot = self.readers.begin().await?;
        let state = read::tenant_state(&mut snapshot, tenant, self.issued).await?;
        read::page(&mut snapshot, tenant, client, after, scope, bounds, &state).await
    }

    async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT tenant FROM tenants ORDER BY tenant").fetch_all(&self.readers).await?)
    }

    async fn settled_before(&self, tenant: &str, received_ms: u64) -> Result<Version, StoreError> {
        let through: Option<i64> = sqlx::query_scalar(
            "SELECT coalesce((SELECT min(version) - 1 FROM changes WHERE tenant = ?1 AND received_ms >= ?2),
             (SELECT max(version) FROM changes WHERE tenant = ?1))",
        )
        .bind(tenant)
        .bind(to_db(received_ms)?)
        .fetch_one(&self.readers)
        .await?;
        Ok(Version(from_db(through.unwrap_or_default())?))
    }

    async fn forget(&self, tenant: &str, through: Version) -> Result<u64, StoreError> {
        prune::forget(&self.writer, tenant, through, self.issued).await
    }

    async fn ready(&self) -> bool {
        sqlx::query("SELECT 1 FROM meta").fetch_one(&self.readers).await.is_ok()
    }
}

impl UploadTransaction for SqliteUpload {
    fn state(&self) -> &TenantState {
        &self.state
    }
    async fn load(&mut self, wanted: &Wanted) -> Result<Found, StoreError> {
        read::load(&mut self.transaction, &self.tenant, &self.client, wanted).await
    }
    async fn commit(mut self, batch: WriteBatch) -> Result<(), StoreError> {
        write::batch(&mut self.transaction, &self.tenant, &self.client, &batch).await?;
        self.transaction.commit().await?;
        Ok(())
    }
}

fn to_db(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Unreadable("a number beyond 63 bits".to_owned()))
}

fn from_db(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Unreadable("a number below zero".to_owned()))
}

fn id_text(id: &RecordId) -> String {
    id.to_value().to_string()
}

fn id_from(text: &str) -> Result<RecordId, StoreError> {
    from_json(text)
}

fn hash_from(text: String) -> Result<Hash, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| StoreError::Unreadable(error.to_string()))
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Unreadable(error.to_string()))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unreadable(error.to_string()))
}

/// A name of the wire as plain text: `update-delete`, not `"update-delete"`.
fn word<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(json(value)?.trim_matches('"').to_owned())
}

fn from_word<T: serde::de::DeserializeOwned>(text: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| StoreError::Unreadable(error.to_string()))
}
