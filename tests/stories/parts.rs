//! What a tab of a story stands on: a clock that everybody shares, locks and channels among the tabs of one
//! device, and a network that calls the server's handlers with real bytes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use fieldsync::model::Version;
use fieldsync::platform::network::{Body, Incoming, Network, NetworkFault, Outgoing};
use fieldsync::platform::{Channel, Clock, Entropy, Functions, Host, Identity, Locks};
use fieldsync::protocol::{ServerState, paths};
use fieldsync::value::to_value;
use fieldsync_server::service::Refusal;
use serde_json::{Value, json};

use crate::world::{Fault, Gate, World};

/// The parts of a tab.
pub struct LocalHost {
    pub clock: LocalClock,
    pub entropy: LocalEntropy,
    pub locks: LocalLocks,
    pub channel: BusChannel,
    pub network: Loopback,
    pub functions: AppFunctions,
}

impl Host for LocalHost {
    type Clock = LocalClock;
    type Entropy = LocalEntropy;
    type Locks = LocalLocks;
    type Channel = BusChannel;
    type Identity = LocalHost;
    type Functions = AppFunctions;
    type Network = Loopback;
    fn clock(&self) -> &LocalClock {
        &self.clock
    }
    fn entropy(&self) -> &LocalEntropy {
        &self.entropy
    }
    fn locks(&self) -> &LocalLocks {
        &self.locks
    }
    fn channel(&self) -> &BusChannel {
        &self.channel
    }
    fn identity(&self) -> &LocalHost {
        self
    }
    fn functions(&self) -> &AppFunctions {
        &self.functions
    }
    fn network(&self) -> &Loopback {
        &self.network
    }
}

impl Identity for LocalHost {
    async fn token(&self, _: &str, _: &str, _: bool) -> Option<String> {
        Some("the-loopback-network-knows-who-asks".to_owned())
    }
}

/// What a function of the app says to a text: at once, or later.
pub type Answer = Pin<Box<dyn Future<Output = Option<String>>>>;

/// A function of an app, by its sort and entity.
pub type Named = (String, Box<dyn Fn(&str) -> Answer>);

/// The functions of an app. Of two of one name the last counts.
#[derive(Clone, Default)]
pub struct AppFunctions(pub Rc<RefCell<Vec<Named>>>);

impl AppFunctions {
    /// The app has a function of this sort for an entity: what it says, it says at once.
    pub fn function(&self, sort: &str, entity: &str, says: impl Fn(Value) -> Option<Value> + 'static) {
        self.late_function(sort, entity, move |about| Box::pin(std::future::ready(says(about).map(|answer| answer.to_string()))));
    }
    /// The same for one that says it later.
    pub fn late_function(&self, sort: &str, entity: &str, says: impl Fn(Value) -> Answer + 'static) {
        let asked = move |about: &str| says(serde_json::from_str(about).expect("JSON"));
        self.0.borrow_mut().push((format!("{sort} {entity}"), Box::new(asked)));
    }
}

impl Functions for AppFunctions {
    async fn ask(&self, sort: &str, entity: &str, about: &str) -> Option<String> {
        let answer = {
            let functions = self.0.borrow();
            let (_, function) = functions.iter().rev().find(|(name, _)| *name == format!("{sort} {entity}"))?;
            function(about)
        };
        answer.await
    }
}

pub struct LocalClock {
    pub now: Rc<Cell<u64>>,
    pub skew: i64,
    /// How far it was set since.
    pub jumped: Rc<Cell<i64>>,
    pub sleepers: Rc<RefCell<Vec<Waker>>>,
}

impl Clock for LocalClock {
    fn now(&self) -> u64 {
        self.now.get().saturating_add_signed(self.skew + self.jumped.get())
    }
    async fn sleep(&self, wait_ms: u64) {
        let due = self.now.get() + wait_ms;
        poll_fn(|context| {
            if self.now.get() >= due {
                return Poll::Ready(());
            }
            self.sleepers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

pub struct LocalEntropy(pub Cell<u64>);

impl Entropy for LocalEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let next = self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.0.set(next);
            *byte = next.to_be_bytes()[0];
        }
    }
}

/// One lock, whatever its name: a device has one sender.
#[derive(Clone, Default)]
pub struct LocalLocks(Rc<RefCell<Lock>>);

#[derive(Default)]
struct Lock {
    /// Who holds it, by number.
    holder: Option<usize>,
    given: usize,
    steals: usize,
    waiting: Vec<Waker>,
}

/// Held by number so-and-so.
pub struct Held(LocalLocks, usize);

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.0.borrow().holder == Some(self.1) {
            self.0.give(None);
        }
    }
}

