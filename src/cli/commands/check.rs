//! `narthex check`: proves that a repository is sound.

use serde_json::json;

use crate::cli::args::RepoArgs;
use crate::cli::{Context, Outcome};
use crate::error::Result;
use crate::report::archives::CHECK_FINDINGS;
use crate::report::{self, Value};
use crate::repository::check::{Depth, Report, Share, check};

/// What to prove.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex check --repo /srv/backup/prometheus
  narthex check --repo /srv/backup/prometheus --read-data
  narthex check --repo /srv/backup/prometheus --read-data=15

With a percentage, every day has its own share of the objects: 15 a night have read all of them after \
seven nights. Unreferenced objects and leftovers of dead runs are notes; problems give exit code 3.")]
pub(crate) struct Args {
    #[command(flatten)]
    repo: RepoArgs,
    /// Read and prove the bytes of all objects, or of this percentage of them
    #[arg(
        long,
        value_name = "PERCENT",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100",
        value_parser = clap::value_parser!(u8).range(1..=100),
    )]
    read_data: Option<u8>,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Outcome> {
    let depth = match args.read_data {
        None => Depth::Structure,
        Some(100) => Depth::ReadAll,
        Some(percent) => Depth::ReadShare(Share::today(percent)),
    };
    let report = check(&*args.repo.store(), depth, context.progress)?;
    if context.json {
        context.print_json(&json!({
            "archives": report.archives,
            "objects": report.objects,
            "bytes": report.bytes,
            "objects_read": report.objects_read,
            "bytes_read": report.bytes_read,
            "findings": report::json_rows(CHECK_FINDINGS, &report.findings),
        }))?;
    } else {
        for finding in &report.findings {
            context.print(report::lines(CHECK_FINDINGS, finding))?;
            context.print("\n")?;
        }
        context.print(summary(&report))?;
    }
    Ok(Outcome::problems_if(report.has_problems()))
}

fn summary(report: &Report) -> String {
    let verdict = if report.has_problems() {
        "problems found"
    } else {
        "no problems found"
    };
    format!(
        "{verdict}: {} archives, {} objects of {}; read {} objects of {}\n",
        report.archives,
        report.objects,
        Value::Bytes(report.bytes),
        report.objects_read,
        Value::Bytes(report.bytes_read),
    )
}
