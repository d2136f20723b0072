//! What a record may hold, who may write it, and when it counts as written.

use fieldsync::protocol::limits::{CLOCK_TOLERANCE_MS, OPERATION_BYTES_MAX};
use fieldsync_server::store::ServerStore;
use serde_json::{Value, json};

use crate::wire::changes;
use crate::world::{Device, NOW_MS, Told, World, briefs, on_both_stores, version};

on_both_stores!(
    values_beyond_the_limits_are_refused_one_by_one,
    names_that_belong_to_fieldsync_are_refused,
    an_update_may_not_grow_a_record_beyond_its_limit,
    a_clock_ahead_is_clamped_and_one_behind_is_moved,
    each_field_has_the_stamp_of_its_last_change,
    entities_authors_and_groups_are_checked,
);

async fn values_beyond_the_limits_are_refused_one_by_one<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let nested = |levels: usize| (1..levels).fold(json!({}), |inner, _| json!({ "n": inner }));
    let create = |number, data: Value| anna.create(number, "client", format!("temp_{number}_a_client"), data);
    let record = |bytes: usize| json!({"t": "x".repeat(bytes - r#"{"t":""}"#.len())});
    let outcomes = world
        .upload(&anna, &[create(1, nested(64)), create(2, nested(65)), create(3, record(1 << 20)), create(4, record((1 << 20) + 1))])
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "rejected invalid_value", "applied 2", "rejected too_large"]);

    let empty = create(5, json!({"t": ""})).to_string().len();
    let whole = create(5, json!({"t": "x".repeat(OPERATION_BYTES_MAX - empty)}));
    let beyond = create(6, json!({"t": "x".repeat(OPERATION_BYTES_MAX - empty + 1)}));
    assert_eq!((whole.to_string().len(), beyond.to_string().len()), (OPERATION_BYTES_MAX, OPERATION_BYTES_MAX + 1));
    let outcomes = world.upload(&anna, &[whole, beyond]).await;
    assert_eq!(briefs(&outcomes), ["rejected too_large", "rejected too_large"]);
    let message = |at: usize| outcomes[at]["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message(0).contains("1048576") && message(1).contains(&OPERATION_BYTES_MAX.to_string()), "{} {}", message(0), message(1));

    let text = json!({"head": anna.head("r"), "operations": [create(7, json!({"n": 1})), create(8, json!({"n": 2}))]}).to_string();
    let text = text.replace(r#""n":1"#, r#""n":9007199254740992"#).replace(r#""n":2"#, r#""n":2,"n":3"#);
    let answer = world.service.upload(&anna.identity(), text.as_bytes()).await.map_err(|refusal| refusal.reason)?;
    let outcomes: Vec<Value> = answer.results.iter().map(|result| json!(result.outcome)).collect();
    assert_eq!(briefs(&outcomes), ["rejected invalid_operation", "rejected invalid_operation"]);
    Ok(())
}

async fn names_that_belong_to_fieldsync_are_refused<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "A", "inner": {"id": 1}})),
                anna.create(2, "client", "temp_2_b_client", json!({"id": 2})),
                anna.update(3, "client", 1, json!({"/_sync": 1}), version(1)),
                anna.update(4, "client", 1, json!({"/id/x": 1}), version(1)),
                anna.update(5, "client", 1, json!({"/__proto__": 1, "/constructor": {"prototype": 1}}), version(1)),
            ],
        )
        .await;
    let expected = ["applied 1", "rejected invalid_value", "rejected invalid_value", "rejected invalid_value", "applied 2"];
    assert_eq!(briefs(&outcomes), expected);
    assert_eq!(outcomes[2]["error"]["path"], json!("_sync"));
    Ok(())
}

async fn an_update_may_not_grow_a_record_beyond_its_limit<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let half = "x".repeat(600 << 10);
    let outcomes = world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"a": half})),
                anna.update(2, "client", 1, json!({"/b": half}), version(1)),
                anna.update(3, "client", 1, json!({"/a": "", "/b": half}), version(1)),
            ],
        )
        .await;
    assert_eq!(briefs(&outcomes), ["applied 1", "rejected too_large", "applied 2"]);
    Ok(())
}

