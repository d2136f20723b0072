//! Who may come in: tokens, identities, origins, and what every answer bears.

use axum::body::Body;
use data_encoding::BASE64URL_NOPAD;
use fieldsync_server::http::Settings;
use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::Clock;
use fieldsync_server::token::Tokens;
use serde_json::json;

use crate::port::{Port, body};
use crate::world::{Device, Told, World, briefs};

const ENDPOINTS: [&str; 6] = ["initialize", "upload", "download", "status", "conflicts", "resolve-conflict"];

#[tokio::test]
async fn every_endpoint_but_health_needs_a_token_that_counts() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let good = port.token(&anna);
    let now_ms = world.clock.now_ms();
    let claims = good.split('.').nth(1).ok_or("a token has claims")?;
    let none = format!("{}.{claims}.", BASE64URL_NOPAD.encode(br#"{"alg":"none"}"#));
    let hs512 = format!("{}.{claims}.{}", BASE64URL_NOPAD.encode(br#"{"alg":"HS512"}"#), good.rsplit('.').next().ok_or("a signature")?);
    let other_key = Tokens::new(&ServerKey::parse("another key, which is also long enough")?).issue(&anna.identity(), now_ms, 10);
    let expired = Tokens::new(&crate::world::key()?).issue(&anna.identity(), now_ms - 3_600_000, 10);
    let other_audience = {
        let claims =
            json!({"sub": "anna", "tenant": "north", "iat": now_ms / 1_000, "exp": now_ms / 1_000 + 60, "iss": "fieldsync", "aud": "x"});
        let signed = format!("{}.{}", BASE64URL_NOPAD.encode(br#"{"alg":"HS256"}"#), BASE64URL_NOPAD.encode(claims.to_string().as_bytes()));
        let signature = crate::world::key()?.for_tokens().sign(&[signed.as_bytes()]);
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    };
    let anything = body(&anna, json!({"operations": [anna.create(1, "client", "temp_1_a_client", json!({}))]}));
    for endpoint in ENDPOINTS {
        for token in ["", "x", &none, &hs512, &other_key, &expired, &other_audience] {
            assert_eq!(port.post(token, endpoint, &anything).await?.brief(), "401 auth_required", "{endpoint} {token}");
        }
        let json_type = ("content-type", "application/json");
        for headers in
            [vec![json_type], vec![json_type, ("authorization", good.as_str())], vec![json_type, ("authorization", "Basic YTpi")]]
        {
            assert_eq!(port.send("POST", endpoint, &headers, anything.clone()).await?.brief(), "401 auth_required", "{endpoint}");
        }
    }
    assert_eq!(world.status(&anna).await["sequence"], json!("0"));
    let health = port.send("GET", "health?nonce=n-7", &[], Body::empty()).await?;
    assert_eq!((health.status, &health.json()["nonce"], &health.json()["ready"]), (200, &json!("n-7"), &json!(true)));
    Ok(())
}

#[tokio::test]
async fn a_token_of_another_tenant_or_user_applies_nothing() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let create = anna.create(1, "client", "temp_1_a_client", json!({}));
    for other in [Device::new("south", "anna", 1), Device::new("north", "ben", 1), Device::new("", "", 1)] {
        let token = port.token(&other);
        for endpoint in ENDPOINTS {
            // Nothing else of the body is looked at first: neither its protocol nor its form.
            let mut wrong = serde_json::from_str::<serde_json::Value>(&body(&anna, json!({"operations": [create, {"id": 7}]})))?;
            wrong["head"]["protocol"] = json!(99);
            let expected = if other.tenant.is_empty() { "401 auth_required" } else { "403 identity_mismatch" };
            assert_eq!(port.post(&token, endpoint, &wrong.to_string()).await?.brief(), expected, "{endpoint}");
        }
    }
    assert_eq!(world.status(&anna).await["sequence"], json!("0"));
    Ok(())
}

#[tokio::test]
async fn the_database_of_another_user_is_refused_everywhere() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let (anna, ben) = (Device::new("north", "anna", 1), Device::new("north", "ben", 1));
    assert_eq!(anna.client, ben.client, "the same database, said to be Ben's");
    let first = port.ask(&anna, "upload", json!({"operations": [anna.create(1, "client", "temp_1_a_client", json!({}))]})).await?;
    assert_eq!(first.brief(), "200");
    let more = json!({"operations": [], "pageRecords": 1, "schema": 3, "pending": 0, "lastSeq": 0, "conflictId": "none",
        "operation": crate::world::op(9), "expectedVersion": "1", "resolution": "server-wins"});
    for endpoint in ENDPOINTS {
        let own = if endpoint == "resolve-conflict" { "404 unknown_conflict" } else { "200" };
        assert_eq!(port.ask(&ben, endpoint, more.clone()).await?.brief(), "403 forbidden", "{endpoint}");
        assert_eq!(port.ask(&anna, endpoint, more.clone()).await?.brief(), own, "{endpoint}");
    }
    Ok(())
}

#[tokio::test]
async fn only_listed_origins_are_told_that_they_may_read() -> Told {
    let world = World::memory()?;
    let origin = "https://app.example";
    let listed = Settings { allowed_origins: [origin.to_owned()].into(), ..Settings::default() };
    let open = Port::open(&world, listed).await?;
    let closed = Port::open(&world, Settings::default()).await?;
    for (port, asking, allowed) in [
        (&open, origin, true),
        (&open, "https://app.example.evil", false),
        (&open, "http://app.example", false),
        (&open, "null", false),
        (&closed, origin, false),
    ] {
        let preflight =
            port.send("OPTIONS", "upload", &[("origin", asking), ("access-control-request-method", "POST")], Body::empty()).await?;
        let health = port.send("GET", "health", &[("origin", asking)], Body::empty()).await?;
        let refused = port.send("POST", "upload", &[("origin", asking)], Body::empty()).await?;
        assert_eq!((preflight.status, health.status, refused.status), (204, 200, 401));
        for answer in [&preflight, &health, &refused] {
            assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(asking));
            assert_eq!(answer.header("vary"), Some("Origin"));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
        assert_eq!(preflight.header("access-control-allow-headers"), allowed.then_some("Authorization, Content-Type"));
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_is_kept_by_nobody_and_every_refusal_has_one_shape() -> Told {
    let world = World::memory()?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let answers = [
        (port.ask(&anna, "status", json!({})).await?, "200"),
        (port.ask(&anna, "download", json!({"pageRecords": 5})).await?, "200"),
        (port.send("GET", "upload", &[], Body::empty()).await?, "405 method_not_allowed"),
        (port.send("POST", "health", &[], Body::empty()).await?, "405 method_not_allowed"),
        (port.send("GET", "/", &[], Body::empty()).await?, "404 not_found"),
        (port.send("POST", "nothing", &[], Body::empty()).await?, "404 not_found"),
        (port.send("POST", "/api/sync/upload", &[], Body::empty()).await?, "404 not_found"),
    ];
    for (answer, expected) in answers {
        assert_eq!(answer.brief(), expected);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    Ok(())
}

#[tokio::test]
async fn a_chain_over_the_wire_is_the_chain_of_the_service() -> Told {
    let world = World::sqlite().await?;
    let port = Port::open(&world, Settings::default()).await?;
    let anna = Device::new("north", "anna", 1);
    let operations = json!({"operations": [
        anna.create(1, "client", "temp_1_a_client", json!({"name": "A"})),
        anna.create(2, "pet", "temp_2_b_pet", json!({"clientId": "temp_1_a_client"})),
    ]});
    let answer = port.ask(&anna, "upload", operations).await?.json();
    let outcomes: Vec<_> = answer["results"].as_array().into_iter().flatten().map(|result| result["outcome"].clone()).collect();
    assert_eq!(briefs(&outcomes), ["applied 1", "applied 2"]);
    assert_eq!((&answer["reply"]["requestId"], &answer["reply"]["durable"]), (&json!("r-1"), &json!("2")));
    let answer = port.ask(&anna, "download", json!({"pageRecords": 1})).await?;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<String> = String::from_utf8(answer.body)?.lines().map(str::to_owned).collect();
    assert_eq!(crate::wire::pages(&lines).len(), 2);
    Ok(())
}
