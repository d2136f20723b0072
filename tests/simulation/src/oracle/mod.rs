//! The oracles: what must hold, looked at from outside. [`stored`] follows every commit of a device's database (row by
//! row in [`written`]; [`records`], [`decisions`], [`brought`]), [`commits`] every commit of the server ([`silent`] what
//! each change goes over, [`items`] what becomes of what others put in, [`lines`] where that comes from), [`wire`] every message;
//! [`end`] compares all sides when everything has come to rest, and [`waiting`] looks at what waits then. None of them
//! believes what the engine says of itself.

pub(crate) mod brought;
pub(crate) mod commits;
mod decisions;
pub(crate) mod end;
pub(crate) mod items;
pub(crate) mod lines;
mod records;
mod related;
pub(crate) mod silent;
pub(crate) mod stored;
pub(crate) mod trails;
mod waiting;
pub(crate) mod wire;
mod written;
