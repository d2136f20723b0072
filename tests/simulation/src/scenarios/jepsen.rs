//! The choreography of the public Jepsen suite for PowerSync (nurturenature/jepsen-powersync: README, the fuzzer
//! powersync_endpoint/bin/powersync_fuzz.dart, its nemeses and its causal checker), told again in our world.
//! Every client runs transactions that read all keys and write some, with values that grow. A nemesis comes and
//! goes at random intervals and takes any number of the clients. At the end everything works, nobody writes,
//! all queues drain, and every client must read the same as the server.

use serde_json::json;

use super::stage::{OPEN, Stage, create};
use crate::fault::Death;
use crate::plan::{Plan, What};
use crate::random::Random;
use crate::script::Step;

/// What disturbs the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nemesis {
    /// Nothing.
    Nothing,
    /// Clients disconnect from the service, and the same ones connect again.
    DisconnectOrderly,
    /// Clients disconnect, and any ones connect.
    DisconnectRandom,
    /// Clients are closed, and started again on the same database.
    StopStart,
    /// Processes are paused, and go on.
    PauseResume,
    /// The network drops what clients send, what they would get, or both.
    Partition,
    /// Processes are killed, and started again on the same database.
    KillStart,
}

impl Nemesis {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::DisconnectOrderly,
        Self::DisconnectRandom,
        Self::StopStart,
        Self::PauseResume,
        Self::Partition,
        Self::KillStart,
    ];

    /// What is counted when it takes hold of a client.
    pub fn acts(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::DisconnectOrderly | Self::DisconnectRandom => Some("sending paused"),
            Self::StopStart => Some("context closed"),
            Self::PauseResume => Some("context frozen"),
            Self::Partition => Some("request met no network"),
            Self::KillStart => Some("tab died"),
        }
    }
}

/// Clients, as in the smaller of the suite's runs.
const CLIENTS: usize = 5;
/// Keys; the suite has 100, we draw 4 of fewer so that transactions meet.
const KEYS: u64 = 12;
/// Records that a transaction writes at most.
const WRITES_MAX: u64 = 4;
/// Transactions of all clients together in a second.
const RATE: u64 = 10;
/// How long they go on, ms.
const LENGTH: u64 = 20_000;
/// A nemesis comes and goes at intervals of up to this, ms.
const INTERVAL: u64 = 4_000;

/// A run of the suite.
pub fn plan(seed: u64, nemesis: Nemesis) -> Plan {
    let mut random = Random::new(seed, 31);
    let mut stage = Stage::new(OPEN + LENGTH + 8_000);
    stage.plan.seed = seed;
    let clients: Vec<u32> = (0..CLIENTS).map(|client| stage.device(&format!("user {client}"))).collect();
    let keys: Vec<String> = (0..KEYS).map(|key| format!("key {key}")).collect();
    for client in &clients {
        stage.settings(*client).poll_ms = 1_000;
    }
    stage.step(OPEN, 1, Step::Together(keys.iter().map(|key| create("tag", key, json!({"value": 0}))).collect()));
    for client in &clients {
        for key in &keys {
            stage.see(OPEN, *client, key, json!({}));
        }
    }
    // Everybody has the keys before the first transaction.
    let begin = OPEN + 3_000;
    for number in 1..=LENGTH * RATE / 1_000 {
        let mut write: Vec<String> = (0..random.between(1, WRITES_MAX)).map(|_| keys[random.place(keys.len())].clone()).collect();
        write.sort_unstable();
        write.dedup();
        let client = clients[random.place(clients.len())];
        let step = Step::ReadAllWriteSome { entity: "tag".to_owned(), write, value: number };
        stage.step(begin + number * 1_000 / RATE, client, step);
    }
    let mut at = begin + random.below(INTERVAL);
    while nemesis != Nemesis::Nothing && at < begin + LENGTH {
        let wait = random.between(1, INTERVAL);
        let some = |random: &mut Random| -> Vec<u32> { clients.iter().copied().filter(|_| random.chance(500)).collect() };
        for client in some(&mut random) {
            match nemesis {
                Nemesis::Nothing => {}
                Nemesis::DisconnectOrderly => {
                    stage.at(at, client, What::Pause);
                    stage.at(at + wait, client, What::Resume);
                }
                Nemesis::DisconnectRandom => stage.at(at, client, What::Pause),
                Nemesis::StopStart => stage.at(at, client, What::Close),
                Nemesis::PauseResume => stage.at(at, client, What::Freeze(wait)),
                Nemesis::Partition => stage.at(at, client, What::Partition(wait, random.chance(500))),
                Nemesis::KillStart => stage.at(at, client, What::Kill(Death::Tab)),
            }
        }
        if nemesis == Nemesis::DisconnectRandom {
            for client in some(&mut random) {
                stage.at(at + wait, client, What::Resume);
            }
        }
        at += wait + random.between(1, INTERVAL);
    }
    stage.end("jepsen", "").plan
}
