//! What records hold for themselves, filled anew: the constraints of the schema can be others than before, and a server that
//! does not know them may have written since.

use fieldsync::schema::Schema;
use fieldsync::value::Object;
use sqlx::{Row, SqlitePool};

use super::super::{StoreError, UniqueKey};
use super::read::key_at;
use super::{from_json, write};

/// Records that are looked at in one step.
const RECORDS_AT_ONCE: i64 = 500;

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
                write::hold(&mut transaction, row.try_get(2)?, &held).await?;
            }
        }
    }
    Ok(transaction.commit().await?)
}
