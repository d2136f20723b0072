//! FieldSync.
pub mod model;
pub mod protocol;
pub mod schema;
pub mod value;
