//! Follows the commits of the server: every operation gets one receipt and takes effect once, each change
//! stands on the version that its writer had seen, what one device wrote on one record comes in its order,
//! and what was deleted comes back only by a create.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::model::{Action, Base, ClientId, Epoch, Kind, OpId, Operation, Version};
use fieldsync::protocol::{ConflictKind, Outcome};
use fieldsync::value::Hash;
use fieldsync_server::store::{ChangeRow, Receipt, RecordKey, WriteBatch};
use serde_json::Value;

use crate::oracle::items::Items;
use crate::oracle::lines::{Bodies, Lines};
use crate::oracle::related;
use crate::oracle::silent::Past;
use crate::oracle::trails::Trails;
use crate::sim::Invariant;

/// What the server said of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) outcome: Outcome,
    /// Who was told.
    client: ClientId,
    /// The version that it is lost with, should the server be restored: the one that it left, or the one that its
    /// record had when it was found to be as wanted already. Nothing of what took no effect.
    rests_on: Option<Version>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    pub(crate) version: Version,
    pub(crate) deleted: bool,
    /// The last sequence of each device that took effect here.
    last: BTreeMap<ClientId, u64>,
}

/// One tenant, as its commits have made it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) sequence: Version,
    pub(crate) changes: Vec<ChangeRow>,
    pub(crate) words: BTreeMap<OpId, Word>,
    pub(crate) chains: BTreeMap<RecordKey, Chain>,
    /// What was done to its records, field by field.
    past: Past,
    /// Whether the server ever went back to a backup of it, and lost what came since.
    pub(crate) restored: bool,
    /// The trails of its devices.
    pub(crate) trails: Trails,
    /// Up to here the server has no tombstones any more.
    pub(crate) forgotten: Version,
}

/// All tenants, what is known of operations, and the first broken promise.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) lines: Lines,
    pub(crate) items: Items,
    /// The versions that their clients said operations stand on, which follow one that the server cannot know.
    pub(crate) stands: BTreeMap<OpId, Version>,
    /// Operations that were carried from one device to another: they keep the numbers of the first.
    pub(crate) carried: BTreeSet<OpId>,
    /// What the trails of all devices of a tenant ever told to be written, those that were wiped or lost included.
    pub(crate) written: BTreeMap<String, BTreeSet<OpId>>,
    backup: BTreeMap<String, Tenant>,
    /// Operations whose word was lost with a lineage, and which need not be sent again for that: what they wanted was
    /// so already, and what made it so was in the backup. Each with the version that it was told. Whoever brings it again
    /// with a file gets a word of his own.
    pub(crate) excused: BTreeMap<OpId, Version>,
    /// Operations that met the state with which the one before them was in conflict.
    met_again: BTreeSet<OpId>,
    /// The lineage that the last restore began.
    pub(crate) epoch: Option<String>,
    pub(crate) broken: Option<(Invariant, String)>,
    /// The rows of their trails that devices have stored; and those that any server has taken.
    pub(crate) rows: BTreeSet<Hash>,
    pub(crate) taken: BTreeSet<Hash>,
    /// Rare events.
    pub(crate) marks: BTreeMap<&'static str, u64>,
    /// How often each promise was looked at.
    pub(crate) checks: BTreeMap<Invariant, u64>,
}

impl Commits {
    /// The server makes a backup.
    pub(crate) fn back_up(&mut self) {
        self.backup = self.tenants.clone();
    }
    /// The server goes back to its backup, and may give no number a second time.
    pub(crate) fn restore(&mut self, epoch: &Epoch) {
        self.epoch = Some(epoch.to_string());
        self.lines.begin(epoch.to_string());
        let lost = std::mem::replace(&mut self.tenants, self.backup.clone());
        for (tenant, before) in lost {
            let now = self.tenants.entry(tenant).or_default();
            let kept = |word: &Word| word.rests_on.is_some_and(|version| version <= now.sequence);
            let gone = before.words.iter().filter(|(id, word)| !now.words.contains_key(id) && kept(word));
            self.excused.extend(gone.filter_map(|(id, word)| match word.outcome {
                Outcome::Applied { version, .. } => Some((id.clone(), version)),
                _ => None,
            }));
            // Whatever was issued stays issued.
            now.past.lose(now.sequence, before.sequence);
            now.sequence = now.sequence.max(before.sequence);
            now.restored = true;
        }
    }

