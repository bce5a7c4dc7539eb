//! The report of `narthex whatif`: what changes would save, what would collide, and what nobody
//! uses.

pub(super) mod columns;

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::{Extent, Form, SheetOf, Table, View, safe_line};
use crate::units::count_text;
use crate::usage::Usage;
use crate::whatif::{CountedBlocks, Scenario, Snippet, UncountedParts, UnusedMetrics, WhatIf};
use columns::{COLLISIONS, GUESSED, OUTCOMES, UNUSED};

/// Rows of a list that people are shown.
const SHOWN: usize = 20;
/// Collisions that people are shown of a change.
const COLLISIONS_SHOWN: usize = 10;

/// The sheets about what rule files and dashboards use, in the order of the JSON.
pub(super) const SHEETS_OF_USES: &[&dyn SheetOf<UnusedMetrics>] = &[&UNUSED, &GUESSED];

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
    view: &View,
) -> String {
    let form = if markdown { Form::Markdown } else { Form::Text };
    let mut parts = Vec::new();
    if !what_if.outcomes.is_empty() {
        parts.push(
            view.of(&OUTCOMES, what_if, Extent::All)
                .print(form, view)
                .lines(),
        );
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
        let first = view.of(&COLLISIONS, collisions, Extent::Top(COLLISIONS_SHOWN));
        part.push_str(&shown(&first, form, "label sets", view));
        parts.push(part);
    }
    if let Some(uses) = uses {
        let doubt = if uses.usage.problems.is_empty() {
            ""
        } else {
            ", as far as files could be read: NOT CERTAIN"
        };
        for (sheet, doubt) in [(&UNUSED, doubt), (&GUESSED, "")] {
            let first = view.of(sheet, uses.unused, Extent::Top(SHOWN));
            if first.is_empty() {
                continue;
            }
            let mut part = title(&format!("{}{doubt}", sheet.title), markdown);
            part.push_str(&shown(&first, form, "metrics", view));
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

/// A table of the first rows, and how many there are.
fn shown(table: &Table, form: Form, what: &str, view: &View) -> String {
    let mut text = table.print(form, view).lines();
    if let Some(all) = table.longer() {
        let _ = writeln!(text, "\n… of {all} {what}");
    }
    text
}

/// The whole report as a JSON object.
pub fn json(what_if: &WhatIf, uses: Option<&Uses<'_>>, snippet: &Snippet) -> Json {
    let collisions: Vec<_> = what_if
        .outcomes
        .iter()
        .filter_map(|outcome| {
            let collisions = outcome.collisions.as_ref()?;
            let mut object = Map::new();
            object.insert("change".to_owned(), json!(outcome.name));
            COLLISIONS.add_to(&mut object, collisions, Extent::Document);
            Some(Json::Object(object))
        })
        .collect();
    let mut object = json!({
        "covered": what_if.covered,
        "changes": OUTCOMES.all(what_if).json(),
        "collisions": collisions,
        "snippet": snippet.yaml,
        "notes": snippet.notes,
    });
    if let (Some(uses), Some(object)) = (uses, object.as_object_mut()) {
        object.insert("metrics".to_owned(), json!(uses.unused.metrics));
        for sheet in SHEETS_OF_USES {
            sheet.add_to(object, uses.unused, Extent::Document);
        }
        object.extend([
            ("files".to_owned(), json!(uses.usage.files)),
            ("expressions".to_owned(), json!(uses.usage.expressions)),
            ("problems".to_owned(), json!(problems(uses.usage))),
        ]);
    }
    object
}

/// One table as CSV: metrics that nothing uses if uses were looked at, otherwise changes.
pub fn csv(what_if: &WhatIf, uses: Option<&Uses<'_>>, view: &View) -> String {
    match uses {
        Some(uses) => view.of(&UNUSED, uses.unused, Extent::All).csv(),
        None => view.of(&OUTCOMES, what_if, Extent::All).csv(),
    }
}

/// What should be known of the blocks that were taken, one sentence each.
pub fn sources(sources: &CountedBlocks) -> Vec<String> {
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
pub fn missing(missing: &UncountedParts) -> Vec<String> {
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

/// Puts above a configuration that makes series collide that it does, as a comment of YAML.
pub fn caution(what_if: &WhatIf, snippet: &mut Snippet) {
    let mut collisions = what_if
        .outcomes
        .iter()
        .filter_map(|it| it.collisions.as_ref());
    if snippet.yaml.contains("metric_relabel_configs") && collisions.any(|it| it.groups > 0) {
        let lines = warnings(what_if).into_iter();
        let lines = lines.filter(|line| line.contains("at the same time"));
        let comment: Vec<_> = lines
            .map(|line| format!("# CAUTION: {}\n", safe_line(&line)))
            .collect();
        snippet.yaml.insert_str(0, &comment.concat());
    }
}

/// What makes a change worth a warning, one sentence for each: collisions, and that nothing comes
/// of it.
pub fn warnings(what_if: &WhatIf) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in &what_if.outcomes {
        if outcome.is_idle() {
            lines.push(format!(
                "{}: nothing in these blocks is concerned (is it spelled as in them?); it is not in the configuration",
                outcome.name
            ));
        } else if !outcome.saves() && !outcome.costs() {
            lines.push(format!(
                "{}: saves nothing, and is not in the configuration",
                outcome.name
            ));
        }
        let Some(collisions) = &outcome.collisions else {
            continue;
        };
        if collisions.groups > 0 {
            lines.push(format!(
                "{}: {} label sets would be shared by {} series entries at the same time: Prometheus would drop about {} samples of them",
                outcome.name,
                count_text(collisions.groups),
                count_text(collisions.series),
                count_text(collisions.lost_samples)
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
    let line = |problem: &crate::usage::UsageProblem| {
        format!("{}: {}", problem.path.display(), problem.reason)
    };
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
