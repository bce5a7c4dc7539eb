//! Recipients and identities as people write them, and what is never said of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use narthex::ErrorKind;
use narthex::crypt::{
    EncryptedStore, Identities, Identity, IdentityFile, MAX_RECIPIENTS, Recipient, Recipients,
};
use narthex::store::MemoryStore;

use super::tools::{pair, ssh_key};

/// Keys that the documentation of age has; they keep nothing secret.
const SECRET: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const PUBLIC: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

#[test]
fn a_recipient_is_read_as_it_is_shown() {
    let recipient: Recipient = PUBLIC.parse().unwrap();
    assert_eq!(recipient.to_string(), PUBLIC);
    assert_eq!(
        format!(" {PUBLIC}\r\n").parse::<Recipient>().unwrap(),
        recipient
    );
    let identities = Identity::read(SECRET, "a test").unwrap();
    assert_eq!(identities[0].recipient(), Some(recipient));
}

#[test]
fn a_recipients_file_may_have_comments_and_names_the_line_that_is_wrong() {
    let text = format!("# ops\n\n{PUBLIC}\r\n  # indented\n{PUBLIC}\n");
    let read = Recipient::read_lines(&text, "ops.txt").unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(Recipients::new(read).unwrap().iter().count(), 1);
    for (wrong, kind) in [
        ("age1xyz", ErrorKind::Invalid),
        ("hello", ErrorKind::Invalid),
        ("ssh-ed25519 AAAA", ErrorKind::Invalid),
        (SECRET, ErrorKind::Invalid),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", ErrorKind::Invalid),
        (
            "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t",
            ErrorKind::Unsupported,
        ),
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gx\
             GF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=",
            ErrorKind::Unsupported,
        ),
    ] {
        let error = Recipient::read_lines(&format!("#\n{wrong}\n"), "ops.txt").unwrap_err();
        assert_eq!(error.kind(), kind, "{wrong}: {error:?}");
        assert!(error.chain().starts_with("ops.txt, line 2: "), "{error:?}");
        assert!(!error.chain().contains(wrong));
    }
    let none = Recipients::new([]).unwrap_err();
    assert_eq!(none.kind(), ErrorKind::Invalid);
    let many = (0..=MAX_RECIPIENTS).filter_map(|_| Identity::generate().recipient());
    assert_eq!(
        Recipients::new(many).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let missing = Recipient::load("/not/there".as_ref()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[test]
fn an_identity_file_is_read_and_what_is_wrong_with_one_is_said() {
    let text = format!("# created: today\n# public key: {PUBLIC}\n{SECRET}\n\n{SECRET}\n");
    assert_eq!(Identity::read(&text, "key.txt").unwrap().len(), 2);
    for (wrong, kind, told) in [
        ("", ErrorKind::Invalid, "found none"),
        ("# nothing\n", ErrorKind::Invalid, "found none"),
        (
            PUBLIC,
            ErrorKind::Invalid,
            "line 1: expected an identity, found a recipient",
        ),
        (
            &SECRET[..70],
            ErrorKind::Invalid,
            "line 1: the identity is mistyped or cut off",
        ),
        ("hello", ErrorKind::Invalid, "line 1: expected an identity"),
        ("AGE-PLUGIN-YUBIKEY-1ABC", ErrorKind::Unsupported, "plugins"),
        (
            "age-encryption.org/v1\n-> scrypt",
            ErrorKind::Refused,
            "age -d",
        ),
        (
            "-----BEGIN AGE ENCRYPTED FILE-----\n",
            ErrorKind::Refused,
            "age -d",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n",
            ErrorKind::Invalid,
            "damaged",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n",
            ErrorKind::Invalid,
            "another thing",
        ),
    ] {
        let error = Identity::read(wrong, "key.txt").unwrap_err();
        assert_eq!(error.kind(), kind, "{wrong}: {error:?}");
        assert!(error.chain().contains(told), "{wrong}: {error:?}");
        assert!(error.chain().contains("key.txt"), "{wrong}: {error:?}");
    }
}

#[test]
fn a_key_with_a_passphrase_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let Some(key) = ssh_key(dir.path(), "ed25519", "secret") else {
        return;
    };
    let refused = IdentityFile::load(&key).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(
        refused.chain().contains("ssh-keygen -p -f COPY"),
        "{refused:?}"
    );
    let ecdsa = ssh_key(dir.path(), "ecdsa", "").unwrap();
    let unsupported = IdentityFile::load(&ecdsa).unwrap_err();
    assert_eq!(
        unsupported.kind(),
        ErrorKind::Unsupported,
        "{unsupported:?}"
    );
}

#[test]
fn a_key_that_everybody_can_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.txt");
    fs::write(&path, SECRET).unwrap();
    for (mode, told) in [
        (0o600, false),
        (0o400, false),
        (0o640, false),
        (0o644, true),
    ] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let file = IdentityFile::load(&path).unwrap();
        assert_eq!(file.exposure.is_some(), told, "{mode:o}");
        if let Some(exposure) = file.exposure {
            assert!(exposure.to_string().contains("(mode 0644)"), "{exposure}");
        }
    }
    fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    let large = IdentityFile::load(&path).unwrap_err();
    assert_eq!(large.kind(), ErrorKind::Invalid);
    fs::write(&path, [0xff; 10]).unwrap();
    assert_eq!(
        IdentityFile::load(&path).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[test]
fn no_secret_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.txt");
    fs::write(&path, format!("{SECRET}\n")).unwrap();
    let file = IdentityFile::load(&path).unwrap();
    let identities = Identities::new(file.identities.clone()).unwrap();
    let (_, recipients) = pair();
    let store = EncryptedStore::new(std::sync::Arc::new(MemoryStore::new()), |_| false);
    let store = store
        .writing_to(recipients)
        .reading_with(identities.clone());
    let mut shown = vec![format!("{file:?}{identities:?}{store:?}")];
    let half = &SECRET[..50];
    for spoilt in [
        format!("{half}\n"),
        format!("{SECRET}x\n"),
        format!("x{SECRET}\n"),
        format!("{}\n", SECRET.to_lowercase()),
        format!("{PUBLIC} {SECRET}\n"),
    ] {
        let errors = [
            Identity::read(&spoilt, "key.txt").err(),
            Recipient::read_lines(&spoilt, "key.txt").err(),
        ];
        for error in errors.into_iter().flatten() {
            shown.push(format!("{error:?}{error}"));
        }
    }
    let shown = shown.concat().to_uppercase();
    assert!(!shown.contains(&SECRET[15..40]), "{shown}");
    assert!(shown.contains(&PUBLIC.to_uppercase()));
}
