//! The workshop: `cargo xtask <command>` builds, checks and runs FieldSync.
//!
//! A command is one file here. Each installs what it needs at the pinned version (`setup`), says
//! what it runs, and is short when nothing changed. `test` runs every check in order; the checks
//! are the same commands that a person runs alone.

#![allow(clippy::print_stdout, reason = "a terminal tool speaks on stdout")]

mod bench;
mod browser;
mod build;
mod clippy;
mod demo;
mod deny;
mod doc;
mod e2e;
mod fmt;
mod glue;
mod inputs;
mod js;
mod lint_js;
mod native;
mod node;
mod package;
mod packages;
mod place;
mod replay;
mod run;
mod server;
mod setup;
mod simulate;
mod size;
mod tally;
mod test;
mod tools;
mod types;
mod www;

use anyhow::{Result, bail};
use place::Place;
use std::process::ExitCode;
use tally::Tally;

/// What a command is: it reports how many tests passed and failed, or why it could not.
type Command = fn(&Place, &[String]) -> Result<Tally>;

/// Every command, in the order in which `cargo xtask` lists them.
const COMMANDS: &[(&str, Command, &str)] = &[
    ("setup", setup::run, "install what is missing, at pinned versions"),
    ("build", build::run, "the npm package: wasm, TypeScript, tarball"),
    ("demo", demo::run, "server with generated data and the clinic app, until ctrl-c; `--port N`"),
    ("test", test::run, "every check, each timed (docs/testing.md has the list)"),
    ("fmt", fmt::run, "rustfmt"),
    ("clippy", clippy::run, "clippy, native and wasm32, warnings denied"),
    ("doc", doc::run, "rustdoc, warnings denied"),
    ("deny", deny::run, "licences, bans and sources of every crate"),
    ("lint-js", lint_js::run, "format and lint of TypeScript and JavaScript"),
    ("types", types::run, "strict TypeScript and the type tests"),
    ("native", native::run, "Rust tests of the engine and of this tool"),
    ("server", server::run, "Rust tests of the server"),
    ("js", js::run, "unit tests of the TypeScript client"),
    ("browser", browser::run, "what the adapters promise, in Chromium, Firefox and WebKitGTK"),
    ("package", package::run, "the tarball: its files, and that a plain page can load it"),
    ("packages", packages::run, "the tarball with bundlers, in workers, in Node, under each TypeScript"),
    ("size", size::run, "the package against its size budget"),
    ("e2e", e2e::run, "the package, the server and the app together, in Chromium"),
    ("replay", replay::run, "a folder of records through two browsers and the server; `[DIR [--seed N]]`"),
    (
        "simulate",
        simulate::run,
        "the engine in a world that one seed decides; `--seed S`, `--seeds A..B`, `--minutes N`, `--bugs`, \
         `--scenario`, `--exhaustive`, `--plan` (docs/testing.md)",
    ),
    ("bench", bench::run, "ratios to raw IndexedDB in the same run"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(tally) if tally.failed == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<Tally> {
    let Some((name, rest)) = arguments.split_first() else {
        print_help();
        return Ok(Tally::default());
    };
    let Some((_, command, _)) = COMMANDS.iter().find(|(known, _, _)| known == name) else {
        print_help();
        bail!("there is no command '{name}'");
    };
    command(&Place::find()?, rest)
}

fn print_help() {
    println!("cargo xtask <command>\n");
    for (name, _, what) in COMMANDS {
        println!("  {name:<10}{what}");
    }
}
