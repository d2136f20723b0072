//! A row of the trail: it tells of one act, names the row before it, and is linked to that by its hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Entry;
use crate::model::Stamp;
use crate::value::{Hash, canonical, hash_bytes};

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The client sequence.
    pub seq: u64,
    /// That of the row before, 0 before the first. Rows of earlier releases do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<u64>,
    /// When, by the device.
    pub stamp: Stamp,
    /// The server's time minus that of the device, ms, as far as it was known then; nothing before a first answer, and in rows of
    /// earlier releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Whose database it is.
    pub user: String,
    /// Why a person did it, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened to which operations.
    pub entries: Vec<Entry>,
    /// The link.
    pub hash: Hash,
}

impl Row {
    /// The row that follows `last`. `seq` is the highest sequence number that the plan used.
    pub fn after(
        last: Option<&Self>,
        seq: u64,
        stamp: Stamp,
        offset: Option<i64>,
        user: &str,
        reason: Option<String>,
        entries: Vec<Entry>,
    ) -> Self {
        let previous = Some(last.map_or(0, |last| last.seq));
        let mut row = Self { seq, previous, stamp, offset, user: user.to_owned(), reason, entries, hash: Hash::zero() };
        let mut content = crate::value::to_value(&row);
        if let Some(content) = content.as_object_mut() {
            content.remove("hash");
        }
        row.hash = link(last.map_or(&Hash::zero(), |last| &last.hash), &content);
        row
    }
}

/// The hash of a row after the one with this hash. `content` is the row without its own.
pub(super) fn link(previous: &Hash, content: &Value) -> Hash {
    let mut bytes = vec![1];
    bytes.extend_from_slice(previous.as_str().as_bytes());
    bytes.extend_from_slice(canonical(content).as_bytes());
    hash_bytes(&bytes)
}
