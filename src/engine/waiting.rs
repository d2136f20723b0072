//! Who waits for the end of which operation: the `synced` promise of a save.

use std::collections::BTreeMap;

use futures_channel::oneshot;

use crate::decide::Settled;
use crate::model::OpId;

/// Ends that nobody asked for are remembered, the latest so many.
const ENDED_MAX: usize = 1_000;

/// Operations written in this context, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: BTreeMap<OpId, Vec<oneshot::Sender<Settled>>>,
    ended: BTreeMap<OpId, Settled>,
}

/// The answer to somebody who wants to wait.
#[derive(Debug)]
pub(super) enum Wait {
    /// It has ended so.
    Ended(Settled),
    /// It will be told here; never, if the engine is closed before.
    Open(oneshot::Receiver<Settled>),
    /// No operation of this context.
    Unknown,
}

impl Watches {
    /// Begins to watch an operation.
    pub(super) fn begin(&mut self, id: OpId) {
        self.open.entry(id).or_default();
    }
    /// Waits for one.
    pub(super) fn wait(&mut self, id: &OpId) -> Wait {
        if let Some(settled) = self.ended.get(id) {
            return Wait::Ended(settled.clone());
        }
        let Some(waiting) = self.open.get_mut(id) else { return Wait::Unknown };
        let (tell, told) = oneshot::channel();
        waiting.push(tell);
        Wait::Open(told)
    }
    /// Whether any is open.
    pub(super) fn any_open(&self) -> bool {
        !self.open.is_empty()
    }
    /// One has ended.
    pub(super) fn settle(&mut self, id: &OpId, settled: &Settled) {
        let Some(waiting) = self.open.remove(id) else { return };
        for tell in waiting {
            // Who no longer listens has not waited.
            let _ = tell.send(settled.clone());
        }
        self.ended.insert(id.clone(), settled.clone());
        while self.ended.len() > ENDED_MAX {
            // UUIDv7: the smallest is the oldest.
            self.ended.pop_first();
        }
    }
    /// Another operation stands in its place now: who waited goes on waiting.
    pub(super) fn supersede(&mut self, old: &OpId, by: &OpId) {
        if let Some(waiting) = self.open.remove(old) {
            self.open.entry(by.clone()).or_default().extend(waiting);
        }
    }
    /// Nobody will be told any more.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }
}
