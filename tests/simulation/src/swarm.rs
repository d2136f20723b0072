//! Many seeds: one world for each, on all cores, and the sum of what they did.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::draw::Workload;
use crate::run::{Outcome, Wanted, run};
use crate::sim::{Invariant, Violation};

/// The sum over many runs.
#[derive(Debug, Default)]
pub struct Sum {
    /// The first seed; the others follow it.
    pub first: u64,
    /// Runs.
    pub seeds: u64,
    /// Calls of apps.
    pub operations: u64,
    /// Operations reported saved.
    pub saved: u64,
    /// Operations that took effect.
    pub effects: u64,
    /// Virtual time, ms.
    pub virtual_ms: u64,
    /// Polls.
    pub turns: u64,
    /// Runs that were made twice.
    pub doubled: u64,
    /// By invariant.
    pub checks: BTreeMap<Invariant, u64>,
    /// By name.
    pub marks: BTreeMap<&'static str, u64>,
    /// By name.
    pub faults: BTreeMap<&'static str, u64>,
    /// Seeds that broke a promise.
    pub violations: Vec<(u64, Violation)>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.seeds += 1;
        self.operations += outcome.operations;
        self.saved += outcome.saved;
        self.effects += outcome.effects;
        self.virtual_ms += outcome.virtual_ms;
        self.turns += outcome.turns;
        for (invariant, count) in outcome.checks {
            *self.checks.entry(invariant).or_insert(0) += count;
        }
        for (name, count) in outcome.marks {
            *self.marks.entry(name).or_insert(0) += count;
        }
        for (name, count) in outcome.faults {
            *self.faults.entry(name).or_insert(0) += count;
        }
        if let Some(violation) = outcome.violation {
            self.violations.push((seed, violation));
        }
    }
}

/// Runs one seed. A panic of the engine or the server is a broken promise.
pub fn run_seed(seed: u64, wanted: Wanted) -> Outcome {
    run_guarded(&crate::plan_of(seed), wanted)
}

/// Runs a plan; a panic is a broken promise.
pub fn run_guarded(plan: &crate::plan::Plan, wanted: Wanted) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| run(plan, wanted))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = format!("panic: {}", text.unwrap_or_default());
        Outcome { violation: Some(Violation { invariant: Invariant::Sound, what }), ..Outcome::default() }
    })
}

/// Which seeds are run, and how.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    /// From this seed on.
    pub first: u64,
    /// On so many threads.
    pub threads: usize,
    /// Each tenth twice.
    pub double: bool,
    /// With this workload.
    pub workload: Workload,
    /// All twice: with the server's database in SQLite and in memory.
    pub sqlite: bool,
}

/// Runs seeds until `go_on` says no.
pub fn run_many(many: Many, go_on: impl Fn(u64) -> bool + Sync) -> Sum {
    let Many { first, threads, double, workload, sqlite } = many;
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum { first, ..Sum::default() });
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if !go_on(seed) {
                        return;
                    }
                    let plan = crate::plan_with(seed, workload);
                    let outcome = run_guarded(&plan, Wanted { sqlite, ..Wanted::default() });
                    let mut again = None;
                    if sqlite || double && seed.is_multiple_of(10) {
                        let second = run_guarded(&plan, Wanted::default());
                        again = Some(second.digest == outcome.digest && second.turns == outcome.turns);
                    }
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    sum.add(seed, outcome);
                    if let Some(same) = again {
                        sum.doubled += 1;
                        if !same {
                            let what = "two runs of this seed differ".to_owned();
                            sum.violations.push((seed, Violation { invariant: Invariant::Sound, what }));
                        }
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}
