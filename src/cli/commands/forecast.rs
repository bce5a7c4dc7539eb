//! `narthex forecast`: how a server grows, and what its disk must hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::block::DataDir;
use crate::cli::args::{Output, OutputArgs, REPOSITORY_HEADING, SourceArgs};
use crate::cli::config::RepoName;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::{HeadArgs, HeadBlock};
use crate::cli::repo::{REPO_VARIABLE, choose_to_read, open_repository};
use crate::error::{Error, Result};
use crate::forecast::{ForecastOptions, Past, forecast};
use crate::inspect::BlockListing;
use crate::model::{Millis, TimeRange, now};
use crate::report::Extent;
use crate::report::forecast::{FORECAST, json, markdown, text};
use crate::repository::{Server, StoredBlock, learn_streams, read_meta, take_ahead};
use crate::store::Location;
use crate::units::{parse_disk_size, parse_duration, parse_retention_size};

/// What to look at, and what is planned.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex forecast /var/lib/prometheus --disk 500GiB
  narthex forecast --repo /srv/backup/prometheus --retention 90d --disk 500GiB
  narthex forecast /var/lib/prometheus --retention 15d --retention-size 400GB --repo /srv/backup
  narthex forecast /var/lib/prometheus --disk 500GiB --json | jq '.full_in / 86400000'

Growth follows from the blocks' metadata and sizes. A repository knows blocks that Prometheus has deleted, so its history is longer; \
with a directory as well, that one says what is on disk now. Blocks that were compacted since count once. Several models are tried on the history \
itself, and the one that would have foretold it best goes on. Bounds hold in 80 % of cases as far as the history tells; a short history \
is called so. Everything counts from the end of the newest block, or of the head: the newest hours of a directory are in its logs, and --no-head leaves them out.

In sizes KiB, MiB, GiB, TiB are powers of 1024. In --disk, GB are powers of 1000, as disks are sold; in --retention-size they are powers of 1024, \
as Prometheus takes them.

Blocks that cannot be read, or whose times cannot be true, are named and left out; the exit code is then 3.")]
pub(crate) struct Args {
    /// Data directory or Prometheus snapshot
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The repository whose archives are the history, its directory or its name in the
    /// configuration; without DIR, `NARTHEX_REPO` or the configuration may say it instead
    // No `env` here: a variable that is set must not add archives to a directory that was named.
    #[arg(long, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    repo: Option<RepoName>,
    #[command(flatten)]
    sources: SourceArgs,
    /// Bytes that the server may fill, such as 500GiB
    #[arg(long, value_name = "SIZE", value_parser = parse_disk_size, help_heading = "What is planned")]
    disk: Option<u64>,
    /// Prometheus' --storage.tsdb.retention.time, such as 15d [default: nothing goes for its age]
    #[arg(long, value_name = "DURATION", value_parser = positive, help_heading = "What is planned")]
    retention: Option<Millis>,
    /// Prometheus' --storage.tsdb.retention.size, such as 400GB [default: nothing goes for its
    /// size]
    #[arg(long, value_name = "SIZE", value_parser = parse_retention_size, help_heading = "What is planned")]
    retention_size: Option<u64>,
    /// How far to look ahead, at most ten years
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = positive, help_heading = "What is planned")]
    horizon: Millis,
    #[command(flatten)]
    head: HeadArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn positive(text: &str) -> Result<Millis> {
    let duration = parse_duration(text)?;
    if duration > 0 {
        Ok(duration)
    } else {
        Err(Error::invalid(format!(
            "expected a duration above 0, found {text:?}"
        )))
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let now = Some(now());
    let repository = args.location()?;
    let past = match (&args.dir, repository) {
        (Some(dir), None) => of_directory(dir, now, args.head, context)?,
        (None, Some(location)) => of_archives(&location, args, now)?,
        (Some(dir), Some(location)) => {
            let present = of_directory(dir, now, args.head, context)?;
            present.with_history_of(of_archives(&location, args, now)?)
        }
        (None, None) => {
            return Err(Error::invalid(format!(
                "expected a directory, --repo or {REPO_VARIABLE}, found none of them"
            )));
        }
    };
    for left_out in &past.left_out {
        context
            .progress
            .remark(&format_args!("{}: {}", left_out.name, left_out.reason));
    }
    let options = ForecastOptions {
        disk: args.disk,
        retention: args.retention,
        retention_size: args.retention_size,
        horizon: args.horizon,
    };
    let forecast = forecast(&past, &options);
    match args.output.output(context.json) {
        Output::Json => context.print_json(&json(&forecast))?,
        Output::Csv => {
            let table = context.view.of(&FORECAST, &forecast, Extent::All);
            context.print_data(table.csv())?;
        }
        Output::Markdown => context.print(markdown(&forecast, &context.view))?,
        Output::Text => context.print(text(&forecast, &context.view))?,
    }
    Ok(Ending::problems_if(!past.left_out.is_empty()))
}

impl Args {
    fn location(&self) -> Result<Option<Location>> {
        if self.repo.is_none() && self.dir.is_some() {
            return Ok(None);
        }
        choose_to_read(self.repo.as_ref(), self.sources.source())
    }
}

fn of_directory(
    path: &Path,
    now: Option<Millis>,
    args: HeadArgs,
    context: &Context<'_>,
) -> Result<Past> {
    let dir = DataDir::scan(path)?;
    let mut past = Past::of_listing(&BlockListing::of(&dir), now);
    if args.no_head {
        return Ok(past);
    }
    let head = HeadBlock::of_dir(&dir, TimeRange::ALL, context)?;
    if let Some((block, _)) = head.as_ref().and_then(|head| head.block.as_ref()) {
        let listing = BlockListing::of(&DataDir::scan(block)?);
        for block in &listing.blocks {
            past.add_head(block, now);
        }
    }
    if head.is_some_and(|head| head.incomplete) {
        let reason = "part of the logs cannot be read";
        past.leave_out(path.display().to_string(), reason);
    }
    Ok(past)
}

fn of_archives(location: &Location, args: &Args, now: Option<Millis>) -> Result<Past> {
    let filter = args.sources.filter();
    let repository = open_repository(location)?.holding("latest", &filter, crate::model::now())?;
    let mut all = repository.archives()?;
    if all.archives.is_empty() && !all.damaged.is_empty() {
        let reasons: Vec<_> = all.damaged.iter().map(|it| it.error.chain()).collect();
        return Err(Error::corrupt(format!(
            "expected an archive that can be read, found none: {}",
            reasons.join("; ")
        )));
    }
    if all.archives.is_empty()
        && let Some(bereft) = repository.bereft()?
    {
        return Err(Error::not_found(bereft));
    }
    all.archives = filter.choose(all.archives)?;
    let servers: Vec<_> = all.archives.iter().map(Server::of).collect();
    Server::refuse_several(&servers)?;
    let ahead = take_ahead(&mut all.archives, crate::model::now());
    let read = |block: &StoredBlock| read_meta(repository.store(), block);
    let unknown = learn_streams(&read, &mut all.archives, &BTreeSet::new());
    let mut past = archive::past(&all.archives, now)?;
    for ahead in ahead {
        past.leave_out(ahead.id.to_string(), ahead.to_string());
    }
    for (ulid, error) in unknown {
        past.leave_out(format!("block {ulid}"), error.chain());
    }
    for damaged in &all.damaged {
        past.leave_out(damaged.name.to_string(), damaged.error.chain());
    }
    Ok(past)
}
