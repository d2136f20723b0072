//! What only a browser can show of the store: that strict durability is really asked for and taken, that overlapping
//! saves share a commit, and that whoever stands on a database that is gone or newer is told.

use std::cell::Cell;
use std::rc::Rc;

use fieldsync::plan::{Plan, Row, Step, Table, View, Write};
use fieldsync::store::indexeddb::IndexedDbStore;
use fieldsync::store::{Durability, Store, StoreError};
use wasm_bindgen::prelude::*;

cases! {
    "what_is_strict_is_asked_for_strictly_and_what_is_relaxed_is_not" => strict_and_relaxed(),
    "overlapping_saves_share_a_commit_with_the_strictest_durability" => shared_commit(),
    "a_deleted_database_makes_the_context_outdated_and_says_so" => deleted(),
    "a_database_of_a_newer_layout_is_not_opened_and_says_why" => newer_layout(),
}

#[wasm_bindgen(inline_js = r#"
let seen = [];
const plain = IDBDatabase.prototype.transaction;
export function watch() {
  seen = [];
  IDBDatabase.prototype.transaction = function (stores, mode, options) {
    const transaction = plain.call(this, stores, mode, options);
    // What the browser took, not only what was asked.
    if (mode === 'readwrite') seen.push(`${options?.durability}/${transaction.durability}`);
    return transaction;
  };
}
export function unwatch() { IDBDatabase.prototype.transaction = plain; return seen.join(' '); }
export async function newer(name) {
  await new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 99);
    request.onerror = () => reject(request.error);
    request.onsuccess = () => { request.result.close(); resolve(); };
  });
}
export function unique() { return `test/${Math.random()}`; }
"#)]
extern "C" {
    fn watch();
    fn unwatch() -> String;
    pub(crate) fn unique() -> String;
    #[wasm_bindgen(catch)]
    async fn newer(name: &str) -> Result<JsValue, JsValue>;
}

pub(crate) async fn open(name: &str) -> IndexedDbStore {
    IndexedDbStore::open(name, || {}).await.expect("the database opens")
}

#[derive(Clone)]
struct Put(&'static str);

impl Plan for Put {
    type Out = ();
    fn step(&mut self, _: &View) -> Step<()> {
        Step::Done(vec![Write::Put(Table::State, Row { key: self.0.into(), text: "1".to_owned(), index: Vec::new() })], ())
    }
}

async fn strict_and_relaxed() {
    let store = open(&unique()).await;
    watch();
    let strict = store.transact(Durability::Strict, Put("a")).await;
    let strict_seen = unwatch();
    watch();
    let relaxed = store.transact(Durability::Relaxed, Put("b")).await;
    let relaxed_seen = unwatch();
    assert_eq!((strict, relaxed), (Ok(()), Ok(())));
    assert_eq!(strict_seen, "strict/strict", "a planted relaxed bug would be seen here");
    assert_eq!(relaxed_seen, "relaxed/relaxed");
    store.close();
}

async fn shared_commit() {
    let store = open(&unique()).await;
    watch();
    let plans = futures_util::future::join_all(["a", "b", "c", "d"].map(|key| {
        let durability = if key == "c" { Durability::Strict } else { Durability::Relaxed };
        store.transact(durability, Put(key))
    }));
    assert!(plans.await.into_iter().all(|done| done.is_ok()));
    // The first goes alone; who came while it ran goes together.
    assert_eq!(unwatch(), "relaxed/relaxed strict/strict");
    assert_eq!((store.counts().commits, store.counts().plans), (2, 4));
    store.close();
}

async fn deleted() {
    let name = unique();
    let told = Rc::new(Cell::new(0));
    let tell = told.clone();
    let store = IndexedDbStore::open(&name, move || tell.set(tell.get() + 1)).await.expect("opens");
    IndexedDbStore::delete(&name).await.expect("nobody blocks it: the store let go");
    assert_eq!(told.get(), 1);
    assert_eq!(store.transact(Durability::Strict, Put("a")).await, Err(StoreError::Outdated));
    assert_eq!(store.read(Put("a")).await, Err(StoreError::Outdated));
}

async fn newer_layout() {
    let name = unique();
    drop(open(&name).await);
    newer(&name).await.expect("another app made it newer");
    let refused = IndexedDbStore::open(&name, || {}).await.err();
    assert_eq!(refused, Some(StoreError::Outdated));
}
