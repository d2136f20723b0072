//! A plan: everything that a run is decided by, as data. It is drawn from a seed, and can be written out,
//! shortened and run again. A plan names its app actions one by one; its faults come either from rates, a
//! pure function of gate and seed, or from a list of gates, as a run that failed has recorded them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::executor::Owner;
use crate::fault::{Death, Fault, Faults, Site};
use crate::script::{Expected, Step};

/// What a person, or the world, does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// Creates a record; `links` chooses what it refers to.
    Create {
        /// By its number in the workload's list.
        entity: u64,
        /// Chooses references and values.
        links: u64,
    },
    /// Changes a field of a known record.
    Update {
        /// Chooses the record.
        pick: u64,
        /// Chooses the field and the value.
        field: u64,
    },
    /// Deletes a known record.
    Delete {
        /// Chooses the record.
        pick: u64,
    },
    /// Reads a known record.
    Get {
        /// Chooses the record.
        pick: u64,
    },
    /// Lists an entity.
    Query {
        /// By its number in the workload's list.
        entity: u64,
    },
    /// Resolves an open conflict.
    Resolve {
        /// Chooses the conflict.
        pick: u64,
        /// Chooses how.
        how: u64,
    },
    /// Decides on all open conflicts.
    ResolveMany {
        /// Chooses how.
        how: u64,
    },
    /// Brings back what lost a conflict, or takes the last step of one back.
    TakeBack {
        /// Chooses the conflict.
        pick: u64,
        /// Whether it is an undo.
        undo: bool,
    },
    /// Asks for the conflicts of other devices.
    FetchConflicts,
    /// The coordinator of the database's tenant decides on an open conflict at the server.
    Desk {
        /// Chooses the conflict.
        pick: u64,
        /// Chooses how.
        how: u64,
    },
    /// Several writes, of which all take effect or none.
    Together {
        /// Chooses them.
        pick: u64,
        /// How many.
        count: u64,
    },
    /// Sends a parked operation again, now and then with other values.
    Retry {
        /// Chooses the operation.
        pick: u64,
    },
    /// Gives up an operation of the queue.
    Discard {
        /// Chooses the operation.
        pick: u64,
    },
    /// Carries unsent work to the same person's database on another device.
    Carry {
        /// Chooses the device.
        pick: u64,
    },
    /// Nothing is sent until somebody resumes.
    Pause,
    /// Ends a pause.
    Resume,
    /// The server makes a backup.
    Backup,
    /// The server is restored from its last backup.
    Restore,
    /// Asks for a session.
    Sync,
    /// Asks for a session of one entity.
    SyncEntity {
        /// By its number in the workload's list.
        entity: u64,
    },
    /// Asks for a session that sends one operation, and what it needs.
    SyncOperation {
        /// Chooses the operation.
        pick: u64,
    },
    /// Creates a record over which the server breaks down as long as things break.
    Poison {
        /// Chooses its values.
        links: u64,
    },
    /// Empties the database, with its unsent work if that is wanted.
    Wipe(bool),
    /// The browser throws the storage of the device away.
    Evict,
    /// The tab opens another database of its device: another tenant, or another user.
    Switch {
        /// Chooses it.
        pick: u64,
    },
    /// The tab comes back with a newer release of the app.
    Upgrade,
    /// The server forgets its tombstones.
    Prune,
    /// Closes the tab in order, and opens it again later.
    Close,
    /// The tab is frozen for so many ms.
    Freeze(u64),
    /// The process dies, wherever it is.
    Kill(Death),
    /// The device has no network for so many ms; whether requests fail or hang.
    Partition(u64, bool),
    /// The server is away for so many ms.
    ServerAway(u64),
    /// The device's clock jumps.
    Jump(i64),
    /// The server's clock jumps.
    ServerJump(i64),
    /// A step of a script, done by the person of the context: at this time or later, after the steps before it.
    Step(Step),
}

/// One action of one context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// When, ms after the start.
    pub at: u64,
    /// In which context, or on whose device.
    pub actor: Owner,
    /// What.
    pub what: What,
}

/// A context: a tab or a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextPlan {
    /// By its number in the list of databases.
    pub database: usize,
    /// Whether it sends and fetches without being asked.
    pub auto_sync: bool,
}

/// The database of a tenant and a user on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabasePlan {
    /// On which device.
    pub device: usize,
    /// The tenant.
    pub tenant: String,
    /// The user.
    pub user: String,
    /// Operations in the first upload.
    pub batch_size: u64,
    /// Operations in any.
    #[serde(default = "batch_max")]
    pub batch_max: u64,
    /// Whether writes may become part of unsent ones.
    #[serde(default = "coalesce")]
    pub coalesce: bool,
    /// Records in a page.
    pub page_size: u64,
    /// How often to look for changes, ms.
    pub poll_ms: u64,
    /// How long to wait for an answer, ms.
    pub timeout_ms: u64,
}

fn batch_max() -> u64 {
    1_000
}

fn coalesce() -> bool {
    true
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DevicePlan {
    /// How far its clock is off at the start, ms.
    pub skew_ms: i64,
    /// How much its clock gains, in millionths.
    pub drift_ppm: i64,
    /// The shortest way to the server, ms.
    pub latency_ms: u64,
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Decides the order of tasks, delays and every byte of entropy.
    pub seed: u64,
    /// The devices.
    pub devices: Vec<DevicePlan>,
    /// Their databases.
    pub databases: Vec<DatabasePlan>,
    /// The contexts; number `n` is owner `n + 1`.
    pub contexts: Vec<ContextPlan>,
    /// What everybody does, by time.
    pub actions: Vec<Action>,
    /// What goes wrong.
    pub faults: Faults,
    /// When faults end, ms after the start.
    pub heal_at: u64,
    /// Whether the server counts as durable only what its last backup holds.
    pub backups: bool,
    /// Whether the newer release's people use its new entity.
    #[serde(default)]
    pub new_entity: bool,
    /// Whether somebody resolves what is in conflict at the end.
    pub resolve_at_end: bool,
    /// What its schema declares beyond the plainest.
    #[serde(default)]
    pub declared: Declared,
    /// What must have come of a script in the end.
    #[serde(default)]
    pub expected: Vec<Expected>,
}

impl Plan {
    /// Faults by site, for quick looking up.
    pub(crate) fn rates(&self) -> BTreeMap<Site, Vec<(Fault, u64)>> {
        let mut by_site: BTreeMap<Site, Vec<(Fault, u64)>> = BTreeMap::new();
        if let Faults::Rates(rates) = &self.faults {
            for (site, fault, rate) in &rates.0 {
                by_site.entry(*site).or_default().push((*fault, *rate));
            }
        }
        by_site
    }
}
