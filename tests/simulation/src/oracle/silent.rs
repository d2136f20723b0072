//! I7, no lost update: nothing is overwritten in silence. Where an operation takes effect over a value that its writer
//! had not seen, a person decided so, or both of these hold: the field's rule let it win, and a stored conflict tells
//! of it. By the rules `server-wins` and `manual` it never wins without a person's decision.
//!
//! That an operation stands on the version of its record says little: it may have been brought there by its device,
//! which may not have looked at what others changed meanwhile. So each that takes effect is led back to the first of
//! its line and to the version that this one was written on. What others wrote since into a field that it changes is
//! what its writer had not seen.
//! [`super::lines`] does the leading back.

use std::collections::BTreeMap;

use fieldsync::model::{Action, Operation, Stamp, Version};
use fieldsync::protocol::limits::CLOCK_TOLERANCE_MS;
use fieldsync::schema::Rule;
use fieldsync::value::{Delta, Object, Pointer};
use fieldsync_server::store::{ChangeRow, RecordKey, WriteBatch};
use serde_json::Value;

use super::items::Items;
use super::lines::{Lines, Met, Origin, touches};

/// A change of a record, and the record as it left it.
#[derive(Clone, Debug)]
struct Left {
    version: Version,
    by: Operation,
    clock: Clock,
    /// Nothing: it is deleted.
    data: Value,
}

/// How the server counts the stamps of a request.
#[derive(Clone, Copy, Debug)]
struct Clock {
    offset_ms: i64,
    latest_ms: u64,
}

/// The records of a tenant, with all that was done to them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    records: BTreeMap<RecordKey, Vec<Left>>,
    /// Versions that were lost with a lineage: above the first, up to the second.
    lost: Vec<(Version, Version)>,
}

impl Clock {
    /// When a field was written, or the last of all.
    fn counts(self, operation: &Operation, field: Option<&str>) -> Stamp {
        let last = || operation.stamps.values().fold(operation.stamp, |last, stamp| last.max(*stamp));
        field.map_or_else(last, |field| operation.stamp_of(field)).effective(self.offset_ms, self.latest_ms)
    }
}

impl Left {
    /// Whether it changes all of a field, or of the whole record.
    fn covers(&self, pointer: Option<&Pointer>) -> bool {
        match (&self.by.action, pointer) {
            (Action::Update { delta }, Some(pointer)) => delta.changes().any(|(other, _)| pointer.is_within(other)),
            (Action::Update { .. }, None) => false,
            (Action::Create { .. } | Action::Delete, _) => true,
        }
    }
}

impl Past {
    /// What came after `kept` is lost; numbers up to `issued` do not come again.
    pub(crate) fn lose(&mut self, kept: Version, issued: Version) {
        self.lost.push((kept, issued));
    }
    pub(super) fn is_lost(&self, version: Version) -> bool {
        version == Version::LOST || self.lost.iter().any(|(kept, issued)| *kept < version && version <= *issued)
    }

    /// Enters a change of a batch. What it went over is looked at, field by field, and what is wrong with that is told.
    pub(crate) fn enter(
        &mut self,
        lines: &Lines,
        items: &mut Items,
        batch: &WriteBatch,
        change: &ChangeRow,
        operation: &Operation,
    ) -> Vec<Result<(), String>> {
        let offset_ms = lines.offsets.get(&change.request).copied().unwrap_or_default();
        let clock = Clock { offset_ms, latest_ms: change.received_ms.saturating_add(CLOCK_TOLERANCE_MS) };
        let before = self.records.get(&change.key).and_then(|past| past.last()).map(|left| &left.data);
        // A batch holds records in their last state.
        let last =
            batch.records.iter().map(|(record, _)| record).find(|record| record.key == change.key && record.version == change.version);
        let data = match last {
            Some(record) => record.data.clone().map_or(Value::Null, Value::Object),
            None => after(before, &operation.action),
        };
        let mut lost = items.look(lines, before, &data, operation);
        lost.extend(items.count(lines, operation, change.version, &|version| self.is_lost(version)));
        let left = Left { version: change.version, by: operation.clone(), clock, data };
        let looked_at = lost.into_iter().chain(self.look(lines, &left, &change.key)).collect();
        self.records.entry(change.key.clone()).or_default().push(left);
        looked_at
    }

    /// Enters what goes along with a delete: nobody wrote it, so what it goes over is judged by what the schema says of it.
    pub(crate) fn enter_along(&mut self, batch: &WriteBatch, change: &ChangeRow, operation: &Operation) {
        let there = batch.records.iter().map(|(record, _)| record).find(|record| record.key == change.key);
        let data = there.and_then(|record| record.data.clone());
        let was = self.data(&change.key).and_then(Value::as_object).cloned().unwrap_or_default();
        let action = data.as_ref().map_or(Action::Delete, |data| Action::Update { delta: Delta::diff(&was, data) });
        let record = change.key.id.clone();
        let by = Operation { entity: change.key.entity.clone(), record, action, ..operation.clone() };
        let clock = Clock { offset_ms: 0, latest_ms: change.received_ms };
        let left = Left { version: change.version, by, clock, data: data.map_or(Value::Null, Value::Object) };
        self.records.entry(change.key.clone()).or_default().push(left);
    }
    /// A record as it stands; nothing if it is gone.
    pub(super) fn data(&self, key: &RecordKey) -> Option<&Value> {
        self.records.get(key)?.last().map(|left| &left.data).filter(|data| !data.is_null())
    }
    /// All that stand.
    pub(super) fn living(&self) -> impl Iterator<Item = (&RecordKey, &Value)> {
        self.records.keys().filter_map(|key| Some((key, self.data(key)?)))
    }

