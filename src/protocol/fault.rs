//! The one shape of an error answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": {"code", "message", "retryable", "requestId", "details"}}`, with every status but 200.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The error.
    pub error: FaultBody,
}

/// What went wrong with a whole request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultBody {
    /// Stable: `auth_required` (401), `identity_mismatch`, `forbidden` (403), `epoch_changed` (409),
    /// `checkpoint_expired` (410), `too_large` (413), `unsupported_media` (415), `invalid_request`,
    /// `invalid_checkpoint` (422), `upgrade_required` (426), `rate_limited` (429), `server` (500), `unavailable` (503);
    /// `unknown_conflict` (404); `not_found` (404), `method_not_allowed` (405) and `timeout` (408) for requests that reached no endpoint.
    pub code: String,
    /// For people; never parsed.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The request's, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}
