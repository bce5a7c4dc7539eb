//! What is said of each row of an analysis.

use crate::capacity::{
    BlockRow, CrossRow, CutRow, Group, JobChurn, LabelRow, LookRow, PairRow, Part, Scrapes, Step,
    Totals, Turnover, What,
};
use crate::inspect::FULL_CHUNK;
use crate::report::{Column, Unit, Value, ratio};

/// What is said of all blocks together.
pub(in crate::report) const SUMMARY: &[Column<Totals>] = &[
    Column {
        key: "blocks",
        heading: "blocks",
        unit: Unit::Count,
        explanation: "Number of blocks that were analysed.",
        value: |t| Value::Count(t.blocks),
    },
    Column {
        key: "overlapping",
        heading: "… overlapping",
        unit: Unit::Count,
        explanation: "Blocks that begin before an earlier one ends: their samples may count twice.",
        value: |t| Value::Count(t.overlapping),
    },
    Column {
        key: "superseded",
        heading: "… superseded",
        unit: Unit::Count,
        explanation: "Blocks that another one was compacted from: what they hold counts twice.",
        value: |t| Value::Count(t.superseded),
    },
    Column {
        key: "min_time",
        heading: "min time",
        unit: Unit::Time,
        explanation: "Start of the earliest block.",
        value: |t| Value::Time(t.min_time),
    },
    Column {
        key: "max_time",
        heading: "max time",
        unit: Unit::Time,
        explanation: "End of the latest block, exclusive.",
        value: |t| Value::Time(t.max_time),
    },
    Column {
        key: "duration",
        heading: "duration",
        unit: Unit::Millis,
        explanation: "Length of the blocks' ranges together.",
        value: |t| i64::try_from(t.block_time).map_or(Value::None, Value::Duration),
    },
    Column {
        key: "series",
        heading: "series",
        unit: Unit::Count,
        explanation: "Different series that were asked for.",
        value: |t| Value::Count(t.series),
    },
    Column {
        key: "series_entries",
        heading: "… entries",
        unit: Unit::Count,
        explanation: "Entries of such series in indexes: one for each block a series is in.",
        value: |t| Value::Count(t.series_entries),
    },
    Column {
        key: "series_left_out",
        heading: "… left out",
        unit: Unit::Count,
        explanation: "Series entries that were not asked for.",
        value: |t| Value::Count(t.left_out),
    },
    Column {
        key: "one_sample_series",
        heading: "… of one sample",
        unit: Unit::Count,
        explanation: "Series entries with one sample.",
        value: |t| Value::Count(t.one_sample),
    },
    Column {
        key: "chunks",
        heading: "chunks",
        unit: Unit::Count,
        explanation: "Chunks that were asked for.",
        value: |t| Value::Count(t.chunks),
    },
    Column {
        key: "samples",
        heading: "samples",
        unit: Unit::Count,
        explanation: "Samples in these chunks, as their headers say.",
        value: |t| Value::Count(t.samples),
    },
    Column {
        key: "scrape_interval",
        heading: "scrape interval",
        unit: Unit::Millis,
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
        explanation: "Size of all files of the blocks.",
        value: |t| Value::Bytes(t.bytes),
    },
    Column {
        key: "index_bytes",
        heading: "… indexes",
        unit: Unit::Bytes,
        explanation: "Size of the indexes.",
        value: |t| Value::Bytes(t.index_bytes),
    },
    Column {
        key: "chunk_bytes",
        heading: "… segments",
        unit: Unit::Bytes,
        explanation: "Size of the segments.",
        value: |t| Value::Bytes(t.chunk_bytes),
    },
    Column {
        key: "bytes_per_sample",
        heading: "bytes/sample",
        unit: Unit::BytesPerSample,
        explanation: "Bytes of all files for each sample.",
        value: |t| ratio(t.bytes, t.samples),
    },
    Column {
        key: "chunk_bytes_per_sample",
        heading: "… of segments",
        unit: Unit::BytesPerSample,
        explanation: "Bytes of segments for each sample.",
        value: |t| ratio(t.chunk_bytes, t.samples),
    },
    Column {
        key: "bits_per_timestamp",
        heading: "bits/timestamp",
        unit: Unit::Bits,
        explanation: "Bits of a timestamp, on average, in chunks of encoding XOR; with --extended.",
        value: |t| ratio(t.bits.time, t.bits.samples),
    },
    Column {
        key: "bits_per_value",
        heading: "bits/value",
        unit: Unit::Bits,
        explanation: "Bits of a value, on average, in chunks of encoding XOR, padding at a chunk's end included; with --extended.",
        value: |t| ratio(t.bits.value, t.bits.samples),
    },
    Column {
        key: "full_chunks",
        heading: "full chunks",
        unit: Unit::Percent,
        explanation: "Share of float chunks with 120 samples or more.",
        value: |t| percent(t.full_chunks, t.float_chunks),
    },
    Column {
        key: "fullness",
        heading: "fullness",
        unit: Unit::Percent,
        explanation: "Samples of an average float chunk, as a share of 120.",
        value: |t| percent(t.float_samples, t.float_chunks.saturating_mul(FULL_CHUNK)),
    },
    Column {
        key: "label_names",
        heading: "label names",
        unit: Unit::Count,
        explanation: "Different label names of these series.",
        value: |t| Value::Count(t.label_names),
    },
    Column {
        key: "label_pairs",
        heading: "label pairs",
        unit: Unit::Count,
        explanation: "Different label pairs of these series: postings lists.",
        value: |t| Value::Count(t.label_pairs),
    },
    Column {
        key: "postings_entries",
        heading: "postings",
        unit: Unit::Count,
        explanation: "Labels of all series entries together: entries of these lists.",
        value: |t| Value::Count(t.postings),
    },
    Column {
        key: "faults",
        heading: "faults",
        unit: Unit::Count,
        explanation: "Parts that could not be read; narthex verify says more.",
        value: |t| Value::Count(t.faults),
    },
];

