//! I7 for fields in which both sides' changes are put together, whoever else writes them meanwhile: what anybody put into a
//! list is there until somebody takes it out, and what anybody counted counts once.

use std::collections::{BTreeMap, BTreeSet};

use fieldsync::audit::{Event, Row as AuditRow};
use fieldsync::model::{Action, OpId, Operation, Version};
use fieldsync::plan::{Table, Write};
use fieldsync::value::{Change, Key};
use serde_json::Value;

use super::lines::{Lines, Met};

/// The lists of a product, each by another rule.
pub(crate) const LISTS: [&str; 2] = ["labels", "parts"];

/// What people did to the lists.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// What stood before somebody who wrote the list without it.
    pub(crate) taken: BTreeSet<String>,
    /// What an operation put in, where that was said to be saved.
    pub(crate) put: BTreeMap<OpId, String>,
    /// What a write was to add to the stock of a product.
    pub(crate) counted: BTreeMap<OpId, i64>,
    /// The versions with which the counts of operations took effect, by the first of their lines.
    done: BTreeMap<OpId, Version>,
}

impl Items {
    /// An operation makes one state of a record another.
    pub(super) fn look(&self, lines: &Lines, before: Option<&Value>, after: &Value, operation: &Operation) -> Vec<Result<(), String>> {
        if operation.entity != "product" || after.is_null() {
            return Vec::new();
        }
        let names = lines.names(operation);
        let met: Vec<&Met> = names.iter().filter_map(|name| lines.met.get(*name)).flatten().collect();
        // Where there was no list to put things together in, a conflict tells which side's it is.
        let is_told = |list: &str| met.iter().any(|met| met.decided || met.fields.iter().any(|field| field == "*" || field == list));
        let there: BTreeSet<&str> = LISTS.iter().flat_map(|list| in_list(after, list)).collect();
        let put = names.iter().filter_map(|name| self.put.get(*name)).map(String::as_str);
        let missing = put.filter(|_| !LISTS.iter().any(|list| is_told(list))).map(|item| (item, "it put in"));
        let untold = LISTS.iter().filter(|list| !is_told(list));
        let gone = untold.flat_map(|list| before.map(|before| in_list(before, list)).unwrap_or_default()).map(|item| (item, "was there"));
        let looked_at = missing.chain(gone).map(|(item, how)| {
            let holds = there.contains(item) || self.taken.contains(item);
            if holds { Ok(()) } else { Err(format!("{} leaves a product without {item:?}, which {how}: {after}", operation.id)) }
        });
        looked_at.collect()
    }
}

impl Items {
    /// An operation adds to a count: as much as its writers did, and never twice. `is_lost` tells of versions that a restore
    /// of the server took away.
    pub(super) fn count(
        &mut self,
        lines: &Lines,
        operation: &Operation,
        version: Version,
        is_lost: &dyn Fn(Version) -> bool,
    ) -> Vec<Result<(), String>> {
        let Action::Update { delta } = &operation.action else { return Vec::new() };
        let added = delta.changes().find_map(|(_, change)| if let Change::Add(more) = change { Some(*more) } else { None });
        let names = lines.names(operation);
        let firsts: Vec<&OpId> = names.iter().filter(|name| lines.is_first(name)).copied().collect();
        let mut found = Vec::new();
        let wanted: Option<i64> = firsts.iter().map(|name| self.counted.get(*name).copied()).sum();
        if let (Some(added), Some(wanted)) = (added, wanted) {
            let holds = added == wanted;
            found.push(if holds { Ok(()) } else { Err(format!("{} adds {added}, and its writers counted {wanted}", operation.id)) });
        }
        if let Some(added) = added {
            for first in firsts.into_iter().filter(|first| self.counted.get(*first).is_some_and(|count| *count != 0)) {
                let before = self.done.insert(first.clone(), version).filter(|before| added != 0 && !is_lost(*before));
                found.push(before.map_or(Ok(()), |before| {
                    Err(format!("{} at {version} counts what {first} counted once more: it did at {before}", operation.id))
                }));
            }
        }
        found
    }
}

