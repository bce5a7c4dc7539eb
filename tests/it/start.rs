//! What `verify` says that a start would do, on real data directories with real faults.
//! `e2e::start` asks real servers.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use narthex::model::Millis;
use narthex::progress::{Progress, Silent};
use narthex::start::{Assumptions, Release, StartPlan, StepKind};
use narthex::verify::{Depth, Kind, Verdict, VerifyOptions, verify};
use serde_json::Value as Json;

use crate::fixtures::fixture;
use crate::logs;
use crate::sick::copy;

/// The blocks of `night-1`, the oldest first; 30 seconds lie between the ends of their ranges.
const OLDEST: &str = "01M80FKE4V4C8GPJHYD9T1D87F";
const MIDDLE: &str = "01M80FJGSDDJPV4DWFG2XR4VJ2";
const NEWEST: &str = "01M80FKE2Z8SDE7SM63DE19N15";
/// The end of the newest block, and soon after the last sample of its WAL.
const END: Millis = 1_795_312_680_000;
const NOW: Millis = END + 60_000;
const DAY: Millis = 86_400_000;

/// A copy of `night-1` to be spoiled.
pub(crate) struct Night {
    root: tempfile::TempDir,
}

impl Night {
    fn new() -> Self {
        Self::of("night-1")
    }

