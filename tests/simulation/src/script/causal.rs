//! What readers may not fall behind, after the causal checker of the public Jepsen suite for PowerSync
//! (nurturenature/jepsen-powersync, powersync_endpoint/lib/causal_checker.dart). What comes after what is said by the
//! server: by the versions at which it applied the values.
//!
//! A context that has read a value of a record reads no earlier one of it later: that is asserted. Across records it is
//! counted how often a read misses what the writer of another value that it sees had known. We promise less there
//! than PowerSync does, whose client waits for whole checkpoints: the receipt of a conflict shows that one record as
//! it stands at the server, ahead of the page that brings the rest, and a record with unfinished work of the
//! reader's own shows that work until its receipt comes.

use std::collections::BTreeMap;

use fieldsync::model::{Action, Version};
use fieldsync::protocol::Outcome;
use fieldsync::value::Object;
use serde_json::Value;

use crate::executor::Owner;
use crate::seams::server::lock;
use crate::sim::Invariant;
use crate::world::World;

/// The value of each record, by name.
type Values = BTreeMap<String, u64>;

/// What a context did with all records of an entity.
#[derive(Debug)]
pub(super) enum Deed {
    Read(Values),
    /// Wrote this value to these.
    Wrote(Vec<String>, u64),
}

/// When each value of a record took effect.
struct Order(BTreeMap<(String, u64), Version>);

impl Order {
    fn of(world: &World, tenant: &str) -> Self {
        let server = lock(&world.server.watch);
        let commits = &server.commits;
        let Some(known) = commits.tenants.get(tenant) else { return Self(BTreeMap::new()) };
        let (mut names, mut order) = (BTreeMap::new(), BTreeMap::new());
        for change in &known.changes {
            let Some((operation, _)) = commits.lines.bodies.get(&change.operation) else { continue };
            let mut fields = Object::new();
            match &operation.action {
                Action::Create { data } => {
                    names.insert(&change.key, data.get("label").and_then(name_of).unwrap_or_default().to_owned());
                    fields.clone_from(data);
                }
                Action::Update { delta } => delta.apply(&mut fields),
                Action::Delete => {}
            }
            let applied = matches!(known.words.get(&change.operation).map(|word| &word.outcome), Some(Outcome::Applied { .. }));
            if let (true, Some(value), Some(name)) = (applied, fields.get("value").and_then(Value::as_u64), names.get(&change.key)) {
                order.entry((name.clone(), value)).or_insert(change.version);
            }
        }
        Self(order)
    }
    /// When a value took effect, if it ever did.
    fn at(&self, name: &str, value: u64) -> Option<Version> {
        self.0.get(&(name.to_owned(), value)).copied()
    }
    /// Whether a value is older than another.
    fn is_before(&self, name: &str, value: u64, other: u64) -> bool {
        matches!((self.at(name, value), self.at(name, other)), (Some(value), Some(other)) if value < other)
    }
    /// A record of which less was read than this.
    fn missed<'l>(&self, read: &Values, least: &'l Values) -> Option<&'l str> {
        let less = |name: &str, least| read.get(name).is_none_or(|found| self.is_before(name, *found, least));
        least.iter().find(|(name, least)| less(name, **least)).map(|(name, _)| name.as_str())
    }
    /// Takes over what is newer.
    fn learn(&self, knows: &mut Values, more: &Values) {
        for (name, value) in more {
            let known = knows.entry(name.clone()).or_insert(*value);
            if self.at(name, *value).is_some() && !self.is_before(name, *value, *known) {
                *known = *value;
            }
        }
    }
}

fn name_of(label: &Value) -> Option<&str> {
    label.as_str()?.split(" ~").next()
}

impl World {
    /// A context has read all records of an entity at once.
    pub(super) fn read(&self, owner: Owner, records: &[Value]) {
        let value = |record: &Value| Some((name_of(&record["label"])?.to_owned(), record["value"].as_u64()?));
        let read = records.iter().filter_map(value).collect();
        self.script.deeds.borrow_mut().push((owner, Deed::Read(read)));
    }
    /// A context has written a value to some records.
    pub(super) fn wrote(&self, owner: Owner, names: &[String], value: u64) {
        self.script.deeds.borrow_mut().push((owner, Deed::Wrote(names.to_vec(), value)));
    }
}

/// Looks back at everything that was read and written.
pub(super) fn look_back(world: &World) {
    let deeds = world.script.deeds.take();
    let Some((first, _)) = deeds.first() else { return };
    let Some(context) = world.context(*first) else { return };
    let order = Order::of(world, &world.database_of(context).plan.tenant);
    let mut all: BTreeMap<Owner, Values> = BTreeMap::new();
    let mut behind: BTreeMap<(String, u64), Values> = BTreeMap::new();
    for (owner, deed) in &deeds {
        let knows = all.entry(*owner).or_default();
        match deed {
            Deed::Read(read) => {
                let less = order.missed(read, knows);
                world.sim.check(Invariant::I5, less.is_none(), || {
                    format!("context {owner} reads of {less:?} what was before that which it had read: {read:?} after {knows:?}")
                });
                // What stood behind one value should show in all of them.
                let whole = read
                    .iter()
                    .filter_map(|(name, value)| behind.get(&(name.clone(), *value)))
                    .all(|least| order.missed(read, least).is_none());
                world.sim.mark(if whole { "read of a causally whole state" } else { "read ahead of what stood behind it" });
                order.learn(knows, read);
            }
            Deed::Wrote(names, value) => {
                order.learn(knows, &names.iter().map(|name| (name.clone(), *value)).collect());
                behind.extend(names.iter().map(|name| ((name.clone(), *value), knows.clone())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_misses_what_took_effect_later_than_what_it_reads() {
        let order = Order([(("a".to_owned(), 7), Version(5)), (("a".to_owned(), 3), Version(9))].into());
        let values = |value: u64| Values::from([("a".to_owned(), value)]);
        let mut knows = values(7);
        assert_eq!(order.missed(&values(3), &knows), None, "later, though it is less");
        order.learn(&mut knows, &values(3));
        assert_eq!(order.missed(&values(7), &knows), Some("a"));
        assert_eq!(order.missed(&Values::new(), &knows), Some("a"), "the record is gone");
        // What never took effect comes neither before nor after.
        assert_eq!(order.missed(&values(8), &knows), None);
        order.learn(&mut knows, &values(8));
        assert_eq!(knows, values(3));
    }
}
