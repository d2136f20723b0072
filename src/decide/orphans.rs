//! References that lead to nothing: found by a walk over everything that the app sees, part by part, and ended one record
//! at a time. Each part is a transaction of its own: what is written while the walk goes on is seen or not.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Decision, Run, each};
use super::damaged::whole_outbox;
use super::effects::Effects;
use super::ids::present;
use super::intent::{Intent, WriteError};
use super::items::{Discard, ItemError};
use super::outcomes::park;
use super::overlay::OverlayRow;
use super::quarantine::Quarantined;
use super::rows::{BaseRow, last_audit, last_audit_of, outbox_rows, seals};
use super::state::SyncState;
use super::work::Work;
use super::write::{LocalWrite, Wanted};
use crate::model::{OpId, Operation, RecordId, Version};
use crate::outbox::{Failure, State};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::protocol::limits::BODY_BYTES_MAX;
use crate::relations::{Leads, Lost, Named, Orphan, Overlaid, ReferenceReport, Trace};
use crate::schema::{Entity, Reference, Schema, references, references_set};
use crate::value::{Key, KeyRange, Object, from_text};

/// A row of the trail is no longer than this: it goes up in one request.
const KEPT_BYTES_MAX: usize = BODY_BYTES_MAX - (1 << 20);

/// Records that one part of a check looks at.
const PART_RECORDS: u32 = 500;

/// A record as far as its references matter.
struct Holder {
    id: RecordId,
    data: Object,
    version: Option<Version>,
    unsent: bool,
}

impl Holder {
    fn overlaid(row: OverlayRow) -> Option<Self> {
        Some(Self { unsent: !row.ops.is_empty(), id: row.id, data: row.view?, version: row.version })
    }
    fn based(row: BaseRow) -> Self {
        Self { id: row.id, data: row.data, version: Some(row.version), unsent: false }
    }
}

/// The references of records, each with the place of its holder, and where they lead.
fn leads(db: &mut Cache, sync: &SyncState, declared: &Entity, holders: &[Holder]) -> Run<Vec<(usize, Reference, Leads)>> {
    let mut found: Vec<(usize, Reference)> = Vec::new();
    for (at, holder) in holders.iter().enumerate() {
        found.extend(references(declared, &holder.data).into_iter().map(|reference| (at, reference)));
    }
    let mut targets: Vec<(String, RecordId)> = found.iter().map(|(_, to)| (to.entity.clone(), to.id.clone())).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut traces = Vec::with_capacity(targets.len());
    each(&targets, |(entity, id)| {
        traces.push(trace(db, sync, entity, id)?);
        Ok(())
    })?;
    let led = found.into_iter().map(|(at, to)| {
        let traced = targets.binary_search_by(|(entity, id)| (entity, id).cmp(&(&to.entity, &to.id)));
        let leads = traced.map_or(Leads::Unknown, |target| traces[target].judge(holders[at].version));
        (at, to, leads)
    });
    Ok(led.collect())
}

/// What is stored about a record.
fn trace(db: &mut Cache, sync: &SyncState, entity: &str, named: &RecordId) -> Run<Trace> {
    let id = present(db, entity, named)?;
    let over = Read::count(Table::Overlay, KeyRange::within(vec![entity.into()]));
    let base = Read::count(Table::Base, KeyRange::only(BaseRow::key(sync.generation, entity, &id)));
    let aside = |range| Read::count(Table::Quarantine, range);
    let any_aside = aside(KeyRange::within(vec![entity.into()]));
    db.prefetch([base.clone(), any_aside.clone()]);
    // Nearly always there is none.
    let row: Option<OverlayRow> = if db.count(&over)? > 0 { db.one(&OverlayRow::read_by_id(entity, &id))? } else { None };
    let overlaid = row.map(|row| match row.view {
        Some(_) => Overlaid::Shown,
        None if row.version.is_none() => Overlaid::GivenUp,
        None => Overlaid::Deleted,
    });
    let in_base = db.count(&base)? > 0;
    let set_aside = db.count(&any_aside)? > 0 && db.count(&aside(KeyRange::only(Quarantined::key(entity, &id))))? > 0;
    // While all is downloaded anew, what is to be seen is of before.
    let through = sync.through_of(entity).filter(|_| sync.filling.is_none());
    let scoped = sync.scopes.iter().find(|scope| scope.entity == entity).and_then(|scope| scope.through);
    let through = through.map(|through| scoped.map_or(through, |scoped| scoped.max(through)));
    Ok(Trace { overlaid, in_base, set_aside, is_temp: id.as_temp().is_some(), through })
}

