//! The session itself: initialise, upload, download, finalise.

use std::pin::pin;
use std::rc::Rc;

use futures_util::future::{Either, select};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::events::Event;
use super::session::{Direction, Place, SyncError, SyncResult, Told, Turn};
use super::{Attempt, Cancel, Engine, EngineError, config::database_name, shown};
use crate::decide::{ApplyPage, Claim, Claimed, Effects, LogSession, Outcomes, PageResult, Sent, Settled};
use crate::model::{Epoch, OpId, RecordId, Version};
use crate::outbox::{BatchSize, Seals};
use crate::platform::{Clock, Host, Identity, Locks};
use crate::protocol::limits::BATCH_BYTES_MAX;
use crate::protocol::{CheckpointState, DownloadRequest, InitializeRequest, Outcome, PROTOCOL, RawPage, Rejection, Reply, RequestHead};
use crate::store::{Durability, Store, StoreError};
use crate::value::{to_text, to_value};

/// What an upload body is made of: the operations are the stored bytes.
#[derive(Serialize)]
struct Upload<'u> {
    head: &'u RequestHead,
    operations: Vec<&'u RawValue>,
}

/// One operation of a batch as it goes up.
struct Going {
    seq: u64,
    id: OpId,
    entity: String,
    row: RecordId,
    body: Box<RawValue>,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Runs a session, or shares the next one if one is running. Never fails: what went wrong is in the result.
    pub async fn sync(&self, direction: Direction, cancel: Option<Cancel>) -> SyncResult {
        let closed = || self.nothing(direction, SyncError::from(EngineError::from(StoreError::Closed)));
        if self.inner.closed.is_raised() {
            return closed();
        }
        let place = self.inner.role.borrow_mut().enter(direction);
        let turn = match place {
            Place::Run(turn) => turn,
            Place::Wait(told) => {
                let stopped = async {
                    match &cancel {
                        Some(cancel) => cancel.cancelled().await,
                        None => std::future::pending().await,
                    }
                };
                match select(told, pin!(stopped)).await {
                    Either::Left((Ok(Told::Run(turn)), _)) => turn,
                    Either::Left((Ok(Told::Result(result)), _)) => return result,
                    Either::Left((Err(_), _)) => return closed(),
                    Either::Right(_) => return self.nothing(direction, SyncError::aborted()),
                }
            }
        };
        let Turn { direction, cancel: own, others } = turn;
        self.emit_status();
        let result = {
            let session = pin!(self.session(direction, &own));
            match cancel {
                None => session.await,
                Some(cancel) => {
                    let stopper = pin!(async {
                        cancel.cancelled().await;
                        own.cancel();
                    });
                    match select(session, stopper).await {
                        Either::Left((result, _)) => result,
                        Either::Right(((), session)) => session.await,
                    }
                }
            }
        };
        self.remember(&result);
        self.inner.role.borrow_mut().leave();
        for other in others {
            let _ = other.send(Told::Result(result.clone()));
        }
        self.emit(Event::Session { result: brief(&result) });
        self.emit_status();
        result
    }

    /// Stops the session that runs, if one does.
    pub fn abort(&self) {
        self.inner.role.borrow().cancel_running();
    }

    fn nothing(&self, direction: Direction, error: SyncError) -> SyncResult {
        SyncResult {
            success: false,
            synced: 0,
            failed: 0,
            conflicts: 0,
            downloaded: 0,
            quarantined: 0,
            operations: Vec::new(),
            errors: vec![error],
            duration: 0,
            started: self.now(),
            direction,
        }
    }

    async fn session(&self, direction: Direction, cancel: &Cancel) -> SyncResult {
        let mut result = self.nothing(direction, SyncError::aborted());
        result.errors.clear();
        let done = self.steps(direction, cancel, &mut result).await;
        self.inner.flight.take();
        if let Err(error) = done {
            if error.retryable || error.code == "epoch_changed" {
                self.inner.initialised.set(false);
            }
            result.errors.push(error);
        }
        result.duration = self.now().saturating_sub(result.started);
        result.success = result.failed == 0 && result.errors.is_empty();
        self.finalise(&result).await;
        result
    }

