//! Key documents: what the administrator has signed counts, and nothing else.

use std::fs;

use narthex::ErrorKind;
use narthex::crypt::keys::{AllowedSigner, KeptDocuments, KeyChain, KeyDocument, KeyPin, Standing};
use narthex::crypt::sign::{ARCHIVE_NAMESPACE, KEYS_NAMESPACE, SigningKey};
use narthex::crypt::{Identity, Recipient};
use narthex::store::{MemoryStore, ObjectName, ReadStore as _, Store};

use super::tools::ssh_keygen;

fn name(number: u32) -> ObjectName {
    ObjectName::new(format!("keys/{number:08}.json")).unwrap()
}

fn recipient() -> Recipient {
    Identity::generate().recipient().unwrap()
}

fn signer(key: &SigningKey, sources: &[&str]) -> AllowedSigner {
    AllowedSigner {
        key: key.public(),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
    }
}

/// The identity of the repository.
const REPOSITORY: &str = "00112233445566778899aabbccddeeff";

fn read(store: &MemoryStore, admin: &SigningKey, seen: u32) -> narthex::Result<KeyChain> {
    let pin = KeyPin {
        repository: REPOSITORY,
        admin: &admin.public().fingerprint(),
        seen,
        kept: None,
        kept_stand_in: false,
    };
    KeyChain::read(store, &pin)
}

/// Three documents: host a, then b as well, then b alone.
struct Three {
    store: MemoryStore,
    admin: SigningKey,
    host_a: SigningKey,
    host_b: SigningKey,
    recipients: Vec<Recipient>,
}

impl Three {
    fn new() -> Self {
        let [admin, host_a, host_b] = [(); 3].map(|()| SigningKey::generate("").unwrap());
        let three = Three {
            store: MemoryStore::new(),
            recipients: vec![recipient(), recipient()],
            admin,
            host_a,
            host_b,
        };
        let (a, b) = (
            signer(&three.host_a, &["a"]),
            signer(&three.host_b, &["b", "b 2"]),
        );
        let first = KeyDocument::first(
            REPOSITORY,
            1_700_000_000_000,
            three.recipients.clone(),
            vec![a.clone()],
        );
        three.publish(&first);
        for signers in [vec![a, b.clone()], vec![b]] {
            let next = three.read(0).unwrap();
            let next = next
                .next(1_700_000_001_000, three.recipients.clone(), signers)
                .unwrap();
            three.publish(&next);
        }
        three
    }

    fn publish(&self, document: &KeyDocument) {
        let bytes = document.to_signed(&self.admin).unwrap();
        let store: &dyn Store = &self.store;
        store.put(&document.object().unwrap(), &bytes).unwrap();
    }

    fn read(&self, seen: u32) -> narthex::Result<KeyChain> {
        read(&self.store, &self.admin, seen)
    }

    fn bytes(&self, number: u32) -> Vec<u8> {
        self.store.get(&name(number), u64::MAX).unwrap()
    }

    /// Why `bytes` in the place of the newest document count for nothing: the one before counts,
    /// but not for those who have seen the newest.
    fn passed_over(&self, bytes: &[u8]) -> String {
        let kept = self.bytes(3);
        self.store.overwrite(&name(3), bytes);
        let chain = self.read(0).unwrap();
        let refused = self.read(3).unwrap_err();
        self.store.overwrite(&name(3), &kept);
        assert_eq!(refused.kind(), ErrorKind::Refused, "{}", refused.chain());
        assert_eq!(chain.newest().number, 2);
        let [junk] = chain.junk() else {
            panic!("{:?}", chain.junk())
        };
        assert_eq!((&junk.name, junk.is_numbered), (&name(3), true));
        junk.why.clone()
    }

    /// What is said when document `number` is `bytes`.
    fn error_with(&self, number: u32, bytes: &[u8]) -> (ErrorKind, String) {
        let kept = self.bytes(number);
        self.store.overwrite(&name(number), bytes);
        let error = self.read(0).unwrap_err();
        self.store.overwrite(&name(number), &kept);
        (error.kind(), error.chain())
    }
}

