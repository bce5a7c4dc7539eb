//! `narthex analyze`: every number held against one that is counted slowly, from decoded entries
//! and file sizes.

mod command;
mod damage;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use narthex::block::Block;
use narthex::capacity::{
    Analysis, AnalyzeOptions, Analyzer, Costs, GroupRow, Rank, What, for_each_series,
};
use narthex::chunk::{Encoding, Tail, decode, promised_samples};
use narthex::index::{LabelIndex, Postings, Series};
use narthex::inspect::Faults;
use narthex::model::{ChunkMeta, Labels};
use narthex::raw::ReadMode;
use narthex::select::Selection;
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

fn analyse(dirs: &[PathBuf], options: AnalyzeOptions) -> Analysis {
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

fn sum(groups: &[GroupRow]) -> u64 {
    groups.iter().map(GroupRow::bytes).sum()
}

fn value(group: &GroupRow) -> Option<&str> {
    match &group.what {
        What::Value(value) => Some(value),
        What::Others(_) | What::Without | What::NotSelected | What::Shared => None,
    }
}
