//! What is said of a block, and of each of its parts.

use std::path::PathBuf;

use crate::chunk::Encoding;
use crate::inspect::{
    Bucket, Deletion, Distribution, EncodingCounts, FULL_CHUNK, IndexSection, Inspection,
    LabelName, SeriesCounts,
};
use crate::report::stream::{external_labels, resolution, shard};
use crate::report::{Column, Extent, InJson, Rows, Sheet, Unit, Value, ratio};

/// What is said of the block as a whole.
pub(in crate::report) static OVERVIEW: Sheet<Inspection, Inspection> = Sheet {
    name: "block",
    title: "The block as a whole",
    row: "block",
    json: InJson::Itself,
    rows: |block, _| Rows::one(block),
    columns: &[
        Column {
            key: "ulid",
            heading: "block",
            unit: Unit::None,
            weight: 9,
            explanation: "Identity of the block, as its metadata says.",
            value: |block| Value::text(block.meta.ulid.to_string()),
        },
        Column {
            key: "path",
            heading: "directory",
            unit: Unit::None,
            weight: 5,
            explanation: "The block's directory.",
            value: |block| Value::text(block.dir.display().to_string()),
        },
        Column {
            key: "min_time",
            heading: "min time",
            unit: Unit::Time,
            weight: 5,
            explanation: "Start of the block's range, in milliseconds since the Unix epoch.",
            value: |block| Value::Time(block.meta.min_time),
        },
        Column {
            key: "max_time",
            heading: "max time",
            unit: Unit::Time,
            weight: 5,
            explanation: "End of the block's range, exclusive, in milliseconds since the Unix epoch.",
            value: |block| Value::Time(block.meta.max_time),
        },
        Column {
            key: "duration",
            heading: "duration",
            unit: Unit::Millis,
            weight: 5,
            explanation: "Length of the block's range, in milliseconds.",
            value: |block| Value::Duration(block.meta.duration()),
        },
        Column {
            key: "level",
            heading: "level",
            unit: Unit::Count,
            weight: 5,
            explanation: "Compaction level: 1 for blocks cut from the head.",
            value: |block| {
                u64::try_from(block.meta.compaction.level).map_or(Value::None, Value::Count)
            },
        },
        Column {
            key: "sources",
            heading: "sources",
            unit: Unit::List,
            weight: 5,
            explanation: "The level-1 blocks that went into the block.",
            value: |block| {
                let sources = block.meta.compaction.sources.iter();
                Value::List(sources.map(ToString::to_string).collect())
            },
        },
        Column {
            key: "parents",
            heading: "parents",
            unit: Unit::List,
            weight: 5,
            explanation: "The blocks it was compacted from.",
            value: |block| {
                let parents = block.meta.compaction.parents.iter();
                Value::List(parents.map(|parent| parent.ulid.to_string()).collect())
            },
        },
        Column {
            key: "hints",
            heading: "hints",
            unit: Unit::List,
            weight: 5,
            explanation: "Compaction hints, for example from-out-of-order.",
            value: |block| Value::List(block.meta.compaction.hints.clone()),
        },
        Column {
            key: "resolution",
            heading: "resolution",
            unit: Unit::Millis,
            weight: 5,
            explanation: "How much time one aggregate of a downsampled block stands for, in milliseconds; null for samples.",
            value: |block| resolution(&block.meta.stream()),
        },
        Column {
            key: "external_labels",
            heading: "external labels",
            unit: Unit::List,
            weight: 5,
            explanation: "External labels of the block, as name=value: cluster, replica, tenant.",
            value: |block| external_labels(&block.meta.stream()),
        },
        Column {
            key: "shard",
            heading: "shard",
            unit: Unit::None,
            weight: 5,
            explanation: "Which of several blocks of the same sources it is, such as 3_of_8.",
            value: |block| shard(&block.meta.stream()),
        },
        Column {
            key: "marks",
            heading: "marks",
            unit: Unit::List,
            weight: 5,
            explanation: "What marks in the block's directory ask for, since when and why.",
            value: |block| Value::List(block.marks.iter().map(ToString::to_string).collect()),
        },
        Column {
            key: "series",
            heading: "series",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series entries in the index.",
            value: |block| Value::Count(block.series.series),
        },
        Column {
            key: "chunks",
            heading: "chunks",
            unit: Unit::Count,
            weight: 5,
            explanation: "Chunks that series refer to and whose checksum is right.",
            value: |block| Value::Count(block.series.chunks()),
        },
        Column {
            key: "samples",
            heading: "samples",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples in these chunks, as their headers say.",
            value: |block| Value::Count(block.series.samples()),
        },
        Column {
            key: "scrape_interval",
            heading: "scrape interval",
            unit: Unit::Millis,
            weight: 5,
            explanation: "The distance most samples have in their chunk, in milliseconds: a guess.",
            value: |block| {
                let interval = block.series.scrape_interval();
                interval.map_or(Value::None, |(interval, _)| Value::Duration(interval))
            },
        },
        Column {
            key: "scrape_interval_share",
            heading: "… of samples",
            unit: Unit::Share,
            weight: 5,
            explanation: "The share of samples that have this distance, from 0 to 1.",
            value: |block| {
                let interval = block.series.scrape_interval();
                interval.map_or(Value::None, |(_, share)| Value::Number(share))
            },
        },
        Column {
            key: "index_bytes",
            heading: "index",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of the index file, in bytes.",
            value: |block| Value::Bytes(block.index_bytes),
        },
        Column {
            key: "index_version",
            heading: "index version",
            unit: Unit::Count,
            weight: 5,
            explanation: "Version byte of the index file.",
            value: |block| Value::Count(block.index_version.into()),
        },
        Column {
            key: "label_indices",
            heading: "label indices",
            unit: Unit::Flag,
            weight: 5,
            explanation: "Whether the index has label indices, which Prometheus wrote until 3.6.",
            value: |block| Value::Flag(block.has_label_indices),
        },
        Column {
            key: "chunk_bytes",
            heading: "segments",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Size of all segment files, in bytes.",
            value: |block| Value::Bytes(segment_bytes(block)),
        },
        Column {
            key: "segment_count",
            heading: "… files",
            unit: Unit::Count,
            weight: 5,
            explanation: "Number of segment files.",
            value: |block| Value::Count(block.segments.len() as u64),
        },
        Column {
            key: "bytes_per_sample",
            heading: "bytes/sample",
            unit: Unit::BytesPerSample,
            weight: 5,
            explanation: "Bytes of index and segments per sample.",
            value: |block| {
                let bytes = block.index_bytes.saturating_add(segment_bytes(block));
                ratio(bytes, block.series.samples())
            },
        },
        Column {
            key: "full_chunks",
            heading: "full chunks",
            unit: Unit::Share,
            weight: 5,
            explanation: "Share of float chunks with 120 samples or more, from 0 to 1.",
            value: |block| {
                let samples = &block.series.float_samples;
                ratio(samples.at_least(FULL_CHUNK), samples.count())
            },
        },
        Column {
            key: "fullness",
            heading: "fullness",
            unit: Unit::Share,
            weight: 5,
            explanation: "Samples of an average float chunk, as a share of 120.",
            value: |block| {
                let samples = &block.series.float_samples;
                ratio(samples.sum(), samples.count().saturating_mul(FULL_CHUNK))
            },
        },
        Column {
            key: "symbols",
            heading: "symbols",
            unit: Unit::Count,
            weight: 5,
            explanation: "Strings in the symbol table.",
            value: |block| Value::Count(block.symbols.count),
        },
        Column {
            key: "symbol_bytes",
            heading: "… size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of these strings.",
            value: |block| Value::Bytes(block.symbols.bytes),
        },
        Column {
            key: "unused_symbols",
            heading: "… unused",
            unit: Unit::Count,
            weight: 5,
            explanation: "Symbols that no series uses; Prometheus leaves some.",
            value: |block| Value::Count(block.symbols.unused),
        },
        Column {
            key: "unused_symbol_bytes",
            heading: "… their size",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the symbols that no series uses.",
            value: |block| Value::Bytes(block.symbols.unused_bytes),
        },
        Column {
            key: "label_names",
            heading: "label names",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different label names.",
            value: |block| Value::Count(block.labels.len() as u64),
        },
        Column {
            key: "label_pairs",
            heading: "label pairs",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different pairs of label name and value: postings lists.",
            value: |block| Value::Count(block.postings.lists),
        },
        Column {
            key: "postings_entries",
            heading: "postings",
            unit: Unit::Count,
            weight: 5,
            explanation: "Entries of all postings lists: label pairs of all series together.",
            value: |block| Value::Count(block.postings.entries),
        },
        Column {
            key: "longest_postings",
            heading: "… longest list",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that carry the most common label pair.",
            value: |block| Value::Count(block.postings.longest),
        },
        Column {
            key: "tombstone_count",
            heading: "tombstones",
            unit: Unit::Count,
            weight: 5,
            explanation: "Deleted ranges in the tombstones file.",
            value: |block| Value::Count(block.tombstones.len() as u64),
        },
        Column {
            key: "fault_count",
            heading: "faults",
            unit: Unit::Count,
            weight: 5,
            explanation: "Parts that could not be read; narthex verify says more.",
            value: |block| Value::Count(block.faults.count),
        },
    ],
};

