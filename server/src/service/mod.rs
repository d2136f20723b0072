//! Room `service`: what each endpoint does, from a verified identity and the bytes of a body to an answer.
//! Knows nothing of HTTP, so that a simulation can call it directly over any store.

mod checkpoint;
mod download;
mod envelope;
#[cfg(any(debug_assertions, feature = "gates"))]
mod gate;
mod refusal;
mod session;
mod upload;

use std::fmt::Debug;
use std::sync::Arc;

use fieldsync::model::{Epoch, IdSource, Version};
use fieldsync::protocol::{Reply, RequestHead, ServerLimits, limits};
use fieldsync::schema::Schema;

pub use checkpoint::{Checkpoints, Position};
pub use download::Pages;
pub use refusal::{Reason, Refusal};

use crate::key::ServerKey;
use crate::seams::{Clock, Entropy, EntropyError};
use crate::store::ServerStore;

/// The server behind its transport.
#[derive(Debug)]
pub struct Service<S> {
    store: S,
    schema: Schema,
    checkpoints: Checkpoints,
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
            clock,
            entropy,
            #[cfg(any(debug_assertions, feature = "gates"))]
            gate: gate::Gate::from_environment(),
        }
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

    fn reply(&self, head: &RequestHead, sequence: Version) -> Reply {
        Reply {
            request_id: head.request_id.clone(),
            epoch: self.store.epoch().clone(),
            server_time: self.clock.now_ms(),
            // A commit is durable when it returns, so the watermark is the sequence.
            durable: sequence,
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
