//! Decisions over stored rows, one by one: what the stories cannot reach, because a well-behaved engine and
//! server do not bring it about, and a device must survive all the same. Late answers, foreign answers,
//! answers out of order, a commit that nobody heard of.
#![cfg(not(target_arch = "wasm32"))]
#![allow(missing_docs, unreachable_pub, reason = "test support is not an API")]

#[path = "plans/desk.rs"]
mod desk;

#[path = "plans/asking.rs"]
mod asking;
#[path = "plans/claims.rs"]
mod claims;
#[path = "plans/conflicts.rs"]
mod conflicts;
#[path = "plans/epochs.rs"]
mod epochs;
#[path = "plans/pages.rs"]
mod pages;
#[path = "plans/quarantine.rs"]
mod quarantine;
#[path = "plans/receipts.rs"]
mod receipts;
#[path = "plans/resyncs.rs"]
mod resyncs;
#[path = "plans/returned.rs"]
mod returned;
#[path = "plans/writes.rs"]
mod writes;
