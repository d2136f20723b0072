//! `types`: the client under strict TypeScript, and the type tests: the shapes that were promised
//! are the shapes that the package has, and what must not compile does not.

use crate::place::Place;
use crate::run::Run;
use crate::setup;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, _: &[String]) -> Result<Tally> {
    setup::node_modules(place)?;
    for project in ["js/tsconfig.json", "js/fault-proxy/tsconfig.json", "js/types/tsconfig.json"] {
        Run::new(place.root.join("node_modules/.bin/tsc"), &place.root)
            .args(["--noEmit", "--pretty", "false", "--project", project])
            .check()?;
    }
    Ok(Tally::HELD)
}
