//! `narthex analyze`: every number held against one that is counted slowly, from decoded entries and file sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use narthex::block::Block;
use narthex::capacity::{
    Analysis, Analyzer, Costs, Group, Options, Rank, Selection, What, for_each_series,
};
use narthex::chunk::{Encoding, Tail, decode, promised_samples};
use narthex::index::{LabelIndex, Postings, Series};
use narthex::inspect::Faults;
use narthex::model::{ChunkMeta, Labels};
use narthex::raw::ReadMode;
use serde_json::Value as Json;

use crate::fixtures::{blocks, fixture};
use crate::reading::{Copy, narthex};
use crate::sick::Loose;

type Pair = (Vec<u8>, Vec<u8>);

/// A series as a reader without any hurry sees it.
struct Slow {
    labels: Vec<Pair>,
    chunks: Vec<SlowChunk>,
    /// What it bears of the index.
    index: f64,
}

struct SlowChunk {
    meta: ChunkMeta,
    bytes: u64,
    samples: u64,
    data: Vec<u8>,
    encoding: Encoding,
}

impl Slow {
    fn has(&self, name: &[u8]) -> Option<&[u8]> {
        let mut labels = self.labels.iter();
        labels.find(|(n, _)| n == name).map(|(_, value)| &value[..])
    }

    fn samples(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.samples).sum()
    }

    fn chunk_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    fn span(&self) -> (i64, i64) {
        let min = self.chunks.iter().map(|chunk| chunk.meta.min_time).min();
        let max = self.chunks.iter().map(|chunk| chunk.meta.max_time).max();
        (min.unwrap(), max.unwrap())
    }
}

/// Bytes of a pair by itself.
#[derive(Default)]
struct SlowPair {
    series: f64,
    frame: f64,
}

fn varint_len(mut number: u64) -> f64 {
    let mut len = 1.0;
    while number >= 0x80 {
        number >>= 7;
        len += 1.0;
    }
    len
}

/// Series, what pairs cost by themselves, and what names do.
type Slowly = (Vec<Slow>, BTreeMap<Pair, f64>, BTreeMap<Vec<u8>, f64>);

/// All series of a block, with the bytes of the index shared out in floating point.
fn slow(block: &Block) -> Slowly {
    let index = block.index().unwrap();
    let symbols = index.symbols().unwrap();
    let mut all = Vec::new();
    let mut end = index.toc().series;
    let mut series = Series::default();
    let mut uses: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    let mut carriers: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    for entry in index.series() {
        let entry = entry.unwrap();
        entry.decode(&mut series).unwrap();
        let Labels(labels) = index.labels(&symbols, &series, entry.offset).unwrap();
        let labels: Vec<Pair> = labels
            .into_iter()
            .map(|label| (label.name.into(), label.value.into()))
            .collect();
        for (name, value) in &labels {
            *uses.entry(name.clone()).or_default() += 1.0;
            *uses.entry(value.clone()).or_default() += 1.0;
            *carriers.entry(name.clone()).or_default() += 1.0;
        }
        let chunk = |meta: &ChunkMeta| {
            let record = block.chunk(meta.reference).unwrap();
            SlowChunk {
                meta: *meta,
                // Length, encoding, checksum.
                bytes: varint_len(record.data.len() as u64) as u64 + 5 + record.data.len() as u64,
                samples: promised_samples(record.encoding, record.data, 0)
                    .unwrap()
                    .into(),
                data: record.data.to_vec(),
                encoding: record.encoding,
            }
        };
        all.push(Slow {
            chunks: series.chunks.iter().map(chunk).collect(),
            index: (entry.end - end) as f64,
            labels,
        });
        end = entry.end;
    }
    let mut pairs: BTreeMap<Pair, SlowPair> = BTreeMap::new();
    let section = index.postings_table_section().unwrap();
    let entries: Vec<_> = index
        .postings_table()
        .unwrap()
        .iter()
        .map(Result::unwrap)
        .collect();
    for (i, entry) in entries.iter().enumerate() {
        let next = entries
            .get(i + 1)
            .map_or(section.end - 4, |next| next.offset);
        let list = index.postings_section(entry.list).unwrap();
        let length = Postings::read(&list).unwrap().len();
        if entry.name.is_empty() {
            continue;
        }
        let references = 4 * length as u64;
        let frame = list.end - list.start - references + next - entry.offset;
        let pair = SlowPair {
            series: length as f64,
            frame: frame as f64,
        };
        pairs.insert((entry.name.into(), entry.value.into()), pair);
    }
    let mut names: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    if let Some(indices) = index.label_indices() {
        let table = indices.table_section().unwrap();
        let entries: Vec<_> = indices
            .entries(&table)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (i, entry) in entries.iter().enumerate() {
            let next = entries.get(i + 1).map_or(table.end - 4, |next| next.offset);
            let list = indices.section(entry.index).unwrap();
            LabelIndex::read(&list).unwrap();
            let bytes = list.end - list.start + next - entry.offset;
            names.insert(entry.name.into(), bytes as f64);
        }
    }
    let symbol =
        |string: &[u8]| (varint_len(string.len() as u64) + string.len() as f64) / uses[string];
    for series in &mut all {
        for pair in &series.labels {
            let (name, value) = pair;
            let cost = &pairs[pair];
            series.index += 4.0 + cost.frame / cost.series + symbol(name) + symbol(value);
            series.index += names.get(name).copied().unwrap_or(0.0) / carriers[name];
        }
    }
    let own_pairs: BTreeMap<Pair, f64> = pairs
        .iter()
        .map(|(pair, cost)| {
            let own = cost.frame + cost.series * (4.0 + symbol(&pair.1));
            (pair.clone(), own)
        })
        .collect();
    let mut own_names: BTreeMap<Vec<u8>, f64> = BTreeMap::new();
    for (pair, own) in &own_pairs {
        *own_names.entry(pair.0.clone()).or_default() += own;
    }
    for (name, own) in &mut own_names {
        *own += symbol(name) * carriers[name] + names.get(name).copied().unwrap_or(0.0);
    }
    (all, own_pairs, own_names)
}

