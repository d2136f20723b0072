//! What people do about conflicts: decide on one, on all of them, take a decision back, bring back what had lost, ask for
//! those of other devices. And the desk: a coordinator who decides at the server, where no device is.

use fieldsync::engine::EngineError;
use fieldsync::model::{Action, Base, IdSource, Operation, Stamp};
use fieldsync::protocol::{
    Choice, ConflictsRequest, Decided, HeldConflict, Outcome, PROTOCOL, RequestHead, ResolveConflictRequest, Standing,
};
use fieldsync::value::{Delta, Object, Pointer};
use fieldsync_server::seams::Clock;
use fieldsync_server::token::{COORDINATOR, Identity};
use serde_json::{Value, json};

use crate::random::{mix, place};
use crate::seams::server::lock;
use crate::sim::Invariant;
use crate::user::marker;
use crate::world::{Context, SimEngine, World, canary};

/// Who decides at the server.
const CHIEF: &str = "chief";

impl World {
    /// Somebody decides on an open conflict.
    pub(crate) async fn resolve(&self, context: &Context, engine: &SimEngine, pick: u64, how: u64, number: u64) -> Result<(), EngineError> {
        let open = engine.find_conflicts(r#"{"state": "open"}"#).await?;
        let Some(conflict) = open.get(place(pick, open.len())) else { return Ok(()) };
        let exactly = || json!({"type": "manual", "mergedData": {"name": format!("{}{}", marker(number), self.canary(context))}});
        let strategy = match how % 5 {
            // Where another record has what this one wants, only other values end it for good.
            _ if conflict["kind"] == "constraint" && mix(number, 3).is_multiple_of(2) => {
                self.sim.mark("other values for a constraint");
                exactly()
            }
            4 => exactly(),
            how => strategy(how),
        };
        let id = conflict["id"].as_u64().unwrap_or(0);
        engine.resolve(id, &strategy.to_string()).await?;
        self.sim.mark("conflict resolved by hand");
        self.sim.tell(|| format!("context {}: resolves conflict {id} by {strategy}", context.owner));
        Ok(())
    }

    /// Somebody decides on all of them; or only asks what that would come to, which changes nothing.
    pub(crate) async fn resolve_many(&self, context: &Context, engine: &SimEngine, how: u64) -> Result<(), EngineError> {
        let (strategy, dry) = (strategy(how % 4).to_string(), (how >> 8).is_multiple_of(4));
        let mut filter = json!({});
        loop {
            let done = engine.resolve_many(&strategy, &filter.to_string(), dry).await?;
            if done["resolved"].as_array().is_some_and(|decided| !decided.is_empty()) {
                self.sim.mark("many conflicts decided");
            }
            self.sim.tell(|| format!("context {}: decides on all by {strategy}: {done}", context.owner));
            match done["after"].as_u64() {
                Some(after) => filter["after"] = json!(after),
                None => return Ok(()),
            }
        }
    }

    /// Somebody brings back what lost a conflict, or takes the last step of one back.
    pub(crate) async fn take_back(&self, context: &Context, engine: &SimEngine, pick: u64, undo: bool) -> Result<(), EngineError> {
        let ended = engine.find_conflicts(r#"{"state": "resolved"}"#).await?;
        let Some(conflict) = ended.get(place(pick, ended.len())) else { return Ok(()) };
        let id = conflict["id"].as_u64().unwrap_or(0);
        let done = if undo { engine.undo_conflict(id, None).await? } else { engine.restore_conflict(id, None).await? };
        self.sim.mark(if undo { "decision taken back" } else { "loser brought back" });
        self.sim.tell(|| format!("context {}: {} conflict {id}: {done}", context.owner, if undo { "undoes" } else { "restores" }));
        if let Some(operation) = done["operationId"].as_str() {
            self.reported(context, operation);
        }
        Ok(())
    }

    /// Somebody asks for the conflicts of other devices.
    pub(crate) async fn fetch(&self, context: &Context, engine: &SimEngine) {
        let told = engine.fetch_conflicts().await;
        if told["open"].as_u64().is_some_and(|open| open > 0) {
            self.sim.mark("conflicts of others fetched");
        }
        self.sim.tell(|| format!("context {}: asks for the conflicts of others: {told}", context.owner));
    }

    /// The coordinator of a tenant decides on an open conflict, as the server has it.
    pub(crate) async fn desk(&self, tenant: &str, pick: u64, how: u64, number: u64) {
        let (service, now) = (self.server.service(), self.sim.executor.now());
        if self.server.away_until.get() > now {
            return;
        }
        let identity = Identity { roles: vec![COORDINATOR.to_owned()], ..Identity::new(tenant, CHIEF) };
        let mut ids = IdSource::default();
        let random = |salt: u64| {
            let mut bytes = [0; IdSource::ENTROPY_BYTES];
            bytes[..8].copy_from_slice(&mix(number, salt).to_le_bytes());
            bytes
        };
        let head = RequestHead {
            protocol: PROTOCOL,
            request_id: format!("desk {number}"),
            tenant: tenant.to_owned(),
            user: CHIEF.to_owned(),
            client: IdSource::default().client_id(1, [7; IdSource::ENTROPY_BYTES]),
            epoch: None,
            offset_ms: 0,
        };
        let asked =
            ConflictsRequest { head: head.clone(), entity: None, record: None, state: Some(Standing::Open), after: None, limit: None };
        let Ok(open) = service.conflicts(&identity, &json(&asked)).await else { return };
        let Some(held) = open.conflicts.get(place(pick, open.conflicts.len())) else { return };
        let exactly = || Object::from_iter([("name".to_owned(), json!(format!("{}{}", marker(number), canary(tenant))))]);
        let (choice, data) = match how % 3 {
            0 => (Choice::ServerWins, None),
            1 => (Choice::ClientWins, None),
            _ => (Choice::Merge, Some(exactly())),
        };
        let operation = ids.op_id(now, random(1));
        let request = ResolveConflictRequest {
            head,
            conflict_id: held.conflict_id.clone(),
            operation: operation.clone(),
            expected_version: held.server.version,
            resolution: choice,
            data,
            reason: None,
        };
        let Some(expected) = wanted(held, &request) else { return };
        let expected = Operation { stamp: Stamp { ms: self.server.clock.now_ms(), n: 0 }, schema: self.schema.version, ..expected };
        lock(&self.server.watch).commits.lines.decided_there(held, &expected);
        let said = service.resolve_conflict(&identity, &json(&request)).await;
        if let Some((invariant, what)) = lock(&self.server.watch).commits.broken.take() {
            self.sim.violate(invariant, what);
        }
        self.sim.tell(|| format!("the desk decides on {} by {choice:?}: {said:?}", held.conflict_id));
        match said {
            Ok(said) => {
                let Decided::Judged(outcome) = said.outcome else { return };
                self.sim.mark("conflict decided at the server");
                let Ok(open) = service.conflicts(&identity, &json(&asked)).await else { return };
                let is_open = open.conflicts.iter().any(|open| open.conflict_id == held.conflict_id);
                let applied = matches!(outcome, Outcome::Applied { .. });
                self.sim.check(Invariant::I9, !(applied && is_open), || format!("{} is decided and open", held.conflict_id));
            }
            Err(refusal) => self.sim.violate(Invariant::Sound, format!("the desk is refused: {refusal:?}")),
        }
    }

    fn canary(&self, context: &Context) -> String {
        canary(&self.database_of(context).plan.tenant)
    }
}

fn strategy(how: u64) -> Value {
    let name = ["server-wins", "client-wins", "last-write-wins", "merge"][place(how, 4)];
    json!({"type": name})
}

fn json(request: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(request).unwrap_or_default()
}

/// What the server has to write for a decision, by what the documentation says of it; nothing where it refuses.
fn wanted(held: &HeldConflict, request: &ResolveConflictRequest) -> Option<Operation> {
    let there = held.server.data.as_ref();
    if request.resolution != Choice::ServerWins && held.operation.group.as_ref().is_some_and(|group| group.of > 1) {
        return None;
    }
    let action = match (&request.data, &held.operation.action, there) {
        _ if request.resolution == Choice::ServerWins => Action::Update { delta: Delta::default() },
        (Some(exactly), _, Some(there)) => Action::Update { delta: Delta::diff(there, exactly) },
        (Some(exactly), _, None) => Action::Create { data: exactly.clone() },
        (None, Action::Create { data }, Some(there)) => Action::Update { delta: Delta::diff(there, data) },
        (None, Action::Delete, None) => Action::Update { delta: Delta::default() },
        (None, Action::Update { .. }, None) => return None,
        (None, Action::Update { delta }, Some(there)) => {
            let mut delta = delta.clone();
            delta.retain(|pointer: &Pointer, change| change.done_to(pointer.find(there)).as_ref() != pointer.find(there));
            Action::Update { delta }
        }
        (None, action @ (Action::Create { .. } | Action::Delete), _) => action.clone(),
    };
    let by = Operation {
        id: request.operation.clone(),
        seq: 0,
        record: held.id.clone(),
        action,
        base: Base::Version(held.server.version),
        author: CHIEF.to_owned(),
        stamps: fieldsync::value::Sorted::new(),
        lane: None,
        group: None,
        ..held.operation.clone()
    };
    Some(by.in_place_of(&held.operation, held.operation.id.clone()))
}
