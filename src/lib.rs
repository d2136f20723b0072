//! FieldSync.
pub mod audit;
pub mod conflict;
pub mod decide;
pub mod engine;
pub mod model;
pub mod outbox;
pub mod plan;
pub mod platform;
pub mod protocol;
pub mod query;
pub mod relations;
pub mod schema;
pub mod store;
pub mod value;
#[cfg(all(target_arch = "wasm32", feature = "browser"))]
pub mod wasm;
