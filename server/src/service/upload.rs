//! Upload: every operation of the batch is judged in its order, everything is written at once, and only then
//! is anything answered. A batch that breaks off anywhere before has not happened.

use std::collections::BTreeMap;
use std::fmt;

use fieldsync::model::{IdSource, OpId, RecordId};
use fieldsync::protocol::{Former, OperationResult, Outcome, RequestHead, UploadResponse, limits};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::envelope::{head, whole};
use super::{Reason, Refusal, Service};
use crate::apply::{Context, Incoming, Working};
use crate::store::{ServerStore, UploadTransaction};
use crate::token::Identity;

/// Bytes of records that one answer shows in conflicts, after which the rest of the batch is deferred: a small
/// batch on large records must not become an answer that nobody can read.
const SHOWN_BYTES_MAX: usize = 8 << 20;
/// When what was deferred may come again: at once, but for a breath.
const DEFERRED_MS: u64 = 100;

/// The operations of an upload, as they lie in its body.
#[derive(serde::Deserialize)]
struct Operations<'b> {
    #[serde(borrow)]
    operations: Bounded<'b>,
    #[serde(default)]
    former: Vec<Former>,
}

/// A list that stops being kept where the limit is crossed.
struct Bounded<'b> {
    texts: Vec<&'b RawValue>,
    too_many: bool,
}

impl<'de: 'b, 'b> Deserialize<'de> for Bounded<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Bounded<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of operations")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bounded<'de>, A::Error> {
                let mut texts = Vec::new();
                while texts.len() < limits::OPERATIONS_MAX {
                    match items.next_element::<&'de RawValue>()? {
                        Some(text) => texts.push(text),
                        None => return Ok(Bounded { texts, too_many: false }),
                    }
                }
                let mut too_many = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Bounded { texts, too_many })
            }
        }
        deserializer.deserialize_seq(Counting)
    }
}

impl<S: ServerStore> Service<S> {
    /// Takes a batch of operations, gives one result for each.
    pub async fn upload(&self, identity: &Identity, body: &[u8]) -> Result<UploadResponse, Refusal> {
        let head = head(identity, body)?;
        let Operations { operations, former } = whole(&head, body)?;
        if operations.too_many {
            return Err(Reason::TooLarge { max: limits::OPERATIONS_MAX, unit: "operations" }.of(&head.request_id));
        }
        self.same_epoch(&head)?;
        let nameless = |at: usize| Reason::Invalid(format!("operation {at} of the batch does not tell its ID")).of(&head.request_id);
        let texts = operations.texts.into_iter().enumerate();
        let operations = texts.map(|(at, text)| Incoming::read(text.get()).ok_or_else(|| nameless(at))).collect::<Result<Vec<_>, _>>()?;
        self.own(identity, &head).await?;
        let former = former.into_iter().map(|former| (former.operation, former.id)).collect();
        self.apply(identity, &head, &operations, &former).await.map_err(|reason| reason.of(&head.request_id))
    }

    async fn apply(
        &self,
        identity: &Identity,
        head: &RequestHead,
        operations: &[Incoming<'_>],
        former: &BTreeMap<OpId, RecordId>,
    ) -> Result<UploadResponse, Reason> {
        let received_ms = self.now_ms();
        let context = Context {
            schema: &self.schema,
            client: &head.client,
            user: &identity.user,
            request: &head.request_id,
            received_ms,
            offset_ms: head.offset_ms,
            former,
        };
        let mut ids = IdSource::default();
        let mut transaction = self.store.begin(&identity.tenant, &head.client).await?;
        let mut working = Working::new(transaction.state().clone());
        // Once for receipts and temp IDs, once for the records that those name.
        for _ in 0..2 {
            let wanted = working.foresee(&self.schema, operations);
            if !wanted.is_empty() {
                let found = transaction.load(&wanted).await?;
                working.learn(&wanted, found);
            }
        }
        let mut results = Vec::with_capacity(operations.len());
        let mut shown_bytes = 0;
        for incoming in operations {
            if shown_bytes > SHOWN_BYTES_MAX {
                let outcome = Outcome::Deferred { retry_after_ms: DEFERRED_MS };
                results.push(OperationResult { operation: incoming.id.clone(), outcome });
                continue;
            }
            let fresh = self.fresh(&mut ids, received_ms)?;
            let outcome = loop {
                match working.decide(&context, incoming, &fresh) {
                    Ok(outcome) => break outcome,
                    Err(wanted) => {
                        let found = transaction.load(&wanted).await?;
                        working.learn(&wanted, found);
                    }
                }
            };
            if let Outcome::Conflict { server, .. } = outcome.original() {
                shown_bytes += server.data.as_ref().map_or(0, |data| Value::Object(data.clone()).to_string().len());
            }
            results.push(OperationResult { operation: incoming.id.clone(), outcome });
        }
        let audit = working.audit(&context);
        let state = working.state().clone();
        let changes = working.change_count();
        if let Some(batch) = working.into_batch(audit) {
            #[cfg(any(debug_assertions, feature = "gates"))]
            self.gate.pass(super::gate::Point::BeforeCommit);
            transaction.commit(batch).await?;
            #[cfg(any(debug_assertions, feature = "gates"))]
            self.gate.pass(super::gate::Point::AfterCommit);
        }
        self.log(identity, head, &results, changes, received_ms);
        Ok(UploadResponse { reply: self.reply(head, &state), results })
    }

    fn log(&self, identity: &Identity, head: &RequestHead, results: &[OperationResult], changes: usize, received_ms: u64) {
        let count = |is: fn(&Outcome) -> bool| results.iter().filter(|result| is(&result.outcome)).count();
        tracing::info!(
            request = ?head.request_id,
            tenant = identity.tenant_mark(),
            operations = results.len(),
            changes,
            duplicates = count(|outcome| matches!(outcome, Outcome::Duplicate { .. })),
            conflicts = count(|outcome| matches!(outcome, Outcome::Conflict { .. })),
            rejected = count(|outcome| matches!(outcome, Outcome::Rejected { .. })),
            blocked = count(|outcome| matches!(outcome, Outcome::Blocked { .. })),
            ms = self.now_ms().saturating_sub(received_ms),
            "upload"
        );
    }
}
