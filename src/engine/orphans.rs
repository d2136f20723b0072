//! What an app does about references that lead to nothing: looks for them, part by part so that a large store never
//! stands still, and ends the records that hold them, each in a transaction of its own.

use std::rc::Rc;

use serde::Serialize;
use serde_json::{Value, json};

use super::options::{dry_run, invalid, members};
use super::reason::{Act, bounded};
use super::{Engine, EngineError, shown};
use crate::decide::{CheckReferences, EndOrphan, Ended, OrphanError, Present, Walk};
use crate::model::{Operation, RecordId};
use crate::platform::Host;
use crate::relations::{Named, ReferenceReport};
use crate::store::{Durability, Store};
use crate::value::{Limits, to_value};

/// A record that referred to nothing, and what became of it.
#[derive(Serialize)]
struct Resolved {
    entity: String,
    id: RecordId,
    action: &'static str,
    operations: Vec<Value>,
}

/// What the caller wants of a resolution.
struct Wish {
    delete: bool,
    dry: bool,
    reason: Option<String>,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Where all references lead: `{"records", "references", "dangling", "more", "unknown", "ok"}`. Of those that lead to
    /// nothing as many are listed as `{"limit"}` says; all without it.
    pub async fn check_references(&self, options: &str) -> Result<Value, EngineError> {
        let options = members("options", options, &Limits::RECORD)?;
        let limit = match options.get("limit") {
            None => usize::MAX,
            Some(limit) => {
                let limit = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
                limit.ok_or_else(|| invalid("limit", "must be a whole number from 0"))?
            }
        };
        Ok(to_value(&self.checked(limit).await?))
    }

    async fn checked(&self, listed_max: usize) -> Result<ReferenceReport, EngineError> {
        let mut report = ReferenceReport::default();
        let mut at = Some(Walk::default());
        while let Some(walk) = at {
            let (part, next) = self.look(CheckReferences { schema: self.inner.settings.schema.clone(), at: walk }).await?;
            report.add(part, listed_max);
            at = next;
        }
        Ok(report)
    }

    /// Ends the records that refer to nothing by `delete`, `keep` or `queue`, or with `{"dryRun": true}` only says what that
    /// would come to: `{"resolved", "failed"}`.
    pub async fn resolve_orphans(&self, strategy: &str, options: &str) -> Result<Value, EngineError> {
        if !matches!(strategy, "delete" | "keep" | "queue") {
            return Err(invalid("strategy", "must be 'delete', 'keep' or 'queue'"));
        }
        let options = members("options", options, &Limits::RECORD)?;
        let dry = dry_run(&options, &["reason"])?;
        let reason = match options.get("reason") {
            None => None,
            Some(Value::String(reason)) => Some(reason.as_str()),
            Some(_) => return Err(invalid("reason", "must be a text")),
        };
        let delete = strategy == "delete";
        // Where nothing is given up, nobody is asked why.
        let reason = if delete && !dry { self.reason(Act::Discard, reason)? } else { bounded(reason)? };
        let mut records: Vec<Named> = Vec::new();
        for orphan in self.checked(usize::MAX).await?.dangling {
            let record = Named { entity: orphan.entity, id: orphan.id };
            // Those of one record come one after another.
            if records.last() != Some(&record) {
                records.push(record);
            }
        }
        if strategy == "keep" {
            let kept = |Named { entity, id }| Resolved { entity, id, action: "kept", operations: Vec::new() };
            let kept: Vec<Resolved> = records.into_iter().map(kept).collect();
            return Ok(json!({"resolved": to_value(&kept), "failed": []}));
        }
        self.end_all(records, &Wish { delete, dry, reason }).await
    }

    /// One after another. What is refused because another of them refers to it is tried again once that one is gone.
    async fn end_all(&self, mut records: Vec<Named>, wish: &Wish) -> Result<Value, EngineError> {
        let mut done = Done::default();
        loop {
            let before = done.resolved.len();
            let mut failed: Vec<(Named, EngineError)> = Vec::new();
            for record in records {
                if let Some(action) = done.along(&record) {
                    // With another one, and told there.
                    done.add(record, action, Vec::new());
                    continue;
                }
                match self.end_one(&record, wish, &done.gone).await? {
                    Ok(None) => {}
                    Ok(Some(ended)) => {
                        let schema = &self.inner.settings.schema;
                        let present = Present::new(self.look(Present::wanted(ended.operations.iter(), schema)).await?);
                        let shown: Vec<Operation> = ended.operations.iter().map(|operation| present.operation(schema, operation)).collect();
                        done.add(record, ended.action, shown.iter().map(shown::content).collect());
                        done.take(ended.gone, ended.action);
                    }
                    Err(error) => failed.push((record, error)),
                }
            }
            let again = done.resolved.len() > before && failed.iter().any(|(_, error)| error.code == "has_dependents");
            if !again {
                let told = |(record, error): &(Named, EngineError)| json!({"entity": record.entity, "id": record.id.to_value(), "error": error.told()});
                let failed: Vec<Value> = failed.iter().map(told).collect();
                return Ok(json!({"resolved": to_value(&done.resolved), "failed": failed}));
            }
            records = failed.into_iter().map(|(record, _)| record).collect();
        }
    }

    /// Ends one record, or says why not.
    async fn end_one(&self, record: &Named, wish: &Wish, gone: &Rc<Vec<Named>>) -> Result<Result<Option<Ended>, EngineError>, EngineError> {
        let settings = &self.inner.settings;
        let mut decision = EndOrphan {
            schema: settings.schema.clone(),
            record: record.clone(),
            delete: wish.delete,
            dry: wish.dry,
            gone: if wish.dry { gone.clone() } else { Rc::default() },
            along: Rc::default(),
            reason: wish.reason.clone(),
            coalesce: settings.coalesce,
            operation: self.op_id(),
            now: self.now(),
            user: settings.user.clone(),
            generation: self.inner.state.borrow().generation,
        };
        let done = loop {
            match self.decide(Durability::Strict, decision.clone()).await? {
                Err(OrphanError::Write(error)) if error.goes_deeper(&mut decision.along) => {}
                done => break done,
            }
        };
        if let Ok(Some(ended)) = &done
            && !wish.dry
        {
            self.absorb(&ended.effects, "local");
            self.inner.poke.notify();
        }
        Ok(done.map_err(EngineError::from))
    }
}

/// What is done so far.
#[derive(Default)]
struct Done {
    resolved: Vec<Resolved>,
    /// Records that are no more, those that went along too.
    gone: Rc<Vec<Named>>,
    /// How each of them went.
    how: Vec<&'static str>,
}

impl Done {
    fn add(&mut self, Named { entity, id }: Named, action: &'static str, operations: Vec<Value>) {
        self.resolved.push(Resolved { entity, id, action, operations });
    }
    fn take(&mut self, gone: Vec<Named>, action: &'static str) {
        self.how.extend(gone.iter().map(|_| action));
        Rc::make_mut(&mut self.gone).extend(gone);
    }
    /// How a record went with another one, if it did.
    fn along(&self, record: &Named) -> Option<&'static str> {
        self.gone.iter().position(|gone| gone == record).map(|at| self.how[at])
    }
}
