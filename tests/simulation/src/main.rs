//! `simulate`: tells the story of one seed, or runs many and prints what they did.
//!
//! `--seed S` · `--seeds A..B` · `--minutes N` (fresh ones; or `--from A`) · `--threads N` · `--single` (no seed twice) ·
//! `--workload usual|eventful|puts` · `--marks` (demand every mark, however short the run) · `--to DIR` (for what broke) ·
//! `--seed S --shrink [--to FILE] [--runs N]` · `--plan FILE` · `--exhaustive [NAME]` ·
//! `--sqlite` (the server's database in a real file; with `--seeds` and `--minutes` compared with memory) ·
//! `--scenario NAME [--disturbed GATE-AND-FAULT]` · `--jepsen [RUNS]` · `--bugs [--bug NAME]` ·
//! `--bug NAME` (anything else with it planted)

#![allow(clippy::print_stdout, reason = "a terminal tool speaks on stdout")]

mod arguments;
mod tool;

use arguments::{Arguments, range};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fieldsync_simulation::marks::{ALL, MARKS, Mark, missing};
use fieldsync_simulation::swarm::{Many, Sum, run_guarded, run_many};
use fieldsync_simulation::{Wanted, Workload, plan_with};

/// Rows and messages are many small pieces of memory.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "simulate --seed S [--shrink [--to FILE] [--runs N]] | --seeds A..B | --minutes N [--from A] | --plan FILE |
  --exhaustive [NAME] | --scenario NAME [--disturbed GATE-AND-FAULT] | --jepsen [RUNS] | --bugs [--bug NAME]
  with [--threads N] [--sqlite] [--workload usual|eventful|puts]; many seeds with [--single] [--marks] [--to DIR] [--runs N];
  all but --bugs with [--bug NAME] planted";

/// So many violations of each invariant are printed.
const SHOWN_MAX: u32 = 3;

#[allow(clippy::disallowed_methods, reason = "how long it really takes is what is measured here")]
fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            println!("{why}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(why) = arguments.no_bug(&bug_names()) {
        println!("{why}");
        return ExitCode::FAILURE;
    }
    #[cfg(feature = "planted")]
    if let (Some(name), false) = (arguments.text("--bug"), arguments.has("--bugs")) {
        fieldsync::planted::plant(bug_named(name));
    }
    let name = arguments.text("--workload").unwrap_or(Workload::Usual.name());
    let Some(workload) = Workload::named(name) else {
        println!("there is no workload '{name}'");
        return ExitCode::FAILURE;
    };
    let sqlite = arguments.has("--sqlite");
    let runs_max = arguments.number("--runs").map_or(3_000, |runs| u32::try_from(runs).unwrap_or(u32::MAX));
    if let (Some(seed), true) = (arguments.number("--seed"), arguments.has("--shrink")) {
        return code(tool::shrink(&plan_with(seed, workload), arguments.text("--to"), runs_max));
    }
    if let Some(seed) = arguments.number("--seed") {
        return tell(seed, workload, sqlite);
    }
    let threads = arguments.number("--threads").and_then(|threads| usize::try_from(threads).ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    #[cfg(feature = "planted")]
    if arguments.has("--bugs") {
        return bugs(arguments.text("--bug"), threads);
    }
    if arguments.has("--exhaustive") {
        return code(tool::exhaust(arguments.text("--exhaustive"), threads));
    }
    if let Some(name) = arguments.text("--scenario") {
        return code(tool::scenario(name, arguments.text("--disturbed")));
    }
    if arguments.has("--jepsen") {
        return code(tool::jepsen(arguments.number("--jepsen").unwrap_or(10)));
    }
    if let Some(path) = arguments.text("--plan") {
        return code(tool::plan(path));
    }
    let begun = Instant::now();
    // Fresh ones, unless somebody names where to begin.
    let clock = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let first = arguments.number("--from").unwrap_or_else(clock);
    let many = |first| Many { first, threads, double: !arguments.has("--single"), workload, sqlite };
    let sum = if let Some((first, last)) = arguments.text("--seeds").and_then(range) {
        run_many(many(first), |seed| seed < last)
    } else {
        let end = begun + Duration::from_secs(arguments.number("--minutes").unwrap_or(0) * 60);
        #[allow(clippy::disallowed_methods, reason = "until so many real minutes have passed")]
        run_many(many(first), |_| Instant::now() < end)
    };
    // Plain creates get no excuse for being few.
    let all = arguments.has("--marks") || workload == Workload::Puts;
    let missing = missing(if all { ALL } else { sum.operations }, &sum.marks);
    report(&sum, &missing, begun.elapsed(), threads, workload);
    if !sum.violations.is_empty() {
        tool::keep(&sum.violations, workload, arguments.text("--to"), runs_max);
    }
    if sum.seeds == 0 {
        println!("no seed ran");
    }
    code(holds(&sum, &missing))
}

