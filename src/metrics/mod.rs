//! Room `metrics`: what the kept sessions tell. A session leaves one row; an [`entry`] is that row as people read it, a
//! [`LogFilter`] says which are meant, and a [`Summary`] is what many come to.
//!
//! Knows `value` alone: rows come in as they are stored, by whatever release, and what one of them lacks counts as nothing.

mod alerts;

use serde_json::{Value, json};

pub use alerts::{
    AUDIT_REFUSED, COMPLIANCE, CONFLICT_RATE, INTEGRITY, KINDS, Kind, Numbers, PARKED, PENDING, SESSIONS_FAILED, STORAGE, alerts_in, carry,
    changes, judge,
};

use crate::value::{MAX_SAFE_INTEGER, Object, Sorted, Span};

/// How a session ended.
const STATUSES: [&str; 3] = ["success", "partial", "failed"];

/// Which sessions: all that is named must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Begun then or later, ms by the device.
    pub since: Option<u64>,
    /// Begun then or earlier, ms by the device.
    pub until: Option<u64>,
    /// That ended so.
    pub status: Option<String>,
    /// Those that come after this one.
    pub after: Option<u64>,
    /// Whether the latest comes first.
    pub descending: bool,
    /// At most so many.
    pub limit: Option<u64>,
}

impl LogFilter {
    /// Reads a filter. An error names the member that makes no sense, and why: it would match more than was asked for.
    pub fn parse(mut fields: Object) -> Result<Self, (String, &'static str)> {
        let Span { since, until, after, limit, descending } = Span::take(&mut fields, MAX_SAFE_INTEGER)?;
        let bad = |name: &str, what| Err((name.to_owned(), what));
        let status = match fields.remove("status") {
            None => None,
            Some(Value::String(status)) if STATUSES.contains(&status.as_str()) => Some(status),
            Some(_) => return bad("status", "must be success, partial or failed"),
        };
        match fields.keys().next() {
            Some(unknown) => bad(unknown, "is no part of a filter"),
            None => Ok(Self { since, until, status, after, descending, limit }),
        }
    }

    /// Whether a row is meant. One for several sessions is if one of them can be: the first and the last are known.
    pub fn means(&self, row: &Object) -> bool {
        let when = self.since.is_none_or(|since| since <= last(row)) && self.until.is_none_or(|until| number(row, "started") <= until);
        when && self.status.as_ref().is_none_or(|wanted| wanted == status(row))
    }

    /// Of sessions in the order of their numbers those that are meant, in the order that is wanted.
    pub fn choose(&self, mut rows: Vec<(u64, Object)>) -> Vec<(u64, Object)> {
        if self.descending {
            rows.reverse();
        }
        let behind = |id: u64| self.after.is_none_or(|after| if self.descending { id < after } else { id > after });
        rows.retain(|(id, row)| behind(*id) && self.means(row));
        rows.truncate(self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
        rows
    }
}

fn number(row: &Object, name: &str) -> u64 {
    row.get(name).and_then(Value::as_u64).unwrap_or_default()
}

/// How many sessions a row stands for.
fn count(row: &Object) -> u64 {
    number(row, "count").max(1)
}

/// When the last of them began.
fn last(row: &Object) -> u64 {
    number(row, "last").max(number(row, "started"))
}

/// The row for the last session and for those before it that its row stands for, where both moved nothing and ended the same
/// way: an app that looks at the server all day would else leave nothing but its looks.
pub fn fold(before: &Object, session: &mut Object) -> bool {
    const MOVED: [&str; 6] = ["operations", "synced", "downloaded", "failed", "conflicts", "quarantined"];
    let quiet = |row: &Object| MOVED.iter().all(|name| number(row, name) == 0);
    let same = |name: &str| before.get(name) == session.get(name);
    let code = |row: &Object| first_error(row).map(|error| error["code"].clone());
    if !(quiet(before) && quiet(session) && ["success", "direction", "entityType"].into_iter().all(same) && code(before) == code(session)) {
        return false;
    }
    let longest = longest(before).max(longest(session));
    for name in ["duration", "bytesUp", "bytesDown"] {
        let sum = number(before, name) + number(session, name);
        session.insert(name.to_owned(), sum.into());
    }
    let (since, begun) = (number(before, "started"), number(session, "started"));
    for (name, value) in [("count", count(before) + 1), ("longest", longest), ("started", since), ("last", begun.max(last(before)))] {
        session.insert(name.to_owned(), value.into());
    }
    true
}

/// How many of the sessions, from the first on, ended before a time: never the last, which is the counter of all. What is
/// stamped later than now is as old as the one after it: the clock was wrong then.
pub fn outlived(sessions: &[Object], now: u64, before: u64) -> usize {
    let (mut gone, mut next) = (sessions.len().saturating_sub(1), now);
    for (at, session) in sessions.iter().enumerate().rev() {
        let ended = last(session);
        if (1..=now).contains(&ended) {
            next = ended;
        }
        if next >= before {
            gone = gone.min(at);
        }
    }
    gone
}

/// How long the longest of them took, ms.
fn longest(row: &Object) -> u64 {
    row.get("longest").map_or(number(row, "duration"), |longest| longest.as_u64().unwrap_or_default())
}

fn first_error(row: &Object) -> Option<&Value> {
    row.get("errors")?.as_array()?.first()
}

/// `success` where nothing failed; else `partial` where something was done all the same, else `failed`.
fn status(row: &Object) -> &'static str {
    let done = number(row, "synced") + number(row, "downloaded");
    match (row.get("success").and_then(Value::as_bool), done) {
        (Some(true), _) => STATUSES[0],
        (_, 0) => STATUSES[2],
        _ => STATUSES[1],
    }
}

