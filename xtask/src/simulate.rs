//! `simulate`: the engine that ships, in a world that one number decides. Without arguments what every test run does:
//! the package's tests, the fixed seeds, some of them over SQLite, and the planted bugs, each of which must be found.
//! With arguments the simulator itself: `--seed S` tells one story, `--seeds A..B` and `--minutes N` run many and print
//! what they did; `docs/testing.md` has the rest. `--long` is for this tool: it names the build.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

/// The seeds of every test run; each tenth runs twice, and together they come by every rare event.
const FIXED_SEEDS: &str = "0..600";
/// Those that also run over the server's SQLite store, with the same trace.
const SQLITE_SEEDS: &str = "0..40";
const PACKAGE: [&str; 2] = ["--package", "fieldsync-simulation"];
const PROFILE: &str = "simulation";
/// Asks for the profile that takes longer to build and runs faster.
const LONG: &str = "--long";
const LONG_PROFILE: &str = "simulation-long";
/// Mistakes on demand. What is built with it is never shipped.
const PLANTED: [&str; 2] = ["--features", "planted"];

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let (profile, arguments) = asked(arguments);
    let cargo = |command: &str, planted: bool| {
        let run = Run::new("cargo", &place.root).args([command, "--profile", profile]).args(PACKAGE);
        if planted { run.args(PLANTED) } else { run }
    };
    let simulate = |planted: bool, arguments: &[&str]| cargo("run", planted).args(["--bin", "simulate", "--"]).args(arguments).check();
    if !arguments.is_empty() {
        simulate(arguments.iter().any(|argument| argument.starts_with("--bug")), &arguments)?;
        return Ok(Tally::HELD);
    }
    let mut tally = cargo("test", false).arg("--no-fail-fast").tally()?;
    simulate(false, &["--seeds", FIXED_SEEDS, "--marks"])?;
    tally += Tally::HELD;
    simulate(false, &["--seeds", SQLITE_SEEDS, "--sqlite"])?;
    tally += Tally::HELD;
    tally += cargo("test", true).args(["--test", "shrunk"]).tally()?;
    simulate(true, &["--bugs"])?;
    tally += Tally::HELD;
    Ok(tally)
}

/// The profile to build with, and what the simulator itself is asked: nothing, where the profile alone was named.
fn asked(arguments: &[String]) -> (&'static str, Vec<&str>) {
    let rest: Vec<&str> = arguments.iter().map(String::as_str).filter(|argument| *argument != LONG).collect();
    (if rest.len() < arguments.len() { LONG_PROFILE } else { PROFILE }, rest)
}

#[cfg(test)]
mod tests {
    use super::{LONG_PROFILE, PROFILE, asked};

    #[test]
    fn the_profile_is_no_argument_of_the_simulator() {
        let of = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let (profile, rest) = asked(&words);
            (profile, rest.join(" "))
        };
        assert_eq!(of(""), (PROFILE, String::new()));
        assert_eq!(of("--long"), (LONG_PROFILE, String::new()));
        assert_eq!(of("--seed 7"), (PROFILE, "--seed 7".to_owned()));
        assert_eq!(of("--minutes 20 --long --marks"), (LONG_PROFILE, "--minutes 20 --marks".to_owned()));
    }
}
