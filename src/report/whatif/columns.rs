//! What is said of changes, unused metrics and collisions.

use crate::report::{Column, InJson, Rows, Sheet, Unit, Value, bytes_text};
use crate::usage::MetricUse;
use crate::whatif::{
    BlockAmounts, Collision, Collisions, ScenarioOutcome, UnusedMetric, UnusedMetrics, WhatIf,
};

/// What is said of each change.
pub(in crate::report) static OUTCOMES: Sheet<WhatIf, ScenarioOutcome> = Sheet {
    name: "change",
    title: "Changes",
    row: "change",
    json: InJson::List("changes"),
    rows: |what_if, _| Rows::of(&what_if.outcomes),
    columns: &[
        Column {
            key: "change",
            heading: "change",
            unit: Unit::None,
            weight: 9,
            explanation: "What would be changed.",
            value: |outcome| Value::text(outcome.name.clone()),
        },
        Column {
            key: "effect",
            heading: "effect",
            unit: Unit::None,
            weight: 8,
            explanation: "What it does to the bytes of segment and index files, in words.",
            value: |outcome| Value::text(effect(outcome)),
        },
        Column {
            key: "series",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series entries of all blocks; a series that is in several blocks counts in each.",
            value: |outcome| Value::Count(outcome.before.series),
        },
        Column {
            key: "series_after",
            heading: "series kept",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series entries after the change; of those that collide one.",
            value: |outcome| Value::Count(outcome.after.series),
        },
        Column {
            key: "series_saved",
            heading: "",
            unit: Unit::CountChange,
            weight: 6,
            explanation: "Series entries that go.",
            value: |outcome| Value::SignedCount(outcome.saved(|amounts| amounts.series)),
        },
        Column {
            key: "samples",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Samples of all blocks.",
            value: |outcome| Value::Count(outcome.before.samples),
        },
        Column {
            key: "samples_after",
            heading: "samples kept",
            unit: Unit::Count,
            weight: 1,
            explanation: "Samples after the change.",
            value: |outcome| Value::Count(outcome.after.samples),
        },
        Column {
            key: "samples_saved",
            heading: "",
            unit: Unit::CountChange,
            weight: 5,
            explanation: "Samples that go; negative when more are kept.",
            value: |outcome| Value::SignedCount(outcome.saved(|amounts| amounts.samples)),
        },
        Column {
            key: "chunk_bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of all segment files.",
            value: |outcome| Value::Bytes(outcome.before.chunk_bytes),
        },
        Column {
            key: "chunk_bytes_after",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of segment files after the change.",
            value: |outcome| Value::Bytes(outcome.after.chunk_bytes),
        },
        Column {
            key: "chunk_bytes_saved",
            heading: "",
            unit: Unit::BytesChange,
            weight: 3,
            explanation: "Bytes of segment files that are saved.",
            value: |outcome| Value::SignedBytes(outcome.saved(|amounts| amounts.chunk_bytes)),
        },
        Column {
            key: "index_bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of all index files.",
            value: |outcome| Value::Bytes(outcome.before.index_bytes),
        },
        Column {
            key: "index_bytes_after",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of index files after the change.",
            value: |outcome| Value::Bytes(outcome.after.index_bytes),
        },
        Column {
            key: "index_bytes_saved",
            heading: "",
            unit: Unit::BytesChange,
            weight: 3,
            explanation: "Bytes of index files that are saved.",
            value: |outcome| Value::SignedBytes(outcome.saved(|amounts| amounts.index_bytes)),
        },
        Column {
            key: "bytes",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of all segment and index files.",
            value: |outcome| Value::Bytes(outcome.before.bytes()),
        },
        Column {
            key: "bytes_after",
            heading: "",
            unit: Unit::Bytes,
            weight: 1,
            explanation: "Bytes of segment and index files after the change.",
            value: |outcome| Value::Bytes(outcome.after.bytes()),
        },
        Column {
            key: "bytes_saved",
            heading: "",
            unit: Unit::BytesChange,
            weight: 8,
            explanation: "Bytes of segment and index files that are saved; negative when more are needed.",
            value: |outcome| Value::SignedBytes(outcome.saved(BlockAmounts::bytes)),
        },
        Column {
            key: "percent_saved",
            heading: "",
            unit: Unit::Percent,
            weight: 8,
            explanation: "The share of all bytes that is saved; negative when more are needed.",
            value: |outcome| Value::number(outcome.saved_percent()),
        },
        Column {
            key: "bytes_per_day_saved",
            heading: "saved a day",
            unit: Unit::BytesPerDayChange,
            weight: 5,
            explanation: "Bytes that are saved of those that one day takes: all bytes, divided by the days that blocks cover.",
            value: |outcome| {
                outcome
                    .saved_per_day()
                    .map_or(Value::None, Value::SignedBytes)
            },
        },
        Column {
            key: "colliding_label_sets",
            heading: "collisions",
            unit: Unit::Count,
            weight: 9,
            explanation: "Label sets that several series with samples at the same time would have; null when no label is dropped.",
            value: |outcome| count(outcome.collisions.as_ref().map(|it| it.groups)),
        },
        Column {
            key: "colliding_series",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series entries that would have these label sets.",
            value: |outcome| count(outcome.collisions.as_ref().map(|it| it.series)),
        },
        Column {
            key: "samples_lost",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Samples that Prometheus would drop because of collisions, to the next chunk.",
            value: |outcome| count(outcome.collisions.as_ref().map(|it| it.lost_samples)),
        },
        Column {
            key: "successions",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Label sets under which one series would only go on where another has ended.",
            value: |outcome| count(outcome.collisions.as_ref().map(|it| it.successions)),
        },
        Column {
            key: "series_to_thin",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series entries with a shorter interval; null when no interval is asked for.",
            value: |outcome| count(outcome.measured.map(|it| it.series)),
        },
        Column {
            key: "series_measured",
            heading: "",
            unit: Unit::Count,
            weight: 1,
            explanation: "Series entries of these that were encoded at the longer interval, for the estimate.",
            value: |outcome| count(outcome.measured.map(|it| it.measured_series)),
        },
        Column {
            key: "percent_measured",
            heading: "% measured",
            unit: Unit::Percent,
            weight: 2,
            explanation: "The share that was encoded of the bytes that would be; the rest is estimated from it.",
            value: |outcome| {
                let percent = outcome.measured.and_then(|it| it.percent());
                Value::number(percent)
            },
        },
    ],
};

