//! Finding conflicts: every filter against one that looks at all of them, how many rows that takes, and a database whose
//! conflicts were stored before they had entries.

use std::rc::Rc;

use fieldsync::conflict::{Conflict, ConflictState, Filter, filter};
use fieldsync::decide::{
    ConflictCounts, CountConflicts, Device, Fresh, IndexConflicts, ListConflicts, Planned, Resolution, Resolve, TakeBack, Wish,
};
use fieldsync::model::{RecordId, Version};
use fieldsync::outbox::State;
use fieldsync::plan::{Plan, Read, Row, Step, Table, View, Write};
use fieldsync::protocol::{Broken, ConflictKind, Outcome, ServerState};
use fieldsync::schema::Schema;
use fieldsync::store::{Durability, Store};
use futures_executor::block_on;
use serde_json::{Value, json};

use crate::desk::{Desk, REX, applied, epoch, object, rex};
use crate::epochs::{acknowledge, change};

const KINDS: [&str; 3] = ["update-update", "update-delete", "delete-update"];

/// Conflict number `id` of a mixture: each member goes round at its own pace.
fn conflict(id: u64) -> Conflict {
    let entity = if id.is_multiple_of(5) { "client" } else { "pet" };
    let (state, by) = match id % 7 {
        0 => ("open", None),
        1 => ("undone", Some("anna")),
        2 | 3 => ("resolved", Some("anna")),
        _ => ("resolved", Some("rule")),
    };
    let operation = format!("0190a1b2-0000-7000-8000-{id:012}");
    let mut text = json!({
        "id": id, "conflictId": "c", "kind": KINDS[usize::try_from(id % 3).expect("small")], "entity": entity, "record": id % 11,
        "operation": {"id": operation, "seq": id, "entity": entity, "record": id % 11, "action": {"kind": "delete"},
            "base": {"version": "1"}, "stamp": [id, 0], "author": "anna", "schema": 1},
        "base": null, "local": null, "server": {"version": "2", "data": {"name": "Rex"}, "stamp": [1, 0]},
        "fields": ["*"], "detectedAt": 1_000 + id / 2 * 10, "state": state,
    });
    if let Some(by) = by {
        text["resolution"] = json!(filter::RESOLUTIONS[usize::try_from(id).expect("small") % filter::RESOLUTIONS.len()]);
        text["resolvedBy"] = json!(by);
        text["resolvedAt"] = json!(2_000 + id);
    }
    let mut conflict: Conflict = serde_json::from_value(text).expect("a conflict");
    conflict.begin();
    conflict
}

/// Writes rows as they are.
#[derive(Clone)]
struct Put(Vec<Write>);
impl Plan for Put {
    type Out = ();
    fn step(&mut self, _: &View) -> Step<()> {
        Step::Done(self.0.clone(), ())
    }
}

