//! Copies, keys that change, and manifests that come back, by the program as its users start it.

use std::fs;

use super::program::{Desk, said};
use super::world::night;
use crate::fixtures::tree;

#[test]
fn a_copy_of_what_is_encrypted_is_not_made_in_clear_unasked() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let copy = ["copy", "--to", "other", "-i", "backup.key"];
    let refused = desk.run("reader", &copy);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).1.contains("narthex init"));
    assert!(!desk.path("other").exists());
    desk.done("reader", &["init", "--repo", "other"]);
    desk.done("reader", &copy);
}

#[test]
fn a_copy_that_cannot_be_signed_sends_nothing_and_makes_nothing() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let (reader, _) = desk.done("reader", &["key", "generate", "other.key"]);
    let init = [
        "init",
        "--repo",
        "other",
        "--admin",
        "admin.key",
        "--recipient",
        reader.trim(),
    ];
    let signer = ["--signer", "host.key.pub", "--source", "host-a"];
    desk.done("reader", &[&init[..], &signer].concat());
    let keys = ["-i", "backup.key", "-i", "other.key"];
    for more in [&["--dry-run"][..], &[]] {
        let copy = [&["copy", "--to", "other"][..], &keys, more].concat();
        let refused = desk.run("reader", &copy);
        assert_eq!(refused.status.code(), Some(1));
        assert!(
            said(&refused).1.contains("--signing-key"),
            "{}",
            said(&refused).1
        );
    }
    assert!(!desk.path("other/blocks").exists() && !desk.path("other/packs").exists());

    // Where nobody vouches for the copies, that is said.
    let init = [
        "init",
        "--repo",
        "unsigned",
        "--admin",
        "admin.key",
        "--recipient",
        reader.trim(),
    ];
    desk.done("reader", &init);
    let copy = [&["copy", "--to", "unsigned"][..], &keys].concat();
    let (_, err) = desk.done("reader", &copy);
    assert!(err.contains("lists no signers"), "{err}");

    // A manifest that opens with none of the identities is not called damaged.
    let again = desk.run("reader", &["copy", "--to", "unsigned", "-i", "backup.key"]);
    assert_eq!(again.status.code(), Some(3));
    let (out, err) = said(&again);
    assert!(
        err.contains("opens with none of the identities"),
        "{out}{err}"
    );

    // With another identity the bytes are proved all the same.
    let checked = desk.run("reader", &["check", "--read-data", "-i", "other.key"]);
    assert_eq!(checked.status.code(), Some(3));
    let (out, err) = said(&checked);
    assert!(
        out.contains("manifest-locked") && !out.contains("unreferenced"),
        "{out}"
    );
    assert!(err.contains("open no archive"), "{err}");
    assert!(!out.contains("read 0 objects"), "{out}");

    // Without any, damage is found and marked.
    let repo = desk.path("repo");
    let mut packs = tree(&repo).into_keys();
    let pack = packs.find(|name| name.starts_with("packs/")).unwrap();
    let pack = repo.join(pack);
    let mut bytes = fs::read(&pack).unwrap();
    bytes[300] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, &bytes).unwrap();
    for way in [&["check", "--read-data"][..], &["check"]] {
        let checked = desk.run("reader", way);
        assert_eq!(checked.status.code(), Some(3), "{}", said(&checked).1);
        assert!(
            said(&checked).0.contains("object-damaged"),
            "{}",
            said(&checked).0
        );
    }
    fs::remove_file(&pack).unwrap();
    let checked = desk.run("reader", &["check"]);
    assert!(
        said(&checked).0.contains("object-missing"),
        "{}",
        said(&checked).0
    );
}

#[test]
fn a_host_that_only_writes_copies_nothing_and_sends_nothing_for_it() {
    let desk = Desk::new();
    desk.init();
    let night = night(1);
    let backup = [
        "backup",
        night.to_str().unwrap(),
        "--source",
        "a",
        "--signing-key",
        "host.key",
    ];
    let ran = desk.run("host", &[&backup[..], &["--copy-to", "clear"]].concat());
    assert_eq!(ran.status.code(), Some(3));
    assert!(
        said(&ran).1.contains("on a machine with an identity"),
        "{}",
        said(&ran).1
    );
    assert!(!desk.path("clear").exists());
    let copy = desk.run("host", &["copy", "--to", "clear"]);
    assert_eq!(copy.status.code(), Some(1));
    // One that can read says what becomes of the keys.
    desk.done("reader", &["init", "--repo", "clear"]);
    let (_, err) = desk.done("reader", &["copy", "--to", "clear", "-i", "backup.key"]);
    assert!(
        err.contains("is in clear in clear") && !err.contains("not needed"),
        "{err}"
    );
}

#[test]
fn no_repository_is_made_for_a_copy_of_nothing() {
    let desk = Desk::new();
    desk.done("reader", &["init", "--repo", "clear"]);
    let empty = desk.run("reader", &["copy", "--from", "clear", "--to", "new"]);
    assert_eq!(empty.status.code(), Some(1));
    let night = night(1);
    let backup = [
        "backup",
        night.to_str().unwrap(),
        "--repo",
        "clear",
        "--source",
        "host-a",
    ];
    desk.done("host", &backup);
    for more in [
        ["0123", "--dry-run"],
        ["0123", "--no-cache"],
        ["--since", "2999-01-01T00:00:00Z"],
    ] {
        let copy = [&["copy", "--from", "clear", "--to", "new"][..], &more].concat();
        let refused = desk.run("reader", &copy);
        assert_eq!(
            refused.status.code(),
            Some(1),
            "{more:?}: {}",
            said(&refused).1
        );
        assert!(!desk.path("new").exists(), "{more:?}");
    }
}

