//! Reading plans, through rexie: one read-only transaction, its requests issued together, so that the plan
//! sees one unchanging picture.

use futures_util::future::try_join_all;
use rexie::{Direction, KeyRange as RexieRange, Transaction, TransactionMode};

use super::super::StoreError;
use super::connection::Connection;
use super::{convert, layout};
use crate::plan::{Answer, Plan, ROUNDS_MAX, Read, Step, Table, View};

/// Runs a plan that only reads.
pub(super) async fn read<P: Plan>(connection: &Connection, mut plan: P) -> Result<P::Out, StoreError> {
    let rexie = connection.for_reads().await?;
    let transaction = match rexie.transaction(&layout::names(), TransactionMode::ReadOnly) {
        Ok(transaction) => transaction,
        Err(_) => {
            // The browser closed the connection: open it again, once.
            connection.refusal().map_or(Ok(()), Err)?;
            drop(rexie);
            connection.lose();
            let again = connection.for_reads().await?;
            again.transaction(&layout::names(), TransactionMode::ReadOnly).map_err(failed)?
        }
    };
    let mut seen = View::default();
    for _ in 0..=ROUNDS_MAX {
        match plan.step(&seen) {
            Step::Done(batch, out) if batch.is_empty() => return Ok(out),
            Step::Done(..) => return Err(StoreError::Contract { reason: "a read wanted to write" }),
            Step::Read(reads) => seen = View::new(try_join_all(reads.iter().map(|read| answer(&transaction, read))).await?),
        }
    }
    Err(StoreError::Contract { reason: "too many rounds of reading" })
}

async fn answer(transaction: &Transaction, read: &Read) -> Result<Answer, StoreError> {
    let store = |table: Table| transaction.store(table.name()).map_err(failed);
    match read {
        Read::Get(table, key) => {
            let found = store(*table)?.get(convert::key(key)).await.map_err(failed)?;
            Ok(Answer::Rows(found.as_ref().map_or(Ok(Vec::new()), convert::rows)?))
        }
        Read::Count(_, range) | Read::Range { range, .. } if range.is_empty() => {
            Ok(if matches!(read, Read::Count(..)) { Answer::Count(0) } else { Answer::Rows(Vec::new()) })
        }
        Read::Count(table, range) => {
            let range = convert::range(range)?.map(RexieRange::from);
            Ok(Answer::Count(store(*table)?.count(range).await.map_err(failed)?.into()))
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
            Ok(Answer::Rows(convert::rows(&found.into_iter().collect::<js_sys::Array>().into())?))
        }
    }
}

fn values<K>(pairs: Vec<(K, wasm_bindgen::JsValue)>) -> Vec<wasm_bindgen::JsValue> {
    pairs.into_iter().map(|(_, value)| value).collect()
}

fn failed(error: rexie::Error) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}
