//! Room `platform`: the world as the engine may see it: time, randomness, the sender's lock, the other
//! contexts, the network, the user's token, the app's functions. Traits here; the browser's adapters beside them; tests bring
//! their own.
//!
//! Knows `value`, `model` and `protocol`.

#[cfg(all(target_arch = "wasm32", feature = "browser"))]
pub mod browser;
pub mod network;

use std::future::Future;

/// Time.
pub trait Clock: 'static {
    /// Milliseconds since 1970, as the device believes.
    fn now(&self) -> u64;
    /// Ends after so many ms.
    fn sleep(&self, wait_ms: u64) -> impl Future<Output = ()>;
}

/// Random bytes that nobody can guess.
pub trait Entropy: 'static {
    /// Fills the slice.
    fn fill(&self, bytes: &mut [u8]);
}

/// Locks among all contexts of one origin.
pub trait Locks: 'static {
    /// Held until it is dropped.
    type Guard;
    /// Waits for the lock of this name. The holder's death releases it.
    fn acquire(&self, name: &str) -> impl Future<Output = Self::Guard>;
    /// Takes the lock away from whoever holds it: a holder that is frozen holds it for ever.
    fn steal(&self, name: &str) -> impl Future<Output = Self::Guard> {
        self.acquire(name)
    }
    /// Ends when a lock that is held was taken away; otherwise never.
    fn lost(&self, _held: &Self::Guard) -> impl Future<Output = ()> {
        std::future::pending()
    }
}

/// Short messages to the other contexts of the same database: IDs only, never content.
pub trait Channel: 'static {
    /// Tells all others.
    fn announce(&self, message: &str);
    /// The next message of another context; nothing once the channel is closed.
    fn next(&self) -> impl Future<Output = Option<String>>;
    /// Ends it.
    fn close(&self);
}

/// Where the user's token comes from. It is asked for and held, never stored.
pub trait Identity: 'static {
    /// The token of this user in this tenant; nothing for "not now". With `refresh`, the last one was refused.
    fn token(&self, tenant: &str, user: &str, refresh: bool) -> impl Future<Output = Option<String>>;
}

/// The app's own functions, each for one entity. They are asked between transactions, never in one.
pub trait Functions: 'static {
    /// Asks the one of this sort (`rule`, `validator`) and entity, with a text of JSON. Its answer is JSON; nothing if it failed.
    fn ask(&self, _sort: &str, _entity: &str, _about: &str) -> impl Future<Output = Option<String>> {
        std::future::ready(None)
    }
}

/// All of them, as one engine uses them.
pub trait Host: 'static {
    /// Time.
    type Clock: Clock;
    /// Randomness.
    type Entropy: Entropy;
    /// The sender's lock.
    type Locks: Locks;
    /// The other contexts.
    type Channel: Channel;
    /// The token.
    type Identity: Identity;
    /// The app's functions.
    type Functions: Functions;
    /// The network.
    type Network: network::Network;
    /// Time.
    fn clock(&self) -> &Self::Clock;
    /// Randomness.
    fn entropy(&self) -> &Self::Entropy;
    /// The sender's lock.
    fn locks(&self) -> &Self::Locks;
    /// The other contexts.
    fn channel(&self) -> &Self::Channel;
    /// The token.
    fn identity(&self) -> &Self::Identity;
    /// The app's functions.
    fn functions(&self) -> &Self::Functions;
    /// The network.
    fn network(&self) -> &Self::Network;
}
