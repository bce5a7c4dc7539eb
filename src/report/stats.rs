//! Reports about what a repository consists of.

use super::{Column, InJson, Rows, Sheet, SheetOf, Unit, Value, ratio};
use crate::dense::{CodecStats, DenseStats, PartStats};
use crate::statistics::{Sum, SumRow};

/// The repository as a whole.
pub static TOTALS: Sheet<DenseStats, DenseStats> = Sheet {
    name: "total",
    title: "The repository as a whole",
    row: "repository",
    json: InJson::Object("totals"),
    rows: |stats, _| Rows::one(stats),
    columns: &[
        Column {
            key: "archives",
            heading: "archives",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of archives.",
            value: |s| Value::Count(s.archives),
        },
        Column {
            key: "logical_bytes",
            heading: "logical",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the files of all archives, as often as archives hold them.",
            value: |s| Value::Bytes(s.logical_bytes),
        },
        Column {
            key: "raw_bytes",
            heading: "distinct",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all these files, each counted once.",
            value: |s| Value::Bytes(sum(s, |codec| codec.raw_bytes)),
        },
        Column {
            key: "stored_bytes",
            heading: "stored",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the objects that hold them.",
            value: |s| Value::Bytes(sum(s, |codec| codec.stored_bytes)),
        },
        Column {
            key: "ratio",
            heading: "ratio",
            unit: Unit::Ratio,
            weight: 5,
            explanation: "Logical bytes for each byte stored.",
            value: |s| ratio(s.logical_bytes, sum(s, |codec| codec.stored_bytes)),
        },
    ],
};

/// One row for each codec.
pub static CODECS: Sheet<DenseStats, CodecStats> = Sheet {
    name: "codec",
    title: "Codecs",
    row: "codec",
    json: InJson::List("codecs"),
    rows: |stats, _| Rows::of(&stats.codecs),
    columns: &[
        Column {
            key: "codec",
            heading: "CODEC",
            unit: Unit::None,
            weight: 9,
            explanation: "How blocks are stored: dense, portable; wal for logs.",
            value: |c| Value::text(&c.codec),
        },
        Column {
            key: "items",
            heading: "ITEMS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Distinct blocks, or objects of logs.",
            value: |c| Value::Count(c.items),
        },
        Column {
            key: "raw_bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of their files, each counted once.",
            value: |c| Value::Bytes(c.raw_bytes),
        },
        Column {
            key: "stored_bytes",
            heading: "STORED",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the objects that hold them.",
            value: |c| Value::Bytes(c.stored_bytes),
        },
        Column {
            key: "ratio",
            heading: "RATIO",
            unit: Unit::Ratio,
            weight: 5,
            explanation: "Bytes of files for each byte stored.",
            value: |c| ratio(c.raw_bytes, c.stored_bytes),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples in them.",
            value: |c| Value::Count(c.samples),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes stored for each sample.",
            value: |c| ratio(c.stored_bytes, c.samples),
        },
    ],
};

