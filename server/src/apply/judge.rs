//! The judgement: one operation against the working copy.

use fieldsync::model::{Action, Base, Kind, Operation, RecordId, Stamp, TempId, Version};
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::ConflictKind;
use fieldsync::schema::{Entity, KeyPolicy, Reference, faults};
use fieldsync::value::{Delta, Limits, Object, ValueError, check};

use super::along::along;
use super::base::{Standing, done_before, standing};
use super::references::{check_targets, name_references};
use super::unique::{Taken, taken_from};
use super::{Context, Stop, Working};
use crate::store::{Origin, Record, RecordKey, SAFE_MAX};

/// What an operation does.
pub(super) enum Verdict {
    /// It changes the record.
    Write(Box<Write>),
    /// What it wants is so already.
    Unchanged {
        key: RecordKey,
        /// The one that the sender stands on.
        version: Version,
        /// The one that makes it so: the sender may count on it once this is durable.
        rests_on: Version,
    },
    /// The record is not what it was written on.
    Conflict(Box<Record>, Clash),
    /// Another record holds what it would take.
    Taken(Taken),
}

/// What stands against what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clash {
    pub(super) kind: ConflictKind,
    /// Whether another operation in the place of the same one has done already what this one does to counts and lists.
    pub(super) done: bool,
}

/// The change of one record. The version is the next of the sequence.
pub(super) struct Write {
    pub(super) record: Record,
    pub(super) references: Vec<Reference>,
    pub(super) kind: Kind,
    pub(super) named: Option<TempId>,
    pub(super) counter: Option<u64>,
    /// What goes along with a delete, with the versions before its own.
    pub(super) along: Vec<Write>,
}

impl Write {
    /// This record as it is from now on, that refers to nothing.
    pub(super) fn of(record: Record, kind: Kind) -> Self {
        Self { record, references: Vec::new(), kind, named: None, counter: None, along: Vec::new() }
    }
}

/// The record that a delete will take away, for what is judged before it; nothing of any other operation.
pub(super) fn leaves(view: &Working, context: &Context<'_>, operation: &Operation) -> Result<Option<RecordKey>, Stop> {
    let (Action::Delete, Some(entity)) = (&operation.action, context.schema.entity(&operation.entity)) else { return Ok(None) };
    match (Case { view, context, operation, entity }).target() {
        Ok(target) => Ok(target.ok()),
        Err(Stop::Outcome(_)) => Ok(None),
        Err(missing @ Stop::Missing(_)) => Err(missing),
    }
}

/// The name that a create will give, for what refers to it before it is judged: its key, the temp ID that leads to
/// it from now on, and the counter that it used up. Nothing where it gives none, for whatever reason: that is for
/// the judgement to say.
pub(super) fn promise(view: &Working, context: &Context<'_>, operation: &Operation, fresh: &str) -> Result<Option<Promise>, Stop> {
    let (Action::Create { .. }, Base::None, Some(entity)) = (&operation.action, &operation.base, context.schema.entity(&operation.entity))
    else {
        return Ok(None);
    };
    let case = Case { view, context, operation, entity };
    let promise = match case.target() {
        Ok(Err(temp)) => case.name(fresh).map(|(key, counter)| Some((key, Some(temp), counter))),
        Ok(Ok(key)) if operation.record.as_temp().is_none() => {
            let free = entity.key == KeyPolicy::Uuid && is_uuid(&key.id) && view.is_free(&key)?;
            Ok(free.then_some((key, None, None)))
        }
        Ok(Ok(_)) => Ok(None),
        Err(stop) => Err(stop),
    };
    match promise {
        Err(Stop::Outcome(_)) => Ok(None),
        known => known,
    }
}

/// A key, the temp ID that leads to it, and the counter that it used up.
pub(super) type Promise = (RecordKey, Option<TempId>, Option<u64>);

/// Judges an operation. `fresh` is a new UUIDv7 that it may use up.
pub(super) fn judge(view: &Working, context: &Context<'_>, operation: &Operation, fresh: &str) -> Result<Verdict, Stop> {
    let entity = context.schema.entity(&operation.entity);
    let entity = entity.ok_or_else(|| Stop::reject("unknown_entity", format!("there is no entity '{}'", operation.entity)))?;
    if operation.author != context.user {
        return Err(Stop::reject_at("forbidden", "author", "it was written by another user"));
    }
    let case = Case { view, context, operation, entity };
    match &operation.action {
        Action::Create { data } => {
            refuse_reserved(data.keys().map(String::as_str))?;
            if operation.base == Base::None { case.create(data, fresh) } else { case.restore(data) }
        }
        Action::Update { delta } => {
            let tops: Vec<_> = delta.changes().filter_map(|(pointer, _)| pointer.keys().next()).collect();
            refuse_reserved(tops.iter().map(AsRef::as_ref))?;
            case.update(delta)
        }
        Action::Delete => case.delete(),
    }
}

