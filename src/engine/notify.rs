//! Waking up: a flag that one side raises and the other waits for. Single-threaded, no time.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Debug, Default)]
struct Shared {
    raised: bool,
    waiting: Vec<Waker>,
}

/// A flag to wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Notify {
    shared: Rc<RefCell<Shared>>,
}

impl Notify {
    /// Raises the flag and wakes who waits.
    pub(super) fn notify(&self) {
        let waiting = {
            let mut shared = self.shared.borrow_mut();
            shared.raised = true;
            std::mem::take(&mut shared.waiting)
        };
        for waker in waiting {
            waker.wake();
        }
    }
    /// Whether the flag is up.
    pub(super) fn is_raised(&self) -> bool {
        self.shared.borrow().raised
    }
    /// Waits until the flag is up, and leaves it up.
    pub(super) async fn raised(&self) {
        poll_fn(|context| {
            let mut shared = self.shared.borrow_mut();
            if shared.raised {
                return Poll::Ready(());
            }
            // Polled many times by one task: it waits once.
            if !shared.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                shared.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
    /// Waits until the flag is up, and takes it down.
    pub(super) async fn taken(&self) {
        self.raised().await;
        self.shared.borrow_mut().raised = false;
    }
}

/// The caller's way to stop what it started.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Notify);

impl Cancel {
    /// Stops it.
    pub fn cancel(&self) {
        self.0.notify();
    }
    /// Whether it was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_raised()
    }
    /// Ends when it is stopped.
    pub async fn cancelled(&self) {
        self.0.raised().await;
    }
}
