//! `doc`: every public item is documented and every link in the documentation leads somewhere.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    Run::new("cargo", &place.root)
        .args(["doc", "--workspace", "--no-deps", "--features", "fieldsync/testing"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .check()?;
    Ok(Tally::HELD)
}
