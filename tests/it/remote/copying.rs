//! Copies between object stores and directories.

use std::fs;
use std::path::{Path, PathBuf};

use narthex::store::remote::RemoteStore;
use narthex::store::{ReadStore as _, Store as _};

use super::nights::{Machine, archived, night};
use super::servers::{Kind, ObjectServer};

fn is_copied(kind: Kind) {
    let Some(server) = ObjectServer::start_or_skip(kind) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "nights/mon1");
    let other = Machine::beside(&server, server.port, "other");
    let dir = night("night-1");
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "mon1",
        "--host",
        "h",
    ];
    machine.done(&backup);

    // From bucket to bucket.
    let ran = machine.done(&["copy", "--to", &other.repo, "--json"]);
    let said = ran.json();
    assert_eq!(said["copied"], 1, "{said}");
    let traffic = said["traffic"].as_array().unwrap();
    assert_eq!(traffic.len(), 2, "{said}");
    for store in traffic {
        assert!(store["requests"].as_u64().unwrap() > 5, "{said}");
    }
    assert_eq!(ran.err.matches(" requests (").count(), 2, "{}", ran.err);
    let sent = traffic
        .iter()
        .find(|it| it["store"] == *other.repo)
        .unwrap();
    assert!(
        sent["sent_bytes"].as_u64() >= said["bytes"].as_u64(),
        "{said}"
    );
    other.done(&["check", "--read-data"]);
    let again = machine
        .done(&["copy", "--to", &other.repo, "--json"])
        .json();
    assert_eq!(
        (again["objects"].as_u64(), again["present"].as_u64()),
        (Some(0), Some(1))
    );

    // From the data directory to both, and from a bucket to a directory.
    let dir = night("night-2");
    let backup = [
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "mon1",
        "--host",
        "h",
        "--copy-to",
        &other.repo,
        "--json",
    ];
    let said = machine.done(&backup).json();
    assert_eq!(said["copies"][0]["copied"], 1, "{said}");
    let disk = other.home.path().join("disk");
    let disk = disk.to_str().unwrap();
    other.done(&["copy", "--to", disk]);
    machine.done(&["check", "--compare", &other.repo]);
    machine.done(&["check", "--compare", disk, "--read-data"]);
    let target = other.home.path().join("back");
    other.done(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert!(archived(&target) == archived(&dir), "{kind:?}");

    // An object is lost, and comes back from the directory.
    let options = server.options_through(server.port);
    let store = RemoteStore::new(server.address("nights/mon1"), &options).unwrap();
    let (lost, _) = store.list("blocks/").unwrap().remove(0);
    store.delete(&lost).unwrap();
    let (manifest, _) = store.list("archives/").unwrap().remove(0);
    store.delete(&manifest).unwrap();
    store
        .create(&manifest)
        .and_then(narthex::store::PendingObject::publish)
        .unwrap();
    let ran = machine.narthex(&["check", "--compare", disk]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    machine.done(&["repair", "--from", disk]);
    machine.done(&["check", "--read-data", "--compare", disk]);
}

#[test]
fn archives_are_copied_to_and_from_versitygw() {
    is_copied(Kind::Versity);
}

#[test]
fn archives_are_copied_to_and_from_fake_gcs() {
    is_copied(Kind::Gcs);
}

/// What a copy that was killed has left is taken for what it is by the next, in whatever form it is
/// stored.
#[cfg(feature = "encryption")]
#[test]
fn what_a_killed_copy_has_left_encrypted_in_a_store_is_taken_over() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "sealed");
    let recipient = machine.key("reader.key");
    machine.done(&["init", "--recipient", &recipient, "--admin", "admin.key"]);
    let disk = machine.home.path().join("disk");
    let disk = disk.to_str().unwrap();
    let dir = night("night-2");
    let local = crate::backup_command::narthex(
        machine.home.path(),
        &[
            "backup",
            dir.to_str().unwrap(),
            "--repo",
            disk,
            "--source",
            "a",
        ],
    );
    assert_eq!(local.code, 0, "{}", local.err);
    let copy = [
        "copy",
        "--from",
        disk,
        "--to",
        &machine.repo,
        "-i",
        "reader.key",
    ];
    machine.copied(&copy);
    // All but the manifests: so far it had come.
    let options = server.options_through(server.port);
    let store = RemoteStore::new(server.address("sealed"), &options).unwrap();
    for (manifest, _) in store.list("archives/").unwrap() {
        store.delete(&manifest).unwrap();
    }
    let said = machine.copied(&copy);
    assert!(said.contains("0 objects of 0 B"), "{said}");
    assert!(store.list("damage/").unwrap().is_empty());
    assert!(store.list("mended/").unwrap().is_empty());
    machine.done(&["check", "--read-data", "-i", "reader.key"]);
}

/// Objects of a directory that a repository keeps its samples in.
fn objects_of(repo: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![repo.join("blocks"), repo.join("packs"), repo.join("wal")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// An object that is encrypted to others has another length, and lies nowhere as it lay before.
#[test]
fn an_encrypted_copy_is_mended_from_a_bucket_whose_objects_are_encrypted_otherwise() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, "mended-from");
    let recipient = machine.key("reader.key");
    machine.done(&["init", "--recipient", &recipient, "--admin", "admin.key"]);
    let dir = night("night-1");
    machine.done(&[
        "backup",
        dir.to_str().unwrap(),
        "--source",
        "a",
        "--host",
        "h",
    ]);
    for (name, spoil) in [
        (
            "cut",
            (|object| fs::write(object, b"cut").unwrap()) as fn(&Path),
        ),
        ("gone", |object| fs::remove_file(object).unwrap()),
    ] {
        let home = machine.home.path();
        let other = machine.key(&format!("{name}.key"));
        let copy = home.join(name);
        let copy = copy.to_str().unwrap();
        let keys = [
            "--identity",
            "reader.key",
            "--identity",
            &format!("{name}.key"),
        ];
        let admin = format!("{name}-admin.key");
        machine.copied(&[
            "init",
            "--recipient",
            &other,
            "--admin",
            &admin,
            "--repo",
            copy,
        ]);
        machine.copied(&[&["copy", "--from", &machine.repo, "--to", copy], &keys[..]].concat());
        let objects = objects_of(Path::new(copy));
        assert!(objects.len() > 4, "{objects:?}");
        for object in &objects {
            spoil(object);
        }
        let from = ["repair", "--from", &machine.repo, "--repo", copy];
        machine.copied(&[&from, &keys[..]].concat());
        let target = home.join(format!("{name}-back"));
        let target = target.to_str().unwrap();
        let restore = ["restore", "latest", "--repo", copy, "--target", target];
        machine.copied(&[&restore, &keys[..]].concat());
        assert!(archived(Path::new(target)) == archived(&dir), "{name}");
        let check = ["check", "--read-data", "--repo", copy];
        machine.copied(&[&check, &keys[..]].concat());
    }
}
