//! What is not in order, and what became of it.

use serde::Serialize;
use serde_json::Value;

/// So many are listed; all are counted.
pub const FAULTS_MAX: u64 = 1_000;

/// A row, or a part of the store, that is not in order. It says where and what, never what the row holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Stable: docs/integrity.md explains each.
    pub code: &'static str,
    /// The table.
    pub table: &'static str,
    /// The entity type, where the row is about a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The record's ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Value>,
    /// The row's key.
    pub key: Value,
    /// For people.
    pub message: &'static str,
}

impl Fault {
    /// A fault that is about a record, or about none.
    pub fn new(code: &'static str, table: &'static str, about: Option<(&str, Value)>, key: Value, message: &'static str) -> Self {
        let (entity, id) = about.map(|(entity, id)| (entity.to_owned(), id)).unzip();
        Self { code, table, entity, id, key, message }
    }
}

/// What a repair does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// It is done, or would be: by what.
    By(&'static str),
    /// Nothing is changed: why not.
    Not(&'static str),
}
