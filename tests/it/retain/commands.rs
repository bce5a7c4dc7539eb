//! `narthex forget` and `narthex prune` as a user runs them: streams, JSON, exit codes.

use std::process::Output;

use assert_cmd::Command;
use narthex::repository::ArchiveId;
use narthex::repository::claim::Claim;
use narthex::store::LocalStore;
use narthex::store::ReadStore as _;
use serde_json::Value;

use super::*;
use crate::keeping;

fn narthex(repo: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("narthex").unwrap();
    let command = command.args(arguments).env("NARTHEX_REPO", repo);
    command.output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Archives of three days: blocks 1; 1 and 2; 2 and 3.
fn repository() -> (tempfile::TempDir, std::path::PathBuf, Vec<Archive>) {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let repository = Repository::open_or_init(Arc::new(LocalStore::new(&repo))).unwrap();
    let nights: [&[u8]; 3] = [&[1], &[1, 2], &[2, 3]];
    let nights = (0..).map(|n| START + n * DAY).zip(nights);
    let made = nights.map(|(time, blocks)| keeping::back_up(&repository, time, blocks).unwrap());
    let made = made.collect();
    (dir, repo, made)
}

#[test]
fn forget_and_prune_let_go_of_what_the_policy_does_not_keep() {
    let (_dir, repo, made) = repository();
    let dry = narthex(
        &repo,
        &["forget", "--keep-daily", "1", "--dry-run", "--json"],
    );
    assert_eq!(dry.status.code(), Some(0));
    let fates: Vec<_> = json(&dry)["archives"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["fate"].clone(), a["reasons"].clone()))
        .collect();
    assert_eq!(fates.len(), 3);
    assert_eq!(fates[2], ("keep".into(), serde_json::json!(["daily"])));
    assert_eq!(json(&dry)["dry_run"], true);

    let (code, out, err) = said(&narthex(&repo, &["forget", "--keep-daily", "1", "--prune"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("2 archives removed, 1 kept"), "{out}");
    assert!(
        out.contains("3 of ") && out.contains("are not needed"),
        "{out}"
    );
    let waiting = json(&narthex(&repo, &["prune", "--json"]));
    assert_eq!(waiting["waiting_objects"], 3);
    assert_eq!(waiting["items"][0]["fate"], "waiting");
    let gone = json(&narthex(&repo, &["prune", "--grace", "0s", "--json"]));
    assert_eq!(gone["deleted_objects"], 3);
    assert!(gone["deleted_bytes"].as_u64().unwrap() > 0);

    let checked = narthex(&repo, &["check", "--read-data", "--json"]);
    assert_eq!(json(&checked)["findings"], serde_json::json!([]));
    let store = LocalStore::new(&repo);
    let last = made.last().unwrap();
    let files = keeping::restore(&store, last).unwrap();
    assert_eq!(files, keeping::expected(START + 2 * DAY, &[2, 3]));
}

#[test]
fn wrong_usage_is_2_and_a_refusal_is_1_and_says_what_to_do() {
    let (_dir, repo, made) = repository();
    let id = made[0].id.as_str();
    for wrong in [
        &["forget"][..],
        &["forget", "--dry-run"],
        &["forget", id, "--keep-last", "1"],
        &["forget", "--keep-daily", "some"],
        &["forget", "--keep-within", "5"],
        &["prune", "--grace", "soon"],
    ] {
        assert_eq!(narthex(&repo, wrong).status.code(), Some(2), "{wrong:?}");
    }
    for (refused, hint) in [
        (&["forget", "--keep-last", "0"][..], "--keep-daily 7"),
        (&["forget", "--unsafe-allow-remove-all"], "--keep-daily 7"),
        (
            &["forget", "--keep-last", "0", "--host", "mon1"],
            "--keep-daily 7",
        ),
    ] {
        let (code, out, err) = said(&narthex(&repo, refused));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{refused:?}");
        assert!(err.contains(hint), "{err}");
    }
    assert_eq!(
        narthex(&repo, &["forget", "--keep-last", "-1"])
            .status
            .code(),
        Some(0)
    );
    let store = LocalStore::new(&repo);
    assert_eq!(store.list("archives/").unwrap().len(), 3);
    let all = ["forget", "--unsafe-allow-remove-all", "--host", "mon1"];
    assert_eq!(narthex(&repo, &all).status.code(), Some(0));
    assert_eq!(store.list("archives/").unwrap().len(), 0);
}

#[test]
fn a_damaged_manifest_is_exit_3_and_stops_the_prune() {
    let (_dir, repo, made) = repository();
    let manifest = made[0].manifest_name().unwrap().object().unwrap();
    fs::write(repo.join(manifest.as_str()), b"{}").unwrap();
    let (code, out, err) = said(&narthex(&repo, &["forget", "--keep-last", "1", "--prune"]));
    assert_eq!(code, Some(3), "{err}");
    assert!(
        err.contains(manifest.as_str()) && err.contains("not pruned"),
        "{err}"
    );
    assert!(out.contains("1 archives removed, 1 kept"), "{out}");
    let (code, _, err) = said(&narthex(&repo, &["prune"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("nothing is deleted"), "{err}");
    let by_id = narthex(&repo, &["forget", made[0].id.as_str()]);
    assert_eq!(by_id.status.code(), Some(0));
    assert_eq!(narthex(&repo, &["prune"]).status.code(), Some(0));
}

#[test]
fn manifests_that_are_out_of_sight_are_named_by_every_command_and_stop_the_prune() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::os::unix::fs::symlink;
    let (dir, repo, made) = repository();
    let archives = repo.join("archives");
    let manifest = made[2].manifest_name().unwrap().object().unwrap();
    let manifest_path = repo.join(manifest.as_str());
    let aside = dir.path().join("aside");
    let objects = LocalStore::new(&repo).list("").unwrap();
    let assert_kept = |what: &str| {
        let now = LocalStore::new(&repo).list("").unwrap();
        let is_lost = |name: &ObjectName| !now.iter().any(|(other, _)| other == name);
        let mut data = objects.iter().map(|(name, _)| name);
        assert!(
            !data.any(|name| narthex::repository::is_data(name) && is_lost(name)),
            "{what}"
        );
    };
    let run = |arguments: &[&str]| said(&narthex(&repo, arguments));
    let forget = ["forget", "--keep-last", "9", "--prune", "--grace", "0s"];
    let kinds = || {
        let report = json(&narthex(&repo, &["check", "--json"]));
        let kinds = report["findings"].as_array().unwrap().iter();
        kinds
            .map(|it| it["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    // The directory is gone, a link to nothing, or empty, as one is on which nothing is mounted.
    fs::rename(&archives, &aside).unwrap();
    for what in ["gone", "link", "empty"] {
        match what {
            "link" => symlink("nowhere", &archives).unwrap(),
            "empty" => fs::create_dir(&archives).unwrap(),
            _ => {}
        }
        for command in [
            &["prune", "--grace", "0s"][..],
            &["prune", "--dry-run"],
            &forget,
        ] {
            let (code, _, err) = run(command);
            assert_eq!(code, Some(1), "{what} {command:?}: {err}");
            assert!(err.contains("archives") && err.contains("disk"), "{err}");
        }
        if what == "link" {
            let all = ["prune", "--grace", "0s", "--unsafe-allow-remove-all"];
            assert_eq!(run(&all).0, Some(1), "it may be there");
        }
        assert_kept(what);
        for command in ["archives", "stats"] {
            let (code, _, err) = run(&[command]);
            assert_eq!(code, Some(3), "{what} {command}: {err}");
            assert!(err.contains("objects with data"), "{err}");
        }
        let (code, _, err) = run(&["restore", "latest", "--target", "x"]);
        assert_eq!(code, Some(1));
        assert!(err.contains("objects with data"), "{err}");
        assert_eq!(run(&["check"]).0, Some(3));
        assert!(kinds().contains(&"manifests-missing".to_owned()), "{what}");
        match what {
            "link" => fs::remove_file(&archives).unwrap(),
            "empty" => fs::remove_dir(&archives).unwrap(),
            _ => {}
        }
    }
    fs::rename(&aside, &archives).unwrap();
    assert_eq!(run(&["check"]).0, Some(0));

    // Of one manifest the file is elsewhere.
    fs::rename(&manifest_path, &aside).unwrap();
    for what in ["link", "pipe", "directory", "full directory"] {
        match what {
            "link" => symlink("nowhere", &manifest_path).unwrap(),
            "pipe" => mkfifoat(CWD, &manifest_path, Mode::RWXU).unwrap(),
            _ => fs::create_dir(&manifest_path).unwrap(),
        }
        if what == "full directory" {
            fs::write(manifest_path.join("x"), b"x").unwrap();
        }
        for command in [
            &["prune", "--grace", "0s"][..],
            &["prune", "--dry-run"],
            &forget,
        ] {
            let (code, _, err) = run(command);
            assert_eq!(code, Some(1), "{what} {command:?}: {err}");
            assert!(
                err.contains(manifest.as_str()) && err.contains("nothing is deleted"),
                "{err}"
            );
        }
        assert_kept(what);
        for command in [
            &["archives"][..],
            &["stats"],
            &["forget", "--keep-last", "9"],
        ] {
            let (code, _, err) = run(command);
            assert_eq!(code, Some(3), "{what} {command:?}: {err}");
            assert!(err.contains(manifest.as_str()), "{err}");
        }
        assert_eq!(run(&["check"]).0, Some(3));
        assert_eq!(kinds()[0], "manifest-damaged", "{what}");
        if manifest_path.is_dir() {
            fs::remove_dir_all(&manifest_path).unwrap();
        } else {
            fs::remove_file(&manifest_path).unwrap();
        }
    }
    // A link to a manifest is that manifest, and what a fresh file system holds is nothing.
    symlink(&aside, &manifest_path).unwrap();
    fs::create_dir(archives.join("lost+found")).unwrap();
    assert_eq!(run(&["prune", "--grace", "0s"]).0, Some(0));
    assert_eq!(run(&["check", "--read-data"]).0, Some(0));
    assert_kept("all there");

    let all = [
        "forget",
        "--unsafe-allow-remove-all",
        "--host",
        "mon1",
        "--prune",
        "--grace",
        "0s",
    ];
    let (code, out, err) = run(&all);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let left = LocalStore::new(&repo).list("").unwrap();
    assert!(
        !left
            .iter()
            .any(|(name, _)| narthex::repository::is_data(name)),
        "{left:?}"
    );
}

#[test]
fn a_claim_of_a_backup_that_never_ended_is_named_when_it_counts_no_more() {
    let (_dir, repo, _) = repository();
    let store = LocalStore::new(&repo);
    let claim = || {
        let (id, long_ago) = (ArchiveId::random(), narthex::model::now() - 2 * DAY);
        Claim::publish(&store, &id, std::iter::empty().collect(), long_ago).unwrap()
    };
    for command in [&["prune"][..], &["forget", "--keep-last", "3", "--prune"]] {
        claim();
        let (code, _, err) = said(&narthex(&repo, command));
        assert_eq!(code, Some(3), "{command:?}: {err}");
        assert!(err.contains("did not end within a day"), "{err}");
        let (code, _, err) = said(&narthex(&repo, command));
        assert_eq!((code, err.as_str()), (Some(0), ""), "it is gone");
    }
}
