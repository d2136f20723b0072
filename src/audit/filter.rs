//! Which rows of the trail are asked for. A row is meant if one entry of it fulfils every condition about entries; it is
//! given whole, because its hash is over all of it.

use serde::Serialize;
use serde_json::Value;

use super::Name;
use crate::model::RecordId;
use crate::value::{Object, Span, from_value};

/// What a row has that stands for one which cannot be read.
pub(super) const HOLE: &str = "unreadable";
/// Rows in one answer, unless the filter says how many.
const LIMIT: u64 = 100;
/// Rows in one answer, whatever it says.
const LIMIT_MAX: u64 = 1_000;

/// What a row must be to be given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// It tells of this operation,
    pub operation: Option<String>,
    /// of a record of this entity,
    pub entity: Option<String>,
    /// of this record of it,
    pub record: Option<RecordId>,
    /// or of such an event.
    pub event: Option<String>,
    /// It was done as this user.
    pub user: Option<String>,
    /// Not before this time, ms by the device.
    pub since: Option<u64>,
    /// Not after it.
    pub until: Option<u64>,
    /// Behind the row with this number, in the order.
    pub after: Option<u64>,
    /// Whether the order is from the last to the first.
    pub descending: bool,
    /// At most so many rows.
    pub limit: Option<u64>,
}

