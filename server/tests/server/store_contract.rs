//! The contract of the store itself, below everything that decides.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use fieldsync::model::{ClientId, Kind, OpId, RecordId, Stamp, TempId, Version};
use fieldsync::protocol::{ConflictKind, Outcome, TrailHead, limits};
use fieldsync::schema::{Holding, Reference};
use fieldsync::value::hash_bytes;
use fieldsync_server::store::sqlite::{Setting, SqliteStore};
use fieldsync_server::store::{
    AuditRow, ChangeRow, Conflict, ConflictFilter, ConflictRow, Origin, PageBounds, Receipt, Record, RecordKey, Scope, ServerStore,
    StoreError, TenantState, UniqueKey, UploadTransaction, Wanted, WriteBatch,
};
use serde_json::json;

use crate::world::{Failure, Folder, Told, World, epoch, on_both_stores, op};

on_both_stores!(
    a_transaction_that_is_dropped_leaves_no_trace,
    what_is_committed_is_found_by_every_key,
    a_conflict_is_found_by_all_that_it_is_about,
    only_one_transaction_of_a_tenant_lives_at_a_time,
    a_client_belongs_to_its_first_user,
    a_group_that_is_larger_than_a_page_may_be_is_split_and_comes_whole,
);

const PAGE: PageBounds = PageBounds { records_max: 100, bytes_max: 1_000_000 };

fn client(number: u64) -> Result<ClientId, Failure> {
    Ok(ClientId::parse(&format!("0190a1b2-0000-7000-9000-{number:012}"))?)
}

fn operation(number: u64) -> Result<OpId, Failure> {
    Ok(OpId::parse(&op(number))?)
}

fn temp() -> Result<TempId, Failure> {
    Ok(TempId::parse("temp_1_a_client").ok_or("a temp ID")?)
}

fn key(id: i64) -> RecordKey {
    RecordKey { entity: "client".to_owned(), id: RecordId::Integer(id) }
}

fn unique(values: &str) -> UniqueKey {
    UniqueKey { entity: "client".to_owned(), holding: Holding { name: "[s]".to_owned(), values: values.to_owned() } }
}

fn conflict() -> Result<Conflict, Failure> {
    Ok(Conflict {
        id: "c".to_owned(),
        key: key(1),
        client: client(1)?,
        operation: operation(2)?,
        kind: ConflictKind::DeleteUpdate,
        version: Version(1),
        opened_ms: 9,
        offset_ms: -7,
        closed_by: None,
    })
}

/// A batch that writes a row of every kind.
fn batch() -> Result<WriteBatch, Failure> {
    let record = |id: i64, version: u64| -> Result<Record, Failure> {
        Ok(Record {
            key: key(id),
            version: Version(version),
            data: json!({"n": id, "s": "é\u{1f600}"}).as_object().cloned(),
            stamp: Stamp { ms: 5, n: 6 },
            field_stamps: fieldsync::value::Sorted::from([("n".to_owned(), Stamp { ms: 7, n: 8 })]),
            origin: Origin { client: client(1)?, temp: Some(temp()?), operation: operation(1)? },
            before: None,
        })
    };
    let reference = Reference { path: "friend".to_owned(), entity: "client".to_owned(), id: RecordId::Integer(1) };
    let receipt = Receipt {
        operation: operation(2)?,
        client: client(1)?,
        fingerprint: hash_bytes(b"x"),
        outcome: Outcome::Applied { real_id: RecordId::Integer(1), version: Version(1), stamp: Stamp { ms: 5, n: 6 }, rests_on: None },
        supersedes: Some(operation(1)?),
        request: "r".to_owned(),
        received_ms: 9,
        kept: Some("{}".to_owned()),
    };
    let change = ChangeRow {
        version: Version(1),
        key: key(1),
        operation: operation(2)?,
        kind: Kind::Create,
        client: client(1)?,
        user: "anna".to_owned(),
        stamp: Stamp { ms: 5, n: 6 },
        request: "r".to_owned(),
        received_ms: 9,
    };
    let audit = AuditRow { number: 1, content: "{}".to_owned(), hash: hash_bytes(b"y") };
    Ok(WriteBatch {
        state: TenantState { sequence: Version(2), audit_number: 1, audit_head: hash_bytes(b"y"), ..TenantState::default() },
        records: vec![(record(1, 1)?, Vec::new()), (record(2, 2)?, vec![reference.clone(), reference])],
        uniques: vec![(unique("a"), key(1)), (unique("b"), key(2))],
        temps: vec![(temp()?, key(1))],
        counters: vec![("client".to_owned(), 2)],
        receipts: vec![receipt],
        counted: vec![operation(1)?],
        changes: vec![change],
        groups: vec![(Version(1), Version(2))],
        conflicts: vec![conflict()?],
        audit: vec![audit],
        trail: Some(TrailHead { through: 7, head: hash_bytes(b"t") }),
    })
}

