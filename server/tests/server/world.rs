//! A server without a socket, with a clock that stands still until it is moved, and devices that talk to it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldsync::model::Epoch;
use fieldsync::schema::Schema;
use fieldsync_server::audit::{Broken, Chain};
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::{Clock, Entropy, EntropyError};
use fieldsync_server::service::{Refusal, Service, Watermark};
use fieldsync_server::store::memory::{MemoryStore, Snapshot};
use fieldsync_server::store::sqlite::SqliteStore;
use fieldsync_server::store::{AuditRow, ServerStore};
use fieldsync_server::token::{COORDINATOR, Identity};
use serde_json::{Value, json};

/// Whatever ends a test.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Told = Result<(), Failure>;

/// When the tests take place.
pub(crate) const NOW_MS: u64 = 1_800_000_000_000;

pub(crate) const SCHEMA: &str = r#"{"name": "test", "version": 3, "entities": {
    "client": {},
    "pet": {"references": {"clientId": "client", "mate": "pet"}},
    "visit": {"references": {"petId": "pet", "attendees[].vetId": "vet", "by.lead": "vet"}},
    "vet": {"key": "text"},
    "photo": {"key": "uuid", "references": {"petId": "pet"}},
    "owner": {"unique": [["email"], ["clinic.id", "number"]], "conflicts": {"metadata": ["at"]}},
    "bowl": {"key": "uuid", "fields": {"size": {"type": "integer", "required": true, "max": 8},
         "owner.name": {"type": "string", "required": true, "minLength": 1}}},
    "farm": {},
    "stall": {"references": {"farmId": "farm", "beside": "stall"}, "onDelete": {"farmId": "cascade", "beside": "cascade"}},
    "cow": {"references": {"stallId": "stall", "dam": "cow", "grazes[].farmId": "farm"},
        "onDelete": {"stallId": "cascade", "dam": "set-null", "grazes[].farmId": "set-null"}},
    "paper": {"references": {"cowId": "cow"}}
}}"#;

/// Whether rows of an audit trail continue each other from the first one on, as an inspector finds it.
pub(crate) fn followed(rows: &[AuditRow]) -> Result<(), Broken> {
    let mut chain = Chain::default();
    rows.iter().try_for_each(|row| chain.follow(row))
}

/// Runs each story on both stores.
macro_rules! on_both_stores {
    ($($story:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $story() -> crate::world::Told {
                super::$story(crate::world::World::memory()?).await
            })+
        }
        mod on_sqlite {
            $(#[tokio::test]
            async fn $story() -> crate::world::Told {
                super::$story(crate::world::World::sqlite().await?).await
            })+
        }
    };
}
pub(crate) use on_both_stores;

#[derive(Debug)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts: enough to be different, and the same in every run.
#[derive(Debug, Default)]
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let number = self.0.fetch_add(1, Ordering::SeqCst).to_be_bytes();
        for (at, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = number.iter().rev().nth(at).copied().unwrap_or_default();
        }
        Ok(())
    }
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self, Failure> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind lies in the target folder and hurts nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn key() -> Result<ServerKey, Failure> {
    Ok(ServerKey::parse("a key that only these tests know, and long enough")?)
}

pub(crate) fn epoch() -> Result<Epoch, Failure> {
    Ok(Epoch::parse("0190a1b2-0000-7000-8000-0000000000e0")?)
}

/// One server.
#[derive(Debug)]
pub(crate) struct World<S> {
    pub(crate) service: Arc<Service<S>>,
    pub(crate) clock: Arc<TestClock>,
    /// Where its rows lie, for as long as it lives.
    #[expect(dead_code, reason = "the folder goes when the world does")]
    folder: Option<Folder>,
}

/// A server whose store can be lost and come back.
pub(crate) trait Restorable: Sized {
    /// A backup.
    type Backup;
    /// Makes one while the server runs.
    async fn back_up(&self) -> Result<Self::Backup, Failure>;
    /// Another server, restored from the backup into the epoch of this number. It has the same key and clock.
    async fn restored(&self, backup: &Self::Backup, epoch: u64) -> Result<Self, Failure>;
}

