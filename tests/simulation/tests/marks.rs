//! The marks themselves: a workload that never comes by what is rare must fail them, and the list must name
//! what is counted.

use fieldsync_simulation::Workload;
use fieldsync_simulation::marks::{MARKS, missing};
use fieldsync_simulation::swarm::{Many, run_many};

fn run(workload: Workload, seeds: u64) -> fieldsync_simulation::swarm::Sum {
    run_many(Many { first: 0, threads: 2, double: false, workload, sqlite: false }, |seed| seed < seeds)
}

#[test]
fn plain_creates_without_a_fault_prove_nothing() {
    let sum = run(Workload::Puts, 60);
    assert!(sum.violations.is_empty(), "{:?}", sum.violations);
    assert!(sum.effects > 1_000, "they do take effect: {}", sum.effects);
    // As if there had been a million of them: more of the same reaches nothing else.
    let missing = missing(1_000_000, &sum.marks);
    assert!(missing.len() > MARKS.len() / 2, "plain creates came by all but {missing:?}");
}

#[test]
fn whatever_is_counted_stands_in_the_list_of_marks() {
    let sum = run(Workload::Usual, 40);
    for name in sum.marks.keys() {
        assert!(MARKS.iter().any(|mark| mark.name == *name), "'{name}' is counted and not in the list");
    }
    for mark in MARKS {
        assert!(MARKS.iter().filter(|other| other.name == mark.name).count() == 1, "'{}' stands there twice", mark.name);
    }
}
