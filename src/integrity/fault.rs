//! What is not in order, and what became of it.
//!
//! [`Wrong`] is all that can be wrong with a row; a [`Fault`] says of one row which of it, as people and apps are told it; a
//! [`Mended`] is what a repair did about that.

use serde::Serialize;
use serde_json::Value;

/// So many are listed; all are counted.
pub const FAULTS_MAX: u64 = 1_000;

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The row's text cannot be read.
    Unreadable,
    /// It is not the row of its sum, or has none where every row has one.
    Hash,
    /// It stands under another key than its own.
    Key,
    /// Its index entries are others than its content makes.
    Index,
    /// Of a download that is over.
    Stray,
    /// Overlay and outbox do not name each other.
    Queue,
    /// An operation of which the trail does not tell.
    Untold,
    /// An operation behind one that was never here.
    After,
    /// A number that was never given.
    Sequence,
    /// It names a conflict that is not here.
    Conflict,
    /// IDs that lead in a circle.
    Circle,
    /// A row of the state in which one thing contradicts the other.
    State,
    /// The trail's chain breaks.
    Chain,
    /// A reference that leads to nothing.
    Reference,
}

impl Wrong {
    /// This, if it is so.
    pub fn when(self, is_so: bool) -> Option<Self> {
        is_so.then_some(self)
    }
    /// Stable: docs/integrity.md explains each.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Hash => "hash",
            Self::Key => "key",
            Self::Index => "index",
            Self::Stray => "stray",
            Self::Queue => "queue",
            Self::Untold => "untold",
            Self::After => "after",
            Self::Sequence => "sequence",
            Self::Conflict => "conflict",
            Self::Circle => "circle",
            Self::State => "state",
            Self::Chain => "chain",
            Self::Reference => "reference",
        }
    }
    /// For people.
    const fn message(self) -> &'static str {
        match self {
            Self::Unreadable => "the row cannot be read",
            Self::Hash => "the row is not what was written here",
            Self::Key => "the row belongs to another key",
            Self::Index => "the row's index entries are not those of its content",
            Self::Stray => "the row belongs to a download that is over",
            Self::Queue => "an operation is not in both of overlay and outbox",
            Self::Untold => "the audit trail does not tell of this operation, or tells of another content",
            Self::After => "the operation before this one was never here",
            Self::Sequence => "the number is beyond the last that was given",
            Self::Conflict => "the conflict that is named is not here",
            Self::Circle => "an ID leads back to itself",
            Self::State => "what is stored about the state contradicts itself",
            Self::Chain => "the audit trail is not in order from this row on: audit.verify says how",
            Self::Reference => "the record refers to nothing: relationships.checkReferentialIntegrity says where",
        }
    }
}

/// A row, or a part of the store, that is not in order. It says where and what, never what the row holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The code of what is wrong.
    pub code: &'static str,
    /// The table.
    pub table: &'static str,
    /// The entity type, where the row is about a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The record's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// The row's key.
    pub key: Value,
    /// For people.
    pub message: &'static str,
}

impl Fault {
    /// A fault that is about a record, or about none.
    pub fn new(wrong: Wrong, table: &'static str, about: Option<(&str, Value)>, key: Value) -> Self {
        let (entity, id) = about.map(|(entity, id)| (entity.to_owned(), id)).unzip();
        Self { code: wrong.code(), table, entity, id, key, message: wrong.message() }
    }
}

/// What a repair does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// It is done, or would be: by what.
    By(&'static str),
    /// Nothing is changed: why not.
    Not(&'static str),
}
