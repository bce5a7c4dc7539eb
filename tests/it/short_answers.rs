//! What an archive lacks, or has in its log only, is said by every command that answers from it,
//! and is no whole answer.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use narthex::repository::Archive;
use serde_json::{Value as Json, json};

use crate::backup_command::{Ran, narthex};
use crate::fixtures::fixture;
use crate::sick::copy;

/// Blocks of `blocks/parents-three`, two hours each from 22:00 on.
const BLOCKS: [&str; 3] = [
    "01M7ZSW06MPETEKCNDX7B1881S",
    "01M7ZSW08H71451MKGD0YTRMEH",
    "01M7ZSW09PMERPPDTFHD6PEVGT",
];

struct Place(tempfile::TempDir);

impl Place {
    /// With these of the [`BLOCKS`] and a log in `data`.
    fn with(blocks: &[&str], log: Option<&str>) -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        for block in blocks {
            let from = fixture(&format!("blocks/parents-three/{block}"));
            copy(&from, &place.path().join("data").join(block));
        }
        if let Some(log) = log {
            copy(&fixture(log), &place.path().join("data"));
        }
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        narthex(self.path(), arguments)
    }

    fn backup(&self) -> Ran {
        self.run(&["backup", "data", "--repo", "repo", "--source", "s"])
    }

    fn restore(&self, target: &str, options: &[&str]) -> Ran {
        let plain = ["restore", "latest", "--repo", "repo", "--target", target];
        self.run(&[&plain, options].concat())
    }

    /// Runs `command` on the archive `latest`.
    fn read(&self, command: &[&str]) -> Ran {
        let archive = ["--repo", "repo", "--archive", "latest"];
        self.run(&[command, &archive].concat())
    }
}

fn assert_short(what: &str, ran: &Ran, said: &str) {
    assert_eq!(ran.code, 3, "{what}: {}{}", ran.out, ran.err);
    let all = format!("{}{}", ran.out, ran.err);
    assert!(all.contains(said), "{what}: {all}");
}

#[test]
fn late_samples_wait_in_the_log_for_a_block_wherever_their_time_lies() {
    // The WBL reaches from 18:55 to 00:11.
    let place = Place::with(&BLOCKS[..1], Some("wal/wal-3"));
    let ran = place.backup();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let range = [
        "--since",
        "2023-11-14T22:30:00Z",
        "--until",
        "2023-11-14T23:00:00Z",
    ];
    let ran = place.restore("range", &range);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        place
            .restore("no-logs", &[&range[..], &["--no-wal"]].concat())
            .code,
        0
    );
    // Who reads the head gives them.
    let of_dir = place.run(&[&["dump", "data"], &range[..]].concat());
    let of_archive = place.read(&[&["dump"], &range[..]].concat());
    assert_eq!((of_dir.code, of_archive.code), (0, 0), "{}", of_dir.err);
    assert!(of_dir.out.lines().count() > 10, "{}", of_dir.out);
    assert_eq!(of_dir.out, of_archive.out);
    let restored = place.run(&[&["dump", "range"], &range[..]].concat());
    assert_eq!(of_dir.out, restored.out);
    let before = ["--until", "2023-11-14T18:00:00Z"];
    assert_eq!(place.read(&[&["dump"], &before[..]].concat()).code, 0);
    let listed = place.read(&["list", "--json"]).json();
    let logs = listed["directories"][0]["logs"].as_array().unwrap();
    let samples = |log: &str| {
        let found = logs.iter().find(|row| row["log"] == log);
        found.unwrap()["samples"].as_u64().unwrap()
    };
    assert!(samples("wal") > 0 && samples("wbl") > 0, "{listed}");
}

/// Archives of earlier versions count the samples of both logs together.
#[test]
fn a_log_of_late_samples_that_nobody_has_counted_may_hold_any_time() {
    let place = Place::with(&BLOCKS[..1], Some("wal/wal-3"));
    place.backup();
    let archives = place.path().join("repo/archives");
    let manifest = fs::read_dir(archives)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut archive = Archive::from_bytes(&fs::read(&manifest).unwrap()).unwrap();
    let wal = archive.wal.as_mut().unwrap();
    assert!(wal.wbl_samples.take().is_some_and(|samples| samples > 0));
    (wal.wbl_min_time, wal.wbl_max_time) = (None, None);
    fs::write(&manifest, archive.to_bytes().unwrap()).unwrap();
    let range = [
        "--since",
        "2023-11-14T22:30:00Z",
        "--until",
        "2023-11-14T23:00:00Z",
    ];
    let ran = place.restore("range", &range);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let restored = place.run(&[&["dump", "range"], &range[..]].concat());
    assert!(restored.out.lines().count() > 10, "{}", restored.err);
}

