//! `narthex repair`: makes a repository whole again, as far as it holds what is missing.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::dense::Cache;
use crate::error::Result;
use crate::model::now;
use crate::repair::{self, repair};
use crate::report::archives::REPAIR_STEPS;

/// What to repair.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex repair --repo /srv/backup/prometheus --dry-run
  narthex repair --repo /srv/backup/prometheus

Writes a lost or damaged descriptor anew; gives replacements to objects that narthex check --read-data has marked, as far as other \
objects hold what was in them; and makes an archive of the blocks that only damaged manifests named. Nothing is overwritten \
and nothing is deleted. What a data directory still holds, narthex backup mends. Exit code 3: something is left that nothing \
in the repository holds.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Also make an archive of the blocks that no archive names although every manifest can be
    /// read: for when manifests were deleted. Blocks of archives that were forgotten come back
    /// as well
    #[arg(long)]
    orphans: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let location = args.repo.location();
    let mut repository = args.repo.open_own(&args.state)?;
    let likely = args.state.last(location)?;
    let (orphans, dry_run) = (args.orphans, args.dry_run);
    let cache = Cache::default();
    let steps = repair(
        &mut repository,
        &cache,
        orphans,
        dry_run,
        likely.as_deref(),
        now(),
        context.progress,
    )?;
    let is_written = repository.trouble().is_some() && !dry_run;
    if is_written && let Some(reason) = args.state.remember(location, &repository) {
        context.progress.remark(&reason);
    }
    if context.json {
        context.print_json(&json!({
            "dry_run": dry_run,
            "steps": REPAIR_STEPS.all(&steps).json(),
        }))?;
    } else if steps.is_empty() {
        context.print("nothing to repair: no manifest is damaged, and no object is gone, of another length, or marked as damaged; narthex check --read-data finds and marks what else is\n")?;
    } else {
        context.print(REPAIR_STEPS.all(&steps).paragraphs())?;
    }
    let left = steps
        .iter()
        .any(|step| step.outcome == repair::RepairOutcome::Left);
    Ok(Ending::problems_if(left))
}
