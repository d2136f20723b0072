//! The network of a story: it calls the server's handlers with real bytes, and breaks as the story says.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use fieldsync::model::Version;
use fieldsync::platform::network::{Body, Incoming, Network, NetworkFault, Outgoing};
use fieldsync::protocol::{ServerState, paths};
use fieldsync::value::to_value;
use fieldsync_server::service::Refusal;
use serde_json::{Value, json};

use crate::world::{Fault, Gate, World};

/// The network: calls the server's handlers with real bytes.
pub struct Loopback {
    pub world: World,
    pub identity: fieldsync_server::token::Identity,
    pub faults: Rc<RefCell<VecDeque<(&'static str, Fault)>>>,
    pub gate: Rc<RefCell<Option<Gate>>>,
    pub poison: Rc<RefCell<Option<(&'static str, u16)>>>,
    /// What stands in the place of [`MARK`] in the answers.
    pub swap: Rc<RefCell<Option<String>>>,
}

/// The fields of a record that a story has others put in the place of.
pub const MARK: &str = r#"{"name":"MARK"}"#;

/// An answer in pieces; the last may be a fault.
#[derive(Debug)]
pub struct Pieces(VecDeque<Result<Vec<u8>, NetworkFault>>);

impl Body for Pieces {
    async fn chunk(&mut self) -> Result<Option<Vec<u8>>, NetworkFault> {
        self.0.pop_front().transpose()
    }
}

fn lost() -> NetworkFault {
    NetworkFault { reason: "lost".to_owned() }
}

impl Network for Loopback {
    type Body = Pieces;

    async fn send(&self, request: Outgoing) -> Result<Incoming<Pieces>, NetworkFault> {
        let fault = {
            let mut faults = self.faults.borrow_mut();
            let ours = faults.front().is_some_and(|(path, _)| *path == request.path);
            if ours { faults.pop_front().map(|(_, fault)| fault) } else { None }
        };
        match fault {
            Some(Fault::LoseRequest) => return Err(lost()),
            Some(Fault::Html) => return Ok(answer(200, "text/html", b"<html>Please log in</html>".to_vec())),
            Some(Fault::Mismatch) => {
                let body = json!({"error": {"code": "identity_mismatch", "message": "scripted", "retryable": false}}).to_string();
                return Ok(answer(403, "application/json", body.into_bytes()));
            }
            Some(Fault::Stall) => return std::future::pending().await,
            Some(Fault::Foreign(status)) => return Ok(answer(status, "text/html", b"<html>Bad gateway</html>".to_vec())),
            Some(Fault::Status(status, retry_after_ms)) => {
                return Ok(scripted(status, retry_after_ms));
            }
            Some(Fault::LoseAnswer | Fault::CutAnswer | Fault::AllGone | Fault::Garble) | None => {}
        }
        self.world.requests.borrow_mut().push(request.path.clone());
        if let Some((text, status)) = *self.poison.borrow()
            && request.path == paths::UPLOAD
            && request.body.as_ref().is_some_and(|body| body.contains(text))
        {
            return Ok(scripted(status, None));
        }
        let mut done = self.serve(&request).await;
        if let Some(swap) = &*self.swap.borrow() {
            let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
            done.body = Pieces([Ok(swapped(&String::from_utf8(whole).expect("text"), swap).into_bytes())].into());
        }
        if request.path == paths::UPLOAD {
            let gate = self.gate.take();
            if let Some(gate) = gate {
                gate.reached.raise();
                gate.open.raised().await;
            }
        }
        match fault {
            Some(Fault::LoseAnswer) => Err(lost()),
            Some(Fault::CutAnswer) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                done.body = Pieces([Ok(whole[..whole.len() * 2 / 3].to_vec())].into());
                Ok(done)
            }
            Some(Fault::Garble) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                let other = String::from_utf8(whole).expect("text").replace("\"name\"", "\"nbme\"");
                done.body = Pieces([Ok(other.into_bytes())].into());
                Ok(done)
            }
            Some(Fault::AllGone) => {
                let whole: Vec<u8> = done.body.0.iter().flatten().flatten().copied().collect();
                done.body = Pieces([Ok(all_gone(&whole))].into());
                Ok(done)
            }
            _ => Ok(done),
        }
    }
}

/// The answer to an upload with the same word on every operation.
fn all_gone(answer: &[u8]) -> Vec<u8> {
    let mut answer: Value = serde_json::from_slice(answer).expect("JSON");
    for (at, result) in answer["results"].as_array_mut().expect("results").iter_mut().enumerate() {
        result["outcome"] = json!({"status": "conflict", "conflictId": format!("gone {at}"), "kind": "update-delete",
            "server": to_value(&ServerState::plain(Version(1_000), None))});
    }
    answer.to_string().into_bytes()
}

/// An answer with other fields in it. A page's head tells bytes and hash of the page that it is then.
fn swapped(text: &str, by: &str) -> String {
    let mut lines: Vec<String> = text.split('\n').map(|line| line.replace(MARK, by)).collect();
    for at in 1..lines.len() {
        if lines[at - 1].contains("\"sha256\"") {
            lines[at - 1] = json!({"bytes": lines[at].len(), "sha256": fieldsync::value::hash_bytes(lines[at].as_bytes())}).to_string();
        }
    }
    lines.join("\n")
}

fn scripted(status: u16, retry_after_ms: Option<u64>) -> Incoming<Pieces> {
    let body = json!({"error": {"code": "scripted", "message": "scripted", "retryable": status >= 429}}).to_string();
    Incoming { retry_after_ms, ..answer(status, "application/json", body.into_bytes()) }
}

fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Incoming<Pieces> {
    Incoming { status, content_type: content_type.to_owned(), retry_after_ms: None, body: Pieces([Ok(body)].into()) }
}

impl Loopback {
    async fn serve(&self, request: &Outgoing) -> Incoming<Pieces> {
        let service = &self.world.service();
        let body = request.body.clone().unwrap_or_default().into_bytes();
        let refused = |refusal: Refusal| {
            let (status, _, _) = refusal.reason.classify();
            let text = serde_json::to_vec(&refusal.fault()).expect("JSON");
            answer(status, "application/json", text)
        };
        fn json<T: serde::Serialize>(value: T) -> Incoming<Pieces> {
            answer(200, "application/json", serde_json::to_vec(&value).expect("JSON"))
        }
        match request.path.as_str() {
            paths::INITIALIZE => service.initialize(&self.identity, &body).await.map_or_else(refused, json),
            paths::UPLOAD => service.upload(&self.identity, &body).await.map_or_else(refused, json),
            paths::STATUS => service.status(&self.identity, &body).await.map_or_else(refused, json),
            paths::AUDIT => service.audit(&self.identity, &body).await.map_or_else(refused, json),
            paths::CONFLICTS => service.conflicts(&self.identity, &body).await.map_or_else(refused, json),
            paths::DOWNLOAD => match service.download(&self.identity, &body).await {
                Err(refusal) => refused(refusal),
                Ok(mut pages) => {
                    let mut pieces = VecDeque::new();
                    while let Ok(Some(lines)) = pages.next().await {
                        // Cut where no line ends, as a network does.
                        let middle = lines.len() / 2;
                        pieces.push_back(Ok(lines[..middle].to_vec()));
                        pieces.push_back(Ok(lines[middle..].to_vec()));
                    }
                    Incoming { body: Pieces(pieces), ..answer(200, "application/x-ndjson", Vec::new()) }
                }
            },
            other => answer(404, "application/json", other.as_bytes().to_vec()),
        }
    }
}
