//! The report on a trail and on what is unfinished: whether the one is in order, whether it accounts for the other, and what
//! waits for longer than it may.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::filter::BadFilter;
use super::{Ends, FirstBad};
use crate::model::OpId;
use crate::value::{Hash, Object};

/// How old something unfinished may be, ms: 24 h.
const AGE_MS: u64 = 24 * 60 * 60 * 1_000;

/// What a verification found so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// Rows that were in order.
    pub rows: u64,
    /// The number of the row behind which the trail begins, where earlier ones went with a wipe or because they were old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins: Option<u64>,
    /// The number of the last of them.
    pub through: u64,
    /// Its hash.
    pub head: Option<Hash>,
    /// Whether this is the end and everything was in order.
    pub ok: bool,
    /// What was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_bad: Option<FirstBad>,
}

/// When the trail was found in order, or at the server, and up to where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Up to this row.
    pub number: u64,
    /// When that was, ms by the device.
    pub at: u64,
}

/// When the whole store was last checked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastCheck {
    /// When it ended, ms by the device.
    pub at: u64,
    /// Rows that were looked at.
    pub rows: u64,
    /// What was not in order.
    pub faults: u64,
}

/// Whether what is kept for a time only goes when that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// When a purge last came to its end, or else when the database was made, ms by the device.
    pub at: u64,
    /// Sessions that are past their time and could go: of what one purge looks at first, as the others here.
    pub sync_log: u64,
    /// Decided conflicts.
    pub conflicts: u64,
    /// Rows of the trail.
    pub audit: u64,
}

/// What was noted before the report.
#[derive(Clone, Debug, Default)]
pub struct Noted {
    /// Up to where the trail was last found in order.
    pub verified: Option<Seen>,
    /// Up to where the server has it.
    pub uploaded: Option<Seen>,
    /// That the server did not take it: `{reason, number, at}`.
    pub refused: Option<Value>,
    /// The last check.
    pub check: Option<LastCheck>,
    /// What is kept.
    pub kept: Kept,
}

/// An operation that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// Which.
    pub operation_id: OpId,
    /// When it was written, ms by the device.
    pub since: u64,
}

/// Open conflicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Open {
    /// How many.
    pub count: u64,
    /// When the oldest was found, ms by the device.
    pub oldest: Option<u64>,
}

/// What is unfinished at one moment.
#[derive(Clone, Debug, Default)]
pub struct Unfinished {
    /// Every operation in the outbox.
    pub operations: Vec<OpId>,
    /// The parked one that was written first.
    pub parked: Option<Waiting>,
    /// The one without a word of the server that was written first.
    pub pending: Option<Waiting>,
    /// Conflicts.
    pub conflicts: Open,
}

/// The ages that are allowed, ms: parked, pending, conflicts; and of the last purge where something is past its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages([u64; 4]);

impl Ages {
    /// Reads `{parkedMs, pendingMs, conflictMs, retentionMs}`.
    pub fn parse(mut members: Object) -> Result<Self, BadFilter> {
        let mut ages = [AGE_MS; 4];
        for (age, name) in ages.iter_mut().zip(["parkedMs", "pendingMs", "conflictMs", "retentionMs"]) {
            if let Some(value) = members.remove(name) {
                *age = value.as_u64().ok_or_else(|| (name.to_owned(), "must be a whole number, not below 0"))?;
            }
        }
        members.into_iter().next().map_or(Ok(Self(ages)), |(unknown, _)| Err((unknown, "is no limit of the report")))
    }
}

/// Operations by whether the trail has an end of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Terminal {
    audited: u64,
    missing: Vec<String>,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    chain: Verified,
    last_verified: Option<Seen>,
    uploaded: Option<Seen>,
    refused: Option<Value>,
    last_check: Option<LastCheck>,
    retention: Kept,
    terminal: Terminal,
    oldest_parked: Option<Waiting>,
    oldest_pending: Option<Waiting>,
    open_conflicts: Open,
    breaches: Vec<&'static str>,
}