pub(in crate::report) static SECTIONS: Sheet<Inspection, (IndexSection, u64)> = Sheet {
    name: "section",
    title: "Sections of the index",
    row: "section",
    json: InJson::List("sections"),
    rows: sections,
    columns: &[
        Column {
            key: "name",
            heading: "INDEX SECTION",
            unit: Unit::None,
            weight: 9,
            explanation: "What the section is.",
            value: |(section, _)| Value::text(section.name),
        },
        Column {
            key: "offset",
            heading: "OFFSET",
            unit: Unit::Offset,
            weight: 5,
            explanation: "Where it begins, in bytes.",
            value: |(section, _)| Value::Count(section.offset),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Its length in bytes, padding behind it included.",
            value: |(section, _)| Value::Bytes(section.bytes),
        },
        Column {
            key: "share",
            heading: "SHARE",
            unit: Unit::Share,
            weight: 5,
            explanation: "Its share of the index file, from 0 to 1.",
            value: |(section, file)| ratio(section.bytes, *file),
        },
    ],
};

/// Encodings of a block's chunks.
pub(in crate::report) static ENCODINGS: Sheet<Inspection, (Encoding, EncodingCounts)> = Sheet {
    name: "encoding",
    title: "Encodings",
    row: "encoding",
    json: InJson::List("encodings"),
    rows: |block, _| Rows::made(encodings(&block.series)),
    columns: ENCODING,
};

