//! The world of a run: devices, their databases and contexts, the server; how contexts are opened, die and
//! come back.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fieldsync::engine::{Engine, Settings};
use fieldsync::schema::Schema;
use fieldsync_server::service::Watermark;

use crate::executor::{Owner, WORLD};
use crate::fault::Death;
use crate::oracle::stored::Truth;
use crate::oracle::wire::Wire;
use crate::plan::{ContextPlan, DatabasePlan, Plan};
use crate::random::{Random, mix};
use crate::run::Wanted;
use crate::script::Script;
use crate::seams::host::{Bus, Device, Inbox, SimHost};
use crate::seams::network::SimNetwork;
use crate::seams::server::Server;
use crate::seams::store::{Rows, SimStore};
use crate::sim::{Invariant, Sim};
use crate::user::History;

/// The engine as it runs here.
pub(crate) type SimEngine = Engine<SimStore, SimHost>;

/// A database of a device.
pub(crate) struct Database {
    pub(crate) plan: DatabasePlan,
    pub(crate) name: String,
    pub(crate) rows: Rc<Rows>,
    bus: Bus,
    pub(crate) history: RefCell<History>,
    /// Whether somebody may have paused it.
    pub(crate) paused: Cell<bool>,
}

impl Database {
    /// Whether this is the word for a damaged row, and there was one.
    pub(crate) fn is_damaged(&self, code: &str) -> bool {
        code == "integrity" && self.rows.was_damaged.get()
    }
}

/// A tab or worker.
pub(crate) struct Context {
    pub(crate) owner: Owner,
    pub(crate) plan: ContextPlan,
    /// Which database it has open, by its number.
    pub(crate) database: Cell<usize>,
    /// Whether it runs the newer release of the app.
    pub(crate) upgraded: Cell<bool>,
    pub(crate) engine: RefCell<Option<SimEngine>>,
    /// Whether it lives: it may still be opening.
    pub(crate) alive: Cell<bool>,
    pub(crate) lives: Cell<u64>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) sim: Rc<Sim>,
    /// That of the newer release, which the server has.
    pub(crate) schema: Rc<Schema>,
    earlier: Rc<Schema>,
    pub(crate) server: Rc<Server>,
    wire: Rc<Wire>,
    pub(crate) script: Script,
    pub(crate) devices: Vec<Rc<Device>>,
    pub(crate) databases: Vec<Rc<Database>>,
    pub(crate) contexts: Vec<Rc<Context>>,
}

/// The mark that every value of a tenant carries.
pub(crate) fn canary(tenant: &str) -> String {
    format!("<{:x}>", tenant.bytes().fold(7, |sum, byte| mix(sum, u64::from(byte))))
}

impl World {
    pub(crate) fn new(plan: &Plan, wanted: Wanted) -> Rc<Self> {
        let sim = Sim::new(plan, wanted.story);
        let (schema, earlier) = (plan.declared.schema(true), plan.declared.schema(false));
        let watermark = if plan.backups { Watermark::Backup } else { Watermark::Commit };
        let server = Rc::new(Server::new(plan.seed, &schema, watermark, wanted.sqlite));
        let canaries: BTreeMap<String, String> =
            plan.databases.iter().map(|database| (database.tenant.clone(), canary(&database.tenant))).collect();
        let wire = Rc::new(Wire::new(Arc::clone(&server.watch), canaries));
        let watch = Arc::clone(&server.watch);
        let database = |plan: &DatabasePlan| {
            let name = format!("device {} ({} of {})", plan.device + 1, plan.user, plan.tenant);
            let rows = Rows::new(name.clone(), Truth { watch: watch.clone(), tenant: plan.tenant.clone() });
            Rc::new(Database { plan: plan.clone(), name, rows, bus: Bus::default(), history: RefCell::default(), paused: Cell::new(false) })
        };
        let context = |(at, plan): (usize, &ContextPlan)| {
            Rc::new(Context {
                owner: Owner::try_from(at + 1).unwrap_or(Owner::MAX),
                plan: plan.clone(),
                database: Cell::new(plan.database),
                upgraded: Cell::new(false),
                engine: RefCell::default(),
                alive: Cell::new(false),
                lives: Cell::new(0),
            })
        };
        Rc::new(Self {
            plan: plan.clone(),
            sim,
            schema,
            earlier,
            server,
            wire,
            script: Script::default(),
            devices: plan.devices.iter().map(|device| Device::new(device.clone())).collect(),
            databases: plan.databases.iter().map(database).collect(),
            contexts: plan.contexts.iter().enumerate().map(context).collect(),
        })
    }

