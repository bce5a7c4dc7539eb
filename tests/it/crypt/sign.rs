//! Signatures, here and by `ssh-keygen`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use narthex::ErrorKind;
use narthex::crypt::sign::{ARCHIVE_NAMESPACE, KEYS_NAMESPACE, Signature, SignerKey, SigningKey};

use super::tools::{ssh_key, ssh_keygen};

const MESSAGE: &[u8] = b"{\n\"id\": \"0123456789abcdef\",\n";

#[test]
fn a_signature_is_of_one_key_of_these_bytes_and_for_one_thing() {
    let key = SigningKey::generate("host a").unwrap();
    let other = SigningKey::generate("").unwrap();
    let signature = key.sign(ARCHIVE_NAMESPACE, MESSAGE).unwrap();
    let public = key.public();
    public
        .verify(ARCHIVE_NAMESPACE, MESSAGE, &signature)
        .unwrap();
    assert_eq!(signature.signer().unwrap(), public);
    assert_eq!(signature.namespace(), ARCHIVE_NAMESPACE);
    for (key, namespace, bytes, told) in [
        (
            &other.public(),
            ARCHIVE_NAMESPACE,
            MESSAGE,
            "it is one of SHA256:",
        ),
        (
            &public,
            KEYS_NAMESPACE,
            MESSAGE,
            "it was made for something else",
        ),
        (
            &public,
            ARCHIVE_NAMESPACE,
            &MESSAGE[1..],
            "something was changed",
        ),
        (&public, ARCHIVE_NAMESPACE, b"", "something was changed"),
    ] {
        let refused = key.verify(namespace, bytes, &signature).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains(told), "{refused}");
    }
    assert!(key.sign("", MESSAGE).is_err());
}

#[test]
fn a_signature_is_read_as_it_is_written_and_no_other_digits_are_one() {
    let key = SigningKey::generate("").unwrap();
    let signature = key.sign(ARCHIVE_NAMESPACE, MESSAGE).unwrap();
    let line = signature.to_line().unwrap();
    assert!(!line.contains('\n'));
    assert_eq!(Signature::from_line(&line).unwrap(), signature);
    let armoured = signature.to_armoured().unwrap();
    assert_eq!(Signature::from_armoured(&armoured).unwrap(), signature);
    let unread = |text: &str| Signature::from_line(text).unwrap_err().kind();
    for length in 0..line.len() {
        assert_eq!(unread(&line[..length]), ErrorKind::Corrupt, "{length}");
    }
    assert_eq!(unread(&line.repeat(4)), ErrorKind::Corrupt);
    assert_eq!(unread(&"A".repeat(10_000_000)), ErrorKind::Corrupt);
    assert_eq!(unread("AAAA\nAAAA"), ErrorKind::Corrupt);
    assert!(Signature::from_armoured("hello").is_err());
    assert!(Signature::from_armoured(&armoured[1..]).is_err());
    // Every digit counts.
    let public = key.public();
    for at in 0..line.len() {
        let mut digits = line.clone().into_bytes();
        digits[at] = if digits[at] == b'A' { b'B' } else { b'A' };
        let digits = String::from_utf8(digits).unwrap();
        let verified = Signature::from_line(&digits)
            .and_then(|read| public.verify(ARCHIVE_NAMESPACE, MESSAGE, &read));
        assert!(verified.is_err(), "digit {at}");
    }
}

#[test]
fn a_key_is_made_once_for_its_user_alone_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("host.key");
    let key = SigningKey::create(&path, "host a").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let (read, exposure) = SigningKey::load(&path).unwrap();
    assert_eq!(exposure, None);
    assert_eq!(read.public(), key.public());
    let beside = fs::read_to_string(dir.path().join("host.key.pub")).unwrap();
    assert_eq!(beside.parse::<SignerKey>().unwrap(), key.public());
    assert!(beside.trim_end().ends_with(" host a"), "{beside}");
    let content = fs::read(&path).unwrap();
    let taken = SigningKey::create(&path, "").unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(
        fs::read_to_string(dir.path().join("host.key.pub")).unwrap(),
        beside
    );
    // Nor is a secret key overwritten that has lost its public half.
    fs::remove_file(dir.path().join("host.key.pub")).unwrap();
    let taken = SigningKey::create(&path, "").unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), content);
    assert!(!dir.path().join("host.key.pub").exists());

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, exposure) = SigningKey::load(&path).unwrap();
    assert!(exposure.unwrap().to_string().contains("chmod 600"));
    let secret = String::from_utf8(content).unwrap();
    let digits = secret.lines().nth(2).unwrap();
    assert!(!format!("{key:?}").contains(digits));
    fs::write(&path, secret.replace("-----BEGIN", "-----BEGUN")).unwrap();
    let error = SigningKey::load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{error:?}").contains(digits));
}

