//! The database's layout: nine object stores, keys in `k`, index entries in `ix`, content in `v`. The app's
//! schema is content; this changes only with FieldSync itself.

use rexie::{Index, ObjectStore, RexieBuilder};

use crate::plan::Table;

/// Counts up when the layout changes. 1: the first. 2: conflicts have index entries.
pub(super) const VERSION: u32 = 2;

/// The whole layout. Always all of it: rexie deletes a store that is not listed.
pub(super) fn whole(name: &str) -> RexieBuilder {
    Table::ALL.into_iter().fold(RexieBuilder::new(name).version(VERSION), |builder, table| {
        let mut store = ObjectStore::new(table.name()).key_path("k");
        if table.is_indexed() {
            // `unique` is said although it is the default: without it idb (0.6.5) takes an index that is there for another
            // one, and an upgrade would delete and build it again over every record.
            store = store.add_index(Index::new("ix", "ix").unique(false).multi_entry(true));
        }
        builder.add_object_store(store)
    })
}

/// The names of all stores.
pub(super) fn names() -> [&'static str; 9] {
    Table::ALL.map(Table::name)
}
