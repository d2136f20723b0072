//! The protocol over a [`Network`]. Everything from outside is bounded before
//! it is parsed, must say that it is JSON, and must answer this very request; what does not is a network
//! error and changes nothing.

use std::cell::Cell;
use std::pin::pin;

use futures_util::future::{Either, select};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Body, Incoming, Network, NetworkFault, Outgoing};
use crate::platform::Clock;
use crate::protocol::limits::{BODY_BYTES_MAX, LINE_BYTES_MAX};
use crate::protocol::{DownloadHead, DownloadRequest, Fault, FaultBody, paths};
use crate::value::{Hash, from_text, from_value, hash_bytes, to_text};

/// Why a request brought no usable answer. Nothing was changed by it here; the server may have acted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TransportError {
    /// No answer, or not all of it.
    #[error("the server could not be reached: {0}")]
    Network(NetworkFault),
    /// No answer in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// An answer that is none of the sync server's: a login page, a cached copy, something cut off.
    #[error("the answer did not come from the sync server: {reason}")]
    NotOurs {
        /// What was wrong with it.
        reason: &'static str,
    },
    /// A page that is not as the server hashed it: something on the way changed it.
    #[error("a page does not match its hash")]
    Garbled,
    /// The server refused the request as a whole.
    #[error("{}", .fault.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the server said.
        fault: Box<FaultBody>,
        /// How long it wants to be left alone, ms.
        retry_after_ms: Option<u64>,
    },
}

/// What went over the wire since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests sent.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of answer bodies.
    pub bytes_down: u64,
}

/// The protocol's client.
#[derive(Debug)]
pub struct Http<'h, N, C> {
    /// The network.
    pub network: &'h N,
    /// For timeouts.
    pub clock: &'h C,
    /// How long to wait for the next sign of life, ms.
    pub timeout_ms: u64,
    /// What went over the wire.
    pub counters: &'h Cell<Counters>,
}

impl<N: Network, C: Clock> Http<'_, N, C> {
    /// Sends a message that was already written as text, and gives the answer's bytes for [`answer`]. One entry for every
    /// message but a download: each that had its own would bring its own state machine.
    pub async fn exchange(&self, path: &str, body: String, token: &str) -> Result<Vec<u8>, TransportError> {
        let answer = self.send(path, body, token).await?;
        let answer = self.accept(answer, "application/json").await?;
        self.whole(answer.body).await
    }
    /// Begins a download.
    pub async fn download(&self, request: &DownloadRequest, token: &str) -> Result<Pages<'_, N, C>, TransportError> {
        let answer = self.send(paths::DOWNLOAD, to_text(request), token).await?;
        let answer = self.accept(answer, "application/x-ndjson").await?;
        let mut lines = Lines { http: self, body: answer.body, buffer: Vec::new(), start: 0, bytes: 0 };
        let head: DownloadHead = parse(&lines.line().await?)?;
        answers(Some(&head.reply.request_id), &request.head.request_id)?;
        Ok(Pages { lines, head, pages: 0 })
    }

    async fn send(&self, path: &str, body: String, token: &str) -> Result<Incoming<N::Body>, TransportError> {
        self.count(|counters| {
            counters.requests += 1;
            counters.bytes_up += body.len() as u64;
        });
        let outgoing = Outgoing { path: path.to_owned(), body: Some(body), token: Some(token.to_owned()) };
        self.in_time(self.network.send(outgoing)).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, NetworkFault>>) -> Result<T, TransportError> {
        match select(pin!(work), pin!(self.clock.sleep(self.timeout_ms))).await {
            Either::Left((done, _)) => done.map_err(TransportError::Network),
            Either::Right(((), _)) => Err(TransportError::Timeout),
        }
    }

    /// Takes an answer of this type with status 200; makes an error of every other.
    async fn accept(&self, answer: Incoming<N::Body>, content_type: &str) -> Result<Incoming<N::Body>, TransportError> {
        if answer.status == 200 {
            return if answer.content_type == content_type {
                Ok(answer)
            } else {
                Err(TransportError::NotOurs { reason: "it is not JSON" })
            };
        }
        let (status, retry_after_ms) = (answer.status, answer.retry_after_ms);
        let fault = if answer.content_type == "application/json" {
            let bytes = self.whole(answer.body).await?;
            parse::<Fault>(&bytes).ok().map(|fault| fault.error)
        } else {
            None
        };
        // A proxy's error page says nothing about the operation, but its status says whether to try again.
        let fault = fault.unwrap_or_else(|| FaultBody {
            code: String::new(),
            message: format!("status {status}"),
            retryable: status >= 500,
            request_id: None,
            details: None,
        });
        Err(TransportError::Refused { status, fault: Box::new(fault), retry_after_ms })
    }

    async fn whole(&self, mut body: N::Body) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.in_time(body.chunk()).await? {
            self.count(|counters| counters.bytes_down += chunk.len() as u64);
            bytes.extend_from_slice(&chunk);
            if bytes.len() > BODY_BYTES_MAX {
                return Err(TransportError::NotOurs { reason: "it is too long" });
            }
        }
        Ok(bytes)
    }

    fn count(&self, change: impl FnOnce(&mut Counters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }
}

