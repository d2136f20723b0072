//! Room `integrity`: whether what is stored is what was written. A row is written with its sum, which is the SHA-256 of
//! its key and its content; a check of the whole store computes it again and holds the tables against each other. What
//! is not in order becomes a [`Fault`]: where, and what is wrong, never what the row holds.
//!
//! The life of a fault: found by a part of a check, listed, and, if somebody asks for a repair, looked at again and
//! mended in one transaction, or told as one that cannot be.
//!
//! Knows `value`.

mod fault;
mod sum;

pub use fault::{FAULTS_MAX, Fault, Mended, Wrong};
pub use sum::{Proof, judge, sum, with_sum};
