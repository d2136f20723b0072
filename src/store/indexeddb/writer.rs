//! The line of plans that want to write. Whoever is waiting when a transaction begins shares its commit,
//! strictly one after another: each sees what its predecessor wrote. If the commit fails, each runs again
//! alone. The transaction itself is in [`super::transaction`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures_channel::oneshot;
use wasm_bindgen::prelude::*;
use web_sys::{IdbDatabase, IdbTransaction};

use super::super::{Counts, Durability, StoreError};
use super::connection::Connection;
use super::transaction::Run;
use super::{convert, layout};
use crate::plan::{Plan, Read, Step, View, WriteBatch};

#[wasm_bindgen]
extern "C" {
    /// web-sys hides the options argument behind `web_sys_unstable_apis`, a flag that every consumer would have to set.
    type DatabaseWithOptions;
    #[wasm_bindgen(method, catch, js_name = transaction)]
    fn transaction_with(this: &DatabaseWithOptions, stores: &JsValue, mode: &str, options: &JsValue) -> Result<IdbTransaction, JsValue>;
}

/// A plan with somebody who waits for it.
pub(super) trait Job {
    fn step(&mut self, seen: &View) -> Next;
    fn restart(&mut self);
    /// Puts what it found out where whoever waits will look.
    fn keep(&mut self);
}

/// What a plan does next, its result kept aside.
pub(super) enum Next {
    Read(Vec<Read>),
    Write(WriteBatch),
}

struct PlanJob<P: Plan> {
    original: P,
    running: P,
    out: Option<P::Out>,
    /// Where whoever waits will look, once told.
    place: Rc<Cell<Option<P::Out>>>,
}

/// A plan, and who waits for its end: the same for every plan, so that its code is there once.
pub(super) struct Waiting {
    pub(super) durability: Durability,
    pub(super) job: Box<dyn Job>,
    tell: oneshot::Sender<Result<(), StoreError>>,
}

impl Waiting {
    /// Tells its end. Nobody may be waiting any more: the write has happened all the same.
    pub(super) fn end(mut self, result: Result<(), StoreError>) {
        if result.is_ok() {
            self.job.keep();
        }
        let _ = self.tell.send(result);
    }
}

impl<P: Plan> Job for PlanJob<P> {
    fn step(&mut self, seen: &View) -> Next {
        match self.running.step(seen) {
            Step::Read(reads) => Next::Read(reads),
            Step::Done(batch, out) => {
                self.out = Some(out);
                Next::Write(batch)
            }
        }
    }
    fn restart(&mut self) {
        self.running = self.original.clone();
        self.out = None;
    }
    fn keep(&mut self) {
        self.place.set(self.out.take());
    }
}

/// The line of plans of one database in one context.
pub(super) struct Writer {
    pub(super) connection: Rc<Connection>,
    counts: Rc<Cell<Counts>>,
    waiting: RefCell<Vec<Waiting>>,
    pub(super) alone: RefCell<VecDeque<Waiting>>,
    pub(super) busy: Cell<bool>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.waiting.borrow().len()).finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(connection: Rc<Connection>, counts: Rc<Cell<Counts>>) -> Rc<Self> {
        Rc::new(Self { connection, counts, waiting: RefCell::default(), alone: RefCell::default(), busy: Cell::new(false) })
    }

    /// Puts a plan into the line. Only what is the same for all plans is awaited: the state of a future is there
    /// once for each kind of plan.
    pub(super) fn transact<P: Plan>(
        self: &Rc<Self>,
        durability: Durability,
        plan: P,
    ) -> impl Future<Output = Result<P::Out, StoreError>> + use<P> {
        let place: Rc<Cell<Option<P::Out>>> = Rc::default();
        let job = Box::new(PlanJob { original: plan.clone(), running: plan, out: None, place: place.clone() });
        let told = self.line_up(durability, job);
        async move {
            told.await.unwrap_or(Err(StoreError::Closed))?;
            place.take().ok_or(StoreError::Contract { reason: "too many rounds of reading" })
        }
    }

    fn line_up(self: &Rc<Self>, durability: Durability, job: Box<dyn Job>) -> oneshot::Receiver<Result<(), StoreError>> {
        let (tell, told) = oneshot::channel();
        self.waiting.borrow_mut().push(Waiting { durability, job, tell });
        self.next();
        told
    }

    /// Begins the next transaction, if none runs and somebody waits.
    pub(super) fn next(self: &Rc<Self>) {
        if self.busy.get() {
            return;
        }
        let jobs = match self.alone.borrow_mut().pop_front() {
            Some(job) => vec![job],
            None => std::mem::take(&mut *self.waiting.borrow_mut()),
        };
        if jobs.is_empty() {
            return;
        }
        self.busy.set(true);
        let writer = self.clone();
        match self.connection.now() {
            Some(database) => writer.begin(&database, jobs, false),
            None => wasm_bindgen_futures::spawn_local(async move {
                match writer.connection.for_writes().await {
                    Ok(database) => writer.begin(&database, jobs, true),
                    Err(error) => writer.finish(jobs, &error),
                }
            }),
        }
    }

    fn begin(self: Rc<Self>, database: &IdbDatabase, jobs: Vec<Waiting>, reopened: bool) {
        let durability = jobs.iter().map(|waiting| waiting.durability).max().unwrap_or(Durability::Strict);
        let options = js_sys::Object::new();
        let hint = match durability {
            Durability::Strict => "strict",
            Durability::Relaxed => "relaxed",
        };
        let set = js_sys::Reflect::set(&options, &"durability".into(), &hint.into());
        debug_assert!(set.is_ok(), "a plain object takes a property");
        let names: js_sys::Array = layout::names().iter().map(|name| JsValue::from_str(name)).collect();
        match database.unchecked_ref::<DatabaseWithOptions>().transaction_with(&names, "readwrite", &options) {
            Ok(transaction) => Run::start(self, transaction, jobs),
            // The browser closed the connection before anything was done: open it again, once.
            Err(_) if !reopened && self.connection.refusal().is_none() => {
                self.connection.lose();
                wasm_bindgen_futures::spawn_local(async move {
                    match self.connection.for_writes().await {
                        Ok(database) => self.begin(&database, jobs, true),
                        Err(error) => self.finish(jobs, &error),
                    }
                });
            }
            Err(error) => {
                let error = self.connection.refusal().unwrap_or_else(|| convert::failed(error));
                self.finish(jobs, &error);
            }
        }
    }

    fn finish(self: &Rc<Self>, jobs: Vec<Waiting>, error: &StoreError) {
        for waiting in jobs {
            waiting.end(Err(error.clone()));
        }
        self.busy.set(false);
        self.next();
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts.get();
        change(&mut counts);
        self.counts.set(counts);
    }
}
