//! Blocks cut out of blocks: exactly the samples that are wanted, in a block that is sound.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use narthex::ErrorKind;
use narthex::block::{Block, BlockOptions, write_block};
use narthex::chunk::encode::{ChunkEncoder, EncodedChunk};
use narthex::chunk::{ChunkKind, Encoding, decode};
use narthex::cut::cut_block;
use narthex::dump::{DumpFormat, dump};
use narthex::index::Series;
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, Label, Labels, Millis, Sample,
    Span, Ulid,
};
use narthex::progress::Silent;
use narthex::raw::{ReadMode, crc32c};
use narthex::select::{Selection, Selector};
use narthex::verify::{Kind, VerifyOptions, verify_block};
use proptest::prelude::*;
use serde_json::Value as Json;

use crate::fixtures;
use crate::harness::uvarint;
use crate::sick::{Loose, LooseChunk, START, Sick, floats};

fn open(dir: &Path) -> Block {
    Block::open(dir, ReadMode::Map).unwrap()
}

/// What `dump` says of every sample of a block. What a chunk says of a counter reset before it is
/// left out.
fn samples(block: Block) -> Vec<Json> {
    let mut out = Vec::new();
    let mut report = |problem| panic!("{problem:?}");
    let everything = Selection::default();
    dump(
        &[block],
        &everything,
        DumpFormat::Json,
        &mut out,
        &Silent,
        &mut report,
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    let sample = |line| {
        let mut sample: Json = serde_json::from_str(line).unwrap();
        if let Some(histogram) = sample.get_mut("histogram") {
            let gauge = histogram["counter_reset"] == "gauge";
            histogram["counter_reset"] = gauge.into();
        }
        sample
    };
    text.lines().map(sample).collect()
}

fn is_wanted(sample: &Json, part: &Selection) -> bool {
    let time = sample["time"].as_i64().unwrap();
    let labels: Vec<_> = sample["labels"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_str().unwrap().as_bytes()))
        .collect();
    let selected = part
        .selectors
        .iter()
        .any(|selector| selector.selects(&labels));
    part.range.since <= time && time <= part.range.last() && (part.selectors.is_empty() || selected)
}

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Cuts `part` out of the block in `dir` and holds the result to what a filter over all samples
/// leaves; says how many that are.
fn check(dir: &Path, part: &Selection) -> usize {
    let wanted: Vec<_> = samples(open(dir))
        .into_iter()
        .filter(|sample| is_wanted(sample, part))
        .collect();
    let parent = tempfile::tempdir().unwrap();
    let (ulid, original) = (Ulid::generate(), open(dir));
    let made = cut_block(&original, part, parent.path(), ulid).unwrap();
    let Some(made) = made else {
        assert!(wanted.is_empty(), "{} samples are missing", wanted.len());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        return 0;
    };
    let found = samples(open(&made));
    assert_eq!(found.len(), wanted.len(), "{}", dir.display());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "{}", dir.display());
    }
    let verdict = verify_block(&made, VerifyOptions::default(), &Silent).unwrap();
    assert!(!verdict.findings.has_problems(), "{:?}", verdict.findings);
    assert_eq!(verdict.findings.count(Kind::SymbolUnused), 0);
    let (meta, old) = (verdict.meta.unwrap(), original.meta());
    assert_eq!((meta.ulid, meta.compaction.level), (ulid, 1));
    assert_eq!(meta.compaction.sources, [ulid]);
    assert!(meta.compaction.parents.is_empty() && meta.extra.is_empty());
    assert_eq!(meta.compaction.hints, old.compaction.hints);
    assert_eq!(meta.min_time, old.min_time.max(part.range.since));
    assert_eq!(
        meta.max_time,
        old.max_time.min(part.range.last().saturating_add(1))
    );
    assert_eq!(meta.stats.num_samples, found.len() as u64);
    assert!(open(&made).tombstones().records.is_empty());
    found.len()
}

