//! What is said of all blocks together, of each, and of kinds of bytes.

use super::percent;
use crate::capacity::{Analysis, AnalysisTotals, BlockRow, ByteKind};
use crate::inspect::FULL_CHUNK;
use crate::report::{Column, Extent, InJson, Rows, Sheet, Unit, Value, ratio};

/// What is said of all blocks together.
pub(in crate::report) static SUMMARY: Sheet<Analysis, AnalysisTotals> = Sheet {
    name: "summary",
    title: "Everything",
    row: "analysis",
    json: InJson::Object("summary"),
    rows: |analysis, _| Rows::one(analysis.totals()),
    columns: &[
        Column {
            key: "blocks",
            heading: "blocks",
            unit: Unit::Count,
            weight: 9,
            explanation: "Number of blocks that were analysed.",
            value: |t| Value::Count(t.blocks),
        },
        Column {
            key: "unreadable",
            heading: "… unreadable",
            unit: Unit::Count,
            weight: 5,
            explanation: "Further blocks that could not be read: nothing of them is in any other number.",
            value: |t| Value::Count(t.unreadable),
        },
        Column {
            key: "overlapping",
            heading: "… overlapping",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that begin before an earlier one of the same resolution, shard and tenant ends: their samples may count twice.",
            value: |t| Value::Count(t.overlapping),
        },
        Column {
            key: "superseded",
            heading: "… superseded",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that another one was compacted from and holds all of: what they hold counts twice.",
            value: |t| Value::Count(t.superseded),
        },
        Column {
            key: "min_time",
            heading: "min time",
            unit: Unit::Time,
            weight: 5,
            explanation: "Start of the earliest block.",
            value: |t| t.min_time.map_or(Value::None, Value::Time),
        },
        Column {
            key: "max_time",
            heading: "max time",
            unit: Unit::Time,
            weight: 5,
            explanation: "End of the latest block, exclusive.",
            value: |t| t.max_time.map_or(Value::None, Value::Time),
        },
        Column {
            key: "duration",
            heading: "duration",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Length of the blocks' ranges together.",
            value: |t| i64::try_from(t.block_time).map_or(Value::None, Value::Duration),
        },
        Column {
            key: "series",
            heading: "series",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different series that were asked for.",
            value: |t| Value::Count(t.series),
        },
        Column {
            key: "series_entries",
            heading: "… entries",
            unit: Unit::Count,
            weight: 5,
            explanation: "Entries of such series in indexes: one for each block a series is in.",
            value: |t| Value::Count(t.series_entries),
        },
        Column {
            key: "series_left_out",
            heading: "… left out",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series entries that were not asked for.",
            value: |t| Value::Count(t.left_out),
        },
        Column {
            key: "one_sample_series",
            heading: "… of one sample",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series entries with one sample.",
            value: |t| Value::Count(t.one_sample),
        },
        Column {
            key: "chunks",
            heading: "chunks",
            unit: Unit::Count,
            weight: 5,
            explanation: "Chunks that were asked for.",
            value: |t| Value::Count(t.chunks),
        },
        Column {
            key: "samples",
            heading: "samples",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples in these chunks, as their headers say.",
            value: |t| Value::Count(t.samples),
        },
        Column {
            key: "scrape_interval",
            heading: "scrape interval",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The distance most samples have in their chunk: a guess.",
            value: |t| {
                if t.interval == 0 {
                    Value::None
                } else {
                    Value::Duration(t.interval)
                }
            },
        },
        Column {
            key: "bytes",
            heading: "bytes",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all files of the blocks.",
            value: |t| Value::Bytes(t.bytes),
        },
        Column {
            key: "index_bytes",
            heading: "… indexes",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the indexes.",
            value: |t| Value::Bytes(t.index_bytes),
        },
        Column {
            key: "chunk_bytes",
            heading: "… segments",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the segments.",
            value: |t| Value::Bytes(t.chunk_bytes),
        },
        Column {
            key: "bytes_per_sample",
            heading: "bytes/sample",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes of all files for each sample.",
            value: |t| ratio(t.bytes, t.samples),
        },
        Column {
            key: "chunk_bytes_per_sample",
            heading: "… of segments",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes of segments for each sample.",
            value: |t| ratio(t.chunk_bytes, t.samples),
        },
        Column {
            key: "bits_per_timestamp",
            heading: "bits/timestamp",
            unit: Unit::Bits,
            weight: 5,
            explanation: "Bits of a timestamp, on average, in chunks of encoding XOR; with --extended.",
            value: |t| ratio(t.bits.time, t.bits.samples),
        },
        Column {
            key: "bits_per_value",
            heading: "bits/value",
            unit: Unit::Bits,
            weight: 5,
            explanation: "Bits of a value, on average, in chunks of encoding XOR, padding at a chunk's end included; with --extended.",
            value: |t| ratio(t.bits.value, t.bits.samples),
        },
        Column {
            key: "full_chunks",
            heading: "full chunks, %",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Share of float chunks with 120 samples or more.",
            value: |t| percent(t.full_chunks, t.float_chunks),
        },
        Column {
            key: "fullness",
            heading: "fullness, %",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Samples of an average float chunk, as a share of 120.",
            value: |t| percent(t.float_samples, t.float_chunks.saturating_mul(FULL_CHUNK)),
        },
        Column {
            key: "label_names",
            heading: "label names",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different label names of these series.",
            value: |t| Value::Count(t.label_names),
        },
        Column {
            key: "label_pairs",
            heading: "label pairs",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different label pairs of these series: postings lists.",
            value: |t| Value::Count(t.label_pairs),
        },
        Column {
            key: "postings_entries",
            heading: "postings",
            unit: Unit::Count,
            weight: 5,
            explanation: "Labels of all series entries together: entries of these lists.",
            value: |t| Value::Count(t.postings),
        },
        Column {
            key: "faults",
            heading: "faults",
            unit: Unit::Count,
            weight: 5,
            explanation: "Parts that could not be read; narthex verify says more.",
            value: |t| Value::Count(t.faults),
        },
    ],
};

