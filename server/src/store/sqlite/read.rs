//! Reading rows. Lists of keys are bound as one JSON array each, so that a whole upload is read by a few
//! statements, whatever its size.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::model::{ClientId, OpId, Stamp, TempId, Version};
use fieldsync::protocol::TrailHead;
use fieldsync::value::Sorted;
use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::super::page::Filling;
use super::super::rows::Conflict;
use super::super::{
    Found, Holdings, Origin, PageBounds, PageRow, PageRows, Receipt, Record, RecordKey, Scope, StoreError, TenantState, Wanted,
};
use super::{from_db, from_json, from_word, hash_from, id_from, id_text, json, to_db, unique};

pub(super) async fn tenant_state(db: &mut SqliteConnection, tenant: &str, issued: u64) -> Result<TenantState, StoreError> {
    let row = sqlx::query(
        "SELECT sequence, audit_number, audit_head, coalesce(backed_up, 0), coalesce(forgotten, 0) FROM tenants LEFT JOIN marks USING (tenant) WHERE tenant = ?1",
    )
    .bind(tenant)
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(TenantState { sequence: Version(issued), issued, ..TenantState::default() }) };
    Ok(TenantState {
        sequence: Version(from_db(row.try_get(0)?)?.max(issued)),
        audit_number: from_db(row.try_get(1)?)?,
        audit_head: hash_from(row.try_get(2)?)?,
        issued,
        backed_up: Version(from_db(row.try_get(3)?)?),
        forgotten: Version(from_db(row.try_get(4)?)?),
    })
}

pub(super) async fn holdings(db: &mut SqliteConnection, tenant: &str, client: &ClientId, issued: u64) -> Result<Holdings, StoreError> {
    let state = tenant_state(db, tenant, issued).await?;
    let receipts: i64 = sqlx::query_scalar("SELECT count(*) FROM receipts WHERE tenant = ?1 AND client = ?2")
        .bind(tenant)
        .bind(client.as_str())
        .fetch_one(&mut *db)
        .await?;
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM conflicts WHERE tenant = ?1 AND closed_by IS NULL")
        .bind(tenant)
        .fetch_one(&mut *db)
        .await?;
    Ok(Holdings { state, receipts: from_db(receipts)?, open_conflicts: from_db(open)?, trail: trail(db, tenant, client).await? })
}

/// How far there is the trail of a client.
async fn trail(db: &mut SqliteConnection, tenant: &str, client: &ClientId) -> Result<Option<TrailHead>, StoreError> {
    let row = sqlx::query("SELECT number, hash FROM trails WHERE tenant = ?1 AND client = ?2").bind(tenant).bind(client.as_str());
    let row = row.fetch_optional(db).await?;
    row.map(|row| Ok(TrailHead { through: from_db(row.try_get(0)?)?, head: hash_from(row.try_get(1)?)? })).transpose()
}

pub(super) async fn count_after(db: &mut SqliteConnection, tenant: &str, after: Version, scope: &Scope) -> Result<u64, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM records WHERE tenant = ?1 AND version > ?2 AND (?3 IS NULL OR entity IN (SELECT value FROM json_each(?3)))",
    )
    .bind(tenant)
    .bind(to_db(after.0)?)
    .bind(entities(scope)?)
    .fetch_one(db)
    .await?;
    from_db(count)
}

/// The entities of a scope as a list, or nothing where it leaves none out.
fn entities(scope: &Scope) -> Result<Option<String>, StoreError> {
    if scope.is_all() { Ok(None) } else { json(&scope.0).map(Some) }
}

pub(super) async fn page(
    db: &mut SqliteConnection,
    tenant: &str,
    client: &ClientId,
    after: Version,
    scope: &Scope,
    bounds: PageBounds,
    state: &TenantState,
) -> Result<PageRows, StoreError> {
    let mut page = Filling::new(bounds);
    let mut rest = fill(db, &mut page, tenant, client, after, None, scope).await?;
    if let Some(next) = rest {
        let group = group_at(db, tenant, next).await?;
        if let Some((after, last)) = page.cut(next, group) {
            rest = fill(db, &mut page, tenant, client, after, Some(last), scope).await?;
        }
    }
    Ok(page.finish(rest, state))
}

