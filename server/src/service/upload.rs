//! Upload: every operation of the batch is judged in its order, everything is written at once, and only then
//! is anything answered. A batch that breaks off anywhere before has not happened.

use std::collections::BTreeMap;
use std::fmt;

use fieldsync::model::{IdSource, OpId, RecordId, Version};
use fieldsync::protocol::{Former, OperationResult, Outcome, RequestHead, Stand, UploadResponse, limits};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::envelope::whole;
use super::{Reason, Refusal, Service};
use crate::apply::{Context, GroupRun, Incoming, Working, reused};
use crate::seams::EntropyError;
use crate::store::{ServerStore, TenantState, UploadTransaction};
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
    #[serde(default)]
    stands: Vec<Stand>,
}

/// A list of operations, or of as many rows of a trail, that stops being kept where the limit is crossed.
pub(super) struct Bounded<'b> {
    pub(super) texts: Vec<&'b RawValue>,
    pub(super) too_many: bool,
}

impl<'de: 'b, 'b> Deserialize<'de> for Bounded<'b> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Bounded<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
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

/// The operations of an upload, and where each is decided: a single one in its place; a group in the place of its
/// last member, because all that it may depend on came before. A repetition of a member takes no part.
struct Batch<'o, 'b> {
    operations: &'o [Incoming<'b>],
    groups: BTreeMap<&'o OpId, Vec<usize>>,
    first: BTreeMap<&'o OpId, usize>,
}

impl<'o, 'b> Batch<'o, 'b> {
    fn new(operations: &'o [Incoming<'b>]) -> Self {
        let (mut groups, mut first) = (BTreeMap::<_, Vec<usize>>::new(), BTreeMap::new());
        for (at, incoming) in operations.iter().enumerate() {
            let is_first = *first.entry(&incoming.id).or_insert(at) == at;
            if let (Some(group), true) = (&incoming.group, is_first) {
                groups.entry(&group.id).or_default().push(at);
            }
        }
        Self { operations, groups, first }
    }

    /// What is decided in this place.
    fn decided_at(&self, at: usize) -> Vec<usize> {
        let Some(group) = &self.operations[at].group else { return vec![at] };
        self.groups.get(&group.id).filter(|members| members.last() == Some(&at)).cloned().unwrap_or_default()
    }

    /// One result for each operation. A repetition of a group's member is answered like the first.
    fn results(&self, outcomes: Vec<Option<Outcome>>) -> Vec<OperationResult> {
        let repeated = |incoming: &Incoming<'_>| {
            let first = self.first[&incoming.id];
            let same = self.operations[first].fingerprint == incoming.fingerprint;
            outcomes[first].clone().filter(|_| same).unwrap_or_else(reused)
        };
        let answered = self.operations.iter().zip(&outcomes);
        let result = |(incoming, outcome): (&Incoming<'_>, &Option<Outcome>)| OperationResult {
            operation: incoming.id.clone(),
            outcome: outcome.clone().unwrap_or_else(|| repeated(incoming)),
        };
        answered.map(result).collect()
    }
}

/// Bytes of a record that an outcome shows.
fn shown(outcome: &Outcome) -> usize {
    match outcome.original() {
        Outcome::Conflict { server, constraint, .. } => {
            let other = constraint.as_ref().and_then(|broken| broken.data.as_ref());
            server.data.iter().chain(other).map(|data| Value::Object(data.clone()).to_string().len()).sum()
        }
        _ => 0,
    }
}

impl<S: ServerStore> Service<S> {
    /// Takes a batch of operations, gives one result for each.
    pub async fn upload(&self, identity: &Identity, body: &[u8]) -> Result<UploadResponse, Refusal> {
        let head = self.head(identity, body).await?;
        let Operations { operations, former, stands } = whole(&head, body)?;
        if operations.too_many {
            return Err(Reason::TooLarge { max: limits::OPERATIONS_MAX, unit: "operations" }.of(&head.request_id));
        }
        self.same_epoch(&head)?;
        let nameless = |at: usize| Reason::Invalid(format!("operation {at} of the batch does not tell its ID")).of(&head.request_id);
        let texts = operations.texts.into_iter().enumerate();
        let operations = texts.map(|(at, text)| Incoming::read(text.get()).ok_or_else(|| nameless(at))).collect::<Result<Vec<_>, _>>()?;
        self.own(identity, &head).await?;
        let former = former.into_iter().map(|former| (former.operation, former.id)).collect();
        let stands = stands.into_iter().map(|stand| (stand.operation, stand.version)).collect();
        self.apply(identity, &head, &operations, &former, &stands).await.map_err(|reason| reason.of(&head.request_id))
    }

