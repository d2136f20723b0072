//! Answers: JSON, lines of JSON, or the one shape of an error; and the headers that each of them bears.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use crate::service::{Reason, Refusal};

/// An answer, or why there is none.
pub(super) fn json<T: Serialize>(answer: Result<T, Refusal>) -> Response {
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => return refused(&refusal),
    };
    match serde_json::to_vec(&answer) {
        Ok(bytes) => with_type(StatusCode::OK, "application/json", Body::from(bytes)),
        Err(_) => failed(),
    }
}

/// A body of lines that is written while it is sent.
pub(super) fn lines(body: Body) -> Response {
    with_type(StatusCode::OK, "application/x-ndjson", body)
}

/// The one shape of an error.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let (status, code, _) = refusal.reason.classify();
    tracing::info!(request = ?refusal.request_id, status, code, "refused");
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&refusal.fault()).unwrap_or_default();
    let mut response = with_type(status, "application/json", Body::from(body));
    if let Some(seconds) = refusal.reason.retry_after_seconds() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer of a request that broke inside. Its ID leads to the log, where the panic stands.
pub(super) fn failed() -> Response {
    let mut random = [0; 8];
    // Without random bytes the ID is zeros: the answer matters more.
    let _ = getrandom::fill(&mut random);
    let correlation = data_encoding::HEXLOWER.encode(&random);
    tracing::error!(correlation, "a request broke inside");
    refused(&Reason::Server.of(&correlation))
}

/// What every answer bears, whoever made it.
pub(super) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

fn with_type(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
