//! `js`: the unit tests of the TypeScript client, on what tsc made of it; what the bench takes for its options, and what it
//! holds the package's functions against.

use crate::place::Place;
use crate::tally::Tally;
use crate::{build, node};
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    build::typescript(place)?;
    node::tests(place).args(node::files(place, "js/test")?).args(["bench/arguments.test.mjs", "bench/plain.test.mjs"]).tally()
}
