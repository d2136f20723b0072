//! The declaration and its check: every error carries the path of the setting that is wrong.

use serde::{Deserialize, Serialize};

use super::{ConflictRules, FieldShape, Transform};
use crate::value::{FieldPath, ReadError, Sorted, hash_bytes};

/// The most entities in one schema.
const ENTITIES_MAX: usize = 500;
/// The most references and indexes of one entity.
const PATHS_MAX: usize = 50;
/// The most fields of one entity of which anything is declared.
pub(super) const FIELDS_MAX: usize = 200;
/// The longest name of an entity, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Who issues the real ID of a record, and of what type it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPolicy {
    /// The server, integers.
    #[default]
    Integer,
    /// The server, strings.
    Text,
    /// The client, UUIDv7: permanent from the first moment.
    Uuid,
}

/// What becomes of a record when the one that it refers to is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnDelete {
    /// It stands in the way: the delete is refused.
    #[default]
    Restrict,
    /// It goes too.
    Cascade,
    /// It stays, and refers to nothing.
    SetNull,
}

/// How much the audit trail shows of what is written to records of an entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// The hash of it.
    #[default]
    Hash,
    /// That, and the paths of the fields.
    Fields,
    /// That, and all of it.
    Payload,
}

/// One entity type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct Entity {
    /// Who issues IDs.
    pub key: KeyPolicy,
    /// Fields that hold IDs of other records, and the entity they point to. Each is an index.
    pub references: Sorted<FieldPath, String>,
    /// Of references, by their path, what becomes of the record when the one referred to is deleted; without one,
    /// [`OnDelete::Restrict`].
    #[serde(skip_serializing_if = "Sorted::is_empty")]
    pub on_delete: Sorted<FieldPath, OnDelete>,
    /// Further fields to look records up by.
    pub indexes: Vec<FieldPath>,
    /// Constraints: of each the paths whose values, taken together, no two records share.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<Vec<FieldPath>>,
    /// What fields may hold, by their path, which leads through no list.
    #[serde(skip_serializing_if = "Sorted::is_empty")]
    pub fields: Sorted<FieldPath, FieldShape>,
    /// What happens when both sides changed.
    pub conflicts: ConflictRules,
    /// The lane its operations wait in; nothing for the last, which has no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The form in which its records go over the wire, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<Transform>,
    /// What the audit trail shows of it, where the settings say it: it is no part of the declaration.
    #[serde(skip)]
    pub content: Option<Content>,
}

/// A queue within the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Whether an operation that waits for a person stops all that were written after it in this lane.
    #[serde(default)]
    pub strict: bool,
}

impl Entity {
    /// Every indexed path: the declared indexes and all references, by name.
    pub fn index_paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.indexes.iter().filter(|path| !self.references.contains_key(path)).chain(self.references.keys())
    }
    /// What becomes of a record when the one that it refers to at this path is deleted.
    pub fn on_delete(&self, path: &FieldPath) -> OnDelete {
        self.on_delete.get(path).copied().unwrap_or_default()
    }
    /// Whether there is anything that its records may not hold.
    pub fn is_held(&self) -> bool {
        !self.fields.is_empty() || self.transform.is_some()
    }
    /// Whether this path can be looked up by.
    pub fn is_indexed(&self, path: &str) -> bool {
        self.index_paths().any(|declared| declared.as_str() == path)
    }
}

/// All entity types of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Schema {
    /// The app's name for it.
    pub name: String,
    /// Counts up with every change of the declaration.
    pub version: u32,
    /// The lanes by priority: of operations that do not depend on each other, those of the first go first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<Lane>,
    /// By name.
    pub entities: Sorted<String, Entity>,
    /// Tells this declaration, read by this release of the package, from every other. It is no part of it.
    #[serde(skip)]
    pub release: String,
}

