//! A group: the operations of one `transaction`. All of them take effect, or none.
//!
//! Its members come in one upload. First every create of the group is given its name, so that members may refer to
//! each other in any order, also in a circle, and every record that it deletes is noted, so that they may refer to each
//! other until the last has gone; then they are judged one after the other, in the order in which they
//! were written. Where one takes no effect, everything is taken back: that one gets its answer, and the others wait
//! for it. They wait for ever where that answer is final, until the whole group is written anew.

use fieldsync::model::{Group, OpId};
use fieldsync::protocol::{Outcome, Rejection};

use super::effects::Ruling;
use super::judge::{leaves, promise};
use super::{Context, Incoming, Stop, Working};
use crate::store::Wanted;

/// A group on its way to its outcomes: it goes on where rows were missing.
#[derive(Debug)]
pub struct GroupRun<'r, 'b> {
    members: Vec<Member<'r, 'b>>,
    named: usize,
    judged: usize,
}

/// A member, with the ID that it may use up and what is to be said of it.
#[derive(Debug)]
struct Member<'r, 'b> {
    at: usize,
    incoming: &'r Incoming<'b>,
    fresh: String,
    outcome: Option<Outcome>,
}

impl<'r, 'b> GroupRun<'r, 'b> {
    /// Of the members that came in one upload, each with its place there and a new UUIDv7.
    pub fn new(members: Vec<(usize, &'r Incoming<'b>, String)>) -> Self {
        let member = |(at, incoming, fresh)| Member { at, incoming, fresh, outcome: None };
        let mut members: Vec<_> = members.into_iter().map(member).collect();
        members.sort_by_key(|member| member.incoming.operation.as_ref().map_or(0, |operation| operation.seq));
        Self { members, named: 0, judged: 0 }
    }

    /// The outcome of each member, once the group is decided.
    pub fn into_outcomes(self) -> impl Iterator<Item = (usize, Outcome)> {
        self.members.into_iter().filter_map(|member| Some((member.at, member.outcome?)))
    }

    /// Whether these are all its members, by the account of each.
    fn is_whole(&self) -> bool {
        let all = |group: &Group| group.of == self.members.len();
        self.members.iter().all(|member| member.incoming.group.as_ref().is_some_and(all))
    }

    /// Lets everybody without an answer wait.
    fn block(&mut self, on: &[OpId]) {
        let waits_for: Vec<_> = on.iter().map(ToString::to_string).collect();
        for member in self.members.iter_mut().filter(|member| member.outcome.is_none()) {
            member.outcome = Some(Outcome::Blocked { waits_for: waits_for.clone() });
        }
    }
}

impl Working {
    /// Decides a group. An error names rows to load before it is called again.
    pub fn decide_group(&mut self, context: &Context<'_>, run: &mut GroupRun<'_, '_>) -> Result<(), Box<Wanted>> {
        if self.savepoint.is_none() && !self.admit(context, run)? {
            return Ok(());
        }
        self.begin_group();
        self.promise_all(context, run)?;
        while let Some(member) = run.members.get(run.judged) {
            if member.outcome.is_none() {
                let ruling = self.rule(context, member.incoming, &member.fresh)?;
                if !matches!(ruling, Ruling::Effect(_)) {
                    self.give_up(context, run, ruling);
                    return Ok(());
                }
                let outcome = self.enter(context, member.incoming, &member.fresh, ruling);
                run.members[run.judged].outcome = Some(outcome);
            }
            run.judged += 1;
        }
        self.rest_together(run);
        self.keep_group();
        Ok(())
    }

    /// A group is lost as a whole, should the server be restored to an earlier state, and comes again as a whole or is
    /// refused. So members that found it so already rest on what the others changed; on the first of that, for whoever
    /// rests on a version comes before those that left later ones.
    fn rest_together(&mut self, run: &mut GroupRun<'_, '_>) {
        let Some(last) = run.members.iter().filter_map(|member| member.outcome.as_ref()?.rests_on()).max() else { return };
        let own = self.savepoint.as_ref().and_then(|savepoint| savepoint.first_change(&self.changes)).unwrap_or(last);
        for member in &mut run.members {
            let Some(outcome) = &mut member.outcome else { continue };
            let earlier = outcome.rests_on().is_some_and(|version| version < own);
            if let (true, Outcome::Applied { rests_on, .. }) = (earlier, &mut *outcome) {
                *rests_on = Some(own);
                self.amend_receipt(&member.incoming.id, outcome);
            }
        }
    }

