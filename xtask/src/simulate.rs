//! `simulate`: the engine that ships, in a world that one number decides. Without arguments the fixed seeds of
//! every test run; with arguments the simulator itself: `--seed S` tells one story, `--seeds A..B` and
//! `--minutes N` run many and print what they did.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

/// The seeds of every test run; each tenth runs twice.
const FIXED_SEEDS: &str = "0..600";

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    const PACKAGE: [&str; 4] = ["--profile", "simulation", "--package", "fieldsync-simulation"];
    let run = |arguments: &[String]| {
        Run::new("cargo", &place.root).arg("run").args(PACKAGE).args(["--bin", "simulate", "--"]).args(arguments).check()
    };
    if !arguments.is_empty() {
        run(arguments)?;
        return Ok(Tally::HELD);
    }
    let mut tally = Run::new("cargo", &place.root).arg("test").args(PACKAGE).arg("--no-fail-fast").tally()?;
    run(&["--seeds".to_owned(), FIXED_SEEDS.to_owned(), "--double".to_owned()])?;
    tally += Tally::HELD;
    Ok(tally)
}
