//! The report of `narthex inspect`: everything about one block.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Map, Value as Json, json};

use super::{Column, Value, json_rows, lines, ratio, table};
use crate::chunk::Encoding;
use crate::inspect::{
    Bucket, Deletion, Distribution, EncodingCounts, FULL_CHUNK, IndexSection, Inspection, LabelName,
};

/// Label names that people are shown.
const LABELS_SHOWN: usize = 20;
/// Deletions that people are shown.
const DELETIONS_SHOWN: usize = 20;
/// Longest bar of a histogram, in characters.
const BAR: u64 = 40;

/// What is said of the block as a whole.
pub const OVERVIEW: &[Column<Inspection>] = &[
    Column {
        key: "ulid",
        heading: "block",
        explanation: "Identity of the block, as its metadata says.",
        value: |block| Value::text(block.meta.ulid.to_string()),
    },
    Column {
        key: "path",
        heading: "directory",
        explanation: "The block's directory.",
        value: |block| Value::text(block.dir.display().to_string()),
    },
    Column {
        key: "min_time",
        heading: "min time",
        explanation: "Start of the block's range, in milliseconds since the Unix epoch.",
        value: |block| Value::Time(block.meta.min_time),
    },
    Column {
        key: "max_time",
        heading: "max time",
        explanation: "End of the block's range, exclusive, in milliseconds since the Unix epoch.",
        value: |block| Value::Time(block.meta.max_time),
    },
    Column {
        key: "duration",
        heading: "duration",
        explanation: "Length of the block's range, in milliseconds.",
        value: |block| Value::Duration(block.meta.duration()),
    },
    Column {
        key: "level",
        heading: "level",
        explanation: "Compaction level: 1 for blocks cut from the head.",
        value: |block| u64::try_from(block.meta.compaction.level).map_or(Value::None, Value::Count),
    },
    Column {
        key: "sources",
        heading: "sources",
        explanation: "The level-1 blocks that went into the block.",
        value: |block| {
            let sources = block.meta.compaction.sources.iter();
            Value::List(sources.map(ToString::to_string).collect())
        },
    },
    Column {
        key: "parents",
        heading: "parents",
        explanation: "The blocks it was compacted from.",
        value: |block| {
            let parents = block.meta.compaction.parents.iter();
            Value::List(parents.map(|parent| parent.ulid.to_string()).collect())
        },
    },
    Column {
        key: "hints",
        heading: "hints",
        explanation: "Compaction hints, for example from-out-of-order.",
        value: |block| Value::List(block.meta.compaction.hints.clone()),
    },
    Column {
        key: "series",
        heading: "series",
        explanation: "Series entries in the index.",
        value: |block| Value::Count(block.series.series),
    },
    Column {
        key: "chunks",
        heading: "chunks",
        explanation: "Chunks that series refer to and whose checksum is right.",
        value: |block| Value::Count(block.series.chunks()),
    },
    Column {
        key: "samples",
        heading: "samples",
        explanation: "Samples in these chunks, as their headers say.",
        value: |block| Value::Count(block.series.samples()),
    },
    Column {
        key: "scrape_interval",
        heading: "scrape interval",
        explanation: "The distance most samples have in their chunk, in milliseconds: a guess.",
        value: |block| {
            let interval = block.series.scrape_interval();
            interval.map_or(Value::None, |(interval, _)| Value::Duration(interval))
        },
    },
    Column {
        key: "scrape_interval_share",
        heading: "… of samples",
        explanation: "The share of samples that have this distance, from 0 to 1.",
        value: |block| {
            let interval = block.series.scrape_interval();
            interval.map_or(Value::None, |(_, share)| Value::Number(share))
        },
    },
    Column {
        key: "index_bytes",
        heading: "index",
        explanation: "Size of the index file, in bytes.",
        value: |block| Value::Bytes(block.index_bytes),
    },
    Column {
        key: "index_version",
        heading: "index version",
        explanation: "Version byte of the index file.",
        value: |block| Value::Count(block.index_version.into()),
    },
    Column {
        key: "label_indices",
        heading: "label indices",
        explanation: "Whether the index has label indices, which Prometheus wrote until 3.6.",
        value: |block| Value::Flag(block.has_label_indices),
    },
    Column {
        key: "chunk_bytes",
        heading: "segments",
        explanation: "Size of all segment files, in bytes.",
        value: |block| Value::Bytes(segment_bytes(block)),
    },
    Column {
        key: "segment_count",
        heading: "… files",
        explanation: "Number of segment files.",
        value: |block| Value::Count(block.segments.len() as u64),
    },
    Column {
        key: "bytes_per_sample",
        heading: "bytes/sample",
        explanation: "Bytes of index and segments per sample.",
        value: |block| {
            let bytes = block.index_bytes.saturating_add(segment_bytes(block));
            ratio(bytes, block.series.samples())
        },
    },
    Column {
        key: "full_chunks",
        heading: "full chunks",
        explanation: "Share of float chunks with 120 samples or more, from 0 to 1.",
        value: |block| {
            let samples = &block.series.float_samples;
            ratio(samples.at_least(FULL_CHUNK), samples.count())
        },
    },
    Column {
        key: "fullness",
        heading: "fullness",
        explanation: "Samples of an average float chunk, as a share of 120.",
        value: |block| {
            let samples = &block.series.float_samples;
            ratio(samples.sum(), samples.count().saturating_mul(FULL_CHUNK))
        },
    },
    Column {
        key: "symbols",
        heading: "symbols",
        explanation: "Strings in the symbol table.",
        value: |block| Value::Count(block.symbols.count),
    },
    Column {
        key: "symbol_bytes",
        heading: "… size",
        explanation: "Bytes of these strings.",
        value: |block| Value::Bytes(block.symbols.bytes),
    },
    Column {
        key: "unused_symbols",
        heading: "… unused",
        explanation: "Symbols that no series uses; Prometheus leaves some.",
        value: |block| Value::Count(block.symbols.unused),
    },
    Column {
        key: "unused_symbol_bytes",
        heading: "… their size",
        explanation: "Bytes of the symbols that no series uses.",
        value: |block| Value::Bytes(block.symbols.unused_bytes),
    },
    Column {
        key: "label_names",
        heading: "label names",
        explanation: "Different label names.",
        value: |block| Value::Count(block.labels.len() as u64),
    },
    Column {
        key: "label_pairs",
        heading: "label pairs",
        explanation: "Different pairs of label name and value: postings lists.",
        value: |block| Value::Count(block.postings.lists),
    },
    Column {
        key: "postings_entries",
        heading: "postings",
        explanation: "Entries of all postings lists: label pairs of all series together.",
        value: |block| Value::Count(block.postings.entries),
    },
    Column {
        key: "longest_postings",
        heading: "… longest list",
        explanation: "Series that carry the most common label pair.",
        value: |block| Value::Count(block.postings.longest),
    },
    Column {
        key: "tombstone_count",
        heading: "tombstones",
        explanation: "Deleted ranges in the tombstones file.",
        value: |block| Value::Count(block.tombstones.len() as u64),
    },
    Column {
        key: "fault_count",
        heading: "faults",
        explanation: "Parts that could not be read; narthex verify says more.",
        value: |block| Value::Count(block.faults.count),
    },
];

