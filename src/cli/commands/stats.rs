//! `narthex stats`: where the bytes of a repository are, and what the blocks of an archive consist
//! of.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use crate::cli::args::SourceArgs;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::stored::{find, remark_absent, remark_missed, remark_unseen};
use crate::dense::{DenseStats, stats as of_archives};
use crate::error::Result;
use crate::model::{TimeRange, now};
use crate::report::Extent;
use crate::report::stats::{CODECS, PARTS, ROW_TOTALS, ROWS, SHEETS, SHEETS_BY_GROUP, TOTALS};
use crate::repository::{Archive, Archives, Repository};
use crate::statistics::{SumBy, sum};

/// Which archives, and how closely.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex stats --repo /srv/backup/prometheus
  narthex stats --repo /srv/backup/prometheus --quick
  narthex stats --by metric --archive latest --top 50
  narthex stats --by job --source web-1
  narthex stats --json | jq '.codecs[] | {codec, ratio}'

Logical size is what all archives restore to; distinct counts every file once. A manifest that cannot be read is \
reported on standard error, with exit code 3.

With --by nothing is measured: backups leave the series, samples and bytes of the largest 200 jobs and metrics beside each block. Blocks that \
an older narthex stored have none; then the exit code is 3.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    /// Read manifests only: do not look into packs
    #[arg(long)]
    quick: bool,
    /// Say what the blocks of an archive consist of
    #[arg(
        long,
        conflicts_with = "quick",
        help_heading = "What an archive consists of"
    )]
    by: Option<Group>,
    /// With --by: the archive, by the beginning of its id, or latest
    #[arg(
        long,
        value_name = "ARCHIVE",
        requires = "by",
        default_value = "latest",
        help_heading = "What an archive consists of"
    )]
    archive: String,
    /// With --by: the most rows, 0: all
    #[arg(
        long,
        value_name = "N",
        requires = "by",
        default_value_t = 20,
        help_heading = "What an archive consists of"
    )]
    top: usize,
}

/// What rows are put together by.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Group {
    /// The metric
    Metric,
    /// The job
    Job,
    /// Job and metric
    Both,
}

impl From<Group> for SumBy {
    fn from(group: Group) -> Self {
        match group {
            Group::Metric => SumBy::Metric,
            Group::Job => SumBy::Job,
            Group::Both => SumBy::Both,
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let filter = args.sources.filter();
    let parts = args.repo.open()?;
    if let Some(by) = args.by {
        let repository = parts.holding(&args.archive, &filter, now())?;
        let (archive, doubts) = find(
            &repository,
            &args.archive,
            &filter,
            TimeRange::NONE,
            context,
        )?;
        let doubtful = !doubts.is_empty();
        let doubtful = doubtful | remark_missed(&archive, context);
        let outcome = by_group(&repository, &archive, by.into(), args.top, context)?;
        return Ok(outcome.max(Ending::problems_if(doubtful)));
    }
    let (mut all, mut stats) = (Archives::default(), DenseStats::default());
    let mut hidden = filter.source_name.is_none() && remark_unseen(&parts, context)?;
    for part in parts.meant(&filter)? {
        let own = part.archives()?;
        hidden |= remark_absent(&part, &own, context)?;
        let chosen = own.archives.iter().filter(|it| filter.matches(it));
        let chosen: Vec<_> = chosen.cloned().collect();
        let (store, with_parts) = (part.store(), !args.quick);
        stats.absorb(of_archives(store, &chosen, with_parts, context.progress)?);
        all.absorb(own, &part);
    }
    for damaged in &all.damaged {
        context.progress.remark(&damaged.error.chain());
    }
    filter.choose(std::mem::take(&mut all.archives))?;
    if context.json {
        let mut object = Map::new();
        for sheet in SHEETS {
            sheet.add_to(&mut object, &stats, Extent::Document);
        }
        context.print_json(&Json::Object(object))?;
    } else {
        let view = &context.view;
        let mut text = view.of(&TOTALS, &stats, Extent::All).told(view);
        let _ = write!(
            text,
            "\n{}",
            view.of(&CODECS, &stats, Extent::All).text(view)
        );
        if !stats.parts.is_empty() {
            let _ = write!(
                text,
                "\n{}",
                view.of(&PARTS, &stats, Extent::All).text(view)
            );
        }
        context.print(text)?;
    }
    for error in &stats.unread {
        context.progress.remark(&error.chain());
    }
    Ok(Ending::problems_if(
        hidden || !all.damaged.is_empty() || !stats.unread.is_empty(),
    ))
}

fn by_group(
    repository: &Repository,
    archive: &Archive,
    by: SumBy,
    top: usize,
    context: &mut Context<'_>,
) -> Result<Ending> {
    let sum = sum(repository.store(), archive, by, context.progress);
    for (ulid, error) in &sum.damaged {
        context
            .progress
            .remark(&format_args!("block {ulid}: {}", error.chain()));
    }
    if sum.without > 0 {
        let without = sum.without;
        context.progress.remark(&format_args!(
            "{without} blocks have no statistics: they are in no row and no total"
        ));
    }
    let shown = if top == 0 { usize::MAX } else { top };
    if context.json {
        let mut object = Map::new();
        object.insert("archive".to_owned(), json!(archive.id));
        for sheet in SHEETS_BY_GROUP {
            sheet.add_to(&mut object, &sum, Extent::Top(shown));
        }
        context.print_json(&Json::Object(object))?;
    } else {
        let view = &context.view;
        let text = view.of(&ROWS, &sum, Extent::Top(shown)).text(view);
        context.print(text)?;
        let view = &context.view;
        let totals = view.of(&ROW_TOTALS, &sum, Extent::All).told(view);
        context.print(format_args!("\n{totals}"))?;
    }
    Ok(Ending::problems_if(
        sum.without > 0 || !sum.damaged.is_empty(),
    ))
}
