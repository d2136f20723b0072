//! A conflict as it is stored: found, then resolved by a rule or a person, and perhaps taken back. It is never deleted
//! by any of these.

use serde::{Deserialize, Serialize};

use super::Step;
use crate::model::{Base, Operation, RecordId};
use crate::protocol::{Broken, ConflictKind, ServerState};
use crate::schema::{ConflictRules, Detect};
use crate::value::{Object, Pointer};

/// What stands among the fields of a conflict that is about the record as a whole.
pub const WHOLE: &str = "*";

/// Where a conflict stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConflictState {
    /// A person has to decide.
    Open,
    /// Decided.
    Resolved,
    /// Decided, and the decision was taken back.
    Undone,
}

/// By which sign a conflict was found: the first of these that the schema names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FoundBy {
    /// The record had another version.
    #[default]
    Version,
    /// A field of it had a later value.
    Timestamp,
    /// It had another content.
    Data,
}

impl FoundBy {
    /// By the signs of these rules.
    pub fn signs(rules: &ConflictRules) -> Self {
        let is_timestamp = |sign: &Detect| matches!(sign, Detect::Timestamp(_));
        if rules.detect.contains(&Detect::Version) {
            Self::Version
        } else if rules.detect.iter().any(is_timestamp) {
            Self::Timestamp
        } else {
            Self::Data
        }
    }
}

impl Conflict {
    /// Whether the server never had the record: it refused to create it.
    pub fn is_of_new(&self) -> bool {
        self.kind == ConflictKind::Constraint && self.operation.base == Base::None
    }
}

/// One conflict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conflict {
    /// Its key: the client sequence at which it was found; of one that another device met a number made of its name, above
    /// all sequences.
    pub id: u64,
    /// The server's name for it; where the server has none, the operation's ID.
    pub conflict_id: String,
    /// What stands against what.
    pub kind: ConflictKind,
    /// By what it was found.
    #[serde(default)]
    pub found_by: FoundBy,
    /// The entity type.
    pub entity: String,
    /// The record, by its present ID when the conflict was found.
    pub record: RecordId,
    /// The operation that met it, whole: one of this device, or of the one that met it.
    pub operation: Operation,
    /// The record that both sides started from; nothing if there was none, or where another device met it: only that one
    /// knows.
    pub base: Option<Object>,
    /// The record as the local side has it; nothing if it deleted it.
    pub local: Option<Object>,
    /// The record as the server has it.
    pub server: ServerState,
    /// The fields that both changed, dotted; the paths of a constraint.
    pub fields: Vec<String>,
    /// The places of these fields, of items of a list by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Pointer>,
    /// Of a constraint: the other record, as it was when the conflict was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Box<Broken>>,
    /// When it was found, ms by the device; of one that another device met by the server.
    pub detected_at: u64,
    /// Where it stands.
    pub state: ConflictState,
    /// How it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    /// By whom: `rule`, or the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    /// When, ms by the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<u64>,
    /// Its life, from the first step to the last.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Of one that another device met: server time minus that device's time, ms, by which its operation's stamps are moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met_at_offset_ms: Option<i64>,
    /// Of one whose last step lies in the future by its stamp: since when that is known, ms. Its age counts from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead_since: Option<u64>,
    /// That a function of the app is to decide it while it is open, and how often that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<u32>,
}
