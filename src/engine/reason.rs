//! Why a person does what cannot be undone: a text beside the act, which the audit trail keeps.

use serde_json::json;

use super::{Engine, EngineError};
use crate::platform::Host;
use crate::store::Store;

/// Characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;

/// What the settings can want a reason for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A conflict is decided.
    Resolve,
    /// Unsent work is given up.
    Discard,
    /// What lost a conflict is brought back.
    Restore,
    /// The last step of a conflict is taken back.
    Undo,
}

impl Act {
    /// Its name in the settings.
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "resolve" => Some(Self::Resolve),
            "discard" => Some(Self::Discard),
            "restore" => Some(Self::Restore),
            "undo" => Some(Self::Undo),
            _ => None,
        }
    }
}

impl<S: Store, H: Host> Engine<S, H> {
    /// The reason for an act, if one is given; refused where the settings want one.
    pub(super) fn reason(&self, act: Act, reason: Option<&str>) -> Result<Option<String>, EngineError> {
        let reason = bounded(reason)?;
        if reason.is_none() && self.inner.settings.require_reason.contains(&act) {
            let message = "the settings want a reason for this";
            return Err(EngineError::with("reason_required", message, json!({"path": "reason"})));
        }
        Ok(reason)
    }
}

/// A reason that the trail can keep. One of blanks is none.
pub(super) fn bounded(reason: Option<&str>) -> Result<Option<String>, EngineError> {
    let Some(reason) = reason.map(str::trim_ascii).filter(|reason| !reason.is_empty()) else { return Ok(None) };
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(EngineError::with("invalid_value", "a reason has at most 1,000 characters", json!({"path": "reason"})));
    }
    Ok(Some(reason.to_owned()))
}
