//! The sender's role among the contexts of one database. It is a lock, and it only saves work: whoever lost it
//! and does not know it yet can do no harm. A tab may be frozen while it holds the lock; so whoever waits asks,
//! a living sender answers at once, and silence leads to a steal. After each steal a context leaves the others
//! in peace for twice as long, so that two who do not hear each other cannot fight.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::events::{Announcement, Sender};
use super::session::SyncError;
use super::{Cancel, Engine, config::database_name};
use crate::outbox::{Backoff, Hold};
use crate::platform::{Channel, Clock, Host, Locks};
use crate::store::Store;
use crate::value::to_text;

/// How long a context steals no more: after the first steal 30 s, in the end 8 minutes.
const PEACE: Backoff = Backoff { base_ms: 30_000, cap_ms: 480_000 };

/// What this context knows of the role.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sending {
    /// Whether it is here.
    held: bool,
    /// Whether its holder has answered since it was last asked.
    answered: bool,
    /// How often it was stolen from here.
    steals: u32,
    /// How long it is not stolen again.
    peace: Hold,
}

/// The role, while it is here. Given back when dropped.
pub(super) struct Held<'e, S, H: Host> {
    engine: &'e Engine<S, H>,
    guard: <H::Locks as Locks>::Guard,
}

impl<S, H: Host> Drop for Held<'_, S, H> {
    fn drop(&mut self) {
        let sender = &self.engine.inner.sender;
        sender.set(Sending { held: false, ..sender.get() });
    }
}

impl<S: Store, H: Host> Held<'_, S, H> {
    /// Ends when another context took the role.
    pub(super) async fn lost(&self) {
        self.engine.inner.host.locks().lost(&self.guard).await;
    }
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Waits for the role, and takes it from a sender that gives no sign of life.
    pub(super) async fn sender(&self, cancel: &Cancel) -> Result<Held<'_, S, H>, SyncError> {
        let settings = &self.inner.settings;
        let name = format!("{}/sender", database_name(&settings.tenant, &settings.user));
        let (locks, sender) = (self.inner.host.locks(), &self.inner.sender);
        let held = |guard| {
            sender.set(Sending { held: true, ..sender.get() });
            Held { engine: self, guard }
        };
        {
            let mut waiting = pin!(locks.acquire(&name));
            // Most waits are short, and nobody needs to be asked.
            let mut patience = settings.silence_ms / 5;
            loop {
                let timer = pin!(self.inner.host.clock().sleep(patience));
                match Self::unless(cancel, select(waiting, timer)).await? {
                    Either::Left((guard, _)) => return Ok(held(guard)),
                    Either::Right(((), still)) => waiting = still,
                }
                let known = sender.get();
                let asked = patience == settings.silence_ms;
                if asked && !known.answered && known.peace.left(self.now()) == 0 {
                    break;
                }
                patience = settings.silence_ms;
                sender.set(Sending { answered: false, ..known });
                self.say(Sender::Asked);
            }
        }
        let known = sender.get();
        let steals = known.steals.saturating_add(1);
        sender.set(Sending { steals, peace: Hold { since: self.now(), wait_ms: PEACE.bound(steals) }, ..known });
        Ok(held(Self::unless(cancel, locks.steal(&name)).await?))
    }

    fn say(&self, word: Sender) {
        let announcement = Announcement { sender: Some(word), ..Announcement::default() };
        self.inner.host.channel().announce(&to_text(&announcement));
    }

    /// Another context asks for the sender, or is it.
    pub(super) fn heard_of_sender(&self, word: Sender) {
        let sender = &self.inner.sender;
        match word {
            Sender::Asked if sender.get().held => self.say(Sender::Lives),
            Sender::Asked => {}
            Sender::Lives => sender.set(Sending { answered: true, ..sender.get() }),
        }
    }
}
