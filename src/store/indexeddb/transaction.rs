//! One read-write transaction under way.
//!
//! A transaction of IndexedDB dies when it idles, so nothing is awaited inside one: a plan's step runs in the
//! success event of its last request, and its requests are issued in the same turn. Handlers are attached when
//! the transaction is made, `complete` alone counts as success, and `abort` keeps the browser's name for why.

use std::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use web_sys::{IdbCursorDirection, IdbObjectStore, IdbRequest, IdbTransaction};

use super::super::StoreError;
use super::convert::{self, failed};
use super::writer::{Next, Waiting, Writer};
use crate::plan::{Answer, ROUNDS_MAX, Read, Table, View, Write, WriteBatch};

#[wasm_bindgen]
extern "C" {
    // web-sys calls `commit` deprecated, and types a cursor's value by its event.
    type Committable;
    #[wasm_bindgen(method, catch)]
    fn commit(this: &Committable) -> Result<(), JsValue>;

    type CursorWithValue;
    #[wasm_bindgen(method, getter)]
    fn value(this: &CursorWithValue) -> JsValue;
}

/// One transaction under way.
pub(super) struct Run {
    writer: Rc<Writer>,
    transaction: IdbTransaction,
    jobs: Vec<Waiting>,
    at: usize,
    rounds: usize,
    asked: Vec<Asked>,
    wrote: u64,
    failure: Option<StoreError>,
    handlers: Option<Handlers>,
    stores: Vec<(Table, IdbObjectStore)>,
}

struct Handlers {
    round: Closure<dyn FnMut()>,
    complete: Closure<dyn FnMut()>,
    abort: Closure<dyn FnMut()>,
}

/// A request, and what its result means.
enum Asked {
    Rows(IdbRequest),
    /// Rows with their index entries.
    Whole(IdbRequest),
    Count(IdbRequest),
    /// A cursor from the end: the row it stands on.
    Last(IdbRequest),
    Nothing(Answer),
}

impl Run {
    pub(super) fn start(writer: Rc<Writer>, transaction: IdbTransaction, jobs: Vec<Waiting>) {
        let run = Rc::new(RefCell::new(Self {
            writer,
            transaction: transaction.clone(),
            jobs,
            at: 0,
            rounds: 0,
            asked: Vec::new(),
            wrote: 0,
            failure: None,
            handlers: None,
            stores: Vec::new(),
        }));
        let handlers = Handlers {
            round: handler(&run, |run| {
                let seen = run.borrow_mut().collect();
                Self::advance(run, seen);
            }),
            complete: handler(&run, |run| Self::ended(run, true)),
            abort: handler(&run, |run| Self::ended(run, false)),
        };
        transaction.set_oncomplete(Some(handlers.complete.as_ref().unchecked_ref()));
        transaction.set_onabort(Some(handlers.abort.as_ref().unchecked_ref()));
        run.borrow_mut().handlers = Some(handlers);
        Self::advance(&run, Ok(View::default()));
    }

    /// Runs plans until one asks for rows, or all are done.
    fn advance(this: &Rc<RefCell<Self>>, seen: Result<View, StoreError>) {
        let mut run = this.borrow_mut();
        let mut seen = match seen {
            Ok(seen) => seen,
            Err(error) => return run.fail(error),
        };
        loop {
            let at = run.at;
            let Some(waiting) = run.jobs.get_mut(at) else {
                // Everything is asked for: no need to wait until the browser notices that nothing follows.
                // Where `commit` is missing it will.
                let _ = run.transaction.unchecked_ref::<Committable>().commit();
                return;
            };
            match waiting.job.step(&seen) {
                Next::Read(_) if run.rounds >= ROUNDS_MAX => run.next_job(),
                Next::Read(reads) => {
                    run.rounds += 1;
                    match run.ask(&reads) {
                        Ok(true) => return,
                        Ok(false) => {}
                        Err(error) => return run.fail(error),
                    }
                    seen = match run.collect() {
                        Ok(seen) => seen,
                        Err(error) => return run.fail(error),
                    };
                    continue;
                }
                Next::Write(batch) => {
                    if let Err(error) = run.write(&batch) {
                        return run.fail(error);
                    }
                    run.next_job();
                }
            }
            seen = View::default();
        }
    }

