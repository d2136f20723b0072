//! The app's own functions. They are asked between transactions, one after another, and raced against a limit: an async one
//! that is late is waited for no longer, one that does not give way is measured. What is wrong with one is told by an event,
//! with what it was asked about and never with its content.

use std::pin::pin;

use futures_util::future::{Either, select};
use serde_json::Value;

use super::Engine;
use super::events::Event;
use crate::model::RecordId;
use crate::platform::{Clock, Functions, Host};
use crate::store::Store;
use crate::value::{Limits, parse};

/// An answer holds a record at most, some levels down.
pub(super) const ANSWER_BOUNDS: Limits = Limits { depth_max: Limits::RECORD.depth_max + 2, ..Limits::RECORD };

/// A sort of functions, and the codes of what is wrong with one.
pub(super) struct Sort {
    pub(super) name: &'static str,
    /// It threw, or rejected.
    pub(super) failed: &'static str,
    /// It had not answered in time.
    pub(super) late: &'static str,
    /// It answered, and had kept everybody waiting for longer than it may.
    pub(super) slow: &'static str,
    /// Its answer is none.
    pub(super) invalid: &'static str,
    /// What an answer may measure.
    pub(super) bounds: Limits,
}

/// What a function is asked about.
#[derive(Clone, Copy, Default)]
pub(super) struct Matter<'m> {
    pub(super) entity: &'m str,
    /// The conflict, where it is one.
    pub(super) conflict: Option<u64>,
    /// The record, where it is one.
    pub(super) record: Option<&'m RecordId>,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Asks a function. Where there is no answer, that is told, and its code is given.
    pub(super) async fn consult(&self, sort: &Sort, matter: Matter<'_>, about: &Value) -> Result<Value, &'static str> {
        let (began, limit_ms) = (self.now(), self.inner.settings.rule_timeout_ms);
        let asked = {
            let (about, functions) = (about.to_string(), self.inner.host.functions());
            let asked = pin!(functions.ask(sort.name, matter.entity, &about));
            let late = pin!(self.inner.host.clock().sleep(limit_ms));
            match select(asked, late).await {
                Either::Left((answer, _)) => answer.ok_or(sort.failed),
                Either::Right(_) => Err(sort.late),
            }
        };
        let slow = asked.is_ok() && self.now().saturating_sub(began) > limit_ms;
        let answer = asked.and_then(|text| parse(&text, &sort.bounds).map_err(|_| sort.invalid));
        if let Some(code) = answer.as_ref().err().copied().or(slow.then_some(sort.slow)) {
            self.warn(code, matter);
        }
        answer
    }

    /// What an answer says; where it is none, that is told, and its code is given.
    pub(super) fn understood<T>(&self, sort: &Sort, matter: Matter<'_>, said: Option<T>) -> Result<T, &'static str> {
        said.ok_or_else(|| {
            self.warn(sort.invalid, matter);
            sort.invalid
        })
    }

    /// Tells that something about one of the app's functions is not as it should be.
    pub(super) fn warn(&self, code: &'static str, matter: Matter<'_>) {
        self.emit(Event::Warning {
            code,
            entity: matter.entity.to_owned(),
            conflict_id: matter.conflict,
            record_id: matter.record.cloned(),
        });
    }
}
