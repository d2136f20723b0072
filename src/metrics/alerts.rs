//! What somebody should look at: each kind has a value that is seen and a limit. An alert holds from the moment when its value
//! passes the limit until it no longer does; what holds lies in the row of the last session, and so outlives a reload.

use serde_json::{Value, json};

use super::{STATUSES, first_error, number, status};
use crate::value::{Object, from_value, to_value};

/// One kind of alert.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Stable.
    pub code: &'static str,
    /// Its setting among `alerts`.
    pub setting: &'static str,
    /// Its limit where none is set.
    pub limit: f64,
    /// The limits that can be set.
    pub range: (f64, f64),
    /// Whether it holds at the limit already.
    reaches: bool,
}

const fn kind(code: &'static str, setting: &'static str, limit: f64, range: (f64, f64), reaches: bool) -> Kind {
    Kind { code, setting, limit, range, reaches }
}

/// A day, ms.
const DAY_MS: f64 = 86_400_000.0;
/// A hundred years, ms.
const LONG_MS: f64 = 36_500.0 * DAY_MS;

/// All kinds.
pub const KINDS: [Kind; 9] = [
    kind("sessions_failed", "sessionsFailed", 3.0, (1.0, 1_000_000.0), true),
    kind("conflict_rate", "conflictRate", 0.1, (0.0, 1.0), false),
    kind("integrity", "integrity", 0.0, (0.0, 1_000_000.0), false),
    kind("storage_high", "storageHigh", 0.8, (0.0, 1.0), true),
    kind("storage_critical", "storageCritical", 0.95, (0.0, 1.0), true),
    kind("parked", "parkedMs", DAY_MS, (0.0, LONG_MS), false),
    kind("pending", "pendingMs", DAY_MS, (0.0, LONG_MS), false),
    kind("compliance", "compliance", 0.0, (0.0, 1_000_000.0), false),
    kind("audit_refused", "auditRefused", 0.0, (0.0, 1_000_000.0), false),
];

/// A number for each kind; nothing where it is not known, or is turned off.
pub type Numbers = [Option<f64>; KINDS.len()];

/// The places of kinds.
pub const SESSIONS_FAILED: usize = 0;
/// Of the conflicts.
pub const CONFLICT_RATE: usize = 1;
/// Of the faults.
pub const INTEGRITY: usize = 2;
/// Of the storage; the other one follows.
pub const STORAGE: usize = 3;
/// Of what is parked.
pub const PARKED: usize = 5;
/// Of what waits.
pub const PENDING: usize = 6;
/// Of the report.
pub const COMPLIANCE: usize = 7;
/// Of the trail that the server does not take.
pub const AUDIT_REFUSED: usize = 8;

/// The alerts that hold now: `{code, since, value, limit}`. Of what is not known now, one that held goes on.
pub fn judge(held: &[Value], seen: &Numbers, limits: &Numbers, now: u64) -> Vec<Value> {
    let one = |((kind, seen), limit): ((&Kind, &Option<f64>), &Option<f64>)| {
        let limit = (*limit)?;
        let before = held.iter().find(|alert| alert["code"] == kind.code);
        let Some(value) = *seen else { return before.cloned() };
        let since = before.map_or_else(|| now.into(), |before| before["since"].clone());
        let holds = value > limit || kind.reaches && value >= limit;
        holds.then(|| json!({"code": kind.code, "since": since, "value": value, "limit": limit}))
    };
    KINDS.iter().zip(seen).zip(limits).filter_map(one).collect()
}

/// What to tell when these hold where those did: each that is new, and each that is over.
pub fn changes<'a>(before: &'a [Value], now: &'a [Value]) -> impl Iterator<Item = (&'a Value, bool)> {
    let lacks = |list: &[Value], alert: &Value| !list.iter().any(|other| other["code"] == alert["code"]);
    let begun = now.iter().filter(move |alert| lacks(before, alert)).map(|alert| (alert, false));
    begun.chain(before.iter().filter(move |alert| lacks(now, alert)).map(|alert| (alert, true)))
}

