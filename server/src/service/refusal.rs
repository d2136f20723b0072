//! Why a whole request is refused: one type, from which status, code and the one error shape follow.

use fieldsync::model::Epoch;
use fieldsync::protocol::{Fault, FaultBody, PROTOCOL};
use serde_json::json;

use crate::apply::BrokenTrail;
use crate::seams::EntropyError;
use crate::store::StoreError;

/// What is wrong with a request as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// No token, or one that proves nothing.
    #[error("a valid token is needed")]
    AuthRequired,
    /// The request comes from a database of another tenant or user than the token speaks for.
    #[error("the token belongs to another tenant or user than the database")]
    IdentityMismatch,
    /// The database belongs to another user of the tenant.
    #[error("this database belongs to another user")]
    ForeignClient,
    /// Another user's device met the conflict.
    #[error("this conflict is for another user or a coordinator to decide")]
    ForeignConflict,
    /// The tenant has no conflict of this name.
    #[error("there is no such conflict")]
    UnknownConflict,
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// There is something at this path, but not for this method.
    #[error("this path does not know this method")]
    MethodNotAllowed,
    /// The request did not come in time.
    #[error("the request took too long")]
    Timeout,
    /// The client knows another lineage of the server.
    #[error("the server's history is another one")]
    EpochChanged(Epoch),
    /// The body, or the number of operations in it, is beyond the limit.
    #[error("the request is too large: at most {max} {unit}")]
    TooLarge {
        /// The limit.
        max: usize,
        /// Of what.
        unit: &'static str,
    },
    /// The body is no JSON by its own account.
    #[error("the content type must be application/json")]
    UnsupportedMedia,
    /// The body is not what the endpoint takes.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// A device's trail does not continue what is here of it.
    #[error("the rows do not continue the trail of this device: {0}")]
    Trail(BrokenTrail),
    /// The checkpoint was not made by this server for this tenant.
    #[error("the checkpoint is not valid")]
    InvalidCheckpoint,
    /// What was deleted since the checkpoint is not known any more.
    #[error("the checkpoint is too old: start over")]
    CheckpointExpired,
    /// Another protocol.
    #[error("this server speaks protocol {PROTOCOL}")]
    UpgradeRequired,
    /// Too many requests.
    #[error("too many requests")]
    RateLimited {
        /// When the next one is free.
        retry_after_seconds: u64,
    },
    /// The database is busy.
    #[error("the server is busy")]
    Unavailable,
    /// Something broke. What it was is in the log, under the request's ID.
    #[error("the server failed")]
    Server,
}

/// A refused request.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The request's ID, where it could be read.
    pub request_id: Option<String>,
}

/// How long a busy server asks to be left alone.
const BUSY_SECONDS: u64 = 1;

impl Reason {
    /// The refusal of a request that has a name.
    pub fn of(self, request_id: &str) -> Refusal {
        Refusal { reason: self, request_id: Some(request_id.to_owned()) }
    }

    /// Status, code, and whether the same request may succeed later.
    pub fn classify(&self) -> (u16, &'static str, bool) {
        match self {
            Self::AuthRequired => (401, "auth_required", false),
            Self::IdentityMismatch => (403, "identity_mismatch", false),
            Self::ForeignClient | Self::ForeignConflict => (403, "forbidden", false),
            Self::UnknownConflict => (404, "unknown_conflict", false),
            Self::NotFound => (404, "not_found", false),
            Self::MethodNotAllowed => (405, "method_not_allowed", false),
            Self::Timeout => (408, "timeout", true),
            Self::EpochChanged(_) => (409, "epoch_changed", false),
            Self::CheckpointExpired => (410, "checkpoint_expired", false),
            Self::TooLarge { .. } => (413, "too_large", false),
            Self::UnsupportedMedia => (415, "unsupported_media", false),
            Self::Invalid(_) => (422, "invalid_request", false),
            Self::Trail(_) => (422, "audit_refused", false),
            Self::InvalidCheckpoint => (422, "invalid_checkpoint", false),
            Self::UpgradeRequired => (426, "upgrade_required", false),
            Self::RateLimited { .. } => (429, "rate_limited", true),
            Self::Server => (500, "server", true),
            Self::Unavailable => (503, "unavailable", true),
        }
    }

    /// After how many seconds to come again, where the server knows.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            Self::Unavailable => Some(BUSY_SECONDS),
            _ => None,
        }
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, request_id: None }
    }
}

impl From<StoreError> for Reason {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Unavailable,
            StoreError::Pruned => Self::CheckpointExpired,
            StoreError::Failed(_) | StoreError::Exists(_) | StoreError::Unreadable(_) => {
                tracing::error!(%error, "the store failed");
                Self::Server
            }
        }
    }
}

impl From<EntropyError> for Reason {
    fn from(_: EntropyError) -> Self {
        Self::Server
    }
}

impl Refusal {
    /// The one shape of an error answer.
    pub fn fault(&self) -> Fault {
        let (_, code, retryable) = self.reason.classify();
        let details = match &self.reason {
            Reason::EpochChanged(epoch) => Some(json!({ "epoch": epoch })),
            Reason::TooLarge { max, unit } => Some(json!({ "max": max, "unit": unit })),
            Reason::Trail(broken) => Some(broken.told()),
            Reason::UpgradeRequired => Some(json!({ "protocol": PROTOCOL })),
            _ => None,
        };
        Fault {
            error: FaultBody {
                code: code.to_owned(),
                message: self.reason.to_string(),
                retryable,
                request_id: self.request_id.clone(),
                details,
            },
        }
    }
}
