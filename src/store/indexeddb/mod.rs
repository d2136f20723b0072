//! The store on IndexedDB. [`layout`] says what is there, [`connection`] opens and re-opens it, [`writer`]
//! and [`transaction`] run plans in strict or relaxed read-write transactions, [`reader`] runs reading plans through rexie,
//! [`convert`] turns rows into JavaScript values and back.
//!
//! Two connections on one database: rexie's, which owns the layout and serves reads, and a raw one for
//! writes, because rexie (0.6.2) cannot ask for strict durability, reports an abort as success, hides its
//! reason, and hangs when a transaction is awaited late.

mod connection;
mod convert;
mod layout;
mod reader;
mod transaction;
mod writer;

use std::cell::Cell;
use std::rc::Rc;

use super::{Counts, Durability, Store, StoreError};
use crate::plan::Plan;
use connection::Connection;
use writer::Writer;

/// A database in the browser.
#[derive(Debug)]
pub struct IndexedDbStore {
    connection: Rc<Connection>,
    writer: Rc<Writer>,
    counts: Rc<Cell<Counts>>,
}

impl IndexedDbStore {
    /// Opens the database, making it if it is not there. `outdated` is called when another context opened a
    /// newer layout, or deletes the database: from then on everything fails with [`StoreError::Outdated`].
    pub async fn open(name: &str, outdated: impl Fn() + 'static) -> Result<Self, StoreError> {
        let connection = Connection::open(name, Box::new(outdated)).await?;
        let counts: Rc<Cell<Counts>> = Rc::default();
        let writer = Writer::new(connection.clone(), counts.clone());
        Ok(Self { connection, writer, counts })
    }

    /// Deletes a database of this name. Whoever has it open is told to let it go.
    pub async fn delete(name: &str) -> Result<(), StoreError> {
        rexie::Rexie::delete(name).await.map_err(|error| convert::refused(convert::cause(&error)))
    }
}

impl Store for IndexedDbStore {
    fn transact<P: Plan>(&self, durability: Durability, plan: P) -> impl Future<Output = Result<P::Out, StoreError>> {
        self.writer.transact(durability, plan)
    }
    fn read<P: Plan>(&self, plan: P) -> impl Future<Output = Result<P::Out, StoreError>> {
        let mut counts = self.counts.get();
        counts.reads += 1;
        self.counts.set(counts);
        reader::read(&self.connection, plan)
    }
    fn counts(&self) -> Counts {
        self.counts.get()
    }
    fn close(&self) {
        self.connection.close();
    }
}

impl Drop for IndexedDbStore {
    fn drop(&mut self) {
        // A connection that is only dropped stays open and blocks every upgrade elsewhere.
        self.connection.close();
    }
}
