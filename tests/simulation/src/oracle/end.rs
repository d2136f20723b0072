//! The comparison at the end, when everything works and nothing moves any more: every operation that was
//! reported saved is accounted for, every device shows what the server has, and no temp ID is left where a
//! real one belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use fieldsync::audit::{Chain, Ends, Event, Stored as StoredRow};
use fieldsync::model::{Action, ClientId, OpId, RecordId, Version};
use fieldsync::outbox::State;
use fieldsync::plan::Table;
use fieldsync::protocol::Outcome;
use fieldsync::schema::references;
use fieldsync::value::{Hash, Object, from_value};
use fieldsync_server::store::{PageBounds, RecordKey, Scope, ServerStore};
use serde::Deserialize;
use serde_json::Value;

use crate::oracle::commits::Commits;
use crate::oracle::lines::Lines;
use crate::oracle::stored::{Stored, number, record_id};
use crate::oracle::{trails, waiting};
use crate::seams::server::{at_once, lock};
use crate::sim::{Invariant, Sim};
use crate::user::Saved;
use crate::world::{Database, World};

/// Entity and ID.
pub(crate) type Place = (String, RecordId);

/// A record of the server, or its tombstone.
pub(crate) struct There {
    version: Version,
    pub(crate) data: Option<Object>,
}

#[derive(Deserialize)]
struct Overlay {
    entity: String,
    key: RecordId,
    id: RecordId,
    version: Option<Version>,
    base: Option<Object>,
    view: Option<Object>,
    ops: Vec<Value>,
    waiting: Option<Value>,
}

#[derive(Deserialize)]
struct Base {
    id: RecordId,
    version: Version,
    data: Object,
}

#[derive(Deserialize)]
struct Mapped {
    id: RecordId,
}

/// Compares everything. `queues` is what each database's outbox looks like to its app.
pub(crate) fn compare(world: &World, queues: &[Result<Vec<Value>, String>]) {
    let mut tenants: BTreeMap<&str, BTreeMap<Place, There>> = BTreeMap::new();
    let successors = lock(&world.server.watch).commits.successors();
    for database in &world.databases {
        let tenant = database.plan.tenant.as_str();
        let there = tenants.entry(tenant).or_insert_with(|| records(world, tenant));
        let look = Look { world, sim: &world.sim, database };
        look.saved(&successors);
        look.shown(there);
        look.names();
        look.proved();
        match &queues[look.at()] {
            Ok(queue) => waiting::check(world, database, queue),
            Err(error) => world.sim.violate(Invariant::I8, format!("{}: nobody can see what waits: {error}", database.name)),
        }
    }
    for (tenant, there) in &tenants {
        for ((entity, id), record) in there {
            let (Some(data), Some(declared)) = (&record.data, world.schema.entity(entity)) else { continue };
            let temp = references(declared, data).into_iter().find(|reference| reference.id.as_temp().is_some());
            world.sim.check(Invariant::I6, temp.is_none(), || format!("{tenant}: {entity} {id} at the server refers to {temp:?}"));
        }
    }
}

/// All records of a tenant as the server has them.
pub(crate) fn records(world: &World, tenant: &str) -> BTreeMap<Place, There> {
    let nobody = ClientId::parse("0190a1b2-0000-7000-8000-000000000000").expect("a client ID");
    let bounds = PageBounds { records_max: usize::MAX, bytes_max: usize::MAX };
    let (service, everything) = (world.server.service(), Scope::default());
    let Ok(page) = at_once(service.store().page(tenant, &nobody, Version(0), &everything, bounds)) else {
        world.sim.violate(Invariant::Sound, format!("the server cannot read {tenant}"));
        return BTreeMap::new();
    };
    let record = |text: String| serde_json::from_str(&text).unwrap_or_default();
    let rows = page.rows.into_iter();
    rows.map(|row| ((row.key.entity, row.key.id), There { version: row.version, data: row.data.map(record) })).collect()
}