/// What is wrong with a schema, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid schema at '{path}': {reason}")]
pub struct SchemaError {
    /// The path of the setting, dotted.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Schema {
    /// Reads a declaration from its JSON text and checks it.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let wrong = |reason: String| SchemaError { path: String::new(), reason };
        let value = crate::value::parse(text, &crate::value::Limits::RECORD).map_err(|error| wrong(error.to_string()))?;
        let mut schema: Self = crate::value::from_value_strictly(&value).map_err(|error| {
            // Read by itself, an entity says that it is the one.
            let entities = value.get("entities").and_then(serde_json::Value::as_object);
            let read = |entity| crate::value::from_value_strictly::<Entity>(entity);
            let within = entities.into_iter().flatten().find_map(|(name, entity)| Some((name, read(entity).err()?)));
            let told = |(name, error): (&String, ReadError)| SchemaError { path: format!("entities.{name}"), reason: error.to_string() };
            within.map_or_else(|| wrong(error.to_string()), told)
        })?;
        schema.check()?;
        schema.release = hash_bytes([env!("CARGO_PKG_VERSION"), text].concat().as_bytes()).to_string();
        Ok(schema)
    }

    /// Checks the declaration as a whole.
    pub fn check(&self) -> Result<(), SchemaError> {
        let wrong = |path: String, reason: &str| Err(SchemaError { path, reason: reason.to_owned() });
        if self.entities.is_empty() || self.entities.len() > ENTITIES_MAX {
            return wrong("entities".to_owned(), "there must be 1 to 500 entities");
        }
        if let Some(name) = self.twice_there() {
            return wrong(format!("entities.{name}.transform.entity"), "another entity is called so on the wire");
        }
        for (at, lane) in self.lanes.iter().enumerate() {
            if lane.name.is_empty() || lane.name.len() > NAME_BYTES_MAX || self.lane(Some(&lane.name)) != at {
                return wrong(format!("lanes.{at}"), "a name has 1 to 64 bytes and stands once");
            }
        }
        for (name, entity) in self.entities.iter() {
            let at = format!("entities.{name}");
            if entity.lane.is_some() && self.lane(entity.lane.as_deref()) == self.lanes.len() {
                return wrong(format!("{at}.lane"), "there is no such lane");
            }
            for (at, name) in [(&at, name.as_str()), (&format!("{at}.transform.entity"), self.there(name))] {
                let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
                if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
                    return wrong(at.clone(), "a name has 1 to 64 letters, digits, '_' or '-'");
                }
            }
            if let Some((setting, reason)) = entity.transform.as_ref().and_then(|transform| transform.fault(entity)) {
                return wrong(format!("{at}.transform.{setting}"), reason);
            }
            if entity.references.len() > PATHS_MAX || entity.indexes.len() > PATHS_MAX {
                return wrong(at, "at most 50 references and 50 indexes");
            }
            if let Some((setting, reason)) = entity.conflicts.fault(&entity.references) {
                return wrong(format!("{at}.conflicts.{setting}"), reason);
            }
            if let Some((setting, reason)) = entity.fault_of_unique() {
                return wrong(format!("{at}.{setting}"), reason);
            }
            for (path, target) in entity.references.iter() {
                let at = format!("{at}.references.{}", path.as_str());
                if !self.entities.contains_key(target) {
                    return wrong(at, &format!("'{target}' is no entity of this schema"));
                }
                reserved(path, &at)?;
            }
            for (path, rule) in entity.on_delete.iter() {
                let at = format!("{at}.onDelete.{}", path.as_str());
                if !entity.references.contains_key(path) {
                    return wrong(at, "this path is no reference of the entity");
                }
                if *rule == OnDelete::SetNull && entity.fields.get(path).is_some_and(|shape| shape.required) {
                    return wrong(at, "the field is required: it cannot be set to null");
                }
            }
            if entity.fields.len() > FIELDS_MAX {
                return wrong(format!("{at}.fields"), "at most 200 fields");
            }
            for (path, shape) in entity.fields.iter() {
                let at = format!("{at}.fields.{}", path.as_str());
                if path.as_str().contains('[') {
                    return wrong(at, "a path through a list: say what the list itself may be");
                }
                reserved(path, &at)?;
                if let Some((setting, reason)) = shape.fault(entity.references.contains_key(path)) {
                    return wrong(format!("{at}.{setting}"), reason);
                }
            }
            for path in &entity.indexes {
                reserved(path, &format!("{at}.indexes.{}", path.as_str()))?;
            }
        }
        Ok(())
    }

    /// The place of a lane in the order of priority. What has no lane, or one that is declared no more, comes last.
    pub fn lane(&self, name: Option<&str>) -> usize {
        self.lanes.iter().position(|lane| Some(lane.name.as_str()) == name).unwrap_or(self.lanes.len())
    }

    /// The declaration of one entity.
    pub fn entity(&self, name: &str) -> Option<&Entity> {
        self.entities.get(name)
    }

    /// Every (entity, path) that points to `target`.
    pub fn referring_to<'s>(&'s self, target: &'s str) -> impl Iterator<Item = (&'s str, &'s FieldPath)> {
        self.entities.iter().flat_map(move |(name, entity)| {
            let paths = entity.references.iter().filter(move |(_, to)| *to == target);
            paths.map(move |(path, _)| (name.as_str(), path))
        })
    }

    /// Whether a delete of such a record takes others with it, or changes them.
    pub fn is_followed(&self, target: &str) -> bool {
        self.referring_to(target).any(|(from, path)| self.entity(from).is_some_and(|entity| entity.on_delete(path) != OnDelete::Restrict))
    }
}

