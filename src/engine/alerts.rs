//! Alerts: what is seen is judged when a session ends, in the transaction that writes it down, and between sessions only where
//! something is another. Each context tells once what begins to hold, and once that it is over.

use serde_json::Value;

use super::events::Event;
use super::session::SyncResult;
use super::trail::Trail;
use super::{Engine, EngineError};
use crate::decide::LogSession;
use crate::metrics::{AUDIT_REFUSED, COMPLIANCE, INTEGRITY, Numbers, PARKED, PENDING, STORAGE, changes, judge};
use crate::outbox::State;
use crate::platform::Host;
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    /// The alerts that hold now: `{code, since, value, limit}`.
    pub async fn alerts(&self) -> Result<Vec<Value>, EngineError> {
        self.refresh().await?;
        let held = self.decide(Durability::Relaxed, self.judged(None, self.seen())).await?;
        self.alerted(held.clone());
        Ok(held)
    }

    /// The app knows how much of the storage is used, and of how much.
    pub fn storage(&self, used: &str, allowed: &str) {
        // Bytes of a disk: as good as exact.
        let bytes = |text: &str| text.parse::<u64>().ok().map(|bytes| bytes as f64);
        self.inner.storage.set(bytes(used).zip(bytes(allowed).filter(|bytes| *bytes > 0.0)).map(|(used, allowed)| used / allowed));
    }

    /// The report of the trail; its breaches are one alert.
    pub async fn compliance_report(&self, limits: &str) -> Result<Value, EngineError> {
        let report = self.audit_report(limits).await?;
        self.inner.breaches.set(report["breaches"].as_array().map(|breaches| breaches.len() as f64));
        self.watch().await;
        Ok(report)
    }

    /// Looks, between sessions, whether anything is another.
    pub(super) async fn watch(&self) {
        let same = {
            let held = self.inner.alerts.borrow();
            let now = judge(&held, &self.seen(), &self.inner.settings.alerts, self.now());
            changes(&held, &now).next().is_none()
        };
        if !same {
            // A store that fails now fails the next session too, and that one is told.
            let _ = self.alerts().await;
        }
    }

    /// The decision on what is seen.
    pub(super) fn judged(&self, session: Option<Value>, seen: Numbers) -> LogSession {
        LogSession { session, seen, limits: self.inner.settings.alerts, now: self.now() }
    }

    /// What is seen without looking anywhere.
    pub(super) fn seen(&self) -> Numbers {
        let (inner, now) = (&self.inner, self.now());
        let age = |oldest: Option<u64>| Some(oldest.map_or(0.0, |oldest| now.saturating_sub(oldest) as f64));
        let mut seen = Numbers::default();
        seen[INTEGRITY] = self.mismatch(inner.last_result.borrow().as_ref());
        (seen[STORAGE], seen[STORAGE + 1]) = (inner.storage.get(), inner.storage.get());
        if inner.known.get().is_some() {
            let [parked, pending] = self.oldest();
            (seen[PARKED], seen[PENDING]) = (age(parked), age(pending));
        }
        seen[COMPLIANCE] = inner.breaches.get();
        seen[AUDIT_REFUSED] = match inner.trail.get() {
            Trail::Refused => Some(1.0),
            Trail::Taken(Some(_)) => Some(0.0),
            _ if !inner.settings.audit_upload => Some(0.0),
            Trail::Taken(None) | Trail::Unwanted => None,
        };
        seen
    }

    /// Whether a row stops the sessions, or this one met what is not as it was hashed.
    pub(super) fn mismatch(&self, session: Option<&SyncResult>) -> Option<f64> {
        let mut errors = session.into_iter().flat_map(|session| &session.errors);
        let met = errors.any(|error| matches!(error.code.as_str(), "integrity" | "garbled"));
        (met || self.inner.stops.get().is_some()).then_some(1.0)
    }

    /// When the oldest operation was written that is parked, and the oldest that is unsent, ms by the device.
    pub(super) fn oldest(&self) -> [Option<u64>; 2] {
        let queue = self.inner.queue.borrow();
        let oldest = |wanted: fn(&State) -> bool| {
            let waiting = queue.items().filter(|(_, item)| wanted(&item.row.state));
            waiting.map(|(_, item)| item.row.created).min()
        };
        [oldest(|state| matches!(state, State::Parked { .. })), oldest(|state| *state == State::Pending)]
    }

    /// These hold now: what changed is told.
    pub(super) fn alerted(&self, held: Vec<Value>) {
        let before = self.inner.alerts.replace(held.clone());
        for (alert, over) in changes(&before, &held) {
            let number = |name: &str| alert[name].as_f64().unwrap_or_default();
            let (code, since) = (alert["code"].as_str().unwrap_or_default().to_owned(), alert["since"].as_u64().unwrap_or_default());
            self.emit(Event::Alert { code, since, value: number("value"), limit: number("limit"), over });
        }
    }
}