/// One row for each block.
pub(in crate::report) const BLOCKS: &[Column<BlockRow>] = &[
    Column {
        key: "ulid",
        heading: "BLOCK",
        unit: Unit::None,
        explanation: "Identity of the block.",
        value: |b| Value::text(b.ulid.to_string()),
    },
    Column {
        key: "path",
        heading: "",
        unit: Unit::None,
        explanation: "The block's directory.",
        value: |b| Value::text(b.dir.display().to_string()),
    },
    Column {
        key: "min_time",
        heading: "MIN TIME",
        unit: Unit::Time,
        explanation: "Start of its range.",
        value: |b| Value::Time(b.min_time),
    },
    Column {
        key: "max_time",
        heading: "MAX TIME",
        unit: Unit::Time,
        explanation: "End of its range, exclusive.",
        value: |b| Value::Time(b.max_time),
    },
    Column {
        key: "level",
        heading: "LEVEL",
        unit: Unit::Count,
        explanation: "Compaction level.",
        value: |b| u64::try_from(b.level).map_or(Value::None, Value::Count),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series that were asked for.",
        value: |b| Value::Count(b.series),
    },
    Column {
        key: "chunks",
        heading: "CHUNKS",
        unit: Unit::Count,
        explanation: "Their chunks.",
        value: |b| Value::Count(b.chunks),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        explanation: "Samples in these chunks.",
        value: |b| Value::Count(b.samples),
    },
    Column {
        key: "index_bytes",
        heading: "INDEX",
        unit: Unit::Bytes,
        explanation: "Size of the index.",
        value: |b| Value::Bytes(b.index_bytes),
    },
    Column {
        key: "chunk_bytes",
        heading: "SEGMENTS",
        unit: Unit::Bytes,
        explanation: "Size of the segments.",
        value: |b| Value::Bytes(b.chunk_bytes),
    },
    Column {
        key: "bytes",
        heading: "BYTES",
        unit: Unit::Bytes,
        explanation: "Size of all its files.",
        value: |b| Value::Bytes(b.bytes()),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        explanation: "Bytes of all its files for each sample.",
        value: |b| ratio(b.bytes(), b.samples),
    },
    Column {
        key: "faults",
        heading: "FAULTS",
        unit: Unit::Count,
        explanation: "Parts that could not be read.",
        value: |b| Value::Count(b.faults),
    },
];