/// Whether something ran, no promise was broken, and every rare event that was to be met was.
fn holds(sum: &Sum, missing: &[Mark]) -> bool {
    sum.seeds > 0 && sum.violations.is_empty() && missing.is_empty()
}

/// The kill table: each planted bug, the seed that found it, and the promise that it broke.
#[cfg(feature = "planted")]
fn bugs(only: Option<&str>, threads: usize) -> ExitCode {
    use fieldsync_simulation::kill::{BUDGET, kill};
    // A bug may well show itself by a panic; the table says so.
    std::panic::set_hook(Box::new(|_| {}));
    println!("each planted bug is to be found by a scenario, a kept plan, or within {BUDGET} seeds");
    let wanted = |bug| only.is_none_or(|name| bug_named(name) == Some(bug));
    let kills = kill(wanted, threads, |kill| match &kill.found {
        Some((by, violation)) => {
            let how = violation.what.chars().take(90).collect::<String>();
            println!(
                "  found by {by:<44} {:<6} {:<24} {} | {how}",
                format!("{:?}", violation.invariant),
                format!("{:?}", kill.bug),
                kill.what
            );
        }
        None => println!("  LIVES                                                        {:<24} {}", format!("{:?}", kill.bug), kill.what),
    });
    let alive = kills.iter().filter(|kill| kill.found.is_none()).count();
    println!("{} of {} planted bugs found", kills.len() - alive, kills.len());
    code(alive == 0 && !kills.is_empty())
}

#[cfg(feature = "planted")]
fn bug_named(name: &str) -> Option<fieldsync::planted::Bug> {
    fieldsync::planted::Bug::ALL.iter().map(|(bug, _)| *bug).find(|bug| format!("{bug:?}") == name)
}

/// The bugs that this build can plant.
fn bug_names() -> Vec<String> {
    #[cfg(feature = "planted")]
    return fieldsync::planted::Bug::ALL.iter().map(|(bug, _)| format!("{bug:?}")).collect();
    #[cfg(not(feature = "planted"))]
    Vec::new()
}