/// Refuses the names that every record has for FieldSync's own use.
fn refuse_reserved<'k>(fields: impl Iterator<Item = &'k str>) -> Result<(), Stop> {
    for field in fields {
        if matches!(field, "id" | "_sync") {
            return Err(Stop::reject_at("invalid_value", field, format!("'{field}' belongs to FieldSync")));
        }
    }
    Ok(())
}

struct Case<'c> {
    view: &'c Working,
    context: &'c Context<'c>,
    operation: &'c Operation,
    entity: &'c Entity,
}

impl Case<'_> {
    fn key(&self, id: RecordId) -> RecordKey {
        RecordKey { entity: self.operation.entity.clone(), id }
    }

    /// The record that the operation is about, by its real ID; or the temp ID that has none.
    fn target(&self) -> Result<Result<RecordKey, TempId>, Stop> {
        let Some(temp) = self.operation.record.as_temp() else { return Ok(Ok(self.key(self.operation.record.clone()))) };
        if temp.entity() != self.operation.entity {
            return Err(Stop::reject("invalid_operation", "its temp ID was issued for another entity"));
        }
        Ok(self.view.temp(&temp)?.cloned().ok_or(temp))
    }

    /// The record and the version that the operation was written on, once both are there.
    fn standing(&self) -> Result<(&Record, Version), Stop> {
        let key = self.target()?.map_err(|temp| Stop::blocked(vec![temp.to_string()]))?;
        let record = self.view.record(&key)?;
        if record.is_none() && self.view.promised.contains_key(&key) {
            return Err(Stop::blocked(vec![self.operation.record.to_string()]));
        }
        let record = record.ok_or_else(|| Stop::reject("unknown_record", format!("there is no {} {}", key.entity, key.id)))?;
        match standing(self.view, self.context, self.operation, &key)? {
            // A first download and a resync bring no tombstones: a client knows a record as gone at the version up to
            // which it has seen everything, and that is as good as the version at which it was deleted.
            Standing::On(version) if record.data.is_none() && (record.version..=self.view.state.sequence).contains(&version) => {
                Ok((record, record.version))
            }
            Standing::On(version) => Ok((record, version)),
            Standing::Waits(earlier) => Err(Stop::blocked(vec![earlier.to_string()])),
        }
    }

    fn create(&self, data: &Object, fresh: &str) -> Result<Verdict, Stop> {
        let taken = || Stop::reject("already_exists", "there is or was a record of this ID");
        let (key, temp, counter) = match self.target()? {
            Err(temp) => {
                let (key, counter) = self.name(fresh)?;
                (key, Some(temp), counter)
            }
            Ok(key) if self.view.is_promised(&key, &self.operation.id) => (key, self.operation.record.as_temp(), None),
            Ok(key) if self.operation.record.as_temp().is_none() => {
                if self.entity.key != KeyPolicy::Uuid {
                    let message = format!("the server issues the IDs of {}", key.entity);
                    return Err(Stop::reject_at("invalid_operation", "record", message));
                }
                if !is_uuid(&key.id) {
                    return Err(Stop::reject_at("invalid_value", "id", "the ID is no UUID in its hyphenated lower-case form"));
                }
                if !self.view.is_free(&key)? {
                    return Err(taken());
                }
                (key, None, None)
            }
            Ok(_) => return Err(taken()),
        };
        let mut data = data.clone();
        let waits_for = name_references(self.view, self.entity, &mut data, temp.as_ref().map(|temp| (temp, &key)))?;
        if !waits_for.is_empty() {
            return Err(Stop::blocked(waits_for));
        }
        let references = check_targets(self.view, self.entity, &key, None, &data)?;
        let data = self.allowed(data)?;
        if let Some(taken) = taken_from(self.view, self.context, &key, None, &data)? {
            return Ok(Verdict::Taken(taken));
        }
        let origin = Origin { client: self.context.client.clone(), temp: temp.clone(), operation: self.operation.id.clone() };
        let record = self.record(key, Some(data), origin, None);
        let named = temp.filter(|_| !self.view.is_promised(&record.key, &self.operation.id));
        Ok(Verdict::Write(Box::new(Write { references, named, counter, ..Write::of(record, Kind::Create) })))
    }

    /// The real ID of a record that is born under a temp ID, and the counter that it used up.
    fn name(&self, fresh: &str) -> Result<(RecordKey, Option<u64>), Stop> {
        if let Some(former) = self.former()? {
            return Ok((former, None));
        }
        match self.entity.key {
            KeyPolicy::Integer => {
                let next = self.view.counter(&self.operation.entity)? + 1;
                let id = i64::try_from(next).ok().filter(|_| next <= SAFE_MAX);
                let id = id.ok_or_else(|| Stop::reject("invalid_operation", "there are no IDs left"))?;
                Ok((self.key(RecordId::Integer(id)), Some(next)))
            }
            KeyPolicy::Text | KeyPolicy::Uuid => Ok((self.key(RecordId::Text(fresh.to_owned())), None)),
        }
    }

    /// The ID that the record had before this server was restored, if it can have it again. Only an ID that this
    /// epoch will never issue is taken from a client, and only one that is free.
    fn former(&self) -> Result<Option<RecordKey>, Stop> {
        let Some(former) = self.context.former.get(&self.operation.id) else { return Ok(None) };
        let issued = self.view.state.issued;
        let possible = match (former, self.entity.key) {
            (RecordId::Integer(id), KeyPolicy::Integer) => u64::try_from(*id).is_ok_and(|id| (1..=issued).contains(&id)),
            (RecordId::Text(_), KeyPolicy::Text | KeyPolicy::Uuid) => issued > 0 && is_uuid(former),
            (RecordId::Integer(_), KeyPolicy::Text | KeyPolicy::Uuid) | (RecordId::Text(_), KeyPolicy::Integer) => false,
        };
        let key = self.key(former.clone());
        Ok(if possible && self.view.is_free(&key)? { Some(key) } else { None })
    }

    fn restore(&self, data: &Object) -> Result<Verdict, Stop> {
        let (before, base) = self.standing()?;
        let mut data = data.clone();
        let waits_for = name_references(self.view, self.entity, &mut data, None)?;
        if !waits_for.is_empty() {
            return Err(Stop::blocked(waits_for));
        }
        if before.data.is_some() || before.version != base {
            let kind = if before.data.is_some() { ConflictKind::UpdateUpdate } else { ConflictKind::UpdateDelete };
            return Ok(conflict(before, kind));
        }
        let references = check_targets(self.view, self.entity, &before.key, None, &data)?;
        let data = self.allowed(data)?;
        if let Some(taken) = taken_from(self.view, self.context, &before.key, Some(before), &data)? {
            return Ok(Verdict::Taken(taken));
        }
        let record = self.record(before.key.clone(), Some(data), before.origin.clone(), Some(before));
        Ok(Verdict::Write(Box::new(Write { references, ..Write::of(record, Kind::Create) })))
    }

    fn update(&self, delta: &Delta) -> Result<Verdict, Stop> {
        let (before, base) = self.standing()?;
        let current = before.data.as_ref();
        let mut data = current.cloned().unwrap_or_default();
        delta.apply(&mut data);
        let waits_for = name_references(self.view, self.entity, &mut data, None)?;
        if !waits_for.is_empty() {
            return Err(Stop::blocked(waits_for));
        }
        // What is so already is no conflict. The answer names the version that the sender has, not the
        // present one: there may be more in the present one, which the sender gets by download and would
        // take for known if it were told that version here.
        if delta.is_relative() && done_before(self.view, self.operation)? && !is(Bug::ServerCountsTwice) {
            let kind = if current.is_some() { ConflictKind::UpdateUpdate } else { ConflictKind::UpdateDelete };
            return Ok(Verdict::Conflict(Box::new(before.clone()), Clash { kind, done: true }));
        }
        let unfit = delta.changes().find(|(pointer, change)| !change.fits(current.and_then(|current| pointer.find(current))));
        let is_so = delta.is_empty() || current == Some(&data) && unfit.is_none();
        if is_so && base <= before.version {
            let rests_on = if delta.is_empty() { base } else { before.version };
            return Ok(Verdict::Unchanged { key: before.key.clone(), version: base, rests_on });
        }
        let back = current.is_none() && is(Bug::ServerResurrects);
        if !back && (current.is_none() || (before.version != base && !is(Bug::ServerBaseIgnored))) {
            let kind = if current.is_some() { ConflictKind::UpdateUpdate } else { ConflictKind::UpdateDelete };
            return Ok(conflict(before, kind));
        }
        if let Some((pointer, _)) = unfit {
            return Err(Stop::reject_at("invalid_value", &pointer.dotted(), "the field is no count or list that this can be done to"));
        }
        let references = check_targets(self.view, self.entity, &before.key, current, &data)?;
        let data = self.allowed(data)?;
        if let Some(taken) = taken_from(self.view, self.context, &before.key, Some(before), &data)? {
            return Ok(Verdict::Taken(taken));
        }
        let mut record = Record { data: Some(data), ..before.clone() };
        let touched = delta.changes().filter_map(|(pointer, _)| pointer.keys().next().map(|field| field.into_owned()));
        // Never back: it stands on what is there, whatever its clock says, and another part of the field may be younger.
        let stamped = touched.map(|field| {
            let there = before.field_stamps.get(&field).copied().unwrap_or(before.stamp);
            (self.context.effective(self.operation.stamp_of(&field)).max(there), field)
        });
        record.field_stamps.extend(stamped.map(|(stamp, field)| (field, stamp)));
        record.version = self.next_version();
        Ok(Verdict::Write(Box::new(Write { references, ..Write::of(record, Kind::Update) })))
    }

    fn delete(&self) -> Result<Verdict, Stop> {
        let (before, base) = self.standing()?;
        if before.data.is_none() {
            return Ok(Verdict::Unchanged { key: before.key.clone(), version: before.version, rests_on: before.version });
        }
        if before.version != base {
            return Ok(conflict(before, ConflictKind::DeleteUpdate));
        }
        let mut along = along(self.view, self.context, self.operation, &before.key)?;
        let first = self.next_version().0;
        for (version, other) in (first..).zip(&mut along) {
            other.record.version = Version(version);
        }
        let mut record = self.record(before.key.clone(), None, before.origin.clone(), Some(before));
        record.version = Version(first + along.len() as u64);
        Ok(Verdict::Write(Box::new(Write { along, ..Write::of(record, Kind::Delete) })))
    }

    /// The record as it begins anew: created, restored or deleted. Its stamps never go back, as in an update.
    fn record(&self, key: RecordKey, data: Option<Object>, origin: Origin, before: Option<&Record>) -> Record {
        let there = before.map_or_else(Stamp::default, |before| before.state().last_stamp());
        let effective = |stamp| self.context.effective(stamp).max(there);
        let stamped = self.operation.stamps.iter().filter(|(field, _)| data.as_ref().is_some_and(|data| data.contains_key(*field)));
        let field_stamps = stamped.map(|(field, stamp)| (field.clone(), effective(*stamp))).collect();
        let until_now = before.filter(|_| data.is_none()).and_then(|before| before.data.clone());
        Record { key, version: self.next_version(), data, stamp: effective(self.operation.stamp), field_stamps, origin, before: until_now }
    }

    /// The record, if it is within the limits and as the schema declares it.
    fn allowed(&self, data: Object) -> Result<Object, Stop> {
        let data = within_limits(data)?;
        let faults = faults(self.entity, &data);
        if faults.is_empty() || is(Bug::ServerFieldsIgnored) { Ok(data) } else { Err(Stop::invalid(&self.operation.entity, faults)) }
    }

    fn next_version(&self) -> Version {
        Version(self.view.state.sequence.0 + 1)
    }
}

fn conflict(before: &Record, kind: ConflictKind) -> Verdict {
    Verdict::Conflict(Box::new(before.clone()), Clash { kind, done: false })
}

fn is_uuid(id: &RecordId) -> bool {
    match id {
        RecordId::Text(text) => uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.hyphenated().to_string() == *text),
        RecordId::Integer(_) => false,
    }
}

fn within_limits(data: Object) -> Result<Object, Stop> {
    let mut value = serde_json::Value::Object(data);
    check(&mut value, &Limits::RECORD).map_err(|error| {
        let code = match error {
            ValueError::TooLarge { .. } => "too_large",
            ValueError::TooDeep { .. } | ValueError::IntegerOutOfRange { .. } | ValueError::Malformed { .. } => "invalid_value",
        };
        Stop::reject(code, error.to_string())
    })?;
    let serde_json::Value::Object(data) = value else { unreachable!("a check leaves an object an object") };
    Ok(data)
}