/// Reads an answer, if it is that to this request.
pub fn answer<A: DeserializeOwned>(bytes: &[u8], request_id: &str) -> Result<A, TransportError> {
    let message: Value = parse(bytes)?;
    answers(message["reply"]["requestId"].as_str(), request_id)?;
    from_value(&message).map_err(|_| UNREADABLE)
}

const UNREADABLE: TransportError = TransportError::NotOurs { reason: "it is cut off, or no message of this protocol" };

fn parse<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, TransportError> {
    // By text: reading from bytes would be a second copy of every message's reader.
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| from_text(text).ok()).ok_or(UNREADABLE)
}

fn answers(replied: Option<&str>, request_id: &str) -> Result<(), TransportError> {
    if replied == Some(request_id) { Ok(()) } else { Err(TransportError::NotOurs { reason: "it answers another request" }) }
}

/// A download under way. Dropping it gives the rest up.
#[derive(Debug)]
pub struct Pages<'h, N: Network, C> {
    lines: Lines<'h, N, C>,
    head: DownloadHead,
    pages: u64,
}

impl<N: Network, C: Clock> Pages<'_, N, C> {
    /// What the server said at the beginning.
    pub fn head(&self) -> &DownloadHead {
        &self.head
    }
    /// The text of the next page, verified against its hash; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<String>, TransportError> {
        /// A [`crate::protocol::PageHead`] or a [`crate::protocol::DownloadEnd`].
        #[derive(Deserialize)]
        struct Line {
            bytes: Option<usize>,
            sha256: Option<Hash>,
            end: Option<u64>,
        }
        let refuse = |reason| Err(TransportError::NotOurs { reason });
        match parse(&self.lines.line().await?)? {
            Line { end: Some(end), .. } if end == self.pages => Ok(None),
            Line { bytes: Some(bytes), .. } if bytes > LINE_BYTES_MAX => refuse("a page is too long"),
            Line { bytes: Some(bytes), sha256: Some(sha256), end: None } => {
                let line = self.lines.line().await?;
                if line.len() != bytes || hash_bytes(&line) != sha256 {
                    return Err(TransportError::Garbled);
                }
                self.pages += 1;
                String::from_utf8(line).map(Some).map_err(|_| TransportError::NotOurs { reason: "a page is no text" })
            }
            Line { .. } => refuse("pages are missing"),
        }
    }
    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.lines.bytes
    }
}

/// A body, line by line.
#[derive(Debug)]
struct Lines<'h, N: Network, C> {
    http: &'h Http<'h, N, C>,
    body: N::Body,
    buffer: Vec<u8>,
    start: usize,
    bytes: u64,
}

impl<N: Network, C: Clock> Lines<'_, N, C> {
    /// The next line, without its end.
    async fn line(&mut self) -> Result<Vec<u8>, TransportError> {
        let mut searched = self.start;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer[self.start..searched + at].to_vec();
                self.start = searched + at + 1;
                return Ok(line);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            searched = self.buffer.len();
            if searched > LINE_BYTES_MAX {
                return Err(TransportError::NotOurs { reason: "a line is too long" });
            }
            let Some(chunk) = self.http.in_time(self.body.chunk()).await? else {
                return Err(TransportError::NotOurs { reason: "it is cut off" });
            };
            self.bytes += chunk.len() as u64;
            self.http.count(|counters| counters.bytes_down += chunk.len() as u64);
            self.buffer.extend_from_slice(&chunk);
        }
    }
}
