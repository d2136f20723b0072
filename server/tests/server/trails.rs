//! The trail of a device in the tenant's chain: taken once, whatever comes again, and refused, with a trace, where it does
//! not continue what is there.

use fieldsync::audit::Row;
use fieldsync::model::Stamp;
use fieldsync_server::http::Settings;
use serde_json::{Value, json};

use crate::isolation::Audited;
use crate::port::Port;
use crate::world::{Device, Restorable, Told, World, followed, on_both_stores};

on_both_stores!(
    rows_enter_the_tenants_chain_once,
    a_past_that_was_written_anew_leaves_a_trace,
    what_went_with_a_wipe_is_a_gap_in_the_chain,
    a_server_from_a_backup_knows_less_of_a_trail_and_takes_it_again,
);

/// The trail of a device: its rows have the numbers 1, 3, 5 and so on.
fn trail(device: &Device, rows: u64) -> Vec<Row> {
    let mut trail: Vec<Row> = Vec::new();
    for at in 0..rows {
        trail.push(Row::after(trail.last(), at * 2 + 1, Stamp { ms: at, n: 0 }, None, &device.user, None, Vec::new()));
    }
    trail
}

fn head(row: &Row) -> Value {
    json!({"through": row.seq, "head": row.hash})
}

impl<S: Audited> World<S> {
    /// How far the server has the trail then, or why it took nothing: reason and row.
    async fn trail_up(&self, device: &Device, begins: Option<&Row>, rows: &[Row]) -> Value {
        let body = json!({"head": device.head("r-trail"), "begins": begins.map(head), "rows": rows}).to_string();
        match self.service.audit(&device.identity(), body.as_bytes()).await {
            Ok(answer) => json!(answer)["trail"].clone(),
            Err(refusal) => {
                let error = json!(refusal.fault())["error"].clone();
                assert_eq!((&error["code"], &error["retryable"]), (&json!("audit_refused"), &json!(false)), "{error}");
                json!([error["details"]["reason"], error["details"]["number"], error["details"]["through"]])
            }
        }
    }
    /// What stands in the chain of the tenant, which is in order.
    async fn chain(&self, tenant: &str) -> Vec<Value> {
        let rows = self.service.store().audit_rows(tenant).await.expect("rows");
        assert_eq!(followed(&rows), Ok(()));
        rows.iter().map(|row| serde_json::from_str(&row.content).expect("JSON")).collect()
    }
}

async fn rows_enter_the_tenants_chain_once<S: Audited>(world: World<S>) -> Told {
    let (anna, other) = (Device::new("north", "anna", 1), Device::new("north", "anna", 2));
    let rows = trail(&anna, 5);
    assert_eq!(world.initialize(&anna, None).await["audit"], json!(true), "the client asks nobody who does not want it");
    assert_eq!(world.status(&anna).await.get("trail"), None);
    assert_eq!(world.trail_up(&anna, None, &rows[..3]).await, head(&rows[2]));
    assert_eq!(world.trail_up(&anna, None, &rows[..3]).await, head(&rows[2]), "the answer was lost");
    assert_eq!(world.trail_up(&anna, None, &rows[1..]).await, head(&rows[4]), "and more was written meanwhile");
    assert_eq!(world.trail_up(&anna, None, &[]).await, head(&rows[4]));
    assert_eq!(world.trail_up(&other, None, &rows[..1]).await, head(&rows[0]), "another device has a trail of its own");
    let status = world.status(&anna).await;
    assert_eq!(status["trail"], head(&rows[4]));

    let chain = world.chain("north").await;
    let told: Vec<_> = chain.iter().map(|row| (&row["client"], &row["trail"]["after"], &row["trail"]["through"])).collect();
    let (first, second) = (json!(anna.client), json!(other.client));
    assert_eq!(told, [(&first, &json!(0), &json!(5)), (&first, &json!(5), &json!(9)), (&second, &json!(0), &json!(1))]);
    assert_eq!((&chain[1]["user"], &chain[1]["request"]), (&json!("anna"), &json!("r-trail")));
    assert_eq!((&chain[1]["trail"]["rows"], &chain[1]["trail"]["head"]), (&json!(rows[3..]), &json!(rows[4].hash)));
    assert_eq!(status["auditHead"], json!(world.service.store().audit_rows("north").await?[2].hash));
    Ok(())
}

