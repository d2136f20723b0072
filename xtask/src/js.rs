//! `js`: the unit tests of the TypeScript client, on what tsc made of it.

use crate::build;
use crate::e2e::test_files;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, _: &[String]) -> Result<Tally> {
    build::typescript(place)?;
    Run::new("node", &place.root).arg("--test").args(test_files(place, "js/test")?).tally()
}
