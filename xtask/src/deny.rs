//! `deny`: licences, bans and sources of every crate, as deny.toml says.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use crate::tools;
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    let tool = tools::cargo_deny(place)?.join("cargo-deny");
    Run::new(tool, &place.root).args(["--color", "never", "check", "licenses", "bans", "sources"]).check()?;
    Ok(Tally::HELD)
}
