//! How often the hot functions of the core ask for memory, over 10,000 records. Unlike a time this is the same on every machine:
//! what grows here grew in the code. docs/performance.md shows the counts, and is held to them.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use fieldsync::audit::{Entry, Event, Row};
use fieldsync::conflict::{Local, judge, merge};
use fieldsync::model::{Action, Kind, OpId, RecordId, Stamp, Version};
use fieldsync::protocol::ServerState;
use fieldsync::schema::ConflictRules;
use fieldsync::value::{Delta, Object, Sorted, hash, hash_bytes};
use serde_json::{Value, json};

const COUNT: u64 = 10_000;
/// Another release of the standard library may allocate otherwise: so many percent are no news.
const TOLERANCE_PERCENT: u64 = 5;

/// A record as three sides have it, as in the bench: one in two has a field that both changed.
struct Triple {
    base: Object,
    local: Object,
    server: Object,
}

fn triple(at: u64) -> Triple {
    let object = |value: Value| value.as_object().cloned().unwrap_or_default();
    let base = json!({
        "title": format!("item {at}"), "amount": at, "done": false, "text": "Lorem ipsum dolor sit amet", "parentId": null,
        "address": {"city": "Bern", "street": "Gasse 1", "tags": ["a", "b"]},
    });
    let (mut local, mut server) = (base.clone(), base.clone());
    local["amount"] = json!(at + 1);
    local["address"]["street"] = json!(format!("Weg {at}"));
    server["text"] = json!("anew");
    server["address"]["city"] = json!("Thun");
    if at.is_multiple_of(2) {
        server["amount"] = json!(-1);
    }
    Triple { base: object(base), local: object(local), server: object(server) }
}

/// Allocations and bytes for each record.
fn counted(work: impl Fn(u64, &Triple)) -> (u64, u64) {
    let triples: Vec<Triple> = (0..COUNT).map(triple).collect();
    let counted = allocation_counter::measure(|| (0..COUNT).zip(&triples).for_each(|(at, triple)| work(at, triple)));
    (counted.count_total / COUNT, counted.bytes_total / COUNT)
}

fn detect(triple: &Triple, action: &Action, server: &ServerState) -> usize {
    let local = Local {
        action,
        stamp: Stamp { ms: 7, n: 0 },
        stamps: &Sorted::new(),
        version: Some(Version(1)),
        base: Some(&triple.base),
        on: Some(&triple.server),
        view: Some(&triple.local),
    };
    judge(local, server, &ConflictRules::default()).fields.len()
}

fn append(at: u64) -> Row {
    let operation = OpId::parse("018bcfe5-6800-75ef-814c-ec316ae63df7").expect("an ID");
    let event = Event::Written { kind: Kind::Update, content: hash_bytes(b"x") };
    let entry = Entry::new(operation, "item", RecordId::from_value(&json!(at)).expect("an ID"), event);
    Row::after(None, at + 1, Stamp { ms: at, n: 0 }, Some(3), "anna", None, vec![entry])
}

/// What docs/performance.md says: the name of the work, allocations, bytes.
fn documented() -> BTreeMap<String, (u64, u64)> {
    let page = include_str!("../docs/performance.md");
    let (_, table) = page.split_once("| for each of 10,000 records |").expect("the table of allocations");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let number = |cell: &str| cell.trim().replace(',', "").parse().expect("a number");
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        (cells[0].trim().to_owned(), (number(cells[1]), number(cells[2])))
    })
    .collect()
}

#[test]
fn the_core_allocates_as_often_as_the_page_says() {
    // One of them decides for all that are sent in one answer: what it is asked about is made before.
    let asked: Vec<(Action, ServerState)> = (0..COUNT)
        .map(triple)
        .map(|triple| {
            let action = Action::Update { delta: Delta::diff(&triple.base, &triple.local) };
            (action, ServerState::plain(Version(2), Some(triple.server)))
        })
        .collect();
    let place = |at: u64| usize::try_from(at).expect("a small number");
    let mut found = BTreeMap::new();
    let mut count = |name: &str, work: &dyn Fn(u64, &Triple)| found.insert(name.to_owned(), counted(work));
    count("detect a conflict", &|at, triple| {
        let (action, server) = &asked[place(at)];
        let fields = detect(triple, action, server);
        assert_eq!(fields, usize::from(at.is_multiple_of(2)), "{at}");
    });
    count("diff", &|_, triple| assert_eq!(Delta::diff(&triple.base, &triple.local).changes().count(), 2));
    count("merge", &|at, triple| {
        let (merged, fields) = merge(&triple.base, &triple.local, &triple.server);
        assert_eq!((merged.len(), fields.len()), (6, usize::from(at.is_multiple_of(2))));
    });
    let values: Vec<Value> = (0..COUNT).map(|at| Value::Object(triple(at).server)).collect();
    count("canonical hash", &|at, _| assert_eq!(hash(&values[place(at)]).as_str().len(), 64));
    count("a row of the trail", &|at, _| assert_eq!(append(at).seq, at + 1));
    let documented = documented();
    assert_eq!(documented.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, (blocks, bytes)) in &found {
        let is_near = |counted: u64, told: u64| counted.abs_diff(told) * 100 <= told * TOLERANCE_PERCENT;
        let (told_blocks, told_bytes) = documented[name];
        assert!(is_near(*blocks, told_blocks) && is_near(*bytes, told_bytes), "docs/performance.md, {name}: {found:?}");
    }
}
