//! The report of `narthex analyze`: every sheet about an analysis, alone, at a glance, or in one
//! document.

pub(super) mod columns;
mod headline;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::inspect::{bars, distributions_json};
use super::{Extent, Form, InJson, Printed, SheetOf, View, safe_line};
use crate::capacity::Analysis;
use columns::{chunks, churn, groups, whole};
use headline::HEADLINE;

/// The sheets of an analysis, in the order in which people and JSON have them.
pub const SHEETS: &[&dyn SheetOf<Analysis>] = &[
    &HEADLINE,
    &whole::SUMMARY,
    &whole::BLOCKS,
    &whole::PARTS,
    &groups::METRICS,
    &groups::JOBS_BY_BYTES,
    &groups::LABELS,
    &groups::PAIRS,
    &groups::COMMON_PAIRS,
    &groups::CHURNING_PAIRS,
    &groups::CROSS,
    &groups::LOOKS,
    &churn::STEPS,
    &churn::JOBS,
    &churn::JOB_STEPS,
    &churn::TURNOVER,
    &chunks::SCRAPES,
    &chunks::ENCODINGS,
    &chunks::DISTRIBUTIONS,
    &chunks::CUTS,
];

/// Headings that do not say by themselves what they mean: under a table that has one, its column is
/// explained.
const EXPLAINED: &[&str] = &[
    "… entries",
    "… of one sample",
    "scrape interval",
    "full chunks, %",
    "fullness, %",
    "postings",
    "OWN BYTES",
    "BYTES OF SERIES",
    "UNCOVERED",
    "LOOKED AT",
    "LOOKS LIKE",
    "BORN",
    "DIED",
    "SURVIVED",
    "LEFT",
    "MEDIAN LIFE",
    "WITH A NEW VALUE",
    "DIED WITH IT",
    "MISSED",
    "GAPS",
    "TOO EARLY",
];

/// What `--by` asks for.
#[derive(Clone, Debug)]
pub enum By {
    /// One of the [`SHEETS`].
    Sheet(&'static dyn SheetOf<Analysis>),
    /// The series by the values of this label.
    Values(Vec<u8>),
}

impl By {
    /// The table of metrics.
    pub const METRICS: By = By::Sheet(&groups::METRICS);

    /// What `text` names: a sheet by its name, or `label=NAME`. Otherwise a sentence says what was
    /// expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(sheet) = SHEETS.iter().find(|sheet| sheet.name() == text) {
            return Ok(By::Sheet(*sheet));
        }
        match text.strip_prefix("label=") {
            Some(label) if !label.is_empty() => Ok(By::Values(label.as_bytes().to_vec())),
            _ => Err(format!("expected {}", Self::choices())),
        }
    }

    /// Everything that [`By::parse`] takes: `summary, block, … or label=NAME`.
    pub fn choices() -> String {
        let names: Vec<_> = SHEETS.iter().map(|sheet| sheet.name()).collect();
        format!("{} or {}", names.join(", "), groups::VALUES.name)
    }

    /// The sheet, with at most `top` rows where rows are ranked.
    pub fn print(
        &self,
        analysis: &Analysis,
        top: Option<usize>,
        form: Form,
        view: &View,
    ) -> Printed {
        let extent = top.map_or(Extent::All, Extent::Top);
        let table = match self {
            By::Sheet(sheet) => view.of(*sheet, analysis, extent),
            By::Values(label) if view.sort.is_some() => {
                let table = view.of(&groups::VALUES, &analysis.groups(label, None), Extent::All);
                let most = extent.most();
                table.first(most)
            }
            By::Values(label) => {
                view.of(&groups::VALUES, &analysis.groups(label, top), Extent::All)
            }
        };
        table.print(form, view)
    }
}

/// Everything that people want to see at a glance, at most `top` rows of each table.
pub fn text(analysis: &Analysis, top: usize, form: Form, view: &View) -> String {
    let mut text = String::new();
    let mut section = |title: &str, content: &str| {
        // What comes first needs no title.
        if !text.is_empty() {
            let _ = match form {
                Form::Markdown => writeln!(text, "\n## {title}\n"),
                Form::Text | Form::Csv | Form::Json => writeln!(text, "\n{title}"),
            };
        }
        text.push_str(content);
    };
    let headlines = analysis.headlines().into_iter();
    let lines = headlines.map(|line| format!("- {}\n", safe_line(&headline::sentence(&line))));
    section(HEADLINE.title, &lines.collect::<Vec<_>>().concat());
    let mut subject = "";
    let mut explained = BTreeSet::new();
    for sheet in SHEETS {
        let table = view.of(*sheet, analysis, Extent::Glance(top));
        // A heading alone says nothing, and the headline has been said.
        if table.is_empty() || sheet.name() == HEADLINE.name {
            continue;
        }
        let mut content = table.print(form, view).lines();
        let legend = legend(*sheet, &mut explained);
        if !legend.is_empty() {
            // In Markdown a line right under a table would be one of its rows.
            content.push_str(if form == Form::Markdown { "\n" } else { "" });
            content.push_str(&legend);
        }
        if let Some(rest) = rest_of(sheet.title(), subject) {
            section(&format!("… {rest}"), &content);
        } else {
            subject = sheet.title();
            section(subject, &content);
        }
        // Distributions have a picture as well.
        if form == Form::Text && matches!(sheet.in_json(), InJson::Named(_)) {
            for (_, name, values) in chunks::distributions_of(analysis) {
                let bars = bars(&values);
                // One bar is always the longest.
                if name.starts_with("samples") && bars.lines().count() > 1 {
                    section(name, &bars);
                }
            }
        }
    }
    text
}

/// What those columns of `sheet` are that do not say it, a line each, unless that has been
/// `explained` before.
fn legend(
    sheet: &dyn SheetOf<Analysis>,
    explained: &mut BTreeSet<(&'static str, &'static str)>,
) -> String {
    let fields = sheet.fields().into_iter();
    let unclear = fields.filter(|field| EXPLAINED.contains(&field.heading));
    let mut text = String::new();
    for field in unclear.filter(|field| explained.insert((field.heading, field.explanation))) {
        let heading = field.heading.trim_start_matches("… ");
        let _ = writeln!(text, "({heading}: {})", first_lower(field.explanation));
    }
    text
}

/// A sentence to go on with behind a colon.
fn first_lower(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    let first = chars.next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

/// What a title says more than `subject`, `by job` of "Series that come and go, by job": after a
/// section about the subject that is enough.
fn rest_of<'a>(title: &'a str, subject: &str) -> Option<&'a str> {
    title.strip_prefix(subject)?.strip_prefix(", ")
}

/// Everything, as one JSON object: at most `top` rows where rows are ranked.
pub fn json(analysis: &Analysis, top: Option<usize>) -> Json {
    let extent = top.map_or(Extent::Document, Extent::Top);
    let mut object = Map::new();
    for sheet in SHEETS {
        sheet.add_to(&mut object, analysis, extent);
        if let InJson::Named(key) = sheet.in_json() {
            let table = sheet.fill(analysis, extent);
            let named = distributions_json(&table, &chunks::distributions_of(analysis));
            object.insert(key.to_owned(), named);
        }
    }
    object.insert("faults".to_owned(), json!(faults(analysis)));
    Json::Object(object)
}

/// What could not be read, one line each; the last says how many more there are.
pub fn faults(analysis: &Analysis) -> Vec<String> {
    let place = std::path::Path::new("in all blocks");
    super::inspect::fault_lines(&analysis.faults, place, place)
}
