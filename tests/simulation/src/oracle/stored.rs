//! Follows the commits of one database of a device, each as a whole: every unfinished operation has an overlay row that
//! lists it and the other way round, nothing names what was given up or renamed, a wipe tells of what goes with it.
//! What is wrong with a row by itself is found where it is read ([`written`](super::written)).

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::{Arc, Mutex};

use fieldsync::audit::{Event, Row as AuditRow};
use fieldsync::model::{Kind, OpId, Operation, RecordId, Version};
use fieldsync::outbox::{Seals, State};
use fieldsync::plan::{Table, Write};
use fieldsync::value::{Hash, Key, from_value, to_value};
use serde_json::Value;

use crate::oracle::brought;
use crate::oracle::decisions::Decisions;
use crate::oracle::items::written;
use crate::oracle::records::Records;
use crate::oracle::trails;
use crate::oracle::written::OverlaySeen;
use crate::seams::server::{Watch, lock};
use crate::seams::store::Rows;
use crate::sim::{Invariant, Sim};

/// An operation in the outbox.
pub(crate) struct Queued {
    pub(crate) operation: Operation,
    pub(crate) body: String,
    pub(crate) state: State,
    /// What the server waits for before it can apply it.
    pub(crate) waits_for: Vec<String>,
    pub(super) overlay: Key,
}

/// What one database holds, as far as the promises are about it.
pub(crate) struct Stored {
    pub(super) name: String,
    pub(super) last: Option<(u64, Hash)>,
    pub(crate) trail: BTreeMap<OpId, Vec<Event>>,
    /// Its rows, and those that were let go.
    pub(super) audit: BTreeMap<u64, AuditRow>,
    pub(super) purged: BTreeMap<u64, AuditRow>,
    /// Conflicts that were decided, as they were last: what they kept may be let go with them.
    pub(crate) ended: BTreeMap<Key, String>,
    /// Of a write that became part of another operation: how many events that one had then.
    pub(crate) joined: BTreeMap<OpId, usize>,
    pub(crate) outbox: BTreeMap<u64, Queued>,
    pub(super) overlay: BTreeMap<Key, OverlaySeen>,
    /// The overlay rows that list an operation: one, its own.
    pub(super) listed: BTreeMap<u64, Vec<Key>>,
    pub(super) seals: Seals,
    pub(super) base: BTreeMap<Key, Version>,
    pub(super) epoch: Option<String>,
    pub(super) generation: u64,
    pub(super) records: Records,
    pub(super) decisions: Decisions,
    /// Whether the last thing stored was a write that became part of another.
    pub(crate) last_coalesced: bool,
    /// Operations whose trail went with a wipe, which told of those that were not sent yet.
    pub(crate) forgotten: BTreeSet<OpId>,
    /// Up to which sequence of the server this database has everything.
    pub(crate) through: Option<Version>,
    /// Entities of which everything is here.
    pub(super) covers: Vec<String>,
    /// What the server has.
    pub(super) truth: Truth,
}

/// The server as the oracle saw it, and the tenant that a database belongs to.
#[derive(Clone)]
pub(crate) struct Truth {
    pub(crate) watch: Arc<Mutex<Watch>>,
    pub(crate) tenant: String,
}

impl Stored {
    pub(crate) fn new(name: String, truth: Truth) -> Self {
        Self {
            name,
            truth,
            covers: Vec::new(),
            records: Records::default(),
            decisions: Decisions::default(),
            last: None,
            trail: BTreeMap::new(),
            audit: BTreeMap::new(),
            purged: BTreeMap::new(),
            ended: BTreeMap::new(),
            joined: BTreeMap::new(),
            outbox: BTreeMap::new(),
            overlay: BTreeMap::new(),
            listed: BTreeMap::new(),
            seals: Seals::default(),
            base: BTreeMap::new(),
            epoch: None,
            generation: 0,
            last_coalesced: false,
            forgotten: BTreeSet::new(),
            through: None,
        }
    }

    /// How many operations wait to be applied.
    pub(crate) fn pending(&self) -> usize {
        self.outbox.values().filter(|queued| queued.state == State::Pending).count()
    }

