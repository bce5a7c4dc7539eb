//! One file per subcommand: from typed arguments to library calls, to a report and an outcome.

pub(super) mod analyze;
pub(super) mod archives;
pub(super) mod backup;
pub(super) mod check;
pub(super) mod diff;
pub(super) mod dump;
pub(super) mod export;
pub(super) mod forecast;
pub(super) mod forget;
pub(super) mod generate;
pub(super) mod init;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod prune;
pub(super) mod repair;
pub(super) mod restore;
pub(super) mod stats;
pub(super) mod verify;
pub(super) mod whatif;

use super::args::Command;
use super::{Context, Ending};
use crate::error::Result;

/// Runs one command.
pub(super) fn run(command: Command, context: &mut Context<'_>) -> Result<Ending> {
    match command {
        Command::List(args) => list::run(&args, context),
        Command::Inspect(args) => inspect::run(&args, context),
        Command::Analyze(args) => analyze::run(&args, context),
        Command::Whatif(args) => whatif::run(&args, context),
        Command::Dump(args) => dump::run(&args, context),
        Command::Init(args) => init::run(&args, context),
        Command::Backup(args) => backup::run(&args, context),
        Command::Restore(args) => restore::run(&args, context),
        Command::Archives(args) => archives::run(&args, context),
        Command::Check(args) => check::run(&args, context),
        Command::Repair(args) => repair::run(&args, context),
        Command::Diff(args) => diff::run(&args, context),
        Command::Stats(args) => stats::run(&args, context),
        Command::Forget(args) => forget::run(&args, context),
        Command::Prune(args) => prune::run(&args, context),
        Command::Forecast(args) => forecast::run(&args, context),
        Command::Export(args) => export::run(&args, context),
        Command::Verify(args) => verify::run(&args, context),
        Command::Generate(args) => generate::run(&args, context),
    }
}
