//! Reports about two sets of blocks: what they do not share.

use super::{Column, Extent, InJson, Rows, Sheet, SheetOf, Unit, Value};
use crate::compare::{
    self, Comparison, Contrast, Difference, Equality, Files, MetricChange, NamedSeries, Range,
    SideTotals,
};
use crate::model::STALE_NAN;
use crate::select::ReadProblem;

/// One side, and where it comes from.
#[derive(Debug)]
pub struct Side {
    /// `a` or `b`.
    pub name: &'static str,
    /// As it was typed.
    pub source: String,
    /// What it holds.
    pub totals: SideTotals,
}

/// One row for each side.
pub static SIDES: Sheet<[Side], Side> = Sheet {
    name: "side",
    title: "Sides",
    row: "side",
    json: InJson::List("sides"),
    rows: |sides, _| Rows::of(sides),
    columns: &[
        Column {
            key: "side",
            heading: "SIDE",
            unit: Unit::None,
            weight: 9,
            explanation: "`a` or `b`.",
            value: |s| Value::text(s.name),
        },
        Column {
            key: "source",
            heading: "SOURCE",
            unit: Unit::None,
            weight: 8,
            explanation: "The directory or archive, as it was typed.",
            value: |s| Value::text(&s.source),
        },
        Column {
            key: "blocks",
            heading: "BLOCKS",
            unit: Unit::Count,
            weight: 5,
            explanation: "Blocks that were read.",
            value: |s| Value::Count(s.totals.blocks),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 6,
            explanation: "Series with samples; those of several blocks that have the same labels are one.",
            value: |s| Value::Count(s.totals.series),
        },
        Column {
            key: "samples",
            heading: "SAMPLES",
            unit: Unit::Count,
            weight: 7,
            explanation: "Samples that a query would find: each time once, deleted ones left out.",
            value: |s| Value::Count(s.totals.samples),
        },
        Column {
            key: "chunk_bytes",
            heading: "CHUNKS",
            unit: Unit::Bytes,
            weight: 4,
            explanation: "Size of the data of the chunks they were read from.",
            value: |s| Value::Bytes(s.totals.chunk_bytes),
        },
        Column {
            key: "deleted",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Samples left out because tombstones delete them.",
            value: |s| Value::Count(s.totals.deleted),
        },
        Column {
            key: "duplicates",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Samples left out because another block has one for the same time.",
            value: |s| Value::Count(s.totals.duplicates),
        },
        Column {
            key: "problems",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Things that could not be read, or were not what the block says of them.",
            value: |s| Value::Count(s.totals.problems),
        },
        Column {
            key: "unsorted",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series that stand in the wrong order; if there are any, counts of differences are too high.",
            value: |s| Value::Count(s.totals.unsorted),
        },
        Column {
            key: "content_sha256",
            heading: "CONTENT",
            unit: Unit::None,
            weight: 3,
            explanation: "Digest of all series and samples, whatever blocks they stand in; see docs/compare.md.",
            value: |s| Value::text(s.totals.content.to_string()),
        },
        Column {
            key: "labels_sha256",
            heading: "",
            unit: Unit::None,
            weight: 1,
            explanation: "Digest of the labels of all series with samples; see docs/compare.md.",
            value: |s| Value::text(s.totals.labels.to_string()),
        },
    ],
};

