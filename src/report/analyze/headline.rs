//! The first lines of `narthex analyze`: what costs most, what grows, what is odd.

use crate::capacity::{Analysis, Headline, HeadlineKind};
use crate::report::{Column, InJson, Rows, Sheet, Unit, Value};
use crate::units::bytes_text;

/// One row for each line.
pub(in crate::report) static HEADLINE: Sheet<Analysis, Headline> = Sheet {
    name: "headline",
    title: "At a glance",
    row: "thing that is most worth knowing",
    json: InJson::List("headline"),
    rows: |analysis, _| Rows::made(analysis.headlines()),
    columns: &[
        Column {
            key: "kind",
            heading: "ABOUT",
            unit: Unit::None,
            weight: 9,
            explanation: "What it is about: `metric`, `job`, `label` (what costs most); `growth`, `churn`, `turnover` (what grows); `unique-values`, `passing-values`, `single-samples`, `empty-chunks`, `overfull-chunks`, `counted-twice`, `unread` (what is odd).",
            value: |h| Value::text(h.kind.id()),
        },
        Column {
            key: "name",
            heading: "NAME",
            unit: Unit::None,
            weight: 9,
            explanation: "The metric, job or label; of `churn` the job with most new series.",
            value: |h| h.name.as_ref().map_or(Value::None, Value::text),
        },
        Column {
            key: "bytes",
            heading: "BYTES",
            unit: Unit::Bytes,
            weight: 5,
            explanation: "Its bytes; of a label what it costs by itself.",
            value: |h| h.bytes.map_or(Value::None, Value::Bytes),
        },
        Column {
            key: "share",
            heading: "%",
            unit: Unit::Percent,
            weight: 5,
            explanation: "Share of these of all bytes; of `churn` the share of new series that are in this job, of `single-samples` that of series entries; of chunks how full they are.",
            value: |h| Value::number(h.share),
        },
        Column {
            key: "count",
            heading: "COUNT",
            unit: Unit::Count,
            weight: 5,
            explanation: "Series of a metric or job; values of a label; series at the end; series that came later, of `turnover` those with a new value; float chunks; blocks.",
            value: |h| h.count.map_or(Value::None, Value::Count),
        },
        Column {
            key: "of",
            heading: "OF",
            unit: Unit::Count,
            weight: 5,
            explanation: "Of how many; of `growth` series at the beginning.",
            value: |h| h.of.map_or(Value::None, Value::Count),
        },
        Column {
            key: "more",
            heading: "",
            unit: Unit::Count,
            weight: 5,
            explanation: "Of `churn` series that ended; of `turnover` new values; of `unread` parts of blocks.",
            value: |h| h.more.map_or(Value::None, Value::Count),
        },
        Column {
            key: "example",
            heading: "",
            unit: Unit::None,
            weight: 5,
            explanation: "An example of such values.",
            value: |h| h.example.as_ref().map_or(Value::None, Value::text),
        },
        Column {
            key: "sentence",
            heading: "THAT IS",
            unit: Unit::None,
            weight: 5,
            explanation: "All of it as a sentence.",
            value: |h| Value::text(sentence(h)),
        },
    ],
};

/// The line for people.
pub(super) fn sentence(line: &Headline) -> String {
    let name = line.name.as_deref().unwrap_or_default();
    let bytes = bytes_text(line.bytes.unwrap_or(0));
    let share = line
        .share
        .map_or_else(|| "?".to_owned(), |share| format!("{share:.1} %"));
    let (count, of, more) = (
        line.count.unwrap_or(0),
        line.of.unwrap_or(0),
        line.more.unwrap_or(0),
    );
    match line.kind {
        HeadlineKind::Metric => {
            format!("metric {name} takes most: {bytes}, {share} of all bytes, {count} series")
        }
        HeadlineKind::Job => {
            format!("job {name} takes most: {bytes}, {share} of all bytes, {count} series")
        }
        HeadlineKind::Label => {
            format!(
                "label {name} costs most by itself: {bytes}, {share} of all bytes, {count} values"
            )
        }
        HeadlineKind::Growth => {
            let change = i128::from(count) - i128::from(of);
            match change {
                0 => format!("{count} series at the beginning and at the end"),
                change => format!("{of} series at the beginning, {count} at the end ({change:+})"),
            }
        }
        HeadlineKind::Churn => {
            let most = match (&line.name, name) {
                (None, _) => String::new(),
                (Some(_), "") => format!("; {share} of those that came have no label job"),
                (Some(_), name) => format!("; {share} of those that came are in job {name}"),
            };
            format!(
                "of {of} series {count} came after the beginning and {more} ended before the end{most}"
            )
        }
        HeadlineKind::Turnover => format!(
            "label {name} turned over most: {count} of {of} series that came have one of its {more} new values"
        ),
        HeadlineKind::Unique => format!(
            "label {name} has nearly as many values as there are series with it: {count} values, {of} series entries"
        ),
        HeadlineKind::Look => {
            let example = line.example.as_deref().unwrap_or_default();
            format!(
                "label {name} has {count} values (of {of}) that may never come back, such as {example}: {bytes} by themselves"
            )
        }
        HeadlineKind::Singles => {
            format!("{count} of {of} series entries ({share}) have a single sample")
        }
        HeadlineKind::Empty => format!(
            "chunks of floats are less than half full: {share} of the 120 samples that Prometheus aims at, on average"
        ),
        HeadlineKind::Overfull => format!(
            "chunks of floats are overfull: {share} of the 120 samples that Prometheus aims at, on average"
        ),
        HeadlineKind::Twice => format!(
            "{count} of {of} blocks overlap others or were compacted into others: what both hold counts twice"
        ),
        HeadlineKind::Unread => format!(
            "{count} blocks, and {more} parts of others, could not be read: all numbers are of the rest"
        ),
    }
}
