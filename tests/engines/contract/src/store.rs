//! The contract of every store, on IndexedDB.

use std::rc::Rc;

use fieldsync::store::contract;
pub(crate) use fieldsync::store::contract::CASES;
use fieldsync::store::indexeddb::IndexedDbStore;

use crate::indexeddb::{open, unique};

pub(crate) async fn run(case: &str) {
    let name: Rc<str> = unique().into();
    let again = async |_: &IndexedDbStore| open(&name).await;
    contract::run(case, open(&name).await, again).await;
    IndexedDbStore::delete(&name).await.expect("nobody holds it");
}
