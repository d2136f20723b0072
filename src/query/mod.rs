//! Room `query`: what an app may ask of its records: conditions on fields, an order, a slice. Parsed and
//! bounded here, matched here; where the rows come from is not known here.
//!
//! Knows `value` and `schema`.

mod matching;
mod parse;

pub use parse::{Condition, Direction, Query, QueryError};
