//! Clock, entropy, locks, channel and identity of a context, and the [`Host`] that holds them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use data_encoding::HEXLOWER;
use fieldsync::platform::{Channel, Clock, Entropy, Functions, Host, Identity, Locks};

use super::network::SimNetwork;
use crate::executor::{Owner, WORLD};
use crate::fault::{Fault, Site};
use crate::plan::DevicePlan;
use crate::random::Random;
use crate::sim::{START, Sim};

/// A device: what all its contexts share beyond their databases.
pub(crate) struct Device {
    pub(crate) plan: DevicePlan,
    /// How far its clock was moved since.
    pub(crate) jumped: Cell<i64>,
    /// Until when it has no network, and whether requests hang meanwhile instead of failing.
    pub(crate) cut_off: Cell<(u64, bool)>,
    pub(crate) locks: Rc<RefCell<BTreeMap<String, Lock>>>,
}

impl Device {
    pub(crate) fn new(plan: DevicePlan) -> Rc<Self> {
        Rc::new(Self { plan, jumped: Cell::new(0), cut_off: Cell::new((0, false)), locks: Rc::default() })
    }
    /// What its clock says.
    pub(crate) fn time(&self, now: u64) -> u64 {
        let passed = i64::try_from(now - START).unwrap_or(0);
        now.saturating_add_signed(self.plan.skew_ms + self.jumped.get() + passed * self.plan.drift_ppm / 1_000_000)
    }
}

/// A lock of a device: who holds it, and who waits.
#[derive(Default)]
pub(crate) struct Lock {
    holder: Weak<Claim>,
    waiting: VecDeque<Weak<Claim>>,
}

/// What became of somebody who asked for a lock.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Waits,
    Holds,
    Robbed,
}

/// The place of somebody who asked for a lock.
pub(crate) struct Claim {
    name: String,
    locks: Rc<RefCell<BTreeMap<String, Lock>>>,
    stand: Cell<Stand>,
    waker: RefCell<Option<Waker>>,
}

