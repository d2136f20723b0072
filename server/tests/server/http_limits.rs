//! Each limit of a request, crossed by one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use fieldsync::model::{ClientId, Epoch, Version};
use fieldsync::protocol::limits::{BODY_BYTES_MAX, NAME_BYTES_MAX, OPERATIONS_MAX};
use fieldsync_server::http::Settings;
use fieldsync_server::store::memory::MemoryStore;
use fieldsync_server::store::{ConflictFilter, ConflictRows, Holdings, PageBounds, PageRows, Scope, ServerStore, StoreError};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::port::{Port, body};
use crate::world::{Device, Told, World, epoch};

#[tokio::test]
async fn a_body_has_its_bytes_whether_it_announces_them_or_not() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let head = body(&anna, json!({"operations": []}));
    let padded = |bytes: usize| format!("{head}{}", " ".repeat(bytes - head.len()));
    let token = port.token(&anna);
    assert_eq!(port.post(&token, "upload", &padded(BODY_BYTES_MAX)).await?.brief(), "200");
    assert_eq!(port.post(&token, "upload", &padded(BODY_BYTES_MAX + 1)).await?.brief(), "413 too_large");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let chunked = |bytes: usize| Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from(padded(bytes)))]));
    assert_eq!(port.send("POST", "upload", &headers, chunked(BODY_BYTES_MAX)).await?.brief(), "200");
    assert_eq!(port.send("POST", "upload", &headers, chunked(BODY_BYTES_MAX + 1)).await?.brief(), "413 too_large");
    Ok(())
}

#[tokio::test]
async fn a_batch_has_its_operations() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let operations = |count: usize| {
        let create = |number: u64| anna.create(number, "client", format!("temp_{number}_a_client"), json!({}));
        json!({"operations": (1..).map(create).take(count).collect::<Vec<_>>()})
    };
    let refused = port.ask(&anna, "upload", operations(OPERATIONS_MAX + 1)).await?;
    assert_eq!(refused.brief(), "413 too_large");
    assert_eq!(refused.json()["error"]["details"], json!({"max": OPERATIONS_MAX, "unit": "operations"}));
    assert_eq!(world.status(&anna).await["sequence"], json!("0"));
    assert_eq!(port.ask(&anna, "upload", operations(OPERATIONS_MAX)).await?.brief(), "200");
    Ok(())
}

#[tokio::test]
async fn what_is_not_the_request_of_an_endpoint_is_refused() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let token = port.token(&anna);
    let good: Value = serde_json::from_str(&body(&anna, json!({"operations": []})))?;
    let with_head = |name: &str, value: Value| {
        let mut changed = good.clone();
        changed["head"][name] = value;
        changed.to_string()
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = good.to_string();
    for (body, expected) in [
        (String::new(), "422 invalid_request"),
        ("<html>".to_owned(), "422 invalid_request"),
        ("[]".to_owned(), "422 invalid_request"),
        ("{}".to_owned(), "422 invalid_request"),
        (text[..text.len() - 1].to_owned(), "422 invalid_request"),
        (format!("{text}{text}"), "422 invalid_request"),
        (deep.clone(), "422 invalid_request"),
        (text.replace("[]", &deep), "422 invalid_request"),
        (text.replace("[]", "{}"), "422 invalid_request"),
        (text.replace("\"operations\"", "\"operation\""), "422 invalid_request"),
        (text.replace("{\"head\"", "{\"head\":{},\"head\""), "422 invalid_request"),
        (with_head("client", json!("x")), "422 invalid_request"),
        (with_head("epoch", json!(7)), "422 invalid_request"),
        (with_head("requestId", json!("")), "422 invalid_request"),
        (with_head("requestId", json!("r".repeat(NAME_BYTES_MAX + 1))), "422 invalid_request"),
        (with_head("requestId", json!("r".repeat(NAME_BYTES_MAX))), "200"),
        (with_head("protocol", json!(2)), "426 upgrade_required"),
        (with_head("unknown", json!({"more": [1]})), "200"),
    ] {
        let shown = body.get(..body.len().min(200)).unwrap_or_default();
        assert_eq!(port.post(&token, "upload", &body).await?.brief(), expected, "{shown}");
    }
    let bearer = format!("Bearer {token}");
    for (content_type, expected) in [
        ("application/json", "200"),
        ("Application/JSON; charset=utf-8", "200"),
        ("text/plain", "415 unsupported_media"),
        ("application/x-www-form-urlencoded", "415 unsupported_media"),
        ("", "415 unsupported_media"),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        assert_eq!(port.send("POST", "upload", &headers, text.clone()).await?.brief(), expected, "{content_type}");
    }
    let nonce = |bytes: usize| format!("health?nonce={}", "n".repeat(bytes));
    assert_eq!(port.send("GET", &nonce(NAME_BYTES_MAX), &[], Body::empty()).await?.brief(), "200");
    assert_eq!(port.send("GET", &nonce(NAME_BYTES_MAX + 1), &[], Body::empty()).await?.brief(), "422 invalid_request");
    Ok(())
}

