//! `narthex backup` and `narthex restore` as a user runs them: output, exit codes, what is refused.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}", self.err))
    }
}

pub(crate) fn narthex(dir: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(arguments)
        .env_remove("NARTHEX_REPO")
        .env("NARTHEX_CACHE_DIR", dir.join("cache"))
        .env("NARTHEX_STATE_DIR", dir.join("state"))
        .current_dir(dir)
        .output()
        .unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name);
    path.to_str().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

/// A place to work in, with a copy of the first night in `data`.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(Path::new(&fixture("night-1")), &data);
    (dir, data)
}

#[test]
fn two_nights_are_backed_up_and_the_second_restored() {
    let dir = tempfile::tempdir().unwrap();
    for (night, new, unchanged) in [("night-1", 3, 0), ("night-2", 5, 1)] {
        let arguments = [
            "backup",
            &fixture(night),
            "--repo",
            "repo",
            "--source",
            "p",
            "--json",
        ];
        let ran = narthex(dir.path(), &arguments);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let json = ran.json();
        assert_eq!(json["new_blocks"], new);
        assert_eq!(json["unchanged_blocks"], unchanged);
        assert!(json["wal_max_time"].as_i64() >= json["max_time"].as_i64());
    }
    let ran = narthex(
        dir.path(),
        &["restore", "latest", "--repo", "repo", "--target", "t"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("\nblocks   6\nWAL      yes\n"),
        "{}",
        ran.out
    );
    let again = narthex(
        dir.path(),
        &["restore", "latest", "--repo", "repo", "--target", "t"],
    );
    assert_eq!(again.code, 1);
    assert!(again.err.contains("--add-missing"), "{}", again.err);
    let nothing = [
        "restore",
        "latest",
        "--repo",
        "repo",
        "--target",
        "u",
        "--until",
        "1970-01-02",
    ];
    let ran = narthex(dir.path(), &nothing);
    assert_eq!(ran.code, 1);
    assert!(!dir.path().join("u").exists());
}

#[test]
fn damage_is_archived_and_told_by_the_exit_code() {
    let (dir, data) = place();
    fs::write(data.join("01M80FJGSDDJPV4DWFG2XR4VJ2/index"), b"no index").unwrap();
    let ran = narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("block 01M80FJGSDDJPV4DWFG2XR4VJ2 has faults"),
        "{}",
        ran.err
    );
    let ran = narthex(
        dir.path(),
        &["restore", "latest", "--repo", "repo", "--target", "t"],
    );
    assert_eq!(ran.code, 3, "{}", ran.err);
    let index = dir.path().join("t/01M80FJGSDDJPV4DWFG2XR4VJ2/index");
    assert_eq!(fs::read(index).unwrap(), b"no index");
}

#[test]
fn a_damaged_block_comes_back_with_a_remark_and_exit_3_whatever_was_wanted() {
    let (dir, data) = place();
    let block = "01M80FJGSDDJPV4DWFG2XR4VJ2";
    fs::write(data.join(block).join("index"), b"no index").unwrap();
    narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    let restore = |more: &[&str]| {
        let common = ["restore", "latest", "--repo", "repo", "--target"];
        narthex(dir.path(), &[&common[..], more].concat())
    };
    for (ran, code) in [
        (restore(&["t"]), 3),
        (restore(&["u", "--since", "2000-01-01"]), 3),
        (restore(&["v", "--since", "2000-01-01", "--dry-run"]), 3),
    ] {
        assert_eq!(ran.code, code, "{}", ran.err);
        assert!(
            ran.err.contains(&format!("block {block} was damaged")),
            "{}",
            ran.err
        );
    }
    assert!(dir.path().join("t").join(block).is_dir());
    let sound = restore(&["w", "--block", "01M80FKE2Z8SDE7SM63DE19N15"]);
    assert_eq!(sound.code, 0, "{}", sound.err);
}

