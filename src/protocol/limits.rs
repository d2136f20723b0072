//! The bounds of the wire, each inclusive. The server announces its own in `initialize`, never above these.

/// Operations in one upload.
pub const OPERATIONS_MAX: usize = 1_000;
/// Bytes of one upload, by the client's choice of batches: 1 MiB.
pub const BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes of any request body that a server reads: 4 MiB, so that a single operation at its limit fits with its envelope.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes of one operation.
pub const OPERATION_BYTES_MAX: usize = (1 << 20) + (64 << 10);
/// Records in one page.
pub const PAGE_RECORDS_MAX: usize = 5_000;
/// Bytes of one page, after which the server closes it; one record may exceed it.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// So many bytes a page may go beyond that for the sake of a group. A group that is larger is split after all.
pub const PAGE_EXCESS_BYTES_MAX: usize = 1 << 20;
/// Bytes of one line of a download: the largest page, with room for what its server had not counted.
pub const LINE_BYTES_MAX: usize = PAGE_BYTES_MAX + PAGE_EXCESS_BYTES_MAX + (2 << 20);
/// Conflicts in one answer.
pub const CONFLICTS_MAX: usize = 500;
/// Bytes of operations and records in an answer of conflicts, after which the rest comes with the next one; one conflict
/// may exceed it. With room for the largest one, an answer is no longer than [`BODY_BYTES_MAX`].
pub const CONFLICTS_BYTES_MAX: usize = 3 << 20;
/// Rows of a trail in one request.
pub const TRAIL_ROWS_MAX: usize = OPERATIONS_MAX;
/// Bytes of the reason that is given for a decision.
pub const REASON_BYTES_MAX: usize = 1_024;
/// Levels of nesting in any message.
pub const DEPTH_MAX: usize = 72;
/// Bytes of a tenant, a user or a request ID.
pub const NAME_BYTES_MAX: usize = 256;
/// How far a device's clock may run ahead of the server's before its stamps are clamped, in ms.
pub const CLOCK_TOLERANCE_MS: u64 = 5 * 60 * 1_000;
