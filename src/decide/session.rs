//! The log of sessions: one row each, the last few kept. Each notes how far the audit trail went, so that a trail that lost
//! its end is found out though nothing is unfinished.

use serde_json::Value;

use super::audit::{audited, stored};
use super::cache::{Cache, Decision, Run};
use super::rows::{last_audit, number, row};
use crate::metrics::fold;
use crate::plan::{Read, Table, Write, WriteBatch};

/// So many sessions are remembered.
const SESSIONS_MAX: u64 = 500;

/// Writes a finished session down.
#[derive(Clone, Debug)]
pub struct LogSession {
    /// What it did.
    pub session: Value,
}

impl Decision for LogSession {
    type Out = ();
    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, ())> {
        let sessions = Read::last(Table::Sessions);
        db.prefetch([sessions.clone(), last_audit()]);
        let before = stored(db, &sessions)?.pop().unwrap_or_default();
        let (last, noted) = (before.key, audited(&before));
        let through = db.rows(&last_audit())?.first().map_or(0, |row| number(&row.key));
        let mut session = self.session.clone();
        session["audit"] = through.max(noted).into();
        let folded = before.object().zip(session.as_object_mut()).is_some_and(|(before, session)| fold(&before, session));
        let mut batch = vec![Write::Put(Table::Sessions, row((last + u64::from(!folded)).into(), &session))];
        if last >= SESSIONS_MAX && !folded {
            batch.push(Write::Delete(Table::Sessions, (last + 1 - SESSIONS_MAX).into()));
        }
        Ok((batch, ()))
    }
}