    fn next_job(&mut self) {
        self.at += 1;
        self.rounds = 0;
    }

    fn fail(&mut self, error: StoreError) {
        self.failure = Some(error);
        // If it cannot be aborted it has ended already, and its handler has been or will be called.
        let _ = self.transaction.abort();
    }

    fn store(&mut self, table: Table) -> Result<IdbObjectStore, StoreError> {
        if let Some((_, store)) = self.stores.iter().find(|(known, _)| *known == table) {
            return Ok(store.clone());
        }
        let store = self.transaction.object_store(table.name()).map_err(failed)?;
        self.stores.push((table, store.clone()));
        Ok(store)
    }

    /// Issues all requests of a round. The handler hangs on the last: they succeed in the order of asking.
    /// Says whether anything was really asked.
    fn ask(&mut self, reads: &[Read]) -> Result<bool, StoreError> {
        let mut last: Option<IdbRequest> = None;
        for read in reads {
            let asked = match read {
                Read::Get(table, key) => Asked::Rows(self.store(*table)?.get(&convert::key(key)).map_err(failed)?),
                Read::Count { range, .. } if range.is_empty() => Asked::Nothing(Answer::Count(0)),
                Read::Range { range, .. } | Read::Whole { range, .. } if range.is_empty() => Asked::Nothing(Answer::Rows(Vec::new())),
                Read::Count { table, by_index, range } => {
                    let range = convert::range(range)?.map_or(JsValue::UNDEFINED, JsValue::from);
                    let store = self.store(*table)?;
                    let counted =
                        if *by_index { store.index("ix").map_err(failed)?.count_with_key(&range) } else { store.count_with_key(&range) };
                    Asked::Count(counted.map_err(failed)?)
                }
                Read::Whole { table, range, limit } => {
                    let range = convert::range(range)?.map_or(JsValue::UNDEFINED, JsValue::from);
                    Asked::Whole(self.store(*table)?.get_all_with_key_and_limit(&range, *limit).map_err(failed)?)
                }
                Read::Range { table, by_index, range, limit, reverse } => {
                    let range = convert::range(range)?.map_or(JsValue::UNDEFINED, JsValue::from);
                    let store = self.store(*table)?;
                    let limit = limit.unwrap_or(0);
                    match (by_index, reverse) {
                        (false, false) => Asked::Rows(store.get_all_with_key_and_limit(&range, limit).map_err(failed)?),
                        (true, false) => {
                            Asked::Rows(store.index("ix").map_err(failed)?.get_all_with_key_and_limit(&range, limit).map_err(failed)?)
                        }
                        // A cursor succeeds once per row; only for one row is its first success its last.
                        (_, true) if limit != 1 => {
                            return Err(StoreError::Contract { reason: "a plan that writes reads backwards one row at a time" });
                        }
                        (false, true) => {
                            Asked::Last(store.open_cursor_with_range_and_direction(&range, IdbCursorDirection::Prev).map_err(failed)?)
                        }
                        (true, true) => {
                            let index = store.index("ix").map_err(failed)?;
                            Asked::Last(index.open_cursor_with_range_and_direction(&range, IdbCursorDirection::Prev).map_err(failed)?)
                        }
                    }
                }
            };
            if let Asked::Rows(request) | Asked::Whole(request) | Asked::Count(request) | Asked::Last(request) = &asked {
                last = Some(request.clone());
            }
            self.asked.push(asked);
        }
        let (Some(last), Some(handlers)) = (last, &self.handlers) else { return Ok(false) };
        last.set_onsuccess(Some(handlers.round.as_ref().unchecked_ref()));
        Ok(true)
    }