    /// Waits for something outside, unless the session is stopped. Only such waits are given up: a transaction
    /// under way comes to its end, and what it did is told.
    async fn unless<T>(cancel: &Cancel, outside: impl Future<Output = T>) -> Result<T, SyncError> {
        match select(pin!(outside), pin!(cancel.cancelled())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(SyncError::aborted()),
        }
    }

    async fn steps(&self, direction: Direction, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let inner = &self.inner;
        if inner.offline.get() {
            return Err(SyncError::new("network", "this client is set offline", true));
        }
        let name = format!("{}/sender", database_name(&inner.settings.tenant, &inner.settings.user));
        let _role = Self::unless(cancel, inner.host.locks().acquire(&name)).await?;
        self.refresh().await?;
        self.initialise(cancel).await?;
        if direction != Direction::Down {
            self.upload(cancel, result).await?;
        }
        if direction != Direction::Up {
            self.download(cancel, result).await?;
        }
        Ok(())
    }

    fn head(&self) -> RequestHead {
        let state = self.inner.state.borrow();
        RequestHead {
            protocol: PROTOCOL,
            request_id: self.uuid(),
            tenant: self.inner.settings.tenant.clone(),
            user: self.inner.settings.user.clone(),
            client: self.inner.device.client.clone(),
            epoch: state.epoch.clone(),
            offset_ms: state.offset_ms,
        }
    }

    async fn token(&self, cancel: &Cancel, refresh: bool) -> Result<String, SyncError> {
        let settings = &self.inner.settings;
        let asked = self.inner.host.identity().token(&settings.tenant, &settings.user, refresh);
        // An app that never answers must not hold the sender's lock for ever.
        let late = self.inner.host.clock().sleep(settings.timeout_ms);
        let token = match Self::unless(cancel, select(pin!(asked), pin!(late))).await? {
            Either::Left((token, _)) => token,
            Either::Right(_) => None,
        };
        token.ok_or_else(|| SyncError::new("auth_required", "there is no token for this user now", false))
    }

    /// Runs a request with the user's token, and once more with a fresh one if the first is refused.
    async fn authorised<T, F>(&self, cancel: &Cancel, request: impl Fn(String) -> F) -> Result<T, SyncError>
    where
        F: Future<Output = Result<T, crate::platform::network::TransportError>>,
    {
        let first = Self::unless(cancel, request(self.token(cancel, false).await?)).await?.map_err(SyncError::from);
        match first {
            Err(error) if error.code == "auth_required" => Ok(Self::unless(cancel, request(self.token(cancel, true).await?)).await??),
            done => done,
        }
    }

    async fn initialise(&self, cancel: &Cancel) -> Result<(), SyncError> {
        if self.inner.initialised.get() {
            return Ok(());
        }
        self.progress("initialize", 0, 1, 0);
        let request = InitializeRequest {
            head: self.head(),
            schema: self.inner.settings.schema.version,
            checkpoint: self.inner.state.borrow().checkpoint.clone(),
            pending: self.pending(),
            last_seq: self.inner.known.get().unwrap_or(0),
        };
        let asked = self.now();
        let http = self.http();
        let answer = self.authorised(cancel, |token| {
            let (http, request) = (&http, &request);
            async move { http.initialize(request, &token).await }
        });
        let answer = answer.await?;
        self.epoch(&answer.reply.epoch)?;
        match answer.checkpoint {
            CheckpointState::None | CheckpointState::Ok => {}
            CheckpointState::EpochChanged => return Err(SyncError::new("epoch_changed", "the server has another history now", false)),
            CheckpointState::Resync => return Err(SyncError::new("checkpoint_expired", "this device was away too long", false)),
        }
        // The answer was written about half way between question and arrival.
        let middle = asked + self.now().saturating_sub(asked) / 2;
        let offset = i64::try_from(answer.reply.server_time).unwrap_or(i64::MAX).saturating_sub(i64::try_from(middle).unwrap_or(i64::MAX));
        self.inner.state.borrow_mut().offset_ms = offset;
        let mut batch = self.inner.batch.get();
        batch.limit(answer.limits.operations_max);
        self.inner.batch.set(batch);
        self.inner.initialised.set(true);
        self.progress("initialize", 1, 1, 0);
        Ok(())
    }