fn everything() -> Result<Wanted, Failure> {
    Ok(Wanted {
        receipts: [operation(2)?].into(),
        successors: [operation(1)?].into(),
        counted: [operation(1)?, operation(2)?].into(),
        temps: [temp()?].into(),
        records: [key(1), key(2), key(3)].into(),
        counters: ["client".to_owned()].into(),
        dependents: [key(1), key(2)].into(),
        uniques: [unique("a"), unique("b"), unique("c")].into(),
        conflicts: [key(1)].into(),
        named: ["c".to_owned(), "d".to_owned()].into(),
        trail: true,
    })
}

async fn a_transaction_that_is_dropped_leaves_no_trace<S: ServerStore>(world: World<S>) -> Told {
    let store = world.service.store();
    let mut transaction = store.begin("north", &client(1)?).await?;
    transaction.load(&everything()?).await?;
    drop(transaction);
    let mut next = store.begin("north", &client(1)?).await?;
    let found = next.load(&everything()?).await?;
    assert!(found.records.is_empty() && found.receipts.is_empty() && found.temps.is_empty());
    assert_eq!(next.state(), &TenantState::default());
    Ok(())
}

async fn what_is_committed_is_found_by_every_key<S: ServerStore>(world: World<S>) -> Told {
    let store = world.service.store();
    assert_eq!(store.owner("north", &client(1)?, "anna", 1).await?, "anna");
    store.begin("north", &client(1)?).await?.commit(batch()?).await?;
    let mut transaction = store.begin("north", &client(1)?).await?;
    assert_eq!(transaction.state(), &batch()?.state);
    let found = transaction.load(&everything()?).await?;
    let written = batch()?;
    assert_eq!(found.records, written.records.iter().map(|(record, _)| record.clone()).collect::<Vec<_>>());
    assert_eq!(found.receipts, written.receipts);
    assert_eq!(found.successors, written.receipts);
    assert_eq!(found.counted, written.counted);
    assert_eq!(found.temps, written.temps);
    assert_eq!(found.counters, written.counters);
    assert_eq!(found.dependents, [(key(1), key(2))]);
    assert_eq!(found.uniques, written.uniques);
    assert_eq!(found.conflicts, [conflict()?]);
    assert_eq!(found.named, [(conflict()?, "anna".to_owned())]);
    assert_eq!(found.trail, written.trail);
    drop(transaction);
    let found = store.begin("north", &client(2)?).await?.load(&everything()?).await?;
    assert_eq!(found.trail, None, "it is the trail of a client");
    // A database holds many tenants; none sees another's rows.
    let mut foreign = store.begin("south", &client(1)?).await?;
    let found = foreign.load(&everything()?).await?;
    assert!(found.records.is_empty() && found.receipts.is_empty() && found.successors.is_empty() && found.temps.is_empty());
    assert!(found.counters.is_empty() && found.dependents.is_empty() && found.conflicts.is_empty() && found.named.is_empty());
    assert!(found.counted.is_empty() && found.uniques.is_empty() && found.trail.is_none());
    drop(foreign);
    assert_eq!(store.page("north", &client(1)?, Version(0), &Scope::default(), PAGE).await?.rows.len(), 2);
    assert_eq!(store.page("south", &client(1)?, Version(0), &Scope::default(), PAGE).await?.rows.len(), 0);
    let all = Scope::default();
    assert_eq!((store.count_after("north", Version(1), &all).await?, store.count_after("south", Version(0), &all).await?), (1, 0));
    Ok(())
}

