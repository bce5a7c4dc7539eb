//! The report of `narthex inspect`: everything about one block.

pub(super) mod columns;

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::{Column, json_rows, lines, table};
use crate::chunk::Encoding;
use std::path::Path;

use crate::inspect::{
    Distribution, EncodingCounts, Faults, IndexSection, Inspection, SeriesCounts,
};
use columns::{
    BUCKETS, DELETIONS, DISTRIBUTIONS, ENCODINGS, FILES, LABELS, Named, OVERVIEW, SECTIONS,
};

/// Label names that people are shown.
const LABELS_SHOWN: usize = 20;
/// Deletions that people are shown.
const DELETIONS_SHOWN: usize = 20;
/// Longest bar of a histogram, in characters.
const BAR: u64 = 40;

/// The block as text for people.
pub fn text(block: &Inspection) -> String {
    let mut text = lines(OVERVIEW, block);
    let mut section = |content: String| {
        text.push('\n');
        text.push_str(&content);
    };
    section(table(SECTIONS, &sections(block)));
    section(table(ENCODINGS, &encodings(block)));
    let distributions = distributions_of(block);
    section(table(DISTRIBUTIONS, &distributions));
    for (_, name, values) in &distributions {
        if !name.starts_with("chunks") {
            section(format!("{name}\n{}", bars(values)));
        }
    }
    section(shown(LABELS, &block.labels, LABELS_SHOWN, "label names"));
    if !block.tombstones.is_empty() {
        section(shown(
            DELETIONS,
            &block.tombstones,
            DELETIONS_SHOWN,
            "deleted ranges",
        ));
    }
    if !block.others.is_empty() {
        section(table(FILES, &block.others));
    }
    text
}

/// The block as a JSON object.
pub fn json(block: &Inspection) -> Json {
    let mut object = match super::json(OVERVIEW, block) {
        Json::Object(object) => object,
        other => return other,
    };
    let segments: Vec<_> = block
        .segments
        .iter()
        .map(|(name, bytes)| json!({ "name": name, "bytes": bytes }))
        .collect();
    object.extend([
        ("sections".to_owned(), json_rows(SECTIONS, &sections(block))),
        ("segments".to_owned(), Json::Array(segments)),
        (
            "encodings".to_owned(),
            json_rows(ENCODINGS, &encodings(block)),
        ),
        (
            "distributions".to_owned(),
            distributions_json(&distributions_of(block)),
        ),
        ("labels".to_owned(), json_rows(LABELS, &block.labels)),
        (
            "tombstones".to_owned(),
            json_rows(DELETIONS, &block.tombstones),
        ),
        ("foreign_files".to_owned(), json_rows(FILES, &block.others)),
        ("faults".to_owned(), json!(faults(block))),
    ]);
    Json::Object(object)
}

/// What could not be read, one line each; the last says how many more there are.
pub fn faults(block: &Inspection) -> Vec<String> {
    let index = block.dir.join("index");
    fault_lines(&block.faults, &index, &block.dir)
}

/// One line for each fault that is kept; the last says how many more there are in `place`. Those without a file are in `index`.
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

fn sections(block: &Inspection) -> Vec<(IndexSection, u64)> {
    let sections = block.sections.iter();
    sections
        .map(|section| (*section, block.index_bytes))
        .collect()
}

fn encodings(block: &Inspection) -> Vec<(Encoding, EncodingCounts)> {
    let encodings = block.series.encodings.iter();
    encodings
        .map(|(encoding, counts)| (*encoding, *counts))
        .collect()
}

fn distributions_of(block: &Inspection) -> Vec<Named> {
    distributions(&block.series, &block.series.histogram_buckets)
}

/// Distributions by their key, each with its buckets.
pub(super) fn distributions_json(distributions: &[Named]) -> Json {
    let by_key = distributions.iter().map(|named| {
        let mut of = super::json(DISTRIBUTIONS, named);
        if let Some(of) = of.as_object_mut() {
            of.insert("buckets".to_owned(), json_rows(BUCKETS, &named.2.buckets()));
        }
        (named.0.to_owned(), of)
    });
    Json::Object(by_key.collect::<Map<_, _>>())
}

/// The distributions of chunks that are not empty.
pub(super) fn distributions(series: &SeriesCounts, histogram_buckets: &Distribution) -> Vec<Named> {
    [
        (
            "chunks_per_series",
            "chunks per series",
            &series.chunks_per_series,
        ),
        (
            "float_samples",
            "samples per float chunk",
            &series.float_samples,
        ),
        ("float_bytes", "bytes per float chunk", &series.float_bytes),
        (
            "histogram_samples",
            "samples per histogram chunk",
            &series.histogram_samples,
        ),
        (
            "histogram_bytes",
            "bytes per histogram chunk",
            &series.histogram_bytes,
        ),
        (
            "histogram_buckets",
            "buckets per histogram",
            histogram_buckets,
        ),
    ]
    .into_iter()
    .filter(|(_, _, values)| values.count() > 0)
    .map(|(key, name, values)| (key, name, values.clone()))
    .collect()
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
        let percent = bucket.count as f64 * 100.0 / values.count() as f64;
        let marks = bucket.count.saturating_mul(BAR).div_ceil(most);
        let bar = "#".repeat(usize::try_from(marks).unwrap_or(0));
        let count = bucket.count;
        let line = format!("  {range:>width$}  {percent:5.1} %  {count:>9}  {bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A table of the first rows, and how many there are.
fn shown<Row>(columns: &[Column<Row>], rows: &[Row], limit: usize, what: &str) -> String {
    let first = rows.get(..limit).unwrap_or(rows);
    let mut text = table(columns, first);
    if rows.len() > first.len() {
        let _ = writeln!(text, "… of {} {what}; all of them with --json", rows.len());
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
