//! `fuzz`: bytes that nobody meant well, for as long as somebody likes: mutants of the tracked corpus in `tests/fuzz`.
//! `cargo xtask native` runs the corpus and some mutants; this goes on, for ten minutes unless `--minutes N` says
//! otherwise, with all targets in turn or the one that is named.

use crate::place::Place;
use crate::run::Run;
use crate::tally::Tally;
use anyhow::{Context, Result, bail};

/// How long, if nobody says.
const MINUTES: u64 = 10;

pub(crate) fn run(place: &Place, arguments: &[String]) -> Result<Tally> {
    let (target, minutes) = asked(arguments)?;
    Run::new("cargo", &place.root)
        .args(["test", "--profile", "simulation", "--package", "fieldsync", "--features", "fieldsync/testing", "--test", "fuzz"])
        .args(["--", "--ignored", "--nocapture"])
        .env("FIELDSYNC_FUZZ_TARGET", target)
        .env("FIELDSYNC_FUZZ_SECONDS", (minutes * 60).to_string())
        .tally()
}

/// The target, or nothing for all, and the minutes.
fn asked(arguments: &[String]) -> Result<(String, u64)> {
    let (mut target, mut minutes) = (String::new(), MINUTES);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let number = words.next().context("--minutes wants a number")?;
                minutes = number.parse().with_context(|| format!("--minutes wants a number, not '{number}'"))?;
            }
            name if target.is_empty() && !name.starts_with('-') => name.clone_into(&mut target),
            other => bail!("'{other}' is none of: a target, --minutes N"),
        }
    }
    Ok((target, minutes))
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn a_target_and_minutes_may_be_said() {
        let of = |line: &str| asked(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).ok();
        assert_eq!(of(""), Some((String::new(), 10)));
        assert_eq!(of("delta --minutes 2"), Some(("delta".to_owned(), 2)));
        for wrong in ["--minutes", "--minutes x", "delta page", "--seconds 3"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
