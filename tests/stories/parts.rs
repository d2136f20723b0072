//! What a tab of a story stands on, but for its [network](crate::network): a clock that everybody shares, functions of an app,
//! locks and channels among the tabs of one device.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use fieldsync::platform::{Channel, Clock, Entropy, Functions, Host, Identity, Locks};
use serde_json::Value;

use crate::network::Loopback;

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
