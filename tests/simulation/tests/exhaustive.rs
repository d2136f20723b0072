//! Every scenario, disturbed at every gate that it passes, comes to the end that it names.

use std::collections::BTreeMap;

use fieldsync_simulation::fault::{Death, Fault, Site};
use fieldsync_simulation::{exhaustive, scenarios};

/// Two cores are what the smallest machine has that runs the tests.
const THREADS: usize = 2;

#[test]
fn every_scenario_survives_every_death_and_failure_at_every_gate() {
    let mut sites: BTreeMap<Site, u64> = BTreeMap::new();
    let mut names = Vec::new();
    for scenario in &scenarios::all() {
        let report = exhaustive::run(scenario, THREADS);
        assert!(report.missed.is_empty(), "{}: {:?}", report.name, report.missed);
        let first: Vec<_> = report.broken.iter().take(3).collect();
        assert!(report.broken.is_empty(), "{}: {} of {} runs: {first:?}", report.name, report.broken.len(), report.runs);
        assert!(report.runs > report.gates.values().sum::<u64>(), "{}: at least one disturbance for each gate", report.name);
        report.gates.into_iter().for_each(|(site, count)| *sites.entry(site).or_insert(0) += count);
        names.push(report.name);
    }
    assert!(names.len() >= 21, "{names:?}");
    assert!(Site::ALL.iter().all(|site| sites.get(site).is_some_and(|count| *count > 50)), "{sites:?}");
}

#[test]
fn a_tab_can_die_everywhere_and_a_device_lose_its_power_around_every_commit() {
    for site in Site::ALL {
        assert!(exhaustive::at(site).contains(&Fault::Die(Death::Tab)), "{site:?}");
    }
    for site in [Site::Commit, Site::Committed] {
        assert!(exhaustive::at(site).contains(&Fault::Die(Death::Power)), "{site:?}");
    }
}