    /// What the requests of the round found.
    fn collect(&mut self) -> Result<View, StoreError> {
        let mut answers = Vec::new();
        for asked in self.asked.drain(..) {
            answers.push(match asked {
                Asked::Rows(request) => Answer::Rows(convert::rows(&request.result().map_err(failed)?, false)?),
                Asked::Whole(request) => Answer::Rows(convert::rows(&request.result().map_err(failed)?, true)?),
                Asked::Count(request) => {
                    let count = request.result().map_err(failed)?.as_f64().unwrap_or(0.0);
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
                    Answer::Count(count as u64)
                }
                Asked::Last(request) => {
                    let cursor = request.result().map_err(failed)?;
                    let row = if cursor.is_null() { JsValue::UNDEFINED } else { cursor.unchecked_ref::<CursorWithValue>().value() };
                    Answer::Rows(convert::rows(&row, false)?)
                }
                Asked::Nothing(answer) => answer,
            });
        }
        Ok(View::new(answers))
    }

    fn write(&mut self, batch: &WriteBatch) -> Result<(), StoreError> {
        let puts = batch.iter().filter_map(|write| match write {
            Write::Put(_, row) => Some(row),
            Write::Delete(..) | Write::DeleteRange(..) => None,
        });
        let mut values = convert::values(puts)?.into_iter();
        for write in batch {
            let request = match write {
                Write::Put(table, _) => self.store(*table)?.put(&values.next().unwrap_or(JsValue::UNDEFINED)),
                Write::Delete(table, key) => self.store(*table)?.delete(&convert::key(key)),
                // An empty range would be refused by the browser, and means nothing anyway.
                Write::DeleteRange(_, range) if range.is_empty() => continue,
                Write::DeleteRange(table, range) => match convert::range(range)? {
                    Some(range) => self.store(*table)?.delete(&range),
                    None => self.store(*table)?.clear(),
                },
            };
            request.map_err(failed)?;
        }
        self.wrote += batch.len() as u64;
        Ok(())
    }

    /// `complete` or `abort`: the only two ends.
    fn ended(this: &Rc<RefCell<Self>>, complete: bool) {
        let (writer, jobs, failure, wrote, handlers, transaction) = {
            let mut run = this.borrow_mut();
            let jobs = std::mem::take(&mut run.jobs);
            (run.writer.clone(), jobs, run.failure.take(), run.wrote, run.handlers.take(), run.transaction.clone())
        };
        transaction.set_oncomplete(None);
        transaction.set_onabort(None);
        // One of these handlers is running: it must outlive this call.
        wasm_bindgen_futures::spawn_local(async move { drop(handlers) });
        if complete {
            writer.count(|counts| {
                counts.plans += jobs.len() as u64;
                counts.writes += wrote;
                counts.commits += u64::from(wrote > 0);
            });
            for waiting in jobs {
                waiting.end(Ok(()));
            }
        } else {
            let reason = transaction.error().map_or_else(|| "AbortError".to_owned(), |error| error.name());
            let error = failure.or_else(|| writer.connection.refusal()).unwrap_or(match reason.as_str() {
                "QuotaExceededError" => StoreError::Full,
                _ => StoreError::Aborted { reason },
            });
            if jobs.len() > 1 || writer.connection.was_lost() {
                // A plan that did commit before the connection died finds its own trace and says so.
                let mut alone = writer.alone.borrow_mut();
                for mut waiting in jobs {
                    waiting.job.restart();
                    alone.push_back(waiting);
                }
            } else {
                for waiting in jobs {
                    waiting.end(Err(error.clone()));
                }
            }
        }
        writer.busy.set(false);
        writer.next();
    }
}

fn handler(run: &Rc<RefCell<Run>>, then: fn(&Rc<RefCell<Run>>)) -> Closure<dyn FnMut()> {
    let run = run.clone();
    Closure::new(move || then(&run))
}