    /// What was sent in whose place. The server keeps a receipt only of a last word; over the wire they all came.
    pub(crate) fn successors(&self) -> BTreeMap<OpId, Vec<OpId>> {
        let mut successors: BTreeMap<OpId, Vec<OpId>> = BTreeMap::new();
        for (by, (operation, _)) in &self.lines.bodies {
            if let Some(earlier) = &operation.supersedes {
                successors.entry(earlier.clone()).or_default().push(by.clone());
            }
        }
        successors
    }

    /// Sees a batch that is about to be committed.
    pub(crate) fn see(&mut self, tenant: &str, batch: &WriteBatch) {
        let Self { tenants, stands, broken, checks, marks, rows, taken, carried, met_again, lines, items, .. } = self;
        let bodies = &lines.bodies;
        let known = tenants.entry(tenant.to_owned()).or_default();
        let mut hold = |invariant, holds: bool, what: &dyn Fn() -> String| {
            *checks.entry(invariant).or_insert(0) += 1;
            if !holds {
                broken.get_or_insert((invariant, what()));
            }
        };
        for row in batch.audit.iter().filter_map(|row| serde_json::from_str::<Value>(&row.content).ok()) {
            let held = known.trails.take(&row, rows);
            hold(Invariant::I12, held.is_ok(), &|| held.clone().err().unwrap_or_default());
            if row["trail"]["rows"].is_array() {
                *marks.entry("trail taken").or_insert(0) += 1;
                taken.extend(known.trails.rows.iter().cloned());
            }
        }
        for receipt in &batch.receipts {
            // Whoever was put on a state in the place of an operation that met one knew that one, if the same device
            // was told of it, and what was decided on it is not asked again. Not so, once, if it stands on a version of
            // a lineage that was lost: that says nothing of this one, and the device sees by the content whether its
            // decision holds.
            // What came with a file was put there by another device.
            let sent = bodies.get(&receipt.operation).filter(|_| !carried.contains(&receipt.operation)).map(|(operation, _)| operation);
            if let Some((Base::Version(base), Some(before))) = sent.map(|sent| (&sent.base, &sent.supersedes)) {
                let told = known.words.get(before).filter(|word| word.client == receipt.client);
                let earlier = told.and_then(|word| met(&word.outcome));
                let again = earlier.is_some() && met(&receipt.outcome) == earlier;
                let of_this = known.changes.iter().any(|change| change.version == *base);
                let excused_once = known.restored && !of_this && !met_again.contains(before);
                if again {
                    met_again.insert(receipt.operation.clone());
                }
                hold(Invariant::I8, !again || excused_once, &|| {
                    format!("{} meets the state {earlier:?} with which the operation before it was in conflict", receipt.operation)
                });
            }
            let rests_on = known.rests_on(batch, receipt, bodies, stands);
            let word = Word { outcome: receipt.outcome.clone(), client: receipt.client.clone(), rests_on };
            let before = known.words.insert(receipt.operation.clone(), word);
            hold(Invariant::I3, before.is_none(), &|| format!("{} got a second receipt", receipt.operation));
        }
        let groups = groups(bodies, batch);
        groups.values().for_each(|group| known.rest_together(batch, group));
        for receipt in &batch.receipts {
            // A device keeps what it sent until this is durable.
            let found = known.words.get(&receipt.operation).and_then(|word| word.rests_on);
            let told = match receipt.outcome {
                Outcome::Applied { version, rests_on, .. } => Some(rests_on.unwrap_or(version)),
                _ => None,
            };
            hold(Invariant::I1, told == found, &|| format!("{} is said to rest on {told:?} and rests on {found:?}", receipt.operation));
        }
        for change in &batch.changes {
            hold(Invariant::I21, change.version > known.sequence, &|| {
                format!("version {} was given after {}", change.version, known.sequence)
            });
            let before = std::mem::replace(&mut known.sequence, change.version);
            let sent = bodies.get(&change.operation);
            hold(Invariant::I2, sent.is_some(), &|| format!("{} took effect and nobody sent it", change.operation));
            let Some((operation, _)) = sent else { continue };
            let told = batch.receipts.iter().any(|receipt| receipt.operation == change.operation);
            hold(Invariant::I3, told, &|| format!("{} took effect without a receipt", change.operation));
            hold(Invariant::I15, operation.author == change.user, &|| {
                format!("{} of {} was applied for {}", change.operation, operation.author, change.user)
            });
            if related::goes_along(batch, change, operation) {
                let chain = known.chains.entry(change.key.clone()).or_default();
                let holds = lines
                    .schema
                    .as_ref()
                    .map_or(Ok(()), |schema| related::along(schema, &known.past, batch, change, operation, chain.version));
                hold(Invariant::I10, holds.is_ok(), &|| holds.clone().err().unwrap_or_default());
                known.past.enter_along(batch, change, operation);
                *marks
                    .entry(if change.kind == Kind::Delete { "went along at the server" } else { "reference ended at the server" })
                    .or_insert(0) += 1;
                (chain.version, chain.deleted) = (change.version, change.kind == Kind::Delete);
                known.changes.push(change.clone());
                continue;
            }
            if operation.seen.is_some() && operation.group.is_some() {
                *marks.entry("deleted with what refers to it").or_insert(0) += 1;
            }
            let left = known.stands_on(operation, stands);
            let chain = known.chains.entry(change.key.clone()).or_default();
            let stood = (chain.version != Version(0)).then_some(chain.version);
            // Who made a full download since a record was deleted knows it as gone at the version of that download.
            let gone = chain.deleted && left.is_some_and(|left| (chain.version..=before).contains(&left));
            hold(Invariant::I7, gone || left == stood, &|| {
                format!("{} on {:?}: written on {left:?}, applied on {stood:?}", change.operation, change.key)
            });
            for gone_over in known.past.enter(lines, items, batch, change, operation) {
                hold(Invariant::I7, gone_over.is_ok(), &|| gone_over.clone().err().unwrap_or_default());
            }
            hold(Invariant::I11, !chain.deleted || change.kind == Kind::Create, &|| {
                format!("{:?} of the deleted {:?} by {}", change.kind, change.key, change.operation)
            });
            if operation.supersedes.is_none() && !carried.contains(&change.operation) {
                let last = chain.last.insert(change.client.clone(), operation.seq).unwrap_or(0);
                hold(Invariant::I13, last < operation.seq, &|| {
                    format!("{:?}: operation {} took effect after {last} of the same device", change.key, operation.seq)
                });
            }
            (chain.version, chain.deleted) = (change.version, change.kind == Kind::Delete);
            known.changes.push(change.clone());
        }
        for (group, Members { of, first_of, firsts, there }) in groups {
            let whole = first_of.iter().all(|first| *first == of) || are_whole(bodies, &firsts);
            hold(Invariant::I3, of == there.len() && whole, &|| {
                format!("of the {of} operations of the group {group}, once {first_of:?}, {there:?} took effect together")
            });
        }
        known.sequence = known.sequence.max(batch.state.sequence);
        for found in lines.schema.iter().flat_map(|schema| related::look(schema, &known.past, batch)) {
            hold(Invariant::I10, found.is_ok(), &|| found.clone().err().unwrap_or_default());
        }
        let own = |change: &&ChangeRow| bodies.get(&change.operation).is_none_or(|(by, _)| !related::goes_along(batch, change, by));
        let mut effects: Vec<&OpId> = batch.changes.iter().filter(own).map(|change| &change.operation).collect();
        effects.sort_unstable();
        hold(Invariant::I3, effects.windows(2).all(|pair| pair[0] != pair[1]), &|| {
            "an operation took effect twice in one batch".to_owned()
        });
    }
}