/// One row for each kind of bytes, with the bytes of all.
pub(in crate::report) const PARTS: &[Column<(Part, u64)>] = &[
    Column {
        key: "file",
        heading: "FILE",
        unit: Unit::None,
        explanation: "The file it is in.",
        value: |(p, _)| Value::text(p.file),
    },
    Column {
        key: "part",
        heading: "PART",
        unit: Unit::None,
        explanation: "What it is; of index, the section.",
        value: |(p, _)| Value::text(p.name),
    },
    Column {
        key: "bytes",
        heading: "BYTES",
        unit: Unit::Bytes,
        explanation: "Bytes of this kind in all blocks.",
        value: |(p, _)| Value::Bytes(p.bytes),
    },
    Column {
        key: "share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Its share of all files.",
        value: |(p, all)| percent(p.bytes, *all),
    },
];

/// One row for each part of a partition.
pub(in crate::report) const GROUPS: &[Column<Group>] = &[
    Column {
        key: "value",
        heading: "VALUE",
        unit: Unit::None,
        explanation: "The value that these series have of the label; or in parentheses what else it is: (others), (without the label), (not selected), (shared by all).",
        value: |g| {
            Value::Text(match &g.what {
                What::Value(value) => value.clone(),
                What::Others(count) => format!("({count} others)"),
                What::Without => "(without the label)".to_owned(),
                What::NotSelected => "(not selected)".to_owned(),
                What::Shared => "(shared by all)".to_owned(),
            })
        },
    },
    Column {
        key: "kind",
        heading: "",
        unit: Unit::None,
        explanation: "What the row is: value, others, without, not-selected or shared.",
        value: |g| {
            Value::text(match &g.what {
                What::Value(_) => "value",
                What::Others(_) => "others",
                What::Without => "without",
                What::NotSelected => "not-selected",
                What::Shared => "shared",
            })
        },
    },
    Column {
        key: "bytes",
        heading: "BYTES",
        unit: Unit::Bytes,
        explanation: "Bytes of their chunks, and what they bear of indexes; all rows add up to the size of all files.",
        value: |g| Value::Bytes(g.bytes()),
    },
    Column {
        key: "share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Its share of all files.",
        value: |g| percent(g.bytes(), g.of_bytes),
    },
    Column {
        key: "chunk_bytes",
        heading: "CHUNK BYTES",
        unit: Unit::Bytes,
        explanation: "Bytes of their chunks, with length, encoding and checksum.",
        value: |g| Value::Bytes(g.chunk_bytes),
    },
    Column {
        key: "index_bytes",
        heading: "INDEX BYTES",
        unit: Unit::Bytes,
        explanation: "What they bear of indexes: series entries, entries in postings lists, and equal shares of what belongs to label pairs they carry.",
        value: |g| Value::Bytes(g.index_bytes),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series; one that is in several blocks counts in each.",
        value: |g| Value::Count(g.series),
    },
    Column {
        key: "chunks",
        heading: "",
        unit: Unit::Count,
        explanation: "Chunks.",
        value: |g| Value::Count(g.chunks),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        explanation: "Samples.",
        value: |g| Value::Count(g.samples),
    },
    Column {
        key: "sample_share",
        heading: "",
        unit: Unit::Percent,
        explanation: "Their share of all samples that were asked for.",
        value: |g| percent(g.samples, g.of_samples),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        explanation: "Bytes for each sample.",
        value: |g| ratio(g.bytes(), g.samples),
    },
    Column {
        key: "one_sample_series",
        heading: "",
        unit: Unit::Count,
        explanation: "Series with one sample.",
        value: |g| Value::Count(g.one_sample),
    },
    Column {
        key: "born",
        heading: "BORN",
        unit: Unit::Count,
        explanation: "Series that begin more than three scrapes after their block.",
        value: |g| Value::Count(g.born),
    },
    Column {
        key: "died",
        heading: "DIED",
        unit: Unit::Count,
        explanation: "Series that end more than three scrapes before their block.",
        value: |g| Value::Count(g.died),
    },
    Column {
        key: "uncovered",
        heading: "",
        unit: Unit::Count,
        explanation: "How many series would fill the time that they do not cover of their blocks: what promtool calls most involved in churning.",
        value: |g| Value::Count(g.uncovered),
    },
];

