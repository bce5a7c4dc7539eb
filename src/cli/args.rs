//! Exactly what was typed.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use super::commands;
use super::network::{self, NetworkArgs};
use super::state::{StateArgs, explain};
use crate::error::{Error, Result};
use crate::report::{Sort, View};
use crate::repository::{Repository, SourceFilter};
use crate::store::{Location, Store, refuse_remote};

/// Backs up, verifies and measures Prometheus TSDB blocks.
#[derive(Debug, Parser)]
#[command(
    name = "narthex",
    version,
    propagate_version = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
Examples:
  narthex verify /var/lib/prometheus
  narthex backup /var/lib/prometheus --repo /srv/backup/prometheus
  narthex archives --repo /srv/backup/prometheus
  narthex restore latest --repo /srv/backup/prometheus --target /tmp/restored

narthex COMMAND --help has more. With NARTHEX_REPO set, --repo can be left out.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every help text ends with.
const EXIT_CODES: &str = "Exit codes: 0 done and healthy; 1 could not do it; 2 wrong usage; 3 done, but problems \
                          were found or something was left out.";

/// The command line as it is parsed and explained.
pub(crate) fn command() -> clap::Command {
    with_exit_codes(Cli::command())
}

fn with_exit_codes(command: clap::Command) -> clap::Command {
    let own = command.get_after_help().map(ToString::to_string);
    let help: Vec<_> = own.into_iter().chain([EXIT_CODES.to_owned()]).collect();
    let command = command.after_help(help.join("\n\n"));
    command.mut_subcommands(with_exit_codes)
}

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
    /// Show no progress, and nothing at all of a backup, check, forget, prune, repair, restore or
    /// verify that went well; trouble is shown
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) table: TableArgs,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
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

/// The environment variable that says where the repository is when `--repo` does not.
pub(crate) const REPO_VARIABLE: &str = "NARTHEX_REPO";

/// What options that say which repository it is stand under in help texts.
pub(crate) const REPOSITORY_HEADING: &str = "Repository";

/// Whether commands find the repository without `--repo`.
pub(crate) fn is_repo_known() -> bool {
    std::env::var_os(REPO_VARIABLE).is_some_and(|set| !set.is_empty())
}

/// Which repository, for every command that needs one.
#[derive(Args, Clone, Debug)]
pub(crate) struct RepoArgs {
    /// Directory of the repository, or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
    /// `az://CONTAINER/PREFIX`, `sftp://USER@HOST/PATH`, to read `https://HOST/PATH`;
    /// `NARTHEX_REPO` may say it instead
    #[arg(long = "repo", env = REPO_VARIABLE, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    location: Location,
}

impl RepoArgs {
    /// Where the repository is or will be.
    pub(crate) fn store(&self) -> Result<Arc<dyn Store>> {
        network::store(&self.location)
    }

    /// Where the repository is or will be, as typed.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Refuses a directory `target` inside of the repository: what lies there is no object, and
    /// whoever tidies up may remove it.
    ///
    /// # Errors
    ///
    /// `Refused` if it is there.
    pub(crate) fn refuse_inside(&self, target: &Path) -> Result<()> {
        let Some(repository) = self.location.dir() else {
            return Ok(());
        };
        let mut existing = target.ancestors().map(|dir| {
            if dir.as_os_str().is_empty() {
                Path::new(".").canonicalize()
            } else {
                dir.canonicalize()
            }
        });
        let existing = existing.find_map(std::result::Result::ok);
        match (existing, repository.canonicalize()) {
            (Some(existing), Ok(repository)) if existing.starts_with(&repository) => {
                Err(Error::refused(format!(
                    "expected a target outside of the repository, found {}, which is inside of {}",
                    target.display(),
                    self.location
                )))
            }
            _ => Ok(()),
        }
    }

    /// The repository, which must exist.
    pub(crate) fn open(&self) -> Result<Repository> {
        open_repository(&self.location)
    }

    /// The repository, which must exist and be the one that is remembered to be there: for whoever
    /// changes it.
    pub(crate) fn open_own(&self, state: &StateArgs) -> Result<Repository> {
        let repository = open(&self.location)?;
        state.refuse_other(&self.location, &repository)?;
        Ok(repository)
    }
}

/// Opens the repository at `location`, and says on standard error if another one was there before.
pub(crate) fn open_repository(location: &Location) -> Result<Repository> {
    let repository = open(location)?;
    // Who cannot read what is remembered can read the repository all the same.
    if let Ok(Some(other)) = StateArgs::of_environment().other(location, &repository) {
        say(&other);
    }
    Ok(repository)
}

