//! The check of the whole store, and its repair: the tables one after the other, then the trail's chain, then where
//! references lead. Each part is a transaction of its own, so that a large store takes time but no memory, and what is
//! written meanwhile is seen or not.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::options::{dry_run, invalid, members};
use super::{Engine, EngineError};
use crate::audit::LastCheck;
use crate::decide::{CheckReferences, CheckRows, Checked, Mend, Remember, Walk};
use crate::integrity::{FAULTS_MAX, Fault, Mended, Wrong};
use crate::plan::Table;
use crate::platform::Host;
use crate::store::{Durability, Store};
use crate::value::{Key, Limits, Object, from_value, to_value};

/// The phases behind those of the tables.
const CHAIN: usize = Table::ALL.len();
const REFERENCES: usize = CHAIN + 1;
const END: usize = CHAIN + 2;

/// How far a check is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Position {
    /// Which table, or what comes behind the tables.
    phase: usize,
    /// The key of the last row in a table; how far the chain was followed; how far the walk over the references is.
    at: Value,
    /// Rows done and rows in all, of this phase.
    done: u64,
    total: u64,
    /// How many of what was looked at.
    checked: Object,
    /// All rows.
    rows: u64,
    found: u64,
}

/// What one step of a check tells.
struct Told {
    faults: Vec<(Fault, Option<Mended>)>,
    resync: bool,
}

impl Position {
    fn name(&self) -> &'static str {
        match self.phase {
            CHAIN => "chain",
            REFERENCES => "references",
            phase => Table::ALL.get(phase).map_or("end", |table| table.name()),
        }
    }
    fn next(&mut self) {
        self.phase += 1;
        (self.at, self.done, self.total) = (Value::Null, 0, 0);
    }
    fn count(&mut self, name: &str, more: u64) {
        let before = self.checked.get(name).and_then(Value::as_u64).unwrap_or_default();
        self.checked.insert(name.to_owned(), (before + more).into());
    }
}

impl<S: Store, H: Host> Engine<S, H> {
    /// One step of a check: `{position, progress, faults, result}`. `position` is `{}` at first, later that of the last
    /// answer. `result` is null until the end; then it has the counts of all, and the time of the check is remembered.
    pub async fn check_integrity(&self, position: &str) -> Result<Value, EngineError> {
        let mut position: Position = from_value(&members("position", position, &Limits::MESSAGE)?.into())
            .map_err(|_| invalid("position", "must be the last answer's"))?;
        let (name, listed) = (position.name(), position.found);
        let told = self.step(&mut position, None).await?;
        let progress = json!({"phase": name, "done": position.done, "total": position.total});
        let room = usize::try_from(FAULTS_MAX.saturating_sub(listed)).unwrap_or(usize::MAX);
        let faults: Vec<&Fault> = told.faults.iter().take(room).map(|(fault, _)| fault).collect();
        let mut result = Value::Null;
        if position.phase == END {
            let check = LastCheck { at: self.now(), rows: position.rows, faults: position.found };
            result = json!({
                "ok": position.found == 0, "at": check.at, "checked": position.checked, "found": position.found,
                "truncated": position.found > FAULTS_MAX,
            });
            self.inner.checked_at.set(check.at);
            self.decide(Durability::Relaxed, Remember::Checked(check)).await?;
        }
        Ok(json!({"position": to_value(&position), "progress": progress, "faults": to_value(&faults), "result": result}))
    }

    /// Whether all was last looked over long ago. A check of the future is none.
    pub(super) fn is_check_due(&self) -> bool {
        let (last, every) = (self.inner.checked_at.get(), self.inner.settings.integrity_check_ms);
        every > 0 && !(last..last.saturating_add(every)).contains(&self.now())
    }

    /// Looks all over in idle time: step by step, until a session begins. The next idle time goes on from there; what is found
    /// at the end is an alert.
    pub(super) async fn look_over(&self) -> Result<(), EngineError> {
        while self.is_check_due() && !self.inner.role.borrow().is_running() && !self.inner.closed.is_raised() {
            let position = self.inner.checking.borrow().clone();
            let told = self.check_integrity(position.as_deref().unwrap_or("{}")).await?;
            let goes_on = told["result"].is_null();
            self.inner.checking.replace(goes_on.then(|| told["position"].to_string()));
            if !goes_on {
                self.alerts().await?;
            }
        }
        Ok(())
    }

