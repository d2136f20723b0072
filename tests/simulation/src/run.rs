//! One run of a plan: people act and things break; then everything works again; then all comes to rest and
//! is compared.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fieldsync::outbox::State;
use serde_json::Value;

use crate::executor::{Stopped, WORLD};
use crate::fault::{Fault, Gate};
use crate::oracle::end;
use crate::plan::{Plan, What};
use crate::random::mix;
use crate::seams::server::lock;
use crate::sim::{Invariant, START, Violation};
use crate::world::{Database, World};

/// How long everything may take to come to rest once everything works, ms.
const REST_MS: u64 = 30 * 60 * 1_000;
/// So often one looks whether it has.
const LOOK_MS: u64 = 2_000;
/// Longer than the longest pause between two attempts.
const ASK_AGAIN_MS: u64 = 2 * 60_000;
/// How long rest is watched.
const WATCH_MS: u64 = 120_000;
/// So many turns a context may take in that time for looking whether there is anything new.
const IDLE_TURNS: u64 = 15_000;

/// What a run says of itself.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// Equal for equal runs.
    pub digest: u64,
    /// Calls of apps.
    pub operations: u64,
    /// Operations that were reported saved.
    pub saved: u64,
    /// Operations that took effect at the server.
    pub effects: u64,
    /// Virtual time, ms.
    pub virtual_ms: u64,
    /// Polls of tasks.
    pub turns: u64,
    /// What was checked how often.
    pub checks: BTreeMap<Invariant, u64>,
    /// Rare events.
    pub marks: BTreeMap<&'static str, u64>,
    /// What went wrong on purpose, by name.
    pub faults: BTreeMap<&'static str, u64>,
    /// The same, gate by gate.
    pub fired: Vec<(Gate, Fault)>,
    /// Every gate that was passed before everything was healed, if that was asked for.
    pub passed: Vec<Gate>,
    /// The story, if it was asked for.
    pub story: Vec<String>,
}

/// How a plan is run, and what else it should bring.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// The story.
    pub story: bool,
    /// The gates.
    pub gates: bool,
    /// The server's database in SQLite, and not in memory.
    pub sqlite: bool,
}

/// Runs a plan.
pub fn run(plan: &Plan, wanted: Wanted) -> Outcome {
    let world = World::new(plan, wanted);
    if wanted.gates {
        world.sim.passed.replace(Some(Vec::new()));
    }
    live(&world);
    let passed = world.sim.passed.take().unwrap_or_default();
    if !world.sim.is_violated() {
        world.heal();
        if rest(&world) {
            compare(&world);
        }
    }
    let sim = &world.sim;
    let mut outcome = Outcome {
        violation: sim.violation.borrow().clone(),
        digest: sim.executor.digest(),
        operations: 0,
        saved: 0,
        effects: world.effects(),
        virtual_ms: sim.executor.now() - START,
        turns: sim.executor.turns(),
        checks: sim.checks.take(),
        marks: sim.marks.take(),
        faults: BTreeMap::new(),
        fired: sim.fired.take(),
        passed,
        story: sim.story(),
    };
    for (_, fault) in &outcome.fired {
        *outcome.faults.entry(fault.name()).or_insert(0) += 1;
    }
    for database in &world.databases {
        let history = database.history.borrow();
        outcome.operations += history.calls;
        outcome.saved += history.saved.len() as u64;
    }
    outcome.marks.extend(lock(&world.server.watch).commits.marks.clone());
    for (invariant, count) in &lock(&world.server.watch).commits.checks {
        *outcome.checks.entry(*invariant).or_insert(0) += count;
    }
    world.dissolve();
    outcome
}

/// People act until it is time to heal.
fn live(world: &Rc<World>) {
    let executor = world.sim.executor.clone();
    crate::script::begin(world);
    let comes_later = |owner| crate::script::comes_later(&world.plan, owner);
    for context in world.contexts.iter().filter(|context| !comes_later(context.owner)) {
        let (world, owner, wait) = (world.clone(), context.owner, executor.draw(1_500));
        executor.spawn(WORLD, async move {
            world.sim.executor.sleep(wait).await;
            world.open(owner);
        });
    }
    let people = world.clone();
    executor.spawn(WORLD, async move {
        for (number, action) in people.plan.actions.iter().enumerate() {
            people.sim.executor.sleep_until(START + action.at).await;
            people.act(action, number as u64 + 1);
        }
    });
    go(world, START + world.plan.heal_at, || false);
}

