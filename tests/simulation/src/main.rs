//! `simulate`: tells the story of one seed, or runs many and prints what they did.
//!
//! `--seed S` · `--seeds A..B` · `--minutes N` (with `--from A`) · `--threads N` · `--double` ·
//! `--workload usual|whole|puts`

#![allow(clippy::print_stdout, reason = "a terminal tool speaks on stdout")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use fieldsync_simulation::swarm::{Many, Sum, run_guarded, run_many};
use fieldsync_simulation::{Wanted, Workload, plan_with};

/// So many violations of each invariant are printed.
const SHOWN_MAX: u32 = 3;

struct Arguments(Vec<String>);

impl Arguments {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }
    fn text(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }
    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

#[allow(clippy::disallowed_methods, reason = "how long it really takes is what is measured here")]
fn main() -> ExitCode {
    let arguments = Arguments(std::env::args().skip(1).collect());
    #[cfg(feature = "planted")]
    if let (Some(name), false) = (arguments.text("--bug"), arguments.has("--bugs")) {
        fieldsync::planted::plant(bug_named(name));
    }
    let workload = match arguments.text("--workload") {
        None | Some("usual") => Workload::Usual,
        Some("whole") => Workload::Whole,
        Some("puts") => Workload::Puts,
        Some(other) => {
            println!("there is no workload '{other}'");
            return ExitCode::FAILURE;
        }
    };
    if let Some(seed) = arguments.number("--seed") {
        return tell(seed, workload);
    }
    let threads = arguments.number("--threads").and_then(|threads| usize::try_from(threads).ok());
    let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    #[cfg(feature = "planted")]
    if arguments.has("--bugs") {
        return bugs(arguments.text("--bug"), threads);
    }
    let begun = Instant::now();
    let first = arguments.number("--from").unwrap_or(1);
    let many = |first| Many { first, threads, double: arguments.has("--double"), workload };
    let sum = match (arguments.text("--seeds").and_then(range), arguments.number("--minutes")) {
        (Some((first, last)), _) => run_many(many(first), |seed| seed < last),
        (None, Some(minutes)) => {
            let end = begun + Duration::from_secs(minutes * 60);
            #[allow(clippy::disallowed_methods, reason = "until so many real minutes have passed")]
            run_many(many(first), |_| Instant::now() < end)
        }
        (None, None) => {
            println!("simulate --seed S | --seeds A..B | --minutes N [--from A] [--threads N] [--double] [--workload usual|whole|puts]");
            return ExitCode::FAILURE;
        }
    };
    report(&sum, begun.elapsed(), threads);
    if sum.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The kill table: each planted bug, the seed that found it, and the promise that it broke.
#[cfg(feature = "planted")]
fn bugs(only: Option<&str>, threads: usize) -> ExitCode {
    use fieldsync_simulation::kill::{BUDGET, kill};
    // A bug may well show itself by a panic; the table says so.
    std::panic::set_hook(Box::new(|_| {}));
    println!("each planted bug is to be found within {BUDGET} seeds");
    let wanted = |bug| only.is_none_or(|name| bug_named(name) == Some(bug));
    let kills = kill(wanted, threads, |kill| match &kill.found {
        Some((seed, violation)) => {
            let how = violation.what.chars().take(90).collect::<String>();
            println!(
                "  found by seed {seed:>4} {:<6} {:<24} {} | {how}",
                format!("{:?}", violation.invariant),
                format!("{:?}", kill.bug),
                kill.what
            );
        }
        None => println!("  LIVES                     {:<24} {}", format!("{:?}", kill.bug), kill.what),
    });
    let alive = kills.iter().filter(|kill| kill.found.is_none()).count();
    println!("{} of {} planted bugs found", kills.len() - alive, kills.len());
    if alive == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(feature = "planted")]
fn bug_named(name: &str) -> Option<fieldsync::planted::Bug> {
    fieldsync::planted::Bug::ALL.iter().map(|(bug, _)| *bug).find(|bug| format!("{bug:?}") == name)
}

fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once("..")?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn tell(seed: u64, workload: Workload) -> ExitCode {
    let plan = plan_with(seed, workload);
    for (at, device) in plan.devices.iter().enumerate() {
        println!("device {}: {device:?}", at + 1);
    }
    for (at, context) in plan.contexts.iter().enumerate() {
        println!("context {}: {:?} autoSync {}", at + 1, plan.databases[context.database], context.auto_sync);
    }
    println!("faults: {:?}", plan.faults);
    let outcome = run_guarded(&plan, Wanted { story: true, gates: false });
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

#[allow(clippy::cast_precision_loss, reason = "for people")]
fn report(sum: &Sum, took: Duration, threads: usize) {
    let million = sum.operations.max(1) as f64 / 1e6;
    println!("seeds {}, operations {}, saved {}, took effect {}", sum.seeds, sum.operations, sum.saved, sum.effects);
    println!("checks by invariant: {}", sum.checks.iter().map(|(name, count)| format!("{name:?} {count}")).collect::<Vec<_>>().join(", "));
    println!("faults and events per million operations:");
    for (name, count) in sum.faults.iter().chain(&sum.marks) {
        println!("  {name:<48}{:>12.0}", *count as f64 / million);
    }
    let seconds = took.as_secs_f64();
    let cores = threads as f64;
    println!(
        "{:.1} s on {threads} threads: {:.0} operations, {:.0} turns, {:.1} seeds per second and core; virtual over real time {:.0}",
        seconds,
        sum.operations as f64 / seconds / cores,
        sum.turns as f64 / seconds / cores,
        sum.seeds as f64 / seconds / cores,
        sum.virtual_ms as f64 / 1e3 / seconds
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
            println!("  seed {seed}: {:?}: {}", violation.invariant, violation.what.chars().take(700).collect::<String>());
        }
    }
}