    pub(crate) fn context(&self, owner: Owner) -> Option<&Rc<Context>> {
        self.contexts.get(usize::try_from(owner).ok()?.checked_sub(1)?)
    }
    pub(crate) fn database_of(&self, context: &Context) -> &Rc<Database> {
        &self.databases[context.database.get()]
    }
    pub(crate) fn device_of(&self, context: &Context) -> usize {
        self.database_of(context).plan.device
    }

    /// Opens a context, again if the storage refuses, until it is open.
    pub(crate) fn open(self: &Rc<Self>, owner: Owner) {
        let Some(context) = self.context(owner).cloned().filter(|context| !context.alive.get()) else { return };
        context.alive.set(true);
        context.lives.set(context.lives.get() + 1);
        let world = self.clone();
        self.sim.executor.spawn(owner, async move {
            loop {
                let (store, host) = world.platform(&context);
                let database = world.database_of(&context).clone();
                match Engine::open(store, host, world.settings(&context)).await {
                    Ok((engine, events)) => {
                        drop(events);
                        world.sim.tell(|| format!("context {owner}: opens {}", database.name));
                        context.engine.replace(Some(engine.clone()));
                        world.sim.executor.spawn(owner, async move { engine.run().await });
                        return;
                    }
                    Err(error)
                        if matches!(error.code, "storage_full" | "storage_aborted" | "storage_unavailable")
                            || database.is_damaged(error.code) =>
                    {
                        // A person looks at the message and tries again.
                        world.sim.executor.sleep(500).await;
                    }
                    Err(error) => {
                        return world.sim.violate(Invariant::Sound, format!("{} does not open: {} {error}", database.name, error.code));
                    }
                }
            }
        });
    }

    fn platform(self: &Rc<Self>, context: &Context) -> (SimStore, SimHost) {
        let database = self.database_of(context);
        let device = self.devices[database.plan.device].clone();
        let inbox = Rc::new(Inbox::default());
        {
            // A context has one inbox: that of its last attempt to open.
            let mut bus = database.bus.borrow_mut();
            bus.retain(|(owner, _)| *owner != context.owner);
            bus.push((context.owner, inbox.clone()));
        }
        let network = SimNetwork {
            sim: self.sim.clone(),
            owner: context.owner,
            device: device.clone(),
            server: self.server.clone(),
            wire: self.wire.clone(),
            rows: database.rows.clone(),
            tenant: database.plan.tenant.clone(),
        };
        let life = mix(u64::from(context.owner), context.lives.get());
        let host = SimHost {
            sim: self.sim.clone(),
            owner: context.owner,
            device,
            bus: database.bus.clone(),
            inbox,
            random: RefCell::new(Random::new(mix(self.plan.seed, 9), life)),
            network,
        };
        (SimStore::new(self.sim.clone(), context.owner, database.rows.clone()), host)
    }

    fn settings(&self, context: &Context) -> Settings {
        let plan = &self.database_of(context).plan;
        let mut settings = serde_json::json!({
            "tenant": plan.tenant, "user": plan.user, "baseUrl": "/api/v1/sync",
            "autoSync": context.plan.auto_sync, "audit": {"upload": self.plan.declared.trail},
            "batchSize": plan.batch_size, "pageSize": plan.page_size, "batchSizeMax": plan.batch_max,
            "coalesce": plan.coalesce, "pollMs": plan.poll_ms, "timeoutMs": plan.timeout_ms,
            "schema": {"name": "clinic", "version": 1, "entities": {"client": {}}},
        });
        if self.plan.declared.trail {
            settings["retention"] = serde_json::json!({"syncLogDays": 1, "conflictsDays": 1, "auditDays": 1});
        }
        let mut settings = Settings::parse(&settings.to_string()).expect("the settings of the simulation are ones");
        settings.schema = if context.upgraded.get() { self.schema.clone() } else { self.earlier.clone() };
        settings
    }

