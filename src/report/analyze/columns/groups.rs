//! What is said of metrics, jobs, values, labels and pairs.

use super::percent;
use crate::capacity::{Analysis, CrossRow, GroupRow, LabelRow, LookRow, PairRow, Rank, What};
use crate::report::{Column, Extent, InJson, Rows, Sheet, Unit, Value, ratio};

/// Labels of each metric at a glance.
const LABELS_OF_A_METRIC: usize = 3;
/// Metrics whose labels are shown at a glance.
const METRICS_WITH_LABELS: usize = 5;
/// Pairs in a document with all sheets when nothing else is said.
const PAIRS_IN_A_DOCUMENT: usize = 1000;

/// Series by metric.
pub(in crate::report) static METRICS: Sheet<Analysis, GroupRow> = Sheet {
    name: "metric",
    title: "Metrics by bytes",
    row: "metric",
    json: InJson::List("metrics"),
    rows: |analysis, extent| Rows::made(analysis.groups(b"__name__", extent.limit())),
    columns: GROUPS,
};

/// Series by job.
pub(in crate::report) static JOBS_BY_BYTES: Sheet<Analysis, GroupRow> = Sheet {
    name: "job",
    title: "Jobs by bytes",
    row: "job",
    json: InJson::List("jobs"),
    rows: |analysis, extent| Rows::made(analysis.groups(b"job", extent.limit())),
    columns: GROUPS,
};

/// Series by the values of a label that is asked for.
pub(in crate::report) static VALUES: Sheet<[GroupRow], GroupRow> = Sheet {
    name: "label=NAME",
    title: "Values of a label by bytes",
    row: "value",
    json: InJson::Alone,
    rows: |groups, _| Rows::of(groups),
    columns: GROUPS,
};

/// Label pairs, those first whose series have most bytes.
pub(in crate::report) static PAIRS: Sheet<Analysis, PairRow> = Sheet {
    name: "pair",
    title: "Label pairs by bytes of their series",
    row: "label pair",
    json: InJson::List("pairs"),
    rows: |analysis, extent| pairs(analysis, Rank::Carried, extent),
    columns: PAIR,
};

/// Label pairs, those first that most series have.
pub(in crate::report) static COMMON_PAIRS: Sheet<Analysis, PairRow> = Sheet {
    name: "pair-series",
    title: "Label pairs by series",
    row: "label pair",
    json: InJson::List("common_pairs"),
    rows: |analysis, extent| match extent {
        Extent::Glance(_) => Rows::none(),
        _ => pairs(analysis, Rank::Series, extent),
    },
    columns: PAIR,
};

/// Label pairs, those first whose series leave most time uncovered.
pub(in crate::report) static CHURNING_PAIRS: Sheet<Analysis, PairRow> = Sheet {
    name: "pair-churn",
    title: "Label pairs by time that their series do not cover",
    row: "label pair",
    json: InJson::List("churning_pairs"),
    rows: |analysis, extent| pairs(analysis, Rank::Uncovered, extent),
    columns: PAIR,
};

fn pairs(analysis: &Analysis, by: Rank, extent: Extent) -> Rows<'_, PairRow> {
    let top = match extent {
        Extent::Document => Some(PAIRS_IN_A_DOCUMENT),
        _ => extent.limit(),
    };
    Rows::made(analysis.pairs(by, top)).of_all(None)
}

fn cross(analysis: &Analysis, extent: Extent) -> Rows<'_, CrossRow> {
    let (metrics, labels) = match extent {
        Extent::Glance(_) => (METRICS_WITH_LABELS, LABELS_OF_A_METRIC),
        _ => (extent.most(), extent.most()),
    };
    Rows::made(analysis.cross(metrics, labels)).of_all(None)
}

