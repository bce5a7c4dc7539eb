//! `narthex archives`: lists the archives of a repository.

use serde_json::json;

use crate::cli::args::RepoArgs;
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::report;
use crate::report::archives::ARCHIVES;
use crate::repository::SourceFilter;

/// Which archives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex archives --repo /srv/backup/prometheus
  narthex archives --repo /srv/backup/prometheus --host mon1
  narthex archives --json | jq -r '.archives[-1].id'

A manifest that cannot be read is reported on standard error, with exit code 3.")]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
    /// Only archives from this host
    #[arg(long)]
    host: Option<String>,
    /// Only archives of the source of this name
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let filter = SourceFilter {
        host: args.host.clone(),
        source_name: args.source.clone(),
    };
    let mut all = args.repo.open()?.archives()?;
    all.archives.retain(|archive| filter.matches(archive));
    for damaged in &all.damaged {
        context.progress.remark(&damaged.error.chain());
    }
    if context.json {
        let damaged: Vec<_> = all
            .damaged
            .iter()
            .map(|damaged| json!({"object": damaged.name, "error": damaged.error.chain()}))
            .collect();
        let archives = report::json_rows(ARCHIVES, &all.archives);
        context.print_json(&json!({"archives": archives, "damaged": damaged}))?;
    } else if all.archives.is_empty() {
        context.print("no archives\n")?;
    } else {
        context.print(report::table(ARCHIVES, &all.archives))?;
    }
    Ok(Outcome::problems_if(!all.damaged.is_empty()))
}
