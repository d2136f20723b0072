//! Hard days of IndexedDB: what a browser does to a database that is open, and what it says when nothing works. Each ends
//! in a typed error, or goes on by itself; nothing is reported saved that is not stored. What the browser does is played
//! here by changing what it gives to scripts, so that every engine does it at will.

use std::cell::Cell;
use std::rc::Rc;

use fieldsync::plan::{Plan, Read, Row, Step, Table, View, Write};
use fieldsync::store::indexeddb::IndexedDbStore;
use fieldsync::store::{Durability, Store, StoreError};
use futures_util::future::join;
use wasm_bindgen::prelude::*;

use crate::indexeddb::{open, unique};

cases! {
    "a_newer_app_is_not_blocked_and_makes_this_context_outdated" => newer_app(),
    "a_connection_that_was_closed_is_opened_again" => closed(false),
    "a_connection_that_says_it_closes_is_opened_again" => closed(true),
    "an_aborted_commit_is_an_error_and_leaves_nothing" => aborted(),
    "a_full_disk_is_named_at_a_write_and_leaves_nothing" => full(refuse_puts),
    "a_full_disk_is_named_at_the_commit_and_leaves_nothing" => full(fill_at_commit),
    "a_database_that_cannot_be_opened_says_why_and_opens_later" => not_opened(),
    "a_database_of_which_only_one_connection_opens_is_let_go" => half_opened(),
    "a_database_that_is_closed_in_the_middle_of_a_read_is_let_go_after_it" => closed_in_a_read(),
    "a_database_that_nobody_may_open_says_so" => without(forbid_opens, Some("SecurityError")),
    "a_browser_without_indexeddb_says_so" => without(hide, None),
}

#[wasm_bindgen(inline_js = r#"
const factory = IDBFactory.prototype;
const plain = { open: factory.open, commit: IDBTransaction.prototype.commit, put: IDBObjectStore.prototype.put };
/** A window has it itself, a worker inherits it. */
const own = Object.getOwnPropertyDescriptor(globalThis, 'indexedDB');
let opened = [];
/** From now on every connection is known. */
export function collect() {
  opened = [];
  factory.open = function (...args) {
    const request = plain.open.apply(this, args);
    request.addEventListener('success', () => opened.push(request.result));
    return request;
  };
}
/** Closes them as a browser does that lost its backend; it can say so, or not. */
export function closeAll(say) {
  for (const database of opened.splice(0)) {
    database.close();
    if (say) database.dispatchEvent(new Event('close'));
  }
}
export function abortCommits() { IDBTransaction.prototype.commit = function () { this.abort(); }; }
export function refusePuts() {
  IDBObjectStore.prototype.put = () => { throw new DOMException('no room', 'QuotaExceededError'); };
}
/** A commit that finds the disk full only at its end. */
export function fillAtCommit() {
  IDBTransaction.prototype.commit = function () {
    Object.defineProperty(this, 'error', { value: new DOMException('no room', 'QuotaExceededError') });
    this.abort();
  };
}
/**
 * Opens fail as a broken backend has them fail, by an open that the browser refuses, under the name of that: every one, or
 * all but the first.
 */
export async function failOpens(first) {
  const broken = `broken/${Math.random()}`;
  await upgrade(broken);
  factory.open = function (...args) {
    if (first) {
      first = false;
      return plain.open.apply(this, args);
    }
    const request = plain.open.call(this, broken, 1);
    Object.defineProperty(request, 'error', { value: new DOMException('backing store', 'UnknownError') });
    return request;
  };
}
export function forbidOpens() {
  factory.open = () => { throw new DOMException('not here', 'SecurityError'); };
}
export function hide() { Object.defineProperty(globalThis, 'indexedDB', { value: undefined, configurable: true }); }
export function restore() {
  factory.open = plain.open;
  IDBTransaction.prototype.commit = plain.commit;
  IDBObjectStore.prototype.put = plain.put;
  if (own) Object.defineProperty(globalThis, 'indexedDB', own);
  else delete globalThis.indexedDB;
}
/** A newer app opens a later layout; tells whether somebody kept it waiting. */
export function upgrade(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 99);
    let blocked = false;
    request.onblocked = () => { blocked = true; };
    request.onerror = () => reject(request.error);
    request.onsuccess = () => { request.result.close(); resolve(blocked); };
  });
}
"#)]
extern "C" {
    fn collect();
    #[wasm_bindgen(js_name = closeAll)]
    fn close_all(say: bool);
    #[wasm_bindgen(js_name = abortCommits)]
    fn abort_commits();
    #[wasm_bindgen(js_name = fillAtCommit)]
    fn fill_at_commit();
    #[wasm_bindgen(js_name = refusePuts)]
    fn refuse_puts();
    #[wasm_bindgen(js_name = failOpens, catch)]
    async fn fail_opens(first: bool) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_name = forbidOpens)]
    fn forbid_opens();
    fn hide();
    fn restore();
    #[wasm_bindgen(catch)]
    async fn upgrade(name: &str) -> Result<JsValue, JsValue>;
}

