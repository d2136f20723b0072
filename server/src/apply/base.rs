//! The base of an operation: the version that it was written on, found through the receipts of what its
//! client did before.

use std::collections::BTreeSet;

use fieldsync::model::{Base, OpId, Operation, Version};
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::Outcome;

use super::{Context, Stop, Working};
use crate::store::RecordKey;

/// Where an operation stands.
pub(super) enum Standing {
    /// On this version.
    On(Version),
    /// On what an operation will leave that the server has not applied.
    Waits(OpId),
}

/// Finds the version under an update, a delete or a restoration.
pub(super) fn standing(view: &Working, context: &Context<'_>, operation: &Operation, key: &RecordKey) -> Result<Standing, Stop> {
    match &operation.base {
        Base::None => Err(Stop::reject("invalid_operation", "a change of a record names the version it was written on")),
        Base::Version(version) => Ok(Standing::On(*version)),
        Base::After(earlier) => {
            let version = left_by(view, earlier, key)?.or_else(|| context.stands.get(&operation.id).copied());
            Ok(version.map_or_else(|| Standing::Waits(earlier.clone()), Standing::On))
        }
    }
}

/// A version that no record has.
const NO_VERSION: Version = Version(u64::MAX);

/// The version that an operation left. If another one that stands in its place was applied, that may stand on more
/// than the first did, of which the one that follows knows nothing: then it is the version that no record has, and
/// what stands on it is in conflict. Nothing if none of them was applied.
fn left_by(view: &Working, operation: &OpId, key: &RecordKey) -> Result<Option<Version>, Stop> {
    let mut left = None;
    let mut seen = BTreeSet::new();
    let mut open = vec![operation];
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        // A member of a group that was blocked has no receipt, and may yet have been issued anew.
        if let Some(Outcome::Applied { real_id, version, .. }) = view.receipt(id)?.map(|receipt| &receipt.outcome) {
            if *real_id != key.id {
                return Err(Stop::reject("invalid_operation", "the operation that it follows changed another record"));
            }
            left = left.max(Some(if id == operation || is(Bug::FollowersUnjudged) { *version } else { NO_VERSION }));
        } else {
            open.extend(view.successors(id)?);
        }
    }
    Ok(left)
}

/// Whether what an operation does to counts and lists was done by another one of its line: unsent work is carried to other
/// devices, and each of them writes anew what meets a conflict.
pub(super) fn done_before(view: &Working, operation: &Operation) -> Result<bool, Stop> {
    let first = operation.first();
    if *first == operation.id {
        return Ok(false);
    }
    let itself = view.receipt(first)?.is_some_and(|receipt| matches!(receipt.outcome, Outcome::Applied { .. }));
    Ok(itself || view.is_counted(first)?)
}
