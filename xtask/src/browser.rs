//! `browser`: the Rust tests that need IndexedDB, locks or fetch, in Chromium.
//!
//! A file `tests/browser_*.rs` is one test binary; wasm-bindgen's runner serves it to the browser.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use crate::{setup, tools};
use anyhow::{Result, bail};

/// How long one test binary may take in the browser; the runner's own 20 s are short on a busy machine.
const BROWSER_TEST_LIMIT_SECONDS: &str = "300";

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    setup::wasm_target()?;
    let browser = setup::browser()?;
    let bindgen = tools::wasm_bindgen(place)?;
    let tests = test_arguments(place)?;
    if tests.is_empty() {
        bail!("there is no tests/browser_*.rs");
    }
    Run::new("cargo", &place.root)
        .args(["test", "--package", "fieldsync", "--target", "wasm32-unknown-unknown", "--features", "testing"])
        .arg("--no-fail-fast")
        .args(tests)
        .args(arguments)
        .path_first(&[&bindgen])?
        .env("CHROMEDRIVER", browser.driver)
        .env("WASM_BINDGEN_TEST_TIMEOUT", BROWSER_TEST_LIMIT_SECONDS)
        .tally()
}

/// `--test browser_x` for each of them.
pub(crate) fn test_arguments(place: &Place) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(place.root.join("tests"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".rs").filter(|name| name.starts_with("browser_")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names.into_iter().flat_map(|name| ["--test".to_owned(), name]).collect())
}