#[test]
fn ssh_keygen_verifies_what_is_signed_here_and_the_other_way_round() {
    let Some(keygen) = ssh_keygen() else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    SigningKey::create(path("ours").as_ref(), "ours").unwrap();
    let theirs = ssh_key(dir.path(), "ed25519", "").unwrap();
    for key_file in [path("ours"), theirs.to_str().unwrap().to_owned()] {
        let (key, exposure) = SigningKey::load(key_file.as_ref()).unwrap();
        assert_eq!(exposure, None);
        let listed = keygen.run(["-l", "-f", &key_file], b"").unwrap();
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.contains(&key.public().fingerprint()), "{listed}");

        let signature = key.sign(ARCHIVE_NAMESPACE, MESSAGE).unwrap();
        fs::write(path("sig"), signature.to_armoured().unwrap()).unwrap();
        let allowed = format!(
            "host-a namespaces=\"{ARCHIVE_NAMESPACE}\" {}\n",
            key.public()
        );
        fs::write(path("allowed"), allowed).unwrap();
        let (allowed, sig) = (path("allowed"), path("sig"));
        let verify = |who: &str, namespace: &str, bytes: &[u8]| {
            let arguments = ["-Y", "verify", "-f", &allowed, "-I", who, "-n", namespace];
            keygen.run(arguments.into_iter().chain(["-s", &sig]), bytes)
        };
        verify("host-a", ARCHIVE_NAMESPACE, MESSAGE).unwrap();
        // In one line, too, as it stands in documents.
        let line = signature.to_line().unwrap();
        let armoured =
            format!("-----BEGIN SSH SIGNATURE-----\n{line}\n-----END SSH SIGNATURE-----\n");
        fs::write(path("sig"), armoured).unwrap();
        verify("host-a", ARCHIVE_NAMESPACE, MESSAGE).unwrap();
        assert!(verify("host-b", ARCHIVE_NAMESPACE, MESSAGE).is_err());
        assert!(verify("host-a", KEYS_NAMESPACE, MESSAGE).is_err());
        assert!(verify("host-a", ARCHIVE_NAMESPACE, b"other").is_err());

        for hash in ["sha512", "sha256"] {
            let hash = format!("hashalg={hash}");
            let arguments = [
                "-Y",
                "sign",
                "-f",
                &key_file,
                "-n",
                ARCHIVE_NAMESPACE,
                "-O",
                &hash,
            ];
            let signed = keygen.run(arguments, MESSAGE).unwrap();
            let signed = Signature::from_armoured(&String::from_utf8(signed).unwrap()).unwrap();
            key.public()
                .verify(ARCHIVE_NAMESPACE, MESSAGE, &signed)
                .unwrap();
            assert!(
                key.public()
                    .verify(KEYS_NAMESPACE, MESSAGE, &signed)
                    .is_err()
            );
        }
    }
}

#[test]
fn other_keys_than_those_of_ed25519_without_a_passphrase_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(protected) = ssh_key(dir.path(), "ed25519", "secret") else {
        return;
    };
    let refused = SigningKey::load(&protected).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.chain().contains("ssh-keygen -p"), "{refused:?}");
    let other = |kind: ErrorKind| matches!(kind, ErrorKind::Unsupported | ErrorKind::Invalid);
    for kind in ["rsa", "ecdsa"] {
        let key = ssh_key(dir.path(), kind, "").unwrap();
        let unsupported = SigningKey::load(&key).unwrap_err();
        assert!(other(unsupported.kind()), "{unsupported:?}");
        assert!(
            unsupported.to_string().contains("ed25519"),
            "{unsupported:?}"
        );
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        let unsupported = public.parse::<SignerKey>().unwrap_err();
        assert!(other(unsupported.kind()), "{unsupported:?}");
        assert!(
            unsupported.to_string().contains("ed25519"),
            "{unsupported:?}"
        );
    }
    assert_eq!(
        "x".parse::<SignerKey>().unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