impl Claim {
    fn become_(&self, stand: Stand) {
        self.stand.set(stand);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
    /// Ends when it stands so.
    async fn until(&self, wanted: Stand) {
        poll_fn(|context| {
            if self.stand.get() == wanted {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.stand.get() != Stand::Holds {
            return;
        }
        let next = {
            let mut locks = self.locks.borrow_mut();
            let Some(lock) = locks.get_mut(&self.name) else { return };
            let next = std::iter::from_fn(|| lock.waiting.pop_front()).find_map(|next| next.upgrade());
            lock.holder = next.as_ref().map(Rc::downgrade).unwrap_or_default();
            next
        };
        if let Some(next) = next {
            next.become_(Stand::Holds);
        }
    }
}

/// A held lock.
pub(crate) struct Held(Rc<Claim>);

/// The inboxes of the contexts that have a database open.
pub(crate) type Bus = Rc<RefCell<Vec<(Owner, Rc<Inbox>)>>>;

/// Messages that a context has not read yet.
#[derive(Default)]
pub(crate) struct Inbox {
    messages: RefCell<VecDeque<String>>,
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Inbox {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Everything that a context has from its platform.
pub(crate) struct SimHost {
    pub(crate) sim: Rc<Sim>,
    pub(crate) owner: Owner,
    pub(crate) device: Rc<Device>,
    pub(crate) bus: Bus,
    pub(crate) inbox: Rc<Inbox>,
    pub(crate) random: RefCell<Random>,
    pub(crate) network: SimNetwork,
}

impl Clock for SimHost {
    fn now(&self) -> u64 {
        self.device.time(self.sim.executor.now())
    }
    async fn sleep(&self, wait_ms: u64) {
        self.sim.executor.sleep(wait_ms).await;
    }
}

impl Entropy for SimHost {
    fn fill(&self, bytes: &mut [u8]) {
        let mut random = self.random.borrow_mut();
        for chunk in bytes.chunks_mut(8) {
            let drawn = random.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    }
}

impl Locks for SimHost {
    type Guard = Held;
    async fn acquire(&self, name: &str) -> Held {
        let claim = self.claim(name);
        {
            let mut locks = self.device.locks.borrow_mut();
            let lock = locks.entry(name.to_owned()).or_default();
            if lock.holder.strong_count() > 0 {
                lock.waiting.push_back(Rc::downgrade(&claim));
            } else {
                lock.holder = Rc::downgrade(&claim);
                claim.stand.set(Stand::Holds);
            }
        }
        claim.until(Stand::Holds).await;
        self.sim.gate(self.owner, Site::Role).await;
        Held(claim)
    }
    async fn steal(&self, name: &str) -> Held {
        let claim = self.claim(name);
        claim.stand.set(Stand::Holds);
        let robbed = {
            let mut locks = self.device.locks.borrow_mut();
            let lock = locks.entry(name.to_owned()).or_default();
            std::mem::replace(&mut lock.holder, Rc::downgrade(&claim)).upgrade()
        };
        if let Some(robbed) = robbed {
            self.sim.mark("role stolen");
            self.sim.tell(|| format!("context {}: steals the sender's role", self.owner));
            robbed.become_(Stand::Robbed);
        }
        self.sim.gate(self.owner, Site::Role).await;
        Held(claim)
    }
    async fn lost(&self, held: &Held) {
        held.0.until(Stand::Robbed).await;
    }
}

impl SimHost {
    fn claim(&self, name: &str) -> Rc<Claim> {
        Rc::new(Claim {
            name: name.to_owned(),
            locks: self.device.locks.clone(),
            stand: Cell::new(Stand::Waits),
            waker: RefCell::default(),
        })
    }
}

impl Channel for SimHost {
    fn announce(&self, message: &str) {
        let others: Vec<(Owner, Rc<Inbox>)> =
            self.bus.borrow().iter().filter(|(_, inbox)| !Rc::ptr_eq(inbox, &self.inbox)).cloned().collect();
        for (owner, inbox) in others {
            if self.sim.executor.is_frozen(owner) && self.sim.executor.draw(2) == 0 {
                self.sim.mark("announcement lost");
                continue;
            }
            // Each message takes its own time: they overtake each other.
            let wait = if self.sim.has_faults() { self.sim.executor.draw(8) } else { 0 };
            if wait == 0 {
                inbox.messages.borrow_mut().push_back(message.to_owned());
                inbox.wake();
            } else {
                let (sim, message) = (self.sim.clone(), message.to_owned());
                self.sim.executor.spawn(WORLD, async move {
                    sim.executor.sleep(wait).await;
                    inbox.messages.borrow_mut().push_back(message);
                    inbox.wake();
                });
            }
        }
    }
    async fn next(&self) -> Option<String> {
        poll_fn(|context| {
            if let Some(message) = self.inbox.messages.borrow_mut().pop_front() {
                return Poll::Ready(Some(message));
            }
            if self.inbox.closed.get() {
                return Poll::Ready(None);
            }
            self.inbox.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
    fn close(&self) {
        self.inbox.closed.set(true);
        self.bus.borrow_mut().retain(|(_, inbox)| !Rc::ptr_eq(inbox, &self.inbox));
        self.inbox.wake();
    }
}

/// How long a token is good, ms.
const TOKEN_MS: u64 = 15 * 60 * 1_000;

impl Identity for SimHost {
    async fn token(&self, tenant: &str, user: &str, _refresh: bool) -> Option<String> {
        let now = self.sim.executor.now();
        let token = |user: &str, until: u64| Some(HEXLOWER.encode(serde_json::json!([tenant, user, until]).to_string().as_bytes()));
        match self.sim.gate(self.owner, Site::Token).await {
            Some(Fault::NotNow) => None,
            Some(Fault::Expired) => token(user, now.saturating_sub(1)),
            Some(Fault::WrongUser) => token("somebody else", now + TOKEN_MS),
            _ => token(user, now + TOKEN_MS),
        }
    }
}

impl Functions for SimHost {}

impl Host for SimHost {
    type Clock = Self;
    type Entropy = Self;
    type Locks = Self;
    type Channel = Self;
    type Identity = Self;
    type Functions = Self;
    type Network = SimNetwork;
    fn clock(&self) -> &Self {
        self
    }
    fn entropy(&self) -> &Self {
        self
    }
    fn locks(&self) -> &Self {
        self
    }
    fn channel(&self) -> &Self {
        self
    }
    fn identity(&self) -> &Self {
        self
    }
    fn functions(&self) -> &Self {
        self
    }
    fn network(&self) -> &SimNetwork {
        &self.network
    }
}