/// The version of the state that an operation is in conflict with.
fn met(outcome: &Outcome) -> Option<Version> {
    match outcome {
        // What another record has is no state of this one: it is asked again for as long as the other has it.
        Outcome::Conflict { kind: ConflictKind::Constraint, .. } => None,
        Outcome::Conflict { server, .. } => Some(server.version),
        _ => None,
    }
}

/// A group of which members were applied.
#[derive(Default)]
struct Members<'b> {
    /// How many belong to it, by its own account.
    of: usize,
    /// And how many did under the names that these had at first.
    first_of: BTreeSet<usize>,
    /// These names.
    firsts: BTreeSet<&'b OpId>,
    there: BTreeSet<&'b OpId>,
}

/// The groups of which members were applied. One that is none any more counts as a group of one.
fn groups<'b>(bodies: &'b Bodies, batch: &WriteBatch) -> BTreeMap<&'b OpId, Members<'b>> {
    let mut found: BTreeMap<&OpId, Members<'_>> = BTreeMap::new();
    for receipt in batch.receipts.iter().filter(|receipt| matches!(receipt.outcome, Outcome::Applied { .. })) {
        let sent = |id: &OpId| bodies.get(id).map(|(operation, _)| operation);
        let Some(operation) = sent(&receipt.operation) else { continue };
        // On another device a member's conflict can be ended alone by what changes nothing: that is no part of a group.
        if operation.group.is_none() && operation.action == Action::nothing() {
            continue;
        }
        let mut first = operation;
        while let Some(earlier) = first.supersedes.as_ref().and_then(sent) {
            first = earlier;
        }
        let of = |operation: &Operation| operation.group.as_ref().map_or(1, |group| group.of);
        let members = found.entry(operation.group.as_ref().map_or(&operation.id, |group| &group.id)).or_default();
        members.of = of(operation);
        members.first_of.insert(of(first));
        members.firsts.insert(&first.id);
        members.there.insert(&operation.id);
    }
    found
}

