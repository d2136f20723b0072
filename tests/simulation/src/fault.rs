//! What can go wrong, and where. A fault happens at a gate: one actor's passage of one site, counted. Which ones happen
//! is part of the plan: drawn by rates, or listed.

use serde::{Deserialize, Serialize};

use crate::executor::Owner;
use crate::random::{Random, mix};

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
