//! The settings: read from one JSON object, each with default, unit and range. A bad one fails `open` with
//! its path.

use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::EngineError;
use super::reason::Act;
use crate::decide::Retention;
use crate::metrics::{KINDS, Numbers};
use crate::protocol::limits::{NAME_BYTES_MAX, OPERATIONS_MAX, PAGE_RECORDS_MAX};
use crate::schema::{Content, Schema};
use crate::value::{base64url, digest, from_value};

/// Everything that can be set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tenant. A number is taken as its decimal digits.
    pub tenant: String,
    /// The user. A number is taken as its decimal digits.
    pub user: String,
    /// The address below which the sync server answers; `https`, or `http` on this machine, or a path of the page's origin.
    pub base_url: String,
    /// The app's entities.
    pub schema: Rc<Schema>,
    /// Whether writes are sent, and changes fetched, without being asked.
    pub auto_sync: bool,
    /// Whether a write to a record may become part of an earlier one that was not sent yet, default true.
    pub coalesce: bool,
    /// Operations in the first upload: 1 to 1,000, default 50. It doubles with each that went well.
    pub batch_size: usize,
    /// Operations in any upload: 1 to 1,000, default 1,000. A group is never split, whatever this says.
    pub batch_size_max: usize,
    /// Records in a page: 1 to 5,000, default 500, about what a phone stores in 50 ms.
    pub page_size: usize,
    /// How long to wait for the server's next sign of life, ms: 100 to 600,000, default 30,000.
    pub timeout_ms: u64,
    /// The bound of the first wait after a failure, ms: 1 to 60,000, default 1,000.
    pub backoff_base_ms: u64,
    /// The bound of every wait after failures, ms: 1 to 3,600,000, default 60,000.
    pub backoff_cap_ms: u64,
    /// How long a sender in another tab may be silent before its role is taken, ms: 1,000 to 600,000, default 5,000.
    pub silence_ms: u64,
    /// What a person must say a reason for; by default nothing.
    pub require_reason: Vec<Act>,
    /// From which value on somebody should look; nothing for a kind of alert that is turned off.
    pub alerts: Numbers,
    /// How long sessions, decided conflicts and the audit trail are kept: 1 to 36,500 days or for ever, default 90, 365 and 365.
    pub retention: Retention,
    /// Whether the audit trail goes up to a server that takes it, default true.
    pub audit_upload: bool,
    /// The entities with a conflict rule that is a function of the app.
    pub rules: Vec<String>,
    /// The entities with a validator that is a function of the app.
    pub validators: Vec<String>,
    /// How long a function of the app may take, ms: 100 to 60,000, default 5,000.
    pub rule_timeout_ms: u64,
    /// After how long all that is stored is looked over again in idle time, ms: an hour to a year, default a day; 0 for never.
    pub integrity_check_ms: u64,
    /// How often to look for changes without being asked, ms: 1,000 to 86,400,000, default 30,000.
    pub poll_ms: u64,
}

