//! `resolve-conflict`: a person ends a conflict at the server: one of his own, from any of his devices, or, as a
//! coordinator, anybody's.

use std::collections::BTreeMap;

use fieldsync::model::IdSource;
use fieldsync::protocol::{Choice, Decided, RequestHead, ResolveConflictRequest, ResolveConflictResponse, Unjudged, limits};
use fieldsync::value::{Limits, hash, parse, to_value};

use super::{Reason, Refusal, Service};
use crate::apply::{Context, Decision, Said, Working};
use crate::store::{ServerStore, UploadTransaction};
use crate::token::Identity;

impl<S: ServerStore> Service<S> {
    /// Ends a conflict.
    pub async fn resolve_conflict(&self, identity: &Identity, body: &[u8]) -> Result<ResolveConflictResponse, Refusal> {
        let head = self.head(identity, body).await?;
        let name = |reason: Reason| reason.of(&head.request_id);
        let decision = read(body).map_err(name)?;
        self.same_epoch(&head)?;
        self.own(identity, &head).await?;
        self.decide(identity, &head, &decision).await.map_err(name)
    }

    async fn decide(&self, identity: &Identity, head: &RequestHead, decision: &Decision) -> Result<ResolveConflictResponse, Reason> {
        let received_ms = self.now_ms();
        let (former, stands) = (BTreeMap::new(), BTreeMap::new());
        let context = Context {
            schema: &self.schema,
            client: &head.client,
            user: &identity.user,
            coordinator: identity.is_coordinator(),
            request: &head.request_id,
            received_ms,
            // The operation is written here, by the server's clock.
            offset_ms: 0,
            former: &former,
            stands: &stands,
            decision: Some(decision),
        };
        let fresh = self.fresh(&mut IdSource::default(), received_ms)?;
        let mut transaction = self.store.begin(&identity.tenant, &head.client).await?;
        let mut working = Working::new(transaction.state().clone());
        let said = loop {
            match working.resolve(&context, decision, &fresh) {
                Ok(said) => break said,
                Err(wanted) => {
                    let found = transaction.load(&wanted).await?;
                    working.learn(&wanted, found);
                }
            }
        };
        let (outcome, record) = match said {
            Said::Judged(outcome, record) => (Decided::Judged(outcome), record),
            Said::Stale(record) => (Decided::Unjudged(Unjudged::Stale), record),
            Said::Closed(closed_by, record) => (Decided::Unjudged(Unjudged::Closed { closed_by }), record),
            Said::Unknown => return Err(Reason::UnknownConflict),
            Said::Forbidden => return Err(Reason::ForeignConflict),
        };
        let state = self.commit(transaction, working, &context).await?;
        tracing::info!(request = ?head.request_id, tenant = identity.tenant_mark(), "resolve-conflict");
        Ok(ResolveConflictResponse { reply: self.reply(head, &state), outcome, record })
    }
}

/// Reads the decision as strictly as an operation: it becomes one.
fn read(body: &[u8]) -> Result<Decision, Reason> {
    const LIMITS: Limits = Limits { bytes_max: limits::BODY_BYTES_MAX, depth_max: limits::DEPTH_MAX };
    let invalid = |what: &str| Reason::Invalid(what.to_owned());
    let text = std::str::from_utf8(body).map_err(|_| invalid("it is no text"))?;
    let value = parse(text, &LIMITS).map_err(|error| Reason::Invalid(error.to_string()))?;
    let request: ResolveConflictRequest = serde_json::from_value(value).map_err(|_| invalid("a field is missing or of another type"))?;
    let mut content = to_value(&request);
    content.as_object_mut().and_then(|content| content.remove("head"));
    let fingerprint = hash(&content);
    let ResolveConflictRequest { head: _, conflict_id: conflict, operation, expected_version: expected, resolution: choice, data, reason } =
        request;
    if conflict.len() > limits::NAME_BYTES_MAX {
        return Err(invalid("the name of a conflict has at most 256 bytes"));
    }
    if reason.as_ref().is_some_and(|reason| reason.len() > limits::REASON_BYTES_MAX) {
        return Err(invalid("a reason has at most 1,024 bytes"));
    }
    if data.is_some() && choice != Choice::Merge {
        return Err(invalid("only a merge has data"));
    }
    Ok(Decision { conflict, operation, fingerprint, expected, choice, data, reason })
}
