//! `browser`: what the browser adapters promise, and what the package does with a server, in Chromium, Firefox and
//! WebKitGTK.
//!
//! `tests/engines/contract` is built for the browser; `tests/engines/*.test.mjs`, run by node's runner, have its cases
//! run in a window, a worker and a service worker of each engine, and the packed package on a page.

use crate::e2e::Stage;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use crate::{node, setup, tools};
use anyhow::Result;
use std::path::PathBuf;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    setup::node_modules(place)?;
    let engines = setup::engines()?;
    let contract = contract(place)?;
    let stage = Stage::with_server(place)?;
    let tests = if arguments.is_empty() { node::files(place, "tests/engines")? } else { arguments.to_vec() };
    // One file after the other: they share two cores.
    stage
        .apply(node::tests(place))
        .arg("--test-concurrency=1")
        .args(tests)
        .env("FIELDSYNC_CONTRACT", contract)
        .env("FIELDSYNC_FIREFOX", engines.firefox)
        .env("FIELDSYNC_WEBKIT", engines.webkit)
        .env("FIELDSYNC_WEBKIT_DRIVER", engines.webkit_driver)
        .env("FIELDSYNC_XVFB", engines.xvfb)
        .tally()
}

/// The folder with the module of the contracts and its glue.
fn contract(place: &Place) -> Result<PathBuf> {
    setup::wasm_target()?;
    let bindgen = tools::wasm_bindgen(place)?;
    Run::new("cargo", &place.root).args(["build", "--package", "fieldsync-contract", "--target", setup::WASM_TARGET]).check()?;
    let module = place.target.join(setup::WASM_TARGET).join("debug/fieldsync_contract.wasm");
    let folder = place.target.join("contract");
    Run::new(bindgen.join("wasm-bindgen"), &place.root)
        .args(["--target", "web", "--no-typescript", "--out-dir"])
        .arg(&folder)
        .arg(module)
        .check()?;
    Ok(folder)
}
