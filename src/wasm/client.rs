//! One engine as JavaScript holds it.

use std::cell::RefCell;
use std::rc::Rc;

use futures_util::StreamExt;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::{parsed, thrown};
use crate::engine::{
    Cancel, Direction, Engine, EngineError, Event, Settings, build_graph, database_name, extract, find_cycles, topological_sort, validate,
};
use crate::platform::Host;
use crate::platform::browser::{BrowserChannel, BrowserClock, BrowserEntropy, BrowserIdentity, BrowserLocks};
use crate::platform::network::fetch::FetchNetwork;
use crate::store::indexeddb::IndexedDbStore;
use crate::value::Object;

/// The browser, as an engine sees it.
struct Browser {
    channel: BrowserChannel,
    identity: BrowserIdentity,
    network: FetchNetwork,
}

impl Host for Browser {
    type Clock = BrowserClock;
    type Entropy = BrowserEntropy;
    type Locks = BrowserLocks;
    type Channel = BrowserChannel;
    type Identity = BrowserIdentity;
    type Network = FetchNetwork;
    fn clock(&self) -> &BrowserClock {
        &BrowserClock
    }
    fn entropy(&self) -> &BrowserEntropy {
        &BrowserEntropy
    }
    fn locks(&self) -> &BrowserLocks {
        &BrowserLocks
    }
    fn channel(&self) -> &BrowserChannel {
        &self.channel
    }
    fn identity(&self) -> &BrowserIdentity {
        &self.identity
    }
    fn network(&self) -> &FetchNetwork {
        &self.network
    }
}

type Listeners = Rc<RefCell<Vec<js_sys::Function>>>;

/// The engine of one tenant and user in one context.
#[wasm_bindgen(js_name = Engine)]
#[derive(Debug)]
pub struct Client {
    engine: Engine<IndexedDbStore, Browser>,
    progress: Listeners,
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = addEventListener)]
    fn listen_globally(name: &str, listener: &js_sys::Function);
    #[wasm_bindgen(js_name = removeEventListener)]
    fn ignore_globally(name: &str, listener: &js_sys::Function);
}

fn function(hooks: &JsValue, name: &str) -> Result<js_sys::Function, JsValue> {
    let found = js_sys::Reflect::get(hooks, &name.into())?;
    found.dyn_into().map_err(|_| thrown(&EngineError::with("bad_setting", &format!("'{name}' must be a function"), json!({"path": name}))))
}

fn object(text: &str) -> Result<Object, JsValue> {
    match parsed(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(thrown(&EngineError::new("invalid_value", "must be an object"))),
    }
}

fn list(text: &str) -> Result<Vec<Value>, JsValue> {
    match parsed(text)? {
        Value::Array(list) => Ok(list),
        _ => Err(thrown(&EngineError::new("invalid_value", "must be a list"))),
    }
}

fn out<T: ToString>(done: Result<T, EngineError>) -> Result<String, JsValue> {
    done.map(|value| value.to_string()).map_err(|error| thrown(&error))
}

