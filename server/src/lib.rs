//! The reference server of FieldSync.
//!
//! [`http`] reads requests and writes answers, [`service`] says what each endpoint does, [`apply`] decides
//! what an operation does (pure), [`store`] keeps the rows. Time and randomness come in through [`seams`].
//! A service over [`store::memory`] with a scripted clock is the whole server without a socket or a disk.
//!
//! `docs/protocol.md` tells what goes over the wire.

pub mod apply;
pub mod http;
pub mod key;
pub mod seams;
pub mod seed;
pub mod service;
pub mod store;
pub mod token;
