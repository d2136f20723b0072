//! What people do with files of unsent work: they carry it to another device of theirs.

use std::rc::Rc;

use fieldsync::engine::EngineError;
use fieldsync::model::OpId;
use serde_json::Value;

use crate::random::place;
use crate::seams::server::lock;
use crate::sim::Invariant;
use crate::user::REFUSALS;
use crate::world::{Context, SimEngine, World};

impl World {
    /// What a file holds may take effect under the numbers of the device that wrote it.
    pub(crate) fn remember_carried(&self, text: &str) {
        let mut watch = lock(&self.server.watch);
        let file: Value = serde_json::from_str(text).unwrap_or_default();
        for carried in file["unsent"]["operations"].as_array().into_iter().flatten() {
            let body: Value = carried["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
            watch.commits.carried.extend(body["id"].as_str().and_then(|id| OpId::parse(id).ok()));
        }
    }

    /// Carries unsent work to the same person's database on another device, if there is one that is open.
    pub(crate) async fn carry(&self, context: &Context, engine: &SimEngine, pick: u64) -> Result<(), EngineError> {
        let own = self.database_of(context);
        let other = |other: &&Rc<Context>| {
            let database = self.database_of(other);
            let same = (&database.plan.tenant, &database.plan.user) == (&own.plan.tenant, &own.plan.user);
            same && !Rc::ptr_eq(database, own) && other.engine.borrow().is_some()
        };
        let others: Vec<&Rc<Context>> = self.contexts.iter().filter(other).collect();
        let Some(other) = others.get(place(pick, others.len())) else { return Ok(()) };
        let text = engine.export().await?;
        self.remember_carried(&text);
        let Some(there) = other.engine.borrow().clone() else { return Ok(()) };
        let (sim, owner, from) = (self.sim.clone(), other.owner, context.owner);
        let database = self.database_of(other).clone();
        // It is the other context's call: it dies with that one.
        self.sim.executor.spawn(owner, async move {
            match there.import(&text).await {
                Ok(done) => {
                    sim.mark("work carried to another device");
                    sim.tell(|| format!("context {owner}: imports from context {from}: {done}"));
                }
                Err(error) => {
                    let expected = REFUSALS.contains(&error.code) || database.is_damaged(error.code);
                    sim.check(Invariant::Sound, expected, || format!("context {owner} refuses an import: {} {error}", error.code));
                }
            }
        });
        Ok(())
    }
}
