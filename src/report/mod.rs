//! How results look. Nothing is computed here: rows come in, tables and JSON go out.
//!
//! Every table is described once, by a [`Sheet`]: its names, its [`Column`]s, each with heading,
//! key in JSON and CSV, unit and explanation, and how its rows are taken out of what a command
//! found. Filled in it is a [`Table`] of typed [`Value`]s, which goes out as text, CSV, Markdown or
//! JSON. [`CHAPTERS`] lists every sheet; `docs/report-columns.md` is made from it.
//! `CONTRIBUTING.md` says how to add a column or a table.
//!
//! ```
//! use narthex::inspect::BlockListing;
//! use narthex::report::CHAPTERS;
//!
//! // Every table of every command.
//! for chapter in CHAPTERS {
//!     println!("{chapter:?}");
//! }
//! ```

pub mod analyze;
pub mod archives;
pub mod backup;
pub mod blocks;
mod chapters;
pub mod compare;
pub mod config;
pub mod copy;
pub mod dump;
pub mod findings;
pub mod forecast;
pub mod inspect;
pub mod keys;
mod layout;
pub mod lock;
pub mod logs;
mod prose;
pub mod reference;
pub mod replaced;
pub mod retain;
pub mod schema;
mod sheet;
mod shell;
pub mod start;
pub mod stats;
mod stream;
mod table;
mod text_formats;
pub mod traffic;
pub mod trouble;
mod unit;
mod value;
mod view;
pub mod whatif;
mod wrap;

pub use chapters::{CHAPTERS, Chapter};
pub use sheet::{Column, Described, Extent, Field, InJson, Rows, Sheet, SheetOf};
pub(crate) use shell::shell_word;
pub use table::{Form, Printed, Table};
pub use unit::{Unit, ValueKind};
pub use value::Value;
pub(crate) use value::{safe_line, safe_text};
pub use view::{Sort, View};

use crate::units::{bytes_text, duration_text, time_text};

/// `amount` per thing, where there are any.
pub(crate) fn ratio(amount: u64, things: u64) -> Value {
    if things == 0 {
        Value::None
    } else {
        Value::Number(amount as f64 / things as f64)
    }
}