fn reserved(path: &FieldPath, at: &str) -> Result<(), SchemaError> {
    if matches!(path.top(), "id" | "_sync") {
        let reason = format!("'{}' belongs to FieldSync", path.top());
        return Err(SchemaError { path: at.to_owned(), reason });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Rule;
    use super::*;

    fn error(text: &str) -> String {
        Schema::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_schema_is_read_with_its_defaults() -> Result<(), SchemaError> {
        let schema = Schema::parse(
            r#"{"name":"shop","version":2,"entities":{"order":{"references":{"lines[].productId":"product"},"indexes":["placedAt"],
            "conflicts":{"fields":{"total":"manual"}}},"product":{"key":"text"}}}"#,
        )?;
        let order = schema.entity("order").expect("declared");
        assert_eq!(order.key, KeyPolicy::Integer);
        assert!(order.is_indexed("lines[].productId") && order.is_indexed("placedAt") && !order.is_indexed("total"));
        assert_eq!((order.conflicts.of("total"), order.conflicts.of("note")), (&Rule::Manual, &Rule::LastWriteWins));
        assert_eq!(
            schema.referring_to("product").map(|(entity, path)| (entity, path.as_str())).collect::<Vec<_>>(),
            [("order", "lines[].productId")]
        );
        Ok(())
    }

    #[test]
    fn every_mistake_names_its_path() {
        assert!(error(r#"{"name":"a","version":1,"entities":{}}"#).contains("entities"));
        assert!(error(r#"{"name":"a","version":1,"entities":{"a":{"references":{"b":"c"}}}}"#).contains("entities.a.references.b"));
        assert!(error(r#"{"name":"a","version":1,"entities":{"a":{"indexes":["id"]}}}"#).contains("belongs to FieldSync"));
        assert!(error(r#"{"name":"a","version":1,"entities":{"a b":{}}}"#).contains("entities.a b"));
        assert!(
            error(r#"{"name":"a","version":1,"entities":{"a":{},"b":{"refs":{}}}}"#).contains("entities.b': no such field is known: refs")
        );
        let rules = |rules: &str| error(&format!(r#"{{"name":"a","version":1,"entities":{{"a":{{"conflicts":{rules}}}}}}}"#));
        assert!(rules(r#"{"kinds":{"update-update":"manual"}}"#).contains("entities.a.conflicts.kinds.update-update"));
        assert!(rules(r#"{"kinds":{"delete-update":"set"}}"#).contains("entities.a.conflicts.kinds.delete-update"));
        assert!(rules(r#"{"default":"text"}"#).contains("entities.a.conflicts.default"));
        assert!(rules(r#"{"fields":{"lines":{"list":""}}}"#).contains("entities.a.conflicts.fields.lines.list"));
        for groups in [r#"[["a"]]"#, r#"[["a","b"],["b","c"]]"#, r#"[["a","a"]]"#] {
            assert!(rules(&format!(r#"{{"groups":{groups}}}"#)).contains("entities.a.conflicts.groups."), "{groups}");
        }
        assert!(rules(r#"{"fields":{"b":"set"},"groups":[["a","b"]]}"#).contains("groups.0"));
        for field in ["a.b", "id", "_sync", ""] {
            assert!(rules(&format!(r#"{{"groups":[["a","{field}"]]}}"#)).contains("groups.0': must be of top-level fields"), "{field}");
            let rule = rules(&format!(r#"{{"fields":{{"{field}":"manual"}}}}"#));
            assert!(rule.contains(&format!("fields.{field}': a rule is for a top-level field")), "{field}");
        }
        assert!(rules(r#"{"detect":[]}"#).contains("entities.a.conflicts.detect"));
        assert!(rules(r#"{"detect":["hash","version","hash"]}"#).contains("entities.a.conflicts.detect.2"));
        assert!(rules(r#"{"detect":[{"timestamp":"a.b"}]}"#).contains("entities.a.conflicts.detect.0.timestamp"));
        assert!(rules(r#"{"detect":["clock"]}"#).contains("no such word is known: clock"));
        for metadata in [r#"["a.b"]"#, r#"["id"]"#, r#"[""]"#] {
            assert!(rules(&format!(r#"{{"metadata":{metadata}}}"#)).contains("metadata.0': must be a top-level field"), "{metadata}");
        }
        assert!(rules(r#"{"metadata":["a","a"]}"#).contains("metadata.1"));
        assert!(rules(r#"{"metadata":["a"],"fields":{"a":"manual"}}"#).contains("metadata.0': a field that settles itself"));
        assert!(rules(r#"{"metadata":["a"],"groups":[["a","b"]]}"#).contains("metadata.0': a field that settles itself"));
        assert!(error(r#"{"name":"a","version":1,"entities":{"a":{"indexes":["x..y"]}}}"#).contains("x..y"));
        let unique = |unique: &str| error(&format!(r#"{{"name":"a","version":1,"entities":{{"a":{{"unique":{unique}}}}}}}"#));
        for constraints in [r#"[["a"],[]]"#, r#"[["b"],["a[].b"]]"#, r#"[["b"],["id"]]"#, r#"[["a"],["a"]]"#, r#"[["b"],["a","a"]]"#] {
            assert!(unique(constraints).contains("entities.a.unique.1"), "{constraints}");
        }
        assert!(unique(r#"[["a","b","c","d","e","f"]]"#).contains("unique.0"));
        assert!(unique(r#"[["a"],["b"],["c"],["d"],["e"],["f"],["g"],["h"],["i"],["j"],["k"]]"#).contains("entities.a.unique'"));
        assert!(
            error(r#"{"name":"a","version":1,"entities":{"a":{"conflicts":{"default":"dice"}}}}"#)
                .contains("entities.a': no such word is known: dice")
        );
        assert!(error(r#"{"name":"a","version":1,"entities":{"a":{"lane":"till"}}}"#).contains("entities.a.lane"));
        assert!(error(r#"{"name":"a","version":1,"lanes":[{"name":"x"},{"name":"x"}],"entities":{"a":{}}}"#).contains("lanes.1"));
        let on_delete =
            |rest: &str| error(&format!(r#"{{"name":"a","version":1,"entities":{{"a":{{"references":{{"b":"a"}},{rest}}}}}}}"#));
        assert!(on_delete(r#""onDelete":{"c":"cascade"}"#).contains("entities.a.onDelete.c': this path is no reference"));
        assert!(on_delete(r#""onDelete":{"b":"set-null"},"fields":{"b":{"required":true}}"#).contains("entities.a.onDelete.b': the field"));
        assert!(on_delete(r#""onDelete":{"b":"vanish"}"#).contains("no such word is known: vanish"));
        assert!(error("[").contains("JSON"));
    }
}
