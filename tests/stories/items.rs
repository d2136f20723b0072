//! What a person does with a queue that does not move by itself: sends again, changes, gives up, empties.

use fieldsync::plan::Table;
use futures_util::future::join;
use serde_json::json;

use crate::records::{parked, value};
use crate::world::{Fault, World, tell};

#[test]
fn a_parked_operation_is_edited_and_goes_with_all_that_waited_for_it() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let (pet, appointment, operation) = parked(&tab).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.engine.retry(&operation, Some(&json!({"set": {"clientId": value(&client)}}).to_string())).await.expect("sent again");
        let shown = tab.get("pet", &pet).await.expect("there");
        assert_eq!((&shown["clientId"], &shown["_sync"]["state"]), (&value(&client), &json!("pending")));
        let result = tab.sync().await;
        assert!(result.success, "{result:?}");
        let (pet, appointment) = (tab.get("pet", &pet).await.expect("there"), tab.get("appointment", &appointment).await.expect("there"));
        assert_eq!(appointment["petId"], pet["id"]);
        assert_eq!((tab.queue().await.len(), world.changes().await.len()), (0, 3));
        let refused = tab.engine.retry(&operation, None).await.expect_err("it has ended");
        assert_eq!(refused.code, "unknown_operation");
    });
}

#[test]
fn a_retry_as_it_was_meets_the_same_refusal_and_keeps_its_payload() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let (_, _, operation) = parked(&tab).await;
        tab.engine.retry(&operation, None).await.expect("sent again");
        assert!(!tab.sync().await.success);
        let queue = tab.queue().await;
        let parked = queue.iter().find(|item| item["state"] == "parked").expect("parked again");
        assert_eq!((&parked["payload"]["name"], &parked["operation"]["supersedes"]), (&json!("Rex"), &json!(operation)));
        let other = queue.iter().find(|item| item["state"] == "blocked").expect("still waits");
        let id = other["operationId"].as_str().expect("an ID");
        assert_eq!(tab.engine.retry(id, None).await.expect_err("it is not parked").code, "not_parked");
    });
}

#[test]
fn a_discarded_operation_takes_what_depends_on_it_along_and_nothing_else() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let (pet, appointment, operation) = parked(&tab).await;
        let client = tab.create("client", json!({"name": "A"})).await;
        let given_up = tab.engine.discard(&operation, None).await.expect("given up");
        assert_eq!(given_up["discarded"].as_array().map(Vec::len), Some(2));
        assert_eq!((tab.get("pet", &pet).await, tab.get("appointment", &appointment).await), (None, None));
        assert!(tab.get("client", &client).await.is_some());
        assert!(tab.sync().await.success);
        // However long after: nothing would ever create it, and what names it would wait for ever.
        let late = json!({"petId": value(&pet)}).to_string();
        assert_eq!(tab.engine.create("appointment", &late).await.expect_err("it is gone").code, "reference_deleted");
        let trail = anna.store.dump(Table::Audit).into_iter().filter(|(_, text)| text.contains("discarded")).count();
        assert_eq!(
            (trail, tab.queue().await.len(), anna.store.dump(Table::Overlay).len()),
            (1, 0, 2),
            "of both is kept that they are gone"
        );
    });
}

#[test]
fn what_may_have_reached_the_server_is_not_given_up() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let client = tab.create("client", json!({"name": "A"})).await;
        tab.fault("upload", Fault::LoseAnswer);
        tab.up().await;
        let operation = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        assert_eq!(tab.engine.discard(&operation, None).await.expect_err("refused").code, "sealed");
        tab.update("client", &client, json!({"name": "B"})).await;
        let later = tab.queue().await[1]["operationId"].as_str().expect("an ID").to_owned();
        tab.engine.discard(&later, None).await.expect("was never claimed");
        assert_eq!(tab.get("client", &client).await.expect("there")["name"], "A");
        assert!(tab.sync().await.success);
    });
}

#[test]
fn a_database_with_unsent_work_is_not_emptied_unless_the_user_insists_and_the_trail_says_so() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "sent"})).await;
        tab.sync().await;
        tab.create("client", json!({"name": "unsent"})).await;
        let refused = tab.engine.wipe(false, None).await.expect_err("refused");
        assert_eq!((refused.code, &refused.details["unsent"]), ("unsent_work", &json!(1)));
        assert_eq!(tab.all("client").await.len(), 2);
        let operation = tab.queue().await[0]["operationId"].as_str().expect("an ID").to_owned();
        let (wiped, settled) = join(tab.engine.wipe(true, None), tab.engine.synced(&operation)).await;
        assert_eq!(wiped.expect("emptied"), json!({"discarded": 1}));
        assert_eq!(settled.expect("settled"), json!({"status": "discarded"}));
        for table in [Table::Base, Table::Overlay, Table::Outbox, Table::Ids, Table::Conflicts, Table::Sessions] {
            assert_eq!(anna.store.dump(table).len(), 0, "{table:?}");
        }
        let trail = anna.store.dump(Table::Audit);
        assert_eq!((trail.len(), trail[0].1.contains("discarded"), anna.store.dump(Table::State).len()), (1, true, 2));
        let again = anna.tab().await;
        assert!(again.sync().await.success);
        assert_eq!(again.all("client").await.len(), 1, "what the server has comes back");
    });
}
