//! The report of `narthex whatif`: what changes would save, what would collide, and what nobody uses.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{Column, Unit, Value, json_rows, table};
use crate::usage::{MetricUse, Usage};
use crate::whatif::{
    Amounts, Collision, Missing, Outcome, Scenario, Snippet, Sources, UnusedMetric, UnusedMetrics,
    WhatIf,
};

/// Rows of a list that people are shown.
const SHOWN: usize = 20;
/// Collisions that people are shown of a change.
const COLLISIONS_SHOWN: usize = 10;

/// What is said of each change.
pub(super) const OUTCOMES: &[Column<Outcome>] = &[
    Column {
        key: "change",
        heading: "change",
        unit: Unit::None,
        explanation: "What would be changed.",
        value: |outcome| Value::text(outcome.name.clone()),
    },
    Column {
        key: "series",
        heading: "",
        unit: Unit::Count,
        explanation: "Series entries of all blocks; a series that is in several blocks counts in each.",
        value: |outcome| Value::Count(outcome.before.series),
    },
    Column {
        key: "series_after",
        heading: "",
        unit: Unit::Count,
        explanation: "Series entries after the change; of those that collide one.",
        value: |outcome| Value::Count(outcome.after.series),
    },
    Column {
        key: "series_saved",
        heading: "series",
        unit: Unit::Count,
        explanation: "Series entries that go.",
        value: |outcome| Value::SignedCount(outcome.saved(|amounts| amounts.series)),
    },
    Column {
        key: "samples",
        heading: "",
        unit: Unit::Count,
        explanation: "Samples of all blocks.",
        value: |outcome| Value::Count(outcome.before.samples),
    },
    Column {
        key: "samples_after",
        heading: "",
        unit: Unit::Count,
        explanation: "Samples after the change.",
        value: |outcome| Value::Count(outcome.after.samples),
    },
    Column {
        key: "samples_saved",
        heading: "samples",
        unit: Unit::Count,
        explanation: "Samples that go; negative when more are kept.",
        value: |outcome| Value::SignedCount(outcome.saved(|amounts| amounts.samples)),
    },
    Column {
        key: "chunk_bytes",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of all segment files.",
        value: |outcome| Value::Bytes(outcome.before.chunk_bytes),
    },
    Column {
        key: "chunk_bytes_after",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of segment files after the change.",
        value: |outcome| Value::Bytes(outcome.after.chunk_bytes),
    },
    Column {
        key: "chunk_bytes_saved",
        heading: "chunks",
        unit: Unit::Bytes,
        explanation: "Bytes of segment files that are saved.",
        value: |outcome| Value::SignedBytes(outcome.saved(|amounts| amounts.chunk_bytes)),
    },
    Column {
        key: "index_bytes",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of all index files.",
        value: |outcome| Value::Bytes(outcome.before.index_bytes),
    },
    Column {
        key: "index_bytes_after",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of index files after the change.",
        value: |outcome| Value::Bytes(outcome.after.index_bytes),
    },
    Column {
        key: "index_bytes_saved",
        heading: "index",
        unit: Unit::Bytes,
        explanation: "Bytes of index files that are saved.",
        value: |outcome| Value::SignedBytes(outcome.saved(|amounts| amounts.index_bytes)),
    },
    Column {
        key: "bytes",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of all segment and index files.",
        value: |outcome| Value::Bytes(outcome.before.bytes()),
    },
    Column {
        key: "bytes_after",
        heading: "",
        unit: Unit::Bytes,
        explanation: "Bytes of segment and index files after the change.",
        value: |outcome| Value::Bytes(outcome.after.bytes()),
    },
    Column {
        key: "bytes_saved",
        heading: "saved",
        unit: Unit::Bytes,
        explanation: "Bytes of segment and index files that are saved; negative when more are needed.",
        value: |outcome| Value::SignedBytes(outcome.saved(Amounts::bytes)),
    },
    Column {
        key: "percent_saved",
        heading: "%",
        unit: Unit::Percent,
        explanation: "The share of all bytes that is saved.",
        value: |outcome| outcome.saved_percent().map_or(Value::None, Value::Number),
    },
    Column {
        key: "bytes_per_day_saved",
        heading: "a day",
        unit: Unit::BytesPerDay,
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
        explanation: "Label sets that several series with samples at the same time would have; null when no label is dropped.",
        value: |outcome| count(outcome.collisions.as_ref().map(|it| it.groups)),
    },
    Column {
        key: "colliding_series",
        heading: "",
        unit: Unit::Count,
        explanation: "Series entries that would have these label sets.",
        value: |outcome| count(outcome.collisions.as_ref().map(|it| it.series)),
    },
    Column {
        key: "samples_lost",
        heading: "",
        unit: Unit::Count,
        explanation: "Samples that Prometheus would drop because of collisions, to the next chunk.",
        value: |outcome| count(outcome.collisions.as_ref().map(|it| it.lost_samples)),
    },
    Column {
        key: "successions",
        heading: "",
        unit: Unit::Count,
        explanation: "Label sets under which one series would only go on where another has ended.",
        value: |outcome| count(outcome.collisions.as_ref().map(|it| it.successions)),
    },
    Column {
        key: "series_to_thin",
        heading: "",
        unit: Unit::Count,
        explanation: "Series entries with a shorter interval; null when no interval is asked for.",
        value: |outcome| count(outcome.measured.map(|it| it.series)),
    },
    Column {
        key: "series_measured",
        heading: "",
        unit: Unit::Count,
        explanation: "Series entries of these that were encoded at the longer interval, for the estimate.",
        value: |outcome| count(outcome.measured.map(|it| it.measured_series)),
    },
    Column {
        key: "percent_measured",
        heading: "% measured",
        unit: Unit::Percent,
        explanation: "The share that was encoded of the bytes that would be; the rest is estimated from it.",
        value: |outcome| {
            let percent = outcome.measured.and_then(|it| it.percent());
            percent.map_or(Value::None, Value::Number)
        },
    },
];

