//! `bench`: how FieldSync compares to raw IndexedDB, as ratios within one run; with `--beside`, to other libraries too.
//!
//! `bench/peers` names those, in a package with a lock file of its own. Its packages are installed beside the build
//! output, only when they are asked for.

use crate::e2e::Stage;
use crate::place::Place;
use crate::run::Run;
use crate::setup;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    // A wrong word must not cost a build.
    setup::node()?;
    Run::new("node", &place.root).arg("bench/arguments.mjs").args(arguments).read()?;
    let stage = Stage::for_times(place)?;
    let mut run = stage.apply(Run::new("node", &place.root).arg("bench/run.mjs").args(arguments));
    if arguments.iter().any(|argument| argument == "--beside") {
        let folder = setup::npm_copy(place, "bench/peers", "peers")?;
        setup::npm_ci(place, &folder, "the libraries to run beside")?;
        run = run.env("FIELDSYNC_PEERS", folder);
    }
    // The script reads the arguments, which are known to be right; this is only about what it will look for.
    if arguments.iter().any(|argument| argument.ends_with("firefox")) {
        run = run.env("FIELDSYNC_FIREFOX", setup::firefox()?);
    }
    run.check()?;
    Ok(Tally::HELD)
}
