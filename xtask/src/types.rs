//! `types`: the client under strict TypeScript, and the type tests: the shapes that were promised
//! are the shapes that the package has, and what must not compile does not.

use crate::place::Place;
use crate::tally::Tally;
use crate::{setup, tsc};
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    setup::node_modules(place)?;
    for project in tsc::SHIPPED.iter().chain(&["js/types/tsconfig.json"]) {
        tsc::check(place, project)?;
    }
    Ok(Tally::HELD)
}