impl Settings {
    /// Reads and checks the settings.
    pub fn parse(text: &str) -> Result<Self, EngineError> {
        let value = crate::value::parse(text, &crate::value::Limits::RECORD)?;
        let Value::Object(mut fields) = value else { return Err(bad("", "must be an object")) };
        flatten(&mut fields)?;
        let schema = fields.remove("schema").ok_or_else(|| bad("schema", "is missing"))?;
        let mut schema = Schema::parse(&schema.to_string()).map_err(|error| {
            let path = if error.path.is_empty() { "schema".to_owned() } else { format!("schema.{}", error.path) };
            EngineError::with("invalid_schema", &error.to_string(), json!({"path": path}))
        })?;
        transforms(&mut fields, &schema)?;
        content(&mut fields, &mut schema)?;
        let settings = Self {
            tenant: name(&mut fields, "tenant")?,
            user: name(&mut fields, "user")?,
            base_url: address(&mut fields)?,
            auto_sync: flag(&mut fields, "autoSync", true)?,
            coalesce: flag(&mut fields, "coalesce", true)?,
            batch_size: count(&mut fields, "batchSize", 50, OPERATIONS_MAX)?,
            batch_size_max: count(&mut fields, "batchSizeMax", 1_000, OPERATIONS_MAX)?,
            page_size: count(&mut fields, "pageSize", 500, PAGE_RECORDS_MAX)?,
            timeout_ms: number(&mut fields, "timeoutMs", 30_000, 100, 600_000)?,
            backoff_base_ms: number(&mut fields, "backoffBaseMs", 1_000, 1, 60_000)?,
            backoff_cap_ms: number(&mut fields, "backoffCapMs", 60_000, 1, 3_600_000)?,
            silence_ms: number(&mut fields, "silenceMs", 5_000, 1_000, 600_000)?,
            require_reason: require_reason(&mut fields)?,
            alerts: alerts(&mut fields)?,
            retention: Retention {
                sync_log: days(&mut fields, "retention.syncLogDays", 90)?,
                conflicts: days(&mut fields, "retention.conflictsDays", 365)?,
                audit: days(&mut fields, "retention.auditDays", 365)?,
            },
            audit_upload: flag(&mut fields, "audit.upload", true)?,
            rules: rules(&mut fields, &schema)?,
            validators: named(&mut fields, "validators", &schema)?,
            rule_timeout_ms: number(&mut fields, "ruleTimeoutMs", 5_000, 100, 60_000)?,
            integrity_check_ms: match fields.get("integrityCheckMs") {
                Some(never) if *never == 0 => fields.remove("integrityCheckMs").map_or(0, |_| 0),
                _ => number(&mut fields, "integrityCheckMs", 86_400_000, 3_600_000, 31_536_000_000)?,
            },
            poll_ms: number(&mut fields, "pollMs", 30_000, 1_000, 86_400_000)?,
            schema: Rc::new(schema),
        };
        match fields.keys().next() {
            Some(unknown) => Err(bad(unknown, "is no setting")),
            None => Ok(settings),
        }
    }
}

/// Members of the settings that are objects become settings of their own, by their paths.
fn flatten(fields: &mut Map<String, Value>) -> Result<(), EngineError> {
    if let Some(unknown) = fields.keys().find(|key| key.contains('.')) {
        return Err(bad(unknown, "is no setting"));
    }
    for group in ["alerts", "audit", "retention"] {
        match fields.remove(group) {
            None => {}
            Some(Value::Object(members)) => fields.extend(members.into_iter().map(|(name, value)| ([group, ".", &name].concat(), value))),
            Some(_) => return Err(bad(group, "must be an object")),
        }
    }
    Ok(())
}

fn bad(path: &str, reason: &str) -> EngineError {
    EngineError::with("bad_setting", &format!("setting '{path}' {reason}"), json!({"path": path}))
}

fn name(fields: &mut Map<String, Value>, key: &str) -> Result<String, EngineError> {
    let text = match fields.remove(key) {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) if number.is_i64() => number.to_string(),
        Some(_) => return Err(bad(key, "must be a string or an integer")),
        None => return Err(bad(key, "is missing")),
    };
    if text.is_empty() || text.len() > NAME_BYTES_MAX { Err(bad(key, "must have 1 to 256 bytes")) } else { Ok(text) }
}

/// The entities for which the app brings functions of a sort.
fn named(fields: &mut Map<String, Value>, key: &str, schema: &Schema) -> Result<Vec<String>, EngineError> {
    let list = fields.remove(key).map_or(Ok(Vec::new()), |list| from_value::<Vec<String>>(&list));
    let entities = list.map_err(|_| bad(key, "must be a list of entities"))?;
    match entities.iter().find(|entity| schema.entity(entity).is_none()) {
        Some(unknown) => Err(bad(&format!("{key}.{unknown}"), "is no entity of the schema")),
        None => Ok(entities),
    }
}

/// Those for which the app brings functions that decide conflicts: one that nothing would ever ask is a mistake.
fn rules(fields: &mut Map<String, Value>, schema: &Schema) -> Result<Vec<String>, EngineError> {
    let entities = named(fields, "rules", schema)?;
    let is_asked = |entity: &String| schema.entity(entity).is_some_and(|entity| entity.conflicts.ask_a_function());
    match entities.iter().find(|entity| !is_asked(entity)) {
        Some(unasked) => Err(bad(&format!("rules.{unasked}"), "is never asked: no rule of the entity's conflicts is 'function'")),
        None => Ok(entities),
    }
}

