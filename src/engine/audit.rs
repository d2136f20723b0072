//! The trail for whoever inspects it: rows that a filter means, the proof that none was touched, text for others, rows for
//! the app's own system, and a report. All of it reads in pages, so that a long trail takes time but no memory.

use serde::Serialize;
use serde_json::Value;

use super::options::{invalid, members};
use super::{Engine, EngineError};
use crate::audit::{
    Ages, BadFilter, Chain, Ends, Filter, Next, Noted, Open, Report, Seen, Stored, Unfinished, Verified, Waiting, shown, text,
};
use crate::decide::{
    Point, Remember, ResolveId, Rows, Verifying, all_conflicts, last_check, open_conflicts, page_after, page_of, rows_about, trail_refused,
};
use crate::model::RecordId;
use crate::outbox::State;
use crate::plan::Read;
use crate::platform::Host;
use crate::protocol::limits::NAME_BYTES_MAX;
use crate::store::{Durability, Store};
use crate::value::{Hash, Limits, Object, from_text, from_value, to_value};

/// Rows in one piece of text.
const TEXT_ROWS: usize = 250;

/// One step of a verification.
#[derive(Serialize)]
struct Step<'v> {
    result: Verified,
    before: Option<&'v Hash>,
    whole: bool,
    last: u64,
    done: bool,
    server: bool,
}

/// A piece of the trail as text, and what the filter of the next one says instead.
#[derive(Serialize)]
struct Piece {
    text: String,
    next: Option<Next>,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// The rows that a filter means, in its order: `{number, at, stamp, user, device, previous, reason, entries, hash}`. With
    /// the format `ndjson` or `csv` they come as text, in pieces: `{text, next}`. The first piece of `csv` has a head; `next`
    /// is what the filter of the next piece says instead, null at the end.
    pub async fn audit_query(&self, format: &str, filter: &str, first: bool) -> Result<Value, EngineError> {
        if !matches!(format, "" | "csv" | "ndjson") {
            return Err(invalid("format", "must be 'ndjson' or 'csv'"));
        }
        let filter = Filter::parse(members("filter", filter, &Limits::RECORD)?).map_err(bad)?;
        let rows_max = match filter.limit {
            None if !format.is_empty() => TEXT_ROWS,
            Some(_) if !format.is_empty() => filter.rows_max().min(TEXT_ROWS),
            _ => filter.rows_max(),
        };
        let (rows, more) = self.audit_rows(&filter, rows_max).await?;
        if format.is_empty() {
            return Ok(rows.into());
        }
        let next = if more { filter.behind(&rows) } else { None };
        Ok(to_value(&Piece { text: text(&rows, format == "csv", first), next }))
    }

    /// Verifies the next page of the trail. `position` is `{"from": n, "server": true}`, `{}`, or the last answer: `result` is
    /// that of all so far, and the end's where `done` says so. With `server` it then has what the server holds of the trail.
    pub async fn audit_verify(&self, position: &str) -> Result<Value, EngineError> {
        let mut step = self.verify_page(position, false).await?;
        if step["done"] == true && step["server"] == true {
            step["result"]["server"] = self.trail_there().await;
        }
        Ok(step)
    }

    /// The same, of which a dry run remembers nothing.
    pub(super) async fn verify_page(&self, position: &str, dry: bool) -> Result<Value, EngineError> {
        let members = members("position", position, &Limits::RECORD)?;
        let server = members.get("server") == Some(&Value::Bool(true));
        let position = verifying(&members)?;
        let told = self.look(Rows(position.wants())).await?;
        let mut position = position.step(&told);
        if !dry {
            position = self.noted(position).await?;
        }
        let before = position.chain.as_ref().and_then(|chain| chain.before.as_ref());
        let Verifying { whole, last, done, .. } = position;
        Ok(to_value(&Step { result: verified(&position), before, whole, last, done, server }))
    }

