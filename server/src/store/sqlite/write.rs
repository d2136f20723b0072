//! Writing one batch: a few statements of many rows each, in an order that the foreign keys allow.

use std::collections::BTreeMap;

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::super::rows::Conflict;
use super::super::{AuditRow, ChangeRow, Receipt, Record, RecordKey, StoreError, WriteBatch};
use super::{id_text, json, to_db, unique, word};
use fieldsync::model::ClientId;
use fieldsync::schema::Reference;

/// Rows in one statement: with the widest table far below SQLite's 32,766 bound values.
const ROWS_MAX: usize = 500;

type Values<'q, 's> = Separated<'q, Sqlite, &'s str>;

pub(super) async fn batch(db: &mut SqliteConnection, tenant: &str, client: &ClientId, batch: &WriteBatch) -> Result<(), StoreError> {
    tenant_state(db, tenant, batch).await?;
    records(db, tenant, &batch.records).await?;
    references(db, tenant, &batch.records).await?;
    unique::replace(db, tenant, batch).await?;
    insert(
        db,
        "INSERT INTO counters (tenant, entity, last) ",
        &batch.counters,
        " ON CONFLICT (tenant, entity) DO UPDATE SET last = excluded.last",
        |row, (entity, last)| {
            row.push_bind(tenant.to_owned()).push_bind(entity.clone()).push_bind(to_db(*last)?);
            Ok(())
        },
    )
    .await?;
    insert(db, "INSERT INTO temp_ids (tenant, temp, entity, id) ", &batch.temps, "", |row, (temp, key)| {
        row.push_bind(tenant.to_owned()).push_bind(temp.to_string()).push_bind(key.entity.clone()).push_bind(id_text(&key.id));
        Ok(())
    })
    .await?;
    receipts(db, tenant, &batch.receipts).await?;
    insert(db, "INSERT INTO counted (tenant, first) ", &batch.counted, " ON CONFLICT (tenant, first) DO NOTHING", |row, first| {
        row.push_bind(tenant.to_owned()).push_bind(first.to_string());
        Ok(())
    })
    .await?;
    changes(db, tenant, &batch.changes).await?;
    insert(db, "INSERT INTO change_groups (tenant, first, last) ", &batch.groups, "", |row, (first, last)| {
        row.push_bind(tenant.to_owned()).push_bind(to_db(first.0)?).push_bind(to_db(last.0)?);
        Ok(())
    })
    .await?;
    conflicts(db, tenant, &batch.conflicts).await?;
    insert(db, "INSERT INTO audit (tenant, number, content, hash) ", &batch.audit, "", |row, audit: &AuditRow| {
        row.push_bind(tenant.to_owned()).push_bind(to_db(audit.number)?).push_bind(audit.content.clone()).push_bind(audit.hash.to_string());
        Ok(())
    })
    .await?;
    insert(
        db,
        "INSERT INTO trails (tenant, client, number, hash) ",
        batch.trail.as_slice(),
        " ON CONFLICT (tenant, client) DO UPDATE SET number = excluded.number, hash = excluded.hash",
        |row, trail| {
            row.push_bind(tenant.to_owned())
                .push_bind(client.to_string())
                .push_bind(to_db(trail.through)?)
                .push_bind(trail.head.to_string());
            Ok(())
        },
    )
    .await
}

/// Inserts all rows, `ROWS_MAX` to a statement.
pub(super) async fn insert<T: Sync>(
    db: &mut SqliteConnection,
    head: &'static str,
    rows: &[T],
    tail: &'static str,
    bind: impl Fn(&mut Values<'_, '_>, &T) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for chunk in rows.chunks(ROWS_MAX) {
        let mut statement = QueryBuilder::<Sqlite>::new(head);
        let mut outcome = Ok(());
        statement.push_values(chunk, |mut values, row| {
            if outcome.is_ok() {
                outcome = bind(&mut values, row);
            }
        });
        outcome?;
        statement.push(tail);
        // Full chunks have one text and stay prepared; the last one differs from batch to batch.
        statement.build().persistent(chunk.len() == ROWS_MAX).execute(&mut *db).await?;
    }
    Ok(())
}