/// One row for each kind of column in packs.
pub static PARTS: Sheet<DenseStats, PartStats> = Sheet {
    name: "part",
    title: "What is in packs",
    row: "kind of column in packs",
    json: InJson::List("parts"),
    rows: |stats, _| Rows::of(&stats.parts),
    columns: &[
        Column {
            key: "part",
            heading: "IN PACKS",
            unit: Unit::None,
            weight: 9,
            explanation: "What the bytes are: residuals of predictions, label sets, timelines and so on (docs/pack-format.md).",
            value: |p| Value::text(p.name),
        },
        Column {
            key: "bytes",
            heading: "BYTES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes it takes in all packs.",
            value: |p| Value::Bytes(p.bytes),
        },
        Column {
            key: "share",
            heading: "SHARE %",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Its share of all packs, in percent.",
            value: |p| ratio(p.bytes * 100, p.of_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes for each sample in the packs.",
            value: |p| ratio(p.bytes, p.of_samples),
        },
    ],
};

/// The sheets of a repository, in the order of its JSON.
pub const SHEETS: &[&dyn SheetOf<DenseStats>] = &[&TOTALS, &CODECS, &PARTS];

/// The sheets of an archive by metric, job, or both, in the order of the JSON.
pub const SHEETS_BY_GROUP: &[&dyn SheetOf<Sum>] = &[&ROW_TOTALS, &ROWS];

fn sum(stats: &DenseStats, of: fn(&CodecStats) -> u64) -> u64 {
    stats.codecs.iter().map(of).fold(0, u64::saturating_add)
}

/// One row for each metric, job, or both, of an archive.
pub static ROWS: Sheet<Sum, SumRow> = Sheet {
    name: "row",
    title: "With `--by`: jobs and metrics",
    row: "metric, job, or both",
    json: InJson::List("rows"),
    rows: |sum, extent| Rows::first(&sum.rows, extent),
    columns: &[
        Column {
            key: "job",
            heading: "JOB",
            unit: Unit::None,
            weight: 9,
            explanation: "Value of the label `job`; null where there is none, or jobs are put together.",
            value: |r| name(r.job.as_deref()),
        },
        Column {
            key: "metric",
            heading: "METRIC",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the metric; null where there is none, or metrics are put together.",
            value: |r| name(r.metric.as_deref()),
        },
        Column {
            key: "blocks",
            heading: "BLOCKS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Blocks in which it is among the largest, so that they say how much there is of it.",
            value: |r| Value::Count(r.blocks),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 6,
            explanation: "The most series in one of these blocks.",
            value: |r| Value::Count(r.most_series),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Samples in these blocks, deleted ones included; those that two blocks hold count twice.",
            value: |r| Value::Count(r.amounts.samples),
        },
        Column {
            key: "chunk_bytes",
            heading: "CHUNKS",
            unit: Unit::Bytes,
            weight: 8,
            explanation: "Size of their chunk records: length, encoding, data, checksum.",
            value: |r| Value::Bytes(r.amounts.chunk_bytes),
        },
        Column {
            key: "entry_bytes",
            heading: "INDEX ENTRIES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of their series entries in the index, without padding; symbols and postings are no metric's own.",
            value: |r| Value::Bytes(r.amounts.entry_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 4,
            explanation: "Bytes of chunks and entries per sample.",
            value: |r| ratio(r.amounts.bytes(), r.amounts.samples),
        },
    ],
};

/// All rows together.
pub static ROW_TOTALS: Sheet<Sum, Sum> = Sheet {
    name: "row-total",
    title: "With `--by`: all rows together",
    row: "archive",
    json: InJson::Object("totals"),
    rows: |sum, _| Rows::one(sum),
    columns: &[
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 9,
            explanation: "Blocks with statistics.",
            value: |s| Value::Count(s.blocks),
        },
        Column {
            key: "blocks_without",
            heading: "blocks without",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that were stored without statistics, or whose statistics cannot be read: nothing of them is in rows and totals.",
            value: |s| Value::Count(s.without + s.damaged.len() as u64),
        },
        Column {
            key: "samples",
            heading: "samples",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples in these blocks.",
            value: |s| Value::Count(s.totals.samples),
        },
        Column {
            key: "chunk_bytes",
            heading: "chunks",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all chunk records.",
            value: |s| Value::Bytes(s.totals.chunk_bytes),
        },
        Column {
            key: "entry_bytes",
            heading: "series entries",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all series entries.",
            value: |s| Value::Bytes(s.totals.entry_bytes),
        },
        Column {
            key: "rest_samples",
            heading: "samples in no row",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of what is not among the largest of its block: they are in the totals and in no row.",
            value: |s| Value::Count(s.rest.samples),
        },
        Column {
            key: "rest_chunk_bytes",
            heading: "chunks in no row",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of their chunk records.",
            value: |s| Value::Bytes(s.rest.chunk_bytes),
        },
        Column {
            key: "rest_entry_bytes",
            heading: "entries in no row",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of their series entries.",
            value: |s| Value::Bytes(s.rest.entry_bytes),
        },
    ],
};

fn name(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::None, |bytes| {
        Value::text(String::from_utf8_lossy(bytes))
    })
}
