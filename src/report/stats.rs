//! Reports about what a repository consists of.

use super::{Column, Unit, Value, ratio};
use crate::dense::{CodecStats, PartStats, Stats};

/// The repository as a whole.
pub const TOTALS: &[Column<Stats>] = &[
    Column {
        key: "archives",
        heading: "archives",
        unit: Unit::Count,
        explanation: "Number of archives.",
        value: |s| Value::Count(s.archives),
    },
    Column {
        key: "logical_bytes",
        heading: "logical",
        unit: Unit::Bytes,
        explanation: "Size of the files of all archives, as often as archives hold them.",
        value: |s| Value::Bytes(s.logical_bytes),
    },
    Column {
        key: "raw_bytes",
        heading: "distinct",
        unit: Unit::Bytes,
        explanation: "Size of all these files, each counted once.",
        value: |s| Value::Bytes(sum(s, |codec| codec.raw_bytes)),
    },
    Column {
        key: "stored_bytes",
        heading: "stored",
        unit: Unit::Bytes,
        explanation: "Size of the objects that hold them.",
        value: |s| Value::Bytes(sum(s, |codec| codec.stored_bytes)),
    },
    Column {
        key: "ratio",
        heading: "ratio",
        unit: Unit::Ratio,
        explanation: "Logical bytes for each byte stored.",
        value: |s| ratio(s.logical_bytes, sum(s, |codec| codec.stored_bytes)),
    },
];

/// One row for each codec.
pub const CODECS: &[Column<CodecStats>] = &[
    Column {
        key: "codec",
        heading: "CODEC",
        unit: Unit::None,
        explanation: "How blocks are stored: dense, portable; wal for logs.",
        value: |c| Value::text(&c.codec),
    },
    Column {
        key: "items",
        heading: "ITEMS",
        unit: Unit::Count,
        explanation: "Distinct blocks, or logs.",
        value: |c| Value::Count(c.items),
    },
    Column {
        key: "raw_bytes",
        heading: "SIZE",
        unit: Unit::Bytes,
        explanation: "Size of their files, each counted once.",
        value: |c| Value::Bytes(c.raw_bytes),
    },
    Column {
        key: "stored_bytes",
        heading: "STORED",
        unit: Unit::Bytes,
        explanation: "Size of the objects that hold them.",
        value: |c| Value::Bytes(c.stored_bytes),
    },
    Column {
        key: "ratio",
        heading: "RATIO",
        unit: Unit::Ratio,
        explanation: "Bytes of files for each byte stored.",
        value: |c| ratio(c.raw_bytes, c.stored_bytes),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        explanation: "Samples in them.",
        value: |c| Value::Count(c.samples),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        explanation: "Bytes stored for each sample.",
        value: |c| ratio(c.stored_bytes, c.samples),
    },
];

/// One row for each kind of column in packs.
pub const PARTS: &[Column<PartStats>] = &[
    Column {
        key: "part",
        heading: "IN PACKS",
        unit: Unit::None,
        explanation: "What the bytes are: residuals of predictions, label sets, timelines and so on (docs/pack-format.md).",
        value: |p| Value::text(p.name),
    },
    Column {
        key: "bytes",
        heading: "BYTES",
        unit: Unit::Bytes,
        explanation: "Bytes it takes in all packs.",
        value: |p| Value::Bytes(p.bytes),
    },
    Column {
        key: "share",
        heading: "SHARE %",
        unit: Unit::Percent,
        explanation: "Its share of all packs, in percent.",
        value: |p| ratio(p.bytes * 100, p.of_bytes),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        explanation: "Bytes for each sample in the packs.",
        value: |p| ratio(p.bytes, p.of_samples),
    },
];

fn sum(stats: &Stats, of: fn(&CodecStats) -> u64) -> u64 {
    stats.codecs.iter().map(of).fold(0, u64::saturating_add)
}
