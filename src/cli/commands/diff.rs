//! `narthex diff`: what two archives do not share.

use serde_json::json;

use crate::cli::args::RepoArgs;
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::report;
use crate::report::archives::CHANGES;
use crate::repository::{SourceFilter, diff};

/// Which two archives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex diff 3f2a 91bc --repo /srv/backup/prometheus
  narthex diff 3f2a latest --repo /srv/backup/prometheus")]
pub(crate) struct Args {
    /// The earlier archive: the beginning of its id, or latest
    a: String,
    /// The later archive, likewise
    b: String,
    #[command(flatten)]
    repo: RepoArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let repository = args.repo.open()?;
    let all = SourceFilter::default();
    let (a, b) = (
        repository.find(&args.a, &all)?,
        repository.find(&args.b, &all)?,
    );
    let diff = diff(&a, &b);
    if context.json {
        let changes = report::json_rows(CHANGES, &diff.changes);
        context.print_json(
            &json!({"a": a.id, "b": b.id, "shared": diff.shared, "changes": changes}),
        )?;
    } else {
        if !diff.changes.is_empty() {
            context.print(report::table(CHANGES, &diff.changes))?;
        }
        context.print(format_args!(
            "{} blocks differ, {} are shared\n",
            diff.changes.len(),
            diff.shared
        ))?;
    }
    Ok(Outcome::Healthy)
}
