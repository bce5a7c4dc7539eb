//! How results look. Nothing is computed here: rows come in, tables and JSON go out.
//!
//! Every subject (blocks, findings, archives …) has one table of [`Column`]s; heading, key in JSON and CSV, unit and
//! explanation of a column are said once, there.

pub mod analyze;
pub mod archives;
pub mod backup;
pub mod blocks;
pub mod compare;
pub mod dump;
pub mod findings;
pub mod forecast;
pub mod inspect;
pub mod logs;
pub mod reference;
pub mod retain;
pub mod start;
pub mod stats;
mod stream;
mod text_formats;
mod unit;
mod value;
pub mod whatif;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value as Json};

pub use text_formats::{csv, markdown};
pub use unit::Unit;
pub use value::Value;
pub(crate) use value::{bytes_text, duration_text, safe_line, safe_text, time_text};

/// One column of a report about `Row`s.
#[derive(Debug)]
pub struct Column<Row: ?Sized> {
    /// Key in JSON and CSV.
    pub key: &'static str,
    /// Heading in the table for people; empty: the column is in JSON and CSV only.
    pub heading: &'static str,
    /// What its numbers count or measure.
    pub unit: Unit,
    /// What it means, in one sentence.
    pub explanation: &'static str,
    /// The value for a row.
    pub value: fn(&Row) -> Value,
}

/// Keys of columns that people see only where there is something in them: blocks that Prometheus wrote have none of it.
const SELDOM: [&str; 4] = ["resolution", "external_labels", "shard", "marks"];

fn is_worth_showing<Row>(column: &Column<Row>, rows: &[Row]) -> bool {
    !SELDOM.contains(&column.key) || rows.iter().any(|row| !(column.value)(row).is_nothing())
}

/// `amount` per thing, where there are any.
pub(crate) fn ratio(amount: u64, things: u64) -> Value {
    if things == 0 {
        Value::None
    } else {
        Value::Number(amount as f64 / things as f64)
    }
}

/// The rows as a table for people, with one line per row.
pub fn table<Row>(columns: &[Column<Row>], rows: &[Row]) -> String {
    let shown: Vec<_> = columns
        .iter()
        .filter(|column| !column.heading.is_empty())
        .filter(|column| is_worth_showing(column, rows))
        .collect();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(shown.iter().map(|column| column.heading));
    for row in rows {
        table.add_row(shown.iter().map(|column| (column.value)(row).to_string()));
    }
    for (i, column) in shown.iter().enumerate() {
        let right = rows.iter().any(|row| (column.value)(row).is_number());
        if let Some(cells) = table.column_mut(i) {
            cells.set_padding((0, 2));
            cells.set_cell_alignment(if right {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            });
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The row as a JSON object with one key per column.
pub fn json<Row: ?Sized>(columns: &[Column<Row>], row: &Row) -> Json {
    let pairs = columns
        .iter()
        .map(|column| (column.key.to_owned(), (column.value)(row).into_json()));
    Json::Object(pairs.collect::<Map<_, _>>())
}

/// The rows as a JSON array of objects.
pub fn json_rows<Row>(columns: &[Column<Row>], rows: &[Row]) -> Json {
    Json::Array(rows.iter().map(|row| json(columns, row)).collect())
}

/// The row as lines `heading: value`, for reports about one thing.
pub fn lines<Row: ?Sized>(columns: &[Column<Row>], row: &Row) -> String {
    let shown = || {
        let headed = columns.iter().filter(|column| !column.heading.is_empty());
        headed.filter(|column| !SELDOM.contains(&column.key) || !(column.value)(row).is_nothing())
    };
    let width = shown()
        .map(|column| column.heading.len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for column in shown() {
        let line = format!("{:<width$}  {}", column.heading, (column.value)(row));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_json_come_from_the_same_columns() {
        let columns: [Column<(u64, &str)>; 2] = [
            Column {
                key: "size",
                heading: "SIZE",
                unit: Unit::Bytes,
                explanation: "Size in bytes.",
                value: |r| Value::Bytes(r.0),
            },
            Column {
                key: "name",
                heading: "NAME",
                unit: Unit::None,
                explanation: "Name.",
                value: |r| Value::text(r.1),
            },
        ];
        let rows = [(5, "a"), (1024 * 1024, "b")];
        assert_eq!(
            table(&columns, &rows),
            "   SIZE  NAME\n    5 B  a\n1.0 MiB  b\n"
        );
        assert_eq!(
            json_rows(&columns, &rows).to_string(),
            r#"[{"size":5,"name":"a"},{"size":1048576,"name":"b"}]"#
        );
    }
}
