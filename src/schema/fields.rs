//! What the fields of a record may hold, as the app declares it: a type, bounds, a choice. A record is held against it
//! wherever it would change: by a local write, by a resolution, by a page of the download, at the server. The check looks at
//! one record and nothing else, so that everybody comes to the same.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Entity;
use crate::value::Object;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Any number.
    Number,
    /// A whole number.
    Integer,
    /// A text.
    String,
    /// `true` or `false`.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

/// What one field may hold. `null` is as good as nothing there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct FieldShape {
    /// Of what type it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub holds: Option<FieldType>,
    /// Whether it must be there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// The greatest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// The shortest text, in UTF-16 code units as JavaScript counts, or list, in items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_length: Option<u64>,
    /// The longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// All values that it may have.
    #[serde(rename = "enum", skip_serializing_if = "Option::is_none")]
    pub choice: Option<Vec<Value>>,
}

/// What is wrong with a field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The field, dotted.
    pub path: String,
    /// What it breaks: `type`, `required`, `min`, `max`, `minLength`, `maxLength`, `enum`; `transform` where it has no form
    /// for the wire, `validator` where a function of the app says so.
    pub rule: String,
    /// What that function says, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What of a record is not as it is declared, in the order of the paths; then what of it has no wire form.
pub fn faults(entity: &Entity, data: &Object) -> Vec<Fault> {
    let broken = |(path, shape): (&crate::value::FieldPath, &FieldShape)| {
        let rule = shape.broken_by(path.find(data))?;
        Some(Fault { path: path.as_str().to_owned(), rule: rule.to_owned(), message: None })
    };
    let mut found: Vec<Fault> = entity.fields.iter().filter_map(broken).collect();
    for fault in entity.formless(data) {
        if !found.iter().any(|known| known.path == fault.path) {
            found.push(fault);
        }
    }
    found
}

impl Fault {
    /// The rule of what a function of the app says.
    const VALIDATOR: &str = "validator";

    /// What a function of the app says of a field.
    pub fn said(path: &str, message: &str) -> Self {
        Self { path: path.to_owned(), rule: Self::VALIDATOR.to_owned(), message: Some(message.to_owned()) }
    }
    /// Whether a function of the app says so.
    pub fn is_said(&self) -> bool {
        self.rule == Self::VALIDATOR
    }
}

impl FieldShape {
    /// The first of its rules that a value breaks.
    fn broken_by(&self, value: Option<&Value>) -> Option<&'static str> {
        let Some(value) = value.filter(|value| !value.is_null()) else { return self.required.then_some("required") };
        if self.holds.is_some_and(|holds| !holds.is_of(value)) {
            return Some("type");
        }
        let length = match value {
            Value::String(text) => Some(text.encode_utf16().count() as u64),
            Value::Array(items) => Some(items.len() as u64),
            _ => None,
        };
        let (number, bound) = (value.as_f64(), |bound: &Option<Value>| bound.as_ref().and_then(Value::as_f64));
        let broken = |rule, is_broken: bool| is_broken.then_some(rule);
        broken("min", number < bound(&self.min) && number.is_some())
            .or(broken("max", bound(&self.max).is_some_and(|max| number > Some(max))))
            .or(broken("minLength", length.is_some() && length < self.min_length))
            .or(broken("maxLength", self.max_length.is_some_and(|max| length > Some(max))))
            .or(broken("enum", self.choice.as_ref().is_some_and(|choice| !choice.contains(value))))
    }

    /// What is wrong with the declaration: the setting within, and why.
    pub(super) fn fault(&self, is_reference: bool) -> Option<(&'static str, &'static str)> {
        if is_reference && (Self { required: self.required, ..Self::default() }) != *self {
            return Some(("type", "a reference holds an ID, which is checked: only 'required' can be said of it"));
        }
        let is_number = |bound: &Option<Value>| bound.as_ref().is_none_or(Value::is_number);
        let double = |bound: &Option<Value>| bound.as_ref().and_then(Value::as_f64);
        let of_numbers = matches!(self.holds, Some(FieldType::Number | FieldType::Integer));
        let with_length = matches!(self.holds, Some(FieldType::String | FieldType::Array));
        let reversed = |low: Option<f64>, high: Option<f64>| low.zip(high).is_some_and(|(low, high)| low > high);
        #[allow(clippy::cast_precision_loss, reason = "only compared")]
        let lengths = (self.min_length.map(|length| length as f64), self.max_length.map(|length| length as f64));
        match () {
            () if !is_number(&self.min) || self.min.is_some() && !of_numbers => {
                Some(("min", "must be a number, for 'number' or 'integer'"))
            }
            () if !is_number(&self.max) || self.max.is_some() && !of_numbers => {
                Some(("max", "must be a number, for 'number' or 'integer'"))
            }
            () if reversed(double(&self.min), double(&self.max)) => Some(("max", "must not be less than 'min'")),
            () if self.min_length.is_some() && !with_length => Some(("minLength", "is for 'string' or 'array'")),
            () if self.max_length.is_some() && !with_length => Some(("maxLength", "is for 'string' or 'array'")),
            () if reversed(lengths.0, lengths.1) => Some(("maxLength", "must not be less than 'minLength'")),
            () if self.choice.as_ref().is_some_and(Vec::is_empty) => Some(("enum", "must name a value")),
            () if self.choice.iter().flatten().any(|value| !value.is_null() && self.holds.is_some_and(|holds| !holds.is_of(value))) => {
                Some(("enum", "must name values of its type"))
            }
            () => None,
        }
    }
}

