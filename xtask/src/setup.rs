//! `setup`: everything that the other commands need, at pinned versions.
//!
//! Each command calls the steps that it needs itself, so nobody has to run this first. A step looks
//! before it acts: with everything in place all of them together take a second.

use crate::inputs;
use crate::place::Place;
use crate::run::{Run, which};
use crate::tally::Tally;
use crate::{packages, tools, www};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest Node that our tools run on, Vite among them: major and minor.
const NODE_MIN: (u32, u32) = (20, 19);

/// What npm installs a folder by.
const NPM_FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// Where the engines are, and what drives WebKit on a screen that nobody sees.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) chromium: PathBuf,
    pub(crate) firefox: PathBuf,
    pub(crate) webkit: PathBuf,
    pub(crate) webkit_driver: PathBuf,
    pub(crate) xvfb: PathBuf,
}

/// A program that the system's packages have.
struct Program {
    /// Its name for people.
    what: &'static str,
    /// The variable that names it, where it is somewhere else.
    variable: &'static str,
    /// What it is called, on PATH or as a whole path.
    names: &'static [&'static str],
    /// Debian's package.
    package: &'static str,
}

const CHROMIUM: Program = Program {
    what: "Chromium",
    variable: "FIELDSYNC_CHROMIUM",
    names: &["chromium", "chromium-browser", "google-chrome"],
    package: "chromium",
};
const FIREFOX: Program =
    Program { what: "Firefox", variable: "FIELDSYNC_FIREFOX", names: &["firefox-esr", "firefox"], package: "firefox-esr" };
/// The package of the driver brings the browser too, outside PATH.
const WEBKIT: Program = Program {
    what: "WebKitGTK's MiniBrowser",
    variable: "FIELDSYNC_WEBKIT",
    names: &["/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser", "/usr/lib/aarch64-linux-gnu/webkit2gtk-4.1/MiniBrowser"],
    package: "webkit2gtk-driver",
};
const WEBKIT_DRIVER: Program =
    Program { what: "WebKitWebDriver", variable: "FIELDSYNC_WEBKIT_DRIVER", names: &["WebKitWebDriver"], package: "webkit2gtk-driver" };
const XVFB: Program = Program { what: "Xvfb", variable: "FIELDSYNC_XVFB", names: &["Xvfb"], package: "xvfb" };

impl Program {
    fn find(&self) -> Option<PathBuf> {
        std::env::var_os(self.variable).map(PathBuf::from).or_else(|| which(self.names))
    }
}

pub(crate) fn run(place: &Place) -> Result<Tally> {
    wasm_target()?;
    tools::wasm_bindgen(place)?;
    tools::wasm_pack(place)?;
    tools::cargo_deny(place)?;
    node_modules(place)?;
    www::modules(place)?;
    packages::modules(place)?;
    let engines = engines()?;
    println!("all tools are in place; browser: {}", engines.chromium.display());
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

/// A folder under this name beside the build output, with the files that npm installs `source` by: what is installed
/// there by [`npm_ci`] lies outside the source.
pub(crate) fn npm_copy(place: &Place, source: &str, name: &str) -> Result<PathBuf> {
    let folder = place.target.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for file in NPM_FILES {
        fs::copy(place.root.join(source).join(file), folder.join(file)).with_context(|| format!("copying {file} of {source}"))?;
    }
    Ok(folder)
}

/// Installs a folder's lock file, if it changed since the last time; says whether it did.
pub(crate) fn npm_ci(place: &Place, folder: &Path, what: &str) -> Result<bool> {
    // The stamp lies in node_modules: who deletes that folder deletes the stamp with it.
    let stamp = folder.join("node_modules/.fieldsync-lock");
    let files = NPM_FILES.map(|name| folder.join(name));
    let now = inputs::digest(&place.root, &files, "")?;
    inputs::unless_stamped(&stamp, &now, || {
        println!("installing {what}");
        Run::new("npm", folder).args(["ci", "--no-progress", "--no-audit", "--no-fund"]).check()
    })
}

/// Chromium: on PATH, or named by `FIELDSYNC_CHROMIUM`, or from Debian's packages.
pub(crate) fn chromium() -> Result<PathBuf> {
    program(&CHROMIUM)
}

/// Firefox, found the same way.
pub(crate) fn firefox() -> Result<PathBuf> {
    program(&FIREFOX)
}

/// The three engines and what drives them.
pub(crate) fn engines() -> Result<Engines> {
    Ok(Engines {
        chromium: chromium()?,
        firefox: firefox()?,
        webkit: program(&WEBKIT)?,
        webkit_driver: program(&WEBKIT_DRIVER)?,
        xvfb: program(&XVFB)?,
    })
}

/// Where a program is; as root on Debian, it is installed if it is nowhere.
fn program(wanted: &Program) -> Result<PathBuf> {
    if let Some(path) = wanted.find() {
        return Ok(path);
    }
    let Program { what, variable, package, .. } = wanted;
    let root = Run::new("id", Path::new(".")).arg("-u").read().is_ok_and(|id| id.trim_ascii() == b"0");
    if !root || which(&["apt-get"]).is_none() {
        bail!("{what} is missing: install it (Debian: 'apt-get install {package}'), or name it in {variable}");
    }
    println!("installing {what} from the system's packages");
    let apt = || Run::new("apt-get", Path::new("/")).env("DEBIAN_FRONTEND", "noninteractive");
    apt().args(["update", "--quiet"]).check()?;
    apt().args(["install", "--quiet", "--yes", "--no-install-recommends", package]).check()?;
    wanted.find().with_context(|| format!("the package {package} brought no {what}"))
}

/// Node itself, which nobody installs but the person.
pub(crate) fn node() -> Result<()> {
    let (major, minor) = NODE_MIN;
    let printed = Run::new("node", Path::new("."))
        .arg("--version")
        .read()
        .with_context(|| format!("Node {major}.{minor} or newer is needed, with npm"))?;
    let printed = String::from_utf8_lossy(&printed).trim().to_owned();
    let mut numbers = printed.trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    if numbers.next().zip(numbers.next()).is_none_or(|version| version < NODE_MIN) {
        bail!("Node {major}.{minor} or newer is needed; this is {printed}");
    }
    Ok(())
}
