//! Whether every operation that is not in the outbox any more has an end in the trail. Holds the operations that have none
//! yet: as many as were ever unfinished at one time.

use serde_json::Value;

use super::filter::entries;
use crate::model::OpId;
use crate::value::Object;

/// Operations that the trail knows, and those of them without an end.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// A JSON object, because that kind of map is in the module anyway.
    open: Object,
    ended: u64,
}

impl Ends {
    /// Takes the next row of the trail in.
    pub fn see(&mut self, row: &Object) {
        for entry in entries(row) {
            let Some(operation) = entry["operation"].as_str() else { continue };
            match entry["event"].as_str() {
                Some("written" | "imported") => drop(self.open.insert(operation.to_owned(), Value::Null)),
                // Applied, and the server lost it: what had an end has none now.
                Some("returned") => {
                    let had_one = self.open.insert(operation.to_owned(), Value::Null).is_none();
                    self.ended = self.ended.saturating_sub(u64::from(had_one));
                }
                Some("applied" | "settled" | "superseded" | "coalesced" | "discarded") => {
                    self.ended += u64::from(self.open.remove(operation).is_some());
                }
                _ => {}
            }
        }
    }
    /// How many operations have an end.
    pub fn audited(&self) -> u64 {
        self.ended
    }
    /// Those that have none, though they are not in the outbox.
    pub fn missing(mut self, outbox: &[OpId]) -> Vec<String> {
        for operation in outbox {
            self.open.remove(operation.as_str());
        }
        self.open.into_iter().map(|(operation, _)| operation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn see(ends: &mut Ends, entries: &[(&str, &str)]) {
        let entries: Vec<Value> = entries.iter().map(|(operation, event)| json!({"operation": operation, "event": event})).collect();
        ends.see(json!({"entries": entries}).as_object().expect("an object"));
    }

    #[test]
    fn what_left_the_outbox_without_an_end_is_missing() {
        let (a, b) = ("0190a1b2-0000-7000-8000-000000000001", "0190a1b2-0000-7000-8000-000000000002");
        let mut ends = Ends::default();
        see(&mut ends, &[(a, "written"), (b, "written"), ("c", "imported"), ("d", "discarded")]);
        see(&mut ends, &[(a, "rebased"), (b, "blocked"), (b, "parked")]);
        assert_eq!((ends.audited(), ends.clone().missing(&[]).len()), (0, 3), "an end of what was never seen is none");
        see(&mut ends, &[(a, "applied")]);
        see(&mut ends, &[(a, "settled"), ("c", "superseded")]);
        let waits = OpId::parse(b).expect("an ID");
        assert_eq!((ends.audited(), ends.clone().missing(&[waits])), (2, Vec::new()));
        see(&mut ends, &[(a, "returned")]);
        assert_eq!((ends.audited(), ends.missing(&[])), (1, vec![a.to_owned(), b.to_owned()]));
    }
}
