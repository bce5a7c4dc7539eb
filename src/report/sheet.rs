//! Sheets: what a table of results is, said once for everything that shows it.
//!
//! A sheet fills a [`Table`], a table looks as a [`View`](super::View) says, and a view picks
//! columns of a sheet: so the three files name one another, and `layout` with them.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::{Table, Unit, Value};

/// One column of a sheet, about `Row`s.
pub struct Column<Row: ?Sized> {
    /// Key in JSON and CSV.
    pub key: &'static str,
    /// Heading in the table for people; empty: the column is in JSON and CSV only.
    pub heading: &'static str,
    /// What its values are, count or measure. It has a [`ValueKind`](super::ValueKind), the type
    /// of all values, and with it how they are written.
    pub unit: Unit,
    /// How much people need it, from 1 to 9: where a table is too wide, columns of small weight go
    /// first. Those of 9 stay, as without them nobody knows what a row is about.
    pub weight: u8,
    /// What it means, in one sentence.
    pub explanation: &'static str,
    /// The value for a row: of the kind of `unit`, or [`Value::None`].
    pub value: fn(&Row) -> Value,
}

/// A column without the type of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// As [`Column::key`].
    pub key: &'static str,
    /// As [`Column::heading`].
    pub heading: &'static str,
    /// As [`Column::unit`].
    pub unit: Unit,
    /// As [`Column::weight`].
    pub weight: u8,
    /// As [`Column::explanation`].
    pub explanation: &'static str,
}

/// One table of a command's results: its names, its columns, and how its rows are taken out of what
/// the command found, an `Of`.
///
/// Text, CSV, Markdown, JSON, the options that name tables and `docs/report-columns.md` all follow
/// from it. A sheet must stand in [`CHAPTERS`](super::CHAPTERS); a test finds those that do not.
pub struct Sheet<Of: ?Sized + 'static, Row: 'static> {
    /// Name that no other sheet of the command has: for options, files and pages.
    pub name: &'static str,
    /// Heading over it, for people.
    pub title: &'static str,
    /// What a row is: a noun without article, to go on after "for each".
    pub row: &'static str,
    /// Where it stands in the JSON of its command.
    pub json: InJson,
    /// The columns, in the order in which they are shown.
    pub columns: &'static [Column<Row>],
    /// The rows that `Of` has, as many as are wanted.
    pub rows: for<'a> fn(&'a Of, Extent) -> Rows<'a, Row>,
}

/// Where a sheet stands in the JSON of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InJson {
    /// A list under this key, with one object for each row.
    List(&'static str),
    /// An object under this key with one object for each row, by a name: the command puts it in, as
    /// only it knows the names.
    Named(&'static str),
    /// One object under this key: the sheet has one row.
    Object(&'static str),
    /// The command's object itself has the keys of the columns: the sheet has one row.
    Itself,
    /// Not beside other sheets: where it is asked for by its name it is printed by itself, as a
    /// list.
    Alone,
    /// Nowhere: the sheet is for people only.
    Nowhere,
}

/// How much of a sheet is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every row.
    All,
    /// So many rows at most, where rows are ranked.
    Top(usize),
    /// Its part of a document with all sheets of a report: every row, unless there may be more than
    /// anybody wants there.
    Document,
    /// Its part of what people see at a glance: so many rows at most where rows are ranked, and
    /// none of a sheet that is not for that.
    Glance(usize),
}

/// Rows of a sheet, and how many there are altogether.
#[derive(Debug)]
pub struct Rows<'a, Row> {
    rows: Lying<'a, Row>,
    all: Option<u64>,
}

/// Rows that lie in what the command found, or were made for the sheet.
#[derive(Debug)]
enum Lying<'a, Row> {
    Lent(&'a [Row]),
    Made(Vec<Row>),
}

/// A sheet whose types are not known: what it is called, and what its columns are.
pub trait Described: fmt::Debug + Sync {
    /// Its name: [`Sheet::name`].
    fn name(&self) -> &'static str;
    /// The heading over it: [`Sheet::title`].
    fn title(&self) -> &'static str;
    /// What a row is: [`Sheet::row`].
    fn row(&self) -> &'static str;
    /// Where it stands in JSON: [`Sheet::json`].
    fn in_json(&self) -> InJson;
    /// Its columns.
    fn fields(&self) -> Vec<Field>;
}

/// A sheet of `Of`s, whatever its rows are.
pub trait SheetOf<Of: ?Sized>: Described {
    /// The sheet with what `of` has for it, as far as it is wanted.
    fn fill(&self, of: &Of, extent: Extent) -> Table;

