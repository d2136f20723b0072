//! The head of a request, read before anything else of its body means anything: first whose database it
//! comes from, then which protocol it speaks, then the rest.

use fieldsync::model::ClientId;
use fieldsync::protocol::{PROTOCOL, RequestHead, limits};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Reason, Refusal, Service};
use crate::apply::audit_row;
use crate::store::{ServerStore, StoreError, UploadTransaction, WriteBatch};
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

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= limits::NAME_BYTES_MAX
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
    /// Reads the head and compares it with the token. Whoever comes with another's token leaves a row in the audit
    /// chain of the tenant whose token it is.
    pub(super) async fn head(&self, identity: &Identity, body: &[u8]) -> Result<RequestHead, Refusal> {
        let claimed = serde_json::from_slice::<OnlyClaimed>(body).map_err(|error| invalid(&error))?.head;
        if !is_name(&claimed.request_id) {
            return Err(Reason::Invalid("a request ID has 1 to 256 bytes".to_owned()).into());
        }
        if claimed.tenant != identity.tenant || claimed.user != identity.user {
            if let Err(error) = self.note_mismatch(identity, &claimed).await {
                tracing::error!(%error, request = ?claimed.request_id, "a foreign database could not be noted");
            }
            return Err(Reason::IdentityMismatch.of(&claimed.request_id));
        }
        if claimed.protocol != PROTOCOL {
            return Err(Reason::UpgradeRequired.of(&claimed.request_id));
        }
        let head = serde_json::from_slice::<OnlyHead>(body).map_err(|error| invalid(&error).reason.of(&claimed.request_id))?;
        Ok(head.head)
    }

    async fn note_mismatch(&self, identity: &Identity, claimed: &Claimed) -> Result<(), StoreError> {
        // No client has this ID, and none is asked about.
        const NOBODY: &str = "00000000-0000-7000-8000-000000000000";
        let nobody = ClientId::parse(NOBODY).unwrap_or_else(|_| unreachable!("the ID of nobody is a UUID"));
        let transaction = self.store.begin(&identity.tenant, &nobody).await?;
        let mut state = transaction.state().clone();
        let named = |name: &str| if is_name(name) { json!(name) } else { json!(null) };
        let row = audit_row(
            &mut state,
            &json!({
                "at": self.now_ms(), "user": identity.user, "request": claimed.request_id, "refused": "identity_mismatch",
                "database": {"tenant": named(&claimed.tenant), "user": named(&claimed.user)},
            }),
        );
        transaction.commit(WriteBatch { state, audit: vec![row], ..WriteBatch::default() }).await
    }

    /// Reads a request and makes sure that the database it comes from belongs to the token's user.
    pub(super) async fn open<T: DeserializeOwned>(&self, identity: &Identity, body: &[u8]) -> Result<(RequestHead, T), Refusal> {
        let head = self.head(identity, body).await?;
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
