//! Backups of a database that is in use, and databases that begin anew from one.
//!
//! Both copy by `VACUUM INTO`: one read transaction, so the copy is one state of the database, and writers go on
//! meanwhile. The copy is flushed under another name before it bears its own: what bears the name is complete.

use std::fs::File;
use std::path::{Path, PathBuf};

use fieldsync::model::{Epoch, Version};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::super::{StoreError, issued_before};
use super::{SqliteStore, from_db, to_db};

impl SqliteStore {
    /// Writes a backup to a file that is not there yet. Then moves the watermark of each tenant to what the backup
    /// holds, and says how many tenants it holds.
    pub async fn backup(&self, to: &Path) -> Result<usize, StoreError> {
        let part = part_of(to)?;
        copy(&mut *self.readers.acquire().await?, &part).await?;
        let mut copied = connect(&part).await?;
        let held: Vec<(String, i64)> = sqlx::query_as("SELECT tenant, sequence FROM tenants").fetch_all(&mut copied).await?;
        copied.close().await?;
        finish(&part, to)?;
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for (tenant, sequence) in &held {
            // What a tenant that was restored has not reached yet is held as well: there is nothing in between.
            let backed_up = Version(from_db(*sequence)?.max(self.issued));
            sqlx::query(
                "INSERT INTO marks (tenant, backed_up) VALUES (?1, ?2)
                 ON CONFLICT (tenant) DO UPDATE SET backed_up = max(backed_up, excluded.backed_up)",
            )
            .bind(tenant)
            .bind(to_db(backed_up.0)?)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(held.len())
    }

    /// Makes a database that begins a new epoch from a backup, at `now_ms`: what came after the backup is gone,
    /// and its numbers are not issued again. Neither file may be in use.
    pub async fn restore(from: &Path, to: &Path, epoch: Epoch, now_ms: u64) -> Result<(), StoreError> {
        let part = part_of(to)?;
        let mut backup = connect(from).await?;
        let layout: Option<String> = sqlx::query_scalar("SELECT value FROM meta WHERE name = 'layout'").fetch_optional(&mut backup).await?;
        layout.ok_or_else(|| StoreError::Unreadable("it is no backup of this server".to_owned()))?;
        copy(&mut backup, &part).await?;
        backup.close().await?;
        // Opened once as a store: a backup of an older layout grows.
        let store = Self::open(&part.to_string_lossy(), epoch.clone()).await?;
        let highest: i64 = sqlx::query_scalar(
            "SELECT max(0, (SELECT coalesce(max(sequence), 0) FROM tenants), (SELECT coalesce(max(last), 0) FROM counters))",
        )
        .fetch_one(&store.writer)
        .await?;
        let issued = issued_before(from_db(highest)?.max(store.issued), now_ms);
        let mut transaction = store.writer.begin().await?;
        for (name, value) in [("epoch", epoch.to_string()), ("issued", issued.to_string())] {
            sqlx::query("UPDATE meta SET value = ?2 WHERE name = ?1").bind(name).bind(value).execute(&mut *transaction).await?;
        }
        // All that there is now came from a backup.
        sqlx::query("INSERT INTO marks (tenant, backed_up) SELECT tenant, sequence FROM tenants WHERE true ON CONFLICT (tenant) DO UPDATE SET backed_up = excluded.backed_up")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        store.close().await;
        finish(&part, to)
    }
}

/// A database file that must be there.
async fn connect(file: &Path) -> Result<SqliteConnection, StoreError> {
    Ok(SqliteConnectOptions::new().filename(file).create_if_missing(false).connect().await?)
}

async fn copy(db: &mut SqliteConnection, to: &Path) -> Result<(), StoreError> {
    sqlx::query("VACUUM INTO ?1").bind(to.to_string_lossy().into_owned()).execute(db).await?;
    Ok(())
}

/// The name under which a copy grows. Nothing is written over.
fn part_of(to: &Path) -> Result<PathBuf, StoreError> {
    if to.exists() {
        return Err(StoreError::Exists(to.display().to_string()));
    }
    let named = |end: &str| {
        let mut name = to.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    // A log that an interrupted run left would be taken for the new copy's own.
    for left in [".part", ".part-wal", ".part-shm"] {
        if let Err(error) = std::fs::remove_file(named(left))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    Ok(named(".part"))
}

/// Flushes a complete copy and gives it its name.
fn finish(part: &Path, to: &Path) -> Result<(), StoreError> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, to)?;
    #[cfg(unix)]
    if let Some(folder) = to.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