fn analyse(dirs: &[PathBuf], options: Options) -> Analysis {
    let mut analyzer = Analyzer::new(options);
    for dir in dirs {
        analyzer
            .add(&Block::open(dir, ReadMode::Map).unwrap())
            .unwrap();
    }
    analyzer.finish()
}

fn size(dir: &Path) -> u64 {
    let chunks = fs::read_dir(dir.join("chunks")).unwrap();
    let chunks = chunks.map(|entry| entry.unwrap().metadata().unwrap().len());
    let files = ["index", "meta.json", "tombstones"].map(|name| dir.join(name));
    let files = files
        .iter()
        .filter_map(|path| Some(fs::metadata(path).ok()?.len()));
    chunks.chain(files).sum()
}

fn sum(groups: &[Group]) -> u64 {
    groups.iter().map(Group::bytes).sum()
}

fn value(group: &Group) -> Option<&str> {
    match &group.what {
        What::Value(value) => Some(value),
        What::Others(_) | What::Without | What::NotSelected | What::Shared => None,
    }
}

#[test]
fn bytes_of_every_label_of_every_block_add_up_and_are_those_of_a_slow_count() {
    for dir in blocks() {
        let place = dir.display();
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let (series, own_pairs, own_names) = slow(&block);
        let analysis = analyse(std::slice::from_ref(&dir), Options::default());
        assert_eq!(analysis.faults.count, 0, "{place}");
        let bytes = size(&dir);
        assert_eq!(analysis.totals().bytes, bytes, "{place}");
        assert_eq!(
            analysis.parts().iter().map(|part| part.bytes).sum::<u64>(),
            bytes
        );
        let names: BTreeSet<&[u8]> = own_names.keys().map(Vec::as_slice).collect();
        for name in names.iter().copied().chain([&b"no such label"[..]]) {
            let groups = analysis.groups(name, None);
            assert_eq!(sum(&groups), bytes, "{place} {}", name.escape_ascii());
            assert_eq!(sum(&analysis.groups(name, Some(2))), bytes);
            for group in &groups {
                let carries = |series: &&Slow| match &group.what {
                    What::Value(value) => series.has(name) == Some(value.as_bytes()),
                    What::Without => series.has(name).is_none(),
                    What::Others(_) | What::NotSelected | What::Shared => false,
                };
                let of: Vec<_> = series.iter().filter(carries).collect();
                let index: f64 = of.iter().map(|series| series.index).sum();
                if group.what != What::Shared {
                    assert!(
                        (group.index_bytes as f64 - index).abs() < 1.01,
                        "{place} {group:?}: {index}"
                    );
                    assert_eq!(
                        group.chunk_bytes,
                        of.iter().map(|series| series.chunk_bytes()).sum::<u64>()
                    );
                }
                assert_eq!(group.series, of.len() as u64, "{place}");
                assert_eq!(group.samples, of.iter().map(|s| s.samples()).sum::<u64>());
                assert_eq!(
                    group.chunks,
                    of.iter().map(|s| s.chunks.len() as u64).sum::<u64>()
                );
                assert_eq!(
                    group.one_sample,
                    of.iter().filter(|s| s.samples() == 1).count() as u64
                );
            }
        }
        let pairs = analysis.pairs(Rank::Series, None);
        assert_eq!(pairs.len(), own_pairs.len(), "{place}");
        for pair in &pairs {
            let key = (
                pair.name.clone().into_bytes(),
                pair.value.clone().into_bytes(),
            );
            assert!(
                (pair.own_bytes as f64 - own_pairs[&key]).abs() < 0.6,
                "{place} {pair:?}"
            );
            let carriers = series.iter().filter(|s| s.labels.contains(&key));
            assert_eq!(pair.series, carriers.count() as u64);
        }
        for label in analysis.labels() {
            let own = own_names[label.name.as_bytes()];
            assert!(
                (label.own_bytes as f64 - own).abs() < 1.01,
                "{place} {label:?}: {own}"
            );
        }
    }
}

