//! The trail of a device on its way to the tenant's chain. Rows go up as they are stored, in their order, so that the
//! server links them by the same bytes; from then on a device that writes its past anew is found.

use serde::{Deserialize, Serialize};

use super::{Reply, RequestHead};
use crate::value::Hash;

/// A place in a device's trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailHead {
    /// The number of a row; 0 before the first.
    pub through: u64,
    /// Its hash.
    pub head: Hash,
}

impl Default for TrailHead {
    fn default() -> Self {
        Self { through: 0, head: Hash::zero() }
    }
}

/// Brings rows of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailRequest<R> {
    /// Head.
    pub head: RequestHead,
    /// Where the trail that is still on the device begins: what lies before went with a wipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<TrailHead>,
    /// The rows as they are stored, at most [`super::limits::TRAIL_ROWS_MAX`].
    pub rows: Vec<R>,
}

/// The answer to rows: how far the server has the trail now. Only the last row is told, because its hash is one over all
/// before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrailResponse {
    /// Head.
    pub reply: Reply,
    /// Up to here.
    pub trail: TrailHead,
}
