//! Made-up servers, archived night after night while their blocks are made, compacted, cut and
//! deleted at random: whatever was archived comes back byte for byte, from as many packs as there
//! may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use narthex::block::{BlockOptions, BlockWriter, Meta};
use narthex::chunk::Encoding;
use narthex::chunk::encode::{ChunkEncoder, EncodedChunk};
use narthex::index::{Generation, SymbolRef};
use narthex::model::{
    CounterReset, FloatSample, HistogramLayout, HistogramSample, Millis, Sample, Span,
};

use crate::backup_command::narthex;
use crate::fixtures::tree;

/// Servers that are made up, unless `PROPTEST_CASES` asks for more.
const SERVERS: u64 = 4;
const NIGHTS: usize = 5;
/// Milliseconds that a block of level 1 covers.
const SPAN: Millis = 100_000;

/// Numbers that look random and are always the same: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

type Labels = Vec<(String, String)>;
type Point = (Millis, u64);
/// The chunks of each series.
type Series = BTreeMap<Labels, Vec<Vec<Point>>>;

#[derive(Clone)]
struct Block {
    ulid: String,
    range: (Millis, Millis),
    level: u32,
    sources: Vec<String>,
    series: Series,
}

/// A server and the directory of its blocks.
struct Server<'d> {
    data: &'d Path,
    dice: Dice,
    blocks: Vec<Block>,
    made: u64,
    now: Millis,
}

/// One series in five is of histograms.
fn is_histogram(labels: &Labels) -> bool {
    labels.iter().any(|(_, value)| value == "metric-4")
}

fn encode(labels: &Labels, points: &[Point]) -> EncodedChunk {
    let layout = HistogramLayout {
        schema: 2,
        positive: vec![Span {
            offset: 1,
            length: 3,
        }],
        ..HistogramLayout::default()
    };
    let encoding = if is_histogram(labels) {
        Encoding::Histogram
    } else {
        Encoding::Xor
    };
    let mut encoder = ChunkEncoder::new(encoding).unwrap();
    for &(time, value) in points {
        let count = i64::try_from(value % 1000).unwrap();
        let buckets = [count, 1, -count];
        let sample = if is_histogram(labels) {
            Sample::Histogram(HistogramSample {
                time,
                start: 0,
                counter_reset: CounterReset::Gauge,
                layout: &layout,
                sum: (value as f64).to_bits(),
                count: value % 1000 * 2 + 2,
                zero_count: 0,
                positive: &buckets,
                negative: &[],
            })
        } else {
            Sample::Float(FloatSample {
                time,
                start: 0,
                bits: (value as f64).to_bits(),
            })
        };
        encoder.push(&sample).unwrap();
    }
    encoder.finish()
}

