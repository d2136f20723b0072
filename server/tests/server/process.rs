//! The program itself: its commands, how it starts and ends, and what is left when it dies.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use sqlx::Row;

use crate::port::{Answer, body, request};
use crate::world::{Device, Failure, Folder, SCHEMA, Told, after, briefs};

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldsync-server"));
    command.env_remove("FIELDSYNC_KEY").env_remove("FIELDSYNC_GATE").env("RUST_LOG", "info");
    command
}

/// A database, a schema and a key, and servers that run over them one after the other.
struct House {
    folder: Folder,
    token: String,
}

impl House {
    fn new() -> Result<Self, Failure> {
        let folder = Folder::new()?;
        std::fs::write(folder.file("schema.json"), SCHEMA)?;
        succeed(program().args(["new-key", "--key-file", &folder.file("key")]))?;
        let token = succeed(program().args(["token", "--key-file", &folder.file("key"), "--tenant", "north", "--user", "anna"]))?;
        Ok(Self { folder, token: token.trim().to_owned() })
    }

    fn serve(&self, gate: Option<&str>) -> Result<Running, Failure> {
        self.serve_with(gate, Stdio::null())
    }

    fn serve_promising(&self, watermark: &str) -> Result<Running, Failure> {
        self.start(program().args(["serve", "--watermark", watermark]), Stdio::null())
    }

    fn serve_with(&self, gate: Option<&str>, log: Stdio) -> Result<Running, Failure> {
        let mut command = program();
        if let Some(gate) = gate {
            command.env("FIELDSYNC_GATE", gate);
        }
        self.start(command.arg("serve"), log)
    }

    fn start(&self, command: &mut Command, log: Stdio) -> Result<Running, Failure> {
        command.args(["--database", &self.folder.file("data.sqlite"), "--schema", &self.folder.file("schema.json")]);
        command.args(["--key-file", &self.folder.file("key"), "--listen", "127.0.0.1:0"]);
        let mut child = command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("stdout is piped")?).lines();
        let said = lines.next().ok_or("the server said nothing")??;
        let address = said.strip_prefix("listening on http://").ok_or("the line says where")?.parse()?;
        Ok(Running { child, address, lines })
    }

    async fn send(&self, address: SocketAddr, endpoint: &str, body: &str) -> Result<Answer, Failure> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        request(address, "POST", &format!("/api/v1/sync/{endpoint}"), &headers, Body::from(body.to_owned())).await
    }

    async fn upload(&self, address: SocketAddr, body: &str) -> Result<Vec<Value>, Failure> {
        let answer = self.send(address, "upload", body).await?;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        Ok(answer.json()["results"].as_array().into_iter().flatten().map(|result| result["outcome"].clone()).collect())
    }

    /// Rows of the database file, read by nobody's code but SQLite's.
    async fn rows(&self, statement: &'static str) -> Result<Vec<Vec<String>>, Failure> {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", self.folder.file("data.sqlite"))).await?;
        let rows = sqlx::query(statement).fetch_all(&pool).await?;
        pool.close().await;
        let cells = |row: &sqlx::sqlite::SqliteRow| (0..row.len()).map(|at| row.try_get::<String, _>(at)).collect::<Result<Vec<_>, _>>();
        Ok(rows.iter().map(cells).collect::<Result<_, _>>()?)
    }

    async fn number(&self, statement: &'static str) -> Result<u64, Failure> {
        Ok(self.rows(statement).await?[0][0].parse()?)
    }
}

