//! The session itself: initialise, upload ([`super::upload`]), download ([`super::download`]), finalise. Where
//! the server sends it back to the start ([`super::lineage`]), it goes round again.

use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::{Value, json};

use super::events::Event;
use super::session::{Direction, SyncError, SyncResult, Wanted};
use super::{Cancel, Engine};
use crate::decide::{Effects, Settled};
use crate::metrics::INTEGRITY;
use crate::platform::network::{Counters, answer as answer_to};
use crate::platform::{Clock, Host, Identity};
use crate::protocol::{CheckpointState, InitializeRequest, InitializeResponse, PROTOCOL, RequestHead, paths};
use crate::store::{Durability, Store};
use crate::value::{to_text, to_value};

/// So often a session begins anew in itself: the server sent it back to the start, or has another history.
const ROUNDS_MAX: usize = 4;

impl<S: Store, H: Host> Engine<S, H> {
    pub(super) async fn session(&self, wanted: Wanted, cancel: Cancel) -> SyncResult {
        let mut result = self.nothing(&wanted, SyncError::aborted());
        result.errors.clear();
        let before = self.inner.counters.get();
        let done = self.steps(wanted, &cancel, &mut result).await;
        self.inner.flight.take();
        if let Err(error) = done {
            if error.retryable {
                self.inner.initialised.set(false);
            }
            if error.code == "integrity" {
                // What is stored is not what is known here: the next session looks at all of it.
                self.inner.known.set(None);
            }
            result.errors.push(error);
        }
        result.duration = self.now().saturating_sub(result.started);
        result.success = result.failed == 0 && result.errors.is_empty();
        self.finalise(&result, before).await;
        result
    }

    /// Waits for something outside, unless the session is stopped. Only such waits are given up: a transaction
    /// under way comes to its end, and what it did is told.
    pub(super) async fn unless<T>(cancel: &Cancel, outside: impl Future<Output = T>) -> Result<T, SyncError> {
        match select(pin!(outside), pin!(cancel.cancelled())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right(_) => Err(SyncError::aborted()),
        }
    }

    async fn steps(&self, wanted: Wanted, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let inner = &self.inner;
        if let Some(entity) = &wanted.entity {
            self.entity(entity)?;
        }
        if inner.offline.get() {
            return Err(SyncError::new("network", "this client is set offline", true));
        }
        let role = self.sender(cancel).await?;
        let rounds = pin!(self.rounds(wanted, cancel, result));
        match select(rounds, pin!(role.lost())).await {
            Either::Left((done, _)) => done,
            Either::Right(((), rounds)) => {
                cancel.cancel();
                match rounds.await {
                    Err(error) if error.code == "aborted" => Err(SyncError::overtaken()),
                    done => done,
                }
            }
        }
    }

    async fn rounds(&self, mut wanted: Wanted, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let inner = &self.inner;
        for _ in 1..ROUNDS_MAX {
            let done = self.round(&wanted, cancel, result).await;
            match &done {
                // With no checkpoint there is none that could be too old.
                Err(error) if error.code == "checkpoint_expired" && inner.state.borrow().goes_on_from(None).is_some() => {
                    self.begin_resync().await?;
                }
                Err(error) if error.code == "epoch_changed" => {
                    inner.initialised.set(false);
                    // A refusal does not say by itself which history there is; the next answer does.
                    if let Some(lineage) = &error.lineage {
                        self.change_epoch(&lineage.0, &lineage.1).await?;
                        // What the server lost goes up before anything comes down.
                        wanted = Wanted::all(Direction::Both);
                    }
                }
                _ => return done,
            }
        }
        self.round(&wanted, cancel, result).await
    }

    async fn round(&self, wanted: &Wanted, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        self.refresh().await?;
        if self.inner.state.borrow().paused {
            return Err(SyncError::paused());
        }
        if let Some(table) = self.inner.stops.get() {
            return Err(SyncError::new("integrity", &format!("a row of '{table}' cannot be read: integrity.repair makes it anew"), false));
        }
        // First what a tab was to ask and has not: it needs no network.
        self.ask_rules(cancel).await?;
        self.initialise(cancel).await?;
        let inner = &self.inner;
        if wanted.direction != Direction::Down {
            self.upload(wanted, cancel, result).await?;
            self.upload_ruled(wanted, cancel, result).await?;
        }
        if wanted.direction != Direction::Up {
            self.download(wanted.entity.as_deref(), cancel, result).await?;
            if wanted.direction == Direction::Both {
                self.upload_ruled(wanted, cancel, result).await?;
            } else {
                self.ask_rules(cancel).await?;
            }
            if let Some(are_some) = inner.held.get() {
                self.fetch_held(cancel, are_some).await?;
                inner.held.set(None);
            }
        }
        if wanted.direction == Direction::Down { Ok(()) } else { self.upload_trail(cancel).await }
    }

    /// Sends what functions of the app decide, as long as that meets conflicts that they decide.
    async fn upload_ruled(&self, wanted: &Wanted, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        for _ in 0..ROUNDS_MAX {
            if !self.ask_rules(cancel).await? {
                break;
            }
            self.upload(wanted, cancel, result).await?;
        }
        Ok(())
    }

    pub(super) fn head(&self) -> RequestHead {
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
        let token = token.map(|token| token.trim().to_owned());
        // What an app may take for one is a page that asks to log in. A line break or a letter beyond Latin-1 is no value of
        // a header, and gloo-net 0.7.0 panics on it (its `src/http/headers.rs`).
        let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        token.ok_or_else(|| SyncError::new("auth_required", "there is no token for this user now", false))
    }