/// A session as a row of the log.
pub fn entry(id: u64, row: &Object, user: &str, device: &str) -> Value {
    let direction = match row.get("direction").and_then(Value::as_str) {
        Some("up") => "upload",
        Some("down") => "download",
        _ => "both",
    };
    let error = first_error(row);
    json!({
        "id": id, "timestamp": number(row, "started"), "last": last(row), "count": count(row), "duration": longest(row), "direction": direction,
        "entityType": row.get("entityType"), "recordsProcessed": number(row, "operations") + number(row, "downloaded"),
        "uploaded": number(row, "synced"), "downloaded": number(row, "downloaded"), "failed": number(row, "failed"),
        "conflicts": number(row, "conflicts"), "quarantined": number(row, "quarantined"), "status": status(row),
        "errorCode": error.map(|error| &error["code"]), "errorMessage": error.map(|error| &error["message"]),
        "bytesUp": number(row, "bytesUp"), "bytesDown": number(row, "bytesDown"), "batches": number(row, "batches"),
        "build": number(row, "build"), "send": number(row, "send"), "apply": number(row, "apply"), "userId": user, "deviceId": device,
    })
}

/// What sessions come to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// By [`STATUSES`].
    ended: [u64; 3],
    /// Of all of them together, by the name of the count.
    sums: Sorted<&'static str, u64>,
    longest: u64,
    /// Conflicts that operations met that were sent; of the others pages told.
    met: u64,
    /// By code, and by the entity of a session that was about one.
    errors: Sorted<(String, Option<String>), Seen>,
    first: Option<u64>,
    last: u64,
}

/// How often an error was met, and when.
#[derive(Clone, Debug, Default)]
struct Seen {
    count: u64,
    first: u64,
    last: u64,
    /// No session has gone well since.
    open: bool,
}

/// What is added up: as stored, and as told.
const SUMS: [(&str, &str); 13] = [
    ("duration", "duration"),
    ("operations", "operations"),
    ("synced", "uploaded"),
    ("downloaded", "downloaded"),
    ("failed", "failed"),
    ("conflicts", "conflicts"),
    ("quarantined", "quarantined"),
    ("bytesUp", "bytesUp"),
    ("bytesDown", "bytesDown"),
    ("batches", "batches"),
    ("build", "build"),
    ("send", "send"),
    ("apply", "apply"),
];

impl Summary {
    /// Adds a session; they come in the order of their numbers.
    pub fn add(&mut self, row: &Object) {
        let at = number(row, "started");
        self.first.get_or_insert(at);
        self.last = self.last.max(last(row));
        self.longest = self.longest.max(longest(row));
        self.met += number(row, "met");
        for (name, sessions) in STATUSES.iter().zip(&mut self.ended) {
            *sessions += if *name == status(row) { count(row) } else { 0 };
        }
        for (stored, _) in SUMS {
            let sum = self.sums.get(&stored).copied().unwrap_or_default();
            self.sums.insert(stored, sum + number(row, stored));
        }
        self.pass(row);
        for error in row.get("errors").and_then(Value::as_array).into_iter().flatten() {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let which = (text(&error["code"]).unwrap_or_default(), row.get("entityType").and_then(text));
            let seen = self.errors.get(&which).cloned().unwrap_or(Seen { first: at, ..Seen::default() });
            self.errors.insert(which, Seen { count: seen.count + count(row), last: last(row), open: true, ..seen });
        }
    }