    /// Begins anew with what is stored: after a loss of power.
    pub(crate) fn read_again(&mut self, rows: &Rows) {
        let (forgotten, mut purged) = (std::mem::take(&mut self.forgotten), std::mem::take(&mut self.purged));
        let ended = std::mem::take(&mut self.ended);
        self.forget();
        (self.forgotten, self.ended) = (forgotten, ended);
        // What was let go is here no more, unless that was lost with the power.
        let first = rows.with(Table::Audit, |found| found.rows().next().map(|row| number(&row.key)));
        purged.retain(|seq, _| first.is_none_or(|first| *seq < first));
        for entry in purged.values().flat_map(|row| &row.entries) {
            self.trail.entry(entry.operation.clone()).or_default().push(entry.event.clone());
        }
        self.purged = purged;
        for table in Table::ALL {
            rows.with(table, |found| found.rows().for_each(|row| drop(self.put(None, table, row))));
        }
    }

    /// Nothing is left: a wipe, or the browser threw its storage away.
    pub(crate) fn emptied(&mut self) {
        lock(&self.truth.watch).commits.lines.emptied(&self.name);
        self.forget();
    }

    /// Begins with nothing.
    fn forget(&mut self) {
        *self = Self::new(std::mem::take(&mut self.name), self.truth.clone());
    }

    /// A wipe: what was not applied yet must stand in its own row of the trail, which continues.
    fn wiped(&mut self, sim: &Sim, batch: &[Write]) {
        let told = discarded(batch);
        let silent =
            self.outbox.values().find(|queued| !matches!(queued.state, State::Acknowledged { .. }) && !told.contains(&queued.operation.id));
        sim.check(Invariant::I1, silent.is_none(), || {
            format!("{}: {:?} goes with a wipe that does not tell", self.name, silent.map(|queued| &queued.operation.id))
        });
        let last = self.last.take();
        let forgotten: BTreeSet<OpId> = std::mem::take(&mut self.trail).into_keys().chain(std::mem::take(&mut self.forgotten)).collect();
        self.emptied();
        (self.last, self.forgotten) = (last, forgotten);
    }

    /// Sees what people write into lists and counts.
    pub(crate) fn see_written(&self, sim: &Sim, batch: &[Write], text: &dyn Fn(Table, &Key) -> Option<Value>) {
        for brought in brought::look(batch, self.generation, text) {
            sim.check(Invariant::I9, brought.is_ok(), || format!("{}: {}", self.name, brought.clone().err().unwrap_or_default()));
        }
        let written = written(batch, self.generation, text);
        let items = &mut lock(&self.truth.watch).commits.items;
        items.taken.extend(written.taken);
        items.counted.extend(written.counted);
    }