struct Look<'w> {
    world: &'w World,
    sim: &'w Sim,
    database: &'w Rc<Database>,
}

impl Look<'_> {
    fn at(&self) -> usize {
        self.world.databases.iter().position(|other| Rc::ptr_eq(other, self.database)).unwrap_or(0)
    }

    /// Every operation that was reported saved is where the trail says, and its payload with it.
    fn saved(&self, successors: &BTreeMap<OpId, Vec<OpId>>) {
        let watch = self.database.rows.watch.borrow();
        let server = lock(&self.world.server.watch);
        let commits = &server.commits;
        let words = commits.tenants.get(&self.database.plan.tenant);
        let mut conflicts = String::new();
        self.database.rows.with(Table::Conflicts, |table| table.rows().for_each(|row| conflicts.push_str(&row.text)));
        watch.ended.values().for_each(|ended| conflicts.push_str(ended));
        // Every mark that reached the server in an operation that it applied, or that can still be seen here.
        let mut visible = BTreeSet::new();
        marks(&conflicts, &mut visible);
        for queued in watch.outbox.values() {
            marks(&queued.body, &mut visible);
        }
        // The device that work was carried to may have issued it anew, and more than once: then that is what took
        // effect.
        let (mut open, mut seen): (Vec<&OpId>, BTreeSet<&OpId>) = (watch.trail.keys().collect(), BTreeSet::new());
        while let Some(operation) = open.pop() {
            if !seen.insert(operation) {
                continue;
            }
            let Some(tenant) = words else { break };
            let applied = tenant.words.get(operation).map(|word| &word.outcome);
            if let (Some(Outcome::Applied { .. }), Some((_, body))) = (applied, commits.lines.bodies.get(operation)) {
                marks(body, &mut visible);
            }
            open.extend(successors.get(operation).into_iter().flatten());
        }
        let queued: BTreeMap<&OpId, &State> = watch.outbox.values().map(|queued| (&queued.operation.id, &queued.state)).collect();
        for saved in &self.database.history.borrow().saved {
            let Ok(id) = OpId::parse(&saved.operation) else { continue };
            if watch.forgotten.contains(&id) {
                continue;
            }
            let end = follow(&watch, &commits.lines, &id);
            let Some((last, event, amended)) = end else {
                self.sim.check(Invariant::I1, false, || format!("{}: {saved:?} is not in the audit trail", self.database.name));
                continue;
            };
            let word = words.and_then(|tenant| tenant.words.get(&last)).map(|word| &word.outcome);
            let (holds, gone) = match event {
                // What found that it was so already may be forgotten by a restored server. That it is so, is not.
                Event::Settled if commits.excused.contains_key(&last) => (true, amended),
                Event::Applied { version } if commits.excused.get(&last) == Some(version) => (true, amended),
                Event::Applied { version } => (matches!(word, Some(Outcome::Applied { version: there, .. }) if there == version), amended),
                Event::Settled => (matches!(word, Some(Outcome::Applied { .. })), amended),
                Event::Conflict { .. } => (matches!(queued.get(&last), Some(State::Conflict { .. })), amended),
                Event::Parked { .. } => (matches!(queued.get(&last), Some(State::Parked { .. })), amended),
                // Annulled by a delete of what was never sent, or the server's state holds it already.
                Event::Coalesced { by: None, version } => (true, amended || version.is_none()),
                Event::Discarded => (true, true),
                Event::Written { .. }
                | Event::Rebased { .. }
                | Event::Amended { .. }
                | Event::Imported { .. }
                | Event::Returned
                | Event::Blocked
                | Event::Restored { .. }
                | Event::Undone { .. }
                | Event::Resolved { .. }
                | Event::Exported
                | Event::Purged { .. }
                | Event::Repaired { .. } => {
                    (matches!(queued.get(&last), Some(State::Pending | State::Conflict { .. } | State::Parked { .. })), amended)
                }
                Event::Superseded { .. } | Event::Coalesced { by: Some(_), .. } => (false, amended),
            };
            self.sim.check(Invariant::I1, holds, || {
                format!(
                    "{}: {saved:?}: the trail ends with {event:?} of {last}, the outbox says {:?}, the server {word:?}",
                    self.database.name,
                    queued.get(&last)
                )
            });
            if matches!(event, Event::Applied { .. } | Event::Settled) {
                let counted = commits.items.is_counted(&commits.lines, &id, &last);
                self.sim.check(Invariant::I7, counted, || {
                    format!("{}: {saved:?} was applied as {last}, and its count was not", self.database.name)
                });
            }
            // What is left of a member of a group, or of what closes the server's copy of a conflict, can want nothing too.
            let nothing = commits.lines.bodies.get(&last).is_some_and(|(operation, _)| operation.action == Action::nothing());
            let elsewhere = nothing || matches!(event, Event::Coalesced { .. });
            let lost = || saved.marker.as_deref().is_some_and(|marker| self.is_lost_elsewhere(marker, commits));
            self.payload(saved, gone || elsewhere && lost(), elsewhere, &visible, event);
        }
        let elsewhere = commits.written.get(&self.database.plan.tenant);
        for (id, events) in &watch.trail {
            // A wipe tells what went with it, and takes the rows that told of its beginning. What was imported has had
            // other names elsewhere, under which it is given up too; but under each of them somebody wrote it.
            let here = watch.forgotten.contains(id) || events.iter().any(|event| matches!(event, Event::Written { .. }));
            let brought = events.iter().any(|event| matches!(event, Event::Imported { .. })) || events.iter().all(Event::is_given_up);
            // A conflict was taken back, or something was let go, and nothing had to be written for that.
            let nothing = events.iter().all(|event| matches!(event, Event::Restored { .. } | Event::Undone { .. } | Event::Purged { .. }));
            let written = here || nothing || brought && elsewhere.is_some_and(|elsewhere| elsewhere.contains(id));
            self.sim.check(Invariant::I12, written, || format!("{}: {id} was never written: {events:?}", self.database.name));
        }
    }

    /// What the server's state held already is in the hands of whoever had written it there, should the server lose it.
    fn is_kept_elsewhere(&self, marker: &str) -> bool {
        let mut others = self.world.databases.iter().filter(|other| other.plan.tenant == self.database.plan.tenant);
        // There it can have been in conflict since: the loser is kept with that.
        let lost = |other: &Rc<Database>| other.rows.with(Table::Conflicts, |table| table.rows().any(|row| row.text.contains(marker)));
        let holds =
            |other: &Rc<Database>| other.rows.watch.borrow().outbox.values().any(|queued| queued.body.contains(marker)) || lost(other);
        others.any(holds)
    }

    /// Whether somebody had written it whose database is lost since: with it went what would bring it again.
    fn is_lost_elsewhere(&self, marker: &str, commits: &Commits) -> bool {
        let mut sent = commits.lines.bodies.iter().filter(|(_, (_, body))| body.contains(marker)).map(|(id, _)| id);
        let is_known = |id| self.world.databases.iter().any(|database| database.rows.watch.borrow().trail.contains_key(id));
        sent.any(|id| !is_known(id))
    }

    /// `elsewhere`: whether the server's state held it already.
    fn payload(&self, saved: &Saved, gone: bool, elsewhere: bool, visible: &BTreeSet<String>, event: &Event) {
        let Some(marker) = &saved.marker else { return };
        let there = || visible.contains(marker) || elsewhere && self.is_kept_elsewhere(marker);
        self.sim.check(Invariant::I1, gone || there(), || {
            format!(
                "{}: the payload of {saved:?} is nowhere: not applied, not queued, in no conflict; it ended with {event:?}",
                self.database.name
            )
        });
    }

    /// The device shows what the server has, except where the app has something of its own to say.
    fn shown(&self, there: &BTreeMap<Place, There>) {
        let name = &self.database.name;
        let mut here: BTreeMap<Place, (Option<Version>, Option<Object>)> = BTreeMap::new();
        let generation = self.database.rows.with(Table::State, |table| {
            let sync = table.rows().find(|row| row.key == "sync".into()).and_then(|row| serde_json::from_str::<Value>(&row.text).ok());
            sync.and_then(|sync| sync["generation"].as_u64()).unwrap_or(0)
        });
        self.database.rows.with(Table::Base, |table| {
            for row in table.rows() {
                let (Some((of, entity)), Ok(base)) = (base_key(&row.key.to_value()), serde_json::from_str::<Base>(&row.text)) else {
                    continue;
                };
                if of == generation {
                    here.insert((entity, base.id), (Some(base.version), Some(base.data)));
                }
            }
        });
        let tenant = &self.database.plan.tenant;
        let restored = lock(&self.world.server.watch).commits.tenants.get(tenant).is_some_and(|tenant| tenant.restored);
        let mut own = BTreeSet::new();
        self.database.rows.with(Table::Overlay, |table| {
            for row in table.rows() {
                let Ok(overlay) = serde_json::from_str::<Overlay>(&row.text) else { continue };
                let place = (overlay.entity.clone(), overlay.id.clone());
                if overlay.ops.is_empty() {
                    here.insert(place, (overlay.version, overlay.view));
                    continue;
                }
                // What the app has to say stands over what the server said; that must be the server's last word.
                let known = there.get(&place);
                // A full download brings no tombstones: a device knows then that the record is gone, at the version of
                // that download.
                let deleted = self.deleted(&place);
                let last = overlay.waiting.as_ref().and_then(|state| from_value(&state["version"]).ok()).or(overlay.version);
                // What a restored server lost without a trace has no version there.
                let lost = restored && known.is_none() && deleted.is_none();
                let holds = lost || last == known.map(|record| record.version) || (deleted.is_some() && last >= deleted);
                self.sim.check(Invariant::I10, holds, || {
                    format!(
                        "{name}: {} {} ({}) has work under way on version {last:?}, the server has {:?} or deleted it at {deleted:?}",
                        overlay.entity,
                        overlay.id,
                        overlay.key,
                        known.map(|record| record.version)
                    )
                });
                let same = overlay.waiting.is_some() || overlay.base.as_ref() == known.and_then(|record| record.data.as_ref());
                self.sim.check(Invariant::I10, same, || {
                    let there = known.map(|record| (record.version, &record.data));
                    format!(
                        "{name}: the base of {} {} ({}) at {last:?} is not what the server has: {:?}, there {there:?}",
                        overlay.entity, overlay.id, overlay.key, overlay.base
                    )
                });
                here.remove(&place);
                own.insert(place);
            }
        });
        for (place, record) in there.iter().filter(|(place, _)| !own.contains(place)) {
            let shown = here.remove(place);
            let (version, data) = shown.unwrap_or((None, None));
            let holds = data == record.data && (version.is_none() || version == Some(record.version));
            self.sim.check(Invariant::I10, holds, || {
                format!("{name}: shows {place:?} as {data:?} at {version:?}, the server has {:?} at {}", record.data, record.version)
            });
        }
        here.retain(|_, (_, data)| data.is_some());
        self.sim.check(Invariant::I10, here.is_empty(), || format!("{name}: shows what the server does not have: {here:?}"));
    }

    /// The version of the tombstone of a record that is deleted.
    fn deleted(&self, (entity, id): &Place) -> Option<Version> {
        let server = lock(&self.world.server.watch);
        let tenant = server.commits.tenants.get(&self.database.plan.tenant)?;
        let chain = tenant.chains.get(&RecordKey { entity: entity.clone(), id: id.clone() })?;
        chain.deleted.then_some(chain.version)
    }

    /// The trail can be followed from its first row, and every operation in it that left the outbox has an end there.
    fn proved(&self) {
        #[derive(Deserialize)]
        struct Anchor {
            number: u64,
            hash: Hash,
        }
        let rows = self.database.rows.with(Table::Audit, |table| {
            table.rows().map(|row| StoredRow { key: number(&row.key), text: row.text.clone() }).collect::<Vec<_>>()
        });
        let anchor = self.database.rows.with(Table::State, |table| {
            let found = table.rows().find(|row| row.key == "auditAnchor".into());
            found.and_then(|row| serde_json::from_str::<Anchor>(&row.text).ok())
        });
        let mut chain = anchor.map_or_else(Chain::beginning, |anchor| Chain::at(anchor.number, anchor.hash));
        let mut ends = Ends::default();
        if self.world.plan.declared.trail {
            trails::taken(self.world, self.database, &rows);
        }
        for (at, row) in rows.iter().enumerate() {
            let followed = chain.follow(row, rows.get(at + 1));
            self.sim.check(Invariant::I12, followed.is_ok(), || format!("{}: the trail breaks: {followed:?}", self.database.name));
            row.object().iter().for_each(|row| ends.see(row));
        }
        let waiting: Vec<OpId> = self.database.rows.watch.borrow().outbox.values().map(|queued| queued.operation.id.clone()).collect();
        let missing = ends.missing(&waiting);
        self.sim.check(Invariant::I12, missing.is_empty(), || format!("{}: {missing:?} left without an end", self.database.name));
    }

    /// Every temp ID leads to one real ID, and no two to the same. A real ID leads to another where a restored
    /// server had given it away meanwhile.
    fn names(&self) {
        self.database.rows.with(Table::Ids, |table| {
            let mut taken: BTreeMap<(String, RecordId), RecordId> = BTreeMap::new();
            for row in table.rows() {
                let fieldsync::value::Key::List(parts) = &row.key else { continue };
                let (Some(entity), Some(earlier)) = (parts.first().and_then(record_id), parts.get(1).and_then(record_id)) else { continue };
                let Ok(mapped) = serde_json::from_str::<Mapped>(&row.text) else { continue };
                if earlier.as_temp().is_none() {
                    continue;
                }
                let before = taken.insert((entity.to_string(), mapped.id.clone()), earlier.clone());
                self.sim.check(Invariant::I6, before.is_none(), || {
                    format!("{}: {entity} {} was both {earlier} and {before:?}", self.database.name, mapped.id)
                });
            }
        });
    }
}

