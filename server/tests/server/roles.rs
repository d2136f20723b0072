//! What the operator gives a user with a token.

use fieldsync_server::key::ServerKey;
use fieldsync_server::seams::{Clock, SystemClock};
use fieldsync_server::token::Tokens;

use crate::process::{fails, program, succeed};
use crate::world::{Folder, Told};

#[test]
fn a_token_bears_the_roles_that_it_was_given() -> Told {
    let folder = Folder::new()?;
    let key = folder.file("key");
    succeed(program().args(["new-key", "--key-file", &key]))?;
    let text = succeed(program().args([
        "token",
        "--key-file",
        &key,
        "--tenant",
        "north",
        "--user",
        "head",
        "--role",
        "coordinator",
        "--role",
        "x",
    ]))?;
    let tokens = Tokens::new(&ServerKey::load(Some(key.as_ref()), None)?);
    let head = tokens.verify(text.trim(), SystemClock.now_ms())?;
    assert_eq!((head.is_coordinator(), head.roles), (true, vec!["coordinator".to_owned(), "x".to_owned()]));
    let anna = succeed(program().args(["token", "--key-file", &key, "--tenant", "north", "--user", "anna"]))?;
    assert!(!tokens.verify(anna.trim(), SystemClock.now_ms())?.is_coordinator(), "nobody is one by default");
    let long = "x".repeat(65);
    fails(program().args(["token", "--key-file", &key, "--tenant", "north", "--user", "head", "--role", &long]), "1 to 64 bytes")
}