/// The metrics that nothing uses.
pub(in crate::report) static UNUSED: Sheet<UnusedMetrics, UnusedMetric> = Sheet {
    name: "unused",
    title: "metrics that nothing uses",
    row: "metric",
    json: InJson::List("unused"),
    rows: |metrics, extent| Rows::first(&metrics.unused, extent),
    columns: METRICS,
};

/// The metrics that only a guess keeps.
pub(in crate::report) static GUESSED: Sheet<UnusedMetrics, UnusedMetric> = Sheet {
    name: "guessed",
    title: "metrics that only names with variables may use",
    row: "metric",
    json: InJson::List("guessed"),
    rows: |metrics, extent| Rows::first(&metrics.guessed, extent),
    columns: METRICS,
};

/// What is said of each metric that nothing uses, or that only a guess keeps.
const METRICS: &[Column<UnusedMetric>] = &[
    Column {
        key: "metric",
        heading: "metric",
        unit: Unit::None,
        weight: 9,
        explanation: "Name of the metric.",
        value: |metric| Value::text(metric.name.clone()),
    },
    Column {
        key: "series",
        heading: "series",
        unit: Unit::Count,
        weight: 5,
        explanation: "Its series entries; a series that is in several blocks counts in each.",
        value: |metric| Value::Count(metric.series),
    },
    Column {
        key: "samples",
        heading: "samples",
        unit: Unit::Count,
        weight: 5,
        explanation: "Their samples.",
        value: |metric| Value::Count(metric.samples),
    },
    Column {
        key: "chunk_bytes",
        heading: "chunks",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "Bytes of their chunks.",
        value: |metric| Value::Bytes(metric.chunk_bytes),
    },
    Column {
        key: "index_bytes",
        heading: "index",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "What they bear of indexes, in bytes.",
        value: |metric| Value::Bytes(metric.index_bytes),
    },
    Column {
        key: "bytes",
        heading: "bytes",
        unit: Unit::Bytes,
        weight: 5,
        explanation: "Bytes of both.",
        value: |metric| Value::Bytes(metric.bytes()),
    },
    Column {
        key: "percent",
        heading: "%",
        unit: Unit::Percent,
        weight: 5,
        explanation: "Their share of all bytes.",
        value: |metric| {
            let percent = metric.percent();
            Value::number(percent)
        },
    },
    Column {
        key: "origin",
        heading: "origin",
        unit: Unit::None,
        weight: 5,
        explanation: "Where it comes from: scraped (relabeling can drop it), recorded (delete the rule), synthetic (Prometheus makes it).",
        value: |metric| Value::text(metric.origin.id()),
    },
    Column {
        key: "recording_rule",
        heading: "only used by",
        unit: Unit::None,
        weight: 5,
        explanation: "A recording rule that uses it, but whose result nothing uses.",
        value: |metric| match &metric.usage {
            MetricUse::Recording(name) => Value::text(name.clone()),
            MetricUse::Used | MetricUse::Pattern(_) | MetricUse::Unused => Value::None,
        },
    },
    Column {
        key: "pattern",
        heading: "",
        unit: Unit::None,
        weight: 1,
        explanation: "A name with variables that may mean it, as a regular expression.",
        value: |metric| match &metric.usage {
            MetricUse::Pattern(pattern) => Value::text(pattern.clone()),
            MetricUse::Used | MetricUse::Recording(_) | MetricUse::Unused => Value::None,
        },
    },
];

