//! Samples that are in a log only: commands that read blocks alone say so, and do not call an empty answer a whole one.

use crate::reading::narthex;

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
