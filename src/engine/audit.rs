//! The trail for whoever inspects it: rows that a filter means, the proof that none was touched, text for others, rows for
//! the app's own system, and a report. All of it reads in pages, so that a long trail takes time but no memory.

use serde_json::{Value, json};

use super::{Engine, EngineError};
use crate::audit::{BadFilter, Chain, Ends, Filter, HEAD, Stored, lines, shown, time};
use crate::decide::{Following, Inspect, Inspected, Point, Remember, ResolveId};
use crate::model::RecordId;
use crate::platform::Host;
use crate::protocol::limits::NAME_BYTES_MAX;
use crate::store::{Durability, Store};
use crate::value::{Hash, Limits, Object, from_value, parse, to_text};

/// How old something unfinished may be before the report names it, ms: 24 h.
const AGE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Rows in one piece of text.
const TEXT_ROWS: usize = 250;

impl<S: Store, H: Host> Engine<S, H> {
    /// The rows that a filter means, in its order: `{number, at, stamp, user, device, previous, reason, entries, hash}`.
    pub async fn audit_query(&self, filter: &str) -> Result<Vec<Value>, EngineError> {
        let filter = self.filter(filter)?;
        let (rows, _) = self.audit_rows(&filter, filter.rows_max()).await?;
        Ok(rows.into_iter().map(Value::Object).collect())
    }

    /// The next piece of the rows that a filter means, as text: `ndjson`, or `csv`, whose first piece has a head. `next` is
    /// what the filter of the next piece says instead, null at the end.
    pub async fn audit_export(&self, format: &str, filter: &str, first: bool) -> Result<Value, EngineError> {
        let csv = match format {
            "csv" => true,
            "ndjson" => false,
            _ => return Err(invalid("format", "must be 'ndjson' or 'csv'")),
        };
        let filter = self.filter(filter)?;
        let wanted = filter.limit.map_or(TEXT_ROWS, |_| filter.rows_max().min(TEXT_ROWS));
        let (rows, more) = self.audit_rows(&filter, wanted).await?;
        let left = filter.limit.map(|limit| limit.saturating_sub(rows.len().try_into().unwrap_or(u64::MAX)));
        let last = rows.last().map(|row| row["number"].clone()).filter(|_| more && left != Some(0));
        let next = last.map(|after| left.map_or_else(|| json!({"after": after}), |left| json!({"after": after, "limit": left})));
        let mut text = if csv && first { HEAD.to_owned() } else { String::new() };
        for row in rows {
            if csv {
                text.push_str(&lines(&row));
            } else {
                text.push_str(&to_text(&row));
                text.push('\n');
            }
        }
        Ok(json!({"text": text, "next": next}))
    }

    /// Verifies the next page of the trail. `position` is `{"from": n}`, `{}`, or the last answer: `result` is that of all so
    /// far, and the end's where `done` says so.
    pub async fn audit_verify(&self, position: &str) -> Result<Value, EngineError> {
        let position = self.verified(following(&object(position)?)?).await?;
        let before = position.chain.as_ref().and_then(|chain| chain.before.as_ref()).map(Hash::as_str);
        Ok(json!({
            "result": result(&position), "before": before, "whole": position.whole, "last": position.last, "done": position.done,
        }))
    }

    async fn verified(&self, position: Following) -> Result<Following, EngineError> {
        let position = self.inspect(Inspect::Follow(position)).await?.following;
        if let Some(chain) = position.chain.as_ref().filter(|chain| is_ok(&position) && position.whole && chain.through > 0) {
            let point = Point { number: chain.through, hash: chain.head.clone(), at: self.now() };
            self.decide(Durability::Relaxed, Remember::Verified(point)).await?;
        }
        Ok(position)
    }

    /// The rows that a sink has not acknowledged, at most a page of them.
    pub async fn audit_next(&self, sink: &str) -> Result<Vec<Value>, EngineError> {
        if sink.is_empty() || sink.len() > NAME_BYTES_MAX {
            return Err(invalid("name", "must have 1 to 256 bytes"));
        }
        let rows = self.inspect(Inspect::Sink(sink.to_owned())).await?.rows;
        rows.iter().map(|row| self.shown_row(row).map(Value::Object)).collect()
    }

