//! What many seeds broke: of each broken promise one run, made short and written to a file, before anybody asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::Wanted;
use crate::draw::Workload;
use crate::file::{self, Kept};
use crate::shrink::{Shrunk, shrink};
use crate::sim::{Invariant, Violation};
use crate::swarm::run_guarded;

/// What came of one broken promise.
#[derive(Debug)]
pub struct Found {
    /// Which.
    pub invariant: Invariant,
    /// The lowest seed that broke it.
    pub seed: u64,
    /// What came of its run.
    pub end: End,
}

/// What came of a run that was to be made short and written.
#[derive(Debug)]
pub enum End {
    /// Alone and over memory it breaks no promise.
    Holds,
    /// It is written.
    Written {
        /// Here.
        path: PathBuf,
        /// With so many actions.
        actions: usize,
        /// After so many runs.
        runs: u32,
    },
    /// It is short and could not be written, for this reason.
    Lost(String),
}

/// Shrinks the lowest seed that broke each promise, in at most so many runs, and writes it into a folder: one after the
/// other, as the answer is read.
///
/// # Errors
/// Says why there is no such folder.
pub fn write(
    violations: &[(u64, Violation)],
    workload: Workload,
    folder: &Path,
    runs_max: u32,
) -> Result<impl Iterator<Item = Found>, String> {
    let mut lowest: BTreeMap<Invariant, u64> = BTreeMap::new();
    for (seed, violation) in violations {
        let known = lowest.entry(violation.invariant).or_insert(*seed);
        *known = (*seed).min(*known);
    }
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let one = move |(invariant, seed)| Found { invariant, seed, end: end_of(seed, workload, folder, runs_max) };
    Ok(lowest.into_iter().map(one))
}

fn end_of(seed: u64, workload: Workload, folder: &Path, runs_max: u32) -> End {
    let Some(shrunk) = shrink(&crate::plan_with(seed, workload), runs_max) else { return End::Holds };
    let (actions, runs) = (shrunk.plan.actions.len(), shrunk.runs);
    let path = folder.join(format!("{:?}-{}-{seed}.json", shrunk.violation.invariant, workload.name()));
    match file::write(&path, &kept(shrunk)) {
        Ok(()) => End::Written { path, actions, runs },
        Err(error) => End::Lost(error),
    }
}

/// A shrunk run with all that it comes by: whoever keeps it leaves what the story is about.
pub fn kept(shrunk: Shrunk) -> Kept {
    let marks = run_guarded(&shrunk.plan, Wanted::default()).marks;
    let needs = marks.into_iter().map(|(name, times)| (name.to_owned(), times)).collect();
    let Violation { invariant, what } = shrunk.violation;
    Kept { why: what.chars().take(300).collect(), invariant, needs, plan: shrunk.plan }
}
