//! `audit`: the trail of a device goes up and into the tenant's chain. Rows that do not continue what is here of it are
//! refused, and the chain says so: whoever rewrites the past of a device leaves a trace that he cannot reach.

use fieldsync::protocol::{RequestHead, TrailHead, TrailResponse, limits};
use serde_json::json;

use super::envelope::whole;
use super::upload::Bounded;
use super::{Reason, Refusal, Service};
use crate::apply::{TakenRows, audit_row};
use crate::store::{ServerStore, UploadTransaction, Wanted, WriteBatch};
use crate::token::Identity;

/// The rows, as they lie in the body.
#[derive(serde::Deserialize)]
struct Rows<'b> {
    #[serde(borrow)]
    rows: Bounded<'b>,
    #[serde(default)]
    begins: Option<TrailHead>,
}

impl<S: ServerStore> Service<S> {
    /// Takes rows of the device's trail.
    pub async fn audit(&self, identity: &Identity, body: &[u8]) -> Result<TrailResponse, Refusal> {
        let head = self.head(identity, body).await?;
        let name = |reason: Reason| reason.of(&head.request_id);
        let Rows { rows, begins } = whole(&head, body)?;
        if rows.too_many {
            return Err(name(Reason::TooLarge { max: limits::TRAIL_ROWS_MAX, unit: "rows" }));
        }
        self.same_epoch(&head)?;
        self.own(identity, &head).await?;
        let texts: Vec<&str> = rows.texts.iter().map(|text| text.get()).collect();
        self.take(identity, &head, begins.as_ref(), &texts).await.map_err(name)
    }

    async fn take(
        &self,
        identity: &Identity,
        head: &RequestHead,
        begins: Option<&TrailHead>,
        texts: &[&str],
    ) -> Result<TrailResponse, Reason> {
        let mut transaction = self.store.begin(&identity.tenant, &head.client).await?;
        let known = transaction.load(&Wanted { trail: true, ..Wanted::default() }).await?.trail.unwrap_or_default();
        let mut state = transaction.state().clone();
        let taken = TakenRows::of(&known, begins, texts);
        let mut content = json!({"at": self.now_ms(), "client": head.client, "user": identity.user, "request": head.request_id});
        let (trail, refused) = match taken {
            Ok(TakenRows { trail, rows, .. }) if rows.is_empty() => return Ok(TrailResponse { reply: self.reply(head, &state), trail }),
            Ok(TakenRows { trail, begins, rows }) => {
                content["trail"] = json!({"after": known.through, "through": trail.through, "head": trail.head, "rows": rows});
                if let Some(begins) = begins {
                    content["trail"]["begins"] = begins.into();
                }
                (Some(trail), None)
            }
            Err(broken) => {
                content["refused"] = json!("audit_refused");
                content["trail"] = broken.told();
                (None, Some(broken))
            }
        };
        let audit = vec![audit_row(&mut state, &content)];
        let batch = WriteBatch { state: state.clone(), audit, trail: trail.clone(), ..WriteBatch::default() };
        transaction.commit(batch).await?;
        tracing::info!(request = ?head.request_id, tenant = identity.tenant_mark(), rows = texts.len(), refused = refused.is_some(), "audit");
        match refused {
            Some(broken) => Err(Reason::Trail(broken)),
            None => Ok(TrailResponse { reply: self.reply(head, &state), trail: trail.unwrap_or(known) }),
        }
    }
}
