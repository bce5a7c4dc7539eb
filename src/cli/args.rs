//! Options that several commands have, exactly as they were typed.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

#[cfg(feature = "encryption")]
use super::keys::KeyArgs;
use super::network::NetworkArgs;
use crate::error::{Error, Result};
use crate::report::{Sort, View};
use crate::repository::SourceFilter;
use crate::store::refuse_remote;

/// Options of every command.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print results as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Worker threads [default: one per core]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<usize>,
    /// Read files into memory instead of mapping them (for unreliable network file systems)
    #[arg(long, global = true)]
    pub(crate) no_mmap: bool,
    /// Show no progress, and nothing at all of a backup, check, copy, forget, prune, repair,
    /// restore or verify that went well; trouble is shown
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// File that names repositories and sources; `none` for none [default: /etc/narthex.toml, if it
    /// is there]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NARTHEX_CONFIG",
        hide_env_values = true
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[cfg(feature = "encryption")]
    #[command(flatten)]
    pub(crate) keys: KeyArgs,
}

/// How tables look.
#[derive(Args, Clone, Debug)]
pub(crate) struct TableArgs {
    /// Show every column, however narrow the terminal is
    #[arg(long, global = true, help_heading = TABLES_HEADING, conflicts_with = "width")]
    wide: bool,
    /// Fit tables into so many characters a line [default: those of the terminal; elsewhere tables
    /// are whole]
    #[arg(long, global = true, value_name = "N", help_heading = TABLES_HEADING)]
    width: Option<usize>,
    /// Show these columns, by their keys in JSON and CSV
    #[arg(long, global = true, value_name = "KEY,…", value_delimiter = ',', help_heading = TABLES_HEADING, conflicts_with = "json")]
    columns: Vec<String>,
    /// Sort rows by this column; -KEY: the largest first
    #[arg(long, global = true, value_name = "KEY", allow_hyphen_values = true, help_heading = TABLES_HEADING, conflicts_with = "json")]
    sort: Option<Sort>,
    /// Say below each table what its columns mean
    #[arg(long, global = true, help_heading = TABLES_HEADING, conflicts_with = "json")]
    explain: bool,
}

/// What the options of [`TableArgs`] stand under in help texts.
const TABLES_HEADING: &str = "Tables";

impl TableArgs {
    /// How tables are to look where `terminal` columns of characters are; none: no terminal.
    pub(crate) fn view(&self, terminal: Option<usize>) -> View {
        let width = if self.wide {
            None
        } else {
            self.width.or(terminal)
        };
        let mut view = View::new(width, self.columns.clone(), self.sort.clone());
        view.explains = self.explain;
        view
    }
}

/// Most threads that anybody has a use for.
const MAX_THREADS: usize = 1024;

fn parse_threads(text: &str) -> Result<usize> {
    let threads = text.parse().ok();
    let threads = threads.filter(|threads| (1..=MAX_THREADS).contains(threads));
    threads.ok_or_else(|| {
        Error::invalid(format!(
            "expected 1 to {MAX_THREADS} threads, found {text:?}; without --threads there is one for each core"
        ))
    })
}

/// A name that is typed, which must say something.
pub(crate) fn parse_name(text: &str) -> Result<String> {
    if text.trim().is_empty() {
        return Err(Error::invalid("expected a name, found nothing"));
    }
    Ok(text.to_owned())
}

/// How results are written, for commands whose tables can be CSV and Markdown as well.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArgs {
    /// Print one table as CSV: keys as in JSON, numbers as they are
    #[arg(long, conflicts_with_all = ["json", "markdown"], help_heading = "Output")]
    csv: bool,
    /// Print tables as Markdown
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    markdown: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Tables for people.
    Text,
    /// One JSON document.
    Json,
    /// Comma-separated values.
    Csv,
    /// Markdown tables.
    Markdown,
}

impl OutputArgs {
    /// What was asked for; `json` is the global option.
    pub(crate) fn output(self, json: bool) -> Output {
        match (json, self.csv, self.markdown) {
            (true, _, _) => Output::Json,
            (_, true, _) => Output::Csv,
            (_, _, true) => Output::Markdown,
            _ => Output::Text,
        }
    }
}

/// What options that say which repository it is stand under in help texts.
pub(crate) const REPOSITORY_HEADING: &str = "Repository";

/// A path that is written to: not what looks like another machine or a service.
pub(crate) fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| refuse_remote(&path).map(|()| path))
}

/// Which archives are meant, the same for every command: those that fit all of it. None that fits
/// is an error, never an empty answer.
#[derive(Args, Clone, Debug)]
pub(crate) struct SourceArgs {
    /// Only archives from this host
    #[arg(long, help_heading = SOURCES_HEADING)]
    host: Option<String>,
    /// Only archives of the source of this name
    #[arg(long, value_name = "NAME", help_heading = SOURCES_HEADING)]
    source: Option<String>,
    /// Only archives that were made with this --label; may be given several times: all of them
    /// must fit
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label, help_heading = SOURCES_HEADING)]
    labels: Vec<(String, String)>,
}

/// What the options of [`SourceArgs`] stand under in help texts.
const SOURCES_HEADING: &str = "Which archives";

/// A label of an archive, as typed.
pub(crate) fn parse_label(text: &str) -> Result<(String, String)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::invalid(format!(
            "expected NAME=VALUE, found {text:?}"
        ))),
    }
}

impl SourceArgs {
    /// The name of the source, if one is named.
    pub(crate) fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// What an archive must be to be meant.
    pub(crate) fn filter(&self) -> SourceFilter {
        SourceFilter {
            host: self.host.clone(),
            source_name: self.source.clone(),
            labels: self.labels.iter().cloned().collect(),
        }
    }
}
