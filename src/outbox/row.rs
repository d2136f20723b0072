//! An operation as it is stored.

use serde::{Deserialize, Serialize};

use crate::model::{OpId, Operation, RecordId, Version};
use crate::schema::Fault;
use crate::value::{ReadError, from_text};

/// The stored states.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits to be sent, or for the answer.
    Pending,
    /// The server applied it, but could still lose it: its payload stays until that version is durable there.
    Acknowledged {
        /// The version that it rests on: the one that it left, or, where it found that it was so already, the one that
        /// the record had then.
        version: Version,
    },
    /// The server has another state of the record and a person has to decide.
    Conflict {
        /// The key of the conflict.
        conflict: u64,
    },
    /// The server can never apply it as it is.
    Parked {
        /// Why.
        failure: Failure,
        /// The server has no last word on it: it took no request with it in, and may have it from an earlier one.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unheard: bool,
    },
}

/// Why an operation was parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable.
    pub code: String,
    /// For people.
    pub message: String,
    /// The field, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Every field that is not as the schema declares it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// One row of the outbox. Its key is the operation's client sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The operation as JSON text: once sealed, these are the bytes that go up, however often, but for those with a form of
    /// their own there.
    pub body: String,
    /// Where it stands.
    pub state: State,
    /// The ID under which its record's overlay row is kept.
    pub row: RecordId,
    /// References that the record held before and no longer after: a delete of their target comes later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<(String, RecordId)>,
    /// When it was written, ms by the device.
    pub created: u64,
    /// Earlier operations in whose place it stands, beyond the one that it names: what was written on one of those
    /// comes after this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<OpId>,
    /// The temp IDs and operations for which the server waits, by its last word: somebody has them still to send or to
    /// decide, or they were lost with a restore and nobody ever will.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// The operation in conflict for which it waits, until what was decided on that is at the server, though it was not
    /// written on that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<OpId>,
    /// Its client sequence here, if it was written on another device and imported. Such a row is always sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<u64>,
    /// Whether it stands in the place of one that was imported: then it was not written on what was written here either.
    #[serde(default, rename = "carried", skip_serializing_if = "std::ops::Not::not")]
    pub replaces_carried: bool,
    /// The operation as it goes up, where its form on the wire is another: kept when it is sealed, because what is sealed goes
    /// up as it went up before, also under a later transform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// What is stored in its place and cannot be read. Such a row is never stored itself.
    #[serde(skip)]
    pub damaged: Option<String>,
}

impl OutboxRow {
    /// The row for a new operation.
    pub fn new(operation: &Operation, row: RecordId, drops: Vec<(String, RecordId)>, created: u64) -> Self {
        let body = crate::value::to_text(operation);
        let (replaces, waits_for) = (Vec::new(), Vec::new());
        Self {
            body,
            state: State::Pending,
            row,
            drops,
            created,
            replaces,
            waits_for,
            behind: None,
            here: None,
            replaces_carried: false,
            wire: None,
            damaged: None,
        }
    }
    /// The row for another operation in the place of this one, or for this one in another shape.
    pub fn instead(&self, by: &Operation) -> Self {
        let (replaces, behind, replaces_carried) = (self.replaces.clone(), self.behind.clone(), self.is_carried());
        Self { replaces, behind, replaces_carried, ..Self::new(by, self.row.clone(), self.drops.clone(), self.created) }
    }
    /// Whether it came with a file, as it is.
    pub fn is_imported(&self) -> bool {
        self.here.is_some()
    }
    /// Whether it came with a file, as it is or under another name.
    pub fn is_carried(&self) -> bool {
        self.replaces_carried || self.is_imported()
    }
    /// Every name that the operation in it ever had.
    pub fn names<'n>(&'n self, operation: &'n Operation) -> impl Iterator<Item = &'n OpId> {
        self.replaces.iter().chain(&operation.supersedes).chain([&operation.id])
    }
    /// The operation, with the sequence that it has here. A row that we cannot read any more was written by
    /// nobody we know.
    pub fn operation(&self) -> Result<Operation, ReadError> {
        let mut operation: Operation = from_text(&self.body)?;
        operation.seq = self.here.unwrap_or(operation.seq);
        Ok(operation)
    }
    /// The row of another state, in which it waits for nothing at the server.
    pub fn with(self, state: State) -> Self {
        Self { state, waits_for: Vec::new(), ..self }
    }
}
