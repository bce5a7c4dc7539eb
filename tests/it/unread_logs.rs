//! Samples that are in a log only: commands that read blocks alone say so, and do not call an empty
//! answer a whole one.

use std::fs;

use serde_json::{Value as Json, json};

use crate::backup_command;
use crate::reading::{Copy, narthex};

const SAID: &str = ": the log holds ";

#[test]
fn a_directory_with_nothing_but_logs_is_never_answered_with_silence() {
    let logs = "wal/live-snappy";
    for command in [
        &["inspect", logs][..],
        &["dump", logs],
        &["analyze", logs],
        &["whatif", logs, "--drop-metric", "up"],
        &["diff", logs, logs],
    ] {
        let ran = narthex(command);
        assert_eq!(ran.code, 3, "{command:?}: {}", ran.err);
        assert!(ran.err.contains(SAID), "{command:?}: {}", ran.err);
    }
    let listed = narthex(&["list", logs]);
    assert!(
        listed.out.contains("\nwal  2026-11-22 02:09:07"),
        "{}",
        listed.out
    );
    assert!(
        listed.out.contains("\nwbl  2026-11-22 02:10:01"),
        "{}",
        listed.out
    );
}

#[test]
fn a_time_that_only_the_log_reaches_is_answered_with_3_and_one_that_blocks_cover_is_not() {
    for (range, code) in [
        (&["--until", "2026-11-22T01:57:00Z"][..], 0),
        (&["--since", "2026-11-22T01:58:30Z"], 3),
        (&[], 0),
    ] {
        for command in ["dump", "analyze"] {
            let ran = narthex(&[&[command, "night-1"], range].concat());
            assert_eq!(ran.code, code, "{command} {range:?}: {}", ran.err);
            let named = ran.err.contains(SAID);
            assert_eq!(named, range.is_empty() || code == 3, "{command} {range:?}");
        }
    }
}

/// A block of late samples ends with its window, which may be ahead of what the log holds.
#[test]
fn blocks_of_late_samples_do_not_hide_the_log_of_an_archive() {
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
        assert_eq!(ran.code, 3, "{read:?}: {}", ran.err);
        assert!(ran.err.contains(SAID), "{read:?}: {}", ran.err);
    }
}