    /// Puts the sheet into the JSON object of its command, where it belongs there.
    fn add_to(&self, object: &mut Map<String, Json>, of: &Of, extent: Extent) {
        match self.in_json() {
            InJson::List(key) => {
                object.insert(key.to_owned(), self.fill(of, extent).json());
            }
            InJson::Object(key) => {
                object.insert(key.to_owned(), self.fill(of, extent).object().into());
            }
            InJson::Itself => object.extend(self.fill(of, extent).object()),
            InJson::Named(_) | InJson::Alone | InJson::Nowhere => {}
        }
    }
}

impl<Row: ?Sized> Column<Row> {
    /// The column without the type of its rows.
    pub const fn field(&self) -> Field {
        Field {
            key: self.key,
            heading: self.heading,
            unit: self.unit,
            weight: self.weight,
            explanation: self.explanation,
        }
    }

    /// The value for `row`.
    fn cell(&self, row: &Row) -> Value {
        let value = (self.value)(row);
        debug_assert!(
            value.kind().is_none_or(|kind| kind == self.unit.kind()),
            "the column {:?} is of {:?}, and {value:?} is not",
            self.key,
            self.unit
        );
        value
    }
}

impl<Of: ?Sized, Row> Sheet<Of, Row> {
    /// The sheet with every row that `of` has for it.
    pub fn all(&self, of: &Of) -> Table {
        self.fill(of, Extent::All)
    }

    /// The sheet with at most `top` of the rows that `of` has for it.
    pub fn top(&self, of: &Of, top: usize) -> Table {
        self.fill(of, Extent::Top(top))
    }
}

impl<Of: ?Sized, Row> Described for Sheet<Of, Row> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn row(&self) -> &'static str {
        self.row
    }

    fn in_json(&self) -> InJson {
        self.json
    }

    fn fields(&self) -> Vec<Field> {
        self.columns.iter().map(Column::field).collect()
    }
}

impl<Of: ?Sized, Row> SheetOf<Of> for Sheet<Of, Row> {
    fn fill(&self, of: &Of, extent: Extent) -> Table {
        let rows = (self.rows)(of, extent);
        let of = |row: &Row| self.columns.iter().map(|column| column.cell(row)).collect();
        let cells = rows.as_slice().iter().map(of).collect();
        let is_single = matches!(self.json, InJson::Object(_) | InJson::Itself);
        Table::new(self.fields(), cells, rows.all, is_single)
    }
}

impl InJson {
    /// The key under which it stands, if it has one.
    pub fn key(self) -> Option<&'static str> {
        match self {
            InJson::List(key) | InJson::Named(key) | InJson::Object(key) => Some(key),
            InJson::Itself | InJson::Alone | InJson::Nowhere => None,
        }
    }
}

impl Extent {
    /// The most rows of a sheet whose rows are ranked.
    pub fn most(self) -> usize {
        self.limit().unwrap_or(usize::MAX)
    }

    /// The most rows of a sheet whose rows are ranked, if there is a limit.
    pub fn limit(self) -> Option<usize> {
        match self {
            Extent::All | Extent::Document => None,
            Extent::Top(most) | Extent::Glance(most) => Some(most),
        }
    }
}

impl<'a, Row> Rows<'a, Row> {
    /// All of these rows.
    pub fn of(rows: &'a [Row]) -> Self {
        Self::first(rows, Extent::All)
    }

    /// One row.
    pub fn one(row: &'a Row) -> Self {
        Self::of(std::slice::from_ref(row))
    }

    /// No row.
    pub fn none() -> Self {
        Self::of(&[])
    }

    /// All of these rows, which were made for the sheet.
    pub fn made(rows: Vec<Row>) -> Self {
        Self::first_made(rows, Extent::All)
    }

    /// The first of these rows, which are ranked.
    pub fn first(rows: &'a [Row], extent: Extent) -> Self {
        Self {
            all: Some(rows.len() as u64),
            rows: Lying::Lent(rows.get(..extent.most()).unwrap_or(rows)),
        }
    }

    /// The first of these rows, which are ranked and were made for the sheet.
    pub fn first_made(mut rows: Vec<Row>, extent: Extent) -> Self {
        let all = Some(rows.len() as u64);
        rows.truncate(extent.most());
        Self {
            all,
            rows: Lying::Made(rows),
        }
    }

    /// The same rows, of which there are altogether so many; `None` where nobody counted them.
    #[must_use]
    pub fn of_all(self, all: Option<u64>) -> Self {
        Self { all, ..self }
    }

    fn as_slice(&self) -> &[Row] {
        match &self.rows {
            Lying::Lent(rows) => rows,
            Lying::Made(rows) => rows,
        }
    }
}

impl<Row: ?Sized> fmt::Debug for Column<Row> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.field().fmt(f)
    }
}

impl<Of: ?Sized, Row> fmt::Debug for Sheet<Of, Row> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sheet")
            .field("name", &self.name)
            .field("json", &self.json)
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}