async fn a_conflict_is_found_by_all_that_it_is_about<S: ServerStore>(world: World<S>) -> Told {
    let store = world.service.store();
    assert_eq!(store.owner("north", &client(1)?, "anna", 1).await?, "anna");
    store.begin("north", &client(1)?).await?.commit(batch()?).await?;
    let all = ConflictFilter::default();
    let found = store.conflicts("north", &all, PAGE).await?;
    let row = ConflictRow {
        conflict: conflict()?,
        user: "anna".to_owned(),
        operation: "{}".to_owned(),
        server: batch()?.records.first().map(|(record, _)| record.state()),
        before: None,
    };
    assert_eq!((found.rows, found.complete, found.state), (vec![row], true, batch()?.state));
    let named = |name: &str| Some(name.to_owned());
    for (filter, count) in [
        (ConflictFilter { user: named("anna"), entity: named("client"), record: Some(key(1).id), open: Some(true), ..all.clone() }, 1),
        (ConflictFilter { after: named("b"), ..all.clone() }, 1),
        (ConflictFilter { after: named("c"), ..all.clone() }, 0),
        (ConflictFilter { user: named("ben"), ..all.clone() }, 0),
        (ConflictFilter { entity: named("pet"), ..all.clone() }, 0),
        (ConflictFilter { record: Some(key(2).id), ..all.clone() }, 0),
        (ConflictFilter { open: Some(false), ..all.clone() }, 0),
    ] {
        assert_eq!(store.conflicts("north", &filter, PAGE).await?.rows.len(), count, "{filter:?}");
    }
    assert_eq!(store.conflicts("south", &all, PAGE).await?.rows.len(), 0);
    let closed = Conflict { closed_by: Some(operation(3)?), ..conflict()? };
    let later = WriteBatch { state: batch()?.state, conflicts: vec![closed.clone()], ..WriteBatch::default() };
    store.begin("north", &client(1)?).await?.commit(later).await?;
    let found = store.conflicts("north", &ConflictFilter { open: Some(false), ..all }, PAGE).await?;
    assert_eq!(found.rows.iter().map(|row| &row.conflict).collect::<Vec<_>>(), [&closed]);
    Ok(())
}

async fn only_one_transaction_of_a_tenant_lives_at_a_time<S: ServerStore>(world: World<S>) -> Told {
    let store = world.service.store();
    let first = store.begin("north", &client(1)?).await?;
    let client = client(2)?;
    let mut second = Box::pin(store.begin("north", &client));
    assert!(matches!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending), "it waits for its turn");
    first.commit(batch()?).await?;
    assert_eq!(second.await?.state().sequence, Version(2), "and then sees what the first one did");
    Ok(())
}

async fn a_client_belongs_to_its_first_user<S: ServerStore>(world: World<S>) -> Told {
    let store = world.service.store();
    assert_eq!(store.owner("north", &client(1)?, "anna", 1).await?, "anna");
    assert_eq!(store.owner("north", &client(1)?, "ben", 2).await?, "anna");
    assert_eq!(store.owner("north", &client(1)?, "anna", 3).await?, "anna");
    assert_eq!(store.owner("south", &client(1)?, "ben", 4).await?, "ben");
    Ok(())
}