/// What is said of each metric that nothing uses, or that only a guess keeps.
pub(super) const METRICS: &[Column<UnusedMetric>] = &[
    Column {
        key: "metric",
        heading: "metric",
        unit: Unit::None,
        explanation: "Name of the metric.",
        value: |metric| Value::text(metric.name.clone()),
    },
    Column {
        key: "series",
        heading: "series",
        unit: Unit::Count,
        explanation: "Its series entries; a series that is in several blocks counts in each.",
        value: |metric| Value::Count(metric.series),
    },
    Column {
        key: "samples",
        heading: "samples",
        unit: Unit::Count,
        explanation: "Their samples.",
        value: |metric| Value::Count(metric.samples),
    },
    Column {
        key: "chunk_bytes",
        heading: "chunks",
        unit: Unit::Bytes,
        explanation: "Bytes of their chunks.",
        value: |metric| Value::Bytes(metric.chunk_bytes),
    },
    Column {
        key: "index_bytes",
        heading: "index",
        unit: Unit::Bytes,
        explanation: "What they bear of indexes, in bytes.",
        value: |metric| Value::Bytes(metric.index_bytes),
    },
    Column {
        key: "bytes",
        heading: "bytes",
        unit: Unit::Bytes,
        explanation: "Bytes of both.",
        value: |metric| Value::Bytes(metric.bytes()),
    },
    Column {
        key: "percent",
        heading: "%",
        unit: Unit::Percent,
        explanation: "Their share of all bytes.",
        value: |metric| {
            let percent = metric.percent();
            percent.map_or(Value::None, Value::Number)
        },
    },
    Column {
        key: "origin",
        heading: "origin",
        unit: Unit::None,
        explanation: "Where it comes from: scraped (relabeling can drop it), recorded (delete the rule), synthetic (Prometheus makes it).",
        value: |metric| Value::text(metric.origin.id()),
    },
    Column {
        key: "recording_rule",
        heading: "only used by",
        unit: Unit::None,
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
        explanation: "A name with variables that may mean it, as a regular expression.",
        value: |metric| match &metric.usage {
            MetricUse::Pattern(pattern) => Value::text(pattern.clone()),
            MetricUse::Used | MetricUse::Recording(_) | MetricUse::Unused => Value::None,
        },
    },
];

