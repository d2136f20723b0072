//! The clinic app: its npm packages, ours among them, and its production build.
//!
//! `fieldsync` is not in the app's package.json: a `file:` dependency is a link that bundlers treat
//! differently from a package, and its lock entry would change with each build. The tarball is
//! unpacked into node_modules instead, as npm would do it.

use crate::inputs::{self, when_changed};
use crate::place::Place;
use crate::run::Run;
use crate::{build, setup};
use anyhow::Result;
use std::fs;
use std::path::PathBuf;
use std::slice;

/// The app's npm packages.
pub(crate) fn modules(place: &Place) -> Result<()> {
    setup::npm_ci(place, &place.root.join("www"), "the app's npm packages: about a minute").map(|_| ())
}

/// The app's production build, with the package of now inside.
pub(crate) fn built(place: &Place) -> Result<()> {
    unpack(place)?;
    let inputs = [PathBuf::from("www"), place.target.join("package")];
    let outputs = [place.root.join("www/.next/BUILD_ID")];
    // The tarball's own digest, because the inputs leave *.tgz out.
    let salt = fs::read_to_string(package_stamp(place))?;
    let ran = when_changed(place, "www", &inputs, &salt, &outputs, || {
        Run::new("npm", &place.root.join("www")).args(["run", "build"]).env("NEXT_TELEMETRY_DISABLED", "1").check()
    })?;
    println!("app: {}", if ran { "built" } else { "unchanged" });
    Ok(())
}

/// Unpacks the tarball where the app's bundler finds it.
pub(crate) fn unpack(place: &Place) -> Result<()> {
    let tarball = build::package(place)?;
    modules(place)?;
    let now = inputs::digest(&place.root, slice::from_ref(&tarball), "")?;
    inputs::unless_stamped(&package_stamp(place), &now, || {
        let home = place.root.join("www/node_modules/fieldsync");
        if home.exists() {
            fs::remove_dir_all(&home)?;
        }
        fs::create_dir_all(&home)?;
        Run::new("tar", &place.root).arg("-xzf").arg(&tarball).args(["--strip-components=1", "-C"]).arg(&home).check()
    })?;
    Ok(())
}

fn package_stamp(place: &Place) -> PathBuf {
    place.root.join("www/node_modules/.fieldsync-package")
}
