//! What `docs/testing.md` names must be there, the kept plans must all be named, and the planted bugs be counted.

use std::path::{Path, PathBuf};

use fieldsync::planted::Bug;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/testing.md")).expect("the page on testing")
}

/// Where a test lies that is named as `folder/name`.
fn file_of(named: &str) -> Option<String> {
    let (folder, name) = named.split_once('/').filter(|(_, name)| !name.is_empty() && !name.contains('/'))?;
    match folder {
        "stories" | "plans" => Some(format!("tests/{folder}/{name}.rs")),
        "server" if name != "tests" => Some(format!("server/tests/server/{name}.rs")),
        "e2e" => Some(format!("tests/e2e/{name}.test.mjs")),
        _ => None,
    }
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
    for path in words.filter_map(file_of) {
        let there = root().join(&path).exists();
        assert!(there, "docs/testing.md names {path}");
        found += 1;
    }
    assert!(found > 60, "{found}");
    // A file that is named in another way would not be looked for: without its folder, or with a colon.
    for part in page.split([';', '|', '(', ')', '\n']) {
        let mut names = part.split(',').map(str::trim).skip_while(|name| file_of(name).is_none());
        let bare = names.find(|name| !name.is_empty() && name.chars().all(|sign| sign.is_ascii_lowercase() || sign == '_'));
        assert_eq!(bare, None, "docs/testing.md: each file wants its folder: {part}");
    }
    for otherwise in ["story: ", "stories: ", "plans: ", "server: ", "e2e: "] {
        assert!(!page.contains(otherwise), "docs/testing.md: '{otherwise}' wants a slash");
    }
}

#[test]
fn every_test_that_is_named_within_a_file_is_in_it() {
    let page = page();
    let named = page.split([';', ',', '|', '(', ')']).filter_map(|part| part.trim().split_once(": "));
    let mut found = 0;
    for (path, names) in named.filter_map(|(file, names)| Some((file_of(file)?, names))) {
        let text = std::fs::read_to_string(root().join(&path)).expect("a file of tests");
        for name in names.split(' ').filter(|name| name.contains('_')) {
            let there = text.lines().any(|line| line.contains("fn ") && line.contains(name));
            assert!(there, "docs/testing.md names {name} of {path}");
            found += 1;
        }
    }
    assert!(found > 15, "{found}");
}

#[test]
fn the_planted_bugs_are_counted() {
    let told = format!("All of them are found ({} now)", Bug::ALL.len());
    assert!(page().contains(&told), "docs/testing.md does not say: {told}");
}