/// One row for each part of a partition.
const GROUPS: &[Column<GroupRow>] = &[
    Column {
        key: "value",
        heading: "VALUE",
        unit: Unit::None,
        weight: 9,
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
        weight: 1,
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
        weight: 5,
        explanation: "Bytes of their chunks, and what they bear of indexes; all rows add up to the size of all files.",
        value: |g| Value::Bytes(g.bytes()),
    },
    Column {
        key: "share",
        heading: "%",
        unit: Unit::Percent,
        weight: 5,
        explanation: "Its share of all files.",
        value: |g| percent(g.bytes(), g.of_bytes),
    },
    Column {
        key: "chunk_bytes",
        heading: "CHUNK BYTES",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "Bytes of their chunks, with length, encoding and checksum.",
        value: |g| Value::Bytes(g.chunk_bytes),
    },
    Column {
        key: "index_bytes",
        heading: "INDEX BYTES",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "What they bear of indexes: series entries, entries in postings lists, and equal shares of what belongs to label pairs they carry.",
        value: |g| Value::Bytes(g.index_bytes),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Series; one that is in several blocks counts in each.",
        value: |g| Value::Count(g.series),
    },
    Column {
        key: "chunks",
        heading: "",
        unit: Unit::Count,
        weight: 1,
        explanation: "Chunks.",
        value: |g| Value::Count(g.chunks),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Samples.",
        value: |g| Value::Count(g.samples),
    },
    Column {
        key: "sample_share",
        heading: "",
        unit: Unit::Percent,
        weight: 1,
        explanation: "Their share of all samples that were asked for.",
        value: |g| percent(g.samples, g.of_samples),
    },
    Column {
        key: "bytes_per_sample",
        heading: "B/SAMPLE",
        unit: Unit::BytesPerSample,
        weight: 5,
        explanation: "Bytes for each sample.",
        value: |g| ratio(g.bytes(), g.samples),
    },
    Column {
        key: "one_sample_series",
        heading: "",
        unit: Unit::Count,
        weight: 1,
        explanation: "Series with one sample.",
        value: |g| Value::Count(g.one_sample),
    },
    Column {
        key: "born",
        heading: "BORN",
        unit: Unit::Count,
        weight: 5,
        explanation: "Different series that begin more than three scrapes after the first block does.",
        value: |g| Value::Count(g.born),
    },
    Column {
        key: "died",
        heading: "DIED",
        unit: Unit::Count,
        weight: 5,
        explanation: "Different series that end more than three scrapes before the last block does.",
        value: |g| Value::Count(g.died),
    },
    Column {
        key: "uncovered",
        heading: "",
        unit: Unit::Count,
        weight: 1,
        explanation: "How many series would fill the time that they do not cover of their blocks: what promtool calls most involved in churning.",
        value: |g| Value::Count(g.uncovered),
    },
];

/// One row for each label name.
pub(in crate::report) static LABELS: Sheet<Analysis, LabelRow> = Sheet {
    name: "label",
    title: "Labels by different values",
    row: "label name",
    json: InJson::List("labels"),
    rows: |analysis, extent| Rows::first_made(analysis.labels(), extent),
    columns: &[
        Column {
            key: "name",
            heading: "LABEL",
            unit: Unit::None,
            weight: 9,
            explanation: "The name; bytes that are not UTF-8 are replaced.",
            value: |l| Value::text(&l.name),
        },
        Column {
            key: "values",
            heading: "VALUES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different values.",
            value: |l| Value::Count(l.values),
        },
        Column {
            key: "value_bytes",
            heading: "THEIR LENGTH",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of these values, each counted once.",
            value: |l| Value::Bytes(l.value_bytes),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that carry it; one that is in several blocks counts in each.",
            value: |l| Value::Count(l.series),
        },
        Column {
            key: "own_bytes",
            heading: "OWN BYTES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "What the label costs: postings lists, their entries in the offset table, symbols, label index. These add up over all labels.",
            value: |l| Value::Bytes(l.own_bytes),
        },
        Column {
            key: "own_share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Share of these bytes of all files.",
            value: |l| percent(l.own_bytes, l.of_bytes),
        },
        Column {
            key: "carried_bytes",
            heading: "BYTES OF SERIES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Bytes of the series that carry it. They overlap: a series counts for each of its labels.",
            value: |l| Value::Bytes(l.carried_bytes),
        },
        Column {
            key: "uncovered",
            heading: "UNCOVERED",
            unit: Unit::Count,
            weight: 5,
            explanation: "How many series would fill the time that the series that carry it do not cover of their blocks: what promtool calls most involved in churning.",
            value: |l| Value::Count(l.uncovered),
        },
    ],
};