async fn a_past_that_was_written_anew_leaves_a_trace<S: Audited>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let eve = Device { user: "eve".to_owned(), ..anna.clone() };
    let (rows, anew) = (trail(&anna, 5), trail(&eve, 5));
    assert_eq!(world.trail_up(&anna, None, &rows[..3]).await, head(&rows[2]));
    for (sent, refused) in [
        (&anew[..], json!(["fork", 5, 5])),
        (&anew[3..], json!(["fork", 7, 5])),
        (&rows[4..], json!(["gap", 9, 5])),
        (&[rows[3].clone(), anew[4].clone()][..], json!(["broken", 9, 5])),
    ] {
        let before = world.chain("north").await.len();
        assert_eq!(world.trail_up(&anna, None, sent).await, refused);
        let chain = world.chain("north").await;
        let last = chain.last().ok_or("a row")?;
        assert_eq!((chain.len(), &last["refused"], &last["client"]), (before + 1, &json!("audit_refused"), &json!(anna.client)));
        assert_eq!(json!([last["trail"]["reason"], last["trail"]["number"], last["trail"]["through"]]), refused);
        assert_eq!(world.status(&anna).await["trail"], head(&rows[2]), "nothing of it is taken");
    }
    assert_eq!(world.trail_up(&anna, None, &rows[3..]).await, head(&rows[4]), "the true one goes on");
    Ok(())
}

async fn what_went_with_a_wipe_is_a_gap_in_the_chain<S: Audited>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let rows = trail(&anna, 5);
    assert_eq!(world.trail_up(&anna, None, &rows[..1]).await, head(&rows[0]));
    assert_eq!(world.trail_up(&anna, Some(&rows[2]), &rows[3..]).await, head(&rows[4]));
    let chain = world.chain("north").await;
    assert_eq!((&chain[1]["trail"]["after"], &chain[1]["trail"]["begins"]), (&json!(1), &json!(5)));
    assert_eq!(chain[0]["trail"].get("begins"), None);
    Ok(())
}

async fn a_server_from_a_backup_knows_less_of_a_trail_and_takes_it_again<S: Audited>(world: World<S>) -> Told
where
    World<S>: Restorable,
{
    let anna = Device::new("north", "anna", 1);
    let rows = trail(&anna, 5);
    assert_eq!(world.trail_up(&anna, None, &rows[..2]).await, head(&rows[1]));
    let backup = world.back_up().await?;
    assert_eq!(world.trail_up(&anna, None, &rows[2..4]).await, head(&rows[3]));
    let restored = world.restored(&backup, 1).await?;
    assert_eq!(restored.trail_up(&anna, None, &rows[4..]).await, json!(["gap", 9, 3]), "the client learns where to go on");
    assert_eq!(restored.trail_up(&anna, None, &rows[2..]).await, head(&rows[4]));
    Ok(())
}

#[tokio::test]
async fn a_trail_is_bounded_and_belongs_to_its_client() -> Told {
    let world = World::sqlite().await?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let rows = trail(&anna, 1_001);
    assert_eq!(port.ask(&anna, "audit", json!({"rows": rows})).await?.brief(), "413 too_large");
    assert_eq!(port.ask(&anna, "audit", json!({"rows": rows[..1_000]})).await?.json()["trail"], head(&rows[999]));
    let long = json!({"rows": [{"seq": 1, "reason": "x".repeat(5 << 20)}]});
    assert_eq!(port.ask(&anna, "audit", long).await?.brief(), "413 too_large");
    for (more, expected) in [
        (json!({}), "422 invalid_request"),
        (json!({"rows": {}}), "422 invalid_request"),
        (json!({"rows": [7]}), "422 audit_refused"),
        (json!({"rows": [{}]}), "422 audit_refused"),
        (json!({"rows": [{"seq": 1e300, "hash": "x"}]}), "422 audit_refused"),
        (json!({"rows": [], "begins": {"through": 9_007_199_254_740_991_u64, "head": rows[0].hash}}), "200"),
        (json!({"rows": [], "begins": {"through": 1}}), "422 invalid_request"),
    ] {
        assert_eq!(port.ask(&anna, "audit", more.clone()).await?.brief(), expected, "{more}");
    }
    let ben = Device { user: "ben".to_owned(), ..anna.clone() };
    assert_eq!(port.ask(&ben, "audit", json!({"rows": []})).await?.brief(), "403 forbidden", "the database is another user's");
    // The client ID of another tenant is of no use: there it is another device, of which nothing is here.
    let south = Device::new("south", "anna", 1);
    let nothing = json!({"through": 0, "head": "0".repeat(64)});
    assert_eq!(port.ask(&south, "audit", json!({"rows": []})).await?.json()["trail"], nothing);
    assert_eq!(port.ask(&south, "audit", json!({"rows": rows[..1]})).await?.json()["trail"], head(&rows[0]));
    assert_eq!(world.status(&anna).await["trail"], head(&rows[999]), "and the other's is as it was");
    Ok(())
}