/// Writes one row.
#[derive(Clone)]
struct Put(&'static str);

impl Plan for Put {
    type Out = ();
    fn step(&mut self, _: &View) -> Step<()> {
        Step::Done(vec![Write::Put(Table::State, Row { key: self.0.into(), text: "1".to_owned(), index: Vec::new() })], ())
    }
}

/// Whether a row is there.
#[derive(Clone)]
struct Has(&'static str, bool);

impl Plan for Has {
    type Out = bool;
    fn step(&mut self, seen: &View) -> Step<bool> {
        if std::mem::replace(&mut self.1, true) {
            return Step::Done(Vec::new(), seen.row(0).is_some());
        }
        Step::Read(vec![Read::Get(Table::State, self.0.into())])
    }
}

async fn put(store: &IndexedDbStore, key: &'static str) -> Result<(), StoreError> {
    store.transact(Durability::Strict, Put(key)).await
}

async fn has(store: &IndexedDbStore, key: &'static str) -> Result<bool, StoreError> {
    store.read(Has(key, false)).await
}

async fn newer_app() {
    let name = unique();
    let told = Rc::new(Cell::new(0));
    let tell = told.clone();
    let store = IndexedDbStore::open(&name, move || tell.set(tell.get() + 1)).await.expect("opens");
    assert_eq!(put(&store, "a").await, Ok(()));
    let blocked = upgrade(&name).await.expect("it is upgraded");
    assert_eq!((blocked.as_bool(), told.get()), (Some(false), 1), "the old context let go, and says so once");
    assert_eq!((put(&store, "b").await, has(&store, "a").await), (Err(StoreError::Outdated), Err(StoreError::Outdated)));
}

async fn closed(say: bool) {
    collect();
    let store = open(&unique()).await;
    assert_eq!(put(&store, "a").await, Ok(()));
    close_all(say);
    assert_eq!((put(&store, "b").await, has(&store, "a").await), (Ok(()), Ok(true)), "a write notices it first");
    close_all(say);
    assert_eq!((has(&store, "b").await, put(&store, "c").await), (Ok(true), Ok(())), "a read notices it first");
    restore();
    store.close();
}

async fn aborted() {
    let store = open(&unique()).await;
    abort_commits();
    let saved = put(&store, "a").await;
    restore();
    assert!(matches!(saved, Err(StoreError::Aborted { .. })), "{saved:?}");
    assert_eq!((has(&store, "a").await, put(&store, "a").await, has(&store, "a").await), (Ok(false), Ok(()), Ok(true)));
    store.close();
}

async fn full(fill: fn()) {
    let store = open(&unique()).await;
    fill();
    let saved = put(&store, "a").await;
    restore();
    assert_eq!(saved, Err(StoreError::Full));
    assert_eq!((has(&store, "a").await, put(&store, "a").await, has(&store, "a").await), (Ok(false), Ok(()), Ok(true)));
    store.close();
}

async fn not_opened() {
    let name = unique();
    fail_opens(false).await.expect("a database that cannot be opened");
    let refused = IndexedDbStore::open(&name, || {}).await.err();
    restore();
    assert_eq!(refused, Some(StoreError::Unavailable { reason: "UnknownError".to_owned() }));
    assert_eq!(put(&open(&name).await, "a").await, Ok(()), "it is tried anew each time");
}

async fn half_opened() {
    let name = unique();
    fail_opens(true).await.expect("a database that cannot be opened");
    let refused = IndexedDbStore::open(&name, || {}).await.err();
    restore();
    assert_eq!(refused, Some(StoreError::Unavailable { reason: "UnknownError".to_owned() }));
    let blocked = upgrade(&name).await.expect("it is upgraded");
    assert_eq!(blocked.as_bool(), Some(false), "the connection that did open is closed");
}

async fn closed_in_a_read() {
    let name = unique();
    let store = open(&name).await;
    assert_eq!(put(&store, "a").await, Ok(()));
    let (found, ()) = join(has(&store, "a"), async { store.close() }).await;
    assert_eq!(found, Ok(true), "what was asked comes to its end");
    // It may have to wait for the end of the read's transaction, but for nothing else.
    upgrade(&name).await.expect("the read closed the connection that it held");
}

async fn without(take: fn(), name: Option<&str>) {
    take();
    let refused = IndexedDbStore::open(&unique(), || {}).await.err();
    restore();
    let Some(StoreError::Unavailable { reason }) = refused else { panic!("{refused:?}") };
    assert!(name.is_none_or(|name| name == reason), "{reason}");
}
