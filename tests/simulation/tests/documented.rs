//! What `docs/testing.md` names must be there, and the kept plans must all be named.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/testing.md")).expect("the page on testing")
}

#[test]
fn every_kept_plan_is_told_of_and_every_one_that_is_told_of_is_kept() {
    let page = page();
    let (_, table) = page.split_once("**Kept plans**").expect("the table of kept plans");
    let (table, _) = table.split_once("###").expect("what follows it");
    let mut told: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    told.sort_unstable();
    let folder = std::fs::read_dir(root().join("tests/simulation/plans")).expect("the folder of plans");
    let name = |entry: std::fs::DirEntry| entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
    let mut kept: Vec<String> = folder.map(|entry| name(entry.expect("an entry"))).collect();
    kept.sort_unstable();
    assert_eq!(told, kept);
}

#[test]
fn every_test_that_is_named_is_there() {
    let page = page();
    let words = page.split(|sign: char| !(sign.is_ascii_alphanumeric() || "/_-".contains(sign)));
    let mut found = 0;
    for (folder, name) in words.filter_map(|word| word.split_once('/')).filter(|(_, name)| !name.is_empty() && !name.contains('/')) {
        let path = match folder {
            "stories" | "plans" => format!("tests/{folder}/{name}.rs"),
            "server" if name != "tests" => format!("server/tests/server/{name}.rs"),
            "e2e" => format!("tests/e2e/{name}.test.mjs"),
            _ => continue,
        };
        let there = root().join(&path).exists();
        assert!(there, "docs/testing.md names {path}");
        found += 1;
    }
    assert!(found > 60, "{found}");
}
