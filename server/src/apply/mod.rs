//! Room `apply`: what an operation does to the tenant's records. Pure: it looks at a [`Working`] copy of the
//! rows, and where a row that it needs is not there yet, it says which (`Stop::Missing`) and is asked again
//! when it is. So the same code decides over SQLite, over the in-memory twin and in a simulation.
//!
//! An operation is judged before anything of it enters the copy: one that is refused, blocked or in conflict
//! leaves nothing behind, and the next one sees exactly what the earlier ones of its batch did. A group is judged
//! member by member over a savepoint.

mod along;
mod base;
mod effects;
mod group;
mod incoming;
mod judge;
mod references;
mod resolve;
mod savepoint;
mod trail;
mod unique;
mod working;

use std::collections::BTreeMap;

use fieldsync::model::{ClientId, OpId, RecordId, Stamp, Version};
use fieldsync::protocol::limits::CLOCK_TOLERANCE_MS;
use fieldsync::protocol::{Outcome, Rejection};
use fieldsync::schema::{Fault, Schema};

pub use effects::{audit_row, link, reused};
pub use group::GroupRun;
pub use incoming::Incoming;
pub use resolve::{Decision, Said};
pub use trail::{BrokenTrail, TakenRows};
pub use working::Working;

use crate::store::Wanted;

/// What is true of every operation of one upload.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// The app's entities.
    pub schema: &'c Schema,
    /// The database that sends.
    pub client: &'c ClientId,
    /// Its user, by the token.
    pub user: &'c str,
    /// Whether the user decides over conflicts of everybody, by the token.
    pub coordinator: bool,
    /// The request.
    pub request: &'c str,
    /// When it came, by the server's clock.
    pub received_ms: u64,
    /// Server time minus device time, as the device measured it.
    pub offset_ms: i64,
    /// The real IDs that creates had in an earlier epoch.
    pub former: &'c BTreeMap<OpId, RecordId>,
    /// The versions that operations stand on by what their client knows, if nothing is known here of what they follow.
    pub stands: &'c BTreeMap<OpId, Version>,
    /// What is decided here and not by a device.
    pub decision: Option<&'c Decision>,
}

impl Context<'_> {
    /// Whether the sender decides over conflicts that clients of this user met.
    fn decides_for(&self, user: &str) -> bool {
        self.coordinator || self.user == user
    }

    /// A device's stamp by the server's clock.
    fn effective(&self, stamp: Stamp) -> Stamp {
        stamp.effective(self.offset_ms, self.received_ms.saturating_add(CLOCK_TOLERANCE_MS))
    }
}

/// Why a judgement ended before its end.
#[derive(Debug)]
enum Stop {
    /// Rows are missing: load them and ask again.
    Missing(Box<Wanted>),
    /// The outcome is clear: the operation has no effect.
    Outcome(Box<Outcome>),
}

impl Stop {
    /// The rows that are missing, where no outcome is possible yet.
    fn into_wanted(self) -> Box<Wanted> {
        match self {
            Self::Missing(wanted) => wanted,
            Self::Outcome(_) => unreachable!("looking something up has no outcome"),
        }
    }
    fn missing(wanted: Wanted) -> Self {
        Self::Missing(Box::new(wanted))
    }
    fn reject(code: &str, message: impl Into<String>) -> Self {
        Self::rejection(Rejection { code: code.to_owned(), message: message.into(), path: None, faults: Vec::new() })
    }
    fn reject_at(code: &str, path: &str, message: impl Into<String>) -> Self {
        Self::rejection(Rejection { code: code.to_owned(), message: message.into(), path: Some(path.to_owned()), faults: Vec::new() })
    }
    fn invalid(entity: &str, faults: Vec<Fault>) -> Self {
        let told: Vec<_> = faults.iter().map(|fault| format!("'{}' ({})", fault.path, fault.rule)).collect();
        let message = format!("the {entity} would not be as the schema declares it: {}", told.join(", "));
        let path = faults.first().map(|fault| fault.path.clone());
        Self::rejection(Rejection { code: "invalid_record".to_owned(), message, path, faults })
    }
    fn rejection(error: Rejection) -> Self {
        Self::Outcome(Box::new(Outcome::Rejected { error }))
    }
    fn blocked(waits_for: Vec<String>) -> Self {
        Self::Outcome(Box::new(Outcome::Blocked { waits_for }))
    }
}
