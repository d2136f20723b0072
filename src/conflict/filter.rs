//! Which conflicts somebody asks for, and the index entries by which they are found.
//!
//! Every entry ends with the time at which the conflict was found and its key. So each kind of entry is a list of
//! conflicts in the order in which they were found, a span of time is a range of any of them, and a page goes on exactly
//! where the one before ended.

use serde::Serialize;
use serde_json::Value;

use super::{Conflict, ConflictState};
use crate::model::RecordId;
use crate::protocol::ConflictKind;
use crate::value::{Key, KeyRange, Object, Span, to_value};

/// Every state.
pub const STATES: [ConflictState; 3] = [ConflictState::Open, ConflictState::Resolved, ConflictState::Undone];
/// Every kind.
pub const KINDS: [ConflictKind; 4] =
    [ConflictKind::UpdateUpdate, ConflictKind::UpdateDelete, ConflictKind::DeleteUpdate, ConflictKind::Constraint];
/// Every way in which a conflict is decided.
pub const RESOLUTIONS: [&str; 6] = ["server-wins", "client-wins", "last-write-wins", "merge", DISCARDED, ELSEWHERE];
/// The operation that met it was given up.
pub const DISCARDED: &str = "discarded";
/// Another device, or the server, decided it: how, and by whom, is known there.
pub const ELSEWHERE: &str = "elsewhere";

/// A filter that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{path}' {reason}")]
pub struct FilterError {
    /// The member in question.
    pub path: String,
    /// Why.
    pub reason: &'static str,
}

/// Which conflicts: all that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this entity.
    pub entity: Option<String>,
    /// Of this record, by any ID that it has or had.
    pub record: Option<RecordId>,
    /// Of this kind.
    pub kind: Option<ConflictKind>,
    /// In this state.
    pub state: Option<ConflictState>,
    /// Resolved by `rule` or this user.
    pub resolved_by: Option<String>,
    /// Found then or later, ms by the device.
    pub since: Option<u64>,
    /// Found then or earlier, ms by the device.
    pub until: Option<u64>,
    /// Those that come after this one.
    pub after: Option<u64>,
    /// Whether the latest comes first.
    pub descending: bool,
    /// At most so many.
    pub limit: Option<u32>,
}

impl Filter {
    /// Reads a filter from its JSON. What it does not know it refuses: it would match more than was asked for.
    pub fn parse(mut fields: Object) -> Result<Self, FilterError> {
        let wrong = |(path, reason)| FilterError { path, reason };
        let Span { since, until, after, limit, descending } = Span::take(&mut fields, u32::MAX.into()).map_err(wrong)?;
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        let mut filter = Self { since, until, after, limit, descending, ..Self::default() };
        for (path, value) in fields {
            let reason = filter.set(&path, &value);
            reason.map_err(|reason| wrong((path, reason)))?;
        }
        Ok(filter)
    }

    fn set(&mut self, path: &str, value: &Value) -> Result<(), &'static str> {
        let text = || value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or("must be a string that is not empty");
        match path {
            "entity" => self.entity = Some(text()?),
            "record" => self.record = Some(RecordId::from_value(value).map_err(|_| "must be the ID of a record")?),
            "kind" => {
                let kinds = "must be update-update, update-delete, delete-update or constraint";
                self.kind = Some(KINDS.into_iter().find(|kind| to_value(kind) == *value).ok_or(kinds)?);
            }
            "state" => {
                let states = "must be open, resolved or undone";
                self.state = Some(STATES.into_iter().find(|state| to_value(state) == *value).ok_or(states)?);
            }
            "resolvedBy" => self.resolved_by = Some(text()?),
            _ => return Err("is no part of a filter"),
        }
        Ok(())
    }

    /// Whether a conflict is meant. `records` are the IDs of the record that is asked for, each with its entity.
    pub fn matches(&self, conflict: &Conflict, records: &[(String, RecordId)]) -> bool {
        self.entity.as_ref().is_none_or(|entity| *entity == conflict.entity)
            && (self.record.is_none() || records.iter().any(|(entity, id)| *entity == conflict.entity && *id == conflict.record))
            && self.kind.is_none_or(|kind| kind == conflict.kind)
            && self.state.is_none_or(|state| state == conflict.state)
            && self.resolved_by.as_ref().is_none_or(|by| conflict.resolved_by.as_ref() == Some(by))
            && self.since.is_none_or(|since| since <= conflict.detected_at)
            && self.until.is_none_or(|until| conflict.detected_at <= until)
    }

    /// The lists in which all that is meant stands: the answer can be read from each alternative, the beginnings of one
    /// together. A record has one for each of its IDs.
    pub fn ways(&self, records: &[(String, RecordId)]) -> Vec<Vec<Key>> {
        let mut ways: Vec<Vec<Key>> = Vec::new();
        if self.record.is_some() {
            ways.push(records.iter().map(|(entity, id)| of_record(entity, id)).collect());
        } else if let Some(entity) = &self.entity {
            ways.push(vec![of_entity(entity)]);
        }
        if let Some(kind) = self.kind {
            ways.push(vec![of_kind(kind)]);
        }
        if let Some(state) = self.state {
            ways.push(vec![of_state(state)]);
        }
        if let Some(by) = &self.resolved_by {
            ways.push(vec![named("by", by.as_str().into())]);
        }
        if ways.is_empty() {
            ways.push(vec![all()]);
        }
        ways
    }

    /// The entries of one list in the span of time that is asked for, and after a place in it.
    pub fn range(&self, list: &Key, after: Option<(u64, u64)>) -> KeyRange {
        let below = |more: &[u64]| -> Vec<Key> {
            let Key::List(mut items) = list.clone() else { return Vec::new() };
            for number in more {
                items.push(Key::number(*number));
            }
            items
        };
        let whole = KeyRange::within(below(&[]));
        let mut lower = self.since.map_or(whole.lower, |since| Some((Key::List(below(&[since])), false)));
        let mut upper = self.until.map_or(whole.upper, |until| KeyRange::within(below(&[until])).upper);
        if let Some((at, id)) = after {
            let end = Some((Key::List(below(&[at, id])), true));
            if self.descending {
                upper = upper.min(end);
            } else {
                lower = lower.max(end);
            }
        }
        KeyRange { lower, upper }
    }
}