    /// A sink took all rows up to this number.
    pub async fn audit_taken(&self, sink: &str, through: &str) -> Result<(), EngineError> {
        let through = through.parse().map_err(|_| invalid("through", "must be a number"))?;
        self.decide(Durability::Relaxed, Remember::Taken(sink.to_owned(), through)).await
    }

    /// Whether the trail is in order, whether everything that was written is accounted for, and what waits for too long.
    /// `limits` are `{parkedMs, pendingMs, conflictMs}`.
    pub async fn audit_report(&self, limits: &str) -> Result<Value, EngineError> {
        let mut limits = object(limits)?;
        let mut limit = |name: &str| match limits.remove(name) {
            None => Ok(AGE_MS),
            Some(value) => value.as_u64().ok_or_else(|| invalid(name, "must be a whole number, not below 0")),
        };
        let (parked_ms, pending_ms, conflict_ms) = (limit("parkedMs")?, limit("pendingMs")?, limit("conflictMs")?);
        if let Some(unknown) = limits.keys().next() {
            return Err(invalid(unknown, "is no limit of the report"));
        }
        let before = self.inspect(Inspect::End(u64::MAX)).await?.unfinished.verified;
        let mut chain = Following::default();
        while !chain.done {
            chain = self.verified(chain).await?;
        }
        let (end, ends) = self.ended().await?;
        let (audited, missing) = (ends.audited(), ends.missing(&end.operations));
        let now = self.now();
        let too_old = |since: Option<u64>, limit: u64| since.is_some_and(|since| now.saturating_sub(since) > limit);
        let since = |oldest: &Option<(u64, _)>| oldest.as_ref().map(|(created, _)| *created);
        let breaches = [
            (!is_ok(&chain), "chain"),
            (!missing.is_empty(), "terminal"),
            (too_old(since(&end.parked), parked_ms), "parked"),
            (too_old(since(&end.pending), pending_ms), "pending"),
            (too_old(end.conflict, conflict_ms), "conflicts"),
        ];
        let breaches: Vec<&str> = breaches.into_iter().filter(|(breached, _)| *breached).map(|(_, name)| name).collect();
        let oldest =
            |oldest: Option<(u64, crate::model::OpId)>| oldest.map(|(at, operation)| json!({"operationId": operation, "since": at}));
        Ok(json!({
            "chain": result(&chain), "lastVerified": before.map(|point| json!({"number": point.number, "at": point.at})),
            "terminal": {"audited": audited, "missing": missing}, "oldestParked": oldest(end.parked), "oldestPending": oldest(end.pending),
            "openConflicts": {"count": end.conflicts, "oldest": end.conflict}, "breaches": breaches,
        }))
    }

    /// What is unfinished at one moment, and what had an end by then.
    async fn ended(&self) -> Result<(crate::decide::Unfinished, Ends), EngineError> {
        let (mut ends, mut after) = (Ends::default(), None);
        loop {
            let rows = self.inspect(Inspect::Page { operation: None, after, descending: false }).await?.rows;
            let Some(last) = rows.last().map(|row| row.key) else { break };
            rows.iter().filter_map(Stored::object).for_each(|row| ends.see(&row));
            after = Some(last);
        }
        let Inspected { rows, unfinished, .. } = self.inspect(Inspect::End(after.unwrap_or_default())).await?;
        rows.iter().filter_map(Stored::object).for_each(|row| ends.see(&row));
        Ok((unfinished, ends))
    }

    async fn inspect(&self, what: Inspect) -> Result<Inspected, EngineError> {
        self.look(what).await
    }

