//! What an app does with conflicts: finds them, looks at what a decision would come to, decides one or many, brings back
//! what lost, and takes a step back.

use serde_json::{Value, json};

use super::options::invalid;
use super::reason::Act;
use super::records::object;
use super::{Engine, EngineError, shown};
use crate::conflict::{Conflict, ConflictState, Filter, FilterError};
use crate::decide::{
    ConflictCounts, CountConflicts, ListConflicts, Present, Preview, Resolution, Resolve, ResolveError, Resolved, TakeBack, Wish,
};
use crate::outbox::State;
use crate::platform::Host;
use crate::store::Store;
use crate::value::{Object, Span, to_value};

/// So many are decided in one transaction.
const ENDED_AT_ONCE: u32 = 100;
/// So many are looked at at a time where counting needs to look.
const COUNTED_AT_ONCE: u32 = 200;

impl<S: Store, H: Host> Engine<S, H> {
    /// Every conflict, the latest last.
    pub async fn conflicts(&self) -> Result<Vec<Value>, EngineError> {
        self.find_conflicts("{}").await
    }

    /// The conflicts that a filter means: `{"entity", "record", "kind", "state", "resolvedBy", "since", "until", "after",
    /// "order", "limit"}`, each member optional.
    pub async fn find_conflicts(&self, filter: &str) -> Result<Vec<Value>, EngineError> {
        let found = self.found(parsed(filter)?, None).await?;
        self.shown_conflicts(&found).await
    }

    async fn found(&self, mut filter: Filter, only: Option<u64>) -> Result<Vec<Conflict>, EngineError> {
        let mut all: Vec<Conflict> = Vec::new();
        loop {
            let schema = self.inner.settings.schema.clone();
            let page = self.look(ListConflicts { schema, filter: filter.clone(), only }).await??;
            let brought = u32::try_from(page.found.len()).unwrap_or(u32::MAX);
            all.extend(page.found);
            let Some(last) = page.more_after else { return Ok(all) };
            filter.after = Some(last);
            filter.limit = filter.limit.map(|limit| limit.saturating_sub(brought));
        }
    }

    pub(super) async fn shown_conflicts(&self, found: &[Conflict]) -> Result<Vec<Value>, EngineError> {
        let schema = &self.inner.settings.schema;
        let wanted = Present::wanted(found.iter().map(|conflict| &conflict.operation), schema);
        let present = Present::new(self.look(wanted).await?);
        Ok(found.iter().map(|conflict| shown::conflict(&present.conflict(schema, conflict))).collect())
    }

    /// One conflict; nothing if there is none of this ID.
    pub async fn conflict(&self, id: u64) -> Result<Option<Value>, EngineError> {
        let found = self.found(Filter::default(), Some(id)).await?;
        Ok(self.shown_conflicts(&found).await?.pop())
    }

    /// How many conflicts a filter means, by state, kind, entity and resolution.
    pub async fn count_conflicts(&self, filter: &str) -> Result<Value, EngineError> {
        let asked = object(filter, 0)?;
        if let Some(path) = Span::page_in(&asked) {
            return Err(FilterError { path: path.to_owned(), reason: "has no meaning where all are counted" }.into());
        }
        let filter = Filter::parse(asked)?;
        let only_time = Filter { since: filter.since, until: filter.until, ..Filter::default() };
        if filter == only_time
            && let Some(counts) = self.look(CountConflicts { schema: self.inner.settings.schema.clone(), filter: only_time }).await?
        {
            return Ok(to_value(&counts));
        }
        let mut counts = ConflictCounts::default();
        let mut after = None;
        loop {
            let page = self.found(Filter { after, limit: Some(COUNTED_AT_ONCE), ..filter.clone() }, None).await?;
            page.iter().for_each(|conflict| counts.add(conflict));
            match page.last() {
                Some(last) => after = Some(last.id),
                None => return Ok(to_value(&counts)),
            }
        }
    }

