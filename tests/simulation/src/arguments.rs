//! The words after `simulate`. Every one of them is known and has a value that makes sense, or the whole is refused:
//! a run that checks something else than was asked for is worse than none.

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Number,
    /// A number, and not 0: none of it would be no run at all.
    Count,
    /// Two numbers, the second larger: `A..B`.
    Range,
    Word,
    /// A word, or nothing.
    MaybeWord,
    /// A number but 0, or nothing.
    MaybeCount,
}

const OPTIONS: &[(&str, Takes)] = &[
    ("--seed", Takes::Number),
    ("--shrink", Takes::Nothing),
    ("--to", Takes::Word),
    ("--runs", Takes::Count),
    ("--seeds", Takes::Range),
    ("--minutes", Takes::Count),
    ("--from", Takes::Number),
    ("--plan", Takes::Word),
    ("--exhaustive", Takes::MaybeWord),
    ("--scenario", Takes::Word),
    ("--disturbed", Takes::Word),
    ("--jepsen", Takes::MaybeCount),
    ("--bugs", Takes::Nothing),
    ("--bug", Takes::Word),
    ("--threads", Takes::Count),
    ("--sqlite", Takes::Nothing),
    ("--workload", Takes::Word),
    ("--single", Takes::Nothing),
    ("--marks", Takes::Nothing),
];

/// What can be asked for: one of these in each run. The other options say how.
const ASKED: &[&str] = &["--seed", "--seeds", "--minutes", "--plan", "--exhaustive", "--scenario", "--jepsen", "--bugs"];

/// Options that mean nothing without one of others.
const ONLY_WITH: &[(&str, &[&str])] = &[
    ("--shrink", &["--seed"]),
    ("--to", &["--shrink", "--seeds", "--minutes"]),
    ("--runs", &["--shrink", "--seeds", "--minutes"]),
    ("--from", &["--minutes"]),
    ("--disturbed", &["--scenario"]),
    ("--threads", &["--seeds", "--minutes", "--exhaustive", "--bugs"]),
    ("--sqlite", &["--seed", "--seeds", "--minutes"]),
    ("--workload", &["--seed", "--seeds", "--minutes"]),
    ("--single", &["--seeds", "--minutes"]),
    ("--marks", &["--seeds", "--minutes"]),
];

/// The options that were named, with their values.
#[derive(Debug)]
pub(crate) struct Arguments(Vec<(&'static str, Option<String>)>);

impl Arguments {
    /// Reads them, or says in a sentence what is wrong.
    pub(crate) fn read(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter().peekable();
        let mut found = Self(Vec::new());
        let count = |value: &String| value.parse::<u64>().is_ok_and(|number| number > 0);
        while let Some(word) = words.next() {
            let Some((name, takes)) = OPTIONS.iter().find(|(name, _)| *name == word) else {
                return Err(format!("there is no option '{word}'"));
            };
            if found.has(name) {
                return Err(format!("{name} is named twice"));
            }
            let value = words.next_if(|next| *takes != Takes::Nothing && !next.starts_with("--"));
            let (wanted, holds) = match takes {
                Takes::Nothing => ("nothing", true),
                Takes::Number => ("a number", value.as_ref().is_some_and(|value| value.parse::<u64>().is_ok())),
                Takes::Count => ("a number from 1 on", value.as_ref().is_some_and(count)),
                Takes::MaybeCount => ("a number from 1 on, or nothing", value.as_ref().is_none_or(count)),
                Takes::Range => ("two numbers, the second larger: A..B", value.as_deref().and_then(range).is_some()),
                Takes::Word => ("a word", value.is_some()),
                Takes::MaybeWord => ("a word, or nothing", true),
            };
            if !holds {
                return Err(format!("{name} takes {wanted}{}", value.map_or_else(String::new, |value| format!("; '{value}' is not"))));
            }
            found.0.push((name, value));
        }
        let asked: Vec<&str> = ASKED.iter().copied().filter(|name| found.has(name)).collect();
        match asked.len() {
            0 => return Err(format!("nothing is asked for; name one of {}", ASKED.join(", "))),
            1 => {}
            _ => return Err(format!("only one of {} can be asked for in a run", asked.join(", "))),
        }
        // The shrinker knows memory alone.
        if found.has("--shrink") && found.has("--sqlite") {
            return Err("--shrink runs over memory: it means nothing with --sqlite".to_owned());
        }
        match ONLY_WITH.iter().find(|(name, others)| found.has(name) && !others.iter().any(|other| found.has(other))) {
            Some((name, others)) => Err(format!("{name} means something only with {}", others.join(", "))),
            None => Ok(found),
        }
    }
    /// Why a bug that was asked for cannot be planted by a build that knows these.
    pub(crate) fn no_bug(&self, known: &[String]) -> Option<String> {
        let name = self.text("--bug");
        if name.is_none() && !self.has("--bugs") {
            return None;
        }
        if known.is_empty() {
            return Some("no bug can be planted in this build: it lacks the feature 'planted', which cargo xtask simulate adds".to_owned());
        }
        let name = name.filter(|name| !known.iter().any(|known| known == name))?;
        Some(format!("there is no bug '{name}'; there are {}", known.join(", ")))
    }
    /// Whether an option was named.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| *own == name)
    }
    /// The value of an option.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| *own == name)?.1.as_deref()
    }
    /// The value of an option that takes a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }
}

