//! Many at once, and one after the other: what comes out does not depend on it.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fieldsync_server::store::ServerStore;
use fieldsync_server::store::memory::MemoryStore;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::wire::changes;
use crate::world::{Device, Failure, Told, World, after, on_both_stores, version};

on_both_stores!(
    uploads_of_many_devices_take_one_sequence_without_a_hole,
    the_same_batch_sent_twice_at_once_counts_once,
    one_of_two_overlapping_changes_is_a_conflict,
);

/// Sends all batches at once; the outcomes come back in the order of the batches.
async fn all_at_once<S: ServerStore>(
    world: World<S>,
    batches: Vec<(Device, Vec<Value>)>,
) -> Result<(Arc<World<S>>, Vec<Vec<Value>>), Failure> {
    let world = Arc::new(world);
    let mut running = JoinSet::new();
    for (number, (device, batch)) in batches.into_iter().enumerate() {
        let world = Arc::clone(&world);
        running.spawn(async move { (number, world.upload(&device, &batch).await) });
    }
    let mut outcomes = Vec::new();
    while let Some(done) = running.join_next().await {
        outcomes.push(done?);
    }
    outcomes.sort_by_key(|(number, _)| *number);
    Ok((world, outcomes.into_iter().map(|(_, outcomes)| outcomes).collect()))
}

async fn uploads_of_many_devices_take_one_sequence_without_a_hole<S: ServerStore>(world: World<S>) -> Told {
    let batch = |device: &Device, number: u64| -> Vec<Value> {
        let first = 1 + number * 20;
        let create = |number: u64| device.create(number, "client", format!("temp_{number}_a_client"), json!({"n": number}));
        (first..first + 20).map(create).collect()
    };
    let devices = (0..30).map(|number| (Device::new("north", &format!("user-{number}"), number), number));
    let batches = devices.map(|(device, number)| (device.clone(), batch(&device, number))).collect();
    let (world, outcomes) = all_at_once(world, batches).await?;
    let mut versions = BTreeSet::new();
    for batch in &outcomes {
        let own: Vec<u64> =
            batch.iter().map(|outcome| outcome["version"].as_str().unwrap_or_default().parse()).collect::<Result<_, _>>()?;
        assert!(own.windows(2).all(|pair| pair[1] == pair[0] + 1), "a batch is one piece of the sequence");
        versions.extend(own);
    }
    assert_eq!(versions, (1..=600).collect());
    let ids: BTreeSet<_> = outcomes.iter().flatten().map(|outcome| outcome["realId"].to_string()).collect();
    assert_eq!(ids.len(), 600);
    assert_eq!(changes(&world.download(&Device::new("north", "user-0", 0), None, 1_000).await).len(), 600);
    Ok(())
}

async fn the_same_batch_sent_twice_at_once_counts_once<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let batch: Vec<Value> =
        (1..=50).map(|number| anna.create(number, "client", format!("temp_{number}_a_client"), json!({"n": number}))).collect();
    let (world, outcomes) = all_at_once(world, vec![(anna.clone(), batch.clone()), (anna.clone(), batch)]).await?;
    let first = if outcomes[0][0]["status"] == "applied" { 0 } else { 1 };
    for (applied, repeated) in outcomes[first].iter().zip(&outcomes[1 - first]) {
        assert_eq!(repeated, &json!({"status": "duplicate", "original": applied}));
    }
    assert_eq!(world.status(&anna).await["sequence"], json!("50"));
    Ok(())
}

async fn one_of_two_overlapping_changes_is_a_conflict<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 0);
    world.upload(&anna, &[anna.create(1, "client", "temp_1_a_client", json!({}))]).await;
    let change = |number: u64| {
        let device = Device::new("north", &format!("user-{number}"), number);
        let update = device.update(number + 1, "client", 1, json!({"/by": number}), version(1));
        (device, vec![update])
    };
    let (world, outcomes) = all_at_once(world, (1..=20).map(change).collect()).await?;
    let applied: Vec<_> = outcomes.iter().filter(|outcomes| outcomes[0]["status"] == "applied").collect();
    assert_eq!(applied.len(), 1);
    assert_eq!(outcomes.iter().filter(|outcomes| outcomes[0]["status"] == "conflict").count(), 19);
    let status = world.status(&anna).await;
    assert_eq!((&status["sequence"], &status["openConflicts"]), (&json!("2"), &json!(19)));
    Ok(())
}

/// What a simulation needs: no runtime, no thread, nothing that waits.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for something"),
    }
}

#[test]
fn over_the_memory_store_the_service_needs_no_runtime_and_repeats_itself() -> Told {
    let play = || -> Result<Vec<String>, Failure> {
        let world: World<MemoryStore> = World::memory()?;
        let anna = Device::new("north", "anna", 1);
        let batch = [
            anna.create(1, "vet", "temp_1_a_vet", json!({"name": "A"})),
            anna.update(2, "vet", "temp_1_a_vet", json!({"/name": "B"}), after(1)),
            anna.update(3, "vet", "temp_1_a_vet", json!({"/name": "C"}), after(1)),
        ];
        let outcomes = at_once(world.upload(&anna, &batch));
        let lines = at_once(world.try_download(&anna, None, 1)).map_err(|fault| fault.to_string())?;
        Ok(outcomes.iter().map(Value::to_string).chain(lines).chain([at_once(world.status(&anna)).to_string()]).collect())
    };
    let first = play()?;
    assert!(first.iter().any(|line| line.contains("conflictId")), "{first:?}");
    assert_eq!(first, play()?);
    Ok(())
}
