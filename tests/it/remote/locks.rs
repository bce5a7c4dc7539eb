//! Locks: what a backup needs cannot be deleted, and is locked anew only when that is due.

use std::fs;

use serde_json::Value;

use super::guarded::{Guarded, Who};
use super::nights::{Machine, archived, night};
use super::servers::{Kind, ObjectServer};
use crate::schemas::assert_fits;

const PREFIX: &str = "locked";

/// The administrator's machine.
fn machine(guarded: &Guarded) -> Machine {
    Machine::beside(&guarded.server, guarded.server.port, PREFIX)
}

fn backup(machine: &Machine, name: &str, more: &[&str]) -> Value {
    let dir = night(name);
    let mut arguments = vec!["backup", dir.to_str().unwrap(), "--json"];
    arguments.extend(["--source", "mon1", "--host", "h"]);
    arguments.extend(more);
    let said = machine.done(&arguments).json();
    assert_fits("backup", &said);
    said
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// The names of all objects that begin with `prefix`, in the bucket.
fn keys(guarded: &Guarded, prefix: &str) -> Vec<String> {
    let prefix = format!("{PREFIX}/{prefix}");
    let query = [("list-type", "2"), ("prefix", &*prefix)];
    let (status, said) = guarded.ask(Who::Admin, "GET", "", &query, &[], b"");
    assert_eq!(status, 200, "{said}");
    let found = said.split("<Key>").skip(1);
    let found = found.map(|it| it.split('<').next().unwrap().to_owned());
    found.collect()
}

/// Mode and end of the lock on an object.
fn lock_of(guarded: &Guarded, key: &str) -> Option<(String, String)> {
    let (_, said) = guarded.ask(Who::Admin, "GET", key, &[("retention", "")], &[], b"");
    let (_, mode) = said.split_once("<Mode>")?;
    let (_, until) = said.split_once("<RetainUntilDate>")?;
    let text = |text: &str| text.split('<').next().unwrap().to_owned();
    Some((text(mode), text(until)))
}

fn days_from_now(days: i64) -> String {
    let millis = narthex::model::now() + days * 86_400_000;
    let time = jiff::Timestamp::from_millisecond(millis).unwrap();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[test]
fn what_a_backup_needs_is_locked_and_extended_only_when_that_is_due() {
    let Some(guarded) = Guarded::start_or_skip(PREFIX) else {
        return;
    };
    let machine = machine(&guarded);
    let first = backup(&machine, "night-1", &["--lock", "30d"]);
    let lock = &first["lock"];
    assert!(count(&lock["objects"]) > 3, "{lock}");
    assert_eq!(lock["extended"], lock["objects"], "{lock}");
    assert_eq!(lock["failed"], 0);
    for prefix in ["blocks/", "packs/", "archives/", "narthex.json"] {
        let found = keys(&guarded, prefix);
        assert!(!found.is_empty(), "{prefix}");
        for key in found {
            let (mode, until) = lock_of(&guarded, &key).unwrap();
            assert_eq!(mode, "COMPLIANCE", "{key}");
            // A quarter longer than asked.
            assert!(
                until > days_from_now(37) && until < days_from_now(38),
                "{until}"
            );
        }
    }
    // Claims name objects, and are taken back.
    assert!(keys(&guarded, "claims/").is_empty());
    // The next night only what is new is locked, and nothing else is asked.
    let second = backup(&machine, "night-1", &["--lock", "30d"]);
    assert_eq!(second["new_blocks"], 0, "{second}");
    let again = count(&second["lock"]["extended"]);
    assert!(again < count(&lock["objects"]) && again >= 1, "{second}");
    // What this machine remembers may be lost: the store is asked, and nothing is done.
    fs::remove_dir_all(machine.home.path().join("state/locks")).unwrap();
    let told = machine.done(&["lock", "latest", "--for", "30d", "--dry-run", "--json"]);
    assert_fits("lock", &told.json());
    assert_eq!(told.json()["extended"], told.json()["objects"]);
    let asked = machine
        .done(&["lock", "latest", "--for", "30d", "--json"])
        .json();
    assert_eq!(asked["extended"], 0, "{asked}");
    assert!(
        count(&asked["traffic"][0]["reads"]) >= count(&asked["objects"]),
        "{asked}"
    );
    let known = machine
        .done(&["lock", "latest", "--for", "30d", "--json"])
        .json();
    assert!(
        count(&known["traffic"][0]["reads"]) < count(&known["objects"]),
        "{known}"
    );
    // Classes: what a policy names is locked for longer, and that is never shortened.
    let longer = machine
        .done(&["lock", "--keep-monthly", "12", "--for", "1y", "--json"])
        .json();
    assert_eq!(longer["extended"], longer["objects"], "{longer}");
    fs::remove_dir_all(machine.home.path().join("state/locks")).unwrap();
    let short = ["lock", "latest", "--for", "1d", "--lock-mode", "governance"];
    let said = machine.done(&short);
    assert!(
        said.out.contains(" 0 locks are new or longer"),
        "{}",
        said.out
    );
    let key = &keys(&guarded, "packs/")[0];
    let (mode, until) = lock_of(&guarded, key).unwrap();
    assert_eq!(mode, "COMPLIANCE");
    assert!(until > days_from_now(400), "{until}");
}

#[test]
fn prune_leaves_locked_objects_alone_and_says_until_when() {
    let Some(guarded) = Guarded::start_or_skip(PREFIX) else {
        return;
    };
    let machine = machine(&guarded);
    let first = backup(
        &machine,
        "night-1",
        &["--lock", "2d", "--lock-mode", "governance"],
    );
    let second = backup(&machine, "night-2", &[]);
    assert_eq!(second["lock"], Value::Null);
    machine.done(&["forget", first["id"].as_str().unwrap()]);
    let data = ["blocks/", "packs/", "wal/"].map(|prefix| keys(&guarded, prefix));
    let pruned = machine.done(&["prune", "--grace", "0s", "--json"]).json();
    assert_fits("prune", &pruned);
    assert!(count(&pruned["locked_objects"]) > 0, "{pruned}");
    assert_eq!(pruned["deleted_objects"], 0, "{pruned}");
    assert_eq!(
        data,
        ["blocks/", "packs/", "wal/"].map(|prefix| keys(&guarded, prefix))
    );
    let said = machine.done(&["prune", "--grace", "0s"]).out;
    assert!(said.contains(" are locked until "), "{said}");
    // What is not locked goes as ever.
    let third = backup(&machine, "night-1", &["--force"]);
    machine.done(&["forget", third["id"].as_str().unwrap()]);
    let pruned = machine.done(&["prune", "--grace", "0s", "--json"]).json();
    assert_eq!(pruned["deleted_objects"], 1, "{pruned}");
    let target = machine.home.path().join("out");
    machine.done(&["restore", "latest", "--target", target.to_str().unwrap()]);
    assert!(archived(&target) == archived(&night("night-2")));
}

#[test]
fn a_place_without_locks_is_told_apart_before_anything_is_done() {
    let Some(server) = ObjectServer::start_or_skip(Kind::Versity) else {
        return;
    };
    let machine = Machine::beside(&server, server.port, PREFIX);
    let dir = night("night-1");
    let lock = ["backup", dir.to_str().unwrap(), "--lock", "30d"];
    let said = machine.narthex(&lock);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("not set up for locks"), "{}", said.err);
    let stored = machine.narthex(&["archives"]);
    assert!(stored.err.contains("no repository"), "{}", stored.err);
    let home = tempfile::tempdir().unwrap();
    let mut local = machine;
    local.repo = home.path().join("repo").display().to_string();
    let said = local.narthex(&lock);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("cannot lock objects"), "{}", said.err);
    assert!(!home.path().join("repo").exists());
    let odd = local.narthex(&["lock", "latest", "--for", "5s"]);
    assert_eq!(odd.code, 2, "{}", odd.err);
}
