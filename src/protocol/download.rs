//! Download: everything that changed since a checkpoint, in pages, in one streamed answer.
//!
//! The body is lines of JSON (`application/x-ndjson`): a [`DownloadHead`], then for each page a [`PageHead`]
//! with the size and the SHA-256 of the line that follows, then the [`Page`] itself, and at the end a
//! [`DownloadEnd`]. A body that stops before its end is a network error; the pages before it count. Each page
//! is complete in itself and carries its own checkpoint: a client applies page and checkpoint together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Reply, RequestHead};
use crate::model::{RecordId, Stamp, TempId, Version};
use crate::value::{Hash, Object};

/// Asks for changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadRequest {
    /// Head.
    pub head: RequestHead,
    /// Where to go on; nothing for everything. Opaque.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Records in one page; the server may send fewer.
    pub page_records: usize,
    /// Only these entities; none named means all. A checkpoint of all serves for some, one of some only for the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<String>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadHead {
    /// Head.
    pub reply: Reply,
    /// The tenant's last sequence when the answer began.
    pub sequence: Version,
    /// About how many records will come.
    pub records: u64,
}

/// The line before a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageHead {
    /// Bytes of the line that follows, without its line end.
    pub bytes: usize,
    /// SHA-256 of those bytes.
    pub sha256: Hash,
}

/// The last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DownloadEnd {
    /// Pages sent.
    pub end: u64,
}

/// A page, as the server writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The client's position after this page.
    pub checkpoint: String,
    /// Up to this sequence the client then has everything. Absent until a first download is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Version>,
    /// By ascending version.
    pub changes: Vec<Change>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ChangeKind {
    /// It is there, with `data`.
    Upsert,
    /// It is deleted.
    Delete,
}

/// A changed record, in its state when the page was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The entity type.
    pub entity: String,
    /// The real ID.
    pub id: RecordId,
    /// The version.
    pub version: Version,
    /// There or deleted.
    pub kind: ChangeKind,
    /// The fields, of an upsert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Object>,
    /// As in [`super::ServerState`].
    pub stamp: Stamp,
    /// As in [`super::ServerState`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub field_stamps: BTreeMap<String, Stamp>,
    /// The temp ID under which the asking client created the record, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_as: Option<TempId>,
}

/// A page as a client reads it: the fields of its records stay text until somebody needs them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawPage<'t> {
    /// As in [`Page`].
    pub checkpoint: String,
    /// As in [`Page`].
    #[serde(default)]
    pub through: Option<Version>,
    /// As in [`Page`].
    #[serde(borrow)]
    pub changes: Vec<RawChange<'t>>,
}

/// A [`Change`] whose fields are still text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawChange<'t> {
    /// As in [`Change`].
    pub entity: String,
    /// As in [`Change`].
    pub id: RecordId,
    /// As in [`Change`].
    pub version: Version,
    /// As in [`Change`].
    pub kind: ChangeKind,
    /// As in [`Change`].
    #[serde(borrow, default)]
    pub data: Option<&'t RawValue>,
    /// As in [`Change`].
    pub stamp: Stamp,
    /// As in [`Change`].
    #[serde(default)]
    pub field_stamps: BTreeMap<String, Stamp>,
    /// As in [`Change`].
    #[serde(default)]
    pub born_as: Option<TempId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_without_reading_its_records() {
        let text = r#"{"checkpoint":"c","through":"9","changes":[{"entity":"pet","id":1,"version":"9","kind":"upsert","data":{"b":1.0,"a":2},"stamp":[1,0],"bornAs":"temp_1_a_pet"}]}"#;
        let page: RawPage<'_> = serde_json::from_str(text).expect("reads");
        assert_eq!(page.changes[0].data.map(RawValue::get), Some(r#"{"b":1.0,"a":2}"#));
        let whole: Page = serde_json::from_str(text).expect("reads");
        assert_eq!(whole.changes[0].born_as, page.changes[0].born_as);
    }
}
