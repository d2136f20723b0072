//! Work that was sent on a state that is no more meets what others wrote meanwhile, and the later word on a field
//! stands: whichever operation of a transaction met it first, however many are on their way behind it, and whatever
//! device sends it.

use serde_json::json;

use super::Scenario;
use super::stage::{OPEN, Stage, update};
use crate::executor::Owner;
use crate::script::Step;

/// When the vet writes.
const EARLIER: u64 = 20_000;
/// When somebody else does: whoever died meanwhile is back by then.
const LATER: u64 = 60_000;

pub(super) fn all() -> Vec<Scenario> {
    vec![twice_in_one(), two_behind_another(), carried(), meanwhile()]
}

/// A device that knows what is there and fetches seldom.
fn device(stage: &mut Stage, user: &str) -> Owner {
    let owner = stage.device(user);
    stage.settings(owner).poll_ms = 15_000;
    owner
}

/// The vet knows a client and a pet of the office, and sends nothing until the office has written too.
fn vet_and_office(stage: &mut Stage) -> (Owner, Owner) {
    let (vet, office) = (device(stage, "anna"), device(stage, "ben"));
    stage.settings(vet).coalesce = false;
    stage.create(OPEN, office, "client", "ann", json!({"name": "Ann"}));
    stage.create(OPEN, office, "pet", "rex", json!({"name": "Rex"}));
    stage.see(EARLIER, vet, "ann", json!({"name": "Ann"}));
    stage.see(EARLIER, vet, "rex", json!({"name": "Rex"}));
    stage.step(EARLIER, vet, Step::Pause);
    stage.step(LATER + 6_000, vet, Step::Resume);
    (vet, office)
}

fn twice_in_one() -> Scenario {
    let mut stage = Stage::new(LATER + 20_000);
    let (vet, office) = vet_and_office(&mut stage);
    stage.step(EARLIER, vet, Step::Together(vec![update("ann", json!({"phone": "1"})), update("ann", json!({"street": "vet"}))]));
    stage.update(LATER, office, "ann", json!({"street": "office"}));
    stage.expect("ann", json!({"name": "Ann", "phone": "1", "street": "office"}));
    stage.needs("group issued anew", 1);
    stage.needs("conflict by rule", 1);
    stage.end("twice in one", "A transaction changes a record twice; meanwhile the office writes what the second change is about.")
}

fn two_behind_another() -> Scenario {
    let mut stage = Stage::new(LATER + 20_000);
    let (vet, office) = vet_and_office(&mut stage);
    stage.update(EARLIER, vet, "ann", json!({"phone": "1"}));
    stage.step(EARLIER, vet, Step::Together(vec![update("ann", json!({"street": "vet"})), update("rex", json!({"height": 1}))]));
    stage.update(LATER, office, "ann", json!({"street": "office"}));
    stage.expect("ann", json!({"name": "Ann", "phone": "1", "street": "office"}));
    stage.expect("rex", json!({"name": "Rex", "height": 1}));
    stage.needs("receipt: conflict", 2);
    stage.needs("conflict by rule", 1);
    stage.end(
        "two behind another",
        "A change and a transaction on one record go up together; meanwhile the office writes what the second is about.",
    )
}

fn carried() -> Scenario {
    let mut stage = Stage::new(LATER + 20_000);
    let (vet, _) = vet_and_office(&mut stage);
    let other = device(&mut stage, "anna");
    stage.update(EARLIER, vet, "ann", json!({"street": "vet"}));
    stage.see(EARLIER, other, "ann", json!({"name": "Ann"}));
    stage.step(EARLIER, other, Step::Pause);
    stage.update(LATER, other, "ann", json!({"street": "home"}));
    stage.step(LATER + 2_000, vet, Step::Carry { to: other });
    stage.step(LATER + 4_000, other, Step::Resume);
    stage.expect("ann", json!({"name": "Ann", "street": "home"}));
    stage.needs("work carried to another device", 1);
    stage.needs("conflict by rule", 1);
    stage.end(
        "carried to later work",
        "Work is carried to a device of the same person that has written the same field since, and sends both.",
    )
}

fn meanwhile() -> Scenario {
    let mut stage = Stage::new(LATER);
    stage.plan.resolve_at_end = false;
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.by_hand(vet);
    stage.settings(vet).coalesce = false;
    stage.create(OPEN, vet, "pet", "rex", json!({"dose": "one", "name": "Rex"}));
    // A person who was not heard asks once more.
    for at in [OPEN, 4_000] {
        stage.step(at, vet, Step::Sync);
    }
    stage.see(OPEN, office, "rex", json!({}));
    stage.update(6_500, office, "rex", json!({"dose": "three"}));
    stage.update(6_500, vet, "rex", json!({"dose": "two"}));
    for at in [40_000, 42_000] {
        stage.step(at, vet, Step::Sync);
    }
    stage.update(44_000, vet, "rex", json!({"dose": "four"}));
    stage.update(44_000, vet, "rex", json!({"room": "2"}));
    stage.step(46_000, vet, Step::Resolve { name: "rex".to_owned(), strategy: json!({"type": "server-wins"}) });
    for at in [48_000, 50_000] {
        stage.step(at, vet, Step::Sync);
    }
    // Who dies before the conflict is met decides nothing, or writes later than the office.
    stage.expect("rex", json!({"dose": {"oneOf": ["three", "two", "four"]}, "name": "Rex", "room": "2"}));
    stage.needs("conflict for a person", 1);
    stage.needs("conflict resolved by hand", 1);
    stage.end(
        "written while a conflict is open",
        "Somebody writes on in what is in conflict, and beside it, and decides for the other side: one decision is enough, and what \
         lost is kept.",
    )
}
