//! `server`: the Rust tests of the reference server.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;
use std::path::PathBuf;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    Run::new("cargo", &place.root).args(["test", "--package", "fieldsync-server", "--no-fail-fast"]).args(arguments).tally()
}

/// The server's program, for whoever runs it beside a browser.
pub(crate) fn binary(place: &Place) -> Result<PathBuf> {
    Run::new("cargo", &place.root).args(["build", "--package", "fieldsync-server"]).check()?;
    Ok(place.target.join("debug/fieldsync-server"))
}

/// The same as a user would run it, for whoever measures.
pub(crate) fn optimised_binary(place: &Place) -> Result<PathBuf> {
    Run::new("cargo", &place.root).args(["build", "--release", "--package", "fieldsync-server"]).check()?;
    Ok(place.target.join("release/fieldsync-server"))
}
