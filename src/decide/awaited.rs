//! What a page means for unsent work that refers to the records in it. Where one of them is deleted, the work is not sent to
//! be refused: it is parked, until a page brings that record back. What no page tells of, the server judges.

use super::cache::{Cache, Run, each};
use super::chain::operations;
use super::incoming::Content;
use super::orphans::{brings, dangling};
use super::outcomes::park;
use super::overlay::OverlayRow;
use super::page::ApplyPage;
use super::rows::Seen;
use super::work::Work;
use crate::audit::Event;
use crate::model::{Kind, Operation};
use crate::outbox::{OutboxRow, State};
use crate::plan::{Read, Table};
use crate::schema::{Reference, references};

/// What the page says of a record that others may refer to.
const GONE: usize = 0;
const THERE: usize = 1;

impl ApplyPage {
    /// The records of the page that others may refer to, and what it says of them. During a resync nothing of it is seen yet.
    fn told(&self) -> Seen {
        let mut told = Seen::default();
        let targets = self.changes.iter().filter(|change| self.schema.referring_to(&change.entity).next().is_some());
        for change in targets.filter(|_| !self.is_filling()) {
            let says = match &change.state {
                Content::Deleted => GONE,
                Content::There(..) => THERE,
                Content::Refused(..) => continue,
            };
            for id in change.lookups() {
                told.put(&change.entity, &id, says);
            }
        }
        told
    }

    /// The reads that find the rows that refer to those records, where not all rows are read anyway.
    pub(super) fn awaiting(&self, work: &Work<'_>) -> Vec<Read> {
        let matters = |state: &Content| matches!(state, Content::Deleted) || self.parked && matches!(state, Content::There(..));
        let changes = self.changes.iter().filter(|change| !self.is_filling() && matters(&change.state));
        changes.flat_map(|change| work.referring(&change.entity, &change.id)).collect()
    }

    /// Parks what refers to a record that the page takes away, and lets go what was parked for one that it brings. `known`
    /// finds the row of a record among `rows`, as they were before the page.
    pub(super) fn await_targets(&self, db: &mut Cache, work: &mut Work<'_>, known: &Seen, rows: &[OverlayRow]) -> Run<()> {
        let told = if rows.is_empty() { Seen::default() } else { self.told() };
        each(rows.iter().cloned(), |row| {
            let Some(row) = work.latest(row).filter(|row| !row.is_clean()) else { return Ok(()) };
            let Some((declared, view)) = self.schema.entity(&row.entity).zip(row.view.as_ref()) else { return Ok(()) };
            let (mut gone, mut there) = (Vec::new(), Vec::new());
            for to in references(declared, view) {
                match told.get(&to.entity, &to.id) {
                    Some(THERE) if row.parked => there.push(to),
                    Some(GONE) => gone.push(to),
                    _ => {}
                }
            }
            if gone.is_empty() && there.is_empty() {
                return Ok(());
            }
            db.prefetch(row.ops.iter().map(|op| Read::Get(Table::Outbox, op.seq.into())));
            let mut lost = Vec::new();
            for to in gone {
                let target = known.get(&to.entity, &to.id).and_then(|at| work.latest(rows[at].clone()));
                // What is here to bring it back goes up before whoever refers to it.
                let back = |(_, operation): &(OutboxRow, Operation)| operation.action.kind() == Kind::Create;
                if !target.map_or(Ok(Vec::new()), |target| operations(db, work, &target))?.iter().any(back) {
                    lost.push(to);
                }
            }
            self.settle_targets(db, work, row, &lost, &there)
        })
    }

    /// The operations of one record that refers to what is gone, or to what is there again.
    fn settle_targets(&self, db: &mut Cache, work: &mut Work<'_>, mut row: OverlayRow, lost: &[Reference], there: &[Reference]) -> Run<()> {
        for op in row.ops.clone() {
            let Some((stored, operation)) = work.outbox(db, op.seq)? else { continue };
            match &stored.state {
                State::Pending if !stored.is_imported() && !work.seals(db)?.contains(op.seq) => {
                    if let Some(to) = brings(db, &self.schema, &operation, lost)? {
                        row.parked = true;
                        park(work, row.clone(), stored, &operation, dangling(to), false);
                    }
                }
                State::Parked { failure, .. }
                    if failure.code == "dangling_reference"
                        && brings(db, &self.schema, &operation, there)?.is_some_and(|to| failure.path.as_ref() == Some(&to.path)) =>
                {
                    work.note(&operation, Event::Returned);
                    work.queue(&operation, stored.with(State::Pending));
                    row.parked = operations(db, work, &row)?.iter().any(|(other, _)| matches!(other.state, State::Parked { .. }));
                    work.put(row.clone());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
