//! Quarantine: records of the download that could not be read, or are not as the schema declares them. Each lies there until
//! a page brings a state that may be shown, or until another declaration or another release of the package finds that this
//! one may: then it is applied as its page would have been, and never over something newer.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::cache::{Cache, Decision, Run, each};
use super::effects::Effects;
use super::incoming::Incoming;
use super::overlay::OverlayRow;
use super::page::ApplyPage;
use super::rows::{BaseRow, last_audit, row, seals};
use super::state::SyncState;
use super::work::Work;
use crate::model::{Epoch, RecordId, Stamp, TempId, Version};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::schema::{Fault, Schema};
use crate::value::{Key, KeyRange, Sorted};

/// A record in quarantine. Its key is its entity and ID.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// The version of the record that this is.
    pub version: Version,
    /// Its fields as they came.
    pub text: String,
    /// Why it lies here, for people.
    pub reason: String,
    /// Since when, ms by the device.
    pub at: u64,
    /// What of it is not as it is declared; nothing if it could not be read at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The version of the schema that it was held against.
    #[serde(default)]
    pub schema: u32,
    /// When its fields were written.
    #[serde(default)]
    pub stamp: Stamp,
    /// When single fields were written.
    #[serde(default, skip_serializing_if = "Sorted::is_empty")]
    pub field_stamps: Sorted<String, Stamp>,
    /// The temp ID that it was born with here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub born_as: Option<TempId>,
}

impl Quarantined {
    /// The key of a record.
    pub(super) fn key(entity: &str, id: &RecordId) -> Key {
        [entity.into(), id.to_key()].into()
    }
    /// The entity and the ID that a key is made of.
    pub(super) fn named(key: &Key) -> Option<(String, RecordId)> {
        let Key::List(parts) = key else { return None };
        match parts.as_slice() {
            [Key::Text(entity), id] => Some((entity.clone(), RecordId::from_value(&id.to_value()).ok()?)),
            _ => None,
        }
    }
    /// Reads one.
    pub(super) fn read(entity: &str, id: &RecordId) -> Read {
        Read::Get(Table::Quarantine, Self::key(entity, id))
    }
    /// How many there are.
    pub(super) fn count() -> Read {
        Read::count(Table::Quarantine, KeyRange::all())
    }
    /// Reads by which declaration they were looked at last.
    pub(super) fn looked_at() -> Read {
        Read::Get(Table::State, "quarantine".into())
    }
    /// Notes by which declaration they were looked at last.
    pub(super) fn look(schema: &Schema) -> Write {
        Write::Put(Table::State, row("quarantine".into(), &schema.release))
    }
}

/// Looks at what lies in quarantine, a part of it in one transaction: lists it, or holds it against the schema once more.
#[derive(Clone, Debug)]
pub struct LookAtQuarantine {
    /// The app's schema.
    pub schema: Rc<Schema>,
    /// Those after this one: entity and ID.
    pub after: Option<(String, RecordId)>,
    /// At most so many.
    pub limit: Option<u32>,
    /// Whether those that may be shown by now are applied. Not a decision of its own: each kind of decision is code of its own.
    pub again: bool,
    /// The entities for which the app brings functions here, and what those have against what lies there.
    pub validated: Rc<Validated>,
    /// Now, ms by the device.
    pub now: u64,
    /// Whose database it is.
    pub user: String,
}

/// What functions of the app say of records in quarantine.
#[derive(Clone, Debug, Default)]
pub struct Validated {
    /// The entities for which there is a function.
    pub entities: Vec<String>,
    /// What each of them has against a record: of this entity, ID and version.
    pub refused: Vec<(String, RecordId, Version, Vec<Fault>)>,
}

/// What was found in quarantine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InQuarantine {
    /// By entity and ID, in the order of these.
    pub found: Vec<(String, RecordId, Quarantined)>,
    /// What to show of those that were applied.
    pub effects: Effects,
}