impl Items {
    /// Whether what a write counted took effect, once the server has applied what became of it (`last`); or a conflict tells
    /// that it did not.
    pub(super) fn is_counted(&self, lines: &Lines, write: &OpId, last: &OpId) -> bool {
        let counts = self.counted.get(write).is_some_and(|count| *count != 0);
        let told = |met: &Met| met.decided || met.fields.iter().any(|field| field == "*" || field == "stock");
        let names = lines.bodies.get(last).map(|(operation, _)| lines.names(operation)).unwrap_or_default();
        // A record that is created or brought back has the count in it.
        let whole = |name: &OpId| lines.bodies.get(name).is_some_and(|(operation, _)| matches!(operation.action, Action::Create { .. }));
        let excused = |name: &&OpId| whole(name) || lines.met.get(*name).into_iter().flatten().any(told);
        !counts || self.done.contains_key(write) || names.iter().any(excused)
    }
}

/// What a person's writes do to products.
#[derive(Default)]
pub(crate) struct Written {
    /// The items that they take out of lists.
    pub(crate) taken: Vec<String>,
    /// How much each of them adds to the stock.
    pub(crate) counted: Vec<(OpId, i64)>,
}

/// What a commit of a device writes for people: `text` gives the rows as they are until then.
pub(crate) fn written(batch: &[Write], generation: u64, text: &dyn Fn(Table, &Key) -> Option<Value>) -> Written {
    let mut written = Written::default();
    let audit = batch.iter().find_map(|write| match write {
        Write::Put(Table::Audit, row) => serde_json::from_str::<AuditRow>(&row.text).ok(),
        _ => None,
    });
    let entries = audit.map(|audit| audit.entries).unwrap_or_default();
    let writes: Vec<_> = entries.iter().filter(|entry| entry.entity == "product" && matches!(entry.event, Event::Written { .. })).collect();
    if writes.is_empty() {
        return written;
    }
    let puts = batch.iter().filter_map(|write| match write {
        Write::Put(Table::Overlay, row) => serde_json::from_str::<Value>(&row.text).ok().map(|now| (&row.key, now)),
        _ => None,
    });
    for (key, now) in puts.filter(|(_, now)| now["entity"] == "product") {
        let base = || {
            let id = now["id"].as_u64().map(Key::from)?;
            text(Table::Base, &[generation.into(), "product".into(), id].into())
        };
        let before = text(Table::Overlay, key).map(|row| row["view"].clone()).or_else(|| Some(base()?["data"].clone()));
        for list in LISTS {
            let left = in_list(&now["view"], list);
            let gone = before.iter().flat_map(|before| in_list(before, list)).filter(|item| !left.contains(item));
            written.taken.extend(gone.map(str::to_owned));
        }
        let stock = |record: Option<&Value>| record.and_then(|record| record["stock"].as_i64()).unwrap_or_default();
        let deleted = now["view"].is_null();
        let mut more = if deleted || now["view"].get("stock").is_none() { 0 } else { stock(Some(&now["view"])) - stock(before.as_ref()) };
        let of_record = |record: &Value| *record == now["id"] || *record == now["key"];
        for entry in writes.iter().filter(|entry| of_record(&entry.record.to_value())) {
            // Only one write of a transaction counts.
            written.counted.push((entry.operation.clone(), std::mem::take(&mut more)));
        }
    }
    written
}

/// The names of the items in a list.
fn in_list<'r>(record: &'r Value, list: &str) -> Vec<&'r str> {
    record.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(name_of).collect()
}

/// The name of an item.
pub(crate) fn name_of(item: &Value) -> Option<&str> {
    item.as_str().or_else(|| item.get("id")?.as_str())
}
