//! Download: everything that changed since a checkpoint, in pages, in one streamed answer.
//!
//! The body is lines of JSON (`application/x-ndjson`): a [`DownloadHead`], then for each page a [`PageHead`]
//! with the size and the SHA-256 of the line that follows, then the [`Page`] itself, and at the end a
//! [`DownloadEnd`]. A body that stops before its end is a network error; the pages before it count. Each page
//! is complete in itself and carries its own checkpoint: a client applies page and checkpoint together.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Reply, RequestHead};
use crate::model::{RecordId, Stamp, TempId, Version};
use crate::value::{Hash, Object, Sorted, from_text, from_value, items, members};

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
    #[serde(default, skip_serializing_if = "Sorted::is_empty")]
    pub field_stamps: Sorted<String, Stamp>,
    /// The temp ID under which the asking client created the record, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_as: Option<TempId>,
}

/// A page as a client reads it: the fields of its records stay text until somebody needs them.
#[derive(Debug)]
pub struct RawPage<'t> {
    /// As in [`Page`].
    pub checkpoint: String,
    /// As in [`Page`].
    pub through: Option<Version>,
    /// As in [`Page`].
    pub changes: Vec<RawChange<'t>>,
}

/// A [`Change`] whose fields are still text.
#[derive(Debug)]
pub struct RawChange<'t> {
    /// All but its fields.
    pub head: Change,
    /// The text of its fields.
    pub data: Option<&'t str>,
}

/// What stands in a page beside its changes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageRest {
    checkpoint: String,
    through: Option<Version>,
}

impl<'t> RawPage<'t> {
    /// Reads a page; nothing if it is none.
    pub fn read(text: &'t str) -> Option<Self> {
        let (changes, rest) = apart(text, "changes")?;
        let PageRest { checkpoint, through } = from_value(&rest).ok()?;
        let change = |text| {
            let (data, head) = apart(text, "data")?;
            Some(RawChange { head: from_value(&head).ok()?, data: data.filter(|data| *data != "null") })
        };
        let changes = items(changes?)?.into_iter().map(change).collect::<Option<_>>()?;
        Some(Self { checkpoint, through, changes })
    }
}

/// The text of one member of an object, and the others read.
fn apart<'t>(text: &'t str, name: &str) -> Option<(Option<&'t str>, Value)> {
    let (mut found, mut rest) = (None, Object::new());
    for (known, text) in members(text)? {
        if known == name {
            found = Some(text);
        } else {
            rest.insert(known.to_owned(), from_text(text).ok()?);
        }
    }
    Some((found, Value::Object(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_without_reading_its_records() {
        let text = r#"{"checkpoint":"c","through":"9","changes":[{"entity":"pet","id":1,"version":"9","kind":"upsert","data":{"b":1.0,"a":2},"stamp":[1,0],"bornAs":"temp_1_a_pet"}]}"#;
        let page = RawPage::read(text).expect("reads");
        assert_eq!(page.changes[0].data, Some(r#"{"b":1.0,"a":2}"#));
        let whole: Page = serde_json::from_str(text).expect("reads");
        let head = Change { data: None, ..whole.changes[0].clone() };
        assert_eq!((&page.checkpoint, page.through, &page.changes[0].head), (&whole.checkpoint, whole.through, &head));
        let deleted = text.replace(r#"{"b":1.0,"a":2}"#, "null");
        assert_eq!(RawPage::read(&deleted).expect("reads").changes[0].data, None);
        for end in 0..text.len() {
            assert!(RawPage::read(&text[..end]).is_none(), "{end}");
        }
        for (part, other) in
            [("\"pet\"", "7"), ("[1,0]", "[1]"), ("\"version\"", "\"edition\""), ("upsert", "replace"), ("\"changes\"", "\"news\"")]
        {
            assert!(RawPage::read(&text.replace(part, other)).is_none(), "{other}");
        }
    }
}