    /// An answer with another epoch than the stored one is not applied.
    fn epoch(&self, epoch: &Epoch) -> Result<(), SyncError> {
        match &self.inner.state.borrow().epoch {
            Some(known) if known != epoch => Err(SyncError::new("epoch_changed", "the server has another history now", false)),
            _ => Ok(()),
        }
    }

    async fn upload(&self, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let inner = &self.inner;
        // What the server did not want yet waits for the next session, and must not keep the others from going.
        let (mut done, mut bytes, mut not_now) = (0, 0, Vec::new());
        while !cancel.is_cancelled() {
            let size = inner.batch.get();
            let batch = inner.queue.borrow().batch(size.get(), BATCH_BYTES_MAX, &not_now);
            if batch.is_empty() {
                return Ok(());
            }
            let going = self.going(&batch)?;
            let operations: Vec<(u64, OpId)> = going.iter().map(|op| (op.seq, op.id.clone())).collect();
            let claim = Claim { operations, known: inner.known.get().unwrap_or(0) };
            if self.decide(Durability::Strict, claim).await? == Claimed::Stale {
                self.refresh().await?;
                continue;
            }
            for seq in &batch {
                inner.seals.borrow_mut().insert(*seq);
            }
            inner.flight.replace(flight(&batch));
            self.emit(Event::Queue);
            let sent = self.send(cancel, &going).await;
            inner.flight.take();
            let unfinished = match sent {
                Ok((reply, outcomes, size)) => {
                    bytes += size;
                    self.apply(&going, Some(&reply.epoch), reply.durable, outcomes, result).await?
                }
                Err(error) if error.code == "too_large" && going.len() > 1 => {
                    let mut smaller: BatchSize = size;
                    smaller.halve(going.len());
                    inner.batch.set(smaller);
                    continue;
                }
                Err(error) if error.code == "too_large" => self.park_too_large(&going, &error, result).await?,
                Err(error) => {
                    self.failed(&batch, &error);
                    return Err(error);
                }
            };
            done += (batch.len() - unfinished.len()) as u64;
            not_now.extend(unfinished);
            let ahead = inner.queue.borrow().pending() as u64;
            self.progress("upload", done, done + ahead, bytes);
        }
        Err(SyncError::aborted())
    }

    fn going(&self, batch: &[u64]) -> Result<Vec<Going>, SyncError> {
        let queue = self.inner.queue.borrow();
        let items = batch.iter().filter_map(|seq| queue.get(*seq).map(|item| (*seq, item)));
        items
            .map(|(seq, item)| {
                let body =
                    RawValue::from_string(item.row.body.clone()).map_err(|error| SyncError::new("integrity", &error.to_string(), false))?;
                Ok(Going { seq, id: item.operation.id.clone(), entity: item.operation.entity.clone(), row: item.row.row.clone(), body })
            })
            .collect()
    }

