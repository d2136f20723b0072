//! The browser's clock, randomness, locks and channel. They are found on `globalThis`, so they serve a
//! window and every kind of worker alike.

use std::cell::RefCell;
use std::rc::Rc;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt;
use wasm_bindgen::prelude::*;
use web_sys::{AbortController, BroadcastChannel, MessageEvent};

use super::{Channel, Clock, Entropy, Functions, Identity, Locks};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(call: &js_sys::Function, ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(bytes: &js_sys::Uint8Array) -> Result<JsValue, JsValue>;

    // web-sys hides the lock manager behind `web_sys_unstable_apis`, a flag that every consumer would have to set.
    type LockManager;
    #[wasm_bindgen(method, catch)]
    fn request(this: &LockManager, name: &str, options: &JsValue, held: &JsValue) -> Result<js_sys::Promise, JsValue>;
}

/// The browser's time.
#[derive(Clone, Copy, Debug)]
pub struct BrowserClock;

/// The longest timer that browsers keep exactly: 2^31 - 1 ms.
const TIMER_MS_MAX: u64 = 2_147_483_647;

struct Timer {
    id: JsValue,
    _fire: Closure<dyn FnMut()>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}

impl Clock for BrowserClock {
    fn now(&self) -> u64 {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "ms since 1970")]
        let now = date_now() as u64;
        now
    }
    async fn sleep(&self, wait_ms: u64) {
        let (tell, told) = oneshot::channel::<()>();
        let mut tell = Some(tell);
        let fire: Closure<dyn FnMut()> = Closure::new(move || drop(tell.take()));
        #[allow(clippy::cast_precision_loss, reason = "bounded")]
        let id = set_timeout(fire.as_ref().unchecked_ref(), wait_ms.min(TIMER_MS_MAX) as f64);
        let _timer = Timer { id, _fire: fire };
        // It fires by dropping its end.
        let _ = told.await;
    }
}

/// The browser's randomness.
#[derive(Clone, Copy, Debug)]
pub struct BrowserEntropy;

impl Entropy for BrowserEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        let random = js_sys::Uint8Array::new_with_length(length);
        if get_random_values(&random).is_ok() {
            random.copy_to(bytes);
        } else {
            // Only more than 65,536 bytes at once can fail, and nobody asks for that.
            unreachable!("the browser gives random bytes");
        }
    }
}

/// Web Locks. Where there are none, everybody gets the lock, and nobody can lose it: it only saves work.
#[derive(Clone, Copy, Debug)]
pub struct BrowserLocks;

/// Holds a lock, or waits for it, until it is dropped.
#[derive(Debug)]
pub struct LockGuard {
    /// Its abort ends the wait, or gives the lock back: whoever clears up after a dead instance knows no more than that.
    waiting: AbortController,
    /// Closed when the lock is given back or taken away.
    lost: RefCell<Option<oneshot::Receiver<()>>>,
    _held: JsValue,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        self.waiting.abort();
    }
}

impl Locks for BrowserLocks {
    type Guard = Option<LockGuard>;

    async fn acquire(&self, name: &str) -> Option<LockGuard> {
        lock(name, false).await
    }
    async fn steal(&self, name: &str) -> Option<LockGuard> {
        lock(name, true).await
    }
    async fn lost(&self, held: &Option<LockGuard>) {
        match held.as_ref().and_then(|guard| guard.lost.take()) {
            // Its other end is dropped, nothing is sent.
            Some(lost) => drop(lost.await),
            None => std::future::pending().await,
        }
    }
}

