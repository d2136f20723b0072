//! Follows the commits of the server: every operation gets one receipt and takes effect once, each change
//! stands on the version that its writer had seen, what one device wrote on one record comes in its order,
//! and what was deleted comes back only by a create.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::model::{Action, Base, ClientId, Kind, OpId, Operation, Version};
use fieldsync::protocol::Outcome;
use fieldsync_server::store::{ChangeRow, RecordKey, WriteBatch};

use crate::sim::Invariant;

/// What the server said of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) outcome: Outcome,
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
    successors: BTreeMap<OpId, Vec<OpId>>,
    pub(crate) chains: BTreeMap<RecordKey, Chain>,
}

/// All tenants, the operations as they came over the wire, and the first broken promise.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    pub(crate) tenants: BTreeMap<String, Tenant>,
    pub(crate) bodies: BTreeMap<OpId, (Operation, String)>,
    /// The versions that their clients said operations stand on, which follow one that the server cannot know.
    pub(crate) stands: BTreeMap<OpId, Version>,
    /// Operations that were carried from one device to another: they keep the numbers of the first.
    pub(crate) carried: BTreeSet<OpId>,
    /// Whether the server was ever restored: a base can then be a version of another epoch, which matches by content.
    restored: bool,
    backup: BTreeMap<String, Tenant>,
    pub(crate) broken: Option<(Invariant, String)>,
    pub(crate) checks: u64,
}

impl Commits {
    /// Whether an operation that was sent changes nothing.
    pub(crate) fn is_empty(&self, operation: &OpId) -> bool {
        self.bodies.get(operation).is_some_and(|(operation, _)| matches!(&operation.action, Action::Update { delta } if delta.is_empty()))
    }
    /// The server makes a backup.
    pub(crate) fn back_up(&mut self) {
        self.backup = self.tenants.clone();
    }
    /// The server goes back to its backup.
    pub(crate) fn restore(&mut self) {
        self.tenants = self.backup.clone();
        self.restored = true;
    }

    /// Sees a batch that is about to be committed.
    pub(crate) fn see(&mut self, tenant: &str, batch: &WriteBatch) {
        let Self { tenants, bodies, stands, broken, checks, carried, restored, .. } = self;
        let known = tenants.entry(tenant.to_owned()).or_default();
        let mut hold = |invariant, holds: bool, what: &dyn Fn() -> String| {
            *checks += 1;
            if !holds {
                broken.get_or_insert((invariant, what()));
            }
        };
        for receipt in &batch.receipts {
            if let Some(earlier) = &receipt.supersedes {
                known.successors.entry(earlier.clone()).or_default().push(receipt.operation.clone());
            }
            let word = Word { outcome: receipt.outcome.clone() };
            let before = known.words.insert(receipt.operation.clone(), word);
            hold(Invariant::I3, before.is_none(), &|| format!("{} got a second receipt", receipt.operation));
        }
        for change in &batch.changes {
            hold(Invariant::I21, change.version > known.sequence, &|| {
                format!("version {} was given after {}", change.version, known.sequence)
            });
            known.sequence = change.version;
            let Some((operation, _)) = bodies.get(&change.operation) else {
                hold(Invariant::I2, false, &|| format!("{} took effect and nobody sent it", change.operation));
                continue;
            };
            hold(Invariant::I15, operation.author == change.user, &|| {
                format!("{} of {} was applied for {}", change.operation, operation.author, change.user)
            });
            let left = match &operation.base {
                Base::None => None,
                Base::Version(version) => Some(*version),
                Base::After(earlier) => known.left_by(earlier).or_else(|| stands.get(&change.operation).copied()),
            };
            let chain = known.chains.entry(change.key.clone()).or_default();
            let stood = (chain.version != Version(0)).then_some(chain.version);
            hold(Invariant::I7, *restored || left == stood, &|| {
                format!("{} on {:?}: written on {left:?}, applied on {stood:?}", change.operation, change.key)
            });
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
        known.sequence = known.sequence.max(batch.state.sequence);
        let mut effects: Vec<&OpId> = batch.changes.iter().map(|change| &change.operation).collect();
        effects.sort_unstable();
        hold(Invariant::I3, effects.windows(2).all(|pair| pair[0] != pair[1]), &|| {
            "an operation took effect twice in one batch".to_owned()
        });
    }
}

impl Tenant {
    /// The version that an operation left, or whatever stands in its place.
    fn left_by(&self, operation: &OpId) -> Option<Version> {
        let (mut left, mut open) = (None, vec![operation]);
        // No longer than there are words: a circle of successors ends.
        for _ in 0..=self.words.len() {
            let Some(id) = open.pop() else { break };
            match self.words.get(id).map(|word| &word.outcome) {
                Some(Outcome::Applied { version, .. }) => left = left.max(Some(*version)),
                _ => open.extend(self.successors.get(id).into_iter().flatten()),
            }
        }
        left
    }
}