/// Where a saved operation came to: the last one that stands in its place or that it became part of, its last
/// event, and whether its payload may have been replaced by a later write of the same person on the way.
fn follow<'s>(stored: &'s Stored, lines: &Lines, id: &OpId) -> Option<(OpId, &'s Event, bool)> {
    let (mut id, mut seen, mut amended) = (id.clone(), 0, false);
    for _ in 0..=stored.trail.len() {
        let events = stored.trail.get(&id)?;
        amended |= events.iter().skip(seen).any(|event| matches!(event, Event::Amended { .. }));
        (id, seen) = match events.last()? {
            Event::Superseded { by } => (by.clone(), 0),
            // What was joined to that one later may stand over it.
            Event::Coalesced { by: Some(by), .. } => {
                // A decision takes all in that was written meanwhile.
                amended |= lines.is_written_over(&id, by);
                (by.clone(), stored.joined.get(&id).copied().unwrap_or(0))
            }
            event => return Some((id, event, amended)),
        };
    }
    None
}

fn base_key(key: &Value) -> Option<(u64, String)> {
    Some((key.get(0)?.as_u64()?, key.get(1)?.as_str()?.to_owned()))
}

/// Every `~number~` of a text.
fn marks(text: &str, into: &mut BTreeSet<String>) {
    let mut parts = text.split('~').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_some() && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            into.insert(format!("~{part}~"));
        }
    }
}