#[test]
fn a_log_behind_a_link_to_nothing_is_missed() {
    for log in ["wal", "wbl"] {
        let place = Place::with(&BLOCKS, Some("wal/wal-3"));
        fs::remove_dir_all(place.path().join("data").join(log)).unwrap();
        symlink("/nowhere/mounted", place.path().join("data").join(log)).unwrap();
        for links in [&[][..], &["--follow-links"]] {
            let plain = ["backup", "data", "--repo", "repo", "--source", "s"];
            let dry = place.run(&[&plain, links, &["--dry-run"]].concat());
            assert_short("dry run", &dry, &format!("{log} would be left out"));
            let ran = place.run(&[&plain, links].concat());
            assert_short(log, &ran, "a link to nothing");
        }
        assert_short("restore", &place.restore("back", &[]), log);
    }
}

#[test]
fn a_block_behind_a_link_to_nothing_is_missed() {
    let place = Place::with(&BLOCKS[..2], None);
    let name = place.path().join("data").join(BLOCKS[2]);
    symlink("/nowhere/mounted", name).unwrap();
    assert_short("backup", &place.backup(), "found a link to nothing");
    assert_short("verify", &place.run(&["verify", "data"]), "block-symlink");
    assert_short("restore", &place.restore("back", &[]), BLOCKS[2]);
}

#[test]
fn what_an_archive_lacks_is_said_by_every_command_that_reads_it() {
    let place = Place::with(&BLOCKS, None);
    let block = place.path().join("data").join(BLOCKS[2]);
    fs::remove_dir_all(&block).unwrap();
    symlink("/nowhere/mounted", &block).unwrap();
    let ran = place.backup();
    assert_short("backup", &ran, BLOCKS[2]);
    for command in [
        &["dump"][..],
        &["list"],
        &["analyze"],
        &["inspect"],
        &["verify"],
        &["restore"],
        &[
            "restore",
            "--since",
            "2023-11-14T22:30:00Z",
            "--until",
            "2023-11-15T01:00:00Z",
        ],
    ] {
        let ran = match command {
            ["restore", options @ ..] => place.restore(&format!("t{}", options.len()), options),
            _ => place.read(command),
        };
        assert_short(&command.join(" "), &ran, BLOCKS[2]);
    }
    // Who asks for other blocks is not told.
    let ran = place.read(&["inspect", BLOCKS[0]]);
    assert_eq!(ran.code, 0, "{}", ran.err);
}

/// Aggregates are made of a block and do not hold its samples.
#[test]
fn aggregates_are_not_what_a_missed_block_held() {
    for (resolution, code) in [(300_000, 3), (0, 0)] {
        let place = Place::with(&BLOCKS[..2], None);
        let made = place.path().join("data/01M7ZSW0E54S2QBYR3D192CSMG");
        copy(
            &fixture("blocks/child-of-three/01M7ZSW0E54S2QBYR3D192CSMG"),
            &made,
        );
        let meta = made.join("meta.json");
        let mut json: Json = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
        json["thanos"] = json!({ "labels": {}, "downsample": { "resolution": resolution } });
        fs::write(&meta, json.to_string()).unwrap();
        place.backup();
        fs::remove_dir_all(&made).unwrap();
        symlink(
            "/nowhere/mounted",
            place.path().join("data").join(BLOCKS[2]),
        )
        .unwrap();
        place.backup();
        let range = [
            "--since",
            "2023-11-14T22:30:00Z",
            "--until",
            "2023-11-15T01:00:00Z",
        ];
        let ran = place.restore("back", &range);
        assert_eq!(ran.code, code, "{resolution}: {}", ran.err);
        assert_eq!(
            ran.err.contains("is not in this archive"),
            code == 3,
            "{}",
            ran.err
        );
    }
}

#[test]
fn the_logs_of_other_archives_are_named_where_no_block_holds_their_time() {
    // The log reaches from 22:00 to 22:59.
    let place = Place::with(&[], Some("wal/wal-1"));
    let first = place.backup();
    assert_eq!(first.code, 0, "{}", first.err);
    fs::remove_dir_all(place.path().join("data")).unwrap();
    let from = fixture(&format!("blocks/parents-three/{}", BLOCKS[2]));
    copy(&from, &place.path().join("data").join(BLOCKS[2]));
    let second = place.run(&[
        "backup", "data", "--repo", "repo", "--source", "s", "--force",
    ]);
    assert_eq!(second.code, 0, "{}", second.err);
    let wide = ["--since", "2023-11-14T20:00:00Z"];
    assert_short(
        "restore",
        &place.restore("wide", &wide),
        "the log of archive",
    );
    let late = ["--since", "2023-11-15T02:30:00Z"];
    assert_eq!(place.restore("late", &late).code, 0);
    assert_eq!(
        place
            .restore("no-logs", &[&wide[..], &["--no-wal"]].concat())
            .code,
        0
    );
}
