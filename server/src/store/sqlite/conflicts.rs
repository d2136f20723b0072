//! Reading conflicts with all that they are about, one row after the other, until the list is full.

use fieldsync::model::Version;
use fieldsync::protocol::ServerState;
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};

use super::super::conflicts::Listing;
use super::super::{ConflictFilter, ConflictRow, StoreError};
use super::read::{conflict, field_stamps_at, stamp_at};
use super::{from_db, from_json, id_text};

/// All but what the filter says.
const SELECT: &str = "SELECT conflicts.entity, conflicts.id, conflicts.conflict, conflicts.client, conflicts.operation, conflicts.kind,
    conflicts.version, conflicts.opened_ms, conflicts.closed_by, coalesce(conflict_offsets.offset_ms, 0),
    clients.user_id, receipts.kept, records.version, records.data, records.stamp_ms, records.stamp_n, records.field_stamps, buried.data
    FROM conflicts
    JOIN clients ON clients.tenant = conflicts.tenant AND clients.client = conflicts.client
    JOIN receipts ON receipts.tenant = conflicts.tenant AND receipts.operation = conflicts.operation AND receipts.kept IS NOT NULL
    LEFT JOIN conflict_offsets ON conflict_offsets.tenant = conflicts.tenant AND conflict_offsets.conflict = conflicts.conflict
    LEFT JOIN records ON records.tenant = conflicts.tenant AND records.entity = conflicts.entity AND records.id = conflicts.id
    LEFT JOIN buried ON buried.tenant = conflicts.tenant AND buried.entity = conflicts.entity AND buried.id = conflicts.id
    WHERE conflicts.tenant = ";

pub(super) async fn list(
    db: &mut SqliteConnection,
    tenant: &str,
    filter: &ConflictFilter,
    mut listing: Listing,
) -> Result<Listing, StoreError> {
    // Only what is asked stands in the statement, so that an index can serve it.
    let mut statement = QueryBuilder::<Sqlite>::new(SELECT);
    statement.push_bind(tenant.to_owned());
    if let Some(user) = &filter.user {
        statement.push(" AND conflicts.client IN (SELECT client FROM clients WHERE tenant = ").push_bind(tenant.to_owned());
        statement.push(" AND user_id = ").push_bind(user.clone()).push(")");
    }
    if let Some(client) = &filter.except {
        statement.push(" AND conflicts.client <> ").push_bind(client.to_string());
    }
    if let Some(entity) = &filter.entity {
        statement.push(" AND conflicts.entity = ").push_bind(entity.clone());
    }
    if let Some(id) = &filter.record {
        statement.push(" AND conflicts.id = ").push_bind(id_text(id));
    }
    match filter.open {
        Some(true) => _ = statement.push(" AND conflicts.closed_by IS NULL"),
        Some(false) => _ = statement.push(" AND conflicts.closed_by IS NOT NULL"),
        None => {}
    }
    if let Some(after) = &filter.after {
        statement.push(" AND conflicts.conflict > ").push_bind(after.clone());
    }
    statement.push(" ORDER BY conflicts.conflict");
    let mut rows = statement.build().fetch(db);
    while let Some(row) = rows.try_next().await? {
        if !listing.put(read(&row)?) {
            break;
        }
    }
    drop(rows);
    Ok(listing)
}

fn read(row: &SqliteRow) -> Result<ConflictRow, StoreError> {
    let server = match row.try_get::<Option<i64>, _>(12)? {
        Some(version) => Some(ServerState {
            version: Version(from_db(version)?),
            data: row.try_get::<Option<&str>, _>(13)?.map(from_json).transpose()?,
            stamp: stamp_at(row, 14)?,
            field_stamps: field_stamps_at(row, 16)?,
        }),
        None => None,
    };
    let before = row.try_get::<Option<&str>, _>(17)?.map(from_json).transpose()?;
    Ok(ConflictRow { conflict: conflict(row)?, user: row.try_get(10)?, operation: row.try_get(11)?, server, before })
}