/// Whether of each group that operations were sent in at first all are there. A group that is issued anew may take others in,
/// whole ones as well: it grows, and none is ever taken apart.
fn are_whole(bodies: &Bodies, firsts: &BTreeSet<&OpId>) -> bool {
    let group = |operation: &Operation| operation.group.as_ref().map(|group| group.id.clone());
    let sent = |id: &OpId| bodies.get(id).map(|(operation, _)| operation);
    let groups: BTreeSet<OpId> = firsts.iter().filter_map(|first| group(sent(first)?)).collect();
    bodies.values().all(|(operation, _)| {
        let is_first = operation.supersedes.as_ref().and_then(sent).is_none();
        !is_first || firsts.contains(&operation.id) || !group(operation).is_some_and(|group| groups.contains(&group))
    })
}

impl Tenant {
    /// The version that an operation by itself is lost with.
    fn rests_on(&self, batch: &WriteBatch, receipt: &Receipt, bodies: &Bodies, stands: &BTreeMap<OpId, Version>) -> Option<Version> {
        let (Outcome::Applied { real_id, .. }, (operation, _)) = (&receipt.outcome, bodies.get(&receipt.operation)?) else { return None };
        let own = |change: &&ChangeRow| {
            change.operation == receipt.operation && change.key.id == *real_id && change.key.entity == operation.entity
        };
        if let Some(change) = batch.changes.iter().find(own) {
            return Some(change.version);
        }
        let key = RecordKey { entity: operation.entity.clone(), id: real_id.clone() };
        // Receipts stand in the order in which the operations were judged.
        let earlier = batch.receipts.iter().take_while(|earlier| earlier.operation != receipt.operation);
        let changes = || earlier.clone().flat_map(|earlier| batch.changes.iter().filter(|change| change.operation == earlier.operation));
        let changed = changes().filter(|change| change.key == key).max_by_key(|change| change.version);
        let there = self.chains.get(&key).map(|chain| (chain.version, chain.deleted));
        let (version, deleted) = changed.map(|change| (change.version, change.kind == Kind::Delete)).or(there)?;
        if operation.action != Action::nothing() {
            return Some(version);
        }
        // Whatever the record has become, its writer had seen this; or that it was deleted, by a full download since.
        let sequence = changes().map(|change| change.version).max().unwrap_or(self.sequence);
        let stood = self.stands_on(operation, stands);
        Some(version).filter(|version| deleted && stood.is_some_and(|stood| (*version..=sequence).contains(&stood))).or(stood)
    }

    /// A group is lost as a whole, and comes again as a whole: no member rests on less than the first that the group
    /// changed; or, where all of it was so already, on less than the last of what its members found.
    fn rest_together(&mut self, batch: &WriteBatch, group: &Members<'_>) {
        let changed = batch.changes.iter().filter(|change| group.there.contains(&change.operation)).map(|change| change.version).min();
        let found = group.there.iter().filter_map(|member| self.words.get(member)?.rests_on).max();
        for member in &group.there {
            if let Some(Word { rests_on: Some(version), .. }) = self.words.get_mut(member) {
                *version = (*version).max(changed.or(found).unwrap_or(*version));
            }
        }
    }

    /// The version that an operation was written on, by the account of its client.
    fn stands_on(&self, operation: &Operation, stands: &BTreeMap<OpId, Version>) -> Option<Version> {
        match &operation.base {
            Base::None => None,
            Base::Version(version) => Some(*version),
            Base::After(earlier) => self.left_by(earlier).or_else(|| stands.get(&operation.id).copied()),
        }
    }

    /// The version that an operation left. What stands in its place may stand on more than it did, of which whoever
    /// follows it knows nothing.
    fn left_by(&self, operation: &OpId) -> Option<Version> {
        match self.words.get(operation)?.outcome {
            Outcome::Applied { version, .. } => Some(version),
            _ => None,
        }
    }
}
