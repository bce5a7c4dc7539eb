//! What `restore` says of a start of Prometheus on what came back, and `list` of the logs of an
//! archive.

use std::fs;

use serde_json::Value;

use crate::backup_command::narthex;
use crate::sound::Desk;

/// The oldest and the newest block of `night-1`.
const OLDEST: &str = "01M80FKE4V4C8GPJHYD9T1D87F";
const NEWEST: &str = "01M80FKE2Z8SDE7SM63DE19N15";

#[test]
fn a_restore_says_what_a_start_does_with_the_target_as_it_is() {
    let desk = Desk::new();
    desk.back_up("night-1", &[]);
    let (ran, _) = desk.restore("latest", &["--json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["start"]["keeps"].as_array().unwrap().len(), 3);
    assert_eq!(said["start"]["replays"]["min_time"], 1_795_312_680_000_i64);

    // What lies in the target already is a part of it.
    let broken = desk.path().join("broken");
    fs::create_dir_all(broken.join("chunks_head")).unwrap();
    fs::write(broken.join("chunks_head/000001"), b"no head chunks").unwrap();
    let restore = [
        "restore",
        "latest",
        "--repo",
        "repo",
        "--target",
        "broken",
        "--add-missing",
    ];
    let ran = narthex(desk.path(), &restore);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let wanted = "Prometheus will not start on this: chunks_head/000001 (head-chunks-broken)";
    assert_eq!(ran.out.lines().last().unwrap(), wanted);
    let again = narthex(desk.path(), &[&restore[..], &["--json"]].concat());
    assert_eq!(again.code, 3, "{}", again.err);
    let said: Value = serde_json::from_str(&again.out).unwrap();
    assert_eq!(said["prometheus_starts"], false);
    assert_eq!(
        said["keeps_from_starting"][0]["problem"],
        "chunks_head/000001 (head-chunks-broken)"
    );
}

#[test]
fn a_restore_names_what_a_start_deletes_for_its_age() {
    let desk = Desk::new();
    desk.data("night-1");
    let path = desk.path().join("data").join(OLDEST).join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["maxTime"] = 1_780_000_000_000_i64.into();
    meta["minTime"] = 1_779_999_900_000_i64.into();
    fs::write(&path, serde_json::to_vec(&meta).unwrap()).unwrap();
    desk.back_up_again(&["--no-wal"]);
    for (more, will) in [
        (
            &["--dry-run"][..],
            "Prometheus will start on this, by what was found",
        ),
        (&[], "Prometheus will start on this"),
    ] {
        let (ran, _) = desk.restore("latest", more);
        assert!(
            ran.out.contains(&format!("deletes block {OLDEST} for age")),
            "{}",
            ran.out
        );
        let last = ran.out.lines().last().unwrap();
        assert!(last.starts_with(will), "{last}");
    }
}

#[test]
fn a_parent_that_does_not_open_is_no_obstacle_where_its_child_does() {
    let desk = Desk::new();
    desk.data("night-1");
    let index = desk.path().join("data").join(OLDEST).join("index");
    let content = fs::read(&index).unwrap();
    fs::write(&index, &content[..content.len() - 4]).unwrap();
    let path = desk.path().join("data").join(NEWEST).join("meta.json");
    let mut meta: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["compaction"]["parents"] = serde_json::json!([{"ulid": OLDEST, "minTime": meta["minTime"], "maxTime": meta["maxTime"]}]);
    fs::write(&path, serde_json::to_vec(&meta).unwrap()).unwrap();
    desk.back_up_again(&["--no-wal"]);
    for more in [&["--as-archived"][..], &["--as-archived", "--dry-run"]] {
        let (ran, _) = desk.restore("latest", more);
        let last = ran.out.lines().last().unwrap();
        assert!(last.starts_with("Prometheus will start on this"), "{last}");
    }
}

#[test]
fn list_shows_the_logs_of_an_archive() {
    for (name, wal, wbl) in [
        (
            "night-1",
            "wal  2026-11-22 01:56:45.855Z  2026-11-22 01:58:37.886Z",
            false,
        ),
        (
            "wal/live-snappy",
            "wal  2026-11-22 02:09:07.937Z  2026-11-22 02:11:49.935Z",
            true,
        ),
    ] {
        let desk = Desk::new();
        desk.back_up(name, &[]);
        let list = ["list", "--archive", "latest", "--repo", "repo"];
        let ran = narthex(desk.path(), &list);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(wal), "{}", ran.out);
        assert_eq!(ran.out.contains("\nwbl "), wbl, "{}", ran.out);
        let json = narthex(desk.path(), &[&list[..], &["--json"]].concat());
        let said: Value = serde_json::from_str(&json.out).unwrap();
        let logs = said["directories"][0]["logs"].as_array().unwrap();
        assert_eq!(logs.len(), 1 + usize::from(wbl));
        let direct = narthex(desk.path(), &["list", "data", "--json"]);
        let direct: Value = serde_json::from_str(&direct.out).unwrap();
        let direct = &direct["directories"][0]["logs"];
        for (i, log) in logs.iter().enumerate() {
            for key in ["log", "segments", "bytes"] {
                assert_eq!(log[key], direct[i][key], "{name}: {key}");
            }
        }
        if !wbl {
            assert_eq!(logs[0]["samples"], direct[0]["samples"]);
            // A single block has no log.
            let one = narthex(desk.path(), &[&list[..], &[NEWEST]].concat());
            assert!(!one.out.contains("\nwal "), "{}", one.out);
        }
    }
}