/// Runs on; says whether the condition came true or the time was reached without a violation.
fn go(world: &Rc<World>, end: u64, condition: impl Fn() -> bool) -> bool {
    let stopped = world.sim.executor.run_until(end, || world.bury(), || world.sim.is_violated() || condition());
    if stopped == Stopped::Circle {
        world.sim.violate(Invariant::I20, "somebody runs in a circle, and the run does not end".to_owned());
    }
    !world.sim.is_violated()
}

/// Waits until nothing moves any more; says whether that came to be.
fn rest(world: &Rc<World>) -> bool {
    let executor = &world.sim.executor;
    let begun = executor.now();
    let (mut since, mut last) = (begun, None);
    while executor.now() < begun + REST_MS {
        ask(world);
        // Somebody who is at rest may be woken by another who is not: all must be at rest at once.
        if !go(world, executor.now() + LOOK_MS, || false) {
            return false;
        }
        // What was applied since the last backup is kept until there is another.
        let kept = |database: &Rc<Database>| {
            database.rows.watch.borrow().outbox.values().any(|queued| matches!(queued.state, State::Acknowledged { .. }))
        };
        if world.databases.iter().any(kept) {
            world.server.back_up();
            continue;
        }
        let now: Vec<Progress> = world.databases.iter().map(|database| Progress::of(database)).collect();
        let all_there = world.databases.iter().zip(&now).all(|(database, now)| now.through == world.server.sequence(&database.plan.tenant));
        let decided = !world.plan.resolve_at_end || now.iter().all(|now| now.conflicts == 0);
        let drained = now.iter().all(|now| now.pending == 0);
        if last.as_ref() != Some(&now) {
            (since, last) = (executor.now(), Some(now));
        }
        // What the server waits for is asked for again and again: somebody may have brought it. Where it waits for
        // nothing, it is enough that nothing has changed from one look to the next.
        let asks = |database: &Rc<Database>| database.rows.watch.borrow().outbox.values().any(|queued| !queued.waits_for.is_empty());
        let unchanged_ms = if world.databases.iter().any(asks) { ASK_AGAIN_MS } else { LOOK_MS };
        let still = executor.now() >= since + unchanged_ms;
        let arrived = world.server.under_way.get() == 0;
        if world.script.is_done() && all_there && arrived && decided && still && (drained || is_stuck(world)) {
            let mark = executor.now() - begun;
            world.sim.tell(|| format!("everything has come to rest after {mark} ms"));
            return idle(world);
        }
    }
    no_rest(world);
    false
}

/// How far a database has come.
#[derive(PartialEq)]
struct Progress {
    pending: usize,
    through: u64,
    conflicts: usize,
}

impl Progress {
    fn of(database: &Database) -> Self {
        let watch = database.rows.watch.borrow();
        let conflicts = watch.outbox.values().filter(|queued| matches!(queued.state, State::Conflict { .. })).count();
        Self { pending: watch.pending(), through: watch.through.map_or(0, |version| version.0), conflicts }
    }
}

/// Says who has not come to rest, and the first that each of them waits for.
fn no_rest(world: &Rc<World>) {
    let queues = queues(world);
    let shown = queues.iter().zip(&world.databases).map(|(queue, database)| {
        let watch = database.rows.watch.borrow();
        let first = queue.as_ref().map(|queue| queue.iter().find(|item| !is_held(item)).map(ToString::to_string));
        format!(
            "{}: {} pending, through {:?} of {}, {first:?}",
            database.name,
            watch.pending(),
            watch.through,
            world.server.sequence(&database.plan.tenant)
        )
    });
    let what = format!("no rest after {} minutes: {}", REST_MS / 60_000, shown.collect::<Vec<_>>().join("; "));
    world.sim.check(Invariant::I20, false, || what);
}

/// Where nobody looks by itself, a person asks; and decides what is to be decided.
fn ask(world: &Rc<World>) {
    for (at, database) in world.databases.iter().enumerate() {
        let mut contexts = world.contexts.iter().filter(|context| context.database.get() == at);
        let first = contexts.clone().next();
        let Some(context) = contexts.find(|context| context.plan.auto_sync).or(first) else { continue };
        let actor = context.owner;
        let act = |what| world.act(&crate::plan::Action { at: 0, actor, what }, mix(world.sim.executor.now(), u64::from(actor)));
        if database.paused.get() {
            act(What::Resume);
        }
        if !context.plan.auto_sync {
            act(What::Sync);
        }
        let open = database.rows.watch.borrow().outbox.values().any(|queued| matches!(queued.state, State::Conflict { .. }));
        if world.plan.resolve_at_end && open {
            act(What::Resolve { pick: world.sim.executor.draw(64), how: world.sim.executor.draw(4) });
        }
    }
}