impl LocalLocks {
    /// How often it was stolen.
    pub fn steals(&self) -> usize {
        self.0.borrow().steals
    }
    fn give(&self, holder: Option<usize>) {
        let waiting = {
            let mut lock = self.0.borrow_mut();
            lock.holder = holder;
            std::mem::take(&mut lock.waiting)
        };
        // All of them: whoever came first may have gone away.
        waiting.into_iter().for_each(Waker::wake);
    }
    fn next(&self) -> Held {
        let mut lock = self.0.borrow_mut();
        lock.given += 1;
        Held(self.clone(), lock.given)
    }
    async fn until(&self, what: impl Fn(&Lock) -> bool) {
        poll_fn(|context| {
            let mut lock = self.0.borrow_mut();
            if what(&lock) {
                return Poll::Ready(());
            }
            lock.waiting.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Locks for LocalLocks {
    type Guard = Held;
    async fn acquire(&self, _: &str) -> Held {
        self.until(|lock| lock.holder.is_none()).await;
        let held = self.next();
        self.give(Some(held.1));
        held
    }
    async fn steal(&self, _: &str) -> Held {
        self.0.borrow_mut().steals += 1;
        let held = self.next();
        self.give(Some(held.1));
        held
    }
    async fn lost(&self, held: &Held) {
        self.until(|lock| lock.holder != Some(held.1)).await;
    }
}

#[derive(Default)]
pub struct LocalChannel(RefCell<(VecDeque<String>, Vec<Waker>, bool)>);

pub struct BusChannel {
    pub own: Rc<LocalChannel>,
    pub bus: Rc<RefCell<Vec<Rc<LocalChannel>>>>,
}

impl Channel for BusChannel {
    fn announce(&self, message: &str) {
        for other in self.bus.borrow().iter().filter(|other| !Rc::ptr_eq(other, &self.own)) {
            let waiting = {
                let mut inbox = other.0.borrow_mut();
                inbox.0.push_back(message.to_owned());
                std::mem::take(&mut inbox.1)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
    async fn next(&self) -> Option<String> {
        poll_fn(|context| {
            let mut inbox = self.own.0.borrow_mut();
            if let Some(message) = inbox.0.pop_front() {
                return Poll::Ready(Some(message));
            }
            if inbox.2 {
                return Poll::Ready(None);
            }
            inbox.1.push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
    fn close(&self) {
        let waiting = {
            let mut inbox = self.own.0.borrow_mut();
            inbox.2 = true;
            std::mem::take(&mut inbox.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// The network: calls the server's handlers with real bytes.
pub struct Loopback {
    pub world: World,
    pub identity: fieldsync_server::token::Identity,
    pub faults: Rc<RefCell<VecDeque<(&'static str, Fault)>>>,
    pub gate: Rc<RefCell<Option<Gate>>>,
    pub poison: Rc<RefCell<Option<(&'static str, u16)>>>,
    /// What stands in the place of [`MARK`] in the answers.
    pub swap: Rc<RefCell<Option<String>>>,
}

/// The fields of a record that a story has others put in the place of.
pub const MARK: &str = r#"{"name":"MARK"}"#;

/// An answer in pieces; the last may be a fault.
#[derive(Debug)]
pub struct Pieces(VecDeque<Result<Vec<u8>, NetworkFault>>);

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, NetworkFault> {
        self.0.pop_front().transpose()
    }
}

fn lost() -> NetworkFault {
    NetworkFault { reason: "lost".to_owned() }
}

impl Network for Loopback {
    type Body = Pieces;

    async fn send(&self, request: Outgoing) -> Result<Incoming<Pieces>, NetworkFault> {
        let fault = {
            let mut faults = self.faults.borrow_mut();
            let ours = faults.front().is_some_and(|(path, _)| *path == request.path);
            if ours { faults.pop_front().map(|(_, fault)| fault) } else { None }
        };
        match fault {
            Some(Fault::LoseRequest) => return Err(lost()),
            Some(Fault::Html) => return Ok(answer(200, "text/html", b"<html>Please log in</html>".to_vec())),
            Some(Fault::Mismatch) => {
                let body = json!({"error": {"code": "identity_mismatch", "message": "scripted", "retryable": false}}).to_string();
                return Ok(answer(403, "application/json", body.into_bytes()));
            }
            Some(Fault::Stall) => return std::future::pending().await,
            Some(Fault::Foreign(status)) => return Ok(answer(status, "text/html", b"<html>Bad gateway</html>".to_vec())),
            Some(Fault::Status(status, retry_after_ms)) => {
                return Ok(scripted(status, retry_after_ms));
            }
            Some(Fault::LoseAnswer | Fault::CutAnswer | Fault::AllGone) | None => {}
        }
        self.world.requests.borrow_mut().push(request.path.clone());
        if let Some((text, status)) = *self.poison.borrow()
            && request.path == paths::UPLOAD
            && request.body.as_ref().is_some_and(|body| body.contains(text))
        {
            return Ok(scripted(status, None));
        }
        let mut done = self.serve(&request).await;
        if let Some(swap) = &*self.swap.borrow() {
            let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
            done.body = Pieces([Ok(swapped(&String::from_utf8(whole).expect("text"), swap).into_bytes())].into());
        }
        if request.path == paths::UPLOAD {
            let gate = self.gate.take();
            if let Some(gate) = gate {
                gate.reached.raise();
                gate.open.raised().await;
            }
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(lost()),
            Some(Fault::CutAnswer) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                done.body = Pieces([Ok(whole[..whole.len() * 2 / 3].to_vec())].into());
                Ok(done)
            }
            Some(Fault::AllGone) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                done.body = Pieces([Ok(all_gone(&whole))].into());
                Ok(done)
            }
            _ => Ok(done),
        }
    }
}

/// The answer to an upload with the same word on every operation.
fn all_gone(answer: &[u8]) -> Vec<u8> {
    let mut answer: Value = serde_json::from_slice(answer).expect("JSON");
    for (at, result) in answer["results"].as_array_mut().expect("results").iter_mut().enumerate() {
        result["outcome"] = json!({"status": "conflict", "conflictId": format!("gone {at}"), "kind": "update-delete",
            "server": to_value(&ServerState::plain(Version(1_000), None))});
    }
    answer.to_string().into_bytes()
}

/// An answer with other fields in it. A page's head tells bytes and hash of the page that it is then.
fn swapped(text: &str, by: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(|line| line.replace(MARK, by)).collect();
    for at in 1..lines.len() {
        if lines[at - 1].contains("\"sha256\"") {
            lines[at - 1] = json!({"bytes": lines[at].len(), "sha256": fieldsync::value::hash_bytes(lines[at].as_bytes())}).to_string();
        }
    }
    lines.join("\n")
}

fn scripted(status: u16, retry_after_ms: Option<u64>) -> Incoming<Pieces> {
    let body = json!({"error": {"code": "scripted", "message": "scripted", "retryable": status >= 429}}).to_string();
    Incoming { retry_after_ms, ..answer(status, "application/json", body.into_bytes()) }
}

fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Incoming<Pieces> {
    Incoming { status, content_type: content_type.to_owned(), retry_after_ms: None, body: Pieces([Ok(body)].into()) }
}

impl Loopback {
    async fn serve(&self, request: &Outgoing) -> Incoming<Pieces> {
        let service = &self.world.service();
        let body = request.body.clone().unwrap_or_default().into_bytes();
        let refused = |refusal: Refusal| {
            let (status, _, _) = refusal.reason.classify();
            let text = serde_json::to_vec(&refusal.fault()).expect("JSON");
            answer(status, "application/json", text)
        };
        fn json<T: serde::Serialize>(value: T) -> Incoming<Pieces> {
            answer(200, "application/json", serde_json::to_vec(&value).expect("JSON"))
        }
        match request.path.as_str() {
            paths::INITIALIZE => service.initialize(&self.identity, &body).await.map_or_else(refused, json),
            paths::UPLOAD => service.upload(&self.identity, &body).await.map_or_else(refused, json),
            paths::STATUS => service.status(&self.identity, &body).await.map_or_else(refused, json),
            paths::CONFLICTS => service.conflicts(&self.identity, &body).await.map_or_else(refused, json),
            paths::DOWNLOAD => match service.download(&self.identity, &body).await {
                Err(refusal) => refused(refusal),
                Ok(mut pages) => {
                    let mut pieces = VecDeque::new();
                    while let Ok(Some(lines)) = pages.next().await {
                        // Cut where no line ends, as a network does.
                        let middle = lines.len() / 2;
                        pieces.push_back(Ok(lines[..middle].to_vec()));
                        pieces.push_back(Ok(lines[middle..].to_vec()));
                    }
                    Incoming { body: Pieces(pieces), ..answer(200, "application/x-ndjson", Vec::new()) }
                }
            },
            other => answer(404, "application/json", other.as_bytes().to_vec()),
        }
    }
}
