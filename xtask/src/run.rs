//! One child process: shown as a person would type it, run, and judged by its exit code.

use crate::tally::Tally;
use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A command line that is about to run.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    shown: String,
}

impl Run {
    /// A program by name or path, in the given folder.
    pub(crate) fn new(program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(folder).stdin(Stdio::null());
        let name = Path::new(program).file_name().unwrap_or(program);
        Self { command, shown: name.to_string_lossy().into_owned() }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.shown.push(' ');
        self.shown.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Several more arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the child's environment.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Puts folders before everything else on the child's PATH.
    pub(crate) fn path_first(self, folders: &[&Path]) -> Result<Self> {
        let present = std::env::var_os("PATH").unwrap_or_default();
        let mut all: Vec<_> = folders.iter().map(|folder| folder.to_path_buf()).collect();
        all.extend(std::env::split_paths(&present));
        let joined = std::env::join_paths(all).context("a tool's folder cannot stand on PATH")?;
        Ok(self.env("PATH", joined))
    }

    /// Runs it with its output on ours; fails unless it exits with 0.
    pub(crate) fn check(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self.command.status().with_context(|| format!("starting '{}'", self.shown))?;
        if !status.success() {
            bail!("'{}' ended with {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it silently and returns what it printed; fails, with its messages, unless it exits with 0.
    pub(crate) fn read(self) -> Result<Vec<u8>> {
        let Self { mut command, shown } = self;
        let output = command.output().with_context(|| format!("starting '{shown}'"))?;
        if !output.status.success() {
            bail!("'{shown}' ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output.stdout)
    }

    /// Runs test runners, shows their output as it comes and counts their closing lines. A runner that
    /// fails without naming a failed test is one failure; so is one that ran no test at all, because
    /// nobody would notice.
    pub(crate) fn tally(self) -> Result<Tally> {
        println!("$ {}", self.shown);
        self.tally_onto(&mut std::io::stdout(), &mut std::io::stderr())
    }

    fn tally_onto(self, out: &mut impl Write, messages: &mut (impl Write + Send)) -> Result<Tally> {
        let Self { mut command, shown } = self;
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| format!("starting '{shown}'"))?;
        let stdout = child.stdout.take().context("a piped child has an output")?;
        let stderr = child.stderr.take().context("a piped child has an error output")?;
        let (said, warned) = std::thread::scope(|scope| {
            let warned = scope.spawn(|| tee(stderr, messages));
            (tee(stdout, out), warned.join())
        });
        let mut tally = said?;
        tally += warned.map_err(|_| anyhow::anyhow!("reading the messages of '{shown}' broke"))??;
        let status = child.wait()?;
        if tally.ran() == 0 {
            writeln!(out, "'{shown}' ran no test")?;
            tally.failed += 1;
        } else if !status.success() && tally.failed == 0 {
            writeln!(out, "'{shown}' ended with {status}")?;
            tally.failed += 1;
        }
        Ok(tally)
    }
}

/// Copies lines to our own output and counts what they say.
fn tee(from: impl Read, to: &mut impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        tally.read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(tally)
}

/// The first of these programs that PATH has.
pub(crate) fn which(names: &[&str]) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    names.iter().find_map(|name| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file()))
}

#[cfg(test)]
mod tests {
    use super::Run;
    use crate::tally::Tally;
    use anyhow::Result;
    use std::path::Path;

    /// What the planted runners print must not reach our own output: a test run of this file is itself
    /// counted by its closing lines.
    fn tally(script: &str) -> Result<Tally> {
        shell(script).tally_onto(&mut std::io::sink(), &mut std::io::sink())
    }

    fn shell(script: &str) -> Run {
        Run::new("sh", Path::new(".")).args(["-c", script])
    }

    #[test]
    fn a_runner_that_breaks_after_its_last_test_is_a_failure() -> Result<()> {
        let tally = tally("echo 'test result: ok. 2 passed; 0 failed'; exit 7")?;
        assert_eq!(tally, Tally { passed: 2, failed: 1 });
        Ok(())
    }

    #[test]
    fn a_runner_that_ran_nothing_is_a_failure() -> Result<()> {
        assert_eq!(tally("echo 'test result: ok. 0 passed; 0 failed'")?, Tally { passed: 0, failed: 1 });
        Ok(())
    }

    #[test]
    fn closing_lines_on_both_outputs_count() -> Result<()> {
        let tally = tally("echo '# pass 1'; echo 'test result: FAILED. 1 passed; 1 failed;' >&2; exit 1")?;
        assert_eq!(tally, Tally { passed: 2, failed: 1 });
        Ok(())
    }

    #[test]
    fn a_check_fails_by_its_exit_code_alone() {
        assert!(shell("exit 0").check().is_ok());
        assert!(shell("exit 3").check().is_err());
    }
}
