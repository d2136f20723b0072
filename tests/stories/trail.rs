//! What an inspector does with the trail: asks it, proves it, takes it along, and is told what waits for too long.

use fieldsync::plan::{Row, Table, Write, WriteBatch};
use fieldsync::value::{Key, hash_bytes};
use serde_json::{Value, json};

use crate::raw::write;
use crate::records::{parked, value};
use crate::world::{Tab, World, tell};

fn put(key: &Key, text: String) -> Write {
    let row: Value = serde_json::from_str(&text).unwrap_or_default();
    let named = row["entries"].as_array().into_iter().flatten().filter_map(|entry| entry["operation"].as_str().map(Key::from));
    Write::Put(Table::Audit, Row { key: key.clone(), text, index: named.collect() })
}

/// The rows that match.
pub async fn rows(tab: &Tab, filter: Value) -> Vec<Value> {
    let rows = tab.engine.audit_query("", &filter.to_string(), true).await.expect("read");
    rows.as_array().expect("a list").clone()
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    rows.iter().filter_map(|row| row["number"].as_u64()).collect()
}

/// As the client does it: page after page.
pub async fn verify(tab: &Tab, from: Option<u64>) -> Value {
    let mut position = json!({"from": from});
    loop {
        let step = tab.engine.audit_verify(&position.to_string()).await.expect("verified");
        if step["done"] == true {
            return step["result"].clone();
        }
        position = step;
    }
}

async fn bad(tab: &Tab) -> Value {
    let result = verify(tab, None).await;
    assert_eq!(result["ok"], result["firstBad"].is_null());
    result["firstBad"].clone()
}

#[test]
fn the_trail_is_asked_by_operation_record_event_and_time() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let pet = tab.create("pet", json!({"name": "Rex"})).await;
        let operation = tab.queue().await[0]["operationId"].clone();
        assert!(tab.sync().await.success);
        let real = tab.real_id("pet", &pet).await;
        world.pass(1_000);
        let later = world.now();
        tab.update("pet", &real.to_string(), json!({"name": "Max"})).await;
        tab.create("client", json!({"name": "A"})).await;
        let all = rows(&tab, json!({})).await;
        assert_eq!(all.len(), 4);
        let first = &all[0];
        assert_eq!((&first["number"], &first["previous"], &first["user"]), (&json!(1), &json!(0), &json!("anna")));
        assert_eq!((&first["at"], &first["device"]), (&first["stamp"][0], &json!(tab.engine.client())));
        assert_eq!(first["entries"][0]["operation"], operation);
        assert_eq!(numbers(&rows(&tab, json!({"operation": operation})).await), numbers(&all[..2]));
        assert_eq!(numbers(&rows(&tab, json!({"operation": operation, "order": "desc", "after": all[1]["number"]})).await), [1]);
        for id in [value(&pet), real.clone()] {
            let found = rows(&tab, json!({"entity": "pet", "record": id})).await;
            assert_eq!(numbers(&found), numbers(&all[..3]), "whatever the ID was: {id}");
        }
        assert_eq!(rows(&tab, json!({"entity": "client", "record": real})).await.len(), 0, "an ID is one of its entity");
        assert_eq!(numbers(&rows(&tab, json!({"event": "applied"})).await), numbers(&all[1..2]));
        assert_eq!(numbers(&rows(&tab, json!({"since": later})).await), numbers(&all[2..]));
        assert_eq!(numbers(&rows(&tab, json!({"until": later - 1, "order": "desc"})).await), [numbers(&all)[1], 1]);
        let refused = tab.engine.audit_query("", r#"{"record": 7}"#, true).await.expect_err("of which entity?");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("entity")));
    });
}

/// More rows than two pages, one of them about a pet.
async fn long(tab: &Tab) -> usize {
    for _ in 0..300 {
        tab.create("client", json!({"name": "A"})).await;
    }
    tab.create("pet", json!({"name": "Rex"})).await;
    for _ in 0..300 {
        tab.create("client", json!({"name": "A"})).await;
    }
    601
}

