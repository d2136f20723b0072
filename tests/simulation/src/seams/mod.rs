//! What a context of a simulated device stands on: the traits of the engine's rooms `store` and `platform`, each call
//! through a gate; and the server with its database.

pub(crate) mod database;
pub(crate) mod host;
pub(crate) mod network;
pub(crate) mod server;
pub(crate) mod store;