/// What is said of an encoding, of a block or of all that are analysed.
pub(in crate::report) const ENCODING: &[Column<(Encoding, EncodingCounts)>] = &[
    Column {
        key: "encoding",
        heading: "ENCODING",
        unit: Unit::None,
        weight: 9,
        explanation: "How the chunks hold their samples.",
        value: |(encoding, _)| Value::text(encoding.to_string()),
    },
    Column {
        key: "id",
        heading: "",
        unit: Unit::Count,
        weight: 1,
        explanation: "The byte that stands for the encoding.",
        value: |(encoding, _)| Value::Count(encoding.byte().into()),
    },
    Column {
        key: "chunks",
        heading: "CHUNKS",
        unit: Unit::Count,
        weight: 5,
        explanation: "Number of chunks.",
        value: |(_, counts)| Value::Count(counts.chunks),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Samples in them.",
        value: |(_, counts)| Value::Count(counts.samples),
    },
    Column {
        key: "bytes",
        heading: "SIZE",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "Bytes of their data, without length, encoding byte and checksum.",
        value: |(_, counts)| Value::Bytes(counts.bytes),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        weight: 5,
        explanation: "Bytes of data per sample.",
        value: |(_, counts)| ratio(counts.bytes, counts.samples),
    },
];

/// A distribution with its key in JSON and its name for people.
pub(in crate::report) type Named = (&'static str, &'static str, Distribution);

