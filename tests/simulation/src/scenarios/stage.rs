//! Sets a scene: devices, databases and tabs with plain settings, and who does what when.

use serde_json::Value;

use super::Scenario;
use crate::executor::Owner;
use crate::fault::Faults;
use crate::plan::{Action, ContextPlan, DatabasePlan, DevicePlan, Plan, What};
use crate::script::{Expected, Step};

/// When everybody has opened the app, ms after the start.
pub(super) const OPEN: u64 = 2_000;

/// A plan that is being written.
pub(super) struct Stage {
    pub(super) plan: Plan,
    needs: Vec<(&'static str, u64)>,
    never: Vec<&'static str>,
}

impl Stage {
    pub(super) fn new(heal_at: u64) -> Self {
        let plan = Plan {
            seed: 1,
            devices: Vec::new(),
            databases: Vec::new(),
            contexts: Vec::new(),
            actions: Vec::new(),
            faults: Faults::List(Vec::new()),
            heal_at,
            backups: false,
            new_entity: true,
            resolve_at_end: true,
            declared: crate::declared::Declared::default(),
            expected: Vec::new(),
        };
        Self { plan, needs: Vec::new(), never: Vec::new() }
    }

    /// A device of a person, with one tab open.
    pub(super) fn device(&mut self, user: &str) -> Owner {
        self.plan.devices.push(DevicePlan { skew_ms: 0, drift_ppm: 0, latency_ms: 10 });
        self.database(self.plan.devices.len() - 1, "clinic", user)
    }
    /// Another database on a device, with one tab.
    pub(super) fn database(&mut self, device: usize, tenant: &str, user: &str) -> Owner {
        self.plan.databases.push(DatabasePlan {
            device,
            tenant: tenant.to_owned(),
            user: user.to_owned(),
            batch_size: 50,
            batch_max: 1_000,
            coalesce: true,
            page_size: 500,
            poll_ms: 3_000,
            timeout_ms: 4_000,
        });
        self.context(self.plan.databases.len() - 1)
    }
    /// Another tab of the same database.
    pub(super) fn tab(&mut self, of: Owner) -> Owner {
        let database = self.plan.contexts[place(of)].database;
        self.context(database)
    }
    fn context(&mut self, database: usize) -> Owner {
        self.plan.contexts.push(ContextPlan { database, auto_sync: true });
        Owner::try_from(self.plan.contexts.len()).unwrap_or(Owner::MAX)
    }
    /// A tab that sends and fetches only when it is asked.
    pub(super) fn by_hand(&mut self, owner: Owner) {
        self.plan.contexts[place(owner)].auto_sync = false;
    }
    /// The settings of the database of a tab.
    pub(super) fn settings(&mut self, owner: Owner) -> &mut DatabasePlan {
        let database = self.plan.contexts[place(owner)].database;
        &mut self.plan.databases[database]
    }
    /// How long the way to the server is.
    pub(super) fn latency(&mut self, owner: Owner, latency_ms: u64) {
        let device = self.settings(owner).device;
        self.plan.devices[device].latency_ms = latency_ms;
    }

    /// Something happens.
    pub(super) fn at(&mut self, at: u64, actor: Owner, what: What) {
        self.plan.actions.push(Action { at, actor, what });
    }
    /// Somebody does something.
    pub(super) fn step(&mut self, at: u64, actor: Owner, step: Step) {
        self.at(at, actor, What::Step(step));
    }
    pub(super) fn create(&mut self, at: u64, actor: Owner, entity: &str, name: &str, set: Value) {
        self.step(at, actor, create(entity, name, set));
    }
    pub(super) fn update(&mut self, at: u64, actor: Owner, name: &str, set: Value) {
        self.step(at, actor, update(name, set));
    }
    pub(super) fn delete(&mut self, at: u64, actor: Owner, name: &str) {
        self.step(at, actor, Step::Delete { name: name.to_owned() });
    }
    pub(super) fn see(&mut self, at: u64, actor: Owner, name: &str, fields: Value) {
        self.step(at, actor, Step::See { name: name.to_owned(), fields });
    }
    pub(super) fn synced(&mut self, at: u64, actor: Owner, name: &str) {
        self.step(at, actor, Step::Synced { name: name.to_owned() });
    }

    /// What a record must be in the end.
    pub(super) fn expect(&mut self, name: &str, fields: Value) {
        self.plan.expected.push(Expected { name: name.to_owned(), fields: Some(fields) });
    }
    /// What must be gone in the end.
    pub(super) fn expect_gone(&mut self, name: &str) {
        self.plan.expected.push(Expected { name: name.to_owned(), fields: None });
    }
    /// What the undisturbed run must reach.
    pub(super) fn needs(&mut self, mark: &'static str, times: u64) {
        self.needs.push((mark, times));
    }
    /// What it must not.
    pub(super) fn never(&mut self, mark: &'static str) {
        self.never.push(mark);
    }

    pub(super) fn end(mut self, name: &'static str, story: &'static str) -> Scenario {
        // What happens at one time happens in the order in which it was written.
        self.plan.actions.sort_by_key(|action| action.at);
        Scenario { name, story, plan: self.plan, needs: self.needs, never: self.never }
    }
}

pub(super) fn create(entity: &str, name: &str, set: Value) -> Step {
    Step::Create { name: name.to_owned(), entity: entity.to_owned(), set }
}

pub(super) fn update(name: &str, set: Value) -> Step {
    Step::Update { name: name.to_owned(), set }
}

fn place(owner: Owner) -> usize {
    usize::try_from(owner).unwrap_or(usize::MAX) - 1
}
