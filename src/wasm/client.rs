//! One engine as JavaScript holds it.

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use super::{object, parsed, thrown};
use crate::engine::{
    Cancel, Direction, Engine, EngineError, Event, Settings, Wanted, build_graph, database_name, extract, find_cycles, topological_sort,
    validate,
};
use crate::model::OpId;
use crate::platform::browser::{BrowserChannel, BrowserClock, BrowserEntropy, BrowserHooks, BrowserLocks};
use crate::platform::network::fetch::FetchNetwork;
use crate::platform::{Clock, Host};
use crate::store::StoreError;
use crate::store::indexeddb::IndexedDbStore;

/// The browser, as an engine sees it.
struct Browser {
    channel: BrowserChannel,
    hooks: BrowserHooks,
    network: FetchNetwork,
}

impl Host for Browser {
    type Clock = BrowserClock;
    type Entropy = BrowserEntropy;
    type Locks = BrowserLocks;
    type Channel = BrowserChannel;
    type Identity = BrowserHooks;
    type Functions = BrowserHooks;
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
    fn identity(&self) -> &BrowserHooks {
        &self.hooks
    }
    fn functions(&self) -> &BrowserHooks {
        &self.hooks
    }
    fn network(&self) -> &FetchNetwork {
        &self.network
    }
}

/// The engine of one tenant and user in one context.
#[wasm_bindgen(js_name = Engine)]
#[derive(Debug)]
pub struct Client {
    engine: Engine<IndexedDbStore, Browser>,
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = addEventListener)]
    fn listen_globally(name: &str, listener: &js_sys::Function, options: &js_sys::Object);
}

/// A database that has not opened by then is most likely kept from it: another context holds an older one open, or one
/// that is being deleted. The message of [`StoreError::Blocked`] and docs/errors.md name the seconds.
const OPEN_MS: u64 = 15_000;

/// The store, if it opens in time. What is done in it later may take as long as it does.
async fn opened(name: String, outdated: impl Fn() + 'static) -> Result<IndexedDbStore, StoreError> {
    let opening = Box::pin(async move { IndexedDbStore::open(&name, outdated).await });
    match select(opening, Box::pin(BrowserClock.sleep(OPEN_MS))).await {
        Either::Left((opened, _)) => opened,
        Either::Right(((), opening)) => {
            // Nobody asks for it any more, and dropped it is closed: left open, it would be in the way of others.
            wasm_bindgen_futures::spawn_local(async { drop(opening.await) });
            Err(StoreError::Blocked)
        }
    }
}

fn function(hooks: &JsValue, name: &str) -> Result<js_sys::Function, JsValue> {
    let found = js_sys::Reflect::get(hooks, &name.into())?;
    found.dyn_into().map_err(|_| thrown(&EngineError::with("bad_setting", &format!("'{name}' must be a function"), json!({"path": name}))))
}

fn list(text: &str) -> Result<Vec<Value>, EngineError> {
    match parsed(text)? {
        Value::Array(list) => Ok(list),
        _ => Err(EngineError::new("invalid_value", "must be a list")),
    }
}