#[test]
fn the_newest_document_counts_and_the_older_ones_are_remembered() {
    let three = Three::new();
    let chain = three.read(3).unwrap();
    assert_eq!(chain.newest().number, 3);
    assert_eq!(chain.documents().len(), 3);
    assert!(chain.recipients().unwrap().iter().eq(&three.recipients));
    let standing = |key: &SigningKey, source| chain.standing(&key.public(), source);
    assert_eq!(standing(&three.host_b, "b"), Standing::Allowed);
    assert_eq!(standing(&three.host_b, "b 2"), Standing::Allowed);
    assert_eq!(standing(&three.host_b, "a"), Standing::Unknown);
    assert_eq!(standing(&three.host_a, "a"), Standing::Retired { by: 3 });
    assert_eq!(standing(&three.admin, "a"), Standing::Unknown);
    let sign = |key: &SigningKey| key.sign(ARCHIVE_NAMESPACE, b"archive").unwrap();
    let verify = |key: &SigningKey, source, bytes| {
        chain.verify(source, ARCHIVE_NAMESPACE, bytes, &sign(key))
    };
    assert_eq!(
        verify(&three.host_b, "b", b"archive").unwrap(),
        three.host_b.public()
    );
    for (key, source, bytes, told) in [
        (&three.host_b, "b", &b"archivE"[..], "something was changed"),
        (&three.host_b, "a", b"archive", "no key document says so"),
        (
            &three.host_a,
            "a",
            b"archive",
            "key document 3 has taken that back",
        ),
        (&three.admin, "a", b"archive", "no key document says so"),
    ] {
        let refused = verify(key, source, bytes).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.to_string().contains(told), "{refused}");
    }
    let all = signer(&three.host_a, &["*"]);
    assert!(all.may_sign("anything"));
}

#[test]
fn a_document_that_somebody_else_has_made_or_changed_counts_for_nothing() {
    let three = Three::new();
    let thief = SigningKey::generate("").unwrap();
    let mut forged = three.read(0).unwrap().newest().clone();
    forged.recipients = vec![recipient()];
    let told = three.passed_over(&forged.to_signed(&thief).unwrap());
    assert!(told.contains("the administrator's key"), "{told}");

    // The administrator's signature below another recipient.
    let genuine = String::from_utf8(three.bytes(3)).unwrap();
    let changed = genuine.replace(&three.recipients[0].to_string(), &recipient().to_string());
    assert_ne!(changed, genuine);
    let told = three.passed_over(changed.as_bytes());
    assert!(told.contains("something was changed"), "{told}");

    // What a host was made to sign, or the administrator for something else.
    let digits = |namespace: &str, key: &SigningKey, text: &str| {
        let (signed, _) = text.split_once("\"signature\"").unwrap();
        let line = key
            .sign(namespace, signed.as_bytes())
            .unwrap()
            .to_line()
            .unwrap();
        format!("{signed}\"signature\": \"{line}\"\n}}\n")
    };
    for (namespace, key) in [
        (ARCHIVE_NAMESPACE, &three.admin),
        (KEYS_NAMESPACE, &three.host_b),
    ] {
        three.passed_over(digits(namespace, key, &changed).as_bytes());
    }

    // Unsigned, cut off, with something behind, or no document at all.
    let (content, _) = genuine.split_once(",\n\"signature\"").unwrap();
    for text in [
        format!("{content}\n}}\n"),
        genuine[..genuine.len() - 1].to_owned(),
        format!("{genuine} "),
        format!("{content},\n\"signature\": \"\"\n}}\n"),
        String::new(),
    ] {
        three.passed_over(text.as_bytes());
    }
    for at in (0..genuine.len()).step_by(5) {
        let mut flipped = genuine.clone().into_bytes();
        flipped[at] ^= 1;
        three.passed_over(&flipped);
    }
    // More than any document has.
    let mut long = genuine.into_bytes();
    long.resize(2 << 20, b' ');
    three.passed_over(&long);
    three.read(3).unwrap();
}

