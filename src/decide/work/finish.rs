//! The end of a decision about operations: what was gathered becomes one batch of writes.

use super::{Changed, Work};
use crate::audit::{self, Event};
use crate::decide::cache::{Run, outdated};
use crate::decide::effects::Effects;
use crate::decide::rows::{row, seals_row};
use crate::model::RecordId;
use crate::plan::{Row, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::map_references;
use crate::value::Key;

impl Work<'_> {
    /// Everything as writes: one audit row if any operation changed or there is a reason to keep, the seals if any ended.
    /// Refused, as `outdated`, if it touches what only a newer release of the app knows: that release does it.
    pub(in crate::decide) fn finish(mut self) -> Run<(WriteBatch, Effects)> {
        let overlay = std::mem::take(&mut self.overlay);
        for Changed { key, row } in overlay {
            let Some(mut row) = row else {
                self.writes.push(Write::Delete(Table::Overlay, key));
                continue;
            };
            let Some(declared) = self.schema.entity(&row.entity) else {
                return Err(outdated(Table::Overlay, &row.entity));
            };
            let (mapping, at) = (&self.mapping, &self.mapping_at);
            let mut map = |entity: &str, id: &RecordId| at.get(entity, id).map(|at| mapping[at].clone());
            let waiting = row.waiting.as_mut().and_then(|state| state.data.as_mut());
            let grounds = row.ops.iter_mut().filter_map(|op| op.ground.as_mut());
            for data in [row.view.as_mut(), row.base.as_mut(), waiting].into_iter().flatten().chain(grounds) {
                map_references(declared, data, &mut map);
            }
            self.writes.push(Write::Put(Table::Overlay, row.row(declared)));
        }
        for seq in &self.effects.ended {
            self.writes.push(Write::Delete(Table::Outbox, (*seq).into()));
        }
        let all = std::mem::take(&mut self.queued);
        for (at, (seq, queued)) in all.iter().enumerate() {
            if !all[at + 1..].iter().any(|(later, _)| later == seq) {
                self.writes.push(Write::Put(Table::Outbox, row((*seq).into(), queued)));
                self.effects.queued.push(queued.clone());
            }
        }
        if let (true, Some(seals)) = (self.seals_changed, &self.seals) {
            self.writes.push(Write::Put(Table::State, seals_row(seals)));
        }
        if is(Bug::AuditLeftOut) {
            self.entries.retain(|entry| !matches!(entry.event, Event::Applied { .. } | Event::Parked { .. }));
        }
        if !self.entries.is_empty() || self.reason.is_some() {
            let seq = self.next_seq.max(self.last.as_ref().map_or(0, |row| row.seq) + 2) - 1;
            let mut operations: Vec<Key> = self.entries.iter().map(|entry| entry.operation.as_str().into()).collect();
            // Neighbours only: a store keeps one entry of several that are equal.
            operations.dedup();
            let last = self.last.as_ref().filter(|_| !is(Bug::AuditUnchained));
            let audit = audit::Row::after(last, seq, self.stamp, self.user, self.reason, self.entries);
            // It has the hash of the chain.
            let stored = Row { key: seq.into(), text: crate::value::to_text(&audit), index: operations };
            self.writes.push(Write::Put(Table::Audit, stored));
            self.effects.seq = Some(seq);
            self.effects.after_seq = self.last.as_ref().map_or(0, |row| row.seq);
        }
        Ok((self.writes, self.effects))
    }
}
