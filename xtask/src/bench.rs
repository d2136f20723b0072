//! `bench`: how FieldSync compares to raw IndexedDB, as ratios within one run.

use crate::e2e::Stage;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let stage = Stage::for_times(place)?;
    stage.apply(Run::new("node", &place.root).arg("bench/run.mjs").args(arguments)).check()?;
    Ok(Tally::HELD)
}