/// How many series and samples differ.
pub static COUNTS: Sheet<Comparison, Comparison> = Sheet {
    name: "count",
    title: "How many series and samples differ",
    row: "comparison",
    json: InJson::Object("counts"),
    rows: |found, _| Rows::one(found),
    columns: &[
        Column {
            key: "series_only_a",
            heading: "series only in A",
            unit: Unit::Count,
            weight: 9,
            explanation: "Series of which only A has samples.",
            value: |c| Value::Count(c.series.only_a),
        },
        Column {
            key: "series_only_b",
            heading: "series only in B",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series of which only B has samples.",
            value: |c| Value::Count(c.series.only_b),
        },
        Column {
            key: "series_equal",
            heading: "series equal",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that both sides have with the same samples.",
            value: |c| Value::Count(c.series.equal),
        },
        Column {
            key: "series_different",
            heading: "series different",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that both sides have, with some sample that differs.",
            value: |c| Value::Count(c.series.different),
        },
        Column {
            key: "series_grew",
            heading: "  grew",
            unit: Unit::Count,
            weight: 5,
            explanation: "Of the different series, those with more samples in B.",
            value: |c| Value::Count(c.series.grew),
        },
        Column {
            key: "series_shrank",
            heading: "  shrank",
            unit: Unit::Count,
            weight: 5,
            explanation: "Of the different series, those with fewer samples in B.",
            value: |c| Value::Count(c.series.shrank),
        },
        Column {
            key: "series_other_range",
            heading: "  other range",
            unit: Unit::Count,
            weight: 5,
            explanation: "Of the different series, those that begin or end at another time.",
            value: |c| Value::Count(c.series.other_range),
        },
        Column {
            key: "samples_equal",
            heading: "samples equal",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of series that both sides have, equal bit for bit.",
            value: |c| Value::Count(c.samples.equal),
        },
        Column {
            key: "samples_only_a",
            heading: "samples only in A",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of series that both sides have, for whose time B has none.",
            value: |c| Value::Count(c.samples.only_a),
        },
        Column {
            key: "samples_only_b",
            heading: "samples only in B",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of series that both sides have, for whose time A has none.",
            value: |c| Value::Count(c.samples.only_b),
        },
        Column {
            key: "samples_different",
            heading: "samples different",
            unit: Unit::Count,
            weight: 5,
            explanation: "Samples of series that both sides have, with another value for the same time.",
            value: |c| Value::Count(c.samples.different),
        },
    ],
};

/// One row for each metric.
pub static METRICS: Sheet<Comparison, MetricChange> = Sheet {
    name: "metric",
    title: "Metrics that differ, largest changes first",
    row: "metric",
    json: InJson::List("metrics"),
    rows: changed_metrics,
    columns: &[
        Column {
            key: "metric",
            heading: "METRIC",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the metric; null for series that have none.",
            value: |m| match &m.metric {
                Some(name) => Value::text(String::from_utf8_lossy(name)),
                None => Value::None,
            },
        },
        Column {
            key: "series_a",
            heading: "SERIES A",
            unit: Unit::Count,
            weight: 5,
            explanation: "Its series in A.",
            value: |m| Value::Count(m.a.series),
        },
        Column {
            key: "series_b",
            heading: "SERIES B",
            unit: Unit::Count,
            weight: 5,
            explanation: "Its series in B.",
            value: |m| Value::Count(m.b.series),
        },
        Column {
            key: "only_a",
            heading: "ONLY A",
            unit: Unit::Count,
            weight: 7,
            explanation: "Series that only A has.",
            value: |m| Value::Count(m.only_a),
        },
        Column {
            key: "only_b",
            heading: "ONLY B",
            unit: Unit::Count,
            weight: 7,
            explanation: "Series that only B has.",
            value: |m| Value::Count(m.only_b),
        },
        Column {
            key: "different",
            heading: "DIFFERENT",
            unit: Unit::Count,
            weight: 8,
            explanation: "Series that both have, with some sample that differs.",
            value: |m| Value::Count(m.different),
        },
        Column {
            key: "samples_a",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Its samples in A.",
            value: |m| Value::Count(m.a.samples),
        },
        Column {
            key: "samples_b",
            heading: "SAMPLES B",
            unit: Unit::Count,
            weight: 4,
            explanation: "Its samples in B.",
            value: |m| Value::Count(m.b.samples),
        },
        Column {
            key: "samples_change",
            heading: "CHANGE",
            unit: Unit::CountChange,
            weight: 6,
            explanation: "Samples in B less those in A.",
            value: |m| Value::SignedCount(m.samples_change()),
        },
        Column {
            key: "samples_growth",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "The same in percent of A.",
            value: |m| Value::number(m.samples_growth()),
        },
        Column {
            key: "chunk_bytes_a",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Size of the data of its chunks in A.",
            value: |m| Value::Bytes(m.a.chunk_bytes),
        },
        Column {
            key: "chunk_bytes_b",
            heading: "CHUNKS B",
            unit: Unit::Bytes,
            weight: 2,
            explanation: "Size of the data of its chunks in B.",
            value: |m| Value::Bytes(m.b.chunk_bytes),
        },
        Column {
            key: "chunk_bytes_change",
            heading: "BYTES",
            unit: Unit::BytesChange,
            weight: 3,
            explanation: "Chunk bytes in B less those in A.",
            value: |m| Value::SignedBytes(m.bytes_change()),
        },
        Column {
            key: "chunk_bytes_growth",
            heading: "%",
            unit: Unit::Percent,
            weight: 2,
            explanation: "The same in percent of A.",
            value: |m| Value::number(m.bytes_growth()),
        },
    ],
};

