//! What real servers do where something in the directory is ahead of their clock.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use super::server::{Server, wait_until};
use super::start::{foretell, problems};
use super::tools::{Release, Tools};
use crate::logs;
use crate::start::Night;

/// The newest and the oldest block of `night-1`.
const NEWEST: &str = "01M80FKE2Z8SDE7SM63DE19N15";
const OLDEST: &str = "01M80FKE4V4C8GPJHYD9T1D87F";
const DAY: i64 = 86_400_000;

fn now() -> i64 {
    let elapsed = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(elapsed.as_millis()).unwrap()
}

/// A way to be ahead of the clock: what makes it, the finding, and which of 2.42 and the current
/// release refuses new samples.
type Way = (&'static str, fn(&Night), &'static str, [bool; 2]);

const WAYS: &[Way] = &[
    (
        "a block",
        |night| night.set(NEWEST, "maxTime", now() + DAY),
        "block-future",
        [true, true],
    ),
    (
        "the log",
        |night| {
            let sample = logs::samples(&[(99_999, now() + DAY, 1.0)]);
            let records = [logs::series(&[(99_999, "ahead")]), sample];
            logs::write_segment(&night.data(), "wal/00000006", &records);
        },
        "log-future",
        [true, true],
    ),
    (
        "a chunk of the head",
        |night| {
            let records = [logs::series(&[(99_999, "ahead")])];
            logs::write_segment(&night.data(), "wal/00000006", &records);
            let chunk = logs::head_chunk(99_999, &[now() + DAY], 1.0, false);
            logs::write_head_chunks(&night.data(), "000007", &[chunk]);
        },
        "log-future",
        [true, true],
    ),
    (
        "a checkpoint",
        |night| {
            let first = [logs::min_valid_time(now() + DAY)];
            let first = [&first[..], &[logs::series(&[(99_999, "ahead")])]].concat();
            logs::write_segment(&night.data(), "wal/checkpoint.00000005/00000000", &first);
            logs::write_segment(&night.data(), "wal/00000006", &[]);
        },
        "wal-checkpoint-future",
        [false, true],
    ),
    (
        "late samples",
        |night| {
            let records = [logs::series(&[(99_999, "ahead")])];
            logs::write_segment(&night.data(), "wal/00000006", &records);
            let sample = logs::samples(&[(99_999, now() + DAY, 1.0)]);
            logs::write_segment(&night.data(), "wbl/00000000", &[sample]);
        },
        "log-future-late",
        [false, false],
    ),
];

#[test]
fn a_packaged_server_refuses_new_samples_where_verify_says_so() {
    refuses_new_samples(Release::Packaged);
}

#[test]
fn a_current_server_refuses_new_samples_where_verify_says_so() {
    refuses_new_samples(Release::Current);
}

fn refuses_new_samples(release: Release) {
    let Some(tools) = Tools::find_or_skip(release) else {
        return;
    };
    thread::scope(|scope| {
        for way in WAYS {
            let tools = &tools;
            scope.spawn(move || try_way(tools, way));
        }
    });
}

fn try_way(tools: &Tools, (name, make, kind, refuses): &Way) {
    let night = Night::of("night-1");
    make(&night);
    let (version, refuses) = match tools.release {
        Release::Packaged => ("2.42", refuses[0]),
        Release::Current => ("3.16", refuses[1]),
    };
    let found = foretell(&night.data(), version, &["--now", "now"]);
    assert!(problems(&found).contains(*kind), "{name}: {found}");
    let steps = found["start"]["entries"].as_array().unwrap();
    let foretold = steps.iter().any(|step| step["kind"] == "refuses-samples");
    assert_eq!(foretold, refuses, "{name}: {steps:?}");
    let server = Server::scraping_itself(tools, &night.data(), "honor_labels: true");
    let refused = || {
        let metrics = server.metrics();
        let counts = metrics.lines().filter_map(|line| {
            line.strip_prefix("prometheus_target_scrapes_sample_out_of_bounds_total ")
        });
        counts
            .into_iter()
            .any(|count| count.parse::<f64>().unwrap() > 0.0)
    };
    wait_until("a scrape", || refused() || !server.series().is_empty());
    assert_eq!(refused(), refuses, "{name}");
}

/// A block, and late samples a year ahead of the clock: in the WBL, or in `chunks_head` without
/// one.
fn late(data: &Path, in_wbl: bool) {
    let night = super::tree::fixture("night-1");
    super::tree::copy(&night.join(OLDEST), &data.join(OLDEST));
    // More than three hours of the log, so that a compaction is due at once.
    let old: Vec<_> = (0..200)
        .map(|i| (99_999, now() - DAY / 6 + i * 60_000, 1.0))
        .collect();
    let records = [logs::series(&[(99_999, "ahead")]), logs::samples(&old)];
    logs::write_segment(data, "wal/00000000", &records);
    let ahead = now() + 365 * DAY;
    if in_wbl {
        let sample = logs::samples(&[(99_999, ahead, 1.0)]);
        logs::write_segment(data, "wbl/00000000", &[sample]);
    } else {
        let chunk = logs::head_chunk(99_999, &[ahead], 1.0, true);
        logs::write_head_chunks(data, "000001", &[chunk]);
    }
}

#[test]
fn a_compaction_of_late_samples_from_the_future_costs_all_older_blocks() {
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        let root = tempfile::tempdir().unwrap();
        late(root.path(), true);
        let found = foretell(root.path(), "3.16", &["--now", "now"]);
        let wanted = BTreeSet::from(["log-future-late".to_owned()]);
        assert_eq!(problems(&found), wanted);
        let _server = Server::scraping_itself(&tools, root.path(), "honor_labels: true");
        wait_until("the loss of the block", || {
            !root.path().join(OLDEST).exists()
        });
    }
}

#[test]
fn a_packaged_server_crashes_over_late_chunks_without_a_wbl_and_a_current_one_does_not() {
    for release in [Release::Packaged, Release::Current] {
        let Some(tools) = Tools::find_or_skip(release) else {
            continue;
        };
        let root = tempfile::tempdir().unwrap();
        late(root.path(), false);
        let found = foretell(root.path(), "3.16", &["--now", "now"]);
        assert!(
            problems(&found).contains("head-chunks-without-wbl"),
            "{found}"
        );
        let mut server = Server::scraping_itself(&tools, root.path(), "honor_labels: true");
        let mut has_ended = false;
        wait_until("a compaction", || {
            has_ended = server.has_ended();
            has_ended || !root.path().join(OLDEST).exists()
        });
        assert_eq!(has_ended, release == Release::Packaged);
    }
}
