//! The targets. Each takes any bytes, returns where they are none of its business, and panics where a law breaks.

use std::cell::Cell;

use fieldsync::conflict::{Local, judge, merge};
use fieldsync::decide::ApplyPage;
use fieldsync::model::{Action, Operation, Stamp, Version};
use fieldsync::protocol::{
    ConflictsRequest, ConflictsResponse, DownloadEnd, DownloadHead, DownloadRequest, InitializeRequest, InitializeResponse, Outcome, Page,
    PageHead, RawPage, Reply, RequestHead, ResolveConflictRequest, ResolveConflictResponse, ServerState, StatusRequest, StatusResponse,
    TrailRequest, TrailResponse, UploadRequest, UploadResponse,
};
use fieldsync::schema::{ConflictRules, Schema};
use fieldsync::value::{Delta, Limits, Object, Sorted, canonical, canonical_object, from_text, from_value, parse, to_text};
use fieldsync::value::{apply_merge_patch, apply_patch, create_merge_patch, create_patch};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What takes any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the folder of their corpus.
pub const TARGETS: &[(&str, Target)] =
    &[("value", value), ("upload", upload), ("page", page), ("answers", answers), ("delta", delta), ("merge", merging), ("patch", patch)];

/// What is written of an input may be longer than it, but not by more than this: a byte can become an escape.
const GROWTH: usize = 16;

thread_local! {
    static TAKEN: Cell<bool> = const { Cell::new(false) };
}

/// Whether a target took an input for what it looks for.
pub fn takes(target: Target, input: &[u8]) -> bool {
    TAKEN.set(false);
    target(input);
    TAKEN.get()
}

fn took() {
    TAKEN.set(true);
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn message(bytes: &[u8]) -> Option<Value> {
    parse(text(bytes)?, &Limits::MESSAGE).ok()
}

fn object(value: &Value, name: &str) -> Option<Object> {
    value.get(name)?.as_object().cloned()
}

/// What is read is written so that it is read as the same.
fn stable<T: Serialize + DeserializeOwned>(value: &Value) -> Option<T> {
    let read: T = from_value(value).ok()?;
    took();
    let written = to_text(&read);
    let input = value.to_string().len();
    assert!(written.len() <= input * GROWTH + 1_024, "{} bytes of {input}", written.len());
    let again: T = from_text(&written).unwrap_or_else(|error| panic!("what was written is not read: {error}: {written}"));
    assert_eq!(to_text(&again), written);
    Some(read)
}

/// A value has one canonical form, whoever reads it.
fn value(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let ours = parse(text, &Limits::RECORD);
    let Ok(value) = ours else { return };
    took();
    let form = canonical(&value);
    assert!(form.len() <= text.len() * GROWTH + 64);
    assert_eq!(parse(&form, &Limits::RECORD).as_ref().map(canonical), Ok(form.clone()));
    let theirs: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("we take what is no JSON: {error}"));
    assert_eq!(canonical(&theirs), form, "another reader has another value");
    if let Some(fields) = value.as_object() {
        assert_eq!(canonical_object(fields), form);
    }
}

fn upload(bytes: &[u8]) {
    let Some(read) = message(bytes) else { return };
    let Some(request) = stable::<UploadRequest<Operation>>(&read) else { return };
    for operation in &request.operations {
        let again: Operation = from_text(&to_text(operation)).expect("reads");
        assert_eq!(again.fingerprint(), operation.fingerprint());
        if let Action::Update { delta } = &operation.action {
            let mut record = Object::new();
            delta.apply(&mut record);
        }
    }
}