impl FieldType {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Number => value.is_number(),
            // One beyond what is counted exactly is none, and 1.0 is 1.
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::String => value.is_string(),
            Self::Boolean => value.is_boolean(),
            Self::Array => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schema;
    use super::*;
    use serde_json::json;

    fn entity(fields: &Value) -> Entity {
        let text = json!({"name": "t", "version": 1, "entities": {"pet": {"fields": fields, "references": {"owner": "pet"}}}}).to_string();
        Schema::parse(&text).expect("a schema").entity("pet").cloned().expect("declared")
    }

    /// What is wrong with records of this declaration: of each the faults as `path rule`.
    fn found(fields: &Value, records: &[Value]) -> Vec<Vec<String>> {
        let entity = entity(fields);
        let of = |record: &Value| {
            let record = crate::value::parse(&record.to_string(), &crate::value::Limits::RECORD).expect("JSON");
            let told = faults(&entity, record.as_object().expect("an object"));
            told.into_iter().map(|fault| format!("{} {}", fault.path, fault.rule)).collect()
        };
        records.iter().map(of).collect()
    }

    #[test]
    fn a_type_is_a_type() {
        let values = [json!(1), json!(1.0), json!(1.5), json!("1"), json!(true), json!([]), json!({}), json!(null)];
        for (holds, fit) in [
            ("number", [true, true, true, false, false, false, false, true]),
            ("integer", [true, true, false, false, false, false, false, true]),
            ("string", [false, false, false, true, false, false, false, true]),
            ("boolean", [false, false, false, false, true, false, false, true]),
            ("array", [false, false, false, false, false, true, false, true]),
            ("object", [false, false, false, false, false, false, true, true]),
        ] {
            let records: Vec<Value> = values.iter().map(|value| json!({ "a": value })).collect();
            let told = found(&json!({"a": {"type": holds}}), &records);
            assert_eq!(told.iter().map(Vec::is_empty).collect::<Vec<_>>(), fit, "{holds}");
            assert!(told.concat().iter().all(|fault| fault == "a type"));
        }
    }

    #[test]
    fn what_must_be_there_is_and_null_is_nothing() {
        let fields = json!({"a": {"required": true}, "b.c": {"required": true, "type": "string"}, "owner": {"required": true}});
        let records = [json!({"a": 1, "b": {"c": "x"}, "owner": 7}), json!({"a": null, "b": "c", "owner": null}), json!({})];
        let all = ["a required", "b.c required", "owner required"].map(str::to_owned).to_vec();
        assert_eq!(found(&fields, &records), [Vec::new(), all.clone(), all]);
        assert_eq!(found(&json!({"a": {"type": "string", "minLength": 1}}), &[json!({})]), [Vec::<String>::new()]);
    }

