//! Reads a download as a careful client does: every line in its place, every page of the announced size and
//! hash, in ascending order of version.

use fieldsync::protocol::{DownloadEnd, DownloadHead, Page, PageHead};
use fieldsync::value::hash_bytes;
use serde_json::Value;

/// The pages of an answer.
pub(crate) fn pages(lines: &[String]) -> Vec<Value> {
    let (first, rest) = lines.split_first().expect("an answer has a head");
    serde_json::from_str::<DownloadHead>(first).expect("the first line is the head");
    let (last, pages) = rest.split_last().expect("an answer has an end");
    let end: DownloadEnd = serde_json::from_str(last).expect("the last line is the end");
    assert_eq!(pages.len(), usize::try_from(end.end).expect("a count") * 2, "every page has two lines, and the end counts them");
    let mut last_version = 0;
    pages
        .chunks(2)
        .map(|pair| {
            let head: PageHead = serde_json::from_str(&pair[0]).expect("the line before a page is its head");
            assert_eq!(head.bytes, pair[1].len());
            assert_eq!(head.sha256, hash_bytes(pair[1].as_bytes()));
            let page: Page = serde_json::from_str(&pair[1]).expect("a page");
            for change in &page.changes {
                assert!(change.version.0 > last_version, "versions ascend over all pages");
                last_version = change.version.0;
            }
            let value: Value = serde_json::from_str(&pair[1]).expect("a page is JSON");
            assert_eq!(serde_json::to_value(&page).expect("a page is JSON"), value, "the page says nothing that its type does not");
            value
        })
        .collect()
}

/// The changes of all pages.
pub(crate) fn changes(pages: &[Value]) -> Vec<Value> {
    pages.iter().flat_map(|page| page["changes"].as_array().cloned().unwrap_or_default()).collect()
}

/// The checkpoint after the last page.
pub(crate) fn checkpoint(pages: &[Value]) -> String {
    pages.last().and_then(|page| page["checkpoint"].as_str()).expect("every page has a checkpoint").to_owned()
}