/// Those that it brings to turn values: for each field that the schema says so of, and for no other.
fn transforms(fields: &mut Map<String, Value>, schema: &Schema) -> Result<(), EngineError> {
    const KEY: &str = "transforms";
    let list = fields.remove(KEY).map_or(Ok(Vec::new()), |list| from_value::<Vec<String>>(&list));
    let given = list.map_err(|_| bad(KEY, "must be a list of fields"))?;
    let wanted: Vec<String> = schema.functions().map(|(entity, field, _)| [entity, field].join(".")).collect();
    if let Some(unasked) = given.iter().find(|field| !wanted.contains(field)) {
        return Err(bad(&format!("{KEY}.{unasked}"), "is never asked: the schema does not say 'function' of the field"));
    }
    match wanted.iter().find(|field| !given.contains(field)) {
        Some(missing) => Err(bad(&format!("{KEY}.{missing}"), "is missing: the schema says 'function' of the field")),
        None => Ok(()),
    }
}

fn address(fields: &mut Map<String, Value>) -> Result<String, EngineError> {
    const KEY: &str = "baseUrl";
    let Some(Value::String(text)) = fields.remove(KEY) else { return Err(bad(KEY, "must be a string")) };
    let own_origin = text.starts_with('/') && !text.starts_with("//");
    let rest = text.strip_prefix("http://").filter(|_| !text.contains('@')).unwrap_or_default();
    let after = ["localhost", "127.0.0.1", "[::1]"].iter().find_map(|host| rest.strip_prefix(host));
    let this_machine = after.is_some_and(|after| after.is_empty() || after.starts_with([':', '/']));
    if own_origin || text.starts_with("https://") || this_machine {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(bad(KEY, "must begin with https://, or http:// on this machine, or be a path"))
    }
}

fn flag(fields: &mut Map<String, Value>, key: &str, default: bool) -> Result<bool, EngineError> {
    match fields.remove(key) {
        None => Ok(default),
        Some(Value::Bool(flag)) => Ok(flag),
        Some(_) => Err(bad(key, "must be true or false")),
    }
}

/// `audit: {requireReason: ['resolve', 'discard']}`.
fn require_reason(fields: &mut Map<String, Value>) -> Result<Vec<Act>, EngineError> {
    const PATH: &str = "audit.requireReason";
    let acts = match fields.remove(PATH) {
        None => Vec::new(),
        Some(Value::Array(acts)) => acts,
        Some(_) => return Err(bad(PATH, "must be a list")),
    };
    let act = |act: &Value| act.as_str().and_then(Act::parse).ok_or_else(|| bad(PATH, "knows 'resolve', 'discard', 'restore' and 'undo'"));
    acts.iter().map(act).collect()
}

/// `audit: {content: {'*': 'fields', invoice: 'payload'}}`: an entity's own word, or else that of `*`.
fn content(fields: &mut Map<String, Value>, schema: &mut Schema) -> Result<(), EngineError> {
    const PATH: &str = "audit.content";
    let mut said = match fields.remove(PATH) {
        None => return Ok(()),
        Some(Value::Object(said)) => said,
        Some(_) => return Err(bad(PATH, "must be an object")),
    };
    let mut word = |name: &str| match said.remove(name).map(|word| from_value::<Content>(&word)) {
        None => Ok(None),
        Some(Ok(content)) => Ok(Some(content)),
        Some(Err(_)) => Err(bad(&[PATH, ".", name].concat(), "must be 'hash', 'fields' or 'payload'")),
    };
    let all = word("*")?;
    for (name, entity) in schema.entities.iter_mut() {
        entity.content = word(name)?.or(all);
    }
    match said.keys().next() {
        Some(unknown) => Err(bad(&[PATH, ".", unknown].concat(), "is no entity of the schema")),
        None => Ok(()),
    }
}