#[wasm_bindgen(js_class = Engine)]
impl Client {
    /// Opens the database of a tenant and a user. `hooks` is `{token(tenant, user, refresh), ask(sort, entity, about),
    /// event(json)}`.
    pub async fn open(config: String, hooks: JsValue) -> Result<Client, JsValue> {
        let settings = Settings::parse(&config).map_err(|error| thrown(&error))?;
        let (token, ask) = (function(&hooks, "token")?, function(&hooks, "ask")?);
        let event = function(&hooks, "event")?;
        let name = database_name(&settings.tenant, &settings.user);
        let outdated = {
            let (hooks, event) = (hooks.clone(), event.clone());
            move || deliver(&hooks, &event, &Event::Outdated)
        };
        let store = opened(name.clone(), outdated).await.map_err(|error| thrown(&error.into()))?;
        let host = Browser {
            channel: BrowserChannel::join(&name),
            hooks: BrowserHooks { hooks: hooks.clone(), token, ask },
            network: FetchNetwork { base_url: settings.base_url.clone() },
        };
        let (engine, mut events) = Engine::open(store, host, settings).await.map_err(|error| thrown(&error))?;
        wasm_bindgen_futures::spawn_local(async move {
            while let Some(told) = events.next().await {
                deliver(&hooks, &event, &told);
            }
        });
        let until = web_sys::AbortController::new()?;
        let running = engine.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let poker = running.clone();
            let poke: Closure<dyn FnMut()> = Closure::new(move || poker.poke());
            let poke_function: &js_sys::Function = poke.as_ref().unchecked_ref();
            // The network may be back, or the page is looked at again: both make a session worth trying.
            // Until this one ends or its instance dies, which aborts whatever controllers it holds.
            let options = js_sys::Object::new();
            let _ = js_sys::Reflect::set(&options, &"signal".into(), &until.signal());
            listen_globally("online", poke_function, &options);
            listen_globally("visibilitychange", poke_function, &options);
            running.run().await;
            until.abort();
        });
        Ok(Self { engine })
    }

    /// Whatever answers later: a method by its name, its arguments as text. One entry instead of one for each
    /// method, because every promise of the boundary weighs a kilobyte.
    pub async fn call(&self, method: String, a: Option<String>, b: Option<String>, c: Option<String>) -> Result<String, JsValue> {
        let (a, b, c) = (a.unwrap_or_default(), b.unwrap_or_default(), c.unwrap_or_default());
        let answer = match method.as_str() {
            // A text of its own, and maybe a long one.
            "export" => self.engine.export().await,
            _ => self.later(&method, &a, &b, &c).await.map(|answer| answer.to_string()),
        };
        answer.map_err(|error| thrown(&error))
    }

    /// Whatever answers at once.
    pub fn now(&self, method: &str, a: Option<String>, b: Option<String>) -> Result<String, JsValue> {
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        self.at_once(method, &a, &b).map(|answer| answer.to_string()).map_err(|error| thrown(&error))
    }

    /// Runs a session: `up`, `down` or `both`, of one entity or of all, of these operations or of all.
    pub async fn sync(
        &self,
        direction: String,
        entity: Option<String>,
        operations: Option<String>,
        signal: Option<AbortSignal>,
    ) -> Result<String, JsValue> {
        let wanted = wanted(&direction, entity, operations.as_deref()).map_err(|error| thrown(&error))?;
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
        let result = self.engine.sync_with(wanted, Some(cancel)).await;
        if let Some(signal) = &signal {
            signal.remove_event_listener_with_callback("abort", stop.as_ref().unchecked_ref())?;
        }
        Ok(crate::value::to_text(&result))
    }
}

