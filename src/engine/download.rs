//! The way down: everything since the checkpoint, page by page, each with its checkpoint in one transaction.

use std::rc::Rc;

use super::session::{SyncError, SyncResult};
use super::sync::count;
use super::{Cancel, Engine};
use crate::decide::{ApplyPage, PageResult};
use crate::platform::Host;
use crate::protocol::{DownloadRequest, RawPage};
use crate::store::{Durability, Store};

impl<S: Store, H: Host> Engine<S, H> {
    pub(super) async fn download(&self, cancel: &Cancel, result: &mut SyncResult) -> Result<(), SyncError> {
        let state = self.inner.state.borrow().clone();
        let checkpoint = if state.is_behind(&self.inner.settings.schema) { None } else { state.checkpoint.clone() };
        let request = DownloadRequest { head: self.head(), checkpoint, page_records: self.inner.settings.page_size, entities: Vec::new() };
        let http = self.http();
        let pages = self.authorised(cancel, |token| {
            let (http, request) = (&http, &request);
            async move { http.download(request, &token).await }
        });
        let mut pages = pages.await?;
        let head = pages.head().clone();
        self.epoch(&head.reply.epoch)?;
        let mut from = state.checkpoint;
        let mut begins = request.checkpoint.is_none();
        let mut done = 0;
        self.progress("download", 0, head.records, 0);
        while let Some(text) = Self::unless(cancel, pages.next()).await?? {
            let page: RawPage<'_> = serde_json::from_str(&text).map_err(|_| SyncError::new("network", "a page is no page", true))?;
            let records = page.changes.len() as u64;
            let decision = ApplyPage {
                schema: self.inner.settings.schema.clone(),
                changes: Rc::new(ApplyPage::check(&page, &self.inner.settings.schema)),
                from: from.clone(),
                begins,
                checkpoint: page.checkpoint.clone(),
                through: page.through,
                epoch: head.reply.epoch.clone(),
                durable: head.reply.durable,
                offset_ms: self.inner.state.borrow().offset_ms,
                now: self.now(),
                user: self.inner.settings.user.clone(),
            };
            match self.decide(Durability::Relaxed, decision).await? {
                PageResult::Dropped => return Err(SyncError::new("aborted", "another context went on from here", true)),
                PageResult::Applied(effects) => {
                    {
                        let mut state = self.inner.state.borrow_mut();
                        state.checkpoint = Some(page.checkpoint.clone());
                        state.through = page.through.or(state.through);
                        state.epoch = Some(head.reply.epoch.clone());
                    }
                    result.downloaded += records;
                    result.quarantined += effects.quarantined;
                    count(&effects, result);
                    let mut totals = self.inner.totals.get();
                    totals.records_down += records;
                    self.inner.totals.set(totals);
                    self.absorb(&effects, "sync");
                }
            }
            from = Some(page.checkpoint.clone());
            begins = false;
            done += records;
            self.progress("download", done, head.records.max(done), pages.bytes());
        }
        Ok(())
    }
}