/// The limits of the alerts; `false` turns one off.
fn alerts(fields: &mut Map<String, Value>) -> Result<Numbers, EngineError> {
    let mut limits = Numbers::default();
    for (limit, kind) in limits.iter_mut().zip(KINDS) {
        let path = ["alerts.", kind.setting].concat();
        *limit = match fields.remove(&path) {
            None => Some(kind.limit),
            Some(Value::Bool(false)) => None,
            Some(set) => {
                let set = set.as_f64().filter(|set| (kind.range.0..=kind.range.1).contains(set));
                Some(set.ok_or_else(|| bad(&path, "must be false, or a number in its range"))?)
            }
        };
    }
    Ok(limits)
}

/// Days as ms; `false` is for ever.
fn days(fields: &mut Map<String, Value>, key: &str, default: u64) -> Result<Option<u64>, EngineError> {
    const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
    if fields.get(key) == Some(&Value::Bool(false)) {
        fields.remove(key);
        return Ok(None);
    }
    Ok(Some(number(fields, key, default, 1, 36_500)? * DAY_MS))
}

fn number(fields: &mut Map<String, Value>, key: &str, default: u64, min: u64, max: u64) -> Result<u64, EngineError> {
    match fields.remove(key) {
        None => Ok(default),
        Some(value) => match value.as_u64() {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(bad(key, &format!("must be an integer from {min} to {max}"))),
        },
    }
}

fn count(fields: &mut Map<String, Value>, key: &str, default: u64, max: usize) -> Result<usize, EngineError> {
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let found = number(fields, key, default, 1, max)?;
    usize::try_from(found).map_err(|_| bad(key, "is too large"))
}