/// Opens the repository at `location`, and says so on standard error if that had to be done without
/// its descriptor.
fn open(location: &Location) -> Result<Repository> {
    let repository =
        Repository::open(network::store(location)?).map_err(|e| explain(location, e))?;
    if let Some(trouble) = repository.trouble() {
        say(&format!(
            "{trouble}; going on without it: narthex repair writes it anew"
        ));
    }
    Ok(repository)
}

fn say(what: &str) {
    let _ = writeln!(std::io::stderr().lock(), "narthex: {what}");
}

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
    /// What an archive must be to be meant.
    pub(crate) fn filter(&self) -> SourceFilter {
        SourceFilter {
            host: self.host.clone(),
            source_name: self.source.clone(),
            labels: self.labels.iter().cloned().collect(),
        }
    }
}

impl Command {
    /// Whether it does something, and says afterwards what: with `--quiet` only trouble is worth a
    /// word. What others print is what they are for, and so is what would be done.
    pub(crate) fn is_work(&self) -> bool {
        match self {
            Command::Backup(args) => !args.is_dry_run(),
            Command::Restore(args) => !args.is_dry_run(),
            Command::Forget(args) => !args.is_dry_run(),
            Command::Prune(args) => !args.is_dry_run(),
            Command::Repair(args) => !args.is_dry_run(),
            Command::Check(_) | Command::Verify(_) => true,
            Command::List(_)
            | Command::Inspect(_)
            | Command::Analyze(_)
            | Command::Whatif(_)
            | Command::Dump(_)
            | Command::Init(_)
            | Command::Archives(_)
            | Command::Forecast(_)
            | Command::Export(_)
            | Command::Stats(_)
            | Command::Diff(_)
            | Command::Generate(_) => false,
        }
    }

    /// Its name, as typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Command::List(_) => "list",
            Command::Inspect(_) => "inspect",
            Command::Analyze(_) => "analyze",
            Command::Whatif(_) => "whatif",
            Command::Dump(_) => "dump",
            Command::Init(_) => "init",
            Command::Backup(_) => "backup",
            Command::Restore(_) => "restore",
            Command::Archives(_) => "archives",
            Command::Forget(_) => "forget",
            Command::Prune(_) => "prune",
            Command::Forecast(_) => "forecast",
            Command::Export(_) => "export",
            Command::Stats(_) => "stats",
            Command::Check(_) => "check",
            Command::Repair(_) => "repair",
            Command::Diff(_) => "diff",
            Command::Verify(_) => "verify",
            Command::Generate(_) => "generate",
        }
    }

    /// Whether `--json` means something: a tar and a man page are what they are.
    pub(crate) fn has_json(&self) -> bool {
        !matches!(self, Command::Export(_) | Command::Generate(_))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List blocks: time range, level, series, samples, sizes; gaps and overlaps are marked
    List(commands::list::Args),
    /// Say everything about a block: sections, symbols, labels, encodings, chunk sizes, deletions
    Inspect(commands::inspect::Args),
    /// Say where the bytes of blocks go: by metric, job, label and pair; cardinality, churn,
    /// scrapes, chunks
    Analyze(commands::analyze::Args),
    /// Say what dropping metrics or labels, a longer interval or another retention would save, and
    /// which metrics nobody uses
    Whatif(commands::whatif::Args),
    /// Write samples as text, skipping and counting what is damaged
    Dump(commands::dump::Args),
    /// Make an empty repository
    Init(commands::init::Args),
    /// Archive what is new in a data directory
    Backup(commands::backup::Args),
    /// Bring an archive, or a range of time, back into a directory
    Restore(commands::restore::Args),
    /// List the archives of a repository, oldest first
    Archives(commands::archives::Args),
    /// Remove archives by a policy, or by their ids
    Forget(commands::forget::Args),
    /// Delete what no archive needs: mark it in one run, delete it in a later one
    Prune(commands::prune::Args),
    /// Say how a server grows, when its disk is full, and what a retention needs
    Forecast(commands::forecast::Args),
    /// Write a stored block as a plain tar
    Export(commands::export::Args),
    /// Say where the bytes of a repository are
    Stats(commands::stats::Args),
    /// Prove that a repository is sound
    Check(commands::check::Args),
    /// Make a repository whole again: descriptor, lost manifests, what other objects still hold
    Repair(commands::repair::Args),
    /// Compare blocks, directories and archives: series, samples, coverage; prove that they are
    /// equal
    Diff(commands::diff::Args),
    /// Find every fault in blocks: structure, checksums, samples, and what Prometheus will do about
    /// it
    Verify(commands::verify::Args),
    /// Make shell completions or man pages
    #[command(subcommand)]
    Generate(commands::generate::Args),
}
