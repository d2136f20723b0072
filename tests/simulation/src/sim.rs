//! What everybody in a run shares: the executor, the gates with their faults, the trace, the story, the
//! marks of rare events, the counts of checks, and the first violation.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::executor::{Executor, Owner, give_way};
use crate::fault::{Death, Fault, Faults, Gate, Site, by_rates};
use crate::plan::Plan;
use crate::random::Random;

/// When every run begins.
pub(crate) const START: u64 = 1_800_000_000_000;

/// The invariants that are checked here, as the catalogue of faults numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Invariant {
    /// No operation that was reported saved is lost.
    I1,
    /// Nothing is applied that nobody wrote.
    I2,
    /// Every operation takes effect once.
    I3,
    /// Numbers and states say what is so.
    I4,
    /// A context reads what it wrote; a base version never goes back.
    I5,
    /// Temp IDs and real IDs map one to one.
    I6,
    /// No update goes over a version that its writer had not seen.
    I7,
    /// What depends on nothing that is parked comes to its end.
    I8,
    /// What loses a conflict is kept; it comes back where a person wants it, and takes nobody else's work with it.
    I9,
    /// All devices show what the server has.
    I10,
    /// What was deleted stays deleted unless somebody brings it back.
    I11,
    /// The audit trail is whole.
    I12,
    /// Changes of one record take effect in the order in which they were written.
    I13,
    /// Nothing of one tenant reaches another.
    I14,
    /// What was applied was applied for the user who wrote it.
    I15,
    /// A sealed operation never changes.
    I16,
    /// State stays within bounds.
    I19,
    /// Everything comes to rest.
    I20,
    /// Downloads miss nothing.
    I21,
    /// A script comes to the end that it names.
    Script,
    /// Nothing breaks: no panic, no integrity error.
    Sound,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How, for people.
    pub what: String,
}

/// The shared part of a run.
pub(crate) struct Sim {
    pub(crate) executor: Rc<Executor>,
    seed: u64,
    rates: BTreeMap<Site, Vec<(Fault, u64)>>,
    list: BTreeMap<Gate, Fault>,
    /// What a script has in store: for whom, where, after how many passages.
    pub(crate) waiting: RefCell<Vec<(Owner, Site, u32, Fault)>>,
    faults_on: Cell<bool>,
    passages: RefCell<BTreeMap<(Owner, Site), u32>>,
    pub(crate) fired: RefCell<Vec<(Gate, Fault)>>,
    /// Every passage, when somebody wants to know them.
    pub(crate) passed: RefCell<Option<Vec<Gate>>>,
    pub(crate) deaths: RefCell<Vec<(Owner, Death)>>,
    pub(crate) marks: RefCell<BTreeMap<&'static str, u64>>,
    pub(crate) checks: RefCell<BTreeMap<Invariant, u64>>,
    pub(crate) violation: RefCell<Option<Violation>>,
    story: RefCell<Option<Vec<String>>>,
}

impl Sim {
    pub(crate) fn new(plan: &Plan, tell: bool) -> Rc<Self> {
        let list = match &plan.faults {
            Faults::Rates(_) => BTreeMap::new(),
            Faults::List(list) => list.iter().copied().collect(),
        };
        Rc::new(Self {
            executor: Rc::new(Executor::new(Random::new(plan.seed, 1), START)),
            seed: plan.seed,
            rates: plan.rates(),
            list,
            waiting: RefCell::default(),
            faults_on: Cell::new(true),
            passages: RefCell::default(),
            fired: RefCell::default(),
            passed: RefCell::default(),
            deaths: RefCell::default(),
            marks: RefCell::default(),
            checks: RefCell::default(),
            violation: RefCell::default(),
            story: RefCell::new(tell.then(Vec::new)),
        })
    }

    /// From now on everything works.
    pub(crate) fn end_faults(&self) {
        self.faults_on.set(false);
    }
    pub(crate) fn has_faults(&self) -> bool {
        self.faults_on.get()
    }

    /// Passes a gate: what happens there instead of going on, if anything does. Waiting and dying are done
    /// here; who dies does not come back.
    pub(crate) async fn gate(&self, actor: Owner, site: Site) -> Option<Fault> {
        match self.decide(actor, site) {
            None => {
                // Others get their turn at some gates, at others not: both orders are possible ones.
                if self.executor.draw(4) == 0 {
                    give_way().await;
                }
                None
            }
            Some(Fault::Wait(ms)) => {
                self.executor.sleep(ms).await;
                None
            }
            Some(Fault::Die(death)) => {
                self.deaths.borrow_mut().push((actor, death));
                std::future::pending().await
            }
            Some(other) => Some(other),
        }
    }

    fn decide(&self, actor: Owner, site: Site) -> Option<Fault> {
        let number = {
            let mut passages = self.passages.borrow_mut();
            let count = passages.entry((actor, site)).or_insert(0);
            *count += 1;
            *count
        };
        let gate = Gate { actor, site, number };
        if let Some(passed) = &mut *self.passed.borrow_mut() {
            passed.push(gate);
        }
        if !self.faults_on.get() {
            return None;
        }
        let fault = match self.rates.get(&site) {
            Some(rates) => by_rates(self.seed, rates, gate),
            None => self.list.get(&gate).copied().or_else(|| self.in_store(actor, site)),
        };
        if let Some(fault) = fault {
            self.executor.note(u64::from(number));
            self.fired.borrow_mut().push((gate, fault));
            if !matches!(fault, Fault::Wait(_)) {
                self.tell(|| format!("context {actor}: {} at {site:?} {number}", fault.name()));
            }
        }
        fault
    }

    /// What a script has in store for this passage.
    fn in_store(&self, actor: Owner, site: Site) -> Option<Fault> {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.iter().position(|(who, at, ..)| (*who, *at) == (actor, site))?;
        match waiting[at].2.checked_sub(1) {
            Some(left) => {
                waiting[at].2 = left;
                None
            }
            None => Some(waiting.remove(at).3),
        }
    }

    /// A rare event was reached.
    pub(crate) fn mark(&self, name: &'static str) {
        *self.marks.borrow_mut().entry(name).or_insert(0) += 1;
    }
    /// A promise was looked at, and must hold.
    pub(crate) fn check(&self, invariant: Invariant, holds: bool, what: impl FnOnce() -> String) {
        *self.checks.borrow_mut().entry(invariant).or_insert(0) += 1;
        if !holds {
            self.violate(invariant, what());
        }
    }
    /// A promise is broken. Only the first is kept: the rest may follow from it.
    pub(crate) fn violate(&self, invariant: Invariant, what: String) {
        self.tell(|| format!("VIOLATION {invariant:?}: {what}"));
        self.violation.borrow_mut().get_or_insert(Violation { invariant, what });
    }
    pub(crate) fn is_violated(&self) -> bool {
        self.violation.borrow().is_some()
    }

    /// Adds a line to the story, if one is told.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut *self.story.borrow_mut() {
            let ms = self.executor.now() - START;
            story.push(format!("{:>6}.{:03} {}", ms / 1_000, ms % 1_000, line()));
        }
    }
    pub(crate) fn story(&self) -> Vec<String> {
        self.story.borrow_mut().take().unwrap_or_default()
    }
}
