//! `narthex inspect`: everything about single blocks.

use std::path::PathBuf;

use serde_json::json;

use crate::block::Block;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::stored::{Need, StoredArgs};
use crate::error::Result;
use crate::inspect::inspect;
use crate::report;

/// What to inspect.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  narthex inspect data/01M7ZTB71NJ67GWWE5SXTVHFTH
  narthex inspect 01M7ZTB71NJ67GWWE5SXTVHFTH --archive latest --repo /srv/backup/prometheus
  narthex inspect data --json | jq '.blocks[] | {ulid, scrape_interval, full_chunks}'

Reads the index and the header and checksum of every chunk. What cannot be read is named on standard error, the rest is shown, and \
the exit code is 3; narthex verify finds all faults. Of damaged tombstones those deletions are shown that can be read.")]
pub(crate) struct Args {
    /// Blocks, or directories with blocks
    #[arg(required_unless_present = "archive", value_name = "BLOCK")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    #[command(flatten)]
    head: HeadArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let mut inspected = Vec::new();
    let opened = args
        .stored
        .open_with_head(&args.paths, Need::Blocks, args.head, context)?;
    let mut problems = opened.incomplete;
    let mut first = true;
    for path in &opened.paths {
        let dir = opened.scan(path)?;
        for entry in dir.blocks() {
            let block = Block::open_damaged(&entry.path, context.read_mode)
                .and_then(|block| inspect(&block));
            let block = match block {
                Ok(block) => block,
                Err(error) => {
                    context.progress.remark(&error.chain());
                    problems = true;
                    continue;
                }
            };
            for fault in report::inspect::faults(&block) {
                context.progress.remark(&fault);
                problems = true;
            }
            if context.json {
                inspected.push(report::inspect::json(&block));
            } else {
                let blank = if first { "" } else { "\n\n" };
                let text = report::inspect::text(&block, &context.view);
                context.print(format_args!("{blank}{text}"))?;
            }
            first = false;
        }
    }
    if context.json {
        context.print_json(&json!({ "blocks": inspected }))?;
    }
    Ok(Ending::problems_if(problems))
}