async fn a_group_that_is_larger_than_a_page_may_be_is_split_and_comes_whole<S: ServerStore>(world: World<S>) -> Told {
    let (store, all) = (world.service.store(), Scope::default());
    let sample = batch()?.records.remove(0).0;
    let text = "x".repeat(limits::PAGE_EXCESS_BYTES_MAX / 2 - 1_000);
    let data = json!({"text": text}).as_object().cloned();
    let record = |version: u64| Record { key: key(version as i64), version: Version(version), data: data.clone(), ..sample.clone() };
    store
        .begin("north", &client(1)?)
        .await?
        .commit(WriteBatch {
            state: TenantState { sequence: Version(6), ..batch()?.state },
            records: (1..=6).map(|version| (record(version), Vec::new())).collect(),
            groups: vec![(Version(2), Version(5))],
            ..batch()?
        })
        .await?;
    let bounds = PageBounds { records_max: 100, bytes_max: 10 };
    let (mut after, mut pages) = (Version(0), Vec::new());
    loop {
        let page = store.page("north", &client(1)?, after, &all, bounds).await?;
        after = page.rows.last().map(|row| row.version).ok_or("a page has a row at least")?;
        pages.push(page.rows.iter().map(|row| row.version.0).collect::<Vec<_>>());
        if page.complete {
            break;
        }
    }
    assert_eq!(pages, [vec![1], vec![2, 3], vec![4, 5], vec![6]]);
    Ok(())
}

#[tokio::test]
async fn a_commit_is_flushed_before_it_returns() -> Told {
    let folder = Folder::new()?;
    let store = SqliteStore::open(&folder.file("a.sqlite"), epoch()?).await?;
    assert_eq!(store.pragma(Setting::Synchronous).await?, "2", "FULL");
    assert_eq!(store.pragma(Setting::JournalMode).await?, "wal");
    assert_eq!(store.pragma(Setting::ForeignKeys).await?, "1");
    let memory = SqliteStore::open(":memory:", epoch()?).await?;
    memory.begin("north", &client(1)?).await?.commit(batch()?).await?;
    assert_eq!(memory.page("north", &client(1)?, Version(0), &Scope::default(), PAGE).await?.rows.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_file_keeps_its_lineage_and_its_rows() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("a.sqlite");
    let store = SqliteStore::open(&file, epoch()?).await?;
    store.begin("north", &client(1)?).await?.commit(batch()?).await?;
    store.close().await;
    let other = fieldsync::model::Epoch::parse("0190a1b2-0000-7000-8000-0000000000e1")?;
    let store = SqliteStore::open(&file, other).await?;
    assert_eq!(store.epoch(), &epoch()?);
    assert_eq!(store.begin("north", &client(1)?).await?.state(), &batch()?.state);
    Ok(())
}

#[tokio::test]
async fn change_and_audit_rows_cannot_be_changed_and_two_receipts_cannot_be_written() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("a.sqlite");
    let store = SqliteStore::open(&file, epoch()?).await?;
    store.begin("north", &client(1)?).await?.commit(batch()?).await?;
    let again = store.begin("north", &client(1)?).await?.commit(batch()?).await;
    assert!(matches!(again, Err(StoreError::Failed(_))), "{again:?}");
    let raw = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await?;
    for statement in [
        "UPDATE changes SET user_id = 'eve'",
        "DELETE FROM changes",
        "UPDATE audit SET content = ''",
        "DELETE FROM audit",
        "DELETE FROM records WHERE id = '1'",
    ] {
        assert!(sqlx::raw_sql(statement).execute(&raw).await.is_err(), "{statement}");
    }
    raw.close().await;
    Ok(())
}

#[tokio::test]
async fn another_process_that_holds_the_file_makes_the_store_busy() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("a.sqlite");
    let store = SqliteStore::open(&file, epoch()?).await?;
    let other = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await?;
    let held = other.begin_with("BEGIN IMMEDIATE").await?;
    assert!(matches!(store.begin("north", &client(1)?).await, Err(StoreError::Busy)));
    held.rollback().await?;
    assert!(store.begin("north", &client(1)?).await.is_ok());
    other.close().await;
    Ok(())
}
