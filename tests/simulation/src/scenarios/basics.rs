//! One device does its work: a chain of new records, a group, edits while an upload is under way, an answer that
//! is lost, a first download, a record that is created and taken back.

use serde_json::json;

use super::Scenario;
use super::stage::{OPEN, Stage, create, update};
use crate::fault::{Fault, Site};
use crate::plan::What;
use crate::script::Step;

pub(super) fn all() -> Vec<Scenario> {
    vec![chain(), group(), edit_during_upload(), mapping_by_download(), initial_download(), taken_back()]
}

fn chain() -> Scenario {
    let mut stage = Stage::new(14_000);
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.at(0, vet, What::Partition(4_000, false));
    stage.create(OPEN, vet, "client", "ann", json!({"name": "Ann"}));
    stage.create(OPEN, vet, "pet", "rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.create(OPEN, vet, "appointment", "visit", json!({"petId": "@rex", "clientId": "@ann"}));
    stage.create(OPEN, vet, "note", "words", json!({"appointmentId": "@visit", "text": "fine"}));
    stage.update(OPEN, vet, "ann", json!({"phone": "1"}));
    // The office goes on with what came out of the chain.
    stage.see(6_000, office, "words", json!({"text": "fine"}));
    stage.create(6_000, office, "pet", "tom", json!({"clientId": "@ann", "motherId": "@rex"}));
    stage.see(7_000, vet, "tom", json!({}));
    stage.delete(7_000, vet, "tom");
    stage.expect("ann", json!({"name": "Ann", "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.expect("visit", json!({"petId": "@rex", "clientId": "@ann"}));
    stage.expect("words", json!({"appointmentId": "@visit", "text": "fine"}));
    stage.expect_gone("tom");
    stage.needs("device cut off", 1);
    stage.needs("receipt: applied", 4);
    stage.end("chain", "A client, a pet, a visit and a note are written offline, each naming the one before; the office goes on with them.")
}

fn group() -> Scenario {
    let mut stage = Stage::new(16_000);
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.create(OPEN, vet, "client", "ann", json!({"name": "Ann", "visits": 0}));
    stage.synced(OPEN, vet, "ann");
    stage.see(OPEN, office, "ann", json!({"name": "Ann"}));
    stage.at(6_000, vet, What::Partition(3_000, true));
    let parts = vec![
        create("pet", "rex", json!({"clientId": "@ann"})),
        create("appointment", "visit", json!({"petId": "@rex", "clientId": "@ann"})),
        update("ann", json!({"visits": 1})),
    ];
    stage.step(6_500, vet, Step::Together(parts));
    stage.step(6_500, vet, Step::Together(vec![update("rex", json!({"name": "Rex"})), update("visit", json!({"room": "2"}))]));
    // Meanwhile the office changes another field of what the group changes.
    stage.update(6_500, office, "ann", json!({"phone": "1"}));
    stage.expect("ann", json!({"name": "Ann", "visits": 1, "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.expect("visit", json!({"petId": "@rex", "clientId": "@ann", "room": "2"}));
    stage.needs("transaction saved", 2);
    stage.end("group", "Two transactions are written offline, the second on the first, while the office changes what they change.")
}

fn edit_during_upload() -> Scenario {
    let mut stage = Stage::new(12_000);
    let vet = stage.device("anna");
    stage.latency(vet, 300);
    stage.create(OPEN, vet, "client", "ann", json!({"name": "Ann"}));
    for (at, number) in [(2_500, 1), (3_000, 2), (3_300, 3), (3_600, 4), (4_100, 5), (4_600, 6)] {
        stage.update(at, vet, "ann", json!({"name": format!("Ann {number}"), "number": number}));
    }
    stage.create(4_700, vet, "pet", "rex", json!({"clientId": "@ann"}));
    stage.delete(5_500, vet, "rex");
    stage.synced(6_000, vet, "ann");
    stage.expect("ann", json!({"name": "Ann 6", "number": 6}));
    stage.expect_gone("rex");
    stage.needs("receipt: applied", 3);
    stage.end("edit during upload", "A record is changed again and again while its create and its changes are on their way.")
}

fn mapping_by_download() -> Scenario {
    let mut stage = Stage::new(16_000);
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.by_hand(vet);
    stage.step(OPEN, vet, Step::Sync);
    stage.create(OPEN, vet, "client", "ann", json!({"name": "Ann"}));
    stage.create(OPEN, vet, "pet", "rex", json!({"clientId": "@ann"}));
    stage.step(OPEN, vet, Step::Meet { site: Site::Send, skip: 0, fault: Fault::LoseAnswer });
    stage.step(OPEN, vet, Step::Sync);
    // The server has them; a page says so before any receipt does.
    stage.step(OPEN, vet, Step::Fetch);
    stage.update(OPEN, vet, "rex", json!({"name": "Rex"}));
    stage.create(OPEN, vet, "appointment", "visit", json!({"petId": "@rex", "clientId": "@ann"}));
    stage.step(OPEN, vet, Step::Sync);
    stage.synced(OPEN, vet, "visit");
    stage.see(4_000, office, "visit", json!({}));
    stage.expect("ann", json!({"name": "Ann"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.expect("visit", json!({"petId": "@rex", "clientId": "@ann"}));
    stage.needs("answer lost", 1);
    stage.needs("receipt: duplicate", 2);
    stage.end(
        "mapping by download",
        "The answer to an upload is lost; the next download names the new records by their temp IDs, and work goes on.",
    )
}

fn initial_download() -> Scenario {
    let mut stage = Stage::new(16_000);
    let (office, vet) = (stage.device("ben"), stage.device("anna"));
    stage.settings(vet).page_size = 2;
    let mut parts = Vec::new();
    for number in 0..7 {
        parts.push(create("client", &format!("client {number}"), json!({"number": number})));
        stage.expect(&format!("client {number}"), if number == 3 { json!({"number": 33}) } else { json!({"number": number}) });
    }
    stage.step(OPEN, office, Step::Together(parts));
    stage.synced(OPEN, office, "client 6");
    stage.step(5_000, vet, Step::Open);
    stage.create(5_000, vet, "client", "own", json!({"name": "own"}));
    stage.see(5_000, vet, "client 6", json!({"number": 6}));
    stage.update(5_000, vet, "client 3", json!({"number": 33}));
    stage.expect("own", json!({"name": "own"}));
    stage.needs("receipt: applied", 9);
    stage.end("initial download", "A new device downloads everything in small pages, and writes meanwhile.")
}

fn taken_back() -> Scenario {
    let mut stage = Stage::new(14_000);
    let vet = stage.device("anna");
    stage.by_hand(vet);
    stage.step(OPEN, vet, Step::Sync);
    stage.create(OPEN, vet, "client", "kept", json!({"name": "Ann"}));
    stage.create(OPEN, vet, "client", "gone", json!({"name": "Ann?"}));
    stage.create(OPEN, vet, "pet", "rex", json!({"name": "Rex"}));
    let parts = vec![update("rex", json!({"clientId": "@gone"})), update("kept", json!({"phone": "1"}))];
    // A transaction stays what it was, so it goes on naming her.
    stage.step(OPEN, vet, Step::Together(parts));
    stage.update(OPEN, vet, "rex", json!({"clientId": "@kept"}));
    stage.delete(OPEN, vet, "gone");
    stage.step(OPEN, vet, Step::Sync);
    stage.synced(4_000, vet, "rex");
    stage.expect("kept", json!({"name": "Ann", "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@kept", "name": "Rex"}));
    stage.expect_gone("gone");
    stage.end("taken back", "A client is created by mistake, named in a transaction, and deleted again before anything of it was sent.")
}
