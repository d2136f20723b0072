//! The server loses something: what deleted records left behind, or everything since its last backup.

use serde_json::json;

use super::Scenario;
use super::stage::{OPEN, Stage, create};
use crate::executor::Owner;
use crate::fault::{Fault, Site};
use crate::plan::What;
use crate::script::Step;

pub(super) fn all() -> Vec<Scenario> {
    vec![resync(), gone_meanwhile(), restored(), fulfilled()]
}

fn resync() -> Scenario {
    let mut stage = Stage::new(24_000);
    let (office, vet) = (stage.device("ben"), stage.device("anna"));
    stage.settings(vet).page_size = 1;
    let parts = ["old", "kept", "other"].map(|name| create("client", name, json!({"name": name})));
    stage.step(OPEN, office, Step::Together(parts.into()));
    stage.see(OPEN, vet, "other", json!({}));
    stage.see(OPEN, vet, "old", json!({}));
    stage.see(OPEN, vet, "kept", json!({}));
    stage.at(5_500, vet, What::Partition(6_000, false));
    stage.update(6_000, vet, "kept", json!({"phone": "1"}));
    stage.create(6_000, vet, "pet", "rex", json!({"clientId": "@kept"}));
    stage.synced(6_000, office, "old");
    stage.delete(6_000, office, "old");
    stage.update(6_000, office, "kept", json!({"name": "new"}));
    stage.step(8_000, office, Step::Waiting(0));
    stage.step(8_000, office, Step::Prune);
    // The vet's checkpoint is older than what the server still knows.
    stage.synced(12_500, vet, "rex");
    stage.update(12_500, vet, "other", json!({"phone": "2"}));
    stage.expect_gone("old");
    stage.expect("kept", json!({"name": "new", "phone": "1"}));
    stage.expect("other", json!({"name": "other", "phone": "2"}));
    stage.expect("rex", json!({"clientId": "@kept"}));
    stage.end(
        "resync",
        "A device was away while the server forgot tombstones: it downloads everything anew, in small pages, beside unsent work.",
    )
}

fn gone_meanwhile() -> Scenario {
    let mut stage = Stage::new(26_000);
    let (office, vet) = (stage.device("ben"), stage.device("anna"));
    stage.by_hand(vet);
    let parts = ["old", "kept"].map(|name| create("client", name, json!({"name": name})));
    stage.step(OPEN, office, Step::Together(parts.into()));
    stage.synced(OPEN, office, "kept");
    stage.step(4_000, vet, Step::Sync);
    stage.see(4_000, vet, "old", json!({}));
    // What the vet knows of this one it knows by the receipt alone.
    stage.create(5_000, vet, "client", "own", json!({"name": "own"}));
    stage.step(5_000, vet, Step::Meet { site: Site::Send, skip: 1, fault: Fault::LoseRequest });
    stage.step(5_000, vet, Step::Sync);
    stage.update(6_000, vet, "old", json!({"phone": "1"}));
    stage.see(6_000, office, "own", json!({}));
    stage.delete(6_000, office, "own");
    stage.delete(6_000, office, "old");
    stage.step(8_000, office, Step::Waiting(0));
    stage.step(8_000, office, Step::Prune);
    // The update is refused and stays to be seen, whatever the new download says of its record.
    stage.step(14_000, vet, Step::Sync);
    stage.step(15_000, vet, Step::Sync);
    stage.update(15_000, vet, "kept", json!({"phone": "2"}));
    stage.expect_gone("own");
    stage.expect("kept", json!({"name": "kept", "phone": "2"}));
    stage.needs("operation parked", 1);
    stage.needs("another generation filled", 1);
    stage.end("gone meanwhile", "A device was away while others deleted what it had created and changed, and the server forgot even that.")
}

/// Two devices and a server with a backup that holds one record, and that is needed later.
fn backed_up(heal_at: u64) -> (Stage, Owner, Owner) {
    let mut stage = Stage::new(heal_at);
    stage.plan.backups = true;
    let (vet, office) = (stage.device("anna"), stage.device("ben"));
    stage.create(OPEN, vet, "client", "ann", json!({"name": "Ann"}));
    stage.at(5_000, vet, What::Backup);
    stage.needs("server restored", 1);
    (stage, vet, office)
}

fn restored() -> Scenario {
    let (mut stage, vet, office) = backed_up(26_000);
    stage.synced(OPEN, vet, "ann");
    stage.create(6_000, vet, "pet", "rex", json!({"clientId": "@ann"}));
    stage.update(6_000, vet, "ann", json!({"phone": "1"}));
    stage.see(6_500, office, "rex", json!({}));
    stage.create(6_500, office, "appointment", "visit", json!({"petId": "@rex"}));
    stage.update(6_500, office, "ann", json!({"room": "2"}));
    stage.at(12_000, vet, What::Restore);
    // The vet is cut off, so the office is first.
    stage.at(11_500, vet, What::Partition(2_000, false));
    stage.update(12_500, vet, "rex", json!({"name": "Rex"}));
    stage.create(12_500, office, "client", "eve", json!({"name": "Eve"}));
    // What names a record that the vet has to bring was refused, and is sent again by hand. Where the vet is
    // not back by then it stays parked, to be seen: no end is expected of it.
    stage.see(14_000, office, "rex", json!({"name": "Rex"}));
    stage.step(16_000, office, Step::Retry { name: "visit".to_owned(), set: None });
    stage.at(20_000, vet, What::Backup);
    // What the office wrote about her is parked like the visit where the backup does not have her.
    stage.expect("ann", json!({"name": "Ann", "phone": "1"}));
    stage.expect("rex", json!({"clientId": "@ann", "name": "Rex"}));
    stage.expect("eve", json!({"name": "Eve"}));
    stage.needs("parked operation sent again", 1);
    stage.end(
        "server restored from backup",
        "The server comes back from a backup and has lost what both devices were told is synced; they bring it again.",
    )
}

fn fulfilled() -> Scenario {
    let (mut stage, vet, office) = backed_up(44_000);
    // Wherever the vet's tab dies, it hears nothing of the other write before its own is saved.
    stage.by_hand(vet);
    stage.step(OPEN, vet, Step::Sync);
    stage.synced(OPEN, vet, "ann");
    stage.see(OPEN, office, "ann", json!({"name": "Ann"}));
    // Numbers carry no mark: both write the very same.
    stage.update(28_000, vet, "ann", json!({"visits": 1}));
    stage.update(28_000, office, "ann", json!({"visits": 1}));
    stage.step(30_000, vet, Step::Sync);
    // What the office had written is lost here and there. Only the vet can bring it again.
    stage.at(36_000, office, What::Evict);
    stage.at(36_000, vet, What::Restore);
    stage.step(38_000, vet, Step::Sync);
    stage.at(40_000, vet, What::Backup);
    stage.expect("ann", json!({"name": "Ann", "visits": 1}));
    stage.needs("receipt: so already", 1);
    stage.needs("database evicted", 1);
    stage.end(
        "fulfilled and lost",
        "Two devices write the same; the second finds it so already. Then the server and the first device lose it.",
    )
}
