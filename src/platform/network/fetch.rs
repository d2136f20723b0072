//! The browser's `fetch`, through gloo-net. No cookie goes with a request, no cache answers it, no redirect is
//! followed. Giving up aborts without a reason: gloo-net 0.7.0 panics on a rejection that is no `Error`, which
//! is what `abort("reason")` makes (its `src/error.rs`).

use gloo_net::http::{Method, RequestBuilder};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader};

use super::{Body, Incoming, Network, NetworkFault, Outgoing};

/// Requests below one base address.
#[derive(Clone, Debug)]
pub struct FetchNetwork {
    /// Without a slash at its end.
    pub base_url: String,
}

/// Aborts the request when it is dropped.
#[derive(Debug)]
struct Given(AbortController);

impl Drop for Given {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A body under way.
#[derive(Debug)]
pub struct FetchBody {
    reader: Option<ReadableStreamDefaultReader>,
    _given: Given,
}

fn fault(reason: impl std::fmt::Display) -> NetworkFault {
    NetworkFault { reason: reason.to_string() }
}

fn said(error: &JsValue) -> NetworkFault {
    fault(error.dyn_ref::<js_sys::Error>().map_or_else(|| "the request failed".to_owned(), |error| String::from(error.message())))
}

impl Network for FetchNetwork {
    type Body = FetchBody;

    async fn send(&self, request: Outgoing) -> Result<Incoming<FetchBody>, NetworkFault> {
        let given = Given(AbortController::new().map_err(|error| said(&error))?);
        let url = format!("{}/{}", self.base_url, request.path);
        let mut builder = RequestBuilder::new(&url)
            .method(if request.body.is_some() { Method::POST } else { Method::GET })
            .abort_signal(Some(&given.0.signal()))
            .credentials(web_sys::RequestCredentials::Omit)
            .cache(web_sys::RequestCache::NoStore)
            .redirect(web_sys::RequestRedirect::Error);
        if let Some(token) = &request.token {
            builder = builder.header("Authorization", &format!("Bearer {token}"));
        }
        let response = match request.body {
            Some(body) => builder.header("Content-Type", "application/json").body(body).map_err(fault)?.send().await,
            None => builder.send().await,
        };
        let response = response.map_err(fault)?;
        let header = |name: &str| response.headers().get(name);
        let content_type = header("content-type").unwrap_or_default();
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        // Seconds; a date there is too coarse for us and counts as none.
        let retry_after_ms =
            header("retry-after").and_then(|value| value.trim().parse::<u64>().ok()).map(|seconds| seconds.saturating_mul(1_000));
        let reader = response.body().map(|body| body.get_reader().unchecked_into::<ReadableStreamDefaultReader>());
        Ok(Incoming { status: response.status(), content_type, retry_after_ms, body: FetchBody { reader, _given: given } })
    }
}

impl Body for FetchBody {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, NetworkFault> {
        let Some(reader) = &self.reader else { return Ok(None) };
        let read = JsFuture::from(reader.read()).await.map_err(|error| said(&error))?;
        let done = js_sys::Reflect::get(&read, &"done".into()).map_err(|error| said(&error))?;
        if done.is_truthy() {
            return Ok(None);
        }
        let value = js_sys::Reflect::get(&read, &"value".into()).map_err(|error| said(&error))?;
        Ok(Some(value.unchecked_into::<js_sys::Uint8Array>().to_vec()))
    }
}