const SECTIONS: &[Column<(IndexSection, u64)>] = &[
    Column {
        key: "name",
        heading: "INDEX SECTION",
        explanation: "What the section is.",
        value: |(section, _)| Value::text(section.name),
    },
    Column {
        key: "offset",
        heading: "OFFSET",
        explanation: "Where it begins, in bytes.",
        value: |(section, _)| Value::Count(section.offset),
    },
    Column {
        key: "bytes",
        heading: "SIZE",
        explanation: "Its length in bytes, padding behind it included.",
        value: |(section, _)| Value::Bytes(section.bytes),
    },
    Column {
        key: "share",
        heading: "SHARE",
        explanation: "Its share of the index file, from 0 to 1.",
        value: |(section, file)| ratio(section.bytes, *file),
    },
];

const ENCODINGS: &[Column<(Encoding, EncodingCounts)>] = &[
    Column {
        key: "encoding",
        heading: "ENCODING",
        explanation: "How the chunks hold their samples.",
        value: |(encoding, _)| Value::text(encoding.to_string()),
    },
    Column {
        key: "id",
        heading: "",
        explanation: "The byte that stands for the encoding.",
        value: |(encoding, _)| Value::Count(encoding.byte().into()),
    },
    Column {
        key: "chunks",
        heading: "CHUNKS",
        explanation: "Number of chunks.",
        value: |(_, counts)| Value::Count(counts.chunks),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        explanation: "Samples in them.",
        value: |(_, counts)| Value::Count(counts.samples),
    },
    Column {
        key: "bytes",
        heading: "SIZE",
        explanation: "Bytes of their data, without length, encoding byte and checksum.",
        value: |(_, counts)| Value::Bytes(counts.bytes),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        explanation: "Bytes of data per sample.",
        value: |(_, counts)| ratio(counts.bytes, counts.samples),
    },
];

/// A distribution with its key in JSON and its name for people.
type Named = (&'static str, &'static str, Distribution);

