//! A server behind a real port, and a client that says exactly what it is told to.

use std::net::SocketAddr;

use axum::body::Body;
use fieldsync_server::http::{BASE_PATH, Settings, listen, router};
use fieldsync_server::seams::Clock;
use fieldsync_server::store::ServerStore;
use fieldsync_server::token::Tokens;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::world::{Device, Failure, World, key};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }
    /// Status and code of an error, or `200`.
    pub(crate) fn brief(&self) -> String {
        if self.status == 200 {
            return "200".to_owned();
        }
        let fault: fieldsync::protocol::Fault = serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no fault: {error}"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        format!("{} {}", self.status, fault.error.code)
    }
}

/// A server that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    tokens: Tokens,
    now_ms: u64,
    _end: oneshot::Sender<()>,
}

impl Port {
    pub(crate) async fn open<S: ServerStore>(world: &World<S>, settings: Settings) -> Result<Self, Failure> {
        let tokens = Tokens::new(&key()?);
        let listening = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listening.address()?;
        let (end, ended) = oneshot::channel::<()>();
        let router = router(world.service.clone(), tokens.clone(), &settings);
        tokio::spawn(listening.serve(router, async {
            // The sender is dropped with the port; it never sends.
            let _ = ended.await;
        }));
        Ok(Self { address, tokens, now_ms: world.clock.now_ms(), _end: end })
    }

    pub(crate) fn token(&self, device: &Device) -> String {
        self.tokens.issue(&device.identity(), self.now_ms, 10)
    }

    /// A well-formed request of a device, with its own token.
    pub(crate) async fn ask(&self, device: &Device, endpoint: &str, more: Value) -> Result<Answer, Failure> {
        self.post(&self.token(device), endpoint, &body(device, more)).await
    }

    pub(crate) async fn post(&self, token: &str, endpoint: &str, body: &str) -> Result<Answer, Failure> {
        let bearer = format!("Bearer {token}");
        self.send("POST", endpoint, &[("authorization", &bearer), ("content-type", "application/json")], body.to_owned()).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        endpoint: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<Answer, Failure> {
        let path = if endpoint.starts_with('/') { endpoint.to_owned() } else { format!("{BASE_PATH}{endpoint}") };
        request(self.address, method, &path, headers, body.into()).await
    }
}

/// The body of a request: the device's head with `more` beside it.
pub(crate) fn body(device: &Device, more: Value) -> String {
    let mut body = json!({"head": device.head("r-1")});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body.to_string()
}

/// One request over a connection of its own.
pub(crate) async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Body,
) -> Result<Answer, Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = axum::http::Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(body)?).await?;
    let (head, body) = answer.into_parts();
    let body = axum::body::to_bytes(Body::new(body), usize::MAX).await?.to_vec();
    driver.abort();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}