async fn lock(name: &str, steal: bool) -> Option<LockGuard> {
    let navigator = js_sys::Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    let manager = js_sys::Reflect::get(&navigator, &"locks".into()).ok().filter(|locks| locks.is_object())?;
    let waiting = AbortController::new().ok()?;
    let given_back = waiting.signal();
    let until = js_sys::Promise::new(&mut |resolve, _| given_back.set_onabort(Some(JsValue::from(resolve).unchecked_ref())));
    let (tell, told) = oneshot::channel();
    let tell = Rc::new(RefCell::new(Some(tell)));
    let refused = tell.clone();
    let held = Closure::once_into_js(move |_lock: JsValue| {
        if let Some(tell) = tell.borrow_mut().take() {
            // Whoever gave up waiting has resolved the promise already.
            let _ = tell.send(());
        }
        until
    });
    let options = js_sys::Object::new();
    if steal {
        // It is granted at once, so there is nothing to give up; the browser refuses both together.
        js_sys::Reflect::set(&options, &"steal".into(), &JsValue::TRUE).ok()?;
    } else {
        js_sys::Reflect::set(&options, &"signal".into(), &waiting.signal()).ok()?;
    }
    let (losing, lost) = oneshot::channel::<()>();
    let guard = LockGuard { waiting, lost: RefCell::new(Some(lost)), _held: held.clone() };
    let request = manager.unchecked_ref::<LockManager>().request(name, &options, &held).ok()?;
    wasm_bindgen_futures::spawn_local(async move {
        // Rejected when the wait was given up, which is no error, when another context took the lock away, or
        // when the browser will not lock at all: then nobody waits any longer, and goes on without.
        let _ = wasm_bindgen_futures::JsFuture::from(request).await;
        refused.borrow_mut().take();
        drop(losing);
    });
    told.await.ok()?;
    Some(guard)
}

/// A `BroadcastChannel`. Where there is none, this context is alone.
#[derive(Debug)]
pub struct BrowserChannel {
    channel: Option<BroadcastChannel>,
    heard: RefCell<Option<mpsc::UnboundedReceiver<String>>>,
    _listener: Option<Closure<dyn FnMut(MessageEvent)>>,
}

impl BrowserChannel {
    /// Joins the contexts of one database.
    pub fn join(name: &str) -> Self {
        let Ok(channel) = BroadcastChannel::new(name) else {
            return Self { channel: None, heard: RefCell::default(), _listener: None };
        };
        let (tell, heard) = mpsc::unbounded();
        let listener = Closure::new(move |event: MessageEvent| {
            if let Some(text) = event.data().as_string() {
                // After the end nobody listens.
                let _ = tell.unbounded_send(text);
            }
        });
        channel.set_onmessage(Some(JsCast::unchecked_ref(listener.as_ref())));
        Self { channel: Some(channel), heard: RefCell::new(Some(heard)), _listener: Some(listener) }
    }
}

impl Drop for BrowserChannel {
    fn drop(&mut self) {
        // A message that comes later must not call a listener that is gone.
        self.close();
    }
}

impl Channel for BrowserChannel {
    fn announce(&self, message: &str) {
        if let Some(channel) = &self.channel {
            // A closed channel has nobody to tell.
            let _ = channel.post_message(&message.into());
        }
    }
    async fn next(&self) -> Option<String> {
        // Taken out while waiting: nothing is borrowed over an await.
        let mut heard = self.heard.borrow_mut().take()?;
        let message = heard.next().await;
        self.heard.replace(Some(heard));
        message
    }
    fn close(&self) {
        if let Some(channel) = &self.channel {
            channel.set_onmessage(None);
            channel.close();
        }
    }
}

/// What the app is asked: `token(tenant, user, refresh) => Promise<string | null>`, `ask(sort, entity, about) => Promise<string>`.
#[derive(Clone, Debug)]
pub struct BrowserHooks {
    /// The hooks object.
    pub hooks: JsValue,
    /// Its function `token`.
    pub token: js_sys::Function,
    /// Its function `ask`.
    pub ask: js_sys::Function,
}

impl BrowserHooks {
    async fn answer(&self, function: &js_sys::Function, a: JsValue, b: JsValue, c: JsValue) -> Option<String> {
        let answer = function.call3(&self.hooks, &a, &b, &c).ok()?;
        let answer = wasm_bindgen_futures::JsFuture::from(js_sys::Promise::resolve(&answer)).await.ok()?;
        answer.as_string()
    }
}

impl Identity for BrowserHooks {
    async fn token(&self, tenant: &str, user: &str, refresh: bool) -> Option<String> {
        self.answer(&self.token, tenant.into(), user.into(), refresh.into()).await
    }
}

impl Functions for BrowserHooks {
    async fn ask(&self, sort: &str, entity: &str, about: &str) -> Option<String> {
        self.answer(&self.ask, sort.into(), entity.into(), about.into()).await
    }
}
