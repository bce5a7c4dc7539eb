//! The head in the commands: the newest hours, which are in logs only, are read by default like
//! blocks, from directories and archives.

use std::fs;

use serde_json::{Value as Json, json};

use crate::backup_command;
use crate::reading::{Copy, narthex};

/// Samples that a line on standard error counts: `dumped N samples`.
fn dumped(err: &str) -> u64 {
    let (_, rest) = err.split_once("dumped ").unwrap_or_else(|| panic!("{err}"));
    let digits: String = rest.chars().take_while(|c| *c != ' ').collect();
    digits.replace(',', "").parse().unwrap()
}

#[test]
fn a_directory_with_nothing_but_logs_is_read() {
    let logs = "wal/live-snappy";
    for command in [
        &["inspect", logs][..],
        &["dump", logs],
        &["analyze", logs],
        &["whatif", logs, "--drop-metric", "prometheus_.*"],
        &["diff", logs, logs, "--prove=files"],
        &["forecast", logs],
    ] {
        let ran = narthex(command);
        assert_eq!(ran.code, 0, "{command:?}: {}{}", ran.out, ran.err);
        assert!(ran.out.lines().count() > 3, "{command:?}: {}", ran.out);
    }
    // Where it is left out, nobody takes the answer for a whole one.
    let ran = narthex(&["diff", logs, logs, "--prove", "--no-head"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let listed = narthex(&["list", logs]);
    for line in [
        "\nhead: ",
        "\nwal  2026-11-22 02:09:07",
        "\nwbl  2026-11-22 02:10:01",
    ] {
        assert!(listed.out.contains(line), "{}", listed.out);
    }
}

#[test]
fn what_only_the_log_reaches_is_there_unless_it_is_left_out() {
    let since = ["--since", "2026-11-22T01:58:30Z"];
    let whole = narthex(&["dump", "night-1"]);
    let newest = narthex(&[&["dump", "night-1"], &since[..]].concat());
    let blocks = narthex(&["dump", "night-1", "--no-head"]);
    for ran in [&whole, &newest, &blocks] {
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
    assert!(dumped(&newest.err) > 4_000, "{}", newest.err);
    assert!(dumped(&whole.err) > dumped(&blocks.err) + 20_000);
    // The answers differ by what is listed as the head.
    let listed = narthex(&["list", "night-1", "--json"]);
    let listed: Json = serde_json::from_str(&listed.out).unwrap();
    let head = &listed["directories"][0]["heads"][0];
    let between = dumped(&whole.err) - dumped(&blocks.err);
    assert_eq!(head["samples"], between);
    assert_eq!(head["series"], 278);
    assert_eq!(head["gap_before"], Json::Null);
    let none = narthex(&["list", "night-1", "--json", "--no-head"]);
    let none: Json = serde_json::from_str(&none.out).unwrap();
    assert_eq!(none["directories"][0]["heads"], json!([]));
}

#[test]
fn the_head_of_an_archive_is_that_of_the_directory() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| backup_command::narthex(home.path(), arguments);
    let night = Copy::of("night-1");
    let data = night.path().to_str().unwrap();
    assert_eq!(run(&["init", "--repo", "repository"]).code, 0);
    assert_eq!(run(&["backup", data, "--repo", "repository"]).code, 0);
    let archive = ["--archive", "latest", "--repo", "repository"];
    for command in [
        &["dump"][..],
        &["dump", "--since", "2026-11-22T01:58:30Z"],
        &["whatif", "--drop-metric", "prometheus_.*"],
        &["analyze", "--by", "metric"],
    ] {
        let of_dir = run(&[&command[..1], &[data], &command[1..]].concat());
        let of_archive = run(&[command, &archive].concat());
        assert_eq!((of_dir.code, of_archive.code), (0, 0), "{}", of_archive.err);
        assert!(of_dir.out == of_archive.out, "{command:?}");
        let left_out = run(&[command, &archive, &["--no-head"]].concat());
        assert!(left_out.out != of_archive.out, "{command:?}");
    }
    let inspected = run(&[&["inspect", "--json"][..], &archive].concat());
    assert_eq!(inspected.code, 0, "{}", inspected.err);
    assert_eq!(inspected.json()["blocks"].as_array().unwrap().len(), 4);
    let proved = run(&[
        "diff",
        "latest",
        data,
        "--repo",
        "repository",
        "--prove=files",
    ]);
    assert_eq!(proved.code, 0, "{}{}", proved.out, proved.err);
    let listed = run(&[&["list", "--json"][..], &archive].concat()).json();
    let head = &listed["directories"][0]["heads"][0];
    assert_eq!(head["max_time"], 1_795_312_717_886_i64);
    assert_eq!(head["samples"], Json::Null);
    // A block that is named has no log.
    let block = run(&[
        &["inspect", "01M80FKE4V4C8GPJHYD9T1D87F", "--json"][..],
        &archive,
    ]
    .concat());
    assert_eq!(block.json()["blocks"].as_array().unwrap().len(), 1);
}

/// Spoils a record in the middle of the last segment but one.
fn damage_middle_segment(night: &Copy) {
    let listed = fs::read_dir(night.path().join("wal")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = paths.filter(|path| path.is_file()).collect();
    segments.sort();
    let middle = &segments[segments.len() - 2];
    let mut bytes = fs::read(middle).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x55;
    fs::write(middle, bytes).unwrap();
}

#[test]
fn a_log_that_is_damaged_is_named_by_whoever_reads_it() {
    let night = Copy::of("night-1");
    damage_middle_segment(&night);
    let data = night.path().to_str().unwrap();
    for command in [
        &["dump", data][..],
        &["inspect", data],
        &["analyze", data],
        &["whatif", data, "--drop-metric", "prometheus_.*"],
        &["diff", data, data],
        &["forecast", data],
    ] {
        let ran = narthex(command);
        assert_eq!(ran.code, 3, "{command:?}: {}", ran.err);
        let said = "what follows it in this log is not read";
        assert!(ran.err.contains(said), "{command:?}: {}", ran.err);
        let without = narthex(&[command, &["--no-head"]].concat());
        assert_eq!(without.code, 0, "{command:?}: {}", without.err);
    }
}

/// A block of late samples ends with its window, which may be ahead of what the log holds.
#[test]
fn blocks_of_late_samples_do_not_hide_the_log() {
    let night = Copy::of("night-1");
    let meta = night.path().join("01M80FKE4V4C8GPJHYD9T1D87F/meta.json");
    let mut json: Json = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
    json["maxTime"] = (json["maxTime"].as_i64().unwrap() + 7_200_000).into();
    json["compaction"]["hints"] = json!(["from-out-of-order"]);
    fs::write(&meta, json.to_string()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| backup_command::narthex(home.path(), arguments);
    let data = night.path().to_str().unwrap();
    assert_eq!(run(&["init", "--repo", "repository"]).code, 0);
    // The block ends far behind its samples.
    assert_eq!(run(&["backup", data, "--repo", "repository"]).code, 3);
    let since = &["--since", "2026-11-22T01:58:30Z"];
    for read in [
        &["dump", data][..],
        &["dump", "--repo", "repository", "--archive", "latest"],
    ] {
        let ran = run(&[read, since].concat());
        assert_eq!(ran.code, 0, "{read:?}: {}", ran.err);
        assert!(dumped(&ran.err) > 4_000, "{read:?}: {}", ran.err);
    }
}

/// What a restore with these options says, and the names of what it brings.
fn restored(home: &std::path::Path, target: &str, more: &[&str], code: i32) -> (Json, Vec<String>) {
    let restore = ["restore", "latest", "--repo", "repository", "--json"];
    let to = ["--target", target];
    let ran = backup_command::narthex(home, &[&restore[..], &to, more].concat());
    assert_eq!(ran.code, code, "{more:?}: {}{}", ran.out, ran.err);
    let listed = fs::read_dir(home.join(target)).into_iter().flatten();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| !name.starts_with('.')).collect();
    (ran.json(), names)
}

#[test]
fn the_newest_hours_come_back_as_a_block_where_part_of_an_archive_is_wanted() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| backup_command::narthex(home.path(), arguments);
    let night = Copy::of("night-1");
    let data = night.path().to_str().unwrap();
    assert_eq!(run(&["backup", data, "--repo", "repository"]).code, 0);
    let since = ["--since", "2026-11-22T01:58:10Z"];
    let up = ["--match", "up"];
    let dump = |dir: &str, more: &[&str]| run(&[&["dump", dir], more].concat()).out;

    // The last seconds of one metric, and nothing else.
    let exact = [&since[..], &["--exact"], &up].concat();
    let (said, names) = restored(home.path(), "exact", &exact, 0);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(said["head"]["block"], names[0].as_str());
    assert_eq!(said["head"]["series"], 2);
    assert_eq!(said["problems"], json!([]));
    assert_eq!(said["gaps"], json!([]));
    let wanted = dump(data, &[&since[..], &up].concat());
    assert!(wanted.lines().count() > 100);
    assert_eq!(dump("exact", &[]), wanted);
    assert_eq!(run(&["verify", "exact"]).code, 0);

    // Whole blocks of a time, the head among them.
    let (said, names) = restored(home.path(), "since", &since, 0);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(said["head"]["samples"], 21_128);
    // Again it is there already.
    let again = [&since[..], &["--add-missing"]].concat();
    let (said, names) = restored(home.path(), "since", &again, 0);
    assert_eq!((names.len(), &said["head"]), (1, &Json::Null));

    // All of it, as a snapshot of the admin API would have it.
    let (_, names) = restored(home.path(), "whole", &["--head", "block"], 0);
    assert_eq!(names.len(), 4, "{names:?}");
    let proved = run(&["diff", "whole", data, "--prove"]);
    assert_eq!(proved.code, 0, "{}{}", proved.out, proved.err);
    assert_eq!(run(&["verify", "whole"]).code, 0);

    // As it was, or not at all, where that is said.
    let (said, names) = restored(
        home.path(),
        "log",
        &[&since[..], &["--head", "log"]].concat(),
        0,
    );
    assert_eq!(
        (names, &said["wal"]),
        (vec!["wal".to_owned()], &json!(true))
    );
    let none = [
        &["--since", "2026-11-22T01:57:00Z"][..],
        &["--head", "none"],
    ]
    .concat();
    let (said, names) = restored(home.path(), "none", &none, 0);
    assert_eq!((names.len(), &said["head"]), (2, &Json::Null));
    // Nothing of this is quietly empty.
    for more in [
        &["--since", "2027-01-01"][..],
        &[&since[..], &["--head", "none"]].concat(),
        &[&since[..], &["--exact", "--match", "nothing"]].concat(),
        &[&since[..], &["--exact", "--head", "log"]].concat(),
    ] {
        let restore = ["restore", "latest", "--repo", "repository", "--target", "t"];
        let ran = run(&[&restore[..], more].concat());
        assert_eq!(ran.code, 1, "{more:?}: {}", ran.out);
        assert!(!home.path().join("t").exists(), "{more:?}");
    }
}

#[test]
fn a_head_of_a_damaged_log_comes_back_as_far_as_it_goes_and_that_is_said() {
    let home = tempfile::tempdir().unwrap();
    let night = Copy::of("night-1");
    damage_middle_segment(&night);
    let data = night.path().to_str().unwrap();
    let backup = ["backup", data, "--repo", "repository"];
    assert_eq!(backup_command::narthex(home.path(), &backup).code, 3);
    let since = ["--since", "2026-11-22T01:58:00Z"];
    let (said, names) = restored(home.path(), "since", &since, 3);
    assert_eq!(names.len(), 1, "{names:?}");
    let problems = said["problems"].as_array().unwrap();
    let is_short = |problem: &Json| problem["kind"] == "head-short";
    assert!(problems.iter().any(is_short), "{problems:?}");
    assert!(said["head"]["samples"].as_u64().unwrap() < 21_128);
}

#[test]
fn a_directory_with_logs_of_its_own_gets_no_block_of_the_head_and_that_is_said() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| backup_command::narthex(home.path(), arguments);
    let night = Copy::of("night-1");
    let data = night.path().to_str().unwrap();
    assert_eq!(run(&["backup", data, "--repo", "repository"]).code, 0);
    // One of both logs, as of a server without late samples.
    fs::create_dir_all(home.path().join("target/wal")).unwrap();
    fs::write(home.path().join("target/wal/00000000"), "").unwrap();
    let into = ["--since", "2026-11-22T01:57:00Z", "--add-missing"];
    let (said, names) = restored(home.path(), "target", &into, 3);
    assert_eq!((names.len(), &said["head"]), (3, &Json::Null), "{names:?}");
    let problems = said["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0]["kind"], "log-only");
    let none = [&into[..], &["--head", "none"]].concat();
    let (said, _) = restored(home.path(), "target", &none, 0);
    assert_eq!(said["problems"], json!([]));
}

#[test]
fn samples_of_series_that_nothing_defines_are_told_by_whoever_makes_a_block_of_the_log() {
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| backup_command::narthex(home.path(), arguments);
    let night = Copy::of("night-1");
    // The checkpoint defines most of them.
    let listed = fs::read_dir(night.path().join("wal")).unwrap();
    let mut checkpoints = listed
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir());
    fs::remove_dir_all(checkpoints.next().unwrap()).unwrap();
    let data = night.path().to_str().unwrap();
    let dumped = run(&["dump", data]);
    assert!(
        dumped.err.contains("series that nothing defines"),
        "{}",
        dumped.err
    );
    assert_eq!(run(&["backup", data, "--repo", "repository"]).code, 3);
    let restore = ["restore", "latest", "--repo", "repository", "--json"];
    let to = ["--target", "whole", "--head", "block"];
    let said = run(&[&restore[..], &to].concat()).json();
    let problems = said["problems"].as_array().unwrap();
    let is_told = |problem: &Json| problem["kind"] == "head-unknown";
    assert!(problems.iter().any(is_told), "{problems:?}");
}
