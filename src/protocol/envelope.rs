//! What every request begins with and every answer repeats, and the messages that carry no records.

use serde::{Deserialize, Serialize};

use super::TrailHead;
use crate::model::{ClientId, Epoch, Version};

/// The head of every request but `health`. Tenant and user are those of the database that the request
/// comes from; the server compares them with the token before it reads anything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestHead {
    /// [`super::PROTOCOL`].
    pub protocol: u32,
    /// Repeated in the answer, so that a cached or foreign answer is noticed.
    pub request_id: String,
    /// The tenant of the database.
    pub tenant: String,
    /// The user of the database.
    pub user: String,
    /// The database on this device.
    pub client: ClientId,
    /// The lineage that the client knows, if it has met the server before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Server time minus device time in ms, as last measured.
    #[serde(default)]
    pub offset_ms: i64,
}

/// The head of every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The request's.
    pub request_id: String,
    /// The server's lineage.
    pub epoch: Epoch,
    /// Server time, ms since 1970.
    pub server_time: u64,
    /// Up to this sequence everything is durable at the server (its watermark).
    pub durable: Version,
}

/// Opens a session: who am I, what do I have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeRequest {
    /// Head.
    pub head: RequestHead,
    /// The version of the app's schema.
    pub schema: u32,
    /// The last checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Operations waiting here.
    pub pending: u64,
    /// The highest client sequence used.
    pub last_seq: u64,
}

/// Whether the client can go on from its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointState {
    /// There is none yet.
    None,
    /// Go on.
    Ok,
    /// It is older than what the server still remembers: start over.
    Resync,
    /// It belongs to another lineage.
    EpochChanged,
}

/// What the server allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerLimits {
    /// Operations in one upload.
    pub operations_max: usize,
    /// Bytes of one upload.
    pub bytes_max: usize,
    /// Records in one page.
    pub page_records_max: usize,
}

/// The answer to [`InitializeRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResponse {
    /// Head.
    pub reply: Reply,
    /// What the server allows.
    pub limits: ServerLimits,
    /// Where the client stands.
    pub checkpoint: CheckpointState,
    /// The server's version of the schema.
    pub schema: u32,
    /// Whether conflicts are open that other clients met, and that the user may see.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub conflicts: bool,
    /// Whether the server takes rows of the device's audit trail.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub audit: bool,
}

/// Asks what the server holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusRequest {
    /// Head.
    pub head: RequestHead,
}

/// What the server holds of this tenant and this client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusResponse {
    /// Head.
    pub reply: Reply,
    /// The tenant's last sequence.
    pub sequence: Version,
    /// Receipts kept for this client.
    pub receipts: u64,
    /// Conflicts of this tenant that nobody has closed.
    pub open_conflicts: u64,
    /// The head of the server's audit chain.
    pub audit_head: String,
    /// How far it has the trail of this client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<TrailHead>,
}

/// The answer of `health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthResponse {
    /// What the question carried, so that a cached answer is noticed.
    pub nonce: String,
    /// The server's lineage.
    pub epoch: Epoch,
    /// Whether the database answers.
    pub ready: bool,
}
