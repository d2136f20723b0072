//! The trail as text for others: a row as an object, or each of its entries as a line of a table (RFC 4180).

use serde_json::Value;

use super::filter::{entries, time};
use crate::value::{Object, canonical, to_text};

/// The first line of the table.
const HEAD: &str = "number,at,stamp,offset,user,device,reason,operation,entity,record,event,before,after,facts,hash\r\n";

/// A stored row as it is shown: its sequence is its number, and it says when and on which device.
pub fn shown(mut row: Object, device: &str) -> Object {
    let (number, at) = (row.remove("seq").unwrap_or_default(), time(&row));
    row.insert("number".to_owned(), number);
    row.insert("at".to_owned(), at.into());
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
    use serde_json::json;

    #[test]
    fn each_entry_is_a_line_and_no_cell_is_a_formula() {
        let row = json!({"seq": 3, "stamp": [7, 1], "offset": -5, "user": "=HYPERLINK(1)",
            "reason": "two\r\nlines, \"quoted\"", "hash": "ab", "entries": [
            {"operation": "o", "entity": "pet", "record": -7, "event": "written", "kind": "create", "content": "c,d", "after": "a1"},
            {"operation": "o", "entity": "@pet", "record": "+1", "event": "settled"}]});
        let row = shown(row.as_object().expect("an object").clone(), "d");
        assert_eq!((&row["number"], &row["at"], &row["device"], row.get("seq")), (&json!(3), &json!(7), &json!("d"), None));
        let before = "3,7,\"[7,1]\",'-5,'=HYPERLINK(1),d,\"two\r\nlines, \"\"quoted\"\"\",o";
        assert_eq!(
            lines(&row),
            format!(
                "{before},pet,'-7,written,,a1,\"{{\"\"content\"\":\"\"c,d\"\",\"\"kind\"\":\"\"create\"\"}}\",ab\r\n\
                 {before},'@pet,'+1,settled,,,,ab\r\n"
            )
        );
        let columns = |line: &str| line.matches(',').count();
        let wiped = json!({"number": 4, "at": 7, "stamp": "x", "entries": [], "hash": "ab"});
        assert_eq!(text(std::slice::from_ref(&row), true, true), [HEAD, &lines(&row)].concat());
        assert_eq!(text(std::slice::from_ref(&row), true, false), lines(&row));
        assert_eq!(text(&[row.clone(), row.clone()], false, true), format!("{0}\n{0}\n", to_text(&row)));
        assert_eq!(columns(&lines(wiped.as_object().expect("an object"))), columns(HEAD));
    }
}
