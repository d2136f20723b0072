//! Documents that are trouble elsewhere, by every way into a device: as a create, an update, a download, a page of a server
//! that checks nothing, and in the answer to an upload. Each goes through unharmed or is refused by a code, and the next
//! good write is written, sent and seen by others.

use fieldsync::plan::Table;
use fieldsync::value::{Limits, canonical, parse};
use serde_json::{Value, json};

use crate::network::MARK;
use crate::world::{Tab, World, tell};

/// The longest record.
const RECORD_BYTES_MAX: usize = 1 << 20;

/// A document as text, and the code by which it is refused; nothing if it is as good as any.
struct Case {
    name: &'static str,
    text: String,
    refused: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let levels = |levels: usize| format!("{}1{}", "{\"n\":".repeat(levels), "}".repeat(levels));
    let long = |bytes: usize| format!("{{\"t\":\"{}\"}}", "x".repeat(bytes - r#"{"t":""}"#.len()));
    let many = (0..40_000).map(|at| format!("\"f{at}\":{at}")).collect::<Vec<_>>().join(",");
    let case = |name, text: &str, refused| Case { name, text: text.to_owned(), refused };
    vec![
        case("prototype", r#"{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toString":1}"#, None),
        case("64 levels", &levels(64), None),
        case("65 levels", &levels(65), Some("too_deep")),
        case("1000 levels", &levels(1_000), Some("too_deep")),
        case("a key twice", r#"{"a":1,"a":2}"#, Some("invalid_value")),
        case("a key twice, spelled otherwise", r#"{"a":1,"\u0061":2}"#, Some("invalid_value")),
        case("1e400", r#"{"n":1e400}"#, Some("invalid_value")),
        case("twice the largest double", r#"{"n":3.5953862697246318e308}"#, Some("invalid_value")),
        case("2^53", r#"{"n":9007199254740992}"#, Some("invalid_value")),
        case("2^53 - 1", r#"{"n":9007199254740991,"m":-9007199254740991}"#, None),
        case("minus zero and the ends of doubles", r#"{"n":-0,"m":-0.0,"a":5e-324,"z":1.7976931348623157e308}"#, None),
        case("half a pair", r#"{"s":"\ud800"}"#, Some("invalid_value")),
        case("half a pair as a key", r#"{"\udc00":1}"#, Some("invalid_value")),
        case("strange keys", r#"{"a\u0000b":1,"\u2028":2,"":3,"a/b~c":4,"\ud83d\ude00":5,"7":6,"01":7,"\ufeff":8}"#, None),
        case("1 MiB", &long(RECORD_BYTES_MAX), None),
        case("1 MiB and a byte", &long(RECORD_BYTES_MAX + 1), Some("too_large")),
        case("40,000 fields", &format!("{{{many}}}"), None),
    ]
}

/// The fields of a record, without what is FieldSync's.
fn fields(record: Option<Value>) -> Value {
    let mut record = record.unwrap_or_default();
    if let Some(fields) = record.as_object_mut() {
        fields.remove("id");
        fields.remove("_sync");
    }
    record
}

fn meant(case: &Case) -> Value {
    parse(&case.text, &Limits::RECORD).unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

/// The next good write is written, sent and seen.
async fn goes_on(here: &Tab, there: &Tab, case: &Case) {
    let good = here.create("client", json!({"name": case.name})).await;
    let result = here.sync().await;
    assert!(result.success, "{}: {:?}", case.name, result.errors);
    assert!(there.sync().await.success, "{}", case.name);
    let good = here.real_id("client", &good).await.to_string();
    assert_eq!(fields(there.get("client", &good).await), json!({"name": case.name}));
    assert!(here.queue().await.is_empty(), "{}", case.name);
}

#[test]
fn as_a_create_and_as_a_download() {
    for case in cases() {
        tell(async {
            let world = World::new();
            let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
            let done = here.engine.create("client", &case.text).await;
            assert_eq!(done.as_ref().err().map(|error| error.code), case.refused, "{}", case.name);
            if let Ok(saved) = &done {
                let id = saved["record"]["id"].to_string();
                assert_eq!(fields(here.get("client", &id).await), meant(&case), "{}", case.name);
                goes_on(&here, &there, &case).await;
                let id = here.real_id("client", &id).await.to_string();
                assert_eq!(fields(there.get("client", &id).await), meant(&case), "{}", case.name);
            } else {
                goes_on(&here, &there, &case).await;
            }
        });
    }
}

#[test]
fn as_an_update() {
    for case in cases() {
        tell(async {
            let world = World::new();
            let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
            let id = here.create("client", json!({"old": 1})).await;
            assert!(here.sync().await.success);
            let changes = format!(r#"{{"set":{},"unset":["old"]}}"#, case.text);
            let done = here.engine.update("client", &id, &changes).await;
            // What an update says is bounded like a record, with the words around the fields.
            let refused = case.refused.or((changes.len() > RECORD_BYTES_MAX).then_some("too_large"));
            assert_eq!(done.as_ref().err().map(|error| error.code), refused, "{}", case.name);
            let expected = if done.is_ok() { meant(&case) } else { json!({"old": 1}) };
            assert_eq!(fields(here.get("client", &id).await), expected, "{}", case.name);
            goes_on(&here, &there, &case).await;
            let id = here.real_id("client", &id).await.to_string();
            assert_eq!(fields(there.get("client", &id).await), expected, "{}", case.name);
        });
    }
}

#[test]
fn as_a_page_of_a_server_that_checks_nothing() {
    for case in cases() {
        tell(async {
            let world = World::new();
            let device = world.device("anna");
            let (here, there) = (device.tab().await, world.device("ben").tab().await);
            let id = there.create("client", serde_json::from_str(MARK).expect("JSON")).await;
            assert!(there.sync().await.success);
            here.swap(Some(case.text.clone()));
            let result = here.sync().await;
            assert!(result.success, "{}: {:?}", case.name, result.errors);
            here.swap(None);
            let id = there.real_id("client", &id).await.to_string();
            let aside = device.store.dump(Table::Quarantine).len();
            if case.refused.is_some() {
                // It is set aside, and the page with the others goes on.
                assert_eq!((result.quarantined, aside, here.get("client", &id).await), (1, 1, None), "{}", case.name);
            } else {
                // What came is stored as it came, so that a number can be spelled in another way.
                let stored = canonical(&fields(here.get("client", &id).await));
                assert_eq!((aside, stored), (0, canonical(&meant(&case))), "{}", case.name);
            }
            goes_on(&here, &there, &case).await;
        });
    }
}

#[test]
fn in_the_answer_to_an_upload() {
    for case in cases() {
        tell(async {
            let world = World::new();
            let (here, there) = (world.device("anna").tab().await, world.device("ben").tab().await);
            let id = there.create("client", json!({"name": "first"})).await;
            assert!(there.sync().await.success && here.sync().await.success);
            let id = there.real_id("client", &id).await.to_string();
            there.update("client", &id, json!({"name": "MARK"})).await;
            assert!(there.sync().await.success);
            world.pass(1_000);
            here.update("client", &id, json!({"name": "later"})).await;
            here.swap(Some(case.text.clone()));
            let result = here.engine.sync(fieldsync::engine::Direction::Up, None).await;
            here.swap(None);
            // An answer that is none is as if none had come.
            let errors: Vec<&str> = result.errors.iter().map(|error| error.code.as_str()).collect();
            let none = errors == ["network"];
            assert!(none && case.refused.is_some() || errors.is_empty(), "{}: {errors:?}", case.name);
            goes_on(&here, &there, &case).await;
            assert!(here.sync().await.success, "{}", case.name);
            assert_eq!(here.get("client", &id).await.map(|record| record["name"].clone()), Some(json!("later")), "{}", case.name);
            let conflicts = here.engine.conflicts().await.expect("read");
            let met: Vec<String> = conflicts.iter().map(|conflict| canonical(&conflict["serverData"])).collect();
            let server: Value = serde_json::from_str(if none { MARK } else { &case.text }).expect("JSON");
            assert_eq!(met, [canonical(&server)], "{}", case.name);
        });
    }
}
