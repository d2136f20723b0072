//! The words after `simulate`. Every one of them is known and has a value that makes sense, or the whole is refused:
//! a run that checks something else than was asked for is worse than none.

/// What an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Number,
    /// Two numbers, the second larger: `A..B`.
    Range,
    Word,
    /// A word, or nothing.
    MaybeWord,
    /// A number, or nothing.
    MaybeNumber,
}

const OPTIONS: &[(&str, Takes)] = &[
    ("--seed", Takes::Number),
    ("--shrink", Takes::Nothing),
    ("--to", Takes::Word),
    ("--runs", Takes::Number),
    ("--seeds", Takes::Range),
    ("--minutes", Takes::Number),
    ("--from", Takes::Number),
    ("--plan", Takes::Word),
    ("--exhaustive", Takes::MaybeWord),
    ("--scenario", Takes::Word),
    ("--disturbed", Takes::Word),
    ("--jepsen", Takes::MaybeNumber),
    ("--bugs", Takes::Nothing),
    ("--bug", Takes::Word),
    ("--threads", Takes::Number),
    ("--sqlite", Takes::Nothing),
    ("--workload", Takes::Word),
    ("--single", Takes::Nothing),
    ("--marks", Takes::Nothing),
];

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
        while let Some(word) = words.next() {
            let Some((name, takes)) = OPTIONS.iter().find(|(name, _)| *name == word) else {
                return Err(format!("there is no option '{word}'"));
            };
            let value = words.next_if(|next| *takes != Takes::Nothing && !next.starts_with("--"));
            let (wanted, holds) = match takes {
                Takes::Nothing => ("nothing", true),
                Takes::Number => ("a number", value.as_ref().is_some_and(|value| value.parse::<u64>().is_ok())),
                Takes::MaybeNumber => ("a number, or nothing", value.as_ref().is_none_or(|value| value.parse::<u64>().is_ok())),
                Takes::Range => ("two numbers, the second larger: A..B", value.as_deref().and_then(range).is_some()),
                Takes::Word => ("a word", value.is_some()),
                Takes::MaybeWord => ("a word, or nothing", true),
            };
            if !holds {
                return Err(format!("{name} takes {wanted}{}", value.map_or_else(String::new, |value| format!("; '{value}' is not"))));
            }
            found.0.push((name, value));
        }
        match ONLY_WITH.iter().find(|(name, others)| found.has(name) && !others.iter().any(|other| found.has(other))) {
            Some((name, others)) => Err(format!("{name} means something only with {}", others.join(", "))),
            None => Ok(found),
        }
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

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let read = |line: &str| Arguments::read(line.split_whitespace().map(str::to_owned));
        for (line, why) in [
            ("--seeds abc --minutes 1", "--seeds takes two numbers, the second larger: A..B; 'abc' is not"),
            ("--seeds 5..3", "--seeds takes two numbers, the second larger: A..B; '5..3' is not"),
            ("--seeds", "--seeds takes two numbers, the second larger: A..B"),
            ("--seeds 0..2 --threads abc", "--threads takes a number; 'abc' is not"),
            ("--seed 7 --shrink --to", "--to takes a word"),
            ("--seeds 0..2 --single extra", "there is no option 'extra'"),
            ("--jepsen abc", "--jepsen takes a number, or nothing; 'abc' is not"),
            ("--sed 7", "there is no option '--sed'"),
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
}