impl Server<'_> {
    /// Writes a block, and makes those it was made of disappear.
    fn put(&mut self, level: u32, range: (Millis, Millis), parents: &[Block], series: Series) {
        if series.is_empty() {
            self.remove(parents);
            return;
        }
        self.made += 1;
        // As far from one another as real ones, which are random.
        let random = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 10_000_000_000_000_000;
        let ulid = format!("01M9{:06}{random:016}", self.made);
        let mut sources: Vec<String> = parents
            .iter()
            .flat_map(|parent| parent.sources.clone())
            .collect();
        sources.sort();
        sources.dedup();
        if sources.is_empty() {
            sources.push(ulid.clone());
        }
        let parents_json: Vec<_> = parents
            .iter()
            .map(|parent| {
                serde_json::json!({"ulid": parent.ulid, "minTime": parent.range.0, "maxTime": parent.range.1})
            })
            .collect();
        let mut meta = serde_json::json!({
            "ulid": ulid, "minTime": range.0, "maxTime": range.1, "version": 1,
            "compaction": {"level": level, "sources": sources},
        });
        if !parents.is_empty() {
            meta["compaction"]["parents"] = parents_json.into();
        }
        let mut symbols: Vec<String> = series
            .keys()
            .flatten()
            .flat_map(|(name, value)| [name.clone(), value.clone()])
            .collect();
        symbols.sort();
        symbols.dedup();
        let place = |symbol: &String| {
            SymbolRef(u32::try_from(symbols.binary_search(symbol).unwrap()).unwrap())
        };
        let options = BlockOptions {
            generation: [Generation::Plain, Generation::LabelIndices][self.dice.roll(2) as usize],
            segment_limit: [4_000, 40_000, 1 << 29][self.dice.roll(3) as usize],
        };
        let meta = Meta::parse(meta.to_string().as_bytes()).unwrap();
        let mut writer = BlockWriter::create(self.data, meta, &symbols, options).unwrap();
        for (labels, chunks) in &series {
            let chunks: Vec<_> = chunks.iter().map(|points| encode(labels, points)).collect();
            let labels: Vec<_> = labels
                .iter()
                .map(|(name, value)| (place(name), place(value)))
                .collect();
            writer.add_series(&labels, &chunks).unwrap();
        }
        writer.finish().unwrap();
        self.remove(parents);
        self.blocks.push(Block {
            ulid,
            range,
            level,
            sources,
            series,
        });
        self.blocks.sort_by_key(|block| block.range);
    }

    fn remove(&mut self, gone: &[Block]) {
        for block in gone {
            fs::remove_dir_all(self.data.join(&block.ulid)).unwrap();
            self.blocks.retain(|known| known.ulid != block.ulid);
        }
    }

    /// Samples of a range, of some of the series there ever are.
    fn samples(&mut self, range: (Millis, Millis)) -> Series {
        let step = [500, 1000, 3700][self.dice.roll(3) as usize];
        let cut = [7, 30, 120][self.dice.roll(3) as usize];
        let mut series = Series::new();
        for number in 0..30u64 {
            if self.dice.one_in(4) {
                continue;
            }
            let mut labels = vec![("__name__".to_owned(), format!("metric-{}", number % 5))];
            if number % 7 != 0 {
                labels.push(("instance".to_owned(), format!("host-{number:02}")));
            }
            // Pods come and go.
            let life = self.now / SPAN / 3 + i64::from(number % 2 == 0);
            labels.push(("pod".to_owned(), format!("pod-{number}-{life}")));
            let offset = self.dice.roll(400) as i64;
            let times = (range.0 + offset..range.1).step_by(step);
            let skipped = self.dice.roll(10);
            let times = times.filter(|time| *time as u64 / 10_000 % 10 != skipped);
            let flat = self.dice.one_in(3);
            let points: Vec<Point> = times
                .map(|time| {
                    (
                        time,
                        if flat {
                            3
                        } else {
                            time as u64 / 77 % 1013 + number
                        },
                    )
                })
                .collect();
            if !points.is_empty() {
                series.insert(labels, points.chunks(cut).map(<[_]>::to_vec).collect());
            }
        }
        series
    }

    fn scrape(&mut self) {
        let range = (self.now, self.now + SPAN);
        self.now += SPAN;
        let series = self.samples(range);
        self.put(1, range, &[], series);
    }

    /// Samples that came out of order make a block beside those there are.
    fn scrape_late(&mut self) {
        let Some(block) = self.pick() else { return };
        let series = self.samples(block.range);
        self.put(1, block.range, &[], series);
    }

    fn pick(&mut self) -> Option<Block> {
        let count = self.blocks.len() as u64;
        (count > 0).then(|| self.blocks[self.dice.roll(count) as usize].clone())
    }

    /// Merges blocks that follow one another or overlap, as Prometheus does: chunks that overlap
    /// are cut anew, others stay.
    fn compact(&mut self) {
        let Some(first) = self.pick() else { return };
        let count = 2 + self.dice.roll(2) as usize;
        let at = self
            .blocks
            .iter()
            .position(|block| block.ulid == first.ulid)
            .unwrap();
        let parents: Vec<Block> = self.blocks[at..].iter().take(count).cloned().collect();
        let mut all: BTreeMap<Labels, Vec<Vec<Point>>> = BTreeMap::new();
        for (labels, chunks) in parents.iter().flat_map(|parent| &parent.series) {
            all.entry(labels.clone())
                .or_default()
                .extend(chunks.clone());
        }
        for chunks in all.values_mut() {
            chunks.sort_by_key(|points| points[0].0);
            let mut merged: Vec<Vec<Point>> = Vec::new();
            let mut end = Millis::MIN;
            let mut overlapping: Vec<Vec<Point>> = Vec::new();
            for points in std::mem::take(chunks) {
                if points[0].0 > end {
                    flush(&mut overlapping, &mut merged);
                }
                end = end.max(points[points.len() - 1].0);
                overlapping.push(points);
            }
            flush(&mut overlapping, &mut merged);
            *chunks = merged;
        }
        let range = (
            parents.iter().map(|parent| parent.range.0).min().unwrap(),
            parents.iter().map(|parent| parent.range.1).max().unwrap(),
        );
        let level = parents.iter().map(|parent| parent.level).max().unwrap() + 1;
        self.put(level, range, &parents, all);
    }

    /// Rewrites a block without what tombstones cover.
    fn delete(&mut self) {
        let Some(block) = self.pick() else { return };
        let mut series = block.series.clone();
        let number = self.dice.roll(30);
        let (gone, since) = (format!("metric-{}", number % 5), block.range.0 + SPAN / 3);
        let whole = self.dice.one_in(2);
        series.retain(|labels, chunks| {
            if labels[0].1 == gone {
                for points in chunks.iter_mut() {
                    points.retain(|(time, _)| !whole && !(since..since + SPAN / 5).contains(time));
                }
                chunks.retain(|points| !points.is_empty());
            }
            !chunks.is_empty()
        });
        self.put(block.level, block.range, &[block], series);
    }

    fn live(&mut self) {
        self.scrape();
        for _ in 0..3 + self.dice.roll(4) {
            match self.dice.roll(8) {
                0 | 1 => self.scrape(),
                2 => self.scrape_late(),
                3..=5 => self.compact(),
                6 => self.delete(),
                _ => {
                    let gone = self
                        .blocks
                        .first()
                        .filter(|_| self.blocks.len() > 3)
                        .cloned();
                    self.remove(gone.as_slice());
                }
            }
        }
    }
}