/// The group that begins at a version or last before it.
async fn group_at(db: &mut SqliteConnection, tenant: &str, version: Version) -> Result<Option<(Version, Version)>, StoreError> {
    let row = sqlx::query("SELECT first, last FROM change_groups WHERE tenant = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1")
        .bind(tenant)
        .bind(to_db(version.0)?)
        .fetch_optional(db)
        .await?;
    row.map(|row| Ok((Version(from_db(row.try_get(0)?)?), Version(from_db(row.try_get(1)?)?)))).transpose()
}

/// Puts what has room on a page, up to a version. Returns that of the first row that has none.
async fn fill(
    db: &mut SqliteConnection,
    page: &mut Filling,
    tenant: &str,
    client: &ClientId,
    after: Version,
    through: Option<Version>,
    scope: &Scope,
) -> Result<Option<Version>, StoreError> {
    // Rows come one by one: the statement is dropped where the page is full.
    let mut rows = sqlx::query(
        "SELECT entity, id, version, data, stamp_ms, stamp_n, field_stamps, origin_temp, origin_client FROM records
         WHERE tenant = ?1 AND version > ?2 AND (?4 IS NULL OR version <= ?4)
         AND (?3 IS NULL OR entity IN (SELECT value FROM json_each(?3))) ORDER BY version",
    )
    .bind(tenant)
    .bind(to_db(after.0)?)
    .bind(entities(scope)?)
    .bind(through.map(|through| to_db(through.0)).transpose()?)
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let born_here = row.try_get::<&str, _>(8)? == client.as_str();
        let row = PageRow {
            key: key_at(&row, 0)?,
            version: Version(from_db(row.try_get(2)?)?),
            data: row.try_get(3)?,
            stamp: stamp_at(&row, 4)?,
            field_stamps: field_stamps_at(&row, 6)?,
            born_as: if born_here { temp_at(&row, 7)? } else { None },
        };
        if let Err(next) = page.put(row) {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

pub(super) async fn load(db: &mut SqliteConnection, tenant: &str, client: &ClientId, wanted: &Wanted) -> Result<Found, StoreError> {
    let mut found = Found::default();
    if !wanted.receipts.is_empty() {
        let rows = sqlx::query(
            "SELECT operation, client, fingerprint, outcome, supersedes, request, received_ms, kept FROM receipts
             WHERE tenant = ?1 AND operation IN (SELECT value FROM json_each(?2))",
        );
        let rows = rows.bind(tenant).bind(json(&wanted.receipts)?).fetch_all(&mut *db).await?;
        found.receipts = rows.iter().map(receipt).collect::<Result<_, _>>()?;
    }
    if !wanted.successors.is_empty() {
        let rows = sqlx::query(
            "SELECT operation, client, fingerprint, outcome, supersedes, request, received_ms, kept FROM receipts
             WHERE tenant = ?1 AND supersedes IN (SELECT value FROM json_each(?2))",
        );
        let rows = rows.bind(tenant).bind(json(&wanted.successors)?).fetch_all(&mut *db).await?;
        found.successors = rows.iter().map(receipt).collect::<Result<_, _>>()?;
    }
    if !wanted.counted.is_empty() {
        let rows = sqlx::query("SELECT first FROM counted WHERE tenant = ?1 AND first IN (SELECT value FROM json_each(?2))");
        for row in rows.bind(tenant).bind(json(&wanted.counted)?).fetch_all(&mut *db).await? {
            found.counted.push(op_from(row.try_get(0)?)?);
        }
    }
    if !wanted.temps.is_empty() {
        let rows = sqlx::query("SELECT temp, entity, id FROM temp_ids WHERE tenant = ?1 AND temp IN (SELECT value FROM json_each(?2))");
        for row in rows.bind(tenant).bind(json(&wanted.temps)?).fetch_all(&mut *db).await? {
            let temp: String = row.try_get(0)?;
            let temp = TempId::parse(&temp).ok_or_else(|| StoreError::Unreadable("a temp ID".to_owned()))?;
            found.temps.push((temp, key_at(&row, 1)?));
        }
    }
    if !wanted.counters.is_empty() {
        let rows = sqlx::query("SELECT entity, last FROM counters WHERE tenant = ?1 AND entity IN (SELECT value FROM json_each(?2))");
        for row in rows.bind(tenant).bind(json(&wanted.counters)?).fetch_all(&mut *db).await? {
            found.counters.push((row.try_get(0)?, from_db(row.try_get(1)?)?));
        }
    }
    if wanted.trail {
        found.trail = trail(db, tenant, client).await?;
    }
    for (entity, ids) in by_entity(&wanted.records) {
        let rows = sqlx::query(
            "SELECT entity, id, version, data, stamp_ms, stamp_n, field_stamps, origin_temp, origin_client, origin_operation FROM records
             WHERE tenant = ?1 AND entity = ?2 AND id IN (SELECT value FROM json_each(?3))",
        );
        for row in rows.bind(tenant).bind(entity).bind(json(&ids)?).fetch_all(&mut *db).await? {
            found.records.push(record(&row)?);
        }
    }
    let there: BTreeSet<_> = found.records.iter().map(|record| record.key.clone()).collect();
    for (entity, ids) in by_entity(&wanted.records.difference(&there).cloned().collect()) {
        let rows =
            sqlx::query("SELECT entity, id FROM pruned WHERE tenant = ?1 AND entity = ?2 AND id IN (SELECT value FROM json_each(?3))");
        for row in rows.bind(tenant).bind(entity).bind(json(&ids)?).fetch_all(&mut *db).await? {
            found.pruned.push(key_at(&row, 0)?);
        }
    }
    conflicts(db, tenant, client, wanted, &mut found).await?;
    found.uniques = unique::holders(db, tenant, &wanted.uniques).await?;
    for key in &wanted.dependents {
        let rows = sqlx::query(
            "SELECT DISTINCT from_entity, from_id FROM refs WHERE tenant = ?1 AND to_entity = ?2 AND to_id = ?3
             AND NOT (from_entity = ?2 AND from_id = ?3) LIMIT ?4",
        );
        let cap = i64::try_from(Wanted::DEPENDENTS_MAX).unwrap_or(i64::MAX);
        for row in rows.bind(tenant).bind(&key.entity).bind(id_text(&key.id)).bind(cap).fetch_all(&mut *db).await? {
            found.dependents.push((key.clone(), key_at(&row, 0)?));
        }
    }
    Ok(found)
}

/// The open conflicts of a client over records, and conflicts by their names, whoever met them.
async fn conflicts(
    db: &mut SqliteConnection,
    tenant: &str,
    client: &ClientId,
    wanted: &Wanted,
    found: &mut Found,
) -> Result<(), StoreError> {
    for (entity, ids) in by_entity(&wanted.conflicts) {
        let rows = sqlx::query(
            "SELECT entity, id, conflict, client, operation, kind, version, opened_ms, closed_by, coalesce(offset_ms, 0)
             FROM conflicts LEFT JOIN conflict_offsets USING (tenant, conflict)
             WHERE tenant = ?1 AND entity = ?2 AND id IN (SELECT value FROM json_each(?3)) AND client = ?4 AND closed_by IS NULL",
        );
        for row in rows.bind(tenant).bind(entity).bind(json(&ids)?).bind(client.as_str()).fetch_all(&mut *db).await? {
            found.conflicts.push(conflict(&row)?);
        }
    }
    if !wanted.named.is_empty() {
        let rows = sqlx::query(
            "SELECT entity, id, conflict, client, operation, kind, version, opened_ms, closed_by, coalesce(offset_ms, 0), user_id
             FROM conflicts JOIN clients USING (tenant, client) LEFT JOIN conflict_offsets USING (tenant, conflict)
             WHERE tenant = ?1 AND conflict IN (SELECT value FROM json_each(?2))",
        );
        for row in rows.bind(tenant).bind(json(&wanted.named)?).fetch_all(&mut *db).await? {
            found.named.push((conflict(&row)?, row.try_get(10)?));
        }
    }
    Ok(())
}

fn by_entity(keys: &BTreeSet<RecordKey>) -> BTreeMap<&str, Vec<String>> {
    let mut grouped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in keys {
        grouped.entry(&key.entity).or_default().push(id_text(&key.id));
    }
    grouped
}

pub(super) fn key_at(row: &SqliteRow, at: usize) -> Result<RecordKey, StoreError> {
    Ok(RecordKey { entity: row.try_get(at)?, id: id_from(row.try_get(at + 1)?)? })
}

pub(super) fn stamp_at(row: &SqliteRow, at: usize) -> Result<Stamp, StoreError> {
    let n = u32::try_from(row.try_get::<i64, _>(at + 1)?).map_err(|_| StoreError::Unreadable("a stamp".to_owned()))?;
    Ok(Stamp { ms: from_db(row.try_get(at)?)?, n })
}

pub(super) fn field_stamps_at(row: &SqliteRow, at: usize) -> Result<Sorted<String, Stamp>, StoreError> {
    match row.try_get(at)? {
        "{}" => Ok(Sorted::new()),
        text => from_json(text),
    }
}

fn temp_at(row: &SqliteRow, at: usize) -> Result<Option<TempId>, StoreError> {
    let text: Option<&str> = row.try_get(at)?;
    text.map(|text| TempId::parse(text).ok_or_else(|| StoreError::Unreadable("a temp ID".to_owned()))).transpose()
}

fn op_from(text: &str) -> Result<OpId, StoreError> {
    OpId::parse(text).map_err(|_| StoreError::Unreadable("the ID of an operation".to_owned()))
}

fn client_from(text: &str) -> Result<ClientId, StoreError> {
    ClientId::parse(text).map_err(|_| StoreError::Unreadable("the ID of a client".to_owned()))
}

fn receipt(row: &SqliteRow) -> Result<Receipt, StoreError> {
    Ok(Receipt {
        operation: op_from(row.try_get(0)?)?,
        client: client_from(row.try_get(1)?)?,
        fingerprint: hash_from(row.try_get(2)?)?,
        outcome: from_json(row.try_get(3)?)?,
        supersedes: row.try_get::<Option<&str>, _>(4)?.map(op_from).transpose()?,
        request: row.try_get(5)?,
        received_ms: from_db(row.try_get(6)?)?,
        kept: row.try_get(7)?,
    })
}

fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    Ok(Record {
        key: key_at(row, 0)?,
        version: Version(from_db(row.try_get(2)?)?),
        data: row.try_get::<Option<&str>, _>(3)?.map(from_json).transpose()?,
        stamp: stamp_at(row, 4)?,
        field_stamps: field_stamps_at(row, 6)?,
        origin: Origin { client: client_from(row.try_get(8)?)?, temp: temp_at(row, 7)?, operation: op_from(row.try_get(9)?)? },
        // Only a list of conflicts shows it.
        before: None,
    })
}

pub(super) fn conflict(row: &SqliteRow) -> Result<Conflict, StoreError> {
    Ok(Conflict {
        key: key_at(row, 0)?,
        id: row.try_get(2)?,
        client: client_from(row.try_get(3)?)?,
        operation: op_from(row.try_get(4)?)?,
        kind: from_word(row.try_get(5)?)?,
        version: Version(from_db(row.try_get(6)?)?),
        opened_ms: from_db(row.try_get(7)?)?,
        closed_by: row.try_get::<Option<&str>, _>(8)?.map(op_from).transpose()?,
        offset_ms: row.try_get(9)?,
    })
}