/// One row for each label name.
pub(in crate::report) const LABELS: &[Column<LabelRow>] = &[
    Column {
        key: "name",
        heading: "LABEL",
        unit: Unit::None,
        explanation: "The name; bytes that are not UTF-8 are replaced.",
        value: |l| Value::text(&l.name),
    },
    Column {
        key: "values",
        heading: "VALUES",
        unit: Unit::Count,
        explanation: "Different values.",
        value: |l| Value::Count(l.values),
    },
    Column {
        key: "value_bytes",
        heading: "THEIR LENGTH",
        unit: Unit::Bytes,
        explanation: "Bytes of these values, each counted once.",
        value: |l| Value::Bytes(l.value_bytes),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series that carry it; one that is in several blocks counts in each.",
        value: |l| Value::Count(l.series),
    },
    Column {
        key: "own_bytes",
        heading: "OWN BYTES",
        unit: Unit::Bytes,
        explanation: "What the label costs: postings lists, their entries in the offset table, symbols, label index. These add up over all labels.",
        value: |l| Value::Bytes(l.own_bytes),
    },
    Column {
        key: "own_share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Share of these bytes of all files.",
        value: |l| percent(l.own_bytes, l.of_bytes),
    },
    Column {
        key: "carried_bytes",
        heading: "BYTES OF SERIES",
        unit: Unit::Bytes,
        explanation: "Bytes of the series that carry it. They overlap: a series counts for each of its labels.",
        value: |l| Value::Bytes(l.carried_bytes),
    },
    Column {
        key: "uncovered",
        heading: "UNCOVERED",
        unit: Unit::Count,
        explanation: "How many series would fill the time that the series that carry it do not cover of their blocks: what promtool calls most involved in churning.",
        value: |l| Value::Count(l.uncovered),
    },
];

/// One row for each label pair.
pub(in crate::report) const PAIRS: &[Column<PairRow>] = &[
    Column {
        key: "name",
        heading: "LABEL",
        unit: Unit::None,
        explanation: "Name of the label; bytes that are not UTF-8 are replaced.",
        value: |p| Value::text(&p.name),
    },
    Column {
        key: "value",
        heading: "VALUE",
        unit: Unit::None,
        explanation: "Its value; bytes that are not UTF-8 are replaced.",
        value: |p| Value::text(&p.value),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series that carry the pair; one that is in several blocks counts in each.",
        value: |p| Value::Count(p.series),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        explanation: "Their samples.",
        value: |p| Value::Count(p.samples),
    },
    Column {
        key: "own_bytes",
        heading: "OWN BYTES",
        unit: Unit::Bytes,
        explanation: "What the pair costs: its postings list, the entry in the offset table, its value's symbol. These add up over all pairs, but for rounding.",
        value: |p| Value::Bytes(p.own_bytes),
    },
    Column {
        key: "carried_bytes",
        heading: "BYTES OF SERIES",
        unit: Unit::Bytes,
        explanation: "Bytes of the series that carry it. They overlap: a series counts for each of its pairs.",
        value: |p| Value::Bytes(p.carried_bytes),
    },
    Column {
        key: "carried_share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Share of these bytes of all files.",
        value: |p| percent(p.carried_bytes, p.of_bytes),
    },
    Column {
        key: "uncovered",
        heading: "UNCOVERED",
        unit: Unit::Count,
        explanation: "How many series would fill the time that these series do not cover of their blocks: what promtool calls most involved in churning.",
        value: |p| Value::Count(p.uncovered),
    },
];

/// One row for each label of a metric.
pub(in crate::report) const CROSS: &[Column<CrossRow>] = &[
    Column {
        key: "metric",
        heading: "METRIC",
        unit: Unit::None,
        explanation: "Name of the metric.",
        value: |c| Value::text(&c.metric),
    },
    Column {
        key: "metric_series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Its series; one that is in several blocks counts in each.",
        value: |c| Value::Count(c.metric_series),
    },
    Column {
        key: "label",
        heading: "LABEL",
        unit: Unit::None,
        explanation: "Name of the label.",
        value: |c| Value::text(&c.label),
    },
    Column {
        key: "values",
        heading: "VALUES",
        unit: Unit::Count,
        explanation: "Different values that the label has in this metric. Over several blocks: in those where the metric is one of the 20 with most series.",
        value: |c| Value::Count(c.values),
    },
    Column {
        key: "series",
        heading: "WITH LABEL",
        unit: Unit::Count,
        explanation: "Series of the metric that carry the label.",
        value: |c| Value::Count(c.series),
    },
];

