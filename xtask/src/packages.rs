//! `packages`: the packed tarball where apps use it: bundlers, workers, Node, Vitest, and each TypeScript.
//!
//! `tests/packages/apps` are the apps, an npm workspace with a lock file of its own. They are copied beside the build
//! output and installed there, with the tarball, as a user would do it; `tests/packages/*.test.mjs`, run by node's
//! runner, build and use them. What wasm-bindgen generated is held against `js/src/boundary.ts` here too, because both
//! lie side by side only after a build.

use crate::inputs;
use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use crate::{e2e, node, setup, tsc};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let stage = e2e::Stage::package(place)?;
    let folder = modules(place)?;
    install(place, &folder, stage.tarball())?;
    generated_types(place)?;
    let tests = if arguments.is_empty() { node::files(place, "tests/packages")? } else { arguments.to_vec() };
    // One file after the other: they share two cores.
    let mut tally = stage.apply(node::tests(place).arg("--test-concurrency=1").args(tests)).env("FIELDSYNC_PACKAGES", folder).tally()?;
    tally += Tally::HELD;
    Ok(tally)
}

/// The apps of now, with the bundlers and compilers that they name, in a folder of their own.
pub(crate) fn modules(place: &Place) -> Result<PathBuf> {
    let folder = setup::npm_copy(place, "tests/packages", "packages")?;
    let apps = folder.join("apps");
    if apps.exists() {
        fs::remove_dir_all(&apps)?;
    }
    copy(&place.root.join("tests/packages/apps"), &apps)?;
    setup::npm_ci(place, &folder, "bundlers and compilers for the packed package: about a minute")?;
    Ok(folder)
}

/// Installs the tarball beside them, if it is another one than the last time.
fn install(place: &Place, folder: &Path, tarball: &Path) -> Result<()> {
    // The stamp lies in node_modules, which `npm ci` empties.
    let stamp = folder.join("node_modules/.fieldsync-package");
    let now = inputs::digest(&place.root, &[tarball.to_path_buf()], "")?;
    inputs::unless_stamped(&stamp, &now, || {
        // Neither file that names packages is written: the tarball changes with every build.
        Run::new("npm", folder).args(["install", "--no-save", "--no-package-lock", "--no-progress"]).arg(tarball).check()
    })?;
    Ok(())
}

/// The hand-written boundary agrees with the glue of this build.
fn generated_types(place: &Place) -> Result<()> {
    tsc::check(place, "js/types/generated/tsconfig.json").context("what wasm-bindgen generated is not what js/src/boundary.ts says")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("making {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
