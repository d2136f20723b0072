//! The way up: claim a batch, send its sealed bytes, store the outcomes, until nothing is ready. Batches grow
//! while all goes well, and are halved when one does not.

use serde_json::{Value, json};

use super::events::Event;
use super::session::{SyncError, SyncResult, Wanted};
use super::sync::count;
use super::{Cancel, Engine, shown};
use crate::decide::{Claim, Claimed, Follower, Outcomes, ResolveId, Sent, Stands};
use crate::model::{Epoch, Kind, OpId, RecordId, Version};
use crate::outbox::{BatchSize, Item, Seals, State};
use crate::planted::{Bug, is};
use crate::platform::Host;
use crate::platform::network::answer as answer_to;
use crate::protocol::{Former, Outcome, Rejection, Reply, Stand, UploadResponse, paths};
use crate::store::{Durability, Store};
use crate::value::{to_text, to_value};

/// A round that took longer than this was too large for the network or the server, ms.
const SLOW_MS: u64 = 10_000;

/// So often one line of operations meets a conflict in a session: what stands for the last is left for the next session.
const MET_MAX: u32 = 20;

/// One operation of a batch as it goes up.
pub(super) struct Going {
    pub(super) seq: u64,
    id: OpId,
    pub(super) entity: String,
    row: RecordId,
    /// Its text on the wire.
    body: String,
}

impl<S: Store, H: Host> Engine<S, H> {
    pub(super) async fn upload(&self, wanted: &Wanted, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let inner = &self.inner;
        // What the server did not want yet waits for the next session, and must not keep the others from going.
        let (mut done, mut bytes, mut not_now) = (0, 0, Vec::new());
        let mut met: Vec<(OpId, u32)> = Vec::new();
        while !cancel.is_cancelled() {
            let opened = self.now();
            let batch = self.next_batch(wanted, &not_now);
            if batch.is_empty() {
                if self.open_circle(result).await? {
                    continue;
                }
                return Ok(());
            }
            let mut going = self.going(&batch);
            let Some(forms) = self.forms(&going, result).await? else { continue };
            let operations: Vec<(u64, OpId)> = going.iter().map(|op| (op.seq, op.id.clone())).collect();
            let claim = Claim { operations, known: inner.known.get().unwrap_or(0), forms: forms.clone() };
            match self.decide(Durability::Strict, claim).await? {
                Claimed::Stale => {
                    self.refresh().await?;
                    continue;
                }
                Claimed::Sealed(kept) => {
                    for op in &mut going {
                        if let Some((_, text)) = kept.iter().chain(&forms).find(|(seq, _)| *seq == op.seq) {
                            op.body.clone_from(text);
                        }
                    }
                }
            }
            let (former, stands) = (self.former(&batch).await?, self.bases(&batch).await?);
            for seq in &batch {
                inner.seals.borrow_mut().insert(*seq);
            }
            inner.flight.replace(flight(&batch));
            self.emit(Event::Queue);
            let began = self.now();
            let sent = self.send(cancel, &going, former, stands).await;
            inner.flight.take();
            let slow = self.now().saturating_sub(began) > SLOW_MS;
            let alone = inner.queue.borrow().unit(batch[0]).len() >= batch.len();
            let unfinished = match sent {
                Ok((reply, outcomes, size)) => {
                    let answered = self.now();
                    bytes += size;
                    self.resize(|size| if slow { size.halve(batch.len()) } else { size.grow(batch.len()) });
                    let conflicts = self.lines(&going, &outcomes);
                    let unfinished = self.apply(&going, Some(&reply.epoch), reply.durable, outcomes, result).await?;
                    self.measured(result, [opened, began, answered], (going.len(), size, conflicts.len()));
                    self.settle(&reply).await?;
                    for line in conflicts {
                        not_now.extend(self.again(line, &mut met));
                    }
                    unfinished
                }
                Err(error) => match error.code.as_str() {
                    "too_large" if !alone => {
                        self.resize(|size| size.halve(batch.len()));
                        continue;
                    }
                    "too_large" | "invalid_request" if alone => self.park(&going, &error.code, &error.message, None, result).await?,
                    "server" if self.is_suspect(batch[0]) => {
                        self.failed(&batch, &error, true);
                        // One such failure is enough for a session; the others keep their turn.
                        not_now.extend(self.aside());
                        continue;
                    }
                    "invalid_request" | "server" | "timeout" => {
                        self.resize(|size| size.halve(batch.len()));
                        self.failed(&batch, &error, alone);
                        // Half of it may go: that is worth trying soon, and not at once.
                        return Err(SyncError { retryable: true, ..error });
                    }
                    _ => {
                        self.failed(&batch, &error, false);
                        return Err(error);
                    }
                },
            };
            done += (batch.len() - unfinished.len()) as u64;
            not_now.extend(unfinished);
            let ahead = inner.queue.borrow().pending() as u64;
            self.progress("upload", done, done + ahead, bytes);
        }
        Err(SyncError::aborted())
    }

