//! What is typed wrong, or points to the wrong thing, is answered with what was expected, what was
//! found and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::backup_command::narthex;
use crate::fixtures::{fixture, tree};

const BLOCK: &str = "01M80FN8PK4S2DZQ85HBJ25081";

fn put(from: &Path, to: &Path) {
    for (name, content) in tree(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// The second night in `data`, archived in `repo` as the source `prometheus-0`.
fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    put(&fixture("night-2"), &dir.path().join("data"));
    let backup = [
        "backup",
        "data",
        "--repo",
        "repo",
        "--source",
        "prometheus-0",
    ];
    let ran = narthex(dir.path(), &backup);
    assert_eq!(ran.code, 0, "{}", ran.err);
    dir
}

#[test]
fn every_mistake_is_answered_with_what_to_do() {
    let dir = place();
    let restore = ["restore", "latest", "--repo", "repo", "--target"];
    let with = |more: &[&'static str]| [&restore[..], more].concat();
    let cases: Vec<(Vec<&str>, i32, &[&str])> = vec![
        // A repository that is not there, or something else there.
        (
            vec!["archives", "--repo", "/mnt/typo/repo"],
            1,
            &[
                "there is no repository in /mnt/typo/repo",
                "its disk mounted?",
                "narthex init",
            ],
        ),
        (
            vec!["check", "--repo", "data"],
            1,
            &[
                "data is what Prometheus writes",
                "--repo is where archives are",
            ],
        ),
        (
            vec!["stats", "--repo", "data/lock"],
            1,
            &["expected the directory of a repository, found a file at data/lock"],
        ),
        // Archives, sources, blocks.
        (
            vec!["restore", "lates", "--repo", "repo", "--target", "x"],
            1,
            &[
                "there is no archive \"lates\"",
                "did you mean latest?",
                "narthex archives",
            ],
        ),
        (
            with(&["x", "--source", "promethues-0"]),
            1,
            &[
                "there is no archive of source \"promethues-0\"",
                "did you mean prometheus-0?",
            ],
        ),
        (
            vec!["forget", "zzz", "--repo", "repo"],
            1,
            &["there is no archive \"zzz\"", "nothing was removed"],
        ),
        (
            with(&["x", "--block", "01M80FN8PK4S2DZQ85HBJ25082"]),
            1,
            &[
                "has no block 01M80FN8PK4S2DZQ85HBJ25082",
                "did you mean 01M80FN8PK4S2DZQ85HBJ25081?",
            ],
        ),
        // Directories of blocks.
        (
            vec!["verify", "nowhere"],
            1,
            &[
                "expected a Prometheus data directory",
                "found nothing at nowhere",
            ],
        ),
        (
            vec!["list", "data/lock"],
            1,
            &[
                "expected a Prometheus data directory",
                "found a file at data/lock",
            ],
        ),
        (
            vec!["analyze", "data/wal"],
            1,
            &[
                "found neither blocks nor a WAL in data/wal",
                "it is part of ",
                "/data",
            ],
        ),
        (vec!["inspect", "."], 1, &["is ./data meant?"]),
        // Targets.
        (
            with(&["data/lock"]),
            1,
            &["expected a directory as target, found a file at data/lock"],
        ),
        (
            with(&["repo/blocks/new"]),
            1,
            &[
                "expected a target outside of the repository",
                "repo/blocks/new",
            ],
        ),
        // Numbers and names.
        (
            vec!["verify", "data", "--threads", "0"],
            2,
            &["expected 1 to 1024 threads", "one for each core"],
        ),
        (
            vec!["backup", "data", "--repo", "repo", "--source", ""],
            2,
            &["expected a name, found nothing"],
        ),
        (
            vec!["forecast", "data", "--disk", "500"],
            2,
            &["expected the size of a disk such as 500GiB", "500 bytes"],
        ),
        (
            vec!["verify", "data", "--retention-size", "500"],
            2,
            &["expected a size with a unit"],
        ),
        (
            vec!["dump", "data", "--since", "+1h"],
            1,
            &["expected a time such as", "(UTC)", "(milliseconds)"],
        ),
    ];
    for (arguments, code, parts) in cases {
        let ran = narthex(dir.path(), &arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        for part in parts {
            assert!(
                ran.err.contains(part),
                "{arguments:?}: {part:?} in {}",
                ran.err
            );
        }
        assert!(!dir.path().join("x").exists(), "{arguments:?}");
    }
    assert!(!dir.path().join("repo/blocks/new").exists());
}

#[test]
fn milliseconds_as_json_has_them_mean_the_same_as_what_tables_print() {
    let dir = place();
    let dump = |since: &str| {
        let ran = narthex(
            dir.path(),
            &[
                "dump",
                "data",
                "--match",
                "up",
                "--since",
                since,
                "--until",
                "2026-11-22 01:59",
            ],
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    let found = dump("2026-11-22 01:58:00");
    assert!(!found.is_empty());
    for same in ["1795312680000", "1795312680", "2026-11-22T02:58:00+01:00"] {
        assert_eq!(dump(same), found, "{same}");
    }
}

#[test]
fn a_dry_run_says_what_room_is_needed_and_a_restore_what_came_back() {
    let dir = place();
    let target = ["restore", "latest", "--repo", "repo", "--target", "t"];
    let dry = narthex(dir.path(), &[&target[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.err);
    let total = dry
        .out
        .lines()
        .find(|line| line.starts_with("total "))
        .unwrap();
    assert!(total.contains("6 blocks and the WAL"), "{total}");
    assert!(total.contains("must be free in ."), "{total}");
    let json = narthex(
        dir.path(),
        &[&target[..], &["--dry-run", "--json"]].concat(),
    );
    let json = json.json();
    assert_eq!(json["room"], json["bytes"]);
    assert!(json["free"].as_u64() > json["room"].as_u64());
    let room = json["room"].clone();
    let ran = narthex(dir.path(), &[&target[..], &["--json"]].concat());
    let json = ran.json();
    assert_eq!(json["bytes"], room, "blocks and logs");
    let archives = narthex(dir.path(), &["archives", "--repo", "repo", "--json"]).json();
    let archive = &archives["archives"][0];
    assert_eq!(json["min_time"], archive["min_time"]);
    assert!(json["max_time"].as_i64() >= archive["max_time"].as_i64());
    let ranged = [
        "restore",
        "latest",
        "--repo",
        "repo",
        "--target",
        "u",
        "--exact",
        "--no-wal",
        "--since",
        "2026-11-22 01:58:10",
        "--until",
        "2026-11-22 01:58:20",
    ];
    let ran = narthex(dir.path(), &ranged);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for line in ["2026-11-22 01:58:10", "2026-11-22 01:58:20"] {
        assert!(ran.out.contains(line), "{}", ran.out);
    }
    assert!(ran.out.contains("\nmissing  0\n"), "{}", ran.out);
}

#[test]
fn what_is_said_of_an_archive_names_no_path_that_is_gone() {
    let dir = place();
    for more in [&[][..], &["--json"]] {
        let verify = ["verify", "--archive", "latest", "--repo", "repo"];
        let ran = narthex(dir.path(), &[&verify[..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains("archive-"), "{}", ran.out);
        assert!(!ran.out.contains("/archive-"), "{}", ran.out);
    }
}

#[test]
fn who_may_not_read_is_told_as_whom_narthex_runs() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let dir = place();
    let root = dir.path();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(root.join("data"), fs::Permissions::from_mode(0o700)).unwrap();
    let program = root.join("narthex");
    fs::copy(env!("CARGO_BIN_EXE_narthex"), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let ran = command
        .arg(&program)
        .args(["verify", "data"])
        .current_dir(root)
        .output();
    let Ok(ran) = ran else { return };
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{err}");
    assert!(
        err.contains("cannot list data") && err.contains("(65534), who may not"),
        "{err}"
    );

    // What root restores below somebody else's directory is not theirs, which is said.
    std::os::unix::fs::chown(root.join("data"), Some(65534), Some(65534)).unwrap();
    let restore = [
        "restore", "latest", "--repo", "repo", "--target", "data/new", "--block", BLOCK,
    ];
    let told = narthex(root, &[&restore[..], &["--dry-run"]].concat());
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(told.err.contains("belongs to root (0600)"), "{}", told.err);
    assert!(told.err.contains("--chown"), "{}", told.err);
    let given = narthex(root, &[&restore[..], &["--chown", "65534:65534"]].concat());
    assert_eq!(given.code, 0, "{}", given.err);
    assert!(!given.err.contains("belongs to"), "{}", given.err);
}
