//! Room `relations`: which operation must come after which, in what order they go, and where they bite
//! their own tail; and where a reference leads.
//!
//! An operation comes after the create of what it refers to, after the earlier operation of its record,
//! and a delete after every operation that held or drops a reference to the deleted record (DESIGN 5.7).
//! Among equals the client sequence decides; the clock never does.
//!
//! Knows `value`, `model` and `schema`.

mod graph;
mod node;
mod orphans;
mod places;

pub use graph::{Cycle, Graph, Ordered};
pub use node::{Need, Node, Why, needs};
pub use orphans::{Leads, Lost, Named, Orphan, Overlaid, ReferenceReport, Trace};
pub use places::{Place, Places};