/// Distributions of a block's chunks.
pub(in crate::report) static DISTRIBUTIONS: Sheet<Inspection, Named> = Sheet {
    name: "distribution",
    title: "Distributions of chunks",
    row: "distribution",
    json: InJson::Named("distributions"),
    rows: |block, _| Rows::made(distributions_of(block)),
    columns: DISTRIBUTION,
};

/// What is said of a distribution, of a block or of all that are analysed.
pub(in crate::report) const DISTRIBUTION: &[Column<Named>] = &[
    Column {
        key: "of",
        heading: "DISTRIBUTION",
        unit: Unit::None,
        weight: 9,
        explanation: "What is counted.",
        value: |(_, name, _)| Value::text(*name),
    },
    Column {
        key: "count",
        heading: "COUNT",
        unit: Unit::Count,
        weight: 5,
        explanation: "Number of values.",
        value: |(_, _, values)| Value::Count(values.count()),
    },
    Column {
        key: "min",
        heading: "MIN",
        unit: Unit::Count,
        weight: 5,
        explanation: "Smallest value.",
        value: |(_, _, values)| values.min().map_or(Value::None, Value::Count),
    },
    Column {
        key: "avg",
        heading: "AVG",
        unit: Unit::Mean,
        weight: 5,
        explanation: "Mean of the values.",
        value: |(_, _, values)| ratio(values.sum(), values.count()),
    },
    percentile("p10", "P10", |(_, _, values)| value_at(values, 10)),
    percentile("p50", "P50", |(_, _, values)| value_at(values, 50)),
    percentile("p90", "P90", |(_, _, values)| value_at(values, 90)),
    percentile("p99", "P99", |(_, _, values)| value_at(values, 99)),
    Column {
        key: "max",
        heading: "MAX",
        unit: Unit::Count,
        weight: 5,
        explanation: "Largest value.",
        value: |(_, _, values)| values.max().map_or(Value::None, Value::Count),
    },
];

const fn percentile(
    key: &'static str,
    heading: &'static str,
    value: fn(&Named) -> Value,
) -> Column<Named> {
    Column {
        key,
        heading,
        unit: Unit::Count,
        weight: 4,
        explanation: "The value that this percentage of values do not exceed.",
        value,
    }
}

fn value_at(values: &Distribution, percent: u8) -> Value {
    values.percentile(percent).map_or(Value::None, Value::Count)
}

pub(in crate::report) static BUCKETS: Sheet<Distribution, Bucket> = Sheet {
    name: "bucket",
    title: "Buckets of a distribution",
    row: "bucket",
    json: InJson::List("buckets"),
    rows: |values, _| Rows::made(values.buckets()),
    columns: &[
        Column {
            key: "from",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Smallest value that counts.",
            value: |bucket| Value::Count(bucket.from),
        },
        Column {
            key: "to",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Largest value that counts.",
            value: |bucket| Value::Count(bucket.to),
        },
        Column {
            key: "count",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Number of values.",
            value: |bucket| Value::Count(bucket.count),
        },
    ],
};

pub(in crate::report) static LABELS: Sheet<Inspection, LabelName> = Sheet {
    name: "label",
    title: "Label names",
    row: "label name",
    json: InJson::List("labels"),
    rows: |block, extent| Rows::first(&block.labels, extent),
    columns: &[
        Column {
            key: "name",
            heading: "LABEL NAME",
            unit: Unit::None,
            weight: 9,
            explanation: "The name; bytes that are not UTF-8 are replaced.",
            value: |label| Value::text(String::from_utf8_lossy(&label.name)),
        },
        Column {
            key: "values",
            heading: "VALUES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different values.",
            value: |label| Value::Count(label.values),
        },
        Column {
            key: "value_bytes",
            heading: "THEIR SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of these values.",
            value: |label| Value::Bytes(label.value_bytes),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that carry the label.",
            value: |label| Value::Count(label.series),
        },
    ],
};