#[test]
fn a_long_trail_is_read_in_pages_and_no_further_than_asked() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        let written = long(&tab).await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = rows(&tab, after.map_or(json!({"limit": 200}), |after: u64| json!({"after": after, "limit": 200}))).await;
            let Some(last) = page.last() else { break };
            after = last["number"].as_u64();
            seen.extend(numbers(&page));
        }
        assert_eq!((seen.len(), seen.is_sorted()), (written, true));
        let reads = |tab: &Tab| tab.engine.report()["reads"].as_u64().unwrap_or_default();
        let before = reads(&tab);
        assert_eq!(rows(&tab, json!({"limit": 3, "order": "desc"})).await.len(), 3);
        assert_eq!(reads(&tab) - before, 1, "one page of 250 is read");
        assert_eq!(rows(&tab, json!({"entity": "pet"})).await.len(), 1);
        assert_eq!(reads(&tab) - before, 5, "and all of them for what is rare: three pages and the end");
        let whole = verify(&tab, None).await;
        assert_eq!((&whole["ok"], &whole["rows"], &whole["through"]), (&json!(true), &json!(written), &json!(seen.last())));
        let part = verify(&tab, Some(500)).await;
        assert_eq!((&part["ok"], &part["rows"], &part["head"]), (&json!(true), &json!(written - 499), &whole["head"]));
        // At the border of a page, where what helps to tell lies on the other.
        let stored = anna.store.dump(Table::Audit);
        write(&anna.store, vec![Write::Delete(Table::Audit, stored[249].0.clone())]).await;
        assert_eq!(bad(&tab).await, json!({"number": seen[249], "reason": "missing"}));
        write(&anna.store, vec![put(&stored[249].0, stored[249].1.replace("anna", "eve"))]).await;
        assert_eq!(bad(&tab).await, json!({"number": seen[249], "reason": "changed"}));
        write(&anna.store, vec![put(&stored[249].0, stored[249].1.clone()), put(&stored[250].0, stored[250].1.replace("anna", "eve"))])
            .await;
        assert_eq!(bad(&tab).await, json!({"number": seen[250], "reason": "changed"}));
    });
}

#[test]
fn a_row_that_was_changed_dropped_or_swapped_is_named() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        for name in ["A", "B", "C", "D", "E"] {
            tab.create("client", json!({"name": name})).await;
        }
        let stored = anna.store.dump(Table::Audit);
        let whole = || stored.iter().map(|(key, text)| put(key, text.clone())).collect::<Vec<_>>();
        let ((third, text), (fourth, other)) = (&stored[2], &stored[3]);
        let tampered: [(WriteBatch, Value); 5] = [
            (vec![put(third, text.replace("\"client\"", "\"pet\""))], json!({"number": 3, "reason": "changed"})),
            (vec![put(third, "{}".to_owned())], json!({"number": 3, "reason": "unreadable"})),
            (vec![Write::Delete(Table::Audit, third.clone())], json!({"number": 3, "reason": "missing"})),
            (vec![put(third, other.clone()), put(fourth, text.clone())], json!({"number": 3, "reason": "misplaced"})),
            (vec![Write::Delete(Table::Audit, stored[0].0.clone())], json!({"number": 1, "reason": "missing"})),
        ];
        for (batch, named) in tampered {
            assert_eq!(bad(&tab).await, Value::Null, "before: {named}");
            write(&anna.store, batch).await;
            assert_eq!(bad(&tab).await, named);
            write(&anna.store, whole()).await;
        }
        assert_eq!(rows(&tab, json!({})).await.len(), 5);
    });
}

#[test]
fn a_row_that_cannot_be_read_stops_no_reader_and_is_seen_by_each() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        for at in 0..4 {
            tab.create("client", json!({"name": at})).await;
            world.pass(1_000);
        }
        let stored = anna.store.dump(Table::Audit);
        let text = stored[1].1[..9].to_owned();
        // One says that it is another, by which a page would go on at the wrong place.
        let third = stored[2].1.replace("\"seq\":3", "\"seq\":1");
        write(&anna.store, vec![put(&stored[1].0, text.clone()), put(&stored[2].0, third)]).await;
        let all = rows(&tab, json!({})).await;
        assert_eq!(numbers(&all), [1, 2, 3, 4]);
        let hole =
            json!({"number": 2, "device": tab.engine.client(), "unreadable": true, "entries": [], "hash": hash_bytes(text.as_bytes())});
        assert_eq!(all[1], hole);
        assert_eq!(numbers(&rows(&tab, json!({"order": "desc", "limit": 3})).await), [4, 3, 2]);
        // Nobody knows of what it told, nor when.
        let (begun, last) = (all[0]["at"].clone(), all[3]["at"].clone());
        for filter in [json!({"entity": "pet"}), json!({"event": "applied"}), json!({"entity": "client", "record": 7})] {
            assert_eq!(rows(&tab, filter.clone()).await, std::slice::from_ref(&hole), "{filter}");
        }
        assert_eq!(numbers(&rows(&tab, json!({"since": last})).await), [2, 4]);
        assert_eq!(numbers(&rows(&tab, json!({"until": begun})).await), [1, 2]);
        assert_eq!(numbers(&rows(&tab, json!({"since": all[2]["at"], "order": "desc"})).await), [4, 3, 2]);
        for (format, line) in [("ndjson", 1), ("csv", 2)] {
            let piece = tab.engine.audit_query(format, "{}", true).await.expect("written out");
            let text = piece["text"].as_str().expect("a text").lines().nth(line).expect("a line").to_owned();
            assert!(text.contains("unreadable") && text.contains(hole["hash"].as_str().expect("a hash")), "{text}");
        }
        assert_eq!(bad(&tab).await, json!({"number": 2, "reason": "unreadable"}), "it is not made good");
    });
}

