//! The end of a decision about operations: what was gathered becomes one batch of writes.

use super::{Changed, Work};
use crate::audit::{self, Event};
use crate::decide::cache::{Cache, Run, outdated};
use crate::decide::effects::Effects;
use crate::decide::look::{named, record};
use crate::decide::overlay::OverlayRow;
use crate::decide::rows::{BaseRow, Seen, row, seals_row};
use crate::model::RecordId;
use crate::plan::{Row, Table, Write, WriteBatch};
use crate::planted::{Bug, is};
use crate::schema::map_references;
use crate::value::{Key, Object, from_text};

impl Work<'_> {
    /// Everything as writes: one audit row if any operation changed or there is a reason to keep, the seals if any ended.
    /// Refused, as `outdated`, if it touches what only a newer release of the app knows: that release does it.
    pub(in crate::decide) fn finish(mut self, db: &Cache) -> Run<(WriteBatch, Effects)> {
        let mut overlay = std::mem::take(&mut self.overlay);
        for Changed { key, row, .. } in &mut overlay {
            let Some(row) = row else {
                self.writes.push(Write::Delete(Table::Overlay, key.clone()));
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
        self.prove(db, &overlay);
        if is(Bug::AuditLeftOut) {
            self.entries.retain(|entry| !matches!(entry.event, Event::Applied { .. } | Event::Parked { .. }));
        }
        if !self.entries.is_empty() || self.reason.is_some() {
            let seq = self.next_seq.max(self.last.as_ref().map_or(0, |row| row.seq) + 2) - 1;
            let mut operations: Vec<Key> = self.entries.iter().map(|entry| entry.operation.as_str().into()).collect();
            // Neighbours only: a store keeps one entry of several that are equal.
            operations.dedup();
            let last = self.last.as_ref().filter(|_| !is(Bug::AuditUnchained));
            let audit = audit::Row::after(last, seq, self.stamp, self.offset, self.user, self.reason, self.entries);
            // It has the hash of the chain.
            let stored = Row { key: seq.into(), text: crate::value::to_text(&audit), index: operations };
            self.writes.push(Write::Put(Table::Audit, stored));
            self.effects.seq = Some(seq);
            self.effects.after_seq = self.last.as_ref().map_or(0, |row| row.seq);
        }
        Ok((self.writes, self.effects))
    }

    /// Of each record that the row tells of, the last entry proves what it was before, by what was read of it, and what it is now.
    fn prove(&mut self, db: &Cache, overlay: &[Changed]) {
        if self.entries.is_empty() {
            return;
        }
        let mut was: Vec<Option<Object>> = vec![None; overlay.len()];
        let mut note = |table, read: fn(&str) -> Option<Object>| {
            for found in db.seen(table) {
                let about = named(table, &found.key).and_then(|(entity, id)| self.overlay_at.get(entity, &record(id)?));
                if let Some(at) = about {
                    was[at] = read(&found.text);
                }
            }
        };
        note(Table::Base, |text| Some(from_text::<BaseRow>(text).ok()?.data));
        // What lies over it is what was to be seen.
        note(Table::Overlay, |text| from_text::<OverlayRow>(text).ok()?.view);
        // A record is told of by the ID that it has, or by the one that it had when the row was made.
        let (mut by_id, mut told) = (Seen::default(), vec![false; overlay.len()]);
        for (at, row) in overlay.iter().enumerate().filter_map(|(at, changed)| Some((at, changed.row.as_ref()?))) {
            by_id.put(&row.entity, &row.id, at);
        }
        for entry in self.entries.iter_mut().rev() {
            let (entity, id) = (&entry.entity, &entry.record);
            let Some(at) = by_id.get(entity, id).or_else(|| self.overlay_at.get(entity, id)) else { continue };
            if !std::mem::replace(&mut told[at], true) {
                let changed = &overlay[at];
                let is = changed.row.as_ref().map_or(changed.left.as_ref(), |row| row.view.as_ref());
                entry.prove(was[at].as_ref(), is);
            }
        }
    }
}
