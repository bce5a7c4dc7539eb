//! Blocks of Thanos and Mimir: several of the same sources that are not the same data. What
//! restores bring back of them, what forecasts count, and how chunks of aggregates are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use narthex::archive::{self, BackupOptions, Source};
use narthex::chunk::Encoding;
use narthex::chunk::encode::ChunkEncoder;
use narthex::model::{FloatSample, Sample, Stream};
use narthex::progress::Silent;
use narthex::repository::{Repository, StoredBlock, learn_streams, read_meta};
use narthex::store::MemoryStore;
use serde_json::{Value as Json, json};

use crate::fixtures::{fixture, tree};
use crate::reading::{Copy, Ran, narthex};
use crate::sick::Loose;

const RAW: &str = "01M32HZW800000000000000001";
const FIVE_MINUTES: &str = "01M32HZW800000000000000002";
const ONE_HOUR: &str = "01M32HZW800000000000000003";

/// A repository with one archive of a directory, and a place for targets.
struct Kept {
    dir: tempfile::TempDir,
}

impl Kept {
    fn of(source: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept { dir };
        let ran = kept.run(&["init"], &[]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let ran = kept.run(&["backup", source.to_str().unwrap()], &["--source", "s"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        kept
    }

    fn run(&self, command: &[&str], more: &[&str]) -> Ran {
        let repo = self.dir.path().join("repo");
        let repo = ["--repo", repo.to_str().unwrap()];
        narthex(&[command, &repo, more].concat())
    }

    /// Restores `latest` with these arguments; also the names of what came back.
    fn restore(&self, name: &str, arguments: &[&str]) -> (Ran, BTreeSet<String>) {
        let target = self.dir.path().join(name);
        let to = ["--target", target.to_str().unwrap()];
        let ran = self.run(&["restore", "latest"], &[&to, arguments].concat());
        let entries = fs::read_dir(&target).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        (ran, names.collect())
    }
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn a_range_comes_back_raw_and_its_aggregates_are_named() {
    let kept = Kept::of(&fixture("thanos/aggregates"));
    let range = [
        "--since",
        "2026-09-21T14:00:00Z",
        "--until",
        "2026-09-21T18:00:00Z",
    ];
    let (ran, found) = kept.restore("range", &range);
    assert_eq!((ran.code, found), (0, names([RAW])), "{}", ran.err);
    for left_out in [FIVE_MINUTES, ONE_HOUR] {
        assert!(ran.err.contains(left_out) && ran.out.contains(left_out));
    }
    let whole = tree(&fixture("thanos/aggregates").join(RAW));
    assert_eq!(tree(&kept.dir.path().join("range").join(RAW)), whole);
    let cut = ["--since", "2026-09-21T15:00:00Z", "--exact"];
    let (ran, found) = kept.restore("cut", &cut);
    assert_eq!((ran.code, found.len()), (0, 1), "{}", ran.err);
    assert!(ran.out.contains("1,440 samples of 4 series"), "{}", ran.out);
    // The archive as it is is what was asked for.
    let (ran, found) = kept.restore("all", &[]);
    assert_eq!(ran.code, 0);
    assert_eq!(found, names([RAW, FIVE_MINUTES, ONE_HOUR]));
    assert!(ran.err.contains("cannot answer"), "{}", ran.err);
}

#[test]
fn with_nothing_but_aggregates_the_finest_comes_back_with_exit_3() {
    let copy = Copy::of("thanos/aggregates");
    fs::remove_dir_all(copy.path().join(RAW)).unwrap();
    let kept = Kept::of(copy.path());
    let (ran, found) = kept.restore("range", &["--since", "2026-09-21T14:00:00Z"]);
    assert_eq!((ran.code, found), (3, names([FIVE_MINUTES])), "{}", ran.err);
    assert!(ran.err.contains("cannot answer"), "{}", ran.err);
    assert!(ran.out.contains(&format!("aggregates     {FIVE_MINUTES}")));
    let (ran, _) = kept.restore(
        "dry",
        &["--since", "2026-09-21T14:00:00Z", "--dry-run", "--json"],
    );
    let plan: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(plan["aggregates"], Json::from(vec![FIVE_MINUTES]));
    assert_eq!(plan["aggregates_left_out"], Json::from(vec![ONE_HOUR]));
    let exact = ["--since", "2026-09-21T15:00:00Z", "--exact"];
    let (ran, found) = kept.restore("exact", &exact);
    assert_eq!((ran.code, found), (3, names([FIVE_MINUTES])));
    assert!(ran.err.contains("comes back whole"), "{}", ran.err);
}

#[test]
fn all_shards_come_back_and_are_forecast_together() {
    let shards = fixture("thanos/shards");
    let kept = Kept::of(&shards);
    let range = [
        "--since",
        "2026-09-21T14:00:00Z",
        "--until",
        "2026-09-21T16:00:00Z",
    ];
    let (ran, found) = kept.restore("range", &range);
    assert_eq!((ran.code, found.len()), (0, 4), "{}", ran.err);
    assert_eq!(tree(&kept.dir.path().join("range")), tree(&shards));
    let selector = ["--match", "{__name__=~\".+\"}", "--exact"];
    let (ran, found) = kept.restore("exact", &[&range[..], &selector].concat());
    assert_eq!((ran.code, found.len()), (0, 4), "{}", ran.err);
    for from in [
        ["forecast", shards.to_str().unwrap()].as_slice(),
        &["forecast"],
    ] {
        let ran = match from {
            [_, _] => narthex(&[from, &["--json"]].concat()),
            _ => kept.run(from, &["--json"]),
        };
        let forecast: Json = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(forecast["series"], 40, "{}", ran.out);
        let bytes = forecast["bytes_per_day"].as_f64().unwrap();
        assert!((195_000.0..215_000.0).contains(&bytes), "{bytes}");
    }
}

#[test]
fn what_older_manifests_do_not_say_is_read_from_the_stored_metadata() {
    for (name, differing) in [("aggregates", 3), ("shards", 4)] {
        let store = Arc::new(MemoryStore::new());
        let repository = Repository::init(store.clone()).unwrap();
        let source = Source {
            dir: fixture("thanos").join(name),
            host: "host".to_owned(),
            name: "s".to_owned(),
        };
        let report = archive::backup(
            &source,
            &repository,
            &BackupOptions::default(),
            1_790_020_000_000,
            &Silent,
        )
        .unwrap();
        let mut archive = report.archive;
        let said = archive.clone();
        for block in archive.blocks.iter_mut() {
            assert!(block.resolution.take().is_some());
            block.external_labels.clear();
        }
        let mut archives = [archive];
        let read = |block: &StoredBlock| read_meta(repository.store(), block);
        let failed = learn_streams(&read, &mut archives, &BTreeSet::new());
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!(archives[0], said);
        let streams: BTreeSet<Stream> = said
            .blocks
            .iter()
            .map(narthex::repository::lineage::stream)
            .collect();
        assert_eq!(streams.len(), differing);
    }
}

#[test]
fn aggregates_are_no_fault_to_any_reader() {
    let dir = "thanos/aggregates";
    for command in ["verify", "analyze", "list"] {
        let ran = narthex(&[command, dir]);
        assert_eq!((ran.code, &*ran.err), (0, ""), "{command}");
    }
    let ran = narthex(&["inspect", &format!("{dir}/{FIVE_MINUTES}")]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert!(ran.out.contains("Thanos aggregate (255)") && ran.out.contains("cluster=c1"));
    let ran = narthex(&["whatif", dir, "--drop-metric", "requests_total"]);
    assert_eq!(
        (ran.code, ran.err.contains("255")),
        (0, false),
        "{}",
        ran.err
    );
    for proof in ["files", "samples"] {
        let ran = narthex(&["diff", dir, dir, &format!("--prove={proof}")]);
        assert_eq!(ran.code, 0, "{proof}: {}{}", ran.out, ran.err);
    }
}

/// Every sample of a dump by its labels and time.
fn dumped(arguments: &[&str]) -> BTreeMap<(String, String, String), Vec<(i64, f64)>> {
    let ran = narthex(
        &[
            &["dump", "thanos/aggregates", "--format", "json"],
            arguments,
        ]
        .concat(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut series: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in ran.out.lines() {
        let sample: Json = serde_json::from_str(line).unwrap();
        let label = |name: &str| {
            sample["labels"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let key = (
            label("pod"),
            label("__resolution__"),
            label("__aggregate__"),
        );
        let point = (
            sample["time"].as_i64().unwrap(),
            sample["value"].as_f64().unwrap(),
        );
        series.entry(key).or_default().push(point);
    }
    series
}

#[test]
fn each_aggregate_is_dumped_as_a_series_of_its_own() {
    let series = dumped(&[]);
    assert_eq!(series.len(), 4 + 2 * 4 * 5);
    let mut spans = 0;
    for ((pod, resolution, aggregate), points) in &series {
        let count = match resolution.as_str() {
            "5m" => 10.0,
            "1h" => 120.0,
            _ => continue,
        };
        // The passport of the fixture says which values were made up.
        for (number, (time, value)) in points.iter().enumerate() {
            let expected = match aggregate.as_str() {
                "count" => count,
                "sum" => number as f64 * count,
                "min" | "max" | "counter" => number as f64,
                other => panic!("{other}"),
            };
            let found = (value.to_bits(), time % 300_000);
            let wanted = (expected.to_bits(), 299_999);
            assert_eq!(found, wanted, "{aggregate} of {pod} at {time}");
            spans += 1;
        }
    }
    assert_eq!(spans, 4 * 5 * (48 + 4));
    let one = dumped(&[
        "--match",
        "{__aggregate__=\"sum\",__resolution__=\"1h\",pod=\"p1\"}",
    ]);
    assert_eq!(one.len(), 1);
    let raw = dumped(&["--match", "{__aggregate__=\"\",pod=\"p1\"}"]);
    assert_eq!(
        raw.keys().map(|key| key.1.as_str()).collect::<Vec<_>>(),
        [""]
    );
}

/// A chunk of floats, as it stands in a chunk of aggregates.
fn part(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut encoder = ChunkEncoder::new(Encoding::Xor).unwrap();
    for (time, value) in samples {
        let sample = FloatSample {
            time: *time,
            start: 0,
            bits: value.to_bits(),
        };
        encoder.push(&Sample::Float(sample)).unwrap();
    }
    let data = encoder.finish().data;
    [&[u8::try_from(data.len()).unwrap(), 1], &*data].concat()
}

#[test]
fn each_part_of_a_chunk_is_its_own_and_the_closing_sample_of_a_counter_is_none() {
    let mut loose = Loose::healthy();
    loose.series.truncate(1);
    loose.series[0].chunks.truncate(1);
    let chunk = &mut loose.series[0].chunks[0];
    let (first, last) = (chunk.min, chunk.max);
    chunk.encoding = 255;
    chunk.data = [
        part(&[(first, 2.0), (last, 3.0)]),
        part(&[(first, 11.5), (last, 12.5)]),
        // No minimum.
        vec![0],
        part(&[(first, 7.0), (last, 8.0)]),
        part(&[(first, 100.0), (last, 101.0), (last, 42.0)]),
    ]
    .concat();
    let sick = loose.write();
    sick.edit_meta(|meta| meta["thanos"] = json!({"downsample": {"resolution": 300_000}}));
    let ran = narthex(&["dump", sick.dir.to_str().unwrap(), "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let found: Vec<(String, i64, f64)> = ran
        .out
        .lines()
        .map(|line| {
            let sample: Json = serde_json::from_str(line).unwrap();
            let aggregate = sample["labels"]["__aggregate__"].as_str().unwrap();
            let time = sample["time"].as_i64().unwrap();
            (
                aggregate.to_owned(),
                time,
                sample["value"].as_f64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("count", [2.0, 3.0]),
        ("sum", [11.5, 12.5]),
        ("max", [7.0, 8.0]),
        ("counter", [100.0, 101.0]),
    ];
    let expected = expected.into_iter().flat_map(|(aggregate, values)| {
        let points = [first, last].into_iter().zip(values);
        points.map(move |(time, value)| (aggregate.to_owned(), time, value))
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
    let ran = narthex(&["verify", sick.dir.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.out);
}

#[test]
fn a_sample_that_differs_in_an_aggregate_alone_is_found() {
    let copy = Copy::of("thanos/aggregates");
    fs::remove_dir_all(copy.path().join(FIVE_MINUTES)).unwrap();
    let dir = fixture("thanos/aggregates");
    let paths = [dir.to_str().unwrap(), copy.path().to_str().unwrap()];
    let ran = narthex(&["diff", paths[0], paths[1], "--prove=samples"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains("__aggregate__"), "{}", ran.out);
}

#[test]
fn aggregates_beside_a_wal_are_a_warning_and_alone_a_note() {
    let copy = Copy::of("thanos/aggregates");
    assert_eq!(copy.narthex("verify", &[]).code, 0);
    fs::create_dir(copy.path().join("wal")).unwrap();
    let ran = copy.narthex("verify", &[]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains("block-downsampled-served"), "{}", ran.out);
}

#[test]
fn shards_labels_resolution_and_marks_are_listed_where_there_are_any() {
    let copy = Copy::of("thanos/shards");
    let mark = r#"{"version":1,"details":"source of compacted block","deletion_time":1790013600}"#;
    fs::write(copy.block.join("deletion-mark.json"), mark).unwrap();
    let text = copy.narthex("list", &[]).out;
    assert!(text.contains("SHARD") && text.contains("3_of_4"), "{text}");
    assert!(
        text.contains("to be deleted, since 2026-09-21T18:00:00Z"),
        "{text}"
    );
    assert!(!text.contains("RESOLUTION"), "{text}");
    assert!(!narthex(&["list", "night-1"]).out.contains("MARKS"));
    let text = narthex(&["list", "thanos/aggregates"]).out;
    assert!(
        text.contains("5m") && text.contains("cluster=c1 replica=0"),
        "{text}"
    );
    // An archive says the same.
    let kept = Kept::of(copy.path());
    let ran = kept.run(&["list", "--archive", "latest"], &["--json"]);
    let listed: Json = serde_json::from_str(&ran.out).unwrap();
    let blocks = listed["directories"][0]["blocks"].as_array().unwrap();
    let shards: Vec<_> = blocks.iter().map(|block| block["shard"].clone()).collect();
    assert_eq!(shards, ["1_of_4", "2_of_4", "3_of_4", "4_of_4"]);
    let marked = blocks
        .iter()
        .filter(|block| block["marks"] != Json::Array(Vec::new()));
    assert_eq!(marked.count(), 1);
}

/// Adds `parent` to the parents of the block in `dir`.
fn make_child(dir: &Path, parent: &str) {
    let path = dir.join("meta.json");
    let mut meta: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    meta["compaction"]["parents"] = json!([{"ulid": parent, "minTime": 1_789_999_200_000_i64, "maxTime": 1_790_013_600_000_i64}]);
    fs::write(&path, meta.to_string()).unwrap();
}

#[test]
fn aggregates_and_shards_take_no_blocks_place_and_overlap_nothing() {
    for directory in ["thanos/aggregates", "thanos/shards"] {
        let ran = narthex(&["list", directory]);
        assert!(!ran.out.contains("overlaps"), "{}", ran.out);
        let ran = narthex(&["analyze", directory, "--json"]);
        let found: Json = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(found["summary"]["overlapping"], 0);
    }
    let copy = Copy::of("thanos/aggregates");
    let raw = copy.path().join(RAW);
    make_child(&copy.path().join(FIVE_MINUTES), RAW);
    let ran = copy.narthex("list", &[]);
    let said = format!("parent of {FIVE_MINUTES}, which lacks samples of it");
    assert!(
        ran.out.contains(&said) && !ran.out.contains("superseded"),
        "{}",
        ran.out
    );
    let ran = copy.narthex("analyze", &["--json"]);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(found["summary"]["superseded"], 0);
    let ran = copy.narthex("whatif", &["--drop-metric", "nothing", "--json"]);
    assert!(
        !ran.err.contains("superseded") && !ran.out.contains("\"by\""),
        "{}",
        ran.out
    );
    // Both are archived, and the parent is all there is of its samples.
    let dir = tempfile::tempdir().unwrap();
    let kept = Kept { dir };
    assert_eq!(kept.run(&["init"], &[]).code, 0);
    let source = copy.path().to_str().unwrap();
    let ran = kept.run(&["backup", source], &["--source", "s"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    let (_, found) = kept.restore("all", &[]);
    assert_eq!(found, names([RAW, FIVE_MINUTES, ONE_HOUR]));
    // Archives that were lost are made anew with it.
    let repo = kept.dir.path().join("repo");
    fs::remove_dir_all(repo.join("archives")).unwrap();
    let ran = kept.run(&["repair"], &["--orphans"]);
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    let (_, found) = kept.restore("again", &[]);
    assert_eq!(found, names([RAW, FIVE_MINUTES, ONE_HOUR]));
    // What cannot be read of it is missing from a dump.
    fs::write(raw.join("index"), b"").unwrap();
    let ran = copy.narthex("dump", &[]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.err.contains(RAW), "{}", ran.err);
}