async fn tenant_state(db: &mut SqliteConnection, tenant: &str, batch: &WriteBatch) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO tenants (tenant, sequence, audit_number, audit_head) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant) DO UPDATE SET sequence = excluded.sequence, audit_number = excluded.audit_number, audit_head = excluded.audit_head",
    )
    .bind(tenant)
    .bind(to_db(batch.state.sequence.0)?)
    .bind(to_db(batch.state.audit_number)?)
    .bind(batch.state.audit_head.as_str())
    .execute(db)
    .await?;
    Ok(())
}

async fn records(db: &mut SqliteConnection, tenant: &str, records: &[(Record, Vec<Reference>)]) -> Result<(), StoreError> {
    insert(
        db,
        "INSERT INTO records (tenant, entity, id, version, deleted, data, stamp_ms, stamp_n, field_stamps, origin_client, origin_temp, origin_operation) ",
        records,
        " ON CONFLICT (tenant, entity, id) DO UPDATE SET version = excluded.version, deleted = excluded.deleted, data = excluded.data,
         stamp_ms = excluded.stamp_ms, stamp_n = excluded.stamp_n, field_stamps = excluded.field_stamps",
        |row, (record, _)| {
            row.push_bind(tenant.to_owned())
                .push_bind(record.key.entity.clone())
                .push_bind(id_text(&record.key.id))
                .push_bind(to_db(record.version.0)?)
                .push_bind(i64::from(record.data.is_none()))
                .push_bind(record.data.as_ref().map(json).transpose()?)
                .push_bind(to_db(record.stamp.ms)?)
                .push_bind(i64::from(record.stamp.n))
                .push_bind(json(&record.field_stamps)?)
                .push_bind(record.origin.client.to_string())
                .push_bind(record.origin.temp.as_ref().map(ToString::to_string))
                .push_bind(record.origin.operation.to_string());
            Ok(())
        },
    )
    .await?;
    let buried: Vec<_> = records.iter().filter_map(|(record, _)| Some((&record.key, record.before.as_ref()?))).collect();
    let tail = " ON CONFLICT (tenant, entity, id) DO UPDATE SET data = excluded.data";
    insert(db, "INSERT INTO buried (tenant, entity, id, data) ", &buried, tail, |row, (key, data)| {
        row.push_bind(tenant.to_owned()).push_bind(key.entity.clone()).push_bind(id_text(&key.id)).push_bind(json(data)?);
        Ok(())
    })
    .await
}

/// Deletes what a table has of the written records, by a statement that takes the tenant, an entity and a list of IDs.
pub(super) async fn forget(
    db: &mut SqliteConnection,
    tenant: &str,
    records: &[(Record, Vec<Reference>)],
    statement: &'static str,
) -> Result<(), StoreError> {
    let mut by_entity: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (record, _) in records {
        by_entity.entry(&record.key.entity).or_default().push(id_text(&record.key.id));
    }
    for (entity, ids) in by_entity {
        sqlx::query(statement).bind(tenant).bind(entity).bind(json(&ids)?).execute(&mut *db).await?;
    }
    Ok(())
}

/// Replaces what the written records refer to.
async fn references(db: &mut SqliteConnection, tenant: &str, records: &[(Record, Vec<Reference>)]) -> Result<(), StoreError> {
    let of_them = "DELETE FROM refs WHERE tenant = ?1 AND from_entity = ?2 AND from_id IN (SELECT value FROM json_each(?3))";
    forget(db, tenant, records, of_them).await?;
    let mut rows: Vec<(&RecordKey, &Reference)> = Vec::new();
    for (record, references) in records {
        rows.extend(references.iter().map(|reference| (&record.key, reference)));
    }
    // A list may hold the same ID twice; the row says only that it is referred to.
    rows.sort_unstable();
    rows.dedup();
    insert(db, "INSERT INTO refs (tenant, from_entity, from_id, path, to_entity, to_id) ", &rows, "", |row, (from, to)| {
        row.push_bind(tenant.to_owned())
            .push_bind(from.entity.clone())
            .push_bind(id_text(&from.id))
            .push_bind(to.path.clone())
            .push_bind(to.entity.clone())
            .push_bind(id_text(&to.id));
        Ok(())
    })
    .await
}

