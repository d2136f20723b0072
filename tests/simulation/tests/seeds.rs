//! A few fixed seeds, run with every change: each twice, with the same trace.

use fieldsync_simulation::swarm::run_seed;
use fieldsync_simulation::{Invariant, Wanted};

#[test]
fn fixed_seeds_break_no_promise_and_run_twice_alike() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] {
        let first = run_seed(seed, Wanted::default());
        assert_eq!(first.violation, None, "seed {seed}");
        let second = run_seed(seed, Wanted::default());
        assert_eq!((first.digest, first.turns), (second.digest, second.turns), "seed {seed} runs differently the second time");
    }
}

#[test]
fn runs_check_what_they_claim_to_check() {
    let mut checks = std::collections::BTreeMap::new();
    // Several tenants come by a fourth of them.
    for seed in 1..=24 {
        for (invariant, count) in run_seed(seed, Wanted::default()).checks {
            *checks.entry(invariant).or_insert(0) += count;
        }
    }
    let claimed = {
        use Invariant::{I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I14, I15, I16, I20, I21};
        [I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I14, I15, I16, I20, I21]
    };
    for invariant in claimed {
        assert!(checks.get(&invariant).is_some_and(|count| *count > 0), "{invariant:?} was never looked at");
    }
}
