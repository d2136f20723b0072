//! `package`: the tarball has the files it should have, one module among them, and a plain page can
//! load and run it. (An optimiser that breaks the module is seen here and nowhere earlier.)

use crate::place::Place;
use crate::tally::Tally;
use crate::{e2e, node};
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    let stage = e2e::Stage::package(place)?;
    stage.apply(node::tests(place).arg("tests/replay/package.test.mjs")).tally()
}
