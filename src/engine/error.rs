//! The error that leaves the engine: a stable code, whether trying again can help, and facts for the caller.

use std::ops::Deref;

use serde_json::{Value, json};

use crate::conflict::FilterError;
use crate::decide::{Corrupt, OrphanError, ResolveError, TakeBackError, WriteError};
use crate::query::QueryError;
use crate::schema::SchemaError;
use crate::store::StoreError;
use crate::value::{Object, PatchError, ValueError, to_value};

/// What every call of the engine may fail with. JavaScript sees it as `FieldSyncError`. Boxed, because every result in
/// the engine would be as large as it (measured, see docs/decisions.md).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct EngineError(Box<Facts>);

/// What an [`EngineError`] tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// Stable; never parse the message.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// Whether the same call can succeed later, unchanged.
    pub retryable: bool,
    /// Facts: `path`, `id`, `dependents`, `faults`, `write`; null where there are none.
    pub details: Value,
}

impl Deref for EngineError {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        &self.0
    }
}

impl EngineError {
    /// An error without further facts.
    pub fn new(code: &'static str, message: &str) -> Self {
        Self::with(code, message, Value::Null)
    }
    /// With facts.
    pub fn with(code: &'static str, message: &str, details: Value) -> Self {
        Self(Box::new(Facts { code, message: message.to_owned(), retryable: false, details }))
    }
    /// As JavaScript gets it: `{code, message, retryable, details}`.
    pub fn told(&self) -> Value {
        json!({"code": self.code, "message": self.message, "retryable": self.retryable, "details": self.details})
    }
    /// With a fact more.
    pub(super) fn with_detail(mut self, name: &str, value: Value) -> Self {
        if self.0.details.is_null() {
            self.0.details = Value::Object(Object::new());
        }
        if let Some(details) = self.0.details.as_object_mut() {
            details.insert(name.to_owned(), value);
        }
        self
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        let mut told = Self::new(error.code(), &error.to_string());
        told.0.retryable = error.is_retryable();
        told
    }
}

impl From<Corrupt> for EngineError {
    fn from(error: Corrupt) -> Self {
        Self::new(error.code, &error.to_string())
    }
}

impl From<ValueError> for EngineError {
    fn from(error: ValueError) -> Self {
        let details = match &error {
            ValueError::IntegerOutOfRange { path } => json!({"path": path}),
            ValueError::TooLarge { bytes, bytes_max } => json!({"bytes": bytes, "bytesMax": bytes_max}),
            ValueError::TooDeep { depth_max } => json!({"depthMax": depth_max}),
            ValueError::Malformed { .. } => Value::Null,
        };
        Self::with(error.code(), &error.to_string(), details)
    }
}

impl From<PatchError> for EngineError {
    fn from(error: PatchError) -> Self {
        Self::with("patch_failed", &error.to_string(), json!({"path": error.path}))
    }
}

impl From<QueryError> for EngineError {
    fn from(error: QueryError) -> Self {
        Self::with("invalid_query", &error.to_string(), json!({"path": error.path}))
    }
}

impl From<FilterError> for EngineError {
    fn from(error: FilterError) -> Self {
        Self::with("invalid_value", &error.to_string(), json!({"path": error.path}))
    }
}

impl From<ResolveError> for EngineError {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Unknown(id) => Self::with("unknown_conflict", &error.to_string(), json!({"id": id})),
            ResolveError::InTransaction => Self::new("in_transaction", &error.to_string()),
            ResolveError::NoReason => Self::with("reason_required", &error.to_string(), json!({"path": "reason"})),
            ResolveError::Write(error) => error.into(),
            ResolveError::Reference(error) => WriteError::InvalidReference { path: error.path, entity: error.entity }.into(),
        }
    }
}

impl From<TakeBackError> for EngineError {
    fn from(error: TakeBackError) -> Self {
        let message = error.to_string();
        let (code, id) = match error {
            TakeBackError::Write(error) => return error.into(),
            TakeBackError::Unknown(id) => ("unknown_conflict", id),
            TakeBackError::NothingLost(id) => ("nothing_to_restore", id),
            TakeBackError::NothingDone(id) => ("nothing_to_undo", id),
        };
        Self::with(code, &message, json!({"id": id}))
    }
}

impl From<OrphanError> for EngineError {
    fn from(error: OrphanError) -> Self {
        let message = error.to_string();
        match error {
            OrphanError::Write(error) => error.into(),
            OrphanError::Item(error) => super::items::refused(error),
            OrphanError::NotQueued => Self::new("not_queued", &message),
        }
    }
}

impl From<SchemaError> for EngineError {
    fn from(error: SchemaError) -> Self {
        Self::with("invalid_schema", &error.to_string(), json!({"path": error.path}))
    }
}

impl From<WriteError> for EngineError {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        let (code, details) = match error {
            WriteError::UnknownRecord { entity, id } => ("unknown_record", json!({"entity": entity, "id": id.to_value()})),
            WriteError::AlreadyExists { entity, id } => ("already_exists", json!({"entity": entity, "id": id.to_value()})),
            WriteError::InvalidReference { path, entity } => ("invalid_reference", json!({"path": path, "entity": entity})),
            WriteError::ReferenceDeleted { path, entity, id } => {
                ("reference_deleted", json!({"path": path, "entity": entity, "id": id.to_value()}))
            }
            WriteError::HasDependents { entity, id, dependents } => {
                let dependents: Vec<Value> = dependents.iter().map(|(entity, id)| json!({"entity": entity, "id": id.to_value()})).collect();
                ("has_dependents", json!({"entity": entity, "id": id, "dependents": dependents}))
            }
            WriteError::UniqueViolation { entity, fields, id } => {
                ("unique_violation", json!({"entity": entity, "fields": fields, "id": id.to_value()}))
            }
            WriteError::Invalid { entity, faults } => {
                let path = faults.first().map(|fault| fault.path.clone());
                ("invalid_record", json!({"entity": entity, "faults": to_value(&faults), "path": path}))
            }
            WriteError::Deeper { .. } => ("too_large", Value::Null),
            WriteError::Unsettled => ("validator_unsettled", Value::Null),
            WriteError::Value { code, .. } => (code, Value::Null),
        };
        Self::with(code, &message, details)
    }
}
