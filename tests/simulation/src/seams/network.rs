//! The network: every message is bytes, written by one side and read by the other. A request that has left
//! goes its own way: it reaches the server although its sender has died, and the server may act on it twice.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use data_encoding::HEXLOWER;
use fieldsync::platform::network::{Body, Incoming, Network, NetworkFault, Outgoing};
use fieldsync::protocol::paths;
use fieldsync_server::service::Refusal;
use fieldsync_server::token::Identity;
use serde_json::json;

use super::host::Device;
use super::server::{Server, lock};
use super::store::Rows;
use crate::executor::{Owner, WORLD};
use crate::fault::{Fault, Site};
use crate::oracle::wire::Wire;
use crate::sim::Sim;
use crate::user::POISON;

/// One context's way to the server.
pub(crate) struct SimNetwork {
    pub(crate) sim: Rc<Sim>,
    pub(crate) owner: Owner,
    pub(crate) device: Rc<Device>,
    pub(crate) server: Rc<Server>,
    pub(crate) wire: Rc<Wire>,
    /// What the device has stored.
    pub(crate) rows: Rc<Rows>,
    pub(crate) tenant: String,
}

/// The head of an answer.
#[derive(Debug)]
struct Head {
    status: u16,
    content_type: &'static str,
    retry_after_ms: Option<u64>,
}

/// What has arrived of an answer.
#[derive(Debug, Default)]
struct Arrived {
    head: Option<Result<Head, NetworkFault>>,
    chunks: VecDeque<Vec<u8>>,
    /// Whether nothing more comes, and whether that is a fault.
    end: Option<bool>,
    waker: Option<Waker>,
}

type Slot = Rc<RefCell<Arrived>>;

