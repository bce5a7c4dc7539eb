//! How a table becomes lines that fit the terminal.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use super::Field;

/// Columns of this weight stay, however narrow the terminal is.
const INDISPENSABLE: u8 = 9;

/// Characters between two columns.
const SPACE: usize = 2;

/// Words are cut to no fewer characters than these.
const SHORTEST: usize = 20;

/// One column, ready to be printed.
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) cells: Vec<String>,
    pub(super) is_right: bool,
}

/// The columns as lines of at most `width` characters, as far as that goes: columns of small weight
/// are left out, then words are cut. Both is said in a last line.
pub(super) fn text(columns: Vec<Column>, width: Option<usize>, explains: bool) -> String {
    let explained = |columns: &[Column]| {
        let fields = columns.iter().map(|column| &column.field);
        if explains {
            legend(fields)
        } else {
            String::new()
        }
    };
    let Some(width) = width else {
        return lines(&columns) + &explained(&columns);
    };
    let widths: Vec<_> = columns.iter().map(Column::width).collect();
    let kept = kept(&columns, &widths, width);
    let mut dropped = Vec::new();
    let mut fitting = Vec::new();
    for (column, is_kept) in columns.into_iter().zip(kept) {
        if is_kept {
            fitting.push(column);
        } else {
            dropped.push(column.field.heading);
        }
    }
    let is_cut = cut(&mut fitting, width);
    let mut text = lines(&fitting);
    text.push_str(&explained(&fitting));
    let mut said = Vec::new();
    if !dropped.is_empty() {
        said.push(format!("no room for {}", dropped.join(", ")));
    }
    if is_cut {
        said.push("what ends with … is longer".to_owned());
    }
    if !said.is_empty() {
        let _ = writeln!(text, "({}: --wide shows all)", said.join("; "));
    }
    text
}

/// What the columns mean, a line for each.
pub(super) fn legend<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    let mut text = String::new();
    for field in fields {
        let _ = writeln!(text, "  {}: {}", field.heading.trim(), field.explanation);
    }
    text
}

/// Which columns there is room for.
fn kept(columns: &[Column], widths: &[usize], width: usize) -> Vec<bool> {
    let mut kept = vec![true; columns.len()];
    let total = |kept: &[bool]| {
        let widths = widths.iter().zip(kept).filter(|(_, is_kept)| **is_kept);
        widths
            .map(|(width, _)| width + SPACE)
            .sum::<usize>()
            .saturating_sub(SPACE)
    };
    // The least important first, of equal ones the last.
    let mut order: Vec<_> = (0..columns.len()).collect();
    order.sort_by_key(|place| {
        (
            columns.get(*place).map(|column| column.field.weight),
            std::cmp::Reverse(*place),
        )
    });
    let may_go = |place: &usize| {
        columns
            .get(*place)
            .is_some_and(|column| column.field.weight < INDISPENSABLE)
    };
    let mut gone = Vec::new();
    for place in order.into_iter().filter(may_go) {
        if total(&kept) <= width {
            break;
        }
        set(&mut kept, place, false);
        gone.push(place);
    }
    // A wide one may have made room for others that went before it.
    for place in gone.into_iter().rev() {
        set(&mut kept, place, true);
        if total(&kept) > width {
            set(&mut kept, place, false);
        }
    }
    kept
}

fn set(kept: &mut [bool], place: usize, is_kept: bool) {
    if let Some(kept) = kept.get_mut(place) {
        *kept = is_kept;
    }
}

/// Cuts words until the columns fit, the widest first. Whether anything was cut.
fn cut(columns: &mut [Column], width: usize) -> bool {
    let mut is_cut = false;
    loop {
        let widths: Vec<_> = columns.iter().map(Column::width).collect();
        let total = widths
            .iter()
            .map(|width| width + SPACE)
            .sum::<usize>()
            .saturating_sub(SPACE);
        let excess = total.saturating_sub(width);
        let widest = columns
            .iter_mut()
            .zip(widths)
            .filter(|(column, _)| !column.is_right)
            .max_by_key(|(_, width)| *width);
        let Some((column, own)) = widest.filter(|(_, own)| excess > 0 && *own > SHORTEST) else {
            return is_cut;
        };
        let room = own.saturating_sub(excess).max(SHORTEST);
        let before = column.width();
        for cell in &mut column.cells {
            if chars_wide(cell) > room {
                *cell = shortened(cell, room);
                is_cut = true;
            }
        }
        if column.width() >= before {
            return is_cut;
        }
    }
}

/// The beginning of `text`, with an ellipsis, in at most `room` columns of characters.
fn shortened(text: &str, room: usize) -> String {
    let mut short = String::new();
    for c in text.chars() {
        short.push(c);
        if chars_wide(&short) >= room {
            short.pop();
            break;
        }
    }
    short.push('…');
    short
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| chars_wide(cell));
        cells.max().unwrap_or(0).max(chars_wide(self.field.heading))
    }
}

/// How many columns of a terminal a text takes.
fn chars_wide(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

fn lines(columns: &[Column]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.field.heading));
    let rows = columns
        .iter()
        .map(|column| column.cells.len())
        .max()
        .unwrap_or(0);
    for row in 0..rows {
        let cells = columns.iter().filter_map(|column| column.cells.get(row));
        table.add_row(cells);
    }
    for (place, column) in columns.iter().enumerate() {
        if let Some(cells) = table.column_mut(place) {
            cells.set_padding((0, 2));
            cells.set_cell_alignment(if column.is_right {
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
