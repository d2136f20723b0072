//! A function of the app is asked about a conflict, and the conflict is another by the time of its answer.

use std::rc::Rc;

use fieldsync::conflict::{Conflict, ConflictState};
use fieldsync::decide::{Asked, Asking, Fresh, PageResult, Resolution, Resolve, Resolved};
use fieldsync::plan::Table;
use fieldsync::schema::Schema;
use serde_json::json;

use crate::desk::{Desk, REX, rex};

/// Rex's name was changed here and at the server; a function decides.
fn desk() -> Desk {
    let mut desk = Desk::with_rex();
    let text =
        r#"{"name": "plans", "version": 1, "entities": {"pet": {"indexes": ["name"], "conflicts": {"fields": {"name": "function"}}}}}"#;
    desk.schema = Rc::new(Schema::parse(text).expect("a schema"));
    desk.update(&REX, json!({"name": "Max"}));
    assert!(matches!(desk.page(Some("one"), "2", vec![rex(2, json!({"name": "Moritz", "age": 1}))]), PageResult::Applied(_)));
    desk
}

fn ask(desk: &Desk, entities: &[&str], left: Vec<(Conflict, &'static str)>) -> Asked {
    let entities = entities.iter().map(|entity| (*entity).to_owned()).collect();
    desk.decide(Asking { schema: desk.schema.clone(), entities, left, now: 1_700_000_000_000 })
}

fn answer(desk: &Desk, asked: &Conflict) -> Resolved {
    desk.decide(Resolve {
        schema: desk.schema.clone(),
        conflicts: vec![asked.id],
        resolution: Resolution::ClientWins,
        dry: false,
        reason: None,
        gives_up: true,
        shown: None,
        asked: Some(Box::new(asked.clone())),
        fresh: Fresh { now: 1_700_000_000_000, random: [7; 10] },
        user: "anna".to_owned(),
    })
}

fn stored(desk: &Desk) -> Conflict {
    let rows = desk.store.dump(Table::Conflicts);
    assert_eq!(rows.len(), 1);
    serde_json::from_str(&rows[0].1).expect("a conflict")
}

#[test]
fn only_those_of_entities_with_a_function_are_asked_about() {
    let desk = desk();
    assert_eq!(ask(&desk, &["client"], Vec::new()), Asked::default());
    assert_eq!(stored(&desk).asks, Some(0));
    let asked = ask(&desk, &["client", "pet"], Vec::new());
    assert_eq!((asked.asked.is_some(), asked.left.len(), stored(&desk).asks), (true, 0, Some(1)));
}

#[test]
fn an_answer_to_a_state_that_is_past_changes_nothing_and_it_is_asked_again_three_times_in_all() {
    let mut desk = desk();
    for (at, name) in [(2, "Mia"), (3, "Ida")] {
        let asked = ask(&desk, &["pet"], Vec::new()).asked.expect("it is to be asked about");
        assert_eq!(asked.server.version.to_string(), at.to_string());
        desk.page(Some(&at.to_string()), &(at + 1).to_string(), vec![rex(at + 1, json!({"name": name, "age": 1}))]);
        let done = answer(&desk, &asked);
        assert_eq!((done.ended.len(), done.refused.len(), done.left), (0, 0, vec![asked.id]));
        // Nor is it a person's because of an answer to what is past.
        if at == 2 {
            let again = ask(&desk, &["pet"], vec![(asked, "manual")]);
            assert_eq!((again.asked.is_some(), again.left.len()), (true, 0));
            assert_eq!(stored(&desk).asks, Some(2));
        }
    }
    let last = ask(&desk, &["pet"], Vec::new());
    assert_eq!(last.left.iter().map(|(_, why)| *why).collect::<Vec<_>>(), [Asked::UNSETTLED]);
    assert_eq!((stored(&desk).asks, stored(&desk).state), (None, ConflictState::Open));
    assert_eq!(ask(&desk, &["pet"], Vec::new()), Asked::default());
}

#[test]
fn an_answer_to_the_present_state_ends_it() {
    let desk = desk();
    let asked = ask(&desk, &["pet"], Vec::new()).asked.expect("it is to be asked about");
    assert_eq!(answer(&desk, &asked).ended.len(), 1);
    let ended = stored(&desk);
    assert_eq!((ended.state, ended.resolved_by.as_deref(), ended.asks), (ConflictState::Resolved, Some("rule"), None));
    assert_eq!(ask(&desk, &["pet"], vec![(asked, "manual")]), Asked::default(), "and nothing takes that back");
}
