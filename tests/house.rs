//! Who may know whom: the rooms of the house, and the doors between them.
//!
//! Reads the source of the crate and of the server as text, because the compiler enforces none of
//! this: `decide` would build with a clock in it, and `model` with a use of `engine`. Every rule is
//! also run on a planted snippet that breaks it.

#[path = "house/tokens.rs"]
mod tokens;

use std::path::Path;
use tokens::{Token, named, tokens};

const VALUE: &[&str] = &[];
const MODEL: &[&str] = &["value"];
const SCHEMA: &[&str] = &["value", "model"];
const SHARED: &[&str] = &["value", "model", "schema"];
const PURE: &[&str] = &["value", "model", "schema", "protocol", "plan", "query"];

/// The one room that all others may know.
const EVERYWHERE: &str = "planted";

/// Every room, whether it is pure, and the rooms that it may know. Neighbours on one step of the
/// stairs do not know each other.
const ROOMS: &[(&str, bool, &[&str])] = &[
    // Mistakes on demand for the simulator: nothing in what ships, and everybody may ask.
    (EVERYWHERE, true, &[]),
    ("value", true, VALUE),
    ("model", true, MODEL),
    ("schema", true, SCHEMA),
    ("protocol", true, SHARED),
    ("plan", true, SHARED),
    ("query", true, SHARED),
    ("relations", true, PURE),
    ("conflict", true, PURE),
    ("audit", true, PURE),
    ("integrity", true, MODEL),
    ("metrics", true, MODEL),
    ("outbox", true, &["value", "model", "schema", "protocol", "plan", "query", "relations", "conflict", "audit"]),
    (
        "decide",
        true,
        &["value", "model", "schema", "protocol", "plan", "query", "relations", "conflict", "audit", "integrity", "metrics", "outbox"],
    ),
    ("store", false, &["value", "model", "schema", "plan", "query"]),
    ("platform", false, &["value", "model", "protocol"]),
    (
        "engine",
        false,
        &[
            "value",
            "model",
            "schema",
            "protocol",
            "plan",
            "query",
            "relations",
            "conflict",
            "audit",
            "integrity",
            "metrics",
            "outbox",
            "decide",
            "store",
            "platform",
        ],
    ),
    (
        "wasm",
        false,
        &[
            "value",
            "model",
            "schema",
            "protocol",
            "plan",
            "query",
            "relations",
            "conflict",
            "audit",
            "integrity",
            "metrics",
            "outbox",
            "decide",
            "store",
            "platform",
            "engine",
        ],
    ),
];

/// What the server may take from the crate.
const SERVER_MAY_KNOW: &[&str] = &["value", "model", "schema", "protocol", "relations", "conflict", "audit"];

/// Adapters, each with the only code that may name it beside its own: `wasm` wires them.
const ADAPTERS: &[&str] = &["store::indexeddb", "platform::browser", "platform::network::fetch"];

/// Foreign crates, each with the only folder that may use it.
const CRATES_AT_HOME: &[(&str, &str)] =
    &[("rexie", "src/store/indexeddb"), ("idb", "src/store/indexeddb"), ("gloo_net", "src/platform/network/fetch")];

/// Words that make a decision depend on more than its input.
const IMPURE: &[(&str, &str)] = &[
    ("async", "decisions do not wait"),
    ("await", "decisions do not wait"),
    ("JsValue", "decisions know no JavaScript"),
    ("js_sys", "decisions know no JavaScript"),
    ("web_sys", "decisions know no JavaScript"),
    ("wasm_bindgen", "decisions know no JavaScript"),
    ("SystemTime", "time comes as a value"),
    ("Instant", "time comes as a value"),
    ("getrandom", "random bytes come as a value"),
    ("rand", "random bytes come as a value"),
    ("HashMap", "its order is no order: BTreeMap"),
    ("HashSet", "its order is no order: BTreeSet"),
];

