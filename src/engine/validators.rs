//! Validators that are functions of the app. What a local write would leave is shown to them before it is enqueued, and so is
//! what the decision of a conflict, a restore or an undo would leave; each takes effect only if it still comes to what they
//! saw. A page's records are shown to them before its transaction. A broken function refuses what is written here, and takes
//! what comes down: that is kept at the server in any case, and would be missing here.

use std::rc::Rc;

use serde_json::{Value, json};

use super::functions::{ANSWER_BOUNDS, Matter, Sort};
use super::session::SyncError;
use super::{Cancel, Engine, EngineError};
use crate::decide::{
    Incoming, LocalWrite, Resolve, ResolveError, Resolved, TakeBack, TakeBackError, TakenBack, Wanted, WriteError, Written, with_id,
};
use crate::model::{Action, RecordId};
use crate::platform::Host;
use crate::schema::Fault;
use crate::store::{Durability, Store};
use crate::value::Object;

pub(super) const VALIDATOR: Sort = Sort {
    name: "validator",
    failed: "validator_failed",
    late: "validator_late",
    slow: "validator_slow",
    invalid: "validator_invalid",
    bounds: ANSWER_BOUNDS,
};
/// So often functions are asked about one write, decision, restore or undo that comes to something else each time.
const ASKED_MAX: usize = 3;

/// Why a write was refused, and the place of the member that caused it.
type Refused = (Option<usize>, EngineError);

impl<S: Store, H: Host> Engine<S, H> {
    fn is_validated(&self, entity: &str) -> bool {
        self.inner.settings.validators.iter().any(|known| known == entity)
    }

    /// Writes what the app wants, once its functions have nothing against it.
    pub(super) async fn written(&self, durability: Durability, mut write: LocalWrite) -> Result<Written, Refused> {
        let told = |(at, error): (Option<usize>, WriteError)| (at, EngineError::from(error));
        if !write.wanted.iter().any(|wanted| self.is_validated(&wanted.entity) || self.is_turned_by_functions(&wanted.entity)) {
            return self.known_whole(durability, &mut write, Clone::clone).await?.map_err(told);
        }
        for _ in 0..ASKED_MAX {
            let dry = |write: &LocalWrite| LocalWrite { dry: true, ..write.clone() };
            let would_be = self.known_whole(Durability::Relaxed, &mut write, dry).await?.map_err(told)?;
            for (at, (Wanted { entity, .. }, record)) in write.wanted.iter().zip(&would_be.records).enumerate() {
                let Some(record) = record.as_ref() else { continue };
                self.agreed(entity, &record.id, &record.data).await.map_err(|error| (Some(at), error))?;
            }
            let shown: Vec<Option<Object>> = would_be.records.into_iter().map(|record| record.map(|record| record.data)).collect();
            let shown = Rc::new(shown);
            let settled = |write: &LocalWrite| LocalWrite { shown: Some(shown.clone()), ..write.clone() };
            match self.known_whole(durability, &mut write, settled).await? {
                Err((_, WriteError::Unsettled)) => {}
                done => return done.map_err(told),
            }
        }
        Err(told((None, WriteError::Unsettled)))
    }

    /// Writes, in as many tries as it takes until all that goes along is known.
    async fn known_whole(
        &self,
        durability: Durability,
        write: &mut LocalWrite,
        to_do: impl Fn(&LocalWrite) -> LocalWrite,
    ) -> Result<Result<Written, (Option<usize>, WriteError)>, Refused> {
        loop {
            match self.decide(durability, to_do(write)).await.map_err(|error| (None, error))? {
                Err((_, error)) if error.goes_deeper(&mut write.along) => {}
                done => return Ok(done),
            }
        }
    }

    /// Whether the app's functions have nothing against a record as it would be.
    async fn agreed(&self, entity: &str, id: &RecordId, data: &Object) -> Result<(), EngineError> {
        if self.is_turned_by_functions(entity) {
            self.has_form(entity, data).await?;
        }
        if !self.is_validated(entity) {
            return Ok(());
        }
        let faults = self.validate(entity, id, &with_id(data, id)).await.map_err(|why| {
            let details = json!({"entity": entity, "reason": why});
            EngineError::with("validator_failed", "the app's validator did not answer as it should", details)
        })?;
        if faults.is_empty() { Ok(()) } else { Err(WriteError::Invalid { entity: entity.to_owned(), faults }.into()) }
    }

    /// Whether there is any function, of whichever entity, that could have something against a record.
    fn asks_functions(&self) -> bool {
        let settings = &self.inner.settings;
        !settings.validators.is_empty() || settings.schema.functions().next().is_some()
    }

