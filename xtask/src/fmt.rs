//! `fmt`: Rust is formatted as rustfmt.toml says; `cargo fmt --all` mends it.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    Run::new("cargo", &place.root).args(["fmt", "--all", "--check"]).check()?;
    Ok(Tally::HELD)
}