    async fn send(&self, cancel: &Cancel, going: &[Going]) -> Result<(Reply, Vec<Outcome>, u64), SyncError> {
        let head = self.head();
        let upload = Upload { head: &head, operations: going.iter().map(|op| &*op.body).collect() };
        let body = to_text(&upload);
        let size = body.len() as u64;
        let http = self.http();
        let answer = self.authorised(cancel, |token| {
            let (http, head, body) = (&http, &head, body.clone());
            async move { http.upload(&head.request_id, body, &token).await }
        });
        let answer = answer.await?;
        self.epoch(&answer.reply.epoch)?;
        // An operation that the server does not mention is unknown: it is sent again.
        let unmentioned = || Outcome::Deferred { retry_after_ms: 0 };
        let mut results = answer.results;
        let outcome = |op: &Going| {
            // They come in the order of the request, so the search ends at once.
            let at = results.iter().position(|result| result.operation == op.id);
            at.map_or_else(unmentioned, |at| results.remove(at).outcome)
        };
        let outcomes = going.iter().map(outcome).collect();
        Ok((answer.reply, outcomes, size))
    }

    /// Stores the outcomes of a batch. Says which of it are not finished by them.
    async fn apply(
        &self,
        going: &[Going],
        epoch: Option<&Epoch>,
        durable: Version,
        outcomes: Vec<Outcome>,
        result: &mut SyncResult,
    ) -> Result<Vec<u64>, SyncError> {
        let shown: Vec<Value> = {
            let queue = self.inner.queue.borrow();
            let shown = |(op, outcome): (&Going, &Outcome)| queue.get(op.seq).map(|item| show_outcome(&item.operation, outcome));
            going.iter().zip(&outcomes).filter_map(shown).collect()
        };
        let waiting: Vec<u64> =
            going.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.original().is_final()).map(|(op, _)| op.seq).collect();
        let finals = (going.len() - waiting.len()) as u64;
        let sent = going.iter().zip(outcomes).map(|(op, outcome)| Sent {
            seq: op.seq,
            id: op.id.clone(),
            row: op.row.clone(),
            entity: op.entity.clone(),
            outcome,
        });
        let state = self.inner.state.borrow().clone();
        let decision = Outcomes {
            schema: self.inner.settings.schema.clone(),
            sent: sent.collect(),
            epoch: epoch.cloned(),
            durable,
            offset_ms: state.offset_ms,
            fresh: going.iter().map(|_| self.op_id()).collect(),
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        let Some(effects) = self.decide(Durability::Strict, decision).await? else {
            return Err(SyncError::new("epoch_changed", "the server has another history now", false));
        };
        if let Some(epoch) = epoch {
            self.inner.state.borrow_mut().epoch.get_or_insert_with(|| epoch.clone());
        }
        self.failed(&waiting, &SyncError::new("deferred", "the server asks to wait", true));
        count(&effects, result);
        result.operations.extend(shown);
        let mut totals = self.inner.totals.get();
        totals.operations_up += finals;
        self.inner.totals.set(totals);
        let stored = effects.seq.is_some();
        self.absorb(&effects, "sync");
        // Where nothing waited for these outcomes any more, another context was first: it knows the rest.
        Ok(if stored { waiting } else { going.iter().map(|op| op.seq).collect() })
    }

    /// A single operation that no server takes is parked with its payload.
    async fn park_too_large(&self, going: &[Going], error: &SyncError, result: &mut SyncResult) -> Result<Vec<u64>, SyncError> {
        let refusal = Rejection { code: "too_large".to_owned(), message: error.message.clone(), path: None };
        let outcomes = going.iter().map(|_| Outcome::Rejected { error: refusal.clone() }).collect();
        self.apply(going, None, Version(0), outcomes, result).await
    }

    fn failed(&self, batch: &[u64], error: &SyncError) {
        let mut attempts = self.inner.attempts.borrow_mut();
        for seq in batch {
            let at = attempts.iter().position(|(known, _)| known == seq).unwrap_or_else(|| {
                attempts.push((*seq, Attempt::default()));
                attempts.len() - 1
            });
            let (_, attempt) = &mut attempts[at];
            attempt.count += 1;
            attempt.error = Some((error.code.clone(), error.message.clone()));
        }
    }