#[test]
fn a_trail_that_ends_too_early_or_was_written_anew_contradicts_what_else_is_stored() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        for name in ["A", "B", "C"] {
            tab.create("client", json!({"name": name})).await;
        }
        let stored = anna.store.dump(Table::Audit);
        let cut = |at: usize| stored[at..].iter().map(|(key, _)| Write::Delete(Table::Audit, key.clone())).collect::<Vec<_>>();
        write(&anna.store, cut(2)).await;
        assert_eq!(bad(&tab).await, json!({"number": 3, "reason": "truncated"}), "the outbox knows of the third");
        write(&anna.store, vec![put(&stored[2].0, stored[2].1.clone())]).await;
        assert_eq!(bad(&tab).await, Value::Null);
        let outbox = anna.store.dump(Table::Outbox).into_iter().map(|(key, _)| Write::Delete(Table::Outbox, key));
        write(&anna.store, cut(1).into_iter().chain(outbox).collect()).await;
        assert_eq!(bad(&tab).await, json!({"number": 3, "reason": "truncated"}), "the last verification does");
        let forget = || Write::Delete(Table::State, "auditVerified".into());
        write(&anna.store, vec![forget()]).await;
        tab.engine.audit_taken("backup", "2").await.expect("taken");
        assert_eq!(bad(&tab).await, json!({"number": 2, "reason": "truncated"}), "a sink does");

        // Nothing is unfinished, nobody has looked, and the session knows all the same. A later one does not forget it.
        let carl = world.device("carl");
        let synced = carl.tab().await;
        synced.create("client", json!({"name": "A"})).await;
        assert!(synced.sync().await.success);
        let stored = carl.store.dump(Table::Audit);
        write(&carl.store, vec![Write::Delete(Table::Audit, stored[1].0.clone())]).await;
        for _ in 0..2 {
            assert_eq!(bad(&synced).await, json!({"number": 2, "reason": "truncated"}));
            assert!(synced.sync().await.success);
        }

        // All of it, by somebody who can compute hashes: what stands up to that is only what was kept elsewhere.
        let (ben, other) = (world.device("anna"), world.device("eve"));
        let (tab, theirs) = (ben.tab().await, other.tab().await);
        for tab in [&tab, &theirs] {
            for name in ["A", "B", "C"] {
                tab.create("client", json!({"name": name})).await;
            }
        }
        assert_eq!(bad(&tab).await, Value::Null);
        let forged: Vec<Write> = other.store.dump(Table::Audit).into_iter().map(|(key, text)| put(&key, text)).collect();
        write(&ben.store, forged).await;
        assert_eq!(bad(&tab).await, json!({"number": 3, "reason": "changed"}), "the head of then was another");
        write(&ben.store, vec![forget()]).await;
        assert_eq!(bad(&tab).await, Value::Null, "the holder of the device can forget that too");
    });
}

#[test]
fn after_a_wipe_the_trail_goes_on_and_is_proved_from_there() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        for (unsent, reason, rows) in [(true, Some("lost tablet"), 1), (false, None, 1), (false, Some("handed back"), 1)] {
            let tab = anna.tab().await;
            let name = if unsent { "unsent" } else { "sent" };
            tab.create("client", json!({"name": name})).await;
            if !unsent {
                assert!(tab.sync().await.success);
            }
            let last = verify(&tab, None).await;
            tab.engine.wipe(true, reason).await.expect("emptied");
            let again = anna.tab().await;
            let kept = self::rows(&again, json!({})).await;
            assert_eq!((kept.len(), kept[0].get("reason").and_then(Value::as_str)), (rows, reason));
            let after = verify(&again, None).await;
            assert_eq!((&after["ok"], &after["rows"]), (&json!(true), &json!(rows)), "{after}");
            assert!(after["through"].as_u64() >= last["through"].as_u64(), "numbers go on");
            let (key, text) = anna.store.dump(Table::Audit).remove(0);
            write(&anna.store, vec![put(&key, text.replace("anna", "eve"))]).await;
            assert_eq!(bad(&again).await["reason"], "changed");
            write(&anna.store, vec![put(&key, text)]).await;
            again.engine.close();
        }
    });
}

