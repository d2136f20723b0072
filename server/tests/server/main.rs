//! The server as its clients meet it. The stories of what an upload does run on both stores; everything that
//! is about HTTP runs over a real port; what is about dying runs in a real process.

mod along;
mod chains;
mod conflicts;
mod crossing;
mod documents;
mod fields;
mod groups;
mod held;
mod http_access;
mod http_limits;
mod inspector;
mod isolation;
mod paging;
mod port;
mod process;
mod pruning;
mod receipts;
mod references;
mod resolving;
mod restore;
mod roles;
mod scopes;
mod store_contract;
mod together;
mod trails;
mod uniques;
mod values;
mod wire;
mod world;
