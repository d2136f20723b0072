//! The TypeScript compiler of the project, which its lock file pins.

use crate::place::Place;
use crate::run::Run;
use anyhow::Result;

/// What is shipped: the client, and the fault proxy for tests.
pub(crate) const SHIPPED: [&str; 2] = ["js/tsconfig.json", "js/fault-proxy/tsconfig.json"];

/// Compiles a project.
pub(crate) fn build(place: &Place, project: &str) -> Result<()> {
    tsc(place, project).check()
}

/// Checks a project and writes nothing.
pub(crate) fn check(place: &Place, project: &str) -> Result<()> {
    tsc(place, project).args(["--noEmit", "--pretty", "false"]).check()
}

fn tsc(place: &Place, project: &str) -> Run {
    Run::new(place.root.join("node_modules/.bin/tsc"), &place.root).args(["--project", project])
}