/// What is said of series that would collide.
pub(in crate::report) static COLLISIONS: Sheet<Collisions, Collision> = Sheet {
    name: "collision",
    title: "Label sets that would collide, in `collisions`",
    row: "label set",
    json: InJson::List("first"),
    rows: |collisions, extent| {
        Rows::first(&collisions.first, extent).of_all(Some(collisions.groups))
    },
    columns: &[
        Column {
            key: "labels",
            heading: "would collide",
            unit: Unit::None,
            weight: 9,
            explanation: "The labels that several series would have, as a selector.",
            value: |collision| Value::text(collision.labels.clone()),
        },
        Column {
            key: "series",
            heading: "series",
            unit: Unit::Count,
            weight: 5,
            explanation: "How many series, in the block that has most of them.",
            value: |collision| Value::Count(collision.series),
        },
        Column {
            key: "differences",
            heading: "told apart by",
            unit: Unit::List,
            weight: 5,
            explanation: "The labels that would be gone, each with its first values.",
            value: |collision| {
                let difference = |(name, values): &(String, Vec<String>)| {
                    let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
                    format!("{name}={}", values.join("|"))
                };
                Value::List(collision.differences.iter().map(difference).collect())
            },
        },
    ],
};

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

/// What a change does to bytes, in words.
fn effect(outcome: &ScenarioOutcome) -> String {
    let saved = outcome.saved(BlockAmounts::bytes);
    let bytes = bytes_text(saved.unsigned_abs());
    match saved {
        0 if outcome.is_idle() => "does nothing here".to_owned(),
        0 => "saves no bytes".to_owned(),
        1.. => {
            let percent = outcome.saved_percent().unwrap_or(0.0);
            format!("saves {bytes} ({percent:.1} %)")
        }
        _ => {
            let times = outcome.after.bytes() as f64 / outcome.before.bytes().max(1) as f64;
            format!("costs {bytes} more ({times:.1} times as much)")
        }
    }
}
