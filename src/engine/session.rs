//! A session's nouns: its direction, its result, and who may run one here.
//!
//! At most one session runs in a context, and at most one more waits: everybody who asks while one runs
//! shares the next, because only that one is sure to see what they wrote.

use futures_channel::oneshot;
use serde::Serialize;
use serde_json::Value;

use super::{Cancel, EngineError};
use crate::model::Epoch;
use crate::platform::network::TransportError;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Send what is queued.
    Up,
    /// Fetch what changed.
    Down,
    /// Both.
    Both,
}

impl Direction {
    /// Both of them.
    pub(super) fn with(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

/// Why a session did not reach its end. Nothing is lost by it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncError {
    /// `network`, `timeout`, `aborted`, `auth_required`, `identity_mismatch`, `forbidden`, `rate_limited`, `too_large`,
    /// `server`, `upgrade_required`, `epoch_changed`, `checkpoint_expired`, `protocol`, or that of the store.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether it goes on by itself later.
    pub retryable: bool,
    /// How long the server wants to be left alone, ms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The lineage that a request named, and the one of its answer.
    #[serde(skip)]
    pub(super) lineage: Option<Box<(Epoch, Epoch)>>,
}

impl SyncError {
    /// One with a code of ours.
    pub(super) fn new(code: &str, message: &str, retryable: bool) -> Self {
        Self { code: code.to_owned(), message: message.to_owned(), retryable, retry_after_ms: None, lineage: None }
    }
    /// Another context was faster: nothing was lost, and looking again helps.
    pub(super) fn overtaken() -> Self {
        Self::new("aborted", "another context went on from here", true)
    }
    /// The server has another history than the one that this database knows.
    pub(super) fn epoch_changed(asked: Option<&Epoch>, answered: &Epoch) -> Self {
        let lineage = asked.map(|asked| Box::new((asked.clone(), answered.clone())));
        Self { lineage, ..Self::new("epoch_changed", "the server has another history now", true) }
    }
    /// The session was stopped by whoever started it.
    pub(super) fn aborted() -> Self {
        Self::new("aborted", "the session was stopped", false)
    }
}

impl From<EngineError> for SyncError {
    fn from(error: EngineError) -> Self {
        Self::new(error.code, &error.message, error.retryable)
    }
}

impl From<TransportError> for SyncError {
    fn from(error: TransportError) -> Self {
        let message = error.to_string();
        match error {
            TransportError::Network(_) | TransportError::NotOurs { .. } => Self::new("network", &message, true),
            TransportError::Timeout => Self::new("timeout", &message, true),
            TransportError::Refused { status, fault, retry_after_ms } => {
                let (code, retryable) = match status {
                    401 => ("auth_required", false),
                    403 if fault.code == "identity_mismatch" => ("identity_mismatch", false),
                    403 => ("forbidden", false),
                    404 | 405 | 426 => ("upgrade_required", false),
                    409 => ("epoch_changed", true),
                    410 => ("checkpoint_expired", false),
                    413 => ("too_large", false),
                    408 | 425 => ("timeout", true),
                    // A server with another key: what it cannot read, it can give anew.
                    422 if fault.code == "invalid_checkpoint" => ("checkpoint_expired", false),
                    429 => ("rate_limited", true),
                    500..=599 => ("server", true),
                    _ => ("protocol", false),
                };
                Self { code: code.to_owned(), message, retryable, retry_after_ms, lineage: None }
            }
        }
    }
}

/// What a session did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncResult {
    /// Whether nothing failed; conflicts are no failure.
    pub success: bool,
    /// Operations applied.
    pub synced: u64,
    /// Operations that the server refused for good.
    pub failed: u64,
    /// Conflicts found.
    pub conflicts: u64,
    /// Records downloaded.
    pub downloaded: u64,
    /// Records that could not be read and went into quarantine.
    pub quarantined: u64,
    /// The operations that were sent, with what became of them.
    pub operations: Vec<Value>,
    /// Why it stopped early.
    pub errors: Vec<SyncError>,
    /// From the first step to the last, ms.
    pub duration: u64,
    /// When it began, ms by the device.
    pub started: u64,
    /// Which way.
    pub direction: Direction,
}

/// Who runs, and who waits for the next.
#[derive(Debug, Default)]
pub(super) struct Role {
    running: Option<Cancel>,
    next: Option<(Direction, Vec<oneshot::Sender<Told>>)>,
}

/// A session to run, and who else is told its result.
#[derive(Debug)]
pub(super) struct Turn {
    /// Which way.
    pub(super) direction: Direction,
    /// Stops it.
    pub(super) cancel: Cancel,
    /// Who shares it.
    pub(super) others: Vec<oneshot::Sender<Told>>,
}

/// What somebody who waits is told.
#[derive(Debug)]
pub(super) enum Told {
    /// Run the next session, for the others too.
    Run(Turn),
    /// It is over.
    Result(SyncResult),
}

/// The place of somebody who wants a session.
#[derive(Debug)]
pub(super) enum Place {
    /// Run it.
    Run(Turn),
    /// Somebody runs one; the next is shared.
    Wait(oneshot::Receiver<Told>),
}

impl Role {
    /// Asks for a session.
    pub(super) fn enter(&mut self, direction: Direction) -> Place {
        if self.running.is_none() {
            return Place::Run(self.begin(direction, Vec::new()));
        }
        let (tell, told) = oneshot::channel();
        let (wanted, waiting) = self.next.get_or_insert_with(|| (direction, Vec::new()));
        *wanted = wanted.with(direction);
        waiting.push(tell);
        Place::Wait(told)
    }
    fn begin(&mut self, direction: Direction, others: Vec<oneshot::Sender<Told>>) -> Turn {
        let cancel = Cancel::default();
        self.running = Some(cancel.clone());
        Turn { direction, cancel, others }
    }
    /// The session has ended. One of those who wait runs the next for all of them.
    pub(super) fn leave(&mut self) {
        self.running = None;
        let Some((direction, mut waiting)) = self.next.take() else { return };
        while !waiting.is_empty() {
            let first = waiting.remove(0);
            let turn = self.begin(direction, waiting);
            match first.send(Told::Run(turn)) {
                Ok(()) => return,
                // It no longer waits: the one behind it runs.
                Err(Told::Run(turn)) => waiting = turn.others,
                Err(Told::Result(_)) => return,
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
