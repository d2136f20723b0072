//! `docs/protocol.md` against the code: every example is read as the type it names and written back the same,
//! and every refusal that the server knows stands in the table with its status.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::protocol::{
    ConflictsRequest, ConflictsResponse, Decided, DownloadEnd, DownloadHead, DownloadRequest, Fault, HealthResponse, InitializeRequest,
    InitializeResponse, Outcome, Page, PageHead, Reply, RequestHead, ResolveConflictRequest, ResolveConflictResponse, StatusResponse,
    TrailHead, TrailRequest, TrailResponse, UploadRequest, UploadResponse, limits,
};
use fieldsync::value::Delta;
use fieldsync_server::apply::TakenRows;
use fieldsync_server::http::BASE_PATH;
use fieldsync_server::key::SAMPLE_KEY;
use fieldsync_server::service::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::world::{Failure, Told, epoch};

fn text() -> Result<String, Failure> {
    Ok(std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md"))?)
}

/// The examples, each with the type that it is said to be.
fn examples(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(label)) => open = label.strip_prefix("json ").map(|name| (name.to_owned(), String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, body)), None) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn same<T: Serialize + DeserializeOwned>(example: &str) -> Result<bool, Failure> {
    let read: T = serde_json::from_str(example)?;
    Ok(serde_json::to_value(&read)? == serde_json::from_str::<Value>(example)?)
}

#[test]
fn every_example_is_what_it_says() -> Told {
    let examples = examples(&text()?);
    let mut seen = BTreeSet::new();
    for (name, example) in &examples {
        let same = match name.as_str() {
            "RequestHead" => same::<RequestHead>(example),
            "Reply" => same::<Reply>(example),
            "InitializeRequest" => same::<InitializeRequest>(example),
            "InitializeResponse" => same::<InitializeResponse>(example),
            "UploadRequest" => operations(example).and_then(|()| same::<UploadRequest<Box<RawValue>>>(example)),
            "UploadResponse" => same::<UploadResponse>(example),
            "Outcome" => same::<Outcome>(example),
            "Delta" => same::<Delta>(example),
            "DownloadRequest" => same::<DownloadRequest>(example),
            "DownloadHead" => same::<DownloadHead>(example),
            "PageHead" => same::<PageHead>(example),
            "Page" => same::<Page>(example),
            "DownloadEnd" => same::<DownloadEnd>(example),
            "ConflictsRequest" => same::<ConflictsRequest>(example),
            "ConflictsResponse" => same::<ConflictsResponse>(example),
            "ResolveConflictRequest" => same::<ResolveConflictRequest>(example),
            "ResolveConflictResponse" => same::<ResolveConflictResponse>(example),
            "Decided" => same::<Decided>(example),
            "StatusResponse" => same::<StatusResponse>(example),
            "TrailRequest" => same::<TrailRequest<Value>>(example),
            "TrailResponse" => same::<TrailResponse>(example),
            "HealthResponse" => same::<HealthResponse>(example),
            "Fault" => same::<Fault>(example),
            other => Err(format!("'{other}' is no type of the wire").into()),
        };
        assert!(matches!(same, Ok(true)), "{name}: {same:?}\n{example}");
        seen.insert(name.as_str());
    }
    assert_eq!(seen.len(), 23, "every type has its example: {seen:?}");
    Ok(())
}

fn operations(example: &str) -> Told {
    let request: UploadRequest<Box<RawValue>> = serde_json::from_str(example)?;
    for text in &request.operations {
        assert!(same::<fieldsync::model::Operation>(text.get())?);
    }
    Ok(())
}

#[test]
fn the_table_of_refusals_is_the_servers() -> Told {
    let text = text()?;
    let rows: BTreeMap<String, u16> = text
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let status = cells.next()?.parse().ok()?;
            Some((cells.next()?.trim_matches('`').to_owned(), status))
        })
        .collect();
    let reasons = [
        Reason::AuthRequired,
        Reason::IdentityMismatch,
        Reason::ForeignClient,
        Reason::ForeignConflict,
        Reason::UnknownConflict,
        Reason::NotFound,
        Reason::MethodNotAllowed,
        Reason::Timeout,
        Reason::EpochChanged(epoch()?),
        Reason::TooLarge { max: 1, unit: "bytes" },
        Reason::UnsupportedMedia,
        Reason::Invalid(String::new()),
        Reason::Trail(TakenRows::of(&TrailHead::default(), None, &["7"]).expect_err("no row")),
        Reason::InvalidCheckpoint,
        Reason::CheckpointExpired,
        Reason::UpgradeRequired,
        Reason::RateLimited { retry_after_seconds: 1 },
        Reason::Unavailable,
        Reason::Server,
    ];
    let known: BTreeMap<String, u16> = reasons
        .iter()
        .map(|reason| {
            let (status, code, _) = reason.classify();
            (code.to_owned(), status)
        })
        .collect();
    assert_eq!(rows, known);
    Ok(())
}

#[test]
fn the_numbers_are_the_codes() -> Told {
    let text = text()?;
    let thousands = |number: usize| {
        let digits = number.to_string();
        let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
        parts.join(",")
    };
    for said in [
        format!("`{BASE_PATH}`"),
        SAMPLE_KEY.to_owned(),
        format!("at most {} bytes and {} levels", thousands(limits::OPERATION_BYTES_MAX), limits::DEPTH_MAX),
        format!("more than {} operations", thousands(limits::OPERATIONS_MAX)),
        format!("a body above {} MiB", limits::BODY_BYTES_MAX >> 20),
        format!("(at most {}) or about {} MiB of fields", thousands(limits::PAGE_RECORDS_MAX), limits::PAGE_BYTES_MAX >> 20),
        format!("up to {} MiB; only a larger group", (limits::PAGE_BYTES_MAX + limits::PAGE_EXCESS_BYTES_MAX) >> 20),
        format!("a line of more than {} MiB", limits::LINE_BYTES_MAX >> 20),
        format!("at most {} bytes of text", thousands(limits::REASON_BYTES_MAX)),
        format!("(1 to {}) of them and about {} MiB", limits::CONFLICTS_MAX, limits::CONFLICTS_BYTES_MAX >> 20),
    ] {
        assert!(text.contains(&said), "{said}");
    }
    Ok(())
}
