//! `build`: the npm package, from Rust and TypeScript to the tarball.
//!
//! Three steps, each skipped while its inputs are what they were: the module and its glue
//! (`wasm-pack`), the client (`tsc`), the tarball (`npm pack`). Tests and the app use the tarball,
//! never the working folder: what was not packed would be missed only by users.

use crate::glue;
use crate::inputs::when_changed;
use crate::place::Place;
use crate::run::Run;
use crate::setup;
use crate::tally::Tally;
use crate::{tools, tsc};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn run(place: &Place) -> Result<Tally> {
    let tarball = package(place)?;
    println!("package: {}", tarball.display());
    Ok(Tally::default())
}

/// The packed package, built from whatever changed.
pub(crate) fn package(place: &Place) -> Result<PathBuf> {
    setup::node_modules(place)?;
    wasm(place)?;
    typescript(place)?;
    pack(place)
}

/// The module and its glue.
fn wasm(place: &Place) -> Result<()> {
    let inputs = ["Cargo.toml", "Cargo.lock", "src", "wasm-pack.toml", "package-lock.json", "xtask/src/glue.rs"].map(PathBuf::from);
    let compiler = Run::new("rustc", &place.root).arg("--version").read()?;
    let beside = |file: &str| place.wasm().with_file_name(file);
    let glue = beside(&format!("{}.js", place.inputs.build.out_name));
    let outputs = [place.wasm(), glue, beside("realm.js"), declared(place)];
    let ran = when_changed(place, "wasm", &inputs, &String::from_utf8_lossy(&compiler), &outputs, || wasm_pack(place))?;
    println!("wasm: {}", if ran { "built" } else { "unchanged" });
    Ok(())
}

fn wasm_pack(place: &Place) -> Result<()> {
    setup::wasm_target()?;
    let pack = tools::wasm_pack(place)?;
    let bindgen = tools::wasm_bindgen(place)?;
    let npm = place.root.join("node_modules/.bin");
    require_wasm_opt(place, &npm)?;

    let build = &place.inputs.build;
    let out = place.root.join(&build.out_dir);
    // `--no-pack`: the package has its own package.json. `no-install`: what is not pinned is not fetched.
    Run::new(pack.join("wasm-pack"), &place.root)
        .args(["build", ".", "--mode", "no-install", "--no-pack", "--target", &build.target])
        .args(["--profile", &build.profile, "--out-name", &build.out_name, "--out-dir"])
        .arg(&out)
        .path_first(&[&bindgen, &npm])?
        .check()?;
    let name = &build.out_name;
    let made = out.join(format!("{name}.js"));
    let glue = fs::read_to_string(&made)?;
    fs::write(out.join("realm.js"), glue::realm_factory(&glue)?)?;
    fs::write(&made, glue::factory(&glue)?)?;
    // They are those of the glue as it was, and not shipped: `packages` holds them against what is declared by hand.
    let kept = declared(place);
    fs::create_dir_all(kept.with_file_name(""))?;
    fs::rename(out.join(format!("{name}.d.ts")), kept)?;
    // wasm-pack leaves a .gitignore of `*`, which npm obeys: the module would be missing in the tarball.
    for stray in [".gitignore", "package.json", "README.md", &format!("{name}_bg.wasm.d.ts")] {
        let stray = out.join(stray);
        if stray.exists() {
            fs::remove_file(stray)?;
        }
    }
    Ok(())
}

/// What wasm-bindgen declares of its glue.
fn declared(place: &Place) -> PathBuf {
    place.root.join(".fieldsync/glue").join(format!("{}.d.ts", place.inputs.build.out_name))
}

/// wasm-pack takes the first wasm-opt on PATH unseen; an old one breaks the module without a word.
fn require_wasm_opt(place: &Place, folder: &Path) -> Result<()> {
    let printed = Run::new(folder.join("wasm-opt"), &place.root).arg("--version").read()?;
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    let wanted = place.inputs.tools.binaryen.split('.').next().unwrap_or_default();
    if printed.split_whitespace().nth(2) != Some(wanted) {
        bail!("wasm-opt of binaryen {wanted} is needed; node_modules has '{printed}'");
    }
    Ok(())
}

/// The client, and the fault proxy for tests: JavaScript and declarations beside the glue.
pub(crate) fn typescript(place: &Place) -> Result<()> {
    setup::node_modules(place)?;
    let inputs = ["js/src", "js/tsconfig.json", "js/fault-proxy", "package-lock.json"].map(PathBuf::from);
    let outputs = ["index.js", "index.d.ts", "fault-proxy/main.js"].map(|file| place.dist().join(file));
    let ran = when_changed(place, "typescript", &inputs, "", &outputs, || {
        clear_client(place)?;
        tsc::SHIPPED.iter().try_for_each(|project| tsc::build(place, project))
    })?;
    println!("client: {}", if ran { "built" } else { "unchanged" });
    Ok(())
}

/// Removes what an earlier tsc wrote: the output of a deleted source must not be shipped.
fn clear_client(place: &Place) -> Result<()> {
    let wasm = place.root.join(&place.inputs.build.out_dir);
    if !place.dist().is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(place.dist())? {
        let path = entry?.path();
        if path == wasm {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// The tarball.
fn pack(place: &Place) -> Result<PathBuf> {
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(place.root.join("pkg/package.json"))?)?;
    let version = manifest["version"].as_str().context("pkg/package.json has no version")?;
    let folder = place.target.join("package");
    let tarball = folder.join(format!("fieldsync-{version}.tgz"));
    // `pkg` without its output, and the output by name: a digest leaves folders called dist out.
    let mut inputs = vec![PathBuf::from("pkg")];
    inputs.extend(files_in(&place.dist())?);
    let ran = when_changed(place, "package", &inputs, &tarball.to_string_lossy(), std::slice::from_ref(&tarball), || {
        fs::create_dir_all(&folder)?;
        Run::new("npm", &place.root.join("pkg")).args(["pack", "--silent", "--pack-destination"]).arg(&folder).check()
    })?;
    println!("tarball: {}", if ran { "packed" } else { "unchanged" });
    Ok(tarball)
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() { files.extend(files_in(&path)?) } else { files.push(path) }
    }
    Ok(files)
}
