//! Bytes that nobody meant well: what reads messages, compares, applies and merges must neither panic nor take for ever on
//! any of them, and keep its laws on what it takes. Each target runs on every file of its corpus (`fuzz/corpus/TARGET`) and
//! on some mutants of those; `cargo xtask fuzz` goes on for minutes. What it finds becomes a file of the corpus.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::disallowed_types, clippy::disallowed_methods, missing_docs, unreachable_pub, reason = "test support is not an API")]

#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/targets.rs"]
mod targets;

use std::time::{Duration, Instant};

use arbtest::arbtest;
use corpus::{Corpus, mutant};
use targets::{TARGETS, Target};

/// Longer than anything of the corpus takes, on a machine that does other things beside.
const ONE_MAX: Duration = Duration::from_secs(20);
/// How long each target gets mutants in an ordinary run.
const MUTANTS_MS: u64 = 400;

/// Runs a target, and says on what it broke.
fn run(name: &str, target: Target, input: &[u8]) {
    let began = Instant::now();
    if let Err(panic) = std::panic::catch_unwind(|| target(input)) {
        eprintln!("target {name}, input {:?}", String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
    assert!(began.elapsed() < ONE_MAX, "{name} takes too long on {:?}", String::from_utf8_lossy(input));
}

#[test]
fn every_file_of_the_corpus_is_harmless() {
    for (name, target) in TARGETS {
        let corpus = Corpus::read(name);
        assert!(!corpus.files.is_empty(), "{name} has a corpus");
        corpus.files.iter().for_each(|(_, input)| run(name, *target, input));
    }
}

#[test]
fn some_mutants_of_it_are_harmless() {
    for (name, target) in TARGETS {
        let corpus = Corpus::read(name);
        arbtest(|u| {
            run(name, *target, &mutant(u, &corpus)?);
            Ok(())
        })
        .budget_ms(MUTANTS_MS);
    }
}

/// The targets are not blind: each comes by documents that it takes.
#[test]
fn each_target_takes_something_of_its_corpus() {
    for (name, target) in TARGETS {
        let taken = Corpus::read(name).files.iter().filter(|(_, input)| targets::takes(*target, input)).count();
        assert!(taken > 0, "{name}");
    }
}

/// For `cargo xtask fuzz`, which says in the environment which target and how long.
#[test]
#[ignore = "runs as long as it is told"]
fn longer() {
    let wanted = std::env::var("FIELDSYNC_FUZZ_TARGET").unwrap_or_default();
    let seconds: u64 = std::env::var("FIELDSYNC_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let chosen: Vec<_> = TARGETS.iter().filter(|(name, _)| wanted.is_empty() || *name == wanted).collect();
    assert!(!chosen.is_empty(), "no target has the name '{wanted}': {:?}", TARGETS.iter().map(|(name, _)| name).collect::<Vec<_>>());
    for (name, target) in &chosen {
        let corpus = Corpus::read(name);
        let mut inputs = 0_u64;
        arbtest(|u| {
            inputs += 1;
            run(name, *target, &mutant(u, &corpus)?);
            Ok(())
        })
        .budget(Duration::from_secs(seconds) / u32::try_from(chosen.len()).unwrap_or(1));
        eprintln!("{name}: {inputs} inputs");
    }
}
