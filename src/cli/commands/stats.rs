//! `narthex stats`: where the bytes of a repository are.

use serde_json::json;

use crate::cli::args::{RepoArgs, SourceArgs};
use crate::cli::{Context, Outcome};
use crate::dense::stats;
use crate::error::Result;
use crate::report;
use crate::report::stats::{CODECS, PARTS, TOTALS};

/// Which archives, and how closely.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex stats --repo /srv/backup/prometheus
  narthex stats --repo /srv/backup/prometheus --quick
  narthex stats --json | jq '.codecs[] | {codec, ratio}'

Logical size is what all archives restore to; distinct counts every file once. A manifest that cannot be read is \
reported on standard error, with exit code 3.")]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
    #[command(flatten)]
    sources: SourceArgs,
    /// Read manifests only: do not look into packs
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let filter = args.sources.filter();
    let repository = args.repo.open()?;
    let mut all = repository.archives()?;
    all.archives.retain(|archive| filter.matches(archive));
    for damaged in &all.damaged {
        context.progress.remark(&damaged.error.chain());
    }
    let stats = stats(
        repository.store(),
        &all.archives,
        !args.quick,
        context.progress,
    )?;
    if context.json {
        context.print_json(&json!({
            "totals": report::json(TOTALS, &stats),
            "codecs": report::json_rows(CODECS, &stats.codecs),
            "parts": report::json_rows(PARTS, &stats.parts),
        }))?;
    } else {
        context.print(report::lines(TOTALS, &stats))?;
        context.print(format_args!("\n{}", report::table(CODECS, &stats.codecs)))?;
        if !stats.parts.is_empty() {
            context.print(format_args!("\n{}", report::table(PARTS, &stats.parts)))?;
        }
    }
    Ok(Outcome::problems_if(!all.damaged.is_empty()))
}