/// The series that only A has.
pub static ONLY_IN_A: Sheet<Comparison, NamedSeries> = Sheet {
    name: "only-in-a",
    title: "Series only in A",
    row: "series",
    json: InJson::List("only_in_a"),
    rows: |found, _| Rows::of(&found.only_in_a).of_all(Some(found.series.only_a)),
    columns: SERIES,
};

/// The series that only B has.
pub static ONLY_IN_B: Sheet<Comparison, NamedSeries> = Sheet {
    name: "only-in-b",
    title: "Series only in B",
    row: "series",
    json: InJson::List("only_in_b"),
    rows: |found, _| Rows::of(&found.only_in_b).of_all(Some(found.series.only_b)),
    columns: SERIES,
};

const SERIES: &[Column<NamedSeries>] = &[
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::None,
        weight: 9,
        explanation: "Its labels, as a selector.",
        value: |s| Value::text(s.labels.to_string()),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Its samples.",
        value: |s| Value::Count(s.samples),
    },
    Column {
        key: "min_time",
        heading: "FIRST",
        unit: Unit::Time,
        weight: 5,
        explanation: "Time of the first.",
        value: |s| Value::Time(s.min_time),
    },
    Column {
        key: "max_time",
        heading: "LAST",
        unit: Unit::Time,
        weight: 5,
        explanation: "Time of the last.",
        value: |s| Value::Time(s.max_time),
    },
];

/// One row for each sample that differs.
pub static DIFFERENCES: Sheet<Comparison, Difference> = Sheet {
    name: "difference",
    title: "Samples that differ",
    row: "sample",
    json: InJson::List("differences"),
    rows: |found, _| {
        let samples = &found.samples;
        let all = samples.only_a + samples.only_b + samples.different;
        Rows::of(&found.differences).of_all(Some(all))
    },
    columns: &[
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::None,
            weight: 9,
            explanation: "Labels of the series, as a selector.",
            value: |d| Value::text(d.labels.to_string()),
        },
        Column {
            key: "time",
            heading: "TIME",
            unit: Unit::Time,
            weight: 9,
            explanation: "Time of the sample.",
            value: |d| Value::Time(d.time),
        },
        Column {
            key: "differs",
            heading: "DIFFERS",
            unit: Unit::None,
            weight: 8,
            explanation: "In what: `only in a`, `only in b`, `kind` (a float and a histogram, or integer and float counts), `value` (for a \
                      histogram: number or sum of observations), `start` (the start timestamp), `buckets`.",
            value: |d| {
                Value::text(match d.contrast {
                    Contrast::OnlyInA => "only in a",
                    Contrast::OnlyInB => "only in b",
                    Contrast::Kind => "kind",
                    Contrast::Value => "value",
                    Contrast::Start => "start",
                    Contrast::Buckets => "buckets",
                })
            },
        },
        Column {
            key: "a",
            heading: "A",
            unit: Unit::None,
            weight: 7,
            explanation: "Value in A, as words; null where it has none.",
            value: |d| d.a.map_or(Value::None, sample),
        },
        Column {
            key: "b",
            heading: "B",
            unit: Unit::None,
            weight: 7,
            explanation: "Value in B, as words; null where it has none.",
            value: |d| d.b.map_or(Value::None, sample),
        },
    ],
};

/// The time that only blocks of A cover.
pub static COVERED_BY_A: Sheet<Comparison, Range> = Sheet {
    name: "covered-by-a",
    title: "Covered by blocks of A only",
    row: "range of time",
    json: InJson::List("covered_only_by_a"),
    rows: |found, _| Rows::of(&found.covered_by_a),
    columns: RANGES,
};

