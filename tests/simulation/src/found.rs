//! What many seeds broke: of each broken promise one run, made short and written to a file, before anybody asks.

use std::collections::BTreeMap;
use std::path::Path;

use crate::draw::Workload;
use crate::file::{self, Kept};
use crate::shrink::shrink;
use crate::sim::{Invariant, Violation};

/// Shrinks the lowest seed that broke each promise, in at most so many runs, and writes it into a folder; says of each
/// where it lies, or why it does not.
pub fn write(violations: &[(u64, Violation)], workload: Workload, folder: &Path, runs_max: u32, told: impl Fn(&str)) {
    let mut lowest: BTreeMap<Invariant, u64> = BTreeMap::new();
    for (seed, violation) in violations {
        let known = lowest.entry(violation.invariant).or_insert(*seed);
        *known = (*seed).min(*known);
    }
    if let Err(error) = std::fs::create_dir_all(folder) {
        return told(&format!("{}: {error}", folder.display()));
    }
    for (invariant, seed) in lowest {
        let Some(shrunk) = shrink(&crate::plan_with(seed, workload), runs_max) else {
            told(&format!("{invariant:?}: seed {seed}, run alone and over memory, breaks no promise"));
            continue;
        };
        let (actions, runs) = (shrunk.plan.actions.len(), shrunk.runs);
        let path = folder.join(format!("{:?}-{}-{seed}.json", shrunk.violation.invariant, workload.name()));
        match file::write(&path, &Kept::of(shrunk)) {
            Ok(()) => told(&format!("{invariant:?}: seed {seed}, {actions} actions after {runs} runs, written to {}", path.display())),
            Err(error) => told(&error),
        }
    }
}
