//! `narthex dump`: samples as text.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::selection::SelectionArgs;
use crate::cli::stored::{Need, StoredArgs};
use crate::dump::{self, DumpFormat};
use crate::error::Result;
use crate::progress::{Progress, Silent};
use crate::report;
use crate::select::{ReadProblem, SelectedBlocks};

/// What to dump, and how.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  narthex dump data --match 'up{job=\"node\"}' --since 2d
  narthex dump data/01M7ZTB71NJ67GWWE5SXTVHFTH --format json | jq .value
  narthex dump data --format openmetrics > samples.txt
  narthex dump --archive latest --repo /srv/backup/prometheus --match up

Times: 2026-11-21T19:00:00Z, 2026-11-21 19:00 (UTC, as everything without a zone), 2026-11-21, Unix seconds, Unix milliseconds (twelve digits or more), now, or 2h (ago). --until is not included.

Blocks that Thanos downsampled hold aggregates: they follow as series of their own, with the labels __aggregate__ \
(count, sum, min, max, counter) and __resolution__ (5m, 1h), which --match can select.

Series of several blocks are merged as a query would merge them, deleted ranges are left out. What is damaged is \
named on standard error, skipped and counted, and the exit code is 3.

The newest hours, which are in the logs of a data directory and in no block yet, are replayed as a start of Prometheus does; the server may run meanwhile. \
--no-head leaves them out.")]
pub(crate) struct Args {
    /// A data directory, a Prometheus snapshot or a block
    #[arg(required_unless_present = "archive")]
    path: Option<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    head: HeadArgs,
    /// What lines look like [default: text, with --json: json]
    #[arg(long)]
    format: Option<FormatName>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    /// As promtool tsdb dump prints samples
    Text,
    /// As promtool tsdb dump-openmetrics does; without native histograms
    Openmetrics,
    /// One JSON object per sample; says everything
    Json,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let selection = args.selection.selection()?;
    let paths: Vec<PathBuf> = args.path.iter().cloned().collect();
    let need = Need::Samples(&selection);
    let opened = args
        .stored
        .open_with_head(&paths, need, args.head, context)?;
    let dir = opened.scan_first()?;
    let sources = SelectedBlocks::open(&dir, selection.range, context.read_mode);
    let progress = context.progress;
    for block in &sources.unreadable {
        progress.remark(&report::dump::unreadable(block));
    }
    let mut report = |problem: ReadProblem| progress.remark(&problem);
    // A bar in between the lines would spoil both.
    let watched: &dyn Progress = if io::stdout().is_terminal() {
        &Silent
    } else {
        progress
    };
    let tally = dump::dump(
        &sources.blocks,
        &selection,
        args.format(context.json),
        context.out,
        watched,
        &mut report,
    )?;
    for line in report::dump::closing(&tally) {
        progress.remark(&line);
    }
    let problems = opened.incomplete || sources.are_incomplete() || tally.has_problems();
    Ok(Ending::problems_if(problems))
}

impl Args {
    fn format(&self, json: bool) -> DumpFormat {
        match (self.format, json) {
            (Some(FormatName::Text), _) | (None, false) => DumpFormat::Text,
            (Some(FormatName::Openmetrics), _) => DumpFormat::OpenMetrics,
            (Some(FormatName::Json), _) | (None, true) => DumpFormat::Json,
        }
    }
}
