//! `narthex archives`: lists the archives of a repository.

use serde_json::json;

use crate::cli::args::SourceArgs;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::stored::{remark_absent, remark_unseen};
use crate::error::Result;
use crate::report::Extent;
use crate::report::archives::ARCHIVES;
use crate::repository::Archives;

/// Which archives.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex archives --repo /srv/backup/prometheus
  narthex archives --repo /srv/backup/prometheus --host mon1
  narthex archives --json | jq -r '.archives[-1].id'

A manifest that cannot be read is reported on standard error, with exit code 3; so is data without any manifest, and so are manifests that this \
machine remembers of a repository or a part of one in which there are none now.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let filter = args.sources.filter();
    let parts = args.repo.open()?;
    let mut all = Archives::default();
    let mut hidden = filter.source_name.is_none() && remark_unseen(&parts, context)?;
    for part in parts.meant(&filter)? {
        let archives = part.archives()?;
        hidden |= remark_absent(&part, &archives, context)?;
        all.absorb(archives, &part);
    }
    for damaged in &all.damaged {
        context.progress.remark(&damaged.error.chain());
    }
    all.archives = filter.choose(all.archives)?;
    if context.json {
        let damaged: Vec<_> = all
            .damaged
            .iter()
            .map(|damaged| json!({"object": damaged.name, "error": damaged.error.chain()}))
            .collect();
        let archives = ARCHIVES.all(&all.archives).json();
        context.print_json(&json!({"archives": archives, "damaged": damaged}))?;
    } else if all.archives.is_empty() {
        context.print(if all.damaged.is_empty() && !hidden {
            "no archives\n"
        } else {
            "no archive that can be read\n"
        })?;
    } else {
        let view = &context.view;
        let text = view.of(&ARCHIVES, &*all.archives, Extent::All).text(view);
        context.print(text)?;
    }
    Ok(Ending::problems_if(hidden || !all.damaged.is_empty()))
}
