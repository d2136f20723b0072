//! `size`: what an app downloads, against the budget in wasm-pack.toml.
//!
//! The module as shipped, and the client as an app's bundler leaves it (bundled, minified, without
//! React); both under gzip -9.

use crate::build;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    build::package(place)?;
    let client = place.scratch("client.min.js");
    Run::new(place.root.join("node_modules/.bin/esbuild"), &place.root)
        .arg(place.dist().join("index.js"))
        .args(["--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning"])
        .arg(format!("--outfile={}", client.display()))
        .check()?;
    let budget = &place.inputs.budget;
    let wasm_held = weigh("wasm", &place.wasm(), budget.wasm_gzip_bytes)?;
    println!("size: the promise for wasm is {} bytes; docs/decisions.md says what raised the ceiling of today", budget.wasm_gzip_promise);
    let client_held = weigh("client", &client, budget.js_gzip_bytes)?;
    if !(wasm_held && client_held) {
        bail!("the package is over its budget (wasm-pack.toml)");
    }
    Ok(Tally::HELD)
}

/// Prints a file's weight and says whether it is within the budget.
fn weigh(what: &str, file: &Path, budget: u64) -> Result<bool> {
    let raw = fs::metadata(file).with_context(|| format!("weighing {}", file.display()))?.len();
    let packed = Run::new("gzip", Path::new(".")).args(["-9", "-n", "-c"]).arg(file).read()?.len();
    let packed = u64::try_from(packed)?;
    println!("size: {what:<8}{raw:>9} bytes, gzip {packed:>8} of {budget} ({} %)", packed * 100 / budget);
    Ok(packed <= budget)
}
