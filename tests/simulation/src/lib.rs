//! The deterministic simulator: the engine that ships and the server's production handlers, run through
//! lifetimes of devices, tabs, networks and people that one number decides.
//!
//! A [`plan`] is drawn from a seed; [`run`] runs it on one thread in virtual time; the oracles say which
//! promise broke, if one did. The same plan gives the same run, always.

mod act;
mod carried;
mod conflicts;
pub mod declared;
mod draw;
mod executor;
pub mod exhaustive;
pub mod fault;
pub mod file;
pub mod found;
#[cfg(feature = "planted")]
pub mod kill;
pub mod marks;
mod oracle;
pub mod plan;
mod products;
mod random;
pub mod run;
pub mod scenarios;
pub mod script;
mod seams;
pub mod shrink;
mod sim;
pub mod swarm;
mod table;
mod user;
mod world;

pub use draw::Workload;
pub use run::{Outcome, Wanted};
pub use sim::{Invariant, Violation};

/// The plan of a seed with the usual workload.
pub fn plan_of(seed: u64) -> plan::Plan {
    draw::plan(seed, Workload::Usual)
}

/// The plan of a seed with another workload.
pub fn plan_with(seed: u64, workload: Workload) -> plan::Plan {
    draw::plan(seed, workload)
}