#[tokio::test]
async fn a_refusal_never_repeats_what_was_sent() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let canary = "canary-4711";
    let operation = json!({"id": crate::world::op(1), "seq": canary, "record": {canary: canary}});
    for more in [json!({"operations": canary}), json!({"operations": [operation, {"id": canary}]}), json!({"operations": [operation]})] {
        let answer = port.ask(&anna, "upload", more).await?;
        assert!(!String::from_utf8_lossy(&answer.body).contains(canary), "{}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

#[tokio::test]
async fn each_user_has_a_rate_of_its_own_and_is_told_when_to_come_back() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings { rate_per_minute: 3, ..Settings::default() }).await?;
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 2));
    for _ in 0..3 {
        assert_eq!(port.ask(&anna, "status", json!({})).await?.brief(), "200");
    }
    let refused = port.ask(&anna, "status", json!({})).await?;
    assert_eq!((refused.brief().as_str(), refused.header("retry-after")), ("429 rate_limited", Some("20")));
    assert_eq!(refused.json()["error"]["retryable"], json!(true));
    assert_eq!(port.ask(&ben, "status", json!({})).await?.brief(), "200");
    world.clock.advance(20_000);
    assert_eq!(port.ask(&anna, "status", json!({})).await?.brief(), "200");
    Ok(())
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings { request_timeout: Duration::from_millis(50), ..Settings::default() }).await?;
    let anna = Device::new("north", "anna", 1);
    let bearer = format!("Bearer {}", port.token(&anna));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{\"head\":"))]);
    let endless = Body::from_stream(first.chain(stream::pending()));
    assert_eq!(port.send("POST", "upload", &headers, endless).await?.brief(), "408 timeout");
    Ok(())
}

/// A store that fails in the ways a database can.
#[derive(Debug)]
struct Failing {
    inner: MemoryStore,
    panics: AtomicBool,
}

impl ServerStore for Failing {
    type Upload = <MemoryStore as ServerStore>::Upload;
    fn epoch(&self) -> &Epoch {
        self.inner.epoch()
    }
    async fn begin(&self, _: &str, _: &ClientId) -> Result<Self::Upload, StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "planted: secret-detail");
        Err(StoreError::Busy)
    }
    async fn owner(&self, tenant: &str, client: &ClientId, user: &str, now_ms: u64) -> Result<String, StoreError> {
        self.inner.owner(tenant, client, user, now_ms).await
    }
    async fn holdings(&self, _: &str, _: &ClientId) -> Result<Holdings, StoreError> {
        Err(StoreError::Failed("secret-detail".into()))
    }
    async fn conflicts(&self, _: &str, _: &ConflictFilter, _: PageBounds) -> Result<ConflictRows, StoreError> {
        Err(StoreError::Busy)
    }
    async fn count_after(&self, _: &str, _: Version, _: &Scope) -> Result<u64, StoreError> {
        Err(StoreError::Busy)
    }
    async fn page(&self, _: &str, _: &ClientId, _: Version, _: &Scope, _: PageBounds) -> Result<PageRows, StoreError> {
        Err(StoreError::Busy)
    }
    async fn tenants(&self) -> Result<Vec<String>, StoreError> {
        Err(StoreError::Busy)
    }
    async fn settled_before(&self, _: &str, _: u64) -> Result<Version, StoreError> {
        Err(StoreError::Busy)
    }
    async fn forget(&self, _: &str, _: Version) -> Result<u64, StoreError> {
        Err(StoreError::Busy)
    }
    async fn ready(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_store_that_fails_is_an_answer_without_details() -> Told {
    let store = Failing { inner: MemoryStore::new(epoch()?), panics: AtomicBool::new(false) };
    let world = World::over(store, None)?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let upload = json!({"operations": [anna.create(1, "client", "temp_1_a_client", json!({}))]});

    let busy = port.ask(&anna, "upload", upload.clone()).await?;
    assert_eq!((busy.brief().as_str(), busy.header("retry-after")), ("503 unavailable", Some("1")));
    let failed = port.ask(&anna, "status", json!({})).await?;
    assert_eq!((failed.brief().as_str(), &failed.json()["error"]["requestId"]), ("500 server", &json!("r-1")));
    world.service.store().panics.store(true, Ordering::SeqCst);
    let panicked = port.ask(&anna, "upload", upload).await?;
    assert_eq!(panicked.brief(), "500 server");
    assert_eq!(panicked.json()["error"]["requestId"].as_str().map(str::len), Some(16), "an ID that leads to the log");
    for answer in [&failed, &panicked] {
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret-detail"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let health = port.send("GET", "health", &[], Body::empty()).await?;
    assert_eq!((health.status, &health.json()["ready"]), (200, &json!(false)));
    Ok(())
}