    /// The first rows that a filter means, and whether there may be more.
    async fn audit_rows(&self, filter: &Filter, rows_max: usize) -> Result<(Vec<Object>, bool), EngineError> {
        let mut found = Vec::new();
        let mut after = filter.after;
        let wanted = filter.entity.as_deref().zip(filter.record.as_ref());
        loop {
            let (operation, descending) = (filter.operation.clone(), filter.descending);
            let page = self.inspect(Inspect::Page { operation, after, descending }).await?.rows;
            let rows: Vec<(u64, Object)> =
                page.iter().map(|row| self.shown_row(row).map(|shown| (row.key, shown))).collect::<Result<_, _>>()?;
            let ids = match wanted {
                Some((entity, record)) => self.ids_of(entity, record, &rows).await?,
                None => Vec::new(),
            };
            let Some((last, _)) = rows.last() else { return Ok((found, false)) };
            after = Some(*last);
            for (number, row) in rows {
                if filter.is_past(time(&row)) {
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

    /// The IDs in these rows that a record has or had.
    async fn ids_of(&self, entity: &str, record: &RecordId, rows: &[(u64, Object)]) -> Result<Vec<RecordId>, EngineError> {
        let mut ids = vec![record.clone()];
        for entry in rows.iter().filter_map(|(_, row)| row["entries"].as_array()).flatten().filter(|entry| entry["entity"] == entity) {
            if let Ok(id) = RecordId::from_value(&entry["record"])
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let found = self.look(ResolveId { ids: ids.iter().map(|id| (entity.to_owned(), id.clone())).collect() }).await?;
        let present = |id: &RecordId| found.iter().find(|(_, earlier, _)| earlier == id).map_or(id.clone(), |(_, _, row)| row.id.clone());
        let wanted = present(record);
        ids.retain(|id| present(id) == wanted);
        Ok(ids)
    }

    fn shown_row(&self, row: &Stored) -> Result<Object, EngineError> {
        let unreadable = || EngineError::with("integrity", "a row of the audit trail cannot be read", json!({"number": row.key}));
        Ok(shown(row.object().ok_or_else(unreadable)?, self.inner.device.client.as_str()))
    }

    fn filter(&self, text: &str) -> Result<Filter, EngineError> {
        Filter::parse(object(text)?).map_err(|(path, what): BadFilter| invalid(&path, what))
    }
}

/// What a verification found so far.
fn result(position: &Following) -> Value {
    let (through, head) = position.chain.as_ref().map_or((0, None), |chain| (chain.through, Some(chain.head.as_str())));
    let mut result = json!({"rows": position.rows, "through": through, "head": head, "ok": is_ok(position)});
    if let Some(bad) = position.first_bad {
        result["firstBad"] = json!({"number": bad.number, "reason": bad.reason.name()});
    }
    result
}

fn is_ok(position: &Following) -> bool {
    position.done && position.first_bad.is_none()
}

/// Where a verification goes on: `{from}` before its first step, later the last answer.
fn following(position: &Object) -> Result<Following, EngineError> {
    let Some(result) = position.get("result") else {
        let from = match position.get("from") {
            None | Some(Value::Null) => None,
            Some(from) => Some(from.as_u64().ok_or_else(|| invalid("from", "must be a whole number, not below 0"))?),
        };
        return Ok(Following { from, ..Following::default() });
    };
    let hash = |value: Option<&Value>| value.and_then(|hash| from_value::<Hash>(hash).ok());
    let number = |name: &str| result[name].as_u64().unwrap_or_default();
    let chain = hash(result.get("head")).map(|head| Chain { through: number("through"), head, before: hash(position.get("before")) });
    Ok(Following { rows: number("rows"), chain, whole: position.get("whole") == Some(&Value::Bool(true)), ..Following::default() })
}

fn invalid(path: &str, what: &str) -> EngineError {
    EngineError::with("invalid_value", &format!("{path} {what}"), json!({"path": path}))
}

fn object(text: &str) -> Result<Object, EngineError> {
    match parse(text, &Limits::RECORD)? {
        Value::Object(object) => Ok(object),
        _ => Err(invalid("filter", "must be an object")),
    }
}
