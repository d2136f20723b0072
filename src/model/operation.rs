//! An operation: one intent on one record. It is written once, sent as often as needed, and its bytes
//! never change after it was first claimed for sending (sealed, DESIGN 5.5).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{OpId, RecordId, Stamp};
use crate::value::{Delta, Hash, Object, Sorted};

/// The version of a record: the tenant's sequence number of its last change. A string on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pub u64);

impl Version {
    /// Of a state that comes from a lineage of the server that was lost: older than every version of the present one.
    pub const LOST: Self = Self(0);
    /// The one that follows.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl TryFrom<String> for Version {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Makes the record; with a base version, brings a deleted one back.
    Create,
    /// Changes fields.
    Update,
    /// Takes the record away.
    Delete,
}

/// What an operation does, with what it needs for it.
///
/// On the wire: `{"kind": "create", "data"}`, `{"kind": "update", "delta"}`, `{"kind": "delete"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ActionWire", into = "ActionWire")]
pub enum Action {
    /// Makes the record.
    Create {
        /// The fields, without `id`.
        data: Object,
    },
    /// Changes fields.
    Update {
        /// The changed fields.
        delta: Delta,
    },
    /// Takes the record away.
    Delete,
}

/// Written out instead of a tagged enum: serde reads those through a buffer of its own, which is much code.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionWire {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Object>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delta: Option<Delta>,
}

impl From<Action> for ActionWire {
    fn from(action: Action) -> Self {
        let kind = action.kind();
        match action {
            Action::Create { data } => Self { kind, data: Some(data), delta: None },
            Action::Update { delta } => Self { kind, data: None, delta: Some(delta) },
            Action::Delete => Self { kind, data: None, delta: None },
        }
    }
}

impl TryFrom<ActionWire> for Action {
    type Error = &'static str;
    fn try_from(wire: ActionWire) -> Result<Self, Self::Error> {
        match (wire.kind, wire.data, wire.delta) {
            (Kind::Create, Some(data), None) => Ok(Self::Create { data }),
            (Kind::Update, None, Some(delta)) => Ok(Self::Update { delta }),
            (Kind::Delete, None, None) => Ok(Self::Delete),
            _ => Err("an action has data or a delta, as its kind demands"),
        }
    }
}

impl Action {
    /// A change of nothing: it keeps an operation's place where nothing is left for it to do.
    pub fn nothing() -> Self {
        Self::Update { delta: Delta::default() }
    }
    /// The action's kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Create { .. } => Kind::Create,
            Self::Update { .. } => Kind::Update,
            Self::Delete => Kind::Delete,
        }
    }
}

/// The state that an operation was written on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// There was no record.
    None,
    /// The record at this version of the server.
    Version(Version),
    /// The record as this operation of the same client leaves it, or as the one that supersedes it does.
    After(OpId),
}

impl Base {
    /// The operation that it is to come after.
    pub fn follows(&self) -> Option<&OpId> {
        match self {
            Self::After(earlier) => Some(earlier),
            Self::None | Self::Version(_) => None,
        }
    }
}

/// What was written in one `transaction`: all of it takes effect at the server, or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name: the ID of its first operation.
    pub id: OpId,
    /// How many operations it has, so that nobody takes a part for the whole.
    pub of: usize,
}

/// One intent on one record, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// UUIDv7 and idempotency key.
    pub id: OpId,
    /// The client sequence: the key of the audit row that was written with it.
    pub seq: u64,
    /// The entity type.
    pub entity: String,
    /// The record, by the ID it had when the operation was written.
    pub record: RecordId,
    /// What happens.
    pub action: Action,
    /// On what.
    pub base: Base,
    /// When, by the device.
    pub stamp: Stamp,
    /// The stamps of top-level fields that were written at another time, where several writes became one operation.
    #[serde(default, skip_serializing_if = "Sorted::is_empty")]
    pub stamps: Sorted<String, Stamp>,
    /// Who: the user whose database this is.
    pub author: String,
    /// The queue it waits in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Operations of one group are applied together or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The operation, ended in conflict or parked, in whose place this one stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<OpId>,
    /// The first operation of that line, which somebody wrote, where it is another: by it the server knows the line, however
    /// many stood between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<OpId>,
    /// Of a delete that others may follow by what is declared: up to here its writer had seen everything. What refers to
    /// the record, is not in its group and is newer goes with it, or refers to nothing; what is not newer stands in its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Version>,
    /// The version of the app's schema that it was written under.
    pub schema: u32,
}

impl Operation {
    /// The first operation of its line: itself, if it stands in nobody's place.
    pub fn first(&self) -> &OpId {
        self.first.as_ref().or(self.supersedes.as_ref()).unwrap_or(&self.id)
    }
    /// This one in the place of another, which is known by the name `supersedes`.
    pub fn in_place_of(self, other: &Self, supersedes: OpId) -> Self {
        let first = Some(other.first()).filter(|first| **first != supersedes).cloned();
        Self { first, supersedes: Some(supersedes), ..self }
    }
    /// What the server remembers beside the receipt: the same ID with another fingerprint is refused.
    pub fn fingerprint(&self) -> Hash {
        crate::value::hash(&crate::value::to_value(self))
    }
    /// Whether it does something to a count or a list, whatever that is by then.
    pub fn is_relative(&self) -> bool {
        matches!(&self.action, Action::Update { delta } if delta.is_relative())
    }
    /// When a top-level field was written, by the device.
    pub fn stamp_of(&self, field: &str) -> Stamp {
        self.stamps.get(field).copied().unwrap_or(self.stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_wire_form_is_fixed() {
        let text = json!({
            "id": "0190a1b2-0000-7000-8000-000000000001", "seq": 3, "entity": "pet", "record": "temp_1_a_pet",
            "action": {"kind": "update", "delta": {"set": {"/name": "Rex"}, "unset": ["/note"]}},
            "base": {"after": "0190a1b2-0000-7000-8000-000000000000"}, "stamp": [1000, 2], "author": "7", "schema": 1
        });
        let operation: Operation = serde_json::from_value(text.clone()).expect("reads");
        assert_eq!(serde_json::to_value(&operation).expect("writes"), text);
        assert_eq!(operation.action.kind(), Kind::Update);
        let other = Operation { seq: 4, ..operation.clone() };
        assert_ne!(operation.fingerprint(), other.fingerprint());
        let id = |n: u8| OpId::parse(&format!("0190a1b2-0000-7000-8000-0000000000{n:02}")).expect("an ID");
        let next = |n: u8, other: &Operation, by: &OpId| Operation { id: id(n), ..other.clone() }.in_place_of(other, by.clone());
        let second = next(21, &operation, &operation.id);
        let third = next(22, &second, &second.id);
        // Where the one between is unknown to the server, it is passed over.
        let past = next(23, &second, &operation.id);
        assert_eq!([&operation, &second, &third, &past].map(Operation::first), [&operation.id; 4]);
        assert_eq!((second.first, third.first, past.first), (None, Some(operation.id.clone()), None));
        for base in [json!("none"), json!({"version": "12"})] {
            let base_read: Base = serde_json::from_value(base.clone()).expect("reads");
            assert_eq!(serde_json::to_value(base_read).expect("writes"), base);
        }
    }
}
