//! The trail as text for others: a row as an object, or each of its entries as a line of a table (RFC 4180).

use serde_json::{Value, json};

use super::Stored;
use super::filter::{HOLE, entries, time};
use crate::value::{Object, canonical, to_text};

/// The first line of the table.
const HEAD: &str = "number,at,stamp,offset,user,device,reason,operation,entity,record,event,before,after,facts,hash\r\n";

/// A stored row as it is shown: its key is its number, and it says when and on which device. In the place of one that cannot be
/// read a row says so, with the hash of the text that stands there: readers go on behind it, and see the hole.
pub fn shown(stored: &Stored, device: &str) -> Object {
    let mut row = match stored.readable() {
        Some(mut row) => {
            row.remove("seq");
            row.insert("at".to_owned(), time(&row).into());
            row
        }
        None => [(HOLE, json!(true)), ("entries", json!([])), ("hash", json!(stored.head().as_str()))]
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
    };
    row.insert("number".to_owned(), stored.key.into());
    row.insert("device".to_owned(), device.into());
    row
}

/// Rows as they are shown, as text: a line of JSON each, or the lines of the table, which begins with its head.
pub fn text(rows: &[Object], csv: bool, begins: bool) -> String {
    let mut text = if csv && begins { HEAD.to_owned() } else { String::new() };
    for row in rows {
        if csv {
            text.push_str(&lines(row));
        } else {
            text.push_str(&to_text(row));
            text.push('\n');
        }
    }
    text
}

/// The lines of a row as it is shown: one for each entry, or one without any. What an event has besides its operation
/// stands in `facts`, as JSON.
fn lines(row: &Object) -> String {
    const OWN: [&str; 6] = ["operation", "entity", "record", "event", "before", "after"];
    let mut text = String::new();
    let nothing = [Value::Null];
    let entries = if entries(row).is_empty() { &nothing[..] } else { entries(row) };
    for entry in entries {
        for name in ["number", "at", "stamp", "offset", "user", "device", "reason"] {
            cell(&mut text, row.get(name).unwrap_or(&Value::Null));
            text.push(',');
        }
        for name in OWN {
            cell(&mut text, &entry[name]);
            text.push(',');
        }
        let mut facts = entry.as_object().cloned().unwrap_or_default();
        OWN.iter().for_each(|name| drop(facts.remove(*name)));
        facts.extend(row.get_key_value(HOLE).map(|(name, told)| (name.clone(), told.clone())));
        if !facts.is_empty() {
            cell(&mut text, &Value::Object(facts));
        }
        text.push(',');
        cell(&mut text, row.get("hash").unwrap_or(&Value::Null));
        text.push_str("\r\n");
    }
    text
}

/// One cell. A spreadsheet takes what begins with one of these for a formula: an apostrophe before it makes it a text.
fn cell(text: &mut String, value: &Value) {
    let content = match value {
        Value::Null => return,
        Value::String(content) => content.clone(),
        other => canonical(other),
    };
    let harmless = if content.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
    if content.contains(['"', ',', '\r', '\n']) {
        text.push_str(&["\"", harmless, &content.replace('"', "\"\""), "\""].concat());
    } else {
        text.push_str(harmless);
        text.push_str(&content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_a_line_and_no_cell_is_a_formula() {
        let hash = "ab".repeat(32);
        let row = json!({"seq": 3, "stamp": [7, 1], "offset": -5, "user": "=HYPERLINK(1)",
            "reason": "two\r\nlines, \"quoted\"", "hash": hash, "entries": [
            {"operation": "o", "entity": "pet", "record": -7, "event": "written", "kind": "create", "content": "c,d", "after": "a1"},
            {"operation": "o", "entity": "@pet", "record": "+1", "event": "settled"}]});
        let row = shown(&Stored { key: 3, text: row.to_string() }, "d");
        assert_eq!((&row["number"], &row["at"], &row["device"], row.get("seq")), (&json!(3), &json!(7), &json!("d"), None));
        let before = "3,7,\"[7,1]\",'-5,'=HYPERLINK(1),d,\"two\r\nlines, \"\"quoted\"\"\",o";
        assert_eq!(
            lines(&row),
            format!(
                "{before},pet,'-7,written,,a1,\"{{\"\"content\"\":\"\"c,d\"\",\"\"kind\"\":\"\"create\"\"}}\",{hash}\r\n\
                 {before},'@pet,'+1,settled,,,,{hash}\r\n"
            )
        );
        let columns = |line: &str| line.matches(',').count();
        let wiped = json!({"number": 4, "at": 7, "stamp": "x", "entries": [], "hash": "ab"});
        assert_eq!(text(std::slice::from_ref(&row), true, true), [HEAD, &lines(&row)].concat());
        assert_eq!(text(std::slice::from_ref(&row), true, false), lines(&row));
        assert_eq!(text(&[row.clone(), row.clone()], false, true), format!("{0}\n{0}\n", to_text(&row)));
        assert_eq!(columns(&lines(wiped.as_object().expect("an object"))), columns(HEAD));
    }

    #[test]
    fn in_the_place_of_what_cannot_be_read_a_row_says_so_with_the_hash_of_what_stands_there() {
        for text in ["", "{\"seq\": 5", "[]", "{}", "{\"seq\": 5, \"hash\": 7}"] {
            let row = shown(&Stored { key: 5, text: text.to_owned() }, "d");
            let hash = crate::value::hash_bytes(text.as_bytes());
            let told = json!({"number": 5, "device": "d", "unreadable": true, "entries": [], "hash": hash.as_str()});
            assert_eq!(Value::Object(row.clone()), told);
            let line = ["5,,,,,d,,,,,,,,\"{\"\"unreadable\"\":true}\",", hash.as_str(), "\r\n"].concat();
            assert_eq!(lines(&row), line);
        }
    }
}
