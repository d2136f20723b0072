//! How many tests a part ran, read from the closing lines of its test runners.
//!
//! The runners are cargo test (`test result: ok. 3 passed; 1 failed; ...`) and
//! node's (`# pass 3`, `# fail 0`, with another sign in its other reporter). A check without a runner
//! is one test: it held, or it did not.

use std::ops::AddAssign;

/// Tests that passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// A check that held.
    pub(crate) const HELD: Self = Self { passed: 1, failed: 0 };

    /// Counts what one line of output says, if it is the closing line of a runner.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(result) = line.strip_prefix("test result:") {
            for part in result.split(['.', ';']) {
                match part.trim().split_once(' ') {
                    Some((number, "passed")) => self.passed += number.parse::<u64>().unwrap_or(0),
                    Some((number, "failed")) => self.failed += number.parse::<u64>().unwrap_or(0),
                    _ => {}
                }
            }
        } else if let Some(rest) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            match rest.split_once(' ') {
                Some(("pass", number)) => self.passed += number.parse::<u64>().unwrap_or(0),
                // A cancelled test did not pass either.
                Some(("fail" | "cancelled", number)) => self.failed += number.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// How many ran at all.
    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn of(text: &str) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn cargo_and_wasm_bindgen_close_alike() {
        let text = "running 4 tests\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
            test result: ok. 12 passed; 0 failed; 0 ignored; 5 filtered out; finished in 1.5s\n";
        assert_eq!(of(text), Tally { passed: 15, failed: 1 });
    }

    #[test]
    fn both_reporters_of_node_are_read() {
        assert_eq!(of("# tests 5\n# pass 3\n# fail 1\n# cancelled 1\n# skipped 0\n"), Tally { passed: 3, failed: 2 });
        assert_eq!(of("ℹ tests 2\nℹ pass 2\nℹ fail 0\nℹ cancelled 0\n"), Tally { passed: 2, failed: 0 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(of("7 passed\nok 1 - passes\ntest relations::cycle ... ok\n# Subtest: pass 3\n"), Tally::default());
    }
}