/// Where a part of the walk begins: within an entity first what the overlay has, then what the base has.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    entity: usize,
    in_base: bool,
    after: Option<RecordId>,
}

/// Looks at the references of the next records.
#[derive(Clone, Debug)]
pub struct CheckReferences {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Where to begin.
    pub at: Walk,
}

impl CheckReferences {
    /// The next records; and the last one's ID, where there can be more.
    fn holders(&self, db: &mut Cache, sync: &SyncState, entity: &str) -> Run<(Vec<Holder>, Option<RecordId>)> {
        // The generation may have become another one since the last part.
        let read = |table, whole: KeyRange, key: &dyn Fn(&RecordId) -> Key| {
            let lower = self.at.after.as_ref().map(|after| (key(after), true)).or(whole.lower);
            let range = KeyRange { lower, upper: whole.upper };
            Read::Range { table, by_index: false, range, limit: Some(PART_RECORDS), reverse: false }
        };
        let full = |found: usize| found >= PART_RECORDS as usize;
        let overlay = KeyRange::within(vec![entity.into()]);
        if !self.at.in_base {
            let rows: Vec<OverlayRow> = db.all(&read(Table::Overlay, overlay, &|id| OverlayRow::key_of(entity, id)))?;
            let last = rows.last().filter(|_| full(rows.len())).map(|row| row.key.clone());
            return Ok((rows.into_iter().filter_map(Holder::overlaid).collect(), last));
        }
        let below = BaseRow::range(sync.generation, entity);
        let rows: Vec<BaseRow> = db.all(&read(Table::Base, below, &|id| BaseRow::key(sync.generation, entity, id)))?;
        let last = rows.last().filter(|_| full(rows.len())).map(|row| row.id.clone());
        let over = db.count(&Read::count(Table::Overlay, overlay))?;
        let mut holders = Vec::with_capacity(rows.len());
        each(rows, |row| {
            let hides = Read::count_index(Table::Overlay, KeyRange::only([entity.into(), "".into(), row.id.to_key()].into()));
            if over == 0 || db.count(&hides)? == 0 {
                holders.push(Holder::based(row));
            }
            Ok(())
        })?;
        Ok((holders, last))
    }
}

impl Decision for CheckReferences {
    /// What this part found, and where the next one begins; nothing at the end.
    type Out = (ReferenceReport, Option<Walk>);

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let mut part = ReferenceReport::default();
        let mut entities = self.schema.entities.iter().enumerate().skip(self.at.entity);
        let Some((number, (entity, declared))) = entities.find(|(_, (_, declared))| !declared.references.is_empty()) else {
            return Ok((Vec::new(), (part, None)));
        };
        let sync = SyncState::look(db)?;
        let (holders, after) = self.holders(db, &sync, entity)?;
        part.records = u64::try_from(holders.len()).unwrap_or(u64::MAX);
        for (at, to, leads) in leads(db, &sync, declared, &holders)? {
            part.references += 1;
            match leads {
                Leads::Here => {}
                Leads::Unknown => part.unknown += 1,
                Leads::Nowhere(why) => part.dangling.push(orphan(entity, &holders[at], to, why)),
            }
        }
        let next = match (after, self.at.in_base) {
            (Some(after), in_base) => Walk { entity: number, in_base, after: Some(after) },
            (None, false) => Walk { entity: number, in_base: true, after: None },
            (None, true) => Walk { entity: number + 1, in_base: false, after: None },
        };
        Ok((Vec::new(), (part, Some(next))))
    }
}

fn orphan(entity: &str, holder: &Holder, to: Reference, why: Lost) -> Orphan {
    let target = Named { entity: to.entity, id: to.id };
    Orphan { entity: entity.to_owned(), id: holder.id.clone(), path: to.path, target, why, unsent: holder.unsent }
}

