//! The way down: everything since the checkpoint, page by page, each with its checkpoint in one transaction.
//! A resync is the same from the beginning, into a generation that nobody sees before its end.

use std::rc::Rc;

use serde_json::json;

use super::events::Announcement;
use super::session::{SyncError, SyncResult};
use super::sync::count;
use super::{Cancel, Engine};
use crate::decide::{ApplyPage, BeginResync, PageResult, SyncState};
use crate::platform::Host;
use crate::platform::network::TransportError;
use crate::protocol::{DownloadRequest, RawPage};
use crate::schema::{Asked, Form};
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    pub(super) async fn download(&self, entity: Option<&str>, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        if self.inner.state.borrow().is_ahead(&self.inner.settings.schema) {
            return Err(SyncError::new("outdated", "a newer release of the app downloads here", false));
        }
        if self.inner.state.borrow().is_behind(&self.inner.settings.schema) {
            self.begin_resync().await?;
        }
        let mut from = self.inner.state.borrow().clone();
        // Before everything was here once, one entity comes with all the others.
        let scope = entity.filter(|_| from.filling.is_none() && from.through.is_some());
        let request = DownloadRequest {
            head: self.head(),
            checkpoint: from.goes_on_from(scope).cloned(),
            page_records: self.inner.settings.page_size,
            entities: scope.map(|entity| self.inner.settings.schema.there(entity).to_owned()).into_iter().collect(),
        };
        let http = self.http();
        let pages = self.authorised(cancel, |token| {
            let (http, request) = (&http, &request);
            async move { http.download(request, &token).await }
        });
        let mut pages = pages.await?;
        let head = pages.head().clone();
        Self::epoch(&request.head, &head.reply)?;
        self.settle(&head.reply).await?;
        let mut done = 0;
        self.progress("download", 0, head.records, 0);
        loop {
            let next = Self::unless(cancel, pages.next()).await?.map_err(|error| {
                let details = (error == TransportError::Garbled).then(|| json!({"entity": scope, "checkpoint": from.goes_on_from(scope)}));
                SyncError { details: details.map(Box::new), ..error.into() }
            });
            let Some(text) = next? else { break };
            let page = RawPage::read(&text).ok_or_else(|| SyncError::new("network", "a page is no page", true))?;
            let records = page.changes.len() as u64;
            let schema = &self.inner.settings.schema;
            let mut changes = Vec::new();
            let mut check = |asked: &mut Asked<'_>| changes = ApplyPage::check(&page, schema, asked);
            Self::unless(cancel, self.turned(Form::Local, &mut check)).await?;
            self.validate_page(cancel, &mut changes).await?;
            let decision = ApplyPage {
                schema: self.inner.settings.schema.clone(),
                changes: Rc::new(changes),
                from: from.clone(),
                scope: scope.map(str::to_owned),
                checkpoint: page.checkpoint.clone(),
                through: page.through,
                epoch: head.reply.epoch.clone(),
                offset_ms: self.inner.state.borrow().offset_ms,
                parked: self.inner.queue.borrow().held().1 > 0,
                now: self.now(),
                user: self.inner.settings.user.clone(),
            };
            match self.decide(Durability::Relaxed, decision).await? {
                PageResult::Dropped => return Err(SyncError::overtaken()),
                PageResult::Applied(effects) => {
                    result.downloaded += records;
                    result.quarantined += effects.quarantined;
                    count(&effects, self.now(), result);
                    let mut totals = self.inner.totals.get();
                    totals.records_down += records;
                    self.inner.totals.set(totals);
                    if let Some(sync) = &effects.sync {
                        from = SyncState::clone(sync);
                    }
                    self.absorb(&effects, "sync");
                    self.stand(&from);
                }
            }
            done += records;
            self.progress("download", done, head.records.max(done), pages.bytes());
        }
        Ok(())
    }

    /// Everything is to be downloaded anew.
    pub(super) async fn begin_resync(&self) -> Result<(), SyncError> {
        let from = self.inner.state.borrow().clone();
        let covering = SyncState::wanted(&self.inner.settings.schema);
        let begun = self.decide(Durability::Relaxed, BeginResync { from, covering }).await?;
        self.stand(&begun.ok_or_else(SyncError::overtaken)?);
        Ok(())
    }

    /// Learns where the database stands now. After another generation was shown, anything may look different.
    fn stand(&self, sync: &SyncState) {
        let (generation, offset_ms) = {
            let state = self.inner.state.borrow();
            (state.generation, state.offset_ms)
        };
        self.stands(SyncState { offset_ms, ..sync.clone() });
        if generation != sync.generation {
            let changed = self.inner.settings.schema.entities.keys().map(|entity| (entity.clone(), None)).collect();
            self.announce(Announcement { changed, ..Announcement::default() }, "sync");
        }
    }
}