    /// Runs a request with the user's token, and once more with a fresh one if the first is refused.
    pub(super) async fn authorised<T, F>(&self, cancel: &Cancel, request: impl Fn(String) -> F) -> Result<T, SyncError>
    where
        F: Future<Output = Result<T, crate::platform::network::TransportError>>,
    {
        let first = Self::unless(cancel, request(self.token(cancel, false).await?)).await?.map_err(SyncError::from);
        match first {
            Err(error) if error.code == "auth_required" => Ok(Self::unless(cancel, request(self.token(cancel, true).await?)).await??),
            done => done,
        }
    }

    /// Sends a message, and gives its answer's bytes.
    pub(super) async fn exchange(&self, cancel: &Cancel, path: &'static str, body: String) -> Result<Vec<u8>, SyncError> {
        let http = self.http();
        let answer = self.authorised(cancel, |token| {
            let (http, body) = (&http, body.clone());
            async move { http.exchange(path, body, &token).await }
        });
        answer.await
    }

    async fn initialise(&self, cancel: &Cancel) -> Result<(), SyncError> {
        if self.inner.initialised.get() {
            return Ok(());
        }
        self.progress("initialize", 0, 1, 0);
        let request = InitializeRequest {
            head: self.head(),
            schema: self.inner.settings.schema.version,
            checkpoint: self.inner.state.borrow().goes_on_from(None).cloned(),
            pending: self.pending(),
            last_seq: self.inner.known.get().unwrap_or(0),
        };
        let asked = self.now();
        let answer = self.exchange(cancel, paths::INITIALIZE, to_text(&request)).await?;
        let answer: InitializeResponse = answer_to(&answer, &request.head.request_id)?;
        let (asked_in, answered) = (request.head.epoch.as_ref(), &answer.reply.epoch);
        match answer.checkpoint {
            // A server that went back without a new epoch says so by this alone.
            CheckpointState::EpochChanged => return Err(SyncError::epoch_changed(asked_in, answered)),
            _ if asked_in.is_some_and(|asked| asked != answered) => return Err(SyncError::epoch_changed(asked_in, answered)),
            CheckpointState::Resync => return Err(SyncError::new("checkpoint_expired", "this device was away too long", false)),
            CheckpointState::None | CheckpointState::Ok => {}
        }
        // The answer was written about half way between question and arrival.
        let middle = asked + self.now().saturating_sub(asked) / 2;
        let offset = i64::try_from(answer.reply.server_time).unwrap_or(i64::MAX).saturating_sub(i64::try_from(middle).unwrap_or(i64::MAX));
        self.inner.state.borrow_mut().offset_ms = offset;
        let mut batch = self.inner.batch.get();
        batch.limit(answer.limits.operations_max, answer.limits.bytes_max);
        self.inner.batch.set(batch);
        self.inner.initialised.set(true);
        self.inner.held.set((answer.conflicts || self.inner.state.borrow().held).then_some(answer.conflicts));
        self.offer_trail(answer.audit);
        self.settle(&answer.reply).await?;
        self.progress("initialize", 1, 1, 0);
        Ok(())
    }

    async fn finalise(&self, result: &SyncResult, before: Counters) {
        self.progress("finalize", 0, 1, 0);
        let (mut session, mut seen) = (brief(result), self.seen());
        seen[INTEGRITY] = self.mismatch(Some(result));
        let now = self.inner.counters.get();
        session["met"] = result.met.into();
        for (name, sum) in ["batches", "build", "send", "apply"].into_iter().zip(result.batches) {
            session[name] = sum.into();
        }
        session["bytesUp"] = (now.bytes_up - before.bytes_up).into();
        session["bytesDown"] = (now.bytes_down - before.bytes_down).into();
        // The log of sessions is a convenience: a store that cannot take it has already said so.
        self.inner.measures.borrow_mut().ended(&session);
        if let Ok(held) = self.decide(Durability::Relaxed, self.judged(Some(session), seen)).await {
            self.alerted(held);
        }
        self.progress("finalize", 1, 1, 0);
    }

    pub(super) fn progress(&self, phase: &'static str, done: u64, total: u64, bytes: u64) {
        self.emit(Event::Progress { phase, done, total, bytes });
    }
}

/// Counts what a step did.
pub(super) fn count(effects: &Effects, now: u64, result: &mut SyncResult) {
    result.conflicts += effects.found;
    for (entity, earlier, real) in &effects.mapped {
        if let Some(temp) = earlier.as_temp() {
            let mapping = json!({"tempId": earlier.to_value(), "realId": real.to_value(), "entityType": entity,
                "createdAt": temp.issued_ms(), "syncedAt": now});
            result.id_mappings.push(mapping);
        }
    }
    for (_, settled) in &effects.settled {
        match settled {
            Settled::Applied { .. } => result.synced += 1,
            Settled::Rejected(_) => result.failed += 1,
            Settled::Conflict { .. } | Settled::Discarded => {}
        }
    }
}

/// A result without its operations.
pub(super) fn brief(result: &SyncResult) -> Value {
    let mut brief = to_value(result);
    brief["operations"] = Value::from(result.operations.len());
    for list in ["results", "idMappings"] {
        brief.as_object_mut().map(|fields| fields.remove(list));
    }
    brief
}
