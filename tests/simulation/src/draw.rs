//! Draws a plan from a seed: how many devices, tabs and tenants, what people do and when, and which faults
//! are on at all and how often (swarm testing: Groce and others, 2012). A run with few kinds of faults goes
//! deep where a run with all of them never comes.

use crate::declared::Declared;
use crate::executor::Owner;
use crate::fault::{Death, Fault, Faults, Rates, Site};
use crate::plan::{Action, ContextPlan, DatabasePlan, DevicePlan, Plan, What};
use crate::random::Random;

/// What can be on, with the largest rate in 10,000 passages.
const MENU: &[(Site, Fault, u64)] = &[
    (Site::Begin, Fault::Wait(30), 400),
    (Site::Begin, Fault::Die(Death::Tab), 15),
    (Site::Begin, Fault::Unavailable, 100),
    (Site::Round, Fault::Wait(20), 300),
    (Site::Round, Fault::Die(Death::Tab), 10),
    (Site::Commit, Fault::Wait(50), 500),
    (Site::Commit, Fault::Die(Death::Tab), 40),
    (Site::Commit, Fault::Die(Death::Browser), 20),
    (Site::Commit, Fault::Full, 150),
    (Site::Commit, Fault::Abort, 200),
    (Site::Commit, Fault::Reconnect, 200),
    (Site::Committed, Fault::Die(Death::Tab), 60),
    (Site::Committed, Fault::Die(Death::Power), 30),
    (Site::Committed, Fault::Replay, 200),
    (Site::Committed, Fault::Wait(200), 500),
    (Site::Read, Fault::Wait(20), 300),
    (Site::Read, Fault::Unavailable, 60),
    (Site::Send, Fault::LoseRequest, 800),
    (Site::Send, Fault::LoseAnswer, 800),
    (Site::Send, Fault::Stall, 300),
    (Site::Send, Fault::Cut(0), 500),
    (Site::Send, Fault::Duplicate, 800),
    (Site::Send, Fault::LateDuplicate(120_000), 600),
    (Site::Send, Fault::Portal, 200),
    (Site::Send, Fault::Status(500, None), 200),
    (Site::Send, Fault::Status(503, Some(4_000)), 200),
    (Site::Send, Fault::Status(502, None), 200),
    (Site::Send, Fault::Status(429, Some(20_000)), 150),
    (Site::Send, Fault::Status(429, None), 150),
    (Site::Send, Fault::Status(401, None), 200),
    (Site::Send, Fault::Status(403, None), 60),
    (Site::Send, Fault::Status(413, None), 100),
    (Site::Send, Fault::ServerDiesBefore(15_000), 200),
    (Site::Send, Fault::ServerDiesAfter(15_000), 200),
    (Site::Send, Fault::ServerBusy, 200),
    (Site::Send, Fault::ServerUnsure, 200),
    (Site::Send, Fault::Wait(3_000), 500),
    (Site::Send, Fault::Die(Death::Tab), 60),
    (Site::Receive, Fault::Die(Death::Tab), 100),
    (Site::Receive, Fault::Die(Death::Browser), 40),
    (Site::Receive, Fault::Die(Death::Power), 40),
    (Site::Receive, Fault::Wait(2_000), 500),
    (Site::Token, Fault::NotNow, 300),
    (Site::Token, Fault::Expired, 300),
    (Site::Token, Fault::WrongUser, 150),
    (Site::Role, Fault::Die(Death::Tab), 40),
    (Site::Role, Fault::Wait(5_000), 100),
];

/// A row is damaged in at most so many of 10,000 transactions, in few of the runs: what then stands still is not tried.
const ROT_MAX: u64 = 20;

/// What people do in the runs of a swarm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workload {
    /// Everything.
    #[default]
    Usual,
    /// What is rare in the usual one happens all the time: work is carried, given up and sent again, devices are
    /// emptied, releases change, the server is restored. It finds in minutes what takes the usual one an hour.
    Eventful,
    /// They create records, nothing else, and nothing breaks. It must not pass for a test.
    Puts,
}

