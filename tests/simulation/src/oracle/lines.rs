//! The lines of operations: whose place each stands in, who wrote the first of its line, and what that one saw.
//!
//! Where an operation comes from is taken from the wire and from the server's commits; of the devices count what stood
//! in an outbox and was never sent, and the conflicts that they stored.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::conflict::{Conflict, ConflictState};
use fieldsync::model::{Action, Base, ClientId, OpId, Operation, Version};
use fieldsync::protocol::{HeldConflict, RequestHead};
use fieldsync::schema::{ConflictRules, Schema};
use fieldsync::value::{Change, Pointer};
use serde_json::Value;

use super::silent::{Past, after};

/// Operations as they came over the wire, with their text.
pub(crate) type Bodies = BTreeMap<OpId, (Operation, String)>;

/// What is known of operations.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) bodies: Bodies,
    pub(super) rules: BTreeMap<String, ConflictRules>,
    /// What is declared of records, as the server knows it.
    pub(super) schema: Option<Schema>,
    /// The lineage of the server that stands now.
    lineage: String,
    /// The lineage that their sender knew when they first came.
    came_in: BTreeMap<OpId, String>,
    /// How far a request says that the clock of its device is behind the server's.
    pub(super) offsets: BTreeMap<String, i64>,
    /// Operations as a device had them last, sent or not.
    drafts: BTreeMap<OpId, Operation>,
    /// The database that had them first, and how often it was emptied by then: whoever writes there sees all that was
    /// written there before, since the last time.
    homes: BTreeMap<OpId, (String, usize)>,
    emptied: BTreeMap<String, usize>,
    /// What the database had of their record from the server when they were written, where they stand in nobody's place.
    saw: BTreeMap<OpId, Seen>,
    /// What later writes that became part of them made of them.
    joined: BTreeMap<OpId, Vec<Joined>>,
    /// The last change of a draft: what it was before, and what the database had of its record then.
    changed: BTreeMap<OpId, (Action, Option<Seen>)>,
    /// In whose places they stand, or of what they are made.
    earlier: BTreeMap<OpId, BTreeSet<OpId>>,
    /// The conflicts that they were found in.
    pub(super) met: BTreeMap<OpId, Vec<Met>>,
    /// How far the devices that sent them held their clocks to be behind the server's, whenever they asked it.
    pub(super) measured: BTreeMap<ClientId, BTreeSet<i64>>,
    pub(super) senders: BTreeMap<OpId, BTreeSet<ClientId>>,
}

/// What a database had of a record from the server.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
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
    saw: Option<Seen>,
}

/// A conflict as a device stored it.
#[derive(Debug)]
pub(super) struct Met {
    /// What the server had: the version, where that is of its present lineage, and the record.
    pub(super) version: Version,
    pub(super) data: Value,
    pub(super) fields: Vec<String>,
    /// When, by the device.
    pub(super) at: u64,
    /// Whether a person decided.
    pub(super) decided: bool,
}