/// What promtool prints, by its own way of counting: maps filled series by series.
#[test]
fn the_lists_of_promtool_come_out_as_it_counts_them() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let (series, ..) = slow(&block);
        let analysis = analyse(std::slice::from_ref(&dir), Options::default());
        let meta = block.meta();
        let duration = (meta.max_time - meta.min_time) as u64;
        let mut pairs: BTreeMap<Pair, (u64, u64)> = BTreeMap::new();
        let mut names: BTreeMap<Vec<u8>, (u64, BTreeSet<Vec<u8>>)> = BTreeMap::new();
        let mut entries = 0;
        for series in &series {
            let (first, last) = series.span();
            let covered = last.min(meta.max_time) - first.max(meta.min_time);
            let uncovered = duration - covered.max(0) as u64;
            for (name, value) in &series.labels {
                let pair = pairs.entry((name.clone(), value.clone())).or_default();
                *pair = (pair.0 + 1, pair.1 + uncovered);
                let of_name = names.entry(name.clone()).or_default();
                of_name.0 += uncovered;
                of_name.1.insert(value.clone());
                entries += 1;
            }
        }
        let totals = analysis.totals();
        assert_eq!(totals.postings, entries);
        assert_eq!(totals.label_pairs, pairs.len() as u64);
        assert_eq!(totals.label_names, names.len() as u64);
        assert_eq!(totals.series, series.len() as u64);
        let labels = analysis.labels();
        assert_eq!(labels.len(), names.len());
        for label in &labels {
            let (uncovered, values) = &names[label.name.as_bytes()];
            assert_eq!(label.values, values.len() as u64);
            assert_eq!(
                label.value_bytes,
                values.iter().map(|v| v.len() as u64).sum::<u64>()
            );
            assert_eq!(label.uncovered, uncovered / duration);
        }
        let keys: Vec<_> = labels
            .iter()
            .map(|l| (std::cmp::Reverse(l.values), &l.name))
            .collect();
        assert!(keys.is_sorted());
        let mut common: Vec<_> = pairs
            .iter()
            .map(|(pair, (n, _))| (std::cmp::Reverse(*n), pair))
            .collect();
        common.sort();
        let top = analysis.pairs(Rank::Series, Some(20));
        assert_eq!(top.len(), common.len().min(20));
        for (row, (n, pair)) in top.iter().zip(&common) {
            assert_eq!(
                (row.series, row.name.as_bytes(), row.value.as_bytes()),
                (n.0, &pair.0[..], &pair.1[..])
            );
        }
        let mut churning: Vec<_> = pairs
            .iter()
            .map(|(pair, (_, u))| (std::cmp::Reverse(*u), pair))
            .collect();
        churning.sort();
        for (row, (u, pair)) in analysis
            .pairs(Rank::Uncovered, Some(20))
            .iter()
            .zip(&churning)
        {
            assert_eq!(
                (row.name.as_bytes(), row.value.as_bytes()),
                (&pair.0[..], &pair.1[..])
            );
            assert_eq!(row.uncovered, u.0 / duration);
        }
        for row in analysis.cross(5, 100) {
            let of_metric = || {
                series
                    .iter()
                    .filter(|s| s.has(b"__name__") == Some(row.metric.as_bytes()))
            };
            assert_eq!(row.metric_series, of_metric().count() as u64);
            let values: BTreeSet<_> = of_metric()
                .filter_map(|s| s.has(row.label.as_bytes()))
                .collect();
            assert_eq!(row.values, values.len() as u64, "{row:?}");
            assert_eq!(
                row.series,
                of_metric()
                    .filter(|s| s.has(row.label.as_bytes()).is_some())
                    .count() as u64
            );
        }
    }
}