#[test]
fn a_person_says_why_and_the_trail_keeps_it() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let asking = json!({"audit": {"requireReason": ["discard", "resolve"]}});
        let tab = anna.tab_with(asking.clone()).await;
        let (_, _, operation) = parked(&tab).await;
        for nothing in [None, Some(""), Some("  \n")] {
            let refused = tab.engine.discard(&operation, nothing).await.expect_err("why?");
            assert_eq!((refused.code, &refused.details["path"]), ("reason_required", &json!("reason")));
        }
        let long = "ä".repeat(1_000);
        let refused = tab.engine.discard(&operation, Some(&format!("{long}ä"))).await.expect_err("too long");
        assert_eq!((refused.code, &refused.details["path"], tab.queue().await.len()), ("invalid_value", &json!("reason"), 2));
        tab.engine.discard(&operation, Some(&long)).await.expect("given up");
        let told = rows(&tab, json!({"operation": operation, "event": "discarded"})).await;
        assert_eq!((told.len(), &told[0]["reason"]), (1, &json!(long)));

        let ben = world.device("ben").tab().await;
        tab.create("pet", json!({"name": "Rex", "dose": 1})).await;
        assert!(tab.sync().await.success && ben.sync().await.success);
        let id = ben.all("pet").await[0]["id"].to_string();
        ben.update("pet", &id, json!({"dose": 2})).await;
        tab.update("pet", &id, json!({"dose": 3})).await;
        assert!(ben.sync().await.success);
        assert_eq!(tab.up().await.conflicts, 1);
        let conflict = tab.engine.conflicts().await.expect("read")[0].clone();
        let open = conflict["id"].as_u64().expect("a number");
        let refused = tab.engine.resolve(open, r#"{"type": "client-wins"}"#).await.expect_err("why?");
        assert_eq!(refused.code, "reason_required");
        let refused = tab.engine.resolve(open, r#"{"type": "client-wins", "reason": 7}"#).await.expect_err("a text");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("reason")));
        tab.engine.resolve(open, r#"{"type": "client-wins", "reason": "the vet said so"}"#).await.expect("decided");
        let told = rows(&tab, json!({"operation": conflict["operation"]["id"], "event": "superseded"})).await;
        assert_eq!(told[0]["reason"], "the vet said so");
        let again = anna.tab_with(json!({"audit": {"requireReason": ["restore", "undo"]}})).await;
        let refused = again.engine.restore_conflict(open, None).await.expect_err("why?");
        assert_eq!((refused.code, &refused.details["path"]), ("reason_required", &json!("reason")));
        assert_eq!(again.engine.undo_conflict(open, Some(" ")).await.expect_err("why?").code, "reason_required");
        assert_eq!(again.engine.restore_conflict(open, Some(&format!("{long}ä"))).await.expect_err("too long").code, "invalid_value");
        let untouched = rows(&again, json!({"order": "desc", "limit": 1})).await;
        again.engine.restore_conflict(open, Some("both were right")).await.expect("brought back");
        again.engine.undo_conflict(open, Some("no, the vet was")).await.expect("taken back");
        let told = rows(&again, json!({"after": untouched[0]["number"]})).await;
        let told: Vec<_> =
            told.iter().map(|row| (&row["reason"], &row["entries"].as_array().expect("entries").last().expect("one")["event"])).collect();
        assert_eq!(told, [(&json!("both were right"), &json!("restored")), (&json!("no, the vet was"), &json!("undone"))]);
        assert_eq!(bad(&tab).await, Value::Null);
    });
}