impl Workload {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Eventful => "eventful",
            Self::Puts => "puts",
        }
    }
    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Usual, Self::Eventful, Self::Puts].into_iter().find(|workload| workload.name() == name)
    }
}

/// The plan of a seed.
pub(crate) fn plan(seed: u64, workload: Workload) -> Plan {
    let mut random = Random::new(seed, 2);
    let devices: Vec<DevicePlan> = (0..random.between(1, 4)).map(|_| device(&mut random)).collect();
    let (mut databases, mut contexts) = (Vec::new(), Vec::new());
    let two_tenants = random.chance(250);
    for (at, device) in devices.iter().enumerate() {
        for number in 0..if random.chance(200) { 2 } else { 1 } {
            let tenant = if two_tenants && random.chance(500) { "klinik ü/\"2\"" } else { "clinic" };
            let user = if number == 1 || random.chance(300) { "ben" } else { "anna" };
            if databases.iter().any(|known: &DatabasePlan| known.device == at && known.tenant == tenant && known.user == user) {
                continue;
            }
            // Long enough for the way there and back: an impatient client on a slow line never gets an answer.
            let timeout_ms = [1_000, 5_000, 30_000][random.place(3)].max(device.latency_ms * 10);
            databases.push(DatabasePlan {
                device: at,
                tenant: tenant.to_owned(),
                user: user.to_owned(),
                batch_size: [1, 2, 5, 50, 50][random.place(5)],
                batch_max: [1_000, 1_000, 50, 3][random.place(4)],
                coalesce: random.chance(800),
                page_size: [1, 3, 10, 500][random.place(4)],
                poll_ms: [2_000, 10_000, 30_000][random.place(3)],
                timeout_ms,
            });
            for _ in 0..[1, 1, 2, 3][random.place(4)] {
                contexts.push(ContextPlan { database: databases.len() - 1, auto_sync: random.chance(800) });
            }
        }
    }
    let length = random.between(20_000, 240_000);
    let backups = random.chance(300) || workload == Workload::Eventful;
    let often = if workload == Workload::Eventful { 4 } else { 1 };
    let mut actions = actions(&mut random, contexts.len(), length, backups, often);
    decisions(&mut Random::new(seed, 6), contexts.len(), length, often, &mut actions);
    let declared = if workload == Workload::Puts { Declared::default() } else { Declared::draw(seed) };
    actions.extend(declared.days(seed, contexts.len(), length));
    actions.sort_by_key(|action| action.at);
    let mut faults = rates(&mut random);
    // From a source of its own: no other draw depends on it.
    let mut rotten = Random::new(seed, 4);
    if rotten.chance(100) {
        faults.0.push((Site::Begin, Fault::Rot, rotten.between(1, ROT_MAX)));
    }
    if workload == Workload::Puts {
        let creates = |action: &Action| matches!(action.what, What::Create { .. });
        actions.retain(creates);
        faults.0.clear();
    }
    let faults = Faults::Rates(faults);
    Plan {
        seed,
        devices,
        databases,
        contexts,
        actions,
        faults,
        heal_at: length + 1_000,
        backups,
        new_entity: workload != Workload::Puts,
        resolve_at_end: random.chance(500),
        declared,
        expected: Vec::new(),
    }
}

fn device(random: &mut Random) -> DevicePlan {
    let years = 365 * 24 * 3_600_000;
    let skew_ms = match random.below(6) {
        0 => -years,
        1 => years,
        2 => 90_000,
        3 => -3_000,
        _ => 0,
    };
    let drift_ppm = [0, 0, 200, -200, 50_000][random.place(5)];
    DevicePlan { skew_ms, drift_ppm, latency_ms: [2, 20, 20, 150, 600][random.place(5)] }
}

fn rates(random: &mut Random) -> Rates {
    let on = [0, 100, 250, 500][random.place(4)];
    let mut chosen = Vec::new();
    for (site, fault, most) in MENU {
        if random.chance(on) {
            chosen.push((*site, *fault, random.between(1, *most)));
        }
    }
    Rates(chosen)
}

