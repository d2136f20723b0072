//! What a plan's actions do to the world: tabs that close and devices that fall, networks and clocks that fail, the
//! server's backups; and whom they ask to do something in an app (`user`).

use std::rc::Rc;

use crate::executor::WORLD;
use crate::plan::{Action, What};
use crate::random::place;
use crate::world::World;

impl World {
    /// Does what a plan's action says.
    pub(crate) fn act(self: &Rc<Self>, action: &Action, number: u64) {
        let Some(context) = self.context(action.actor).cloned() else { return };
        let device = &self.devices[self.device_of(&context)];
        let now = self.sim.executor.now();
        match action.what {
            // The person of the context does it: see `script`.
            What::Step(_) => {}
            What::Kill(death) => self.kill(action.actor, death),
            What::Partition(ms, hangs) => {
                self.sim.tell(|| format!("device {}: no network for {ms} ms", self.device_of(&context) + 1));
                self.sim.mark("device cut off");
                device.cut_off.set((now + ms, hangs));
            }
            What::ServerAway(ms) => {
                self.sim.tell(|| format!("the server is away for {ms} ms"));
                self.sim.mark("server away");
                self.server.away_until.set(now + ms);
            }
            What::Jump(ms) => {
                self.sim.tell(|| format!("device {}: the clock jumps by {ms} ms", self.device_of(&context) + 1));
                self.sim.mark("clock jumped");
                device.jumped.set(device.jumped.get() + ms);
            }
            What::ServerJump(ms) => {
                self.sim.tell(|| format!("the server's clock jumps by {ms} ms"));
                self.server.clock.jumped.store(ms, std::sync::atomic::Ordering::Relaxed);
            }
            What::Freeze(ms) => {
                self.sim.tell(|| format!("context {}: frozen for {ms} ms", context.owner));
                self.sim.mark("context frozen");
                self.sim.executor.freeze(context.owner);
                let (world, owner) = (self.clone(), context.owner);
                self.sim.executor.spawn(WORLD, async move {
                    world.sim.executor.sleep(ms).await;
                    world.sim.executor.thaw(owner);
                });
            }
            What::Close => {
                self.sim.mark("context closed");
                self.close(context.owner);
                self.open_later(context.owner, 500 + self.sim.executor.draw(10_000));
            }
            What::Switch { pick } => {
                let own = self.device_of(&context);
                let others = (0..self.databases.len()).filter(|at| self.databases[*at].plan.device == own && *at != context.database.get());
                let others: Vec<usize> = others.collect();
                let Some(other) = others.get(place(pick, others.len())) else { return };
                self.close(context.owner);
                context.database.set(*other);
                self.sim.mark("tenant or user switched");
                self.sim.tell(|| format!("context {}: goes over to {}", context.owner, self.databases[*other].name));
                self.open_later(context.owner, 50 + self.sim.executor.draw(2_000));
            }
            What::Upgrade => {
                self.close(context.owner);
                context.upgraded.set(true);
                self.sim.mark("schema upgraded");
                self.sim.tell(|| format!("context {}: comes back with the next release", context.owner));
                self.open_later(context.owner, 50 + self.sim.executor.draw(2_000));
            }
            What::Evict => self.evict(context.owner),
            What::Desk { pick, how } => {
                let (world, tenant) = (self.clone(), self.database_of(&context).plan.tenant.clone());
                self.sim.executor.spawn(WORLD, async move { world.desk(&tenant, pick, how, number).await });
            }
            What::Prune => {
                self.sim.tell(|| "the server forgets its tombstones".to_owned());
                self.sim.mark("tombstones forgotten");
                self.server.prune();
            }
            What::Backup => {
                self.sim.mark("server backed up");
                self.sim.tell(|| "the server makes a backup".to_owned());
                self.server.back_up();
            }
            What::Restore => {
                self.sim.tell(|| "the server is restored from its last backup".to_owned());
                self.sim.mark("server restored");
                self.server.restore(now);
            }
            What::SyncEntity { .. }
            | What::SyncOperation { .. }
            | What::Poison { .. }
            | What::Wipe(_)
            | What::Together { .. }
            | What::Retry { .. }
            | What::Discard { .. }
            | What::Carry { .. }
            | What::Pause
            | What::Resume
            | What::Create { .. }
            | What::Update { .. }
            | What::Delete { .. }
            | What::Get { .. }
            | What::Query { .. }
            | What::Resolve { .. }
            | What::ResolveMany { .. }
            | What::TakeBack { .. }
            | What::FetchConflicts
            | What::Sync => {
                let engine = context.engine.borrow().clone();
                let Some(engine) = engine else { return };
                let (world, action) = (self.clone(), action.clone());
                self.sim.executor.spawn(context.owner, async move {
                    world.database_of(&context).history.borrow_mut().calls += 1;
                    let done = world.call(&context, &engine, &action.what, number).await;
                    if let Err(error) = &done {
                        world.refused(&context, error);
                    }
                    if matches!(action.what, What::Wipe(_)) && done.is_ok() {
                        // Nobody goes on with what he remembers of it.
                        let (again, database) = (world.clone(), context.database.get());
                        world.sim.executor.spawn(WORLD, async move { again.begin_anew(database) });
                    }
                });
            }
        }
    }

    /// Every context of a wiped database is closed and comes back.
    fn begin_anew(self: &Rc<Self>, database: usize) {
        for context in self.contexts.iter().filter(|context| context.database.get() == database && context.alive.get()) {
            self.close(context.owner);
            self.open_later(context.owner, 50 + self.sim.executor.draw(5_000));
        }
        let database = &self.databases[database];
        database.history.borrow_mut().promised.clear();
        database.paused.set(false);
    }
}