    /// A copy of another fixture.
    pub(crate) fn of(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        copy(&fixture(name), &root.path().join("data"));
        Night { root }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Changes the range of a block.
    pub(crate) fn set(&self, block: &str, key: &str, time: Millis) {
        let path = self.data().join(block).join("meta.json");
        let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        meta[key] = time.into();
        fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
    }

    fn verdict(&self, change: impl FnOnce(&mut Assumptions)) -> Verdict {
        verdict(&self.data(), change)
    }

    fn plan(&self, change: impl FnOnce(&mut Assumptions)) -> StartPlan {
        self.verdict(change).start.unwrap()
    }
}

fn verdict(path: &Path, change: impl FnOnce(&mut Assumptions)) -> Verdict {
    let mut options = VerifyOptions {
        depth: Depth::Quick,
        ..VerifyOptions::default()
    };
    options.start.now = Some(NOW);
    change(&mut options.start);
    verify(path, options, &Silent).unwrap()
}

fn problems(verdict: &Verdict) -> Vec<Kind> {
    let kinds = verdict.all_findings().map(|finding| finding.kind);
    let problems: BTreeSet<_> = kinds
        .filter(|kind| kind.severity() > narthex::verify::FindingSeverity::Note)
        .collect();
    problems.into_iter().collect()
}

fn ulids(plan: &StartPlan, kind: StepKind) -> Vec<String> {
    let step = plan.find(kind).unwrap();
    step.blocks.iter().map(ToString::to_string).collect()
}

#[test]
fn a_start_on_a_healthy_directory_keeps_all_and_replays_what_the_blocks_do_not_hold() {
    let night = Night::new();
    let verdict = night.verdict(|_| {});
    assert!(problems(&verdict).is_empty());
    let plan = verdict.start.unwrap();
    assert_eq!(
        (plan.steps.len(), plan.keeps.len(), plan.starts()),
        (0, 3, true)
    );
    assert_eq!(plan.floor.unwrap().1, END);
    assert_eq!(plan.replays, Some((END, 1_795_312_717_886)));
    // Without a clock as well, and for a block by itself nothing is said.
    assert!(problems(&night.verdict(|assumed| assumed.now = None)).is_empty());
    assert_eq!(
        self::verdict(&night.data().join(NEWEST), |_| {}).start,
        None
    );
}

#[test]
fn blocks_go_for_their_age_counted_from_the_newest_and_at_the_border_by_release() {
    let night = Night::new();
    let old = |retention, release| {
        let plan = night.plan(|assumed| {
            assumed.retention = Some(retention);
            assumed.release = release;
        });
        match plan.find(StepKind::DeletesOld) {
            Some(_) => ulids(&plan, StepKind::DeletesOld),
            None => Vec::new(),
        }
    };
    assert_eq!(old(30_000, Release::OLDEST), [OLDEST]);
    assert_eq!(old(30_000, Release::NEWEST), [MIDDLE, OLDEST]);
    assert_eq!(old(60_000, Release::OLDEST), [""; 0]);
    assert_eq!(old(60_001, Release::NEWEST), [""; 0]);
    // The clock has no say: what is a year old stays when nothing newer is there.
    let later = night.plan(|assumed| assumed.now = Some(NOW + 365 * DAY));
    assert_eq!(later.keeps.len(), 3);
}

#[test]
fn blocks_go_for_their_size_after_logs_and_head_chunks_were_counted() {
    let night = Night::new();
    let bytes = |path: &Path| -> u64 {
        walk(path)
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum()
    };
    let data = night.data();
    let head = bytes(&data.join("wal")) + bytes(&data.join("chunks_head"));
    let newest = bytes(&data.join(NEWEST));
    let keeps = |limit| {
        let plan = night.plan(|assumed| {
            assumed.retention = None;
            assumed.retention_size = Some(limit);
        });
        plan.keeps
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(keeps(head + newest), [NEWEST]);
    assert_eq!(keeps(head + newest - 1), [""; 0]);
    assert_eq!(keeps(u64::MAX).len(), 3);
}

fn walk(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn a_range_that_ends_in_the_future_costs_the_log_and_the_older_blocks() {
    for end in [NOW + 400 * DAY, i64::MAX] {
        let night = Night::new();
        night.set(NEWEST, "maxTime", end);
        let verdict = night.verdict(|_| {});
        assert_eq!(problems(&verdict), [Kind::BlockFuture]);
        let finding = verdict
            .all_findings()
            .find(|it| it.kind == Kind::BlockFuture)
            .unwrap();
        assert_eq!(finding.block.unwrap().to_string(), NEWEST);
        // All that stands in the log behind the samples of the block.
        let loss = finding.loss.unwrap();
        assert!(loss.samples.unwrap() > 10_000, "{loss:?}");
        let plan = verdict.start.unwrap();
        assert_eq!(ulids(&plan, StepKind::DeletesOld).len(), 2);
        assert_eq!(plan.find(StepKind::DropsLog).unwrap().samples, loss.samples);
        assert_eq!(
            plan.find(StepKind::RefusesSamples).unwrap().times,
            Some((NOW, end))
        );
        assert_eq!((plan.replays, plan.keeps.len()), (None, 1));
    }
}

#[test]
fn a_range_that_ends_long_after_its_samples_costs_the_log() {
    let night = Night::new();
    night.set(NEWEST, "maxTime", END + 30 * 3_600_000);
    // Long after, when the range is past.
    let verdict = night.verdict(|assumed| assumed.now = Some(NOW + 9 * DAY));
    assert_eq!(problems(&verdict), [Kind::BlockRange]);
    let plan = verdict.start.unwrap();
    assert!(plan.find(StepKind::RefusesSamples).is_none());
    assert!(plan.find(StepKind::DropsLog).is_some());
    // One hour is not much for a range, but the log holds what the block should.
    night.set(NEWEST, "maxTime", END + 3_600_000);
    let verdict = night.verdict(|assumed| assumed.now = Some(NOW + 9 * DAY));
    assert_eq!(problems(&verdict), [Kind::WalHidden]);
    let finding = verdict
        .all_findings()
        .find(|it| it.kind == Kind::WalHidden)
        .unwrap();
    assert_eq!(finding.loss.unwrap().times.unwrap().1, 1_795_312_717_886);
}

#[test]
fn a_range_that_begins_long_before_its_samples_is_named_and_costs_nothing() {
    for begin in [0, i64::MIN] {
        let night = Night::new();
        night.set(NEWEST, "minTime", begin);
        let verdict = night.verdict(|_| {});
        assert_eq!(problems(&verdict), [Kind::BlockRangeWide]);
        let plan = verdict.start.unwrap();
        assert_eq!(plan.keeps.len(), 3);
        assert_eq!(ulids(&plan, StepKind::MergesOverlaps).len(), 3);
        assert!(plan.replays.is_some());
    }
}

#[test]
fn parents_and_what_interrupted_writers_left_are_removed() {
    let night = Night::new();
    let data = night.data();
    for name in ["parents-three", "child-of-three"] {
        copy(&fixture(&format!("blocks/{name}")), &data);
    }
    let leftovers = [
        "01M80FKE4V4C8GPJHYD9T1D87G.tmp-for-deletion",
        "chunk_snapshot.000002.0000000000.tmp",
        "wal/checkpoint.00000004.tmp",
    ];
    for name in leftovers {
        fs::create_dir(data.join(name)).unwrap();
    }
    let plan = night.plan(|assumed| assumed.retention = Some(10_000 * DAY));
    assert_eq!(ulids(&plan, StepKind::DeletesParents).len(), 3);
    assert_eq!(plan.keeps.len(), 4);
    let removed = &plan.find(StepKind::RemovesLeftovers).unwrap().paths;
    assert_eq!(*removed, leftovers.map(|name| data.join(name)));
    // 2.42 leaves the chunk snapshot.
    let plan = night.plan(|assumed| assumed.release = Release::OLDEST);
    assert_eq!(
        plan.find(StepKind::RemovesLeftovers).unwrap().paths.len(),
        2
    );
}

#[test]
fn blocks_that_do_not_open_end_the_start_unless_their_child_replaces_them() {
    let night = Night::new();
    fs::remove_file(night.data().join(MIDDLE).join("meta.json")).unwrap();
    let plan = night.plan(|_| {});
    assert_eq!(
        plan.find(StepKind::LeavesOut).unwrap().paths,
        [night.data().join(MIDDLE)]
    );
    assert_eq!((plan.starts(), plan.keeps.len()), (true, 2));

    let index = night.data().join(OLDEST).join("index");
    fs::write(&index, b"").unwrap();
    let plan = night.plan(|assumed| assumed.retention = Some(1));
    assert!(!plan.starts());
    // Nothing is deleted by a server that does not come so far.
    assert!(plan.find(StepKind::DeletesOld).is_none());

    let root = tempfile::tempdir().unwrap();
    for name in ["parents-three", "child-of-three"] {
        copy(&fixture(&format!("blocks/{name}")), root.path());
    }
    let parent = walk(&fixture("blocks/parents-three"));
    let parent = parent.iter().find(|path| path.ends_with("index")).unwrap();
    let parent = parent
        .strip_prefix(fixture("blocks/parents-three"))
        .unwrap();
    fs::write(root.path().join(parent), b"").unwrap();
    let plan = verdict(root.path(), |_| {}).start.unwrap();
    assert_eq!((plan.starts(), plan.keeps.len()), (true, 1));
}

#[test]
fn what_a_release_cannot_read_is_a_problem_for_that_release_only() {
    let cases = [
        ("blocks/encodings-456", Kind::ReleaseChunks, "3.14"),
        ("wal/live-zstd", Kind::ReleaseLog, "3.12"),
    ];
    for (name, kind, needed) in cases {
        let with = |release| verdict(&fixture(name), |assumed| assumed.release = release);
        assert!(problems(&with(Release::NEWEST)).is_empty(), "{name}");
        let old = with(Release::OLDEST);
        assert_eq!(problems(&old), [kind], "{name}");
        let finding = old.all_findings().find(|it| it.kind == kind).unwrap();
        assert!(
            finding
                .detail
                .contains(&format!("need Prometheus {needed}")),
            "{}",
            finding.detail
        );
        assert!(
            problems(&with(needed.parse().unwrap())).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn faults_of_chunks_head_are_found_and_told_apart() {
    type Case = (
        &'static str,
        &'static str,
        fn(&Path),
        &'static [Kind],
        Option<Kind>,
    );
    // Some of `night-1`, whose chunks are all older than its blocks' end, and some of a log without
    // blocks.
    let cases: [Case; 8] = [
        (
            "magic",
            "night-1",
            |dir| flip(&dir.join("000005"), 1),
            &[Kind::HeadChunksBroken],
            None,
        ),
        (
            "version",
            "night-1",
            |dir| flip(&dir.join("000006"), 4),
            &[Kind::HeadChunksBroken],
            None,
        ),
        (
            "gap",
            "night-1",
            |dir| fs::rename(dir.join("000006"), dir.join("000007")).unwrap(),
            &[Kind::HeadChunksBroken],
            None,
        ),
        (
            "chunk",
            "night-1",
            |dir| flip(&dir.join("000005"), 60),
            &[Kind::HeadChunksDamaged],
            None,
        ),
        (
            "order",
            "wal/wal-1",
            |dir| {
                fs::copy(dir.join("000001"), dir.join("000002")).unwrap();
            },
            &[Kind::HeadChunksOrder],
            None,
        ),
        (
            "unwritten",
            "night-1",
            |dir| fs::write(dir.join("000007"), [0; 4096]).unwrap(),
            &[],
            Some(Kind::HeadChunksUnwritten),
        ),
        (
            "torn",
            "wal/wal-1",
            |dir| {
                // The second page had not come yet.
                let path = dir.join("000001");
                let mut bytes = fs::read(&path).unwrap();
                bytes[4096..].fill(0);
                fs::write(path, bytes).unwrap();
            },
            &[],
            Some(Kind::HeadChunksTorn),
        ),
        (
            "no log",
            "wal/wal-1",
            |dir| fs::remove_dir_all(dir.join("../wal")).unwrap(),
            &[Kind::HeadChunksOrphaned],
            None,
        ),
    ];
    for (name, base, fault, wanted, note) in cases {
        let night = Night::of(base);
        assert!(problems(&night.verdict(|_| {})).is_empty(), "{base}");
        fault(&night.data().join("chunks_head"));
        let verdict = night.verdict(|_| {});
        assert_eq!(problems(&verdict), wanted, "{name}");
        let notes = note.map_or(0, |note| verdict.findings.count(note));
        assert_eq!(notes, u64::from(note.is_some()), "{name}");
        let starts = !wanted.contains(&Kind::HeadChunksBroken);
        assert_eq!(verdict.start.unwrap().starts(), starts, "{name}");
    }
}

pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// Samples of one series, one every 15 seconds from `first` on.
pub(crate) fn every_15s(number: u64, first: Millis, count: i64) -> Vec<logs::Sample> {
    (0..count)
        .map(|i| (number, first + i * 15_000, 1.0))
        .collect()
}

/// A name, what makes the fault, and the findings that it is.
type ChunkFault = (&'static str, fn(&Path), &'static [Kind]);

/// Faults of the chunks of two series, 1 and 2, of which a log holds 20 samples each.
pub(crate) const CHUNK_FAULTS: &[ChunkFault] = &[
    ("none", |data| chunks(data, &[(1, 0, 10, 1)]), &[]),
    (
        "another series",
        |data| chunks(data, &[(1, 0, 10, 1), (7, 0, 10, 1)]),
        &[Kind::HeadChunksOrphaned],
    ),
    (
        "before the log",
        |data| chunks(data, &[(1, -40, 10, 1)]),
        &[Kind::HeadChunksForeign],
    ),
    (
        "behind the log",
        |data| chunks(data, &[(1, 40, 10, 1)]),
        &[Kind::HeadChunksForeign, Kind::HeadChunksContradict],
    ),
    (
        "a hole",
        |data| chunks(data, &[(1, 0, 5, 1), (1, 8, 2, 1)]),
        &[Kind::HeadChunksContradict],
    ),
    (
        "every other sample",
        |data| chunks(data, &[(1, 0, 5, 2)]),
        &[Kind::HeadChunksContradict],
    ),
];

/// Writes a log of 20 samples of the series 1 and 2, from [`END`] on, and chunks: series, first
/// sample, how many, and of how many one is taken.
fn chunks(data: &Path, chunks: &[(u64, i64, i64, i64)]) {
    let mut records = vec![logs::series(&[(1, "a"), (2, "b")])];
    for sample in every_15s(1, END, 20) {
        records.push(logs::samples(&[sample, (2, sample.1, 2.0)]));
    }
    logs::write_segment(data, "wal/00000000", &records);
    let chunk = |(series, first, count, step): &(u64, i64, i64, i64)| {
        let times: Vec<_> = (0..*count)
            .map(|i| END + (first + i * step) * 15_000)
            .collect();
        logs::head_chunk(*series, &times, 1.0, false)
    };
    let chunks: Vec<_> = chunks.iter().map(chunk).collect();
    logs::write_head_chunks(data, "000001", &chunks);
}

/// A name, what makes the fault, and the finding that it is.
type InTheWay = (&'static str, fn(&Path), Kind);

/// What may lie where a server has something of its own.
pub(crate) const IN_THE_WAY: &[InTheWay] = &[
    (
        "a file as chunks_head",
        |data| {
            fs::remove_dir_all(data.join("chunks_head")).unwrap();
            fs::write(data.join("chunks_head"), b"").unwrap();
        },
        Kind::HeadChunksBroken,
    ),
    (
        "a link to nothing as chunks_head",
        |data| {
            fs::remove_dir_all(data.join("chunks_head")).unwrap();
            std::os::unix::fs::symlink("nowhere", data.join("chunks_head")).unwrap();
        },
        Kind::HeadChunksBroken,
    ),
    (
        "a directory as queries.active",
        |data| instead(data, "queries.active"),
        Kind::HeadFileBlocked,
    ),
    (
        "a file as WAL",
        |data| {
            fs::remove_dir_all(data.join("wal")).unwrap();
            fs::write(data.join("wal"), b"").unwrap();
        },
        Kind::WalBroken,
    ),
    (
        "a file as WBL",
        |data| fs::write(data.join("wbl"), b"x").unwrap(),
        Kind::WalBroken,
    ),
    // Servers of the package do not lock.
    (
        "a directory as lock",
        |data| instead(data, "lock"),
        Kind::HeadFileBlocked,
    ),
];

/// A directory instead of a file.
fn instead(data: &Path, file: &str) {
    fs::remove_file(data.join(file)).unwrap();
    fs::create_dir(data.join(file)).unwrap();
}

#[test]
fn what_lies_in_the_way_of_a_start_ends_it() {
    for (name, make, kind) in IN_THE_WAY {
        let night = Night::new();
        make(&night.data());
        let verdict = night.verdict(|_| {});
        assert!(problems(&verdict).contains(kind), "{name}");
        assert_eq!(verdict.findings.count(Kind::ForeignEntry), 0, "{name}");
        assert!(!verdict.start.unwrap().starts(), "{name}");
    }
}

/// Blocks of aggregates whose metadata do not say so, beside raw ones of the same time.
pub(crate) fn unsaid_aggregates(data: &Path) {
    copy(&fixture("thanos/aggregates"), data);
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path().join("meta.json");
        let Ok(meta) = fs::read(&path) else { continue };
        let mut meta: Json = serde_json::from_slice(&meta).unwrap();
        meta.as_object_mut().unwrap().remove("thanos");
        fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
    }
    fs::create_dir(data.join("wal")).unwrap();
}

#[test]
fn aggregates_are_known_by_their_chunks_where_the_metadata_are_silent() {
    let root = tempfile::tempdir().unwrap();
    unsaid_aggregates(root.path());
    let verdict = verdict(root.path(), |assumed| assumed.retention = None);
    assert_eq!(verdict.findings.count(Kind::BlockDownsampledServed), 2);
    let plan = verdict.start.unwrap();
    assert_eq!(ulids(&plan, StepKind::CannotAnswer).len(), 2);
    assert!(plan.find(StepKind::CannotCompact).is_some());
    assert!(plan.find(StepKind::MergesOverlaps).is_none());
}

/// Histograms with other buckets than their spans say: the length of the span, and the buckets.
pub(crate) const BAD_HISTOGRAMS: &[(u64, &[u8])] = &[(5, &[2]), (1, &[2, 2, 2]), (1 << 31, &[2])];

/// Writes a log of samples and some such histograms of one series.
pub(crate) fn write_histograms(data: &Path, file: &str, (length, buckets): (u64, &[u8])) {
    let mut records = vec![logs::series(&[(99_999, "histogram")])];
    let times = (1..=3).map(|i| END + i * 15_000);
    records.extend(times.map(|time| logs::histogram(99_999, time, length, buckets)));
    logs::write_segment(data, file, &records);
}

#[test]
fn a_histogram_that_makes_servers_panic_ends_the_start() {
    for bad in BAD_HISTOGRAMS {
        let night = Night::new();
        write_histograms(&night.data(), "wal/00000006", *bad);
        let verdict = night.verdict(|_| {});
        assert_eq!(problems(&verdict), [Kind::WalHistogram]);
        let plan = verdict.start.unwrap();
        assert_eq!(plan.obstacles[0].1, "wal-histogram");
        assert!(!plan.starts());
    }
    let night = Night::new();
    write_histograms(&night.data(), "wal/00000006", (3, &[2, 2, 2]));
    assert!(problems(&night.verdict(|_| {})).is_empty());
}

/// A log in which a series was stale, is gone, and comes again: ten samples before and ten after.
pub(crate) fn stale_series(data: &Path) {
    let records = [
        logs::series(&[(1, "a")]),
        logs::samples(&every_15s(1, END, 10)),
        logs::gone(1),
        logs::series(&[(2, "a")]),
        logs::samples(&every_15s(2, END + 300_000, 10)),
    ];
    logs::write_segment(data, "wal/00000000", &records);
}

#[test]
fn older_releases_take_a_series_that_is_gone_for_deleted_for_good() {
    let root = tempfile::tempdir().unwrap();
    stale_series(root.path());
    let with = |release: &str| {
        let release = release.parse().unwrap();
        verdict(root.path(), |assumed| assumed.release = release)
    };
    assert!(problems(&with("3.10")).is_empty());
    let old = with("3.9");
    assert_eq!(problems(&old), [Kind::ReleaseLog]);
    let plan = old.start.unwrap();
    let step = plan.find(StepKind::CannotReplay).unwrap();
    assert!(step.detail.contains("stale series"), "{}", step.detail);
}

#[test]
fn releases_before_2_53_look_into_the_oldest_segment_that_is_there() {
    for (name, replaced) in [("00000002", false), ("00000001", true)] {
        let night = Night::new();
        let path = night.data().join("wal").join(name);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        let with = |release: &str| {
            let release = release.parse().unwrap();
            night.verdict(|assumed| assumed.release = release)
        };
        let (old, new) = (with("2.52"), with("2.53"));
        assert!(problems(&old).contains(&Kind::WalFirstNotAFile), "{name}");
        assert!(problems(&new).contains(&Kind::WalFirstNotAFile), "{name}");
        assert_eq!(problems(&new).len() == 1, replaced, "{name}");
        assert!(!old.start.unwrap().starts(), "{name}");
        assert!(new.start.unwrap().starts(), "{name}");
    }
}

/// Makes the oldest block of `night-1` one of late samples that ends in the future.
pub(crate) fn late_block_in_the_future(night: &Night, end: Millis) {
    let path = night.data().join(OLDEST).join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["compaction"]["hints"] = serde_json::json!(["from-out-of-order"]);
    meta["maxTime"] = end.into();
    let head = serde_json::json!({"ulid": "0".repeat(26), "minTime": 0, "maxTime": 0});
    meta["compaction"]["parents"] = vec![head].into();
    fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

#[test]
fn a_block_that_is_no_border_only_moves_retention() {
    let night = Night::new();
    late_block_in_the_future(&night, NOW + 400 * DAY);
    let verdict = night.verdict(|_| {});
    assert_eq!(problems(&verdict), [Kind::BlockFutureLate]);
    let plan = verdict.start.unwrap();
    assert_eq!(ulids(&plan, StepKind::DeletesOld).len(), 2);
    assert!(plan.find(StepKind::RefusesSamples).is_none());
}

#[test]
fn fragments_that_disagree_about_zstd_are_misread_by_some_releases() {
    let night = Night::new();
    let record = [&logs::series(&[(99_999, &"x".repeat(100))])[..]].concat();
    let mut bytes = logs::fragments(&record, 50);
    bytes[0] |= 0x10;
    fs::write(night.data().join("wal/00000006"), bytes).unwrap();
    for (release, is_misread) in [
        ("2.45", false),
        ("2.46", true),
        ("3.3", true),
        ("3.4", false),
    ] {
        let found = night.verdict(|assumed| assumed.release = release.parse().unwrap());
        let wanted: &[Kind] = if is_misread { &[Kind::ReleaseLog] } else { &[] };
        assert_eq!(problems(&found), wanted, "{release}");
    }
}

#[test]
fn chunks_of_the_head_are_compared_with_the_log() {
    for (name, make, wanted) in CHUNK_FAULTS {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        assert_eq!(problems(&verdict(root.path(), |_| {})), *wanted, "{name}");
        // A second series with the same labels shares its chunks with the first: nothing is said of
        // either then.
        let again = [
            logs::series(&[(9, "a")]),
            logs::samples(&every_15s(9, END + 900_000, 2)),
        ];
        logs::write_segment(root.path(), "wal/00000001", &again);
        let compared = [Kind::HeadChunksForeign, Kind::HeadChunksContradict];
        let found = problems(&verdict(root.path(), |_| {}));
        assert!(
            found.iter().all(|kind| !compared.contains(kind)),
            "{name}: {found:?}"
        );
    }
}

#[test]
fn logs_and_chunks_ahead_of_the_clock_are_named() {
    let ahead = NOW + 2 * DAY;
    let future = |verdict: &Verdict| {
        let plan = verdict.start.as_ref().unwrap();
        plan.find(StepKind::RefusesSamples)
            .map(|step| step.times.unwrap().1)
    };
    let night = Night::new();
    let log = [
        logs::series(&[(99_999, "ahead")]),
        logs::samples(&[(99_999, ahead, 1.0)]),
    ];
    logs::write_segment(&night.data(), "wal/00000006", &log);
    let found = night.verdict(|_| {});
    assert_eq!(problems(&found), [Kind::LogFuture]);
    assert_eq!(future(&found), Some(ahead - 3_600_000));
    // An hour is no matter, and without a clock nobody can say.
    assert!(problems(&night.verdict(|assumed| assumed.now = Some(ahead - 3_600_000))).is_empty());
    assert!(problems(&night.verdict(|assumed| assumed.now = None)).is_empty());

    let night = Night::new();
    logs::write_segment(&night.data(), "wal/00000006", &log[..1]);
    logs::write_segment(&night.data(), "wbl/00000000", &log[1..]);
    let found = night.verdict(|_| {});
    assert_eq!(
        (problems(&found), future(&found)),
        (vec![Kind::LogFutureLate], None)
    );

    let night = Night::new();
    logs::write_segment(&night.data(), "wal/00000006", &log[..1]);
    let chunk = logs::head_chunk(99_999, &[ahead], 1.0, true);
    logs::write_head_chunks(&night.data(), "000007", &[chunk]);
    let found = night.verdict(|_| {});
    assert_eq!(
        problems(&found),
        [Kind::LogFutureLate, Kind::HeadChunksWithoutWbl]
    );
    let chunk = logs::head_chunk(99_999, &[ahead], 1.0, false);
    logs::write_head_chunks(&night.data(), "000007", &[chunk]);
    let found = night.verdict(|_| {});
    assert_eq!(problems(&found), [Kind::LogFuture, Kind::HeadChunksForeign]);
    assert_eq!(future(&found), Some(ahead - 3_600_000));
}

#[test]
fn what_a_checkpoint_says_of_the_blocks_is_heeded_from_3_16_on() {
    let root = tempfile::tempdir().unwrap();
    let write = |time: Millis| {
        let first = [logs::min_valid_time(time), logs::series(&[(1, "a")])];
        logs::write_segment(root.path(), "wal/checkpoint.00000000/00000000", &first);
        let samples = logs::samples(&every_15s(1, END, 20));
        logs::write_segment(root.path(), "wal/00000001", &[samples]);
    };
    let with = |release: Release| verdict(root.path(), |assumed| assumed.release = release);
    // Blocks held the first ten samples, and are gone.
    write(END + 150_000);
    let (old, new) = (with(Release::OLDEST), with(Release::NEWEST));
    assert!(problems(&old).is_empty());
    assert_eq!(problems(&new), [Kind::WalHidden]);
    let loss = new.all_findings().find_map(|finding| finding.loss).unwrap();
    assert_eq!(loss.samples, Some(10));
    let last = END + 19 * 15_000;
    assert_eq!(old.start.unwrap().replays, Some((END, last)));
    let plan = new.start.unwrap();
    assert_eq!(plan.replays, Some((END + 150_000, last)));
    assert_eq!(plan.find(StepKind::DropsLog).unwrap().samples, Some(10));

    write(NOW + DAY);
    let (old, new) = (with(Release::OLDEST), with(Release::NEWEST));
    assert_eq!(problems(&old), [Kind::CheckpointFuture]);
    assert_eq!(old.start.unwrap().find(StepKind::RefusesSamples), None);
    assert_eq!(problems(&new), [Kind::WalHidden, Kind::CheckpointFuture]);
    let plan = new.start.unwrap();
    let refused = plan.find(StepKind::RefusesSamples).unwrap();
    assert_eq!(refused.times, Some((NOW, NOW + DAY)));
    assert_eq!(plan.replays, None);
}

#[test]
fn a_log_that_is_cut_costs_what_stands_behind_the_damage() {
    let night = Night::new();
    let whole = night.plan(|_| {});
    flip(&night.data().join("wal/00000003"), 2000);
    let plan = night.plan(|_| {});
    let step = plan.find(StepKind::CutsLog).unwrap();
    assert!(step.samples.unwrap() > 1000, "{step:?}");
    assert!(step.paths[0].ends_with("wal/00000003"), "{step:?}");
    assert_ne!(plan.replays, whole.replays);
}

#[test]
fn a_chunk_snapshot_must_fit_the_log() {
    type Fault<'a> = (&'a str, &'a dyn Fn(&Path), Option<Kind>, Option<u64>);
    let first = "chunk_snapshot.000001.0000000000/00000000";
    let series = |number, encoding| {
        let name = if number == 1 { "a" } else { "b" };
        logs::snapshot_series(number, name, encoding)
    };
    let write =
        |data: &Path, path: &str, records: &[Vec<u8>]| logs::write_segment(data, path, records);
    let both = [series(1, Some(1)), series(2, None)];
    let cases: [Fault<'_>; 11] = [
        ("whole", &|data| write(data, first, &both), None, None),
        (
            "a series less",
            &|data| write(data, first, &both[..1]),
            Some(Kind::SnapshotShort),
            Some(20),
        ),
        (
            "empty",
            &|data| fs::create_dir(data.join(first).parent().unwrap()).unwrap(),
            Some(Kind::SnapshotShort),
            Some(40),
        ),
        (
            "before the log",
            &|data| write(data, "chunk_snapshot.000000.0000000000/00000000", &[]),
            None,
            None,
        ),
        (
            "a segment is missing",
            &|data| {
                write(data, first, &both);
                write(data, "chunk_snapshot.000001.0000000000/00000002", &both);
            },
            Some(Kind::SnapshotUnusable),
            None,
        ),
        (
            "damaged",
            &|data| {
                write(data, first, &both);
                flip(&data.join(first), 20);
            },
            Some(Kind::SnapshotUnusable),
            None,
        ),
        (
            "an unknown encoding",
            &|data| write(data, first, &[series(1, Some(99)), series(2, None)]),
            Some(Kind::SnapshotUnusable),
            None,
        ),
        (
            "a file",
            &|data| {
                write(data, first, &both);
                fs::write(data.join("chunk_snapshot.x"), b"").unwrap();
            },
            Some(Kind::SnapshotUnusable),
            None,
        ),
        (
            "ahead of the log",
            &|data| write(data, "chunk_snapshot.000003.0000000000/00000000", &both),
            Some(Kind::SnapshotAhead),
            None,
        ),
        (
            "at the segment that a start adds",
            &|data| write(data, "chunk_snapshot.000002.0000000000/00000000", &both),
            None,
            None,
        ),
        (
            "inside the segment that a start adds",
            &|data| write(data, "chunk_snapshot.000002.0000000100/00000000", &both),
            Some(Kind::SnapshotTail),
            None,
        ),
    ];
    for (name, make, wanted, lost) in cases {
        let root = tempfile::tempdir().unwrap();
        CHUNK_FAULTS[0].1(root.path());
        write(root.path(), "wal/00000001", &[]);
        assert!(problems(&verdict(root.path(), |_| {})).is_empty());
        make(root.path());
        let found = verdict(root.path(), |_| {});
        assert_eq!(
            problems(&found),
            wanted.into_iter().collect::<Vec<_>>(),
            "{name}"
        );
        let samples = found
            .all_findings()
            .find_map(|finding| finding.loss?.samples);
        assert_eq!(samples, lost, "{name}");
    }
}

#[test]
fn a_series_under_two_numbers_is_in_the_snapshot_under_the_first() {
    let root = tempfile::tempdir().unwrap();
    let samples = |number| logs::samples(&every_15s(number, END, 2));
    let log = [
        logs::series(&[(1, "a")]),
        logs::series(&[(2, "a")]),
        samples(2),
    ];
    logs::write_segment(root.path(), "wal/00000000", &log);
    logs::write_segment(root.path(), "wal/00000001", &[]);
    let snapshot = [logs::snapshot_series(1, "a", None)];
    logs::write_segment(
        root.path(),
        "chunk_snapshot.000001.0000000000/00000000",
        &snapshot,
    );
    assert!(problems(&verdict(root.path(), |_| {})).is_empty());
}

#[test]
fn list_and_backup_name_a_block_from_the_future() {
    let night = Night::new();
    night.set(NEWEST, "maxTime", 4_000_000_000_000);
    let repository = night.root.path().join("repository");
    let said = |arguments: &[&std::ffi::OsStr]| {
        let mut command = assert_cmd::Command::cargo_bin("narthex").unwrap();
        let output = command
            .env("NARTHEX_CACHE_DIR", night.root.path())
            .args(arguments);
        let output = output.assert().code(3).get_output().clone();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let data = night.data();
    let list = said(&["list".as_ref(), data.as_os_str()]);
    assert!(list.contains("into the future"), "{list}");
    for _night in 0..2 {
        let backup = said(&[
            "backup".as_ref(),
            data.as_os_str(),
            "--repo".as_ref(),
            repository.as_os_str(),
        ]);
        let sentence = format!("block {NEWEST} is archived, but its range reaches ");
        assert!(backup.contains(&sentence), "{backup}");
    }
}

#[test]
fn list_says_which_release_a_block_needs() {
    let mut command = assert_cmd::Command::cargo_bin("narthex").unwrap();
    let output = command.arg("list").arg(fixture("blocks/encodings-456"));
    let output = output.assert().code(0).get_output().stdout.clone();
    let said = String::from_utf8(output).unwrap();
    assert_eq!(said.matches("needs Prometheus 3.1").count(), 2, "{said}");
}

/// Puts another state of a data directory in the place of the one that is about to be read.
struct Swap {
    data: PathBuf,
    by: &'static str,
    is_done: AtomicBool,
}

impl Progress for Swap {
    fn begin(&self, _: &str, _: Option<u64>) {
        if !self.is_done.swap(true, Ordering::SeqCst) {
            fs::remove_dir_all(&self.data).unwrap();
            copy(&fixture(self.by), &self.data);
        }
    }

    fn advance(&self, _: u64) {}

    fn end(&self) {}

    fn remark(&self, _: &dyn fmt::Display) {}
}

#[test]
fn what_a_server_changes_meanwhile_is_read_again() {
    for (before, after) in [("night-1", "night-2"), ("night-2", "night-1")] {
        let night = Night::of(before);
        let swap = Swap {
            data: night.data(),
            by: after,
            is_done: AtomicBool::new(false),
        };
        let mut options = VerifyOptions::default();
        options.start.now = Some(NOW + DAY);
        let found = verify(&night.data(), options, &swap).unwrap();
        let wanted = verify(&fixture(after), options, &Silent).unwrap();
        assert_eq!(problems(&found), problems(&wanted), "{after}");
        let ulids = |verdict: &Verdict| {
            let blocks = verdict.blocks.iter();
            blocks.map(|block| block.ulid).collect::<Vec<_>>()
        };
        assert_eq!(ulids(&found), ulids(&wanted), "{after}");
        assert!(problems(&wanted).is_empty(), "{after}");
    }
}

/// A real server wrote a block of series that had become stale, whose range goes on: it is healthy,
/// and so are its archives.
#[test]
fn a_block_of_stale_series_is_whole() {
    let data = fixture("stale-3.16");
    let scanned = narthex::block::DataDir::scan(&data).unwrap();
    let made = scanned
        .blocks()
        .map(|block| block.ulid.unwrap().time())
        .max();
    let mut options = VerifyOptions::default();
    options.start.now = made.map(|made| made + 1000);
    let verdict = verify(&data, options, &Silent).unwrap();
    assert_eq!(problems(&verdict), [], "{verdict:?}");
    let meta = verdict.blocks[0].meta.as_ref().unwrap();
    assert!(meta.has_hint("from-stale-series"), "{meta:?}");
    // A release that does not know such blocks takes all older samples for stored.
    options.start.release = "2.42".parse().unwrap();
    let old = verify(&data, options, &Silent).unwrap();
    assert!(problems(&old).contains(&Kind::WalHidden), "{old:?}");
}
