//! Exhaustive mode: a scenario is run once to count its gates, and then once for every gate and everything that
//! can go wrong there: the tab dies, the device loses its power, the call fails, the server dies before or after
//! its commit. Each run is then healed, brought to rest and checked like any other, and must come to the end
//! that the script names, as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::fault::{Death, Fault, Faults, Gate, Site};
use crate::plan::Plan;
use crate::run::Wanted;
use crate::scenarios::Scenario;
use crate::script::{DONE, READ_AGAIN};
use crate::sim::Violation;
use crate::swarm::run_guarded;

/// Everything that can go wrong at a gate.
pub fn at(site: Site) -> &'static [Fault] {
    match site {
        Site::Begin => &[Fault::Die(Death::Tab), Fault::Unavailable],
        Site::Round => &[Fault::Die(Death::Tab), Fault::Abort],
        Site::Commit => {
            &[Fault::Die(Death::Tab), Fault::Die(Death::Browser), Fault::Die(Death::Power), Fault::Full, Fault::Abort, Fault::Reconnect]
        }
        Site::Committed => &[Fault::Die(Death::Tab), Fault::Die(Death::Browser), Fault::Die(Death::Power), Fault::Replay],
        Site::Read => &[Fault::Die(Death::Tab), Fault::Unavailable],
        Site::Send => &[
            Fault::Die(Death::Tab),
            Fault::LoseRequest,
            Fault::LoseAnswer,
            Fault::Stall,
            Fault::Cut(500),
            Fault::Duplicate,
            Fault::LateDuplicate(2_000),
            Fault::Status(500, None),
            Fault::ServerDiesBefore(1_000),
            Fault::ServerDiesAfter(1_000),
            Fault::ServerBusy,
            Fault::ServerUnsure,
        ],
        Site::Receive => &[Fault::Die(Death::Tab), Fault::Die(Death::Power)],
        Site::Token => &[Fault::Die(Death::Tab), Fault::NotNow, Fault::Expired],
        Site::Role => &[Fault::Die(Death::Tab)],
    }
}

/// What the runs of one scenario came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Its name.
    pub name: &'static str,
    /// Gates of the undisturbed run, by site.
    pub gates: BTreeMap<Site, u64>,
    /// Runs.
    pub runs: u64,
    /// What the undisturbed run did not reach, or reached and must not.
    pub missed: Vec<String>,
    /// Runs that broke a promise: where, by what, which.
    pub broken: Vec<(Option<(Gate, Fault)>, Violation)>,
}

impl Report {
    /// Whether all was as it must be.
    pub fn holds(&self) -> bool {
        self.missed.is_empty() && self.broken.is_empty()
    }
}

/// The plan of a scenario with one thing more going wrong.
pub fn with(plan: &Plan, gate: Gate, fault: Fault) -> Plan {
    let mut list = match &plan.faults {
        Faults::List(list) => list.clone(),
        Faults::Rates(_) => Vec::new(),
    };
    list.retain(|(known, _)| *known != gate);
    list.push((gate, fault));
    Plan { faults: Faults::List(list), ..plan.clone() }
}

/// What `simulate` is asked to run one of these again, ready for a shell: in single quotes, which neither a scenario's
/// name nor a gate and a fault as JSON contain.
pub fn again(name: &str, place: Option<(Gate, Fault)>) -> String {
    let disturbed = place.map(|(gate, fault)| format!(" --disturbed '{}'", json!([gate, fault])));
    format!("--scenario '{name}'{}", disturbed.unwrap_or_default())
}

/// Runs a scenario undisturbed; gives the gates that it passes.
fn undisturbed(scenario: &Scenario, report: &mut Report) -> Vec<Gate> {
    let outcome = run_guarded(&scenario.plan, Wanted { gates: true, ..Wanted::default() });
    let reached = |name: &str| outcome.marks.get(name).or(outcome.faults.get(name)).copied().unwrap_or(0);
    for (name, times) in scenario.needs.iter().chain(&[(DONE, 1), (READ_AGAIN, 1)]) {
        if reached(name) < *times {
            report.missed.push(format!("{name}: {} of {times}", reached(name)));
        }
    }
    report.missed.extend(scenario.never.iter().filter(|name| reached(name) > 0).map(|name| format!("{name} must not happen")));
    for gate in &outcome.passed {
        *report.gates.entry(gate.site).or_insert(0) += 1;
    }
    report.runs += 1;
    report.broken.extend(outcome.violation.map(|violation| (None, violation)));
    outcome.passed
}

/// Runs a scenario and all its disturbances on so many threads.
pub fn run(scenario: &Scenario, threads: usize) -> Report {
    let mut report = Report { name: scenario.name, ..Report::default() };
    let passed = undisturbed(scenario, &mut report);
    let work: Vec<(Gate, Fault)> = passed.iter().flat_map(|gate| at(gate.site).iter().map(move |fault| (*gate, *fault))).collect();
    let (next, broken) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((gate, fault)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run_guarded(&with(&scenario.plan, *gate, *fault), Wanted::default());
                    if let Some(violation) = outcome.violation {
                        broken.lock().unwrap_or_else(PoisonError::into_inner).push((Some((*gate, *fault)), violation));
                    }
                }
            });
        }
    });
    report.runs += work.len() as u64;
    let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    broken.sort_by_key(|(place, _)| place.map(|(gate, _)| gate));
    report.broken.extend(broken);
    report
}
