//! Room `audit`: the append-only trail. Every plan that changes operations appends one row; its key is the
//! client sequence, so the last row is the one counter of the database and the trail has no holes that
//! nobody can see.
//!
//! Each row holds the hash of the one before: `h(n) = SHA-256(0x01 ‖ h(n-1) ‖ canonical(row n without its
//! hash))`. The leading byte keeps a row from being taken for anything else that is hashed here.
//!
//! Knows `value`, `model` and `schema`.

mod chain;
mod ends;
mod filter;
mod report;
mod row;
mod table;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use chain::{Chain, FirstBad, Reason, Stored};
pub use ends::Ends;
pub use filter::{BadFilter, Filter, Next, time};
pub use report::{Ages, Kept, LastCheck, Noted, Open, Report, Seen, Unfinished, Verified, Waiting};
pub use row::Row;
pub use table::{shown, text};

use crate::model::{Action, Kind, OpId, RecordId, Version};
use crate::schema::Content;
use crate::value::{Hash, Object, canonical_object, hash_bytes, to_value};

/// What happened to one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The app wrote it, or a rule, a decision, a restore or an undo did.
    Written {
        /// What it does.
        kind: Kind,
        /// The hash of what was written, so that the trail proves it without showing it.
        content: Hash,
    },
    /// The server applied it.
    Applied {
        /// The record's version after it.
        version: Version,
    },
    /// It ended in a conflict.
    Conflict {
        /// The key of the conflict.
        conflict: u64,
    },
    /// The server refused it for good, or broke down over it again and again.
    Parked {
        /// The rejection's code.
        code: String,
    },
    /// Another operation stands in its place.
    Superseded {
        /// Which.
        by: OpId,
    },
    /// Nothing of it is left to send.
    Coalesced {
        /// It became part of this operation; nothing if it was annulled.
        by: Option<OpId>,
        /// The server's state that holds it already.
        version: Option<Version>,
    },
    /// A later write became part of it.
    Amended {
        /// The hash of what it is now.
        content: Hash,
    },
    /// What the server applied is durable there.
    Settled,
    /// It is sent again as it was: the server went back to a time before it was applied, or a person sent again what had been
    /// parked without an answer.
    Returned,
    /// The server waits for a record or an operation before it.
    Blocked,
    /// The user gave it up.
    Discarded,
    /// It was written into a file, for another device to send.
    Exported,
    /// It was read from a file of another device.
    Imported {
        /// The hash of what it is.
        content: Hash,
    },
    /// It brings back what had lost a conflict. Where nothing had to be written, there is no such operation.
    Restored {
        /// The key of the conflict.
        conflict: u64,
    },
    /// It takes back the last step of a conflict, as above.
    Undone {
        /// The key of the conflict.
        conflict: u64,
    },
    /// It decides a conflict that another device met, of which this trail has nothing else.
    Resolved {
        /// The key of the conflict.
        conflict: u64,
        /// By which strategy.
        code: String,
    },
    /// Rebased over a newer state of the server.
    Rebased {
        /// The version it now stands on.
        version: Version,
    },
    /// It was kept for as long as the settings say, and went. There is no such operation.
    Purged {
        /// The key of the conflict; nothing where it is the trail up to the row that is named in the record's place.
        conflict: Option<u64>,
        /// The hash of the text that was stored, or of that row.
        content: Hash,
    },
    /// A stored row was mended. There is no such operation; the record is the row's, or the row's key.
    Repaired {
        /// The table, what was wrong, and what was done about it: `base/hash/dropped`.
        code: String,
    },
}

impl Event {
    /// A create that was never sent and the delete of its record: they end together, as if neither had been written.
    pub const fn annulled() -> Self {
        Self::Coalesced { by: None, version: None }
    }
    /// Whether nobody here wants the operation any more.
    pub fn is_given_up(&self) -> bool {
        *self == Self::Discarded || *self == Self::annulled()
    }
}

/// One operation's line in a row. As JSON an object with `event` and, beside it, the facts of that event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EntryWire", into = "EntryWire")]
pub struct Entry {
    /// The operation.
    pub operation: OpId,
    /// The entity type.
    pub entity: String,
    /// The record, by the ID it had then.
    pub record: RecordId,
    /// What happened.
    pub event: Event,
    /// Where the record looks different behind the act, what it was: the hash of its fields; nothing where it was not there. Of
    /// several entries about one record the last has it.
    pub before: Option<Hash>,
    /// What it is since; nothing where it is not there any more.
    pub after: Option<Hash>,
    /// The paths of the fields that were written, where the settings say so.
    pub fields: Option<Vec<String>>,
    /// What was written, where they say so.
    pub payload: Option<Value>,
}