/// One row for each block.
pub(in crate::report) static BLOCKS: Sheet<Analysis, BlockRow> = Sheet {
    name: "block",
    title: "Blocks",
    row: "block",
    json: InJson::List("blocks"),
    rows: blocks,
    columns: &[
        Column {
            key: "ulid",
            heading: "BLOCK",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the block.",
            value: |b| Value::text(b.ulid.to_string()),
        },
        Column {
            key: "path",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "The block's directory.",
            value: |b| Value::text(b.dir.display().to_string()),
        },
        Column {
            key: "min_time",
            heading: "MIN TIME",
            unit: Unit::Time,
            weight: 6,
            explanation: "Start of its range.",
            value: |b| Value::Time(b.min_time),
        },
        Column {
            key: "max_time",
            heading: "MAX TIME",
            unit: Unit::Time,
            weight: 6,
            explanation: "End of its range, exclusive.",
            value: |b| Value::Time(b.max_time),
        },
        Column {
            key: "level",
            heading: "LEVEL",
            unit: Unit::Count,
            weight: 5,
            explanation: "Compaction level.",
            value: |b| u64::try_from(b.level).map_or(Value::None, Value::Count),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Series that were asked for.",
            value: |b| Value::Count(b.series),
        },
        Column {
            key: "chunks",
            heading: "CHUNKS",
            unit: Unit::Count,
            weight: 3,
            explanation: "Their chunks.",
            value: |b| Value::Count(b.chunks),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Samples in these chunks.",
            value: |b| Value::Count(b.samples),
        },
        Column {
            key: "index_bytes",
            heading: "INDEX",
            unit: Unit::Bytes,
            weight: 4,
            explanation: "Size of the index.",
            value: |b| Value::Bytes(b.index_bytes),
        },
        Column {
            key: "chunk_bytes",
            heading: "SEGMENTS",
            unit: Unit::Bytes,
            weight: 4,
            explanation: "Size of the segments.",
            value: |b| Value::Bytes(b.chunk_bytes),
        },
        Column {
            key: "bytes",
            heading: "BYTES",
            unit: Unit::Bytes,
            weight: 8,
            explanation: "Size of all its files.",
            value: |b| Value::Bytes(b.bytes()),
        },
        Column {
            key: "bytes_per_sample",
            heading: "B/SAMPLE",
            unit: Unit::BytesPerSample,
            weight: 4,
            explanation: "Bytes of all its files for each sample.",
            value: |b| ratio(b.bytes(), b.samples),
        },
        Column {
            key: "faults",
            heading: "FAULTS",
            unit: Unit::Count,
            weight: 8,
            explanation: "Parts that could not be read.",
            value: |b| Value::Count(b.faults),
        },
    ],
};

/// One row for each kind of bytes, with the bytes of all.
pub(in crate::report) static PARTS: Sheet<Analysis, (ByteKind, u64)> = Sheet {
    name: "part",
    title: "Bytes by kind",
    row: "kind of bytes",
    json: InJson::List("parts"),
    rows: parts,
    columns: &[
        Column {
            key: "file",
            heading: "FILE",
            unit: Unit::None,
            weight: 9,
            explanation: "The file it is in.",
            value: |(p, _)| Value::text(p.file),
        },
        Column {
            key: "part",
            heading: "PART",
            unit: Unit::None,
            weight: 9,
            explanation: "What it is; of index, the section.",
            value: |(p, _)| Value::text(p.name),
        },
        Column {
            key: "bytes",
            heading: "BYTES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of this kind in all blocks.",
            value: |(p, _)| Value::Bytes(p.bytes),
        },
        Column {
            key: "share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Its share of all files.",
            value: |(p, all)| percent(p.bytes, *all),
        },
    ],
};

/// Blocks, unless there is one: then the summary says the same.
fn blocks(analysis: &Analysis, extent: Extent) -> Rows<'_, BlockRow> {
    match &*analysis.blocks {
        [_] if matches!(extent, Extent::Glance(_)) => Rows::none(),
        blocks => Rows::of(blocks),
    }
}

/// Kinds of bytes that there are, each with the bytes of all.
fn parts(analysis: &Analysis, _: Extent) -> Rows<'_, (ByteKind, u64)> {
    let all = analysis.totals().bytes;
    let parts = analysis.parts().iter().filter(|part| part.bytes > 0);
    Rows::made(parts.map(|part| (part.clone(), all)).collect())
}