    async fn download(&self, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let state = self.inner.state.borrow().clone();
        let checkpoint = if state.is_behind(&self.inner.settings.schema) { None } else { state.checkpoint.clone() };
        let request = DownloadRequest { head: self.head(), checkpoint, page_records: self.inner.settings.page_size };
        let http = self.http();
        let pages = self.authorised(cancel, |token| {
            let (http, request) = (&http, &request);
            async move { http.download(request, &token).await }
        });
        let mut pages = pages.await?;
        let head = pages.head().clone();
        self.epoch(&head.reply.epoch)?;
        let mut from = state.checkpoint;
        let mut begins = request.checkpoint.is_none();
        let mut done = 0;
        self.progress("download", 0, head.records, 0);
        while let Some(text) = Self::unless(cancel, pages.next()).await?? {
            let page: RawPage<'_> = serde_json::from_str(&text).map_err(|_| SyncError::new("network", "a page is no page", true))?;
            let records = page.changes.len() as u64;
            let decision = ApplyPage {
                schema: self.inner.settings.schema.clone(),
                changes: Rc::new(ApplyPage::check(&page, &self.inner.settings.schema)),
                from: from.clone(),
                begins,
                checkpoint: page.checkpoint.clone(),
                through: page.through,
                epoch: head.reply.epoch.clone(),
                durable: head.reply.durable,
                offset_ms: self.inner.state.borrow().offset_ms,
                now: self.now(),
                user: self.inner.settings.user.clone(),
            };
            match self.decide(Durability::Relaxed, decision).await? {
                PageResult::Dropped => return Err(SyncError::new("aborted", "another context went on from here", true)),
                PageResult::Applied(effects) => {
                    {
                        let mut state = self.inner.state.borrow_mut();
                        state.checkpoint = Some(page.checkpoint.clone());
                        state.through = page.through.or(state.through);
                        state.epoch = Some(head.reply.epoch.clone());
                    }
                    result.downloaded += records;
                    result.quarantined += effects.quarantined;
                    count(&effects, result);
                    let mut totals = self.inner.totals.get();
                    totals.records_down += records;
                    self.inner.totals.set(totals);
                    self.absorb(&effects, "sync");
                }
            }
            from = Some(page.checkpoint.clone());
            begins = false;
            done += records;
            self.progress("download", done, head.records.max(done), pages.bytes());
        }
        Ok(())
    }

    async fn finalise(&self, result: &SyncResult) {
        self.progress("finalize", 0, 1, 0);
        // The log of sessions is a convenience: a store that cannot take it has already said so.
        let _ = self.decide(Durability::Relaxed, LogSession { session: brief(result) }).await;
        self.progress("finalize", 1, 1, 0);
    }

    fn progress(&self, phase: &'static str, done: u64, total: u64, bytes: u64) {
        self.emit(Event::Progress { phase, done, total, bytes });
    }
}

fn flight(batch: &[u64]) -> Seals {
    let mut flight = Seals::default();
    for seq in batch {
        flight.insert(*seq);
    }
    flight
}

fn count(effects: &Effects, result: &mut SyncResult) {
    result.conflicts += effects.found;
    for (_, settled) in &effects.settled {
        match settled {
            Settled::Applied { .. } => result.synced += 1,
            Settled::Rejected(_) => result.failed += 1,
            Settled::Conflict { .. } => {}
        }
    }
}

fn show_outcome(operation: &crate::model::Operation, outcome: &Outcome) -> Value {
    let (state, version) = match outcome.original() {
        Outcome::Applied { version, .. } => ("applied", Some(*version)),
        Outcome::Conflict { server, .. } => ("conflict", Some(server.version)),
        Outcome::Rejected { .. } => ("rejected", None),
        Outcome::Blocked { .. } => ("blocked", None),
        Outcome::Deferred { .. } | Outcome::Duplicate { .. } => ("deferred", None),
    };
    shown::operation(operation, state, version)
}

/// A result without its operations.
fn brief(result: &SyncResult) -> Value {
    let mut brief = to_value(result);
    brief["operations"] = Value::from(result.operations.len());
    brief
}
