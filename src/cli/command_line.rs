//! The whole command line: every command, and the options that all have.

use clap::{CommandFactory as _, Parser, Subcommand};

use super::args::Global;
use super::commands;
use super::context::Context;
use super::exit::Ending;
use crate::error::Result;

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

/// What is to be done. Above the commands: each knows its own arguments, none of them the others.
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
    /// Copy archives to another repository
    Copy(commands::copy::Args),
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

impl Command {
    /// Runs it.
    pub(crate) fn run(self, context: &mut Context<'_>) -> Result<Ending> {
        match self {
            Command::List(args) => commands::list::run(&args, context),
            Command::Inspect(args) => commands::inspect::run(&args, context),
            Command::Analyze(args) => commands::analyze::run(&args, context),
            Command::Whatif(args) => commands::whatif::run(&args, context),
            Command::Dump(args) => commands::dump::run(&args, context),
            Command::Init(args) => commands::init::run(&args, context),
            Command::Backup(args) => commands::backup::run(&args, context),
            Command::Copy(args) => commands::copy::run(&args, context),
            Command::Restore(args) => commands::restore::run(&args, context),
            Command::Archives(args) => commands::archives::run(&args, context),
            Command::Check(args) => commands::check::run(&args, context),
            Command::Repair(args) => commands::repair::run(&args, context),
            Command::Diff(args) => commands::diff::run(&args, context),
            Command::Stats(args) => commands::stats::run(&args, context),
            Command::Forget(args) => commands::forget::run(&args, context),
            Command::Prune(args) => commands::prune::run(&args, context),
            Command::Forecast(args) => commands::forecast::run(&args, context),
            Command::Export(args) => commands::export::run(&args, context),
            Command::Verify(args) => commands::verify::run(&args, context),
            Command::Generate(args) => commands::generate::run(&args, command(), context),
        }
    }

    /// Whether it does something, and says afterwards what: with `--quiet` only trouble is worth a
    /// word. What others print is what they are for, and so is what would be done.
    pub(crate) fn is_work(&self) -> bool {
        match self {
            Command::Backup(args) => !args.is_dry_run(),
            Command::Copy(args) => !args.is_dry_run(),
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
            Command::Copy(_) => "copy",
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
