//! Who runs a session here. At most one runs in a context, and at most one more waits: everybody who asks
//! while one runs shares the next, because only that one is sure to see what they wrote. Whoever asked first
//! drives it; if that one gives up, the next of those who share it goes on driving it.

use std::pin::{Pin, pin};

use futures_channel::oneshot;
use futures_util::future::{Either, select};

use super::events::Event;
use super::session::{Direction, SyncError, SyncResult, Wanted};
use super::sync::brief;
use super::{Cancel, Engine, EngineError};
use crate::platform::Host;
use crate::store::{Store, StoreError};

/// Who runs, and who waits for the next.
#[derive(Default)]
pub(super) struct Role {
    running: Option<Cancel>,
    next: Option<(Wanted, Vec<oneshot::Sender<Told>>)>,
}

/// A session to run, and who else is told its result.
struct Turn {
    wanted: Wanted,
    /// Stops it.
    cancel: Cancel,
    others: Vec<oneshot::Sender<Told>>,
}

/// A session under way.
struct Driven {
    session: Pin<Box<dyn Future<Output = SyncResult>>>,
    cancel: Cancel,
    others: Vec<oneshot::Sender<Told>>,
}

/// What somebody who waits is told.
enum Told {
    /// Run the next session, for the others too.
    Run(Turn),
    /// Go on with the session that runs: who drove it waits no longer.
    Drive(Driven),
    /// It is over.
    Result(Box<SyncResult>),
}

/// The place of somebody who wants a session.
enum Place {
    /// Run it.
    Run(Turn),
    /// Somebody runs one; the next is shared.
    Wait(oneshot::Receiver<Told>),
}

impl Role {
    fn enter(&mut self, wanted: Wanted) -> Place {
        if self.running.is_none() {
            return Place::Run(self.begin(wanted, Vec::new()));
        }
        let (tell, told) = oneshot::channel();
        let (all, waiting) = self.next.get_or_insert_with(|| (wanted.clone(), Vec::new()));
        *all = all.with(&wanted);
        waiting.push(tell);
        Place::Wait(told)
    }
    fn begin(&mut self, wanted: Wanted, others: Vec<oneshot::Sender<Told>>) -> Turn {
        let cancel = Cancel::default();
        self.running = Some(cancel.clone());
        Turn { wanted, cancel, others }
    }
    /// The session has ended. One of those who wait runs the next for all of them.
    fn leave(&mut self) {
        self.running = None;
        let Some((wanted, mut waiting)) = self.next.take() else { return };
        while !waiting.is_empty() {
            let first = waiting.remove(0);
            let turn = self.begin(wanted.clone(), waiting);
            match first.send(Told::Run(turn)) {
                // It no longer waits: the one behind it runs.
                Err(Told::Run(turn)) => waiting = turn.others,
                Ok(()) | Err(_) => return,
            }
            self.running = None;
        }
    }
    /// Nobody runs another: who waits for the next is told by the end of its wait.
    pub(super) fn close(&mut self) {
        self.cancel_running();
        self.next = None;
    }
    /// Whether one runs.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }
    /// Stops the one that runs.
    pub(super) fn cancel_running(&self) {
        if let Some(cancel) = &self.running {
            cancel.cancel();
        }
    }
}

async fn stopped(cancel: Option<&Cancel>) {
    match cancel {
        Some(cancel) => cancel.cancelled().await,
        None => std::future::pending().await,
    }
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Runs a session of everything that way; see [`Self::sync_with`].
    pub async fn sync(&self, direction: Direction, cancel: Option<Cancel>) -> SyncResult {
        self.sync_with(Wanted::all(direction), cancel).await
    }

    /// Runs a session, or shares the next one if one is running. Never fails: what went wrong is in the result.
    /// `cancel` ends this call; it stops the session too, unless others share it.
    pub async fn sync_with(&self, wanted: Wanted, cancel: Option<Cancel>) -> SyncResult {
        let closed = || self.nothing(&wanted, SyncError::from(EngineError::from(StoreError::Closed)));
        if self.inner.closed.is_raised() {
            return closed();
        }
        if self.is_paused().await {
            return self.nothing(&wanted, SyncError::paused());
        }
        let place = self.inner.role.borrow_mut().enter(wanted.clone());
        let turn = match place {
            Place::Run(turn) => turn,
            Place::Wait(told) => match select(told, pin!(stopped(cancel.as_ref()))).await {
                Either::Left((Ok(Told::Run(turn)), _)) => turn,
                Either::Left((Ok(Told::Drive(driven)), _)) => return self.drive(driven, &wanted, cancel.as_ref()).await,
                Either::Left((Ok(Told::Result(result)), _)) => return *result,
                Either::Left((Err(_), _)) => return closed(),
                Either::Right(_) => return self.nothing(&wanted, SyncError::aborted()),
            },
        };
        self.emit_status();
        let (engine, own) = (self.clone(), turn.cancel.clone());
        let session = Box::pin(async move { engine.session(turn.wanted, own).await });
        self.drive(Driven { session, cancel: turn.cancel, others: turn.others }, &wanted, cancel.as_ref()).await
    }

    async fn drive(&self, mut driven: Driven, wanted: &Wanted, cancel: Option<&Cancel>) -> SyncResult {
        let ended = match select(&mut driven.session, pin!(stopped(cancel))).await {
            Either::Left((result, _)) => Some(result),
            Either::Right(_) => None,
        };
        let result = match ended {
            Some(result) => result,
            None => {
                while !driven.others.is_empty() {
                    let first = driven.others.remove(0);
                    match first.send(Told::Drive(driven)) {
                        Err(Told::Drive(back)) => driven = back,
                        Ok(()) | Err(_) => return self.nothing(wanted, SyncError::aborted()),
                    }
                }
                // Nobody else wants it.
                driven.cancel.cancel();
                driven.session.await
            }
        };
        self.remember(&result);
        if result.errors.is_empty() && (self.is_purge_due() || self.is_check_due()) {
            self.inner.rest.notify();
        }
        self.inner.role.borrow_mut().leave();
        for other in driven.others {
            // Who no longer waits has been told so.
            let _ = other.send(Told::Result(Box::new(result.clone())));
        }
        self.emit(Event::Session { result: brief(&result) });
        self.emit_status();
        result
    }

    /// Stops the session that runs, if one does.
    pub fn abort(&self) {
        self.inner.role.borrow().cancel_running();
    }

    pub(super) fn nothing(&self, wanted: &Wanted, error: SyncError) -> SyncResult {
        SyncResult {
            success: false,
            synced: 0,
            failed: 0,
            conflicts: 0,
            met: 0,
            batches: [0; 4],
            downloaded: 0,
            quarantined: 0,
            operations: Vec::new(),
            results: Vec::new(),
            id_mappings: Vec::new(),
            entity_type: wanted.entity.clone(),
            errors: vec![error],
            duration: 0,
            started: self.now(),
            direction: wanted.direction,
        }
    }
}
