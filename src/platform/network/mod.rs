//! The network: [`Network`] moves bytes, [`Http`] makes protocol messages of them and refuses whatever is
//! none. A message is really written and read on either side of the seam, so a test's network carries what
//! the real one does.

#[cfg(all(target_arch = "wasm32", feature = "browser"))]
pub mod fetch;
mod http;

use std::future::Future;

pub use http::{Counters, Http, Pages, TransportError, answer};

/// A request to the sync server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The path below the base address.
    pub path: String,
    /// JSON; nothing for GET.
    pub body: Option<String>,
    /// The bearer token.
    pub token: Option<String>,
}

/// The head of an answer, and its body to be read.
#[derive(Debug)]
pub struct Incoming<B> {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type`, lower case, without parameters.
    pub content_type: String,
    /// The `Retry-After`, ms.
    pub retry_after_ms: Option<u64>,
    /// The body.
    pub body: B,
}

/// The network did not bring an answer, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NetworkFault {
    /// What the platform said.
    pub reason: String,
}

/// A body that comes in pieces.
pub trait Body: std::fmt::Debug {
    /// The next piece; nothing at the end. An end that came too early is a fault.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, NetworkFault>>;
}

/// Moves bytes. Dropping a future, or a body, gives the request up.
pub trait Network: 'static {
    /// The body of an answer.
    type Body: Body;
    /// Sends a request and waits for the head of the answer. Never follows a redirect.
    fn send(&self, request: Outgoing) -> impl Future<Output = Result<Incoming<Self::Body>, NetworkFault>>;
}
