//! `narthex whatif`: what it predicts, held against blocks that are really written so.

use std::collections::BTreeMap;
use std::path::Path;

use narthex::block::{Block, BlockOptions, write_block};
use narthex::capacity::{AnalyzeOptions, Analyzer, What};
use narthex::chunk::encode::{EncodedChunk, float_chunks};
use narthex::chunk::{Encoding, SEGMENT_LIMIT, record_len};
use narthex::cut::cut_block;
use narthex::index::{Generation, Series};
use narthex::model::{FloatSample, Label, Labels, Millis, Ulid};
use narthex::raw::ReadMode;
use narthex::select::Selection;
use narthex::whatif::{Scenario, ScenarioOutcome, what_if};
use serde_json::Value as Json;

use crate::fixtures::{blocks, fixture};
use crate::reading::{Copy, narthex, narthex_in};

fn open(dir: &Path) -> Block {
    Block::open(dir, ReadMode::Map).unwrap()
}

fn outcome(block: Block, scenario: Scenario) -> ScenarioOutcome {
    let mut found = what_if(&[block], &[scenario]);
    assert_eq!(found.missing.count, 0, "{:?}", found.missing);
    found.outcomes.remove(0)
}

/// Bytes of chunks and of the index of a block, its series and its samples.
fn sizes(dir: &Path) -> [i64; 4] {
    let block = open(dir);
    let stats = block.meta().stats;
    [
        block.chunk_bytes() as i64,
        block.index_bytes() as i64,
        stats.num_series as i64,
        stats.num_samples as i64,
    ]
}

fn saved(outcome: &ScenarioOutcome) -> [i64; 4] {
    [
        outcome.saved(|it| it.chunk_bytes),
        outcome.saved(|it| it.index_bytes),
        outcome.saved(|it| it.series),
        outcome.saved(|it| it.samples),
    ]
}

/// The block `dir` cut down to what `selector` selects, or written anew whole.
fn cut(dir: &Path, selector: Option<&str>, parent: &Path, number: u128) -> Option<[i64; 4]> {
    let selectors = selector.iter().map(|text| text.parse().unwrap()).collect();
    let part = Selection::new(Millis::MIN, Millis::MAX, selectors);
    let cut = cut_block(&open(dir), &part, parent, Ulid::from_parts(0, number)).unwrap();
    cut.map(|dir| sizes(&dir))
}

#[test]
fn a_change_that_does_nothing_is_named_and_not_in_the_configuration() {
    let idle = narthex(&["whatif", "night-1", "--drop-series", "{job=\"nod\"}"]);
    assert_eq!(idle.code, 3, "{}", idle.err);
    assert!(!idle.out.contains("relabel"), "{}", idle.out);
    assert!(idle.out.contains("does nothing here"), "{}", idle.out);
    assert!(
        idle.err
            .contains("drop series {job=\"nod\"}: nothing in these blocks is concerned"),
        "{}",
        idle.err
    );
    let both = [
        "whatif",
        "night-1",
        "--drop-metric",
        "no_such_metric",
        "--drop-metric",
        "go_.*",
        "--json",
    ];
    let both = narthex(&both);
    assert_eq!(both.code, 3);
    let both: Json = serde_json::from_str(&both.out).unwrap();
    let snippet = both["snippet"].as_str().unwrap();
    assert!(
        snippet.contains("go_.*") && !snippet.contains("no_such"),
        "{snippet}"
    );
    let sound = narthex(&["whatif", "night-1", "--drop-metric", "go_.*"]);
    assert_eq!(sound.code, 0, "{}", sound.err);
}

#[test]
fn a_configuration_that_makes_series_collide_says_so_itself() {
    let ran = narthex(&["whatif", "night-1", "--drop-label", "handler", "--json"]);
    assert_eq!(ran.code, 3);
    let found: Json = serde_json::from_str(&ran.out).unwrap();
    let snippet = found["snippet"].as_str().unwrap();
    assert!(
        snippet.starts_with("# CAUTION: drop label handler: "),
        "{snippet}"
    );
    assert!(snippet.contains("\nmetric_relabel_configs:\n"), "{snippet}");
}