/// What is wrong with a filter: the member, and what it must be.
pub type BadFilter = (String, &'static str);

/// What the filter of the rows behind some says instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    after: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

impl Filter {
    /// Reads a filter: `{operation, entity, record, event, user, since, until, after, order, limit}`.
    pub fn parse(mut members: Object) -> Result<Self, BadFilter> {
        let bad = |name: &str, what| Err((name.to_owned(), what));
        let Span { since, until, after, limit, descending } = Span::take(&mut members, LIMIT_MAX)?;
        let mut texts = [None, None, None, None];
        for (place, name) in texts.iter_mut().zip(["operation", "entity", "event", "user"]) {
            *place = match members.remove(name) {
                None => None,
                Some(Value::String(text)) if !text.is_empty() => Some(text),
                Some(_) => return bad(name, "must be a text"),
            };
        }
        let [operation, entity, event, user] = texts;
        let record = match members.remove("record").map(|id| RecordId::from_value(&id)) {
            None => None,
            Some(Ok(_)) if entity.is_none() => return bad("entity", "must be there too where a record is named"),
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => return bad("record", "must be an ID"),
        };
        if event.as_ref().is_some_and(|event| from_value::<Name>(&Value::from(event.as_str())).is_err()) {
            return bad("event", "must be an event of the trail");
        }
        match members.keys().next() {
            Some(unknown) => bad(unknown, "is no part of a filter"),
            None => Ok(Self { operation, entity, record, event, user, since, until, after, descending, limit }),
        }
    }
    /// Rows in one answer.
    pub fn rows_max(&self) -> usize {
        usize::try_from(self.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX)
    }
    /// What is asked for behind these rows, as they are shown; nothing if they are all that were wanted.
    pub fn behind(&self, rows: &[Object]) -> Option<Next> {
        let limit = self.limit.map(|limit| limit.saturating_sub(rows.len().try_into().unwrap_or(u64::MAX)));
        let after = rows.last().filter(|_| limit != Some(0))?.get("number")?.as_u64()?;
        Some(Next { after, limit })
    }
    /// Whether a row with this number lies behind where the last answer ended.
    pub fn is_behind(&self, number: u64) -> bool {
        self.after.is_none_or(|after| if self.descending { number < after } else { number > after })
    }
    /// Whether no row that follows this one in the order can be meant: times do not fall from row to row. What cannot be read has
    /// none.
    pub fn is_past(&self, row: &Object) -> bool {
        let Some(at) = row.get("at").and_then(Value::as_u64) else { return false };
        if self.descending { self.since.is_some_and(|since| at < since) } else { self.until.is_some_and(|until| at > until) }
    }
    /// Whether a row is meant. `is_record` says whether an ID is one that the wanted record has or had. What cannot be read is
    /// always meant: nobody knows of what it told.
    pub fn means(&self, row: &Object, is_record: impl Fn(&RecordId) -> bool) -> bool {
        if row.contains_key(HOLE) {
            return true;
        }
        let at = time(row);
        if self.user.as_ref().is_some_and(|user| row.get("user").and_then(Value::as_str) != Some(user)) {
            return false;
        }
        if self.since.is_some_and(|since| at < since) || self.until.is_some_and(|until| at > until) {
            return false;
        }
        if self.operation.is_none() && self.entity.is_none() && self.event.is_none() {
            return true;
        }
        let is = |wanted: &Option<String>, entry: &Value, name| wanted.as_ref().is_none_or(|wanted| entry[name] == wanted.as_str());
        entries(row).iter().any(|entry| {
            let named = is(&self.operation, entry, "operation") && is(&self.entity, entry, "entity") && is(&self.event, entry, "event");
            named && (self.record.is_none() || RecordId::from_value(&entry["record"]).is_ok_and(|id| is_record(&id)))
        })
    }
}

/// When a row was written, ms by the device.
pub fn time(row: &Object) -> u64 {
    row.get("stamp").and_then(|stamp| stamp[0].as_u64()).unwrap_or_default()
}

/// The entries of a row.
pub(super) fn entries(row: &Object) -> &[Value] {
    row.get("entries").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filter(members: Value) -> Result<Filter, BadFilter> {
        Filter::parse(members.as_object().expect("an object").clone())
    }

    #[test]
    fn a_bad_filter_is_told_with_the_member() {
        for (members, path) in [
            (json!({"operation": 7}), "operation"),
            (json!({"entity": ""}), "entity"),
            (json!({"record": 7}), "entity"),
            (json!({"record": 1.5, "entity": "pet"}), "record"),
            (json!({"event": "exploded"}), "event"),
            (json!({"since": -1}), "since"),
            (json!({"until": "today"}), "until"),
            (json!({"after": 1.5}), "after"),
            (json!({"order": "up"}), "order"),
            (json!({"limit": 0}), "limit"),
            (json!({"limit": 1001}), "limit"),
            (json!({"colour": "green"}), "colour"),
        ] {
            assert_eq!(filter(members.clone()).expect_err("refused").0, path, "{members}");
        }
        assert_eq!(filter(json!({})).expect("all").rows_max(), 100);
    }

    #[test]
    fn one_entry_fulfils_all_conditions_and_times_are_inclusive() -> Result<(), BadFilter> {
        let row = json!({"stamp": [5, 0], "user": "anna", "entries": [
            {"operation": "a", "entity": "pet", "record": 7, "event": "written"},
            {"operation": "b", "entity": "client", "record": 7, "event": "applied"}]});
        let row = row.as_object().expect("an object");
        let means = |members: Value| filter(members).map(|filter| filter.means(row, |id| *id == RecordId::Integer(7)));
        for members in [
            json!({}),
            json!({"operation": "a", "event": "written"}),
            json!({"entity": "client", "record": 7}),
            json!({"since": 5, "until": 5}),
            json!({"user": "anna", "event": "applied"}),
        ] {
            assert!(means(members.clone())?, "{members}");
        }
        for members in [
            json!({"operation": "a", "event": "applied"}),
            json!({"entity": "note"}),
            json!({"since": 6}),
            json!({"until": 4}),
            json!({"user": "an"}),
        ] {
            assert!(!means(members.clone())?, "{members}");
        }
        assert!(!filter(json!({"entity": "pet", "record": 8}))?.means(row, |_| false));
        Ok(())
    }

    #[test]
    fn what_is_behind_some_rows_is_as_many_fewer() -> Result<(), BadFilter> {
        let rows: Vec<Object> = [json!({"number": 3}), json!({"number": 7})].iter().filter_map(|row| row.as_object().cloned()).collect();
        assert_eq!(filter(json!({}))?.behind(&rows), Some(Next { after: 7, limit: None }));
        assert_eq!(filter(json!({"limit": 5}))?.behind(&rows), Some(Next { after: 7, limit: Some(3) }));
        assert_eq!(filter(json!({"limit": 2}))?.behind(&rows), None);
        assert_eq!(filter(json!({}))?.behind(&[]), None);
        Ok(())
    }

    #[test]
    fn the_order_says_what_is_behind_and_when_nothing_more_can_come() -> Result<(), BadFilter> {
        let up = filter(json!({"after": 5, "until": 9}))?;
        let at = |at: u64| Object::from_iter([("at".to_owned(), Value::from(at))]);
        assert!(up.is_behind(6) && !up.is_behind(5) && up.is_past(&at(10)) && !up.is_past(&at(9)));
        let down = filter(json!({"after": 5, "order": "desc", "since": 3}))?;
        assert!(down.is_behind(4) && !down.is_behind(5) && down.is_past(&at(2)) && !down.is_past(&at(3)));
        assert!(!up.is_past(&Object::new()) && !down.is_past(&Object::new()), "one that cannot be read says no time");
        Ok(())
    }
}