impl Entry {
    /// What happened, without more about it.
    pub fn new(operation: OpId, entity: &str, record: RecordId, event: Event) -> Self {
        let (before, after, fields, payload) = (None, None, None, None);
        Self { operation, entity: entity.to_owned(), record, event, before, after, fields, payload }
    }
    /// Shows as much of what was written as the settings say. The hash of it stands there in any case. And where the trail
    /// `keeps` what is given up, because nothing else has it from then on, all of that, unless they say otherwise.
    pub fn show(&mut self, action: &Action, content: Option<Content>, keeps: bool) {
        let content = match self.event {
            Event::Written { .. } | Event::Amended { .. } | Event::Imported { .. } => content.unwrap_or_default(),
            Event::Discarded | Event::Coalesced { by: None, .. } if keeps => content.unwrap_or(Content::Payload),
            _ => return,
        };
        match content {
            Content::Hash => {}
            Content::Payload => self.payload = Some(to_value(action)),
            Content::Fields => {
                self.fields = match action {
                    Action::Create { data } => Some(data.keys().cloned().collect()),
                    Action::Update { delta } => Some(delta.changes().map(|(pointer, _)| pointer.dotted()).collect()),
                    Action::Delete => None,
                }
            }
        }
    }
    /// Proves what the record was and is, if that is not the same.
    pub fn prove(&mut self, was: Option<&Object>, is: Option<&Object>) {
        if was != is {
            let hash = |fields: &Object| hash_bytes(canonical_object(fields).as_bytes());
            (self.before, self.after) = (was.map(hash), is.map(hash));
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Name {
    Written,
    Applied,
    Conflict,
    Parked,
    Superseded,
    Coalesced,
    Rebased,
    Amended,
    Settled,
    Returned,
    Blocked,
    Discarded,
    Exported,
    Imported,
    Restored,
    Undone,
    Resolved,
    Purged,
    Repaired,
}

/// Written out instead of a flattened, tagged enum: serde reads those through a buffer of its own, which is much code.
#[derive(Serialize, Deserialize)]
struct EntryWire {
    operation: OpId,
    entity: String,
    record: RecordId,
    event: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    conflict: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<OpId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

impl From<Entry> for EntryWire {
    fn from(entry: Entry) -> Self {
        let (kind, content, version, conflict, code, by) = (None, None, None, None, None, None);
        let Entry { operation, entity, record, event, before, after, fields, payload } = entry;
        let name = Name::Written;
        let mut wire =
            Self { operation, entity, record, event: name, kind, content, version, conflict, code, by, before, after, fields, payload };
        match event {
            Event::Written { kind, content } => (wire.kind, wire.content) = (Some(kind), Some(content)),
            Event::Applied { version } => (wire.event, wire.version) = (Name::Applied, Some(version)),
            Event::Conflict { conflict } => (wire.event, wire.conflict) = (Name::Conflict, Some(conflict)),
            Event::Parked { code } => (wire.event, wire.code) = (Name::Parked, Some(code)),
            Event::Superseded { by } => (wire.event, wire.by) = (Name::Superseded, Some(by)),
            Event::Coalesced { by, version } => (wire.event, wire.by, wire.version) = (Name::Coalesced, by, version),
            Event::Amended { content } => (wire.event, wire.content) = (Name::Amended, Some(content)),
            Event::Imported { content } => (wire.event, wire.content) = (Name::Imported, Some(content)),
            Event::Restored { conflict } => (wire.event, wire.conflict) = (Name::Restored, Some(conflict)),
            Event::Undone { conflict } => (wire.event, wire.conflict) = (Name::Undone, Some(conflict)),
            Event::Resolved { conflict, code } => (wire.event, wire.conflict, wire.code) = (Name::Resolved, Some(conflict), Some(code)),
            Event::Purged { conflict, content } => (wire.event, wire.conflict, wire.content) = (Name::Purged, conflict, Some(content)),
            Event::Repaired { code } => (wire.event, wire.code) = (Name::Repaired, Some(code)),
            Event::Settled => wire.event = Name::Settled,
            Event::Returned => wire.event = Name::Returned,
            Event::Blocked => wire.event = Name::Blocked,
            Event::Discarded => wire.event = Name::Discarded,
            Event::Exported => wire.event = Name::Exported,
            Event::Rebased { version } => (wire.event, wire.version) = (Name::Rebased, Some(version)),
        }
        wire
    }
}

impl TryFrom<EntryWire> for Entry {
    type Error = &'static str;
    fn try_from(wire: EntryWire) -> Result<Self, Self::Error> {
        const MISSING: &str = "an audit entry lacks a fact of its event";
        let EntryWire { operation, entity, record, kind, content, version, conflict, code, by, event, before, after, fields, payload } =
            wire;
        let (known, content) = (version, content.ok_or(MISSING));
        let version = known.ok_or(MISSING);
        let event = match event {
            Name::Written => Event::Written { kind: kind.ok_or(MISSING)?, content: content? },
            Name::Applied => Event::Applied { version: version? },
            Name::Conflict => Event::Conflict { conflict: conflict.ok_or(MISSING)? },
            Name::Parked => Event::Parked { code: code.ok_or(MISSING)? },
            Name::Superseded => Event::Superseded { by: by.ok_or(MISSING)? },
            Name::Coalesced => Event::Coalesced { by, version: known },
            Name::Amended => Event::Amended { content: content? },
            Name::Imported => Event::Imported { content: content? },
            Name::Restored => Event::Restored { conflict: conflict.ok_or(MISSING)? },
            Name::Undone => Event::Undone { conflict: conflict.ok_or(MISSING)? },
            Name::Resolved => Event::Resolved { conflict: conflict.ok_or(MISSING)?, code: code.ok_or(MISSING)? },
            Name::Purged => Event::Purged { conflict, content: content? },
            Name::Repaired => Event::Repaired { code: code.ok_or(MISSING)? },
            Name::Settled => Event::Settled,
            Name::Returned => Event::Returned,
            Name::Blocked => Event::Blocked,
            Name::Discarded => Event::Discarded,
            Name::Exported => Event::Exported,
            Name::Rebased => Event::Rebased { version: version? },
        };
        Ok(Self { operation, entity, record, event, before, after, fields, payload })
    }
}
