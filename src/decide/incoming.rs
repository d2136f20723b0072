//! A record as a page brings it, looked at before the transaction: there, deleted, or not to be shown.

use super::page::ApplyPage;
use super::quarantine::Quarantined;
use crate::model::{RecordId, Stamp, TempId, Version};
use crate::protocol::{ChangeKind, RawPage, ServerState};
use crate::schema::{Entity, Fault, Schema, faults};
use crate::value::{Limits, Object, Sorted, parse};

/// One record of a page, checked.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub(super) entity: String,
    pub(super) id: RecordId,
    pub(super) version: Version,
    pub(super) state: Content,
    stamp: Stamp,
    field_stamps: Sorted<String, Stamp>,
    born_as: Option<TempId>,
}

/// What a page says of a record.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Its fields, as text and read.
    There(Box<str>, Object),
    /// It is gone.
    Deleted,
    /// It cannot be shown: the text as it came, why, and what is not as it is declared.
    Refused(String, String, Vec<Fault>),
}

impl Content {
    fn read(declared: &Entity, raw: &str) -> Self {
        let refused = |reason: &str, faults| Self::Refused(raw.to_owned(), reason.to_owned(), faults);
        match parse(raw, &Limits::RECORD) {
            Ok(serde_json::Value::Object(data)) => match faults(declared, &data) {
                none if none.is_empty() => Self::There(raw.into(), data),
                faults => refused("its fields are not as the schema declares them", faults),
            },
            Ok(_) => refused("not an object", Vec::new()),
            Err(error) => refused(&error.to_string(), Vec::new()),
        }
    }
}

impl ApplyPage {
    /// Checks the records of a page: an entity that the schema does not know is none of ours, fields that break the rules
    /// of a value or of the schema go into quarantine.
    pub fn check(page: &RawPage<'_>, schema: &Schema) -> Vec<Incoming> {
        let known = page.changes.iter().filter_map(|change| Some((change, schema.entity(&change.head.entity)?)));
        known
            .map(|(change, declared)| {
                let head = change.head.clone();
                let state = match (head.kind, change.data) {
                    (ChangeKind::Delete, _) => Content::Deleted,
                    (ChangeKind::Upsert, None) => Content::Refused(String::new(), "no fields".to_owned(), Vec::new()),
                    (ChangeKind::Upsert, Some(raw)) => Content::read(declared, raw),
                };
                Incoming {
                    entity: head.entity,
                    id: head.id,
                    version: head.version,
                    state,
                    stamp: head.stamp,
                    field_stamps: head.field_stamps,
                    born_as: head.born_as,
                }
            })
            .collect()
    }
}

impl Incoming {
    /// One that lay in quarantine, held against the present declaration.
    pub(super) fn kept(declared: &Entity, entity: &str, id: &RecordId, kept: &Quarantined) -> Self {
        Self {
            entity: entity.to_owned(),
            id: id.clone(),
            version: kept.version,
            state: Content::read(declared, &kept.text),
            stamp: kept.stamp,
            field_stamps: kept.field_stamps.clone(),
            born_as: kept.born_as.clone(),
        }
    }

    /// What lies in quarantine of it; nothing if it can be shown.
    pub(super) fn refused(&self, at: u64, schema: &Schema) -> Option<Quarantined> {
        let Content::Refused(text, reason, faults) = &self.state else { return None };
        Some(Quarantined {
            version: self.version,
            text: text.clone(),
            reason: reason.clone(),
            at,
            faults: faults.clone(),
            schema: schema.version,
            stamp: self.stamp,
            field_stamps: self.field_stamps.clone(),
            born_as: self.born_as.clone(),
        })
    }

    /// The server's state that it is; nothing if it cannot be shown.
    pub(super) fn server(&self) -> Option<ServerState> {
        let data = match &self.state {
            Content::There(_, data) => Some(data.clone()),
            Content::Deleted => None,
            Content::Refused(..) => return None,
        };
        Some(ServerState { version: self.version, data, stamp: self.stamp, field_stamps: self.field_stamps.clone() })
    }

    /// The IDs by which the overlay may know it: the one it was born with here, and its real one.
    pub(super) fn lookups(&self) -> impl Iterator<Item = RecordId> {
        self.born_as.clone().map(RecordId::from).into_iter().chain([self.id.clone()])
    }
}
