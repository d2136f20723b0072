//! The requests that carry no records: `initialize`, `status` and `health`.

use fieldsync::planted::{Bug, is};
use fieldsync::protocol::{CheckpointState, HealthResponse, InitializeRequest, InitializeResponse, StatusRequest, StatusResponse, limits};

use super::{Reason, Refusal, Service};
use crate::store::{Holdings, Scope, ServerStore};
use crate::token::Identity;

impl<S: ServerStore> Service<S> {
    /// Opens a session: tells what is allowed and whether the client can go on from where it stands.
    pub async fn initialize(&self, identity: &Identity, body: &[u8]) -> Result<InitializeResponse, Refusal> {
        let (head, request): (_, InitializeRequest) = self.open(identity, body).await?;
        let name = |reason: Reason| reason.of(&head.request_id);
        let holdings = self.holdings(identity, &head).await?;
        let checkpoint = match &request.checkpoint {
            _ if self.same_epoch(&head).is_err() => CheckpointState::EpochChanged,
            None => CheckpointState::None,
            Some(token) => match self.checkpoints.read(&identity.tenant, self.store.epoch(), &Scope::default(), token) {
                Ok(position) if position.sequence > holdings.state.sequence => CheckpointState::EpochChanged,
                Ok(position) if position.needs_after() < holdings.state.forgotten && !is(Bug::ServerForgottenIgnored) => {
                    CheckpointState::Resync
                }
                Ok(_) => CheckpointState::Ok,
                Err(Reason::EpochChanged(_)) => CheckpointState::EpochChanged,
                Err(reason) => return Err(name(reason)),
            },
        };
        tracing::info!(request = ?head.request_id, tenant = identity.tenant_mark(), pending = request.pending, ?checkpoint, "initialize");
        let reply = self.reply(&head, &holdings.state);
        let conflicts = self.others_wait(identity, &head).await?;
        Ok(InitializeResponse { reply, limits: Self::limits(), checkpoint, schema: self.schema.version, conflicts, audit: true })
    }

    /// What the server holds of the tenant and the client.
    pub async fn status(&self, identity: &Identity, body: &[u8]) -> Result<StatusResponse, Refusal> {
        let (head, _): (_, StatusRequest) = self.open(identity, body).await?;
        let holdings = self.holdings(identity, &head).await?;
        Ok(StatusResponse {
            reply: self.reply(&head, &holdings.state),
            sequence: holdings.state.sequence,
            receipts: holdings.receipts,
            open_conflicts: holdings.open_conflicts,
            audit_head: holdings.state.audit_head.to_string(),
            trail: holdings.trail,
        })
    }

    /// Whether the server is there. Repeats the nonce, so that a cached answer is noticed.
    pub async fn health(&self, nonce: &str) -> Result<HealthResponse, Refusal> {
        if nonce.len() > limits::NAME_BYTES_MAX {
            return Err(Reason::Invalid("a nonce has at most 256 bytes".to_owned()).into());
        }
        Ok(HealthResponse { nonce: nonce.to_owned(), epoch: self.store.epoch().clone(), ready: self.store.ready().await })
    }

    async fn holdings(&self, identity: &Identity, head: &fieldsync::protocol::RequestHead) -> Result<Holdings, Refusal> {
        let holdings = self.store.holdings(&identity.tenant, &head.client).await;
        holdings.map_err(|error| Reason::from(error).of(&head.request_id))
    }
}
