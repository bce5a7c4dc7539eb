//! `narthex init`: makes an empty repository.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::error::{ErrorKind, Result};
use crate::report::safe_line;
use crate::repository::Repository;

/// Where to make it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex init --repo /srv/backup/prometheus
  NARTHEX_REPO=/srv/backup/prometheus narthex init

The directory is created; one that exists must be empty. narthex backup does this by itself, unless --no-create is given. Where a \
repository was before, none is made: its disk may not be mounted. --accept-repository says that it was given up.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    if matches!(args.repo.open(), Err(error) if error.kind() == ErrorKind::NotFound) {
        args.state.refuse_vacant(args.repo.location())?;
    }
    let repository = Repository::init(args.repo.store()?)?;
    if let Some(reason) = args.state.remember(args.repo.location(), &repository) {
        context.progress.remark(&reason);
    }
    super::backup::remark_on_store(&repository, context);
    let (id, place) = (&repository.descriptor().id, repository.store().describe());
    if context.json {
        context.print_json(&json!({"id": id, "repository": place}))?;
    } else {
        let place = safe_line(&place);
        context.print(format_args!("made repository {id} in {place}\n"))?;
    }
    Ok(Ending::Healthy)
}
