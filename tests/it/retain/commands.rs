//! `narthex forget` and `narthex prune` as a user runs them: streams, JSON, exit codes.

use std::process::Output;

use assert_cmd::Command;
use narthex::repository::ArchiveId;
use narthex::repository::claim::Claim;
use narthex::store::LocalStore;
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