/// Why a record that refers to nothing was left as it is. Nothing was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrphanError {
    /// It may not be deleted.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What waits in the queue may not be given up or held back.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// Nothing with that reference waits in the queue.
    #[error("nothing of this record waits in the queue with that reference")]
    NotQueued,
}

/// What became of a record that referred to nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// `deleted`, `discarded` or `queued`.
    pub action: &'static str,
    /// The operations that were given up, or that are held back.
    pub operations: Vec<Operation>,
    /// All records that are no more: with this one those that were given up with it, or that its delete took along.
    pub gone: Vec<Named>,
    /// What to show.
    pub effects: Effects,
}

/// Ends one record that refers to nothing.
#[derive(Clone, Debug)]
pub struct EndOrphan {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// The record.
    pub record: Named,
    /// Whether it goes. If not, what is unsent of it is held back in the queue.
    pub delete: bool,
    /// Whether nothing shall be stored.
    pub dry: bool,
    /// Where nothing is stored: the records that would be gone by now.
    pub gone: Rc<Vec<Named>>,
    /// Records that an earlier try found to go along.
    pub along: Rc<Vec<Named>>,
    /// Why, where the person said so.
    pub reason: Option<String>,
    /// Whether a delete may annul what was never claimed.
    pub coalesce: bool,
    /// The ID of the delete, made before.
    pub operation: OpId,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
    /// The generation of `base` as last seen, so that the record comes with the first round.
    pub generation: u64,
}

type Ending = (WriteBatch, Result<Option<Ended>, OrphanError>);

impl EndOrphan {
    /// The record goes: by a delete, or where the server never had it, with its create.
    fn delete(&self, db: &mut Cache, sync: &SyncState, row: Option<&OverlayRow>) -> Run<Ending> {
        let (schema, now, user) = (self.schema.clone(), self.now, self.user.clone());
        if let Some(first) = row.filter(|row| row.version.is_none()).and_then(|row| row.ops.first()) {
            let operation = (first.seq, first.id.clone());
            let (batch, done) = Discard { schema, operation, keeps: true, reason: self.reason.clone(), now, user }.decide(db)?;
            let (ids, effects) = match done {
                Ok(done) => done,
                Err(error) => return Ok((Vec::new(), Err(error.into()))),
            };
            let all = whole_outbox(db)?.into_iter().map(|(_, operation)| operation);
            let operations = all.filter(|operation| ids.contains(&operation.id)).collect();
            let ended = Ended { action: "discarded", operations, gone: gone_by(&batch), effects };
            return Ok((batch, Ok(Some(ended))));
        }
        let Named { entity, id } = self.record.clone();
        let wanted = vec![Wanted { entity, intent: Intent::Delete { id }, operation: self.operation.clone() }];
        let (coalesce, generation, ended) = (self.coalesce, sync.generation, self.gone.clone());
        let write = LocalWrite {
            schema,
            wanted,
            coalesce,
            now,
            user,
            generation,
            dry: false,
            shown: None,
            ended,
            keeps: true,
            along: self.along.clone(),
        };
        let (batch, done) = write.decide(db)?;
        Ok(match done {
            Ok(written) => {
                let ended = Ended { action: "deleted", operations: Vec::new(), gone: gone_by(&batch), effects: written.effects };
                (batch, Ok(Some(ended)))
            }
            Err((_, error)) => (Vec::new(), Err(error.into())),
        })
    }

    /// What is unsent and would take the reference to the server waits for a person instead.
    fn hold(&self, db: &mut Cache, row: Option<OverlayRow>, lost: &[Reference]) -> Run<Ending> {
        let refused = |error: OrphanError| Ok((Vec::new(), Err(error)));
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        let mut operations = Vec::new();
        let Some(mut row) = row else { return refused(OrphanError::NotQueued) };
        for op in row.ops.clone() {
            let Some((stored, operation)) = work.outbox(db, op.seq)? else { continue };
            let Some(reference) = brings(db, &self.schema, &operation, lost)? else { continue };
            match stored.state {
                State::Acknowledged { .. } => continue,
                State::Conflict { .. } => return refused(ItemError::InConflict.into()),
                State::Parked { .. } => {}
                State::Pending if stored.is_imported() || work.seals(db)?.contains(op.seq) => {
                    return refused(ItemError::Sealed.into());
                }
                State::Pending => {
                    row.parked = true;
                    park(&mut work, row.clone(), stored, &operation, dangling(reference), false);
                }
            }
            operations.push(operation);
        }
        if operations.is_empty() {
            return refused(OrphanError::NotQueued);
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, Ok(Some(Ended { action: "queued", operations, gone: Vec::new(), effects }))))
    }
}