fn actions(random: &mut Random, contexts: usize, length: u64, backups: bool, often: u64) -> Vec<Action> {
    let count = random.between(60, 400);
    // Weights of this run: some have no deletes, some no disasters.
    let deletes = random.below(3) * 30;
    let disasters = random.below(3) * 12;
    let resolves = random.below(3) * 20;
    let groups = random.below(3) * 20;
    let others = random.below(3) * 15 * often;
    let rarities = random.below(3) * 8 * often;
    let lineages = if backups { 15 * often } else { 0 };
    let mut actions: Vec<Action> = (0..count)
        .map(|_| {
            let at = random.below(length);
            let actor = Owner::try_from(random.place(contexts) + 1).unwrap_or(1);
            let drawn = random.below(1_000);
            let what = if drawn < disasters {
                disaster(random)
            } else if drawn < disasters + deletes {
                What::Delete { pick: random.next() }
            } else if drawn < disasters + deletes + resolves {
                What::Resolve { pick: random.next(), how: random.next() }
            } else if drawn < disasters + deletes + resolves + groups {
                What::Together { pick: random.next(), count: random.between(1, 5) }
            } else if drawn < disasters + deletes + resolves + groups + others {
                match random.below(6) {
                    0 | 1 => What::Retry { pick: random.next() },
                    2 => What::Discard { pick: random.next() },
                    3 => What::Carry { pick: random.next() },
                    4 => What::Pause,
                    _ => What::Resume,
                }
            } else if drawn < disasters + deletes + resolves + groups + others + rarities {
                rarity(random)
            } else if drawn < disasters + deletes + resolves + groups + others + rarities + lineages {
                if random.chance(600) { What::Backup } else { What::Restore }
            } else {
                match random.below(100) {
                    0..=37 => What::Create { entity: random.next(), links: random.next() },
                    38..=79 => What::Update { pick: random.next(), field: random.next() },
                    80..=85 => What::Get { pick: random.next() },
                    86..=94 => What::Query { entity: random.next() },
                    _ => What::Sync,
                }
            };
            Action { at, actor, what }
        })
        .collect();
    actions.sort_by_key(|action| action.at);
    actions
}

/// What people do about conflicts beside deciding on one. From a source of its own: no other draw depends on it.
fn decisions(random: &mut Random, contexts: usize, length: u64, often: u64, actions: &mut Vec<Action>) {
    let count = random.below(3) * random.below(20) * often;
    for _ in 0..count {
        let actor = Owner::try_from(random.place(contexts) + 1).unwrap_or(1);
        let what = match random.below(10) {
            0..=2 => What::TakeBack { pick: random.next(), undo: false },
            3 | 4 => What::TakeBack { pick: random.next(), undo: true },
            5 => What::ResolveMany { how: random.next() },
            6 | 7 => What::FetchConflicts,
            _ => What::Desk { pick: random.next(), how: random.next() },
        };
        actions.push(Action { at: random.below(length), actor, what });
    }
    actions.sort_by_key(|action| action.at);
}

fn rarity(random: &mut Random) -> What {
    match random.below(20) {
        0..=2 => What::SyncEntity { entity: random.next() },
        3..=5 => What::SyncOperation { pick: random.next() },
        6..=8 => What::Poison { links: random.next() },
        9 => What::Wipe(true),
        10 => What::Wipe(false),
        11 => What::Evict,
        12..=14 => What::Switch { pick: random.next() },
        15 | 16 => What::Upgrade,
        _ => What::Prune,
    }
}

fn disaster(random: &mut Random) -> What {
    match random.below(9) {
        0 => What::Close,
        1 => What::Freeze(random.between(500, 90_000)),
        2 => What::Kill(Death::Tab),
        3 => What::Kill(Death::Browser),
        4 => What::Kill(Death::Power),
        5 => What::Partition(random.between(500, 60_000), random.chance(500)),
        6 => What::ServerAway(random.between(500, 40_000)),
        7 => What::Jump(if random.chance(500) { 3_600_000 } else { -3_600_000 }),
        _ => What::ServerJump(if random.chance(500) { 86_400_000 } else { -86_400_000 }),
    }
}