#[test]
fn the_trail_leaves_as_lines_that_hold_together() {
    tell(async {
        let world = World::new();
        let tab = world.device("anna").tab().await;
        let written = long(&tab).await;
        let mut pieces = Vec::new();
        for (format, mut filter) in [("ndjson", json!({})), ("csv", json!({})), ("csv", json!({"limit": 300, "order": "desc"}))] {
            let mut text = String::new();
            loop {
                let piece = tab.engine.audit_query(format, &filter.to_string(), text.is_empty()).await.expect("written out");
                let (piece, next) = (piece["text"].as_str().expect("a text").to_owned(), piece["next"].clone());
                assert!(piece.lines().count() <= 251, "a piece is bounded");
                text.push_str(&piece);
                let Some(next) = next.as_object() else { break };
                filter.as_object_mut().expect("an object").extend(next.clone());
            }
            pieces.push(text);
        }
        let parsed: Vec<Value> = pieces[0].lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!((parsed.len(), numbers(&parsed).is_sorted()), (written, true));
        assert_eq!(parsed[..100], rows(&tab, json!({})).await[..]);
        assert_eq!((pieces[1].matches("\r\n").count(), pieces[1].starts_with("number,at,")), (written + 1, true));
        assert_eq!((pieces[2].matches("\r\n").count(), pieces[2].matches("number,at,").count()), (301, 1));
        let refused = tab.engine.audit_query("xml", "{}", true).await.expect_err("no such format");
        assert_eq!((refused.code, &refused.details["path"]), ("invalid_value", &json!("format")));
    });
}

#[test]
fn a_sink_goes_on_where_it_stopped_also_after_a_reload() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        for name in ["A", "B", "C"] {
            tab.create("client", json!({"name": name})).await;
        }
        let next = async |tab: &Tab, sink: &str| {
            let after = tab.engine.audit_taken(sink, "0").await.expect("read");
            numbers(&rows(tab, json!({"after": after})).await)
        };
        assert_eq!((next(&tab, "log").await, next(&tab, "log").await), (vec![1, 2, 3], vec![1, 2, 3]), "not before it is taken");
        assert_eq!(tab.engine.audit_taken("log", "2").await, Ok(2));
        assert_eq!(tab.engine.audit_taken("log", "1").await, Ok(2), "late, from another tab");
        let again = anna.tab().await;
        assert_eq!((next(&again, "log").await, next(&again, "other").await), (vec![3], vec![1, 2, 3]));
        assert_eq!(tab.engine.audit_taken("", "0").await.expect_err("a name").details["path"], "name");
        assert_eq!(tab.engine.audit_taken("log", "x").await.expect_err("a number").details["path"], "through");
    });
}

#[test]
fn the_report_says_what_waits_too_long_and_what_is_not_accounted_for() {
    tell(async {
        let world = World::new();
        let anna = world.device("anna");
        let tab = anna.tab().await;
        tab.create("client", json!({"name": "sent"})).await;
        assert!(tab.sync().await.success);
        let (_, _, operation) = parked(&tab).await;
        let begun = world.now();
        tab.create("client", json!({"name": "waits"})).await;
        let report = async |limits: Value| tab.engine.audit_report(&limits.to_string()).await.expect("told");
        let calm = report(json!({})).await;
        assert_eq!((&calm["breaches"], &calm["lastVerified"], &calm["chain"]["ok"]), (&json!([]), &Value::Null, &json!(true)));
        assert_eq!(calm["terminal"], json!({"audited": 1, "missing": []}));
        assert_eq!(calm["oldestParked"], json!({"operationId": operation, "since": begun}));
        assert_eq!(calm["openConflicts"], json!({"count": 0, "oldest": null}));
        world.pass(60_000);
        assert_eq!(report(json!({"parkedMs": 60_000, "pendingMs": 59_999})).await["breaches"], json!(["pending"]));
        assert_eq!(report(json!({"parkedMs": 59_999, "pendingMs": 60_000})).await["breaches"], json!(["parked"]));
        let again = report(json!({})).await;
        assert_eq!((&again["breaches"], &again["lastVerified"]["at"]), (&json!([]), &json!(world.now())));
        world.pass(24 * 3_600_000);
        assert_eq!(report(json!({})).await["breaches"], json!(["parked", "pending"]));
        // Somebody takes an operation out of the outbox, and the trail does not say how it ended.
        let (key, _) = anna.store.dump(Table::Outbox).remove(0);
        write(&anna.store, vec![Write::Delete(Table::Outbox, key)]).await;
        let told = report(json!({"parkedMs": u32::MAX, "pendingMs": u32::MAX})).await;
        assert_eq!((&told["breaches"], &told["terminal"]["missing"]), (&json!(["terminal"]), &json!([operation])));
        let stored = anna.store.dump(Table::Audit);
        write(&anna.store, vec![put(&stored[1].0, stored[1].1.replace("anna", "eve"))]).await;
        assert_eq!(report(json!({})).await["breaches"], json!(["chain", "terminal", "pending"]));
        for limits in ["{\"parkedMs\": -1}", "{\"colour\": 1}"] {
            assert_eq!(tab.engine.audit_report(limits).await.expect_err("refused").code, "invalid_value");
        }
    });
}
