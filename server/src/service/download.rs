//! Download: pages in ascending order of version, each made when the one before has been sent, so that an
//! answer of any size needs the memory of one page.
//!
//! Every page is read in a transaction of its own. That is enough: a record that changes while pages are
//! being sent gets a higher version than any before, so it comes again, later, and none is skipped.

use std::sync::Arc;

use fieldsync::model::Version;
use fieldsync::planted::{Bug, is};
use fieldsync::protocol::{ChangeKind, DownloadEnd, DownloadHead, DownloadRequest, PageHead, Reply, limits};
use fieldsync::value::hash_bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Position, Reason, Refusal, Service};
use crate::store::{PageBounds, PageRow, Scope, ServerStore, StoreError};
use crate::token::Identity;

/// The lines of one answer, asked for one after the other.
#[derive(Debug)]
pub struct Pages<S> {
    service: Arc<Service<S>>,
    identity: Identity,
    request: DownloadRequest,
    reply: Reply,
    scope: Scope,
    position: Position,
    /// The tenant's sequence when the answer began: the answer ends there, whoever goes on writing.
    until: Version,
    sent: u64,
    next: Next,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Head,
    Page,
    End,
    Nothing,
}

/// A page on its way out: as `protocol::Page`, with fields that were never parsed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageOut<'p> {
    checkpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    through: Option<Version>,
    changes: Vec<ChangeOut<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeOut<'p> {
    entity: &'p str,
    id: &'p fieldsync::model::RecordId,
    version: Version,
    kind: ChangeKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'p RawValue>,
    stamp: fieldsync::model::Stamp,
    #[serde(skip_serializing_if = "fieldsync::value::Sorted::is_empty")]
    field_stamps: &'p fieldsync::value::Sorted<String, fieldsync::model::Stamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    born_as: Option<&'p fieldsync::model::TempId>,
}

impl<S: ServerStore> Service<S> {
    /// Begins an answer.
    pub async fn download(self: &Arc<Self>, identity: &Identity, body: &[u8]) -> Result<Pages<S>, Refusal> {
        let (head, request): (_, DownloadRequest) = self.open(identity, body).await?;
        self.same_epoch(&head)?;
        let named = |reason: Reason| reason.of(&head.request_id);
        let scope = Scope(request.entities.iter().cloned().collect());
        if let Some(unknown) = scope.0.iter().find(|name| self.schema.entity(name).is_none()) {
            return Err(named(Reason::Invalid(format!("there is no entity '{unknown}'"))));
        }
        let holdings = self.store.holdings(&identity.tenant, &head.client).await.map_err(|error| named(error.into()))?;
        let until = holdings.state.sequence;
        let position = match &request.checkpoint {
            None => Position { sequence: Version(0), target: until },
            Some(token) => {
                let position = self.checkpoints.read(&identity.tenant, self.store.epoch(), &scope, token).map_err(named)?;
                if position.sequence > until {
                    return Err(named(Reason::EpochChanged(self.store.epoch().clone())));
                }
                if position.needs_after() < holdings.state.forgotten && !is(Bug::ServerForgottenIgnored) {
                    return Err(named(Reason::CheckpointExpired));
                }
                position
            }
        };
        Ok(Pages {
            service: Arc::clone(self),
            identity: identity.clone(),
            reply: self.reply(&head, &holdings.state),
            request,
            scope,
            position,
            until,
            sent: 0,
            next: Next::Head,
        })
    }
}

impl<S: ServerStore> Pages<S> {
    /// The next lines, or nothing after the end. An error breaks the answer off: the client sees a body
    /// without an end and keeps the pages that it has.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.next {
            Next::Head => {
                self.next = Next::Page;
                let store = &self.service.store;
                let records = store.count_after(&self.identity.tenant, self.position.sequence, &self.scope).await?;
                line(&DownloadHead { reply: self.reply.clone(), sequence: self.until, records }).map(Some)
            }
            Next::Page => self.page().await.map(Some),
            Next::End => {
                self.next = Next::Nothing;
                tracing::info!(request = ?self.reply.request_id, tenant = self.identity.tenant_mark(), pages = self.sent, "download");
                line(&DownloadEnd { end: self.sent }).map(Some)
            }
            Next::Nothing => Ok(None),
        }
    }

    async fn page(&mut self) -> Result<Vec<u8>, StoreError> {
        let bounds =
            PageBounds { records_max: self.request.page_records.clamp(1, limits::PAGE_RECORDS_MAX), bytes_max: limits::PAGE_BYTES_MAX };
        let tenant = &self.identity.tenant;
        let page = self.service.store.page(tenant, &self.request.head.client, self.position.sequence, &self.scope, bounds).await?;
        if self.position.needs_after() < page.forgotten && !is(Bug::ServerForgottenIgnored) {
            return Err(StoreError::Pruned);
        }
        // With nothing newer left, the client has all that there was in the state the page was read from.
        let last = page.rows.last().map_or(self.position.sequence, |row| row.version);
        self.position = self.position.advanced(if page.complete || is(Bug::ServerPageCut) { page.sequence } else { last }, page.complete);
        self.sent += 1;
        if self.position.sequence >= self.until {
            self.next = Next::End;
        }
        let body = line(&PageOut {
            checkpoint: self.service.checkpoints.write(tenant, self.service.store.epoch(), &self.scope, self.position),
            through: self.position.through(),
            changes: page.rows.iter().map(change).collect::<Result<_, _>>()?,
        })?;
        let text = body.strip_suffix(b"\n").unwrap_or(&body);
        let mut lines = line(&PageHead { bytes: text.len(), sha256: hash_bytes(text) })?;
        lines.extend_from_slice(&body);
        Ok(lines)
    }
}

fn change(row: &PageRow) -> Result<ChangeOut<'_>, StoreError> {
    let unreadable = |error: serde_json::Error| StoreError::Unreadable(error.to_string());
    let data = row.data.as_deref().map(serde_json::from_str::<&RawValue>).transpose().map_err(unreadable)?;
    Ok(ChangeOut {
        entity: &row.key.entity,
        id: &row.key.id,
        version: row.version,
        kind: if data.is_some() { ChangeKind::Upsert } else { ChangeKind::Delete },
        data,
        stamp: row.stamp,
        field_stamps: &row.field_stamps,
        born_as: row.born_as.as_ref(),
    })
}

fn line<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}
