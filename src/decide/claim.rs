//! The claim: a batch is sealed, and from then on its bytes never change. Claiming stores nothing else, so
//! there is nothing to take back when the sender dies. And what the sender says of a batch beside its bytes: on which
//! versions those operations stand that follow another.

use super::cache::{Cache, Decision, Run};
use super::check::readable;
use super::overlay::OverlayRow;
use super::rows::{last_audit, last_audit_of, row as row_of, seals, seals_row};
use crate::audit::{self, Event};
use crate::model::{OpId, RecordId, Version};
use crate::outbox::{OutboxRow, Seals};
use crate::plan::{Read, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::value::KeyRange;

/// Seals a batch, if the sender's picture of it is still true.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The batch.
    pub operations: Vec<(u64, OpId)>,
    /// The sequence up to which the sender knows the outbox.
    pub known: u64,
    /// Of those whose form on the wire is another, that form.
    pub forms: Vec<(u64, String)>,
}

/// The versions that operations stand on which are the first of their record to be still unfinished, but for what is
/// held. One stands on none where the record has moved on since it was written, or where it came with a file and
/// follows what has gone its way here: the server finds it in conflict, so that it is judged.
#[derive(Clone, Debug)]
pub struct Stands {
    /// Those that follow another.
    pub wanted: Vec<Follower>,
    /// What is parked, and what waits for that, by sequence.
    pub held: Vec<u64>,
}

/// An operation that follows another one of its record.
#[derive(Clone, Debug)]
pub struct Follower {
    /// Its ID.
    pub operation: OpId,
    /// The one that it follows.
    pub earlier: OpId,
    /// Its entity type.
    pub entity: String,
    /// The ID under which its record's overlay row is kept.
    pub row: RecordId,
}

impl Decision for Stands {
    type Out = Vec<(OpId, Version)>;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Self::Out)> {
        db.prefetch(self.wanted.iter().map(|wanted| OverlayRow::read(&wanted.entity, &wanted.row)));
        db.prefetch(self.wanted.iter().map(|wanted| last_audit_of(&wanted.earlier)));
        db.settle()?;
        let stored = |seq: u64| Read::Get(Table::Outbox, seq.into());
        let mut found = Vec::new();
        for Follower { operation, earlier, entity, row } in &self.wanted {
            let Some(row): Option<OverlayRow> = db.one(&OverlayRow::read(entity, row))? else { continue };
            let Some(place) = row.ops.iter().position(|op| op.id == *operation) else { continue };
            db.prefetch(row.ops[..place].iter().map(|op| stored(op.seq)));
            found.push((operation.clone(), earlier, row, place));
        }
        db.settle()?;
        let mut standing = Vec::new();
        for (operation, earlier, row, place) in found {
            // What is held before it is no part of what it was written on, or it would be held too: it counts as the first.
            let alone = row.ops[..place].iter().all(|op| self.held.contains(&op.seq));
            let mut waits = false;
            for op in &row.ops[..place] {
                let before: Option<OutboxRow> = readable(db, &stored(op.seq))?;
                let is_it = |before: OutboxRow| before.operation().is_ok_and(|own| before.names(&own).any(|name| name == earlier));
                waits |= before.is_some_and(is_it);
            }
            let trail: Option<audit::Row> = readable(db, &last_audit_of(earlier))?;
            let mut entries = trail.iter().flat_map(|row| &row.entries).filter(|entry| entry.operation == *earlier);
            let ended = |event: &Event| matches!(event, Event::Superseded { .. } | Event::Applied { .. } | Event::Settled);
            let gone = !waits && entries.next_back().is_some_and(|entry| ended(&entry.event));
            let version =
                if row.is_unjudged(&row.ops[place]) { Some(Version::LOST) } else { row.version.or(gone.then_some(Version::LOST)) };
            standing.extend(version.filter(|_| alone).map(|version| (operation, version)));
        }
        Ok((Vec::new(), standing))
    }
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// All of it is sealed. Those that another sender had given a form go up in that one.
    Sealed(Vec<(u64, String)>),
    /// Somebody else changed one of these operations: look again.
    Stale,
}

impl Decision for Claim {
    type Out = Claimed;

    fn decide(&self, db: &mut Cache) -> Run<(WriteBatch, Claimed)> {
        let stored = |seq: u64| Read::Get(Table::Outbox, seq.into());
        db.prefetch([last_audit(), seals()].into_iter().chain(self.forms.iter().map(|(seq, _)| stored(*seq))));
        let last = db.one::<audit::Row>(&last_audit())?.map_or(0, |row| row.seq);
        if last > self.known {
            // New operations do not matter, they come later. A change to one of ours does.
            let since = db.all::<audit::Row>(&Read::range(Table::Audit, KeyRange::above(self.known.into())))?;
            let mut entries = since.iter().flat_map(|row| &row.entries);
            let ours = |id: &OpId| self.operations.iter().any(|(_, own)| own == id);
            if entries.any(|entry| !matches!(entry.event, Event::Written { .. }) && ours(&entry.operation)) {
                return Ok((Vec::new(), Claimed::Stale));
            }
        }
        let mut sealed: Seals = db.one(&seals())?.unwrap_or_default();
        let mut changed = false;
        for (seq, _) in &self.operations {
            changed |= sealed.insert(*seq);
        }
        let mut batch = if changed && !is(Bug::UnsealedBatch) { vec![Write::Put(Table::State, seals_row(&sealed))] } else { Vec::new() };
        let mut forms = Vec::new();
        for (seq, form) in &self.forms {
            let Some(row): Option<OutboxRow> = db.one(&stored(*seq))? else { continue };
            match row.wire {
                Some(known) => forms.push((*seq, known)),
                None => batch.push(Write::Put(Table::Outbox, row_of((*seq).into(), &OutboxRow { wire: Some(form.clone()), ..row }))),
            }
        }
        Ok((batch, Claimed::Sealed(forms)))
    }
}