impl Client {
    async fn later(&self, method: &str, a: &str, b: &str, c: &str) -> Result<Value, EngineError> {
        let engine = &self.engine;
        Ok(match method {
            "create" => engine.create(a, b).await?,
            "update" => engine.update(a, b, c).await?,
            "delete" => engine.delete(a, b).await?,
            "transaction" => engine.transaction(a).await?,
            "get" => engine.get(a, b).await?.into(),
            "query" => engine.query(a, b).await?.into(),
            "count" => engine.count(a, b).await?.into(),
            "synced" => engine.synced(a).await?,
            "queue" => engine.queue().await?.into(),
            "retry" => done(engine.retry(a, None).await)?,
            "edit" => done(engine.retry(a, Some(b)).await)?,
            "discard" => engine.discard(a, Some(b)).await?,
            "import" => engine.import(a).await?,
            "wipe" => engine.wipe(a == "force", Some(b)).await?,
            "pause" => done(engine.pause().await)?,
            "resume" => done(engine.resume().await)?,
            "conflicts" => engine.find_conflicts(a).await?.into(),
            "conflict" => engine.conflict(key(a)).await?.into(),
            "countConflicts" => engine.count_conflicts(a).await?,
            "previewConflict" => engine.preview(key(a), b).await?,
            "resolveConflicts" => engine.resolve_many(a, b, c == "dry").await?,
            "restoreConflict" => engine.restore_conflict(key(a), Some(b)).await?,
            "undoConflict" => engine.undo_conflict(key(a), Some(b)).await?,
            "fetchConflicts" => engine.fetch_conflicts().await,
            "detectConflicts" => engine.detect(a).await?.into(),
            "resolveConflict" => done(engine.resolve(key(a), b).await)?,
            "resolveTempId" => engine.resolve_temp(a).await?.map(|id| id.to_value()).into(),
            "pendingMappings" => engine.pending_mappings().await?.into(),
            "mapTempToReal" => done(engine.map_temp(a, b).await)?,
            "updateReferences" => done(engine.update_references(a, b, c).await)?,
            "checkReferences" => engine.check_references(a).await?,
            "resolveOrphans" => engine.resolve_orphans(a, b).await?,
            "checkIntegrity" => engine.check_integrity(a).await?,
            "repair" => engine.repair(a).await?,
            "report" => engine.report(),
            "auditVerify" => engine.audit_verify(a).await?,
            "auditQuery" => engine.audit_query(a, b, c.is_empty()).await?,
            "auditTaken" => engine.audit_taken(a, b).await?.into(),
            "auditReport" => engine.compliance_report(a).await?,
            "syncLog" => engine.sync_log(a).await?.into(),
            "alerts" => engine.alerts().await?.into(),
            "syncSummary" => engine.sync_summary(a).await?,
            "quarantine" => engine.quarantine(a).await?.into(),
            "close" => {
                engine.close();
                Value::Null
            }
            _ => return Err(unknown(method)),
        })
    }

    fn at_once(&self, method: &str, a: &str, b: &str) -> Result<Value, EngineError> {
        let engine = &self.engine;
        let schema = &engine.settings().schema;
        Ok(match method {
            "status" => engine.status(),
            "abort" => {
                engine.abort();
                Value::Null
            }
            "setOffline" => {
                engine.set_offline(a == "true");
                Value::Null
            }
            "metrics" => engine.metrics(),
            "storage" => {
                engine.storage(a, b);
                Value::Null
            }
            "generateTempId" => engine.temp_id(a)?.to_value(),
            "extractRelationships" => extract(schema, a, &object(b)?)?,
            "validateRelationships" => validate(schema, a, &object(b)?)?,
            "buildDependencyGraph" => build_graph(schema, list(a)?)?,
            "topologicalSort" => topological_sort(list(a)?)?,
            "findCycles" => find_cycles(list(a)?)?,
            _ => return Err(unknown(method)),
        })
    }
}

fn done(ended: Result<(), EngineError>) -> Result<Value, EngineError> {
    ended.map(|()| Value::Null)
}

/// The key of a conflict. What is no number is none, as 0 is none.
fn key(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

fn unknown(method: &str) -> EngineError {
    EngineError::new("internal", method)
}

fn wanted(direction: &str, entity: Option<String>, operations: Option<&str>) -> Result<Wanted, EngineError> {
    let direction = match direction {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => Direction::Both,
    };
    let mut wanted = Wanted { entity, ..Wanted::all(direction) };
    for id in operations.map(list).transpose()?.unwrap_or_default() {
        let id = id.as_str().and_then(|id| OpId::parse(id).ok());
        wanted.operations.push(id.ok_or_else(|| EngineError::new("unknown_operation", "this is no operation"))?);
    }
    Ok(wanted)
}

/// Calls a listener with an event. What a listener throws is its own affair and must not stop the others.
fn deliver(this: &JsValue, listener: &js_sys::Function, event: &Event) {
    let text = crate::value::to_text(event);
    let _ = listener.call1(this, &text.into());
}