#[test]
fn what_costs_more_is_said_in_words() {
    let ran = narthex(&["whatif", "night-1", "--retention", "30d"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let effect = ran.out.lines().find(|line| line.contains("retention 30d"));
    let effect = effect.unwrap();
    assert!(
        effect.contains(" costs ") && effect.contains(" more ("),
        "{effect}"
    );
    assert!(!effect.contains("GiB  -"), "{effect}");
}

#[test]
fn what_is_dropped_saves_just_what_a_block_without_it_is_shorter() {
    let mut compared = 0;
    for dir in blocks() {
        // A cut makes deletions final, which has nothing to do with what is predicted.
        if !open(&dir).tombstones().records.is_empty() {
            continue;
        }
        let parent = tempfile::tempdir().unwrap();
        let Some(whole) = cut(&dir, None, parent.path(), 1) else {
            continue;
        };
        if whole[0] != open(&dir).chunk_bytes() as i64 {
            continue;
        }
        for (number, (scenario, rest)) in [
            (
                Scenario {
                    drop_metrics: vec!["go_.*|prometheus_.+_total".parse().unwrap()],
                    ..Scenario::default()
                },
                r#"{__name__!~"go_.*|prometheus_.+_total",__name__!=""}"#,
            ),
            (
                Scenario {
                    drop_metrics: vec!["[a-k].*|.*_bucket|.*\\..*".parse().unwrap()],
                    ..Scenario::default()
                },
                r#"{__name__!~"[a-k].*|.*_bucket|.*\\..*",__name__!=""}"#,
            ),
            (
                Scenario {
                    drop_series: vec![r#"{__name__=~".+",instance!~".*90"}"#.parse().unwrap()],
                    ..Scenario::default()
                },
                r#"{__name__=~".+",instance=~".*90"}"#,
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let found = outcome(open(&dir), scenario);
            let Some(rest) = cut(&dir, Some(rest), parent.path(), 2 + number as u128) else {
                continue;
            };
            let real: Vec<_> = whole
                .iter()
                .zip(rest)
                .map(|(whole, rest)| whole - rest)
                .collect();
            if number == 2 && found.saved(|it| it.series) != real[2] {
                // What Prometheus makes itself stays, and the cut cannot say so.
                continue;
            }
            assert_eq!(saved(&found).to_vec(), real, "{} {number}", dir.display());
            compared += u32::from(real[2] > 0);
        }
    }
    assert!(compared > 5, "only {compared} comparisons");
}

type Contents = BTreeMap<Labels, Vec<EncodedChunk>>;

/// Every series of a block with its chunks, its labels changed by `change`; nothing if two series
/// are then the same.
fn contents(block: &Block, change: impl Fn(&mut Vec<Label>)) -> Option<Contents> {
    let index = block.index().unwrap();
    let symbols = index.symbols().unwrap();
    let mut all = Contents::new();
    for entry in index.series() {
        let entry = entry.unwrap();
        let mut series = Series::default();
        entry.decode(&mut series).unwrap();
        let mut labels = index.labels(&symbols, &series, entry.offset).unwrap();
        change(&mut labels.0);
        let chunk = |meta: &narthex::model::ChunkMeta| {
            let record = block.chunk(meta.reference).unwrap();
            EncodedChunk {
                encoding: record.encoding,
                min_time: meta.min_time,
                max_time: meta.max_time,
                data: record.data.to_vec(),
            }
        };
        let chunks = series.chunks.iter().map(chunk).collect();
        if all.insert(labels, chunks).is_some() {
            return None;
        }
    }
    Some(all)
}

#[test]
fn a_label_less_saves_what_a_block_without_it_is_shorter() {
    let synthetic = |labels: &[Label]| {
        let name = labels.iter().find(|label| &*label.name == b"__name__");
        name.is_some_and(|name| &*name.value == b"up" || name.value.starts_with(b"scrape_"))
    };
    let mut compared = 0;
    for dir in blocks() {
        for name in ["instance", "job", "le", "i"] {
            let block = open(&dir);
            let change = |labels: &mut Vec<Label>| {
                if !synthetic(labels) {
                    labels.retain(|label| &*label.name != name.as_bytes());
                }
            };
            let (Some(whole), Some(rest)) = (contents(&block, |_| {}), contents(&block, change))
            else {
                continue;
            };
            let options = BlockOptions {
                generation: Generation::of(&block.index().unwrap().toc()),
                segment_limit: SEGMENT_LIMIT,
            };
            let parent = tempfile::tempdir().unwrap();
            let [whole, rest] = [(1, &whole), (2, &rest)].map(|(number, series)| {
                let ulid = Ulid::from_parts(0, number);
                sizes(&write_block(parent.path(), ulid, series, options).unwrap())
            });
            let found = outcome(
                block,
                Scenario {
                    drop_labels: vec![name.parse().unwrap()],
                    ..Scenario::default()
                },
            );
            let collisions = found.collisions.clone().unwrap();
            assert_eq!((collisions.groups, collisions.successions), (0, 0));
            let (found, place) = (saved(&found), dir.display());
            assert_eq!(
                (found[0], found[2]),
                (whole[0] - rest[0], 0),
                "{place} {name}"
            );
            // Series are in another order then: references to chunks and lists can have a byte more
            // or less.
            let off = (found[1] - (whole[1] - rest[1])).abs();
            assert!(
                off * 100 <= whole[1],
                "{place} {name}: {off} of {}",
                whole[1]
            );
            compared += u32::from(whole[1] > rest[1]);
        }
    }
    assert!(compared > 3, "only {compared} comparisons");
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.as_bytes().into(),
        value: value.as_bytes().into(),
    };
    Labels(pairs.iter().map(label).collect())
}

/// Samples every `step` seconds of a time in seconds.
fn samples(begin: i64, end: i64, step: usize) -> Vec<FloatSample> {
    let sample = |second: i64| FloatSample {
        time: second * 1000,
        start: 0,
        bits: ((second * second % 977) as f64).to_bits(),
    };
    (begin..end).step_by(step).map(sample).collect()
}

fn chunks(begin: i64, end: i64, step: usize) -> Vec<EncodedChunk> {
    float_chunks(samples(begin, end, step), Encoding::Xor).unwrap()
}

/// Labels of a series, and its chunks.
type Written<'a> = (&'a [(&'a str, &'a str)], Vec<EncodedChunk>);

/// A block in a directory of its own.
fn block_of(series: &[Written<'_>]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let series: Contents = series
        .iter()
        .map(|(pairs, chunks)| (labels(pairs), chunks.clone()))
        .collect();
    let ulid = Ulid::from_parts(1, 1);
    write_block(dir.path(), ulid, &series, BlockOptions::default()).unwrap();
    dir
}

#[test]
fn series_collide_only_where_they_have_samples_at_the_same_time() {
    let dir = block_of(&[
        (&[("__name__", "a"), ("pod", "x")], chunks(0, 3600, 15)),
        (&[("__name__", "a"), ("pod", "y")], chunks(0, 3600, 15)),
        (&[("__name__", "a")], chunks(1800, 3600, 15)),
        (&[("__name__", "b"), ("pod", "x")], chunks(0, 1800, 15)),
        (&[("__name__", "b"), ("pod", "y")], chunks(1800, 3600, 15)),
        (&[("__name__", "c"), ("pod", "x")], chunks(0, 3600, 15)),
        (&[("__name__", "up"), ("pod", "x")], chunks(0, 3600, 15)),
        (&[("__name__", "up"), ("pod", "y")], chunks(0, 3600, 15)),
    ]);
    let ran = narthex_in(
        dir.path(),
        &["whatif", ".", "--drop-label", "po.", "--json"],
    );
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("drop label po.: 1 label sets would be shared by 3 series entries"),
        "{}",
        ran.err
    );
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    let change = &report["changes"][0];
    let numbers = [
        "series_saved",
        "colliding_label_sets",
        "colliding_series",
        "samples_lost",
        "successions",
    ];
    let numbers = numbers.map(|key| change[key].as_u64().unwrap());
    assert_eq!(numbers, [3, 1, 3, 360, 1]);
    let expected = serde_json::json!([{
        "labels": "a{}", "series": 3, "differences": ["pod=\"x\"|\"y\""],
    }]);
    assert_eq!(report["collisions"][0]["first"], expected);
    let within = [
        "whatif",
        ".",
        "--drop-label",
        "pod",
        "--match",
        "{__name__=~\"b|c\"}",
    ];
    let ran = narthex_in(dir.path(), &within);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("only follow each other"), "{}", ran.err);
}

#[test]
fn a_longer_interval_is_measured_as_its_chunks_would_be() {
    // Chunks as a head makes them: none spans a multiple of two hours.
    let window = |begin: i64, step: usize| chunks(begin, begin + 7200, step);
    let day = |step: usize| {
        (0..6)
            .flat_map(|i| window(i * 7200, step))
            .collect::<Vec<_>>()
    };
    let dir = block_of(&[
        (&[("__name__", "a")], day(15)),
        (&[("__name__", "b")], day(30)),
        (&[("__name__", "c")], day(60)),
        (&[("__name__", "d")], day(300)),
    ]);
    let block = || open(&blocks_in(dir.path()));
    let bytes = |step| {
        day(step)
            .iter()
            .map(|chunk| record_len(chunk.data.len() as u64))
            .sum::<u64>()
    };
    let found = outcome(
        block(),
        Scenario {
            interval: Some(60_000),
            ..Scenario::default()
        },
    );
    let saved = bytes(15) + bytes(30) - 2 * bytes(60);
    assert_eq!(found.saved(|it| it.chunk_bytes), saved as i64);
    assert_eq!(found.saved(|it| it.samples), 6 * (480 + 240 - 2 * 120));
    let measured = found.measured.unwrap();
    assert_eq!((measured.series, measured.measured_series), (2, 2));
    assert_eq!(measured.percent(), Some(100.0));
    assert!(found.saved(|it| it.index_bytes) > 0);
}

fn blocks_in(dir: &Path) -> std::path::PathBuf {
    crate::fixtures::blocks_below(dir).remove(0)
}

#[test]
fn retention_multiplies_what_a_day_takes() {
    let dir = block_of(&[(&[("__name__", "a")], chunks(0, 86_400, 15))]);
    let found = outcome(
        open(&blocks_in(dir.path())),
        Scenario {
            retention: Some(10 * found_duration(dir.path())),
            ..Scenario::default()
        },
    );
    assert_eq!(found.after.chunk_bytes, found.before.chunk_bytes * 10);
    assert_eq!(
        found.saved(|it| it.index_bytes),
        -9 * found.before.index_bytes as i64
    );
    assert_eq!(found.saved_per_day(), Some(0));
}

fn found_duration(dir: &Path) -> Millis {
    open(&blocks_in(dir)).meta().duration()
}

#[test]
fn a_dropped_metric_saves_the_chunks_that_are_its_own() {
    let dir = fixture("night-1/01M80FKE2Z8SDE7SM63DE19N15");
    let mut analyzer = Analyzer::new(AnalyzeOptions::default());
    analyzer.add(&open(&dir)).unwrap();
    for group in analyzer.finish().groups(b"__name__", Some(10)) {
        let What::Value(name) = group.what else {
            continue;
        };
        let found = outcome(
            open(&dir),
            Scenario {
                drop_metrics: vec![name.parse().unwrap()],
                ..Scenario::default()
            },
        );
        if found.saved(|it| it.series) == 0 {
            assert!(name.starts_with("scrape_") || name == "up", "{name}");
            continue;
        }
        assert_eq!(
            found.saved(|it| it.chunk_bytes),
            group.chunk_bytes as i64,
            "{name}"
        );
        assert_eq!(found.saved(|it| it.samples), group.samples as i64, "{name}");
        // Not the same: shared strings stay, and references get shorter where symbols go.
        let (saved, borne) = (found.saved(|it| it.index_bytes), group.index_bytes as i64);
        assert!(
            saved > borne / 2 && saved < borne * 2,
            "{name}: {saved} saved, {borne} borne"
        );
    }
}

#[test]
fn changes_are_shown_as_a_table_with_the_configuration() {
    let ran = narthex(&[
        "whatif",
        "night-1",
        "--drop-metric",
        "go_.*",
        "--drop-label",
        "handler",
        "--match",
        "{job=\"prometheus\"}",
        "--interval",
        "2s",
        "--retention",
        "1h",
    ]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(format!("{}\n{}", ran.out, ran.err));
}

#[test]
fn unused_metrics_are_listed_with_their_bytes() {
    let arguments = [
        "whatif",
        "night-1",
        "--rules",
        "usage/rules",
        "--dashboards",
        "usage/dashboards",
    ];
    let ran = narthex(&arguments);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(format!("{}\n{}", ran.out, ran.err));
    let ran = narthex(&[&arguments[..], &["--json"]].concat());
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    let names = |key: &str| -> Vec<String> {
        let rows = report[key].as_array().unwrap().iter();
        rows.map(|row| row["metric"].as_str().unwrap().to_owned())
            .collect()
    };
    let (unused, guessed) = (names("unused"), names("guessed"));
    for used in [
        "prometheus_http_requests_total",
        "process_open_fds",
        "process_max_fds",
        "up",
        "prometheus_tsdb_wal_corruptions_total",
        "prometheus_tsdb_wal_writes_failed_total",
        "prometheus_tsdb_compactions_failed_total",
        "prometheus_tsdb_head_series",
        "process_start_time_seconds",
        "go_memstats_alloc_bytes",
        "prometheus_http_request_duration_seconds_bucket",
    ] {
        assert!(
            !unused.contains(&used.to_owned()) && !guessed.contains(&used.to_owned()),
            "{used}"
        );
    }
    for metric in [
        "go_threads",
        "go_goroutines",
        "prometheus_tsdb_wal_truncations_total",
        "go_memstats_heap_sys_bytes",
    ] {
        assert!(unused.contains(&metric.to_owned()), "{metric}");
    }
    for metric in [
        "prometheus_tsdb_wal_truncate_duration_seconds_sum",
        "prometheus_tsdb_head_gc_duration_seconds_sum",
    ] {
        assert!(guessed.contains(&metric.to_owned()), "{metric}");
    }
    // Relabeling never sees what Prometheus makes itself.
    let snippet = report["snippet"].as_str().unwrap();
    assert!(
        snippet.contains("go_threads") && !snippet.contains("scrape_"),
        "{snippet}"
    );
}

#[test]
fn no_configuration_drops_unused_metrics_while_a_file_cannot_be_read() {
    let ran = narthex(&[
        "whatif",
        "night-1",
        "--rules",
        "usage/rules",
        "usage/broken",
        "--json",
    ]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("usage/broken/rules.yaml: expected a closing \" for column"),
        "{}",
        ran.err
    );
    let report: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["snippet"], "");
    assert_eq!(report["problems"].as_array().unwrap().len(), 1);
    assert!(!report["unused"].as_array().unwrap().is_empty());
}

#[test]
fn csv_and_markdown_come_from_the_same_columns() {
    let csv = narthex(&["whatif", "night-1", "--drop-metric", "go_.*", "--csv"]).out;
    assert_eq!(csv.lines().count(), 2);
    assert!(
        csv.starts_with("change,effect,series,series_after,series_saved,"),
        "{csv}"
    );
    let csv = narthex(&["whatif", "night-1", "--rules", "usage/rules", "--csv"]).out;
    assert!(csv.starts_with("metric,series,samples,"), "{csv}");
    let markdown = narthex(&["whatif", "night-1", "--drop-metric", "go_.*", "--markdown"]).out;
    assert!(
        markdown.starts_with("| change | effect | series kept |"),
        "{markdown}"
    );
    assert!(
        markdown.contains("```yaml\nmetric_relabel_configs:\n"),
        "{markdown}"
    );
}

#[test]
fn damage_is_named_and_the_rest_is_measured() {
    let copy = Copy::of("blocks/child-of-three");
    let whole = copy.narthex("whatif", &["--drop-metric", ".*", "--json"]);
    assert_eq!(whole.code, 0, "{}", whole.err);
    copy.edit("chunks/000001", |content| content[20] ^= 0xff);
    let ran = copy.narthex("whatif", &["--drop-metric", ".*", "--json"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err.contains("could not be read and are taken to stay"),
        "{}",
        ran.err
    );
    let saved = |out: &str| {
        let report: Json = serde_json::from_str(out).unwrap();
        report["changes"][0]["chunk_bytes_saved"].as_i64().unwrap()
    };
    assert!(saved(&ran.out) < saved(&whole.out));
    copy.edit("index", |content| content.truncate(100));
    let ran = copy.narthex("whatif", &["--drop-metric", ".*"]);
    assert_eq!(ran.code, 3);
}

#[test]
fn an_archive_is_measured_as_the_directory_it_is_of() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo").display().to_string();
    let backed = narthex(&["backup", "night-2", "--repo", &repo, "--no-cache"]);
    assert_eq!(backed.code, 0, "{}", backed.err);
    let change = [
        "--drop-metric",
        "go_.*",
        "--drop-label",
        "handler",
        "--json",
    ];
    let here = narthex(&[&["whatif", "night-2"], &change[..]].concat());
    let archive = ["whatif", "--archive", "latest", "--repo", &repo];
    let stored = narthex(&[&archive, &change[..]].concat());
    assert_eq!((stored.code, &stored.out), (here.code, &here.out));
    let none = narthex(&[
        "whatif",
        "--archive",
        "nosuch",
        "--repo",
        &repo,
        "--interval",
        "1m",
    ]);
    assert_eq!(none.code, 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (arguments, part) in [
        (&[][..], "expected a change"),
        (
            &["--match", "up"],
            "expected --drop-label or --interval beside --match",
        ),
        (
            &["--drop-label", ".*"],
            "expected labels other than __name__",
        ),
        (&["--interval", "0s"], "expected a positive interval"),
        (&["--drop-metric", "("], "expected a regular expression"),
        (&["--drop-series", "{}"], "expected at least one matcher"),
        (
            &["--rules", "usage/nowhere"],
            "expected a rule file or dashboard that can be read, found none",
        ),
    ] {
        let ran = narthex(&[&["whatif", "night-1"], arguments].concat());
        assert!([1, 2].contains(&ran.code), "{arguments:?}");
        assert!(ran.err.contains(part), "{arguments:?}: {}", ran.err);
    }
}