    /// Remembers where the whole trail was found in order.
    async fn noted(&self, position: Verifying) -> Result<Verifying, EngineError> {
        if let Some(chain) = position.chain.as_ref().filter(|chain| position.is_ok() && position.whole && chain.through > 0) {
            let point = Point { number: chain.through, hash: chain.head.clone(), at: self.now() };
            self.decide(Durability::Relaxed, Remember::Verified(point)).await?;
        }
        Ok(position)
    }

    /// A sink took all rows up to this number. Returns up to where it has taken all: what was acknowledged once stays so.
    pub async fn audit_taken(&self, sink: &str, through: &str) -> Result<u64, EngineError> {
        if sink.is_empty() || sink.len() > NAME_BYTES_MAX {
            return Err(invalid("name", "must have 1 to 256 bytes"));
        }
        let through = through.parse().map_err(|_| invalid("through", "must be a number"))?;
        self.decide(Durability::Relaxed, Remember::Taken(sink.to_owned(), through)).await
    }

    /// Whether the trail is in order, whether everything that was written is accounted for, and what waits for too long.
    /// `limits` are `{parkedMs, pendingMs, conflictMs, retentionMs}`.
    pub async fn audit_report(&self, limits: &str) -> Result<Value, EngineError> {
        let ages = Ages::parse(members("limits", limits, &Limits::RECORD)?).map_err(bad)?;
        let (mut position, mut ends, mut after, mut before) = (Verifying::default(), Ends::default(), 0, None);
        // A broken trail is read to its end all the same: what is accounted for is another question.
        loop {
            let told = self.look(Rows(Verifying::reads(0, after))).await?;
            if after == 0 {
                before = told.get(Verifying::VERIFIED_AT).and_then(|stored| Point::of(stored));
            }
            if !position.done {
                position = position.step(&told);
            }
            let page = told.first().map_or(&[][..], |rows| page_of(rows));
            page.iter().filter_map(Stored::object).for_each(|row| ends.see(&row));
            match page.last() {
                Some(last) => after = last.key,
                None => break,
            }
        }
        let position = self.noted(position).await?;
        // As it is stored, and not as it is known here.
        self.inner.known.set(None);
        self.refresh().await?;
        // The queue is known up to here, and what the trail says later it says of a later queue.
        let (through, mut unfinished) = (self.inner.known.get().unwrap_or_default(), self.unfinished());
        loop {
            let told = self.look(Rows(vec![page_after(Some(after), false), all_conflicts()])).await?;
            let [rows, conflicts] = &told[..] else { break };
            rows.iter().filter(|row| row.key <= through).filter_map(Stored::object).for_each(|row| ends.see(&row));
            match rows.last() {
                Some(last) if last.key < through => after = last.key,
                _ => {
                    unfinished.conflicts = open_conflicts(conflicts);
                    break;
                }
            }
        }
        let told = self.look(Rows(vec![Point::uploaded(), last_check(), trail_refused()])).await?;
        let seen = |point: Option<Point>| point.map(|Point { number, at, .. }| Seen { number, at });
        let refused = told[2].first().filter(|_| self.inner.settings.audit_upload).and_then(Stored::object).map(|mut told| {
            told.remove("sum");
            Value::Object(told)
        });
        let noted = Noted {
            verified: seen(before),
            uploaded: seen(Point::of(&told[0])),
            refused,
            check: told[1].first().and_then(|stored| from_text(&stored.text).ok()),
            kept: self.kept().await?,
        };
        Ok(to_value(&Report::new(verified(&position), noted, ends, unfinished, ages, self.now())))
    }

    fn unfinished(&self) -> Unfinished {
        let queue = self.inner.queue.borrow();
        let oldest = |wanted: fn(&State) -> bool| {
            let (_, oldest) = queue.items().filter(|(_, item)| wanted(&item.row.state)).min_by_key(|(_, item)| item.row.created)?;
            Some(Waiting { operation_id: oldest.operation.id.clone(), since: oldest.row.created })
        };
        Unfinished {
            operations: queue.items().map(|(_, item)| item.operation.id.clone()).collect(),
            parked: oldest(|state| matches!(state, State::Parked { .. })),
            pending: oldest(|state| *state == State::Pending),
            conflicts: Open::default(),
        }
    }

