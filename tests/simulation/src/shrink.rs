//! Makes a run that breaks a promise short: first its faults become explicit decisions, then devices, tabs,
//! actions, faults and delays are taken away as long as the same promise still breaks (delta debugging: Zeller
//! and Hildebrandt, 2002). What is left is short enough to be read, and is kept for ever.

use crate::executor::Owner;
use crate::fault::Faults;
use crate::plan::{Action, Plan, What};
use crate::run::Wanted;
use crate::sim::{Invariant, Violation};
use crate::swarm::run_guarded;

/// Somebody who shrinks: how to find out, and how often that may still be done.
struct Shrinker<'b> {
    invariant: Invariant,
    breaks: &'b dyn Fn(&Plan) -> Option<Violation>,
    left: u32,
}

/// The shortest plan that was found, and what it breaks.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan.
    pub plan: Plan,
    /// What it breaks.
    pub violation: Violation,
    /// In so many runs.
    pub runs: u32,
}

/// Shrinks a plan in at most so many runs. Nothing if it breaks no promise.
pub fn shrink(plan: &Plan, runs_max: u32) -> Option<Shrunk> {
    shrink_with(plan, runs_max, &|plan| run_guarded(plan, Wanted::default()).violation)
}

/// The same, with another way to find out what a plan breaks.
pub fn shrink_with(plan: &Plan, runs_max: u32, breaks: &dyn Fn(&Plan) -> Option<Violation>) -> Option<Shrunk> {
    let first = breaks(plan)?;
    let mut shrinker = Shrinker { invariant: first.invariant, breaks, left: runs_max };
    let mut plan = shrinker.explicit(plan).unwrap_or_else(|| plan.clone());
    loop {
        let before = size(&plan);
        shrinker.healed_earlier(&mut plan);
        shrinker.without_contexts(&mut plan);
        shrinker.fewer_actions(&mut plan);
        shrinker.fewer_faults(&mut plan);
        shrinker.plainer(&mut plan);
        shrinker.closer(&mut plan);
        if size(&plan) == before || shrinker.left == 0 {
            break;
        }
    }
    let violation = breaks(&plan)?;
    Some(Shrunk { plan, violation, runs: runs_max - shrinker.left })
}

fn size(plan: &Plan) -> (usize, usize, usize, u64) {
    (plan.contexts.len(), plan.actions.len(), faults(plan), plan.heal_at)
}

fn faults(plan: &Plan) -> usize {
    match &plan.faults {
        Faults::Rates(rates) => rates.0.len(),
        Faults::List(list) => list.len(),
    }
}

impl Shrinker<'_> {
    /// Whether a plan still breaks the promise.
    fn holds(&mut self, plan: &Plan) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        (self.breaks)(plan).is_some_and(|violation| violation.invariant == self.invariant)
    }
    /// Takes a plan over if it still breaks the promise.
    fn take(&mut self, plan: &mut Plan, candidate: Plan) -> bool {
        let taken = candidate != *plan && self.holds(&candidate);
        if taken {
            *plan = candidate;
        }
        taken
    }

    /// The plan with its faults as a list of what happened where, instead of rates.
    fn explicit(&mut self, plan: &Plan) -> Option<Plan> {
        let Faults::Rates(_) = plan.faults else { return None };
        let fired = run_guarded(plan, Wanted::default()).fired;
        let explicit = Plan { faults: Faults::List(fired), ..plan.clone() };
        self.holds(&explicit).then_some(explicit)
    }

    /// Everything after the last action is only waiting.
    fn healed_earlier(&mut self, plan: &mut Plan) {
        for factor in [4, 2, 1] {
            let heal_at = plan.heal_at * factor / 8;
            let actions = plan.actions.iter().filter(|action| action.at <= heal_at).cloned().collect();
            if self.take(plan, Plan { actions, heal_at, ..plan.clone() }) {
                break;
            }
        }
        let last = plan.actions.last().map_or(0, |action| action.at) + 1_000;
        if last < plan.heal_at {
            self.take(plan, Plan { heal_at: last, ..plan.clone() });
        }
    }

    /// Takes tabs away, and what is then of no use.
    fn without_contexts(&mut self, plan: &mut Plan) {
        for at in (0..plan.contexts.len()).rev() {
            if plan.contexts.len() > 1 {
                self.take(plan, without(plan, at));
            }
        }
    }

    /// Takes actions away, by halves, quarters and so on.
    fn fewer_actions(&mut self, plan: &mut Plan) {
        let actions = plan.actions.clone();
        let mut plans = |actions: &[Action]| {
            let candidate = Plan { actions: actions.to_vec(), ..plan.clone() };
            self.holds(&candidate)
        };
        let left = fewer(actions, &mut plans);
        plan.actions = left;
    }

    /// The same with faults.
    fn fewer_faults(&mut self, plan: &mut Plan) {
        let mut kept = match &plan.faults {
            Faults::List(list) => {
                Faults::List(fewer(list.clone(), &mut |list| self.holds(&Plan { faults: Faults::List(list.to_vec()), ..plan.clone() })))
            }
            Faults::Rates(rates) => Faults::Rates(crate::fault::Rates(fewer(rates.0.clone(), &mut |rates| {
                self.holds(&Plan { faults: Faults::Rates(crate::fault::Rates(rates.to_vec())), ..plan.clone() })
            }))),
        };
        std::mem::swap(&mut plan.faults, &mut kept);
    }

    /// Plain devices: true clocks, a short way, tabs that need no asking.
    fn plainer(&mut self, plan: &mut Plan) {
        for at in 0..plan.devices.len() {
            let changes: [fn(&mut crate::plan::DevicePlan); 3] =
                [|device| device.skew_ms = 0, |device| device.drift_ppm = 0, |device| device.latency_ms = 2];
            for change in changes {
                let mut candidate = plan.clone();
                change(&mut candidate.devices[at]);
                self.take(plan, candidate);
            }
        }
        for at in 0..plan.databases.len() {
            let changes: [fn(&mut crate::plan::DatabasePlan); 2] =
                [|database| database.batch_size = 50, |database| database.page_size = 500];
            for change in changes {
                let mut candidate = plan.clone();
                change(&mut candidate.databases[at]);
                self.take(plan, candidate);
            }
        }
        self.take(plan, Plan { resolve_at_end: false, ..plan.clone() });
        // A server that calls durable what no backup holds, and is restored, breaks promises whatever the engine does.
        if plan.actions.iter().all(|action| action.what != What::Restore) {
            self.take(plan, Plan { backups: false, ..plan.clone() });
        }
    }

    /// Takes away the time between actions, and rounds what is left of it.
    fn closer(&mut self, plan: &mut Plan) {
        for at in 0..plan.actions.len() {
            let before = at.checked_sub(1).map_or(0, |before| plan.actions[before].at);
            let gap = plan.actions[at].at - before;
            for wanted in [0, gap / 4, gap / 2] {
                if wanted < gap && self.take(plan, moved(plan, at, gap - wanted)) {
                    break;
                }
            }
        }
        for at in 0..plan.actions.len() {
            let what = match plan.actions[at].what {
                What::Freeze(ms) => What::Freeze(ms / 2),
                What::Partition(ms, hangs) => What::Partition(ms / 2, hangs),
                What::ServerAway(ms) => What::ServerAway(ms / 2),
                _ => continue,
            };
            let mut candidate = plan.clone();
            candidate.actions[at].what = what;
            self.take(plan, candidate);
        }
    }
}

