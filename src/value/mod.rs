//! Room `value`: what a JSON value may be, and how two of them are compared, hashed and told apart.
//!
//! A value enters through [`parse`] (text from outside) or [`check`] (a value built here). Both refuse
//! what the limits or the number rule forbid and both leave the value in its one normal form: an
//! integral number is stored as an integer, so `1` and `1.0` are equal by `==`. From then on a value
//! is plain [`serde_json::Value`]; nothing further down has to ask again.
//!
//! Knows nobody. No clock, no randomness, no JavaScript.

mod canonical;
mod change;
mod decimal;
mod delta;
mod json;
mod key;
mod limits;
mod listed;
#[cfg(any(target_arch = "wasm32", test))]
mod nearest;
mod patch;
mod path;
mod read;
mod skim;
mod sorted;
mod span;
mod text;
mod time;

pub use canonical::{Hash, canonical, canonical_object, digest, hash, hash_bytes};
pub use change::Change;
pub use delta::{Delta, DeltaError};
pub use key::{Key, KeyRange};
pub use limits::{Limits, MAX_SAFE_INTEGER, ValueError, check, parse};
pub use listed::{ListChange, Named};
pub use patch::{PatchError, apply_merge_patch, apply_patch, create_merge_patch, create_patch};
pub use path::{FieldPath, PathError, Pointer};
pub use read::{ReadError, from_text, from_value, from_value_strictly};
pub use skim::{items, members};
pub use sorted::Sorted;
pub use span::Span;
pub use text::{base32, base64url, hex, to_text, to_value};
pub use time::{instant, time_text};

/// A JSON object, keys in byte order.
pub type Object = serde_json::Map<String, serde_json::Value>;
