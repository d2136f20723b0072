//! Conflicts that other devices of the user met, or, for a coordinator, anybody's: fetched from the server where it says
//! that there are some, and whenever the app asks.

use std::rc::Rc;

use serde_json::{Value, json};

use super::session::SyncError;
use super::{Cancel, Engine};
use crate::decide::KeepHeld;
use crate::model::OpId;
use crate::platform::Host;
use crate::platform::network::answer as answer_to;
use crate::protocol::{ConflictsResponse, paths};
use crate::schema::{Asked, Form};
use crate::store::{Durability, Store};
use crate::value::{to_text, to_value};

/// Answers that are asked for at once: far more than anybody decides. What is beyond them comes when these are decided.
const ANSWERS_MAX: usize = 20;

impl<S: Store, H: Host> Engine<S, H> {
    /// Fetches the open conflicts that other devices met: `{"open", "errors"}`, how many the server told of, and why they
    /// are not all there is.
    pub async fn fetch_conflicts(&self) -> Value {
        match self.fetch_held(&Cancel::default(), true).await {
            Ok(open) => json!({"open": open, "errors": []}),
            Err(error) => json!({"open": 0, "errors": [to_value(&error)]}),
        }
    }

    /// The same for a session, which may know that there are none.
    pub(super) async fn fetch_held(&self, cancel: &Cancel, are_some: bool) -> Result<usize, SyncError> {
        if self.inner.offline.get() {
            return Err(SyncError::new("network", "this client is set offline", true));
        }
        // Before the question and after the answer: what is sent meanwhile must not come back as open.
        let mut decided = self.decided_already().await?;
        let (mut held, mut after, mut epoch) = (Vec::new(), are_some.then(String::new), self.inner.state.borrow().epoch.clone());
        for _ in 0..ANSWERS_MAX {
            let Some(from) = after.take() else { break };
            let head = self.head();
            let body = ["{\"head\":", &to_text(&head), ",\"state\":\"open\",\"after\":", &to_text(&from), "}"].concat();
            let answer = self.exchange(cancel, paths::CONFLICTS, body).await?;
            let answer: ConflictsResponse = answer_to(&answer, &head.request_id)?;
            Self::epoch(&head, &answer.reply)?;
            epoch = Some(answer.reply.epoch);
            held.extend(answer.conflicts);
            after = answer.next;
        }
        decided.extend(self.decided_already().await?);
        let own = &self.inner.device.client;
        held.retain(|held| held.client != *own);
        let open = held.len();
        let schema = &self.inner.settings.schema;
        let mut all = after.is_none();
        if schema.is_transformed() {
            let told = held.clone();
            let mut here = |asked: &mut Asked<'_>| {
                held = told.iter().filter_map(|told| told.clone().here(schema, asked).ok()).collect();
            };
            self.turned(Form::Local, &mut here).await;
            // One that has no form here is not closed for that.
            all &= held.len() == told.len();
        }
        let decision = KeepHeld {
            schema: self.inner.settings.schema.clone(),
            held: Rc::new(held),
            complete: all,
            epoch,
            decided: Rc::new(decided),
            now: self.now(),
            user: self.inner.settings.user.clone(),
        };
        let effects = self.decide(Durability::Relaxed, decision).await?.ok_or_else(SyncError::overtaken)?;
        if let Some(sync) = &effects.sync {
            self.inner.state.borrow_mut().held = sync.held;
        }
        self.absorb(&effects, "sync");
        Ok(open)
    }

    /// The operations in whose place something stands in the queue, by all their names.
    async fn decided_already(&self) -> Result<Vec<OpId>, SyncError> {
        self.refresh().await?;
        Ok(self.inner.queue.borrow().items().flat_map(|(_, item)| item.row.names(&item.operation)).cloned().collect())
    }
}