/// The time that only blocks of B cover.
pub static COVERED_BY_B: Sheet<Comparison, Range> = Sheet {
    name: "covered-by-b",
    title: "Covered by blocks of B only",
    row: "range of time",
    json: InJson::List("covered_only_by_b"),
    rows: |found, _| Rows::of(&found.covered_by_b),
    columns: RANGES,
};

const RANGES: &[Column<Range>] = &[
    Column {
        key: "min_time",
        heading: "FROM",
        unit: Unit::Time,
        weight: 9,
        explanation: "Its begin.",
        value: |r| Value::Time(r.min_time),
    },
    Column {
        key: "max_time",
        heading: "UNTIL",
        unit: Unit::Time,
        weight: 5,
        explanation: "Its end, exclusive.",
        value: |r| Value::Time(r.max_time),
    },
];

/// What became of comparing files.
pub static FILES: Sheet<Files, Files> = Sheet {
    name: "file",
    title: "Files that were compared",
    row: "comparison",
    json: InJson::Object("files"),
    rows: |files, _| Rows::one(files),
    columns: &[
        Column {
            key: "same",
            heading: "files the same",
            unit: Unit::Count,
            weight: 9,
            explanation: "Files that were compared and are the same.",
            value: |f| Value::Count(f.same),
        },
        Column {
            key: "bytes",
            heading: "bytes the same",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Their size.",
            value: |f| Value::Bytes(f.bytes),
        },
        Column {
            key: "first_difference",
            heading: "first difference",
            unit: Unit::None,
            weight: 5,
            explanation: "What differs; nothing was compared after it.",
            value: |f| f.first_difference.clone().map_or(Value::None, Value::Text),
        },
    ],
};

/// The lists of a comparison, in the order of its JSON.
pub const LISTS: &[&dyn SheetOf<Comparison>] = &[
    &METRICS,
    &ONLY_IN_A,
    &ONLY_IN_B,
    &DIFFERENCES,
    &COVERED_BY_A,
    &COVERED_BY_B,
];

fn changed_metrics(found: &Comparison, extent: Extent) -> Rows<'_, MetricChange> {
    let changed = || found.metrics.iter().filter(|metric| metric.is_changed());
    let first = changed().take(extent.most()).cloned().collect();
    Rows::made(first).of_all(Some(changed().count() as u64))
}

/// How far the sides are equal, as a key.
pub fn equality_key(equality: Equality) -> &'static str {
    match equality {
        Equality::None => "none",
        Equality::Series => "series",
        Equality::Samples => "samples",
        Equality::Files => "files",
    }
}

/// How far the sides are equal, as a sentence.
pub fn verdict(equality: Equality, is_complete: bool) -> String {
    let equal = match equality {
        Equality::None => "different: not even the series are the same",
        Equality::Series => "different samples of the same series",
        Equality::Samples => "equal: all samples are the same, bit for bit",
        Equality::Files => "equal: all files are the same, byte for byte",
    };
    if is_complete {
        equal.to_owned()
    } else {
        format!("{equal}, as far as they could be read")
    }
}

/// A problem on one line, with the side it is on.
pub fn problem(side: compare::SideName, problem: &ReadProblem) -> String {
    let problem = problem.to_string();
    match side {
        compare::SideName::A => format!("A: {problem}"),
        compare::SideName::B => format!("B: {problem}"),
    }
}

/// A sample as words.
fn sample(value: compare::SampleText) -> Value {
    Value::Text(match value {
        compare::SampleText::Float(bits) => float(bits),
        compare::SampleText::Histogram { sum, .. }
        | compare::SampleText::FloatHistogram { sum, .. }
            if sum == STALE_NAN =>
        {
            "stale histogram".to_owned()
        }
        compare::SampleText::Histogram { count, sum } => {
            format!("histogram: count {count}, sum {}", float(sum))
        }
        compare::SampleText::FloatHistogram { count, sum } => {
            format!(
                "float histogram: count {}, sum {}",
                float(count),
                float(sum)
            )
        }
    })
}

fn float(bits: u64) -> String {
    let value = f64::from_bits(bits);
    if bits == STALE_NAN {
        "stale".to_owned()
    } else if value.is_nan() {
        format!("NaN ({bits:016x})")
    } else {
        value.to_string()
    }
}