#[test]
fn several_blocks_are_added_up_and_a_series_in_several_is_one() {
    let dirs: Vec<_> = blocks()
        .into_iter()
        .filter(|dir| dir.starts_with(fixture("night-2")))
        .collect();
    let several = Options {
        several_blocks: true,
        ..Options::default()
    };
    let analysis = analyse(&dirs, several);
    let bytes: u64 = dirs.iter().map(|dir| size(dir)).sum();
    let mut lives: BTreeMap<Vec<Pair>, (i64, i64)> = BTreeMap::new();
    let mut metrics: BTreeMap<Vec<u8>, (u64, u64, f64)> = BTreeMap::new();
    let (mut min, mut max) = (i64::MAX, i64::MIN);
    for dir in &dirs {
        let block = Block::open(dir, ReadMode::Map).unwrap();
        (min, max) = (
            min.min(block.meta().min_time),
            max.max(block.meta().max_time),
        );
        for series in slow(&block).0 {
            let span = series.span();
            let life = lives.entry(series.labels.clone()).or_insert(span);
            *life = (life.0.min(span.0), life.1.max(span.1));
            let metric = metrics
                .entry(series.has(b"__name__").unwrap().to_vec())
                .or_default();
            metric.0 += 1;
            metric.1 += series.chunk_bytes();
            metric.2 += series.index;
        }
    }
    assert_eq!(analysis.totals().series, lives.len() as u64);
    let groups = analysis.groups(b"__name__", None);
    assert_eq!(sum(&groups), bytes);
    for group in groups.iter().filter(|group| value(group).is_some()) {
        let (series, chunk_bytes, index) = metrics[value(group).unwrap().as_bytes()];
        assert_eq!((group.series, group.chunk_bytes), (series, chunk_bytes));
        assert!((group.index_bytes as f64 - index).abs() < 1.01);
    }
    // The slack at both ends is three intervals; the blocks were scraped each half second.
    let steps = analysis.steps();
    let jobs = analysis.job_churn();
    let born: u64 = steps.iter().map(|step| step.born).sum();
    let died: u64 = steps.iter().map(|step| step.died).sum();
    assert_eq!(born, jobs.iter().map(|job| job.born).sum::<u64>());
    assert_eq!(died, jobs.iter().map(|job| job.died).sum::<u64>());
    assert_eq!(
        lives.len() as u64,
        jobs.iter().map(|job| job.series).sum::<u64>()
    );
    let (late, early) = (
        |slack: i64| lives.values().filter(|life| life.0 - min > slack).count() as u64,
        |slack: i64| lives.values().filter(|life| max - life.1 > slack).count() as u64,
    );
    let fits = |slack: &i64| late(*slack) == born && early(*slack) == died;
    assert!(
        (1..300_000).step_by(500).any(|slack| fits(&slack))
            || [1500, 15_000, 3000].iter().any(fits),
        "{born} {died}"
    );
    for (step, next) in steps.iter().zip(&steps[1..]) {
        assert_eq!((step.after, step.end), (next.before, next.start));
        assert_eq!(step.before + step.born - step.died, step.after);
    }
}

