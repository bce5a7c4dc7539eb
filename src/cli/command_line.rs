//! The whole command line: every command, and the options that all have.

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use super::args::Global;
use super::commands;
use super::config;
use super::context::Context;
use super::exit::Ending;
use super::repo::RepoArgs;
use crate::error::Result;
use crate::store::Location;

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

narthex COMMAND --help has more. With NARTHEX_REPO set, or a repository in /etc/narthex.toml, --repo can be left out.")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Completes what was typed by what the configuration says, and chooses the repository.
    /// Returns what is to be said of that, or why the configuration cannot be used.
    ///
    /// # Errors
    ///
    /// When it does not say which repository, or which directory, is meant.
    pub(crate) fn settle(&mut self) -> Result<Result<Vec<String>>, clap::Error> {
        let matters = !matches!(self.command, Command::Config(_) | Command::Generate(_));
        let named = self.global.config.as_deref();
        let prepared = config::prepare(named, matters, self.global.quiet);
        if let Err(error) = prepared {
            return Ok(Err(error));
        }
        if self.command.repository().is_none() && self.command.others().is_empty() {
            return Ok(Ok(Vec::new()));
        }
        // The configuration itself is no matter of usage.
        if let Err(error) = config::active() {
            return Ok(Err(error));
        }
        let refused = |kind, message: String| command().error(kind, message);
        let wrong = |error: crate::Error| refused(ErrorKind::ValueValidation, error.chain());
        let mut remarks = self.command.complete().map_err(wrong)?;
        for other in self.command.others() {
            let typed = other.to_string().parse().map_err(wrong)?;
            if let Some(chosen) = config::choose(Some(&typed), None).map_err(wrong)? {
                *other = chosen.location;
                remarks.extend(chosen.remark);
            }
        }
        let source = self.command.source();
        let Some(repository) = self.command.repository() else {
            return Ok(Ok(remarks));
        };
        match repository.choose(source.as_deref()).map_err(wrong)? {
            Some(choice) => remarks.extend(choice),
            None => {
                return Err(refused(
                    ErrorKind::MissingRequiredArgument,
                    "the following required arguments were not provided:\n  --repo <REPO>"
                        .to_owned(),
                ));
            }
        }
        Ok(Ok(remarks))
    }
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
    /// Lock what archives need, so that nobody can delete it until a time is over
    Lock(commands::lock::Args),
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
    /// Make, list, add and take off keys of encrypted repositories
    #[cfg(feature = "encryption")]
    #[command(subcommand)]
    Key(commands::key::Args),
    /// Write down which archives an encrypted repository has, signed, so that one that is removed
    /// is missed
    #[cfg(feature = "encryption")]
    Witness(commands::witness::Args),
    /// Check the configuration file, or say what holds and who says so
    #[command(subcommand)]
    Config(commands::config::Args),
    /// Make shell completions or man pages
    #[command(subcommand)]
    Generate(commands::generate::Args),
}

impl Command {
    /// Runs it.
    pub(crate) fn run(self, global: &Global, context: &mut Context<'_>) -> Result<Ending> {
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
            Command::Lock(args) => commands::lock::run(&args, context),
            Command::Forecast(args) => commands::forecast::run(&args, context),
            #[cfg(feature = "encryption")]
            Command::Key(args) => commands::key::run(&args, context),
            #[cfg(feature = "encryption")]
            Command::Witness(args) => commands::witness::run(&args, context),
            Command::Export(args) => commands::export::run(&args, context),
            Command::Verify(args) => commands::verify::run(&args, context),
            Command::Config(args) => {
                let file = config::file_of(global.config.as_deref());
                let typed = global.network.typed();
                commands::config::run(&args, file.as_deref(), &typed, context)
            }
            Command::Generate(args) => commands::generate::run(&args, command(), context),
        }
    }

    /// Takes from the configuration what was not typed. Returns what is to be said of that.
    fn complete(&mut self) -> Result<Vec<String>> {
        match self {
            Command::Backup(args) => args.complete(),
            Command::Forget(args) => args.complete(),
            _ => Ok(Vec::new()),
        }
    }

    /// The repository, for commands that need one.
    fn repository(&mut self) -> Option<&mut RepoArgs> {
        match self {
            Command::Init(args) => Some(&mut args.repo),
            Command::Backup(args) => Some(&mut args.repo),
            Command::Restore(args) => Some(&mut args.repo),
            Command::Archives(args) => Some(&mut args.repo),
            Command::Forget(args) => Some(&mut args.repo),
            Command::Prune(args) => Some(&mut args.repo),
            Command::Lock(args) => Some(&mut args.repo),
            Command::Export(args) => Some(&mut args.repo),
            Command::Stats(args) => Some(&mut args.repo),
            Command::Check(args) => Some(&mut args.repo),
            Command::Repair(args) => Some(&mut args.repo),
            // Both repositories of a copy are typed.
            Command::Copy(_) => None,
            #[cfg(feature = "encryption")]
            Command::Key(args) => args.repository(),
            #[cfg(feature = "encryption")]
            Command::Witness(args) => Some(&mut args.repo),
            Command::List(_)
            | Command::Inspect(_)
            | Command::Analyze(_)
            | Command::Whatif(_)
            | Command::Dump(_)
            | Command::Forecast(_)
            | Command::Diff(_)
            | Command::Verify(_)
            | Command::Config(_)
            | Command::Generate(_) => None,
        }
    }

    /// The repositories that are typed beside that one.
    fn others(&mut self) -> Vec<&mut Location> {
        match self {
            Command::Copy(args) => args.places(),
            Command::Backup(args) => args.copy_to.iter_mut().collect(),
            Command::Check(args) => args.compare.iter_mut().collect(),
            Command::Repair(args) => args.from.iter_mut().collect(),
            _ => Vec::new(),
        }
    }

    /// The name of the source that these commands are told.
    fn source(&self) -> Option<String> {
        let source = match self {
            Command::Backup(args) => args.configured(),
            Command::Restore(args) => args.sources.source(),
            Command::Archives(args) => args.sources.source(),
            Command::Forget(args) => args.sources.source(),
            Command::Lock(args) => args.sources.source(),
            Command::Export(args) => args.sources.source(),
            Command::Stats(args) => args.sources.source(),
            _ => None,
        };
        source.map(str::to_owned)
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
            Command::Lock(args) => !args.is_dry_run(),
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
            | Command::Config(_)
            | Command::Generate(_) => false,
            #[cfg(feature = "encryption")]
            Command::Key(_) | Command::Witness(_) => false,
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
            Command::Lock(_) => "lock",
            Command::Forecast(_) => "forecast",
            Command::Export(_) => "export",
            Command::Stats(_) => "stats",
            Command::Check(_) => "check",
            Command::Repair(_) => "repair",
            Command::Diff(_) => "diff",
            Command::Verify(_) => "verify",
            #[cfg(feature = "encryption")]
            Command::Key(_) => "key",
            #[cfg(feature = "encryption")]
            Command::Witness(_) => "witness",
            Command::Config(_) => "config",
            Command::Generate(_) => "generate",
        }
    }

    /// Whether `--json` means something: a tar and a man page are what they are.
    pub(crate) fn has_json(&self) -> bool {
        !matches!(self, Command::Export(_) | Command::Generate(_))
    }
}
