//! `narthex verify`: finds every fault.

use std::path::PathBuf;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::is_repo_known;
use crate::cli::stored::{Need, StoredArgs};
use crate::error::Result;
use crate::model::{Millis, now};
use crate::report::findings;
use crate::start::{Assumptions, DEFAULT_RETENTION, Release};
use crate::units::{parse_duration, parse_retention_size, parse_time};
use crate::verify::{Depth, Finding, Kind, VerifyOptions, verify};

/// What to verify, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex verify /var/lib/prometheus
  narthex verify --quick /var/lib/prometheus/01M7ZTB71NJ67GWWE5SXTVHFTH
  narthex verify --archive latest --repo /srv/backup/prometheus
  narthex verify --json /backup/prometheus | jq '.verified[].blocks[].findings[]'
  narthex verify --prometheus 2.42 --retention 30d /var/lib/prometheus

Nothing is written to the directories. Notes leave the exit code at 0, any other finding makes it 3.")]
pub(crate) struct Args {
    /// Data directories, Prometheus snapshots or blocks
    #[arg(required_unless_present = "archive", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    stored: StoredArgs,
    /// Check structure and checksums only, without decoding chunks
    #[arg(long)]
    quick: bool,
    /// Show notes as well: what is legal but unusual
    #[arg(long)]
    notes: bool,
    #[command(flatten)]
    start: StartArgs,
}

/// What `--prometheus` is.
fn release_help() -> String {
    let (oldest, newest) = (Release::OLDEST, Release::NEWEST);
    format!("Release of the Prometheus that would be started, such as {oldest} or {newest}")
}

/// The server whose start is foretold.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What a start would do")]
struct StartArgs {
    #[arg(long, value_name = "VERSION", default_value_t = Release::NEWEST, help = release_help())]
    prometheus: Release,
    /// Its --storage.tsdb.retention.time [default: 15d; with --retention-size, nothing goes for
    /// its age]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retention: Option<Millis>,
    /// Its --storage.tsdb.retention.size, such as 400GB [default: nothing goes for its size]
    #[arg(long, value_name = "SIZE", value_parser = parse_retention_size)]
    retention_size: Option<u64>,
    /// When it would be started: RFC 3339, a date and perhaps a time of day (UTC), Unix seconds,
    /// or a duration before now
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = |text: &str| parse_time(text, now()))]
    now: Millis,
}

impl StartArgs {
    /// As Prometheus reads its flags: the default of the time holds only where no size is given.
    fn assumptions(&self) -> Assumptions {
        let size = self.retention_size.filter(|size| *size > 0);
        let time = self.retention.filter(|time| *time > 0);
        Assumptions {
            release: self.prometheus,
            retention: time.or(size.is_none().then_some(DEFAULT_RETENTION)),
            retention_size: size,
            now: Some(self.now),
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let options = VerifyOptions {
        depth: if args.quick {
            Depth::Quick
        } else {
            Depth::Full
        },
        read_mode: context.read_mode,
        start: args.start.assumptions(),
        ..VerifyOptions::default()
    };
    let mut opened = args
        .stored
        .open(&args.paths, Need::BlocksAndLogs, context)?;
    let mut outcome = Ending::problems_if(opened.incomplete);
    let mut failure = None;
    let mut documents = Vec::new();
    for path in &std::mem::take(&mut opened.paths) {
        match verify(path, options, context.progress) {
            Ok(mut verdict) => {
                for (name, error) in std::mem::take(&mut opened.unread) {
                    let path = verdict.path.join(&name);
                    verdict.findings.add(Kind::Unreadable, || {
                        Finding::about(Kind::Unreadable, name.parse().ok(), path, error)
                    });
                }
                outcome = outcome.max(Ending::problems_if(verdict.has_problems()));
                if context.json {
                    documents.push(findings::to_json(&verdict));
                } else {
                    let text = findings::text(&verdict, args.notes, &context.view);
                    context.print(opened.without_copy(&text))?;
                    let advice = findings::advice(&verdict, is_repo_known());
                    if let Some(advice) = advice.filter(|_| !args.stored.is_of_archive()) {
                        context.print(advice)?;
                    }
                }
            }
            Err(error) => {
                // The other paths are looked at nevertheless; the last failure ends the command.
                if let Some(error) = failure.replace(error) {
                    context.progress.remark(&crate::Error::chain(&error));
                }
            }
        }
    }
    if context.json {
        let mut verified = serde_json::json!({ "verified": documents });
        opened.json_without_copy(&mut verified);
        context.print_json(&verified)?;
    }
    failure.map_or(Ok(outcome), Err)
}
