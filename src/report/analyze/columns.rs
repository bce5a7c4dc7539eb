//! What is said of each row of an analysis.

use crate::capacity::{
    BlockRow, CrossRow, Cut, Group, JobChurn, LabelRow, LookRow, PairRow, Part, Scrapes, Step,
    Totals, Turnover, What,
};
use crate::inspect::FULL_CHUNK;
use crate::report::{Column, Unit, Value, ratio};

/// A column; all of this file have the same shape.
macro_rules! column {
    ($key:literal, $heading:literal, $unit:ident, $explanation:literal, $value:expr) => {
        Column {
            key: $key,
            heading: $heading,
            unit: Unit::$unit,
            explanation: $explanation,
            value: $value,
        }
    };
}

/// What is said of all blocks together.
pub(in crate::report) const SUMMARY: &[Column<Totals>] = &[
    column!(
        "blocks",
        "blocks",
        Count,
        "Number of blocks that were analysed.",
        |t| { Value::Count(t.blocks) }
    ),
    column!(
        "overlapping",
        "… overlapping",
        Count,
        "Blocks that begin before an earlier one ends: their samples may count twice.",
        |t| { some(t.overlapping) }
    ),
    column!(
        "superseded",
        "… superseded",
        Count,
        "Blocks that another one was compacted from: what they hold counts twice.",
        |t| { some(t.superseded) }
    ),
    column!(
        "min_time",
        "min time",
        Time,
        "Start of the earliest block.",
        |t| Value::Time(t.min_time)
    ),
    column!(
        "max_time",
        "max time",
        Time,
        "End of the latest block, exclusive.",
        |t| Value::Time(t.max_time)
    ),
    column!(
        "duration",
        "duration",
        Millis,
        "Length of the blocks' ranges together.",
        |t| { i64::try_from(t.block_time).map_or(Value::None, Value::Duration) }
    ),
    column!(
        "series",
        "series",
        Count,
        "Different series that were asked for.",
        |t| Value::Count(t.series)
    ),
    column!(
        "series_entries",
        "… entries",
        Count,
        "Entries of such series in indexes: one for each block a series is in.",
        |t| { Value::Count(t.series_entries) }
    ),
    column!(
        "series_left_out",
        "… left out",
        Count,
        "Series entries that were not asked for.",
        |t| some(t.left_out)
    ),
    column!(
        "one_sample_series",
        "… of one sample",
        Count,
        "Series entries with one sample.",
        |t| Value::Count(t.one_sample)
    ),
    column!(
        "chunks",
        "chunks",
        Count,
        "Chunks that were asked for.",
        |t| Value::Count(t.chunks)
    ),
    column!(
        "samples",
        "samples",
        Count,
        "Samples in these chunks, as their headers say.",
        |t| Value::Count(t.samples)
    ),
    column!(
        "scrape_interval",
        "scrape interval",
        Millis,
        "The distance most samples have in their chunk: a guess.",
        |t| {
            if t.interval == 0 {
                Value::None
            } else {
                Value::Duration(t.interval)
            }
        }
    ),
    column!(
        "bytes",
        "bytes",
        Bytes,
        "Size of all files of the blocks.",
        |t| Value::Bytes(t.bytes)
    ),
    column!(
        "index_bytes",
        "… indexes",
        Bytes,
        "Size of the indexes.",
        |t| Value::Bytes(t.index_bytes)
    ),
    column!(
        "chunk_bytes",
        "… segments",
        Bytes,
        "Size of the segments.",
        |t| Value::Bytes(t.chunk_bytes)
    ),
    column!(
        "bytes_per_sample",
        "bytes/sample",
        BytesPerSample,
        "Bytes of all files for each sample.",
        |t| ratio(t.bytes, t.samples)
    ),
    column!(
        "chunk_bytes_per_sample",
        "… of segments",
        BytesPerSample,
        "Bytes of segments for each sample.",
        |t| ratio(t.chunk_bytes, t.samples)
    ),
    column!(
        "bits_per_timestamp",
        "bits/timestamp",
        Bits,
        "Bits of a timestamp, on average, in chunks of encoding XOR; with --extended.",
        |t| { ratio(t.bits.time, t.bits.samples) }
    ),
    column!(
        "bits_per_value",
        "bits/value",
        Bits,
        "Bits of a value, on average, in chunks of encoding XOR, padding at a chunk's end included; with --extended.",
        |t| { ratio(t.bits.value, t.bits.samples) }
    ),
    column!(
        "full_chunks",
        "full chunks",
        Percent,
        "Share of float chunks with 120 samples or more.",
        |t| percent(t.full_chunks, t.float_chunks)
    ),
    column!(
        "fullness",
        "fullness",
        Percent,
        "Samples of an average float chunk, as a share of 120.",
        |t| { percent(t.float_samples, t.float_chunks.saturating_mul(FULL_CHUNK)) }
    ),
    column!(
        "label_names",
        "label names",
        Count,
        "Different label names of these series.",
        |t| Value::Count(t.label_names)
    ),
    column!(
        "label_pairs",
        "label pairs",
        Count,
        "Different label pairs of these series: postings lists.",
        |t| Value::Count(t.label_pairs)
    ),
    column!(
        "postings_entries",
        "postings",
        Count,
        "Labels of all series entries together: entries of these lists.",
        |t| Value::Count(t.postings)
    ),
    column!(
        "faults",
        "faults",
        Count,
        "Parts that could not be read; narthex verify says more.",
        |t| some(t.faults)
    ),
];

