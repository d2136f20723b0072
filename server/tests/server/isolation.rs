//! Two tenants in one database. Whatever one of them knows of the other (IDs, temp IDs, operation IDs,
//! checkpoints, client IDs), no endpoint gives or takes anything across.

use fieldsync_server::http::Settings;
use fieldsync_server::store::memory::MemoryStore;
use fieldsync_server::store::sqlite::SqliteStore;
use fieldsync_server::store::{AuditRow, ServerStore};
use serde_json::{Value, json};

use crate::port::Port;
use crate::world::{Device, Failure, Told, World, brief, followed, op, version};

const SECRET: &str = "north-secret";

#[tokio::test]
async fn nothing_of_one_tenant_is_seen_or_touched_by_another() -> Told {
    let world = World::sqlite().await?;
    let port = Port::open(&world, Settings::default()).await?;
    let north = Device::new("north", "anna", 1);
    let photo = "0190a1b2-0000-7000-a000-000000000007";
    let mine = [
        north.create(1, "client", "temp_1_a_client", json!({"name": SECRET})),
        north.create(2, "vet", "temp_2_b_vet", json!({"name": SECRET})),
        north.create(3, "photo", photo, json!({"name": SECRET})),
        north.create(4, "client", "temp_4_d_client", json!({"name": SECRET})),
        north.update(5, "client", 2, json!({"/name": SECRET, "/n": 1}), version(4)),
        north.update(6, "client", 2, json!({"/n": 2}), version(4)),
    ];
    let answer = port.ask(&north, "upload", json!({"operations": mine})).await?.json();
    let vet = answer["results"][1]["outcome"]["realId"].clone();
    let conflict = answer["results"][5]["outcome"]["conflictId"].clone();
    assert!(conflict.is_string());
    let page = String::from_utf8(port.ask(&north, "download", json!({"pageRecords": 100})).await?.body)?;
    let checkpoint: Value = serde_json::from_str(page.lines().nth(2).ok_or("a page")?)?;
    let before = (world.status(&north).await, world.download(&north, None, 100).await);

    // Another tenant, with the same client ID and the same user name.
    let south = Device::new("south", "anna", 1);
    let mut superseding = south.update(26, "client", 2, json!({}), version(5));
    superseding["supersedes"] = json!(op(6));
    let probes: [(Value, &str); 14] = [
        (south.update(10, "client", 1, json!({"/name": "x"}), version(1)), "rejected unknown_record"),
        (south.update(11, "vet", vet.clone(), json!({"/name": "x"}), version(2)), "rejected unknown_record"),
        (south.delete(12, "client", 1, version(1)), "rejected unknown_record"),
        (south.delete(13, "photo", photo, version(3)), "rejected unknown_record"),
        (south.restore(14, "client", 1, json!({}), version(1)), "rejected unknown_record"),
        (south.update(15, "client", "temp_1_a_client", json!({"/name": "x"}), version(1)), "blocked temp_1_a_client"),
        (south.create(16, "pet", "temp_16_p_pet", json!({"clientId": 1})), "rejected reference_missing"),
        (south.create(17, "pet", "temp_17_q_pet", json!({"clientId": "temp_1_a_client"})), "blocked temp_1_a_client"),
        (south.create(18, "visit", "temp_18_r_visit", json!({"by": {"lead": vet}})), "rejected reference_missing"),
        // The same operation, byte for byte: it is another one here.
        (mine[4].clone(), "rejected unknown_record"),
        (superseding, "rejected unknown_record"),
        (south.create(27, "photo", photo, json!({})), "applied 1"),
        (south.create(28, "client", "temp_1_a_client", json!({})), "applied 2"),
        (south.update(29, "client", 1, json!({"/n": 1}), json!({"after": op(1)})), &format!("blocked {}", op(1))),
    ];
    for (operation, expected) in &probes {
        let answer = port.ask(&south, "upload", json!({"operations": [operation]})).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(brief(&answer.json()["results"][0]["outcome"]), *expected, "{operation}");
        assert!(!text.contains(SECRET) && !text.contains(conflict.as_str().unwrap_or("?")), "{text}");
    }
    for (endpoint, more) in [
        ("download", json!({"pageRecords": 100, "checkpoint": checkpoint["checkpoint"]})),
        ("initialize", json!({"schema": 3, "pending": 0, "lastSeq": 0, "checkpoint": checkpoint["checkpoint"]})),
    ] {
        assert_eq!(port.ask(&south, endpoint, more).await?.brief(), "422 invalid_checkpoint", "{endpoint}");
    }
    // A coordinator decides for his own tenant and no other.
    let coordinator = south.clone().coordinating();
    for (device, endpoint, more) in [
        (&south, "download", json!({"pageRecords": 100})),
        (&south, "initialize", json!({"schema": 3, "pending": 0, "lastSeq": 0})),
        (&south, "status", json!({})),
        (&south, "conflicts", json!({})),
        (&south, "audit", json!({"rows": []})),
        (&coordinator, "conflicts", json!({})),
        (&coordinator, "conflicts", json!({"entity": "client", "record": 2})),
    ] {
        let answer = port.ask(device, endpoint, more).await?;
        assert_eq!(answer.status, 200);
        assert!(!String::from_utf8_lossy(&answer.body).contains(SECRET), "{endpoint}");
        assert!(endpoint != "conflicts" || answer.json()["conflicts"] == json!([]), "{endpoint}");
    }
    let decision = json!({"conflictId": conflict, "operation": op(30), "expectedVersion": "5", "resolution": "client-wins"});
    for device in [&south, &coordinator] {
        let answer = port.ask(device, "resolve-conflict", decision.clone()).await?;
        assert_eq!(answer.brief(), "404 unknown_conflict", "its name is of no use here");
    }
    let status = world.status(&south).await;
    assert_eq!((&status["sequence"], &status["openConflicts"]), (&json!("2"), &json!(0)));

    // And the first tenant is as it was.
    let after = (world.status(&north).await, world.download(&north, None, 100).await);
    assert_eq!(after.0, before.0);
    assert_eq!(crate::wire::changes(&after.1), crate::wire::changes(&before.1));
    Ok(())
}

