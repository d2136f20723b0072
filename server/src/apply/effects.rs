//! From judgement to outcome: what a verdict adds to the working copy, the receipt that remembers it, and the
//! row of the audit chain that tells of the whole upload.

use std::collections::BTreeSet;

use fieldsync::model::{Operation, Stamp, Version};
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::{Broken, Outcome, Rejection};
use fieldsync::value::{Hash, canonical, hash_bytes};
use serde_json::json;

use super::judge::{Clash, Verdict, Write, judge};
use super::unique::{Taken, holds};
use super::{Context, Incoming, Stop, Working};
use crate::store::{AuditRow, ChangeRow, Conflict, Receipt, Record, RecordKey, TenantState, Wanted};

/// Refused operations, one in the place of the other, that are looked through for conflicts to close.
const REFUSED_MAX: usize = 8;

/// What is to be said about one operation, before anything of it has happened.
pub(super) enum Ruling {
    /// It was answered before, or another one was under its ID: nothing happens.
    Known(Outcome),
    /// It takes effect.
    Effect(Box<Effect>),
    /// The record is not what it was written on.
    Conflict(Box<Record>, Clash),
    /// Another record holds what it would take.
    Taken(Taken),
    /// It can never take effect, or not yet.
    Refused(Box<Outcome>),
}

/// What an operation does to the working copy.
pub(super) struct Effect {
    outcome: Outcome,
    stamp: Stamp,
    closed: Vec<Conflict>,
    write: Option<Box<Write>>,
}

impl Working {
    /// The outcome of one operation, with all that follows from it. An error names rows to load first; nothing
    /// has happened then.
    pub fn decide(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str) -> Result<Outcome, Box<Wanted>> {
        let ruling = self.rule(context, incoming, fresh)?;
        Ok(self.enter(context, incoming, fresh, ruling))
    }

    /// Rules on an operation. Looks only.
    pub(super) fn rule(&self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str) -> Result<Ruling, Box<Wanted>> {
        match self.try_rule(context, incoming, fresh) {
            Ok(ruling) => Ok(ruling),
            Err(Stop::Outcome(outcome)) => Ok(Ruling::Refused(outcome)),
            Err(Stop::Missing(wanted)) => Err(wanted),
        }
    }

    fn try_rule(&self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str) -> Result<Ruling, Stop> {
        // The receipt comes before everything else: what was answered once is answered the same for ever.
        if let Some(known) = self.known(incoming)? {
            return Ok(Ruling::Known(known));
        }
        let operation = incoming.operation.as_ref().map_err(|error| Stop::rejection(error.clone()))?;
        let stamp = context.effective(operation.stamp);
        let applied = |key: &RecordKey, version, rests_on: Version| {
            let rests_on = Some(rests_on).filter(|rests_on| *rests_on != version);
            Outcome::Applied { real_id: key.id.clone(), version, stamp, rests_on }
        };
        Ok(match judge(self, context, operation, fresh)? {
            Verdict::Unchanged { key, version, rests_on } => {
                let closed = self.closed_by(context, operation, &key)?;
                Ruling::Effect(Box::new(Effect { outcome: applied(&key, version, rests_on), stamp, closed, write: None }))
            }
            Verdict::Write(write) => {
                let closed = self.closed_by(context, operation, &write.record.key)?;
                let outcome = applied(&write.record.key, write.record.version, write.record.version);
                Ruling::Effect(Box::new(Effect { outcome, stamp, closed, write: Some(write) }))
            }
            Verdict::Taken(taken) if context.decision.is_some() => {
                let message = format!("{} {} has these values of {}", taken.holder.entity, taken.holder.id, taken.fields.join(", "));
                return Err(Stop::reject_at("unique_violation", &taken.fields.join(","), message));
            }
            Verdict::Taken(taken) => {
                if let Some(key) = &taken.key {
                    self.open_conflict(key)?;
                }
                Ruling::Taken(taken)
            }
            Verdict::Conflict(record, clash) => {
                // Asked for here, so that it is there when the ruling is entered.
                self.open_conflict(&record.key)?;
                Ruling::Conflict(record, clash)
            }
        })
    }

