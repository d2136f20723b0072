//! A device's trail as it comes up: whether its rows continue what is here of it, and what is kept of them. The hash of the
//! last row is one over all before it, so that a device which writes its past anew is found by that alone.

use std::fmt;

use fieldsync::audit::{Chain, Reason, Stored};
use fieldsync::protocol::TrailHead;
use fieldsync::value::Object;
use serde_json::{Value, json};

/// Why rows are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Rows before them are missing here.
    Gap,
    /// Another row of the same number is here, or they follow another one.
    Fork,
    /// Among themselves they are not linked.
    Broken,
}

/// Rows that do not continue what is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenTrail {
    why: Why,
    /// The row.
    number: u64,
    /// How far the trail is here.
    known: TrailHead,
}

impl fmt::Display for BrokenTrail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, through) = (self.number, self.known.through);
        match self.why {
            Why::Gap => write!(f, "what lies between row {through} and row {number} is missing"),
            Why::Fork => write!(f, "row {number} does not follow row {through} as it is here"),
            Why::Broken => write!(f, "row {number} is not linked to the one before"),
        }
    }
}

impl BrokenTrail {
    /// For the device.
    pub fn told(&self) -> Value {
        let reason = match self.why {
            Why::Gap => "gap",
            Why::Fork => "fork",
            Why::Broken => "broken",
        };
        json!({"reason": reason, "number": self.number, "through": self.known.through, "head": self.known.head})
    }
}

/// Rows that continue what is here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TakenRows {
    /// How far the trail is here with them.
    pub trail: TrailHead,
    /// The row after which they begin, where rows before that went with a wipe.
    pub begins: Option<u64>,
    /// Those that were not here.
    pub rows: Vec<Object>,
}

