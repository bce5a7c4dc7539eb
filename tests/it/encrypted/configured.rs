//! `config check --online` of an encrypted repository: whether the keys that the file names do
//! there what they are named for.

use std::fs;

use super::program::{Desk, said};
use super::world::night;

/// Checks a configuration with this identity and signing key.
fn check(desk: &Desk, repository: &str, identity: &str, signing: &str) -> (Option<i32>, String) {
    let signing = match signing {
        "" => String::new(),
        key => format!("signing-key-file = \"{}\"\n", desk.path(key).display()),
    };
    let text = format!(
        "[repository.main]\nurl = \"{}\"\nidentity-file = \"{}\"\n{signing}[source.a]\npath = \"{}\"\n",
        desk.path(repository).display(),
        desk.path(identity).display(),
        night(1).display()
    );
    fs::write(desk.path("narthex.toml"), text).unwrap();
    let arguments = ["config", "check", "--online", "--config", "narthex.toml"];
    let output = desk.run("reader", &arguments);
    let (out, err) = said(&output);
    (output.status.code(), out + &err)
}

#[test]
fn keys_that_do_not_what_they_are_named_for_are_found_before_they_are_needed() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let (code, said) = check(&desk, "repo", "backup.key", "host.key");
    assert_eq!(code, Some(0), "{said}");
    // Keys that nobody knows there.
    desk.done("reader", &["key", "generate", "second.key"]);
    desk.done("reader", &["key", "generate", "--signing", "stray.key"]);
    let (code, said) = check(&desk, "repo", "second.key", "host.key");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("that of no recipient"), "{said}");
    for signing in ["stray.key", ""] {
        let (code, said) = check(&desk, "repo", "backup.key", signing);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("signing-key"), "{said}");
        assert!(said.contains("source.a"), "{said}");
        assert!(!said.contains("that of no recipient"), "{said}");
    }
    // A repository in which everything is in clear, whatever keys are named.
    let clear = desk.path("clear");
    desk.done("reader", &["init", "--repo", clear.to_str().unwrap()]);
    let (code, said) = check(&desk, "clear", "backup.key", "host.key");
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("in-clear"), "{said}");
}