fn change(slot: &Slot, change: impl FnOnce(&mut Arrived)) {
    let waker = {
        let mut arrived = slot.borrow_mut();
        change(&mut arrived);
        arrived.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lost() -> NetworkFault {
    NetworkFault { reason: "lost".to_owned() }
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Pieces(Slot);

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, NetworkFault> {
        poll_fn(|context| {
            let mut arrived = self.0.borrow_mut();
            if let Some(chunk) = arrived.chunks.pop_front() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            match arrived.end {
                Some(false) => Poll::Ready(Ok(None)),
                Some(true) => Poll::Ready(Err(lost())),
                None => {
                    arrived.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Network for SimNetwork {
    type Body = Pieces;

    async fn send(&self, request: Outgoing) -> Result<Incoming<Pieces>, NetworkFault> {
        self.wire.leaves(&self.sim, &self.rows, &request);
        let fault = self.sim.gate(self.owner, Site::Send).await;
        let slot = Slot::default();
        let way = Way {
            sim: self.sim.clone(),
            device: self.device.clone(),
            server: self.server.clone(),
            wire: self.wire.clone(),
            tenant: self.tenant.clone(),
            owner: self.owner,
        };
        self.sim.executor.spawn(WORLD, way.go(request, fault, slot.clone()));
        let head = poll_fn(|context| {
            let mut arrived = slot.borrow_mut();
            match arrived.head.take() {
                Some(head) => Poll::Ready(head),
                None => {
                    arrived.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        self.sim.gate(self.owner, Site::Receive).await;
        let Head { status, content_type, retry_after_ms } = head?;
        Ok(Incoming { status, content_type: content_type.to_owned(), retry_after_ms, body: Pieces(slot) })
    }
}

/// The way of one request, which belongs to the world and not to its sender.
#[derive(Clone)]
struct Way {
    sim: Rc<Sim>,
    device: Rc<Device>,
    server: Rc<Server>,
    wire: Rc<Wire>,
    tenant: String,
    owner: Owner,
}

impl Way {
    async fn go(self, request: Outgoing, fault: Option<Fault>, slot: Slot) {
        let executor = &self.sim.executor;
        executor.sleep(self.latency()).await;
        if self.is_cut_off() {
            self.sim.mark("request met no network");
        }
        if self.is_cut_off() || fault == Some(Fault::Stall) && executor.draw(2) == 0 {
            return self.nothing(&slot, fault == Some(Fault::Stall) || self.device.cut_off.get().1).await;
        }
        let answer = |status, content_type, retry_after_ms, body: Vec<u8>| {
            change(&slot, |arrived| {
                arrived.head = Some(Ok(Head { status, content_type, retry_after_ms }));
                arrived.chunks.push_back(body);
                arrived.end = Some(false);
            });
        };
        match fault {
            Some(Fault::LoseRequest) => return self.nothing(&slot, executor.draw(2) == 0).await,
            Some(Fault::Portal) => return answer(200, "text/html", None, b"<html>Please log in</html>".to_vec()),
            Some(Fault::Status(status, retry)) => {
                let body = json!({"error": {"code": "scripted", "message": "scripted", "retryable": status >= 429}}).to_string();
                return answer(status, "application/json", retry, body.into_bytes());
            }
            Some(Fault::LateDuplicate(ms)) => {
                let (way, request) = (self.clone(), request.clone());
                way.server.under_way.set(way.server.under_way.get() + 1);
                executor.spawn(WORLD, async move {
                    way.sim.executor.sleep(ms).await;
                    if way.is_up() {
                        way.sim.mark("old request handled again later");
                        way.serve(&request, None, &Slot::default()).await;
                    }
                    way.server.under_way.set(way.server.under_way.get() - 1);
                });
            }
            _ => {}
        }
        if !self.is_up() {
            self.sim.mark("request found no server");
            return self.nothing(&slot, false).await;
        }
        if fault == Some(Fault::Duplicate) {
            self.serve(&request, None, &Slot::default()).await;
        }
        match fault {
            Some(Fault::LoseAnswer | Fault::Stall) => {
                self.serve(&request, None, &Slot::default()).await;
                self.nothing(&slot, fault == Some(Fault::Stall)).await;
            }
            Some(Fault::Cut(per_mille)) => {
                let whole = Slot::default();
                self.serve(&request, None, &whole).await;
                self.cut(&whole, &slot, per_mille);
            }
            other => self.serve(&request, other, &slot).await,
        }
    }

    fn latency(&self) -> u64 {
        let executor = &self.sim.executor;
        let base = self.device.plan.latency_ms;
        // Now and then a packet is sent again.
        base + executor.draw(base + 1) + if executor.draw(50) == 0 { executor.draw(2_000) } else { 0 }
    }
    fn is_cut_off(&self) -> bool {
        self.device.cut_off.get().0 > self.sim.executor.now()
    }
    fn is_up(&self) -> bool {
        self.server.away_until.get() <= self.sim.executor.now()
    }

    /// No answer: either it is known after a while, or nobody ever hears of it.
    async fn nothing(&self, slot: &Slot, for_ever: bool) {
        if for_ever {
            return;
        }
        self.sim.executor.sleep(self.latency()).await;
        change(slot, |arrived| arrived.head = Some(Err(lost())));
    }

    fn cut(&self, whole: &Slot, slot: &Slot, per_mille: u64) {
        let mut whole = std::mem::take(&mut *whole.borrow_mut());
        let length: usize = whole.chunks.iter().map(Vec::len).sum();
        let mut left = usize::try_from(length as u64 * per_mille / 1_000).unwrap_or(0);
        let mut kept = VecDeque::new();
        while let Some(mut chunk) = whole.chunks.pop_front() {
            chunk.truncate(left);
            left -= chunk.len();
            kept.push_back(chunk);
        }
        let noticed = self.sim.executor.draw(2) == 0;
        change(slot, |arrived| {
            *arrived = Arrived { head: whole.head.take(), chunks: kept, end: Some(noticed), waker: arrived.waker.take() }
        });
    }

    /// The server acts. `fault` is what its next commit meets.
    async fn serve(&self, request: &Outgoing, fault: Option<Fault>, slot: &Slot) {
        let executor = &self.sim.executor;
        let body = request.body.clone().unwrap_or_default().into_bytes();
        self.server.clock.now.store(executor.now(), Ordering::Relaxed);
        let Some(identity) = self.identity(request.token.as_deref().unwrap_or_default()) else {
            return self.refuse(slot, &Refusal::from(fieldsync_server::service::Reason::AuthRequired)).await;
        };
        self.wire.sent(&self.sim, self.owner, &self.tenant, &request.path, request.body.as_deref().unwrap_or_default());
        let service = self.server.service();
        match request.path.as_str() {
            paths::UPLOAD => {
                if self.sim.has_faults() && request.body.as_deref().unwrap_or_default().contains(POISON) {
                    self.sim.mark("operation poisoned");
                    let body = json!({"error": {"code": "internal", "message": "it broke", "retryable": true}}).to_string().into_bytes();
                    return self.put(slot, 500, body).await;
                }
                lock(&self.server.watch).fault = fault;
                let done = service.upload(&identity, &body).await;
                let met = lock(&self.server.watch).fault.take().is_none();
                if let Some((invariant, what)) = lock(&self.server.watch).commits.broken.take() {
                    self.sim.violate(invariant, what);
                }
                if let (Some(Fault::ServerDiesBefore(ms) | Fault::ServerDiesAfter(ms)), true) = (fault, met) {
                    self.sim.mark("server died at a commit");
                    drop(service);
                    self.server.die();
                    self.server.away_until.set(executor.now() + ms);
                    return self.nothing(slot, false).await;
                }
                match done {
                    Ok(answer) => {
                        self.wire.answered(&self.sim, &identity.tenant, &answer);
                        self.reply(slot, serde_json::to_vec(&answer).unwrap_or_default()).await;
                    }
                    Err(refusal) => self.refuse(slot, &refusal).await,
                }
            }
            paths::INITIALIZE => match service.initialize(&identity, &body).await {
                Ok(answer) => self.reply(slot, serde_json::to_vec(&answer).unwrap_or_default()).await,
                Err(refusal) => self.refuse(slot, &refusal).await,
            },
            paths::STATUS => match service.status(&identity, &body).await {
                Ok(answer) => self.reply(slot, serde_json::to_vec(&answer).unwrap_or_default()).await,
                Err(refusal) => self.refuse(slot, &refusal).await,
            },
            paths::AUDIT => {
                let done = service.audit(&identity, &body).await;
                if let Some((invariant, what)) = lock(&self.server.watch).commits.broken.take() {
                    self.sim.violate(invariant, what);
                }
                match done {
                    Ok(answer) => self.reply(slot, serde_json::to_vec(&answer).unwrap_or_default()).await,
                    Err(refusal) => self.refuse(slot, &refusal).await,
                }
            }
            paths::CONFLICTS => match service.conflicts(&identity, &body).await {
                Ok(answer) => self.reply(slot, serde_json::to_vec(&answer).unwrap_or_default()).await,
                Err(refusal) => self.refuse(slot, &refusal).await,
            },
            paths::DOWNLOAD => match service.download(&identity, &body).await {
                Err(refusal) => self.refuse(slot, &refusal).await,
                Ok(mut pages) => {
                    executor.sleep(self.latency()).await;
                    let head = Head { status: 200, content_type: "application/x-ndjson", retry_after_ms: None };
                    change(slot, |arrived| arrived.head = Some(Ok(head)));
                    let mut broke = false;
                    loop {
                        if !Arc::ptr_eq(&service, &self.server.service()) {
                            broke = true;
                            break;
                        }
                        match pages.next().await {
                            Ok(Some(mut lines)) => {
                                let asked = request.body.as_deref().unwrap_or_default();
                                self.wire.shown(&self.sim, &identity.tenant, asked, &lines);
                                // Cut where no line ends, as a network does.
                                let rest = lines.split_off(lines.len() / 2);
                                change(slot, |arrived| arrived.chunks.extend([lines, rest]));
                                // Others write while an answer is on its way.
                                let wait = executor.draw(4);
                                executor.sleep(wait).await;
                            }
                            Ok(None) => break,
                            Err(_) => {
                                broke = true;
                                break;
                            }
                        }
                    }
                    change(slot, |arrived| arrived.end = Some(broke));
                }
            },
            _ => self.refuse(slot, &Refusal::from(fieldsync_server::service::Reason::NotFound)).await,
        }
    }

    fn identity(&self, token: &str) -> Option<Identity> {
        let (tenant, user, until): (String, String, u64) = serde_json::from_slice(&HEXLOWER.decode(token.as_bytes()).ok()?).ok()?;
        (until > self.sim.executor.now()).then_some(Identity::new(tenant, user))
    }

    async fn reply(&self, slot: &Slot, body: Vec<u8>) {
        self.put(slot, 200, body).await;
    }

    async fn put(&self, slot: &Slot, status: u16, body: Vec<u8>) {
        self.sim.executor.sleep(self.latency()).await;
        let head = Head { status, content_type: "application/json", retry_after_ms: None };
        change(slot, |arrived| {
            arrived.head = Some(Ok(head));
            arrived.chunks.push_back(body);
            arrived.end = Some(false);
        });
    }

    async fn refuse(&self, slot: &Slot, refusal: &Refusal) {
        self.sim.executor.sleep(self.latency()).await;
        let (status, _, _) = refusal.reason.classify();
        let body = serde_json::to_vec(&refusal.fault()).unwrap_or_default();
        let retry_after_ms = refusal.reason.retry_after_seconds().map(|seconds| seconds * 1_000);
        change(slot, |arrived| {
            arrived.head = Some(Ok(Head { status, content_type: "application/json", retry_after_ms }));
            arrived.chunks.push_back(body);
            arrived.end = Some(false);
        });
    }
}