async fn a_clock_ahead_is_clamped_and_one_behind_is_moved<S: ServerStore>(world: World<S>) -> Told {
    let mut anna = Device::new("north", "anna", 1);
    let mut create = |number: u64, ms: u64, offset_ms: i64| {
        anna.offset_ms = offset_ms;
        let mut operation = anna.create(number, "client", format!("temp_{number}_a_client"), json!({}));
        operation["stamp"] = json!([ms, 3]);
        (anna.clone(), operation)
    };
    let latest = NOW_MS + CLOCK_TOLERANCE_MS;
    for (number, ms, offset_ms, effective) in [
        (1, latest, 0, json!([latest, 3])),
        (2, latest + 1, 0, json!([latest, 0])),
        (3, NOW_MS + 3_600_000, -3_600_000, json!([NOW_MS, 3])),
        (4, NOW_MS - 3_600_000, 3_600_000, json!([NOW_MS, 3])),
        (5, 0, i64::MAX, json!([latest, 0])),
        (6, fieldsync::value::MAX_SAFE_INTEGER, i64::MIN, json!([0, 3])),
    ] {
        let (device, operation) = create(number, ms, offset_ms);
        let outcomes = world.upload(&device, &[operation]).await;
        assert_eq!(outcomes[0]["stamp"], effective, "case {number}: {outcomes:?}");
    }
    Ok(())
}

async fn each_field_has_the_stamp_of_its_last_change<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let mut unset = anna.update(3, "client", 1, json!({}), version(2));
    unset["action"]["delta"] = json!({"unset": ["/phone"]});
    world
        .upload(
            &anna,
            &[
                anna.create(1, "client", "temp_1_a_client", json!({"name": "A", "phone": "1", "address": {"city": "X"}})),
                anna.update(2, "client", 1, json!({"/address/city": "Y", "/address/street": "Z"}), version(1)),
                unset,
            ],
        )
        .await;
    let page = changes(&world.download(&anna, None, 10).await);
    assert_eq!(page[0]["stamp"], json!([NOW_MS + 1, 0]));
    assert_eq!(page[0]["fieldStamps"], json!({"address": [NOW_MS + 2, 0], "phone": [NOW_MS + 3, 0]}));
    assert_eq!(page[0]["data"], json!({"name": "A", "address": {"city": "Y", "street": "Z"}}));
    // Of another part of the address, by a clock that is behind: what is there has not become older.
    let mut behind = anna.update(4, "client", 1, json!({"/address/street": "W", "/name": "B"}), version(3));
    behind["stamp"] = json!([NOW_MS - 500, 0]);
    world.upload(&anna, &[behind]).await;
    let page = changes(&world.download(&anna, None, 10).await);
    let stamps = json!({"address": [NOW_MS + 2, 0], "name": [NOW_MS + 1, 0], "phone": [NOW_MS + 3, 0]});
    assert_eq!(page[0]["fieldStamps"], stamps);
    world.upload(&anna, &[anna.delete(5, "client", 1, version(4))]).await;
    let page = changes(&world.download(&anna, None, 10).await);
    assert_eq!((&page[0]["stamp"], page[0].get("fieldStamps")), (&json!([NOW_MS + 5, 0]), None));
    // Nor has it where such a clock brings it back, and deletes it again.
    let mut behind = [anna.restore(6, "client", 1, json!({"name": "C"}), version(5)), anna.delete(7, "client", 1, version(6))];
    for operation in &mut behind {
        operation["stamp"] = json!([NOW_MS - 500, 0]);
    }
    for operation in behind {
        world.upload(&anna, &[operation]).await;
        let page = changes(&world.download(&anna, None, 10).await);
        assert_eq!((&page[0]["stamp"], page[0].get("fieldStamps")), (&json!([NOW_MS + 5, 0]), None));
    }
    Ok(())
}

async fn entities_authors_and_groups_are_checked<S: ServerStore>(world: World<S>) -> Told {
    let anna = Device::new("north", "anna", 1);
    let mut forged = anna.create(2, "client", "temp_2_b_client", json!({}));
    forged["author"] = json!("ben");
    let mut member = anna.create(3, "client", "temp_3_c_client", json!({}));
    member["group"] = json!("g");
    let outcomes = world.upload(&anna, &[anna.create(1, "invoice", "temp_1_a_invoice", json!({})), forged, member]).await;
    assert_eq!(briefs(&outcomes), ["rejected unknown_entity", "rejected forbidden", "rejected invalid_operation"]);
    Ok(())
}