/// One row for each label whose values look alike.
pub(in crate::report) const LOOKS: &[Column<LookRow>] = &[
    Column {
        key: "label",
        heading: "LABEL",
        unit: Unit::None,
        explanation: "Name of the label.",
        value: |l| Value::text(&l.label),
    },
    Column {
        key: "look",
        heading: "LOOKS LIKE",
        unit: Unit::None,
        explanation: "What values look like: uuid, address, timestamp, hash, pod or number.",
        value: |l| Value::text(l.look.id()),
    },
    Column {
        key: "values",
        heading: "VALUES",
        unit: Unit::Count,
        explanation: "Values that look like it.",
        value: |l| Value::Count(l.values),
    },
    Column {
        key: "share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Their share of the label's values.",
        value: |l| percent(l.values, l.of_values),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series that carry one of them.",
        value: |l| Value::Count(l.series),
    },
    Column {
        key: "own_bytes",
        heading: "OWN BYTES",
        unit: Unit::Bytes,
        explanation: "What these pairs cost by themselves.",
        value: |l| Value::Bytes(l.own_bytes),
    },
    Column {
        key: "example",
        heading: "FOR EXAMPLE",
        unit: Unit::None,
        explanation: "The first of these values.",
        value: |l| Value::text(&l.example),
    },
];

/// One row for each part of the range of time.
pub(in crate::report) const STEPS: &[Column<Step>] = &[
    Column {
        key: "start",
        heading: "FROM",
        unit: Unit::Time,
        explanation: "Where it begins.",
        value: |s| Value::Time(s.start),
    },
    Column {
        key: "end",
        heading: "TO",
        unit: Unit::Time,
        explanation: "Where it ends, exclusive.",
        value: |s| Value::Time(s.end),
    },
    Column {
        key: "before",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Series that were there when it began; in the first part, from the start.",
        value: |s| Value::Count(s.before),
    },
    Column {
        key: "born",
        heading: "BORN",
        unit: Unit::Count,
        explanation: "Series whose first sample lies in it.",
        value: |s| Value::Count(s.born),
    },
    Column {
        key: "died",
        heading: "DIED",
        unit: Unit::Count,
        explanation: "Series whose last sample lies in it, and not at the end of everything.",
        value: |s| Value::Count(s.died),
    },
    Column {
        key: "after",
        heading: "LEFT",
        unit: Unit::Count,
        explanation: "Series that are there when it ends.",
        value: |s| Value::Count(s.after),
    },
];

/// One row for each job.
pub(in crate::report) const JOBS: &[Column<JobChurn>] = &[
    Column {
        key: "job",
        heading: "JOB",
        unit: Unit::None,
        explanation: "The job; null for series without the label.",
        value: |j| name(j.job.as_ref()),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        explanation: "Different series, over all blocks.",
        value: |j| Value::Count(j.series),
    },
    Column {
        key: "from_start",
        heading: "",
        unit: Unit::Count,
        explanation: "Series that are there from the start.",
        value: |j| Value::Count(j.from_start),
    },
    Column {
        key: "born",
        heading: "BORN",
        unit: Unit::Count,
        explanation: "Series that begin later.",
        value: |j| Value::Count(j.born),
    },
    Column {
        key: "died",
        heading: "DIED",
        unit: Unit::Count,
        explanation: "Series that end before the end.",
        value: |j| Value::Count(j.died),
    },
    Column {
        key: "survived",
        heading: "SURVIVED",
        unit: Unit::Count,
        explanation: "Series that are there from start to end.",
        value: |j| Value::Count(j.survived),
    },
    Column {
        key: "survived_share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Their share of the job's series.",
        value: |j| percent(j.survived, j.series),
    },
    Column {
        key: "one_sample_series",
        heading: "OF ONE SAMPLE",
        unit: Unit::Count,
        explanation: "Series with one sample.",
        value: |j| Value::Count(j.one_sample),
    },
    Column {
        key: "median_life",
        heading: "MEDIAN LIFE",
        unit: Unit::Millis,
        explanation: "The time between first and last sample that half of the series do not exceed.",
        value: |j| Value::Duration(j.median_life),
    },
];