    /// A session that is not meant: what went well since ends an error all the same.
    pub fn pass(&mut self, row: &Object) {
        if status(row) == STATUSES[0] {
            self.errors.iter_mut().for_each(|(_, seen)| seen.open = false);
        }
    }

    /// As it is told. Shares are from 0 to 1, nothing where there is nothing to share; times are ms.
    pub fn told(&self) -> Value {
        let sessions: u64 = self.ended.iter().sum();
        let sum = |name: &str| self.sums.iter().find(|(known, _)| **known == name).map_or(0, |(_, sum)| *sum);
        let mut told = Object::new();
        let [success, partial, failed] = self.ended;
        told.insert("sessions".to_owned(), json!({"total": sessions, "success": success, "partial": partial, "failed": failed}));
        for (stored, shown) in SUMS.iter().skip(1) {
            told.insert((*shown).to_owned(), sum(stored).into());
        }
        told.insert("successRate".to_owned(), share(self.ended[0], sessions));
        told.insert("conflictRate".to_owned(), share(self.met, sum("operations")));
        told.insert("duration".to_owned(), json!({"mean": sum("duration").checked_div(sessions), "max": self.longest}));
        told.insert("first".to_owned(), self.first.into());
        told.insert("last".to_owned(), self.first.map(|_| self.last).into());
        let errors = self.errors.iter().map(|((code, entity), seen)| {
            let mut error = json!({"code": code, "count": seen.count, "firstSeen": seen.first, "lastSeen": seen.last, "open": seen.open});
            if let Some(entity) = entity {
                error["entity"] = entity.as_str().into();
            }
            error
        });
        told.insert("errors".to_owned(), errors.collect());
        Value::Object(told)
    }
}

