//! `narthex analyze`: where the bytes go, and who is to blame.

use std::path::PathBuf;

use crate::block::Block;
use crate::capacity::{AnalyzeOptions, Analyzer};
use crate::cli::args::{Output, OutputArgs};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::selection::SelectionArgs;
use crate::cli::stored::StoredArgs;
use crate::error::{Error, Result};
use crate::report::analyze::{self, By};
use crate::report::{Form, Printed};

/// Rows of each table when nothing else is said.
const TOP: usize = 10;

/// What to analyse.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  narthex analyze data
  narthex analyze data --by metric --csv > metrics.csv
  narthex analyze data/01M7ZTB71NJ67GWWE5SXTVHFTH --by label=pod --top 20
  narthex analyze data --match '{job=\"node\"}' --since 1d --extended
  narthex analyze --archive latest --repo /srv/backup/prometheus --json | jq '.metrics[:5]'

Times: 2026-11-21T19:00:00Z, 2026-11-21 19:00 (UTC, as everything without a zone), 2026-11-21, Unix seconds, Unix milliseconds (twelve digits or more), now, or 2h (ago). --until is not included. A chunk counts as a whole if it may hold samples of the time.

Reads the index, and of every chunk header and checksum. With --extended also the samples: for bits of times and values, missed scrapes, \
gaps and histogram buckets.

Rows of metrics, jobs and values add up to the size of all files: what no series bears has a row of its own. Bytes of labels and pairs are given \
twice: what they cost by themselves, which adds up, and bytes of the series that carry them, which overlap.

With --csv and without --by the table is that of metrics.

The newest hours, which are in the logs of a data directory and in no block yet, count as the block that would be cut from them now; --no-head leaves them out.

Several blocks are added up; a sample that two of them hold counts twice, as it is stored twice. What cannot be read is named on standard error \
and counted, and the exit code is 3.")]
pub(crate) struct Args {
    /// Data directories, Prometheus snapshots or blocks
    #[arg(required_unless_present = "archive", value_name = "DIR|BLOCK")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    #[command(flatten)]
    selection: SelectionArgs,
    #[command(flatten)]
    head: HeadArgs,
    #[arg(
        long,
        value_name = "TABLE",
        value_parser = By::parse,
        help = format!("Print one table, in full: {}", By::choices()),
    )]
    by: Option<By>,
    /// At most so many rows of each table [default: 10, in full with --by and --json]
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Read the samples, too
    #[arg(long)]
    extended: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let selection = args.selection.selection()?;
    let blocks = args
        .stored
        .blocks(&args.paths, &selection, args.head, context)?;
    let mut analyzer = Analyzer::new(AnalyzeOptions {
        selection,
        extended: args.extended,
        several_blocks: blocks.len() > 1,
    });
    let mut problems = false;
    let mut analysed = 0;
    let left = blocks.for_each(context, |dir| {
        let block = Block::open_damaged(dir, context.read_mode);
        match block.and_then(|block| analyzer.add(&block)) {
            Ok(faults) => {
                analysed += 1;
                problems |= faults > 0;
            }
            Err(error) => {
                context.progress.remark(&error.chain());
                analyzer.skip();
                problems = true;
            }
        }
        Ok(())
    })?;
    problems |= left.incomplete;
    for _ in 0..left.blocks {
        analyzer.skip();
    }
    if analysed == 0 && problems {
        return Err(Error::corrupt(
            "expected a block that can be read, found none",
        ));
    }
    if analysed == 0 {
        context
            .progress
            .remark(&"nothing of this time is there: nothing was analysed");
    }
    let analysis = analyzer.finish();
    for fault in analyze::faults(&analysis) {
        context.progress.remark(&fault);
    }
    let form = match args.output.output(context.json) {
        Output::Json => Form::Json,
        Output::Text => Form::Text,
        Output::Csv => Form::Csv,
        Output::Markdown => Form::Markdown,
    };
    let view = &context.view;
    let printed = match (&args.by, form) {
        (Some(by), _) => by.print(&analysis, args.top, form, view),
        (None, Form::Json) => Printed::Json(analyze::json(&analysis, args.top)),
        (None, Form::Csv) => By::METRICS.print(&analysis, args.top, form, view),
        (None, Form::Text | Form::Markdown) => Printed::Lines(analyze::text(
            &analysis,
            args.top.unwrap_or(TOP),
            form,
            view,
        )),
    };
    match printed {
        Printed::Lines(lines) if form == Form::Csv => context.print_data(lines)?,
        Printed::Lines(lines) => context.print(lines)?,
        Printed::Json(json) => context.print_json(&json)?,
    }
    Ok(Ending::problems_if(problems))
}
