//! What operations of a record were written on, where others of it are applied before them.

use super::chain::{Queued, with};
use super::overlay::OverlayRow;
use super::rebase::after;
use crate::model::Operation;
use crate::outbox::{OutboxRow, State};

/// Those of a record's operations that one of them stands on, directly or over others. What another device wrote stands
/// on nothing that was written here.
pub(super) fn earlier_than<'q>(operations: &'q [Queued], operation: &Operation) -> Vec<&'q Queued> {
    let place = operations.iter().position(|(_, other)| other.seq == operation.seq).unwrap_or_default();
    let (mut base, mut found) = (operation.base.clone(), Vec::new());
    for queued in operations[..place].iter().rev() {
        let (stored, other) = queued;
        if base.follows().is_some_and(|id| stored.names(other).any(|name| name == id)) {
            base.clone_from(&other.base);
            found.extend((stored.state == State::Pending).then_some(queued));
        }
    }
    found.reverse();
    found
}

/// What a record's operations were written on, once one of them is applied: it moves with those that stand on that one.
/// Whoever wrote elsewhere saw nothing of what was written here, nor the other way round: that does not move, and is
/// kept from now on. `earlier` is what the applied one stands on.
pub(super) fn move_grounds(row: &mut OverlayRow, pending: &[Queued], earlier: &[&Queued], stored: &OutboxRow, applied: &Operation) {
    let apart = stored.is_carried() || row.has_ground(applied.seq);
    let based = row.has_based(applied.seq);
    for op in &mut row.ops {
        let other = pending.iter().find(|(_, other)| other.seq == op.seq);
        let on_it = other.is_some_and(|(_, other)| earlier_than(pending, other).iter().any(|(_, earlier)| earlier.seq == applied.seq));
        if (apart || op.ground.is_some()) && !on_it {
            op.ground = op.ground.take().or_else(|| Some(row.base.clone().unwrap_or_default()));
        } else if let Some(ground) = op.ground.as_mut().filter(|_| !based) {
            let left = with(Some(std::mem::take(ground)), earlier.iter().copied());
            *ground = after(left, &applied.action).unwrap_or_default();
        }
    }
}
