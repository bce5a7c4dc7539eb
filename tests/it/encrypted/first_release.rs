//! Release 0.1.0, which knows nothing of encryption and of replacements, beside a repository that
//! has them: it refuses, and deletes nothing. `NARTHEX_0_1_0` names its program, which `.ci/run`
//! builds; where the variable is there and empty, the tests are left out on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::program::{Desk, said};
use super::world::night;
use crate::e2e::tools::skip;
use crate::fixtures::{fixture, tree};
use crate::healing::copy;
use crate::log_pieces::grow;

/// The program of the first release, or `None` after saying that the running test is left out.
fn first_release() -> Option<PathBuf> {
    let named = std::env::var_os("NARTHEX_0_1_0").map(PathBuf::from);
    match named {
        Some(program) if program.as_os_str().is_empty() => {
            crate::e2e::tools::say_skipped("NARTHEX_0_1_0 is empty");
            None
        }
        Some(program) => {
            let version = Command::new(&program).arg("--version").output().unwrap();
            let version = String::from_utf8(version.stdout).unwrap();
            assert!(version.starts_with("narthex 0.1.0"), "{version}");
            Some(program)
        }
        None => {
            skip("no narthex 0.1.0 (NARTHEX_0_1_0 names one; .ci/run builds it)");
            None
        }
    }
}

/// What of `before` is gone or changed below `repo`.
fn lost(before: &BTreeMap<String, Vec<u8>>, repo: &Path) -> Vec<String> {
    let after = tree(repo);
    let lost = before
        .iter()
        .filter(|(name, content)| after.get(*name) != Some(content));
    lost.map(|(name, _)| name.clone()).collect()
}

/// Everything that deletes, with nothing to wait for.
const DELETES: [&[&str]; 4] = [
    &["prune", "--grace", "0s"],
    &["prune", "--grace", "0s", "--unsafe-allow-remove-all"],
    &["forget", "--keep-last", "1", "--prune", "--grace", "0s"],
    &[
        "forget",
        "--keep-last",
        "1",
        "--unsafe-allow-remove-all",
        "--prune",
        "--grace",
        "0s",
    ],
];

/// What reads.
const READS: [&[&str]; 3] = [
    &["check"],
    &["check", "--read-data"],
    &["restore", "latest", "--target", "back"],
];

/// Runs all of `commands` twice, as prune deletes what was marked before.
fn assert_refused(desk: &Desk, program: &Path, commands: &[&[&str]], what: &str) {
    let repo = desk.path("repo");
    let before = tree(&repo);
    for command in commands.iter().chain(commands) {
        let output = Command::new(program)
            .args(*command)
            .current_dir(desk.path(""))
            .env("NARTHEX_REPO", &repo)
            .env("NARTHEX_STATE_DIR", desk.path("first-state"))
            .env("NARTHEX_CACHE_DIR", desk.path("first-cache"))
            .output()
            .unwrap();
        let (out, err) = said(&output);
        let lost = lost(&before, &repo);
        assert!(lost.is_empty(), "{what}, {command:?}: {lost:?}\n{out}{err}");
        assert_ne!(
            output.status.code(),
            Some(0),
            "{what}, {command:?}: {out}{err}"
        );
        assert!(
            !desk.path("back").exists(),
            "{what}, {command:?}: {out}{err}"
        );
    }
}

#[test]
fn the_first_release_refuses_an_encrypted_repository_and_deletes_nothing() {
    let Some(program) = first_release() else {
        return;
    };
    let all = [&DELETES[..], &READS].concat();
    let desk = Desk::new();
    desk.init();
    let first = desk.back_up(1);
    desk.back_up(2);
    // What no archive needs any more, so that a prune has something to delete.
    let id = first["id"].as_str().unwrap();
    desk.done("reader", &["forget", id, "-i", "backup.key"]);
    assert_refused(&desk, &program, &all, "as it is");
    // Archives whose descriptor is one that it knows: whoever lost it may have made another.
    let repo = desk.path("repo");
    let descriptor = repo.join("narthex.json");
    let kept = fs::read(&descriptor).unwrap();
    desk.done("other", &["init", "--repo", "plain"]);
    fs::copy(desk.path("plain/narthex.json"), &descriptor).unwrap();
    assert_refused(&desk, &program, &all, "with a descriptor in clear");
    fs::remove_file(&descriptor).unwrap();
    assert_refused(&desk, &program, &all, "without a descriptor");
    fs::write(&descriptor, kept).unwrap();
    desk.done("reader", &["check", "--read-data", "-i", "backup.key"]);
}

#[test]
fn the_first_release_deletes_nothing_where_something_stands_in_for_a_damaged_object() {
    let Some(program) = first_release() else {
        return;
    };
    let desk = Desk::new();
    let dir = night(1);
    let backup = ["backup", dir.to_str().unwrap(), "--source", "a"];
    desk.done("host", &backup);
    let repo = desk.path("repo");
    let packs = tree(&repo).into_keys();
    let pack = packs.filter(|name| name.starts_with("packs/")).min();
    let pack = repo.join(pack.unwrap());
    let mut content = fs::read(&pack).unwrap();
    content[200] ^= 1;
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, content).unwrap();
    let found = desk.run("host", &["check", "--read-data"]);
    assert_eq!(found.status.code(), Some(3));
    desk.done("host", &backup);
    assert!(repo.join("archives/prune-needs-narthex-0.2.0").exists());
    assert_refused(&desk, &program, &DELETES, "with a replacement");
    desk.done("host", &["restore", "latest", "--target", "sound"]);
}

#[test]
fn the_first_release_deletes_nothing_where_logs_lie_in_several_objects() {
    let Some(program) = first_release() else {
        return;
    };
    let desk = Desk::new();
    let data = desk.path("data");
    copy(&fixture("blocks/tiny"), &data);
    for state in 0..3 {
        grow(&data, state);
        let backup = ["backup", data.to_str().unwrap(), "--source", "a"];
        let ran = desk.run("host", &backup);
        let (out, err) = said(&ran);
        assert!(matches!(ran.status.code(), Some(0 | 3)), "{out}{err}");
    }
    assert_refused(&desk, &program, &DELETES, "with logs in pieces");
    desk.done("host", &["check", "--read-data"]);
    desk.done("host", &["restore", "latest", "--target", "sound"]);
    assert!(tree(&desk.path("sound")) == tree(&data));
}
