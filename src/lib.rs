//! FieldSync.
pub mod audit;
pub mod conflict;
pub mod model;
pub mod outbox;
pub mod plan;
pub mod protocol;
pub mod relations;
pub mod schema;
pub mod value;