fn epoch_of(number: u64) -> Result<Epoch, Failure> {
    Ok(Epoch::parse(&format!("0190a1b2-0000-7000-8000-{:012}", 500 + number))?)
}

impl Restorable for World<MemoryStore> {
    type Backup = Snapshot;
    async fn back_up(&self) -> Result<Snapshot, Failure> {
        Ok(self.service.store().snapshot().await)
    }
    async fn restored(&self, backup: &Snapshot, epoch: u64) -> Result<Self, Failure> {
        let store = MemoryStore::restore(backup, epoch_of(epoch)?, self.clock.now_ms());
        Self::at(store, None, self.clock.clone())
    }
}

impl Restorable for World<SqliteStore> {
    type Backup = (Folder, PathBuf);
    async fn back_up(&self) -> Result<(Folder, PathBuf), Failure> {
        let folder = Folder::new()?;
        let file = PathBuf::from(folder.file("backup.sqlite"));
        self.service.store().backup(&file).await?;
        Ok((folder, file))
    }
    async fn restored(&self, (_, backup): &(Folder, PathBuf), epoch: u64) -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let file = folder.file("restored.sqlite");
        SqliteStore::restore(backup, file.as_ref(), epoch_of(epoch)?, self.clock.now_ms()).await?;
        let store = SqliteStore::open(&file, crate::world::epoch()?).await?;
        Self::at(store, Some(folder), self.clock.clone())
    }
}

impl World<MemoryStore> {
    pub(crate) fn memory() -> Result<Self, Failure> {
        Self::over(MemoryStore::new(epoch()?), None)
    }
}

impl World<SqliteStore> {
    pub(crate) async fn sqlite() -> Result<Self, Failure> {
        let folder = Folder::new()?;
        let store = SqliteStore::open(&folder.file("test.sqlite"), epoch()?).await?;
        Self::over(store, Some(folder))
    }
}

impl<S: ServerStore> World<S> {
    pub(crate) fn over(store: S, folder: Option<Folder>) -> Result<Self, Failure> {
        Self::at(store, folder, Arc::new(TestClock(AtomicU64::new(NOW_MS))))
    }

    /// A server of another schema.
    pub(crate) fn serving(store: S, schema: Schema) -> Result<Self, Failure> {
        let clock = Arc::new(TestClock(AtomicU64::new(NOW_MS)));
        let service = Service::new(store, schema, &key()?, clock.clone(), Arc::new(TestEntropy::default()));
        Ok(Self { service: Arc::new(service), clock, folder: None })
    }

    fn at(store: S, folder: Option<Folder>, clock: Arc<TestClock>) -> Result<Self, Failure> {
        let service = Service::new(store, Schema::parse(SCHEMA)?, &key()?, clock.clone(), Arc::new(TestEntropy::default()));
        Ok(Self { service: Arc::new(service), clock, folder })
    }

    /// The same server with the promise that only backups are durable.
    pub(crate) fn promising_backups(self) -> Result<Self, Failure> {
        let service = Arc::into_inner(self.service).ok_or("nobody else has the service")?;
        Ok(Self { service: Arc::new(service.with_watermark(Watermark::Backup)), ..self })
    }

    /// The outcome of each operation, or the fault of the whole request.
    pub(crate) async fn try_upload(&self, device: &Device, operations: &[Value]) -> Result<Vec<Value>, Value> {
        self.send(device, operations, &json!([])).await
    }

    /// As after a change of the epoch: with the real IDs that creates had before.
    pub(crate) async fn upload_again(&self, device: &Device, operations: &[Value], former: &Value) -> Vec<Value> {
        self.send(device, operations, former).await.unwrap_or_else(|fault| panic!("the upload was refused: {fault}"))
    }