    /// Sees a commit before it is applied.
    pub(crate) fn see(&mut self, sim: &Sim, batch: &[Write]) {
        if trails::lets_go(batch) {
            self.purged(sim, batch);
        } else if batch.iter().any(|write| matches!(write, Write::DeleteRange(Table::Audit, _))) {
            self.wiped(sim, batch);
        }
        let page = batch.iter().any(|write| matches!(write, Write::Put(Table::State, row) if row.key == "sync".into()));
        let mapped = batch.iter().any(|write| matches!(write, Write::Put(Table::Ids, _)));
        if page && mapped {
            sim.mark("mapped by a page");
        }
        let given_up = self.given_up(batch);
        let (generation, through) = (self.generation, self.through);
        let mut touched = self.touched(batch);
        let mut problems: Vec<(Invariant, String)> = Vec::new();
        let (mut operations, mut records, mut renamed) = (Vec::new(), Vec::new(), Vec::new());
        // Where the database stands comes first: after a change of epoch other versions count.
        let is_state = |write: &&Write| matches!(write, Write::Put(Table::State, _));
        for write in batch.iter().filter(is_state).chain(batch.iter().filter(|write| !is_state(write))) {
            match write {
                Write::Put(table, row) => {
                    if let Err(problem) = self.put(Some(sim), *table, row) {
                        problems.push(problem);
                    }
                    match table {
                        Table::Outbox => operations.push(number(&row.key)),
                        Table::Overlay => records.push(row.key.clone()),
                        Table::Ids => renamed.extend(renamed_id(&row.key)),
                        _ => {}
                    }
                }
                Write::Delete(table, key) => {
                    self.delete(*table, key);
                    match table {
                        Table::Outbox => operations.push(number(key)),
                        Table::Overlay => records.push(key.clone()),
                        Table::Audit => problems.push((Invariant::I12, format!("the audit row {key:?} was deleted"))),
                        _ => {}
                    }
                }
                Write::DeleteRange(table, range) => {
                    // Only a wipe takes a range of anything else, and of everything.
                    if *table == Table::Base {
                        self.base.retain(|key, _| !range.contains(key));
                    }
                }
            }
        }
        for (invariant, what) in problems {
            sim.violate(invariant, format!("{}: {what}", self.name));
        }
        touched.extend(self.touched(batch));
        self.grown(sim, touched, generation != self.generation);
        self.complete(sim, through.filter(|_| generation == self.generation));
        if batch.iter().any(|write| matches!(write, Write::Put(Table::Conflicts | Table::Outbox, _) | Write::Delete(Table::Outbox, _))) {
            self.asked(sim);
        }
        for temp in given_up {
            let named = to_value(&temp).to_string();
            let mut naming = self.outbox.values().filter(|queued| queued.body.contains(&named)).map(|queued| &queued.operation).peekable();
            // A file can have brought what another device issued anew: then that creates the record.
            let created = |operation: &Operation| operation.record == temp && operation.action.kind() == Kind::Create;
            let left = naming.peek().map(|operation| &operation.id).filter(|_| !naming.clone().any(created));
            sim.check(Invariant::I8, left.is_none(), || format!("{}: {temp} was given up, and {left:?} still names it", self.name));
        }
        for temp in renamed {
            let named = to_value(&temp).to_string();
            let left = self.overlay.iter().find(|(_, row)| row.key != temp && row.text.contains(&named)).map(|(key, _)| key);
            sim.check(Invariant::I6, left.is_none(), || format!("{}: {temp} has a real ID now, and {left:?} names the temp ID", self.name));
        }
        for seq in operations {
            let holds = match self.outbox.get(&seq) {
                Some(Queued { state: State::Acknowledged { .. }, .. }) => true,
                Some(queued) => self.listed.get(&seq).map(Vec::as_slice) == Some(slice::from_ref(&queued.overlay)),
                None => !self.listed.contains_key(&seq),
            };
            sim.check(Invariant::I4, holds, || {
                format!("{}: operation {seq} and the overlay do not agree: listed by {:?}", self.name, self.listed.get(&seq))
            });
        }
        for key in records {
            let missing = self.overlay.get(&key).and_then(|row| row.ops.iter().find(|op| !self.outbox.contains_key(&op.seq)));
            sim.check(Invariant::I4, missing.is_none(), || {
                format!("{}: the overlay row {key:?} lists operation {:?}, which is not in the outbox", self.name, missing.map(|op| op.seq))
            });
        }
        sim.check(Invariant::I12, true, String::new);
    }

    /// The records whose creates a person gives up here: whatever names one goes with it.
    fn given_up(&self, batch: &[Write]) -> Vec<RecordId> {
        let ended = batch.iter().filter_map(|write| match write {
            Write::Delete(Table::Outbox, key) => self.outbox.get(&number(key)).map(|queued| &queued.operation),
            _ => None,
        });
        let is_create = |operation: &&Operation| operation.action.kind() == Kind::Create && operation.record.as_temp().is_some();
        let mut creates = ended.filter(is_create).peekable();
        if creates.peek().is_none() {
            return Vec::new();
        }
        let told = discarded(batch);
        creates.filter(|operation| told.contains(&operation.id)).map(|operation| operation.record.clone()).collect()
    }
}

/// What the trail of a batch says was discarded.
fn discarded(batch: &[Write]) -> BTreeSet<OpId> {
    let rows = batch.iter().filter_map(|write| match write {
        Write::Put(Table::Audit, row) => serde_json::from_str::<AuditRow>(&row.text).ok(),
        _ => None,
    });
    let entries = rows.flat_map(|audit| audit.entries).filter(|entry| entry.event == Event::Discarded);
    entries.map(|entry| entry.operation).collect()
}

/// A sequence as it stands in a key.
pub(crate) fn number(key: &Key) -> u64 {
    from_value(&key.to_value()).unwrap_or(u64::MAX)
}

/// The temp ID that the row of a mapping is about.
fn renamed_id(key: &Key) -> Option<RecordId> {
    let Key::List(parts) = key else { return None };
    record_id(parts.get(1)?).filter(|id| id.as_temp().is_some())
}

/// An ID as it stands in a key.
pub(crate) fn record_id(key: &Key) -> Option<RecordId> {
    RecordId::from_value(&key.to_value()).ok()
}