#[wasm_bindgen(js_class = Engine)]
impl Client {
    /// Opens the database of a tenant and a user. `hooks` is `{token(tenant, user, refresh), event(json)}`.
    pub async fn open(config: String, hooks: JsValue) -> Result<Client, JsValue> {
        let settings = Settings::parse(&config).map_err(|error| thrown(&error))?;
        let token = function(&hooks, "token")?;
        let event = function(&hooks, "event")?;
        let name = database_name(&settings.tenant, &settings.user);
        let outdated = {
            let (hooks, event) = (hooks.clone(), event.clone());
            move || deliver(&hooks, &event, &Event::Outdated)
        };
        let store = IndexedDbStore::open(&name, outdated).await.map_err(|error| thrown(&error.into()))?;
        let host = Browser {
            channel: BrowserChannel::join(&name),
            identity: BrowserIdentity { hooks: hooks.clone(), token },
            network: FetchNetwork { base_url: settings.base_url.clone() },
        };
        let (engine, mut events) = Engine::open(store, host, settings).await.map_err(|error| thrown(&error))?;
        let progress: Listeners = Rc::default();
        let listeners = progress.clone();
        wasm_bindgen_futures::spawn_local(async move {
            while let Some(told) = events.next().await {
                if matches!(told, Event::Progress { .. }) {
                    let now: Vec<_> = listeners.borrow().clone();
                    now.iter().for_each(|listener| deliver(&JsValue::UNDEFINED, listener, &told));
                }
                deliver(&hooks, &event, &told);
            }
        });
        let running = engine.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let poker = running.clone();
            let poke: Closure<dyn FnMut()> = Closure::new(move || poker.poke());
            let poke_function: &js_sys::Function = poke.as_ref().unchecked_ref();
            // The network may be back, or the page is looked at again: both make a session worth trying.
            listen_globally("online", poke_function);
            listen_globally("visibilitychange", poke_function);
            running.run().await;
            ignore_globally("online", poke_function);
            ignore_globally("visibilitychange", poke_function);
        });
        Ok(Self { engine, progress })
    }

    /// A new record.
    pub async fn create(&self, entity: String, data: String) -> Result<String, JsValue> {
        out(self.engine.create(&entity, &data).await)
    }
    /// Other values for some fields.
    pub async fn update(&self, entity: String, id: String, changes: String) -> Result<String, JsValue> {
        out(self.engine.update(&entity, &id, &changes).await)
    }
    /// The record goes.
    pub async fn delete(&self, entity: String, id: String) -> Result<String, JsValue> {
        out(self.engine.delete(&entity, &id).await)
    }
    /// One record.
    pub async fn get(&self, entity: String, id: String) -> Result<Option<String>, JsValue> {
        let found = self.engine.get(&entity, &id).await.map_err(|error| thrown(&error))?;
        Ok(found.map(|record| record.to_string()))
    }
    /// The records that a query means.
    pub async fn query(&self, entity: String, query: String) -> Result<String, JsValue> {
        out(self.engine.query(&entity, &query).await.map(Value::Array))
    }
    /// How many they are.
    pub async fn count(&self, entity: String, query: String) -> Result<u32, JsValue> {
        let count = self.engine.count(&entity, &query).await.map_err(|error| thrown(&error))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
    /// Ends with the operation.
    pub async fn synced(&self, operation: String) -> Result<String, JsValue> {
        out(self.engine.synced(&operation).await)
    }
    /// Runs a session.
    pub async fn sync(
        &self,
        direction: String,
        signal: Option<AbortSignal>,
        on_progress: Option<js_sys::Function>,
    ) -> Result<String, JsValue> {
        let direction = match direction.as_str() {
            "up" => Direction::Up,
            "down" => Direction::Down,
            "both" => Direction::Both,
            _ => return Err(thrown(&EngineError::new("invalid_value", "a direction is up, down or both"))),
        };
        let cancel = Cancel::default();
        let stop: Closure<dyn FnMut()> = {
            let cancel = cancel.clone();
            Closure::new(move || cancel.cancel())
        };
        if let Some(signal) = &signal {
            if signal.aborted() {
                cancel.cancel();
            }
            signal.add_event_listener_with_callback("abort", stop.as_ref().unchecked_ref())?;
        }
        if let Some(listener) = &on_progress {
            self.progress.borrow_mut().push(listener.clone());
        }
        let result = self.engine.sync(direction, Some(cancel)).await;
        if let Some(listener) = &on_progress {
            self.progress.borrow_mut().retain(|known| known != listener);
        }
        if let Some(signal) = &signal {
            signal.remove_event_listener_with_callback("abort", stop.as_ref().unchecked_ref())?;
        }
        Ok(crate::value::to_text(&result))
    }
    /// Stops the session that runs.
    pub fn abort(&self) {
        self.engine.abort();
    }
    /// Behaves as if there were no network.
    pub fn set_offline(&self, offline: bool) {
        self.engine.set_offline(offline);
    }
    /// The status.
    pub fn status(&self) -> String {
        self.engine.status().to_string()
    }
    /// The outbox.
    pub async fn queue(&self) -> Result<String, JsValue> {
        out(self.engine.queue().await.map(Value::Array))
    }
    /// Every conflict.
    pub async fn conflicts(&self) -> Result<String, JsValue> {
        out(self.engine.conflicts().await.map(Value::Array))
    }
    /// The conflict of an operation.
    pub async fn detect_conflicts(&self, operation: String) -> Result<Option<String>, JsValue> {
        let found = self.engine.detect(&operation).await.map_err(|error| thrown(&error))?;
        Ok(found.map(|conflict| conflict.to_string()))
    }
    /// Ends an open conflict.
    pub async fn resolve_conflict(&self, id: f64, strategy: String) -> Result<(), JsValue> {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "anything else is no conflict's key and is not found")]
        let id = id as u64;
        self.engine.resolve(id, &strategy).await.map_err(|error| thrown(&error))
    }
    /// What a temp ID became.
    pub async fn resolve_temp_id(&self, temp: String) -> Result<Option<String>, JsValue> {
        let found = self.engine.resolve_temp(&temp).await.map_err(|error| thrown(&error))?;
        Ok(found.map(|id| id.to_value().to_string()))
    }
    /// Temp IDs that were issued and not answered.
    pub async fn pending_mappings(&self) -> Result<String, JsValue> {
        out(self.engine.pending_mappings().await.map(Value::Array))
    }
    /// A mapping that the app learned elsewhere.
    pub async fn map_temp_to_real(&self, temp: String, real: String) -> Result<(), JsValue> {
        self.engine.map_temp(&temp, &real).await.map_err(|error| thrown(&error))
    }
    /// A mapping that the app learned elsewhere, by entity.
    pub async fn update_references(&self, entity: String, old: String, new: String) -> Result<(), JsValue> {
        self.engine.update_references(&entity, &old, &new).await.map_err(|error| thrown(&error))
    }
    /// A temp ID for a new record.
    pub fn generate_temp_id(&self, entity: &str) -> Result<String, JsValue> {
        out(self.engine.temp_id(entity))
    }
    /// The references of a document.
    pub fn extract_relationships(&self, entity: &str, data: &str) -> Result<String, JsValue> {
        out(extract(&self.engine.settings().schema, entity, &object(data)?))
    }
    /// The dependency graph of operations.
    pub fn build_dependency_graph(&self, operations: &str) -> Result<String, JsValue> {
        out(build_graph(&self.engine.settings().schema, list(operations)?))
    }
    /// Operations in the order of their dependencies.
    pub fn topological_sort(&self, nodes: &str) -> Result<String, JsValue> {
        out(topological_sort(list(nodes)?))
    }
    /// Every cycle.
    pub fn find_cycles(&self, nodes: &str) -> Result<String, JsValue> {
        out(find_cycles(list(nodes)?))
    }
    /// Whether every reference of a document could be one.
    pub fn validate_relationships(&self, entity: &str, data: &str) -> Result<String, JsValue> {
        out(validate(&self.engine.settings().schema, entity, &object(data)?))
    }
    /// What went through this engine.
    #[allow(clippy::unused_async, reason = "asynchronous for its callers: storage figures will join it")]
    pub async fn report(&self) -> Result<String, JsValue> {
        Ok(self.engine.report().to_string())
    }
    /// Lets the database go.
    #[allow(clippy::unused_async, reason = "asynchronous for its callers: a worker's handshake will join it")]
    pub async fn close(&self) -> Result<(), JsValue> {
        self.engine.close();
        Ok(())
    }
}

/// Calls a listener with an event. What a listener throws is its own affair and must not stop the others.
fn deliver(this: &JsValue, listener: &js_sys::Function, event: &Event) {
    let text = crate::value::to_text(event);
    let _ = listener.call1(this, &text.into());
}