    /// The answer to an operation whose ID was met before.
    pub(super) fn known(&self, incoming: &Incoming<'_>) -> Result<Option<Outcome>, Stop> {
        let Some(receipt) = self.receipt(&incoming.id)? else { return Ok(None) };
        let same = receipt.fingerprint == incoming.fingerprint;
        Ok(Some(if same { Outcome::Duplicate { original: Box::new(receipt.outcome.clone()) } } else { reused() }))
    }

    /// Lets happen what was ruled. The working copy is the one that was looked at, or an earlier state of it for
    /// what takes no effect.
    pub(super) fn enter(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, fresh: &str, ruling: Ruling) -> Outcome {
        let outcome = match ruling {
            Ruling::Known(outcome) => return outcome,
            Ruling::Refused(outcome) => *outcome,
            Ruling::Conflict(record, clash) => self.open(context, incoming, fresh, &record, clash, None),
            Ruling::Taken(taken) => self.refuse(context, incoming, fresh, taken),
            Ruling::Effect(effect) => {
                for conflict in effect.closed {
                    let own = conflict.client == *context.client;
                    self.put_conflict(conflict, own);
                }
                if let Some(mut write) = effect.write {
                    let first = self.state.sequence.next();
                    for other in std::mem::take(&mut write.along) {
                        self.write(context, incoming, effect.stamp, other);
                    }
                    self.write(context, incoming, effect.stamp, *write);
                    self.keep_together(first);
                }
                effect.outcome
            }
        };
        if outcome.is_final() && !(is(Bug::ServerNoReceipt) && fresh.as_bytes().last().is_some_and(|last| last % 2 == 0)) {
            self.remember(context, incoming, &outcome);
        }
        outcome
    }

    fn write(&mut self, context: &Context<'_>, incoming: &Incoming<'_>, stamp: Stamp, write: Write) {
        let record = write.record;
        if let Ok(operation) = &incoming.operation
            && operation.is_relative()
            && *operation.first() != operation.id
        {
            self.put_counted(operation.first().clone());
        }
        self.state.sequence = record.version;
        self.leaving.remove(&record.key);
        if let Some(temp) = write.named {
            self.put_temp(temp, record.key.clone());
        }
        if let Some(last) = write.counter {
            self.put_counter(&record.key.entity, last);
        }
        let change = ChangeRow {
            version: record.version,
            key: record.key.clone(),
            operation: incoming.id.clone(),
            kind: write.kind,
            client: context.client.clone(),
            user: context.user.to_owned(),
            stamp,
            request: context.request.to_owned(),
            received_ms: context.received_ms,
        };
        let holds = holds(context, &record.key.entity, record.data.as_ref());
        self.put_record(record, write.references, holds, change);
    }

    /// Opens the client's conflict over the record, or renews the one that is open.
    pub(super) fn open(
        &mut self,
        context: &Context<'_>,
        incoming: &Incoming<'_>,
        fresh: &str,
        record: &Record,
        Clash { kind, done }: Clash,
        constraint: Option<Box<Broken>>,
    ) -> Outcome {
        let open = self.open_conflict(&record.key).ok().flatten();
        let conflict = Conflict {
            id: open.map_or_else(|| fresh.to_owned(), |open| open.id.clone()),
            key: record.key.clone(),
            client: context.client.clone(),
            operation: incoming.id.clone(),
            kind,
            version: record.version,
            opened_ms: open.map_or(context.received_ms, |open| open.opened_ms),
            offset_ms: context.offset_ms,
            closed_by: None,
        };
        let real_id = Some(record.key.id.clone());
        let outcome = Outcome::Conflict { conflict_id: conflict.id.clone(), kind, real_id, server: record.state(), done, constraint };
        self.put_conflict(conflict, true);
        outcome
    }

