//! What one database knows of each record: how far, which never goes back, wherever it is stored; and whether
//! everything is here up to where the database says so.

use std::collections::BTreeMap;

use fieldsync::model::Version;
use fieldsync::plan::{Table, Write};
use fieldsync::value::Key;

use super::end::Place;
use super::stored::{Stored, record_id};
use super::written::OverlaySeen;
use crate::seams::server::lock;
use crate::sim::{Invariant, Sim};

/// What is known of records.
#[derive(Default)]
pub(super) struct Records {
    /// The newest version that was ever shown of each.
    known: BTreeMap<Place, Version>,
    /// The overlay row of each, by its present ID.
    rows: BTreeMap<Place, Key>,
}

impl Records {
    /// An overlay row is written, in the place of what it was.
    pub(super) fn put(&mut self, key: &Key, before: Option<&OverlaySeen>, now: Option<&OverlaySeen>) {
        let place = |row: &OverlaySeen| Some((entity_of(key)?, row.id.clone()));
        // Two rows of one record may have become one: then the place is the other's.
        if let Some(place) = before.and_then(place).filter(|place| self.rows.get(place) == Some(key)) {
            self.rows.remove(&place);
        }
        if let Some(place) = now.and_then(place) {
            self.rows.insert(place, key.clone());
        }
    }
    /// Versions of another lineage count from now on.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }
}

impl Stored {
    /// The records that a batch writes, by the IDs that they have now.
    pub(super) fn touched(&self, batch: &[Write]) -> Vec<Place> {
        let place = |write: &Write| match write {
            Write::Put(Table::Overlay, row) => self.place_of(&row.key),
            Write::Delete(Table::Overlay, key) => self.place_of(key),
            Write::Put(Table::Base, row) => self.visible(&row.key),
            Write::Delete(Table::Base, key) => self.visible(key),
            _ => None,
        };
        batch.iter().filter_map(place).collect()
    }

    fn place_of(&self, key: &Key) -> Option<Place> {
        Some((entity_of(key)?, self.overlay.get(key)?.id.clone()))
    }

    fn visible(&self, key: &Key) -> Option<Place> {
        let Key::List(parts) = key else { return None };
        let [generation, entity, id] = parts.as_slice() else { return None };
        let shown = *generation == Key::from(self.generation);
        shown.then(|| Some((text(entity)?, record_id(id)?)))?
    }

    fn in_base(&self, (entity, id): &Place) -> Option<Version> {
        let key: Key = [self.generation.into(), entity.as_str().into(), id.to_key()].into();
        self.base.get(&key).copied()
    }

    fn row(&self, place: &Place) -> Option<&OverlaySeen> {
        self.records.rows.get(place).and_then(|key| self.overlay.get(key))
    }

    /// What is known of a record never goes back.
    pub(super) fn grown(&mut self, sim: &Sim, touched: Vec<Place>, another_generation: bool) {
        let all = || self.records.known.keys().cloned().collect();
        let restored = lock(&self.truth.watch).commits.tenants.get(&self.truth.tenant).is_some_and(|tenant| tenant.restored);
        for place in if another_generation { all() } else { touched } {
            // After a restore, what lies under a row that was begun anew is what another lineage had.
            let below = || self.in_base(&place).filter(|_| !restored);
            let known = self.row(&place).map_or_else(|| self.in_base(&place), |row| row.known().or_else(below));
            let Some(now) = known else { continue };
            let name = &self.name;
            let before = self.records.known.insert(place.clone(), now).unwrap_or(now);
            sim.check(Invariant::I5, before <= now, || format!("{name}: {place:?} was known at {before} and is shown at {now}"));
        }
    }

    /// Where the database says that it has everything up to somewhere, it has.
    pub(super) fn complete(&self, sim: &Sim, from: Option<Version>) {
        let Some(through) = self.through.filter(|through| from != Some(*through)) else { return };
        let watch = lock(&self.truth.watch);
        // The last word of a server that is no more is true of that one.
        if watch.commits.epoch.is_some() && watch.commits.epoch != self.epoch {
            return;
        }
        let Some(tenant) = watch.commits.tenants.get(&self.truth.tenant) else { return };
        let begun = tenant.changes.partition_point(|change| Some(change.version) <= from);
        for change in tenant.changes[begun..].iter().take_while(|change| change.version <= through) {
            let last = tenant.chains.get(&change.key).filter(|chain| chain.version == change.version);
            let Some(chain) = last.filter(|_| self.covers.contains(&change.key.entity)) else { continue };
            let place: Place = (change.key.entity.clone(), change.key.id.clone());
            let row = self.row(&place);
            let base = self.in_base(&place);
            let known = row.and_then(OverlaySeen::known).or(base);
            let holds = if chain.deleted { row.is_some() || base.is_none() } else { known >= Some(change.version) };
            sim.check(Invariant::I21, holds, || {
                format!(
                    "{}: says that it has everything up to {through}, and knows {place:?} at {known:?} and not at {}",
                    self.name, change.version
                )
            });
        }
    }
}

impl OverlaySeen {
    /// The newest state that is here, whether it counts already or waits for an outcome.
    fn known(&self) -> Option<Version> {
        self.version.max(self.waiting.as_ref().map(|state| state.version))
    }
}

fn entity_of(key: &Key) -> Option<String> {
    let Key::List(parts) = key else { return None };
    text(parts.first()?)
}

fn text(key: &Key) -> Option<String> {
    match key {
        Key::Text(text) => Some(text.to_string()),
        _ => None,
    }
}
