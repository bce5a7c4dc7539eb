//! The report of `narthex analyze`: sheets of one table each, in every form.

pub(super) mod columns;

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::inspect::columns::{DISTRIBUTIONS, ENCODINGS};
use super::inspect::{bars, distributions, distributions_json};
use super::{Column, csv, json_rows, lines, markdown, table};
use crate::capacity::{Analysis, Rank};
use columns::{
    BLOCKS, CROSS, CUTS, GROUPS, JOB_STEPS, JOBS, LABELS, LOOKS, PAIRS, PARTS, SCRAPES, STEPS,
    SUMMARY, TURNOVER,
};

/// Jobs whose births and deaths are shown in time when nothing else is said.
const JOBS_IN_TIME: usize = 100;
/// Labels of each metric for people.
const LABELS_OF_A_METRIC: usize = 3;
/// Metrics for people whose labels are shown.
const METRICS_WITH_LABELS: usize = 5;

/// One table of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sheet {
    /// Everything in one row.
    Summary,
    /// Blocks.
    Blocks,
    /// Kinds of bytes.
    Parts,
    /// The series by the values of this label.
    Values(Vec<u8>),
    /// Label names.
    Labels,
    /// Label pairs.
    Pairs(Rank),
    /// Labels of the largest metrics.
    Cross,
    /// Values that look alike.
    Looks,
    /// Births and deaths in time.
    Steps,
    /// Births and deaths by job.
    Jobs,
    /// Births and deaths in time by job.
    JobSteps,
    /// Labels whose values come and go.
    Turnover,
    /// How regularly jobs are scraped.
    Scrapes,
    /// Encodings of chunks.
    Encodings,
    /// Samples and bytes of chunks.
    Distributions,
    /// Why chunks end.
    Cuts,
}

/// A form of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// Comma-separated values.
    Csv,
    /// Markdown.
    Markdown,
    /// A JSON array of objects.
    Json,
}

/// A table in one of its forms.
#[derive(Clone, Debug, PartialEq)]
pub enum Printed {
    /// Lines.
    Lines(String),
    /// JSON.
    Json(Json),
}

impl Form {
    fn of<Row>(self, columns: &[Column<Row>], rows: &[Row]) -> Printed {
        Printed::Lines(match self {
            Form::Text => table(columns, rows),
            Form::Csv => csv(columns, rows),
            Form::Markdown => markdown(columns, rows),
            Form::Json => return Printed::Json(json_rows(columns, rows)),
        })
    }
}

impl Printed {
    fn lines(self) -> String {
        match self {
            Printed::Lines(lines) => lines,
            Printed::Json(json) => json.to_string(),
        }
    }

    fn json(self) -> Json {
        match self {
            Printed::Lines(lines) => Json::String(lines),
            Printed::Json(json) => json,
        }
    }
}

/// One sheet, with at most `top` rows where rows are ranked.
pub fn sheet(analysis: &Analysis, sheet: &Sheet, top: Option<usize>, form: Form) -> Printed {
    let most = top.unwrap_or(usize::MAX);
    match sheet {
        Sheet::Summary if form == Form::Text => Printed::Lines(lines(SUMMARY, analysis.totals())),
        Sheet::Summary => form.of(SUMMARY, &[*analysis.totals()]),
        Sheet::Blocks => form.of(BLOCKS, &analysis.blocks),
        Sheet::Parts => form.of(PARTS, &parts(analysis)),
        Sheet::Values(label) => form.of(GROUPS, &analysis.groups(label, top)),
        Sheet::Labels => form.of(LABELS, first(&analysis.labels(), most)),
        Sheet::Pairs(by) => form.of(PAIRS, &analysis.pairs(*by, top)),
        Sheet::Cross => form.of(CROSS, &analysis.cross(most, most)),
        Sheet::Looks => form.of(LOOKS, first(&analysis.looks(), most)),
        Sheet::Steps => form.of(STEPS, &analysis.steps()),
        Sheet::Jobs => form.of(JOBS, first(&analysis.job_churn(), most)),
        Sheet::JobSteps => form.of(JOB_STEPS, &analysis.job_steps(top.unwrap_or(JOBS_IN_TIME))),
        Sheet::Turnover => form.of(TURNOVER, first(&analysis.turnover(), most)),
        Sheet::Scrapes => form.of(SCRAPES, &analysis.scrapes()),
        Sheet::Encodings => {
            let encodings = analysis.counts.encodings.iter();
            let rows: Vec<_> = encodings.map(|(id, counts)| (*id, *counts)).collect();
            form.of(ENCODINGS, &rows)
        }
        Sheet::Distributions => {
            let rows = distributions(&analysis.counts, &analysis.histogram_buckets);
            form.of(DISTRIBUTIONS, &rows)
        }
        Sheet::Cuts => form.of(CUTS, &analysis.cuts()),
    }
}