/// One row for each block.
pub(in crate::report) const BLOCKS: &[Column<BlockRow>] = &[
    column!("ulid", "BLOCK", None, "Identity of the block.", |b| {
        Value::text(b.ulid.to_string())
    }),
    column!("path", "", None, "The block's directory.", |b| Value::text(
        b.dir.display().to_string()
    )),
    column!("min_time", "MIN TIME", Time, "Start of its range.", |b| {
        Value::Time(b.min_time)
    }),
    column!(
        "max_time",
        "MAX TIME",
        Time,
        "End of its range, exclusive.",
        |b| Value::Time(b.max_time)
    ),
    column!("level", "LEVEL", Count, "Compaction level.", |b| {
        u64::try_from(b.level).map_or(Value::None, Value::Count)
    }),
    column!(
        "series",
        "SERIES",
        Count,
        "Series that were asked for.",
        |b| Value::Count(b.series)
    ),
    column!(
        "chunks",
        "CHUNKS",
        Count,
        "Their chunks.",
        |b| Value::Count(b.chunks)
    ),
    column!(
        "samples",
        "SAMPLES",
        Count,
        "Samples in these chunks.",
        |b| Value::Count(b.samples)
    ),
    column!("index_bytes", "INDEX", Bytes, "Size of the index.", |b| {
        Value::Bytes(b.index_bytes)
    }),
    column!(
        "chunk_bytes",
        "SEGMENTS",
        Bytes,
        "Size of the segments.",
        |b| Value::Bytes(b.chunk_bytes)
    ),
    column!("bytes", "BYTES", Bytes, "Size of all its files.", |b| {
        Value::Bytes(b.bytes())
    }),
    column!(
        "bytes_per_sample",
        "B/SAMPLE",
        BytesPerSample,
        "Bytes of all its files for each sample.",
        |b| ratio(b.bytes(), b.samples)
    ),
    column!(
        "faults",
        "FAULTS",
        Count,
        "Parts that could not be read.",
        |b| some(b.faults)
    ),
];

/// One row for each kind of bytes, with the bytes of all.
pub(in crate::report) const PARTS: &[Column<(Part, u64)>] = &[
    column!("file", "FILE", None, "The file it is in.", |(p, _)| {
        Value::text(p.file)
    }),
    column!(
        "part",
        "PART",
        None,
        "What it is; of index, the section.",
        |(p, _)| Value::text(p.name)
    ),
    column!(
        "bytes",
        "BYTES",
        Bytes,
        "Bytes of this kind in all blocks.",
        |(p, _)| Value::Bytes(p.bytes)
    ),
    column!("share", "%", Percent, "Its share of all files.", |(
        p,
        all,
    )| {
        percent(p.bytes, *all)
    }),
];

