//! The audit trail on its way up, after everything else of a session: what the server does not have of it goes into the
//! tenant's chain, so that nobody can write the past of this device anew without being found. No operation ever waits for it,
//! and no session fails by it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::events::Event;
use super::session::SyncError;
use super::{Cancel, Engine};
use crate::audit::Stored;
use crate::decide::{Gap, Point, Remember, Rows, page_after, page_of};
use crate::planted::{Bug, is};
use crate::platform::Host;
use crate::platform::network::answer as answer_to;
use crate::protocol::{Reply, TrailHead, paths};
use crate::store::{Durability, Store};
use crate::value::{to_text, to_value};

/// Requests in one session. What is beyond them comes with the next ones.
const REQUESTS_MAX: usize = 20;
/// Bytes of rows in a request: far below what a server reads. One row may exceed it.
const BYTES_MAX: usize = 512 << 10;

/// How the server stands to the trail of this database, as far as this context knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trail {
    /// It does not want it, or the settings do not.
    #[default]
    Unwanted,
    /// It has it up to here; nothing where that was not looked at.
    Taken(Option<u64>),
    /// It did not take it, and that was told.
    Refused,
}

/// Of a [`crate::protocol::TrailResponse`] and a [`crate::protocol::StatusResponse`] what is wanted here: one reader for both.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct There {
    reply: Reply,
    #[serde(default)]
    trail: TrailHead,
    #[serde(default)]
    audit_head: String,
}

impl<S: Store, H: Host> Engine<S, H> {
    /// The server said whether it wants the trail.
    pub(super) fn offer_trail(&self, wanted: bool) {
        if wanted && self.inner.settings.audit_upload && self.inner.trail.get() == Trail::Unwanted {
            self.inner.trail.set(Trail::Taken(None));
        }
    }

    /// Sends the rows that the server does not have.
    pub(super) async fn upload_trail(&self, cancel: &Cancel) -> Result<(), SyncError> {
        let inner = &self.inner;
        for asked in 0..REQUESTS_MAX {
            let last = inner.known.get().unwrap_or_default();
            let Trail::Taken(known) = inner.trail.get() else { break };
            let from = match known {
                Some(known) => known,
                None => Point::of(&self.rows(Point::uploaded()).await?).map_or(0, |point| point.number),
            };
            // It may have more than this context knows of; it may also have what is here no more, and then it is asked.
            if from == last || (from > last && asked > 0) {
                inner.trail.set(Trail::Taken(Some(from)));
                break;
            }
            match self.send_trail(from, cancel).await {
                Ok(None) => break,
                Ok(Some(trail)) if self.is_ours(&trail).await? => inner.trail.set(Trail::Taken(Some(trail.through))),
                Ok(Some(trail)) => self.refused_trail(&json!({"reason": "fork", "number": trail.through})).await,
                Err(error) if error.code == "aborted" || error.lineage.is_some() => return Err(error),
                Err(error) => match &error.refused {
                    // A server from a backup has less than it had: what is still here it is given again.
                    Some(told)
                        if told["reason"] == "gap"
                            && told["through"].as_u64().is_some_and(|through| through < from && !is(Bug::TrailNotSentAgain)) =>
                    {
                        inner.trail.set(Trail::Taken(told["through"].as_u64()));
                    }
                    Some(told) => self.refused_trail(told).await,
                    // Asking again changes nothing.
                    None if matches!(error.code.as_str(), "too_large" | "invalid_request") => {
                        self.refused_trail(&json!({"reason": error.code, "number": from})).await;
                    }
                    None => break,
                },
            }
        }
        Ok(())
    }