/// Whether all that is still pending is held by something.
fn is_stuck(world: &Rc<World>) -> bool {
    queues(world).iter().all(|queue| queue.as_ref().is_ok_and(|queue| queue.iter().all(is_held)))
}

fn is_held(item: &Value) -> bool {
    matches!(item["state"].as_str(), Some("blocked" | "conflict" | "parked"))
}

/// Every database's outbox as one of its apps sees it, or why none does.
fn queues(world: &Rc<World>) -> Vec<Result<Vec<Value>, String>> {
    // A script may have closed the only app of a database. Then nothing may be left in it.
    let nobody = |database: &Rc<Database>| match database.rows.watch.borrow().outbox.is_empty() {
        true => Ok(Vec::new()),
        false => Err("no context is open that answers".to_owned()),
    };
    let found: Rc<RefCell<Vec<_>>> = Rc::new(RefCell::new(world.databases.iter().map(nobody).collect()));
    for at in 0..world.databases.len() {
        let open = world.contexts.iter().find(|context| context.database.get() == at && context.engine.borrow().is_some());
        let Some(context) = open else { continue };
        let Some(engine) = context.engine.borrow().clone() else { continue };
        let found = found.clone();
        found.borrow_mut()[at] = Err("it does not answer".to_owned());
        world.sim.executor.spawn(context.owner, async move {
            let queue = engine.queue().await.map_err(|error| format!("{}: {error}", error.code));
            found.borrow_mut()[at] = queue;
        });
    }
    go(world, world.sim.executor.now() + 1_000, || false);
    found.take()
}

/// At rest nothing is sent but the question whether there is anything new, and that not often.
fn idle(world: &Rc<World>) -> bool {
    let executor = &world.sim.executor;
    let (turns, effects) = (executor.turns(), world.effects());
    if !go(world, executor.now() + WATCH_MS, || false) {
        return false;
    }
    let taken = executor.turns() - turns;
    let most = IDLE_TURNS * world.contexts.len() as u64;
    world.sim.check(Invariant::I20, taken <= most, || format!("{taken} turns in {WATCH_MS} ms of rest, at most {most} are due"));
    let moved = world.effects() - effects;
    world.sim.check(Invariant::I20, moved == 0, || format!("{moved} operations took effect after everything had come to rest"));
    !world.sim.is_violated()
}

/// The same at a moment when nothing is on its way: what the server waits for is asked for again and again, and says only
/// between two questions what holds it.
fn queues_at_rest(world: &Rc<World>) -> Vec<Result<Vec<Value>, String>> {
    let asked = |queue: &Result<Vec<Value>, String>| queue.iter().flatten().any(|item| item["state"] == "syncing");
    for _ in 0..ASK_AGAIN_MS / LOOK_MS {
        let queues = queues(world);
        if !queues.iter().any(asked) {
            return queues;
        }
    }
    queues(world)
}

fn compare(world: &Rc<World>) {
    let queues = queues_at_rest(world);
    for (queue, database) in queues.iter().zip(&world.databases) {
        for item in queue.iter().flatten() {
            world.sim.tell(|| format!("{} still has {item}", database.name));
        }
    }
    for (at, database) in world.databases.iter().enumerate() {
        let watch = database.rows.watch.borrow();
        let count = |is: fn(&State) -> bool| watch.outbox.values().filter(|queued| is(&queued.state)).count() as u64;
        let stored = (
            count(|state| *state == State::Pending),
            count(|state| matches!(state, State::Conflict { .. })),
            count(|state| matches!(state, State::Parked { .. })),
        );
        for context in world.contexts.iter().filter(|context| context.database.get() == at) {
            let Some(engine) = context.engine.borrow().clone() else { continue };
            let status = engine.status();
            let number = |name: &str| status[name].as_u64().unwrap_or(u64::MAX);
            let said = (number("pending"), number("conflicts"), number("parked"));
            world.sim.check(Invariant::I4, said == stored, || {
                format!("context {} says {said:?} pending, in conflict, parked; stored are {stored:?}", context.owner)
            });
        }
    }
    end::compare(world, &queues);
    crate::script::compare(world);
}
