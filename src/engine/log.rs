//! The log of sessions, as an app asks for it: the rows that it means, and what they come to.

use serde_json::Value;

use super::options::{invalid, members};
use super::{Engine, EngineError};
use crate::decide::{Rows, all_sessions};
use crate::metrics::{LogFilter, Summary, entry};
use crate::platform::Host;
use crate::store::Store;
use crate::value::{Limits, Object, Span};

impl<S: Store, H: Host> Engine<S, H> {
    /// The kept sessions that a filter means: `{"since", "until", "status", "order", "limit", "after"}`, each optional.
    pub async fn sync_log(&self, filter: &str) -> Result<Vec<Value>, EngineError> {
        let filter = LogFilter::parse(asked(filter)?).map_err(wrong)?;
        let found = filter.choose(self.sessions().await?);
        let (user, device) = (&self.inner.settings.user, &self.inner.device.client);
        Ok(found.iter().map(|(id, row)| entry(*id, row, user, device.as_str())).collect())
    }

    /// What the sessions come to that a filter means.
    pub async fn sync_summary(&self, filter: &str) -> Result<Value, EngineError> {
        let asked = asked(filter)?;
        if let Some(path) = Span::page_in(&asked) {
            return Err(wrong((path.to_owned(), "has no meaning where all are added up")));
        }
        let filter = LogFilter::parse(asked).map_err(wrong)?;
        let mut summary = Summary::default();
        for (_, row) in self.sessions().await? {
            // What went well since ends an error, whether it is meant or not.
            if filter.means(&row) { summary.add(&row) } else { summary.pass(&row) }
        }
        Ok(summary.told())
    }

    /// All that are kept, in the order of their numbers.
    async fn sessions(&self) -> Result<Vec<(u64, Object)>, EngineError> {
        let rows = self.look(Rows(vec![all_sessions()])).await?.pop().unwrap_or_default();
        // What cannot be read is a fault that `checkIntegrity` names; the others are told all the same.
        Ok(rows.iter().filter_map(|row| Some((row.key, row.object()?))).collect())
    }
}

fn asked(filter: &str) -> Result<Object, EngineError> {
    members("filter", filter, &Limits::RECORD)
}

fn wrong((path, reason): (String, &'static str)) -> EngineError {
    invalid(&path, reason)
}