const DISTRIBUTIONS: &[Column<Named>] = &[
    Column {
        key: "of",
        heading: "DISTRIBUTION",
        explanation: "What is counted.",
        value: |(_, name, _)| Value::text(*name),
    },
    Column {
        key: "count",
        heading: "COUNT",
        explanation: "Number of values.",
        value: |(_, _, values)| Value::Count(values.count()),
    },
    Column {
        key: "min",
        heading: "MIN",
        explanation: "Smallest value.",
        value: |(_, _, values)| values.min().map_or(Value::None, Value::Count),
    },
    Column {
        key: "avg",
        heading: "AVG",
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
        explanation: "The value that this percentage of values do not exceed.",
        value,
    }
}

fn value_at(values: &Distribution, percent: u8) -> Value {
    values.percentile(percent).map_or(Value::None, Value::Count)
}

const BUCKETS: &[Column<Bucket>] = &[
    Column {
        key: "from",
        heading: "",
        explanation: "Smallest value that counts.",
        value: |bucket| Value::Count(bucket.from),
    },
    Column {
        key: "to",
        heading: "",
        explanation: "Largest value that counts.",
        value: |bucket| Value::Count(bucket.to),
    },
    Column {
        key: "count",
        heading: "",
        explanation: "Number of values.",
        value: |bucket| Value::Count(bucket.count),
    },
];

const LABELS: &[Column<LabelName>] = &[
    Column {
        key: "name",
        heading: "LABEL NAME",
        explanation: "The name; bytes that are not UTF-8 are replaced.",
        value: |label| Value::text(String::from_utf8_lossy(&label.name)),
    },
    Column {
        key: "values",
        heading: "VALUES",
        explanation: "Different values.",
        value: |label| Value::Count(label.values),
    },
    Column {
        key: "value_bytes",
        heading: "THEIR SIZE",
        explanation: "Bytes of these values.",
        value: |label| Value::Bytes(label.value_bytes),
    },
    Column {
        key: "series",
        heading: "SERIES",
        explanation: "Series that carry the label.",
        value: |label| Value::Count(label.series),
    },
];

const DELETIONS: &[Column<Deletion>] = &[
    Column {
        key: "min_time",
        heading: "DELETED FROM",
        explanation: "First deleted millisecond since the Unix epoch.",
        value: |deletion| Value::Time(deletion.min_time),
    },
    Column {
        key: "max_time",
        heading: "TO",
        explanation: "Last deleted millisecond since the Unix epoch.",
        value: |deletion| Value::Time(deletion.max_time),
    },
    Column {
        key: "reference",
        heading: "",
        explanation: "The series, as the index refers to it.",
        value: |deletion| Value::Count(deletion.reference.0),
    },
    Column {
        key: "series",
        heading: "OF SERIES",
        explanation: "The series' labels, if there is such a series.",
        value: |deletion| {
            let labels = deletion.labels.as_ref();
            labels.map_or(Value::None, |labels| Value::text(labels.to_string()))
        },
    },
];

const FILES: &[Column<(PathBuf, u64)>] = &[
    Column {
        key: "name",
        heading: "FOREIGN FILE",
        explanation: "Path below the block's directory.",
        value: |(name, _)| Value::text(name.display().to_string()),
    },
    Column {
        key: "bytes",
        heading: "SIZE",
        explanation: "Its size in bytes.",
        value: |(_, bytes)| Value::Bytes(*bytes),
    },
];

/// The block as text for people.
pub fn text(block: &Inspection) -> String {
    let mut text = lines(OVERVIEW, block);
    let mut section = |content: String| {
        text.push('\n');
        text.push_str(&content);
    };
    section(table(SECTIONS, &sections(block)));
    section(table(ENCODINGS, &encodings(block)));
    let distributions = distributions(block);
    section(table(DISTRIBUTIONS, &distributions));
    for (_, name, values) in &distributions {
        if !name.starts_with("chunks") {
            section(format!("{name}\n{}", bars(values)));
        }
    }
    section(shown(LABELS, &block.labels, LABELS_SHOWN, "label names"));
    if !block.tombstones.is_empty() {
        section(shown(
            DELETIONS,
            &block.tombstones,
            DELETIONS_SHOWN,
            "deleted ranges",
        ));
    }
    if !block.others.is_empty() {
        section(table(FILES, &block.others));
    }
    text
}