    async fn send(&self, device: &Device, operations: &[Value], former: &Value) -> Result<Vec<Value>, Value> {
        let body = json!({"head": device.head("upload"), "operations": operations, "former": former}).to_string();
        let response = self.service.upload(&device.identity(), body.as_bytes()).await.map_err(|refusal| told(&refusal))?;
        let asked: Vec<_> = operations.iter().map(|operation| operation["id"].clone()).collect();
        let answered: Vec<_> = response.results.iter().map(|result| json!(result.operation)).collect();
        assert_eq!(answered, asked, "exactly one result for each operation, in their order");
        Ok(response.results.iter().map(|result| json!(result.outcome)).collect())
    }

    pub(crate) async fn upload(&self, device: &Device, operations: &[Value]) -> Vec<Value> {
        self.try_upload(device, operations).await.unwrap_or_else(|fault| panic!("the upload was refused: {fault}"))
    }

    /// All lines of a download, or the fault of the request.
    pub(crate) async fn try_download(&self, device: &Device, checkpoint: Option<&str>, page_records: usize) -> Result<Vec<String>, Value> {
        self.ask_download(device, json!({"checkpoint": checkpoint, "pageRecords": page_records})).await
    }

    /// As above, of some entities.
    pub(crate) async fn try_download_of(&self, device: &Device, entities: &[&str], checkpoint: Option<&str>) -> Result<Vec<String>, Value> {
        self.ask_download(device, json!({"checkpoint": checkpoint, "pageRecords": 2, "entities": entities})).await
    }

    async fn ask_download(&self, device: &Device, mut request: Value) -> Result<Vec<String>, Value> {
        request["head"] = device.head("download");
        let body = request.to_string();
        let mut pages = self.service.download(&device.identity(), body.as_bytes()).await.map_err(|refusal| told(&refusal))?;
        let mut text = Vec::new();
        while let Some(lines) = pages.next().await.unwrap_or_else(|error| panic!("the download broke off: {error}")) {
            text.extend(lines);
        }
        let text = String::from_utf8(text).unwrap_or_else(|error| panic!("the download is no text: {error}"));
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The pages of a download. What surrounds them is checked here.
    pub(crate) async fn download(&self, device: &Device, checkpoint: Option<&str>, page_records: usize) -> Vec<Value> {
        let lines = self.try_download(device, checkpoint, page_records).await;
        crate::wire::pages(&lines.unwrap_or_else(|fault| panic!("the download was refused: {fault}")))
    }

    pub(crate) async fn status(&self, device: &Device) -> Value {
        let body = json!({"head": device.head("status")}).to_string();
        let status = self.service.status(&device.identity(), body.as_bytes()).await;
        status.map_or_else(|refusal| told(&refusal), |status| json!(status))
    }

    /// The conflicts that the device may see, by what it asks beside its head.
    pub(crate) async fn conflicts(&self, device: &Device, more: Value) -> Value {
        let mut body = more;
        body["head"] = device.head("conflicts");
        let answer = self.service.conflicts(&device.identity(), body.to_string().as_bytes()).await;
        answer.map_or_else(|refusal| told(&refusal), |answer| json!(answer))
    }

    /// The answer to a decision over a conflict, or the fault of the request.
    pub(crate) async fn resolve(&self, device: &Device, decision: &Value) -> Value {
        let mut body = decision.clone();
        body["head"] = device.head("resolve");
        let answer = self.service.resolve_conflict(&device.identity(), body.to_string().as_bytes()).await;
        answer.map_or_else(|refusal| told(&refusal), |answer| json!(answer))
    }

    pub(crate) async fn initialize(&self, device: &Device, checkpoint: Option<&str>) -> Value {
        let body =
            json!({"head": device.head("initialize"), "schema": 3, "checkpoint": checkpoint, "pending": 0, "lastSeq": 0}).to_string();
        let answer = self.service.initialize(&device.identity(), body.as_bytes()).await;
        answer.map_or_else(|refusal| told(&refusal), |answer| json!(answer))
    }
}

fn told(refusal: &Refusal) -> Value {
    json!(refusal.fault())
}

/// A database on somebody's device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) tenant: String,
    pub(crate) user: String,
    pub(crate) client: String,
    pub(crate) offset_ms: i64,
    pub(crate) epoch: Option<String>,
    pub(crate) roles: Vec<String>,
}

