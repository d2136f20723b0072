//! How a story is told: on one thread, step by step. It fails where it would wait for ever, gives way to others for as long
//! as it says, and holds back what it wants to look at first.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// More than any story takes; a story that asks for more goes round in circles.
const POLLS_MAX: usize = 1_000_000;

#[derive(Default)]
struct Woken(AtomicBool);
impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a story. All that happens in it happens on this thread: when it waits and nobody has woken it, nobody
/// ever will, and it fails instead of hanging.
pub fn tell<F: Future<Output = ()>>(story: F) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut story = std::pin::pin!(story);
    for _ in 0..POLLS_MAX {
        if story.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
        assert!(woken.0.swap(false, Ordering::Relaxed), "the story waits for something that will never happen");
    }
    panic!("the story goes round in circles");
}

/// Lets everybody else go on, so many times.
pub async fn turns(count: usize) {
    let mut left = count;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Holds an answer back until the story goes on.
#[derive(Clone, Default)]
pub struct Gate {
    pub reached: Flag,
    pub open: Flag,
}

/// Raised once, by whoever comes first.
#[derive(Clone, Default)]
pub struct Flag(Rc<RefCell<(bool, Vec<Waker>)>>);
impl Flag {
    pub fn raise(&self) {
        let waiting = {
            let mut flag = self.0.borrow_mut();
            flag.0 = true;
            std::mem::take(&mut flag.1)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
    pub async fn raised(&self) {
        poll_fn(|context| {
            let mut flag = self.0.borrow_mut();
            if flag.0 {
                return Poll::Ready(());
            }
            flag.1.push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Gate {
    /// Ends when the answer is there and held back.
    pub async fn reached(&self) {
        self.reached.raised().await;
    }
    /// Lets it through.
    pub fn open(&self) {
        self.open.raise();
    }
}
