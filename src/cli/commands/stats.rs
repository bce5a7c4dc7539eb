//! `narthex stats`: where the bytes of a repository are, and what the blocks of an archive consist of.

use serde_json::json;

use crate::cli::args::{RepoArgs, SourceArgs};
use crate::cli::stored::{find, remark_hidden, remark_missed};
use crate::cli::{Context, Outcome};
use crate::dense::stats;
use crate::error::Result;
use crate::report;
use crate::report::stats::{CODECS, PARTS, ROW_TOTALS, ROWS, TOTALS};
use crate::repository::{Archive, Repository};
use crate::statistics::{By, sum};

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
    repo: RepoArgs,
    #[command(flatten)]
    sources: SourceArgs,
    /// Read manifests only: do not look into packs
    #[arg(long)]
    quick: bool,
    /// Say what the blocks of an archive consist of
    #[arg(long, conflicts_with = "quick")]
    by: Option<Group>,
    /// With --by: the archive, by the beginning of its id, or latest
    #[arg(
        long,
        value_name = "ARCHIVE",
        requires = "by",
        default_value = "latest"
    )]
    archive: String,
    /// With --by: the most rows, 0: all
    #[arg(long, value_name = "N", requires = "by", default_value_t = 20)]
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

impl From<Group> for By {
    fn from(group: Group) -> Self {
        match group {
            Group::Metric => By::Metric,
            Group::Job => By::Job,
            Group::Both => By::Both,
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let filter = args.sources.filter();
    let repository = args.repo.open()?;
    if let Some(by) = args.by {
        let (archive, doubtful) = find(&repository, &args.archive, &filter, context)?;
        let doubtful = doubtful | remark_missed(&archive, context);
        let outcome = by_group(&repository, &archive, by.into(), args.top, context)?;
        return Ok(outcome.max(Outcome::problems_if(doubtful)));
    }
    let mut all = repository.archives()?;
    let hidden = remark_hidden(&repository, context)?;
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
    for error in &stats.unread {
        context.progress.remark(&error.chain());
    }
    Ok(Outcome::problems_if(
        hidden || !all.damaged.is_empty() || !stats.unread.is_empty(),
    ))
}

fn by_group(
    repository: &Repository,
    archive: &Archive,
    by: By,
    top: usize,
    context: &mut Context<'_>,
) -> Result<Outcome> {
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
    let rows = sum.rows.get(..shown).unwrap_or(&sum.rows);
    if context.json {
        context.print_json(&json!({
            "archive": archive.id,
            "totals": report::json(ROW_TOTALS, &sum),
            "rows": report::json_rows(ROWS, rows),
        }))?;
    } else {
        context.print(report::table(ROWS, rows))?;
        context.print(format_args!("\n{}", report::lines(ROW_TOTALS, &sum)))?;
    }
    Ok(Outcome::problems_if(
        sum.without > 0 || !sum.damaged.is_empty(),
    ))
}
