//! Room `http`: from a request to the service and back. The order in which a request is looked at is the
//! order in which it could do harm: path, token, rate, type, size, and only then its body.

mod answer;
mod cors;
mod listen;
mod rate;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use fieldsync::protocol::{limits, paths};
use futures_util::stream;
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::service::{Reason, Refusal, Service};
use crate::store::ServerStore;
use crate::token::{Identity, Tokens};
use answer::{failed, json, refused};
pub use listen::{Listening, listen};
use rate::RateLimiter;

/// Where all endpoints lie.
pub const BASE_PATH: &str = "/api/v1/sync/";
/// What the operator sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Origins of pages that may call from a browser, exactly as they name themselves. Empty: none.
    pub allowed_origins: BTreeSet<String>,
    /// Requests of one user in a minute.
    pub rate_per_minute: u32,
    /// How long a request may take, from its head to the head of its answer.
    pub request_timeout: Duration,
}

impl Settings {
    /// Far above what a client needs, far below what hurts.
    pub const DEFAULT_RATE_PER_MINUTE: u32 = 6_000;
    /// A full body over a bad line, and the commit.
    pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allowed_origins: BTreeSet::new(),
            rate_per_minute: Self::DEFAULT_RATE_PER_MINUTE,
            request_timeout: Self::DEFAULT_REQUEST_TIMEOUT,
        }
    }
}

struct Shared<S> {
    service: Arc<Service<S>>,
    tokens: Tokens,
    rate: RateLimiter,
}

type App<S> = State<Arc<Shared<S>>>;

/// The whole server as a service of requests.
pub fn router<S: ServerStore>(service: Arc<Service<S>>, tokens: Tokens, settings: &Settings) -> Router {
    let shared = Arc::new(Shared { service, tokens, rate: RateLimiter::new(settings.rate_per_minute) });
    let at = |path: &str| format!("{BASE_PATH}{path}");
    let origins = Arc::new(settings.allowed_origins.clone());
    Router::new()
        .route(&at(paths::INITIALIZE), Call::Initialize.route())
        .route(&at(paths::UPLOAD), Call::Upload.route())
        .route(&at(paths::DOWNLOAD), post(download::<S>))
        .route(&at(paths::STATUS), Call::Status.route())
        .route(&at(paths::CONFLICTS), Call::Conflicts.route())
        .route(&at(paths::RESOLVE_CONFLICT), Call::ResolveConflict.route())
        .route(&at(paths::AUDIT), Call::Audit.route())
        .route(&at(paths::HEALTH), get(health::<S>))
        .fallback(async || refused(&Reason::NotFound.into()))
        .method_not_allowed_fallback(async || refused(&Reason::MethodNotAllowed.into()))
        .with_state(shared)
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| failed()))
        .layer(middleware::from_fn_with_state(settings.request_timeout, in_time))
        .layer(middleware::from_fn_with_state(origins, cors::cors))
        .layer(middleware::map_response(answer::harden))
}

async fn in_time(State(limit): State<Duration>, request: Request, next: middleware::Next) -> Response {
    let answered = tokio::time::timeout(limit, next.run(request)).await;
    answered.unwrap_or_else(|_| refused(&Reason::Timeout.into()))
}

/// What a request has to be before its body means anything.
async fn admit<S: ServerStore>(shared: &Shared<S>, headers: &HeaderMap, body: Body) -> Result<(Identity, Bytes), Refusal> {
    let now_ms = shared.service.now_ms();
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let identity = token.and_then(|token| shared.tokens.verify(token.trim(), now_ms).ok()).ok_or(Reason::AuthRequired)?;
    shared.rate.take(&identity, now_ms).map_err(|retry_after_seconds| Reason::RateLimited { retry_after_seconds })?;
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Reason::UnsupportedMedia.into());
    }
    let too_large = || Refusal::from(Reason::TooLarge { max: limits::BODY_BYTES_MAX, unit: "bytes" });
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limits::BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let body = axum::body::to_bytes(body, limits::BODY_BYTES_MAX).await.map_err(|error| {
        let limit = std::error::Error::source(&error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if limit { too_large() } else { Reason::Invalid("the body broke off".to_owned()).into() }
    })?;
    Ok((identity, body))
}

/// A request whose answer is one text.
#[derive(Clone, Copy)]
enum Call {
    Initialize,
    Upload,
    Status,
    Conflicts,
    ResolveConflict,
    Audit,
}

impl Call {
    /// The route of this call.
    fn route<S: ServerStore>(self) -> MethodRouter<Arc<Shared<S>>> {
        post(async move |State(shared): App<S>, headers: HeaderMap, body: Body| self.answered(&shared, &headers, body).await)
    }

    /// What the service makes of it, once it is admitted.
    async fn answered<S: ServerStore>(self, shared: &Shared<S>, headers: &HeaderMap, body: Body) -> Response {
        let (identity, body) = match admit(shared, headers, body).await {
            Ok(admitted) => admitted,
            Err(refusal) => return refused(&refusal),
        };
        let (service, identity, body) = (&shared.service, &identity, &body);
        match self {
            Self::Initialize => json(service.initialize(identity, body).await),
            Self::Upload => json(service.upload(identity, body).await),
            Self::Status => json(service.status(identity, body).await),
            Self::Conflicts => json(service.conflicts(identity, body).await),
            Self::ResolveConflict => json(service.resolve_conflict(identity, body).await),
            Self::Audit => json(service.audit(identity, body).await),
        }
    }
}

async fn download<S: ServerStore>(State(shared): App<S>, headers: HeaderMap, body: Body) -> Response {
    let begun = match admit(&shared, &headers, body).await {
        Ok((identity, body)) => shared.service.download(&identity, &body).await,
        Err(refusal) => Err(refusal),
    };
    let pages = match begun {
        Ok(pages) => pages,
        Err(refusal) => return refused(&refusal),
    };
    let lines = stream::try_unfold(pages, async |mut pages| {
        let lines = pages.next().await;
        lines
            .map(|lines| lines.map(|lines| (Bytes::from(lines), pages)))
            .inspect_err(|error| tracing::error!(%error, "a download broke off"))
    });
    answer::lines(Body::from_stream(lines))
}

#[derive(Deserialize)]
struct HealthQuery {
    #[serde(default)]
    nonce: String,
}

async fn health<S: ServerStore>(State(shared): App<S>, query: Result<Query<HealthQuery>, QueryRejection>) -> Response {
    let Ok(Query(query)) = query else { return refused(&Reason::Invalid("the query is not readable".to_owned()).into()) };
    json(shared.service.health(&query.nonce).await)
}