impl Report {
    /// Judges at a moment, ms by the device. `ends` knows the trail up to where `unfinished` was looked at.
    pub fn new(chain: Verified, noted: Noted, ends: Ends, unfinished: Unfinished, ages: Ages, now: u64) -> Self {
        let Unfinished { operations, parked, pending, conflicts } = unfinished;
        let Noted { verified: last_verified, uploaded, refused, check: last_check, kept } = noted;
        let terminal = Terminal { audited: ends.audited(), missing: ends.missing(&operations) };
        let since = |waiting: &Option<Waiting>| waiting.as_ref().map(|waiting| waiting.since);
        let overdue = kept.sync_log + kept.conflicts + kept.audit > 0;
        let waiting = [since(&parked), since(&pending), conflicts.oldest, overdue.then_some(kept.at)];
        let mut breaches = Vec::new();
        if !chain.ok {
            breaches.push("chain");
        }
        if !terminal.missing.is_empty() {
            breaches.push("terminal");
        }
        if last_check.as_ref().is_some_and(|check| check.faults > 0) {
            breaches.push("integrity");
        }
        if refused.is_some() {
            breaches.push("upload");
        }
        for (at, name) in ["parked", "pending", "conflicts", "retention"].into_iter().enumerate() {
            if waiting[at].is_some_and(|since| now.saturating_sub(since) > ages.0[at]) {
                breaches.push(name);
            }
        }
        Self {
            chain,
            last_verified,
            uploaded,
            refused,
            last_check,
            retention: kept,
            terminal,
            oldest_parked: parked,
            oldest_pending: pending,
            open_conflicts: conflicts,
            breaches,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;
    use serde_json::json;

    fn ages(members: Value) -> Result<Ages, BadFilter> {
        Ages::parse(members.as_object().expect("an object").clone())
    }

    #[test]
    fn ages_have_defaults_and_a_bad_one_is_told_by_its_name() {
        assert_eq!(ages(json!({"pendingMs": 5})), Ok(Ages([AGE_MS, 5, AGE_MS, AGE_MS])));
        for (members, path) in [
            (json!({"parkedMs": -1}), "parkedMs"),
            (json!({"conflictMs": "1"}), "conflictMs"),
            (json!({"retentionMs": null}), "retentionMs"),
            (json!({"a": 1}), "a"),
        ] {
            assert_eq!(ages(members).expect_err("refused").0, path);
        }
    }

    #[test]
    fn each_breach_has_a_name_and_what_is_just_as_old_as_it_may_be_is_none() {
        let operation = OpId::parse("0190a1b2-0000-7000-8000-000000000001").expect("an ID");
        let waiting = |since| Some(Waiting { operation_id: operation.clone(), since });
        let report = |ok: bool, written: bool, age: u64| {
            let check = Some(LastCheck { at: 90, rows: 7, faults: u64::from(!ok) });
            let first_bad = (!ok).then_some(FirstBad { number: 3, reason: Reason::Missing });
            let chain = Verified { rows: 2, begins: None, through: 2, head: None, ok, first_bad };
            let mut ends = Ends::default();
            if written {
                let row = json!({"entries": [{"operation": "0190a1b2-0000-7000-8000-000000000002", "event": "written"}]});
                ends.see(row.as_object().expect("an object"));
            }
            let conflicts = Open { count: 1, oldest: Some(100 - age) };
            let unfinished =
                Unfinished { operations: vec![operation.clone()], parked: waiting(100 - age), pending: waiting(100 - age), conflicts };
            let kept = Kept { at: 100 - age, audit: 10, ..Kept::default() };
            let refused = (!ok).then(|| json!({"reason": "fork", "number": 2, "at": 90}));
            let noted = Noted { verified: None, uploaded: Some(Seen { number: 2, at: 80 }), refused, check, kept };
            Report::new(chain, noted, ends, unfinished, Ages([9, 8, 7, 10]), 100)
        };
        assert_eq!(report(true, false, 7).breaches, Vec::<&str>::new());
        assert_eq!(report(true, false, 8).breaches, ["conflicts"]);
        assert_eq!(report(true, false, 9).breaches, ["pending", "conflicts"]);
        let all = ["chain", "terminal", "integrity", "upload", "parked", "pending", "conflicts"];
        assert_eq!(report(false, true, 10).breaches, all);
        assert_eq!(report(false, true, 11).breaches, [&all[..], &["retention"]].concat(), "past its time, and no purge since");
        let shown = crate::value::to_value(&report(false, true, 0));
        assert_eq!(
            shown["chain"],
            json!({"rows": 2, "through": 2, "head": null, "ok": false, "firstBad": {"number": 3, "reason": "missing"}})
        );
        assert_eq!(shown["terminal"], json!({"audited": 0, "missing": ["0190a1b2-0000-7000-8000-000000000002"]}));
        assert_eq!(shown["oldestParked"], json!({"operationId": operation.as_str(), "since": 100}));
        assert_eq!(shown["uploaded"], json!({"number": 2, "at": 80}));
        assert_eq!(shown["refused"], json!({"reason": "fork", "number": 2, "at": 90}));
        assert_eq!(shown["retention"], json!({"at": 100, "syncLog": 0, "conflicts": 0, "audit": 10}));
        assert_eq!(shown["lastCheck"], json!({"at": 90, "rows": 7, "faults": 1}));
        assert_eq!((&shown["openConflicts"], &shown["lastVerified"]), (&json!({"count": 1, "oldest": 100}), &Value::Null));
    }
}
