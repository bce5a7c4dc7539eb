//! `narthex init`: makes an empty repository.

use serde_json::json;

use crate::cli::args::RepoArgs;
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::repository::Repository;

/// Where to make it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex init --repo /srv/backup/prometheus
  NARTHEX_REPO=/srv/backup/prometheus narthex init

The directory is created; one that exists must be empty. narthex backup does this by itself.")]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let repository = Repository::init(args.repo.store())?;
    let (id, place) = (&repository.descriptor().id, repository.store().describe());
    if context.json {
        context.print_json(&json!({"id": id, "repository": place}))?;
    } else {
        context.print(format_args!("made repository {id} in {place}\n"))?;
    }
    Ok(Outcome::Healthy)
}