/// One row for each part of a partition.
pub(in crate::report) const GROUPS: &[Column<Group>] = &[
    column!(
        "value",
        "VALUE",
        None,
        "The value that these series have of the label; or in parentheses what else it is: (others), (without the label), (not selected), (shared by all).",
        |g| {
            Value::Text(match &g.what {
                What::Value(value) => value.clone(),
                What::Others(count) => format!("({count} others)"),
                What::Without => "(without the label)".to_owned(),
                What::NotSelected => "(not selected)".to_owned(),
                What::Shared => "(shared by all)".to_owned(),
            })
        }
    ),
    column!(
        "kind",
        "",
        None,
        "What the row is: value, others, without, not-selected or shared.",
        |g| {
            Value::text(match &g.what {
                What::Value(_) => "value",
                What::Others(_) => "others",
                What::Without => "without",
                What::NotSelected => "not-selected",
                What::Shared => "shared",
            })
        }
    ),
    column!(
        "bytes",
        "BYTES",
        Bytes,
        "Bytes of their chunks, and what they bear of indexes; all rows add up to the size of all files.",
        |g| Value::Bytes(g.bytes())
    ),
    column!("share", "%", Percent, "Its share of all files.", |g| {
        percent(g.bytes(), g.of_bytes)
    }),
    column!(
        "chunk_bytes",
        "CHUNK BYTES",
        Bytes,
        "Bytes of their chunks, with length, encoding and checksum.",
        |g| Value::Bytes(g.chunk_bytes)
    ),
    column!(
        "index_bytes",
        "INDEX BYTES",
        Bytes,
        "What they bear of indexes: series entries, entries in postings lists, and equal shares of what belongs to label pairs they carry.",
        |g| Value::Bytes(g.index_bytes)
    ),
    column!(
        "series",
        "SERIES",
        Count,
        "Series; one that is in several blocks counts in each.",
        |g| Value::Count(g.series)
    ),
    column!("chunks", "", Count, "Chunks.", |g| Value::Count(g.chunks)),
    column!("samples", "SAMPLES", Count, "Samples.", |g| Value::Count(
        g.samples
    )),
    column!(
        "sample_share",
        "",
        Percent,
        "Their share of all samples that were asked for.",
        |g| percent(g.samples, g.of_samples)
    ),
    column!(
        "bytes_per_sample",
        "B/SAMPLE",
        BytesPerSample,
        "Bytes for each sample.",
        |g| ratio(g.bytes(), g.samples)
    ),
    column!(
        "one_sample_series",
        "",
        Count,
        "Series with one sample.",
        |g| Value::Count(g.one_sample)
    ),
    column!(
        "born",
        "BORN",
        Count,
        "Series that begin more than three scrapes after their block.",
        |g| Value::Count(g.born)
    ),
    column!(
        "died",
        "DIED",
        Count,
        "Series that end more than three scrapes before their block.",
        |g| Value::Count(g.died)
    ),
    column!(
        "uncovered",
        "",
        Count,
        "How many series would fill the time that they do not cover of their blocks: what promtool calls most involved in churning.",
        |g| Value::Count(g.uncovered)
    ),
];

/// One row for each label name.
pub(in crate::report) const LABELS: &[Column<LabelRow>] = &[
    column!(
        "name",
        "LABEL",
        None,
        "The name; bytes that are not UTF-8 are replaced.",
        |l| Value::text(&l.name)
    ),
    column!("values", "VALUES", Count, "Different values.", |l| {
        Value::Count(l.values)
    }),
    column!(
        "value_bytes",
        "THEIR LENGTH",
        Bytes,
        "Bytes of these values, each counted once.",
        |l| Value::Bytes(l.value_bytes)
    ),
    column!(
        "series",
        "SERIES",
        Count,
        "Series that carry it; one that is in several blocks counts in each.",
        |l| Value::Count(l.series)
    ),
    column!(
        "own_bytes",
        "OWN BYTES",
        Bytes,
        "What the label costs: postings lists, their entries in the offset table, symbols, label index. These add up over all labels.",
        |l| Value::Bytes(l.own_bytes)
    ),
    column!(
        "own_share",
        "%",
        Percent,
        "Share of these bytes of all files.",
        |l| percent(l.own_bytes, l.of_bytes)
    ),
    column!(
        "carried_bytes",
        "BYTES OF SERIES",
        Bytes,
        "Bytes of the series that carry it. They overlap: a series counts for each of its labels.",
        |l| Value::Bytes(l.carried_bytes)
    ),
    column!(
        "uncovered",
        "UNCOVERED",
        Count,
        "How many series would fill the time that the series that carry it do not cover of their blocks: what promtool calls most involved in churning.",
        |l| Value::Count(l.uncovered)
    ),
];

/// One row for each label pair.
pub(in crate::report) const PAIRS: &[Column<PairRow>] = &[
    column!(
        "name",
        "LABEL",
        None,
        "Name of the label; bytes that are not UTF-8 are replaced.",
        |p| Value::text(&p.name)
    ),
    column!(
        "value",
        "VALUE",
        None,
        "Its value; bytes that are not UTF-8 are replaced.",
        |p| Value::text(&p.value)
    ),
    column!(
        "series",
        "SERIES",
        Count,
        "Series that carry the pair; one that is in several blocks counts in each.",
        |p| Value::Count(p.series)
    ),
    column!("samples", "SAMPLES", Count, "Their samples.", |p| {
        Value::Count(p.samples)
    }),
    column!(
        "own_bytes",
        "OWN BYTES",
        Bytes,
        "What the pair costs: its postings list, the entry in the offset table, its value's symbol. These add up over all pairs, but for rounding.",
        |p| Value::Bytes(p.own_bytes)
    ),
    column!(
        "carried_bytes",
        "BYTES OF SERIES",
        Bytes,
        "Bytes of the series that carry it. They overlap: a series counts for each of its pairs.",
        |p| Value::Bytes(p.carried_bytes)
    ),
    column!(
        "carried_share",
        "%",
        Percent,
        "Share of these bytes of all files.",
        |p| percent(p.carried_bytes, p.of_bytes)
    ),
    column!(
        "uncovered",
        "UNCOVERED",
        Count,
        "How many series would fill the time that these series do not cover of their blocks: what promtool calls most involved in churning.",
        |p| Value::Count(p.uncovered)
    ),
];

