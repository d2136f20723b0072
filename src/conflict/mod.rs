//! Room `conflict`: two sides changed one record; what stands afterwards, and what is kept of the side that
//! lost.
//!
//! [`judge`] is the one pure function. A downloaded page asks it about operations that were never sent, a
//! receipt asks it about one that was: the base version found the conflict, the signs that the schema names and the
//! contents decide whether there really is one, and its rules end it or leave it to a person. The losing side is
//! kept whole in a [`Conflict`], so that it can be shown and brought back; its [`Step`]s tell its life. A [`Filter`]
//! finds it.
//!
//! Knows `value`, `model`, `schema` and the wire's nouns.

mod combine;
mod detect;
pub mod filter;
mod groups;
mod judge;
mod merge;
mod picture;
mod record;
pub mod steps;

pub use filter::{Filter, FilterError};
pub use judge::{Ask, Local, Verdict, judge};
pub use merge::merge;
pub use record::{Conflict, ConflictState, FoundBy, WHOLE};
pub use steps::{Back, Step, StepKind};