/// Puts chunks that overlap one another behind `merged`: one that overlaps none as it is.
fn flush(overlapping: &mut Vec<Vec<Point>>, merged: &mut Vec<Vec<Point>>) {
    let chunks = std::mem::take(overlapping);
    if chunks.len() <= 1 {
        merged.extend(chunks);
        return;
    }
    // Where two have a sample of one time, the first has its way.
    let mut points: BTreeMap<Millis, u64> = BTreeMap::new();
    for (time, value) in chunks.into_iter().flatten() {
        points.entry(time).or_insert(value);
    }
    let points: Vec<Point> = points.into_iter().collect();
    merged.extend(points.chunks(120).map(<[_]>::to_vec));
}

/// Lives through some nights, and says how many blocks were spliced.
fn live_through(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    let mut server = Server {
        data: &data,
        dice: Dice(seed),
        blocks: Vec::new(),
        made: 0,
        now: 1_700_000_000_000 / SPAN * SPAN,
    };
    let backup = ["backup", "data", "--repo", "repo", "--force", "--json"];
    let mut archives = BTreeMap::new();
    for _ in 0..NIGHTS {
        server.live();
        if server.dice.one_in(3) {
            let _ = fs::remove_dir_all(dir.path().join("cache"));
        }
        let mut ran = narthex(dir.path(), &backup);
        if server.dice.one_in(3) {
            // A run that died before its manifest was there; and perhaps life goes on.
            let id = ran.json()["id"].as_str().unwrap().to_owned();
            forget(&dir.path().join("repo/archives"), &id);
            // Nor does the machine remember one.
            for (name, _) in tree(&dir.path().join("cache")) {
                if name.ends_with("manifests.json") {
                    fs::remove_file(dir.path().join("cache").join(name)).unwrap();
                }
            }
            if server.dice.one_in(2) {
                server.live();
            }
            ran = narthex(dir.path(), &backup);
        }
        assert_eq!(ran.code, 0, "seed {seed}: {}{}", ran.out, ran.err);
        let id = ran.json()["id"].as_str().unwrap().to_owned();
        archives.insert(id, tree(&data));
    }
    for (id, wanted) in &archives {
        let target = format!("back-{id}");
        let ran = narthex(
            dir.path(),
            &["restore", id, "--repo", "repo", "--target", &target],
        );
        assert_eq!(ran.code, 0, "seed {seed}: {}", ran.err);
        let back = tree(&dir.path().join(target));
        assert!(back == *wanted, "seed {seed}, archive {id}");
    }
    let check = narthex(dir.path(), &["check", "--repo", "repo", "--read-data"]);
    assert_eq!(check.code, 0, "seed {seed}: {}{}", check.out, check.err);
    let manifests = tree(&dir.path().join("repo/archives"));
    let blocks = manifests.values().flat_map(|manifest| {
        let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        manifest["blocks"].as_array().unwrap().clone()
    });
    let packs = blocks.map(|block| block["packs"].as_array().map_or(0, Vec::len));
    packs.filter(|packs| *packs > 1).count()
}

/// Removes the manifest of an archive.
fn forget(archives: &Path, id: &str) {
    for entry in fs::read_dir(archives).unwrap() {
        let path = entry.unwrap().path();
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        if manifest["id"] == id {
            fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn whatever_compaction_makes_of_blocks_each_archive_comes_back() {
    let asked = std::env::var("PROPTEST_CASES");
    let servers = asked.map_or(SERVERS, |asked| asked.parse().unwrap());
    let spliced: usize = (0..servers).map(live_through).sum();
    assert!(spliced > 0, "blocks of several packs");
}
