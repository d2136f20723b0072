//! A record as a page brings it, looked at before the transaction: there, deleted, or not to be shown.

use serde_json::Value;

use super::page::ApplyPage;
use super::quarantine::Quarantined;
use super::rows::BaseRow;
use crate::model::{RecordId, Stamp, TempId, Version};
use crate::protocol::{ChangeKind, RawPage, ServerState};
use crate::schema::{Entity, Fault, Schema, faults};
use crate::value::{Hash, Limits, Object, Sorted, parse};

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
    /// Its fields as they came, as they were read, and the sum of the row that they make.
    There(Box<str>, Object, Hash),
    /// It is gone.
    Deleted,
    /// It cannot be shown: the text as it came, why, and what is not as it is declared.
    Refused(String, String, Vec<Fault>),
}

/// A record's fields with its ID.
pub fn with_id(data: &Object, id: &RecordId) -> Value {
    let mut record = data.clone();
    record.insert("id".to_owned(), id.to_value());
    Value::Object(record)
}

impl Content {
    fn read(declared: &Entity, (entity, id, version): (&str, &RecordId, Version), raw: &str) -> Self {
        let refused = |reason: &str, faults| Self::Refused(raw.to_owned(), reason.to_owned(), faults);
        match parse(raw, &Limits::RECORD) {
            Ok(Value::Object(data)) => match faults(declared, &data) {
                none if none.is_empty() => {
                    let sum = BaseRow::sum(entity, id, version, &data);
                    Self::There(raw.into(), data, sum)
                }
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
                    (ChangeKind::Upsert, Some(raw)) => Content::read(declared, (&head.entity, &head.id, head.version), raw),
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
            state: Content::read(declared, (entity, id, kept.version), &kept.text),
            stamp: kept.stamp,
            field_stamps: kept.field_stamps.clone(),
            born_as: kept.born_as.clone(),
        }
    }

    /// The entity that it is of.
    pub fn entity(&self) -> &str {
        &self.entity
    }

    /// Its real ID.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The record with its ID, as a function of the app is shown it; nothing where there is none to show.
    pub fn shown(&self) -> Option<Value> {
        match &self.state {
            Content::There(_, data, _) => Some(with_id(data, &self.id)),
            Content::Deleted | Content::Refused(..) => None,
        }
    }

    /// A function of the app says that it may not be so.
    pub fn refuse(&mut self, faults: Vec<Fault>) {
        if let Content::There(text, ..) = &self.state {
            self.state = Content::Refused(text.to_string(), "the app's validator refuses it".to_owned(), faults);
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
            Content::There(_, data, _) => Some(data.clone()),
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