    /// The lines of those operations that met a conflict.
    fn lines(&self, going: &[Going], outcomes: &[Outcome]) -> Vec<OpId> {
        let queue = self.inner.queue.borrow();
        let met = going.iter().zip(outcomes).filter(|(_, outcome)| is_conflict(outcome));
        met.filter_map(|(op, _)| queue.get(op.seq).map(|item| item.operation.first().clone())).collect()
    }

    /// Counts one more conflict of a line. Where it is one too many, what stands for the line has its turn in the next
    /// session: a server that answers the same for ever must not keep this one going.
    fn again(&self, line: OpId, met: &mut Vec<(OpId, u32)>) -> Vec<u64> {
        let at = met.iter().position(|(known, _)| *known == line).unwrap_or_else(|| {
            met.push((line, 0));
            met.len() - 1
        });
        let (line, count) = &mut met[at];
        *count += 1;
        if *count < MET_MAX {
            return Vec::new();
        }
        let queue = self.inner.queue.borrow();
        let rest: Vec<u64> = queue.items().filter(|(_, item)| item.operation.first() == line).map(|(seq, _)| seq).collect();
        self.failed(&rest, &SyncError::new("deferred", "the server finds it in conflict again and again", true), false);
        rest
    }

    /// What goes next: what is wanted and ready; when all of that has gone, a suspect alone.
    fn next_batch(&self, wanted: &Wanted, not_now: &[u64]) -> Vec<u64> {
        let size = self.inner.batch.get();
        let mut without = self.aside();
        let queue = self.inner.queue.borrow();
        let mut unwanted = if wanted.is_whole() { Vec::new() } else { queue.not_needed(&|item| is_wanted(wanted, item)) };
        unwanted.extend(not_now);
        // Another tab runs a newer release: what only that one knows, it sends itself.
        let schema = &self.inner.settings.schema;
        let foreign = queue.items().filter(|(_, item)| schema.entity(&item.operation.entity).is_none());
        let foreign: Vec<u64> = foreign.map(|(seq, _)| seq).collect();
        unwanted.extend(queue.behind(&foreign));
        unwanted.extend(foreign);
        without.extend(&unwanted);
        let batch = queue.batch(size.get(), size.bytes(), &without);
        if batch.is_empty() { self.next_suspect(&unwanted) } else { batch }
    }

    fn resize(&self, change: impl FnOnce(&mut BatchSize)) {
        let mut size = self.inner.batch.get();
        change(&mut size);
        self.inner.batch.set(size);
    }

    pub(super) fn going(&self, batch: &[u64]) -> Vec<Going> {
        let queue = self.inner.queue.borrow();
        let items = batch.iter().filter_map(|seq| queue.get(*seq).map(|item| (*seq, item)));
        items
            .map(|(seq, item)| {
                if is(Bug::FreshIdEachAttempt) {
                    let id = self.op_id();
                    let text = item.row.body.replace(item.operation.id.as_str(), id.as_str());
                    return Going { seq, id, entity: item.operation.entity.clone(), row: item.row.row.clone(), body: text };
                }
                let (operation, row) = (&item.operation, &item.row);
                Going {
                    seq,
                    id: operation.id.clone(),
                    entity: operation.entity.clone(),
                    row: row.row.clone(),
                    body: row.wire.as_ref().unwrap_or(&row.body).clone(),
                }
            })
            .collect()
    }