/// One row for each label whose values come and go.
pub(in crate::report) const TURNOVER: &[Column<Turnover>] = &[
    Column {
        key: "label",
        heading: "LABEL",
        unit: Unit::None,
        explanation: "Name of the label.",
        value: |t| Value::text(&t.label),
    },
    Column {
        key: "values",
        heading: "VALUES",
        unit: Unit::Count,
        explanation: "Different values.",
        value: |t| Value::Count(t.values),
    },
    Column {
        key: "new_values",
        heading: "NEW",
        unit: Unit::Count,
        explanation: "Values that no series had when its block began.",
        value: |t| Value::Count(t.new_values),
    },
    Column {
        key: "born",
        heading: "BORN SERIES",
        unit: Unit::Count,
        explanation: "Series that were born within a block and carry the label.",
        value: |t| Value::Count(t.born),
    },
    Column {
        key: "born_with_new",
        heading: "WITH A NEW VALUE",
        unit: Unit::Count,
        explanation: "Those of them whose value was new: the label's turnover.",
        value: |t| Value::Count(t.born_with_new),
    },
    Column {
        key: "gone_values",
        heading: "GONE",
        unit: Unit::Count,
        explanation: "Values of which no series lived until its block ended.",
        value: |t| Value::Count(t.gone_values),
    },
    Column {
        key: "died_with_gone",
        heading: "DIED WITH IT",
        unit: Unit::Count,
        explanation: "Series that died within a block with such a value.",
        value: |t| Value::Count(t.died_with_gone),
    },
];

/// One row for each job.
pub(in crate::report) const SCRAPES: &[Column<Scrapes>] = &[
    Column {
        key: "job",
        heading: "JOB",
        unit: Unit::None,
        explanation: "The job; null for series without the label.",
        value: |s| name(s.job.as_ref()),
    },
    Column {
        key: "interval",
        heading: "INTERVAL",
        unit: Unit::Millis,
        explanation: "The most common distance of two samples, rounded to three digits; without --extended, of averages in chunks.",
        value: |s| Value::Duration(s.interval),
    },
    Column {
        key: "interval_share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Share of samples that have this distance.",
        value: |s| Value::Number(s.share * 100.0),
    },
    Column {
        key: "distances",
        heading: "DISTANCES",
        unit: Unit::Count,
        explanation: "Distances between two samples of a series; with --extended.",
        value: |s| count(s.distances),
    },
    Column {
        key: "missed",
        heading: "MISSED",
        unit: Unit::Count,
        explanation: "Samples that are missing between them at this interval; with --extended.",
        value: |s| count(s.missed),
    },
    Column {
        key: "gaps",
        heading: "GAPS",
        unit: Unit::Count,
        explanation: "Distances in which five samples or more are missing; with --extended.",
        value: |s| count(s.gaps),
    },
    Column {
        key: "longest",
        heading: "LONGEST",
        unit: Unit::Millis,
        explanation: "The longest distance; with --extended.",
        value: |s| s.longest.map_or(Value::None, Value::Duration),
    },
    Column {
        key: "doubled",
        heading: "TOO EARLY",
        unit: Unit::Count,
        explanation: "Distances of less than half the interval: scraped twice; with --extended.",
        value: |s| count(s.doubled),
    },
];

/// One row for each reason.
pub(in crate::report) const CUTS: &[Column<CutRow>] = &[
    Column {
        key: "reason",
        heading: "CHUNKS END BY",
        unit: Unit::None,
        explanation: "Why chunks end, as far as a block shows: full, size, range-end, counter-reset, layout-change, gap, overlap, block-end, series-end or unknown.",
        value: |c| Value::text(c.cut.id()),
    },
    Column {
        key: "chunks",
        heading: "CHUNKS",
        unit: Unit::Count,
        explanation: "Number of chunks.",
        value: |c| Value::Count(c.chunks),
    },
    Column {
        key: "share",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Their share of all chunks.",
        value: |c| percent(c.chunks, c.of_chunks),
    },
    Column {
        key: "samples_per_chunk",
        heading: "SAMPLES/CHUNK",
        unit: Unit::Count,
        explanation: "Samples of such a chunk, on average.",
        value: |c| ratio(c.samples, c.chunks),
    },
    Column {
        key: "meaning",
        heading: "THAT IS",
        unit: Unit::None,
        explanation: "What it means.",
        value: |c| Value::text(c.cut.meaning()),
    },
];

fn percent(part: u64, all: u64) -> Value {
    ratio(part.saturating_mul(100), all)
}

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

fn name(name: Option<&String>) -> Value {
    name.map_or(Value::None, Value::text)
}
