//! The connections: open, lost, outdated, closed. A lost one (the browser closed it) is opened again at the
//! next use; an outdated one never, because another context has a newer layout.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rexie::{Rexie, Transaction, TransactionMode};
use wasm_bindgen::prelude::*;
use web_sys::IdbDatabase;

use super::super::StoreError;
use super::{convert, layout};

type Handler = Closure<dyn FnMut()>;

/// The connection for reads. Whoever lets go of it last, a read under way perhaps, closes it: rexie's handle does not, and
/// a connection that is only dropped hears no `versionchange` any more and is in the way of every deletion and upgrade.
pub(super) struct Reads(Option<Rexie>);

impl Reads {
    /// A transaction that only reads.
    pub(super) fn transaction(&self, tables: &[&str]) -> Result<Transaction, StoreError> {
        let rexie = self.0.as_ref().ok_or(StoreError::Closed)?;
        rexie.transaction(tables, TransactionMode::ReadOnly).map_err(|error| refused(&error))
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        // `close` takes the handle. One that is closed already stays so.
        if let Some(rexie) = self.0.take() {
            rexie.close();
        }
    }
}

/// The two connections of one database in one context.
pub(super) struct Connection {
    name: String,
    reads: RefCell<Option<Rc<Reads>>>,
    writes: RefCell<Option<(IdbDatabase, [Handler; 2])>>,
    outdated: Rc<Cell<bool>>,
    closed: Cell<bool>,
    lost: Rc<Cell<bool>>,
    /// Whether it was open before, and so has rows.
    known: Cell<bool>,
    tell: Rc<dyn Fn()>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("outdated", &self.outdated.get()).field("closed", &self.closed.get()).finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) async fn open(name: &str, tell: Box<dyn Fn()>) -> Result<Rc<Self>, StoreError> {
        let connection = Rc::new(Self {
            name: name.to_owned(),
            reads: RefCell::default(),
            writes: RefCell::default(),
            outdated: Rc::default(),
            closed: Cell::new(false),
            lost: Rc::default(),
            known: Cell::new(false),
            tell: tell.into(),
        });
        connection.for_reads().await?;
        connection.for_writes().await?;
        connection.known.set(true);
        Ok(connection)
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.closed.get() {
            Err(StoreError::Closed)
        } else if self.outdated.get() {
            Err(StoreError::Outdated)
        } else {
            Ok(())
        }
    }

    /// The connection for reads, opened again if it was lost.
    pub(super) async fn for_reads(&self) -> Result<Rc<Reads>, StoreError> {
        self.usable()?;
        if let Some(open) = self.reads.borrow().clone() {
            return Ok(open);
        }
        let opened = layout::whole(&self.name).build().await.map_err(|error| open_failed(&error))?;
        let opened = Rc::new(Reads(Some(opened)));
        if self.closed.get() {
            return Err(StoreError::Closed);
        }
        if self.known.get() && is_empty(&opened).await? {
            // The storage was cleared: what we opened now is another database of the same name.
            self.outdated.set(true);
            (self.tell)();
            return Err(StoreError::Outdated);
        }
        self.reads.replace(Some(opened.clone()));
        Ok(opened)
    }

    /// The connection for writes, opened again if it was lost. rexie has made the layout by now.
    pub(super) async fn for_writes(&self) -> Result<IdbDatabase, StoreError> {
        self.usable()?;
        if let Some((open, _)) = &*self.writes.borrow() {
            return Ok(open.clone());
        }
        // Without a version this open would make a database without a layout, if there were none.
        self.for_reads().await?;
        let unavailable = |error: idb::Error| convert::refused(convert::idb_cause(&error));
        let opening = idb::Factory::new().and_then(|factory| factory.open(&self.name, None)).map_err(unavailable)?;
        let opened: IdbDatabase = opening.await.map_err(unavailable)?.into();
        if self.closed.get() {
            opened.close();
            return Err(StoreError::Closed);
        }
        let handlers = self.watch(&opened);
        self.writes.replace(Some((opened.clone(), handlers)));
        Ok(opened)
    }

    /// The connection for writes, if it is open now.
    pub(super) fn now(&self) -> Option<IdbDatabase> {
        self.usable().ok()?;
        self.writes.borrow().as_ref().map(|(open, _)| open.clone())
    }

    fn watch(&self, database: &IdbDatabase) -> [Handler; 2] {
        let changed = {
            let (database, outdated, tell) = (database.clone(), self.outdated.clone(), self.tell.clone());
            Closure::new(move || {
                outdated.set(true);
                database.close();
                tell();
            })
        };
        // The browser closed it under us: storage cleared, a crash of its backend.
        let lost = {
            let lost = self.lost.clone();
            Closure::new(move || lost.set(true))
        };
        database.set_onversionchange(Some(changed.as_ref().unchecked_ref()));
        database.set_onclose(Some(lost.as_ref().unchecked_ref()));
        [changed, lost]
    }

    /// A connection turned out to be dead.
    pub(super) fn lose(&self) {
        if let Some((database, _)) = self.writes.take() {
            unwatch(&database);
            database.close();
        }
        self.reads.take();
    }

    /// Whether the browser closed a connection since this was last asked.
    pub(super) fn was_lost(&self) -> bool {
        let lost = self.lost.replace(false);
        if lost {
            self.lose();
        }
        lost
    }

    /// Ends both for good. What they were doing comes to its end.
    pub(super) fn close(&self) {
        if !self.closed.replace(true) {
            self.lose();
        }
    }

    /// Why nothing can be done, if so.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        self.usable().err()
    }
}

fn unwatch(database: &IdbDatabase) {
    database.set_onversionchange(None);
    database.set_onclose(None);
}

/// Whether nothing was ever stored here: who opens a database begins with its `state`.
async fn is_empty(reads: &Reads) -> Result<bool, StoreError> {
    let failed = |error: rexie::Error| refused(&error);
    let state = crate::plan::Table::State.name();
    let rows = reads.transaction(&[state])?.store(state).map_err(failed)?.count(None).await.map_err(failed)?;
    Ok(rows == 0)
}

fn refused(error: &rexie::Error) -> StoreError {
    convert::refused(convert::cause(error))
}

fn open_failed(error: &rexie::Error) -> StoreError {
    // The only open that asks for a version: a newer one there means a newer app elsewhere.
    let reason = convert::cause(error);
    if reason == "VersionError" { StoreError::Outdated } else { convert::refused(reason) }
}