struct Running {
    child: Child,
    address: SocketAddr,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    /// SIGKILL: no handler runs, nothing is flushed by the process.
    fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be dead already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn succeed(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn anna() -> Device {
    Device::new("north", "anna", 1)
}

/// Clients, each with a pet that refers to it by its temp ID.
fn families(from: u64, count: u64) -> String {
    let operations: Vec<Value> = (from..from + count)
        .flat_map(|number| {
            let (client, pet) = (format!("temp_{number}_a_client"), format!("temp_{number}_b_pet"));
            [
                anna().create(2 * number, "client", client.clone(), json!({"name": number})),
                anna().create(2 * number + 1, "pet", pet, json!({"clientId": client, "name": number})),
            ]
        })
        .collect();
    body(&anna(), json!({ "operations": operations }))
}

fn applied_or_repeated(outcomes: &[Value]) -> bool {
    outcomes.iter().all(|outcome| outcome["status"] == "applied" || outcome["original"]["status"] == "applied")
}

#[tokio::test]
async fn a_server_killed_at_any_moment_has_each_operation_once() -> Told {
    let house = House::new()?;
    let per_round = 250;
    for round in 0..8 {
        let mut server = house.serve(None)?;
        let batch = families(1 + round * per_round, per_round);
        let address = server.address;
        let uploading = house.upload(address, &batch);
        // The moment is arbitrary on purpose: before the batch, in the middle of it, after it.
        let moment = tokio::time::sleep(Duration::from_millis(12 * round));
        let answered = tokio::select! { answer = uploading => Some(answer?), () = moment => None };
        server.kill()?;
        assert!(answered.is_none_or(|outcomes| applied_or_repeated(&outcomes)));
        let server = house.serve(None)?;
        assert!(applied_or_repeated(&house.upload(server.address, &batch).await?), "round {round}");
    }
    let expected = 8 * per_round * 2;
    assert_eq!(house.number("SELECT CAST(count(*) AS TEXT) FROM changes").await?, expected);
    assert_eq!(house.number("SELECT CAST(count(DISTINCT operation) AS TEXT) FROM changes").await?, expected);
    assert_eq!(house.number("SELECT CAST(max(version) AS TEXT) FROM changes").await?, expected, "the sequence has no hole");
    let families =
        "SELECT CAST(count(*) AS TEXT) FROM records pet JOIN records client ON client.tenant = pet.tenant AND client.entity = 'client'
        AND client.id = json_extract(pet.data, '$.clientId') AND json_extract(client.data, '$.name') = json_extract(pet.data, '$.name')
        AND client.version < pet.version WHERE pet.entity = 'pet'";
    assert_eq!(house.number(families).await?, expected / 2, "every pet came after its own client and refers to it");
    Ok(())
}

#[tokio::test]
async fn an_upload_that_was_decided_but_not_committed_has_not_happened() -> Told {
    let house = House::new()?;
    let server = house.serve(Some("before-commit:2"))?;
    assert!(applied_or_repeated(&house.upload(server.address, &families(1, 10)).await?));
    assert!(house.send(server.address, "upload", &families(11, 10)).await.is_err(), "the server died");
    drop(server);
    assert_eq!(house.number("SELECT CAST(count(*) AS TEXT) FROM changes").await?, 20);
    let server = house.serve(None)?;
    let outcomes = house.upload(server.address, &families(11, 10)).await?;
    assert!(outcomes.iter().all(|outcome| outcome["status"] == "applied"));
    Ok(())
}

#[tokio::test]
async fn an_upload_that_was_committed_but_not_answered_is_answered_as_it_was() -> Told {
    let house = House::new()?;
    let server = house.serve(Some("after-commit:1"))?;
    let batch = json!({"operations": [
        anna().create(1, "client", "temp_1_a_client", json!({})),
        anna().update(2, "client", "temp_1_a_client", json!({"/name": "B"}), after(1)),
        anna().create(3, "pet", "temp_3_c_pet", json!({"clientId": 7})),
    ]});
    let batch = body(&anna(), batch);
    assert!(house.send(server.address, "upload", &batch).await.is_err(), "the answer is lost");
    drop(server);
    assert_eq!(house.rows("SELECT operation, request FROM changes ORDER BY version").await?.len(), 2);
    let server = house.serve(None)?;
    let outcomes = house.upload(server.address, &batch).await?;
    assert_eq!(briefs(&outcomes), ["duplicate applied 1", "duplicate applied 2", "duplicate rejected reference_missing"]);
    assert_eq!(house.number("SELECT CAST(count(*) AS TEXT) FROM changes").await?, 2);
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_is_told_to_end_finishes_and_leaves_one_file() -> Told {
    let house = House::new()?;
    let mut server = house.serve(None)?;
    house.upload(server.address, &families(1, 5)).await?;
    let pid = server.child.id().to_string();
    succeed(Command::new("kill").args(["-TERM", &pid]))?;
    assert!(server.child.wait()?.success());
    assert!(server.lines.next().is_none(), "it says one line and no more");
    assert!(!PathBuf::from(house.folder.file("data.sqlite-wal")).exists(), "the log has been moved into the file");
    assert_eq!(house.number("SELECT CAST(count(*) AS TEXT) FROM records").await?, 10);
    Ok(())
}

#[tokio::test]
async fn the_log_names_requests_and_nothing_that_was_in_them() -> Told {
    let house = House::new()?;
    let log = std::fs::File::create(house.folder.file("log"))?;
    let mut server = house.serve_with(None, log.into())?;
    let canary = "canary-4711";
    let operations = json!({"operations": [
        anna().create(1, "client", "temp_1_a_client", json!({"name": canary})),
        anna().create(2, "pet", "temp_2_b_pet", json!({"clientId": canary})),
        {"id": crate::world::op(3), "record": canary},
    ]});
    let outcomes = house.upload(server.address, &body(&anna(), operations)).await?;
    assert_eq!(briefs(&outcomes), ["applied 1", "rejected reference_missing", "rejected invalid_operation"]);
    house.send(server.address, "download", &body(&anna(), json!({"pageRecords": 10}))).await?;
    house.send(server.address, "upload", &format!("{{\"{canary}\": 1}}")).await?;
    server.kill()?;
    let log = std::fs::read_to_string(house.folder.file("log"))?;
    assert!(log.contains("r-1") && log.contains("upload"), "{log}");
    let key = std::fs::read_to_string(house.folder.file("key"))?;
    let signature = house.token.rsplit('.').next().ok_or("a token has a signature")?;
    for secret in [canary, signature, key.trim(), "north"] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_server_comes_back_from_its_backup() -> Told {
    let house = House::new()?;
    let (data, backup) = (house.folder.file("data.sqlite"), house.folder.file("backup.sqlite"));
    let server = house.serve_promising("backup")?;
    house.upload(server.address, &families(1, 5)).await?;
    succeed(program().args(["backup", "--database", &data, "--to", &backup]))?;
    let status = house.send(server.address, "status", &body(&anna(), json!({}))).await?.json();
    assert_eq!(status["reply"]["durable"], json!("10"), "the running server promises what the backup holds");
    house.upload(server.address, &families(101, 5)).await?;
    let status = house.send(server.address, "status", &body(&anna(), json!({}))).await?.json();
    assert_eq!((&status["reply"]["durable"], &status["sequence"]), (&json!("10"), &json!("20")));
    fails(program().args(["backup", "--database", &data, "--to", &backup]), "not written over")?;
    fails(program().args(["backup", "--database", &house.folder.file("none"), "--to", &backup]), "no database")?;
    fails(program().args(["restore", "--from", &backup, "--to", &data]), "not written over")?;
    fails(program().args(["restore", "--from", &house.folder.file("key"), "--to", &house.folder.file("new")]), "")?;
    drop(server);

    for name in ["data.sqlite", "data.sqlite-wal", "data.sqlite-shm"] {
        // The log is gone with the process or still there: both happen.
        let _ = std::fs::remove_file(house.folder.file(name));
    }
    succeed(program().args(["restore", "--from", &backup, "--to", &data]))?;
    let server = house.serve(None)?;
    let after = house.send(server.address, "status", &body(&anna(), json!({}))).await?.json();
    assert_ne!(after["reply"]["epoch"], status["reply"]["epoch"]);
    assert_eq!(house.number("SELECT CAST(count(*) AS TEXT) FROM records").await?, 10);
    let outcomes = house.upload(server.address, &families(101, 5)).await?;
    assert!(outcomes.iter().all(|outcome| outcome["status"] == "applied"), "{outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn tombstones_are_pruned_while_the_server_runs() -> Told {
    let house = House::new()?;
    let server = house.serve(None)?;
    let gone =
        json!({"operations": [anna().create(1, "pet", "temp_1_a_pet", json!({})), anna().delete(2, "pet", "temp_1_a_pet", after(1))]});
    house.upload(server.address, &body(&anna(), gone)).await?;
    let data = house.folder.file("data.sqlite");
    let prune = |days: &str| succeed(program().args(["prune", "--database", &data, "--older-than-days", days]));
    assert_eq!(prune("30")?.trim(), "0 tombstones forgotten");
    assert_eq!(prune("0")?.trim(), "1 tombstones forgotten");
    let outcomes = json!({"operations": [anna().update(3, "pet", 1, json!({"/name": "Rex"}), json!({"version": "1"}))]});
    assert_eq!(briefs(&house.upload(server.address, &body(&anna(), outcomes)).await?), ["rejected unknown_record"]);
    fails(program().args(["prune", "--database", &house.folder.file("none"), "--older-than-days", "1"]), "no database")?;
    Ok(())
}

pub(crate) fn fails(command: &mut Command, expected: &str) -> Told {
    let Output { status, stdout, stderr } = command.output()?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success() && stdout.is_empty() && said.contains(expected), "{said}");
    Ok(())
}

#[test]
fn an_origin_that_no_browser_names_is_refused() -> Told {
    for origin in ["http://localhost:3000/", "localhost:3000", "https://", "*", "https://App.example", "https://app.example/clinic"] {
        let serve = ["serve", "--database", "data.sqlite", "--schema", "schema.json", "--allow-origin", origin];
        fails(program().args(serve), "scheme://host[:port]")?;
    }
    Ok(())
}

#[test]
fn a_server_without_a_good_key_does_not_start() -> Told {
    let folder = Folder::new()?;
    std::fs::write(folder.file("schema.json"), SCHEMA)?;
    let serve = || {
        let mut command = program();
        command.args(["serve", "--database", ":memory:", "--schema", &folder.file("schema.json")]);
        command
    };
    fails(&mut serve(), "FIELDSYNC_KEY")?;
    fails(serve().env("FIELDSYNC_KEY", "k".repeat(31)), "too short")?;
    fails(serve().env("FIELDSYNC_KEY", fieldsync_server::key::SAMPLE_KEY), "documentation")?;
    fails(serve().args(["--key-file", &folder.file("nothing")]), "key file")?;
    succeed(program().args(["new-key", "--key-file", &folder.file("key")]))?;
    let key = std::fs::read_to_string(folder.file("key"))?;
    fails(program().args(["new-key", "--key-file", &folder.file("key")]), "key file")?;
    assert_eq!(std::fs::read_to_string(folder.file("key"))?, key, "a key is not written over");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(folder.file("key"))?.permissions().mode() & 0o777, 0o600);
    }
    std::fs::write(folder.file("bad.json"), r#"{"name": "a", "version": 1, "entities": {"a": {"references": {"b": "c"}}}}"#)?;
    let bad = folder.file("bad.json");
    fails(
        program().args(["serve", "--database", ":memory:", "--schema", &bad]).env("FIELDSYNC_KEY", "k".repeat(32)),
        "entities.a.references.b",
    )
}

#[tokio::test]
async fn a_seeded_practice_is_the_same_every_time_and_can_be_synced() -> Told {
    const CLINIC: &str = r#"{"name": "clinic", "version": 1, "entities": {
        "client": {}, "practitioner": {}, "pet": {"references": {"clientId": "client"}},
        "appointment": {"references": {"petId": "pet", "attendees[].practitionerId": "practitioner"}},
        "note": {"references": {"appointmentId": "appointment", "practitionerId": "practitioner"}}}}"#;
    let dump = "SELECT tenant || entity || id || version || data || origin_operation FROM records ORDER BY tenant, version";
    let mut dumps = Vec::new();
    for _ in 0..2 {
        let house = House::new()?;
        std::fs::write(house.folder.file("clinic.json"), CLINIC)?;
        let seed = |tenant: &str| {
            let mut command = program();
            command.args(["seed", "--database", &house.folder.file("data.sqlite"), "--schema", &house.folder.file("clinic.json")]);
            command.args(["--records", "1200", "--tenant", tenant]);
            command
        };
        succeed(&mut seed("riverside"))?;
        succeed(&mut seed("hilltop"))?;
        fails(&mut seed("hilltop"), "records already")?;
        dumps.push(house.rows(dump).await?);
        fails(
            program().args([
                "seed",
                "--database",
                ":memory:",
                "--schema",
                &house.folder.file("schema.json"),
                "--tenant",
                "t",
                "--records",
                "1",
            ]),
            "practitioner",
        )?;
    }
    assert!(dumps[0].len() >= 2_400 && dumps[0].len() < 2_500, "{}", dumps[0].len());
    assert_eq!(dumps[0], dumps[1]);
    let (hilltop, riverside) = dumps[0].split_at(dumps[0].iter().filter(|row| row[0].starts_with("hilltop")).count());
    assert!(hilltop.iter().zip(riverside).any(|(one, other)| one[0].get(7..) != other[0].get(9..)), "two practices differ");
    Ok(())
}