    async fn apply(
        &self,
        identity: &Identity,
        head: &RequestHead,
        operations: &[Incoming<'_>],
        former: &BTreeMap<OpId, RecordId>,
        stands: &BTreeMap<OpId, Version>,
    ) -> Result<UploadResponse, Reason> {
        let received_ms = self.now_ms();
        let context = Context {
            schema: &self.schema,
            client: &head.client,
            user: &identity.user,
            coordinator: identity.is_coordinator(),
            request: &head.request_id,
            received_ms,
            offset_ms: head.offset_ms,
            former,
            stands,
            decision: None,
        };
        let mut ids = IdSource::default();
        let mut transaction = self.store.begin(&identity.tenant, &head.client).await?;
        let mut working = Working::new(transaction.state().clone());
        // Once for receipts and temp IDs, once for the records that those name.
        for _ in 0..2 {
            let wanted = working.foresee(&self.schema, operations, former);
            if !wanted.is_empty() {
                let found = transaction.load(&wanted).await?;
                working.learn(&wanted, found);
            }
        }
        let batch = Batch::new(operations);
        let mut outcomes: Vec<Option<Outcome>> = vec![None; operations.len()];
        let mut shown_bytes = 0;
        for (at, incoming) in operations.iter().enumerate() {
            let members = batch.decided_at(at);
            if shown_bytes > SHOWN_BYTES_MAX {
                members.iter().for_each(|member| outcomes[*member] = Some(Outcome::Deferred { retry_after_ms: DEFERRED_MS }));
            } else if incoming.group.is_none() {
                let fresh = self.fresh(&mut ids, received_ms)?;
                outcomes[at] = Some(loop {
                    match working.decide(&context, incoming, &fresh) {
                        Ok(outcome) => break outcome,
                        Err(wanted) => {
                            let found = transaction.load(&wanted).await?;
                            working.learn(&wanted, found);
                        }
                    }
                });
            } else if !members.is_empty() {
                let mut member = |at: &usize| Ok((*at, &operations[*at], self.fresh(&mut ids, received_ms)?));
                let mut run = GroupRun::new(members.iter().map(&mut member).collect::<Result<_, EntropyError>>()?);
                while let Err(wanted) = working.decide_group(&context, &mut run) {
                    let found = transaction.load(&wanted).await?;
                    working.learn(&wanted, found);
                }
                run.into_outcomes().for_each(|(at, outcome)| outcomes[at] = Some(outcome));
            }
            shown_bytes += members.iter().filter_map(|member| outcomes[*member].as_ref()).map(shown).sum::<usize>();
        }
        let results = batch.results(outcomes);
        let changes = working.change_count();
        let state = self.commit(transaction, working, &context).await?;
        self.log(identity, head, &results, changes, received_ms);
        Ok(UploadResponse { reply: self.reply(head, &state), results })
    }

    /// Writes all that was decided, at once. Gives the tenant's counters as they are then.
    pub(super) async fn commit(&self, transaction: S::Upload, mut working: Working, context: &Context<'_>) -> Result<TenantState, Reason> {
        let audit = working.audit(context);
        let state = working.state().clone();
        if let Some(batch) = working.into_batch(audit) {
            #[cfg(any(debug_assertions, feature = "gates"))]
            self.gate.pass(super::gate::Point::BeforeCommit);
            let committed = transaction.commit(batch).await;
            if !fieldsync::planted::is(fieldsync::planted::Bug::ServerAnswersFirst) {
                committed?;
            }
            #[cfg(any(debug_assertions, feature = "gates"))]
            self.gate.pass(super::gate::Point::AfterCommit);
        }
        Ok(state)
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
