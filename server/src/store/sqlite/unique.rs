//! What records hold for themselves, one row for each constraint that a live record falls under: asked for its holders, written
//! with the records, and filled anew when a server starts. The constraints of the schema can be others than before then, and a
//! server that does not know them may have written since.

use std::collections::BTreeSet;

use fieldsync::schema::{Holding, Schema};
use fieldsync::value::Object;
use sqlx::{Row, SqliteConnection, SqlitePool};

use super::super::{RecordKey, StoreError, UniqueKey, WriteBatch};
use super::read::key_at;
use super::write::{forget, insert};
use super::{from_json, id_text};

/// Records that are looked at in one step.
const RECORDS_AT_ONCE: i64 = 500;

/// The live records that hold these.
pub(super) async fn holders(
    db: &mut SqliteConnection,
    tenant: &str,
    wanted: &BTreeSet<UniqueKey>,
) -> Result<Vec<(UniqueKey, RecordKey)>, StoreError> {
    let mut found = Vec::new();
    for unique in wanted {
        let Holding { name, values } = &unique.holding;
        let rows = sqlx::query("SELECT entity, id FROM uniques WHERE tenant = ?1 AND entity = ?2 AND name = ?3 AND held = ?4");
        for row in rows.bind(tenant).bind(&unique.entity).bind(name).bind(values).fetch_all(&mut *db).await? {
            found.push((unique.clone(), key_at(&row, 0)?));
        }
    }
    Ok(found)
}

/// Replaces what the written records hold for themselves.
pub(super) async fn replace(db: &mut SqliteConnection, tenant: &str, batch: &WriteBatch) -> Result<(), StoreError> {
    let of_them = "DELETE FROM uniques WHERE tenant = ?1 AND entity = ?2 AND id IN (SELECT value FROM json_each(?3))";
    forget(db, tenant, &batch.records, of_them).await?;
    hold(db, tenant, &batch.uniques).await
}

/// Notes what records hold for themselves.
async fn hold(db: &mut SqliteConnection, tenant: &str, held: &[(UniqueKey, RecordKey)]) -> Result<(), StoreError> {
    insert(db, "INSERT INTO uniques (tenant, entity, name, held, id) ", held, "", |row, (unique, key)| {
        row.push_bind(tenant.to_owned())
            .push_bind(unique.entity.clone())
            .push_bind(unique.holding.name.clone())
            .push_bind(unique.holding.values.clone())
            .push_bind(id_text(&key.id));
        Ok(())
    })
    .await
}

/// Fills the table anew for a schema.
pub(super) async fn fill(writer: &SqlitePool, schema: &Schema) -> Result<(), StoreError> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM uniques").execute(&mut *transaction).await?;
    for (entity, declared) in schema.entities.iter().filter(|(_, declared)| !declared.unique.is_empty()) {
        let mut last = 0_i64;
        loop {
            let rows = sqlx::query(
                "SELECT entity, id, tenant, data, rowid FROM records WHERE entity = ?1 AND deleted = 0 AND rowid > ?2 ORDER BY rowid LIMIT ?3",
            );
            let rows = rows.bind(entity).bind(last).bind(RECORDS_AT_ONCE).fetch_all(&mut *transaction).await?;
            let Some(end) = rows.last() else { break };
            last = end.try_get(4)?;
            for row in &rows {
                let data: Object = from_json(row.try_get(3)?)?;
                let key = key_at(row, 0)?;
                let held = declared.holdings(&data).into_iter();
                let held: Vec<_> = held.map(|holding| (UniqueKey { entity: entity.clone(), holding }, key.clone())).collect();
                hold(&mut transaction, row.try_get(2)?, &held).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}