#[test]
fn manifests_that_are_cut_off_or_lost_are_brought_back_or_made_anew() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    desk.back_up(2);
    let (other, _) = desk.done("reader", &["key", "generate", "other.key"]);
    let init = ["init", "--recipient", other.trim(), "--admin", "admin.key"];
    desk.done("reader", &[&init[..], &["--repo", "other"]].concat());
    let keys = ["-i", "backup.key", "-i", "other.key"];
    desk.done("reader", &[&["copy", "--to", "other"][..], &keys].concat());
    let archives = desk.path("repo/archives");
    let manifests = || {
        let entries = fs::read_dir(&archives).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let newest = manifests().pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, &whole[..whole.len() - 9]).unwrap();
    let checked = desk.run("reader", &[&["check"][..], &keys].concat());
    assert_eq!(checked.status.code(), Some(3));
    assert!(said(&checked).0.contains("no whole manifest"));
    let signing = ["--signing-key", "host.key"];
    let repair = [&["repair"][..], &keys, &signing].concat();
    desk.done("reader", &[&repair[..], &["--from", "other"]].concat());
    desk.done("reader", &[&["check", "--read-data"][..], &keys].concat());

    for path in manifests() {
        fs::remove_file(path).unwrap();
    }
    let repaired = desk.run("reader", &[&repair[..], &["--orphans"]].concat());
    // Which of two logs is the last only manifests know.
    let (out, err) = said(&repaired);
    assert_eq!(repaired.status.code(), Some(3), "{out}{err}");
    assert!(out.contains("of 8 blocks reconstructed"), "{out}{err}");
    desk.done("reader", &[&["check", "--read-data"][..], &keys].concat());
}

#[test]
fn who_was_taken_off_the_list_reads_no_copy_that_is_encrypted_anew() {
    let desk = Desk::new();
    desk.init();
    desk.back_up(1);
    let recipient = |key: &str| desk.done("reader", &["key", "generate", key]).0;
    let (gone, left) = (recipient("gone.key"), recipient("left.key"));
    for (word, key) in [("add", &gone), ("remove", &gone)] {
        let change = [
            "key",
            word,
            "--recipient",
            key.trim(),
            "--admin",
            "admin.key",
        ];
        desk.done("reader", &change);
    }
    let copy = |to: &str| {
        let copy = ["copy", "--re-encrypt", "-i", "backup.key", "--to", to];
        let signing = ["--signing-key", "upkeep.key"];
        let output = desk.run("reader", &[&copy[..], &signing].concat());
        (output.status.code(), said(&output).1)
    };
    for (repo, readers) in [("theirs", vec![&left, &gone]), ("ours", vec![&left])] {
        let mut words = vec!["init", "--repo", repo, "--admin", "admin.key"];
        words.extend(["--signer", "host.key.pub", "--source", "host-a"]);
        for reader in readers {
            words.extend(["--recipient", reader.trim()]);
        }
        desk.done("reader", &words);
    }
    desk.done("reader", &["init", "--repo", "clear"]);
    desk.done("reader", &["key", "generate", "--signing", "upkeep.key"]);
    let signer = [
        "key",
        "add",
        "--signer",
        "upkeep.key.pub",
        "--admin",
        "admin.key",
    ];
    desk.done("reader", &[&signer[..], &["--repo", "ours"]].concat());
    let (code, err) = copy("clear");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("found clear in clear"), "{err}");
    // Nothing is made in clear, and what is only tried says the same.
    for from in ["clear", "repo"] {
        for more in [&["--dry-run"][..], &[]] {
            let copy = [
                "copy",
                "--re-encrypt",
                "-i",
                "backup.key",
                "--from",
                from,
                "--to",
                "new",
            ];
            let output = desk.run("reader", &[&copy[..], more].concat());
            assert_eq!(output.status.code(), Some(1), "{from} {more:?}");
            assert!(!desk.path("new").exists());
        }
    }
    let (code, err) = copy("theirs");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(gone.trim()), "{err}");
    // Who was on its list once has read what came then.
    let leave = [
        "key",
        "remove",
        "--recipient",
        gone.trim(),
        "--admin",
        "admin.key",
    ];
    desk.done("reader", &[&leave[..], &["--repo", "theirs"]].concat());
    let (code, err) = copy("theirs");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains(gone.trim()), "{err}");
    let (code, err) = copy("ours");
    assert_eq!(code, Some(0), "{err}");
    desk.done(
        "reader",
        &["check", "--read-data", "--repo", "ours", "-i", "left.key"],
    );
    let there = |repo: &str| {
        fs::read_dir(desk.path(repo).join("archives"))
            .unwrap()
            .count()
    };
    assert_eq!(there("ours"), 1);
    // The host signs for its own source there, as before.
    let night = night(1);
    let backup = [
        "backup",
        night.to_str().unwrap(),
        "--signing-key",
        "host.key",
    ];
    for (source, code) in [("host-a", 0), ("host-b", 1)] {
        let words = [&backup[..], &["--repo", "ours", "--source", source]].concat();
        let output = desk.run("host", &words);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{source}: {}",
            said(&output).1
        );
    }
    assert!(!desk.path("clear/archives").exists() && !desk.path("theirs/archives").exists());
}