    /// Sends rows behind that number. Nothing is sent where none can go up yet.
    async fn send_trail(&self, from: u64, cancel: &Cancel) -> Result<Option<TrailHead>, SyncError> {
        let told = self.look(Rows(vec![page_after(Some(from), false), Point::anchor(), Gap::all()])).await?;
        let (mut rows, mut anchor, gaps) = (page_of(&told[0]), Point::of(&told[1]), Gap::of(&told[2]));
        // Behind a row that cannot be read it goes on where a repair said.
        while let Some(gap) = gaps.iter().find(|gap| rows.first().is_some_and(|row| row.key == gap.row)) {
            rows = &rows[rows.iter().take_while(|row| row.key <= gap.until.number).count()..];
            anchor = Some(gap.until.clone());
        }
        // What is linked to the text that stands there now is another past to a server that has the row as it was: it goes on
        // behind that.
        if gaps.iter().any(|gap| (gap.row, gap.until.number) == (from, from)) {
            let [linked, behind @ ..] = rows else { return Ok(None) };
            if behind.is_empty() {
                return Ok(None);
            }
            anchor = Some(Point { number: linked.key, hash: linked.head(), at: 0 });
            rows = behind;
        }
        let mut bytes = 0;
        let fits = |row: &&Stored| {
            let begins = bytes == 0;
            bytes += row.text.len();
            (begins || bytes <= BYTES_MAX) && row.object().is_some() && gaps.iter().all(|gap| gap.row != row.key)
        };
        let texts: Vec<&str> = rows.iter().take_while(fits).map(|row| row.text.as_str()).collect();
        if let (Some(row), true) = (rows.first(), texts.is_empty()) {
            let refused = Some(json!({"reason": "broken", "number": row.key}));
            return Err(SyncError { refused, ..SyncError::new("audit_refused", "a row of the audit trail cannot be read", false) });
        }
        // What went with a wipe before it was sent is told as what it is, and so is what cannot be read.
        let begins = anchor.filter(|anchor| anchor.number >= from).map(|anchor| {
            let begins = TrailHead { through: anchor.number, head: anchor.hash };
            [",\"begins\":", &to_text(&begins)].concat()
        });
        let more = [",\"rows\":[", &texts.join(","), "]", &begins.unwrap_or_default()].concat();
        self.ask_trail(cancel, paths::AUDIT, &more).await.map(|there| Some(there.trail))
    }

    /// What the server says of the trail when it is asked for this.
    async fn ask_trail(&self, cancel: &Cancel, path: &'static str, more: &str) -> Result<There, SyncError> {
        let head = self.head();
        let body = ["{\"head\":", &to_text(&head), more, "}"].concat();
        let answer = self.exchange(cancel, path, body).await?;
        let there: There = answer_to(&answer, &head.request_id)?;
        Self::epoch(&head, &there.reply)?;
        Ok(there)
    }

    /// Whether what the server has ends in a row of this trail. Then that is remembered.
    async fn is_ours(&self, trail: &TrailHead) -> Result<bool, SyncError> {
        let point = Point { number: trail.through, hash: trail.head.clone(), at: self.now() };
        Ok(self.decide(Durability::Relaxed, Remember::Uploaded(point)).await? == trail.through)
    }

    /// The trail stays here, whoever listens is told, and the report knows it. The next opening tries again.
    async fn refused_trail(&self, told: &Value) {
        self.inner.trail.set(Trail::Refused);
        let noted = json!({"reason": told["reason"], "number": told["number"], "at": self.now()});
        // A store that fails now fails the session too.
        let _ = self.decide(Durability::Relaxed, Remember::Refused(noted)).await;
        self.emit(Event::Audit { code: "audit_refused", reason: told["reason"].clone(), number: told["number"].clone() });
    }

    /// What stood in its way was mended: it is tried again.
    pub(super) fn retry_trail(&self) {
        if self.inner.trail.get() == Trail::Refused {
            self.inner.trail.set(Trail::Taken(None));
        }
    }

    /// What the server has of this trail, held against it: `{through, head, ok, auditHead}`, or `{ok, error}`.
    pub(super) async fn trail_there(&self) -> Value {
        let asked = async {
            if self.inner.offline.get() {
                return Err(SyncError::new("network", "this client is set offline", true));
            }
            let There { trail, audit_head, .. } = self.ask_trail(&Cancel::default(), paths::STATUS, "").await?;
            let ok = self.is_ours(&trail).await?;
            Ok(json!({"through": trail.through, "head": trail.head, "ok": ok, "auditHead": audit_head}))
        };
        asked.await.unwrap_or_else(|error: SyncError| json!({"ok": false, "error": to_value(&error)}))
    }
}
