//! Reading plans, through rexie: one read-only transaction, its requests issued together, so that the plan
//! sees one unchanging picture.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::future::try_join_all;
use rexie::{Direction, KeyRange as RexieRange, Transaction};

use super::super::StoreError;
use super::connection::Connection;
use super::writer::Next;
use super::{convert, layout};
use crate::plan::{Answer, Plan, ROUNDS_MAX, Read, Step, Table, View};

/// A plan that only reads, and where to put what it finds out. Behind a trait object: one copy of the code for all plans.
struct Reading<P: Plan> {
    plan: P,
    place: Rc<Cell<Option<P::Out>>>,
}

trait Steps {
    fn step(&mut self, seen: &View) -> Next;
}

impl<P: Plan> Steps for Reading<P> {
    fn step(&mut self, seen: &View) -> Next {
        match self.plan.step(seen) {
            Step::Read(reads) => Next::Read(reads),
            Step::Done(batch, out) => {
                self.place.set(Some(out));
                Next::Write(batch)
            }
        }
    }
}

/// Runs a plan that only reads.
pub(super) fn read<P: Plan>(connection: &Rc<Connection>, plan: P) -> impl Future<Output = Result<P::Out, StoreError>> + use<P> {
    let place: Rc<Cell<Option<P::Out>>> = Rc::default();
    let done = boxed(connection, Box::new(Reading { plan, place: place.clone() }));
    async move {
        done.await?;
        place.take().ok_or(StoreError::Contract { reason: "too many rounds of reading" })
    }
}

fn boxed(connection: &Rc<Connection>, plan: Box<dyn Steps>) -> Pin<Box<dyn Future<Output = Result<(), StoreError>>>> {
    Box::pin(run(connection.clone(), plan))
}

async fn run(connection: Rc<Connection>, mut plan: Box<dyn Steps>) -> Result<(), StoreError> {
    let reads = connection.for_reads().await?;
    let transaction = match reads.transaction(&layout::names()) {
        Ok(transaction) => transaction,
        Err(_) => {
            // The browser closed the connection: open it again, once.
            connection.refusal().map_or(Ok(()), Err)?;
            connection.lose();
            connection.for_reads().await?.transaction(&layout::names())?
        }
    };
    let mut seen = View::default();
    for _ in 0..=ROUNDS_MAX {
        match plan.step(&seen) {
            Next::Write(batch) if batch.is_empty() => return Ok(()),
            Next::Write(_) => return Err(StoreError::Contract { reason: "a read wanted to write" }),
            Next::Read(reads) => seen = View::new(try_join_all(reads.iter().map(|read| answer(&transaction, read))).await?),
        }
    }
    Err(StoreError::Contract { reason: "too many rounds of reading" })
}

async fn answer(transaction: &Transaction, read: &Read) -> Result<Answer, StoreError> {
    let store = |table: Table| transaction.store(table.name()).map_err(failed);
    match read {
        Read::Get(table, key) => {
            let found = store(*table)?.get(convert::key(key)).await.map_err(failed)?;
            Ok(Answer::Rows(found.as_ref().map_or(Ok(Vec::new()), |found| convert::rows(found, false))?))
        }
        Read::Count { range, .. } | Read::Range { range, .. } | Read::Whole { range, .. } if range.is_empty() => {
            Ok(if matches!(read, Read::Count { .. }) { Answer::Count(0) } else { Answer::Rows(Vec::new()) })
        }
        Read::Count { table, by_index, range } => {
            let range = convert::range(range)?.map(RexieRange::from);
            let store = store(*table)?;
            let counted = if *by_index { store.index("ix").map_err(failed)?.count(range).await } else { store.count(range).await };
            Ok(Answer::Count(counted.map_err(failed)?.into()))
        }
        Read::Whole { table, range, limit } => {
            let range = convert::range(range)?.map(RexieRange::from);
            let found = store(*table)?.get_all(range, Some(*limit)).await.map_err(failed)?;
            Ok(Answer::Rows(convert::rows(&found.into_iter().collect::<js_sys::Array>().into(), true)?))
        }
        Read::Range { table, by_index, range, limit, reverse } => {
            let range = convert::range(range)?.map(RexieRange::from);
            let store = store(*table)?;
            let found: Vec<_> = match (by_index, reverse) {
                (false, false) => store.get_all(range, *limit).await.map_err(failed)?,
                (true, false) => store.index("ix").map_err(failed)?.get_all(range, *limit).await.map_err(failed)?,
                (false, true) => values(store.scan(range, *limit, None, Some(Direction::Prev)).await.map_err(failed)?),
                (true, true) => {
                    values(store.index("ix").map_err(failed)?.scan(range, *limit, None, Some(Direction::Prev)).await.map_err(failed)?)
                }
            };
            Ok(Answer::Rows(convert::rows(&found.into_iter().collect::<js_sys::Array>().into(), false)?))
        }
    }
}

fn values<K>(pairs: Vec<(K, wasm_bindgen::JsValue)>) -> Vec<wasm_bindgen::JsValue> {
    pairs.into_iter().map(|(_, value)| value).collect()
}

#[allow(clippy::needless_pass_by_value, reason = "made for map_err")]
fn failed(error: rexie::Error) -> StoreError {
    convert::refused(convert::cause(&error))
}