/// Everything wrong with one file of the crate, `file` being its path from the repository's root.
fn faults(file: &str, source: &str) -> Vec<String> {
    let words = tokens(source);
    let module = module_of(file);
    let Some(room) = module.first() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut fault = |line: usize, what: String| found.push(format!("{file}:{line}: {what}"));
    let Some((_, pure, may_know)) = ROOMS.iter().find(|(known, _, _)| known == room) else {
        return vec![format!("{file}: '{room}' is no room of the house")];
    };

    for reference in named(&words, "crate", &module) {
        let Some(other) = reference.path.first() else { continue };
        let is_room = ROOMS.iter().any(|(known, _, _)| known == other);
        if other != room && is_room && other != EVERYWHERE && !may_know.contains(&other.as_str()) {
            fault(reference.line, format!("{room} may not know {other}"));
        } else if !is_room && other != "*" && other.chars().next().is_some_and(char::is_lowercase) {
            fault(reference.line, format!("crate::{other} is no room"));
        }
        let path = reference.path.join("::");
        let own = module.join("::");
        for adapter in ADAPTERS {
            let names_it = path == *adapter || path.starts_with(&format!("{adapter}::"));
            // Its own files and the `mod.rs` that declares it.
            let at_home = own.starts_with(adapter) || adapter.starts_with(&own);
            if names_it && !at_home && *room != "wasm" {
                fault(reference.line, format!("only wasm may know the adapter {adapter}"));
            }
        }
    }
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).map_or("", |next| next.text.as_str());
        if *pure && let Some((_, why)) = IMPURE.iter().find(|(impure, _)| *impure == word.text) {
            fault(word.line, format!("'{}' in {room}: {why}", word.text));
        }
        for (name, home) in CRATES_AT_HOME {
            let used = word.text == *name && (next == "::" || next == ";" && previous(&words, index) == "use");
            if used && previous(&words, index) != "::" && !at_home(file, home) {
                fault(word.line, format!("{name} is used only in {home}"));
            }
        }
        if *room != "wasm" && word.text == "JsValue" && ["{", "where"].contains(&next) && implements_for(&words, index) {
            fault(word.line, "conversions to JsValue belong to wasm".to_owned());
        }
    }
    found
}

/// Everything that a file of the server takes from rooms that are not its business.
fn server_faults(file: &str, source: &str) -> Vec<String> {
    named(&tokens(source), "fieldsync", &[])
        .into_iter()
        .filter_map(|reference| {
            let room = reference.path.first()?;
            let known = SERVER_MAY_KNOW.contains(&room.as_str()) || room == EVERYWHERE;
            (!known).then(|| format!("{file}:{}: the server may not know {room}", reference.line))
        })
        .collect()
}

fn previous(words: &[Token], index: usize) -> &str {
    index.checked_sub(1).and_then(|index| words.get(index)).map_or("", |word| word.text.as_str())
}

/// Whether the type at `index` is what `impl .. for` implements something for.
fn implements_for(words: &[Token], index: usize) -> bool {
    let mut start = index;
    while start >= 2 && previous(words, start) == "::" {
        start -= 2;
    }
    previous(words, start) == "for" && words[..start].iter().rev().take(40).any(|word| word.text == "impl")
}

fn at_home(file: &str, home: &str) -> bool {
    file.starts_with(&format!("{home}/")) || file == format!("{home}.rs")
}

/// `src/value/delta.rs` is `["value", "delta"]`; `lib.rs` is the root, which is no room.
fn module_of(file: &str) -> Vec<&str> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|part| !["mod", "lib"].contains(part)).collect()
}