    /// The real IDs of records whose creates go up once more, in their old bytes or in new ones: the server may have
    /// lost them since.
    async fn former(&self, batch: &[u64]) -> Result<Vec<Former>, SyncError> {
        let (mut creates, mut ids) = (Vec::new(), Vec::new());
        {
            let (queue, seals) = (self.inner.queue.borrow(), self.inner.seals.borrow());
            for (seq, item) in batch.iter().filter_map(|seq| queue.get(*seq).map(|item| (seq, item))) {
                let operation = &item.operation;
                let again = seals.contains(*seq) || operation.supersedes.is_some();
                if again && operation.action.kind() == Kind::Create && operation.record.as_temp().is_some() {
                    creates.push(operation.id.clone());
                    ids.push((operation.entity.clone(), operation.record.clone()));
                }
            }
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.look(ResolveId { ids: ids.clone() }).await?;
        let named = |(operation, wanted): (OpId, &(String, RecordId))| {
            let known = found.iter().find(|(entity, temp, _)| (entity, temp) == (&wanted.0, &wanted.1));
            known.map(|(_, _, row)| Former { operation, id: row.id.clone() })
        };
        Ok(creates.into_iter().zip(&ids).filter_map(named).collect())
    }

    /// The versions under operations that the server made wait before, though nothing is left here for them to wait for.
    async fn bases(&self, batch: &[u64]) -> Result<Vec<Stand>, SyncError> {
        let wanted: Vec<Follower> = {
            let (queue, attempts) = (self.inner.queue.borrow(), self.inner.attempts.borrow());
            let waited = attempts.iter().filter(|(seq, attempt)| batch.contains(seq) && attempt.count > 0);
            let items = waited.filter_map(|(seq, _)| queue.get(*seq));
            let following = items.filter_map(|item| {
                Some(Follower {
                    operation: item.operation.id.clone(),
                    earlier: item.operation.base.follows()?.clone(),
                    entity: item.operation.entity.clone(),
                    row: item.row.row.clone(),
                })
            });
            following.collect()
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let held = {
            let queue = self.inner.queue.borrow();
            let parked = queue.items().filter(|(_, item)| matches!(item.row.state, State::Parked { .. }));
            let mut held: Vec<u64> = parked.flat_map(|(seq, _)| queue.unit(seq)).collect();
            held.extend(queue.behind(&held));
            held
        };
        let found = self.look(Stands { wanted, held }).await?;
        Ok(found.into_iter().map(|(operation, version)| Stand { operation, version }).collect())
    }

    async fn send(
        &self,
        cancel: &Cancel,
        going: &[Going],
        former: Vec<Former>,
        stands: Vec<Stand>,
    ) -> Result<(Reply, Vec<Outcome>, u64), SyncError> {
        let head = self.head();
        // The operations are the stored bytes.
        let operations: Vec<&str> = going.iter().map(|op| op.body.as_str()).collect();
        let former = if former.is_empty() { String::new() } else { [",\"former\":", &to_text(&former)].concat() };
        let stands = if stands.is_empty() { String::new() } else { [",\"stands\":", &to_text(&stands)].concat() };
        let body = ["{\"head\":", &to_text(&head), ",\"operations\":[", &operations.join(","), "]", &former, &stands, "}"].concat();
        let size = body.len() as u64;
        let answer = self.exchange(cancel, paths::UPLOAD, body).await?;
        let answer: UploadResponse = answer_to(&answer, &head.request_id)?;
        Self::epoch(&head, &answer.reply)?;
        // An operation that the server does not mention is unknown: it is sent again.
        let unmentioned = || Outcome::Deferred { retry_after_ms: 0 };
        let mut results = answer.results;
        let outcome = |op: &Going| {
            // They come in the order of the request, so the search ends at once.
            let at = results.iter().position(|result| result.operation == op.id);
            at.map_or_else(unmentioned, |at| results.remove(at).outcome)
        };
        let outcomes = self.outcomes_here(going, going.iter().map(outcome).collect()).await;
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
            let shown = |(op, outcome): (&Going, &Outcome)| queue.get(op.seq).map(|item| shown::outcome(&item.operation, outcome));
            going.iter().zip(&outcomes).filter_map(shown).collect()
        };
        let ended: Vec<Value> = going.iter().zip(&outcomes).filter_map(|(op, outcome)| show_result(op, outcome)).collect();
        let waiting: Vec<u64> =
            going.iter().zip(&outcomes).filter(|(_, outcome)| !outcome.original().is_final()).map(|(op, _)| op.seq).collect();
        let finals = (going.len() - waiting.len()) as u64;
        result.met += outcomes.iter().filter(|outcome| is_conflict(outcome)).count() as u64;
        let sent = going.iter().zip(outcomes).map(|(op, outcome)| Sent {
            seq: op.seq,
            id: if is(Bug::FreshIdEachAttempt) {
                self.inner.queue.borrow().get(op.seq).map_or(op.id.clone(), |item| item.operation.id.clone())
            } else {
                op.id.clone()
            },
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
            imported: self.inner.queue.borrow().items().any(|(_, item)| item.row.is_imported()),
            fresh: self.fresh(),
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        let Some(effects) = self.decide(Durability::Strict, decision).await? else {
            return Err(SyncError::overtaken());
        };
        if let Some(epoch) = epoch {
            self.inner.state.borrow_mut().epoch.get_or_insert_with(|| epoch.clone());
        }
        self.failed(&waiting, &SyncError::new("deferred", "the server asks to wait", true), false);
        count(&effects, self.now(), result);
        result.operations.extend(shown);
        result.results.extend(ended);
        let mut totals = self.inner.totals.get();
        totals.operations_up += finals;
        self.inner.totals.set(totals);
        let stored = effects.seq.is_some();
        self.absorb(&effects, "sync");
        // Where nothing waited for these outcomes any more, another context was first: it knows the rest.
        Ok(if stored { waiting } else { going.iter().map(|op| op.seq).collect() })
    }

    /// A single operation, or group, that the server takes in no upload is parked with its payload.
    pub(super) async fn park(
        &self,
        going: &[Going],
        code: &str,
        message: &str,
        path: Option<String>,
        result: &mut SyncResult,
    ) -> Result<Vec<u64>, SyncError> {
        let refusal = Rejection { code: code.to_owned(), message: message.to_owned(), path, faults: Vec::new() };
        let outcomes = going.iter().map(|_| Outcome::Rejected { error: refusal.clone() }).collect();
        self.apply(going, None, Version(0), outcomes, result).await
    }
}

fn is_conflict(outcome: &Outcome) -> bool {
    matches!(outcome.original(), Outcome::Conflict { .. })
}

fn is_wanted(wanted: &Wanted, item: &Item) -> bool {
    let operation = &item.operation;
    wanted.entity.as_ref().is_none_or(|entity| *entity == operation.entity)
        && (wanted.operations.is_empty() || wanted.operations.contains(&operation.id))
}

fn flight(batch: &[u64]) -> Seals {
    let mut flight = Seals::default();
    for seq in batch {
        flight.insert(*seq);
    }
    flight
}

/// What became of one operation; nothing if it waits.
fn show_result(op: &Going, outcome: &Outcome) -> Option<Value> {
    let (status, message) = match outcome.original() {
        Outcome::Applied { .. } => ("success", None),
        Outcome::Conflict { kind, .. } => ("conflict", Some(to_value(kind))),
        Outcome::Rejected { error } => ("failed", Some(Value::from(error.message.as_str()))),
        Outcome::Blocked { .. } | Outcome::Deferred { .. } | Outcome::Duplicate { .. } => return None,
    };
    let mut shown = json!({"operationId": op.id, "entityType": op.entity, "serverId": op.row.to_value(), "status": status});
    if op.row.as_temp().is_some() {
        shown["offlineId"] = op.row.to_value();
        shown["serverId"] = Value::Null;
    }
    if let Outcome::Applied { real_id, .. } = outcome.original() {
        shown["serverId"] = real_id.to_value();
    }
    if let Some(message) = message {
        shown["message"] = message;
    }
    Some(shown)
}
