//! What an inspector asks of a database: is each tenant's chain in order, and its rows as lines that prove themselves.
//! Somebody with the file can drop the triggers that keep rows as they are; the chain and its head show it.

use std::process::{Command, Output};

use fieldsync_server::store::sqlite::SqliteStore;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{Device, Failure, Folder, Told, World, epoch};

/// The program's exit code and what it said on stdout.
fn audit(database: &str, arguments: &[&str]) -> Result<(i32, String), Failure> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fieldsync-server"));
    let Output { status, stdout, .. } = command.arg("audit").args(arguments).args(["--database", database]).output()?;
    Ok((status.code().ok_or("it ended")?, String::from_utf8(stdout)?))
}

/// Two tenants, three uploads in one of them and one in the other. Returns the head of the first.
async fn filled(file: &str) -> Result<String, Failure> {
    let world = World::over(SqliteStore::open(file, epoch()?).await?, None)?;
    let (north, south) = (Device::new("north", "anna", 1), Device::new("south", "ben", 2));
    for number in 1..=3 {
        world.upload(&north, &[north.create(number, "client", format!("temp_{number}_a_client"), json!({"name": "ä \"q\""}))]).await;
    }
    world.upload(&south, &[south.create(1, "client", "temp_1_a_client", json!({}))]).await;
    let head = world.status(&north).await["auditHead"].as_str().ok_or("a head")?.to_owned();
    world.service.store().close().await;
    Ok(head)
}

/// As somebody who has the file and knows SQL.
async fn tamper(file: &str, statement: &'static str) -> Told {
    let raw = sqlx::SqlitePool::connect(&format!("sqlite://{file}")).await?;
    sqlx::raw_sql("DROP TRIGGER audit_stays; DROP TRIGGER audit_remains;").execute(&raw).await?;
    sqlx::raw_sql(statement).execute(&raw).await?;
    raw.close().await;
    Ok(())
}

#[tokio::test]
async fn a_chain_in_order_is_told_with_its_head_and_what_was_done_to_another_with_its_row() -> Told {
    for (statement, said) in [
        ("", None),
        ("UPDATE audit SET content = replace(content, 'anna', 'eve') WHERE tenant = 'north' AND number = 2", Some("row 2 was changed")),
        ("UPDATE audit SET hash = substr(hash, 2) || '0' WHERE tenant = 'north' AND number = 2", Some("row 2 was changed")),
        ("DELETE FROM audit WHERE tenant = 'north' AND number = 2", Some("row 2 is missing")),
        ("DELETE FROM audit WHERE tenant = 'north' AND number = 3", Some("row 3 is missing, and all that came after it")),
        ("DELETE FROM audit WHERE tenant = 'north'", Some("row 1 is missing, and all that came after it")),
        ("UPDATE tenants SET audit_number = 2 WHERE tenant = 'north'", Some("row 3 was added without the server")),
        ("DELETE FROM tenants WHERE tenant = 'north'", Some("row 1 was added without the server")),
        (
            "UPDATE tenants SET audit_head = substr(audit_head, 2) || '0' WHERE tenant = 'north'",
            Some("row 3 is the last, and its hash is not the one that the tenant's counters name"),
        ),
    ] {
        let folder = Folder::new()?;
        let file = folder.file("data.sqlite");
        let head = filled(&file).await?;
        tamper(&file, statement).await?;
        let (code, all) = audit(&file, &["verify"])?;
        let lines: Vec<&str> = all.lines().collect();
        let north = said.map_or(format!("north: 3 rows in order, head {head}"), |said| format!("north: {said}"));
        assert_eq!((code, lines[0]), (i32::from(said.is_some()), north.as_str()), "{statement}");
        assert!(lines[1].starts_with("south: 1 rows in order"), "{all}");
        assert_eq!(audit(&file, &["verify", "--tenant", "north"])?, (code, format!("{north}\n")));
        assert_eq!(audit(&file, &["verify", "--tenant", "south"])?.0, 0);
    }
    Ok(())
}

#[tokio::test]
async fn the_lines_of_an_export_prove_themselves() -> Told {
    let folder = Folder::new()?;
    let file = folder.file("data.sqlite");
    let head = filled(&file).await?;
    let (code, text) = audit(&file, &["export", "--tenant", "north"])?;
    assert_eq!((code, text.lines().count()), (0, 3));
    let mut previous = "0".repeat(64);
    for (at, line) in text.lines().enumerate() {
        let row: Value = serde_json::from_str(line)?;
        // Keys in order, no blanks: what serde_json writes of a plain object.
        let content = serde_json::to_string(&row["content"])?;
        let digest = Sha256::new().chain_update([1]).chain_update(&previous).chain_update(content).finalize();
        previous = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&row["number"], &row["hash"]), (&json!(at + 1), &json!(previous)));
    }
    assert_eq!(previous, head);
    tamper(&file, "UPDATE audit SET content = 'no JSON' WHERE tenant = 'north' AND number = 2").await?;
    let (code, text) = audit(&file, &["export", "--tenant", "north"])?;
    assert_eq!((code, text.lines().count(), text.contains("\"no JSON\"")), (0, 3, true));
    for command in ["verify", "export"] {
        assert_eq!(audit(&file, &[command, "--tenant", "west"])?, (1, String::new()));
        assert_eq!(audit(&folder.file("none"), &[command, "--tenant", "north"])?.0, 1);
    }
    Ok(())
}
