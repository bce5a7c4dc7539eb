//! `narthex verify`: finds every fault.

use std::path::PathBuf;

use crate::cli::stored::{Need, StoredArgs};
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::report::findings;
use crate::verify::{Depth, Options, verify};

/// What to verify, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex verify /var/lib/prometheus
  narthex verify --quick /var/lib/prometheus/01M7ZTB71NJ67GWWE5SXTVHFTH
  narthex verify --archive latest --repo /srv/backup/prometheus
  narthex verify --json /backup/prometheus | jq '.verified[].blocks[].findings[]'

Nothing is written to the directories. Notes leave the exit code at 0, any other finding makes it 3.")]
pub(crate) struct Args {
    /// Data directories, Prometheus snapshots or blocks
    #[arg(required_unless_present = "archive", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    /// Check structure and checksums only, without decoding chunks
    #[arg(long)]
    quick: bool,
    /// Show notes as well: what is legal but unusual
    #[arg(long)]
    notes: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let options = Options {
        depth: if args.quick {
            Depth::Quick
        } else {
            Depth::Full
        },
        read_mode: context.read_mode,
        ..Options::default()
    };
    let opened = args
        .stored
        .open(&args.paths, Need::BlocksAndLogs, context)?;
    let mut outcome = Outcome::problems_if(opened.incomplete);
    let mut failure = None;
    let mut documents = Vec::new();
    for path in &opened.paths {
        match verify(path, options, context.progress) {
            Ok(verdict) => {
                outcome = outcome.max(Outcome::problems_if(verdict.has_problems()));
                if context.json {
                    documents.push(findings::to_json(&verdict));
                } else {
                    context.print(findings::text(&verdict, args.notes))?;
                }
            }
            Err(error) => {
                // The other paths are looked at nevertheless; the last failure ends the command.
                if let Some(error) = failure.replace(error) {
                    context.progress.remark(&crate::Error::chain(&error));
                }
            }
        }
    }
    if context.json {
        context.print_json(&serde_json::json!({ "verified": documents }))?;
    }
    failure.map_or(Ok(outcome), Err)
}
