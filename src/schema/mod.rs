//! Room `schema`: what an app declares about its entities. The declaration is data: it is read once at
//! `open` (client) or at start (server), checked as a whole, and never touches the layout of the database.
//!
//! Knows `value` and `model`.

mod declare;
mod fields;
mod references;
mod rules;
mod transform;
mod unique;
mod wire;

pub use declare::{Content, Entity, KeyPolicy, Lane, OnDelete, Schema, SchemaError};
pub use fields::{Fault, FieldShape, FieldType, faults};
pub use references::{
    Reference, ReferenceError, check_references, fold_delta, map_references, on_delete, references, references_set, unfold_delta,
    unset_references,
};
pub use rules::{ConflictRules, Detect, Rule};
pub use transform::{Convert, FieldTransform, Transform};
pub use unique::Holding;
pub use wire::{Asked, Form, NoForm};