fn share(part: u64, whole: u64) -> Value {
    // Counts of at most some hundred sessions: exact as doubles.
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(started: u64, success: bool, done: u64, error: Option<&str>) -> Object {
        let errors: Vec<Value> = error.iter().map(|code| json!({"code": code, "message": "for people"})).collect();
        let row = json!({"started": started, "success": success, "synced": done, "operations": done, "downloaded": 2 * done, "conflicts": 9, "met": 1,
            "duration": started, "errors": errors, "direction": "both", "bytesUp": 10});
        row.as_object().cloned().expect("an object")
    }
    fn rows() -> Vec<(u64, Object)> {
        let rows = [row(10, true, 4, None), row(20, false, 0, Some("network")), row(30, false, 2, Some("timeout")), row(40, true, 0, None)];
        (1..).zip(rows).collect()
    }
    fn filter(text: Value) -> Result<LogFilter, (String, &'static str)> {
        LogFilter::parse(text.as_object().expect("an object").clone())
    }

    #[test]
    fn a_filter_chooses_in_the_wanted_order_and_refuses_what_it_does_not_know() {
        for (wanted, expected) in [
            (json!({}), vec![1, 2, 3, 4]),
            (json!({"status": "partial"}), vec![3]),
            (json!({"since": 20, "until": 30}), vec![2, 3]),
            (json!({"order": "desc", "limit": 2}), vec![4, 3]),
            (json!({"order": "desc", "after": 3, "limit": 1}), vec![2]),
            (json!({"after": 3}), vec![4]),
        ] {
            let found: Vec<u64> = filter(wanted.clone()).expect("a filter").choose(rows()).iter().map(|(id, _)| *id).collect();
            assert_eq!(found, expected, "{wanted}");
        }
        for wrong in [json!({"limit": 0}), json!({"since": -1}), json!({"status": "good"}), json!({"order": 1}), json!({"colour": 1})] {
            let path = wrong.as_object().and_then(|wrong| wrong.keys().next()).cloned();
            assert_eq!(filter(wrong).expect_err("refused").0, path.expect("one"));
        }
    }

    #[test]
    fn a_row_tells_how_its_session_ended_and_one_that_says_little_is_told_with_nothing() {
        let told: Vec<Value> = rows().iter().map(|(id, row)| entry(*id, row, "anna", "phone")).collect();
        let ended: Vec<&str> = told.iter().filter_map(|row| row["status"].as_str()).collect();
        assert_eq!(ended, ["success", "failed", "partial", "success"]);
        assert_eq!((&told[2]["recordsProcessed"], &told[2]["errorCode"]), (&json!(6), &json!("timeout")));
        assert_eq!((&told[0]["errorMessage"], &told[0]["userId"], &told[0]["direction"]), (&Value::Null, &json!("anna"), &json!("both")));
        assert_eq!(entry(1, &Object::new(), "anna", "phone")["status"], "failed");
    }

    #[test]
    fn looks_that_moved_nothing_and_ended_the_same_way_are_one_row() {
        let mut looks: Vec<Object> = Vec::new();
        for (at, error) in
            [(10, None), (20, None), (30, None), (40, Some("network")), (50, Some("network")), (60, Some("timeout")), (70, None)]
        {
            let mut next = row(at, error.is_none(), 0, error);
            next.insert("conflicts".to_owned(), 0.into());
            if looks.last().is_some_and(|before| fold(before, &mut next)) {
                looks.pop();
            }
            looks.push(next);
        }
        let told: Vec<Value> = (1..).zip(&looks).map(|(id, row)| entry(id, row, "anna", "phone")).collect();
        let brief: Vec<_> = told.iter().map(|row| (&row["count"], &row["timestamp"], &row["last"], &row["duration"])).collect();
        let expected = [(3, 10, 30, 30), (2, 40, 50, 50), (1, 60, 60, 60), (1, 70, 70, 70)]
            .map(|(count, first, last, longest)| [count, first, last, longest].map(Value::from));
        assert_eq!(brief, expected.iter().map(|[count, first, last, longest]| (count, first, last, longest)).collect::<Vec<_>>());
        let mut summary = Summary::default();
        looks.iter().for_each(|row| summary.add(row));
        let all = summary.told();
        assert_eq!(all["sessions"], json!({"total": 7, "success": 4, "partial": 0, "failed": 3}));
        assert_eq!((&all["duration"], &all["bytesUp"], &all["last"]), (&json!({"mean": 40, "max": 70}), &json!(70), &json!(70)));
        assert_eq!(all["errors"][0], json!({"code": "network", "count": 2, "firstSeen": 40, "lastSeen": 50, "open": false}));
        assert!(filter(json!({"since": 25, "until": 28})).expect("a filter").means(&looks[0]), "one of them can be meant");
        let mut moved = row(80, true, 1, None);
        assert!(!fold(&looks[3], &mut moved), "what moved something stands alone");
    }

    #[test]
    fn what_went_well_outside_of_what_is_meant_ends_an_error_too() {
        let mut summary = Summary::default();
        let failed = filter(json!({"status": "failed"})).expect("a filter");
        for (_, row) in rows() {
            if failed.means(&row) { summary.add(&row) } else { summary.pass(&row) }
        }
        assert_eq!(summary.told()["errors"], json!([{"code": "network", "count": 1, "firstSeen": 20, "lastSeen": 20, "open": false}]));
    }

    #[test]
    fn a_summary_adds_up_and_says_which_errors_are_over() {
        let mut summary = Summary::default();
        assert_eq!((&summary.told()["successRate"], &summary.told()["duration"]["mean"]), (&Value::Null, &Value::Null));
        rows()[..3].iter().for_each(|(_, row)| summary.add(row));
        let open: Vec<Value> = summary.told()["errors"].as_array().expect("a list").iter().map(|error| error["open"].clone()).collect();
        assert_eq!(open, [true, true]);
        rows()[3..].iter().for_each(|(_, row)| summary.add(row));
        let told = summary.told();
        assert_eq!(told["sessions"], json!({"total": 4, "success": 2, "partial": 1, "failed": 1}));
        assert_eq!((&told["successRate"], &told["conflictRate"], &told["bytesUp"]), (&json!(0.5), &json!(4.0 / 6.0), &json!(40)));
        assert_eq!((&told["duration"], &told["first"], &told["last"]), (&json!({"mean": 25, "max": 40}), &json!(10), &json!(40)));
        assert_eq!(told["errors"][0], json!({"code": "network", "count": 1, "firstSeen": 20, "lastSeen": 20, "open": false}));
    }
}
