//! The rules by which two sides' changes of one record are settled: which side has a field that both changed, or how both
//! changes are put together. They also say how a change is told: a count and a change of items say what is done to the field,
//! and are done over whatever others did to it.

use serde::{Deserialize, Serialize};

use crate::value::{Change, Delta, FieldPath, ListChange, Object, Sorted};

/// What happens to a field that changed on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The later effective stamp wins; the loser is kept.
    LastWriteWins,
    /// The server's side wins; the loser is kept.
    ServerWins,
    /// The client's side wins; the loser is kept.
    ClientWins,
    /// A person decides.
    Manual,
    /// A function of the app decides; where it does not, a person.
    Function,
    /// A whole number: what each side added or took away counts.
    Counter,
    /// A list in which each item is once: what one side put in is in, what one side took out is out.
    Set,
    /// A list of objects that this field of theirs tells apart: merged item by item, field by field.
    List(String),
    /// A text: merged line by line.
    Text,
}

impl Rule {
    /// Whether it puts both sides' changes together. Where it cannot, the later one stands.
    pub fn merges(&self) -> bool {
        match self {
            Self::Counter | Self::Set | Self::List(_) | Self::Text => true,
            Self::LastWriteWins | Self::ServerWins | Self::ClientWins | Self::Manual | Self::Function => false,
        }
    }
    /// What makes one value of a field another, where that is told by what is done to it; nothing where it is told by the
    /// new value.
    fn relative(&self, old: Option<&serde_json::Value>, new: &serde_json::Value) -> Option<Change> {
        match self {
            Self::Counter => Change::count(old, new),
            Self::Set => ListChange::between(old, new, None).map(Change::List),
            Self::List(key) => ListChange::between(old, new, Some(key)).map(Change::List),
            Self::Text | Self::LastWriteWins | Self::ServerWins | Self::ClientWins | Self::Manual | Self::Function => None,
        }
    }
}

/// A sign that the server's side of a record moved since the state that a change was written on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detect {
    /// It has another version.
    Version,
    /// It has another content, but for what settles itself.
    Hash,
    /// This top-level field of it has a later value.
    Timestamp(String),
}

/// The rules of one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct ConflictRules {
    /// For every field without a rule of its own, and for the kinds without one.
    pub default: Rule,
    /// For a record that one side deleted, by what the local side did and what the other: `update-delete`, `delete-update`.
    #[serde(skip_serializing_if = "Sorted::is_empty")]
    pub kinds: Sorted<String, Rule>,
    /// By top-level field.
    pub fields: Sorted<String, Rule>,
    /// Top-level fields that belong together, such as an address: they come from one side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<Vec<String>>,
    /// The signs that the server's side moved. It did if all of them say so.
    pub detect: Vec<Detect>,
    /// Top-level fields that settle themselves, such as `updatedAt`: the later stamp has them, and they are no conflict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<String>,
}

impl Default for ConflictRules {
    fn default() -> Self {
        let detect = vec![Detect::Version, Detect::Hash];
        Self { default: Rule::LastWriteWins, kinds: Sorted::new(), fields: Sorted::new(), groups: Vec::new(), detect, metadata: Vec::new() }
    }
}

impl ConflictRules {
    /// The rule for a top-level field.
    pub fn of(&self, field: &str) -> &Rule {
        if self.is_metadata(field) { &Rule::LastWriteWins } else { self.fields.get(field).unwrap_or(&self.default) }
    }

    /// The rule where one side deleted the record, by the kind's name.
    pub fn of_kind(&self, kind: &str) -> &Rule {
        self.kinds.get(kind).unwrap_or(&self.default)
    }

    /// Whether a function of the app decides anything.
    pub fn ask_a_function(&self) -> bool {
        self.kinds.values().chain(self.fields.values()).chain([&self.default]).any(|rule| *rule == Rule::Function)
    }

    /// Whether a top-level field settles itself.
    pub fn is_metadata(&self, field: &str) -> bool {
        self.metadata.iter().any(|settled| settled == field)
    }