/// One row for each label of a metric.
pub(in crate::report) const CROSS: &[Column<CrossRow>] = &[
    column!("metric", "METRIC", None, "Name of the metric.", |c| {
        Value::text(&c.metric)
    }),
    column!(
        "metric_series",
        "SERIES",
        Count,
        "Its series; one that is in several blocks counts in each.",
        |c| Value::Count(c.metric_series)
    ),
    column!("label", "LABEL", None, "Name of the label.", |c| {
        Value::text(&c.label)
    }),
    column!(
        "values",
        "VALUES",
        Count,
        "Different values that the label has in this metric. Over several blocks: in those where the metric is one of the 20 with most series.",
        |c| Value::Count(c.values)
    ),
    column!(
        "series",
        "WITH LABEL",
        Count,
        "Series of the metric that carry the label.",
        |c| Value::Count(c.series)
    ),
];

/// One row for each label whose values look alike.
pub(in crate::report) const LOOKS: &[Column<LookRow>] = &[
    column!("label", "LABEL", None, "Name of the label.", |l| {
        Value::text(&l.label)
    }),
    column!(
        "look",
        "LOOKS LIKE",
        None,
        "What values look like: uuid, address, timestamp, hash, pod or number.",
        |l| Value::text(l.look.id())
    ),
    column!(
        "values",
        "VALUES",
        Count,
        "Values that look like it.",
        |l| Value::Count(l.values)
    ),
    column!(
        "share",
        "%",
        Percent,
        "Their share of the label's values.",
        |l| percent(l.values, l.of_values)
    ),
    column!(
        "series",
        "SERIES",
        Count,
        "Series that carry one of them.",
        |l| Value::Count(l.series)
    ),
    column!(
        "own_bytes",
        "OWN BYTES",
        Bytes,
        "What these pairs cost by themselves.",
        |l| Value::Bytes(l.own_bytes)
    ),
    column!(
        "example",
        "FOR EXAMPLE",
        None,
        "The first of these values.",
        |l| Value::text(&l.example)
    ),
];

/// One row for each part of the range of time.
pub(in crate::report) const STEPS: &[Column<Step>] = &[
    column!("start", "FROM", Time, "Where it begins.", |s| Value::Time(
        s.start
    )),
    column!("end", "TO", Time, "Where it ends, exclusive.", |s| {
        Value::Time(s.end)
    }),
    column!(
        "before",
        "SERIES",
        Count,
        "Series that were there when it began; in the first part, from the start.",
        |s| Value::Count(s.before)
    ),
    column!(
        "born",
        "BORN",
        Count,
        "Series whose first sample lies in it.",
        |s| Value::Count(s.born)
    ),
    column!(
        "died",
        "DIED",
        Count,
        "Series whose last sample lies in it, and not at the end of everything.",
        |s| Value::Count(s.died)
    ),
    column!(
        "after",
        "LEFT",
        Count,
        "Series that are there when it ends.",
        |s| Value::Count(s.after)
    ),
];

/// One row for each job.
pub(in crate::report) const JOBS: &[Column<JobChurn>] = &[
    column!(
        "job",
        "JOB",
        None,
        "The job; null for series without the label.",
        |j| name(j.job.as_ref())
    ),
    column!(
        "series",
        "SERIES",
        Count,
        "Different series, over all blocks.",
        |j| Value::Count(j.series)
    ),
    column!(
        "from_start",
        "",
        Count,
        "Series that are there from the start.",
        |j| Value::Count(j.from_start)
    ),
    column!("born", "BORN", Count, "Series that begin later.", |j| {
        Value::Count(j.born)
    }),
    column!(
        "died",
        "DIED",
        Count,
        "Series that end before the end.",
        |j| Value::Count(j.died)
    ),
    column!(
        "survived",
        "SURVIVED",
        Count,
        "Series that are there from start to end.",
        |j| Value::Count(j.survived)
    ),
    column!(
        "survived_share",
        "%",
        Percent,
        "Their share of the job's series.",
        |j| percent(j.survived, j.series)
    ),
    column!(
        "one_sample_series",
        "OF ONE SAMPLE",
        Count,
        "Series with one sample.",
        |j| Value::Count(j.one_sample)
    ),
    column!(
        "median_life",
        "MEDIAN LIFE",
        Millis,
        "The time between first and last sample that half of the series do not exceed.",
        |j| Value::Duration(j.median_life)
    ),
];

