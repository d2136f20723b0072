//! What readers may not fall behind, after the causal checker of the public Jepsen suite for PowerSync
//! (nurturenature/jepsen-powersync, powersync_endpoint/lib/causal_checker.dart); values grow, so "not older" is
//! "not less".
//!
//! What is compared here is counted, not asserted: how often a reader reads less than it has read or written itself,
//! and across records how often a read misses what the writer of another value that it sees had known. We
//! promise less there than PowerSync does, whose client waits for whole checkpoints: the receipt of a conflict
//! shows that one record as it stands at the server, ahead of the page that brings the rest, and a record with
//! unfinished work of the reader's own shows that work until its receipt comes.

use serde_json::Value;

use super::Knowledge;
use crate::executor::Owner;
use crate::world::World;

/// Takes over what is greater.
fn learn(knows: &mut Knowledge, more: &Knowledge) {
    for (name, value) in more {
        let known = knows.entry(name.clone()).or_insert(0);
        *known = (*known).max(*value);
    }
}

fn name_of(record: &Value) -> Option<&str> {
    record["label"].as_str()?.split(" ~").next()
}

impl World {
    /// A context has read all records of an entity at once.
    pub(super) fn read(&self, owner: Owner, records: &[Value]) {
        let read: Knowledge = records.iter().filter_map(|record| Some((name_of(record)?.to_owned(), record["value"].as_u64()?))).collect();
        let found = |name: &str| read.get(name).copied().unwrap_or(0);
        let mut all = self.script.knows.borrow_mut();
        let knows = all.entry(owner).or_default();
        if knows.iter().any(|(name, least)| found(name) < *least) {
            self.sim.mark("read less than before");
        }
        learn(knows, &read);
        // What stood behind one value should show in all of them.
        let behind = self.script.behind.borrow();
        let missed = read.iter().filter_map(|(name, value)| behind.get(&(name.clone(), *value)));
        let whole = missed.flatten().all(|(name, least)| found(name) >= *least);
        self.sim.mark(if whole { "read of a causally whole state" } else { "read ahead of what stood behind it" });
    }

    /// A context has written a value to some records.
    pub(super) fn wrote(&self, owner: Owner, names: &[String], value: u64) {
        let mut all = self.script.knows.borrow_mut();
        let knows = all.entry(owner).or_default();
        learn(knows, &names.iter().map(|name| (name.clone(), value)).collect());
        let mut behind = self.script.behind.borrow_mut();
        for name in names {
            behind.insert((name.clone(), value), knows.clone());
        }
    }
}
