//! `narthex generate`: shell completions and man pages, from the same description as `--help`.

use clap::{CommandFactory as _, Subcommand};

use crate::cli::args::Cli;
use crate::cli::{Context, Outcome, output_error};
use crate::error::Result;

/// What to generate.
#[derive(Debug, Subcommand)]
pub(crate) enum Args {
    /// Completions for a shell, for example: `narthex generate completions bash`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Manual pages in roff, into DIR, for example: narthex generate man /usr/local/share/man/man1
    Man {
        /// Where to put narthex.1, narthex-backup.1 …; must exist
        dir: std::path::PathBuf,
    },
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    match args {
        Args::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "narthex", context.out);
        }
        Args::Man { dir } => {
            clap_mangen::generate_to(Cli::command(), dir).map_err(output_error)?;
        }
    }
    Ok(Outcome::Healthy)
}