/// One row for each label whose values come and go.
pub(in crate::report) const TURNOVER: &[Column<Turnover>] = &[
    column!("label", "LABEL", None, "Name of the label.", |t| {
        Value::text(&t.label)
    }),
    column!("values", "VALUES", Count, "Different values.", |t| {
        Value::Count(t.values)
    }),
    column!(
        "new_values",
        "NEW",
        Count,
        "Values that no series had when its block began.",
        |t| Value::Count(t.new_values)
    ),
    column!(
        "born",
        "BORN SERIES",
        Count,
        "Series that were born within a block and carry the label.",
        |t| Value::Count(t.born)
    ),
    column!(
        "born_with_new",
        "WITH A NEW VALUE",
        Count,
        "Those of them whose value was new: the label's turnover.",
        |t| Value::Count(t.born_with_new)
    ),
    column!(
        "gone_values",
        "GONE",
        Count,
        "Values of which no series lived until its block ended.",
        |t| Value::Count(t.gone_values)
    ),
    column!(
        "died_with_gone",
        "DIED WITH IT",
        Count,
        "Series that died within a block with such a value.",
        |t| Value::Count(t.died_with_gone)
    ),
];

/// One row for each job.
pub(in crate::report) const SCRAPES: &[Column<Scrapes>] = &[
    column!(
        "job",
        "JOB",
        None,
        "The job; null for series without the label.",
        |s| name(s.job.as_ref())
    ),
    column!(
        "interval",
        "INTERVAL",
        Millis,
        "The most common distance of two samples, rounded to three digits; without --extended, of averages in chunks.",
        |s| Value::Duration(s.interval)
    ),
    column!(
        "interval_share",
        "%",
        Percent,
        "Share of samples that have this distance.",
        |s| Value::Number(s.share * 100.0)
    ),
    column!(
        "distances",
        "DISTANCES",
        Count,
        "Distances between two samples of a series; with --extended.",
        |s| count(s.distances)
    ),
    column!(
        "missed",
        "MISSED",
        Count,
        "Samples that are missing between them at this interval; with --extended.",
        |s| count(s.missed)
    ),
    column!(
        "gaps",
        "GAPS",
        Count,
        "Distances in which five samples or more are missing; with --extended.",
        |s| count(s.gaps)
    ),
    column!(
        "longest",
        "LONGEST",
        Millis,
        "The longest distance; with --extended.",
        |s| s.longest.map_or(Value::None, Value::Duration)
    ),
    column!(
        "doubled",
        "TOO EARLY",
        Count,
        "Distances of less than half the interval: scraped twice; with --extended.",
        |s| count(s.doubled)
    ),
];

/// One row for each reason: chunks, samples, chunks of all.
pub(in crate::report) const CUTS: &[Column<((Cut, u64, u64), u64)>] = &[
    column!(
        "reason",
        "CHUNKS END BY",
        None,
        "Why chunks end, as far as a block shows: full, size, range-end, spread-evenly, counter-reset, layout-change, gap, overlap, block-end, series-end or unknown.",
        |((cut, _, _), _)| Value::text(cut.id())
    ),
    column!("chunks", "CHUNKS", Count, "Number of chunks.", |(
        (_, chunks, _),
        _,
    )| {
        Value::Count(*chunks)
    }),
    column!("share", "%", Percent, "Their share of all chunks.", |(
        (_, chunks, _),
        all,
    )| {
        percent(*chunks, *all)
    }),
    column!(
        "samples_per_chunk",
        "SAMPLES/CHUNK",
        Count,
        "Samples of such a chunk, on average.",
        |((_, chunks, samples), _)| ratio(*samples, *chunks)
    ),
    column!("meaning", "THAT IS", None, "What it means.", |(
        (cut, _, _),
        _,
    )| {
        Value::text(cut.meaning())
    }),
];

fn percent(part: u64, all: u64) -> Value {
    ratio(part.saturating_mul(100), all)
}

/// A number that is only worth a word when it is not zero.
fn some(number: u64) -> Value {
    Value::Count(number)
}

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

fn name(name: Option<&String>) -> Value {
    name.map_or(Value::None, Value::text)
}
