//! An operation as it comes in: its text, and what could be read of it. One that cannot be read gets an
//! outcome of its own as long as it tells its ID; the rest of its batch is none the worse for it.

use fieldsync::model::{Group, OpId, Operation};
use fieldsync::protocol::{Rejection, limits};
use fieldsync::value::{Hash, Limits, ValueError, hash_bytes, parse};
use serde::Deserialize;

/// One operation of an upload.
#[derive(Debug)]
pub struct Incoming<'b> {
    /// Its ID.
    pub id: OpId,
    /// What it is, to be told from another one under the same ID.
    pub fingerprint: Hash,
    /// Its bytes.
    pub text: &'b str,
    /// The group that it says to belong to, also where the rest cannot be read.
    pub group: Option<Group>,
    /// The operation, or why it is none.
    pub operation: Result<Operation, Rejection>,
}

#[derive(Deserialize)]
struct OnlyId {
    id: OpId,
}

#[derive(Deserialize)]
struct OnlyGroup {
    group: Group,
}

impl<'b> Incoming<'b> {
    /// Reads an operation from outside. Nothing comes of one whose ID cannot be read: nobody could be answered.
    pub fn read(text: &'b str) -> Option<Self> {
        const LIMITS: Limits = Limits { bytes_max: limits::OPERATION_BYTES_MAX, depth_max: limits::DEPTH_MAX };
        let operation = match parse(text, &LIMITS) {
            Ok(value) => serde_json::from_value::<Operation>(value).map_err(|_| invalid("it is not of the form of an operation")),
            Err(ValueError::TooLarge { bytes, bytes_max }) => {
                let message = format!("{bytes} bytes, at most {bytes_max} are allowed");
                Err(Rejection { code: "too_large".to_owned(), message, path: None, faults: Vec::new() })
            }
            Err(error @ (ValueError::TooDeep { .. } | ValueError::IntegerOutOfRange { .. } | ValueError::Malformed { .. })) => {
                Err(invalid(&error.to_string()))
            }
        };
        let (id, fingerprint, group) = match &operation {
            Ok(operation) => (operation.id.clone(), operation.fingerprint(), operation.group.clone()),
            Err(_) => {
                let group = serde_json::from_str::<OnlyGroup>(text).ok().map(|only| only.group);
                (serde_json::from_str::<OnlyId>(text).ok()?.id, hash_bytes(text.as_bytes()), group)
            }
        };
        Some(Self { id, fingerprint, text, group, operation })
    }
}

fn invalid(message: &str) -> Rejection {
    Rejection { code: "invalid_operation".to_owned(), message: message.to_owned(), path: None, faults: Vec::new() }
}
