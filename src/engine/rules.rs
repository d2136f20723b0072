//! Conflict rules that are functions of the app. Whoever has the sender's role asks, so that one context does; a conflict
//! that no function decides is a person's.

use serde_json::{Value, json};

use super::conflicts::resolution;
use super::events::Announcement;
use super::functions::{ANSWER_BOUNDS, Matter, Sort};
use super::session::SyncError;
use super::{Cancel, Engine, EngineError};
use crate::conflict::Conflict;
use crate::decide::{Asked, Asking, Resolution, Resolve};
use crate::platform::Host;
use crate::store::{Durability, Store};
use crate::value::Object;

const RULE: Sort =
    Sort { name: "rule", failed: "rule_failed", late: "rule_late", slow: "rule_slow", invalid: "rule_invalid", bounds: ANSWER_BOUNDS };

/// What a function says of a conflict.
enum Said {
    /// How it ends.
    Decided(Resolution),
    /// A person decides.
    Manual,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// Asks the app's functions about the conflicts that are theirs to decide. Says whether any was decided.
    pub(super) async fn ask_rules(&self, cancel: &Cancel) -> Result<bool, SyncError> {
        let entities = &self.inner.settings.rules;
        let (mut left, mut any) = (Vec::new(), false);
        if entities.is_empty() {
            return Ok(false);
        }
        loop {
            let decision = Asking { schema: self.inner.settings.schema.clone(), entities: entities.clone(), left, now: self.now() };
            let round = self.decide(Durability::Relaxed, decision).await?;
            for (conflict, why) in &round.left {
                // Whoever left the others has told why.
                if *why == Asked::UNSETTLED {
                    self.warn(why, matter(conflict));
                }
            }
            if !round.left.is_empty() {
                let conflicts = round.left.iter().map(|(conflict, _)| conflict.id).collect();
                self.announce(Announcement { conflicts, ..Announcement::default() }, "sync");
            }
            left = Vec::new();
            let Some(conflict) = round.asked else {
                // Those that were left may have hidden others.
                if round.left.is_empty() {
                    return Ok(any);
                }
                continue;
            };
            match Self::unless(cancel, self.ask_rule(&conflict)).await? {
                Ok(Said::Decided(resolution)) => match self.follow_rule(&conflict, resolution).await? {
                    Ok(decided) => any |= decided,
                    Err(error) => {
                        self.warn(error.code, matter(&conflict));
                        left.push((conflict, error.code));
                    }
                },
                Ok(Said::Manual) => left.push((conflict, "manual")),
                Err(code) => left.push((conflict, code)),
            }
        }
    }

    async fn ask_rule(&self, conflict: &Conflict) -> Result<Said, &'static str> {
        let shown = self.shown_conflicts(std::slice::from_ref(conflict)).await;
        // A store that fails now fails the session at its next step.
        let shown = shown.map_err(|error| error.code)?.pop().unwrap_or_default();
        let answer = self.consult(&RULE, matter(conflict), &shown).await?;
        self.understood(&RULE, matter(conflict), said(answer))
    }

    /// Ends a conflict as its function says, if it is still what that was shown.
    async fn follow_rule(&self, conflict: &Conflict, resolution: Resolution) -> Result<Result<bool, EngineError>, SyncError> {
        let settings = &self.inner.settings;
        let decision = Resolve {
            schema: settings.schema.clone(),
            conflicts: vec![conflict.id],
            resolution,
            dry: false,
            reason: None,
            gives_up: true,
            asked: Some(Box::new(conflict.clone())),
            shown: None,
            fresh: self.fresh(),
            user: settings.user.clone(),
        };
        let (done, mut refused) = self.ended(decision).await?;
        self.decided(&done);
        // Decided by a person meanwhile, or renewed: then it is found again, or not.
        let refused = refused.pop().map(|(_, error)| error).filter(|error| error.code != "unknown_conflict");
        Ok(refused.map_or(Ok(!done.ended.is_empty()), Err))
    }
}

fn matter(conflict: &Conflict) -> Matter<'_> {
    Matter { entity: &conflict.entity, conflict: Some(conflict.id), record: None }
}

/// A strategy, or its bare name.
fn said(answer: Value) -> Option<Said> {
    let strategy = match answer {
        Value::String(_) => {
            let mut strategy = Object::new();
            strategy.insert("type".to_owned(), answer);
            strategy
        }
        Value::Object(strategy) => strategy,
        _ => return None,
    };
    let has_data = strategy.get("mergedData").is_some_and(|data| !data.is_null());
    if strategy.get("type") == Some(&json!("manual")) && !has_data {
        return Some(Said::Manual);
    }
    resolution(strategy).ok().map(Said::Decided)
}