crate::world::on_both_stores!(a_foreign_database_leaves_a_trace_with_the_tenant_whose_token_it_used);

async fn a_foreign_database_leaves_a_trace_with_the_tenant_whose_token_it_used<S: Audited>(world: World<S>) -> Told {
    let north = Device::new("north", "anna", 1);
    world.upload(&north, &[north.create(1, "client", "temp_1_a_client", json!({}))]).await;
    let before = world.status(&north).await;
    let mut foreign = north.head("r-foreign");
    foreign["tenant"] = json!("south");
    let body = json!({"head": foreign, "operations": [], "schema": 1, "pending": 0, "lastSeq": 0, "pageRecords": 1}).to_string();
    let service = &world.service;
    let refusals = [
        service.upload(&north.identity(), body.as_bytes()).await.err(),
        service.initialize(&north.identity(), body.as_bytes()).await.err(),
        service.download(&north.identity(), body.as_bytes()).await.err(),
        service.status(&north.identity(), body.as_bytes()).await.err(),
        service.conflicts(&north.identity(), body.as_bytes()).await.err(),
        service.resolve_conflict(&north.identity(), body.as_bytes()).await.err(),
        service.audit(&north.identity(), body.as_bytes()).await.err(),
    ];
    for refusal in refusals {
        assert_eq!(refusal.ok_or("it is refused")?.reason.classify().1, "identity_mismatch");
    }
    let rows = service.store().audit_rows("north").await?;
    assert_eq!((rows.len(), followed(&rows)), (8, Ok(())));
    let content: Value = serde_json::from_str(&rows[7].content)?;
    assert_eq!((&content["refused"], &content["request"]), (&json!("identity_mismatch"), &json!("r-foreign")));
    assert_eq!((&content["user"], &content["database"]["tenant"]), (&json!("anna"), &json!("south")));
    assert_eq!(service.store().audit_rows("south").await?.len(), 0, "nobody writes into another tenant's chain");
    let after = world.status(&north).await;
    assert_eq!((&after["sequence"], &after["auditHead"]), (&before["sequence"], &json!(rows[7].hash)));
    assert_eq!(world.upload(&north, &[north.create(2, "client", "temp_2_a_client", json!({}))]).await.len(), 1);
    assert_eq!(followed(&service.store().audit_rows("north").await?), Ok(()));
    Ok(())
}

/// A store whose audit chain can be read.
pub(crate) trait Audited: ServerStore {
    async fn audit_rows(&self, tenant: &str) -> Result<Vec<AuditRow>, Failure>;
}

impl Audited for MemoryStore {
    async fn audit_rows(&self, tenant: &str) -> Result<Vec<AuditRow>, Failure> {
        Ok(self.audit(tenant).await)
    }
}

impl Audited for SqliteStore {
    async fn audit_rows(&self, tenant: &str) -> Result<Vec<AuditRow>, Failure> {
        Ok(self.audit(tenant).await?)
    }
}