impl TakenRows {
    /// Holds rows against what is here. Those that are here already are passed over, so that a lost answer does no harm.
    pub fn of(known: &TrailHead, begins: Option<&TrailHead>, texts: &[&str]) -> Result<Self, BrokenTrail> {
        let broken = |why, number| BrokenTrail { why, number, known: known.clone() };
        let fork_at = |begins: &TrailHead| begins.through == known.through && begins.head != known.head;
        if begins.is_some_and(fork_at) {
            return Err(broken(Why::Fork, known.through));
        }
        let begins = begins.filter(|begins| begins.through > known.through);
        let from = begins.unwrap_or(known);
        let mut chain = Chain::at(from.through, from.head.clone());
        let mut rows = Vec::new();
        for text in texts {
            let mut row = Stored { key: 0, text: (*text).to_owned() };
            let object = row.object();
            let number = object.as_ref().and_then(|object| object.get("seq")?.as_u64()).filter(|number| *number > 0);
            let Some((object, number)) = object.zip(number) else { return Err(broken(Why::Broken, chain.through)) };
            row.key = number;
            if rows.is_empty() && row.key <= from.through {
                if row.key == known.through && row.hash().as_ref() != Some(&known.head) {
                    return Err(broken(Why::Fork, row.key));
                }
                continue;
            }
            let first = if rows.is_empty() { Why::Fork } else { Why::Broken };
            if row.key <= chain.through {
                return Err(broken(Why::Broken, row.key));
            }
            let missing = |reason| if reason == Reason::Missing { Why::Gap } else { first };
            chain.follow(&row, None).map_err(|bad| broken(missing(bad.reason), row.key))?;
            rows.push(object);
        }
        let begins = begins.map(|begins| begins.through).filter(|_| !rows.is_empty());
        let trail = if rows.is_empty() { known.clone() } else { TrailHead { through: chain.through, head: chain.head } };
        Ok(Self { trail, begins, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldsync::audit::Row;
    use fieldsync::model::Stamp;
    use fieldsync::value::{Hash, to_text};

    fn trail(user: &str) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for seq in [1, 2, 4, 7] {
            rows.push(Row::after(rows.last(), seq, Stamp { ms: seq, n: 0 }, None, user, None, Vec::new()));
        }
        rows
    }

    fn at(row: &Row) -> TrailHead {
        TrailHead { through: row.seq, head: row.hash.clone() }
    }

    fn take(known: &TrailHead, begins: Option<&TrailHead>, rows: &[Row]) -> Result<(u64, usize, Option<u64>), (Why, u64)> {
        let texts: Vec<String> = rows.iter().map(to_text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let taken = TakenRows::of(known, begins, &texts).map_err(|broken| (broken.why, broken.number))?;
        Ok((taken.trail.through, taken.rows.len(), taken.begins))
    }

    #[test]
    fn rows_are_taken_once_whatever_of_them_comes_again() {
        let rows = trail("anna");
        let nothing = TrailHead::default();
        assert_eq!(take(&nothing, None, &rows), Ok((7, 4, None)));
        assert_eq!(take(&nothing, None, &[]), Ok((0, 0, None)));
        for known in &rows {
            let new = rows.iter().filter(|row| row.seq > known.seq).count();
            assert_eq!(take(&at(known), None, &rows), Ok((7, new, None)));
            assert_eq!(take(&at(known), None, &rows[..1]), Ok((known.seq, 0, None)), "an old answer was lost");
        }
    }

    #[test]
    fn a_gap_a_fork_and_a_broken_link_are_told_apart() {
        let (rows, other) = (trail("anna"), trail("eve"));
        let nothing = TrailHead::default();
        assert_eq!(take(&nothing, None, &rows[1..]), Err((Why::Gap, 2)));
        assert_eq!(take(&at(&rows[0]), None, &rows[2..]), Err((Why::Gap, 4)));
        assert_eq!(take(&at(&rows[1]), None, &other), Err((Why::Fork, 2)), "the same number, another row");
        assert_eq!(take(&at(&rows[1]), None, &other[2..]), Err((Why::Fork, 4)), "it follows another row");
        assert_eq!(
            take(&at(&rows[3]), None, &[Row::after(Some(&rows[1]), 8, Stamp::default(), None, "anna", None, Vec::new())]),
            Err((Why::Fork, 8))
        );
        assert_eq!(take(&nothing, None, &[rows[0].clone(), other[1].clone()]), Err((Why::Broken, 2)));
        assert_eq!(take(&nothing, None, &[rows[0].clone(), rows[0].clone()]), Err((Why::Broken, 1)));
        let mut changed = rows.clone();
        changed[2].user = "eve".to_owned();
        assert_eq!(take(&nothing, None, &changed), Err((Why::Broken, 4)));
        let told = TakenRows::of(&nothing, None, &["[1]"]).expect_err("no row").told();
        assert_eq!(told, json!({"reason": "broken", "number": 0, "through": 0, "head": Hash::zero()}));
    }

    #[test]
    fn what_went_with_a_wipe_is_a_gap_that_is_told() {
        let (rows, nothing) = (trail("anna"), TrailHead::default());
        assert_eq!(take(&nothing, Some(&at(&rows[1])), &rows[2..]), Ok((7, 2, Some(2))));
        assert_eq!(take(&nothing, Some(&at(&rows[1])), &[]), Ok((0, 0, None)), "nothing is taken on trust");
        assert_eq!(take(&at(&rows[1]), Some(&at(&rows[1])), &rows[2..]), Ok((7, 2, None)), "nothing is missing here");
        assert_eq!(take(&at(&rows[2]), Some(&at(&rows[1])), &rows[2..]), Ok((7, 1, None)));
        assert_eq!(take(&at(&rows[1]), Some(&at(&trail("eve")[1])), &rows[2..]), Err((Why::Fork, 2)));
        assert_eq!(take(&nothing, Some(&at(&trail("eve")[1])), &rows[2..]), Err((Why::Fork, 4)));
    }
}
