//! A plan that the shrinker made of a run with a planted bug: it breaks the promise with the bug, and only with it.
#![cfg(feature = "planted")]

use std::path::Path;

use fieldsync::planted::{Bug, plant};
use fieldsync_simulation::swarm::run_guarded;
use fieldsync_simulation::{Wanted, file};

#[test]
fn a_shrunk_plan_breaks_its_promise_with_the_bug_and_holds_without() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/planted-rejected-deleted.json");
    let kept = file::read(&path).expect("a plan");
    assert!(kept.plan.actions.len() <= 15, "{}", kept.plan.actions.len());
    assert_eq!(run_guarded(&kept.plan, Wanted::default()).violation, None);
    plant(Some(Bug::RejectedDeleted));
    let broken = run_guarded(&kept.plan, Wanted::default()).violation.map(|violation| violation.invariant);
    plant(None);
    assert_eq!(broken, Some(kept.invariant));
}