/// The records that are no more when this is stored.
fn gone_by(batch: &WriteBatch) -> Vec<Named> {
    let gone = batch.iter().filter_map(|write| match write {
        Write::Put(Table::Overlay, row) => from_text::<OverlayRow>(&row.text).ok().filter(|row| row.view.is_none()),
        _ => None,
    });
    gone.map(|row| Named { entity: row.entity, id: row.id }).collect()
}

/// Why an operation is held back that would take such a reference to the server.
pub(super) fn dangling(to: &Reference) -> Failure {
    let message = format!("it refers to the {} '{}', which is not there", to.entity, to.id);
    Failure { code: "dangling_reference".to_owned(), message, path: Some(to.path.clone()), faults: Vec::new() }
}

/// Of these references the first that an operation sets. It has the IDs with which it was written.
pub(super) fn brings<'l>(db: &mut Cache, schema: &Schema, operation: &Operation, lost: &'l [Reference]) -> Run<Option<&'l Reference>> {
    for set in schema.entity(&operation.entity).map(|declared| references_set(declared, &operation.action)).unwrap_or_default() {
        let id = present(db, &set.entity, &set.id)?;
        let found = lost.iter().find(|lost| lost.entity == set.entity && lost.id == id);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

impl Decision for EndOrphan {
    /// Nothing where the record is gone, or refers to nothing that is missing any more.
    type Out = Result<Option<Ended>, OrphanError>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        let Named { entity, id } = &self.record;
        let (over, known) = (OverlayRow::read_by_id(entity, id), last_audit_of(&self.operation));
        db.prefetch([SyncState::read(), over.clone(), known.clone(), last_audit(), seals()]);
        db.prefetch([BaseRow::read(self.generation, entity, id)]);
        let sync = SyncState::look(db)?;
        let row: Option<OverlayRow> = db.one(&over)?;
        // What the end will need, in one round with what the references lead to.
        if self.delete && row.as_ref().is_some_and(|row| row.version.is_none()) {
            db.prefetch([outbox_rows()]);
        }
        db.prefetch(row.iter().flat_map(|row| &row.ops).map(|op| Read::Get(Table::Outbox, op.seq.into())));
        let holder = match row.clone() {
            Some(row) => Holder::overlaid(row),
            None => db.one::<BaseRow>(&BaseRow::read(sync.generation, entity, id))?.map(Holder::based),
        };
        // The connection can have died after the commit and before we were told: the delete stands.
        let stands = !db.rows(&known)?.is_empty();
        let declared = self.schema.entity(entity);
        let holders: Vec<Holder> = holder.into_iter().collect();
        let led = declared.map_or(Ok(Vec::new()), |declared| leads(db, &sync, declared, &holders))?;
        let lost = led.into_iter().filter(|(_, _, leads)| matches!(leads, Leads::Nowhere(_)));
        let lost: Vec<Reference> = lost.map(|(_, reference, _)| reference).collect();
        if lost.is_empty() && !stands {
            return Ok((Vec::new(), Ok(None)));
        }
        let (batch, done) = if self.delete { self.delete(db, &sync, row.as_ref())? } else { self.hold(db, row, &lost)? };
        let is_long = |write: &Write| matches!(write, Write::Put(Table::Audit, row) if row.text.len() > KEPT_BYTES_MAX);
        if batch.iter().any(is_long) {
            let reason = "the audit trail keeps what is given up, and this is too much for one row: give it up in parts".to_owned();
            return Ok((Vec::new(), Err(WriteError::Value { code: "too_large", reason }.into())));
        }
        Ok((if self.dry { Vec::new() } else { batch }, done))
    }
}
