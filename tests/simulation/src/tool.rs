//! The commands of `simulate` beside seeds: scenarios, the exhaustive mode, plans on disk, shrinking.

use std::path::{Path, PathBuf};
use std::time::Instant;

use fieldsync_simulation::found::{self, End, Found};
use fieldsync_simulation::plan::Plan;
use fieldsync_simulation::scenarios::jepsen::{self, Nemesis};
use fieldsync_simulation::shrink::{self, Shrunk};
use fieldsync_simulation::swarm::run_guarded;
use fieldsync_simulation::{Violation, Wanted, Workload, exhaustive, file, scenarios};

/// So many broken runs of a scenario are printed.
const SHOWN_MAX: usize = 5;

/// What the transactions of the Jepsen suite may have read.
const READS: [&str; 2] = ["read of a causally whole state", "read ahead of what stood behind it"];

/// Runs every gate of the scenarios whose name holds this text; says whether all held.
#[allow(clippy::disallowed_methods, reason = "how long it really takes is printed")]
pub(crate) fn exhaust(part: Option<&str>, threads: usize) -> bool {
    let (mut gates, mut runs, mut held, begun) = (0, 0, true, Instant::now());
    let mut wanted = scenarios::all();
    wanted.retain(|scenario| scenario.name.contains(part.unwrap_or_default()));
    if wanted.is_empty() {
        return none_of_this_name();
    }
    for scenario in &wanted {
        let begun = Instant::now();
        let report = exhaustive::run(scenario, threads);
        let count: u64 = report.gates.values().sum();
        (gates, runs, held) = (gates + count, runs + report.runs, held && report.holds());
        println!(
            "{:<66} {count:>5} gates {:>6} runs {:>6.1} s  {:?}",
            report.name,
            report.runs,
            begun.elapsed().as_secs_f64(),
            report.gates
        );
        for missed in &report.missed {
            println!("  not reached: {missed}");
        }
        for (place, violation) in report.broken.iter().take(SHOWN_MAX) {
            let what: String = violation.what.chars().take(600).collect();
            println!("  {}: {:?}: {what}", exhaustive::again(report.name, *place), violation.invariant);
        }
        if report.broken.len() > SHOWN_MAX {
            println!("  and {} more", report.broken.len() - SHOWN_MAX);
        }
    }
    println!("{gates} gates, {runs} runs, {:.1} s on {threads} threads", begun.elapsed().as_secs_f64());
    held && runs > 0
}

/// Tells a scenario, with a fault at a gate if one is named, as JSON.
pub(crate) fn scenario(name: &str, disturbed: Option<&str>) -> bool {
    let Some(scenario) = scenarios::named(name) else {
        return none_of_this_name();
    };
    println!("{}: {}", scenario.name, scenario.story);
    let plan = match disturbed.map(serde_json::from_str) {
        None => scenario.plan,
        Some(Ok((gate, fault))) => exhaustive::with(&scenario.plan, gate, fault),
        Some(Err(error)) => {
            println!("no gate and fault: {error}");
            return false;
        }
    };
    tell(&plan)
}

fn none_of_this_name() -> bool {
    println!("there is no scenario of this name; there are:");
    scenarios::all().iter().for_each(|scenario| println!("  {}: {}", scenario.name, scenario.story));
    false
}

/// Runs the choreography of the public Jepsen suite so often with each nemesis; says whether all held.
pub(crate) fn jepsen(runs: u64) -> bool {
    let mut held = true;
    for nemesis in Nemesis::ALL {
        let (mut broken, mut reads) = (Vec::new(), [0; 2]);
        for seed in 1..=runs {
            let outcome = run_guarded(&jepsen::plan(seed, nemesis), Wanted::default());
            for (count, name) in reads.iter_mut().zip(READS) {
                *count += outcome.marks.get(name).copied().unwrap_or(0);
            }
            broken.extend(outcome.violation.map(|violation| (seed, violation)));
        }
        println!(
            "{:<20} {runs} runs, {} broken; {}",
            format!("{nemesis:?}"),
            broken.len(),
            READS.iter().zip(reads).map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
        );
        for (seed, violation) in broken.iter().take(SHOWN_MAX) {
            if runs == 1 {
                tell(&jepsen::plan(*seed, nemesis));
            }
            println!("  {seed}: {:?}: {}", violation.invariant, violation.what.chars().take(600).collect::<String>());
        }
        held &= broken.is_empty();
    }
    held
}

/// Tells the story of a plan in a file.
pub(crate) fn plan(path: &str) -> bool {
    match file::read(Path::new(path)) {
        Ok(kept) => {
            println!("{}", kept.why);
            tell(&kept.plan)
        }
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

/// Shrinks a run and writes it to a file, if one is named; says whether it broke no promise.
pub(crate) fn shrink(plan: &Plan, path: Option<&str>, runs_max: u32) -> bool {
    // A panic is a broken promise like others: once is enough to read of it.
    std::panic::set_hook(Box::new(|_| {}));
    let Some(shrunk) = shrink::shrink(plan, runs_max) else {
        println!("it breaks no promise");
        return true;
    };
    let Shrunk { plan, runs, .. } = &shrunk;
    tell(plan);
    println!("{} contexts, {} actions, {:?}, after {runs} runs", plan.contexts.len(), plan.actions.len(), plan.faults);
    if let Some(path) = path {
        let written = file::write(Path::new(path), &found::kept(shrunk));
        println!("{}", written.map_or_else(|error| error, |()| format!("written to {path}")));
    }
    false
}

/// Shrinks one run of each promise that was broken, and writes it into a folder.
pub(crate) fn keep(violations: &[(u64, Violation)], workload: Workload, folder: Option<&str>, runs_max: u32) {
    std::panic::set_hook(Box::new(|_| {}));
    let beside = std::env::current_exe().ok().and_then(|tool| Some(tool.parent()?.join("found")));
    let folder = folder.map(PathBuf::from).or(beside).unwrap_or_else(|| PathBuf::from("found"));
    let all = match found::write(violations, workload, &folder, runs_max) {
        Ok(all) => all,
        Err(error) => return println!("{error}"),
    };
    for Found { invariant, seed, end } in all {
        match end {
            End::Holds => println!("{invariant:?}: seed {seed}, run alone and over memory, breaks no promise"),
            End::Written { path, actions, runs } => {
                println!("{invariant:?}: seed {seed}, {actions} actions after {runs} runs, written to {}", path.display());
            }
            End::Lost(error) => println!("{error}"),
        }
    }
}

/// Runs a plan and tells its story; says whether no promise was broken.
pub(crate) fn tell(plan: &Plan) -> bool {
    let outcome = run_guarded(plan, Wanted { story: true, ..Wanted::default() });
    outcome.story.iter().for_each(|line| println!("{line}"));
    println!("marks: {:?}", outcome.marks);
    match outcome.violation {
        Some(violation) => {
            println!("{:?} is broken: {}", violation.invariant, violation.what);
            false
        }
        None => true,
    }
}
