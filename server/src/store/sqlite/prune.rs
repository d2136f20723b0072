//! Letting tombstones go, a few at a time, so that nobody waits long for the only writer.

use fieldsync::model::Version;
use sqlx::{Row, SqlitePool};

use super::super::StoreError;
use super::{json, read, to_db};

/// Tombstones that go in one transaction.
const PRUNED_AT_ONCE: i64 = 500;

pub(super) async fn forget(writer: &SqlitePool, tenant: &str, through: Version, issued: u64) -> Result<u64, StoreError> {
    // First everybody is told, in a transaction of its own; only then rows go.
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let state = read::tenant_state(&mut transaction, tenant, issued).await?;
    let forgotten = state.forgotten.max(through.min(state.sequence));
    sqlx::query(
        "INSERT INTO marks (tenant, forgotten) VALUES (?1, ?2) ON CONFLICT (tenant) DO UPDATE SET forgotten = max(forgotten, excluded.forgotten)",
    )
    .bind(tenant)
    .bind(to_db(forgotten.0)?)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;

    let mut pruned = 0;
    loop {
        let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
        let rows = sqlx::query(
            "SELECT entity, id, version FROM records WHERE tenant = ?1 AND deleted = 1 AND version <= ?2
             AND NOT EXISTS (SELECT 1 FROM conflicts WHERE conflicts.tenant = ?1 AND conflicts.entity = records.entity
                             AND conflicts.id = records.id AND closed_by IS NULL)
             AND NOT EXISTS (SELECT 1 FROM refs WHERE refs.tenant = ?1 AND refs.to_entity = records.entity AND refs.to_id = records.id)
             ORDER BY version LIMIT ?3",
        )
        .bind(tenant)
        .bind(to_db(forgotten.0)?)
        .bind(PRUNED_AT_ONCE)
        .fetch_all(&mut *transaction)
        .await?;
        if rows.is_empty() {
            return Ok(pruned);
        }
        let versions = rows.iter().map(|row| row.try_get::<i64, _>(2)).collect::<Result<Vec<_>, _>>()?;
        let versions = json(&versions)?;
        for statement in [
            "INSERT INTO pruned (tenant, entity, id) SELECT tenant, entity, id FROM records
             WHERE tenant = ?1 AND version IN (SELECT value FROM json_each(?2))",
            "DELETE FROM records WHERE tenant = ?1 AND version IN (SELECT value FROM json_each(?2))",
        ] {
            sqlx::query(statement).bind(tenant).bind(&versions).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        pruned += u64::try_from(rows.len()).unwrap_or(u64::MAX);
    }
}
