//! Which records a query means, and in what order.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Condition, Direction, Query};
use crate::model::RecordId;
use crate::value::{FieldPath, Key, Object};

impl Query {
    /// Whether a record is meant.
    pub fn matches(&self, id: &RecordId, data: &Object) -> bool {
        self.conditions.iter().all(|(path, condition)| {
            let values = values(path, id, data);
            match condition {
                Condition::Eq(Value::Null) => values.iter().all(Value::is_null),
                Condition::Eq(wanted) => values.contains(wanted),
                Condition::In(wanted) => values.iter().any(|value| wanted.contains(value)),
                Condition::Range(range) => values.iter().filter_map(Key::of).any(|key| range.contains(&key)),
                Condition::Prefix(prefix) => values.iter().any(|value| value.as_str().is_some_and(|text| text.starts_with(prefix))),
            }
        })
    }

    /// Sorts what was found and cuts the slice out. Records without the field come first, as `null` does.
    pub fn arrange<R>(&self, found: &mut Vec<R>, record: impl Fn(&R) -> (&RecordId, &Object)) {
        let keys = |entry: &R| -> Vec<Option<Key>> {
            let (id, data) = record(entry);
            self.order.iter().map(|(path, _)| values(path, id, data).first().and_then(Key::of)).collect()
        };
        let mut keyed: Vec<(Vec<Option<Key>>, R)> = found.drain(..).map(|entry| (keys(&entry), entry)).collect();
        keyed.sort_unstable_by(|(a, first), (b, second)| {
            let fields = a.iter().zip(b).zip(&self.order).map(|((a, b), (_, direction))| match direction {
                Direction::Asc => a.cmp(b),
                Direction::Desc => b.cmp(a),
            });
            fields.fold(Ordering::Equal, Ordering::then).then_with(|| record(first).0.cmp(record(second).0))
        });
        let slice = keyed.into_iter().map(|(_, entry)| entry).skip(self.offset);
        found.extend(slice.take(self.limit.unwrap_or(usize::MAX)));
    }
}

fn values(path: &FieldPath, id: &RecordId, data: &Object) -> Vec<Value> {
    if path.as_str() == "id" {
        return vec![id.to_value()];
    }
    // One key is by far the most common path and needs no copy of the record.
    if path.as_str() == path.top() {
        return data.get(path.top()).cloned().into_iter().collect();
    }
    path.values(&Value::Object(data.clone())).into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pets() -> Vec<(RecordId, Object)> {
        [
            json!({"name": "Rex", "age": 3, "tags": ["a", "b"]}),
            json!({"name": "Ada", "age": 7, "owner": {"id": 1}}),
            json!({"name": "Rea", "age": null}),
        ]
        .into_iter()
        .enumerate()
        .map(|(at, data)| (RecordId::Integer(i64::try_from(at).unwrap_or(0)), data.as_object().cloned().expect("an object")))
        .collect()
    }

    fn run(query: Value) -> Vec<String> {
        let query = Query::parse(query).expect("a query");
        let mut found: Vec<_> = pets().into_iter().filter(|(id, data)| query.matches(id, data)).collect();
        query.arrange(&mut found, |(id, data)| (id, data));
        found.into_iter().map(|(_, data)| data["name"].as_str().unwrap_or("").to_owned()).collect()
    }

    #[test]
    fn conditions_orders_and_slices() {
        assert_eq!(run(json!({})), ["Rex", "Ada", "Rea"]);
        assert_eq!(run(json!({"where": {"name": "Ada"}})), ["Ada"]);
        assert_eq!(run(json!({"where": {"name": {"prefix": "Re"}}, "orderBy": "name"})), ["Rea", "Rex"]);
        assert_eq!(run(json!({"where": {"age": {"gt": 3, "lte": 7}}})), ["Ada"]);
        assert_eq!(run(json!({"where": {"age": null}})), ["Rea"]);
        assert_eq!(run(json!({"where": {"owner.id": 1}})), ["Ada"]);
        assert_eq!(run(json!({"where": {"tags[]": "b"}})), ["Rex"]);
        assert_eq!(run(json!({"where": {"id": {"in": [0, 2]}}})), ["Rex", "Rea"]);
        assert_eq!(run(json!({"orderBy": [["age", "desc"]], "limit": 2})), ["Ada", "Rex"]);
        assert_eq!(run(json!({"orderBy": "name", "offset": 1, "limit": 1})), ["Rea"]);
    }

    #[test]
    fn an_index_answers_what_it_can() {
        let query = Query::parse(json!({"where": {"name": {"prefix": "Re"}, "age": 3}})).expect("a query");
        let (path, range) = query.by_index(|path| path == "name").expect("indexed");
        assert_eq!(path.as_str(), "name");
        assert!(range.contains(&"Rex".into()) && range.contains(&"Re".into()) && !range.contains(&"Rf".into()));
        assert!(query.by_index(|_| false).is_none());
    }

    #[test]
    fn a_bad_query_names_its_path() {
        for (query, path) in [
            (json!({"where": {"a": {"like": 1}}}), "where.a"),
            (json!({"where": {"a": {}}}), "where.a"),
            (json!({"where": {"a": {"gt": null}}}), "where.a"),
            (json!({"where": {"a..b": 1}}), "a..b"),
            (json!({"filter": {}}), ""),
        ] {
            assert_eq!(Query::parse(query.clone()).expect_err("refused").path, path, "{query}");
        }
    }
}
