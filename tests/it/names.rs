//! Who is who: which server a directory is of, which repository lies where, what is archived of
//! nothing, and what wrong clocks do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::backup_command::{Ran, narthex};
use crate::fixtures::tree;

const BLOCK: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";
const OTHER: &str = "01M80FKE2Z8SDE7SM63DE19N15";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name)
}

fn put(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A data directory `data` with these blocks of the first night and no log.
fn place(blocks: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/wal")).unwrap();
    for block in blocks {
        put(
            &fixture("night-1").join(block),
            &dir.path().join("data").join(block),
        );
    }
    dir
}

fn backup(dir: &Path, more: &[&str]) -> Ran {
    let common = [
        "backup", "data", "--repo", "repo", "--source", "s", "--json",
    ];
    narthex(dir, &[&common[..], more].concat())
}

/// Changes `meta.json` of a block.
fn edit_meta(block: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    let path = block.join("meta.json");
    let mut meta = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut meta);
    fs::write(path, meta.to_string()).unwrap();
}

fn archives(dir: &Path) -> Vec<serde_json::Value> {
    let listed = narthex(dir, &["archives", "--repo", "repo", "--json"]);
    listed.json()["archives"].as_array().unwrap().clone()
}

#[test]
fn a_parent_whose_child_does_not_hold_its_samples_is_archived_beside_it_and_named() {
    let dir = place(&[BLOCK, OTHER]);
    edit_meta(&dir.path().join("data").join(OTHER), |meta| {
        meta["compaction"]["parents"] =
            serde_json::json!([{"ulid": BLOCK, "minTime": 0, "maxTime": 1}]);
        meta["compaction"]["sources"] = serde_json::json!([BLOCK, OTHER]);
    });
    let ran = backup(dir.path(), &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(
        ran.err
            .contains(&format!("block {BLOCK} is named as parent by {OTHER}")),
        "{}",
        ran.err
    );
    assert_eq!(archives(dir.path())[0]["blocks"], 2);
}

/// Makes `meta` that of a block `ulid` that `clean_tombstones` wrote in the place of `parents`.
fn rewrite(meta: &mut serde_json::Value, ulid: &str, parents: &[&str]) {
    let (min, max) = (meta["minTime"].clone(), meta["maxTime"].clone());
    let parent = |ulid| serde_json::json!({"ulid": ulid, "minTime": min, "maxTime": max});
    let parents: Vec<_> = parents.iter().map(parent).collect();
    meta["ulid"] = ulid.into();
    meta["compaction"]["level"] = 1.into();
    meta["compaction"]["sources"] = serde_json::json!([ulid]);
    meta["compaction"]["parents"] = parents.into();
}

#[test]
fn a_parent_whose_samples_stand_in_its_child_is_left_out() {
    let dir = place(&[BLOCK]);
    let child = OTHER;
    put(
        &dir.path().join("data").join(BLOCK),
        &dir.path().join("data").join(child),
    );
    edit_meta(&dir.path().join("data").join(child), |meta| {
        rewrite(meta, child, &[BLOCK]);
    });
    let ran = backup(dir.path(), &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.json()["blocks"], 1);
    assert_eq!(ran.json()["left_out"][0]["name"], BLOCK);
}

#[test]
fn a_server_whose_blocks_were_all_rewritten_without_what_was_deleted_is_the_same_one() {
    let dir = place(&[BLOCK]);
    assert_eq!(backup(dir.path(), &[]).code, 0);
    let data = dir.path().join("data");
    fs::rename(data.join(BLOCK), data.join(OTHER)).unwrap();
    let rewrite = |parents: &[&str]| {
        edit_meta(&data.join(OTHER), |meta| rewrite(meta, OTHER, parents));
    };
    rewrite(&[]);
    let stranger = backup(dir.path(), &[]);
    assert_eq!(stranger.code, 1, "{}", stranger.err);
    rewrite(&[BLOCK]);
    let same = backup(dir.path(), &[]);
    assert_eq!(same.code, 0, "{}", same.err);
}

#[test]
fn a_block_that_has_lost_its_metadata_is_named_and_keeps_its_place_in_time() {
    for lost in [None, Some("")] {
        let dir = place(&[BLOCK, OTHER]);
        assert_eq!(backup(dir.path(), &[]).code, 0);
        let before = archives(dir.path())[0].clone();
        let meta = dir.path().join("data").join(BLOCK).join("meta.json");
        let sound = fs::read(&meta).unwrap();
        match lost {
            None => fs::remove_file(&meta).unwrap(),
            Some(content) => fs::write(&meta, content).unwrap(),
        }
        let dry = backup(dir.path(), &["--dry-run"]);
        assert_eq!(dry.code, 3, "{}", dry.err);
        assert!(dry.err.contains(BLOCK), "{}", dry.err);
        for _ in 0..2 {
            let ran = backup(dir.path(), &[]);
            assert_eq!(ran.code, 3, "{}", ran.err);
            assert!(
                ran.err.contains(&format!("block {BLOCK} has faults")),
                "{}",
                ran.err
            );
        }
        let newest = archives(dir.path()).pop().unwrap();
        assert_eq!(newest["min_time"], before["min_time"]);
        assert_eq!(newest["max_time"], before["max_time"]);
        let first = before["id"].as_str().unwrap();
        let diff = narthex(dir.path(), &["diff", first, "latest", "--repo", "repo"]);
        assert!(
            diff.out.contains("touched") && !diff.out.contains("1970"),
            "{}",
            diff.out
        );
        fs::write(&meta, sound).unwrap();
        assert_eq!(backup(dir.path(), &[]).code, 0);
    }
}

#[test]
fn of_nothing_no_archive_is_made_and_the_exit_code_is_3() {
    let dir = place(&[BLOCK]);
    fs::create_dir_all(dir.path().join("empty/wal")).unwrap();
    let empty = [
        "backup", "empty", "--repo", "repo", "--source", "s", "--json",
    ];
    let first = narthex(dir.path(), &empty);
    assert_eq!(first.code, 3, "{}", first.err);
    assert!(first.json()["id"].is_null());
    assert_eq!(archives(dir.path()).len(), 0);
    assert_eq!(backup(dir.path(), &[]).code, 0);
    for more in [&[][..], &["--dry-run"]] {
        let ran = narthex(dir.path(), &[&empty[..], more].concat());
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(
            ran.err.contains("holds 1 blocks: is its disk mounted"),
            "{}",
            ran.err
        );
    }
    assert_eq!(archives(dir.path()).len(), 1);
    for command in ["backup", "verify", "list"] {
        let mut arguments = vec![command, "repo"];
        if command == "backup" {
            arguments.extend(["--repo", "other"]);
        }
        let ran = narthex(dir.path(), &arguments);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(
            ran.err.contains("found a narthex repository"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn latest_of_several_servers_is_refused_by_every_command_until_one_is_named() {
    let dir = place(&[BLOCK]);
    assert_eq!(backup(dir.path(), &[]).code, 0);
    let other = ["backup", "data", "--repo", "repo", "--source", "t"];
    assert_eq!(narthex(dir.path(), &other).code, 0);
    for command in [
        &["restore", "latest", "--target", "x"][..],
        &["verify", "--archive", "latest"],
        &["list", "--archive", "latest"],
        &["inspect", "--archive", "latest"],
        &["analyze", "--archive", "latest"],
        &["whatif", "--drop-metric", "go_.*", "--archive", "latest"],
        &["dump", "--archive", "latest"],
        &["stats", "--by", "metric"],
        &["diff", "latest", "archive:latest"],
        &["export", BLOCK],
        &["forecast"],
    ] {
        let common = [command, &["--repo", "repo"]].concat();
        let refused = narthex(dir.path(), &common);
        assert_eq!(refused.code, 1, "{command:?}: {}", refused.err);
        assert!(
            refused.err.contains("\"s\" on") && refused.err.contains("\"t\" on"),
            "{command:?}: {}",
            refused.err
        );
        if command[0] == "export" {
            // What comes then is no text.
            continue;
        }
        let chosen = narthex(dir.path(), &[&common[..], &["--source", "t"]].concat());
        assert!(
            !chosen.err.contains("expected archives of one source"),
            "{command:?}: {}",
            chosen.err
        );
    }
}

#[test]
fn snapshots_of_one_server_are_one_source_wherever_they_lie() {
    let dir = place(&[]);
    let snapshot = |path: &str, block: &str| {
        put(
            &fixture("night-1").join(BLOCK),
            &dir.path().join(path).join(block),
        );
        if block != BLOCK {
            edit_meta(&dir.path().join(path).join(block), |meta| {
                meta["ulid"] = block.into();
                meta["compaction"]["sources"] = serde_json::json!([block]);
            });
        }
        narthex(
            dir.path(),
            &["backup", path, "--repo", "repo", "--host", "h"],
        )
    };
    // The same head, under another name every time.
    for (path, block) in [
        ("data/snapshots/20260921T000000Z-1111111111111111", BLOCK),
        ("data/snapshots/20260922T000000Z-2222222222222222", OTHER),
        (
            "elsewhere/20260923T000000Z-33",
            "01M80FKE2Z8SDE7SM63DE19N16",
        ),
    ] {
        let ran = snapshot(path, block);
        assert_eq!(ran.code, 0, "{path}: {}", ran.err);
    }
    let data = dir.path().join("data").canonicalize().unwrap();
    let named = format!("h:{}", data.display());
    let archives = archives(dir.path());
    assert_eq!(archives.len(), 3);
    assert!(
        archives
            .iter()
            .all(|archive| archive["source_name"] == named),
        "{archives:?}"
    );

    narthex(
        dir.path(),
        &[
            "backup",
            "data/snapshots/20260921T000000Z-1111111111111111",
            "--repo",
            "repo",
            "--host",
            "h",
            "--source",
            "t",
        ],
    );
    let ambiguous = snapshot("elsewhere/20260924T000000Z-44", BLOCK);
    assert_eq!(ambiguous.code, 1, "{}", ambiguous.err);
    assert!(
        ambiguous.err.contains("several servers"),
        "{}",
        ambiguous.err
    );
}

#[test]
fn a_repository_that_is_not_where_it_was_is_not_made_anew() {
    let dir = place(&[BLOCK]);
    let repo = dir.path().join("repo");
    let none = backup(dir.path(), &["--no-create"]);
    assert_eq!(none.code, 1, "{}", none.err);
    let made = backup(dir.path(), &["--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.err.contains("made a new repository"), "{}", made.err);
    let away = dir.path().join("away");
    fs::rename(&repo, &away).unwrap();
    for mounted in [false, true] {
        if mounted {
            fs::create_dir(&repo).unwrap();
        }
        let init = narthex(dir.path(), &["init", "--repo", "repo"]);
        for ran in [
            backup(dir.path(), &[]),
            backup(dir.path(), &["--dry-run"]),
            init,
        ] {
            assert_eq!(ran.code, 1, "{}", ran.err);
            assert!(ran.err.contains("is its disk mounted?"), "{}", ran.err);
        }
        for command in [
            &["check"][..],
            &["archives"],
            &["stats"],
            &["restore", "latest", "--target", "to"],
            &["list", "--archive", "latest"],
            &["export", "01M7ZTB71NJ67GWWE5SXTVHFTH"],
            &["forecast"],
            &["forget", "--keep-last", "1"],
            &["prune"],
            &["repair"],
        ] {
            let ran = narthex(dir.path(), &[command, &["--repo", "repo"]].concat());
            assert_eq!(ran.code, 1, "{command:?}: {}", ran.err);
            assert!(
                ran.err.contains("is its disk mounted?"),
                "{command:?}: {}",
                ran.err
            );
        }
        assert!(!repo.join("narthex.json").exists());
    }
    let anew = narthex(
        dir.path(),
        &["init", "--repo", "repo", "--accept-repository"],
    );
    assert_eq!(anew.code, 0, "{}", anew.err);
    assert_eq!(backup(dir.path(), &["--no-create"]).code, 0);
    // A repository that has never been here.
    fs::remove_dir_all(&repo).unwrap();
    let other = ["init", "--repo", "other"];
    assert_eq!(narthex(dir.path(), &other).code, 0);
    fs::rename(dir.path().join("other"), &repo).unwrap();
    let wrong = backup(dir.path(), &[]);
    assert_eq!(wrong.code, 1, "{}", wrong.err);
    assert!(
        wrong.err.contains("now another one is there"),
        "{}",
        wrong.err
    );
    for command in [&["forget", "--keep-last", "1"][..], &["prune"], &["repair"]] {
        let wrong = narthex(dir.path(), &[command, &["--repo", "repo"]].concat());
        assert_eq!(wrong.code, 1, "{command:?}: {}", wrong.err);
        assert!(
            wrong.err.contains("now another one is there"),
            "{}",
            wrong.err
        );
        let accepted = ["--repo", "repo", "--accept-repository"];
        let accepted = narthex(dir.path(), &[command, &accepted].concat());
        assert_eq!(accepted.code, 0, "{command:?}: {}", accepted.err);
    }
    for (command, code) in [("check", 3), ("archives", 0)] {
        let read = narthex(dir.path(), &[command, "--repo", "repo"]);
        assert_eq!(read.code, code, "{command}: {}", read.err);
        assert!(
            read.err.contains("now another one is there"),
            "{}",
            read.err
        );
    }
    assert_eq!(backup(dir.path(), &["--accept-repository"]).code, 0);
    assert_eq!(backup(dir.path(), &[]).code, 0, "it is known from now on");
    // The first one comes back.
    fs::remove_dir_all(&repo).unwrap();
    fs::rename(&away, &repo).unwrap();
    assert_eq!(backup(dir.path(), &[]).code, 0);
}

#[test]
fn what_names_another_machine_makes_no_directory() {
    let dir = place(&[BLOCK]);
    for place in ["s3:bucket", "sftp:host:/x", "b2:bucket", "host:/x"] {
        let backup = narthex(dir.path(), &["backup", "data", "--repo", place]);
        let init = narthex(dir.path(), &["init", "--repo", place]);
        let restore = ["restore", "latest", "--repo", "repo", "--target", place];
        for ran in [backup, init, narthex(dir.path(), &restore)] {
            assert_eq!(ran.code, 2, "{place}: {}", ran.err);
            assert!(ran.err.contains(&format!("./{place}")), "{}", ran.err);
        }
    }
    let names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["data"]);
    let forced = narthex(dir.path(), &["init", "--repo", "./s3:x"]);
    assert_eq!(forced.code, 0, "{}", forced.err);
    assert!(dir.path().join("s3:x/narthex.json").exists());
}

/// Compiles a library that moves the clock of a program by so many seconds, as `CLOCK_AHEAD` says.
fn clock(dir: &Path) -> PathBuf {
    let source = dir.join("clock.c");
    let library = dir.join("clock.so");
    fs::write(
        &source,
        "#define _GNU_SOURCE\n#include <stdlib.h>\n#include <sys/syscall.h>\n#include <time.h>\n#include <unistd.h>\n\
         int clock_gettime(clockid_t clock, struct timespec *time) {\n\
         int result = (int)syscall(SYS_clock_gettime, clock, time);\n\
         if (clock == CLOCK_REALTIME && getenv(\"CLOCK_AHEAD\")) time->tv_sec += atol(getenv(\"CLOCK_AHEAD\"));\n\
         return result;\n}\n",
    )
    .unwrap();
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .unwrap();
    assert!(made.success());
    library
}

fn narthex_at(dir: &Path, library: &Path, ahead: i64, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(arguments)
        .env("NARTHEX_CACHE_DIR", dir.join("cache"))
        .env("NARTHEX_STATE_DIR", dir.join("state"))
        .env("LD_PRELOAD", library)
        .env("CLOCK_AHEAD", ahead.to_string())
        .current_dir(dir)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_clock_that_was_ahead_once_hides_and_removes_nothing() {
    let dir = place(&[BLOCK]);
    let library = clock(dir.path());
    let year = 400 * 86_400;
    let ahead = narthex_at(
        dir.path(),
        &library,
        year,
        &[
            "backup", "data", "--repo", "repo", "--source", "s", "--json",
        ],
    );
    assert_eq!(ahead.code, 0, "{}", ahead.err);
    let wrong = ahead.json()["id"].as_str().unwrap().to_owned();
    let real = backup(dir.path(), &[]);
    assert_eq!(real.code, 3, "{}", real.err);
    assert!(real.err.contains("lies in the future"), "{}", real.err);
    assert!(!real.err.contains("narthex forget"), "{}", real.err);
    let real = real.json()["id"].as_str().unwrap().to_owned();
    let restored = narthex(
        dir.path(),
        &[
            "restore", "latest", "--repo", "repo", "--target", "t", "--json",
        ],
    );
    assert_eq!(restored.code, 3, "{}", restored.err);
    assert_eq!(restored.json()["archive"], real);
    for command in [
        &["forget", "--keep-within", "1y", "--repo", "repo"][..],
        &["forget", "--keep-daily", "1", "--repo", "repo"],
        &["prune", "--repo", "repo"],
        &["list", "--archive", "latest", "--repo", "repo"],
        &["verify", "--quick", "--archive", "latest", "--repo", "repo"],
    ] {
        let ran = narthex(dir.path(), command);
        assert_eq!(ran.code, 3, "{command:?}: {}", ran.err);
        assert!(
            ran.err.contains("lies in the future"),
            "{command:?}: {}",
            ran.err
        );
        assert!(
            !ran.err.contains("narthex forget"),
            "{command:?}: {}",
            ran.err
        );
    }
    assert_eq!(archives(dir.path()).len(), 2);
    assert_eq!(
        narthex(dir.path(), &["forget", &wrong, "--repo", "repo"]).code,
        0
    );
    assert_eq!(backup(dir.path(), &[]).code, 0);
}

#[test]
fn no_clock_makes_a_command_panic() {
    let dir = place(&[BLOCK]);
    let library = clock(dir.path());
    assert_eq!(backup(dir.path(), &[]).code, 0);
    for ahead in [
        999_999_999_999,
        -99_999_999_999,
        -1_900_000_000,
        i64::MAX / 2,
        i64::MIN / 2,
    ] {
        for command in [
            &["backup", "data", "--repo", "repo", "--source", "s"][..],
            &[
                "backup",
                "data",
                "--repo",
                "repo",
                "--source",
                "s",
                "--dry-run",
            ],
            &["init", "--repo", "new"],
            &[
                "forget",
                "--keep-daily",
                "1",
                "--repo",
                "repo",
                "--prune",
                "--dry-run",
            ],
            &["check", "--repo", "repo", "--read-data"],
            &["forecast", "--repo", "repo"],
            &["dump", "data", "--since", "2h"],
            &[
                "restore",
                "latest",
                "--repo",
                "repo",
                "--target",
                "t",
                "--since",
                "2h",
                "--dry-run",
            ],
            &["archives", "--repo", "repo"],
        ] {
            let ran = narthex_at(dir.path(), &library, ahead, command);
            assert!(
                [0, 1, 3].contains(&ran.code),
                "{ahead} {command:?}: {} {}",
                ran.code,
                ran.err
            );
        }
        let _ = fs::remove_dir_all(dir.path().join("new"));
    }
    assert!(!archives(dir.path()).is_empty());
}
