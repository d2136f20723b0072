//! The log of sessions: one row each, the last few kept.

use serde_json::Value;

use super::cache::{Cache, Decision, Run};
use super::rows::{number, row};
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
        let last = db.rows(&Read::last(Table::Sessions))?.first().map_or(0, |row| number(&row.key));
        let mut batch = vec![Write::Put(Table::Sessions, row((last + 1).into(), &self.session))];
        if last >= SESSIONS_MAX {
            batch.push(Write::Delete(Table::Sessions, (last + 1 - SESSIONS_MAX).into()));
        }
        Ok((batch, ()))
    }
}
