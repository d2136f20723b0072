//! Runs everybody on one thread. Which of the runnable tasks goes next is drawn from the seed; time stands
//! while anybody can run and then jumps to the next timer. A task belongs to an owner, a context of a device
//! or the world itself; the death of an owner drops its tasks in the middle of whatever they do.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::random::Random;

/// Who a task belongs to: a context by its number, or [`WORLD`].
pub(crate) type Owner = u32;

/// What belongs to no context: the network, the server, the laws of nature.
pub(crate) const WORLD: Owner = 0;

/// So many turns without time moving on are a circle.
const TURNS_PER_INSTANT_MAX: u64 = 100_000;
/// So many turns no run needs: somebody asks without end, or for far more than is due. Most take 5,000, the
/// longest of a million operations 100,000.
const TURNS_MAX: u64 = 600_000;

type Future_ = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Debug)]
struct Wakeup {
    id: usize,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.id);
        }
    }
}

struct Task {
    owner: Owner,
    /// Away while it is being polled.
    future: Option<Future_>,
    wakeup: Arc<Wakeup>,
    waker: Waker,
}

/// Why [`Executor::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The time was reached.
    Time,
    /// The caller's condition holds.
    Condition,
    /// Somebody runs in a circle: time does not move on, or for no good.
    Circle,
}

/// All tasks and all timers.
pub(crate) struct Executor {
    tasks: RefCell<Vec<Option<Task>>>,
    owned: RefCell<BTreeMap<Owner, BTreeSet<usize>>>,
    ready: Arc<Mutex<Vec<usize>>>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    timer_ids: Cell<u64>,
    now: Cell<u64>,
    turns: Cell<u64>,
    instant_turns: Cell<u64>,
    random: RefCell<Random>,
    frozen: RefCell<BTreeMap<Owner, Vec<usize>>>,
    digest: Cell<u64>,
}

impl Executor {
    pub(crate) fn new(random: Random, now: u64) -> Self {
        Self {
            tasks: RefCell::default(),
            owned: RefCell::default(),
            ready: Arc::default(),
            timers: RefCell::default(),
            timer_ids: Cell::new(0),
            now: Cell::new(now),
            turns: Cell::new(0),
            instant_turns: Cell::new(0),
            random: RefCell::new(random),
            frozen: RefCell::default(),
            digest: Cell::new(0),
        }
    }