#[test]
fn what_is_no_document_stops_nobody_and_the_next_one_takes_a_number_that_is_free() {
    let three = Three::new();
    // What the administrator has signed for elsewhere, and what nobody has.
    three.store.overwrite(&name(4), &three.bytes(1));
    three.store.overwrite(&name(9), b"junk");
    three.store.overwrite(&name(99_999_999), b"junk");
    let foreign = ObjectName::new("keys/00000002.txt").unwrap();
    three.store.overwrite(&foreign, b"");
    let chain = three.read(3).unwrap();
    assert_eq!((chain.newest().number, chain.documents().len()), (3, 3));
    let junk: Vec<_> = chain.junk().iter().map(|it| it.is_numbered).collect();
    assert_eq!(junk, [false, true, true, true]);
    let next = chain.next(1_700_000_002_000, three.recipients.clone(), Vec::new());
    let next = next.unwrap();
    assert_eq!(next.number, 5);
    three.publish(&next);
    for seen in [0, 3, 5] {
        let chain = three.read(seen).unwrap();
        assert_eq!((chain.newest().number, chain.documents().len()), (5, 4));
    }
    // The number of junk was never seen.
    assert_eq!(three.read(4).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn junk_over_the_newest_document_does_not_make_another_follow_the_one_before() {
    let three = Three::new();
    three.store.overwrite(&name(3), b"junk");
    // An administrator's machine that has not seen the third does not know better.
    let next = three.read(2).unwrap();
    let next = next.next(1_700_000_002_000, three.recipients.clone(), Vec::new());
    three.publish(&next.unwrap());
    assert_eq!(three.read(2).unwrap().newest().number, 4);
    let refused = three.read(3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.chain().contains("keys/00000003.json"), "{refused}");
}

#[test]
fn a_chain_with_a_gap_or_a_foreign_link_is_refused() {
    let three = Three::new();
    let kinds = |store: &MemoryStore| read(store, &three.admin, 0).unwrap_err();
    for missing in [1, 2] {
        let store = MemoryStore::new();
        for number in [1, 2, 3].into_iter().filter(|number| *number != missing) {
            store.overwrite(&name(number), &three.bytes(number));
        }
        let error = kinds(&store);
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(
            error.chain().contains(&format!("key document {missing}")),
            "{error:?}"
        );
    }
    // A genuine document in another's place, and one that follows from another past.
    let told = three.error_with(2, &three.bytes(1));
    assert!(
        told.1.contains("expected key document 2, found 1"),
        "{told:?}"
    );
    let mut other = three.read(0).unwrap().documents()[1].clone();
    other.signers.clear();
    let told = three.error_with(2, &other.to_signed(&three.admin).unwrap());
    assert_eq!(told.0, ErrorKind::Corrupt);
    assert!(
        told.1.contains("keys/00000003.json: expected it to name"),
        "{told:?}"
    );
    // With a wrong fingerprint the true list looks like a stranger's: nobody is told to remove it.
    let another = SigningKey::generate("").unwrap();
    let error = read(&three.store, &another, 0).unwrap_err();
    let advice = error.advice().unwrap_or_default();
    assert!(
        advice.contains("--admin-key") && !advice.contains("remove"),
        "{advice}"
    );
    // Where there is nothing else, what it is that lies there is said, and what to do about it.
    let store = MemoryStore::new();
    store.overwrite(&name(1), b"junk");
    let error = kinds(&store);
    assert!(
        error
            .advice()
            .is_some_and(|advice| advice.contains("remove it")),
        "{error:?}"
    );
}

#[test]
fn documents_that_were_read_once_are_not_read_again_and_are_proved_all_the_same() {
    let three = Three::new();
    let dir = tempfile::tempdir().unwrap();
    let kept = KeptDocuments::new(&dir.path().join("lists"));
    let fingerprint = three.admin.public().fingerprint();
    let pin = KeyPin {
        repository: REPOSITORY,
        admin: &fingerprint,
        seen: 0,
        kept: Some(&kept),
        kept_stand_in: false,
    };
    let whole = KeyChain::read(&three.store, &pin).unwrap();
    // A store that lists them, and has the bytes of none any more.
    let emptied = MemoryStore::new();
    for (name, bytes) in three.store.list("keys/").unwrap() {
        let direct: &dyn Store = &emptied;
        direct
            .put(&name, &vec![b'x'; usize::try_from(bytes).unwrap()])
            .unwrap();
    }
    let again = KeyChain::read(&emptied, &pin).unwrap();
    assert_eq!(again.documents(), whole.documents());
    assert!(KeyChain::read(&emptied, &KeyPin { kept: None, ..pin }).is_err());
    // What is kept is believed no more than what is stored.
    let newest = dir
        .path()
        .join("lists")
        .join(format!("{}.json", whole.newest().number));
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&newest, bytes).unwrap();
    assert_eq!(
        KeyChain::read(&three.store, &pin).unwrap().documents(),
        whole.documents()
    );
    assert_eq!(
        KeyChain::read(&emptied, &pin).unwrap().documents(),
        whole.documents()
    );
}

#[test]
fn documents_of_another_repository_of_the_same_administrator_are_refused() {
    let three = Three::new();
    let pin = KeyPin {
        repository: "another",
        admin: &three.admin.public().fingerprint(),
        seen: 0,
        kept: None,
        kept_stand_in: false,
    };
    let refused = KeyChain::read(&three.store, &pin).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(
        refused.chain().contains("of the repository another"),
        "{refused:?}"
    );
}

#[test]
fn fewer_documents_than_were_seen_are_refused() {
    let three = Three::new();
    three.read(3).unwrap();
    let refused = three.read(4).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    three.store.delete(&name(3)).unwrap();
    three.read(2).unwrap();
    let refused = three.read(3).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.to_string().contains("an older state"), "{refused}");
    let empty = MemoryStore::new();
    let error = |seen| read(&empty, &three.admin, seen).unwrap_err().kind();
    assert_eq!(error(1), ErrorKind::Refused);
    assert_eq!(error(0), ErrorKind::NotFound);
}