    /// The open conflict that an operation of the queue is in. Every page and every answer judges what is unsent against the
    /// state that the server tells, so that this is its judgement against the last known one; what was decided is none any more.
    pub async fn detect(&self, operation: &str) -> Result<Option<Value>, EngineError> {
        self.refresh().await?;
        let open = self.inner.queue.borrow().items().find_map(|(_, item)| match item.row.state {
            State::Conflict { conflict } if item.operation.id.as_str() == operation => Some(conflict),
            _ => None,
        });
        match open {
            Some(conflict) => self.conflict(conflict).await,
            None => Ok(None),
        }
    }

    /// Ends an open conflict.
    pub async fn resolve(&self, id: u64, strategy: &str) -> Result<(), EngineError> {
        let (done, refused) = self.ended(self.resolution(vec![id], strategy, false)?).await?;
        self.decided(&done);
        refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// What the end of an open conflict would come to: the record, and what would be sent. Nothing is stored.
    pub async fn preview(&self, id: u64, strategy: &str) -> Result<Value, EngineError> {
        let (shown, mut refused) = self.ended(self.resolution(vec![id], strategy, true)?).await?;
        if let Some((_, error)) = refused.pop() {
            return Err(error);
        }
        let mut previews = self.previews(&shown).await?;
        previews.pop().ok_or_else(|| ResolveError::Unknown(id).into())
    }

    /// Ends the next hundred at most of the open conflicts that a filter means, in one transaction, or in more where some
    /// are of one group; or only shows what that would come to. Answers with `{"resolved", "failed", "previews", "after"}`:
    /// the rest comes after that one.
    pub async fn resolve_many(&self, strategy: &str, filter: &str, dry: bool) -> Result<Value, EngineError> {
        // What is wrong with it is said before anything is looked at.
        if let Resolution::Merge(Some(_)) = self.resolution(Vec::new(), strategy, dry)?.resolution {
            let reason = "mergedData is one record's content: decide each conflict with its own";
            return Err(EngineError::with("invalid_value", reason, json!({"path": "mergedData"})));
        }
        let filter = parsed(filter)?;
        if filter.state.is_some_and(|state| state != ConflictState::Open) {
            return Err(FilterError { path: "state".to_owned(), reason: "must be open: only those can be resolved" }.into());
        }
        let limit = filter.limit.unwrap_or(u32::MAX).min(ENDED_AT_ONCE);
        let open = Filter { state: Some(ConflictState::Open), limit: Some(limit), ..filter };
        let mut ids: Vec<u64> = self.found(open, None).await?.iter().map(|conflict| conflict.id).collect();
        let (mut ended, mut failed, mut previews): (Vec<Value>, Vec<Value>, Vec<Value>) = Default::default();
        let after = ids.last().copied();
        while !ids.is_empty() {
            let decision = self.resolution(ids, strategy, dry)?;
            let (done, refused) = self.ended(decision).await?;
            if !dry {
                self.decided(&done);
            }
            previews.extend(self.previews(&done).await?);
            for (id, _) in done.ended {
                ended.push(id.into());
            }
            for (id, error) in refused {
                failed.push(json!({"id": id, "error": error.told()}));
            }
            ids = done.left;
        }
        Ok(json!({"resolved": ended, "failed": failed, "previews": previews, "after": after}))
    }

    /// The decision of conflicts by a strategy as the app writes it: `{"type", "mergedData", "reason"}`.
    fn resolution(&self, conflicts: Vec<u64>, strategy: &str, dry: bool) -> Result<Resolve, EngineError> {
        let settings = &self.inner.settings;
        let mut strategy = object(strategy, 1)?;
        let reason = match strategy.remove("reason") {
            None | Some(Value::Null) => None,
            Some(Value::String(reason)) => Some(reason),
            Some(_) => return Err(invalid("reason", "must be a text")),
        };
        // Where nothing is decided, nobody is asked why.
        let gives_up = dry || self.reason(Act::Discard, reason.as_deref()).is_ok();
        let reason = if dry { None } else { self.reason(Act::Resolve, reason.as_deref())? };
        let (schema, user) = (settings.schema.clone(), settings.user.clone());
        Ok(Resolve {
            schema,
            conflicts,
            resolution: resolution(strategy)?,
            dry,
            reason,
            gives_up,
            asked: None,
            shown: None,
            fresh: self.fresh(),
            user,
        })
    }

    pub(super) fn decided(&self, done: &Resolved) {
        if !done.ended.is_empty() {
            self.absorb(&done.effects, "local");
            self.inner.poke.notify();
        }
    }

    async fn previews(&self, shown: &Resolved) -> Result<Vec<Value>, EngineError> {
        let schema = &self.inner.settings.schema;
        let all: Vec<(u64, &Preview)> = shown.ended.iter().filter_map(|(id, preview)| Some((*id, preview.as_ref()?))).collect();
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let sent = all.iter().filter_map(|(_, preview)| preview.operation.as_ref());
        let present = Present::new(self.look(Present::wanted(sent, schema)).await?);
        let show = |(id, preview): (u64, &Preview)| {
            let sent = preview.operation.as_ref().map(|operation| present.operation(schema, operation));
            shown::preview(id, sent.as_ref(), preview)
        };
        Ok(all.into_iter().map(show).collect())
    }

    /// Brings back what had lost a conflict, by a write on the record as it is now.
    pub async fn restore_conflict(&self, id: u64, reason: Option<&str>) -> Result<Value, EngineError> {
        self.take_back(id, Wish::Restore, self.reason(Act::Restore, reason)?).await
    }

    /// Takes the last step of a conflict back, its resolution or a restore. What was written since stays.
    pub async fn undo_conflict(&self, id: u64, reason: Option<&str>) -> Result<Value, EngineError> {
        self.take_back(id, Wish::Undo, self.reason(Act::Undo, reason)?).await
    }

    async fn take_back(&self, id: u64, wish: Wish, reason: Option<String>) -> Result<Value, EngineError> {
        let (settings, generation) = (&self.inner.settings, self.inner.state.borrow().generation);
        let (schema, user) = (settings.schema.clone(), settings.user.clone());
        let (operation, now) = (self.op_id(), self.now());
        let decision = TakeBack {
            schema,
            conflict: id,
            wish,
            reason,
            operation,
            now,
            user,
            generation,
            dry: false,
            shown: None,
            along: std::rc::Rc::default(),
        };
        let done = self.taken_back(decision).await?;
        self.absorb(&done.effects, "local");
        self.inner.poke.notify();
        Ok(json!({"operationId": done.operation.as_ref().map(|id| id.as_str()), "kept": done.kept}))
    }
}

fn parsed(filter: &str) -> Result<Filter, EngineError> {
    Ok(Filter::parse(object(filter, 0)?)?)
}

/// A strategy as the app writes it: `{"type", "mergedData"}`.
pub(super) fn resolution(mut strategy: Object) -> Result<Resolution, EngineError> {
    let merged = match strategy.remove("mergedData") {
        Some(Value::Object(mut data)) => {
            data.remove("id");
            data.remove("_sync");
            Some(data)
        }
        None => None,
        Some(_) => return Err(invalid("mergedData", "must be an object")),
    };
    let named = strategy.remove("type");
    if let Some(other) = strategy.keys().find(|member| *member != "reason") {
        return Err(EngineError::with("invalid_value", "a strategy has no such member", json!({"path": other})));
    }
    Ok(match (named.as_ref().and_then(Value::as_str), merged) {
        (Some("server-wins"), None) => Resolution::ServerWins,
        (Some("client-wins"), None) => Resolution::ClientWins,
        (Some("last-write-wins"), None) => Resolution::LastWriteWins,
        (Some("merge"), merged) => Resolution::Merge(merged),
        (Some("manual"), Some(merged)) => Resolution::Merge(Some(merged)),
        _ => {
            return Err(EngineError::with(
                "invalid_value",
                "no such strategy: server-wins, client-wins, last-write-wins, merge, or with mergedData merge or manual",
                json!({"path": "type"}),
            ));
        }
    })
}
