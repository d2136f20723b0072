//! What a decision took away of a record, place by place, and what it left there: what a restore and an undo go by.
//!
//! Where both sides changed something differently, one of them lost. What only one side changed is no part of the conflict
//! but may be given up with it, for somebody decides on the whole: that is kept too.

use serde_json::Value;

use super::combine::text;
use crate::planted::{Bug, is};
use crate::value::{Change, Delta, ListChange, Named, Object, Pointer};

/// A record as each side had it, and as it stood afterwards; or a list, by the names of its items.
#[derive(Clone, Copy)]
pub(super) struct Sides<'s> {
    /// Base, local side, server's side, and what stood.
    pub(super) records: [&'s Object; 4],
    /// Whether what was given up beside the disputed places counts.
    pub(super) all: bool,
}

impl Sides<'_> {
    /// What does not stand, and what stands in its place. `changed` is what the local side did, `disputed` where both changed
    /// something.
    pub(super) fn pictures(self, changed: &Delta, disputed: &[Pointer]) -> (Delta, Delta) {
        let (mut lost, mut left) = (Delta::default(), Delta::default());
        let mut lists: Vec<&Pointer> = Vec::new();
        for (place, change) in changed.changes() {
            let Change::List(items) = change else { continue };
            let Some([base, local, server, stood]) = self.lists(place, items).filter(|_| !disputed.contains(place)) else { continue };
            let within: Vec<Pointer> = disputed.iter().filter_map(|other| other.inside(place)).collect();
            let sides = Sides { records: [&base, &local, &server, &stood], all: self.all };
            let (gone, there) = sides.pictures(items.items(), &within);
            if !gone.is_empty() {
                lost.insert(place.clone(), Change::List(items.with(gone, false)));
                left.insert(place.clone(), Change::List(items.with(there, false)));
            }
            lists.push(place);
        }
        let [_, _, server, stood] = self.records;
        let others = if self.all { Delta::diff(server, stood) } else { Delta::default() };
        let given_up = [changed, &others].into_iter().filter(|_| self.all).flat_map(Delta::changes).map(|(place, _)| place);
        for place in disputed.iter().chain(given_up) {
            let known = lists.iter().any(|list| place.is_within(list)) || lost.touching(place).is_some();
            let Some(gone) = self.lost(place, changed, disputed).filter(|_| !known) else { continue };
            left.insert(place.clone(), left_by(&gone, place.find(stood)));
            lost.insert(place.clone(), gone);
        }
        (lost, left)
    }

    /// What does not stand at a place; nothing where all does that has to.
    fn lost(self, place: &Pointer, changed: &Delta, disputed: &[Pointer]) -> Option<Change> {
        let [base, local, server, stood] = self.records.map(|record| place.find(record));
        if disputed.contains(place) {
            let local_stands = (stood == local) != is(Bug::WinnerKept);
            return Some(so(if local_stands { server } else { local }));
        }
        let Some(own) = changed.touching(place).map(|(other, own)| (other == place).then_some(own)) else { return Some(so(server)) };
        let done = own?.done_to(server);
        let lines = || text(base?, local?, server?);
        if stood == done.as_ref() || holds(stood, done.as_ref()) || stood.is_some() && lines().as_ref() == stood {
            return None;
        }
        Some(match own? {
            // It can be done still, whatever the count is by then.
            Change::Add(more) if stood == server => Change::Add(*more),
            _ => so(done.as_ref()),
        })
    }

    /// The lists at a place by the names of their items; nothing where one of them is none.
    fn lists(self, place: &Pointer, items: &ListChange) -> Option<[Object; 4]> {
        let [base, local, server, stood] = self.records.map(|record| Named::of(place.find(record), items.by()));
        Some([base?, local?, server?, stood?].map(|named| named.items))
    }
}

/// Whether an object has all that another has.
fn holds(object: Option<&Value>, other: Option<&Value>) -> bool {
    let sides = object.and_then(Value::as_object).zip(other.and_then(Value::as_object));
    sides.is_some_and(|(object, other)| Delta::diff(object, other).changes().all(|(_, change)| *change == Change::Unset))
}

/// What a change will have taken away of a place, told as it is told itself.
pub(super) fn taken_by(change: &Change, now: Option<&Value>) -> Change {
    match change {
        Change::Set(_) | Change::Unset => so(now),
        Change::Add(more) => Change::Add(-more),
        Change::List(items) => {
            let list = Named::of(now, items.by()).map(|list| list.items).unwrap_or_default();
            let taken = items.items().changes().map(|(place, change)| (place.clone(), taken_by(change, place.find(&list))));
            Change::List(items.with(taken.collect(), false))
        }
    }
}

/// What is left at a place where a change was done, or was not: of a count nothing that could be seen.
pub(super) fn left_by(change: &Change, stood: Option<&Value>) -> Change {
    match change {
        Change::Set(_) | Change::Unset => so(stood),
        Change::Add(_) => Change::Add(0),
        Change::List(_) => change.clone(),
    }
}

/// What makes a place so.
fn so(value: Option<&Value>) -> Change {
    value.cloned().map_or(Change::Unset, Change::Set)
}
