//! I7, no lost update: nothing is overwritten in silence. Where an operation takes effect over a value that its writer
//! had not seen, a person decided so, or both of these hold: the field's rule let it win, and a stored conflict tells
//! of it. By the rules `server-wins` and `manual` it never wins without a person's decision.
//!
//! That an operation stands on the version of its record says little: it may have been brought there by its device,
//! which may not have looked at what others changed meanwhile. So each that takes effect is led back to the first of
//! its line and to the version that this one was written on. What others wrote since into a field that it changes is
//! what its writer had not seen.
//!
//! Where an operation comes from is taken from the wire and from the server's commits; of the devices count what stood
//! in an outbox and was never sent, and the conflicts that they stored.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::conflict::{Conflict, ConflictState};
use fieldsync::model::{Action, Base, ClientId, OpId, Operation, Stamp, Version};
use fieldsync::protocol::RequestHead;
use fieldsync::protocol::limits::CLOCK_TOLERANCE_MS;
use fieldsync::schema::{ConflictRules, Rule, Schema};
use fieldsync::value::{Change, Object, Pointer};
use fieldsync_server::store::{ChangeRow, RecordKey, WriteBatch};
use serde_json::Value;

/// Operations as they came over the wire, with their text.
pub(crate) type Bodies = BTreeMap<OpId, (Operation, String)>;

/// What is known of operations.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) bodies: Bodies,
    rules: BTreeMap<String, ConflictRules>,
    /// The lineage of the server that stands now.
    lineage: String,
    /// The lineage that their sender knew when they first came.
    came_in: BTreeMap<OpId, String>,
    /// How far a request says that the clock of its device is behind the server's.
    offsets: BTreeMap<String, i64>,
    /// Operations as a device had them last, sent or not.
    drafts: BTreeMap<OpId, Operation>,
    /// The database that had them first, and how often it was emptied by then: whoever writes there sees all that was
    /// written there before, since the last time.
    homes: BTreeMap<OpId, (String, usize)>,
    emptied: BTreeMap<String, usize>,
    /// What the database had of their record from the server when they were written, where they stand in nobody's place.
    saw: BTreeMap<OpId, Saw>,
    /// What later writes that became part of them made of them.
    joined: BTreeMap<OpId, Vec<Joined>>,
    /// The last change of a draft: what it was before, and what the database had of its record then.
    changed: BTreeMap<OpId, (Action, Option<Saw>)>,
    /// In whose places they stand, or of what they are made.
    earlier: BTreeMap<OpId, BTreeSet<OpId>>,
    /// The conflicts that they were found in.
    met: BTreeMap<OpId, Vec<Met>>,
    /// How far the devices that sent them held their clocks to be behind the server's, whenever they asked it.
    measured: BTreeMap<ClientId, BTreeSet<i64>>,
    senders: BTreeMap<OpId, BTreeSet<ClientId>>,
}

/// What a database had of a record from the server.
#[derive(Clone, Debug)]
pub(crate) struct Saw {
    pub(crate) version: Version,
    /// Of whatever lineage: until a restored server has told of the record, what it had said before stands. Nothing: deleted.
    pub(crate) data: Value,
    /// The operations over it: what they change of it was not shown.
    pub(crate) under: Vec<OpId>,
}

/// A write that became part of an operation which was there already.
#[derive(Debug)]
struct Joined {
    before: Action,
    after: Action,
    /// What its writer saw of the record.
    saw: Option<Saw>,
}

/// A conflict as a device stored it.
#[derive(Debug)]
struct Met {
    /// What the server had.
    version: Version,
    fields: Vec<String>,
    /// When, by the device.
    at: u64,
    /// Whether a person decided.
    decided: bool,
}

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

/// Where a change of a field comes from.
struct Origin<'o> {
    /// The first of its line that changes the field.
    first: &'o Operation,
    /// The version that this one was written on.
    on: Version,
    /// What its writer saw of the record, where that is known.
    saw: Option<&'o Saw>,
    /// The firsts of the lines that it followed, and of its own.
    own: BTreeSet<&'o OpId>,
}

