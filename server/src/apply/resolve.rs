//! A conflict that is decided at the server and not on the device that met it.
//!
//! The server writes the operation that stands in the refused one's place, on the record as it is and by whoever
//! decides, and judges it like one that was sent: with a receipt, so that the same decision counts once, and with what
//! closes the conflict. It does not know the fields of what the refused operation was written on. So the device's side
//! is what that operation wanted, done to the record as it is. Of the entity's rules none counts here, its groups neither:
//! the strategy that was chosen decides on each field by itself.

use fieldsync::conflict::{Local, judge};
use fieldsync::model::{Action, Base, OpId, Operation, Stamp, Version};
use fieldsync::protocol::limits::CLOCK_TOLERANCE_MS;
use fieldsync::protocol::{Choice, Outcome, Rejection, ServerState};
use fieldsync::schema::{ConflictRules, Rule};
use fieldsync::value::{Delta, Hash, Object, Sorted};

use super::{Context, Incoming, Stop, Working};
use crate::store::{Conflict, Receipt, Record, Wanted};

/// What somebody decided over a conflict.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The conflict's name.
    pub conflict: String,
    /// The ID of the operation that shall be written.
    pub operation: OpId,
    /// What the decision is, to be told from another one under the same ID.
    pub fingerprint: Hash,
    /// The version of the record that was decided on.
    pub expected: Version,
    /// How it ends.
    pub choice: Choice,
    /// With a merge: exactly these fields.
    pub data: Option<Object>,
    /// For people.
    pub reason: Option<String>,
}

/// What is said to a decision. The record stands beside it, as it is afterwards.
#[derive(Debug)]
pub enum Said {
    /// The outcome of the operation that was written.
    Judged(Outcome, ServerState),
    /// The record is not what was decided on.
    Stale(ServerState),
    /// Another operation closed the conflict.
    Closed(OpId, ServerState),
    /// There is no such conflict.
    Unknown,
    /// It is for others to decide.
    Forbidden,
}

impl Working {
    /// Lets a decision take effect. An error names rows to load first; nothing has happened then.
    pub fn resolve(&mut self, context: &Context<'_>, decision: &Decision, fresh: &str) -> Result<Said, Box<Wanted>> {
        let found = self.named(&decision.conflict).map_err(Stop::into_wanted)?;
        let Some((conflict, user)) = found else { return Ok(Said::Unknown) };
        if !context.decides_for(user) {
            return Ok(Said::Forbidden);
        }
        let conflict = conflict.clone();
        let server = self.state_of(&conflict).map_err(Stop::into_wanted)?;
        let known = self.receipt(&decision.operation).map_err(Stop::into_wanted)?.is_some();
        match &conflict.closed_by {
            Some(by) if !known => return Ok(Said::Closed(by.clone(), server)),
            None if !known && server.version != decision.expected => return Ok(Said::Stale(server)),
            _ => {}
        }
        let refused = self.receipt(&conflict.operation).map_err(Stop::into_wanted)?;
        let operation = refused.ok_or(UNREADABLE).and_then(|refused| written(context, decision, &conflict, refused, &server));
        let operation = operation.map_err(|why| Rejection {
            code: "invalid_operation".to_owned(),
            message: why.to_owned(),
            path: Some("resolution".to_owned()),
            faults: Vec::new(),
        });
        let text = operation.as_ref().map_or_else(|_| "null".to_owned(), |operation| fieldsync::value::to_value(operation).to_string());
        let (id, fingerprint) = (decision.operation.clone(), decision.fingerprint.clone());
        let incoming = Incoming { id, fingerprint, text: &text, group: None, operation };
        let ruling = self.rule(context, &incoming, fresh)?;
        let outcome = self.enter(context, &incoming, fresh, ruling);
        let server = self.state_of(&conflict).map_err(Stop::into_wanted)?;
        Ok(Said::Judged(outcome, server))
    }

    /// The record that a conflict is about. If even its tombstone is gone, what is known is that it was deleted.
    fn state_of(&self, conflict: &Conflict) -> Result<ServerState, Stop> {
        let record = self.record(&conflict.key)?;
        Ok(record.map_or_else(|| ServerState::plain(conflict.version, None), Record::state))
    }
}

const UNREADABLE: &str = "the refused operation is not known any more";

/// The operation that stands in the refused one's place, or why there can be none.
fn written(
    context: &Context<'_>,
    decision: &Decision,
    conflict: &Conflict,
    refused: &Receipt,
    server: &ServerState,
) -> Result<Operation, &'static str> {
    let kept = refused.kept.as_ref().and_then(|text| serde_json::from_str::<Operation>(text).ok()).ok_or(UNREADABLE)?;
    if decision.choice != Choice::ServerWins && kept.group.as_ref().is_some_and(|group| group.of > 1) {
        return Err("it was written in a transaction: only its device has the others, and can send them again with it");
    }
    let action = match (decision.choice, &decision.data) {
        (Choice::ServerWins, _) => Action::nothing(),
        (Choice::Merge, Some(exactly)) => match &server.data {
            Some(there) => Action::Update { delta: Delta::diff(there, exactly) },
            None => Action::Create { data: exactly.clone() },
        },
        (Choice::ClientWins, _) => judged(context, &kept, conflict, refused, server, Rule::ClientWins)?,
        (Choice::LastWriteWins | Choice::Merge, _) => judged(context, &kept, conflict, refused, server, Rule::LastWriteWins)?,
    };
    let by = Operation {
        id: decision.operation.clone(),
        seq: 0,
        record: conflict.key.id.clone(),
        action,
        base: Base::Version(server.version),
        stamp: Stamp { ms: context.received_ms, n: 0 },
        stamps: Sorted::new(),
        author: context.user.to_owned(),
        lane: None,
        group: None,
        schema: context.schema.version,
        ..kept.clone()
    };
    Ok(by.in_place_of(&kept, conflict.operation.clone()))
}

/// What is left to do of the refused operation by a rule, on the record as it is.
fn judged(
    context: &Context<'_>,
    kept: &Operation,
    conflict: &Conflict,
    refused: &Receipt,
    server: &ServerState,
    rule: Rule,
) -> Result<Action, &'static str> {
    let latest_ms = refused.received_ms.saturating_add(CLOCK_TOLERANCE_MS);
    let effective = |stamp: Stamp| stamp.effective(conflict.offset_ms, latest_ms);
    let stamps = kept.stamps.iter().map(|(field, stamp)| (field.clone(), effective(*stamp))).collect();
    let on = server.data.as_ref();
    let local = Local { action: &kept.action, stamp: effective(kept.stamp), stamps: &stamps, version: None, base: None, on, view: None };
    let metadata = context.schema.entity(&conflict.key.entity).map(|entity| entity.conflicts.metadata.clone()).unwrap_or_default();
    let verdict = judge(local, server, &ConflictRules { default: rule, metadata, ..ConflictRules::default() });
    match verdict.action {
        None if verdict.resolution == "client-wins" && on.is_none() => {
            Err("the record is deleted, and the refused change holds only a part of it: `merge` with `data` brings it back")
        }
        action => Ok(action.unwrap_or_else(Action::nothing)),
    }
}
