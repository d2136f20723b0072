//! A plan: everything that a run is decided by, as data. It is drawn from a seed, and can be written out,
//! shortened and run again. A plan names its app actions one by one; its faults come either from rates, a
//! pure function of gate and seed, or from a list of gates, as a run that failed has recorded them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::executor::Owner;
use crate::random::{Random, mix};
use crate::script::{Expected, Step};

/// Where a run can be stopped, slowed, refused or killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Site {
    /// Before a read-write transaction begins.
    Begin,
    /// Between two rounds of reading.
    Round,
    /// Before a commit.
    Commit,
    /// After a commit, before anybody is told.
    Committed,
    /// Before a transaction that only reads.
    Read,
    /// Before a request leaves.
    Send,
    /// When an answer has arrived and nothing of it is used yet.
    Receive,
    /// When the app is asked for a token.
    Token,
    /// When the sender's role was just given.
    Role,
}

impl Site {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Begin, Self::Round, Self::Commit, Self::Committed, Self::Read, Self::Send, Self::Receive, Self::Token, Self::Role];
}

/// One passage through a gate: who, where, and the how-manieth of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gate {
    /// The context.
    pub actor: Owner,
    /// Where.
    pub site: Site,
    /// Counted over all lives of the context, from 1.
    pub number: u32,
}

/// How much dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Death {
    /// One tab or worker. What was committed stays.
    Tab,
    /// Every context of the device. What was committed stays.
    Browser,
    /// The device. Of commits under relaxed durability the latest are lost.
    Power,
}

/// What can happen at a gate instead of going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fault {
    /// It goes on after so many ms.
    Wait(u64),
    /// The process dies here.
    Die(Death),
    /// The storage is full.
    Full,
    /// The browser undoes the transaction.
    Abort,
    /// The database cannot be used just now.
    Unavailable,
    /// The text of some stored row breaks off, until everything works again.
    Rot,
    /// The connection dies and the transaction with it; the store opens another and runs the plan again.
    Reconnect,
    /// The commit happens and the connection dies before it is told; the store runs the plan again.
    Replay,
    /// The request never arrives.
    LoseRequest,
    /// The server acts and its answer never arrives.
    LoseAnswer,
    /// Request and answer hang for ever.
    Stall,
    /// The answer is cut off after so many of a thousand bytes.
    Cut(u64),
    /// The server gets the request twice.
    Duplicate,
    /// The server gets it a second time after so many ms.
    LateDuplicate(u64),
    /// A login page answers in the server's place.
    Portal,
    /// Something on the way, or the server, answers with this status and `Retry-After` in ms.
    Status(u16, Option<u64>),
    /// The server dies before it commits, and stays away for so many ms.
    ServerDiesBefore(u64),
    /// The server dies after it committed and before it answers, and stays away for so many ms.
    ServerDiesAfter(u64),
    /// The database of the server is busy: nothing is committed.
    ServerBusy,
    /// The database of the server commits and does not tell.
    ServerUnsure,
    /// There is no token just now.
    NotNow,
    /// The token has expired.
    Expired,
    /// The token is another user's.
    WrongUser,
}

impl Fault {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::Die(Death::Tab) => "tab dies",
            Self::Die(Death::Browser) => "browser dies",
            Self::Die(Death::Power) => "power lost",
            Self::Full => "storage full",
            Self::Abort => "transaction undone",
            Self::Unavailable => "storage unavailable",
            Self::Rot => "row damaged",
            Self::Reconnect => "connection lost before commit",
            Self::Replay => "connection lost after commit",
            Self::LoseRequest => "request lost",
            Self::LoseAnswer => "answer lost",
            Self::Stall => "stall",
            Self::Cut(_) => "answer cut",
            Self::Duplicate => "request twice",
            Self::LateDuplicate(_) => "request again later",
            Self::Portal => "login page",
            Self::Status(..) => "status",
            Self::ServerDiesBefore(_) => "server dies before commit",
            Self::ServerDiesAfter(_) => "server dies after commit",
            Self::ServerBusy => "server busy",
            Self::ServerUnsure => "server unsure of commit",
            Self::NotNow => "no token",
            Self::Expired => "token expired",
            Self::WrongUser => "token of another",
        }
    }
}

/// How often what happens, each in so many of 10,000 passages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates(pub Vec<(Site, Fault, u64)>);

/// Where the faults come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Faults {
    /// From rates: what happens at a gate is a function of the seed and the gate.
    Rates(Rates),
    /// From a list.
    List(Vec<(Gate, Fault)>),
}

/// What happens at a gate, by rates.
pub(crate) fn by_rates(seed: u64, rates: &[(Fault, u64)], gate: Gate) -> Option<Fault> {
    if rates.is_empty() {
        return None;
    }
    let mut random = Random::new(seed, mix(u64::from(gate.actor) << 8 | gate.site as u64, u64::from(gate.number)));
    let mut drawn = random.below(10_000);
    for (fault, rate) in rates {
        if drawn < *rate {
            // Times and places are drawn anew: the rates name the largest.
            return Some(match *fault {
                Fault::Wait(max) => Fault::Wait(random.between(1, max)),
                Fault::Cut(_) => Fault::Cut(random.below(1_000)),
                Fault::LateDuplicate(max) => Fault::LateDuplicate(random.between(1, max)),
                Fault::ServerDiesBefore(max) => Fault::ServerDiesBefore(random.between(1, max)),
                Fault::ServerDiesAfter(max) => Fault::ServerDiesAfter(random.between(1, max)),
                other => other,
            });
        }
        drawn -= rate;
    }
    None
}

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
