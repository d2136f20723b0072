//! `test`: every check, in order, each timed. A part that fails does not stop the others, because
//! one run should tell everything that is wrong.
//!
//! The list is written out: a part whose tests are gone fails instead of being passed over.

use crate::named;
use crate::place::Place;
use crate::tally::Tally;
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

const PARTS: &[&str] = &[
    "setup", "fmt", "clippy", "doc", "deny", "lint-js", "types", "native", "server", "simulate", "build", "js", "package", "packages",
    "size", "browser", "e2e", "replay",
];

/// What came of one part.
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
    error: Option<String>,
}

pub(crate) fn run(place: &Place) -> Result<Tally> {
    let outcomes: Vec<Outcome> = PARTS.iter().map(|name| run_part(place, name)).collect();
    let mut total = Tally::default();
    println!("\n{:<10}{:>8}{:>8}{:>9}", "part", "passed", "failed", "minutes");
    for outcome in &outcomes {
        total += outcome.tally;
        let minutes = outcome.took.as_secs_f64() / 60.0;
        let Tally { passed, failed } = outcome.tally;
        println!("{:<10}{passed:>8}{failed:>8}{minutes:>9.2}", outcome.name);
    }
    for Outcome { name, error, .. } in &outcomes {
        if let Some(error) = error {
            println!("{name}: {error}");
        }
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    Ok(total)
}

#[allow(clippy::disallowed_methods, reason = "minutes of a part are real minutes")]
fn run_part(place: &Place, name: &'static str) -> Outcome {
    println!("\n== {name}");
    let start = Instant::now();
    let ran = named(name).context("a part is a command").and_then(|(_, part, _)| part.run(place));
    let (tally, error) = match ran {
        Ok(tally) => (tally, None),
        Err(error) => {
            println!("error: {error:#}");
            (Tally { passed: 0, failed: 1 }, Some(format!("{error:#}")))
        }
    };
    Outcome { name, tally, took: start.elapsed(), error }
}
