//! Following the trail: each row as it is stored must continue the one before. The first that does not is named, with
//! what most likely was done to it. Holds two hashes, however long the trail is.

use serde::Serialize;
use serde_json::Value;

use super::row::link;
use crate::value::{Hash, Limits, Object, from_value, hash_bytes, parse};

/// No bound but the levels: the store holds what was once written.
const STORED: Limits = Limits { bytes_max: usize::MAX, depth_max: Limits::MESSAGE.depth_max };

/// A row as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its key, which is its number.
    pub key: u64,
    /// Its text.
    pub text: String,
}

impl Stored {
    /// The row as an object; nothing if its text is none.
    pub fn object(&self) -> Option<Object> {
        match parse(&self.text, &STORED) {
            Ok(Value::Object(object)) => Some(object),
            Ok(_) | Err(_) => None,
        }
    }
    /// The row as an object, if it is a row: one with a hash.
    pub fn readable(&self) -> Option<Object> {
        self.object().filter(|row| row.get("hash").is_some_and(|hash| from_value::<Hash>(hash).is_ok()))
    }
    /// The row without its hash, and the hash.
    fn parts(&self) -> Option<(Value, Hash)> {
        let mut object = self.object()?;
        let hash = from_value(&object.remove("hash")?).ok()?;
        Some((Value::Object(object), hash))
    }
    /// Its hash, as it is stored.
    pub fn hash(&self) -> Option<Hash> {
        self.parts().map(|(_, hash)| hash)
    }
    /// What the next row is linked to: its hash, or where it has none, that of the text that stands there.
    pub fn head(&self) -> Hash {
        self.hash().unwrap_or_else(|| hash_bytes(self.text.as_bytes()))
    }
}

/// What was done to the trail, as far as it can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Reason {
    /// The row, or the hash in it, is not what was written; or the one before it was replaced.
    Changed,
    /// The row is gone.
    Missing,
    /// The row was put in between.
    Inserted,
    /// The row says that it belongs to another place.
    Misplaced,
    /// The row is no row.
    Unreadable,
    /// The end of the trail is gone: other stored state knows of a row with this number or a later one.
    Truncated,
}

/// The first row that does not continue the trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FirstBad {
    /// Its number.
    pub number: u64,
    /// What is wrong.
    pub reason: Reason,
}

/// How far a trail was followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The number of the last row that continues it; 0 before the first.
    pub through: u64,
    /// The hash of that row.
    pub head: Hash,
    /// The hash before that one, where it was followed from there.
    pub before: Option<Hash>,
}

impl Chain {
    /// The chain before the first row.
    pub fn beginning() -> Self {
        Self::at(0, Hash::zero())
    }
    /// The chain at a row that is taken as it is.
    pub fn at(through: u64, head: Hash) -> Self {
        Self { through, head, before: None }
    }

