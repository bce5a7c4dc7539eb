//! The same rows for other programs and other documents: CSV and Markdown.

use std::fmt::Write as _;

use super::{Table, Value};

impl Table {
    /// The table as CSV (RFC 4180, lines ending in a plain newline): a first line with the keys,
    /// then numbers as they are. A field with a comma, a quote, a line break, or a space at its
    /// ends is quoted; nothing else is changed.
    pub fn csv(&self) -> String {
        let mut text = String::new();
        record(&mut text, self.fields().iter().map(|f| f.key.to_owned()));
        for row in self.rows() {
            record(&mut text, row.iter().map(Value::raw_text));
        }
        text
    }

    /// The table as a Markdown table, with values as people read them and numbers on the right.
    pub fn markdown(&self) -> String {
        let mut text = String::from("|");
        for (_, field) in self.headed() {
            let _ = write!(text, " {} |", escaped(field.heading));
        }
        text.push_str("\n|");
        for (place, field) in self.headed() {
            let right = self.is_right(place, field);
            text.push_str(if right { "---:|" } else { "---|" });
        }
        text.push('\n');
        for row in self.rows() {
            text.push('|');
            for (place, field) in self.headed() {
                let value = row.get(place).unwrap_or(&Value::None);
                let _ = write!(
                    text,
                    " {} |",
                    escaped(&value.shown(field.unit, field.heading))
                );
            }
            text.push('\n');
        }
        text
    }
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
    use crate::report::{Column, InJson, Rows, Sheet, Unit};

    const fn sheet(columns: &'static [Column<(u64, &'static str)>]) -> Files {
        Sheet {
            name: "file",
            title: "Files",
            row: "file",
            json: InJson::List("files"),
            rows: |rows, _| Rows::of(rows),
            columns,
        }
    }

    type Files = Sheet<[(u64, &'static str)], (u64, &'static str)>;

    const COLUMNS: &[Column<(u64, &str)>] = &[
        Column {
            key: "size",
            heading: "SIZE",
            unit: Unit::Bytes,
            weight: 9,
            explanation: "Size.",
            value: |r| Value::Bytes(r.0),
        },
        Column {
            key: "name",
            heading: "NAME",
            unit: Unit::None,
            weight: 5,
            explanation: "Name.",
            value: |r| Value::text(r.1),
        },
        Column {
            key: "none",
            heading: "",
            unit: Unit::None,
            weight: 1,
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
            sheet(COLUMNS).all(&rows).csv(),
            "size,name,none\n1048576,plain,\n0,\"a,b\",\n1,\"say \"\"x\"\"\",\n2,\"two\nlines\",\n3,\" edge\",\n4,=1+1; 'x',\n"
        );
        assert_eq!(sheet(COLUMNS).all(&[]).csv(), "size,name,none\n");
        assert_eq!(sheet(&COLUMNS[2..]).all(&[(0, "")]).csv(), "none\n\"\"\n");
    }

    #[test]
    fn markdown_keeps_every_value_in_its_cell() {
        let rows = [(1_048_576, "a|b\n`c`"), (5, "up_1")];
        assert_eq!(
            sheet(COLUMNS).all(&rows).markdown(),
            "| SIZE | NAME |\n|---:|---|\n| 1.0 MiB | a\\|b\u{fffd}\\`c\\` |\n| 5 B | up\\_1 |\n"
        );
    }
}
