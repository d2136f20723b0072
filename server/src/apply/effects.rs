//! From judgement to outcome: what a verdict adds to the working copy, the receipt that remembers it, and the
//! row of the audit chain that tells of the whole upload.

use fieldsync::protocol::{Outcome, Rejection};
use fieldsync::value::{Hash, canonical, hash_bytes};
use serde_json::json;

use super::judge::{Verdict, effective_stamp, judge};
use super::{Context, Incoming, Stop, Working};
use crate::store::{AuditRow, ChangeRow, Conflict, Receipt, RecordKey, Wanted};

impl Working {
    /// The outcome of one operation, with all that follows from it. An error names rows to load first; nothing
    /// has happened then.
    pub fn decide(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str) -> Result<Outcome, Box<Wanted>> {
        match self.try_decide(context, incoming, fresh) {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Outcome(outcome)) => {
                if outcome.is_final() {
                    self.remember(context, incoming, &outcome);
                }
                Ok(*outcome)
            }
            Err(Stop::Missing(wanted)) => Err(wanted),
        }
    }

    fn try_decide(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str) -> Result<Outcome, Stop> {
        // The receipt comes before everything else: what was answered once is answered the same for ever.
        if let Some(receipt) = self.receipt(&incoming.id)? {
            let same = receipt.fingerprint == incoming.fingerprint;
            let outcome = if same { Outcome::Duplicate { original: Box::new(receipt.outcome.clone()) } } else { reused() };
            return Ok(outcome);
        }
        let operation = incoming.operation.as_ref().map_err(|error| Stop::rejection(error.clone()))?;
        let stamp = effective_stamp(context, operation);
        let outcome = match judge(self, context, operation, fresh)? {
            Verdict::Unchanged(key, version) => {
                let closed = self.closed_by(operation, &key)?;
                self.close(closed);
                Outcome::Applied { real_id: key.id, version, stamp }
            }
            Verdict::Write(write) => {
                let record = write.record;
                let closed = self.closed_by(operation, &record.key)?;
                self.close(closed);
                let outcome = Outcome::Applied { real_id: record.key.id.clone(), version: record.version, stamp };
                self.state.sequence = record.version;
                if let Some(temp) = write.named {
                    self.put_temp(temp, record.key.clone());
                }
                if let Some(last) = write.counter {
                    self.put_counter(&record.key.entity, last);
                }
                let change = ChangeRow {
                    version: record.version,
                    key: record.key.clone(),
                    operation: operation.id.clone(),
                    kind: write.kind,
                    client: context.client.clone(),
                    user: context.user.to_owned(),
                    stamp,
                    request: context.request.to_owned(),
                    received_ms: context.received_ms,
                };
                self.put_record(record, write.references, change);
                outcome
            }
            Verdict::Conflict(record, kind) => {
                let open = self.open_conflict(&record.key)?;
                let conflict = Conflict {
                    id: open.map_or_else(|| fresh.to_owned(), |open| open.id.clone()),
                    key: record.key.clone(),
                    client: context.client.clone(),
                    operation: operation.id.clone(),
                    kind,
                    version: record.version,
                    opened_ms: open.map_or(context.received_ms, |open| open.opened_ms),
                    closed_by: None,
                };
                let outcome = Outcome::Conflict { conflict_id: conflict.id.clone(), kind, server: record.state() };
                self.put_conflict(conflict);
                outcome
            }
        };
        self.remember(context, incoming, &outcome);
        Ok(outcome)
    }

    /// The conflict of the operation in whose place this one stands, as this one leaves it.
    fn closed_by(&self, operation: &fieldsync::model::Operation, key: &RecordKey) -> Result<Option<Conflict>, Stop> {
        let Some(earlier) = &operation.supersedes else { return Ok(None) };
        let Some(Outcome::Conflict { conflict_id, .. }) = self.receipt(earlier)?.map(|receipt| &receipt.outcome) else { return Ok(None) };
        let open = self.open_conflict(key)?.filter(|open| open.id == *conflict_id);
        Ok(open.map(|open| Conflict { closed_by: Some(operation.id.clone()), ..open.clone() }))
    }

    fn close(&mut self, closed: Option<Conflict>) {
        if let Some(conflict) = closed {
            self.put_conflict(conflict);
        }
    }

    fn remember(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, outcome: &Outcome) {
        let took_effect = matches!(outcome, Outcome::Applied { .. });
        self.put_receipt(Receipt {
            operation: incoming.id.clone(),
            client: context.client.clone(),
            fingerprint: incoming.fingerprint.clone(),
            outcome: outcome.clone(),
            supersedes: incoming.operation.as_ref().ok().and_then(|operation| operation.supersedes.clone()),
            request: context.request.to_owned(),
            received_ms: context.received_ms,
            kept: (!took_effect).then(|| incoming.text.to_owned()),
        });
    }

    /// The audit row of this upload, if it changed anything, and the chain's new head.
    pub fn audit(&mut self, context: &Context<'_>) -> Option<AuditRow> {
        let entries: Vec<_> = self.new_receipts().map(entry).collect();
        if entries.is_empty() {
            return None;
        }
        let content = canonical(&json!({
            "at": context.received_ms, "client": context.client, "user": context.user, "request": context.request, "entries": entries,
        }));
        let row = AuditRow { number: self.state.audit_number + 1, hash: link(&self.state.audit_head, &content), content };
        self.state.audit_number = row.number;
        self.state.audit_head = row.hash.clone();
        Some(row)
    }
}

/// The hash of the row that follows `previous`. The leading byte keeps it from being taken for any other hash.
fn link(previous: &Hash, content: &str) -> Hash {
    let mut bytes = vec![1];
    bytes.extend_from_slice(previous.as_str().as_bytes());
    bytes.extend_from_slice(content.as_bytes());
    hash_bytes(&bytes)
}

/// The number of the first audit row that does not continue the chain, if one does not.
pub fn first_broken(rows: &[AuditRow]) -> Option<u64> {
    let mut previous = Hash::zero();
    for (expected, row) in (1..).zip(rows) {
        if row.number != expected || row.hash != link(&previous, &row.content) {
            return Some(expected);
        }
        previous = row.hash.clone();
    }
    None
}

fn entry(receipt: &Receipt) -> serde_json::Value {
    match &receipt.outcome {
        Outcome::Applied { real_id, version, .. } => {
            json!({"operation": receipt.operation, "status": "applied", "record": real_id, "version": version})
        }
        Outcome::Conflict { conflict_id, .. } => json!({"operation": receipt.operation, "status": "conflict", "conflict": conflict_id}),
        Outcome::Rejected { error } => json!({"operation": receipt.operation, "status": "rejected", "code": error.code}),
        Outcome::Blocked { .. } | Outcome::Deferred { .. } | Outcome::Duplicate { .. } => {
            unreachable!("only final outcomes have a receipt")
        }
    }
}

fn reused() -> Outcome {
    let message = "the ID of this operation belongs to another one".to_owned();
    Outcome::Rejected { error: Rejection { code: "operation_reused".to_owned(), message, path: None } }
}
