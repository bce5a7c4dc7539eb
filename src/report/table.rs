//! Tables: sheets that are filled in, and how they look.

use std::cmp::Ordering;

use serde_json::{Map, Value as Json};

use super::layout::{self, Column};
use super::{Field, Value, View};

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

/// A sheet that is filled in: its columns, and typed values row by row. Only a
/// [`Sheet`](super::Sheet) makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    fields: Vec<Field>,
    rows: Vec<Vec<Value>>,
    all: Option<u64>,
    is_single: bool,
    is_chosen: bool,
}

/// Keys of columns that people see only where there is something in them: most archives have no
/// labels, and blocks that Prometheus wrote none of the rest.
const SELDOM: [&str; 5] = ["labels", "resolution", "external_labels", "shard", "marks"];

impl Table {
    /// `rows` have one value for each of `fields`, and are the first of `all`, where it is known
    /// how many there are. A single row is shown as lines.
    pub(super) fn new(
        fields: Vec<Field>,
        rows: Vec<Vec<Value>>,
        all: Option<u64>,
        is_single: bool,
    ) -> Self {
        Self {
            fields,
            rows,
            all,
            is_single,
            is_chosen: false,
        }
    }

    /// The table with the columns at these places, all of which people see.
    pub(super) fn chosen(self, places: &[usize]) -> Self {
        let fields = places.iter().filter_map(|place| self.fields.get(*place));
        let fields = fields.map(|field| Field {
            heading: if field.heading.is_empty() {
                field.key
            } else {
                field.heading
            },
            ..*field
        });
        let chosen = |row: &Vec<Value>| {
            let values = places.iter().filter_map(|place| row.get(*place));
            values.cloned().collect()
        };
        Table {
            fields: fields.collect(),
            rows: self.rows.iter().map(chosen).collect(),
            is_chosen: true,
            ..self
        }
    }

    /// Sorts the rows; those that are equal stay as they come.
    pub(super) fn sort_by(&mut self, compare: impl Fn(&[Value], &[Value]) -> Ordering) {
        self.rows.sort_by(|a, b| compare(a, b));
    }

    /// The table with its first rows.
    #[must_use]
    pub(crate) fn first(mut self, rows: usize) -> Self {
        let all = self.rows.len() as u64;
        self.all = Some(self.all.unwrap_or(all).max(all));
        self.rows.truncate(rows);
        self
    }

    /// The columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The rows, each with one value for each column. A value is of the
    /// [`ValueKind`](super::ValueKind) that the column's unit has, or [`Value::None`].
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it is of a sheet of one row.
    pub fn is_single(&self) -> bool {
        self.is_single
    }

    /// How many rows there are altogether, where more are known of than the table has.
    pub fn longer(&self) -> Option<u64> {
        self.all.filter(|all| *all > self.rows.len() as u64)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table in one of its forms. For people the table of a sheet of one row is a line for each
    /// column.
    pub fn print(&self, form: Form, view: &View) -> Printed {
        match form {
            Form::Text if self.is_single => Printed::Lines(self.told(view)),
            Form::Text => Printed::Lines(self.text(view)),
            Form::Csv => Printed::Lines(self.csv()),
            Form::Markdown => Printed::Lines(self.markdown()),
            Form::Json => Printed::Json(self.json()),
        }
    }

    /// The table for people, with one line for each row: as wide as `view` lets it be. Columns that
    /// find no room are named in a last line.
    pub fn text(&self, view: &View) -> String {
        let columns = self.shown().into_iter().map(|(place, field)| {
            let cells = self.column(place);
            Column {
                field: *field,
                cells: cells
                    .map(|value| value.shown(field.unit, field.heading))
                    .collect(),
                is_right: self.is_right(place, field),
            }
        });
        // Who chose columns wants them.
        let width = view.width.filter(|_| !self.is_chosen);
        layout::text(columns.collect(), width, view.explains)
    }

    /// The table as a JSON array with one object for each row.
    pub fn json(&self) -> Json {
        self.objects().map(Json::Object).collect()
    }

    /// A JSON object for each row.
    pub fn objects(&self) -> impl Iterator<Item = Map<String, Json>> {
        self.rows.iter().map(|row| self.object_of(row))
    }

    /// The first row as a JSON object, for tables of one row.
    pub fn object(&self) -> Map<String, Json> {
        self.objects().next().unwrap_or_default()
    }

    /// The first row as lines `heading  value`, for tables of one row.
    pub fn lines(&self) -> String {
        let first = self.rows.first().map(|row| self.lines_of(row));
        first.unwrap_or_default()
    }

    /// The first row as lines, and what they mean where `view` wants to know.
    pub fn told(&self, view: &View) -> String {
        let mut text = self.lines();
        if view.explains {
            text.push_str(&layout::legend(self.headed().map(|(_, field)| field)));
        }
        text
    }

    /// Each row as lines `heading  value`, with an empty line behind.
    pub fn paragraphs(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(&self.lines_of(row));
            text.push('\n');
        }
        text
    }

