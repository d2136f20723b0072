//! The head of a request, read before anything else of its body means anything: first whose database it
//! comes from, then which protocol it speaks, then the rest.

use fieldsync::protocol::{PROTOCOL, RequestHead, limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Reason, Refusal, Service};
use crate::store::ServerStore;
use crate::token::Identity;

/// What every protocol's head has to say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claimed {
    protocol: u32,
    request_id: String,
    tenant: String,
    user: String,
}

#[derive(Deserialize)]
struct OnlyClaimed {
    head: Claimed,
}

#[derive(Deserialize)]
struct OnlyHead {
    head: RequestHead,
}

/// Reads the head and compares it with the token.
pub(super) fn head(identity: &Identity, body: &[u8]) -> Result<RequestHead, Refusal> {
    let claimed = serde_json::from_slice::<OnlyClaimed>(body).map_err(|error| invalid(&error))?.head;
    let named = |name: &str| !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX;
    if !named(&claimed.request_id) {
        return Err(Reason::Invalid("a request ID has 1 to 256 bytes".to_owned()).into());
    }
    if claimed.tenant != identity.tenant || claimed.user != identity.user {
        return Err(Reason::IdentityMismatch.of(&claimed.request_id));
    }
    if claimed.protocol != PROTOCOL {
        return Err(Reason::UpgradeRequired.of(&claimed.request_id));
    }
    let head = serde_json::from_slice::<OnlyHead>(body).map_err(|error| invalid(&error).reason.of(&claimed.request_id))?;
    Ok(head.head)
}

/// Reads the whole body, once its head is known to be its owner's.
pub(super) fn whole<'b, T: Deserialize<'b>>(head: &RequestHead, body: &'b [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| invalid(&error).reason.of(&head.request_id))
}

/// Where the body is wrong, never what it holds.
fn invalid(error: &serde_json::Error) -> Refusal {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "a field is missing or of another type",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
    };
    Reason::Invalid(format!("{what}, line {} column {}", error.line(), error.column())).into()
}

impl<S: ServerStore> Service<S> {
    /// Reads a request and makes sure that the database it comes from belongs to the token's user.
    pub(super) async fn open<T: DeserializeOwned>(&self, identity: &Identity, body: &[u8]) -> Result<(RequestHead, T), Refusal> {
        let head = head(identity, body)?;
        let request = whole(&head, body)?;
        self.own(identity, &head).await?;
        Ok((head, request))
    }

    /// Binds the client to its first user, refuses it to any other.
    pub(super) async fn own(&self, identity: &Identity, head: &RequestHead) -> Result<(), Refusal> {
        let owner = self.store.owner(&identity.tenant, &head.client, &identity.user, self.now_ms()).await;
        let owner = owner.map_err(|error| Reason::from(error).of(&head.request_id))?;
        if owner == identity.user { Ok(()) } else { Err(Reason::ForeignClient.of(&head.request_id)) }
    }

    /// Refuses a client that knows another lineage.
    pub(super) fn same_epoch(&self, head: &RequestHead) -> Result<(), Refusal> {
        let epoch = self.store.epoch();
        if head.epoch.as_ref().is_none_or(|known| known == epoch) {
            Ok(())
        } else {
            Err(Reason::EpochChanged(epoch.clone()).of(&head.request_id))
        }
    }
}
