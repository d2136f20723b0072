//! The three-way merge that an app can use by itself.

use super::{Local, judge};
use crate::model::{Action, Stamp, Version};
use crate::protocol::ServerState;
use crate::schema::{ConflictRules, Rule};
use crate::value::{Delta, Object, Sorted};

/// A three-way merge for an app's own use: the local side's changes over the server's, with the fields that
/// both changed differently. Those keep the server's value.
pub fn merge(base: &Object, local: &Object, server: &Object) -> (Object, Vec<String>) {
    let state = ServerState::plain(Version(0), Some(server.clone()));
    let action = Action::Update { delta: Delta::diff(base, local) };
    let rules = ConflictRules { default: Rule::ServerWins, ..ConflictRules::default() };
    let verdict = judge(
        Local {
            action: &action,
            stamp: Stamp::default(),
            stamps: &Sorted::new(),
            version: None,
            base: Some(base),
            on: Some(server),
            view: Some(local),
        },
        &state,
        &rules,
    );
    let mut merged = server.clone();
    if let Some(Action::Update { delta }) = &verdict.action {
        delta.apply(&mut merged);
    }
    (merged, verdict.fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(value: Value) -> Object {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn merge_keeps_the_servers_value_and_names_the_field() {
        let (merged, fields) = merge(&object(json!({"a": 1, "b": 1})), &object(json!({"a": 2, "b": 2})), &object(json!({"a": 3, "b": 1})));
        assert_eq!((Value::Object(merged), fields), (json!({"a": 3, "b": 2}), vec!["a".to_owned()]));
    }
}
