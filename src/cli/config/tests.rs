//! Unit tests of the whole room: what a text gives.

use super::*;
use crate::store::Limits;

fn read(text: &str) -> Config {
    let loaded = parse(text, "n.toml");
    assert_eq!(loaded.faults, []);
    loaded.config
}

const TEXT: &str = r#"
[repository.main]
url = "/srv/backup"
identity-command = "pass show 'the key'"
recipients = ["age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDoATiBnHsT7EShKQ3oskZoU5GQRpSFqQ0zycJcGpjt+ me"]
recipients-file = "/etc/recipients"
signing-key-file = "/etc/signing"
"#;

#[test]
fn keys_are_there_for_whoever_opens_the_repository() {
    let config = read(TEXT);
    let keys = &config.default_repository().unwrap().keys;
    assert!(!keys.is_empty());
    let Secret::Command(words) = &keys.identity.as_ref().unwrap().value else {
        panic!("{keys:?}");
    };
    assert_eq!(words[..], ["pass", "show", "the key"]);
    let identity = keys.identity.as_ref().unwrap();
    assert_eq!(identity.place.to_string(), "n.toml:4");
    assert_eq!(identity.value.to_string(), "the command pass");
    assert_eq!(keys.recipients.as_ref().unwrap().value.len(), 2);
    assert!(keys.recipients_file.is_some() && keys.signing_key.is_some());
    assert!(read("").default_repository().is_none());
}

#[cfg(feature = "encryption")]
#[test]
fn a_recipient_of_which_a_letter_is_missing_is_named_before_it_is_needed() {
    let text = TEXT.replace("pa\"", "a\"");
    let loaded = parse(&text, "n.toml");
    assert_eq!(loaded.faults.len(), 1, "{:?}", loaded.faults);
    let said = format!("{:?}", loaded.faults);
    assert!(said.contains("expected an age recipient"), "{said}");
}

#[cfg(feature = "remote")]
#[test]
fn what_is_typed_wins_over_what_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "S+/=\r\n").unwrap();
    let text = format!(
        r#"
[repository.main]
url = "s3://bucket/prefix"
endpoint = "https://one"
limit-upload = "1MiB"
limit-requests = 5
access-key-id = "AKIA"
secret-access-key-file = "{}"
session-token-command = ["printf", "a b\n"]
"#,
        secret.display()
    );
    let config = read(&text);
    let repository = config.default_repository().unwrap();
    let typed = StoreOptions {
        endpoint: Some("https://two".to_owned()),
        limits: Limits {
            upload: Some(7),
            ..Limits::default()
        },
        ..StoreOptions::default()
    };
    let all = repository.complete(&typed).unwrap();
    assert_eq!(all.endpoint.as_deref(), Some("https://two"));
    assert_eq!((all.limits.upload, all.limits.requests), (Some(7), Some(5)));
    let settings = &all.settings.0;
    assert_eq!(settings["AWS_SECRET_ACCESS_KEY"], "S+/=");
    assert_eq!(settings["AWS_SESSION_TOKEN"], "a b");
    assert!(!format!("{all:?} {repository:?}").contains("S+/="));
    // Whose credentials they are is typed.
    let typed = StoreOptions {
        profile: Some("p".to_owned()),
        ..StoreOptions::default()
    };
    assert_eq!(repository.complete(&typed).unwrap().settings.0.len(), 0);
    // What cannot be had is an error that names the line, and nobody goes on without.
    std::fs::write(&secret, "\n").unwrap();
    let error = repository.complete(&StoreOptions::default()).unwrap_err();
    assert!(error.chain().contains("n.toml:8"), "{}", error.chain());
    for (command, wanted) in [("\"false\"", "false failed"), ("\"no/such\"", "cannot run")] {
        let text = text.replace("[\"printf\", \"a b\\n\"]", command);
        std::fs::write(&secret, "S").unwrap();
        let config = read(&text);
        let repository = config.default_repository().unwrap();
        let error = repository.complete(&StoreOptions::default()).unwrap_err();
        assert!(error.chain().contains(wanted), "{}", error.chain());
    }
}

#[test]
fn any_text_is_read_or_refused() {
    use proptest::prelude::*;
    proptest!(|(text in "(\\[(repository|source)\\.[a-z\"]\\]|[a-z-]{1,9} = [\\[{\"0-9a-z},\\]]{0,6}|\\PC{0,9}|\n){0,12}")| {
        let loaded = parse(&text, "n");
        let lines = text.lines().count() + 1;
        prop_assert!(loaded.faults.iter().all(|fault| fault.place.line <= lines));
    });
    let deep = format!("a = {}", "[".repeat(100_000));
    assert_eq!(parse(&deep, "n").faults.len(), 1);
}
