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
/// What names a file or a folder.
const FILES: [&str; 2] = ["--plan", "--to"];
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
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
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

/// The profile to build with, and what the simulator itself is asked: nothing, where the profile alone was named. It
/// runs in the root of the repository; its files are named from where the person stands.
fn asked(arguments: &[String]) -> (&'static str, Vec<String>) {
    let mut rest: Vec<String> = arguments.iter().filter(|argument| *argument != LONG).cloned().collect();
    let profile = if rest.len() < arguments.len() { LONG_PROFILE } else { PROFILE };
    for at in 1..rest.len() {
        if FILES.contains(&rest[at - 1].as_str())
            && let Ok(path) = std::path::absolute(&rest[at])
        {
            rest[at] = path.display().to_string();
        }
    }
    (profile, rest)
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
        let here = std::path::absolute("here.json").expect("there is a folder").display().to_string();
        assert_eq!(of("--plan here.json"), (PROFILE, format!("--plan {here}")));
        assert_eq!(of("--minutes 20 --long --marks"), (LONG_PROFILE, "--minutes 20 --marks".to_owned()));
    }
}