/// A desk with so many conflicts, with entries or without.
fn desk(count: u64, with_entries: bool) -> Desk {
    let mut desk = Desk::new();
    desk.schema = Rc::new(Schema::parse(r#"{"name": "plans", "version": 1, "entities": {"pet": {}, "client": {}}}"#).expect("a schema"));
    let put = |id| {
        let mut found = conflict(id);
        if !with_entries {
            found.steps.clear();
        }
        let index = if with_entries { found.entries() } else { Vec::new() };
        let text = serde_json::to_string(&found).expect("JSON");
        Write::Put(Table::Conflicts, Row { key: id.into(), text, index })
    };
    block_on(desk.store.transact(Durability::Strict, Put((1..=count).map(put).collect()))).expect("stored");
    desk
}

fn list(desk: &Desk, filter: &Value) -> Vec<u64> {
    let mut filter = Filter::parse(object(filter.clone())).expect("a filter");
    let mut ids = Vec::new();
    loop {
        let page = desk.look(ListConflicts { schema: desk.schema.clone(), filter: filter.clone(), only: None }).expect("a page");
        ids.extend(page.found.iter().map(|conflict| conflict.id));
        let Some(last) = page.more_after else { return ids };
        filter.after = Some(last);
        filter.limit = filter.limit.map(|limit| limit - u32::try_from(page.found.len()).expect("small"));
    }
}

#[test]
fn every_filter_finds_what_looking_at_all_of_them_finds() {
    let desk = desk(150, true);
    let all: Vec<Conflict> = (1..=150).map(conflict).collect();
    let filters = [
        json!({}),
        json!({"state": "open"}),
        json!({"state": "undone", "kind": "delete-update"}),
        json!({"entity": "client"}),
        json!({"entity": "pet", "record": 4}),
        json!({"record": 4}),
        json!({"record": 4, "state": "resolved", "resolvedBy": "rule"}),
        json!({"resolvedBy": "anna", "since": 1_200, "until": 1_500}),
        json!({"since": 1_735}),
        json!({"until": 1_010}),
        json!({"since": 1_500, "until": 1_400}),
        json!({"record": 99}),
    ];
    for filter in filters {
        let wanted = Filter::parse(object(filter.clone())).expect("a filter");
        let records: Vec<_> = wanted.record.iter().flat_map(|id| ["pet", "client"].map(|entity| (entity.to_owned(), id.clone()))).collect();
        for order in ["asc", "desc"] {
            let mut expected: Vec<u64> = all.iter().filter(|one| wanted.matches(one, &records)).map(|one| one.id).collect();
            if order == "desc" {
                expected.reverse();
            }
            let mut asked = filter.clone();
            asked["order"] = json!(order);
            assert_eq!(list(&desk, &asked), expected, "{asked}");
            // The same in pages of seven, each going on after the last of the one before.
            let mut paged = Vec::new();
            asked["limit"] = json!(7);
            loop {
                let page = list(&desk, &asked);
                assert!(page.len() <= 7);
                let Some(last) = page.last() else { break };
                asked["after"] = json!(last);
                paged.extend(page);
            }
            assert_eq!(paged, expected, "in pages: {asked}");
        }
    }
}

#[test]
fn a_page_reads_its_own_rows_and_not_the_others() {
    let desk = desk(3_000, true);
    for (filter, most) in [
        (json!({"limit": 10}), 10),
        (json!({"state": "open", "limit": 10, "order": "desc"}), 10),
        (json!({"state": "open", "limit": 10, "after": 1_505}), 11),
        (json!({"entity": "pet", "record": 4, "limit": 10}), 10),
        // Half of those that stand in the shorter list are meant.
        (json!({"entity": "client", "state": "open", "limit": 10}), 100),
        (json!({"since": 15_900, "state": "open"}), 20),
    ] {
        desk.rows_read.set(0);
        let found = list(&desk, &filter);
        assert!(!found.is_empty() && desk.rows_read.get() <= most, "{filter}: {} rows for {}", desk.rows_read.get(), found.len());
    }
}

#[test]
fn what_a_filter_names_must_be_there() {
    let desk = desk(5, true);
    for (filter, path) in [(json!({"entity": "pett"}), "entity"), (json!({"after": 6}), "after")] {
        let filter = Filter::parse(object(filter)).expect("a filter");
        let refused = desk.look(ListConflicts { schema: desk.schema.clone(), filter, only: None }).expect_err("refused");
        assert_eq!(refused.path, path);
    }
}

#[test]
fn conflicts_are_counted_without_being_read() {
    let mut desk = desk(500, true);
    for filter in [json!({}), json!({"since": 1_300, "until": 2_000}), json!({"since": 90_000})] {
        let filter = Filter::parse(object(filter)).expect("a filter");
        let mut expected = ConflictCounts::default();
        (1..=500).map(conflict).filter(|one| filter.matches(one, &[])).for_each(|one| expected.add(&one));
        desk.rows_read.set(0);
        let counts = desk.look(CountConflicts { schema: desk.schema.clone(), filter }).expect("counted");
        assert_eq!(counts, expected);
        assert!(desk.rows_read.get() <= 1, "the oldest open one alone");
    }
    // Of an entity that this release does not declare, nobody knows without looking.
    desk.schema = Rc::new(Schema::parse(r#"{"name": "plans", "version": 1, "entities": {"pet": {}}}"#).expect("a schema"));
    assert_eq!(desk.look(CountConflicts { schema: desk.schema.clone(), filter: Filter::default() }), None);
}

#[test]
fn conflicts_of_an_older_layout_get_entries_and_steps_once() {
    let desk = desk(250, false);
    let client = fieldsync::model::IdSource::default().client_id(1, [1; 10]);
    let text = json!({"client": client.as_str(), "tenant": "north", "user": "anna", "created": 1}).to_string();
    let device = Write::Put(Table::State, Row { key: "device".into(), text, index: Vec::new() });
    block_on(desk.store.transact(Durability::Strict, Put(vec![device]))).expect("stored");
    assert_eq!(list(&desk, &json!({"state": "open"})), Vec::<u64>::new(), "nothing is found before");
    let (mut done, mut parts) = (Some(0), Vec::new());
    while let Some(last) = done {
        let before = desk.store.counts().writes;
        done = desk.decide(IndexConflicts { done: last });
        parts.push(desk.store.counts().writes - before);
    }
    assert_eq!(parts, [100, 100, 50, 1], "a bounded part in each transaction, and at the end the word that it is done");
    assert_eq!(list(&desk, &json!({"state": "open"})).len(), 35);
    let steps = |id: u64| {
        let text = &desk.store.dump(Table::Conflicts)[usize::try_from(id - 1).expect("small")].1;
        serde_json::from_str::<Conflict>(text).expect("a conflict").steps
    };
    assert_eq!(steps(7), conflict(7).steps, "an open one was found");
    assert_eq!(steps(8).len(), 2, "another was resolved too");
    desk.rows_read.set(0);
    let (before, again) = (desk.everything(), desk.decide(IndexConflicts { done: 0 }));
    assert_eq!((again, desk.everything() == before), (None, true), "and never again");
    let device = block_on(desk.store.read(Planned::new(fieldsync::decide::OpenDevice { fresh: fresh(client) }))).expect("read");
    assert_eq!(device.expect("a device").device.layout, Device::LAYOUT);
}

fn fresh(client: fieldsync::model::ClientId) -> Device {
    Device { client, tenant: "north".to_owned(), user: "anna".to_owned(), created: 1, layout: Device::LAYOUT, sums: true }
}

#[test]
fn a_record_is_found_by_an_id_that_it_had() {
    let mut desk = desk(20, true);
    let temp = desk.temp_id();
    let key = [fieldsync::value::Key::from("pet"), temp.to_key()].into();
    let became = Row { key, text: json!({"id": 4, "created": 1, "synced": 2}).to_string(), index: Vec::new() };
    block_on(desk.store.transact(Durability::Strict, Put(vec![Write::Put(Table::Ids, became)]))).expect("stored");
    assert_eq!(list(&desk, &json!({"record": temp.to_value()})), [4], "15 is of another entity");
    assert_eq!(list(&desk, &json!({"record": 4})), [4, 15]);
    // However many entities there are, all of them are asked at once.
    let entities: serde_json::Map<String, Value> = (0..30).map(|at| (format!("e{at}"), json!({}))).collect();
    let mut entities = json!({"name": "plans", "version": 1, "entities": entities});
    (entities["entities"]["pet"], entities["entities"]["client"]) = (json!({}), json!({}));
    desk.schema = Rc::new(Schema::parse(&entities.to_string()).expect("a schema"));
    assert_eq!(list(&desk, &json!({"record": 4, "kind": "update-update", "limit": 5})), [15]);
    let open = conflict(14);
    assert_eq!((open.state, &open.record), (ConflictState::Open, &RecordId::Integer(3)));
    let found = desk.store.dump(Table::Conflicts).len();
    let counted = Read::count_index(Table::Conflicts, Filter::default().range(&filter::all(), None));
    let count = block_on(desk.store.read(CountOnce(Some(counted)))).expect("counted");
    assert_eq!(count, found as u64, "each has one entry among all");
}

#[test]
fn a_record_that_a_restored_server_gives_another_id_keeps_its_conflicts() {
    let mut desk = desk(10, true);
    let create = desk.create(json!({"name": "Max"}));
    acknowledge(&mut desk, &create, &RecordId::Integer(8), 2);
    assert_eq!(list(&desk, &json!({"entity": "pet", "record": 8})), [8], "it met one in the old lineage");
    change(&desk, epoch(1), epoch(2)).expect("it stood in the first");
    desk.claim(&[&create], desk.known());
    desk.answer(epoch(2), 999, &[(&create, applied(&RecordId::Integer(77), 101))]).expect("the new lineage");
    for id in [create.row.to_value(), json!(8), json!(77)] {
        assert_eq!(list(&desk, &json!({"entity": "pet", "record": id})), [8], "by {id}");
    }
}

/// Counts once.
#[derive(Clone)]
struct CountOnce(Option<Read>);
impl Plan for CountOnce {
    type Out = u64;
    fn step(&mut self, seen: &View) -> Step<u64> {
        match self.0.take() {
            Some(read) => Step::Read(vec![read]),
            None => Step::Done(Vec::new(), seen.count(0)),
        }
    }
}

#[test]
fn a_restore_that_was_committed_and_not_heard_of_is_not_done_twice() {
    let mut desk = Desk::with_rex();
    desk.update(&REX, json!({"name": "mine"}));
    desk.page(Some("one"), "two", vec![rex(2, json!({"name": "theirs", "age": 1}))]);
    let [(_, text)] = &desk.store.dump(Table::Conflicts)[..] else { panic!("one conflict") };
    let met: Conflict = serde_json::from_str(text).expect("a conflict");
    let operation = desk.op_id();
    let take_back = |wish| TakeBack {
        reason: None,
        schema: desk.schema.clone(),
        conflict: met.id,
        wish,
        operation: operation.clone(),
        now: 1_700_000_000_001,
        user: "anna".to_owned(),
        generation: 0,
        dry: false,
        shown: None,
        along: std::rc::Rc::default(),
    };
    let first = desk.decide(take_back(Wish::Restore)).expect("restored");
    assert_eq!((first.operation.as_ref(), first.effects.queued.len()), (Some(&operation), 1));
    assert_eq!(desk.get(&REX).expect("there").data["name"], "theirs");
    let stored = desk.everything();
    let second = desk.decide(take_back(Wish::Restore)).expect("it is said again");
    assert_eq!((second.operation, second.kept), (first.operation, first.kept));
    assert!(desk.everything() == stored, "and nothing is written again");
}

#[test]
fn a_record_that_was_given_up_is_not_given_up_twice() {
    let mut desk = Desk::new();
    let create = desk.create(json!({"name": "Rex"}));
    desk.claim(&[&create], desk.known());
    let constraint = Some(Box::new(Broken { fields: vec!["name".to_owned()], id: REX, version: None, data: None }));
    let (kind, server) = (ConflictKind::Constraint, ServerState::plain(Version::LOST, None));
    let met = Outcome::Conflict { conflict_id: "one".to_owned(), kind, real_id: None, server, done: false, constraint };
    desk.answer(epoch(1), 0, &[(&create, met)]).expect("it stands in this one");
    let State::Conflict { conflict } = desk.state(&create) else { panic!("a person decides") };
    let resolve = || Resolve {
        schema: desk.schema.clone(),
        conflicts: vec![conflict],
        resolution: Resolution::ServerWins,
        shown: None,
        asked: None,
        dry: false,
        reason: None,
        gives_up: true,
        fresh: Fresh { now: 1_700_000_000_001, random: [7; 10] },
        user: "anna".to_owned(),
    };
    // The connection died after the commit: nobody heard of it, and no operation tells of it.
    let (first, stored) = (desk.decide(resolve()), desk.everything());
    let again = desk.decide(resolve());
    assert_eq!((first.ended, first.refused), (again.ended, again.refused));
    assert!(desk.everything() == stored && desk.outbox().is_empty(), "nothing is written again");
}
