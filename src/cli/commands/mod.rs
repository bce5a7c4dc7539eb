//! One file per subcommand: from typed arguments to library calls, to a report and an outcome.

pub(super) mod generate;

use super::args::Command;
use super::{Context, Outcome};
use crate::error::Result;

/// Runs one command.
pub(super) fn run(command: Command, context: &mut Context<'_>) -> Result<Outcome> {
    match command {
        Command::Generate(args) => generate::run(&args, context),
    }
}