/// Success if everything held.
fn code(held: bool) -> ExitCode {
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tell(seed: u64, workload: Workload, sqlite: bool) -> ExitCode {
    let plan = plan_with(seed, workload);
    for (at, device) in plan.devices.iter().enumerate() {
        println!("device {}: {device:?}", at + 1);
    }
    for (at, context) in plan.contexts.iter().enumerate() {
        println!("context {}: {:?} autoSync {}", at + 1, plan.databases[context.database], context.auto_sync);
    }
    println!("faults: {:?}", plan.faults);
    let outcome = run_guarded(&plan, Wanted { story: true, sqlite, ..Wanted::default() });
    for line in &outcome.story {
        println!("{line}");
    }
    println!("{} operations, {} saved, {} took effect, digest {:016x}", outcome.operations, outcome.saved, outcome.effects, outcome.digest);
    match outcome.violation {
        Some(violation) => {
            println!("{:?} is broken: {}", violation.invariant, violation.what);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

/// How long the cores have worked for this process, where the system tells it.
fn core_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    // User and system time, in hundredths of a second.
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(f64::from(ticks(11)? + ticks(12)?) / 100.0)
}

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn report(sum: &Sum, missing: &[Mark], took: Duration, threads: usize, workload: Workload) {
    let million = sum.operations.max(1) as f64 / 1e6;
    // Without its workload a seed is another run.
    let with = if workload == Workload::Usual { String::new() } else { format!(" --workload {}", workload.name()) };
    println!(
        "--seeds {}..{}{with}: seeds {}, operations {}, saved {}, took effect {}",
        sum.first,
        sum.first + sum.seeds,
        sum.seeds,
        sum.operations,
        sum.saved,
        sum.effects
    );
    println!("checks by invariant: {}", sum.checks.iter().map(|(name, count)| format!("{name:?} {count}")).collect::<Vec<_>>().join(", "));
    println!("faults per million operations:");
    for (name, count) in &sum.faults {
        println!("  {name:<48}{:>12.0}", *count as f64 / million);
    }
    let marked = |names: &[&str]| names.iter().filter_map(|name| sum.marks.get(name)).sum::<u64>() as f64 / million;
    println!(
        "per million operations: crashes {:.0}, conflicts {:.0}, receipts {:.0}, steals {:.0}",
        marked(&["tab died", "browser died", "power lost", "server died at a commit"]),
        marked(&["conflict by rule", "conflict for a person", "receipt: conflict"]),
        marked(&["receipt: applied", "receipt: conflict", "receipt: rejected", "receipt: duplicate"]),
        marked(&["role stolen"])
    );
    println!("marks per million operations:");
    for mark in MARKS {
        let count = sum.marks.get(mark.name).copied().unwrap_or(0);
        println!("  {:<48}{:>12.0}  {}", mark.name, count as f64 / million, mark.words);
    }
    for mark in missing {
        println!("NOT REACHED within {} operations: {} ({})", mark.within, mark.name, mark.words);
    }
    let seconds = took.as_secs_f64();
    // Others may share the machine: what counts is the time that the cores really gave.
    let core_seconds = core_seconds().unwrap_or(seconds * threads as f64);
    println!(
        "{seconds:.1} s on {threads} threads, {core_seconds:.1} core seconds; per core and second {:.0} operations, {:.0} turns, {:.1} seeds; virtual over real time {:.0}",
        sum.operations as f64 / core_seconds,
        sum.turns as f64 / core_seconds,
        sum.seeds as f64 / core_seconds,
        sum.virtual_ms as f64 / 1e3 / core_seconds
    );
    if sum.doubled > 0 {
        println!("{} seeds were run twice", sum.doubled);
    }
    let mut by: std::collections::BTreeMap<String, Vec<u64>> = std::collections::BTreeMap::new();
    for (seed, violation) in &sum.violations {
        by.entry(format!("{:?}", violation.invariant)).or_default().push(*seed);
    }
    println!("violations: {}", sum.violations.len());
    for (name, seeds) in by {
        println!("  {name}: {} seeds, such as {:?}", seeds.len(), &seeds[..seeds.len().min(12)]);
    }
    let mut shown: std::collections::BTreeMap<_, u32> = std::collections::BTreeMap::new();
    for (seed, violation) in &sum.violations {
        let count = shown.entry(violation.invariant).or_insert(0);
        *count += 1;
        if *count <= SHOWN_MAX {
            println!("  --seed {seed}{with}: {:?}: {}", violation.invariant, violation.what.chars().take(700).collect::<String>());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_nothing_fails() {
        let of = |seeds| holds(&Sum { seeds, ..Sum::default() }, &[]);
        assert_eq!((of(0), of(1)), (false, true));
    }
}
