//! Four scenarios by which Firestore's clients are known to be good, told again in our world: of the public
//! specs of firebase/firebase-js-sdk, packages/firestore/test/unit/specs (write_spec, recovery_spec,
//! persistence_spec), by their names there.

use serde_json::json;

use super::Scenario;
use super::stage::{OPEN, Stage};
use crate::fault::{Fault, Site};
use crate::plan::What;
use crate::script::Step;

pub(super) fn all() -> Vec<Scenario> {
    vec![failover(), acknowledgment(), uid_switches(), exhausted()]
}

/// "Mutation are not sent twice after primary failover"
fn failover() -> Scenario {
    let mut stage = Stage::new(44_000);
    let first = stage.device("anna");
    let second = stage.tab(first);
    stage.by_hand(first);
    stage.by_hand(second);
    stage.settings(first).batch_size = 1;
    stage.create(OPEN, first, "client", "a", json!({"name": "a"}));
    stage.create(OPEN, first, "client", "b", json!({"name": "b"}));
    // The answer to the first batch hangs: the first tab is silent with the role in its hands.
    stage.step(OPEN, first, Step::Meet { site: Site::Role, skip: 0, fault: Fault::Wait(1) });
    stage.at(2_500, first, What::Freeze(18_000));
    stage.step(3_000, second, Step::Sync);
    stage.synced(3_000, second, "a");
    stage.synced(3_000, second, "b");
    stage.create(21_500, second, "client", "c", json!({"name": "c"}));
    stage.synced(22_000, first, "a");
    stage.step(22_000, first, Step::Sync);
    stage.synced(22_000, first, "c");
    for name in ["a", "b", "c"] {
        stage.expect(name, json!({"name": name}));
    }
    stage.never("operation sent again");
    stage.end(
        "mutations are not sent twice after primary failover",
        "The role of the sender goes from tab to tab; what one has sent, the next does not send again.",
    )
}

/// "Recovers when write acknowledgment cannot be persisted"
fn acknowledgment() -> Scenario {
    let mut stage = Stage::new(18_000);
    let tab = stage.device("anna");
    stage.by_hand(tab);
    stage.settings(tab).batch_size = 1;
    stage.step(OPEN, tab, Step::Sync);
    for name in ["a", "b", "c"] {
        stage.create(OPEN, tab, "client", name, json!({"name": name}));
        stage.expect(name, json!({"name": name}));
    }
    // The receipt of the second batch cannot be stored.
    stage.step(OPEN, tab, Step::Meet { site: Site::Receive, skip: 1, fault: Fault::Wait(1) });
    stage.step(OPEN, tab, Step::Meet { site: Site::Commit, skip: 3, fault: Fault::Full });
    stage.step(OPEN, tab, Step::Sync);
    stage.step(OPEN + 500, tab, Step::Sync);
    for name in ["a", "b", "c"] {
        stage.synced(OPEN + 500, tab, name);
    }
    stage.needs("storage full", 1);
    stage.needs("receipt: duplicate", 1);
    stage.end(
        "recovers when write acknowledgment cannot be persisted",
        "The receipt of a batch cannot be stored: it is asked for again, and the work behind it goes on.",
    )
}

/// "Mutation Queue is persisted across uid switches (with restarts)"
fn uid_switches() -> Scenario {
    let mut stage = Stage::new(30_000);
    let anna = stage.device("anna");
    let ben = stage.database(0, "clinic", "ben");
    stage.at(1_900, anna, What::Partition(16_000, false));
    stage.create(OPEN, anna, "client", "of anna", json!({"name": "anna"}));
    stage.step(OPEN, anna, Step::Close);
    stage.step(4_000, ben, Step::Open);
    stage.step(4_000, ben, Step::Waiting(0));
    stage.create(4_000, ben, "client", "of ben", json!({"name": "ben"}));
    stage.create(4_000, ben, "client", "more of ben", json!({"name": "ben", "extra": true}));
    stage.step(4_000, ben, Step::Close);
    stage.step(8_000, anna, Step::Open);
    stage.step(8_000, anna, Step::Waiting(1));
    stage.step(8_000, anna, Step::Close);
    stage.step(12_000, ben, Step::Open);
    stage.step(12_000, ben, Step::Waiting(2));
    stage.step(12_000, ben, Step::Close);
    // The network comes back; each database sends what its own user wrote.
    stage.step(18_500, anna, Step::Open);
    stage.synced(18_500, anna, "of anna");
    stage.step(18_500, anna, Step::Waiting(0));
    stage.step(18_500, anna, Step::Close);
    stage.step(22_000, ben, Step::Open);
    stage.synced(22_000, ben, "of ben");
    stage.step(22_000, ben, Step::Waiting(0));
    stage.expect("of anna", json!({"name": "anna"}));
    stage.expect("of ben", json!({"name": "ben"}));
    stage.expect("more of ben", json!({"name": "ben", "extra": true}));
    stage.end(
        "mutation queue is persisted across uid switches",
        "Two people share a device without a network, and close the app between them; each finds what they left.",
    )
}

/// "Writes that fail with code resource_exhausted are not rejected"
fn exhausted() -> Scenario {
    let mut stage = Stage::new(24_000);
    let tab = stage.device("anna");
    stage.step(OPEN, tab, Step::Sync);
    stage.create(4_000, tab, "client", "ann", json!({"name": "Ann"}));
    for _ in 0..3 {
        stage.step(OPEN, tab, Step::Meet { site: Site::Send, skip: 0, fault: Fault::Status(429, Some(2_000)) });
    }
    // Refused three times it is still there, and still waits.
    stage.step(4_500, tab, Step::Waiting(1));
    stage.see(4_500, tab, "ann", json!({"name": "Ann"}));
    stage.synced(5_000, tab, "ann");
    stage.expect("ann", json!({"name": "Ann"}));
    stage.needs("status", 3);
    stage.never("receipt: rejected");
    stage.end(
        "writes that fail with resource exhausted are not rejected",
        "The server has no room for a write for a while: it waits, it is shown, and it goes when there is room.",
    )
}
