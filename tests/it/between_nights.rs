//! What changes or vanishes between two backups of a data directory, and is not what a Prometheus
//! does: it is told, and what was sound is not hidden.

use std::fs;
use std::path::{Path, PathBuf};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::fixture;
use crate::sick::copy;

/// Blocks of `blocks/parents-three`, by time.
const BLOCKS: [&str; 3] = [
    "01M7ZSW06MPETEKCNDX7B1881S",
    "01M7ZSW08H71451MKGD0YTRMEH",
    "01M7ZSW09PMERPPDTFHD6PEVGT",
];

/// What is done to a file, after a word that is said of it.
type Damage = (&'static str, fn(&Path));

/// A data directory, archived once.
struct Nights {
    root: tempfile::TempDir,
}

impl Nights {
    fn of(blocks: &[&str], log: Option<&str>) -> Self {
        let root = tempfile::tempdir().unwrap();
        let nights = Nights { root };
        for block in blocks {
            let name = Path::new(block).file_name().unwrap();
            copy(&fixture(block), &nights.data().join(name));
        }
        if let Some(log) = log {
            copy(&fixture(log), &nights.data());
        }
        let first = nights.backup();
        assert_eq!(first.code, 0, "{}", first.err);
        nights
    }

    /// The three parents and a log.
    fn plain() -> Self {
        let blocks = BLOCKS.map(|block| format!("blocks/parents-three/{block}"));
        let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
        Nights::of(&blocks, Some("wal/wal-1"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        narthex(self.root.path(), arguments)
    }

    fn backup(&self) -> Ran {
        self.backup_with(&[])
    }

    fn backup_with(&self, options: &[&str]) -> Ran {
        let plain = ["backup", "data", "--repo", "repo", "--source", "s"];
        self.run(&[&plain, options].concat())
    }

    fn restore(&self, target: &str, options: &[&str]) -> Ran {
        let plain = ["restore", "latest", "--repo", "repo", "--target", target];
        self.run(&[&plain, options].concat())
    }

    /// Whether the block comes back into `target` as it is in the fixture.
    fn is_as_first(&self, target: &str, block: &str, file: &str) -> bool {
        let first = fixture(&format!("blocks/parents-three/{block}/{file}"));
        let back = self.path(target).join(block).join(file);
        fs::read(back).unwrap() == fs::read(first).unwrap()
    }
}

fn rewrite(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_changed_of_a_block_is_verified_and_the_sound_copy_comes_back() {
    let damages: [Damage; 4] = [
        ("tombstones-checksum", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[6] ^= 0x31;
            fs::write(path, bytes).unwrap();
        }),
        ("tombstones-malformed", |path| {
            fs::write(path, b"\x01\x30\xba\x30").unwrap();
        }),
        ("tombstones-malformed", |path| fs::write(path, b"").unwrap()),
        ("unreadable", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (number, (kind, damage)) in damages.into_iter().enumerate() {
        let nights = Nights::plain();
        let block = BLOCKS[1];
        damage(&nights.data().join(block).join("tombstones"));
        // The second time the block is archived as it was before.
        for _ in 0..2 {
            let ran = nights.backup();
            assert_eq!(ran.code, 3, "{number}: {}", ran.err);
            assert!(
                ran.err.contains(block) && ran.err.contains(kind),
                "{number}: {}",
                ran.err
            );
        }
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{number}: {}", ran.err);
        assert!(
            ran.out.contains("Prometheus will start"),
            "{number}: {}",
            ran.out
        );
        assert!(nights.is_as_first("back", block, "tombstones"), "{number}");
        let first = fixture(&format!("blocks/parents-three/{block}/tombstones"));
        let path = nights.data().join(block).join("tombstones");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        }
        fs::copy(first, path).unwrap();
        let ran = nights.backup();
        assert_eq!(ran.code, 0, "{number}: {}", ran.err);
    }
}

#[test]
fn wrong_metadata_hides_nothing_of_what_is_stored() {
    let right = "\"minTime\": 1700006400005";
    let damages: [Damage; 4] = [
        ("minTime", |meta| {
            rewrite(
                meta,
                "\"minTime\": 1700006400005",
                "\"minTime\": 1700013500005",
            );
        }),
        ("maxTime", |meta| {
            rewrite(
                meta,
                "\"maxTime\": 1700013600000",
                "\"maxTime\": 1700006410000",
            );
        }),
        ("minTime", |meta| {
            let other = meta.parent().unwrap().with_file_name(BLOCKS[2]);
            fs::copy(other.join("meta.json"), meta).unwrap();
        }),
        ("sources", |meta| {
            rewrite(
                meta,
                "\t\t\t\"01M7ZSW08H71451MKGD0YTRMEH\"",
                "\"01M7ZSW09PMERPPDTFHD6PEVGT\"",
            );
        }),
    ];
    for (number, (told, damage)) in damages.into_iter().enumerate() {
        let nights = Nights::plain();
        let meta = nights.data().join(BLOCKS[1]).join("meta.json");
        assert!(fs::read_to_string(&meta).unwrap().contains(right));
        damage(&meta);
        for _ in 0..2 {
            let ran = nights.backup();
            assert_eq!(ran.code, 3, "{number}: {}", ran.err);
            assert!(ran.err.contains(told), "{number}: {}", ran.err);
            assert!(
                ran.err.contains(&format!("{} has faults", BLOCKS[1])),
                "{number}: {}",
                ran.err
            );
        }
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{number}: {}", ran.err);
        assert!(nights.is_as_first("back", BLOCKS[1], "meta.json"));
        let range = [
            "--since",
            "2023-11-15T01:00:00Z",
            "--until",
            "2023-11-15T01:30:00Z",
        ];
        let ran = nights.restore("range", &range);
        assert_eq!(ran.code, 0, "{number}: {}", ran.err);
        assert!(nights.is_as_first("range", BLOCKS[1], "meta.json"));
        let ran = nights.restore("as-it-was", &["--as-archived"]);
        assert!(!nights.is_as_first("as-it-was", BLOCKS[1], "meta.json"));
        assert_ne!(ran.code, 1, "{}", ran.err);
    }
}

#[test]
fn a_log_that_is_gone_is_missed_once() {
    for way in ["nothing", "directory", "empty segment"] {
        let nights = Nights::plain();
        let wal = nights.data().join("wal");
        fs::rename(&wal, nights.path("unmounted")).unwrap();
        // Also an empty directory, as a disk that is not mounted leaves it.
        if way != "nothing" {
            fs::create_dir(&wal).unwrap();
        }
        if way == "empty segment" {
            fs::write(wal.join("00000000"), b"").unwrap();
        }
        let ran = nights.backup();
        assert_eq!(ran.code, 3, "{way}: {}", ran.err);
        assert!(ran.err.contains("wal of archive"), "{way}: {}", ran.err);
        assert!(ran.err.contains("gone"), "{way}: {}", ran.err);
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{way}: {}", ran.err);
        assert!(
            ran.err
                .contains("wal was missed when this archive was made"),
            "{way}: {}",
            ran.err
        );
        let ran = nights.backup();
        assert_eq!(ran.code, 0, "{way}: {}", ran.err);
        let _ = fs::remove_dir_all(&wal);
        fs::rename(nights.path("unmounted"), &wal).unwrap();
        for options in [&[][..], &["--no-wal"], &[]] {
            let ran = nights.backup_with(options);
            assert_eq!(ran.code, 0, "{way}: {}", ran.err);
        }
        fs::remove_dir_all(&wal).unwrap();
        let ran = nights.backup_with(&["--force"]);
        assert_eq!(ran.code, 0, "{way}: {}", ran.err);
    }
}

#[test]
fn a_block_that_is_gone_from_between_others_is_missed_once() {
    let taken: [Damage; 3] = [
        ("nothing", |_| {}),
        ("link", |path| {
            std::os::unix::fs::symlink("/nonexistent", path).unwrap();
        }),
        ("file", |path| fs::write(path, b"").unwrap()),
    ];
    for (way, make) in taken {
        let nights = Nights::plain();
        let block = nights.data().join(BLOCKS[1]);
        fs::rename(&block, nights.path("elsewhere")).unwrap();
        make(&block);
        for options in [&["--dry-run", "--json"][..], &["--json"]] {
            let ran = nights.backup_with(options);
            assert_eq!(ran.code, 3, "{way}: {}", ran.err);
            // A link is named as one.
            let (said, reason) = match way {
                "link" => (format!("{} ", BLOCKS[1]), ""),
                _ => (format!("block {} (", BLOCKS[1]), "gone since archive "),
            };
            assert!(ran.err.contains(&said), "{way}: {}", ran.err);
            let json = ran.json();
            let left_out = json["left_out"].as_array().unwrap();
            let is_named = |left: &serde_json::Value| {
                left["name"] == BLOCKS[1] && left["reason"].as_str().unwrap().starts_with(reason)
            };
            assert!(left_out.iter().any(is_named), "{way}: {left_out:?}");
            let problems = json["problems"].as_array().unwrap();
            assert_eq!(problems.len(), 1, "{way}: {problems:?}");
        }
        let ran = nights.restore("back", &[]);
        assert_eq!(ran.code, 3, "{way}: {}", ran.err);
        assert!(ran.err.contains(BLOCKS[1]), "{way}: {}", ran.err);
        if way == "link" {
            continue;
        }
        let ran = nights.backup();
        assert_eq!(ran.code, 0, "{way}: {}", ran.err);
        let ran = nights.restore("back-again", &[]);
        assert_eq!(ran.code, 0, "{way}: {}", ran.err);
        let _ = fs::remove_file(&block);
        fs::rename(nights.path("elsewhere"), &block).unwrap();
        let ran = nights.backup();
        assert_eq!(ran.code, 0, "{way}: {}", ran.err);
        // The newest is no matter of retention either.
        fs::remove_dir_all(nights.data().join(BLOCKS[2])).unwrap();
        let ran = nights.backup();
        assert_eq!(ran.code, 3, "{way}: {}", ran.err);
        assert!(ran.err.contains(BLOCKS[2]), "{way}: {}", ran.err);
    }
    let nights = Nights::plain();
    fs::remove_dir_all(nights.data().join(BLOCKS[1])).unwrap();
    for options in [&["--force"][..], &[]] {
        let ran = nights.backup_with(options);
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}

#[test]
fn the_archive_that_holds_what_is_gone_gives_it_back() {
    let nights = Nights::plain();
    fs::remove_dir_all(nights.data().join(BLOCKS[1])).unwrap();
    let ran = nights.backup();
    let (_, advice) = ran
        .err
        .split_once("narthex export ULID --archive ")
        .unwrap();
    let archive = advice.split(' ').next().unwrap();
    let export = ["export", BLOCKS[1], "--archive", archive, "--repo", "repo"];
    let exported = std::process::Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(export)
        .current_dir(nights.root.path())
        .output()
        .unwrap();
    assert!(exported.status.success());
    assert!(!exported.stdout.is_empty());
}

#[test]
fn a_source_without_blocks_is_told_of() {
    let nights = Nights::plain();
    for block in BLOCKS {
        fs::remove_dir_all(nights.data().join(block)).unwrap();
    }
    let ran = nights.backup();
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("holds no block"), "{}", ran.err);
    let ran = nights.restore("back", &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    for block in BLOCKS {
        assert!(ran.err.contains(block), "{}", ran.err);
    }
}

#[test]
fn what_retention_and_compactions_take_is_not_missed() {
    let nights = Nights::plain();
    fs::remove_dir_all(nights.data().join(BLOCKS[0])).unwrap();
    for options in [&["--dry-run"][..], &[]] {
        let ran = nights.backup_with(options);
        assert_eq!(ran.code, 0, "retention: {}", ran.err);
    }

    let nights = Nights::plain();
    for block in BLOCKS {
        fs::remove_dir_all(nights.data().join(block)).unwrap();
    }
    let child = "01M7ZSW0E54S2QBYR3D192CSMG";
    copy(
        &fixture(&format!("blocks/child-of-three/{child}")),
        &nights.data().join(child),
    );
    for options in [&["--dry-run"][..], &[], &[]] {
        let ran = nights.backup_with(options);
        assert_eq!(ran.code, 0, "compaction: {}", ran.err);
    }
}

/// Its sound copy is in the first archive only, which stays.
#[test]
fn a_block_that_was_damaged_and_then_vanished_is_missed() {
    let nights = Nights::plain();
    let block = nights.data().join(BLOCKS[1]);
    fs::remove_file(block.join("meta.json")).unwrap();
    assert_eq!(nights.backup().code, 3);
    fs::remove_dir_all(&block).unwrap();
    for options in [&["--dry-run"][..], &[]] {
        let ran = nights.backup_with(options);
        assert_eq!(ran.code, 3, "{}", ran.err);
        let said = format!("block {} (", BLOCKS[1]);
        assert!(ran.err.contains(&said), "{}", ran.err);
    }
    let forget = ["forget", "--repo", "repo", "--keep-last", "1", "--prune"];
    let ran = nights.run(&forget);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.out.contains("what they missed"), "{}", ran.out);
    let ran = nights.run(&["archives", "--repo", "repo", "--json"]);
    let json = ran.json();
    let first = json["archives"][0]["id"].as_str().unwrap();
    let back = ["restore", first, "--repo", "repo", "--target", "back"];
    let ran = nights.run(&back);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(nights.is_as_first("back", BLOCKS[1], "meta.json"));
    assert_eq!(nights.backup().code, 0, "said once");
}

#[test]
fn a_log_that_is_gone_after_a_night_without_logs_is_missed() {
    let nights = Nights::plain();
    let ran = nights.backup_with(&["--no-wal"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    fs::remove_dir_all(nights.data().join("wal")).unwrap();
    let ran = nights.backup();
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("the wal of archive"), "{}", ran.err);
    let ran = nights.run(&["forget", "--repo", "repo", "--keep-last", "1"]);
    assert!(ran.out.contains("what they missed"), "{}", ran.out);
    assert_eq!(nights.backup().code, 0, "said once");
}

#[test]
fn a_log_of_late_samples_that_is_gone_is_missed() {
    let blocks = BLOCKS.map(|block| format!("blocks/parents-three/{block}"));
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    let nights = Nights::of(&blocks, Some("wal/wal-3"));
    fs::remove_dir_all(nights.data().join("wbl")).unwrap();
    let ran = nights.backup();
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("the wbl of archive"), "{}", ran.err);
    assert_eq!(nights.backup().code, 0, "said once");
}

/// A Prometheus snapshot of earlier, without the newest block and the log, is archived after the
/// directory itself.
#[test]
fn an_older_copy_is_said_to_end_earlier() {
    let nights = Nights::plain();
    let old = nights.path("old");
    for block in &BLOCKS[..2] {
        copy(&nights.data().join(block), &old.join(block));
    }
    let backup = ["backup", "old", "--repo", "repo", "--source", "s"];
    let ran = nights.run(&backup);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("an older copy"), "{}", ran.err);
    let ran = nights.restore("back", &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains("name it instead of latest"), "{}", ran.err);
    // The newer one again: nothing is odd about it.
    assert_eq!(nights.backup().code, 0);
    assert_eq!(nights.restore("again", &[]).code, 0);
    // Without logs as asked for, it ends earlier on purpose.
    let ran = nights.backup_with(&["--no-wal"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = nights.restore("without", &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// Prometheus snapshots have no log, and without a head they end with the newest block.
#[test]
fn a_snapshot_in_the_data_directory_is_no_older_copy() {
    let nights = Nights::plain();
    let name = "snapshots/20260921T000000Z-1111111111111111";
    for block in BLOCKS {
        copy(
            &nights.data().join(block),
            &nights.data().join(name).join(block),
        );
    }
    let snapshot = format!("data/{name}");
    let ran = nights.run(&["backup", &snapshot, "--repo", "repo", "--source", "s"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let ran = nights.restore("back", &[]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_directory_that_shares_nothing_with_the_archives_of_its_source_is_doubted() {
    let nights = Nights::plain();
    copy(&fixture("night-1"), &nights.path("other"));
    let backup = ["backup", "other", "--repo", "repo", "--source", "s"];
    for options in [&["--dry-run"][..], &[]] {
        let ran = nights.run(&[&backup, options].concat());
        assert_eq!(ran.code, 3, "{}", ran.err);
        assert!(ran.err.contains("if this is another server"), "{}", ran.err);
    }
    let check = ["check", "--repo", "repo"];
    assert_eq!(nights.run(&check).code, 0);
    // The first one again: its disk may not have been mounted in between.
    assert_eq!(nights.backup().code, 3);
    let ran = nights.run(&check);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    // And the other one: two servers take turns, and `latest` is either's. It is said once.
    for _ in 0..2 {
        let ran = nights.run(&[&backup[..], &["--force"]].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let ran = nights.run(&check);
        assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
        assert_eq!(
            ran.out.matches("servers-share-name").count(),
            1,
            "{}",
            ran.out
        );
        assert_eq!(nights.backup().code, 3);
    }
}

#[test]
fn a_manifest_out_of_sight_that_is_later_keeps_latest_from_being_told() {
    let nights = Nights::plain();
    // Names of manifests tell seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(nights.backup().code, 0);
    let manifests = || {
        let entries = fs::read_dir(nights.path("repo/archives")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
        paths.sort();
        paths
    };
    let [first, last] = <[PathBuf; 2]>::try_from(manifests()).unwrap();
    let hide = |path: &Path| {
        fs::rename(path, nights.path("elsewhere")).unwrap();
        std::os::unix::fs::symlink("/nonexistent", path).unwrap();
    };
    hide(&last);
    let ran = nights.restore("back", &[]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("which archive is the latest"),
        "{}",
        ran.err
    );
    fs::remove_file(&last).unwrap();
    fs::rename(nights.path("elsewhere"), &last).unwrap();
    hide(&first);
    assert_eq!(nights.restore("again", &[]).code, 0);
}
