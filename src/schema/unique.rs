//! What no two records of an entity share: for each declared constraint the values at its paths, all of them together. A record
//! without a value at one of them, or with `null` there, falls under none.

use serde_json::Value;

use super::Entity;
use crate::value::{FieldPath, Object, canonical};

/// The most constraints of one entity.
const CONSTRAINTS_MAX: usize = 10;
/// The most paths of one constraint.
const PATHS_MAX: usize = 5;

/// What a record holds for itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holding {
    /// The name of the constraint, which is that of no path: `[email]`.
    pub name: String,
    /// The values at its paths, as one text: equal texts are equal values.
    pub values: String,
}

impl Entity {
    /// The name of a constraint.
    pub fn unique_name(paths: &[FieldPath]) -> String {
        ["[", &paths.iter().map(FieldPath::as_str).collect::<Vec<_>>().join(","), "]"].concat()
    }

    /// What a record holds for itself, in the order of the constraints that it falls under.
    pub fn holdings(&self, data: &Object) -> Vec<Holding> {
        if self.unique.is_empty() {
            return Vec::new();
        }
        let document = Value::Object(data.clone());
        let values = |paths: &Vec<FieldPath>| -> Option<Value> {
            paths.iter().map(|path| path.values(&document).pop().filter(|value| !value.is_null()).cloned()).collect()
        };
        let held = |paths: &Vec<FieldPath>| Some(Holding { name: Self::unique_name(paths), values: canonical(&values(paths)?) });
        self.unique.iter().filter_map(held).collect()
    }

    /// What a record shall hold and did not hold before: only that can be somebody else's.
    pub fn taken(&self, before: Option<&Object>, data: &Object) -> Vec<Holding> {
        let mut taken = self.holdings(data);
        if let (false, Some(before)) = (taken.is_empty(), before) {
            let held = self.holdings(before);
            taken.retain(|holding| !held.contains(holding));
        }
        taken
    }

    /// The paths of a constraint, as declared.
    pub fn unique_fields(&self, name: &str) -> Vec<String> {
        let named = self.unique.iter().find(|paths| Self::unique_name(paths) == name);
        named.into_iter().flatten().map(|path| path.as_str().to_owned()).collect()
    }

    /// What is wrong with the constraints: the setting within, and why.
    pub(super) fn fault_of_unique(&self) -> Option<(String, &'static str)> {
        if self.unique.len() > CONSTRAINTS_MAX {
            return Some(("unique".to_owned(), "at most 10 constraints"));
        }
        let mut names: Vec<String> = Vec::new();
        for (at, paths) in self.unique.iter().enumerate() {
            let wrong = |reason| Some((format!("unique.{at}"), reason));
            if paths.is_empty() || paths.len() > PATHS_MAX {
                return wrong("a constraint has 1 to 5 paths");
            }
            if paths.iter().any(|path| !path.is_single()) {
                return wrong("a path of a constraint names one value, and none of a list");
            }
            if paths.iter().any(|path| matches!(path.top(), "id" | "_sync")) {
                return wrong("'id' and '_sync' belong to FieldSync");
            }
            let repeats = (1..paths.len()).any(|place| paths[..place].contains(&paths[place]));
            let name = Self::unique_name(paths);
            if repeats || names.contains(&name) {
                return wrong("a path stands in a constraint once, and a constraint stands there once");
            }
            names.push(name);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entity(unique: &[&[&str]]) -> Entity {
        let path = |path: &&str| FieldPath::parse(path).expect("a path");
        Entity { unique: unique.iter().map(|paths| paths.iter().map(path).collect()).collect(), ..Entity::default() }
    }
    fn held(entity: &Entity, data: Value) -> Vec<String> {
        let data = data.as_object().cloned().expect("an object");
        entity.holdings(&data).into_iter().map(|holding| format!("{} {}", holding.name, holding.values)).collect()
    }

    #[test]
    fn a_record_holds_the_values_of_every_constraint_that_it_falls_under() {
        let client = entity(&[&["email"], &["clinic.id", "number"]]);
        assert_eq!(
            held(&client, json!({"email": "a@b", "clinic": {"id": 7}, "number": 1})),
            ["[email] [\"a@b\"]", "[clinic.id,number] [7,1]"]
        );
        assert_eq!(held(&client, json!({"email": null, "clinic": {"id": 7}})), [""; 0]);
        assert_eq!(held(&client, json!({"email": "", "clinic": 7, "number": 1})), ["[email] [\"\"]"], "a text without letters is a value");
        // Equal values are equal texts, and values of other types are others.
        let same = |one: Value, other: Value| held(&client, json!({ "email": one })) == held(&client, json!({ "email": other }));
        assert!(same(json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1})));
        assert!(!same(json!(1), json!("1")) && !same(json!(1), json!(true)) && !same(json!(["a"]), json!("a")));
    }

    #[test]
    fn only_what_it_did_not_hold_before_is_taken() {
        let client = entity(&[&["email"], &["number"]]);
        let [before, after] = [json!({"email": "a", "number": 1}), json!({"email": "b", "number": 1, "note": ""})];
        let (before, after) = (before.as_object().expect("an object"), after.as_object().expect("an object"));
        assert_eq!(client.taken(Some(before), after), [Holding { name: "[email]".to_owned(), values: "[\"b\"]".to_owned() }]);
        assert_eq!(client.taken(None, after).len(), 2);
        assert_eq!(client.unique_fields("[number]"), ["number"]);
    }
}