/// The block as a JSON object.
pub fn json(block: &Inspection) -> Json {
    let mut object = match super::json(OVERVIEW, block) {
        Json::Object(object) => object,
        other => return other,
    };
    let segments: Vec<_> = block
        .segments
        .iter()
        .map(|(name, bytes)| json!({ "name": name, "bytes": bytes }))
        .collect();
    let distributions: Map<String, Json> = distributions(block)
        .iter()
        .map(|named| {
            let mut of = super::json(DISTRIBUTIONS, named);
            if let Some(of) = of.as_object_mut() {
                of.insert("buckets".to_owned(), json_rows(BUCKETS, &named.2.buckets()));
            }
            (named.0.to_owned(), of)
        })
        .collect();
    object.extend([
        ("sections".to_owned(), json_rows(SECTIONS, &sections(block))),
        ("segments".to_owned(), Json::Array(segments)),
        (
            "encodings".to_owned(),
            json_rows(ENCODINGS, &encodings(block)),
        ),
        ("distributions".to_owned(), Json::Object(distributions)),
        ("labels".to_owned(), json_rows(LABELS, &block.labels)),
        (
            "tombstones".to_owned(),
            json_rows(DELETIONS, &block.tombstones),
        ),
        ("foreign_files".to_owned(), json_rows(FILES, &block.others)),
        ("faults".to_owned(), json!(faults(block))),
    ]);
    Json::Object(object)
}

/// What could not be read, one line each; the last says how many more there are.
pub fn faults(block: &Inspection) -> Vec<String> {
    let index = block.dir.join("index");
    let mut lines: Vec<String> = block
        .faults
        .first
        .iter()
        .map(|(file, fault)| {
            let file = file.as_ref().unwrap_or(&index);
            format!("{}: {fault}", file.display())
        })
        .collect();
    let more = block.faults.count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("{}: {more} more faults", block.dir.display()));
    }
    lines
}

fn segment_bytes(block: &Inspection) -> u64 {
    block.segments.iter().map(|(_, bytes)| bytes).sum()
}

fn sections(block: &Inspection) -> Vec<(IndexSection, u64)> {
    let sections = block.sections.iter();
    sections
        .map(|section| (*section, block.index_bytes))
        .collect()
}

fn encodings(block: &Inspection) -> Vec<(Encoding, EncodingCounts)> {
    let encodings = block.series.encodings.iter();
    encodings
        .map(|(encoding, counts)| (*encoding, *counts))
        .collect()
}

fn distributions(block: &Inspection) -> Vec<Named> {
    let series = &block.series;
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
            &series.histogram_buckets,
        ),
    ]
    .into_iter()
    .filter(|(_, _, values)| values.count() > 0)
    .map(|(key, name, values)| (key, name, values.clone()))
    .collect()
}

/// A histogram: one line per bucket, with its borders, share and count.
fn bars(values: &Distribution) -> String {
    let buckets = values.buckets();
    let most = buckets
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or(0)
        .max(1);
    let ranges: Vec<_> = buckets
        .iter()
        .map(|bucket| format!("{}–{}", bucket.from, bucket.to))
        .collect();
    let width = ranges
        .iter()
        .map(|range| range.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (bucket, range) in buckets.iter().zip(&ranges) {
        let percent = bucket.count as f64 * 100.0 / values.count() as f64;
        let marks = bucket.count.saturating_mul(BAR).div_ceil(most);
        let bar = "#".repeat(usize::try_from(marks).unwrap_or(0));
        let count = bucket.count;
        let line = format!("  {range:>width$}  {percent:5.1} %  {count:>9}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A table of the first rows, and how many there are.
fn shown<Row>(columns: &[Column<Row>], rows: &[Row], limit: usize, what: &str) -> String {
    let first = rows.get(..limit).unwrap_or(rows);
    let mut text = table(columns, first);
    if rows.len() > first.len() {
        let _ = writeln!(text, "… of {} {what}; all of them with --json", rows.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique_and_every_column_is_explained() {
        fn check<Row>(columns: &[Column<Row>]) {
            for (i, column) in columns.iter().enumerate() {
                assert!(column.explanation.ends_with('.'), "{}", column.key);
                assert!(
                    columns[..i].iter().all(|other| other.key != column.key),
                    "{}",
                    column.key
                );
            }
        }
        check(OVERVIEW);
        check(SECTIONS);
        check(ENCODINGS);
        check(DISTRIBUTIONS);
        check(LABELS);
        check(DELETIONS);
        check(FILES);
        check(super::super::blocks::COLUMNS);
        check(super::super::blocks::TOTALS);
    }

    #[test]
    fn bars_show_borders_share_and_count() {
        let mut values = Distribution::default();
        for value in [60, 119, 120, 120] {
            values.record(value);
        }
        assert_eq!(
            bars(&values),
            "    51–60   25.0 %          1  ##############\n    61–70    0.0 %          0\n    71–80    0.0 %          0\n    81–90    0.0 %          0\n   91–100    0.0 %          0\n  101–110    0.0 %          0\n  111–120   75.0 %          3  ########################################\n"
        );
    }
}
