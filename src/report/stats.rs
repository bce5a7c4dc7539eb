//! Reports about what a repository consists of.

use super::{Column, Value, ratio};
use crate::dense::{CodecStats, PartStats, Stats};

/// The repository as a whole.
pub const TOTALS: &[Column<Stats>] = &[
    Column {
        key: "archives",
        heading: "archives",
        explanation: "Number of archives.",
        value: |s| Value::Count(s.archives),
    },
    Column {
        key: "logical_bytes",
        heading: "logical",
        explanation: "Size of the files of all archives, as often as archives hold them.",
        value: |s| Value::Bytes(s.logical_bytes),
    },
    Column {
        key: "raw_bytes",
        heading: "distinct",
        explanation: "Size of all these files, each counted once.",
        value: |s| Value::Bytes(sum(s, |codec| codec.raw_bytes)),
    },
    Column {
        key: "stored_bytes",
        heading: "stored",
        explanation: "Size of the objects that hold them.",
        value: |s| Value::Bytes(sum(s, |codec| codec.stored_bytes)),
    },
    Column {
        key: "ratio",
        heading: "ratio",
        explanation: "Logical bytes for each byte stored.",
        value: |s| ratio(s.logical_bytes, sum(s, |codec| codec.stored_bytes)),
    },
];

/// One row for each codec.
pub const CODECS: &[Column<CodecStats>] = &[
    Column {
        key: "codec",
        heading: "CODEC",
        explanation: "How blocks are stored: dense, portable; wal for logs.",
        value: |c| Value::text(&c.codec),
    },
    Column {
        key: "items",
        heading: "ITEMS",
        explanation: "Distinct blocks, or logs.",
        value: |c| Value::Count(c.items),
    },
    Column {
        key: "raw_bytes",
        heading: "SIZE",
        explanation: "Size of their files, each counted once.",
        value: |c| Value::Bytes(c.raw_bytes),
    },
    Column {
        key: "stored_bytes",
        heading: "STORED",
        explanation: "Size of the objects that hold them.",
        value: |c| Value::Bytes(c.stored_bytes),
    },
    Column {
        key: "ratio",
        heading: "RATIO",
        explanation: "Bytes of files for each byte stored.",
        value: |c| ratio(c.raw_bytes, c.stored_bytes),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        explanation: "Samples in them.",
        value: |c| Value::Count(c.samples),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        explanation: "Bytes stored for each sample.",
        value: |c| ratio(c.stored_bytes, c.samples),
    },
];

/// One row for each kind of column in packs.
pub const PARTS: &[Column<PartStats>] = &[
    Column {
        key: "part",
        heading: "IN PACKS",
        explanation: "What the bytes are: residuals of predictions, label sets, timelines and so on (docs/pack-format.md).",
        value: |p| Value::text(p.name),
    },
    Column {
        key: "bytes",
        heading: "BYTES",
        explanation: "Bytes it takes in all packs.",
        value: |p| Value::Bytes(p.bytes),
    },
    Column {
        key: "share",
        heading: "SHARE %",
        explanation: "Its share of all packs, in percent.",
        value: |p| ratio(p.bytes * 100, p.of_bytes),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        explanation: "Bytes for each sample in the packs.",
        value: |p| ratio(p.bytes, p.of_samples),
    },
];

fn sum(stats: &Stats, of: fn(&CodecStats) -> u64) -> u64 {
    stats.codecs.iter().map(of).fold(0, u64::saturating_add)
}
