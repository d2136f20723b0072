//! `replay DIR`: the main job on real input. Every record of a folder is created without a network in
//! one browser, sent to a server and downloaded by another; then the files, both browsers and the
//! server's database file are compared by code that knows nothing of ours.
//!
//! Without DIR: the folder that ships with the project, after the tests of the comparison itself.

use crate::e2e::Stage;
use crate::node;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::Result;

/// The folder that ships with the project.
const SHIPPED: &str = "tests/replay/clinic";

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let stage = Stage::with_server(place)?;
    let driver = || stage.apply(Run::new("node", &place.root).arg("tests/replay/run.mjs"));
    let mut tally = Tally::default();
    let replayed = if arguments.is_empty() {
        tally += node::tests(place).args(["tests/replay/compare.test.mjs", "tests/replay/folder.test.mjs"]).tally()?;
        driver().arg(SHIPPED).check()
    } else {
        // A folder is named from where the person stands.
        let arguments = arguments.iter().map(|argument| match std::path::absolute(argument) {
            Ok(path) if path.is_dir() => path.into_os_string(),
            _ => argument.into(),
        });
        driver().args(arguments).check()
    };
    tally += match replayed {
        Ok(()) => Tally::HELD,
        Err(error) => {
            println!("error: {error:#}");
            Tally { passed: 0, failed: 1 }
        }
    };
    Ok(tally)
}