#[test]
fn selections_count_whole_chunks_and_what_is_left_out_has_a_row() {
    let dir = fixture("night-1/01M80FKE4V4C8GPJHYD9T1D87F");
    let block = Block::open(&dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let meta = block.meta();
    let middle = i64::midpoint(meta.min_time, meta.max_time);
    let jobs: BTreeSet<_> = series.iter().filter_map(|s| s.has(b"job")).collect();
    let job = String::from_utf8(jobs.first().unwrap().to_vec()).unwrap();
    for (since, until, matcher) in [
        (i64::MIN, i64::MAX, Some(&job)),
        (middle, i64::MAX, None),
        (i64::MIN, middle, Some(&job)),
        (meta.max_time + 1, i64::MAX, None),
    ] {
        let selection = Selection {
            selectors: matcher
                .iter()
                .map(|job| format!("{{job={job:?}}}").parse().unwrap())
                .collect(),
            since,
            until,
        };
        let options = Options {
            selection,
            ..Options::default()
        };
        let analysis = analyse(std::slice::from_ref(&dir), options);
        let wanted =
            |chunk: &&SlowChunk| chunk.meta.max_time >= since && chunk.meta.min_time <= until;
        let chosen: Vec<_> = series
            .iter()
            .filter(|s| matcher.is_none_or(|job| s.has(b"job") == Some(job.as_bytes())))
            .filter(|s| s.chunks.iter().any(|chunk| wanted(&chunk)))
            .collect();
        let chunks: Vec<_> = chosen
            .iter()
            .flat_map(|s| &s.chunks)
            .filter(wanted)
            .collect();
        let totals = analysis.totals();
        assert_eq!(totals.series_entries, chosen.len() as u64);
        assert_eq!(totals.left_out, (series.len() - chosen.len()) as u64);
        assert_eq!(totals.chunks, chunks.len() as u64);
        assert_eq!(
            totals.samples,
            chunks.iter().map(|c| c.samples).sum::<u64>()
        );
        let groups = analysis.groups(b"job", None);
        assert_eq!(sum(&groups), size(&dir));
        let all: u64 = series.iter().map(Slow::chunk_bytes).sum();
        let left_out = groups
            .iter()
            .filter(|group| group.what == What::NotSelected)
            .map(|group| group.chunk_bytes)
            .sum::<u64>();
        assert_eq!(left_out, all - chunks.iter().map(|c| c.bytes).sum::<u64>());
    }
}

#[test]
fn samples_say_what_they_cost_and_how_far_they_are_apart() {
    for dir in blocks() {
        let block = Block::open(&dir, ReadMode::Map).unwrap();
        let analysis = analyse(
            std::slice::from_ref(&dir),
            Options {
                extended: true,
                ..Options::default()
            },
        );
        let (mut samples, mut bits, mut rest) = (0u64, 0u64, 0u64);
        let mut distances: BTreeMap<Option<String>, BTreeMap<u64, u64>> = BTreeMap::new();
        for series in slow(&block).0 {
            let job = series
                .has(b"job")
                .map(|job| String::from_utf8(job.to_vec()).unwrap());
            let of_job = distances.entry(job).or_default();
            let mut last: Option<i64> = None;
            for chunk in &series.chunks {
                let mut times = Vec::new();
                let shape = decode(chunk.encoding, &chunk.data, 0, |sample| {
                    times.push(sample.time());
                })
                .unwrap();
                let joined = last
                    .into_iter()
                    .chain(times.iter().copied())
                    .collect::<Vec<_>>();
                for pair in joined.windows(2).filter(|pair| pair[1] > pair[0]) {
                    *of_job
                        .entry(rounded((pair[1] - pair[0]) as u64))
                        .or_default() += 1;
                }
                last = last.max(times.last().copied());
                if chunk.encoding != Encoding::Xor {
                    continue;
                }
                samples += times.len() as u64;
                bits += bits_of(&times);
                rest += chunk.data.len() as u64 * 8
                    - 16
                    - match shape.tail {
                        Tail::Padding => 0,
                        Tail::ExtraZeroByte => 8,
                        Tail::Unexpected { bits } => bits,
                    };
            }
        }
        assert_eq!(
            (analysis.bits.samples, analysis.bits.time),
            (samples, bits),
            "{}",
            dir.display()
        );
        assert_eq!(analysis.bits.value, rest - bits);
        for row in analysis.scrapes() {
            let of_job = &distances[&row.job];
            let Some(found) = row.distances else {
                assert!(of_job.is_empty());
                continue;
            };
            assert_eq!(found, of_job.values().sum::<u64>());
            let most = of_job.values().max().unwrap();
            assert_eq!(of_job[&(row.interval as u64)], *most);
            assert_eq!(
                row.longest.unwrap() as u64,
                *of_job.keys().next_back().unwrap()
            );
            let interval = row.interval as f64;
            let missed = of_job
                .iter()
                .map(|(d, n)| ((*d as f64 / interval).round() - 1.0).max(0.0) * *n as f64);
            assert!(
                (missed.sum::<f64>() - row.missed.unwrap() as f64).abs() < 0.5,
                "{row:?}"
            );
        }
    }
}

fn rounded(distance: u64) -> u64 {
    let digits = distance.to_string().len().saturating_sub(3);
    let unit = 10u64.pow(digits as u32);
    (distance + unit / 2) / unit * unit
}

fn bits_of(times: &[i64]) -> u64 {
    let mut bits = 0;
    let mut delta = 0;
    for (i, time) in times.iter().enumerate() {
        let before = if i == 0 { 0 } else { times[i - 1] };
        let change = time - before - delta;
        bits += match i {
            0 => 8 * varint_len(((time << 1) ^ (time >> 63)) as u64) as u64,
            1 => 8 * varint_len((time - before) as u64) as u64,
            _ if change == 0 => 1,
            _ if (-8191..=8192).contains(&change) => 16,
            _ if (-65535..=65536).contains(&change) => 20,
            _ if (-524_287..=524_288).contains(&change) => 24,
            _ => 68,
        };
        if i > 0 {
            delta = time - before;
        }
    }
    bits
}

#[test]
fn an_index_of_format_1_is_counted_as_well() {
    let mut loose = Loose::healthy();
    loose.version = 1;
    let sick = loose.write();
    let (v1, v2) = (
        analyse(std::slice::from_ref(&sick.dir), Options::default()),
        {
            let sick = Loose::healthy().write();
            let block = Block::open(&sick.dir, ReadMode::Map).unwrap();
            let (series, ..) = slow(&block);
            assert_eq!(series.len(), 4);
            analyse(std::slice::from_ref(&sick.dir), Options::default())
        },
    );
    for analysis in [&v1, &v2] {
        assert_eq!(analysis.faults.count, 0, "{:?}", analysis.faults);
        assert_eq!(sum(&analysis.groups(b"job", None)), analysis.totals().bytes);
        assert_eq!(analysis.totals().label_pairs, 5);
        assert_eq!(analysis.groups(b"job", None).len(), 5);
    }
    let block = Block::open(&sick.dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let groups = v1.groups(b"job", None);
    for series in &series {
        let of = groups
            .iter()
            .find(|group| value(group).map(str::as_bytes) == series.has(b"job"))
            .unwrap();
        assert!((of.index_bytes as f64 - series.index).abs() < 1.01);
    }
}

#[test]
fn chunks_outside_the_range_of_the_metadata_make_no_monsters() {
    let mut loose = Loose::healthy();
    loose.range = Some((crate::sick::START + 20_000, crate::sick::START + 50_000));
    let sick = loose.write();
    let analysis = analyse(std::slice::from_ref(&sick.dir), Options::default());
    assert!(analysis.labels().iter().all(|label| label.uncovered == 0));
    let mut loose = Loose::healthy();
    loose.range = Some((i64::MIN, i64::MAX));
    let sick = loose.write();
    let analysis = analyse(std::slice::from_ref(&sick.dir), Options::default());
    assert!(analysis.labels().iter().all(|label| label.uncovered <= 4));
    assert!(!analysis.steps().is_empty());
}

#[test]
fn each_series_is_shown_with_what_it_costs() {
    let dir = fixture("blocks/promtool-2.42");
    let dir = crate::fixtures::blocks_below(&dir).remove(0);
    let block = Block::open(&dir, ReadMode::Map).unwrap();
    let (series, ..) = slow(&block);
    let mut faults = Faults::default();
    let mut at = 0;
    for_each_series(
        &block,
        &Selection::default(),
        &mut faults,
        |costs: &Costs<'_>, view| {
            let slow = &series[at];
            at += 1;
            assert!((view.index_bytes().rounded() as f64 - slow.index).abs() < 0.6);
            assert_eq!(
                (view.chunk_bytes, view.samples),
                (slow.chunk_bytes(), slow.samples())
            );
            assert_eq!(view.min_time().zip(view.max_time()), Some(slow.span()));
            for (pair, (name, _)) in view.pairs.iter().zip(&slow.labels) {
                let pair = &costs.pairs()[pair.unwrap() as usize];
                assert_eq!(costs.name_of(pair.name), &name[..]);
            }
        },
    )
    .unwrap();
    assert_eq!((at, faults.count), (series.len(), 0));
}

/// Whatever is wrong, an analysis ends, and its rows add up.
fn sums_hold(dir: &Path) {
    let Ok(block) = Block::open(dir, ReadMode::Read) else {
        return;
    };
    for extended in [false, true] {
        let mut analyzer = Analyzer::new(Options {
            extended,
            several_blocks: true,
            ..Options::default()
        });
        if analyzer.add(&block).is_err() {
            continue;
        }
        let analysis = analyzer.finish();
        for name in [&b"__name__"[..], b"job", b"none"] {
            assert_eq!(sum(&analysis.groups(name, None)), analysis.totals().bytes);
        }
        let parts = analysis.parts().iter().map(|part| part.bytes);
        assert_eq!(parts.sum::<u64>(), analysis.totals().bytes);
        let _ = (
            analysis.labels(),
            analysis.pairs(Rank::Carried, Some(3)),
            analysis.looks(),
        );
        let _ = (
            analysis.steps(),
            analysis.job_churn(),
            analysis.turnover(),
            analysis.scrapes(),
        );
    }
}

#[test]
fn every_cut_and_every_flip_of_a_small_block_ends_in_sums_that_hold() {
    let copy = Copy::of("blocks/tiny");
    for file in ["index", "chunks/000001"] {
        let path = copy.block.join(file);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x80;
            for content in [&flipped[..], &whole[..at]] {
                fs::write(&path, content).unwrap();
                sums_hold(&copy.block);
            }
        }
        fs::write(&path, &whole).unwrap();
    }
}

