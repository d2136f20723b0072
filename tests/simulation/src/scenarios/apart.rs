//! More than one side: a conflict, a new version of the app, another tenant, work that is carried to another
//! device, a sender that is silent, and one that comes too late with what it heard.

use serde_json::json;

use super::Scenario;
use super::stage::{OPEN, Stage};
use crate::fault::{Fault, Site};
use crate::plan::What;
use crate::script::Step;

pub(super) fn all() -> Vec<Scenario> {
    vec![conflict(), schema_upgrade(), tenant_switch(), import_elsewhere(), counted_twice(), stolen_sender(), late_answer(), late_page()]
}

fn conflict() -> Scenario {
    let mut stage = Stage::new(60_000);
    stage.plan.resolve_at_end = false;
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.by_hand(vet);
    stage.create(OPEN, vet, "pet", "rex", json!({"dose": 1, "name": "Rex"}));
    // A person who was not heard asks once more.
    for at in [OPEN, 4_000] {
        stage.step(at, vet, Step::Sync);
    }
    stage.see(OPEN, office, "rex", json!({}));
    // The vet sends when the office is done, whatever has happened to it, and is the one who meets the conflict.
    // Nobody but a person may decide about a dose; what only one of them changed is kept.
    stage.update(6_500, vet, "rex", json!({"dose": 2, "name": "Max"}));
    stage.update(6_500, office, "rex", json!({"dose": 3, "phone": "1"}));
    stage.update(6_500, vet, "rex", json!({"room": "2"}));
    for at in [40_000, 42_000] {
        stage.step(at, vet, Step::Sync);
    }
    stage.step(42_000, vet, Step::Resolve { name: "rex".to_owned(), strategy: json!({"type": "client-wins"}) });
    for at in [44_000, 46_000] {
        stage.step(at, vet, Step::Sync);
    }
    stage.see(40_000, office, "rex", json!({"dose": 2}));
    stage.expect("rex", json!({"dose": 2, "name": "Max", "phone": "1", "room": "2"}));
    stage.needs("conflict for a person", 1);
    stage.needs("receipt: conflict", 1);
    stage.needs("conflict resolved by hand", 1);
    stage.end("conflict and resolution", "Two devices change a dose; the second one meets a conflict, writes on, and resolves it.")
}

fn schema_upgrade() -> Scenario {
    let mut stage = Stage::new(16_000);
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    let second = stage.tab(vet);
    stage.by_hand(second);
    stage.create(OPEN, vet, "client", "ann", json!({"phone": "1"}));
    stage.synced(OPEN, vet, "ann");
    stage.at(3_000, vet, What::Partition(4_000, false));
    stage.create(3_500, vet, "order", "food", json!({"clientId": "@ann"}));
    stage.step(3_500, vet, Step::Upgrade);
    stage.create(3_500, vet, "invoice", "bill", json!({"clientId": "@ann"}));
    stage.update(3_500, vet, "ann", json!({"phone": "2"}));
    // The other tab and the office still run the old version.
    stage.update(4_000, second, "food", json!({"lines": []}));
    stage.create(4_000, second, "client", "eve", json!({"phone": "3"}));
    stage.step(4_000, office, Step::Upgrade);
    stage.update(4_000, office, "ann", json!({"name": "Ann"}));
    stage.see(7_500, office, "bill", json!({}));
    stage.update(7_500, office, "bill", json!({"paid": true}));
    stage.expect("ann", json!({"phone": "2", "name": "Ann"}));
    stage.expect("food", json!({"clientId": "@ann", "lines": []}));
    stage.expect("bill", json!({"clientId": "@ann", "paid": true}));
    stage.expect("eve", json!({"phone": "3"}));
    stage.end("schema upgrade", "The app comes in a new version while work is unsent, and another tab still runs the old one.")
}