/// What is said of series that would collide.
pub(super) const COLLISIONS: &[Column<Collision>] = &[
    Column {
        key: "labels",
        heading: "would collide",
        unit: Unit::None,
        explanation: "The labels that several series would have, as a selector.",
        value: |collision| Value::text(collision.labels.clone()),
    },
    Column {
        key: "series",
        heading: "series",
        unit: Unit::Count,
        explanation: "How many series, in the block that has most of them.",
        value: |collision| Value::Count(collision.series),
    },
    Column {
        key: "differences",
        heading: "told apart by",
        unit: Unit::None,
        explanation: "The labels that would be gone, each with its first values.",
        value: |collision| {
            let difference = |(name, values): &(String, Vec<String>)| {
                let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
                format!("{name}={}", values.join("|"))
            };
            Value::List(collision.differences.iter().map(difference).collect())
        },
    },
];

fn count(number: Option<u64>) -> Value {
    number.map_or(Value::None, Value::Count)
}

/// What rule files and dashboards were held against the blocks, and what came of it.
#[derive(Debug)]
pub struct Uses<'a> {
    /// What they use.
    pub usage: &'a Usage,
    /// What they do not.
    pub unused: &'a UnusedMetrics,
}

/// The whole report as text for people, or as Markdown.
pub fn text(
    what_if: &WhatIf,
    uses: Option<&Uses<'_>>,
    snippet: &Snippet,
    markdown: bool,
) -> String {
    let mut parts = Vec::new();
    if !what_if.outcomes.is_empty() {
        parts.push(rows(
            OUTCOMES,
            &what_if.outcomes,
            what_if.outcomes.len(),
            markdown,
        ));
    }
    let mut most = 0;
    for outcome in &what_if.outcomes {
        // What several changes do together is worth a list only if it is more than each does alone.
        let collisions = outcome.collisions.as_ref();
        let Some(collisions) = collisions.filter(|it| it.groups > most) else {
            continue;
        };
        most = collisions.groups;
        let heading = format!("{}: series that would collide", outcome.name);
        let mut part = title(&heading, markdown);
        let first = &collisions.first;
        part.push_str(&rows(COLLISIONS, first, COLLISIONS_SHOWN, markdown));
        let shown = first.len().min(COLLISIONS_SHOWN) as u64;
        more(&mut part, collisions.groups, shown, "label sets");
        parts.push(part);
    }
    if let Some(uses) = uses {
        let unused = if uses.usage.problems.is_empty() {
            "metrics that nothing uses"
        } else {
            "metrics that nothing uses, as far as files could be read: NOT CERTAIN"
        };
        for (heading, metrics) in [
            (unused, &uses.unused.unused),
            (
                "metrics that only names with variables may use",
                &uses.unused.guessed,
            ),
        ] {
            if metrics.is_empty() {
                continue;
            }
            let mut part = title(heading, markdown);
            part.push_str(&rows(METRICS, metrics, SHOWN, markdown));
            more(
                &mut part,
                metrics.len() as u64,
                metrics.len().min(SHOWN) as u64,
                "metrics",
            );
            parts.push(part);
        }
    }
    if !snippet.yaml.is_empty() {
        let mut part = title("for each scrape configuration concerned", markdown);
        if markdown {
            let _ = write!(part, "```yaml\n{}```\n", snippet.yaml);
        } else {
            part.push_str(&snippet.yaml);
        }
        parts.push(part);
    }
    parts.join("\n")
}

fn title(text: &str, markdown: bool) -> String {
    if markdown {
        format!("## {text}\n\n")
    } else {
        format!("{text}\n")
    }
}

fn rows<Row>(columns: &[Column<Row>], rows: &[Row], limit: usize, markdown: bool) -> String {
    let first = rows.get(..limit).unwrap_or(rows);
    if markdown {
        super::markdown(columns, first)
    } else {
        table(columns, first)
    }
}

fn more(text: &mut String, all: u64, shown: u64, what: &str) {
    if all > shown {
        let _ = writeln!(text, "\n… of {all} {what}");
    }
}