    /// Ends a context in order.
    pub(crate) fn close(&self, owner: Owner) {
        let Some(context) = self.context(owner) else { return };
        let engine = context.engine.take();
        if let Some(engine) = engine {
            engine.close();
            self.sim.tell(|| format!("context {owner}: is closed"));
        }
        self.end(context);
    }

    /// What is left of a context goes.
    fn end(&self, context: &Context) {
        context.alive.set(false);
        let engine = context.engine.take();
        self.sim.executor.kill(context.owner);
        drop(engine);
        self.database_of(context).bus.borrow_mut().retain(|(owner, _)| *owner != context.owner);
    }

    /// A process dies, wherever it is. Who died comes back after a while.
    pub(crate) fn kill(self: &Rc<Self>, owner: Owner, death: Death) {
        let Some(context) = self.context(owner).cloned() else { return };
        let device = self.device_of(&context);
        self.sim.tell(|| format!("context {owner}: dies ({death:?})"));
        self.sim.mark(match death {
            Death::Tab => "tab died",
            Death::Browser => "browser died",
            Death::Power => "power lost",
        });
        let dead: Vec<Rc<Context>> = match death {
            Death::Tab => vec![context],
            Death::Browser | Death::Power => self.contexts.iter().filter(|other| self.device_of(other) == device).cloned().collect(),
        };
        for context in dead.iter().filter(|context| context.alive.get()) {
            if self.database_of(context).rows.watch.borrow().last_coalesced {
                self.sim.mark("coalesced then killed");
            }
            self.end(context);
            self.open_later(context.owner, 200 + self.sim.executor.draw(20_000));
        }
        if death == Death::Power {
            for database in self.databases.iter().filter(|database| database.plan.device == device) {
                database.rows.lose_power(&self.sim);
            }
        }
    }

    /// Opens a context after a while.
    pub(crate) fn open_later(self: &Rc<Self>, owner: Owner, wait: u64) {
        let world = self.clone();
        self.sim.executor.spawn(WORLD, async move {
            world.sim.executor.sleep(wait).await;
            world.open(owner);
        });
    }

    /// The browser throws everything away that this device has stored: what was not sent yet is gone.
    pub(crate) fn evict(self: &Rc<Self>, owner: Owner) {
        let Some(context) = self.context(owner).cloned() else { return };
        let device = self.device_of(&context);
        self.kill(owner, Death::Browser);
        self.sim.tell(|| format!("device {}: the browser throws its storage away", device + 1));
        self.sim.mark("database evicted");
        for database in self.databases.iter().filter(|database| database.plan.device == device) {
            database.rows.evict();
            let mut history = database.history.borrow_mut();
            history.saved.clear();
            history.known.clear();
            history.promised.clear();
            database.paused.set(false);
        }
    }

    /// Takes away who died since the last turn.
    pub(crate) fn bury(self: &Rc<Self>) {
        loop {
            let next = self.sim.deaths.borrow_mut().pop();
            let Some((owner, death)) = next else { return };
            self.kill(owner, death);
        }
    }

    /// Everything works from now on, and everybody is there.
    pub(crate) fn heal(self: &Rc<Self>) {
        self.sim.tell(|| "everything works again".to_owned());
        self.sim.end_faults();
        self.server.away_until.set(0);
        self.databases.iter().for_each(|database| database.rows.repair());
        self.server.clock.jumped.store(0, Ordering::Relaxed);
        for device in &self.devices {
            device.cut_off.set((0, false));
        }
        // One release, and everybody back where he belongs.
        let upgraded = self.contexts.iter().any(|context| context.upgraded.get());
        for context in &self.contexts {
            self.sim.executor.thaw(context.owner);
            // A trail that was refused once, for its size too, goes up from the next opening on.
            if self.plan.declared.trail || context.upgraded.get() != upgraded || context.database.get() != context.plan.database {
                self.close(context.owner);
            }
            context.upgraded.set(upgraded);
            context.database.set(context.plan.database);
            self.open(context.owner);
        }
    }

    /// Drops what holds itself in a circle.
    pub(crate) fn dissolve(&self) {
        for context in &self.contexts {
            let engine = context.engine.take();
            drop(engine);
        }
        self.sim.executor.clear();
    }
}