async fn receipts(db: &mut SqliteConnection, tenant: &str, receipts: &[Receipt]) -> Result<(), StoreError> {
    insert(
        db,
        "INSERT INTO receipts (tenant, operation, client, fingerprint, outcome, supersedes, request, received_ms, kept) ",
        receipts,
        "",
        |row, receipt| {
            row.push_bind(tenant.to_owned())
                .push_bind(receipt.operation.to_string())
                .push_bind(receipt.client.to_string())
                .push_bind(receipt.fingerprint.to_string())
                .push_bind(json(&receipt.outcome)?)
                .push_bind(receipt.supersedes.as_ref().map(ToString::to_string))
                .push_bind(receipt.request.clone())
                .push_bind(to_db(receipt.received_ms)?)
                .push_bind(receipt.kept.clone());
            Ok(())
        },
    )
    .await
}

async fn changes(db: &mut SqliteConnection, tenant: &str, changes: &[ChangeRow]) -> Result<(), StoreError> {
    insert(
        db,
        "INSERT INTO changes (tenant, version, entity, id, operation, kind, client, user_id, stamp_ms, stamp_n, request, received_ms) ",
        changes,
        "",
        |row, change| {
            row.push_bind(tenant.to_owned())
                .push_bind(to_db(change.version.0)?)
                .push_bind(change.key.entity.clone())
                .push_bind(id_text(&change.key.id))
                .push_bind(change.operation.to_string())
                .push_bind(word(&change.kind)?)
                .push_bind(change.client.to_string())
                .push_bind(change.user.clone())
                .push_bind(to_db(change.stamp.ms)?)
                .push_bind(i64::from(change.stamp.n))
                .push_bind(change.request.clone())
                .push_bind(to_db(change.received_ms)?);
            Ok(())
        },
    )
    .await
}

async fn conflicts(db: &mut SqliteConnection, tenant: &str, conflicts: &[Conflict]) -> Result<(), StoreError> {
    insert(
        db,
        "INSERT INTO conflicts (tenant, conflict, entity, id, client, operation, kind, version, opened_ms, closed_by) ",
        conflicts,
        " ON CONFLICT (tenant, conflict) DO UPDATE SET operation = excluded.operation, kind = excluded.kind, version = excluded.version,
         closed_by = excluded.closed_by",
        |row, conflict| {
            row.push_bind(tenant.to_owned())
                .push_bind(conflict.id.clone())
                .push_bind(conflict.key.entity.clone())
                .push_bind(id_text(&conflict.key.id))
                .push_bind(conflict.client.to_string())
                .push_bind(conflict.operation.to_string())
                .push_bind(word(&conflict.kind)?)
                .push_bind(to_db(conflict.version.0)?)
                .push_bind(to_db(conflict.opened_ms)?)
                .push_bind(conflict.closed_by.as_ref().map(ToString::to_string));
            Ok(())
        },
    )
    .await?;
    insert(
        db,
        "INSERT INTO conflict_offsets (tenant, conflict, offset_ms) ",
        conflicts,
        " ON CONFLICT (tenant, conflict) DO UPDATE SET offset_ms = excluded.offset_ms",
        |row, conflict| {
            row.push_bind(tenant.to_owned()).push_bind(conflict.id.clone()).push_bind(conflict.offset_ms);
            Ok(())
        },
    )
    .await
}