/// The whole report as a JSON object.
pub fn json(what_if: &WhatIf, uses: Option<&Uses<'_>>, snippet: &Snippet) -> Json {
    let collisions: Vec<_> = what_if
        .outcomes
        .iter()
        .filter_map(|outcome| {
            let collisions = outcome.collisions.as_ref()?;
            let first = json_rows(COLLISIONS, &collisions.first);
            Some(json!({ "change": outcome.name, "first": first }))
        })
        .collect();
    let mut object = json!({
        "covered": what_if.covered,
        "changes": json_rows(OUTCOMES, &what_if.outcomes),
        "collisions": collisions,
        "snippet": snippet.yaml,
        "notes": snippet.notes,
    });
    if let (Some(uses), Some(object)) = (uses, object.as_object_mut()) {
        let unused = uses.unused;
        object.extend([
            ("metrics".to_owned(), json!(unused.metrics)),
            ("unused".to_owned(), json_rows(METRICS, &unused.unused)),
            ("guessed".to_owned(), json_rows(METRICS, &unused.guessed)),
            ("files".to_owned(), json!(uses.usage.files)),
            ("expressions".to_owned(), json!(uses.usage.expressions)),
            ("problems".to_owned(), json!(problems(uses.usage))),
        ]);
    }
    object
}

/// One table as CSV: metrics that nothing uses if uses were looked at, otherwise changes.
pub fn csv(what_if: &WhatIf, uses: Option<&Uses<'_>>) -> String {
    match uses {
        Some(uses) => super::csv(METRICS, &uses.unused.unused),
        None => super::csv(OUTCOMES, &what_if.outcomes),
    }
}

/// What should be known of the blocks that were taken, one sentence each.
pub fn sources(sources: &Sources) -> Vec<String> {
    let mut lines = Vec::new();
    for superseded in &sources.superseded {
        let dir = superseded.dir.display();
        lines.push(format!(
            "{dir} does not count: {} was compacted from it",
            superseded.by
        ));
    }
    if !sources.overlapping.is_empty() {
        lines.push(format!(
            "{} blocks overlap others: samples that several hold count more than once",
            sources.overlapping.len()
        ));
    }
    lines
}

/// What could not be read of blocks, one line each; the last says how many more there are.
pub fn missing(missing: &Missing) -> Vec<String> {
    let faults = missing.first.iter();
    let mut lines: Vec<String> = faults
        .map(|(file, fault)| format!("{}: {fault}", file.display()))
        .collect();
    let more = missing.count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("{more} more faults"));
    }
    lines.extend(missing.blocks.iter().cloned());
    if missing.is_any() {
        lines.push(format!(
            "{} series entries, chunks or tables and {} blocks could not be read and are taken to stay as they are",
            missing.count,
            missing.blocks.len()
        ));
    }
    lines
}

/// What makes collisions worth a warning, one sentence for each change that has some.
pub fn warnings(what_if: &WhatIf) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in &what_if.outcomes {
        let Some(collisions) = &outcome.collisions else {
            continue;
        };
        if collisions.groups > 0 {
            lines.push(format!(
                "{}: {} label sets would be shared by {} series entries at the same time: Prometheus would drop about {} samples of them",
                outcome.name, collisions.groups, collisions.series, collisions.lost_samples
            ));
        }
        if collisions.successions > 0 {
            lines.push(format!(
                "{}: {} label sets would be shared by series that only follow each other, which loses nothing",
                outcome.name, collisions.successions
            ));
        }
    }
    lines
}

/// What rule files and dashboards leave uncertain, one line each, and what they were.
pub fn problems(usage: &Usage) -> Vec<String> {
    let line =
        |problem: &crate::usage::Problem| format!("{}: {}", problem.path.display(), problem.reason);
    usage.problems.iter().map(line).collect()
}

/// Labels that would be dropped although expressions name them, one sentence each.
pub fn used_labels(scenario: &Scenario, usage: &Usage) -> Vec<String> {
    let dropped = scenario.dropped(usage.labels());
    dropped
        .map(|(label, path)| {
            format!(
                "label {label} would be dropped, but {} names it",
                path.display()
            )
        })
        .collect()
}

/// What was read of rule files and dashboards.
pub fn usage(usage: &Usage) -> String {
    let mut line = format!(
        "read {} expressions in {} files",
        usage.expressions, usage.files
    );
    if usage.other_languages > 0 {
        let _ = write!(line, "; {} more are no PromQL", usage.other_languages);
    }
    line
}