    fn look(&self, lines: &Lines, left: &Left, key: &RecordKey) -> Vec<Result<(), String>> {
        let past = self.records.get(key).map(Vec::as_slice).unwrap_or_default();
        let Some(there) = past.last() else { return Vec::new() };
        let pointers: Vec<Option<&Pointer>> = match &left.by.action {
            Action::Update { delta } => delta.changes().map(|(pointer, _)| Some(pointer)).collect(),
            // One side deletes: the record is one field.
            Action::Create { .. } | Action::Delete => vec![None],
        };
        let mut looked_at = Vec::new();
        for pointer in pointers {
            let Some(origin) = lines.origin(self, &left.by, pointer) else { continue };
            let (known, since) = past.split_at(past.partition_point(|left| left.version <= origin.on));
            let of = |data: &Value| data.pointer(pointer.map_or("", Pointer::as_str)).cloned();
            let at = |left: &Left| of(&left.data);
            // Nothing is gone over that is as it was, nor what both wrote.
            if known.last().and_then(at) == at(there) || at(there) == at(left) {
                continue;
            }
            // Nor is anything unseen that stood before the writer, whatever version he had it of.
            if origin.view.as_ref().is_some_and(|view| of(view) == at(there)) {
                continue;
            }
            // What is own and went over all of it already had to be later itself; and it was what the writer saw.
            let own = |other: &&Left| lines.is_own(&origin, &other.by);
            let covers = |other: &&Left| own(other) && other.covers(pointer);
            if since.iter().rev().find(covers).is_some_and(|own| at(own) == at(there)) {
                continue;
            }
            let mut over = since.iter().rev().take_while(|other| !covers(other));
            let unseen = |other: &&Left| pointer.is_some() || !lines.was_shown(self, &origin, other.version, &other.by);
            if let Some(over) = over.find(|other| !own(other) && touches(&other.by, pointer) && unseen(other)) {
                // What a conflict showed that looked just so tells of this one as well.
                let shown = |met: &Met| of(&met.data) == at(there);
                looked_at.push(judge(lines, left, key, &origin, over, pointer, &shown));
            }
        }
        looked_at
    }
}

/// Whether an operation may take effect over what another one did.
fn judge(
    lines: &Lines,
    left: &Left,
    key: &RecordKey,
    origin: &Origin<'_>,
    over: &Left,
    pointer: Option<&Pointer>,
    shown: &dyn Fn(&Met) -> bool,
) -> Result<(), String> {
    let names = lines.names(&left.by);
    let met: Vec<&Met> =
        names.iter().filter_map(|name| lines.met.get(*name)).flatten().filter(|met| met.version >= over.version || shown(met)).collect();
    // A person who decides sees both sides, and may write anything.
    if met.iter().any(|met| met.decided) {
        return Ok(());
    }
    let field = pointer.and_then(|pointer| pointer.keys().next());
    let field = field.as_deref();
    let rules = lines.rules.get(&key.entity).cloned().unwrap_or_default();
    let rule = field.map_or(&rules.default, |field| rules.of(field));
    let told: Vec<&Met> = met.into_iter().filter(|met| met.names(field)).collect();
    let (own, other) = (left.clock.counts(&left.by, field), over.clock.counts(&over.by, field));
    // The device counted by the clocks as they were when it met the other's word.
    let offsets =
        || names.iter().filter_map(|name| lines.senders.get(*name)).flatten().filter_map(|sender| lines.measured.get(sender)).flatten();
    let was_later = |met: &&Met| {
        offsets().any(|offset_ms| {
            let latest_ms = met.at.saturating_add_signed(*offset_ms).saturating_add(CLOCK_TOLERANCE_MS);
            Clock { offset_ms: *offset_ms, latest_ms }.counts(&left.by, field) > other
        })
    };
    let wins = match rule {
        Rule::LastWriteWins => own > other || told.iter().any(was_later),
        Rule::ClientWins => true,
        Rule::ServerWins | Rule::Manual | Rule::Function => false,
        // What is put together is looked at item by item. What cannot be goes to the later one.
        Rule::Counter | Rule::Set | Rule::List(_) | Rule::Text => return Ok(()),
    };
    if wins && !told.is_empty() {
        return Ok(());
    }
    let field = pointer.map_or_else(|| "*".to_owned(), Pointer::dotted);
    let told = if told.is_empty() { "no conflict tells of it" } else { "a conflict tells of it" };
    Err(format!(
        "{} ({own:?}), written on {}, takes effect as {} over {} ({other:?}, version {}) in {field} of {key:?}: {rule:?}, {told}",
        left.by.id, origin.on, left.version, over.by.id, over.version
    ))
}

/// A record after an action.
pub(super) fn after(before: Option<&Value>, action: &Action) -> Value {
    match action {
        Action::Create { data } => Value::Object(data.clone()),
        Action::Update { delta } => {
            let mut record: Object = before.and_then(Value::as_object).cloned().unwrap_or_default();
            delta.apply(&mut record);
            Value::Object(record)
        }
        Action::Delete => Value::Null,
    }
}