    /// The columns that people see, with their places.
    pub(super) fn headed(&self) -> impl Iterator<Item = (usize, &Field)> {
        let fields = self.fields.iter().enumerate();
        fields.filter(|(_, field)| !field.heading.is_empty())
    }

    /// The values of the column at `place`.
    pub(super) fn column(&self, place: usize) -> impl Iterator<Item = &Value> {
        self.rows.iter().filter_map(move |row| row.get(place))
    }

    /// Whether the column at `place` is on the right, as numbers are. One with nothing in it is
    /// not.
    pub(super) fn is_right(&self, place: usize, field: &Field) -> bool {
        field.unit.kind().is_number() && self.column(place).any(|value| *value != Value::None)
    }

    /// The columns that people see, without those that are seldom of interest and have nothing to
    /// say here.
    fn shown(&self) -> Vec<(usize, &Field)> {
        let is_worth_showing = |(place, field): &(usize, &Field)| {
            self.is_chosen
                || !SELDOM.contains(&field.key)
                || self.column(*place).any(|value| !value.is_nothing())
        };
        self.headed().filter(is_worth_showing).collect()
    }

    fn lines_of(&self, row: &[Value]) -> String {
        let shown = self.shown();
        let widths = shown.iter().map(|(_, field)| field.heading.len());
        let width = widths.max().unwrap_or(0);
        let mut text = String::new();
        for (place, field) in shown {
            let value = row.get(place).unwrap_or(&Value::None);
            let shown = match value {
                Value::None => "-".to_owned(),
                nothing if nothing.is_nothing() => "none".to_owned(),
                value => value.shown(field.unit, field.heading),
            };
            let line = format!("{:<width$}  {shown}", field.heading);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn object_of(&self, row: &[Value]) -> Map<String, Json> {
        let pairs = self.fields.iter().zip(row);
        pairs
            .map(|(field, value)| (field.key.to_owned(), value.to_json()))
            .collect()
    }
}

impl Printed {
    /// The table as text, JSON on one line.
    pub(super) fn lines(self) -> String {
        match self {
            Printed::Lines(lines) => lines,
            Printed::Json(json) => json.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::report::{Column, InJson, Rows, Sheet, Unit, Value, View};

    #[test]
    fn a_table_and_json_come_from_the_same_columns() {
        let sheet: Sheet<[(u64, &str)], (u64, &str)> = Sheet {
            name: "file",
            title: "Files",
            row: "file",
            json: InJson::List("files"),
            rows: |rows, _| Rows::of(rows),
            columns: &[
                Column {
                    key: "size",
                    heading: "SIZE",
                    unit: Unit::Bytes,
                    weight: 9,
                    explanation: "Size in bytes.",
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
            ],
        };
        let table = sheet.all(&[(5, "a"), (1024 * 1024, "b")]);
        assert_eq!(
            table.text(&View::default()),
            "   SIZE  NAME\n    5 B  a\n1.0 MiB  b\n"
        );
        assert_eq!(
            table.json().to_string(),
            r#"[{"size":5,"name":"a"},{"size":1048576,"name":"b"}]"#
        );
        assert_eq!(table.lines(), "SIZE  5 B\nNAME  a\n");
        assert_eq!(
            sheet.top(&[(5, "a")], 1).rows(),
            [[Value::Bytes(5), Value::text("a")]]
        );
    }

    #[test]
    #[should_panic(expected = "the column \"size\" is of Bytes")]
    fn a_value_of_another_kind_than_its_column_says_is_noticed() {
        let sheet: Sheet<[u64], u64> = Sheet {
            name: "file",
            title: "Files",
            row: "file",
            json: InJson::Nowhere,
            rows: |rows, _| Rows::of(rows),
            columns: &[Column {
                key: "size",
                heading: "SIZE",
                unit: Unit::Bytes,
                weight: 9,
                explanation: "Size in bytes.",
                value: |size| Value::Count(*size),
            }],
        };
        sheet.all(&[1]);
    }
}