impl Device {
    /// The `number`th device of a user.
    pub(crate) fn new(tenant: &str, user: &str, number: u64) -> Self {
        let client = format!("0190a1b2-0000-7000-9000-{number:012}");
        Self { tenant: tenant.to_owned(), user: user.to_owned(), client, offset_ms: 0, epoch: None, roles: Vec::new() }
    }
    pub(crate) fn identity(&self) -> Identity {
        Identity { roles: self.roles.clone(), ..Identity::new(self.tenant.clone(), self.user.clone()) }
    }
    /// The same device, of a user who decides for the whole tenant.
    pub(crate) fn coordinating(self) -> Self {
        Self { roles: vec![COORDINATOR.to_owned()], ..self }
    }
    pub(crate) fn head(&self, request: &str) -> Value {
        let mut head = json!({"protocol": 1, "requestId": request, "tenant": self.tenant, "user": self.user, "client": self.client,
            "offsetMs": self.offset_ms});
        if let Some(epoch) = &self.epoch {
            head["epoch"] = json!(epoch);
        }
        head
    }
    fn operation(&self, number: u64, entity: &str, record: impl Into<Value>, action: Value, base: Value) -> Value {
        json!({"id": op(number), "seq": number, "entity": entity, "record": record.into(), "action": action, "base": base,
            "stamp": [NOW_MS + number, 0], "author": self.user, "schema": 3})
    }
    pub(crate) fn create(&self, number: u64, entity: &str, record: impl Into<Value>, data: Value) -> Value {
        self.operation(number, entity, record, json!({"kind": "create", "data": data}), json!("none"))
    }
    pub(crate) fn restore(&self, number: u64, entity: &str, record: impl Into<Value>, data: Value, base: Value) -> Value {
        self.operation(number, entity, record, json!({"kind": "create", "data": data}), base)
    }
    pub(crate) fn update(&self, number: u64, entity: &str, record: impl Into<Value>, set: Value, base: Value) -> Value {
        self.operation(number, entity, record, json!({"kind": "update", "delta": {"set": set}}), base)
    }
    pub(crate) fn delete(&self, number: u64, entity: &str, record: impl Into<Value>, base: Value) -> Value {
        self.operation(number, entity, record, json!({"kind": "delete"}), base)
    }
    /// A delete by somebody who had seen everything up to this version, and says so.
    pub(crate) fn delete_seeing(&self, seen: u64, number: u64, entity: &str, record: impl Into<Value>, base: Value) -> Value {
        let mut delete = self.delete(number, entity, record, base);
        delete["seen"] = json!(seen.to_string());
        delete
    }
}

/// Operations of one transaction.
pub(crate) fn group(mut operations: Vec<Value>) -> Vec<Value> {
    let of = json!({"id": operations[0]["id"], "of": operations.len()});
    operations.iter_mut().for_each(|operation| operation["group"] = of.clone());
    operations
}

/// The ID of the `number`th operation.
pub(crate) fn op(number: u64) -> String {
    format!("0190a1b2-0000-7000-8000-{number:012}")
}

pub(crate) fn after(number: u64) -> Value {
    json!({"after": op(number)})
}

pub(crate) fn version(number: u64) -> Value {
    json!({"version": number.to_string()})
}

/// What an operation led to, in two words: `applied 7`, `rejected has_dependents`, `conflict update-update`.
pub(crate) fn brief(outcome: &Value) -> String {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let status = word(&outcome["status"]);
    match status.as_str() {
        "applied" => format!("applied {}", word(&outcome["version"])),
        "conflict" => format!("conflict {}", word(&outcome["kind"])),
        "rejected" => format!("rejected {}", word(&outcome["error"]["code"])),
        "blocked" => format!("blocked {}", outcome["waitsFor"].as_array().into_iter().flatten().map(word).collect::<Vec<_>>().join(" ")),
        "duplicate" => format!("duplicate {}", brief(&outcome["original"])),
        _ => status,
    }
}

pub(crate) fn briefs(outcomes: &[Value]) -> Vec<String> {
    outcomes.iter().map(brief).collect()
}