#[test]
fn a_flip_in_an_index_whose_checksums_are_right_ends_in_sums_that_hold() {
    for version in [1, 2] {
        let mut loose = Loose::healthy();
        loose.version = version;
        let sick = loose.write();
        let index = sick.read("index");
        let toc = sick.toc();
        let sections = [toc.symbols, toc.postings_table];
        let entries = sick.series();
        // Lengths stay, or there would be nothing to seal.
        let is_length = |at: usize| {
            let begins = |from: &u64, len: u64| (*from..*from + len).contains(&(at as u64));
            sections.iter().any(|from| begins(from, 4))
                || entries.iter().any(|from| begins(from, 1))
        };
        for at in (5..index.len() - 52).filter(|at| !is_length(*at)) {
            for bit in [0x01, 0x10, 0x80] {
                let mut flipped = index.clone();
                flipped[at] ^= bit;
                for section in sections {
                    crate::sick::seal_section(&mut flipped, section);
                }
                for entry in &entries {
                    crate::sick::seal_entry(&mut flipped, *entry, 0);
                }
                sick.write("index", &flipped);
                sums_hold(&sick.dir);
            }
        }
        sick.write("index", &index);
    }
}

#[test]
fn what_is_damaged_is_named_counted_and_makes_exit_code_3() {
    let copy = Copy::of("blocks/child-of-three");
    copy.edit("chunks/000001", |segment| segment[0x20] ^= 1);
    let ran = copy.narthex("analyze", &["--by", "summary", "--json"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .contains("chunks/000001: chunk at offset 8: expected checksum"),
        "{}",
        ran.err
    );
    let summary: Json = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(summary[0]["faults"], 1);
    let postings = |at: u64| move |index: &mut Vec<u8>| index[at as usize] ^= 1;
    let toc = narthex::index::Toc::read(&fs::read(copy.block.join("index")).unwrap()).unwrap();
    copy.edit("index", postings(toc.postings_table + 20));
    let ran = copy.narthex("analyze", &["--by", "job", "--json"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("postings offset table"), "{}", ran.err);
    let groups: Json = serde_json::from_str(&ran.out).unwrap();
    let sum: u64 = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, size(&copy.block));
    assert!(groups.as_array().unwrap().len() > 3, "{groups}");
}

#[test]
fn a_real_block_is_shown_at_a_glance() {
    let ran = narthex(&[
        "analyze",
        "night-1/01M80FKE4V4C8GPJHYD9T1D87F",
        "--extended",
        "--top",
        "3",
    ]);
    insta::assert_snapshot!(ran.out);
    assert_eq!((ran.code, &*ran.err), (0, ""));
}

#[test]
fn json_csv_and_markdown_hold_the_same_rows() {
    let block = "blocks/child-of-three";
    for table in [
        "metric",
        "job",
        "label=instance",
        "label",
        "pair",
        "pair-series",
        "pair-churn",
        "metric-label",
        "look",
        "churn",
        "churn-job",
        "churn-time-job",
        "turnover",
        "scrape",
        "chunk",
        "encoding",
        "cut",
        "part",
        "block",
        "summary",
    ] {
        let run = |form: &str| narthex(&["analyze", block, "--by", table, form]);
        let json: Json = serde_json::from_str(&run("--json").out).unwrap();
        let rows = json.as_array().unwrap();
        let csv = run("--csv").out;
        assert_eq!(csv.lines().count(), rows.len() + 1, "{table}");
        if let Some(row) = rows.first() {
            let keys: Vec<_> = row.as_object().unwrap().keys().cloned().collect();
            assert_eq!(csv.lines().next().unwrap(), keys.join(","));
        }
        let markdown = run("--markdown").out;
        assert_eq!(markdown.lines().count(), rows.len() + 2, "{table}");
        assert!(!narthex(&["analyze", block, "--by", table]).out.is_empty());
    }
    let whole: Json =
        serde_json::from_str(&narthex(&["analyze", block, "--json", "--top", "1"]).out).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&whole).unwrap());
    for wrong in [
        &["--by", "nothing"][..],
        &["--csv", "--json"],
        &["--csv", "--markdown"],
        &["--by", "label="],
    ] {
        assert_eq!(
            narthex(&[&["analyze", block], wrong].concat()).code,
            2,
            "{wrong:?}"
        );
    }
}