/// Where a change of a field comes from.
pub(super) struct Origin<'o> {
    /// The first of its line that changes the field.
    pub(super) first: &'o Operation,
    /// The version that this one was written on.
    pub(super) on: Version,
    /// What the database of its writer had of the record, where that is known.
    below: Option<&'o Seen>,
    /// The record as its writer saw it: that, and the own operations over it.
    pub(super) view: Option<Value>,
    /// The firsts of the lines that it followed, and of its own.
    pub(super) own: BTreeSet<&'o OpId>,
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
        self.schema = Some(schema.clone());
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
    pub(crate) fn drafted(&mut self, operation: &Operation, database: &str, saw: impl FnOnce() -> Option<Seen>) {
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
        let data = conflict.server.data.clone().map_or(Value::Null, Value::Object);
        let met = Met { version: conflict.server.version, data, fields: conflict.fields.clone(), at: conflict.detected_at, decided };
        self.met.entry(conflict.operation.id.clone()).or_default().push(met);
    }

    /// Somebody decides at the server over a conflict, by this operation, which no device sends.
    pub(crate) fn decided_there(&mut self, held: &HeldConflict, by: &Operation) {
        let data = held.server.data.clone().map_or(Value::Null, Value::Object);
        let met = Met { version: held.server.version, data, fields: Vec::new(), at: held.opened_at, decided: true };
        self.met.entry(held.operation.id.clone()).or_default().push(met);
        self.bodies.insert(by.id.clone(), (by.clone(), fieldsync::value::to_value(by).to_string()));
    }

    /// Whether a later write that became part of the same operation says what one says, anew.
    pub(super) fn is_written_over(&self, operation: &OpId, by: &OpId) -> bool {
        let Some(own) = self.drafts.get(operation) else { return false };
        let Action::Update { delta } = &own.action else { return false };
        let others = self.earlier.get(by).into_iter().flatten().filter_map(|id| self.drafts.get(id));
        let mut later = others.filter(|other| other.seq > own.seq && self.homes.get(&other.id) == self.homes.get(&own.id));
        later.any(|later| delta.changes().any(|(place, _)| touches(later, Some(place))))
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
    pub(super) fn origin<'l>(&'l self, past: &Past, operation: &'l Operation, pointer: Option<&Pointer>) -> Option<Origin<'l>> {
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
        let view = saw.map(|saw| {
            let over = saw.under.iter().filter_map(|id| self.body(id));
            over.fold(saw.data.clone(), |data, over| after(Some(&data), &over.action))
        });
        let (below, saw) = (saw, saw.filter(|saw| !saw.under.iter().any(hidden)));
        let mut at = first;
        loop {
            own.insert(&self.first(at).id);
            match &at.base {
                Base::None => return None,
                Base::Version(on) if past.is_lost(*on) => return None,
                Base::Version(on) => {
                    // What it follows can have been written long before: by then its device can have been told of more.
                    let known = saw.map(|saw| saw.version).filter(|version| !past.is_lost(*version));
                    return Some(Origin { first, on: known.unwrap_or(*on).max(*on), below, view, own });
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
    pub(super) fn is_own(&self, origin: &Origin<'_>, other: &Operation) -> bool {
        let other = self.first(other);
        let at_home = self.homes.get(&other.id) == self.homes.get(&origin.first.id);
        origin.own.contains(&other.id) || at_home && other.seq < origin.first.seq
    }

    /// Whether all that another operation had changed of a record stood before the writer.
    pub(super) fn was_shown(&self, past: &Past, origin: &Origin<'_>, version: Version, other: &Operation) -> bool {
        let Action::Update { delta } = &other.action else { return false };
        let hides = |id: &OpId| self.body(id).is_some_and(|over| delta.changes().any(|(pointer, _)| touches(over, Some(pointer))));
        let told = |saw: &&Seen| !past.is_lost(saw.version) && version <= saw.version;
        origin.below.filter(told).is_some_and(|saw| !saw.under.iter().any(hides))
    }

    /// Whether somebody wrote this operation: it stands in nobody's place. One that nobody has seen became part of another.
    pub(super) fn is_first(&self, name: &OpId) -> bool {
        self.body(name).is_none_or(|operation| operation.supersedes.is_none())
    }

    /// The names that an operation had before, with those of what became part of it.
    pub(super) fn names<'l>(&'l self, operation: &'l Operation) -> BTreeSet<&'l OpId> {
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

impl Met {
    /// Whether it is about a field, or about the whole record.
    pub(super) fn names(&self, field: Option<&str>) -> bool {
        self.fields.iter().any(|met| {
            met == "*" || field.is_some_and(|field| met.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        })
    }
}

/// What an action makes of a field; nothing if it does not change all of it.
fn wanted<'a>(action: &'a Action, pointer: &Pointer) -> Option<Option<&'a Value>> {
    match action {
        Action::Update { delta } => {
            let (at, change) = delta.changes().find(|(at, _)| pointer.is_within(at))?;
            Some(match change {
                Change::Set(value) => value.pointer(&pointer.as_str()[at.as_str().len()..]),
                Change::Unset => None,
                // What is put together is looked at item by item.
                Change::Add(_) | Change::List(_) => return None,
            })
        }
        Action::Create { .. } | Action::Delete => None,
    }
}

/// Whether an operation changes something of a field, or of the whole record.
pub(super) fn touches(operation: &Operation, pointer: Option<&Pointer>) -> bool {
    match (&operation.action, pointer) {
        (Action::Update { delta }, Some(pointer)) => delta.touching(pointer).is_some(),
        (Action::Update { delta }, None) => !delta.is_empty(),
        (Action::Create { .. } | Action::Delete, _) => true,
    }
}
