//! The tester tested: every bug that can be planted, and by what it is found: a scenario, a plan that once broke a
//! promise, or a seed of the usual workload.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fieldsync::planted::{Bug, plant};

use crate::file;
use crate::plan::Plan;
use crate::plan_of;
use crate::run::Wanted;
use crate::scenarios;
use crate::sim::Violation;
use crate::swarm::{run_guarded, run_seed};

/// So many seeds may pass before a planted bug is found.
pub const BUDGET: u64 = 600;

/// What became of one bug.
#[derive(Clone, Debug)]
pub struct Kill {
    /// The bug.
    pub bug: Bug,
    /// What it does.
    pub what: &'static str,
    /// The scenario, the kept plan or the first seed that found it, and what was broken; nothing if it lives.
    pub found: Option<(String, Violation)>,
}

/// A run that broke a promise with a bug planted.
struct Found {
    by: String,
    plan: Plan,
    violation: Violation,
}

impl Found {
    fn run(by: &str, plan: &Plan) -> Option<Self> {
        let violation = run_guarded(plan, Wanted::default()).violation?;
        Some(Self { by: by.to_owned(), plan: plan.clone(), violation })
    }
}

/// Plants one bug after the other and runs scenarios, kept plans and seeds from 0 on until one breaks a promise. No
/// other world may run in this process meanwhile.
pub fn kill(wanted: impl Fn(Bug) -> bool, threads: usize, mut told: impl FnMut(&Kill)) -> Vec<Kill> {
    let mut kills = Vec::new();
    for (bug, what) in Bug::ALL.iter().filter(|(bug, _)| wanted(*bug)) {
        plant(Some(*bug));
        let found = told_by_a_scenario().or_else(told_by_a_plan).or_else(|| told_by_a_seed(threads));
        plant(None);
        // What fails without the bug too has not found it.
        let holds = |found: &Found| run_guarded(&found.plan, Wanted::default()).violation.is_none();
        let found = found.filter(holds).map(|found| (found.by, found.violation));
        let kill = Kill { bug: *bug, what: what.trim(), found };
        told(&kill);
        kills.push(kill);
    }
    kills
}

/// The first scenario that comes to another end, undisturbed.
fn told_by_a_scenario() -> Option<Found> {
    scenarios::all().iter().find_map(|scenario| Found::run(scenario.name, &scenario.plan))
}

/// The first kept plan that breaks a promise.
fn told_by_a_plan() -> Option<Found> {
    let plans = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(plans).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort_unstable();
    paths.iter().find_map(|path| Found::run(&path.file_stem()?.to_string_lossy(), &file::read(path).ok()?.plan))
}

/// The lowest seed that does.
fn told_by_a_seed(threads: usize) -> Option<Found> {
    let (seed, violation) = hunt(threads)?;
    Some(Found { by: format!("seed {seed}"), plan: plan_of(seed), violation })
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
