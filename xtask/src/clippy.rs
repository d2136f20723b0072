//! `clippy`: no warnings, in what runs natively and in what runs in the browser.

use crate::place::Place;
use crate::run::Run;
use crate::setup;
use crate::tally::Tally;
use anyhow::Result;

pub(crate) fn run(place: &Place) -> Result<Tally> {
    setup::wasm_target()?;
    let native = Run::new("cargo", &place.root)
        .args(["clippy", "--workspace", "--all-targets", "--features", "fieldsync/testing", "--", "-D", "warnings"])
        .check();
    let wasm = Run::new("cargo", &place.root)
        .args(["clippy", "--package", "fieldsync", "--package", "fieldsync-contract", "--target", setup::WASM_TARGET])
        .args(["--features", "fieldsync/testing", "--lib"])
        .args(["--", "-D", "warnings"])
        .check();
    // Both are run before either is judged: one look should tell everything.
    native.and(wasm)?;
    Ok(Tally::HELD)
}