/// Every Rust file below a folder of the repository, by its path from the root.
fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is listed") {
            let path = entry.expect("its entry is read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("it lies in the repository").to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(&path).expect("the file is text")));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn rooms_know_only_whom_they_may() {
    let files = files("src");
    assert!(files.len() > 10, "the crate is read at all");
    let found: Vec<String> = files.iter().flat_map(|(file, source)| faults(file, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_server_takes_only_what_is_shared() {
    let files = files("server/src");
    assert!(!files.is_empty(), "the server is read at all");
    let found: Vec<String> = files.iter().flat_map(|(file, source)| server_faults(file, source)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The faults of a planted file, without its name.
fn planted(file: &str, source: &str) -> Vec<String> {
    let prefix = format!("{file}:");
    faults(file, source).into_iter().map(|fault| fault.trim_start_matches(&prefix).to_owned()).collect()
}

#[test]
fn a_room_that_looks_upstairs_is_seen() {
    assert_eq!(planted("src/model/ids.rs", "use crate::value::Value;\nuse crate::engine::Engine;"), ["2: model may not know engine"]);
    assert_eq!(planted("src/plan.rs", "use crate::{value::Value, query::{Query as Q, Order}};").len(), 2, "neighbours, in a group");
    assert_eq!(planted("src/value/path.rs", "fn f() { super::super::schema::check() }"), ["1: value may not know schema"]);
    assert_eq!(planted("src/value/mod.rs", "use super::outbox::Row;"), ["1: value may not know outbox"]);
    assert_eq!(planted("src/platform/clock.rs", "fn f() -> crate::store::Key { todo() }"), ["1: platform may not know store"]);
    assert_eq!(planted("src/helpers/mod.rs", ""), [" 'helpers' is no room of the house"]);
    assert_eq!(planted("src/model/ids.rs", "use crate::helpers::x;"), ["1: crate::helpers is no room"]);
}

#[test]
fn a_room_that_looks_downstairs_or_at_itself_is_not() {
    let source = "use crate::{model::Id, value::{Value, path::Pointer}};\n\
        // crate::engine is only spoken of here, and in \"crate::engine::x\"\n\
        const TEXT: &str = \"crate::engine::x\"; const RAW: &str = r#\"crate::wasm::\"x\"#; const C: char = '\"';\n\
        mod tests { use super::*; mod deeper { use super::super::local; } }\n\
        pub(crate) fn after<'a>(x: &'a str) -> super::mapping::Row { crate::schema::rows::f(x) }";
    assert_eq!(planted("src/schema/rows.rs", source), Vec::<String>::new());
}

#[test]
fn impure_words_are_seen_in_pure_rooms_only() {
    let source = "use std::collections::HashMap;\nasync fn f() { Instant::now(); }";
    assert_eq!(planted("src/decide/write.rs", source).len(), 3);
    assert_eq!(planted("src/engine/session.rs", source), Vec::<String>::new());
}

#[test]
fn foreign_crates_stay_at_home() {
    let source = "use rexie::Rexie;\nfn f(x: idb::Database) { gloo_net::http::x(); let idb = 1; }";
    assert_eq!(planted("src/engine/session.rs", source).len(), 3);
    assert_eq!(planted("src/store/indexeddb/open.rs", source), ["2: gloo_net is used only in src/platform/network/fetch"]);
    assert_eq!(planted("src/platform/network/fetch.rs", "use gloo_net::http::Request;"), Vec::<String>::new());
}

#[test]
fn adapters_are_wired_in_wasm_alone() {
    let source = "use crate::store::{Store, indexeddb::IndexedDb};";
    assert_eq!(planted("src/engine/open.rs", source), ["1: only wasm may know the adapter store::indexeddb"]);
    assert_eq!(planted("src/wasm/open.rs", source), Vec::<String>::new());
    assert_eq!(planted("src/store/indexeddb/tx.rs", "use super::super::indexeddb::rows::Row;"), Vec::<String>::new());
}

#[test]
fn conversions_to_javascript_are_seen_outside_wasm() {
    let source = "impl From<StoreError> for wasm_bindgen::JsValue { }";
    assert_eq!(planted("src/store/error.rs", source), ["1: conversions to JsValue belong to wasm"]);
    assert_eq!(planted("src/wasm/error.rs", source), Vec::<String>::new());
}

#[test]
fn the_server_is_seen_at_the_wrong_door() {
    let source = "use fieldsync::{model::Id, outbox::Row};\nuse fieldsync::protocol::Upload;";
    assert_eq!(server_faults("server/src/x.rs", source), ["server/src/x.rs:1: the server may not know outbox"]);
}
