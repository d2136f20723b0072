//! Every scenario, disturbed at every gate that it passes, comes to the end that it names.

use std::collections::BTreeMap;

use fieldsync_simulation::fault::{Death, Fault, Gate, Site};
use fieldsync_simulation::scenarios::Scenario;
use fieldsync_simulation::{Violation, exhaustive, scenarios};

/// Two cores are what the smallest machine has that runs the tests.
const THREADS: usize = 2;

#[test]
fn every_scenario_survives_every_death_and_failure_at_every_gate() {
    let mut sites: BTreeMap<Site, u64> = BTreeMap::new();
    let mut names = Vec::new();
    for scenario in &scenarios::all() {
        let report = exhaustive::run(scenario, THREADS);
        assert!(report.missed.is_empty(), "{}: {:?}", report.name, report.missed);
        let told = |(place, violation): &(_, Violation)| format!("{}: {violation:?}", exhaustive::again(report.name, *place));
        let first: Vec<String> = report.broken.iter().take(3).map(told).collect();
        assert!(report.broken.is_empty(), "{} of {} runs: {}", report.broken.len(), report.runs, first.join("\n"));
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

#[test]
fn what_is_printed_of_a_broken_run_names_it_to_a_shell() {
    for Scenario { name, .. } in scenarios::all() {
        assert_eq!(exhaustive::again(name, None), format!("--scenario '{name}'"));
        assert!(!name.contains('\''), "{name}: the shell would end the name there");
    }
    for site in Site::ALL {
        for fault in exhaustive::at(site) {
            let gate = Gate { actor: 2, site, number: 7 };
            let line = exhaustive::again("twice in one", Some((gate, *fault)));
            let quoted: Vec<&str> = line.split('\'').collect();
            let ["--scenario ", "twice in one", " --disturbed ", place, ""] = quoted[..] else { panic!("{line}") };
            assert_eq!(serde_json::from_str::<(Gate, Fault)>(place).expect("a gate and a fault"), (gate, *fault));
        }
    }
}