impl Lines {
    /// The server stands in another lineage from now on.
    pub(crate) fn begin(&mut self, lineage: String) {
        self.lineage = lineage;
    }
    /// The rules that conflicts are met by.
    pub(crate) fn learn(&mut self, schema: &Schema) {
        let entities = schema.entities.iter().map(|(name, entity)| (name.clone(), entity.conflicts.clone()));
        self.rules.extend(entities);
    }
    /// A request comes.
    pub(crate) fn request(&mut self, head: &RequestHead) {
        self.offsets.insert(head.request_id.clone(), head.offset_ms);
        self.measured.entry(head.client.clone()).or_default().insert(head.offset_ms);
    }
    /// An operation comes in a request.
    pub(crate) fn came(&mut self, operation: &OpId, head: &RequestHead) {
        let lineage = head.epoch.as_ref().map_or_else(|| self.lineage.clone(), ToString::to_string);
        self.came_in.entry(operation.clone()).or_insert(lineage);
        self.senders.entry(operation.clone()).or_default().insert(head.client.clone());
    }
    /// An operation stands in an outbox, where this is known of its record.
    pub(crate) fn drafted(&mut self, operation: &Operation, database: &str, saw: impl FnOnce() -> Option<Saw>) {
        if !self.homes.contains_key(&operation.id) {
            if operation.supersedes.is_none() {
                self.saw.extend(saw().map(|saw| (operation.id.clone(), saw)));
            }
            let emptied = self.emptied.get(database).copied().unwrap_or_default();
            self.homes.insert(operation.id.clone(), (database.to_owned(), emptied));
            self.drafts.insert(operation.id.clone(), operation.clone());
            return;
        }
        let before = self.drafts.insert(operation.id.clone(), operation.clone());
        if let Some(before) = before.filter(|before| before.action != operation.action) {
            self.changed.insert(operation.id.clone(), (before.action, saw()));
        }
    }
    /// The last change of a draft was that a write became part of it.
    pub(crate) fn joined(&mut self, operation: &OpId) {
        let Some(((before, saw), draft)) = self.changed.remove(operation).zip(self.drafts.get(operation)) else { return };
        self.joined.entry(operation.clone()).or_default().push(Joined { before, after: draft.action.clone(), saw });
    }
    /// A database has nothing any more.
    pub(crate) fn emptied(&mut self, database: &str) {
        *self.emptied.entry(database.to_owned()).or_default() += 1;
    }
    /// Another operation stands in the place of one, or it became part of another.
    pub(crate) fn became(&mut self, operation: &OpId, by: &OpId) {
        self.earlier.entry(by.clone()).or_default().insert(operation.clone());
    }
    /// A conflict is stored.
    pub(crate) fn met(&mut self, conflict: &Conflict) {
        let decided = conflict.state == ConflictState::Resolved && conflict.resolved_by.as_deref() != Some("rule");
        let met = Met { version: conflict.server.version, fields: conflict.fields.clone(), at: conflict.detected_at, decided };
        self.met.entry(conflict.operation.id.clone()).or_default().push(met);
    }

    fn body<'l>(&'l self, operation: &OpId) -> Option<&'l Operation> {
        self.bodies.get(operation).map(|(operation, _)| operation).or_else(|| self.drafts.get(operation))
    }

    /// The operations of a line, back to its first.
    fn line<'l>(&'l self, operation: &'l Operation) -> impl Iterator<Item = &'l Operation> {
        std::iter::successors(Some(operation), move |operation| self.body(operation.supersedes.as_ref()?))
    }
    fn first<'l>(&'l self, operation: &'l Operation) -> &'l Operation {
        self.line(operation).last().unwrap_or(operation)
    }

    /// Follows a change back to the version that it was written on: what was written later can have become part of an
    /// operation. Nothing where there was no record; or where that was in another lineage, with whose versions those of
    /// this one cannot be compared.
    fn origin<'l>(&'l self, past: &Past, operation: &'l Operation, pointer: Option<&Pointer>) -> Option<Origin<'l>> {
        let of_this = |operation: &Operation| self.came_in.get(&operation.id).is_none_or(|lineage| *lineage == self.lineage);
        if !self.line(operation).all(of_this) {
            return None;
        }
        let mut first = None;
        for earlier in self.line(operation) {
            if let Some(joined) = pointer.and_then(|pointer| self.written_later(earlier, pointer)) {
                first = Some((earlier, joined.saw.as_ref()));
                break;
            }
            if pointer.is_none() || touches(earlier, pointer) {
                first = Some((earlier, self.saw.get(&earlier.id)));
            }
        }
        let (first, saw) = first?;
        // What stood over it was shown.
        let over = saw.iter().flat_map(|saw| &saw.under).filter_map(|id| self.body(id));
        let mut own: BTreeSet<&OpId> = over.map(|over| &self.first(over).id).collect();
        let hidden = |id: &OpId| self.body(id).is_some_and(|over| touches(over, pointer));
        let saw = saw.filter(|saw| !saw.under.iter().any(hidden));
        let mut at = first;
        loop {
            own.insert(&self.first(at).id);
            match &at.base {
                Base::None => return None,
                Base::Version(on) if past.is_lost(*on) => return None,
                Base::Version(on) => {
                    // What it follows can have been written long before: by then its device can have been told of more.
                    let known = saw.map(|saw| saw.version).filter(|version| !past.is_lost(*version));
                    return Some(Origin { first, on: known.unwrap_or(*on).max(*on), saw, own });
                }
                Base::After(earlier) => at = self.body(earlier)?,
            }
            if !of_this(at) {
                return None;
            }
        }
    }

    /// The write that gave a field of an operation its value, where it came after the operation's first.
    fn written_later<'l>(&'l self, operation: &Operation, pointer: &Pointer) -> Option<&'l Joined> {
        let joined = self.joined.get(&operation.id)?.iter().rev();
        joined.into_iter().find(|joined| wanted(&joined.after, pointer) != wanted(&joined.before, pointer))
    }

    /// Whether whoever wrote that had seen this operation.
    fn is_own(&self, origin: &Origin<'_>, other: &Operation) -> bool {
        let other = self.first(other);
        let at_home = self.homes.get(&other.id) == self.homes.get(&origin.first.id);
        origin.own.contains(&other.id) || at_home && other.seq < origin.first.seq
    }

    /// The names that an operation had before, with those of what became part of it.
    fn names<'l>(&'l self, operation: &'l Operation) -> BTreeSet<&'l OpId> {
        let (mut names, mut open) = (BTreeSet::new(), vec![&operation.id]);
        while let Some(name) = open.pop() {
            if names.insert(name) {
                open.extend(self.earlier.get(name).into_iter().flatten());
                open.extend(self.body(name).and_then(|operation| operation.supersedes.as_ref()));
            }
        }
        names
    }
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

