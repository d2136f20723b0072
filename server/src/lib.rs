//! The reference server of FieldSync.
//!
//! [`http`] reads requests and writes answers, [`service`] says what each endpoint does, [`apply`] decides
//! what an operation does (pure), [`store`] keeps the rows, [`audit`] proves the chain that tells of them. Time and
//! randomness come in through [`seams`]. A service over [`store::memory`] with a scripted clock is the whole server without a socket or a disk.
//!
//! `docs/protocol.md` tells what goes over the wire.

pub mod apply;
pub mod audit;
pub mod http;
pub mod key;
pub mod seams;
pub mod seed;
pub mod service;
pub mod store;
pub mod token;