    pub(super) async fn rows(&self, read: Read) -> Result<Vec<Stored>, EngineError> {
        Ok(self.look(Rows(vec![read])).await?.pop().unwrap_or_default())
    }

    /// The first rows that a filter means, and whether there may be more.
    async fn audit_rows(&self, filter: &Filter, rows_max: usize) -> Result<(Vec<Object>, bool), EngineError> {
        let mut found = Vec::new();
        let mut after = filter.after;
        loop {
            let read = filter.operation.as_deref().map_or_else(|| page_after(after, filter.descending), rows_about);
            let mut rows: Vec<_> =
                (self.rows(read).await?.iter()).map(|row| (row.key, shown(row, self.inner.device.client.as_str()))).collect();
            if filter.operation.is_some() && filter.descending {
                rows.reverse();
            }
            let ids = match filter.entity.as_deref().zip(filter.record.as_ref()) {
                Some((entity, record)) => {
                    let ids = ids_in(entity, record, &rows);
                    let known = self.look(ResolveId { ids: ids.iter().map(|id| (entity.to_owned(), id.clone())).collect() }).await?;
                    let present = |id: &RecordId| {
                        known.iter().find(|(_, earlier, _)| earlier == id).map_or_else(|| id.clone(), |(_, _, row)| row.id.clone())
                    };
                    ids.iter().filter(|id| present(id) == present(record)).cloned().collect()
                }
                None => Vec::new(),
            };
            let Some((last, _)) = rows.last() else { return Ok((found, false)) };
            after = Some(*last);
            for (number, row) in rows {
                if filter.is_past(&row) {
                    return Ok((found, false));
                }
                if filter.is_behind(number) && filter.means(&row, |id| ids.contains(id)) {
                    if found.len() == rows_max {
                        return Ok((found, true));
                    }
                    found.push(row);
                }
            }
            if filter.operation.is_some() {
                return Ok((found, false));
            }
        }
    }
}

/// The IDs of an entity in these rows, and the one that is wanted.
fn ids_in(entity: &str, record: &RecordId, rows: &[(u64, Object)]) -> Vec<RecordId> {
    let mut ids = vec![record.clone()];
    for entry in rows.iter().filter_map(|(_, row)| row.get("entries")?.as_array()).flatten() {
        if entry["entity"] == entity
            && let Ok(id) = RecordId::from_value(&entry["record"])
            && !ids.contains(&id)
        {
            ids.push(id);
        }
    }
    ids
}

/// What a verification found so far.
fn verified(position: &Verifying) -> Verified {
    let (rows, ok, first_bad) = (position.rows, position.is_ok(), position.first_bad);
    let (through, head) = position.chain.as_ref().map_or((0, None), |chain| (chain.through, Some(chain.head.clone())));
    Verified { rows, begins: Some(position.begins).filter(|begins| *begins > 0), through, head, ok, first_bad }
}

/// Where a verification goes on: `{from}` before its first step, later the last answer.
fn verifying(position: &Object) -> Result<Verifying, EngineError> {
    let Some(result) = position.get("result") else {
        let from = match position.get("from") {
            None | Some(Value::Null) => None,
            Some(from) => Some(from.as_u64().ok_or_else(|| invalid("from", "must be a whole number, not below 0"))?),
        };
        return Ok(Verifying { from, ..Verifying::default() });
    };
    let hash = |value: Option<&Value>| value.and_then(|hash| from_value::<Hash>(hash).ok());
    let number = |name: &str| result[name].as_u64().unwrap_or_default();
    let chain = hash(result.get("head")).map(|head| Chain { through: number("through"), head, before: hash(position.get("before")) });
    Ok(Verifying {
        rows: number("rows"),
        begins: number("begins"),
        chain,
        whole: position.get("whole") == Some(&Value::Bool(true)),
        ..Verifying::default()
    })
}

fn bad((path, what): BadFilter) -> EngineError {
    invalid(&path, what)
}
