//! Reads every message: an operation is the bytes that its device has stored, the same however often it is sent;
//! nothing of one tenant is in a message of another; a page does not end within a group.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fieldsync::model::{Operation, Version};
use fieldsync::platform::network::Outgoing;
use fieldsync::protocol::{DownloadRequest, Outcome, RequestHead, Stand, UploadResponse, paths};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::executor::Owner;
use crate::seams::server::{Watch, lock};
use crate::seams::store::Rows;
use crate::sim::{Invariant, Sim};

#[derive(Deserialize)]
struct Uploaded<'b> {
    head: RequestHead,
    #[serde(borrow)]
    operations: Vec<&'b RawValue>,
    #[serde(default)]
    stands: Vec<Stand>,
}

#[derive(Deserialize)]
struct Shown {
    changes: Vec<ShownChange>,
}

#[derive(Deserialize)]
struct ShownChange {
    version: Version,
}

/// What was said.
pub(crate) struct Wire {
    watch: Arc<Mutex<Watch>>,
    /// Tenants and the mark that every one of their values carries.
    canaries: BTreeMap<String, String>,
}

/// How the changes of a page begin that has some.
const CHANGES: &[u8] = br#""changes":[{"#;

impl Wire {
    pub(crate) fn new(watch: Arc<Mutex<Watch>>, canaries: BTreeMap<String, String>) -> Self {
        Self { watch, canaries }
    }

    /// A request leaves a device, which has `rows`. What ended there meanwhile may still be on its way.
    pub(crate) fn leaves(&self, sim: &Sim, rows: &Rows, request: &Outgoing) {
        let body = request.body.as_deref().unwrap_or_default();
        let Some(Uploaded { operations, .. }) = (request.path == paths::UPLOAD).then(|| serde_json::from_str(body).ok()).flatten() else {
            return;
        };
        let watch = rows.watch.borrow();
        for text in operations.iter().map(|text| text.get()) {
            if watch.outbox.values().any(|queued| queued.body == text) {
                sim.check(Invariant::I16, true, String::new);
                continue;
            }
            let sent: Option<Operation> = serde_json::from_str(text).ok();
            let other = watch.outbox.values().find(|queued| sent.as_ref().is_some_and(|sent| sent.id == queued.operation.id));
            sim.check(Invariant::I16, other.is_none(), || {
                format!("{text} was sent, and {} is stored", other.map_or("", |queued| queued.body.as_str()))
            });
        }
    }

    /// A request has reached the server.
    pub(crate) fn sent(&self, sim: &Sim, owner: Owner, tenant: &str, path: &str, body: &str) {
        sim.executor.note(body.len() as u64);
        self.isolated(sim, tenant, body);
        if path != paths::UPLOAD {
            return;
        }
        let Ok(Uploaded { head, operations, stands }) = serde_json::from_str(body) else {
            return sim.violate(Invariant::Sound, format!("context {owner} sent an upload that is none"));
        };
        sim.tell(|| format!("context {owner}: the server gets {} operations", operations.len()));
        let mut watch = lock(&self.watch);
        watch.commits.stands.extend(stands.into_iter().map(|stand| (stand.operation, stand.version)));
        watch.commits.lines.request(&head);
        for text in operations {
            let Ok(operation) = serde_json::from_str::<Operation>(text.get()) else {
                sim.violate(Invariant::Sound, format!("context {owner} sent an operation that is none: {text}"));
                continue;
            };
            sim.tell(|| format!("  {text}"));
            watch.commits.lines.came(&operation.id, &head);
            match watch.commits.lines.bodies.get(&operation.id) {
                Some((_, before)) => {
                    let same = before == text.get();
                    sim.mark("operation sent again");
                    sim.check(Invariant::I16, same, || format!("{} was sent as {before} and then as {text}", operation.id));
                }
                None => drop(watch.commits.lines.bodies.insert(operation.id.clone(), (operation, text.get().to_owned()))),
            }
        }
    }

