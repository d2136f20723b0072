//! `native`: the Rust tests of the engine, its rooms and this tool, without a browser.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    Run::new("cargo", &place.root)
        .args(["test", "--package", "fieldsync", "--package", "xtask", "--features", "fieldsync/testing"])
        .arg("--no-fail-fast")
        .args(arguments)
        .tally()
}
