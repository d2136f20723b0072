//! `js`: the unit tests of the TypeScript client, on what tsc made of it; and what the bench takes for its options.

use crate::place::Place;
use crate::tally::Tally;
use crate::{build, node};
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    build::typescript(place)?;
    node::tests(place).args(node::files(place, "js/test")?).arg("bench/arguments.test.mjs").tally()
}
