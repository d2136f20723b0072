//! The sum of a row: what finds a changed bit. It stands in the content, in a member of its own. A store may order the
//! members of an object anew and write a number in another way, so the sum is over the canonical form.

use serde_json::Value;

use crate::value::{Hash, Object, canonical, canonical_object, hash_bytes};

/// The member that holds it.
const NAME: &str = "sum";

/// What a row's sum says of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is what was written, and stands where it was written.
    Good,
    /// It is not.
    Bad,
    /// A release without sums wrote it.
    Missing,
}

/// The sum of content that is in canonical form, under what tells one row from another.
pub fn sum(key: &Value, content: &str) -> Hash {
    hash_bytes(["[", &canonical(key), ",", content, "]"].concat().as_bytes())
}

/// Content as the text of a row, with its sum. What is no object has none.
pub fn with_sum(key: &Value, content: &Value) -> String {
    let mut text = canonical(content);
    if text.len() > 2 && content.is_object() {
        let sum = sum(key, &text);
        text.pop();
        text.push_str(",\"sum\":\"");
        text.push_str(sum.as_str());
        text.push_str("\"}");
    }
    text
}

/// Holds content against its sum, and takes that out.
pub fn judge(key: &Value, content: &mut Object) -> Proof {
    let Some(stored) = content.remove(NAME) else { return Proof::Missing };
    let is_good = stored == sum(key, &canonical_object(content)).as_str();
    if is_good { Proof::Good } else { Proof::Bad }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_text;
    use serde_json::json;

    fn judged(key: &Value, text: &str) -> (Proof, Object) {
        let mut content: Object = from_text(text).expect("an object");
        (judge(key, &mut content), content)
    }

    #[test]
    fn a_row_in_another_spelling_is_the_same_row() {
        let (key, content) = (json!(["pet", 7]), json!({"b": [1, 2.5, 1e30], "a": "\u{1f600}", "7": null}));
        let text = with_sum(&key, &content);
        let (_, sum) = text.rsplit_once("\"sum\":").expect("a sum");
        let again = format!(
            "{{\"sum\":{sum_only},\"a\":\"\\ud83d\\ude00\",\"b\":[1.0,25e-1,1e+30],\"7\":null}}",
            sum_only = sum.trim_end_matches('}')
        );
        for text in [text, again] {
            let (proof, read) = judged(&key, &text);
            assert_eq!((proof, canonical_object(&read)), (Proof::Good, canonical(&content)), "{text}");
        }
    }

    #[test]
    fn every_changed_bit_is_seen_or_is_no_row_any_more() {
        let (key, content) = (json!(["pet", 7]), json!({"id": 7, "version": "12", "data": {"name": "Rex", "n": -1.5, "l": [true, null]}}));
        let text = with_sum(&key, &content);
        let mut seen = 0;
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                let Ok(mut read) = from_text::<Object>(&changed) else { continue };
                seen += 1;
                // A name of the sum that is another one leaves a row of a release without sums, and a strange member in it.
                let is_named = changed.contains("\"sum\":");
                assert_eq!(judge(&key, &mut read), if is_named { Proof::Bad } else { Proof::Missing }, "{changed}");
            }
        }
        assert!(seen > 500, "{seen}");
    }

    #[test]
    fn a_row_in_another_place_is_another_row() {
        let text = with_sum(&json!(["pet", 7]), &json!({"id": 7}));
        assert_eq!(judged(&json!(["pet", 8]), &text).0, Proof::Bad);
        assert_eq!(judged(&json!(["pet", 7]), r#"{"id":7}"#).0, Proof::Missing);
        assert_eq!(with_sum(&json!("n"), &json!(3)), "3", "what is no object has none");
    }
}
