//! The named scenarios: few devices, exact steps, no chance ([`jepsen`] is drawn, and runs by itself). Each is run
//! without a disturbance, where it must reach what it is named for, and then once for every gate that it passes, with a
//! death or a failure there.

mod apart;
mod basics;
mod firestore;
pub mod jepsen;
mod lineage;
mod stage;
mod unseen;

use crate::plan::Plan;

/// A named scenario.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What happens in it.
    pub story: &'static str,
    /// The steps, and what must come of them.
    pub plan: Plan,
    /// Marks and faults that its undisturbed run must reach, and how often at least.
    pub needs: Vec<(&'static str, u64)>,
    /// Marks that its undisturbed run must not reach.
    pub never: Vec<&'static str>,
}

/// All of them.
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for make in [basics::all, apart::all, lineage::all, firestore::all, unseen::all] {
        all.extend(make());
    }
    all
}

/// The one with this name.
pub fn named(name: &str) -> Option<Scenario> {
    all().into_iter().find(|scenario| scenario.name == name)
}