/// Chunks by labels and times: encoding, data.
fn chunks(dir: &Path) -> BTreeMap<(Labels, Millis, Millis), (Encoding, Vec<u8>)> {
    let block = open(dir);
    let index = block.index().unwrap();
    let symbols = index.symbols().unwrap();
    let mut chunks = BTreeMap::new();
    let mut series = Series::default();
    for entry in index.series() {
        entry.unwrap().decode(&mut series).unwrap();
        let labels = index.labels(&symbols, &series, 0).unwrap();
        for chunk in &series.chunks {
            let record = block.chunk(chunk.reference).unwrap();
            let key = (labels.clone(), chunk.min_time, chunk.max_time);
            chunks.insert(key, (record.encoding, record.data.to_vec()));
        }
    }
    chunks
}

#[test]
fn every_fixture_can_be_cut_to_a_third_of_its_time() {
    let mut encodings = BTreeMap::new();
    for dir in fixtures::blocks() {
        let meta = open(&dir).meta().clone();
        let third = (meta.max_time - meta.min_time) / 3;
        let since = meta.min_time + third;
        let part = Selection::new(since, since + third, Vec::new());
        check(&dir, &part);
        check(&dir, &Selection::new(Millis::MIN, since, Vec::new()));
        check(&dir, &Selection::new(since, Millis::MAX, Vec::new()));

        let parent = tempfile::tempdir().unwrap();
        let block = open(&dir);
        let Some(made) = cut_block(&block, &part, parent.path(), Ulid::generate()).unwrap() else {
            continue;
        };
        let (old, new) = (chunks(&dir), chunks(&made));
        let inside = old.iter().filter(|((_, min, max), _)| {
            let no_deletion = block.tombstones().records.is_empty();
            no_deletion && part.range.since <= *min && *max <= part.range.last()
        });
        for (key, chunk) in inside {
            assert!(new.get(key) == Some(chunk), "{key:?} is not copied");
        }
        for (key, (encoding, _)) in new {
            let trimmed = usize::from(!old.contains_key(&key));
            *encodings.entry(encoding).or_insert(0) += trimmed;
        }
    }
    for encoding in Encoding::encodable() {
        let trimmed = encodings.get(&encoding).copied().unwrap_or(0);
        assert!(trimmed > 0, "no chunk of {encoding} was trimmed");
    }
}

