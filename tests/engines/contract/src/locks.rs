//! The sender's lock on the browser's own lock manager: given one after the other, taken away from a holder that then
//! notices, and given back by nobody else.

use std::pin::pin;

use fieldsync::platform::browser::{BrowserClock, BrowserLocks};
use fieldsync::platform::{Clock, Locks};
use futures_util::future::{Either, select};

cases! {
    "a_lock_is_given_to_one_and_then_to_the_next" => in_turn(),
    "a_stolen_lock_says_so_to_its_holder_who_cannot_give_it_back" => stolen(),
    "a_lock_that_nobody_holds_can_be_stolen_too" => free(),
}

/// Long for a lock, short for a test.
const WHILE_MS: u64 = 200;

/// Whether this comes to its end soon.
async fn ends(work: impl Future) -> bool {
    match select(pin!(work), pin!(BrowserClock.sleep(WHILE_MS))).await {
        Either::Left(_) => true,
        Either::Right(_) => false,
    }
}

async fn in_turn() {
    let first = BrowserLocks.acquire("in turn").await;
    assert!(first.is_some(), "this browser has locks");
    assert!(!ends(BrowserLocks.acquire("in turn")).await, "it is held");
    assert!(!ends(BrowserLocks.lost(&first)).await, "whoever waits takes nothing");
    drop(first);
    assert!(ends(BrowserLocks.acquire("in turn")).await, "and who gave up waiting does not hold it");
}

async fn stolen() {
    let first = BrowserLocks.acquire("stolen").await;
    let second = BrowserLocks.steal("stolen").await;
    assert!(second.is_some());
    assert!(ends(BrowserLocks.lost(&first)).await);
    drop(first);
    assert!(!ends(BrowserLocks.lost(&second)).await);
    assert!(!ends(BrowserLocks.acquire("stolen")).await, "the thief holds it");
    drop(second);
    assert!(ends(BrowserLocks.acquire("stolen")).await);
}

async fn free() {
    let held = BrowserLocks.steal("free").await;
    assert!(held.is_some() && !ends(BrowserLocks.acquire("free")).await);
}