impl Decision for LookAtQuarantine {
    type Out = InQuarantine;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, InQuarantine)> {
        let range = self.after.as_ref().map_or_else(KeyRange::all, |(entity, id)| KeyRange::above(Quarantined::key(entity, id)));
        let read = Read::Range { table: Table::Quarantine, by_index: false, range, limit: self.limit, reverse: false };
        db.prefetch([read.clone()]);
        if self.again {
            db.prefetch([last_audit(), seals(), SyncState::read()]);
        }
        let named: Vec<Option<(String, RecordId)>> = db.rows(&read)?.iter().map(|row| Quarantined::named(&row.key)).collect();
        let rows: Vec<Quarantined> = db.all(&read)?;
        let found: Vec<_> = named.into_iter().zip(rows).filter_map(|(name, row)| name.map(|(entity, id)| (entity, id, row))).collect();
        if !self.again {
            return Ok((Vec::new(), InQuarantine { found, effects: Effects::default() }));
        }
        let sync: SyncState = db.one(&SyncState::read())?.unwrap_or_default();
        // A resync under way brings all of them anew, and what a newer release keeps aside an older one leaves there.
        if sync.filling.is_some() || sync.is_ahead(&self.schema) {
            return Ok((Vec::new(), InQuarantine::default()));
        }
        let Some(epoch) = sync.epoch.clone() else { return Ok((Vec::new(), InQuarantine::default())) };
        let mut work = Work::begin(db, &self.schema, &self.user, self.now)?;
        work.seals(db)?;
        let page = self.page(&sync, epoch);
        // What a function refused, only one that is here can take back.
        let here =
            |entity: &String, kept: &Quarantined| !kept.faults.iter().any(Fault::is_said) || self.validated.entities.contains(entity);
        each(found.iter().filter(|(entity, _, kept)| here(entity, kept)), |(entity, id, kept)| {
            self.once_more(db, &mut work, &page, (entity, id, kept))
        })?;
        let all = found.iter().all(|(entity, _, kept)| here(entity, kept));
        if all && self.limit.is_none_or(|limit| u32::try_from(found.len()).is_ok_and(|few| few < limit)) {
            work.write(Quarantined::look(&self.schema));
        }
        let (batch, effects) = work.finish(db)?;
        Ok((batch, InQuarantine { found, effects }))
    }
}

impl LookAtQuarantine {
    /// Applies a record that may be shown by now, or keeps what is wrong with it by the present declaration.
    fn once_more(
        &self,
        db: &mut Cache,
        work: &mut Work<'_>,
        page: &ApplyPage,
        (entity, id, kept): (&str, &RecordId, &Quarantined),
    ) -> Run<()> {
        let Some(declared) = self.schema.entity(entity) else { return Ok(()) };
        let generation = page.from.generation;
        let mut change = Incoming::kept(&self.schema, entity, id, kept);
        let refused = &self.validated.refused;
        let said = refused.iter().find(|(other, named, version, _)| other == entity && named == id && *version == kept.version);
        if let Some((.., faults)) = said {
            change.refuse(faults.clone());
        }
        if let Some(refused) = change.refused(self.now, &self.schema) {
            let refused = Quarantined { at: kept.at, ..refused };
            if refused != *kept {
                work.write(Write::Put(Table::Quarantine, row(Quarantined::key(entity, id), &refused)));
            }
            return Ok(());
        }
        let reads: Vec<Read> = change.lookups().map(|id| OverlayRow::read_by_id(entity, &id)).collect();
        let base = BaseRow::read(generation, entity, id);
        db.prefetch(reads.iter().cloned().chain([base.clone()]));
        db.settle()?;
        let mut over = None;
        for read in &reads {
            over = over.or(db.one::<OverlayRow>(read)?);
        }
        let newer = db.one::<BaseRow>(&base)?.is_some_and(|base| base.version >= kept.version);
        match over {
            Some(row) => page.to_overlay(db, work, generation, &change, declared, row)?,
            None if newer => {}
            None => page.to_base(db, work, generation, &change, declared)?,
        }
        work.write(Write::Delete(Table::Quarantine, Quarantined::key(entity, id)));
        Ok(())
    }

    /// A page like those that brought them, on where the database stands now.
    fn page(&self, sync: &SyncState, epoch: Epoch) -> ApplyPage {
        ApplyPage {
            schema: self.schema.clone(),
            changes: Rc::default(),
            from: sync.clone(),
            scope: None,
            checkpoint: String::new(),
            through: None,
            epoch,
            offset_ms: sync.offset_ms,
            parked: true,
            now: self.now,
            user: self.user.clone(),
        }
    }
}