/// `A..B`, with at least one number between.
pub(crate) fn range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once("..")?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first < last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        Arguments::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (line, why) in [
            ("--seeds abc --minutes 1", "--seeds takes two numbers, the second larger: A..B; 'abc' is not"),
            ("--seeds 5..3", "--seeds takes two numbers, the second larger: A..B; '5..3' is not"),
            ("--seeds", "--seeds takes two numbers, the second larger: A..B"),
            ("--seeds 0..2 --threads abc", "--threads takes a number from 1 on; 'abc' is not"),
            ("--seeds 0..2 --threads 0", "--threads takes a number from 1 on; '0' is not"),
            ("--seed abc", "--seed takes a number; 'abc' is not"),
            ("--minutes 0", "--minutes takes a number from 1 on; '0' is not"),
            ("--seed 7 --shrink --runs 0", "--runs takes a number from 1 on; '0' is not"),
            ("--jepsen 0", "--jepsen takes a number from 1 on, or nothing; '0' is not"),
            ("--seed 7 --shrink --to", "--to takes a word"),
            ("--seeds 0..2 --single extra", "there is no option 'extra'"),
            ("--jepsen abc", "--jepsen takes a number from 1 on, or nothing; 'abc' is not"),
            ("--sed 7", "there is no option '--sed'"),
            ("--seed 7 --seed 8", "--seed is named twice"),
            ("--seed 7 --shrink --sqlite", "--shrink runs over memory: it means nothing with --sqlite"),
            ("--exhaustive --sqlite", "--sqlite means something only with --seed, --seeds, --minutes"),
        ] {
            assert_eq!(read(line).map(|_| ()), Err(why.to_owned()), "{line}");
        }
        let read = read("--seeds 0..2 --single --workload puts").expect("it makes sense");
        assert_eq!(
            (read.text("--seeds").and_then(range), read.has("--single"), read.text("--workload")),
            (Some((0, 2)), true, Some("puts"))
        );
    }

    #[test]
    fn one_thing_is_asked_for_in_a_run() {
        let nothing = "nothing is asked for; name one of --seed, --seeds, --minutes, --plan, --exhaustive, --scenario, --jepsen, --bugs";
        for line in ["", "--threads 2", "--bug RelaxedSave", "--shrink"] {
            assert_eq!(read(line).map(|_| ()), Err(nothing.to_owned()), "{line}");
        }
        for (line, both) in [
            ("--seed 7 --seeds 0..50", "--seed, --seeds"),
            ("--seeds 0..50 --minutes 1", "--seeds, --minutes"),
            ("--bugs --scenario chain --plan a.json", "--plan, --scenario, --bugs"),
            ("--jepsen --exhaustive", "--exhaustive, --jepsen"),
        ] {
            assert_eq!(read(line).map(|_| ()), Err(format!("only one of {both} can be asked for in a run")), "{line}");
        }
    }

    #[test]
    fn what_docs_testing_md_names_makes_sense() {
        for line in [
            "--seed 0",
            "--seed 7 --sqlite --workload eventful --bug RelaxedSave",
            "--seed 7 --shrink --to a.json --runs 1",
            "--seeds 0..50 --single --marks --sqlite --workload puts --threads 1 --to found --runs 9 --bug RelaxedSave",
            "--minutes 1 --from 0 --threads 2",
            "--plan a.json --bug RelaxedSave",
            "--exhaustive --threads 2",
            "--exhaustive chain",
            "--scenario chain --disturbed [1,2] --bug RelaxedSave",
            "--jepsen",
            "--jepsen 1",
            "--bugs --threads 2",
            "--bugs --bug RelaxedSave",
        ] {
            assert_eq!(read(line).map(|_| ()), Ok(()), "{line}");
        }
    }

    #[test]
    fn a_bug_is_planted_or_refused() {
        let refused = |line: &str, known: &[&str]| {
            let known: Vec<String> = known.iter().map(|name| (*name).to_owned()).collect();
            read(line).expect("it makes sense").no_bug(&known)
        };
        let none = Some("no bug can be planted in this build: it lacks the feature 'planted', which cargo xtask simulate adds".to_owned());
        for line in ["--bugs", "--seed 7 --bug Early", "--plan a.json --bug Typo"] {
            assert_eq!(refused(line, &[]), none, "{line}");
        }
        for line in ["--bugs --bug Typo", "--seed 7 --bug Typo"] {
            assert_eq!(refused(line, &["Early", "Late"]), Some("there is no bug 'Typo'; there are Early, Late".to_owned()), "{line}");
        }
        for line in ["--bugs", "--bugs --bug Late", "--seed 7 --bug Early"] {
            assert_eq!(refused(line, &["Early", "Late"]), None, "{line}");
        }
        assert_eq!(refused("--seed 7", &[]), None);
    }
}