    /// The server has answered an upload.
    pub(crate) fn answered(&self, sim: &Sim, tenant: &str, answer: &UploadResponse) {
        let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
        for result in &answer.results {
            let stored = lock(&self.watch).commits.tenants.get(tenant).is_some_and(|known| known.words.contains_key(&result.operation));
            let told = result.outcome.original();
            sim.check(Invariant::I1, stored || !told.is_final(), || {
                format!("{} is answered with {told:?}, which is not stored", result.operation)
            });
            let name = match &result.outcome {
                Outcome::Applied { .. } => "receipt: applied",
                Outcome::Conflict { .. } => "receipt: conflict",
                Outcome::Rejected { .. } => "receipt: rejected",
                Outcome::Blocked { .. } => "receipt: blocked",
                Outcome::Deferred { .. } => "receipt: deferred",
                Outcome::Duplicate { .. } => "receipt: duplicate",
            };
            sim.mark(name);
            if matches!(told, Outcome::Applied { rests_on: Some(_), .. }) {
                sim.mark("receipt: so already");
            }
            *seen.entry(name).or_insert(0) += 1;
        }
        sim.tell(|| format!("the server answers {tenant}: {seen:?}"));
        for result in &answer.results {
            sim.tell(|| format!("  {}: {}", result.operation, serde_json::to_string(&result.outcome).unwrap_or_default()));
        }
    }

    /// The server shows pages of what `request` asks for.
    pub(crate) fn shown(&self, sim: &Sim, tenant: &str, request: &str, lines: &[u8]) {
        sim.executor.note(lines.len() as u64);
        if lines.windows(CHANGES.len()).any(|part| part == CHANGES) {
            let text = String::from_utf8_lossy(lines);
            let page = text.lines().last().unwrap_or_default();
            sim.tell(|| format!("the server shows {tenant} {page}"));
            self.together(sim, tenant, request, page);
        }
        if self.canaries.len() > 1 {
            self.isolated(sim, tenant, &String::from_utf8_lossy(lines));
        }
    }

    /// Where a page ends, no group goes on of which it holds a member. Members of entities that were not asked for are
    /// none of its business, and one that was changed since comes with that change.
    fn together(&self, sim: &Sim, tenant: &str, request: &str, page: &str) {
        let Ok(DownloadRequest { entities, .. }) = serde_json::from_str(request) else {
            return sim.violate(Invariant::Sound, format!("{tenant}: a page answers what is no request: {request}"));
        };
        let Ok(Shown { changes }) = serde_json::from_str::<Shown>(page) else { return };
        let Some(end) = changes.last().map(|change| change.version) else { return };
        let watch = lock(&self.watch);
        let Some(known) = watch.commits.tenants.get(tenant) else { return };
        let at = |version: Version| known.changes.partition_point(|change| change.version <= version);
        let group = |operation| watch.commits.lines.bodies.get(operation)?.0.group.as_ref();
        let last = known.changes[..at(end)].last().filter(|change| change.version == end);
        let Some(of) = last.and_then(|change| group(&change.operation)) else { return };
        let rest = known.changes[at(end)..].iter().take_while(|change| group(&change.operation).is_some_and(|other| other.id == of.id));
        for change in rest.filter(|change| entities.is_empty() || entities.contains(&change.key.entity)) {
            let chain = known.chains.get(&change.key);
            // A tombstone that the server has forgotten is in no page.
            let forgotten = chain.is_some_and(|chain| chain.deleted) && change.version <= known.forgotten;
            let moved = forgotten || chain.is_none_or(|chain| chain.version != change.version);
            sim.check(Invariant::I3, moved, || format!("a page ends at {end}, within {of:?}: {} belongs to it", change.version));
        }
    }

    fn isolated(&self, sim: &Sim, tenant: &str, text: &str) {
        if self.canaries.len() < 2 {
            return;
        }
        let foreign = self.canaries.iter().find(|(other, canary)| *other != tenant && text.contains(canary.as_str()));
        sim.check(Invariant::I14, foreign.is_none(), || {
            format!("a message of {tenant} holds what belongs to {:?}", foreign.map(|(other, _)| other))
        });
    }
}
