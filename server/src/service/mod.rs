//! Room `service`: what each endpoint does, from a verified identity and the bytes of a body to an answer.
//! Knows nothing of HTTP, so that a simulation can call it directly over any store.

mod checkpoint;
mod conflicts;
mod download;
mod envelope;
#[cfg(any(debug_assertions, feature = "gates"))]
mod gate;
mod refusal;
mod resolve;
mod session;
mod trail;
mod upload;

use std::fmt::Debug;
use std::sync::Arc;

use fieldsync::model::{Epoch, IdSource};
use fieldsync::protocol::{Reply, RequestHead, ServerLimits, limits};
use fieldsync::schema::Schema;

pub use checkpoint::{Checkpoints, Position};
pub use download::Pages;
pub use refusal::{Reason, Refusal};

use crate::key::ServerKey;
use crate::seams::{Clock, Entropy, EntropyError};
use crate::store::{ServerStore, TenantState};

/// What a server promises by `durable`: the sequence up to which its clients may let their copies of what they
/// sent go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watermark {
    /// A commit is durable when it returns: everything is, at once.
    #[default]
    Commit,
    /// Only what the last backup holds is: the devices can heal a server that is restored from it.
    Backup,
}

/// The server behind its transport.
#[derive(Debug)]
pub struct Service<S> {
    store: S,
    schema: Schema,
    checkpoints: Checkpoints,
    watermark: Watermark,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    #[cfg(any(debug_assertions, feature = "gates"))]
    gate: gate::Gate,
}

impl<S: ServerStore> Service<S> {
    /// Over a store.
    pub fn new(store: S, schema: Schema, key: &ServerKey, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            store,
            schema,
            checkpoints: Checkpoints::new(key),
            watermark: Watermark::default(),
            clock,
            entropy,
            #[cfg(any(debug_assertions, feature = "gates"))]
            gate: gate::Gate::from_environment(),
        }
    }

    /// With another promise than that a commit is durable.
    #[must_use]
    pub fn with_watermark(self, watermark: Watermark) -> Self {
        Self { watermark, ..self }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The time.
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// What the server allows.
    pub fn limits() -> ServerLimits {
        ServerLimits {
            operations_max: limits::OPERATIONS_MAX,
            bytes_max: limits::BATCH_BYTES_MAX,
            page_records_max: limits::PAGE_RECORDS_MAX,
        }
    }

    fn reply(&self, head: &RequestHead, state: &TenantState) -> Reply {
        Reply {
            request_id: head.request_id.clone(),
            epoch: self.store.epoch().clone(),
            server_time: self.clock.now_ms(),
            durable: match self.watermark {
                _ if fieldsync::planted::is(fieldsync::planted::Bug::ServerAllDurable) => state.sequence,
                Watermark::Commit => state.sequence,
                Watermark::Backup => state.backed_up,
            },
        }
    }

    /// A new UUIDv7.
    fn fresh(&self, ids: &mut IdSource, now_ms: u64) -> Result<String, EntropyError> {
        let mut random = [0; IdSource::ENTROPY_BYTES];
        self.entropy.fill(&mut random)?;
        Ok(ids.uuid(now_ms, random))
    }
}

/// A lineage for a new database.
pub fn new_epoch(clock: &dyn Clock, entropy: &dyn Entropy) -> Result<Epoch, EntropyError> {
    let mut random = [0; IdSource::ENTROPY_BYTES];
    entropy.fill(&mut random)?;
    Ok(IdSource::default().epoch(clock.now_ms(), random))
}
