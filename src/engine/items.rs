//! What an app does with its queue: sends parked operations again, gives them up, carries unsent work to another
//! device, and empties the database.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::reason::{Act, bounded};
use super::records::changes_in;
use super::{Engine, EngineError};
use crate::decide::{Discard, Export, Import, ItemError, Retry, Unsent, Wipe};
use crate::model::{ClientId, OpId, Operation};
use crate::platform::Host;
use crate::protocol::limits::{DEPTH_MAX, OPERATION_BYTES_MAX};
use crate::store::{Durability, Store};
use crate::value::{Limits, from_value, parse, to_text};

/// The form of the file; counts up when it changes.
const FORM: u32 = 1;
/// Bytes of a file that is read: 64 MiB.
const FILE_BYTES_MAX: usize = 64 << 20;

/// Unsent work, and whose it is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    fieldsync: u32,
    tenant: String,
    user: String,
    client: ClientId,
    exported_at: u64,
    unsent: Unsent,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Sends a parked operation again, as it was or with other values for some fields (`{"set", "unset"}`). A new
    /// operation stands in its place, and new ones in the places of the rest of its group.
    pub async fn retry(&self, operation: &str, changes: Option<&str>) -> Result<(), EngineError> {
        let changes = changes.map(changes_in).transpose()?;
        let decision = Retry {
            schema: self.inner.settings.schema.clone(),
            operation: self.queued(operation).await?,
            changes,
            fresh: self.fresh(),
            user: self.inner.settings.user.clone(),
        };
        let effects = self.decide(Durability::Strict, decision).await?.map_err(refused)?;
        self.absorb(&effects, "local");
        self.inner.poke.notify();
        Ok(())
    }

    /// Gives an operation up, with its group and all that depends on it, for this reason. Returns their IDs.
    pub async fn discard(&self, operation: &str, reason: Option<&str>) -> Result<Value, EngineError> {
        let decision = Discard {
            schema: self.inner.settings.schema.clone(),
            keeps: false,
            reason: self.reason(Act::Discard, reason)?,
            operation: self.queued(operation).await?,
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        let (given_up, effects) = self.decide(Durability::Strict, decision).await?.map_err(refused)?;
        self.absorb(&effects, "local");
        Ok(json!({"discarded": given_up}))
    }

    async fn queued(&self, operation: &str) -> Result<(u64, OpId), EngineError> {
        let unknown = || refused(ItemError::Unknown);
        let id = OpId::parse(operation).map_err(|_| unknown())?;
        self.refresh().await?;
        let queue = self.inner.queue.borrow();
        let found = queue.items().find(|(_, item)| item.operation.id == id);
        found.map(|(seq, _)| (seq, id)).ok_or_else(unknown)
    }

    /// Everything unsent, as the text of a file.
    pub async fn export(&self) -> Result<String, EngineError> {
        let settings = &self.inner.settings;
        let decision = Export { schema: settings.schema.clone(), now: self.now(), user: settings.user.clone() };
        let (unsent, effects) = self.decide(Durability::Strict, decision).await?;
        self.absorb(&effects, "local");
        // What was written out is sealed now: the next claim must know.
        self.inner.known.set(None);
        self.refresh().await?;
        Ok(to_text(&File {
            fieldsync: FORM,
            tenant: settings.tenant.clone(),
            user: settings.user.clone(),
            client: self.inner.device.client.clone(),
            exported_at: self.now(),
            unsent,
        }))
    }

    /// Reads a file of unsent work of the same tenant and user. What is known here already is left out.
    pub async fn import(&self, text: &str) -> Result<Value, EngineError> {
        let invalid = |why: &str| EngineError::with("invalid_file", &format!("this is no file of unsent work: {why}"), Value::Null);
        let value = parse(text, &Limits { bytes_max: FILE_BYTES_MAX, depth_max: DEPTH_MAX })?;
        let file: File = from_value(&value).map_err(|_| invalid("it has another form"))?;
        if file.fieldsync != FORM {
            return Err(invalid("it was written by a newer version"));
        }
        let settings = &self.inner.settings;
        if (&file.tenant, &file.user) != (&settings.tenant, &settings.user) {
            return Err(EngineError::new("identity_mismatch", "this file belongs to another tenant or user"));
        }
        let bounds = Limits { bytes_max: OPERATION_BYTES_MAX, depth_max: DEPTH_MAX };
        for carried in &file.unsent.operations {
            let operation = parse(&carried.body, &bounds).ok().and_then(|value| from_value::<Operation>(&value).ok());
            let operation = operation.ok_or_else(|| invalid("an operation in it cannot be read"))?;
            if operation.author != settings.user {
                return Err(invalid("an operation in it was written by another user"));
            }
        }
        let of = file.unsent.operations.len();
        let decision = Import { schema: settings.schema.clone(), unsent: file.unsent.into(), now: self.now(), user: settings.user.clone() };
        let (imported, effects) = self.decide(Durability::Strict, decision).await?;
        self.absorb(&effects, "local");
        self.inner.known.set(None);
        self.refresh().await?;
        self.inner.poke.notify();
        Ok(json!({"imported": imported, "known": of - imported}))
    }

    /// Empties the database and closes it. Unsent work stands in the way, unless `force` says that it goes too:
    /// the trail keeps which operations those were, and the reason.
    pub async fn wipe(&self, force: bool, reason: Option<&str>) -> Result<Value, EngineError> {
        let settings = &self.inner.settings;
        let reason = bounded(reason)?;
        let decision = Wipe { schema: settings.schema.clone(), force, reason, now: self.now(), user: settings.user.clone() };
        match self.decide(Durability::Strict, decision).await? {
            Ok((discarded, effects)) => {
                // Who waits for one of these learns its end before there is nobody to tell.
                self.absorb(&effects, "local");
                self.close();
                Ok(json!({"discarded": discarded}))
            }
            Err(unsent) => Err(EngineError::with("unsent_work", "there is unsent work in this database", json!({"unsent": unsent}))),
        }
    }
}

pub(super) fn refused(error: ItemError) -> EngineError {
    let message = error.to_string();
    match error {
        ItemError::Write(error) => error.into(),
        ItemError::Unknown => EngineError::new("unknown_operation", &message),
        ItemError::NotParked => EngineError::new("not_parked", &message),
        ItemError::Sealed => EngineError::new("sealed", &message),
        ItemError::InConflict => EngineError::new("in_conflict", &message),
    }
}
