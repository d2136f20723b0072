//! Room `protocol`: the messages on the wire, shared by client and server. camelCase JSON; versions and
//! sequences of the server are strings; every message has its bound in [`limits`].
//!
//! Knows `value`, `model` and `schema`. `docs/protocol.md` tells the same story for implementers.

mod conflicts;
mod download;
mod envelope;
mod fault;
pub mod limits;
mod local;
mod trail;
mod upload;

pub use conflicts::{
    Choice, ConflictsRequest, ConflictsResponse, Decided, HeldConflict, ResolveConflictRequest, ResolveConflictResponse, Standing, Unjudged,
};
pub use download::{Change, ChangeKind, DownloadEnd, DownloadHead, DownloadRequest, Page, PageHead, RawChange, RawPage};
pub use envelope::{
    CheckpointState, HealthResponse, InitializeRequest, InitializeResponse, Reply, RequestHead, ServerLimits, StatusRequest, StatusResponse,
};
pub use fault::{Fault, FaultBody};
pub use trail::{TrailHead, TrailRequest, TrailResponse};
pub use upload::{Broken, ConflictKind, Former, OperationResult, Outcome, Rejection, ServerState, Stand, UploadRequest, UploadResponse};

/// The protocol spoken here. A server answers 426 to one that it does not speak.
pub const PROTOCOL: u32 = 1;

/// The paths below the base address.
pub mod paths {
    /// Opens a session.
    pub const INITIALIZE: &str = "initialize";
    /// Takes a batch of operations.
    pub const UPLOAD: &str = "upload";
    /// Gives pages of changes.
    pub const DOWNLOAD: &str = "download";
    /// Says what the server holds of this client.
    pub const STATUS: &str = "status";
    /// Lists the conflicts that the server has.
    pub const CONFLICTS: &str = "conflicts";
    /// Ends a conflict at the server.
    pub const RESOLVE_CONFLICT: &str = "resolve-conflict";
    /// Takes rows of the device's audit trail.
    pub const AUDIT: &str = "audit";
    /// Says that the server is there; needs no token.
    pub const HEALTH: &str = "health";
}
