//! The simulated store keeps the contract of every store, while nothing goes wrong.

use std::sync::{Arc, Mutex};

use fieldsync::store::contract;

use super::*;
use crate::fault::Faults;
use crate::plan::Plan as RunPlan;
use crate::seams::server::Watch;

/// Long for any case; virtual.
const LIMIT_MS: u64 = 3_600_000;

/// Nothing goes wrong in it.
fn quiet(seed: u64) -> RunPlan {
    RunPlan {
        seed,
        devices: Vec::new(),
        databases: Vec::new(),
        contexts: Vec::new(),
        actions: Vec::new(),
        faults: Faults::List(Vec::new()),
        heal_at: 0,
        backups: false,
        new_entity: false,
        resolve_at_end: false,
        declared: crate::declared::Declared::default(),
        expected: Vec::new(),
    }
}

#[test]
fn the_simulated_store_keeps_the_contract() {
    for (case, seed) in contract::CASES.iter().flat_map(|case| (0..5).map(move |seed| (case, seed))) {
        let sim = Sim::new(&quiet(seed), false);
        let truth = Truth { watch: Arc::new(Mutex::new(Watch::default())), tenant: "clinic".to_owned() };
        let store = SimStore::new(sim.clone(), 1, Rows::new("one".to_owned(), truth));
        let done = Rc::new(Cell::new(false));
        let ended = done.clone();
        sim.executor.spawn(1, async move {
            let again = async |store: &SimStore| SimStore::new(store.sim.clone(), store.owner, store.rows.clone());
            contract::run(case, store, again).await;
            ended.set(true);
        });
        sim.executor.run_until(sim.executor.now() + LIMIT_MS, || {}, || done.get());
        assert!(done.get(), "{case} came to its end");
    }
}
