//! The rare events that a run must come by to be worth anything: a swarm that never loses an answer, steals a
//! role or restores a server proves little, however long it runs. Each has a name, words for a reader, and the
//! number of operations within which it must have happened at least once.

use std::collections::BTreeMap;

/// Within a tenth of a million operations: what the fixed seeds of every test run reach with ample margin.
const SOON: u64 = 100_000;
/// Within a million.
const LATE: u64 = 1_000_000;

/// So many operations demand every mark that can be reached. The fixed seeds get no excuse for being fewer (`--marks`).
pub const ALL: u64 = LATE;

/// One rare event.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Its name.
    pub name: &'static str,
    /// What has happened, for people.
    pub words: &'static str,
    /// Within so many operations it must have happened.
    pub within: u64,
}

const fn mark(name: &'static str, words: &'static str, within: u64) -> Mark {
    Mark { name, words, within }
}

/// All of them.
pub const MARKS: &[Mark] = &[
    mark("announcement lost", "a frozen context missed what another announced", SOON),
    mark("base rebased", "an unsent operation was put on a newer state of the server", SOON),
    mark("browser died", "all contexts of a device died at once", SOON),
    mark("clock jumped", "somebody set the clock of a device", SOON),
    mark("coalesced", "a write became part of an unsent one", SOON),
    mark("coalesced then killed", "a context died when the last thing stored was such a write", SOON),
    mark("conflict by rule", "a conflict that a rule decided", SOON),
    mark("conflict for a person", "a conflict that waits for a person", SOON),
    mark("conflict resolved by hand", "a person decided one", LATE),
    mark("conflict decided at the server", "a coordinator decided on one where no device is", LATE),
    mark("conflicts of others fetched", "a device asked for what other devices had met", LATE),
    mark("context closed", "a tab was closed in order", SOON),
    mark("context frozen", "a tab slept", SOON),
    mark("database evicted", "the browser threw a device's storage away", SOON),
    mark("database wiped", "somebody emptied a database", SOON),
    mark("decision taken back", "a person undid a decision, or a restore", LATE),
    mark("deleted with what refers to it", "a delete took records along on the device", SOON),
    mark("device cut off", "a device had no network", SOON),
    mark("group issued anew", "a group was in conflict and stands again as a whole", SOON),
    mark("loser brought back", "a person restored what had lost a conflict", LATE),
    mark("many conflicts decided", "a person decided on all open conflicts", LATE),
    mark("mapped by a page", "a page told the real ID before the receipt did", SOON),
    mark("another generation filled", "a device began with everything anew, beside what it shows", SOON),
    mark("old request handled again later", "the server got a copy of a request after newer ones", SOON),
    mark("one entity fetched", "only one entity was synchronised", SOON),
    mark("operation discarded", "a person gave an operation up", SOON),
    mark("operation parked", "the server can never apply an operation", SOON),
    mark("operation poisoned", "the server broke down over one operation, whatever stood beside it", SOON),
    mark("operation sent again", "the same bytes went up once more", SOON),
    mark("operation superseded", "another operation stands in the place of one that ended", SOON),
    mark("parked operation sent again", "a person sent a parked operation again", SOON),
    mark("other values for a constraint", "a person chose other values than those that only one record may have", LATE),
    mark("plan replayed after its commit", "the connection died between a commit and its word", SOON),
    mark("power loss that lost a relaxed commit", "a page was lost with the power, and fetched again", SOON),
    mark("power lost", "a device lost its power", SOON),
    mark("receipt: applied", "an operation was applied", SOON),
    mark("receipt: blocked", "an operation waited at the server", SOON),
    mark("receipt: conflict", "the server had another state", SOON),
    mark("receipt: duplicate", "the server gave an old receipt again", SOON),
    mark("receipt: rejected", "the server refused an operation for good", SOON),
    mark("receipt: so already", "an operation wanted what a later version than its base held already", LATE),
    mark("record invalid here", "a write broke what the schema says of a field", SOON),
    mark("reference ended at the server", "a record lost its reference to what was deleted without knowing of it", LATE),
    mark("reference to a record that is not created yet", "a record refers to one that comes later", SOON),
    mark("request found no server", "it was lost because the server was away", SOON),
    mark("request met no network", "it was lost because its device was cut off", SOON),
    mark("role stolen", "a context took the sender's role from a silent one", SOON),
    mark("row damaged", "the text of a stored row broke off", SOON),
    mark("schema upgraded", "a context came back with a newer schema than the others", SOON),
    mark("selected operations sent", "only chosen operations were sent", SOON),
    mark("sending paused", "a person wanted nothing to be sent", SOON),
    mark("server away", "the server was away", SOON),
    mark("server backed up", "what is durable there moved on with a backup", SOON),
    mark("server restored", "the server went back to its last backup", SOON),
    mark("server died at a commit", "before or after it", SOON),
    mark("state waited for an outcome", "a page brought a record whose sealed operation had no answer yet", SOON),
    mark("tab died", "one context died in the middle of something", SOON),
    mark("tenant or user switched", "a context opened another database of its device", SOON),
    mark("tombstones forgotten", "the server pruned them", SOON),
    mark("transaction saved", "a group was saved as a whole", SOON),
    mark("trail let go", "old rows of a device's trail went", LATE),
    mark("trail taken", "rows of a device's trail went into the chain of the server", SOON),
    mark("value taken here", "a write wanted what only one record may have", SOON),
    mark("went along at the server", "a record was deleted with one that it refers to, by somebody who did not know of it", LATE),
    mark("work carried to another device", "unsent work was written out and read in elsewhere", SOON),
];

/// The marks that so many operations should have reached, and did not.
pub fn missing(operations: u64, reached: &BTreeMap<&'static str, u64>) -> Vec<Mark> {
    MARKS.iter().filter(|mark| mark.within <= operations && !reached.contains_key(mark.name)).copied().collect()
}