#[test]
fn a_block_that_is_named_twice_counts_once() {
    let blocks = |paths: &[&str]| {
        let ran = narthex(&[&["analyze", "--by", "summary", "--json"], paths].concat());
        let summary: Json = serde_json::from_str(&ran.out).unwrap();
        summary[0]["blocks"].as_u64().unwrap()
    };
    assert_eq!(
        blocks(&["night-1", "night-1/01M80FKE4V4C8GPJHYD9T1D87F"]),
        blocks(&["night-1"])
    );
}

#[test]
fn an_archive_is_analysed_as_the_directory_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    let repo = repo.to_str().unwrap();
    assert_eq!(narthex(&["init", "--repo", repo]).code, 0);
    let backup = narthex(&["backup", "night-1", "--no-cache", "--repo", repo]);
    assert_eq!(backup.code, 0, "{}", backup.err);
    let archived = narthex(&[
        "analyze",
        "--archive",
        "latest",
        "--repo",
        repo,
        "--by",
        "job",
        "--csv",
    ]);
    let plain = narthex(&["analyze", "night-1", "--by", "job", "--csv"]);
    assert_eq!((archived.code, &*archived.err), (0, ""));
    assert_eq!(archived.out, plain.out);
    assert!(plain.out.lines().count() > 2, "{}", plain.out);
    let unknown = [
        "analyze",
        "--archive",
        "latest",
        "--repo",
        repo,
        "01M7ZTB71NJ67GWWE5SXTVHFTH",
    ];
    assert_eq!(narthex(&unknown).code, 1);
}
