//! `narthex generate`: shell completions and man pages, from the same description as `--help`.

use clap::Subcommand;

use crate::cli::args::local_path;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::error::{Error, Result};

/// What to generate.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  narthex generate completions bash > /etc/bash_completion.d/narthex
  narthex generate man /usr/local/share/man/man1")]
pub(crate) enum Args {
    /// Print completions for a shell
    #[command(after_help = "\
Examples:
  narthex generate completions bash > /etc/bash_completion.d/narthex
  narthex generate completions zsh > /usr/local/share/zsh/site-functions/_narthex")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write one man page for each command into a directory
    #[command(after_help = "\
Examples:
  narthex generate man /usr/local/share/man/man1")]
    Man {
        /// Where to put narthex.1, narthex-backup.1 and so on; made if need be
        #[arg(value_parser = local_path())]
        dir: std::path::PathBuf,
    },
}

/// Makes them of `described`, the whole command line.
pub(crate) fn run(
    what: &Args,
    mut described: clap::Command,
    context: &mut Context<'_>,
) -> Result<Ending> {
    match what {
        Args::Completions { shell } => {
            clap_complete::generate(*shell, &mut described, "narthex", context.out);
        }
        Args::Man { dir } => {
            std::fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(described, dir))
                .map_err(|e| Error::io("write man pages to", dir, e))?;
        }
    }
    Ok(Ending::Healthy)
}