/// The plan with an action and all after it so much earlier.
fn moved(plan: &Plan, at: usize, by: u64) -> Plan {
    let mut moved = plan.clone();
    moved.actions[at..].iter_mut().for_each(|action| action.at -= by);
    moved.heal_at = moved.heal_at.saturating_sub(by);
    moved
}

/// The plan without a context, and without the database and the device that nobody uses then.
fn without(plan: &Plan, at: usize) -> Plan {
    let gone = Owner::try_from(at + 1).unwrap_or(Owner::MAX);
    let mut plan = plan.clone();
    let renumbered = |owner: Owner| if owner > gone { owner - 1 } else { owner };
    plan.contexts.remove(at);
    plan.actions.retain(|action| action.actor != gone);
    plan.actions.iter_mut().for_each(|action| action.actor = renumbered(action.actor));
    if let Faults::List(list) = &mut plan.faults {
        list.retain(|(gate, _)| gate.actor != gone);
        list.iter_mut().for_each(|(gate, _)| gate.actor = renumbered(gate.actor));
    }
    for database in (0..plan.databases.len()).rev() {
        if plan.contexts.iter().all(|context| context.database != database) {
            plan.databases.remove(database);
            plan.contexts.iter_mut().filter(|context| context.database > database).for_each(|context| context.database -= 1);
        }
    }
    for device in (0..plan.devices.len()).rev() {
        if plan.databases.iter().all(|database| database.device != device) {
            plan.devices.remove(device);
            plan.databases.iter_mut().filter(|database| database.device > device).for_each(|database| database.device -= 1);
        }
    }
    plan
}

/// The least part of a list for which something holds: no single part of what is left can be taken away.
fn fewer<T: Clone>(mut list: Vec<T>, holds: &mut dyn FnMut(&[T]) -> bool) -> Vec<T> {
    let mut piece = list.len().div_ceil(2);
    while piece > 0 && !list.is_empty() {
        let (mut at, mut shorter) = (0, false);
        while at < list.len() {
            let end = (at + piece).min(list.len());
            let candidate: Vec<T> = list[..at].iter().chain(&list[end..]).cloned().collect();
            if holds(&candidate) {
                (list, shorter) = (candidate, true);
            } else {
                at = end;
            }
        }
        piece = match piece {
            1 if shorter => 1,
            1 => 0,
            more => more.div_ceil(2),
        };
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan_of;

    #[test]
    fn what_is_left_of_a_list_is_the_least_that_holds() {
        let mut asked = 0;
        let left = fewer((0..200).collect(), &mut |list: &[u32]| {
            asked += 1;
            [17, 18, 150].iter().all(|one| list.contains(one))
        });
        assert_eq!(left, [17, 18, 150]);
        assert!(asked < 200, "{asked}");
    }

    /// An oracle that is wrong on purpose: deletes are forbidden once a partition has been there.
    #[test]
    fn a_run_shrinks_to_the_actions_that_matter() {
        let wrong = |plan: &Plan| {
            let cut = plan.actions.iter().position(|action| matches!(action.what, What::Partition(..)))?;
            let deleted = plan.actions[cut..].iter().any(|action| matches!(action.what, What::Delete { .. }));
            deleted.then(|| Violation { invariant: Invariant::I20, what: "planted".to_owned() })
        };
        let seed = (1..200).find(|seed| wrong(&plan_of(*seed)).is_some()).expect("a plan with both");
        let plan = plan_of(seed);
        let shrunk = shrink_with(&plan, 2_000, &wrong).expect("it breaks");
        assert_eq!((shrunk.plan.actions.len(), shrunk.plan.contexts.len() <= 2, faults(&shrunk.plan)), (2, true, 0));
        assert!(plan.actions.len() > 20 && shrunk.plan.heal_at < plan.heal_at);
    }
}
