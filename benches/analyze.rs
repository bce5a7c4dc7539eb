//! How fast is an analysis of a million series with ten labels each?
//!
//!     cargo bench --bench analyze -- DIR
//!
//! writes such a block to DIR, unless one is there, and analyses it; `benches/rivals.py --only
//! analyze` lets others do it, too.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench on a block that cannot be written says nothing, and the others print"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use narthex::block::{
    Block, BlockOptions, BlockStats, BlockWriter, Compaction, META_VERSION, Meta,
};
use narthex::capacity::{AnalyzeOptions, Analyzer};
use narthex::chunk::Encoding;
use narthex::chunk::encode::ChunkEncoder;
use narthex::index::SymbolRef;
use narthex::model::{FloatSample, Sample, Ulid};
use narthex::raw::ReadMode;

const ULID: &str = "01M7ZTB71NJ67GWWE5SXTVHFTH";
const START: i64 = 1_795_284_000_000;
/// What each pod has: metrics, each with codes and methods.
const METRICS: u32 = 10;
const CODES: u32 = 5;
const METHODS: u32 = 4;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let dir = arguments
        .iter()
        .find(|argument| !argument.starts_with("--"));
    let scratch = tempfile::tempdir().unwrap();
    // Without a directory, and in tests, a small one will do.
    let (dir, pods) = match dir {
        Some(dir) => (PathBuf::from(dir), 5000),
        None => (scratch.path().to_owned(), 50),
    };
    let block = dir.join(ULID);
    if !block.exists() {
        write(&dir, pods);
    }
    let began = Instant::now();
    let block = Block::open(&block, ReadMode::Map).unwrap();
    let mut analyzer = Analyzer::new(AnalyzeOptions::default());
    analyzer.add(&block).unwrap();
    let analysis = analyzer.finish();
    let series = analysis.totals().series;
    assert_eq!(series, u64::from(pods * METRICS * CODES * METHODS));
    println!("{series} series: {:.3} s", began.elapsed().as_secs_f64());
}

/// The ten labels of a series; sorted by name.
fn labels(pod: u32, metric: u32, code: u32, method: u32) -> [(&'static str, String); 10] {
    let hash = pod.wrapping_mul(0x9e37_79b1);
    [
        ("__name__", format!("http_server_{metric:03}_total")),
        ("cluster", "eu-west-1".to_owned()),
        ("code", format!("{}", 200 + code * 100)),
        (
            "instance",
            format!("10.{}.{}.{}:9090", pod >> 16, pod >> 8 & 255, pod & 255),
        ),
        ("job", format!("prod/service-{:02}", pod % 20)),
        ("method", format!("method-{method}")),
        ("namespace", format!("team-{:02}", pod % 40)),
        ("node", format!("node-{:03}.internal", pod % 250)),
        ("pod", format!("service-{:02}-{hash:08x}", pod % 20)),
        ("zone", format!("zone-{}", pod % 3)),
    ]
}

fn write(dir: &Path, pods: u32) {
    std::fs::create_dir_all(dir).unwrap();
    let mut all = Vec::new();
    for pod in 0..pods {
        for metric in 0..METRICS {
            for code in 0..CODES {
                all.extend((0..METHODS).map(|method| (pod, metric, code, method)));
            }
        }
    }
    let mut strings = BTreeSet::from([String::new()]);
    for (pod, metric, code, method) in &all {
        for (name, value) in labels(*pod, *metric, *code, *method) {
            strings.insert(name.to_owned());
            strings.insert(value);
        }
    }
    let symbols: Vec<String> = strings.into_iter().collect();
    let refer = |string: &str| {
        let found = symbols.binary_search_by(|symbol| symbol.as_str().cmp(string));
        SymbolRef(u32::try_from(found.unwrap()).unwrap())
    };
    let mut series: Vec<Vec<(SymbolRef, SymbolRef)>> = all
        .iter()
        .map(|(pod, metric, code, method)| {
            let labels = labels(*pod, *metric, *code, *method);
            let pair = |(name, value): &(&str, String)| (refer(name), refer(value));
            labels.iter().map(pair).collect()
        })
        .collect();
    series.sort();
    let ulid: Ulid = ULID.parse().unwrap();
    let meta = Meta {
        ulid,
        min_time: START,
        max_time: START + 7_200_000,
        stats: BlockStats::default(),
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: serde_json::Map::new(),
    };
    let mut writer = BlockWriter::create(dir, meta, &symbols, BlockOptions::default()).unwrap();
    for (number, labels) in (0i64..).zip(&series) {
        let mut encoder = ChunkEncoder::new(Encoding::Xor).unwrap();
        for time in [START + number % 15_000, START + 7_000_000 + number % 15_000] {
            let bits = (number as f64).to_bits();
            let sample = FloatSample {
                time,
                start: 0,
                bits,
            };
            encoder.push(&Sample::Float(sample)).unwrap();
        }
        writer.add_series(labels, &[encoder.finish()]).unwrap();
    }
    writer.finish().unwrap();
}
