//! `package`: the tarball has the files it should have, one module among them, and a plain page can
//! load and run it. (An optimiser that breaks the module is seen here and nowhere earlier.)

use crate::e2e;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, _: &[String]) -> Result<Tally> {
    let stage = e2e::Stage::package(place)?;
    stage.apply(Run::new("node", &place.root).args(["--test", "tests/replay/package.test.mjs"])).tally()
}
