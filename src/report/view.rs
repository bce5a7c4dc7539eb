//! How somebody wants to see tables: how wide, which columns, in which order.

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{Described, Extent, Field, SheetOf, Table, Value};
use crate::error::{Error, Result};

/// How tables are to look. By default they are whole: every column, as wide as it is.
#[derive(Debug, Default)]
pub struct View {
    /// How many columns of characters there are; `None` where nothing bounds them.
    pub width: Option<usize>,
    /// Keys of the columns that are wanted, in their order; none where nobody chose.
    pub columns: Vec<String>,
    /// What rows are sorted by, if not as they come.
    pub sort: Option<Sort>,
    /// Whether it is said below each table what its columns mean.
    pub explains: bool,
    applied: Cell<Applied>,
}

/// A column to sort by: its key, behind `-` for the largest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    key: String,
    is_descending: bool,
}

/// Whether a table was seen so far, and whether one had what was asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Applied {
    to_any: bool,
    columns: bool,
    sort: bool,
}

impl View {
    /// A view of `width` columns of characters, of these columns of tables, sorted like this.
    pub fn new(width: Option<usize>, columns: Vec<String>, sort: Option<Sort>) -> Self {
        View {
            width,
            columns,
            sort,
            explains: false,
            applied: Cell::default(),
        }
    }

    /// The sheet as it is wanted, with what `of` has for it. Rows that are ranked are sorted before
    /// the first of them are taken.
    pub fn of<Of: ?Sized>(&self, sheet: &dyn SheetOf<Of>, of: &Of, extent: Extent) -> Table {
        let table = sheet.fill(of, extent);
        // One that is not for this extent stays away from it.
        if !self.sorts(&table) || table.is_empty() || extent == Extent::All {
            return self.apply(table);
        }
        // Not the row of all the others, which stands behind the first.
        let first = table.len().min(extent.most());
        self.apply(sheet.fill(of, Extent::All)).first(first)
    }

    /// The table with the columns that are wanted, and its rows in the wanted order. One that lacks
    /// any of these columns stays as it is.
    pub fn apply(&self, mut table: Table) -> Table {
        let mut applied = self.applied.get();
        applied.to_any = true;
        if let Some(sort) = &self.sort
            && let Some(place) = place_of(table.fields(), &sort.key)
            && !table.is_single()
        {
            table.sort_by(|a, b| sort.compare(a.get(place), b.get(place)));
            applied.sort = true;
        }
        let places = self.columns.iter().map(|key| place_of(table.fields(), key));
        let places: Option<Vec<_>> = places.collect();
        if let Some(places) = places.filter(|places| !places.is_empty()) {
            table = table.chosen(&places);
            applied.columns = true;
        }
        self.applied.set(applied);
        table
    }

    /// Whether the table has the column to sort by.
    pub fn sorts(&self, table: &Table) -> bool {
        let key = self.sort.as_ref().map(|sort| &sort.key);
        key.is_some_and(|key| place_of(table.fields(), key).is_some())
    }

    /// Refuses what none of `sheets` has.
    ///
    /// # Errors
    ///
    /// `Invalid` when there is no sheet with all wanted columns, or none with the one to sort by;
    /// the error lists them.
    pub fn refuse_unknown(&self, sheets: &[&dyn Described]) -> Result<()> {
        let has = |sheet: &&&dyn Described, key: &String| place_of(&sheet.fields(), key).is_some();
        let has_all = |sheet: &&&dyn Described| self.columns.iter().all(|key| has(sheet, key));
        if !self.columns.is_empty() && !sheets.iter().any(|sheet| has_all(&sheet)) {
            return Err(unknown("--columns", &self.columns.join(","), sheets));
        }
        let key = self.sort.as_ref().map(|sort| &sort.key);
        match key {
            Some(key) if !sheets.iter().any(|sheet| has(&sheet, key)) => {
                Err(unknown("--sort", key, sheets))
            }
            _ => Ok(()),
        }
    }

    /// Refuses to let it pass that no table which was shown had what was asked for.
    ///
    /// # Errors
    ///
    /// `Invalid` when there was a table, and none with all wanted columns, or none with the one to
    /// sort by.
    pub fn refuse_idle(&self) -> Result<()> {
        let applied = self.applied.get();
        let idle = match &self.sort {
            _ if !applied.to_any => return Ok(()),
            Some(sort) if !applied.sort => format!("--sort {sort}"),
            _ if !self.columns.is_empty() && !applied.columns => {
                format!("--columns {}", self.columns.join(","))
            }
            _ => return Ok(()),
        };
        Err(Error::invalid(format!(
            "no table that was shown has what {idle} asks for: other tables of the command do, which other options show"
        )))
    }
}

fn place_of(fields: &[Field], key: &str) -> Option<usize> {
    fields.iter().position(|field| field.key == key)
}

fn unknown(option: &str, found: &str, sheets: &[&dyn Described]) -> Error {
    let tables: Vec<_> = sheets
        .iter()
        .map(|sheet| {
            let keys: Vec<_> = sheet.fields().iter().map(|field| field.key).collect();
            format!("{}: {}", sheet.title(), keys.join(", "))
        })
        .collect();
    let error = Error::invalid(format!(
        "{option}: expected columns of one table, found {found}"
    ));
    match tables.as_slice() {
        [] => error.advise("this command prints no table"),
        tables => error.advise(format!("there are {}", tables.join("; "))),
    }
}

impl Sort {
    /// How two values stand to each other. What is not there comes last, whatever the order.
    fn compare(&self, a: Option<&Value>, b: Option<&Value>) -> Ordering {
        let (a, b) = (a.unwrap_or(&Value::None), b.unwrap_or(&Value::None));
        match (a, b) {
            (Value::None, Value::None) => Ordering::Equal,
            (Value::None, _) => Ordering::Greater,
            (_, Value::None) => Ordering::Less,
            _ if self.is_descending => b.order(a),
            _ => a.order(b),
        }
    }
}

impl FromStr for Sort {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let key = text.strip_prefix('-').unwrap_or(text);
        if key.is_empty() {
            return Err(Error::invalid(format!(
                "expected a column, or one behind - for the largest first, found {text:?}"
            )));
        }
        Ok(Sort {
            key: key.to_owned(),
            is_descending: key.len() < text.len(),
        })
    }
}

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_descending { "-" } else { "" };
        write!(f, "{sign}{}", self.key)
    }
}
