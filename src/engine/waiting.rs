//! Who waits for the end of which operation: the `synced` promise of a save.

use std::collections::VecDeque;

use futures_channel::oneshot;

use crate::decide::Settled;
use crate::model::OpId;

/// Ends that nobody asked for are remembered, the latest so many.
const ENDED_MAX: usize = 1_000;

/// Operations written in this context, and who waits for them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    open: VecDeque<(OpId, Vec<oneshot::Sender<Settled>>)>,
    ended: VecDeque<(OpId, Settled)>,
    /// Operations and those that stand in their place, the latest so many.
    instead: VecDeque<(OpId, OpId)>,
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
        self.open.push_back((id, Vec::new()));
    }
    /// Waits for one.
    pub(super) fn wait(&mut self, id: &OpId) -> Wait {
        let mut id = id;
        while let Some((_, by)) = self.instead.iter().rev().find(|(old, _)| old == id) {
            id = by;
        }
        if let Some((_, settled)) = self.ended.iter().find(|(known, _)| known == id) {
            return Wait::Ended(settled.clone());
        }
        let Some((_, waiting)) = self.open.iter_mut().rev().find(|(known, _)| known == id) else { return Wait::Unknown };
        let (tell, told) = oneshot::channel();
        waiting.push(tell);
        Wait::Open(told)
    }
    /// One has ended.
    pub(super) fn settle(&mut self, id: &OpId, settled: &Settled) {
        let Some(waiting) = self.take(id) else { return };
        for tell in waiting {
            // Who no longer listens has not waited.
            let _ = tell.send(settled.clone());
        }
        self.ended.push_back((id.clone(), settled.clone()));
        if self.ended.len() > ENDED_MAX {
            self.ended.pop_front();
        }
    }
    /// Another operation stands in its place now: who waited goes on waiting.
    pub(super) fn supersede(&mut self, old: &OpId, by: &OpId) {
        let Some(waiting) = self.take(old) else { return };
        self.instead.push_back((old.clone(), by.clone()));
        if self.instead.len() > ENDED_MAX {
            self.instead.pop_front();
        }
        match self.open.iter_mut().rev().find(|(known, _)| known == by) {
            Some((_, there)) => there.extend(waiting),
            None => self.open.push_back((by.clone(), waiting)),
        }
    }
    /// Operations end about in the order in which they were written: the search ends soon.
    fn take(&mut self, id: &OpId) -> Option<Vec<oneshot::Sender<Settled>>> {
        let at = self.open.iter().position(|(known, _)| known == id)?;
        self.open.remove(at).map(|(_, waiting)| waiting)
    }
    /// Nobody will be told any more.
    pub(super) fn close(&mut self) {
        self.open.clear();
    }
}