    /// Ends conflicts as is wanted, but for those of which the functions refuse what their records would be: those stay open. What
    /// the server's side alone leaves is not asked about: nothing is written then. Nor do those end that come to something else
    /// whenever they are looked at.
    pub(super) async fn ended(&self, mut wanted: Resolve) -> Result<(Resolved, Vec<(u64, EngineError)>), EngineError> {
        let (mut refused, mut tries) = (Vec::new(), ASKED_MAX);
        loop {
            let asks = self.asks_functions();
            let mut done = Resolved::default();
            if asks {
                done = self.decide(Durability::Relaxed, Resolve { dry: true, shown: None, ..wanted.clone() }).await?;
                let mut against = Vec::new();
                for (id, preview) in &done.ended {
                    let Some(preview) = preview else {
                        // What nobody was shown, nobody has agreed to.
                        against.push((*id, ResolveError::Unknown(*id).into()));
                        continue;
                    };
                    let written = preview.operation.as_ref().filter(|operation| operation.action != Action::nothing());
                    let Some((operation, record)) = written.zip(preview.record.as_ref()) else { continue };
                    if let Err(error) = self.agreed(&operation.entity, &operation.record, record).await {
                        against.push((*id, error));
                    }
                }
                if !against.is_empty() {
                    wanted.conflicts.retain(|id| !against.iter().any(|(refused, _)| refused == id));
                    refused.append(&mut against);
                    if wanted.conflicts.is_empty() {
                        return Ok((Resolved::default(), refused));
                    }
                    continue;
                }
                let shown = done.ended.iter().map(|(id, preview)| (*id, preview.as_ref().and_then(|preview| preview.record.clone())));
                wanted.shown = Some(Rc::new(shown.collect()));
            }
            if !(asks && wanted.dry) {
                done = self.decide(if wanted.dry { Durability::Relaxed } else { Durability::Strict }, wanted.clone()).await?;
                if wanted.asked.is_none() && !done.overtaken.is_empty() {
                    tries = tries.saturating_sub(1);
                    if tries == 0 {
                        // Who changes again and again keeps no other up.
                        wanted.conflicts.retain(|id| !done.overtaken.contains(id));
                        refused.extend(done.overtaken.into_iter().map(|id| (id, WriteError::Unsettled.into())));
                        if wanted.conflicts.is_empty() {
                            return Ok((Resolved::default(), refused));
                        }
                    }
                    continue;
                }
            }
            refused.extend(std::mem::take(&mut done.refused).into_iter().map(|(id, error)| (id, error.into())));
            return Ok((done, refused));
        }
    }

    /// Brings something back, once the functions have nothing against what the record would be.
    pub(super) async fn taken_back(&self, mut wanted: TakeBack) -> Result<TakenBack, EngineError> {
        let mut tries = ASKED_MAX;
        while tries > 0 {
            if self.asks_functions() {
                let would_be = match self.decide(Durability::Relaxed, TakeBack { dry: true, shown: None, ..wanted.clone() }).await? {
                    Err(TakeBackError::Write(error)) if error.goes_deeper(&mut wanted.along) => continue,
                    done => done?,
                };
                if let Some((entity, record)) = &would_be.record {
                    self.agreed(entity, &record.id, &record.data).await?;
                }
                wanted.shown = Some(Rc::new(vec![would_be.record.map(|(_, record)| record.data)]));
            }
            match self.decide(Durability::Strict, wanted.clone()).await? {
                Err(TakeBackError::Write(WriteError::Unsettled)) => tries -= 1,
                Err(TakeBackError::Write(error)) if error.goes_deeper(&mut wanted.along) => {}
                done => return Ok(done?),
            }
        }
        Err(WriteError::Unsettled.into())
    }

    /// Shows the records of a page to the app's functions, and keeps aside what those refuse.
    pub(super) async fn validate_page(&self, cancel: &Cancel, changes: &mut [Incoming]) -> Result<(), SyncError> {
        let mut late: Vec<String> = Vec::new();
        for change in changes {
            let (entity, id) = (change.entity().to_owned(), change.id().clone());
            // Who was late once is not waited for again and again.
            if !self.is_validated(&entity) || late.contains(&entity) {
                continue;
            }
            let Some(record) = change.shown() else { continue };
            match Self::unless(cancel, self.validate(&entity, &id, &record)).await? {
                Ok(faults) if faults.is_empty() => {}
                Ok(faults) => change.refuse(faults),
                Err(why) if why == VALIDATOR.late => late.push(entity),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// What a function has against a record; its code, if it does not say.
    pub(super) async fn validate(&self, entity: &str, id: &RecordId, record: &Value) -> Result<Vec<Fault>, &'static str> {
        let matter = Matter { entity, conflict: None, record: Some(id) };
        let answer = self.consult(&VALIDATOR, matter, record).await?;
        self.understood(&VALIDATOR, matter, said(answer))
    }
}

/// Nothing, or fields and what is wrong with each.
fn said(answer: Value) -> Option<Vec<Fault>> {
    let fault = |fault: &Value| Some(Fault::said(fault["path"].as_str()?, fault["message"].as_str()?));
    match answer {
        Value::Null => Some(Vec::new()),
        Value::Array(faults) => faults.iter().map(fault).collect(),
        _ => None,
    }
}
