//! The tester tested: every bug that can be planted, and how many seeds it took to find it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fieldsync::planted::{Bug, plant};

use crate::run::Wanted;
use crate::scenarios::{self, Scenario};
use crate::sim::Violation;
use crate::swarm::{run_guarded, run_seed};

/// So many seeds may pass before a planted bug is found.
pub const BUDGET: u64 = 600;

/// Bugs that no oracle has found yet: what they break needs a rarer meeting than the usual workload brings about, or
/// another guard stands behind the one that they take away. A bug that is found leaves this list.
pub const ALIVE: &[Bug] = &[
    Bug::AnnulledThoughNamed,
    Bug::OutcomeUnguarded,
    Bug::OlderPageApplied,
    Bug::CheckpointOverEpochs,
    Bug::NotSentAgain,
    Bug::SettledEarly,
    Bug::GoneKept,
    Bug::ResyncOverEdits,
    Bug::ResolvedOnOldState,
    Bug::ScopeMovesAll,
    Bug::GroupBroken,
    Bug::FollowersUnjudged,
    Bug::ServerNoReceipt,
    Bug::ServerResurrects,
    Bug::ServerForgottenIgnored,
    Bug::ServerNumbersAgain,
    Bug::ServerAllDurable,
    Bug::ServerAnswersFirst,
];

/// What became of one bug.
#[derive(Clone, Debug)]
pub struct Kill {
    /// The bug.
    pub bug: Bug,
    /// What it does.
    pub what: &'static str,
    /// The scenario or the first seed that found it, and what was broken; nothing if it lives.
    pub found: Option<(String, Violation)>,
}

/// Plants one bug after the other and runs seeds from 0 on until one breaks a promise. No other world may run in
/// this process meanwhile.
pub fn kill(wanted: impl Fn(Bug) -> bool, threads: usize, mut told: impl FnMut(&Kill)) -> Vec<Kill> {
    let mut kills = Vec::new();
    for (bug, what) in Bug::ALL.iter().filter(|(bug, _)| wanted(*bug)) {
        plant(Some(*bug));
        let kill = Kill {
            bug: *bug,
            what: what.trim(),
            found: told_by_a_scenario().or_else(|| hunt(threads).map(|(seed, violation)| (format!("seed {seed}"), violation))),
        };
        plant(None);
        told(&kill);
        kills.push(kill);
    }
    kills
}

/// The first scenario that comes to another end, undisturbed.
fn told_by_a_scenario() -> Option<(String, Violation)> {
    let broken = |scenario: &Scenario| run_guarded(&scenario.plan, Wanted::default()).violation;
    scenarios::all().iter().find_map(|scenario| broken(scenario).map(|violation| (scenario.name.to_owned(), violation)))
}

/// The lowest seed of the budget that breaks a promise.
fn hunt(threads: usize) -> Option<(u64, Violation)> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let found: Mutex<Option<(u64, Violation)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= BUDGET {
                        return;
                    }
                    let Some(violation) = run_seed(seed, Wanted::default()).violation else { continue };
                    stop.store(true, Ordering::Relaxed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if found.as_ref().is_none_or(|(known, _)| seed < *known) {
                        *found = Some((seed, violation));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}
