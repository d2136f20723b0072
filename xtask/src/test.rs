//! `test`: every check, in order, each timed. A part that fails does not stop the others, because
//! one run should tell everything that is wrong.
//!
//! The list is written out: a part whose tests are gone fails instead of being passed over.

use crate::place::Place;
use crate::tally::Tally;
use crate::{
    Command, browser, build, clippy, deny, doc, e2e, fmt, js, lint_js, native, package, packages, replay, server, setup, simulate, size,
    types,
};
use anyhow::Result;
use std::time::{Duration, Instant};

const PARTS: &[(&str, Command)] = &[
    ("setup", setup::run),
    ("fmt", fmt::run),
    ("clippy", clippy::run),
    ("doc", doc::run),
    ("deny", deny::run),
    ("lint-js", lint_js::run),
    ("types", types::run),
    ("native", native::run),
    ("server", server::run),
    ("simulate", simulate::run),
    ("build", build::run),
    ("js", js::run),
    ("package", package::run),
    ("packages", packages::run),
    ("size", size::run),
    ("browser", browser::run),
    ("e2e", e2e::run),
    ("replay", replay::run),
];

/// What came of one part.
struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
    error: Option<String>,
}

pub(crate) fn run(place: &Place, _: &[String]) -> Result<Tally> {
    let outcomes: Vec<Outcome> = PARTS.iter().map(|(name, part)| run_part(place, name, *part)).collect();
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
fn run_part(place: &Place, name: &'static str, part: Command) -> Outcome {
    println!("\n== {name}");
    let start = Instant::now();
    let (tally, error) = match part(place, &[]) {
        Ok(tally) => (tally, None),
        Err(error) => {
            println!("error: {error:#}");
            (Tally { passed: 0, failed: 1 }, Some(format!("{error:#}")))
        }
    };
    Outcome { name, tally, took: start.elapsed(), error }
}