#[test]
fn a_document_of_a_newer_version_is_unsupported_and_one_for_nobody_is_not_written() {
    let three = Three::new();
    let mut newer = three.read(0).unwrap().newest().clone();
    newer.format_version = 2;
    let told = three.error_with(3, &newer.to_signed(&three.admin).unwrap());
    assert_eq!(told.0, ErrorKind::Unsupported, "{told:?}");
    let nobody = KeyDocument::first(REPOSITORY, 0, Vec::new(), Vec::new());
    let error = nobody.to_signed(&three.admin).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// The commands that the documentation of `crypt::keys` gives.
#[test]
fn ssh_keygen_proves_a_key_document_by_hand() {
    let Some(keygen) = ssh_keygen() else { return };
    let three = Three::new();
    let dir = tempfile::tempdir().unwrap();
    let page = include_str!("../../../src/crypt/keys/mod.rs");
    let page: Vec<_> = page
        .lines()
        .map(|line| line.trim_start_matches("//!"))
        .collect();
    let script = page.join("\n");
    let script = script
        .split("```sh\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let run = || {
        let shell = super::tools::Program::find_or_skip("sh", "dash").unwrap();
        let script = format!("cd {}\n{script}", dir.path().display());
        shell.run(["-c", &script], b"")
    };
    fs::write(
        dir.path().join("admin.pub"),
        three.admin.public().to_string(),
    )
    .unwrap();
    fs::write(dir.path().join("00000001.json"), three.bytes(3)).unwrap();
    let proved = run().unwrap();
    let proved = String::from_utf8(proved).unwrap();
    assert!(
        proved.starts_with("Good \"narthex-keys\" signature for admin"),
        "{proved}"
    );
    let changed = String::from_utf8(three.bytes(3))
        .unwrap()
        .replace("b 2", "a");
    fs::write(dir.path().join("00000001.json"), changed).unwrap();
    run().unwrap_err();

    // And what a host signs, with the file of allowed signers that follows from the documents.
    let chain = three.read(0).unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("allowed"), chain.allowed_signers(ARCHIVE_NAMESPACE)).unwrap();
    for (key, source, good) in [
        (&three.host_b, "b", true),
        (&three.host_b, "b 2", true),
        (&three.host_b, "a", false),
        (&three.host_a, "a", false),
    ] {
        let signature = key.sign(ARCHIVE_NAMESPACE, b"archive").unwrap();
        fs::write(path("sig"), signature.to_armoured().unwrap()).unwrap();
        let (allowed, sig) = (path("allowed"), path("sig"));
        let arguments = [
            "-Y",
            "verify",
            "-f",
            &allowed,
            "-I",
            source,
            "-n",
            ARCHIVE_NAMESPACE,
        ];
        let verified = keygen.run(arguments.into_iter().chain(["-s", &sig]), b"archive");
        assert_eq!(verified.is_ok(), good, "{source}: {verified:?}");
    }
}
