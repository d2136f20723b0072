//! `conflicts`: what was refused because the record had moved on. A user sees the conflicts of his own devices, a
//! coordinator those of the whole tenant.

use fieldsync::protocol::{ConflictsRequest, ConflictsResponse, HeldConflict, RequestHead, ServerState, Standing, limits};

use super::{Reason, Refusal, Service};
use crate::store::{ConflictFilter, ConflictRow, PageBounds, ServerStore};
use crate::token::Identity;

impl<S: ServerStore> Service<S> {
    /// Lists conflicts.
    pub async fn conflicts(&self, identity: &Identity, body: &[u8]) -> Result<ConflictsResponse, Refusal> {
        let (head, request): (_, ConflictsRequest) = self.open(identity, body).await?;
        let name = |reason: Reason| reason.of(&head.request_id);
        let records_max = request.limit.unwrap_or(limits::CONFLICTS_MAX);
        let bounds = PageBounds { records_max, bytes_max: limits::CONFLICTS_BYTES_MAX };
        let filter = self.filter(identity, request).map_err(name)?;
        let found = self.store.conflicts(&identity.tenant, &filter, bounds).await.map_err(|error| name(error.into()))?;
        let last = found.rows.last().map(|row| row.conflict.id.clone());
        let conflicts = found.rows.into_iter().map(held).collect::<Option<Vec<_>>>();
        let conflicts = conflicts.ok_or_else(|| {
            tracing::error!(request = ?head.request_id, "an operation that was kept cannot be read");
            name(Reason::Server)
        })?;
        tracing::info!(request = ?head.request_id, tenant = identity.tenant_mark(), conflicts = conflicts.len(), "conflicts");
        Ok(ConflictsResponse { reply: self.reply(&head, &found.state), conflicts, next: last.filter(|_| !found.complete) })
    }

    /// Whether conflicts are open that other clients met and this one may be shown.
    pub(super) async fn others_wait(&self, identity: &Identity, head: &RequestHead) -> Result<bool, Refusal> {
        let bounds = PageBounds { records_max: 1, bytes_max: 0 };
        let filter = ConflictFilter {
            user: (!identity.is_coordinator()).then(|| identity.user.clone()),
            except: Some(head.client.clone()),
            open: Some(true),
            ..ConflictFilter::default()
        };
        let found = self.store.conflicts(&identity.tenant, &filter, bounds).await;
        Ok(!found.map_err(|error| Reason::from(error).of(&head.request_id))?.rows.is_empty())
    }

    fn filter(&self, identity: &Identity, request: ConflictsRequest) -> Result<ConflictFilter, Reason> {
        let refuse = |what: &str| Err(Reason::Invalid(what.to_owned()));
        if request.limit.is_some_and(|limit| !(1..=limits::CONFLICTS_MAX).contains(&limit)) {
            return refuse("a limit is 1 to 500");
        }
        if request.after.as_ref().is_some_and(|after| after.len() > limits::NAME_BYTES_MAX) {
            return refuse("'after' has at most 256 bytes");
        }
        match &request.entity {
            None if request.record.is_some() => return refuse("a record is named together with its entity"),
            Some(entity) if self.schema.entity(entity).is_none() => return refuse(&format!("there is no entity '{entity}'")),
            _ => {}
        }
        Ok(ConflictFilter {
            user: (!identity.is_coordinator()).then(|| identity.user.clone()),
            except: None,
            entity: request.entity,
            record: request.record,
            open: request.state.map(|state| state == Standing::Open),
            after: request.after,
        })
    }
}

/// A conflict as it goes over the wire; nothing if its operation cannot be read.
fn held(row: ConflictRow) -> Option<HeldConflict> {
    let conflict = row.conflict;
    Some(HeldConflict {
        kind: conflict.kind,
        entity: conflict.key.entity,
        id: conflict.key.id,
        client: conflict.client,
        user: row.user,
        operation: serde_json::from_str(&row.operation).ok()?,
        version: conflict.version,
        server: row.server.unwrap_or_else(|| ServerState::plain(conflict.version, None)),
        before: row.before,
        offset_ms: conflict.offset_ms,
        opened_at: conflict.opened_ms,
        closed_by: conflict.closed_by,
        conflict_id: conflict.id,
    })
}