/// What is said of a label pair.
const PAIR: &[Column<PairRow>] = &[
    Column {
        key: "name",
        heading: "LABEL",
        unit: Unit::None,
        weight: 9,
        explanation: "Name of the label; bytes that are not UTF-8 are replaced.",
        value: |p| Value::text(&p.name),
    },
    Column {
        key: "value",
        heading: "VALUE",
        unit: Unit::None,
        weight: 9,
        explanation: "Its value; bytes that are not UTF-8 are replaced.",
        value: |p| Value::text(&p.value),
    },
    Column {
        key: "series",
        heading: "SERIES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Series that carry the pair; one that is in several blocks counts in each.",
        value: |p| Value::Count(p.series),
    },
    Column {
        key: "samples",
        heading: "SAMPLES",
        unit: Unit::Count,
        weight: 5,
        explanation: "Their samples.",
        value: |p| Value::Count(p.samples),
    },
    Column {
        key: "own_bytes",
        heading: "OWN BYTES",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "What the pair costs: its postings list, the entry in the offset table, its value's symbol. These add up over all pairs, but for rounding.",
        value: |p| Value::Bytes(p.own_bytes),
    },
    Column {
        key: "carried_bytes",
        heading: "BYTES OF SERIES",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "Bytes of the series that carry it. They overlap: a series counts for each of its pairs.",
        value: |p| Value::Bytes(p.carried_bytes),
    },
    Column {
        key: "carried_share",
        heading: "%",
        unit: Unit::Percent,
        weight: 5,
        explanation: "Share of these bytes of all files.",
        value: |p| percent(p.carried_bytes, p.of_bytes),
    },
    Column {
        key: "uncovered",
        heading: "UNCOVERED",
        unit: Unit::Count,
        weight: 5,
        explanation: "How many series would fill the time that these series do not cover of their blocks: what promtool calls most involved in churning.",
        value: |p| Value::Count(p.uncovered),
    },
];

/// One row for each label of a metric.
pub(in crate::report) static CROSS: Sheet<Analysis, CrossRow> = Sheet {
    name: "metric-label",
    title: "Metrics by series, and the labels that make them",
    row: "label of a metric",
    json: InJson::List("metric_labels"),
    rows: cross,
    columns: &[
        Column {
            key: "metric",
            heading: "METRIC",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the metric.",
            value: |c| Value::text(&c.metric),
        },
        Column {
            key: "metric_series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Its series; one that is in several blocks counts in each.",
            value: |c| Value::Count(c.metric_series),
        },
        Column {
            key: "looked_at",
            heading: "LOOKED AT",
            unit: Unit::Count,
            weight: 5,
            explanation: "Those of its series whose labels were counted: fewer where the metric is in a block in which 20 others have more series, or where the index is damaged; values are then at least so many.",
            value: |c| Value::Count(c.looked_at),
        },
        Column {
            key: "label",
            heading: "LABEL",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the label.",
            value: |c| Value::text(&c.label),
        },
        Column {
            key: "values",
            heading: "VALUES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Different values that the label has in the series that were looked at.",
            value: |c| Value::Count(c.values),
        },
        Column {
            key: "series",
            heading: "WITH LABEL",
            unit: Unit::Count,
            weight: 5,
            explanation: "Those of them that carry the label.",
            value: |c| Value::Count(c.series),
        },
    ],
};

/// One row for each label whose values look alike.
pub(in crate::report) static LOOKS: Sheet<Analysis, LookRow> = Sheet {
    name: "look",
    title: "Values that may never come back",
    row: "label and way in which its values look alike",
    json: InJson::List("looks"),
    rows: |analysis, extent| Rows::first_made(analysis.looks(), extent),
    columns: &[
        Column {
            key: "label",
            heading: "LABEL",
            unit: Unit::None,
            weight: 9,
            explanation: "Name of the label.",
            value: |l| Value::text(&l.label),
        },
        Column {
            key: "look",
            heading: "LOOKS LIKE",
            unit: Unit::None,
            weight: 9,
            explanation: "What values look like: uuid, address, timestamp, hash, pod or number.",
            value: |l| Value::text(l.look.id()),
        },
        Column {
            key: "values",
            heading: "VALUES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Values that look like it.",
            value: |l| Value::Count(l.values),
        },
        Column {
            key: "share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Their share of the label's values.",
            value: |l| percent(l.values, l.of_values),
        },
        Column {
            key: "series",
            heading: "SERIES",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series that carry one of them.",
            value: |l| Value::Count(l.series),
        },
        Column {
            key: "own_bytes",
            heading: "OWN BYTES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "What these pairs cost by themselves.",
            value: |l| Value::Bytes(l.own_bytes),
        },
        Column {
            key: "example",
            heading: "FOR EXAMPLE",
            unit: Unit::None,
            weight: 5,
            explanation: "The first of these values.",
            value: |l| Value::text(&l.example),
        },
    ],
};