impl Met {
    /// Whether it is about a field, or about the whole record.
    fn names(&self, field: Option<&str>) -> bool {
        self.fields.iter().any(|met| {
            met == "*" || field.is_some_and(|field| met.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        })
    }
}

impl Past {
    /// What came after `kept` is lost; numbers up to `issued` do not come again.
    pub(crate) fn lose(&mut self, kept: Version, issued: Version) {
        self.lost.push((kept, issued));
    }
    fn is_lost(&self, version: Version) -> bool {
        version == Version::LOST || self.lost.iter().any(|(kept, issued)| *kept < version && version <= *issued)
    }

    /// Enters a change of a batch. What it went over is looked at, field by field, and what is wrong with that is told.
    pub(crate) fn enter(
        &mut self,
        lines: &Lines,
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
        let left = Left { version: change.version, by: operation.clone(), clock, data };
        let looked_at = self.look(lines, &left, &change.key);
        self.records.entry(change.key.clone()).or_default().push(left);
        looked_at
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
            if origin.saw.is_some_and(|saw| of(&saw.data) == at(there)) {
                continue;
            }
            // What is own and went over all of it already had to be later itself; and it was what the writer saw.
            let own = |other: &&Left| lines.is_own(&origin, &other.by);
            let covers = |other: &&Left| own(other) && other.covers(pointer);
            if since.iter().rev().find(covers).is_some_and(|own| at(own) == at(there)) {
                continue;
            }
            let mut over = since.iter().rev().take_while(|other| !covers(other));
            if let Some(over) = over.find(|other| !own(other) && touches(&other.by, pointer)) {
                looked_at.push(judge(lines, left, key, origin.on, over, pointer));
            }
        }
        looked_at
    }
}

/// Whether an operation may take effect over what another one did.
fn judge(lines: &Lines, left: &Left, key: &RecordKey, on: Version, over: &Left, pointer: Option<&Pointer>) -> Result<(), String> {
    let names = lines.names(&left.by);
    let met: Vec<&Met> = names.iter().filter_map(|name| lines.met.get(*name)).flatten().filter(|met| met.version >= over.version).collect();
    // A person who decides sees both sides, and may write anything.
    if met.iter().any(|met| met.decided) {
        return Ok(());
    }
    let field = pointer.and_then(|pointer| pointer.keys().next());
    let field = field.as_deref();
    let rules = lines.rules.get(&key.entity).cloned().unwrap_or_default();
    let rule = field.map_or(rules.default, |field| rules.of(field));
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
        Rule::ServerWins | Rule::Manual => false,
    };
    if wins && !told.is_empty() {
        return Ok(());
    }
    let field = pointer.map_or_else(|| "*".to_owned(), Pointer::dotted);
    let told = if told.is_empty() { "no conflict tells of it" } else { "a conflict tells of it" };
    Err(format!(
        "{} ({own:?}), written on {on}, takes effect as {} over {} ({other:?}, version {}) in {field} of {key:?}: {rule:?}, {told}",
        left.by.id, left.version, over.by.id, over.version
    ))
}

/// What an action makes of a field; nothing if it does not change all of it.
fn wanted<'a>(action: &'a Action, pointer: &Pointer) -> Option<Option<&'a Value>> {
    match action {
        Action::Update { delta } => {
            let (at, change) = delta.changes().find(|(at, _)| pointer.is_within(at))?;
            Some(match change {
                Change::Set(value) => value.pointer(&pointer.as_str()[at.as_str().len()..]),
                Change::Unset => None,
            })
        }
        Action::Create { .. } | Action::Delete => None,
    }
}

/// Whether an operation changes something of a field, or of the whole record.
fn touches(operation: &Operation, pointer: Option<&Pointer>) -> bool {
    match (&operation.action, pointer) {
        (Action::Update { delta }, Some(pointer)) => delta.touching(pointer).is_some(),
        (Action::Update { delta }, None) => !delta.is_empty(),
        (Action::Create { .. } | Action::Delete, _) => true,
    }
}

/// A record after an action.
fn after(before: Option<&Value>, action: &Action) -> Value {
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
