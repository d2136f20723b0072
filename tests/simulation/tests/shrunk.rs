//! A plan that the shrinker made of a run with a planted bug: it breaks the promise with the bug, and only with it.
#![cfg(feature = "planted")]

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fieldsync::planted::{Bug, plant};
use fieldsync_simulation::found::{self, End, Found};
use fieldsync_simulation::swarm::{Many, run_guarded, run_many};
use fieldsync_simulation::{Wanted, Workload, file};

/// One bug is planted at a time, for the whole process.
static PLANTED: Mutex<()> = Mutex::new(());

#[test]
fn a_shrunk_plan_breaks_its_promise_with_the_bug_and_holds_without() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/planted-rejected-deleted.json");
    let kept = file::read(&path).expect("a plan");
    assert!(kept.plan.actions.len() <= 15, "{}", kept.plan.actions.len());
    let _alone = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(run_guarded(&kept.plan, Wanted::default()).violation, None);
    plant(Some(Bug::RejectedDeleted));
    let broken = run_guarded(&kept.plan, Wanted::default()).violation.map(|violation| violation.invariant);
    plant(None);
    assert_eq!(broken, Some(kept.invariant));
}

#[test]
fn what_many_seeds_broke_is_written_short_and_breaks_the_same_again() {
    let folder = std::env::temp_dir().join(format!("found-{}", std::process::id()));
    let _alone = PLANTED.lock().unwrap_or_else(PoisonError::into_inner);
    plant(Some(Bug::RejectedDeleted));
    let many = Many { first: 0, threads: 2, double: false, workload: Workload::Eventful, sqlite: false };
    let sum = run_many(many, |seed| seed < 40);
    let found: Vec<Found> = found::write(&sum.violations, Workload::Eventful, &folder, 200).expect("a folder").collect();
    let (seed, violation) = sum.violations.iter().min_by_key(|(seed, _)| *seed).expect("one of them breaks a promise");
    let mut broken: Vec<_> = sum.violations.iter().map(|(_, violation)| violation.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    assert_eq!(found.iter().map(|found| found.invariant).collect::<Vec<_>>(), broken, "one of each, and no other");
    assert!(found.iter().all(|found| matches!(found.end, End::Written { .. })), "{found:?}");
    let lowest = found.iter().find(|found| found.seed == *seed).expect("the lowest of all is the lowest of its promise");
    let End::Written { path, actions, .. } = &lowest.end else { panic!("{lowest:?}") };
    let kept = file::read(path).expect("a plan");
    assert_eq!(kept.plan.actions.len(), *actions);
    let broken = run_guarded(&kept.plan, Wanted::default()).violation;
    plant(None);
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(broken.map(|violation| violation.invariant), Some(violation.invariant));
    assert_eq!(run_guarded(&kept.plan, Wanted::default()).violation, None, "it is the bug that breaks it");
    let drawn = fieldsync_simulation::plan_with(*seed, Workload::Eventful).actions.len();
    assert!(kept.plan.actions.len() * 2 < drawn, "{} of {drawn} actions", kept.plan.actions.len());
}