/// Everything that people want to see at a glance, at most `top` rows of each table.
pub fn text(analysis: &Analysis, top: usize, form: Form) -> String {
    let mut text = String::new();
    let mut section = |title: &str, content: &str| {
        // A heading alone says nothing.
        if content.lines().count() < 2 {
            return;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        if !title.is_empty() {
            let _ = match form {
                Form::Markdown => writeln!(text, "## {title}\n"),
                Form::Text | Form::Csv | Form::Json => writeln!(text, "{title}"),
            };
        }
        text.push_str(content);
    };
    let of = |which: &Sheet| sheet(analysis, which, Some(top), form).lines();
    section("", &of(&Sheet::Summary));
    if analysis.blocks.len() > 1 {
        section("Blocks", &of(&Sheet::Blocks));
    }
    section("Bytes by kind", &of(&Sheet::Parts));
    section("Metrics by bytes", &of(&values("__name__")));
    section("Jobs by bytes", &of(&values("job")));
    section("Labels by different values", &of(&Sheet::Labels));
    section(
        "Label pairs by bytes of their series",
        &of(&Sheet::Pairs(Rank::Carried)),
    );
    section(
        "Label pairs by time that their series do not cover",
        &of(&Sheet::Pairs(Rank::Uncovered)),
    );
    let cross = analysis.cross(METRICS_WITH_LABELS, LABELS_OF_A_METRIC);
    section(
        "Metrics by series, and the labels that make them",
        &form.of(CROSS, &cross).lines(),
    );
    section("Values that may never come back", &of(&Sheet::Looks));
    section("Series that come and go", &of(&Sheet::Steps));
    section("… by job", &of(&Sheet::Jobs));
    section("… by the label that turned over", &of(&Sheet::Turnover));
    section("Scrapes by job", &of(&Sheet::Scrapes));
    section("Encodings", &of(&Sheet::Encodings));
    section("Chunks", &of(&Sheet::Distributions));
    if form == Form::Text {
        for (_, name, values) in distributions(&analysis.counts, &analysis.histogram_buckets) {
            if name.starts_with("samples") {
                section(name, &format!("{}\n", bars(&values).trim_end()));
            }
        }
    }
    section("Ends of chunks", &of(&Sheet::Cuts));
    text
}

/// Everything, as one JSON object: at most `top` rows where rows are ranked; of pairs, at most `pairs` if that is not said.
pub fn json(analysis: &Analysis, top: Option<usize>, pairs: usize) -> Json {
    let of = |which: &Sheet| sheet(analysis, which, top, Form::Json).json();
    let pairs = |by| {
        let top = top.or(Some(pairs));
        sheet(analysis, &Sheet::Pairs(by), top, Form::Json).json()
    };
    json!({
        "summary": super::json(SUMMARY, analysis.totals()),
        "blocks": of(&Sheet::Blocks),
        "parts": of(&Sheet::Parts),
        "metrics": of(&values("__name__")),
        "jobs": of(&values("job")),
        "labels": of(&Sheet::Labels),
        "pairs": pairs(Rank::Carried),
        "common_pairs": pairs(Rank::Series),
        "churning_pairs": pairs(Rank::Uncovered),
        "metric_labels": of(&Sheet::Cross),
        "looks": of(&Sheet::Looks),
        "churn": of(&Sheet::Steps),
        "churn_by_job": of(&Sheet::Jobs),
        "churn_by_time_and_job": of(&Sheet::JobSteps),
        "turnover": of(&Sheet::Turnover),
        "scrapes": of(&Sheet::Scrapes),
        "encodings": of(&Sheet::Encodings),
        "distributions": distributions_json(&distributions(&analysis.counts, &analysis.histogram_buckets)),
        "cuts": of(&Sheet::Cuts),
        "faults": faults(analysis),
    })
}

/// What could not be read, one line each; the last says how many more there are.
pub fn faults(analysis: &Analysis) -> Vec<String> {
    let place = std::path::Path::new("in all blocks");
    super::inspect::fault_lines(&analysis.faults, place, place)
}

fn values(label: &str) -> Sheet {
    Sheet::Values(label.as_bytes().to_vec())
}

fn parts(analysis: &Analysis) -> Vec<(crate::capacity::Part, u64)> {
    let all = analysis.totals().bytes;
    let parts = analysis.parts().iter();
    parts
        .filter(|part| part.bytes > 0)
        .map(|part| (part.clone(), all))
        .collect()
}

fn first<Row>(rows: &[Row], most: usize) -> &[Row] {
    rows.get(..most).unwrap_or(rows)
}
