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
mod fuzz;
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
mod tsc;
mod types;
mod www;

use anyhow::{Result, bail};
use place::Place;
use std::process::ExitCode;
use tally::Tally;

/// What a command is: it reports how many tests passed and failed, or why it could not.
#[derive(Clone, Copy)]
enum Command {
    /// It does one thing.
    Plain(fn(&Place) -> Result<Tally>),
    /// What it does, the words after its name say.
    Asked(fn(&Place, &[String]) -> Result<Tally>),
}
use Command::{Asked, Plain};

impl Command {
    /// Runs it as every test run does.
    fn run(self, place: &Place) -> Result<Tally> {
        match self {
            Plain(run) => run(place),
            Asked(run) => run(place, &[]),
        }
    }
}

/// Every command, in the order in which `cargo xtask` lists them.
const COMMANDS: &[(&str, Command, &str)] = &[
    ("setup", Plain(setup::run), "install what is missing, at pinned versions"),
    ("build", Plain(build::run), "the npm package: wasm, TypeScript, tarball"),
    ("demo", Asked(demo::run), "server with generated data and the clinic app, until ctrl-c; `--port N`"),
    ("test", Plain(test::run), "every check, each timed (docs/testing.md has the list)"),
    ("fmt", Plain(fmt::run), "rustfmt"),
    ("clippy", Plain(clippy::run), "clippy, native and wasm32, warnings denied"),
    ("doc", Plain(doc::run), "rustdoc, warnings denied"),
    ("deny", Plain(deny::run), "licences, bans and sources of every crate"),
    ("lint-js", Plain(lint_js::run), "format and lint of TypeScript and JavaScript"),
    ("types", Plain(types::run), "strict TypeScript and the type tests"),
    ("native", Asked(native::run), "Rust tests of the engine and of this tool"),
    ("server", Asked(server::run), "Rust tests of the server"),
    ("js", Plain(js::run), "unit tests of the TypeScript client"),
    ("browser", Asked(browser::run), "what the adapters promise, in Chromium, Firefox and WebKitGTK"),
    ("package", Plain(package::run), "the tarball: its files, and that a plain page can load it"),
    ("packages", Asked(packages::run), "the tarball with bundlers, in workers, in Node, under each TypeScript"),
    ("size", Plain(size::run), "the package against its size budget"),
    ("e2e", Asked(e2e::run), "the package, the server and the app together, in Chromium"),
    ("replay", Asked(replay::run), "a folder of records through two browsers and the server; `[DIR [--seed N]]`"),
    (
        "simulate",
        Asked(simulate::run),
        "the engine in a world that one seed decides; `--seed S`, `--seeds A..B`, `--minutes N`, `--bugs`, \
         `--scenario`, `--exhaustive`, `--plan`, `--long` (docs/testing.md says what each does)",
    ),
    ("fuzz", Asked(fuzz::run), "mutants of the corpus in tests/fuzz; `[TARGET] [--minutes N]`, by default all for 10 minutes"),
    (
        "bench",
        Asked(bench::run),
        "ratios to raw IndexedDB in the same run; `--quick`, `--beside` (other libraries too), \
         `--browser chromium|firefox`, `--only NAME,..`, `--jobs NAME,..`, `--rounds N` (docs/performance.md)",
    ),
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
    let name = arguments.first().map_or("help", String::as_str);
    let rest = arguments.get(1..).unwrap_or_default();
    if matches!(name, "help" | "--help" | "-h") {
        print_help();
        return Ok(Tally::default());
    }
    let Some((_, command, what)) = named(name) else {
        print_help();
        bail!("there is no command '{name}'");
    };
    // Asked before anything is installed or built.
    if rest.iter().any(|word| matches!(word.as_str(), "--help" | "-h")) {
        println!("cargo xtask {name}: {what}");
        return Ok(Tally::default());
    }
    match (command, rest) {
        (Plain(_), [word, ..]) => bail!("'{name}' takes nothing after its name, and '{word}' is there"),
        (Plain(run), []) => run(&Place::find()?),
        (Asked(run), rest) => run(&Place::find()?, rest),
    }
}

fn named(name: &str) -> Option<&'static (&'static str, Command, &'static str)> {
    COMMANDS.iter().find(|(known, _, _)| *known == name)
}

fn print_help() {
    println!("cargo xtask <command>\n");
    for (name, _, what) in COMMANDS {
        println!("  {name:<10}{what}");
    }
}

#[cfg(test)]
mod tests {
    use super::dispatch;

    fn told(line: &str) -> Result<(), String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        dispatch(&words).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn help_is_answered_without_doing_anything_else() {
        for line in ["", "help", "--help", "-h", "test --help", "simulate --seed 7 -h"] {
            assert_eq!(told(line), Ok(()), "{line}");
        }
    }

    #[test]
    fn a_word_that_means_nothing_is_refused_before_anything_is_done() {
        assert_eq!(told("tests"), Err("there is no command 'tests'".to_owned()));
        assert_eq!(told("test native"), Err("'test' takes nothing after its name, and 'native' is there".to_owned()));
        for line in ["demo --port", "demo --port abc", "demo --port 0", "demo --prot 1"] {
            assert_eq!(told(line), Err("usage: cargo xtask demo [--port N]".to_owned()), "{line}");
        }
    }
}
