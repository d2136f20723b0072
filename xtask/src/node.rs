//! Node's own test runner, which the tests in JavaScript use.

use crate::place::Place;
use crate::run::Run;
use anyhow::{Context, Result, bail};

/// The runner, with the output that a person reads; its files follow.
pub(crate) fn tests(place: &Place) -> Run {
    Run::new("node", &place.root).args(["--test", "--test-reporter=spec"])
}

/// The test files of a folder.
pub(crate) fn files(place: &Place, folder: &str) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place.root.join(folder)).with_context(|| format!("listing {folder}"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") {
            files.push(format!("{folder}/{name}"));
        }
    }
    if files.is_empty() {
        bail!("{folder} has no *.test.mjs");
    }
    files.sort();
    Ok(files)
}
