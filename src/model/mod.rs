//! Room `model`: the nouns. What an ID, a stamp, an operation and a version are, and nothing about what
//! happens to them.
//!
//! Knows `value`.

mod ids;
mod operation;
mod stamp;

pub use ids::{ClientId, Epoch, IdError, IdSource, OpId, RecordId, TempId, is_temp_id};
pub use operation::{Action, Base, Group, Kind, Operation, Version};
pub use stamp::Stamp;
