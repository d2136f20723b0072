//! `setup`: everything that the other commands need, at pinned versions.
//!
//! Each command calls the steps that it needs itself, so nobody has to run this first. A step looks
//! before it acts: with everything in place all of them together take a second.

use crate::inputs;
use crate::place::Place;
use crate::run::{Run, which};
use crate::tally::Tally;
use crate::{tools, www};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Node that our tools run on.
const NODE_MAJOR_MIN: u32 = 20;

const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Chromium and the driver that belongs to it.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) chromium: PathBuf,
    pub(crate) driver: PathBuf,
}

pub(crate) fn run(place: &Place, _: &[String]) -> Result<Tally> {
    wasm_target()?;
    tools::wasm_bindgen(place)?;
    tools::wasm_pack(place)?;
    tools::cargo_deny(place)?;
    node_modules(place)?;
    www::modules(place)?;
    let browser = browser()?;
    println!("all tools are in place; browser: {}", browser.chromium.display());
    Ok(Tally::default())
}

/// The standard library for WebAssembly.
pub(crate) fn wasm_target() -> Result<()> {
    let here = Path::new(".");
    let sysroot = Run::new("rustc", here).args(["--print", "sysroot"]).read()?;
    let sysroot = String::from_utf8(sysroot).context("rustc printed a strange path")?;
    if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).is_dir() {
        return Ok(());
    }
    if which(&["rustup"]).is_none() {
        bail!("this Rust cannot build for {WASM_TARGET}: install that target, or Rust by rustup");
    }
    Run::new("rustup", here).args(["target", "add", WASM_TARGET]).check()
}

/// The npm tools of the workspace: TypeScript, Biome, binaryen, esbuild, the browser's remote control.
pub(crate) fn node_modules(place: &Place) -> Result<()> {
    node()?;
    npm_ci(place, &place.root, "the npm tools").map(|_| ())
}

/// Installs a folder's lock file, if it changed since the last time; says whether it did.
pub(crate) fn npm_ci(place: &Place, folder: &Path, what: &str) -> Result<bool> {
    // The stamp lies in node_modules: who deletes that folder deletes the stamp with it.
    let stamp = folder.join("node_modules/.fieldsync-lock");
    let files = ["package.json", "package-lock.json", ".npmrc"].map(|name| folder.join(name));
    let now = inputs::digest(&place.root, &files, "")?;
    if fs::read_to_string(&stamp).is_ok_and(|before| before == now) {
        return Ok(false);
    }
    println!("installing {what}");
    Run::new("npm", folder).args(["ci", "--no-progress", "--no-audit", "--no-fund"]).check()?;
    inputs::write(&stamp, &now)?;
    Ok(true)
}

/// Chromium and ChromeDriver: on PATH, or named by `FIELDSYNC_CHROMIUM` and `CHROMEDRIVER`, or from
/// Debian's packages.
pub(crate) fn browser() -> Result<Browser> {
    if let Some(browser) = find_browser() {
        return Ok(browser);
    }
    let root = Run::new("id", Path::new(".")).arg("-u").read().is_ok_and(|id| id.trim_ascii() == b"0");
    if !root || which(&["apt-get"]).is_none() {
        bail!(
            "Chromium and ChromeDriver are missing: install them (Debian: 'apt-get install chromium chromium-driver'), \
             or name them in FIELDSYNC_CHROMIUM and CHROMEDRIVER"
        );
    }
    println!("installing Chromium and ChromeDriver from the system's packages");
    let apt = || Run::new("apt-get", Path::new("/")).env("DEBIAN_FRONTEND", "noninteractive");
    apt().args(["update", "--quiet"]).check()?;
    apt().args(["install", "--quiet", "--yes", "--no-install-recommends", "chromium", "chromium-driver"]).check()?;
    find_browser().context("the packages brought no chromium and chromedriver")
}

fn find_browser() -> Option<Browser> {
    let named = |variable: &str, names: &[&str]| match std::env::var_os(variable) {
        Some(path) => Some(PathBuf::from(path)),
        None => which(names),
    };
    Some(Browser {
        chromium: named("FIELDSYNC_CHROMIUM", &["chromium", "chromium-browser", "google-chrome"])?,
        driver: named("CHROMEDRIVER", &["chromedriver"])?,
    })
}

fn node() -> Result<()> {
    let printed = Run::new("node", Path::new("."))
        .arg("--version")
        .read()
        .with_context(|| format!("Node {NODE_MAJOR_MIN} or newer is needed, with npm"))?;
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    let major = printed.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < NODE_MAJOR_MIN) {
        bail!("Node {NODE_MAJOR_MIN} or newer is needed; this is {printed}");
    }
    Ok(())
}