    /// Mends what can be mended, or with `{"dryRun": true}` says what that would be: `{mended, left, hashed, resync, truncated}`.
    pub async fn repair(&self, text: &str) -> Result<Value, EngineError> {
        let dry = dry_run(&members("options", text, &Limits::MESSAGE)?, &[])?;
        let (mut mended, mut left, mut resync, mut truncated) = (Vec::new(), Vec::new(), false, false);
        let mut position = Position::default();
        while position.phase < END {
            let told = self.step(&mut position, Some(dry)).await?;
            resync |= told.resync;
            for (fault, done) in told.faults {
                let mut shown = to_value(&fault);
                let (list, name, word) = match done {
                    Some(Mended::By(action)) => (&mut mended, "action", action),
                    Some(Mended::Not(why)) => (&mut left, "reason", why),
                    None if fault.table == Table::Audit.name() => (&mut left, "reason", "the trail is only ever added to"),
                    None => (&mut left, "reason", "a person decides: relationships.resolveOrphans"),
                };
                shown[name] = word.into();
                truncated |= list.len() as u64 >= FAULTS_MAX;
                if (list.len() as u64) < FAULTS_MAX {
                    list.push(shown);
                }
            }
        }
        if !dry {
            // A store that fails now fails the next call too: what is mended is mended.
            let _ = self.refresh().await;
        }
        if !dry {
            self.retry_trail();
            self.inner.poke.notify();
        }
        let hashed = position.checked.get("unhashed").cloned().unwrap_or_else(|| 0.into());
        Ok(json!({"mended": mended, "left": left, "hashed": hashed, "resync": resync, "truncated": truncated}))
    }

    /// Goes on by one part; with `dry`, mends.
    async fn step(&self, position: &mut Position, dry: Option<bool>) -> Result<Told, EngineError> {
        let told = match Table::ALL.get(position.phase) {
            Some(table) => self.table(position, *table, dry).await?,
            None if position.phase == CHAIN => self.chain(position, dry == Some(true)).await?,
            None => self.references(position).await?,
        };
        position.found += told.faults.len() as u64;
        Ok(told)
    }

    async fn table(&self, position: &mut Position, table: Table, dry: Option<bool>) -> Result<Told, EngineError> {
        let mend = dry.map(|dry| Mend {
            dry,
            name: self.op_id(),
            now: self.now(),
            user: self.inner.settings.user.clone(),
            device: self.inner.device.clone(),
        });
        let look = CheckRows { schema: self.inner.settings.schema.clone(), table, after: Key::of(&position.at), mend };
        let part: Checked = match dry {
            Some(_) => self.decide(Durability::Strict, look).await?,
            None => self.look(look).await?,
        };
        if let Some(effects) = &part.effects {
            self.absorb(effects, "local");
        }
        position.total = position.total.max(part.of);
        position.done += part.rows;
        position.rows += part.rows;
        position.count(table.name(), part.rows);
        position.count("unhashed", part.unhashed);
        match part.last {
            Some(last) => position.at = last.to_value(),
            None => position.next(),
        }
        Ok(Told { faults: part.faults, resync: part.resync })
    }

    async fn chain(&self, position: &mut Position, dry: bool) -> Result<Told, EngineError> {
        let at = if position.at.is_null() { "{}".to_owned() } else { position.at.to_string() };
        let answer = self.verify_page(&at, dry).await?;
        (position.done, position.total) =
            (answer["result"]["rows"].as_u64().unwrap_or_default(), answer["last"].as_u64().unwrap_or_default());
        let mut faults = Vec::new();
        if let Some(number) = answer["result"]["firstBad"]["number"].as_u64() {
            faults.push((Fault::new(Wrong::Chain, Table::Audit.name(), None, number.into()), None));
        }
        if answer["done"] == true {
            position.next();
        } else {
            position.at = answer;
        }
        Ok(Told { faults, resync: false })
    }

    async fn references(&self, position: &mut Position) -> Result<Told, EngineError> {
        let at: Walk = from_value(&position.at).unwrap_or_default();
        let (part, next) = match self.look(CheckReferences { schema: self.inner.settings.schema.clone(), at }).await {
            // A row that cannot be read was told before, and nobody can say what it refers to.
            Err(error) if error.code == "integrity" => {
                position.next();
                return Ok(Told { faults: Vec::new(), resync: false });
            }
            part => part?,
        };
        position.done += part.records;
        position.count("references", part.references);
        let fault = |orphan: &crate::relations::Orphan| {
            let table = if orphan.unsent { Table::Overlay } else { Table::Base };
            let about = Some((orphan.entity.as_str(), orphan.id.to_value()));
            (Fault::new(Wrong::Reference, table.name(), about, orphan.path.as_str().into()), None)
        };
        let faults = part.dangling.iter().map(fault).collect();
        match next {
            Some(next) => position.at = to_value(&next),
            None => position.next(),
        }
        Ok(Told { faults, resync: false })
    }
}
