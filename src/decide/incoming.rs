//! A record as a page brings it, looked at before the transaction: there, deleted, or not to be shown.

use std::borrow::Cow;

use serde_json::Value;

use super::page::ApplyPage;
use super::quarantine::Quarantined;
use super::rows::BaseRow;
use crate::model::{RecordId, Stamp, TempId, Version};
use crate::protocol::{ChangeKind, RawPage, ServerState};
use crate::schema::{Asked, Fault, Form, Schema, faults};
use crate::value::{Hash, Limits, Object, Sorted, parse, to_text};

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
    /// Its fields as they came, where their form here is another.
    raw: Option<Box<str>>,
}

/// What a page says of a record.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Its fields as text, as they were read, and the sum of the row that they make.
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
    fn read(schema: &Schema, (entity, id, version): (&str, &RecordId, Version), raw: &str, asked: &mut Asked<'_>) -> Self {
        let refused = |reason: &str, faults| Self::Refused(raw.to_owned(), reason.to_owned(), faults);
        let Some(declared) = schema.entity(entity) else { return refused("an entity that is not declared", Vec::new()) };
        let mut text = Cow::Borrowed(raw);
        let data = match parse(raw, &Limits::RECORD) {
            Ok(Value::Object(data)) if declared.transform.is_none() => data,
            Ok(Value::Object(data)) => match schema.turned(entity, Form::Local, &data, asked) {
                Ok(data) => {
                    text = to_text(&data).into();
                    data
                }
                Err(error) => return refused(&error.to_string(), Vec::new()),
            },
            Ok(_) => return refused("not an object", Vec::new()),
            Err(error) => return refused(&error.to_string(), Vec::new()),
        };
        match faults(declared, &data) {
            none if none.is_empty() => {
                let sum = BaseRow::sum(entity, id, version, &data);
                Self::There(text.into(), data, sum)
            }
            faults => refused("its fields are not as the schema declares them", faults),
        }
    }
}

impl ApplyPage {
    /// Checks the records of a page: an entity that the schema does not know is none of ours, fields that break the rules
    /// of a value or of the schema go into quarantine. They come in the form of the wire and leave in that of the app, with
    /// what functions make of values.
    pub fn check(page: &RawPage<'_>, schema: &Schema, asked: &mut Asked<'_>) -> Vec<Incoming> {
        let known = page.changes.iter().filter_map(|change| Some((change, schema.here(change.head.entity.clone())?)));
        known
            .map(|(change, entity)| {
                let head = change.head.clone();
                let turned = schema.entity(&entity).is_some_and(|declared| declared.transform.is_some());
                let state = match (head.kind, change.data) {
                    (ChangeKind::Delete, _) => Content::Deleted,
                    (ChangeKind::Upsert, None) => Content::Refused(String::new(), "no fields".to_owned(), Vec::new()),
                    (ChangeKind::Upsert, Some(raw)) => Content::read(schema, (&entity, &head.id, head.version), raw, asked),
                };
                Incoming {
                    field_stamps: schema.stamps_here(&entity, head.field_stamps),
                    entity,
                    id: head.id,
                    version: head.version,
                    state,
                    stamp: head.stamp,
                    born_as: head.born_as.map(|temp| schema.temp_in(Form::Local, temp)),
                    raw: change.data.filter(|_| turned).map(Into::into),
                }
            })
            .collect()
    }
}

impl Incoming {
    /// One that lay in quarantine, held against the present declaration. No function is asked: what one has to make comes
    /// with the next version of the transform, when everything is downloaded anew.
    pub fn kept(schema: &Schema, entity: &str, id: &RecordId, kept: &Quarantined) -> Self {
        let turned = schema.entity(entity).is_some_and(|declared| declared.transform.is_some());
        Self {
            entity: entity.to_owned(),
            id: id.clone(),
            version: kept.version,
            state: Content::read(schema, (entity, id, kept.version), &kept.text, &mut |_, _, _| None),
            stamp: kept.stamp,
            field_stamps: kept.field_stamps.clone(),
            born_as: kept.born_as.clone(),
            raw: turned.then(|| kept.text.as_str().into()),
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
            let came = self.raw.as_ref().unwrap_or(text).to_string();
            self.state = Content::Refused(came, "the app's validator refuses it".to_owned(), faults);
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