    /// Virtual time, ms since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }
    /// How often a task was polled.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.get()
    }
    /// What has happened so far, as a number: equal runs have equal ones.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.get()
    }
    /// Adds something that happened.
    pub(crate) fn note(&self, what: u64) {
        self.digest.set(crate::random::mix(self.digest.get(), what));
    }
    /// A number of the scheduler's stream.
    pub(crate) fn draw(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// Starts a task.
    pub(crate) fn spawn(&self, owner: Owner, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.len();
        let wakeup = Arc::new(Wakeup { id, queued: AtomicBool::new(false), ready: self.ready.clone() });
        let waker = Waker::from(wakeup.clone());
        waker.wake_by_ref();
        tasks.push(Some(Task { owner, future: Some(Box::pin(future)), wakeup, waker }));
        self.owned.borrow_mut().entry(owner).or_default().insert(id);
    }

    /// Drops every task of an owner, in the middle of whatever it does.
    pub(crate) fn kill(&self, owner: Owner) {
        self.thaw(owner);
        let ids = self.owned.borrow_mut().remove(&owner).unwrap_or_default();
        let dropped: Vec<Option<Task>> = {
            let mut tasks = self.tasks.borrow_mut();
            ids.into_iter().map(|id| tasks.get_mut(id).and_then(Option::take)).collect()
        };
        // Outside the borrow: what a task holds may wake others.
        drop(dropped);
    }

    /// Drops everything.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.timers.borrow_mut().clear();
    }

    /// Nothing of this owner runs until it is thawed; it is woken, but does not move.
    pub(crate) fn freeze(&self, owner: Owner) {
        self.frozen.borrow_mut().entry(owner).or_default();
    }
    pub(crate) fn is_frozen(&self, owner: Owner) -> bool {
        self.frozen.borrow().contains_key(&owner)
    }
    /// It goes on.
    pub(crate) fn thaw(&self, owner: Owner) {
        if let Some(held) = self.frozen.borrow_mut().remove(&owner) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).extend(held);
        }
    }

    /// Ends at this time, or when it is dropped.
    pub(crate) fn sleep_until(self: &Rc<Self>, due: u64) -> Sleep {
        Sleep { executor: self.clone(), due, id: None }
    }
    pub(crate) fn sleep(self: &Rc<Self>, wait: u64) -> Sleep {
        self.sleep_until(self.now().saturating_add(wait))
    }

    /// Runs until a time, or until the condition, asked whenever time is about to move on, holds.
    pub(crate) fn run_until(&self, end: u64, mut after_turn: impl FnMut(), mut condition: impl FnMut() -> bool) -> Stopped {
        loop {
            while self.turn() {
                after_turn();
                if self.instant_turns.get() > TURNS_PER_INSTANT_MAX || self.turns.get() > TURNS_MAX {
                    return Stopped::Circle;
                }
            }
            if condition() {
                return Stopped::Condition;
            }
            self.instant_turns.set(0);
            let next = self.timers.borrow().first_key_value().map(|((due, _), _)| *due);
            match next.filter(|due| *due <= end) {
                None => {
                    self.now.set(self.now.get().max(end));
                    return Stopped::Time;
                }
                Some(due) => {
                    self.now.set(self.now.get().max(due));
                    loop {
                        let mut timers = self.timers.borrow_mut();
                        let Some(entry) = timers.first_entry().filter(|entry| entry.key().0 <= due) else { break };
                        let waker = entry.remove();
                        drop(timers);
                        waker.wake();
                    }
                }
            }
        }
    }

    /// Polls one runnable task; says whether there was one.
    fn turn(&self) -> bool {
        let id = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            if ready.is_empty() {
                return false;
            }
            let at = if ready.len() == 1 { 0 } else { self.random.borrow_mut().place(ready.len()) };
            ready.swap_remove(at)
        };
        let (mut future, waker, owner) = {
            let mut tasks = self.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(id).and_then(Option::as_mut) else { return true };
            if let Some(held) = self.frozen.borrow_mut().get_mut(&task.owner) {
                held.push(id);
                return true;
            }
            task.wakeup.queued.store(false, Ordering::Relaxed);
            let Some(future) = task.future.take() else { return true };
            (future, task.waker.clone(), task.owner)
        };
        self.turns.set(self.turns.get() + 1);
        self.instant_turns.set(self.instant_turns.get() + 1);
        self.note(u64::from(owner) << 32 | id as u64);
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut left = Some(future);
        {
            let mut tasks = self.tasks.borrow_mut();
            // Gone if it was killed while it ran.
            if let Some(slot) = tasks.get_mut(id)
                && let Some(task) = slot
            {
                if done {
                    *slot = None;
                    if let Some(owned) = self.owned.borrow_mut().get_mut(&owner) {
                        owned.remove(&id);
                    }
                } else {
                    task.future = left.take();
                }
            }
        }
        drop(left);
        true
    }
}

/// A timer under way.
pub(crate) struct Sleep {
    executor: Rc<Executor>,
    due: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.executor.now() >= self.due {
            return Poll::Ready(());
        }
        let id = self.id.unwrap_or_else(|| {
            let fresh = self.executor.timer_ids.get() + 1;
            self.executor.timer_ids.set(fresh);
            fresh
        });
        self.id = Some(id);
        self.executor.timers.borrow_mut().insert((self.due, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.executor.timers.borrow_mut().remove(&(self.due, id));
        }
    }
}

/// Lets others go first, once.
pub(crate) async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
