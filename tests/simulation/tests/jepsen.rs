//! The choreography of the public Jepsen suite for PowerSync: every nemesis, several times.

use fieldsync_simulation::fault::Faults;
use fieldsync_simulation::scenarios::jepsen::{Nemesis, plan};
use fieldsync_simulation::swarm::run_guarded;
use fieldsync_simulation::{Invariant, Wanted};

/// Runs of each nemesis.
const RUNS: u64 = 2;

#[test]
fn all_clients_converge_whatever_the_nemesis() {
    for nemesis in Nemesis::ALL {
        for seed in 1..=RUNS {
            let plan = plan(seed, nemesis);
            assert_eq!(plan.faults, Faults::List(Vec::new()), "only the nemesis disturbs");
            let outcome = run_guarded(&plan, Wanted::default());
            assert_eq!(outcome.violation, None, "{nemesis:?} {seed}");
            assert!(outcome.saved > 200, "{nemesis:?} {seed}: {} writes", outcome.saved);
            let checked = outcome.checks.get(&Invariant::I10).copied().unwrap_or(0);
            let all: Vec<&str> = Nemesis::ALL.iter().filter_map(|nemesis| nemesis.acts()).collect();
            for acts in all {
                let acted = outcome.marks.contains_key(acts);
                assert_eq!(acted, nemesis.acts() == Some(acts), "{nemesis:?} {seed}: {acts}: {:?}", outcome.marks);
            }
            let reads = ["read of a causally whole state", "read ahead of what stood behind it"];
            let read: u64 = reads.iter().filter_map(|name| outcome.marks.get(name)).sum();
            assert!(read > 150, "{nemesis:?} {seed}: every read is compared with what was read before, {read}");
            assert!(checked >= 5 * 12, "{nemesis:?} {seed}: every client's every key is compared at the end, {checked}");
        }
    }
}
