//! The log of sessions: one row each, the last few kept. Each notes how far the audit trail went, so that a trail that lost
//! its end is found out though nothing is unfinished; and the last one the alerts that hold.

use serde_json::Value;

use super::audit::{audited, last_check, stored};
use super::cache::{Cache, Decision, Run};
use super::check::readable;
use super::retention::number_in;
use super::rows::{last_audit, number, row};
use crate::metrics::{CONFLICT_RATE, INTEGRITY, Numbers, SESSIONS_FAILED, alerts_in, carry, changes, fold, judge};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::value::Object;

/// So many sessions are remembered.
const SESSIONS_MAX: u64 = 500;

/// Writes a finished session down, and judges by all that is known whether somebody should look.
#[derive(Clone, Debug)]
pub struct LogSession {
    /// What it did. Nothing: none has ended, and the alerts alone are judged.
    pub session: Option<Value>,
    /// What else is seen, for the alerts.
    pub seen: Numbers,
    /// Their limits.
    pub limits: Numbers,
    /// Now, ms by the device.
    pub now: u64,
}

impl LogSession {
    /// Reads the last session.
    pub fn last() -> Read {
        Read::last(Table::Sessions)
    }

    /// The alerts that hold where these did.
    fn judge(&self, held: &[Value], faults: f64, counted: Option<(f64, f64)>) -> Vec<Value> {
        let mut seen = self.seen;
        seen[INTEGRITY] = Some(seen[INTEGRITY].unwrap_or_default().max(faults));
        if let Some((failures, rate)) = counted {
            (seen[SESSIONS_FAILED], seen[CONFLICT_RATE]) = (Some(failures), Some(rate));
        }
        judge(held, &seen, &self.limits, self.now)
    }
}

impl Decision for LogSession {
    /// The alerts that hold now.
    type Out = Vec<Value>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Vec<Value>)> {
        db.prefetch([Self::last(), last_audit(), last_check()]);
        let last_row = stored(db, &Self::last())?.pop();
        let trail = db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key));
        let check: Object = readable(db, &last_check())?.unwrap_or_default();
        // Counts of at most some thousands: exact as doubles.
        let faults = number_in(&check, "faults") as f64;
        let before = last_row.as_ref().and_then(|row| row.object()).unwrap_or_default();
        let (last, noted) = last_row.as_ref().map_or((0, 0), |row| (row.key, audited(row)));
        let held = alerts_in(&before);
        let Some(session) = self.session.as_ref().and_then(Value::as_object) else {
            let holds = self.judge(&held, faults, None);
            let mut batch = Vec::new();
            if changes(&held, &holds).next().is_some() && !before.is_empty() {
                let mut same = before;
                same.remove("sum");
                same.insert("alerts".to_owned(), holds.clone().into());
                batch.push(Write::Put(Table::Sessions, row(last.into(), &same)));
            }
            return Ok((batch, holds));
        };
        let mut session = session.clone();
        session.insert("audit".to_owned(), trail.max(noted).into());
        let counted = carry(&before, &mut session);
        let holds = self.judge(&held, faults, Some(counted));
        if !holds.is_empty() {
            session.insert("alerts".to_owned(), holds.clone().into());
        }
        let folded = !before.is_empty() && fold(&before, &mut session);
        let mut batch = vec![Write::Put(Table::Sessions, row((last + u64::from(!folded)).into(), &session))];
        if last >= SESSIONS_MAX && !folded {
            batch.push(Write::Delete(Table::Sessions, (last + 1 - SESSIONS_MAX).into()));
        }
        Ok((batch, holds))
    }
}
