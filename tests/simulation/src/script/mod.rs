//! Scripts: what people do with records that the script names, exactly and in order. A person does one thing
//! after the other, waits until it can be done, and does it again when the tab died before an answer and the
//! work is nowhere to be found. What must come of it in the end is part of the script, so a run that was
//! disturbed must come to the same end as one that was not.

mod causal;
mod expected;
mod names;
mod person;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::executor::Owner;
use crate::fault::{Fault, Site};
use crate::plan::{Plan, What};

pub(crate) use expected::compare;
pub(crate) use person::begin;

/// The mark of a run whose people were done before everything was healed.
pub(crate) const DONE: &str = "the script came to its end";

/// The mark of a write that was read again by its tab before anything else was saved there: only then is it compared.
pub(crate) const READ_AGAIN: &str = "own write read again";

/// One thing that a person does in a context. A text `@name` in a value stands for the ID of that record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Creates a record, which has this name from now on.
    Create {
        /// Its name in the script.
        name: String,
        /// Its entity.
        entity: String,
        /// Its fields.
        set: Value,
    },
    /// Changes fields.
    Update {
        /// Of this record.
        name: String,
        /// To these values.
        set: Value,
    },
    /// Deletes a record.
    Delete {
        /// This one.
        name: String,
    },
    /// Creates, updates and deletes of which all take effect or none.
    Together(Vec<Step>),
    /// Reads all records of an entity, and then writes some of these together: a reader checks that what it sees
    /// never goes back and misses nothing that it could know of.
    ReadAllWriteSome {
        /// The entity.
        entity: String,
        /// Which records, by name.
        write: Vec<String>,
        /// The number that is written.
        value: u64,
    },
    /// Resolves the conflict of a record, if one opens within a while.
    Resolve {
        /// The record.
        name: String,
        /// As the surface takes it.
        strategy: Value,
    },
    /// Sends a parked operation of a record again, if there is one within a while.
    Retry {
        /// The record.
        name: String,
        /// With other values.
        set: Option<Value>,
    },
    /// Gives up the operation of a record, if there is one within a while that can be given up.
    Discard {
        /// The record.
        name: String,
    },
    /// Waits until a record shows these values.
    See {
        /// The record.
        name: String,
        /// The values.
        fields: Value,
    },
    /// Waits until a record has nothing unsent.
    Synced {
        /// The record.
        name: String,
    },
    /// Waits until so many operations wait to be applied.
    Waiting(usize),
    /// Asks for a session and waits for its end.
    Sync,
    /// Asks for a session that only fetches.
    Fetch,
    /// Nothing is sent until somebody resumes.
    Pause,
    /// Ends a pause.
    Resume,
    /// Writes unsent work to a file and reads it in another context of the same person.
    Carry {
        /// That context.
        to: Owner,
    },
    /// Closes the context, and leaves it closed.
    Close,
    /// Opens it again.
    Open,
    /// Opens it again with the next release of the app.
    Upgrade,
    /// The server forgets everything that it may forget.
    Prune,
    /// Something will go wrong for this context.
    Meet {
        /// At this gate.
        site: Site,
        /// After so many passages more.
        skip: u32,
        /// This.
        fault: Fault,
    },
}

/// What must be so in the end, on the server and therefore everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expected {
    /// The record.
    pub name: String,
    /// Its values, `{"oneOf": [...]}` where several are right; nothing if it is gone.
    pub fields: Option<Value>,
}

/// What is known while a script runs.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// People who are not done.
    busy: Cell<usize>,
    /// IDs as JSON text, by database and name.
    ids: RefCell<BTreeMap<(usize, String), String>>,
    /// What contexts read and wrote, in the order in which they did.
    deeds: RefCell<Vec<(Owner, causal::Deed)>>,
}

impl Script {
    /// Whether everybody is done.
    pub(crate) fn is_done(&self) -> bool {
        self.busy.get() == 0
    }
}

impl Step {
    /// The steps that it consists of.
    fn parts(&self) -> &[Self] {
        match self {
            Self::Together(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }
}

/// Whether a context is not there at the beginning: the first thing in its script is that it is opened.
pub(crate) fn comes_later(plan: &Plan, owner: Owner) -> bool {
    let first = plan.actions.iter().find(|action| action.actor == owner && matches!(action.what, What::Step(_)));
    first.is_some_and(|action| action.what == What::Step(Step::Open))
}

/// The entity of a named record.
fn entity_of<'p>(plan: &'p Plan, wanted: &str) -> Option<&'p str> {
    let steps = plan.actions.iter().filter_map(|action| if let What::Step(step) = &action.what { Some(step) } else { None });
    steps.flat_map(Step::parts).find_map(|step| match step {
        Step::Create { name, entity, .. } if name == wanted => Some(entity.as_str()),
        _ => None,
    })
}

/// Whether a text is this one, with whatever mark follows it.
fn is_text(found: &Value, wanted: &str) -> bool {
    found.as_str().is_some_and(|found| found == wanted || found.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(" ~")))
}