    /// Goes on to the next stored row. `later` is the one behind that, by which more can be said of a bad one.
    pub fn follow(&mut self, row: &Stored, later: Option<&Stored>) -> Result<(), FirstBad> {
        let bad = |number, reason| Err(FirstBad { number, reason });
        let Some((content, hash)) = row.parts() else { return bad(row.key, Reason::Unreadable) };
        let number = |name: &str| content.get(name).and_then(Value::as_u64);
        if number("seq") != Some(row.key) {
            return bad(row.key, Reason::Misplaced);
        }
        if link(&self.head, &content) == hash {
            self.through = row.key;
            self.before = Some(std::mem::replace(&mut self.head, hash));
            return Ok(());
        }
        if later.and_then(Stored::parts).is_some_and(|(content, hash)| link(&self.head, &content) == hash) {
            return bad(row.key, Reason::Inserted);
        }
        if self.before.as_ref().is_some_and(|before| link(before, &content) == hash) {
            return bad(self.through, Reason::Inserted);
        }
        match number("previous") {
            Some(previous) if previous > self.through => bad(previous, Reason::Missing),
            _ => bad(row.key, Reason::Changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Event, Row};
    use super::*;
    use crate::model::{OpId, RecordId, Stamp, Version};
    use crate::value::to_text;

    /// Rows 2, 4, 6, 8 and 10: a plan may use more numbers than one.
    fn trail() -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for seq in [2, 4, 6, 8, 10] {
            rows.push(row(rows.last(), seq));
        }
        rows
    }

    fn row(last: Option<&Row>, seq: u64) -> Row {
        let operation = OpId::parse("0190a1b2-0000-7000-8000-000000000001").expect("an ID");
        let event = Event::Applied { version: Version(seq) };
        let entry = Entry::new(operation, "pet", RecordId::Integer(7), event);
        let reason = (seq == 6).then(|| "asked by \u{fb33} \u{1f600}".to_owned());
        Row::after(last, seq, Stamp { ms: seq, n: 0 }, None, "anna", reason, vec![entry])
    }

    fn stored(rows: &[Row]) -> Vec<Stored> {
        rows.iter().map(|row| Stored { key: row.seq, text: to_text(row) }).collect()
    }

    fn walked(rows: &[Stored]) -> Result<Chain, FirstBad> {
        let mut chain = Chain::beginning();
        for (at, row) in rows.iter().enumerate() {
            chain.follow(row, rows.get(at + 1))?;
        }
        Ok(chain)
    }

    fn bad(number: u64, reason: Reason) -> Result<Chain, FirstBad> {
        Err(FirstBad { number, reason })
    }

    #[test]
    fn a_whole_trail_is_followed_to_its_head() {
        let rows = trail();
        let chain = walked(&stored(&rows)).expect("whole");
        assert_eq!((chain.through, &chain.head), (10, &rows[4].hash));
        let later: Vec<Stored> = stored(&rows).split_off(2);
        let mut chain = Chain::at(4, rows[1].hash.clone());
        later.iter().for_each(|row| chain.follow(row, None).expect("from the middle too"));
    }

    #[test]
    fn every_tampering_is_named_with_the_first_bad_row() {
        let rows = trail();
        let mut changed = rows.clone();
        changed[2].user = "eve".to_owned();
        assert_eq!(walked(&stored(&changed)), bad(6, Reason::Changed));
        let mut hash = rows.clone();
        hash[2].hash = rows[0].hash.clone();
        assert_eq!(walked(&stored(&hash)), bad(6, Reason::Changed));
        let mut unasked = rows.clone();
        unasked[2].reason = None;
        assert_eq!(walked(&stored(&unasked)), bad(6, Reason::Changed), "a reason is part of the row");

        for at in 0..4 {
            let mut dropped = rows.clone();
            dropped.remove(at);
            assert_eq!(walked(&stored(&dropped)), bad(rows[at].seq, Reason::Missing));
        }

        let mut swapped = stored(&rows);
        let text = std::mem::take(&mut swapped[2].text);
        swapped[2].text = std::mem::replace(&mut swapped[3].text, text);
        assert_eq!(walked(&swapped), bad(6, Reason::Misplaced));

        let mut unreadable = stored(&rows);
        unreadable[3].text.truncate(20);
        assert_eq!(walked(&unreadable), bad(8, Reason::Unreadable));
        unreadable[3].text = "[1]".to_owned();
        assert_eq!(walked(&unreadable), bad(8, Reason::Unreadable));
    }

    #[test]
    fn a_row_in_between_is_named_whether_it_is_linked_or_not() {
        let rows = trail();
        for link in [Some(&rows[1]), None] {
            let mut inserted = rows.clone();
            inserted.insert(2, row(link, 5));
            assert_eq!(walked(&stored(&inserted)), bad(5, Reason::Inserted));
        }
        let mut appended = rows.clone();
        appended.push(row(None, 12));
        assert_eq!(walked(&stored(&appended)), bad(12, Reason::Changed), "what comes behind it does not tell");
    }

    #[test]
    fn a_row_of_an_earlier_release_and_one_of_a_later_release_are_followed() {
        let mut earlier = row(None, 1);
        earlier.previous = None;
        let mut content = crate::value::to_value(&earlier);
        content.as_object_mut().expect("an object").remove("hash");
        earlier.hash = link(&Hash::zero(), &content);
        let mut later = content.clone();
        (later["seq"], later["entries"]) = (2.into(), serde_json::json!([{"event": "rotated", "by": 1}]));
        later["hash"] = link(&earlier.hash, &later).as_str().into();
        let rows = [Stored { key: 1, text: to_text(&earlier) }, Stored { key: 2, text: later.to_string() }];
        assert_eq!(walked(&rows).map(|chain| chain.through), Ok(2));
        assert_eq!(walked(&rows[1..]), bad(2, Reason::Changed), "an earlier release does not say what is missing");
    }
}
