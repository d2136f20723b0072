//! Fields that belong together, such as an address: where both sides changed one of them, all come from one side.

use super::Ask;
use super::judge::{Disputed, Local, local_wins, top};
use crate::model::{Action, Stamp};
use crate::protocol::ServerState;
use crate::schema::ConflictRules;
use crate::value::{Change, Delta, Pointer};

/// Decides on the groups that both sides changed: all of one comes from the side whose last change to it is later. Gives
/// the fields that are decided by that.
pub(super) fn groups(
    changed: &Delta,
    there: &Delta,
    local: Local<'_>,
    server: &ServerState,
    rules: &ConflictRules,
    left: &mut Delta,
    disputed: &mut Disputed,
) -> Vec<String> {
    let mut decided = Vec::new();
    for group in &rules.groups {
        let of = |delta: &Delta| -> Vec<Pointer> {
            delta.changes().map(|(pointer, _)| pointer).filter(|pointer| group.contains(&top(pointer))).cloned().collect()
        };
        let (ours, theirs) = (of(changed), of(there));
        let Some(data) = server.data.as_ref().filter(|_| !ours.is_empty() && !theirs.is_empty()) else { continue };
        decided.extend(group.iter().cloned());
        // What it leaves alone of the group is as an earlier write of ours will leave it at the server, else as our side shows it;
        // and as the server has it where nobody here knows what it was written on.
        let on = local.on.unwrap_or(data);
        let is_ours = group.iter().any(|field| on.get(field) != data.get(field));
        let mut mine = local.base.and(local.view).filter(|_| !is_ours).unwrap_or(on).clone();
        match local.action {
            Action::Create { data } => mine.clone_from(data),
            Action::Update { delta } => delta.apply(&mut mine),
            Action::Delete => {}
        }
        let last =
            |pointers: &[Pointer], stamp: &dyn Fn(&str) -> Stamp| pointers.iter().map(|at| stamp(&top(at))).max().unwrap_or_default();
        let rule = group.iter().find_map(|field| rules.fields.get(field)).unwrap_or(&rules.default);
        let stamps = (last(&ours, &|field| local.stamp_of(field)), last(&theirs, &|field| server.stamp_of(field)));
        // Where nothing stands against it, what belongs together still comes from one side; and what both sides want is still
        // to be done if an earlier operation of ours wants otherwise.
        let mut verdict = (true, Ask::Nobody);
        let is_wanted = group.iter().all(|field| mine.get(field) == data.get(field));
        if !is_wanted && local.finds_moved(server, rules) {
            verdict = local_wins(rule, stamps.0, stamps.1);
            let others = theirs.iter().filter(|pointer| !ours.contains(pointer));
            disputed.settle(ours.iter().chain(others).map(|place| (place.dotted(), place.clone())), verdict);
        }
        for field in group.iter().filter(|_| verdict.0) {
            match (mine.get(field), local.on.and_then(|on| on.get(field))) {
                (Some(value), on) if on != Some(value) => left.insert(Pointer::field(field), Change::Set(value.clone())),
                (None, Some(_)) => left.insert(Pointer::field(field), Change::Unset),
                _ => {}
            }
        }
    }
    decided
}
