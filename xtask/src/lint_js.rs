//! `lint-js`: TypeScript and JavaScript are formatted and linted as biome.json says;
//! `npx biome check --write` mends what can be mended.

use crate::place::Place;
use crate::run::Run;
use crate::setup;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    setup::node_modules(place)?;
    Run::new(place.root.join("node_modules/.bin/biome"), &place.root).args(["ci", "--colors=off", "--error-on-warnings", "."]).check()?;
    Ok(Tally::HELD)
}
