//! The same rows for other programs and other documents: CSV and Markdown.

use std::fmt::Write as _;

use super::{Column, Value};

/// The rows as CSV (RFC 4180, lines ending in a plain newline): a first line with the keys, then numbers as they are.
/// A field with a comma, a quote, a line break, or a space at its ends is quoted; nothing else is changed.
pub fn csv<Row>(columns: &[Column<Row>], rows: &[Row]) -> String {
    let mut text = String::new();
    record(&mut text, columns.iter().map(|c| c.key.to_owned()));
    for row in rows {
        record(
            &mut text,
            columns.iter().map(|column| (column.value)(row).raw_text()),
        );
    }
    text
}

fn record(text: &mut String, fields: impl ExactSizeIterator<Item = String>) {
    let alone = fields.len() == 1;
    for (i, field) in fields.enumerate() {
        if i > 0 {
            text.push(',');
        }
        // A line with nothing on it is no record to most readers.
        if (alone && field.is_empty()) || needs_quotes(&field) {
            text.push('"');
            text.push_str(&field.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&field);
        }
    }
    text.push('\n');
}

fn needs_quotes(field: &str) -> bool {
    field.contains([',', '"', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ')
}

/// The rows as a Markdown table, with values as people read them and numbers on the right.
pub fn markdown<Row>(columns: &[Column<Row>], rows: &[Row]) -> String {
    let shown = || columns.iter().filter(|column| !column.heading.is_empty());
    let mut text = String::from("|");
    for column in shown() {
        let _ = write!(text, " {} |", escaped(column.heading));
    }
    text.push_str("\n|");
    for column in shown() {
        let right = rows.iter().any(|row| (column.value)(row).is_number());
        text.push_str(if right { "---:|" } else { "---|" });
    }
    text.push('\n');
    for row in rows {
        text.push('|');
        for column in shown() {
            let _ = write!(text, " {} |", cell(&(column.value)(row)));
        }
        text.push('\n');
    }
    text
}

fn cell(value: &Value) -> String {
    escaped(&value.to_string())
}

/// Text that stays in its cell and looks as it is: label values may hold any character.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Unit;

    const COLUMNS: [Column<(u64, &str)>; 3] = [
        Column {
            key: "size",
            heading: "SIZE",
            unit: Unit::Bytes,
            explanation: "Size.",
            value: |r| Value::Bytes(r.0),
        },
        Column {
            key: "name",
            heading: "NAME",
            unit: Unit::None,
            explanation: "Name.",
            value: |r| Value::text(r.1),
        },
        Column {
            key: "none",
            heading: "",
            unit: Unit::None,
            explanation: "Nothing.",
            value: |_| Value::None,
        },
    ];

    #[test]
    fn csv_quotes_what_would_end_a_field_and_nothing_else() {
        let rows = [
            (1_048_576, "plain"),
            (0, "a,b"),
            (1, "say \"x\""),
            (2, "two\nlines"),
            (3, " edge"),
            (4, "=1+1; 'x'"),
        ];
        assert_eq!(
            csv(&COLUMNS, &rows),
            "size,name,none\n1048576,plain,\n0,\"a,b\",\n1,\"say \"\"x\"\"\",\n2,\"two\nlines\",\n3,\" edge\",\n4,=1+1; 'x',\n"
        );
        assert_eq!(csv(&COLUMNS, &[]), "size,name,none\n");
        assert_eq!(csv(&COLUMNS[2..], &[(0, "")]), "none\n\"\"\n");
    }

    #[test]
    fn markdown_keeps_every_value_in_its_cell() {
        let rows = [(1_048_576, "a|b\n`c`"), (5, "up_1")];
        assert_eq!(
            markdown(&COLUMNS, &rows),
            "| SIZE | NAME |\n|---:|---|\n| 1.0 MiB | a\\|b\u{fffd}\\`c\\` |\n| 5 B | up\\_1 |\n"
        );
    }
}
