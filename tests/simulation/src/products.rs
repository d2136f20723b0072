//! What people do to products: fields in which both sides' changes are put together. Whatever is put into a list is noted
//! for the oracle ([`crate::oracle::items`]) once it is said to be saved.

use fieldsync::engine::EngineError;
use fieldsync::model::OpId;
use serde_json::{Value, json};

use crate::oracle::items::{LISTS, name_of};
use crate::random::place;
use crate::seams::server::lock;
use crate::world::{Context, SimEngine, World, canary};

/// Whether a write is about such a field: on products, one time in three.
pub(crate) fn merges(entity: &str, field: u64) -> bool {
    entity == "product" && (field >> 21) % 3 == 1
}

/// The stock of a product with some more or some less.
pub(crate) async fn stock(engine: &SimEngine, id: &str, pick: u64) -> Result<(&'static str, Value), EngineError> {
    let shown = engine.get("product", id).await?.unwrap_or_default();
    let more = i64::try_from(pick & 7).unwrap_or_default() - 3;
    Ok(("stock", json!(shown["stock"].as_i64().unwrap_or_default() + more)))
}

impl World {
    /// A list of a product with one more item and, now and then, one less: which list, and all of it.
    pub(crate) async fn items(
        &self,
        context: &Context,
        engine: &SimEngine,
        id: &str,
        marker: &str,
        pick: u64,
    ) -> Result<(&'static str, Value), EngineError> {
        let name = LISTS[place(pick, LISTS.len())];
        let shown = engine.get("product", id).await?.unwrap_or_default();
        let mut items = shown.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        if (pick >> 2).is_multiple_of(3) && !items.is_empty() {
            items.swap_remove(place(pick >> 4, items.len()));
        }
        let item = format!("{marker}{}", canary(&self.database_of(context).plan.tenant));
        items.push(if name == "parts" { json!({"id": item, "n": pick % 5}) } else { json!(item) });
        Ok((name, Value::Array(items)))
    }

    /// Notes what a write put into a list.
    pub(crate) fn note_put(&self, field: &str, written: Option<&Value>, saved: &Value) {
        let item = written.filter(|_| LISTS.contains(&field)).and_then(|items| name_of(items.as_array()?.last()?));
        let operation = saved["operationId"].as_str().and_then(|id| OpId::parse(id).ok());
        if let (Some(operation), Some(item)) = (operation, item) {
            lock(&self.server.watch).commits.items.put.insert(operation, item.to_owned());
        }
    }
}