thread_local! {
    static SCHEMA: Schema = Schema::parse(r#"{"name": "fuzz", "version": 1, "entities": {"pet": {"indexes": ["name"]}, "client": {}}}"#).expect("a schema");
}

fn page(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    message(bytes).and_then(|value| stable::<Page>(&value));
    // Neither reader brings numbers into normal form: that is done for fields alone.
    let whole: Option<Page> = from_text(text).ok();
    let raw = RawPage::read(text);
    if let Some(raw) = &raw {
        let checked = SCHEMA.with(|schema| ApplyPage::check(raw, schema, &mut |_, _, _| None));
        assert!(checked.len() <= raw.changes.len());
    }
    if let Some(whole) = whole {
        let raw = raw.expect("what is a page is one for the reader that leaves the records alone");
        assert_eq!(raw.changes.len(), whole.changes.len());
        assert_eq!((raw.checkpoint, raw.through), (whole.checkpoint, whole.through));
    }
}

fn answers(bytes: &[u8]) {
    let Some(read) = message(bytes) else { return };
    let Some(value) = read.get("value") else { return };
    match read["type"].as_str().unwrap_or_default() {
        "RequestHead" => drop(stable::<RequestHead>(value)),
        "Reply" => drop(stable::<Reply>(value)),
        "InitializeRequest" => drop(stable::<InitializeRequest>(value)),
        "InitializeResponse" => drop(stable::<InitializeResponse>(value)),
        "UploadResponse" => drop(stable::<UploadResponse>(value)),
        "Outcome" => drop(stable::<Outcome>(value)),
        "DownloadRequest" => drop(stable::<DownloadRequest>(value)),
        "DownloadHead" => drop(stable::<DownloadHead>(value)),
        "PageHead" => drop(stable::<PageHead>(value)),
        "DownloadEnd" => drop(stable::<DownloadEnd>(value)),
        "ConflictsRequest" => drop(stable::<ConflictsRequest>(value)),
        "ConflictsResponse" => drop(stable::<ConflictsResponse>(value)),
        "ResolveConflictRequest" => drop(stable::<ResolveConflictRequest>(value)),
        "ResolveConflictResponse" => drop(stable::<ResolveConflictResponse>(value)),
        "StatusRequest" => drop(stable::<StatusRequest>(value)),
        "StatusResponse" => drop(stable::<StatusResponse>(value)),
        "TrailRequest" => drop(stable::<TrailRequest<Value>>(value)),
        "TrailResponse" => drop(stable::<TrailResponse>(value)),
        _ => {}
    }
}

/// A difference leads from one to the other; whatever a delta says, applying it ends.
fn delta(bytes: &[u8]) {
    let Some(read) = message(bytes) else { return };
    let (Some(from), Some(to)) = (object(&read, "from"), object(&read, "to")) else { return };
    let difference = Delta::diff(&from, &to);
    let mut record = from.clone();
    difference.apply(&mut record);
    assert_eq!(record, to);
    assert_eq!(difference.is_empty(), from == to);
    let wire: Delta = from_text(&to_text(&difference)).expect("a difference is read as it was written");
    assert_eq!(wire, difference);
    if let Some(delta) = read.get("delta").and_then(stable::<Delta>) {
        let (mut once, mut twice) = (from.clone(), from);
        delta.apply(&mut once);
        let again: Delta = from_text(&to_text(&delta)).expect("reads");
        again.apply(&mut twice);
        assert_eq!(once, twice, "one delta does one thing");
        assert!(canonical_object(&once).len() <= text(bytes).map_or(0, str::len) * GROWTH + 1_024);
    }
}

/// A patch of ours leads from one to the other; whatever a patch says, applying it ends, within bounds.
fn patch(bytes: &[u8]) {
    let Some(read) = message(bytes) else { return };
    let (Some(from), Some(to)) = (read.get("from"), read.get("to")) else { return };
    assert_eq!(apply_patch(from, &create_patch(from, to)).as_ref(), Ok(to));
    if let Ok(merge) = create_merge_patch(from, to) {
        assert_eq!(apply_merge_patch(from, &merge), *to);
    }
    let Some(patch) = read.get("patch") else { return };
    apply_merge_patch(from, patch);
    if let Ok(patched) = apply_patch(from, patch) {
        took();
        assert!(canonical(&patched).len() <= Limits::MESSAGE.bytes_max * 2);
    }
}

/// Laws of the merge, under whatever rules a schema may have.
fn merging(bytes: &[u8]) {
    let Some(read) = message(bytes) else { return };
    let sides = (object(&read, "base"), object(&read, "local"), object(&read, "server"));
    let (Some(base), Some(local), Some(server)) = sides else { return };
    assert_eq!(merge(&base, &local, &base), (local.clone(), Vec::new()), "only we changed it");
    assert_eq!(merge(&base, &base, &server), (server.clone(), Vec::new()), "only they did");
    assert_eq!(merge(&base, &local, &local), (local.clone(), Vec::new()), "both did the same");
    let (merged, fields) = merge(&base, &local, &server);
    if fields.is_empty() {
        assert_eq!(merge(&base, &server, &local).0, merged, "whoever comes first");
    }
    let schema = serde_json::json!({"name": "fuzz", "version": 1, "entities": {"pet": {"conflicts": read.get("rules")}}});
    let Ok(schema) = Schema::parse(&schema.to_string()) else { return };
    let Some(pet) = schema.entity("pet") else { return };
    took();
    judged(&base, &local, &server, &pet.conflicts);
}

fn judged(base: &Object, local: &Object, server: &Object, rules: &ConflictRules) {
    let stamps = Sorted::new();
    let over = |action: &Action, there: &Object| {
        let state =
            ServerState { version: Version(2), data: Some(there.clone()), stamp: Stamp { ms: 1, n: 0 }, field_stamps: Sorted::new() };
        let stamp = Stamp { ms: 2, n: 0 };
        let verdict = judge(
            Local { action, stamp, stamps: &stamps, version: None, base: Some(base), on: Some(there), view: Some(local) },
            &state,
            rules,
        );
        let mut record = there.clone();
        if let Some(Action::Update { delta }) = &verdict.action {
            delta.apply(&mut record);
        }
        (verdict, record)
    };
    let change = Action::Update { delta: rules.delta(base, local) };
    let (first, record) = over(&change, server);
    let (second, again) = over(&change, server);
    assert_eq!((&first, &record), (&second, &again), "a judgement is the same whenever it is asked for");
    let (alone, record) = over(&change, base);
    assert_eq!((alone.fields, &record), (Vec::<String>::new(), local), "an unchanged server takes what was written");
    let (none, record) = over(&Action::nothing(), server);
    assert_eq!((none.fields, &record), (Vec::<String>::new(), server), "who did nothing changes nothing");
    over(&Action::Delete, server);
}
