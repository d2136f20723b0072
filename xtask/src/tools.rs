//! Programs that crates.io has and a machine usually has not, built once per user and version.
//!
//! They live in `~/.cache/fieldsync/tools/<name>-<version>`, or under `FIELDSYNC_TOOLS_DIR`, and are
//! shared by all checkouts. A tool is built in a folder beside and moved to its place when it is
//! whole, so that an interrupted or a concurrent install leaves no half of one.

use crate::place::Place;
use crate::run::Run;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// The licence checker; no other build reads it, so its pin is here.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// The folder of wasm-pack.
pub(crate) fn wasm_pack(place: &Place) -> Result<PathBuf> {
    installed(place, "wasm-pack", &place.inputs.tools.wasm_pack, "wasm-pack")
}

/// The folder of wasm-bindgen.
pub(crate) fn wasm_bindgen(place: &Place) -> Result<PathBuf> {
    installed(place, "wasm-bindgen-cli", &place.inputs.tools.wasm_bindgen, "wasm-bindgen")
}

/// The folder of cargo-deny.
pub(crate) fn cargo_deny(place: &Place) -> Result<PathBuf> {
    installed(place, "cargo-deny", CARGO_DENY_VERSION, "cargo-deny")
}

/// The `bin` folder of a crate's programs; installs them if `program` is not there.
fn installed(place: &Place, name: &str, version: &str, program: &str) -> Result<PathBuf> {
    let home = place.tools.join(format!("{name}-{version}"));
    let bin = home.join("bin");
    if bin.join(program).is_file() {
        return Ok(bin);
    }
    println!("installing {name} {version}: some minutes, once for this user");
    let growing = place.tools.join(format!(".{name}-{version}-{}", std::process::id()));
    fs::create_dir_all(&growing).with_context(|| format!("making {}", growing.display()))?;
    // Not `--locked`: the lock file of wasm-bindgen-cli 0.2.130 names a version of webpki-roots that
    // not every mirror of the registry has. Optimisation level 1 halves the time; the tools stay quick.
    Run::new("cargo", &growing)
        .args(["install", name, "--version", &format!("={version}"), "--root"])
        .arg(&growing)
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_TARGET_DIR", growing.join("build"))
        .check()?;
    fs::remove_dir_all(growing.join("build"))?;
    if home.exists() {
        fs::remove_dir_all(&home)?;
    }
    fs::rename(&growing, &home).with_context(|| format!("moving {name} to {}", home.display()))?;
    Ok(bin)
}