    /// What makes one record another, told as the rules say.
    pub fn delta(&self, from: &Object, to: &Object) -> Delta {
        let mut delta = Delta::diff(from, to);
        delta.for_each_mut(|pointer, change| {
            let mut keys = pointer.keys();
            let (Some(field), None, Change::Set(new)) = (keys.next(), keys.next(), &*change) else { return };
            if let Some(relative) = self.of(&field).relative(from.get(field.as_ref()), new) {
                *change = relative;
            }
        });
        delta
    }

    /// What is wrong with them: the setting within, and why.
    pub(super) fn fault(&self, references: &Sorted<FieldPath, String>) -> Option<(String, &'static str)> {
        if self.default.merges() {
            return Some(("default".to_owned(), "this rule is one for single fields"));
        }
        for (kind, rule) in self.kinds.iter() {
            let at = format!("kinds.{kind}");
            if !matches!(kind.as_str(), "update-delete" | "delete-update") {
                return Some((at, "must be update-delete or delete-update"));
            }
            if rule.merges() {
                return Some((at, "this rule is one for single fields"));
            }
        }
        for (field, rule) in self.fields.iter() {
            let at = format!("fields.{field}");
            if !is_top_level(field) {
                return Some((at, "a rule is for a top-level field, and holds for all below it"));
            }
            match rule {
                Rule::List(key) if key.is_empty() => return Some((format!("{at}.list"), "must name a field of the items")),
                // An ID that changes its text would be another item.
                Rule::Set if references.keys().any(|path| path.top() == field) => {
                    return Some((at, "the items of a set hold no references; a 'list' may, beside the field that tells its items apart"));
                }
                Rule::List(key) if references.keys().any(|path| path.as_str() == format!("{field}[].{key}")) => {
                    return Some((format!("{at}.list"), "items are not told apart by a reference"));
                }
                _ => {}
            }
        }
        let mut seen: Vec<&String> = Vec::new();
        for (at, group) in self.groups.iter().enumerate() {
            if !group.iter().all(|field| is_top_level(field)) {
                return Some((format!("groups.{at}"), "must be of top-level fields"));
            }
            let before = seen.len();
            seen.extend(group);
            if group.len() < 2 || (before..seen.len()).any(|place| seen[..place].contains(&seen[place])) {
                return Some((format!("groups.{at}"), "must be two fields or more, each in no other group"));
            }
            if group.iter().any(|field| self.of(field).merges()) {
                return Some((format!("groups.{at}"), "a field that comes from one side has no rule that merges"));
            }
        }
        self.fault_of_signs(&seen)
    }

    fn fault_of_signs(&self, grouped: &[&String]) -> Option<(String, &'static str)> {
        let is_same = |one: &Detect, other: &Detect| std::mem::discriminant(one) == std::mem::discriminant(other);
        if self.detect.is_empty() {
            return Some(("detect".to_owned(), "must name one to three of version, hash and a timestamp"));
        }
        for (at, sign) in self.detect.iter().enumerate() {
            if self.detect[..at].iter().any(|other| is_same(other, sign)) {
                return Some((format!("detect.{at}"), "stands there once"));
            }
            if let Detect::Timestamp(field) = sign
                && !is_top_level(field)
            {
                return Some((format!("detect.{at}.timestamp"), "must be a top-level field"));
            }
        }
        for (at, field) in self.metadata.iter().enumerate() {
            let wrong = |reason| Some((format!("metadata.{at}"), reason));
            if !is_top_level(field) {
                return wrong("must be a top-level field");
            }
            if self.metadata[..at].contains(field) {
                return wrong("stands there once");
            }
            if self.fields.contains_key(field) || grouped.contains(&field) {
                return wrong("a field that settles itself has no rule and is in no group");
            }
        }
        None
    }
}

/// Whether rules, groups and signs may name this: one field of the record itself, and none of FieldSync's.
fn is_top_level(field: &str) -> bool {
    !field.is_empty() && !field.contains(['.', '/', '[']) && !matches!(field, "id" | "_sync")
}