#[test]
fn a_block_of_more_segments_than_may_be_open_is_archived_whole() {
    let (dir, data) = place();
    let chunks = data.join("01M80FJGSDDJPV4DWFG2XR4VJ2/chunks");
    for number in 2..200 {
        fs::copy(chunks.join("000001"), chunks.join(format!("{number:06}"))).unwrap();
    }
    let ran = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_narthex"))
        .args(["backup", "data", "--repo", "repo", "--json"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(
        json["new_blocks"],
        3,
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    narthex(
        dir.path(),
        &["restore", "latest", "--repo", "repo", "--target", "t"],
    );
    let back = dir.path().join("t/01M80FJGSDDJPV4DWFG2XR4VJ2/chunks");
    assert_eq!(fs::read_dir(&back).unwrap().count(), 199);
    let content = |dir: &Path| fs::read(dir.join("000199")).unwrap();
    assert_eq!(content(&back), content(&chunks));
}

#[test]
fn dry_runs_write_nothing() {
    let (dir, _) = place();
    let ran = narthex(
        dir.path(),
        &["backup", "data", "--repo", "repo", "--dry-run"],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.out.matches("new  ").count(), 3);
    assert!(!dir.path().join("repo").exists());
    narthex(dir.path(), &["backup", "data", "--repo", "repo"]);
    let preview = narthex(
        dir.path(),
        &["backup", "data", "--repo", "repo", "--dry-run", "--json"],
    );
    assert_eq!(preview.json()["unchanged"].as_array().unwrap().len(), 3);
    let arguments = [
        "restore",
        "latest",
        "--repo",
        "repo",
        "--target",
        "t",
        "--dry-run",
    ];
    assert_eq!(narthex(dir.path(), &arguments).code, 0);
    assert!(!dir.path().join("t").exists());
}

#[test]
fn nothing_is_made_where_nothing_can_be_backed_up() {
    let (dir, data) = place();
    fs::create_dir(dir.path().join("empty")).unwrap();
    for source in ["empty", "missing"] {
        let ran = narthex(dir.path(), &["backup", source, "--repo", "repo"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains(source), "{}", ran.err);
    }
    for repo in ["data/repo", "data"] {
        let ran = narthex(dir.path(), &["backup", "data", "--repo", repo]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("to be backed up"), "{}", ran.err);
    }
    assert!(!dir.path().join("repo").exists() && !data.join("repo").exists());
}

#[test]
fn options_that_make_no_sense_are_wrong_usage() {
    let (dir, _) = place();
    for extra in [["--level", "0"], ["--level", "23"], ["--label", "novalue"]] {
        let arguments = [&["backup", "data", "--repo", "repo"][..], &extra].concat();
        assert_eq!(narthex(dir.path(), &arguments).code, 2, "{extra:?}");
    }
    let both = [
        "restore", "latest", "--repo", "r", "--target", "t", "--wal", "--no-wal",
    ];
    assert_eq!(narthex(dir.path(), &both).code, 2);
}

/// One name on two hosts: with a host, nothing of the other comes back; without one, it is said
/// that both do.
#[test]
fn a_range_of_one_host_brings_back_nothing_of_another_with_the_same_source() {
    let home = tempfile::tempdir().unwrap();
    assert_eq!(narthex(home.path(), &["init", "--repo", "r"]).code, 0);
    for (host, data) in [("mon1", "night-1"), ("mon2", "blocks/parents-three")] {
        let data = fixture(data);
        let backup = [
            "backup", &data, "--repo", "r", "--source", "p", "--host", host,
        ];
        let ran = narthex(home.path(), &backup);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    let restore = |name: &str, more: &[&str]| {
        let since = [
            "restore", "latest", "--repo", "r", "--target", name, "--no-wal",
        ];
        let since = [&since[..], &["--since", "2020-01-01T00:00:00Z"], more].concat();
        let ran = narthex(home.path(), &since);
        let blocks = fs::read_dir(home.path().join(name)).map_or(0, |found| {
            let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.starts_with("01M")).count()
        });
        (blocks, ran.err)
    };
    assert_eq!(restore("one", &["--host", "mon2"]).0, 3);
    let archives = narthex(home.path(), &["archives", "--repo", "r", "--json"]).json();
    let id = archives["archives"][0]["id"].as_str().unwrap().to_owned();
    let all = [
        "restore", &id, "--repo", "r", "--target", "all", "--no-wal", "--since",
    ];
    let ran = narthex(home.path(), &[&all[..], &["2020-01-01T00:00:00Z"]].concat());
    assert!(
        ran.err.contains("on several hosts (mon1, mon2)"),
        "{}",
        ran.err
    );
}

/// Who asks for a block that is there wants it anew: that it has the right names and sizes says
/// nothing of its content.
#[test]
fn a_block_that_is_asked_for_and_there_already_is_not_called_restored() {
    let home = tempfile::tempdir().unwrap();
    let data = fixture("blocks/parents-three");
    let run = |arguments: &[&str]| narthex(home.path(), arguments);
    assert_eq!(run(&["init", "--repo", "r"]).code, 0);
    assert_eq!(run(&["backup", &data, "--repo", "r"]).code, 0);
    let target = home.path().join("t");
    copy(Path::new(&data), &target);
    let ulid = "01M7ZSW08H71451MKGD0YTRMEH";
    let segment = target.join(ulid).join("chunks/000001");
    let mut bytes = fs::read(&segment).unwrap();
    let sound = bytes.clone();
    bytes[100] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let restore = [
        "restore",
        "latest",
        "--repo",
        "r",
        "--target",
        "t",
        "--block",
        ulid,
        "--add-missing",
    ];
    let ran = run(&restore);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("--replace-damaged"), "{}", ran.err);
    fs::rename(target.join(ulid), home.path().join("away")).unwrap();
    let ran = run(&restore);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(fs::read(&segment).unwrap(), sound);
    // These blocks are of 2023.
    assert!(
        ran.out.contains("1 of 1 blocks are older than 15d"),
        "{}",
        ran.out
    );
}

/// What only has the name of a block is not the block: `--add-missing` says so, and what to do.
#[test]
fn a_block_that_is_there_in_part_is_named_and_not_called_restored() {
    let home = tempfile::tempdir().unwrap();
    let data = fixture("blocks/parents-three");
    assert_eq!(narthex(home.path(), &["init", "--repo", "r"]).code, 0);
    assert_eq!(
        narthex(home.path(), &["backup", &data, "--repo", "r"]).code,
        0
    );
    let target = home.path().join("t");
    copy(Path::new(&data), &target);
    let restore = [
        "restore",
        "latest",
        "--repo",
        "r",
        "--target",
        "t",
        "--add-missing",
    ];
    let sound = narthex(home.path(), &restore);
    assert_eq!(sound.code, 0, "{}", sound.err);
    let (empty, cut, less) = (
        "01M7ZSW06MPETEKCNDX7B1881S",
        "01M7ZSW08H71451MKGD0YTRMEH",
        "01M7ZSW09PMERPPDTFHD6PEVGT",
    );
    fs::remove_dir_all(target.join(empty)).unwrap();
    fs::create_dir(target.join(empty)).unwrap();
    fs::remove_file(target.join(less).join("chunks/000001")).unwrap();
    let index = fs::File::options()
        .write(true)
        .open(target.join(cut).join("index"));
    index.unwrap().set_len(1000).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        let ran = narthex(home.path(), &[&restore[..], more].concat());
        assert_eq!(ran.code, 3, "{}", ran.err);
        for (ulid, said) in [
            (empty, "expected a file "),
            (cut, "index: expected "),
            (less, "expected a file chunks/000001, found none"),
        ] {
            let line = ran
                .err
                .lines()
                .find(|line| line.contains(ulid) && line.contains(said));
            assert!(
                line.is_some_and(|line| line.contains("--replace-damaged")),
                "{}",
                ran.err
            );
        }
    }
    for ulid in [empty, cut, less] {
        fs::rename(target.join(ulid), home.path().join(ulid)).unwrap();
    }
    let ran = narthex(home.path(), &restore);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(narthex(home.path(), &["verify", "t"]).code, 0);
}