    /// The conflicts of the operations in whose place this one stands, as this one leaves them: of the one that it names,
    /// and of those that were refused before that one, if another device met the first.
    fn closed_by(&self, context: &Context<'_>, operation: &Operation, key: &RecordKey) -> Result<Vec<Conflict>, Stop> {
        let (mut closed, mut next): (Vec<Conflict>, _) = (Vec::new(), operation.supersedes.clone());
        let refused_max = if is(Bug::ServerDecisionOpen) && context.decision.is_some() { 0 } else { REFUSED_MAX };
        for _ in 0..refused_max {
            let Some(receipt) = next.as_ref().map(|earlier| self.receipt(earlier)).transpose()?.flatten() else { break };
            let Outcome::Conflict { conflict_id, .. } = &receipt.outcome else { break };
            if let Some(open) = self.closable(context, receipt, conflict_id, key)?
                && closed.iter().all(|known| known.id != open.id)
            {
                closed.push(Conflict { closed_by: Some(operation.id.clone()), ..open.clone() });
            }
            next.clone_from(&receipt.supersedes);
        }
        Ok(closed)
    }

    /// The open conflict that an operation met, if whoever sends may close it. One that another client met is closed by
    /// its user's other devices and by coordinators, and only in the place of the last operation that met it: its own
    /// device may have written on meanwhile.
    fn closable(&self, context: &Context<'_>, refused: &Receipt, name: &str, key: &RecordKey) -> Result<Option<&Conflict>, Stop> {
        if refused.client == *context.client {
            return Ok(self.open_conflict(key)?.filter(|open| open.id == name));
        }
        let decides = |(conflict, user): &(&Conflict, &str)| {
            conflict.closed_by.is_none() && conflict.key == *key && conflict.operation == refused.operation && context.decides_for(user)
        };
        Ok(self.named(name)?.filter(decides).map(|(conflict, _)| conflict))
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
        let mut content = json!({
            "at": context.received_ms, "client": context.client, "user": context.user, "request": context.request, "entries": entries,
        });
        // What a delete took along has no receipt of its own.
        let told: BTreeSet<Version> = self.new_receipts().filter_map(version).collect();
        let along: Vec<_> = self.changes.iter().filter(|change| !told.contains(&change.version)).map(also).collect();
        if !along.is_empty() {
            content["along"] = along.into();
        }
        if let Some(decision) = context.decision {
            content["decision"] = json!({"conflict": decision.conflict, "resolution": decision.choice, "reason": decision.reason});
        }
        Some(audit_row(&mut self.state, &content))
    }
}

/// The next row of the tenant's audit chain, which becomes its head.
pub fn audit_row(state: &mut TenantState, content: &serde_json::Value) -> AuditRow {
    let content = canonical(content);
    let row = AuditRow { number: state.audit_number + 1, hash: link(&state.audit_head, &content), content };
    state.audit_number = row.number;
    state.audit_head = row.hash.clone();
    row
}

/// The hash of the row that follows `previous`. The leading byte keeps it from being taken for any other hash.
pub fn link(previous: &Hash, content: &str) -> Hash {
    let mut bytes = vec![1];
    bytes.extend_from_slice(previous.as_str().as_bytes());
    bytes.extend_from_slice(content.as_bytes());
    hash_bytes(&bytes)
}

/// The version that a receipt tells of.
fn version(receipt: &Receipt) -> Option<Version> {
    match &receipt.outcome {
        Outcome::Applied { version, .. } => Some(*version),
        _ => None,
    }
}

fn also(change: &ChangeRow) -> serde_json::Value {
    let ChangeRow { key, version, kind, operation, .. } = change;
    json!({"operation": operation, "entity": key.entity, "record": key.id, "version": version, "kind": kind})
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

/// The answer to another operation under an ID that is taken.
pub fn reused() -> Outcome {
    let message = "the ID of this operation belongs to another one".to_owned();
    Outcome::Rejected { error: Rejection { code: "operation_reused".to_owned(), message, path: None, faults: Vec::new() } }
}