/// The alerts that the row of a session holds.
pub fn alerts_in(session: &Object) -> Vec<Value> {
    session.get("alerts").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// So many operations the rate of conflicts is about.
const RECENT: u64 = 100;
/// Sessions with fewer operations are counted together.
const TOGETHER: u64 = 10;

/// Goes on, in the row of a session, with what the one before counted: how many failed in a row, and how the last hundred
/// operations went. Returns both as they are judged. What somebody stopped has neither failed nor gone well.
pub fn carry(before: &Object, session: &mut Object) -> (f64, f64) {
    let stopped = first_error(session).is_some_and(|error| error["code"] == "aborted" || error["code"] == "paused");
    let failures = match status(session) == STATUSES[2] {
        _ if stopped => number(before, "failures"),
        true => number(before, "failures") + 1,
        false => 0,
    };
    let mut recent: Vec<(u64, u64)> = before.get("recent").and_then(|recent| from_value(recent).ok()).unwrap_or_default();
    let [sent, met] = [number(session, "operations"), number(session, "met")];
    match recent.last_mut().filter(|last| last.0 < TOGETHER) {
        Some(last) => *last = (last.0 + sent, last.1 + met),
        None if sent > 0 => recent.push((sent, met)),
        None => {}
    }
    let sum = |of: &[(u64, u64)]| of.iter().fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
    while recent.len() > 1 && sum(&recent[1..]).0 >= RECENT {
        recent.remove(0);
    }
    let (sent, met) = sum(&recent);
    let rate = met as f64 / sent.max(RECENT) as f64;
    session.insert("failures".to_owned(), failures.into());
    session.insert("recent".to_owned(), to_value(&recent));
    (failures as f64, rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Numbers = {
        let mut limits = [None; KINDS.len()];
        let mut at = 0;
        while at < limits.len() {
            limits[at] = Some(KINDS[at].limit);
            at += 1;
        }
        limits
    };

    fn codes(alerts: &[Value]) -> Vec<&str> {
        alerts.iter().filter_map(|alert| alert["code"].as_str()).collect()
    }

    #[test]
    fn an_alert_holds_from_its_limit_on_until_it_is_seen_otherwise() {
        let seen = |values: &[(usize, f64)]| {
            let mut seen: Numbers = [None; KINDS.len()];
            values.iter().for_each(|(at, value)| seen[*at] = Some(*value));
            seen
        };
        let at_limits: Vec<(usize, f64)> = KINDS.iter().enumerate().map(|(at, kind)| (at, kind.limit)).collect();
        assert_eq!(codes(&judge(&[], &seen(&at_limits), &LIMITS, 5)), ["sessions_failed", "storage_high", "storage_critical"]);
        let above: Vec<(usize, f64)> = at_limits.iter().map(|(at, value)| (*at, value + 0.001)).collect();
        let all = judge(&[], &seen(&above), &LIMITS, 5);
        assert_eq!(codes(&all), KINDS.map(|kind| kind.code));
        assert_eq!(all[2], json!({"code": "integrity", "since": 5, "value": 0.001, "limit": 0.0}));
        let later = judge(&all, &seen(&[(PARKED, 2.0 * DAY_MS), (INTEGRITY, 0.0)]), &LIMITS, 9);
        assert_eq!((later.len(), &later[4]["since"], &later[4]["value"]), (8, &json!(5), &json!(2.0 * DAY_MS)), "what is not seen goes on");
        let told: Vec<_> = changes(&all, &later).map(|(alert, over)| (alert["code"].clone(), over)).collect();
        assert_eq!(told, [(json!("integrity"), true)]);
        assert_eq!(changes(&[], &all).filter(|(_, over)| !over).count(), KINDS.len());
        let mut off = LIMITS;
        off[PARKED] = None;
        assert!(!codes(&judge(&all, &seen(&above), &off, 9)).contains(&"parked"), "one that is turned off holds no more");
    }

    #[test]
    fn what_is_counted_goes_on_from_row_to_row_and_only_the_last_hundred_operations_count() {
        let session = |success: bool, sent: u64, met: u64, code: Option<&str>| {
            let errors: Vec<Value> = code.iter().map(|code| json!({"code": code})).collect();
            let row = json!({"success": success, "operations": sent, "synced": sent - met, "met": met, "errors": errors});
            row.as_object().cloned().expect("an object")
        };
        let mut before = Object::new();
        let mut seen = Vec::new();
        for (mut row, expected) in [
            (session(true, 4, 1, None), (0.0, 0.01)),
            (session(false, 0, 0, Some("network")), (1.0, 0.01)),
            (session(false, 0, 0, Some("aborted")), (1.0, 0.01)),
            (session(false, 0, 0, Some("network")), (2.0, 0.01)),
            (session(false, 3, 0, Some("network")), (0.0, 0.01)),
            (session(true, 60, 9, None), (0.0, 0.1)),
            (session(true, 100, 11, None), (0.0, 0.11)),
            (session(true, 50, 0, None), (0.0, 11.0 / 150.0)),
            (session(true, 60, 0, None), (0.0, 0.0)),
        ] {
            assert_eq!(carry(&before, &mut row), expected, "{row:?}");
            before = row;
            seen.push(before["recent"].as_array().map_or(0, Vec::len));
        }
        assert_eq!(seen.iter().max(), Some(&2), "{seen:?}");
    }
}