pub(in crate::report) static DELETIONS: Sheet<Inspection, Deletion> = Sheet {
    name: "tombstone",
    title: "Deleted ranges",
    row: "deleted range",
    json: InJson::List("tombstones"),
    rows: |block, extent| Rows::first(&block.tombstones, extent),
    columns: &[
        Column {
            key: "min_time",
            heading: "DELETED FROM",
            unit: Unit::Time,
            weight: 9,
            explanation: "First deleted millisecond since the Unix epoch.",
            value: |deletion| Value::Time(deletion.min_time),
        },
        Column {
            key: "max_time",
            heading: "TO",
            unit: Unit::Time,
            weight: 5,
            explanation: "Last deleted millisecond since the Unix epoch.",
            value: |deletion| Value::Time(deletion.max_time),
        },
        Column {
            key: "reference",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "The series, as the index refers to it.",
            value: |deletion| Value::Count(deletion.reference.0),
        },
        Column {
            key: "series",
            heading: "OF SERIES",
            unit: Unit::None,
            weight: 5,
            explanation: "The series' labels, if there is such a series.",
            value: |deletion| {
                let labels = deletion.labels.as_ref();
                labels.map_or(Value::None, |labels| Value::text(labels.to_string()))
            },
        },
    ],
};

pub(in crate::report) static FILES: Sheet<Inspection, (PathBuf, u64)> = Sheet {
    name: "foreign-file",
    title: "Foreign files",
    row: "file that is not part of a block",
    json: InJson::List("foreign_files"),
    rows: |block, _| Rows::of(&block.others),
    columns: &[
        Column {
            key: "name",
            heading: "FOREIGN FILE",
            unit: Unit::None,
            weight: 9,
            explanation: "Path below the block's directory.",
            value: |(name, _)| Value::text(name.display().to_string()),
        },
        Column {
            key: "bytes",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Its size in bytes.",
            value: |(_, bytes)| Value::Bytes(*bytes),
        },
    ],
};

/// Files with chunks.
pub(in crate::report) static SEGMENTS: Sheet<Inspection, (String, u64)> = Sheet {
    name: "segment",
    title: "Segments",
    row: "segment file",
    json: InJson::List("segments"),
    rows: |block, _| Rows::of(&block.segments),
    columns: &[
        Column {
            key: "name",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "Name of the file.",
            value: |(name, _)| Value::text(name),
        },
        Column {
            key: "bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Its size in bytes.",
            value: |(_, bytes)| Value::Bytes(*bytes),
        },
    ],
};

fn sections(block: &Inspection, _: Extent) -> Rows<'_, (IndexSection, u64)> {
    let sections = block.sections.iter();
    Rows::made(
        sections
            .map(|section| (*section, block.index_bytes))
            .collect(),
    )
}

/// The encodings that chunks have, with how much there is of each.
pub(in crate::report) fn encodings(series: &SeriesCounts) -> Vec<(Encoding, EncodingCounts)> {
    let encodings = series.encodings.iter();
    encodings
        .map(|(encoding, counts)| (*encoding, *counts))
        .collect()
}

fn segment_bytes(block: &Inspection) -> u64 {
    block.segments.iter().map(|(_, bytes)| bytes).sum()
}

pub(super) fn distributions_of(block: &Inspection) -> Vec<Named> {
    distributions(&block.series, &block.series.histogram_buckets)
}

/// The distributions of chunks that are not empty.
pub(in crate::report) fn distributions(
    series: &SeriesCounts,
    histogram_buckets: &Distribution,
) -> Vec<Named> {
    [
        (
            "chunks_per_series",
            "chunks per series",
            &series.chunks_per_series,
        ),
        (
            "float_samples",
            "samples per float chunk",
            &series.float_samples,
        ),
        ("float_bytes", "bytes per float chunk", &series.float_bytes),
        (
            "histogram_samples",
            "samples per histogram chunk",
            &series.histogram_samples,
        ),
        (
            "histogram_bytes",
            "bytes per histogram chunk",
            &series.histogram_bytes,
        ),
        (
            "histogram_buckets",
            "buckets per histogram",
            histogram_buckets,
        ),
    ]
    .into_iter()
    .filter(|(_, _, values)| values.count() > 0)
    .map(|(key, name, values)| (key, name, values.clone()))
    .collect()
}