#[test]
fn every_fixture_can_be_cut_to_some_of_its_series() {
    let mut found = 0;
    for dir in fixtures::blocks() {
        for texts in [
            &["up"][..],
            &[r#"{__name__=~"go_.*|h.*|fh.*|.*up.*"}"#],
            &[r#"{job="a"}"#, r#"{__name__=~".*_total",job!="x"}"#],
        ] {
            let part = Selection::new(Millis::MIN, Millis::MAX, selectors(texts));
            found += check(&dir, &part);
        }
        let part = Selection::new(Millis::MIN, Millis::MAX, selectors(&[r#"{no="such"}"#]));
        assert_eq!(check(&dir, &part), 0);
    }
    assert!(found > 1000, "found {found} samples");
}

/// One series of floats with a sample at each of `times`, two to a chunk.
fn pairs(times: &[Millis]) -> (tempfile::TempDir, std::path::PathBuf) {
    let chunk = |times: &[Millis]| encode(Encoding::Xor, times, 0);
    let labels = labels(&[("__name__", "up")]);
    let series = BTreeMap::from([(labels, times.chunks(2).map(chunk).collect::<Vec<_>>())]);
    let parent = tempfile::tempdir().unwrap();
    let options = BlockOptions::default();
    let dir = write_block(parent.path(), Ulid::generate(), &series, options).unwrap();
    (parent, dir)
}

#[test]
fn the_first_millisecond_belongs_to_a_part_and_the_last_one_does_not() {
    let (_parent, dir) = pairs(&[10, 20, 30, 40, 50, 60]);
    for (since, until, count) in [
        (10, 61, 6),
        (10, 60, 5),
        (11, 61, 5),
        (20, 40, 2),
        (20, 41, 3),
        (21, 30, 0),
        (30, 31, 1),
        (30, 50, 2),
        (41, 50, 0),
        (61, Millis::MAX, 0),
        (Millis::MIN, 10, 0),
        (Millis::MIN, Millis::MAX, 6),
    ] {
        let part = Selection::new(since, until, Vec::new());
        assert_eq!(check(&dir, &part), count, "from {since} until {until}");
    }
    assert!(Selection::new(10, 61, Vec::new()).covers_block(10, 61));
    assert!(!Selection::new(11, 61, Vec::new()).covers_block(10, 61));
    assert!(!Selection::new(10, 60, Vec::new()).covers_block(10, 61));
    assert!(!Selection::new(10, 61, selectors(&["up"])).covers_block(10, 61));
}

#[test]
fn a_damaged_chunk_at_the_edge_or_inside_leaves_no_block() {
    let sick = Sick::copy_of("night-1");
    let (offset, _) = sick.chunks("chunks/000001")[40];
    sick.flip("chunks/000001", offset + 12);
    let parent = tempfile::tempdir().unwrap();
    let block = open(&sick.dir);
    let middle = i64::midpoint(block.meta().min_time, block.meta().max_time);
    let mut damaged = 0;
    for part in [
        Selection::new(Millis::MIN, middle, Vec::new()),
        Selection::new(middle, Millis::MAX, Vec::new()),
        Selection::new(Millis::MIN, Millis::MAX, Vec::new()),
    ] {
        match cut_block(&block, &part, parent.path(), Ulid::generate()) {
            Ok(made) => fs::remove_dir_all(made.unwrap()).unwrap(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", error.chain());
                damaged += 1;
            }
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
    assert!(damaged >= 2, "the whole block, and one half at least");
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.as_bytes().into(),
        value: value.as_bytes().into(),
    };
    Labels(pairs.iter().map(label).collect())
}

/// A chunk with a sample at each of `times`, whose counts grow from `first` on.
fn encode(encoding: Encoding, times: &[Millis], first: u32) -> EncodedChunk {
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    let layout = HistogramLayout {
        schema: 3,
        positive: vec![Span {
            offset: 0,
            length: 2,
        }],
        ..HistogramLayout::default()
    };
    for (&time, k) in times.iter().zip(first..) {
        let start = if encoding.has_starts() { time - 7 } else { 0 };
        let value = f64::from(k).to_bits();
        let bits = |count: u32| f64::from(count).to_bits();
        let sample = match encoding.kind() {
            ChunkKind::Floats => Sample::Float(FloatSample {
                time,
                start,
                bits: value,
            }),
            ChunkKind::Histograms => Sample::Histogram(HistogramSample {
                time,
                start,
                counter_reset: CounterReset::NotReset,
                layout: &layout,
                sum: value,
                count: u64::from(2 * k + 2),
                zero_count: 1,
                positive: &[i64::from(k), 1],
                negative: &[],
            }),
            ChunkKind::FloatHistograms => Sample::FloatHistogram(HistogramSample {
                time,
                start,
                counter_reset: CounterReset::Gauge,
                layout: &layout,
                sum: value,
                count: bits(2 * k + 2),
                zero_count: bits(1),
                positive: &[bits(k), bits(k + 1)],
                negative: &[],
            }),
            ChunkKind::Aggregates | ChunkKind::Unknown(_) => panic!("{encoding} holds no samples"),
        };
        encoder.push(&sample).unwrap();
    }
    encoder.finish()
}

#[test]
fn a_trimmed_histogram_chunk_says_nothing_of_a_reset_before_it_unless_it_is_a_gauge() {
    for (encoding, wanted) in [
        (Encoding::Histogram, CounterReset::Unknown),
        (Encoding::HistogramSt, CounterReset::Unknown),
        (Encoding::FloatHistogram, CounterReset::Gauge),
        (Encoding::FloatHistogramSt, CounterReset::Gauge),
    ] {
        let chunk = encode(encoding, &[10, 20, 30], 5);
        let series = BTreeMap::from([(labels(&[("a", "b")]), vec![chunk])]);
        let parent = tempfile::tempdir().unwrap();
        let options = BlockOptions::default();
        let dir = write_block(parent.path(), Ulid::generate(), &series, options).unwrap();
        let part = Selection::new(15, Millis::MAX, Vec::new());
        assert_eq!(check(&dir, &part), 2);
        let made = cut_block(&open(&dir), &part, parent.path(), Ulid::generate());
        for (found, data) in chunks(&made.unwrap().unwrap()).into_values() {
            assert_eq!(found, encoding);
            decode(found, &data, 0, |sample| match sample {
                Sample::Histogram(sample) => assert_eq!(sample.counter_reset, wanted),
                Sample::FloatHistogram(sample) => assert_eq!(sample.counter_reset, wanted),
                Sample::Float(_) => panic!("{sample:?}"),
            })
            .unwrap();
        }
    }
}

/// A series: its encoding, the distances of its samples, samples to a chunk.
type AnySeries = (Encoding, Vec<i64>, usize);

fn any_series() -> impl Strategy<Value = AnySeries> {
    (
        prop::sample::select(Encoding::encodable().collect::<Vec<_>>()),
        prop::collection::vec(1..30i64, 1..40),
        1..12usize,
    )
}

/// A deletion: position of the series, first and last millisecond.
type AnyDeletion = (usize, i64, i64);

fn write(parent: &Path, all: &[AnySeries], deletions: &[AnyDeletion]) -> std::path::PathBuf {
    let series = all
        .iter()
        .enumerate()
        .map(|(number, (encoding, steps, per_chunk))| {
            let (name, job) = (format!("m{}", number % 3), format!("j{}", number / 3));
            let times: Vec<_> = steps
                .iter()
                .scan(0, |time, step| {
                    *time += step;
                    Some(*time)
                })
                .collect();
            let chunks = times.chunks(*per_chunk).zip(0u32..);
            let chunk = |(times, number): (&[Millis], u32)| encode(*encoding, times, 100 * number);
            let labels = labels(&[("__name__", &name), ("job", &job)]);
            (labels, chunks.map(chunk).collect::<Vec<_>>())
        });
    let series: BTreeMap<_, _> = series.collect();
    let dir = write_block(parent, Ulid::generate(), &series, BlockOptions::default()).unwrap();
    let references: Vec<u64> = {
        let block = open(&dir);
        let index = block.index().unwrap();
        index
            .series()
            .map(|entry| entry.unwrap().reference.0)
            .collect()
    };
    let mut records = Vec::new();
    for (series, first, length) in deletions {
        let zigzag = |number: i64| (number << 1) as u64;
        uvarint(&mut records, references[series % references.len()]);
        uvarint(&mut records, zigzag(*first));
        uvarint(&mut records, zigzag(first + length));
    }
    let crc = crc32c(&records).to_be_bytes();
    let file = [&[0x01, 0x30, 0xba, 0x30, 1], &records[..], &crc].concat();
    fs::write(dir.join("tombstones"), file).unwrap();
    dir
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_cut_out_of_any_block_is_what_a_filter_leaves(
        all in prop::collection::vec(any_series(), 1..9),
        deletions in prop::collection::vec((0..9usize, 0..600i64, 0..200i64), 0..6),
        since in prop_oneof![Just(Millis::MIN), -5..500i64],
        length in prop_oneof![Just(Millis::MAX), 1..500i64],
        matching in 0..5usize,
    ) {
        let parent = tempfile::tempdir().unwrap();
        let dir = write(parent.path(), &all, &deletions);
        let texts: &[&str] = [
            &[][..],
            &["m1"],
            &[r#"{job!="j1",__name__!=""}"#],
            &["m0", r#"{job=~"j[12]",__name__!="m2"}"#],
            &["m7"],
        ][matching];
        let part = Selection::new(since, since.saturating_add(length), selectors(texts));
        check(&dir, &part);
    }
}

/// A few bytes of reference name a chunk a hundred thousand times.
#[test]
fn a_chunk_that_many_references_share_is_not_copied_for_each_of_them() {
    let mut loose = Loose::healthy();
    loose.series.truncate(1);
    let times = (0..5000).map(|k| START + 1000 * k + k * k % 977);
    let mut chunks = vec![floats(Encoding::Xor, times)];
    for _ in 0..1000 {
        let before = &chunks[chunks.len() - 1];
        chunks.push(LooseChunk {
            min: before.max + 1,
            max: before.max + 1 + before.max - before.min,
            data: 5000u16.to_be_bytes().to_vec(),
            shared: true,
            ..before.clone()
        });
    }
    loose.series[0].chunks = chunks;
    let sick = loose.write();
    let parent = tempfile::tempdir().unwrap();
    sick.edit_meta(|meta| meta["maxTime"] = i64::MAX.into());
    let everything = Selection::new(Millis::MIN, Millis::MAX, Vec::new());
    let cut = cut_block(
        &open(&sick.dir),
        &everything,
        parent.path(),
        Ulid::generate(),
    );
    let error = cut.unwrap_err().chain();
    assert!(error.contains("one reference to each chunk"), "{error}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}
