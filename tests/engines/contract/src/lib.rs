//! What the browser adapters promise, as cases with names: a page, a worker or a service worker asks for the list and
//! runs them one by one. A broken promise is a panic with a sentence; the instance is dead then, and whoever asked takes
//! a new page for the next case.
//!
//! `store` is the contract of every store, here on IndexedDB; `indexeddb` what only a browser can show of it;
//! `hard_days` what a browser does to a database that is open; `locks` the sender's lock on the browser's lock manager.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, reason = "test support is not an API")]

/// The cases of a group: each with its promise as a name.
macro_rules! cases {
    ($($name:literal => $case:expr),* $(,)?) => {
        pub(crate) const CASES: &[&str] = &[$($name),*];

        pub(crate) async fn run(case: &str) {
            match case {
                $($name => $case.await,)*
                unknown => panic!("there is no case {unknown}"),
            }
        }
    };
}

mod hard_days;
mod indexeddb;
mod locks;
mod store;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// The realm that runs a case is told why it panicked: the promise of the case never settles then.
    #[wasm_bindgen(js_namespace = globalThis, js_name = contractPanicked)]
    fn panicked(message: &str);
}

/// From now on panics are told. The engine's own start has set another hook before.
#[wasm_bindgen(js_name = tellPanics)]
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|info| panicked(&info.to_string())));
}

/// The names of all cases: the group, a slash, and what is promised.
#[wasm_bindgen]
pub fn cases() -> Vec<String> {
    let groups = [("store", store::CASES), ("indexeddb", indexeddb::CASES), ("hard_days", hard_days::CASES), ("locks", locks::CASES)];
    groups.into_iter().flat_map(|(group, cases)| cases.iter().map(move |case| format!("{group}/{case}"))).collect()
}

/// Runs one of them.
#[wasm_bindgen]
pub async fn run(name: String) {
    match name.split_once('/') {
        Some(("store", case)) => store::run(case).await,
        Some(("indexeddb", case)) => indexeddb::run(case).await,
        Some(("hard_days", case)) => hard_days::run(case).await,
        Some(("locks", case)) => locks::run(case).await,
        _ => panic!("there is no case {name}"),
    }
}