fn tenant_switch() -> Scenario {
    let mut stage = Stage::new(20_000);
    let here = stage.device("anna");
    let there = stage.database(0, "klinik ü/\"2\"", "anna");
    stage.at(1_900, here, What::Partition(5_000, true));
    stage.create(OPEN, here, "client", "ann", json!({"name": "Ann"}));
    stage.create(OPEN, here, "pet", "rex", json!({"clientId": "@ann"}));
    stage.step(OPEN, here, Step::Close);
    stage.step(4_000, there, Step::Open);
    stage.step(4_000, there, Step::Waiting(0));
    stage.create(4_000, there, "client", "eve", json!({"name": "Eve"}));
    stage.synced(4_500, there, "eve");
    stage.create(4_500, there, "pet", "tom", json!({"clientId": "@eve"}));
    stage.step(4_500, there, Step::Close);
    stage.step(12_000, here, Step::Open);
    stage.update(12_000, here, "rex", json!({"name": "Rex"}));
    stage.synced(12_000, here, "rex");
    stage.step(15_000, there, Step::Open);
    stage.synced(15_000, there, "tom");
    stage.expect("ann", json!({"name": "Ann"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.expect("eve", json!({"name": "Eve"}));
    stage.expect("tom", json!({"clientId": "@eve"}));
    stage.end("tenant switch", "A person leaves one tenant with unsent work for another, and comes back.")
}

fn import_elsewhere() -> Scenario {
    let mut stage = Stage::new(18_000);
    let (phone, desk) = (stage.device("anna"), stage.device("anna"));
    stage.at(1_900, phone, What::Partition(7_000, false));
    stage.create(OPEN, phone, "client", "ann", json!({"name": "Ann"}));
    stage.create(OPEN, phone, "pet", "rex", json!({"clientId": "@ann"}));
    stage.step(OPEN, phone, Step::Carry { to: desk });
    stage.synced(4_000, desk, "rex");
    stage.update(4_000, desk, "rex", json!({"name": "Rex"}));
    // The phone did not break after all.
    stage.update(5_000, phone, "ann", json!({"phone": "1"}));
    stage.synced(9_500, phone, "ann");
    stage.expect("ann", json!({"name": "Ann", "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.needs("work carried to another device", 1);
    stage.needs("receipt: duplicate", 2);
    stage.end(
        "import elsewhere",
        "Unsent work is carried to another device and sent from there; then the first device comes back and sends it too.",
    )
}

fn counted_twice() -> Scenario {
    let mut stage = Stage::new(40_000);
    let (till, desk, office) = (stage.device("anna"), stage.device("anna"), stage.device("ben"));
    stage.by_hand(till);
    stage.by_hand(desk);
    stage.create(OPEN, office, "product", "hay", json!({"stock": 10, "name": "Hay"}));
    stage.synced(OPEN, office, "hay");
    for device in [till, desk] {
        stage.step(4_000, device, Step::Sync);
        stage.see(4_000, device, "hay", json!({"stock": 10}));
    }
    stage.update(6_000, till, "hay", json!({"stock": 8}));
    stage.step(6_000, till, Step::Carry { to: desk });
    // Whoever sends the carried work now meets a conflict, and writes it anew.
    stage.update(7_000, office, "hay", json!({"name": "Straw"}));
    stage.synced(7_000, office, "hay");
    stage.update(7_000, till, "hay", json!({"stock": 7}));
    for at in [16_000, 18_000] {
        stage.step(at, desk, Step::Sync);
    }
    for at in [24_000, 26_000] {
        stage.step(at, till, Step::Sync);
    }
    stage.expect("hay", json!({"stock": 7, "name": "Straw"}));
    stage.needs("work carried to another device", 1);
    stage.needs("receipt: conflict", 2);
    stage.end(
        "counted on two devices",
        "What was sold is carried to another device; both meet a conflict, and each writes it anew: it counts once.",
    )
}

fn stolen_sender() -> Scenario {
    let mut stage = Stage::new(30_000);
    let first = stage.device("anna");
    let second = stage.tab(first);
    stage.by_hand(second);
    stage.latency(first, 200);
    stage.create(OPEN, first, "client", "ann", json!({"name": "Ann"}));
    stage.step(4_000, first, Step::Pause);
    stage.create(4_000, first, "client", "eve", json!({"name": "Eve"}));
    stage.step(4_000, first, Step::Resume);
    // Frozen with a request on its way: nobody gives the role back.
    stage.at(4_400, first, What::Freeze(16_000));
    stage.create(5_000, second, "pet", "rex", json!({"clientId": "@ann"}));
    stage.update(5_000, second, "eve", json!({"phone": "1"}));
    stage.step(5_000, second, Step::Sync);
    stage.synced(5_000, second, "rex");
    stage.create(21_000, first, "pet", "tom", json!({"clientId": "@eve"}));
    stage.synced(21_000, first, "tom");
    stage.expect("ann", json!({"name": "Ann"}));
    stage.expect("eve", json!({"name": "Eve", "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@ann"}));
    stage.expect("tom", json!({"clientId": "@eve"}));
    stage.needs("role stolen", 1);
    stage.end("stolen sender", "The sending tab is frozen in the middle of an upload; another tab takes the role; the first one wakes up.")
}

/// Two tabs of a vet's device that sync when they are asked, and the office.
fn two_tabs(stage: &mut Stage) -> (u32, u32, u32) {
    let (first, office) = (stage.device("anna"), stage.device("ben"));
    let second = stage.tab(first);
    stage.by_hand(first);
    stage.by_hand(second);
    stage.settings(first).timeout_ms = 60_000;
    stage.create(OPEN, first, "pet", "rex", json!({"dose": 1, "name": "Rex"}));
    stage.step(OPEN, first, Step::Sync);
    stage.see(OPEN, office, "rex", json!({}));
    (first, second, office)
}

fn late_answer() -> Scenario {
    let mut stage = Stage::new(40_000);
    let (first, second, office) = two_tabs(&mut stage);
    stage.update(4_000, office, "rex", json!({"dose": 3}));
    stage.update(5_000, first, "rex", json!({"dose": 2}));
    // The first tab has its answer, and falls asleep before it is stored.
    stage.step(6_000, first, Step::Meet { site: Site::Begin, skip: 1, fault: Fault::Wait(2_000) });
    stage.step(6_000, first, Step::Sync);
    stage.at(7_000, first, What::Freeze(18_000));
    stage.step(8_000, second, Step::Sync);
    stage.step(28_000, second, Step::Resolve { name: "rex".to_owned(), strategy: json!({"type": "client-wins"}) });
    stage.step(28_000, second, Step::Sync);
    stage.expect("rex", json!({"dose": {"oneOf": [2, 3]}}));
    stage.needs("role stolen", 1);
    stage.needs("conflict resolved by hand", 1);
    stage.end("late answer", "A tab hears of a conflict and falls asleep; another hears of it and stores it; then the first one wakes up.")
}

fn late_page() -> Scenario {
    let mut stage = Stage::new(40_000);
    let (first, second, office) = two_tabs(&mut stage);
    stage.update(4_000, office, "rex", json!({"name": "Max"}));
    // The first tab has a page, and falls asleep before it is stored.
    stage.step(6_000, first, Step::Meet { site: Site::Begin, skip: 0, fault: Fault::Wait(2_000) });
    stage.step(6_000, first, Step::Fetch);
    stage.at(7_000, first, What::Freeze(18_000));
    stage.update(8_000, second, "rex", json!({"room": "2"}));
    // The second sends what is newer, and cannot fetch.
    stage.step(8_000, second, Step::Meet { site: Site::Send, skip: 3, fault: Fault::Status(500, None) });
    stage.step(8_000, second, Step::Sync);
    stage.synced(8_000, second, "rex");
    stage.expect("rex", json!({"dose": 1, "name": "Max", "room": "2"}));
    stage.needs("role stolen", 1);
    stage.end("late page", "A tab holds a page and falls asleep; another writes and sends what is newer; then the first one wakes up.")
}