    /// Whether the group is to be judged. What was answered before keeps its answer.
    fn admit(&mut self, context: &Context<'_>, run: &mut GroupRun<'_, '_>) -> Result<bool, Box<Wanted>> {
        let mut failed = Vec::new();
        for member in &mut run.members {
            member.outcome = self.known(member.incoming).map_err(Stop::into_wanted)?;
            if member.outcome.as_ref().is_some_and(|known| !matches!(known.original(), Outcome::Applied { .. })) {
                failed.push(member.incoming.id.clone());
            }
        }
        if !failed.is_empty() {
            run.block(&failed);
        }
        if !run.is_whole() {
            for member in run.members.iter_mut().filter(|member| member.outcome.is_none()) {
                let ruling = Ruling::Refused(Box::new(Outcome::Rejected { error: invalid("a group comes whole, in one upload") }));
                member.outcome = Some(self.enter(context, member.incoming, &member.fresh, ruling));
            }
        }
        Ok(run.members.iter().any(|member| member.outcome.is_none()))
    }

    /// Names the records that the group will create, and those that it will delete.
    fn promise_all(&mut self, context: &Context<'_>, run: &mut GroupRun<'_, '_>) -> Result<(), Box<Wanted>> {
        while let Some(member) = run.members.get(run.named) {
            if let (None, Ok(operation)) = (&member.outcome, &member.incoming.operation) {
                if let Some(key) = leaves(self, context, operation).map_err(Stop::into_wanted)? {
                    self.leaving.insert(key);
                }
                let promised = promise(self, context, operation, &member.fresh).map_err(Stop::into_wanted)?;
                if let Some((key, temp, counter)) = promised.filter(|(key, ..)| !self.promised.contains_key(key)) {
                    if let Some(temp) = temp {
                        self.put_temp(temp, key.clone());
                    }
                    if let Some(last) = counter {
                        self.put_counter(&key.entity, last);
                    }
                    // A name that was just made has no record.
                    self.records.entry(key.clone()).or_insert(None);
                    self.promised.insert(key, operation.id.clone());
                }
            }
            run.named += 1;
        }
        Ok(())
    }

    /// Takes everything back, and answers: the member that was just ruled on by its ruling, the others by waiting
    /// for it.
    fn give_up(&mut self, context: &Context<'_>, run: &mut GroupRun<'_, '_>, ruling: Ruling) {
        let before = self.savepoint.as_ref().map_or(self.state.sequence, |savepoint| savepoint.state.sequence);
        let ruling = match ruling {
            // What it stands against was just taken back.
            Ruling::Conflict(record, _) if record.version > before => {
                let error = invalid("another member of its group changes the same record, and this one is not written on that change");
                Ruling::Refused(Box::new(Outcome::Rejected { error }))
            }
            Ruling::Taken(taken) if self.came_since(before, &taken) => {
                let error = invalid("another member of its group takes the same values of a constraint");
                Ruling::Refused(Box::new(Outcome::Rejected { error }))
            }
            other => other,
        };
        if fieldsync::planted::is(fieldsync::planted::Bug::ServerGroupInParts) {
            self.keep_group();
        }
        self.undo_group();
        for member in &mut run.members {
            if member.outcome.as_ref().is_some_and(|outcome| matches!(outcome, Outcome::Applied { .. })) {
                member.outcome = None;
            }
        }
        let member = &mut run.members[run.judged];
        let culprit = member.incoming.id.clone();
        member.outcome = Some(self.enter(context, member.incoming, &member.fresh, ruling));
        run.block(&[culprit]);
    }
}

fn invalid(message: &str) -> Rejection {
    Rejection { code: "invalid_operation".to_owned(), message: message.to_owned(), path: Some("group".to_owned()), faults: Vec::new() }
}
