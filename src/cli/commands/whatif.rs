//! `narthex whatif`: what a change would save, and what nobody uses.

use std::path::PathBuf;

use crate::cli::args::{Output, OutputArgs};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::heads::HeadArgs;
use crate::cli::stored::{Need, StoredArgs};
use crate::error::{Error, Result};
use crate::report::{self, whatif::Uses};
use crate::units::parse_duration;
use crate::usage::Usage;
use crate::whatif::{
    CountedBlocks, Pattern, Scenario, Selected, Snippet, UnusedMetrics, snippet, unused, what_if,
    worthwhile,
};

/// What to change.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  narthex whatif data --drop-metric 'go_.*' --drop-series '{job=\"dev\"}'
  narthex whatif data --drop-label pod_uid --match '{job=\"kubelet\"}'
  narthex whatif data --interval 60s --retention 90d
  narthex whatif data --rules rules/ --dashboards dashboards/ --csv > unused.csv

Series and labels that go are counted: each block is laid out anew without them, so sizes are those that files would have. A longer interval is \
estimated: some series are encoded anew, and the report says how many. Retention multiplies what a day takes now; narthex forecast knows growth, and what a server needs beside it.

Series that a dropped label alone tells apart collide: Prometheus would drop samples. They are named, the exit code is 3, and the configuration says so.

Expressions of rules and dashboards are read without a server. A metric counts as used when in doubt. If a file cannot be read, it is \
named, the exit code is 3, and no configuration that drops unused metrics is printed.

A change that does nothing to these blocks, as a selector that selects no series, is named, the exit code is 3, and it is not in the configuration that is printed; nor is one that saves nothing.")]
pub(crate) struct Args {
    /// A data directory, a Prometheus snapshot or a block
    #[arg(required_unless_present = "archive")]
    path: Option<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    #[command(flatten)]
    head: HeadArgs,
    /// Drop metrics whose whole name matches; may be repeated
    #[arg(long, value_name = "REGEX")]
    drop_metric: Vec<Pattern>,
    /// Drop series that a PromQL selector selects; may be repeated
    #[arg(long, value_name = "SELECTOR")]
    drop_series: Vec<Selected>,
    /// Drop labels whose whole name matches; may be repeated
    #[arg(long, value_name = "REGEX")]
    drop_label: Vec<Pattern>,
    /// Scrape at this interval what is scraped more often
    #[arg(long, value_name = "DURATION")]
    interval: Option<String>,
    /// With --drop-label and --interval: only series that a PromQL selector selects; may be
    /// repeated
    #[arg(short, long = "match", value_name = "SELECTOR")]
    within: Vec<Selected>,
    /// Keep samples for this long
    #[arg(long, value_name = "DURATION")]
    retention: Option<String>,
    /// Rule files, or directories with them: find metrics that nothing uses
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// Grafana dashboards as JSON, or directories with them: find metrics that nothing uses
    #[arg(long, value_name = "PATH", num_args = 1..)]
    dashboards: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let wanted = args.scenario()?;
    let mut scenarios = wanted.clone().each()?;
    let looks_for_uses = !args.rules.is_empty() || !args.dashboards.is_empty();
    if scenarios.is_empty() && !looks_for_uses {
        return Err(Error::invalid(
            "expected a change (--drop-metric, --drop-series, --drop-label, --interval, --retention) or --rules or --dashboards, found none",
        ));
    }
    let paths: Vec<PathBuf> = args.path.iter().cloned().collect();
    let opened = args
        .stored
        .open_with_head(&paths, Need::Blocks, args.head, context)?;
    let sources = CountedBlocks::open(&opened.scan_first()?, context.read_mode);
    let mut problems = opened.incomplete || !sources.unreadable.is_empty();
    let progress = context.progress;
    let say = |lines: Vec<String>| lines.iter().for_each(|line| progress.remark(line));
    say(sources.unreadable.clone());
    say(report::whatif::sources(&sources));
    if sources.blocks.is_empty() {
        progress.remark(&"there is no block to go by");
    }

    let mut is_certain = true;
    let mut uses: Option<(Usage, UnusedMetrics)> = None;
    if looks_for_uses {
        let usage = Usage::read(&args.rules, &args.dashboards);
        if usage.files == 0 {
            say(report::whatif::problems(&usage));
            return Err(Error::invalid(
                "expected a rule file or dashboard that can be read, found none: that says nothing of metrics",
            ));
        }
        let unused = unused(&sources.blocks, &usage);
        if let Some(pattern) = unused.pattern()? {
            is_certain = usage.problems.is_empty();
            scenarios.push(Scenario::unused(pattern));
        }
        say(report::whatif::problems(&usage));
        say(report::whatif::used_labels(&wanted, &usage));
        progress.remark(&report::whatif::usage(&usage));
        problems |= !usage.problems.is_empty();
        uses = Some((usage, unused));
    }
    let result = what_if(&sources.blocks, &scenarios);
    say(report::whatif::missing(&result.missing));
    say(report::whatif::warnings(&result));
    problems |= result.missing.is_any() || result.collides() || result.is_any_idle();
    let mut pasted = worthwhile(&result, &scenarios);
    if is_certain {
        let unused = scenarios.iter().filter(|it| it.title.is_some());
        pasted
            .drop_metrics
            .extend(unused.flat_map(|it| it.drop_metrics.iter().cloned()));
    }
    let mut snippet: Snippet = snippet(&pasted);
    report::whatif::caution(&result, &mut snippet);
    let uses = uses.as_ref().map(|(usage, unused)| Uses { usage, unused });
    let uses = uses.as_ref();
    let view = &context.view;
    match args.output.output(context.json) {
        Output::Json => context.print_json(&report::whatif::json(&result, uses, &snippet))?,
        Output::Csv => context.print_data(report::whatif::csv(&result, uses, view))?,
        Output::Text | Output::Markdown => {
            let markdown = args.output.output(context.json) == Output::Markdown;
            context.print(report::whatif::text(
                &result, uses, &snippet, markdown, view,
            ))?;
            say(snippet.notes);
        }
    }
    Ok(Ending::problems_if(problems))
}

impl Args {
    fn scenario(&self) -> Result<Scenario> {
        let duration = |text: &Option<String>| text.as_deref().map(parse_duration).transpose();
        let interval = duration(&self.interval)?;
        if !self.within.is_empty() && self.drop_label.is_empty() && interval.is_none() {
            return Err(Error::invalid(
                "expected --drop-label or --interval beside --match, found neither; --drop-series drops series",
            ));
        }
        Ok(Scenario {
            title: None,
            drop_metrics: self.drop_metric.clone(),
            drop_series: self.drop_series.clone(),
            drop_labels: self.drop_label.clone(),
            interval,
            within: self.within.clone(),
            retention: duration(&self.retention)?,
        })
    }
}