/// The name of the database of a tenant and a user: both can be anything, so the name is a hash of them,
/// each with its length before it.
pub fn database_name(tenant: &str, user: &str) -> String {
    let mut bytes = Vec::new();
    for part in [tenant, user] {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    format!("fieldsync/1/{}", base64url(&digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{PARKED, STORAGE};

    fn with(change: impl FnOnce(&mut Map<String, Value>)) -> Result<Settings, EngineError> {
        let mut settings = json!({"tenant": 7, "user": "anna", "baseUrl": "https://example.test/api/v1/sync/",
            "schema": {"name": "t", "version": 1, "entities": {"pet": {}}}});
        if let Some(fields) = settings.as_object_mut() {
            change(fields);
        }
        Settings::parse(&settings.to_string())
    }

    #[test]
    fn defaults_and_normal_forms() -> Result<(), EngineError> {
        let settings = with(|_| {})?;
        assert_eq!((settings.tenant.as_str(), settings.batch_size, settings.auto_sync), ("7", 50, true));
        assert_eq!(settings.require_reason, []);
        let asking = with(|fields| drop(fields.insert("audit".to_owned(), json!({"requireReason": ["discard", "resolve"]}))))?;
        assert_eq!(asking.require_reason, [Act::Discard, Act::Resolve]);
        let asking =
            with(|fields| drop(fields.insert("audit".to_owned(), json!({"requireReason": ["discard", "resolve", "undo", "restore"]}))))?;
        assert_eq!(asking.require_reason, [Act::Discard, Act::Resolve, Act::Undo, Act::Restore]);
        assert!(settings.audit_upload && asking.audit_upload);
        let content = |said: Value| {
            let set = with(|fields| drop(fields.insert("audit".to_owned(), json!({"content": said}))));
            set.map(|set| set.schema.entity("pet").and_then(|pet| pet.content))
        };
        assert_eq!(content(json!({}))?, None);
        assert_eq!(Content::default(), Content::Hash, "no value of a write stands in the trail that nobody wants there");
        assert_eq!(content(json!({"*": "fields"}))?, Some(Content::Fields));
        assert_eq!(content(json!({"*": "fields", "pet": "payload"}))?, Some(Content::Payload));
        assert_eq!(settings.base_url, "https://example.test/api/v1/sync");
        assert_eq!(settings.alerts, KINDS.map(|kind| Some(kind.limit)));
        let set = with(|fields| drop(fields.insert("alerts".to_owned(), json!({"parkedMs": 0, "storageHigh": false}))))?;
        assert_eq!((set.alerts[PARKED], set.alerts[STORAGE], set.alerts[STORAGE + 1]), (Some(0.0), None, Some(0.95)));
        let days = |days: u64| Some(days * 86_400_000);
        assert_eq!(settings.retention, Retention { sync_log: days(90), conflicts: days(365), audit: days(365) });
        let kept = with(|fields| {
            drop(fields.insert("retention".to_owned(), json!({"syncLogDays": 7, "conflictsDays": false, "auditDays": 3650})))
        })?;
        assert_eq!(kept.retention, Retention { sync_log: days(7), conflicts: None, audit: days(3_650) });
        Ok(())
    }

    #[test]
    fn a_bad_setting_fails_with_its_path() {
        let cases = [
            ("tenant", json!(null)),
            ("user", json!("")),
            ("user", json!(1.5)),
            ("baseUrl", json!("http://example.test")),
            ("baseUrl", json!("http://localhost@evil.test")),
            ("baseUrl", json!("http://localhost.evil.test")),
            ("baseUrl", json!("http://[2001:db8::1]/x")),
            ("baseUrl", json!("//evil.test")),
            ("batchSize", json!(0)),
            ("batchSize", json!(1001)),
            ("batchSizeMax", json!(0)),
            ("pageSize", json!("many")),
            ("rules", json!({"pet": true})),
            ("rules.dragon", json!(["dragon"])),
            ("rules.pet", json!(["pet"])),
            ("validators.dragon", json!(["dragon"])),
            ("ruleTimeoutMs", json!(99)),
            ("timeoutMs", json!(-1)),
            ("silenceMs", json!(999)),
            ("autoSync", json!(1)),
            ("audit", json!(true)),
            ("audit.requireReason", json!({"requireReason": "resolve"})),
            ("audit.requireReason", json!({"requireReason": ["wipe"]})),
            ("audit.upload", json!({"upload": "yes"})),
            ("audit.content", json!({"content": "fields"})),
            ("audit.content.*", json!({"content": {"*": "all"}})),
            ("audit.content.pet", json!({"content": {"*": "hash", "pet": true}})),
            ("audit.content.dragon", json!({"content": {"dragon": "hash"}})),
            ("audit.colour", json!({"colour": "green"})),
            ("alerts.conflictRate", json!({"conflictRate": 1.1})),
            ("alerts.sessionsFailed", json!({"sessionsFailed": true})),
            ("alerts.storage", json!({"storage": 0.5})),
            ("retention", json!([])),
            ("retention.syncLogDays", json!({"syncLogDays": 0})),
            ("retention.conflictsDays", json!({"conflictsDays": true})),
            ("retention.colourDays", json!({"colourDays": 1})),
            ("colour", json!("green")),
        ];
        for (path, value) in cases {
            let name = path.split('.').next().unwrap_or_default();
            let error = with(|fields| drop(fields.insert(name.to_owned(), value.clone()))).expect_err(path);
            assert_eq!((error.code, &error.details["path"]), ("bad_setting", &json!(path)), "{value}");
        }
        let flat = with(|fields| drop(fields.insert("retention.syncLogDays".to_owned(), json!(1)))).expect_err("no such setting");
        assert_eq!((flat.code, &flat.details["path"]), ("bad_setting", &json!("retention.syncLogDays")));
        for local in ["http://localhost:3000/x", "http://127.0.0.1:1", "http://[::1]:8787/x", "/api/v1/sync"] {
            assert!(with(|fields| drop(fields.insert("baseUrl".to_owned(), json!(local)))).is_ok(), "{local}");
        }
        let schema = with(|fields| {
            drop(fields.insert("schema".to_owned(), json!({"name": "t", "version": 1, "entities": {"pet": {"references": {"a": "b"}}}})))
        });
        assert_eq!(schema.expect_err("refused").code, "invalid_schema");
    }

    #[test]
    fn database_names_cannot_collide() {
        assert_ne!(database_name("ab", "c"), database_name("a", "bc"));
        assert_eq!(database_name("ab", "c").len(), "fieldsync/1/".len() + 43);
    }
}
