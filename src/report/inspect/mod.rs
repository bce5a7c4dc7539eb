//! The report of `narthex inspect`: everything about one block.

pub(super) mod columns;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::{Extent, InJson, SheetOf, Table, View};
use crate::inspect::{Distribution, Faults, Inspection};
use crate::units::percent;
use columns::{
    BUCKETS, DELETIONS, DISTRIBUTIONS, ENCODINGS, FILES, LABELS, Named, OVERVIEW, SECTIONS,
    SEGMENTS, distributions_of,
};

/// Label names that people are shown.
const LABELS_SHOWN: usize = 20;
/// Deletions that people are shown.
const DELETIONS_SHOWN: usize = 20;
/// Longest bar of a histogram, in characters.
const BAR: u64 = 40;

/// The sheets of a block, in the order of its JSON.
pub(super) const SHEETS: &[&dyn SheetOf<Inspection>] = &[
    &OVERVIEW,
    &SECTIONS,
    &SEGMENTS,
    &ENCODINGS,
    &DISTRIBUTIONS,
    &LABELS,
    &DELETIONS,
    &FILES,
];

/// The block as text for people.
pub fn text(block: &Inspection, view: &View) -> String {
    let whole = |sheet: &dyn SheetOf<Inspection>| view.of(sheet, block, Extent::All).text(view);
    let first = |sheet: &dyn SheetOf<Inspection>, most| view.of(sheet, block, Extent::Top(most));
    let mut text = view.of(&OVERVIEW, block, Extent::All).told(view);
    let mut section = |content: String| {
        text.push('\n');
        text.push_str(&content);
    };
    section(whole(&SECTIONS));
    section(whole(&ENCODINGS));
    section(whole(&DISTRIBUTIONS));
    for (_, name, values) in distributions_of(block) {
        if !name.starts_with("chunks") {
            section(format!("{name}\n{}", bars(&values)));
        }
    }
    section(shown(&first(&LABELS, LABELS_SHOWN), "label names", view));
    if !block.tombstones.is_empty() {
        let deletions = first(&DELETIONS, DELETIONS_SHOWN);
        section(shown(&deletions, "deleted ranges", view));
    }
    if !block.others.is_empty() {
        section(whole(&FILES));
    }
    text
}

/// The block as a JSON object.
pub fn json(block: &Inspection) -> Json {
    let mut object = Map::new();
    for sheet in SHEETS {
        sheet.add_to(&mut object, block, Extent::Document);
        if let InJson::Named(key) = sheet.in_json() {
            let table = sheet.fill(block, Extent::Document);
            object.insert(
                key.to_owned(),
                distributions_json(&table, &distributions_of(block)),
            );
        }
    }
    object.insert("faults".to_owned(), json!(faults(block)));
    Json::Object(object)
}

/// What could not be read, one line each; the last says how many more there are.
pub fn faults(block: &Inspection) -> Vec<String> {
    let index = block.dir.join("index");
    fault_lines(&block.faults, &index, &block.dir)
}

/// One line for each fault that is kept; the last says how many more there are in `place`. Those
/// without a file are in `index`.
pub(super) fn fault_lines(faults: &Faults, index: &Path, place: &Path) -> Vec<String> {
    let mut lines: Vec<String> = faults
        .first
        .iter()
        .map(|(file, fault)| {
            let file = file.as_deref().unwrap_or(index);
            format!("{}: {fault}", file.display())
        })
        .collect();
    let more = faults.count.saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("{}: {more} more faults", place.display()));
    }
    lines
}

/// Distributions by their key, each with its buckets; `table` says the rest of them.
pub(super) fn distributions_json(table: &Table, distributions: &[Named]) -> Json {
    let by_key = table.objects().zip(distributions).map(|(mut of, named)| {
        BUCKETS.add_to(&mut of, &named.2, Extent::Document);
        (named.0.to_owned(), Json::Object(of))
    });
    Json::Object(by_key.collect())
}

/// A histogram: one line per bucket, with its borders, share and count.
pub(super) fn bars(values: &Distribution) -> String {
    let buckets = values.buckets();
    let most = buckets
        .iter()
        .map(|bucket| bucket.count)
        .max()
        .unwrap_or(0)
        .max(1);
    let ranges: Vec<_> = buckets
        .iter()
        .map(|bucket| format!("{}–{}", bucket.from, bucket.to))
        .collect();
    let width = ranges
        .iter()
        .map(|range| range.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (bucket, range) in buckets.iter().zip(&ranges) {
        let percent = percent(bucket.count as f64, values.count()).unwrap_or(0.0);
        let marks = bucket.count.saturating_mul(BAR).div_ceil(most);
        let bar = "#".repeat(usize::try_from(marks).unwrap_or(0));
        let count = bucket.count;
        let line = format!("  {range:>width$}  {percent:5.1} %  {count:>9}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A table of the first rows, and how many there are.
fn shown(table: &Table, what: &str, view: &View) -> String {
    let mut text = table.text(view);
    if let Some(all) = table.longer() {
        let _ = writeln!(text, "… of {all} {what}; all of them with --json");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_borders_share_and_count() {
        let mut values = Distribution::default();
        for value in [60, 119, 120, 120] {
            values.record(value);
        }
        assert_eq!(
            bars(&values),
            "    51–60   25.0 %          1  ##############\n    61–70    0.0 %          0\n    71–80    0.0 %          0\n    81–90    0.0 %          0\n   91–100    0.0 %          0\n  101–110    0.0 %          0\n  111–120   75.0 %          3  ########################################\n"
        );
    }
}
