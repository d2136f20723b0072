//! The log of sessions, as an app asks for it: the rows that it means, and what they come to.

use serde_json::Value;

use super::options::{invalid, members};
use super::{Engine, EngineError};
use crate::decide::{Rows, all_sessions};
use crate::metrics::{LogFilter, Summary, entry};
use crate::platform::Host;
use crate::store::Store;
use crate::value::{Limits, Object};

impl<S: Store, H: Host> Engine<S, H> {
    /// The kept sessions that a filter means: `{"since", "until", "status", "order", "limit", "after"}`, each optional.
    pub async fn sync_log(&self, filter: &str) -> Result<Vec<Value>, EngineError> {
        let found = self.sessions(filter).await?;
        let (user, device) = (&self.inner.settings.user, &self.inner.device.client);
        Ok(found.iter().map(|(id, row)| entry(*id, row, user, device.as_str())).collect())
    }

    /// What the sessions come to that a filter means.
    pub async fn sync_summary(&self, filter: &str) -> Result<Value, EngineError> {
        let mut summary = Summary::default();
        self.sessions(filter).await?.iter().for_each(|(_, row)| summary.add(row));
        Ok(summary.told())
    }

    async fn sessions(&self, filter: &str) -> Result<Vec<(u64, Object)>, EngineError> {
        let filter = members("filter", filter, &Limits::RECORD)?;
        let filter = LogFilter::parse(&filter).map_err(|(path, reason)| invalid(&path, reason))?;
        let rows = self.look(Rows(vec![all_sessions()])).await?.pop().unwrap_or_default();
        // What cannot be read is a fault that `checkIntegrity` names; the others are told all the same.
        Ok(filter.choose(rows.iter().filter_map(|row| Some((row.key, row.object()?))).collect()))
    }
}