impl Conflict {
    /// Its place in every list: when it was found, and its key.
    pub fn place(&self) -> (u64, u64) {
        (self.detected_at, self.id)
    }

    /// Its index entries.
    pub fn entries(&self) -> Vec<Key> {
        let mut entries =
            vec![all(), of_state(self.state), of_kind(self.kind), of_entity(&self.entity), of_record(&self.entity, &self.record)];
        if let Some(by) = &self.resolved_by {
            entries.push(named("by", by.as_str().into()));
        }
        if let Some(how) = &self.resolution {
            entries.push(of_resolution(how));
        }
        if self.asks.is_some() {
            entries.push(of_asking(&self.entity));
        }
        for list in &mut entries {
            if let Key::List(items) = list {
                items.push(self.detected_at.into());
                items.push(self.id.into());
            }
        }
        entries
    }
}

/// The list of all conflicts.
pub fn all() -> Key {
    Key::List(vec!["all".into()])
}
/// The list of those in a state.
pub fn of_state(state: ConflictState) -> Key {
    named("state", word(&state))
}
/// The list of those of a kind.
pub fn of_kind(kind: ConflictKind) -> Key {
    named("kind", word(&kind))
}
/// The list of those of an entity.
pub fn of_entity(entity: &str) -> Key {
    named("entity", entity.into())
}
/// The list of those that were decided so.
pub fn of_resolution(how: &str) -> Key {
    named("resolution", how.into())
}
/// The list of those of a record, by the ID that it had when they were found.
pub fn of_record(entity: &str, id: &RecordId) -> Key {
    ["record".into(), entity.into(), id.to_key()].into()
}
/// The list of those of an entity that a function of the app is to decide.
pub fn of_asking(entity: &str) -> Key {
    named("asking", entity.into())
}
fn named(list: &str, value: Key) -> Key {
    [list.into(), value].into()
}
fn word(name: &impl Serialize) -> Key {
    Key::of(&to_value(name)).unwrap_or_else(|| "".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(filter: Value) -> Result<Filter, FilterError> {
        Filter::parse(filter.as_object().cloned().expect("an object"))
    }

    #[test]
    fn a_bad_filter_names_its_member() {
        for (filter, path) in [
            (json!({"entity": ""}), "entity"),
            (json!({"entity": null}), "entity"),
            (json!({"record": true}), "record"),
            (json!({"kind": "update"}), "kind"),
            (json!({"state": ["open"]}), "state"),
            (json!({"resolvedBy": 1}), "resolvedBy"),
            (json!({"since": -1}), "since"),
            (json!({"until": "2026"}), "until"),
            (json!({"after": 1.5}), "after"),
            (json!({"order": "up"}), "order"),
            (json!({"limit": 0}), "limit"),
            (json!({"status": "open"}), "status"),
        ] {
            assert_eq!(parsed(filter.clone()).expect_err("refused").path, path, "{filter}");
        }
        let filter = parsed(json!({"state": "undone", "kind": "delete-update", "order": "desc", "limit": 2})).expect("a filter");
        assert_eq!((filter.state, filter.kind), (Some(ConflictState::Undone), Some(ConflictKind::DeleteUpdate)));
        assert_eq!((filter.descending, filter.limit), (true, Some(2)));
    }

    #[test]
    fn a_range_is_a_span_of_time_after_a_place() {
        let entry = |at: u64, id: u64| -> Key { ["state".into(), "open".into(), at.into(), id.into()].into() };
        let within = |filter: Value, after: Option<(u64, u64)>| -> Vec<u64> {
            let range = parsed(filter).expect("a filter").range(&of_state(ConflictState::Open), after);
            [(10, 1), (20, 2), (20, 3), (30, 4)].into_iter().filter(|(at, id)| range.contains(&entry(*at, *id))).map(|(_, id)| id).collect()
        };
        let none: Vec<u64> = Vec::new();
        assert_eq!(within(json!({}), None), [1, 2, 3, 4]);
        assert_eq!(within(json!({"since": 20}), None), [2, 3, 4]);
        assert_eq!(within(json!({"until": 20}), None), [1, 2, 3], "both ends are meant");
        assert_eq!(within(json!({"since": 21, "until": 29}), None), none);
        assert_eq!(within(json!({}), Some((20, 2))), [3, 4]);
        assert_eq!(within(json!({"since": 30}), Some((20, 2))), [4], "the later beginning counts");
        assert_eq!(within(json!({"order": "desc"}), Some((20, 3))), [1, 2]);
        assert_eq!(within(json!({"order": "desc", "until": 10}), Some((20, 3))), [1]);
    }
}
