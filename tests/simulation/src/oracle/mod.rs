//! The oracles: what must hold, looked at from outside. [`stored`] follows every commit of a device's
//! database, [`commits`] every commit of the server, [`wire`] every message; [`end`] compares all sides when
//! everything has come to rest. None of them believes what the engine says of itself.

pub(crate) mod commits;
pub(crate) mod end;
pub(crate) mod stored;
pub(crate) mod wire;