    #[test]
    fn both_ends_of_a_bound_are_meant() {
        let fields = json!({"n": {"type": "number", "min": -1, "max": 2.5}});
        let numbers = [-1.5, -1.0, 0.0, 2.5, 2.6].map(|n| json!({ "n": n }));
        assert_eq!(found(&fields, &numbers), [vec!["n min".to_owned()], vec![], vec![], vec![], vec!["n max".to_owned()]]);
        let fields =
            json!({"t": {"type": "string", "minLength": 2, "maxLength": 3}, "l": {"type": "array", "minLength": 1, "maxLength": 1}});
        // A letter beyond the basic plane counts as JavaScript counts it: twice.
        let records = [json!({"t": "a", "l": []}), json!({"t": "😀", "l": [1]}), json!({"t": "😀😀", "l": [1, 2]})];
        let told = |rule: &str| vec![format!("l {rule}"), format!("t {rule}")];
        assert_eq!(found(&fields, &records), [told("minLength"), vec![], told("maxLength")]);
    }

    #[test]
    fn a_choice_is_by_value_and_the_first_broken_rule_is_told() {
        let fields = json!({"s": {"enum": ["dog", 1, {"a": [1]}]}, "n": {"type": "integer", "min": 3, "enum": [5]}});
        let records = [json!({"s": "dog"}), json!({"s": 1.0}), json!({"s": {"a": [1.0]}}), json!({"s": "cat", "n": 1}), json!({"n": 4})];
        let told = found(&fields, &records);
        assert_eq!(told, [vec![], vec![], vec![], vec!["n min".to_owned(), "s enum".to_owned()], vec!["n enum".to_owned()]]);
    }

    #[test]
    fn a_declaration_that_makes_no_sense_is_refused_with_its_path() {
        for (path, field) in [
            ("a[].b", json!({})),
            ("id", json!({})),
            ("_sync.x", json!({})),
            ("owner.type", json!({"type": "integer"})),
            ("a.min", json!({"min": 1})),
            ("a.min", json!({"type": "string", "min": 1})),
            ("a.min", json!({"type": "number", "min": "1"})),
            ("a.max", json!({"type": "number", "min": 2, "max": 1})),
            ("a.minLength", json!({"type": "number", "minLength": 1})),
            ("a.maxLength", json!({"type": "array", "minLength": 2, "maxLength": 1})),
            ("a.enum", json!({"enum": []})),
            ("a.enum", json!({"type": "integer", "enum": [1, 1.0, null, "1"]})),
        ] {
            let name =
                path.strip_suffix(".type").or(path.split_once(".m").map(|(name, _)| name)).or(path.strip_suffix(".enum")).unwrap_or(path);
            let text = json!({"name": "t", "version": 1, "entities": {"pet": {"fields": {name: field}, "references": {"owner": "pet"}}}});
            let error = Schema::parse(&text.to_string()).expect_err(path);
            assert_eq!(error.path, format!("entities.pet.fields.{path}"), "{field}");
        }
        let text = r#"{"name": "t", "version": 1, "entities": {"pet": {"fields": {"a": {"pattern": "x"}}}}}"#;
        assert!(Schema::parse(text).expect_err("refused").to_string().contains("pattern"));
    }

    #[test]
    fn another_declaration_or_release_is_told_by_its_name() {
        let parse = |text: &str| Schema::parse(text).expect("a schema").release;
        let one = r#"{"name": "t", "version": 1, "entities": {"pet": {}}}"#;
        assert_eq!(parse(one), parse(one));
        assert_ne!(parse(one), parse(&one.replace("{}", r#"{"fields": {"a": {"required": true}}}"#)));
    }
}
