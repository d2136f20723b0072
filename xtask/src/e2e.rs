//! `e2e`: the packed package, the server and the clinic app together, driven in Chromium.
//!
//! Tests are `tests/e2e/*.test.mjs`, run by node's runner. They get the stage from here by
//! environment variables, so that none of them builds anything.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use crate::{build, node, server, setup, www};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// What a browser test finds built.
#[derive(Debug)]
pub(crate) struct Stage {
    chromium: PathBuf,
    tarball: PathBuf,
    server: Option<PathBuf>,
}

impl Stage {
    /// The browser and the package.
    pub(crate) fn package(place: &Place) -> Result<Self> {
        Ok(Self { chromium: setup::chromium()?, tarball: build::package(place)?, server: None })
    }

    /// The browser, the package and the server.
    pub(crate) fn with_server(place: &Place) -> Result<Self> {
        Ok(Self { server: Some(server::binary(place)?), ..Self::package(place)? })
    }

    /// The same with the optimised server, for times.
    pub(crate) fn for_times(place: &Place) -> Result<Self> {
        Ok(Self { server: Some(server::optimised_binary(place)?), ..Self::package(place)? })
    }

    /// The packed package.
    pub(crate) fn tarball(&self) -> &Path {
        &self.tarball
    }

    /// Tells a node program where they are.
    pub(crate) fn apply(&self, run: Run) -> Run {
        let run = run.env("FIELDSYNC_CHROMIUM", &self.chromium).env("FIELDSYNC_TARBALL", &self.tarball);
        match &self.server {
            Some(server) => run.env("FIELDSYNC_SERVER_BIN", server),
            None => run,
        }
    }
}

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let stage = Stage::with_server(place)?;
    www::built(place)?;
    let tests = if arguments.is_empty() { node::files(place, "tests/e2e")? } else { arguments.to_vec() };
    // One file after the other: they share two cores, and times are asserted in none of them.
    stage.apply(node::tests(place).arg("--test-concurrency=1").args(tests)).tally()
}
