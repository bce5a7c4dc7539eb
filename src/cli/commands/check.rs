//! `narthex check`: proves that a repository is sound.

use serde_json::json;

use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::{StateArgs, explain};
use crate::error::Result;
use crate::model::now;
use crate::repair::{self, judge_damage};
use crate::report::Value;
use crate::report::archives::{CHECK_FINDINGS, check_text};
use crate::repository::Repository;
use crate::repository::check::{CheckDepth, CheckReport, CheckShare, check};

/// What to prove.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex check --repo /srv/backup/prometheus
  narthex check --repo /srv/backup/prometheus --read-data
  narthex check --repo /srv/backup/prometheus --read-data=15

With a percentage, every day has its own share of the objects: 15 a night have read all of them after \
seven nights. Without --read-data, flipped bits are not seen: only what is missing, has another size, or was marked as damaged before. What is damaged and comes \
back from other objects is a note, and so are unreferenced objects and leftovers of dead runs; problems give exit code 3. \
narthex backup mends what the data directory still holds, narthex repair the descriptor and lost manifests.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
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
    /// With --read-data: write nothing. Otherwise damaged objects are marked, so that backups do
    /// not build on them
    #[arg(long)]
    no_mark: bool,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let depth = match args.read_data {
        None => CheckDepth::Structure,
        Some(100) => CheckDepth::ReadAll,
        Some(percent) => CheckDepth::ReadShare(CheckShare::today(percent)),
    };
    let opened = args.repo.open_silently();
    let store = args.repo.store()?;
    let seen = opened
        .as_ref()
        .ok()
        .filter(|repository| repository.can_read());
    let report = match seen {
        Some(repository) => check(repository.store(), depth, context.progress),
        None => check(&*store, depth, context.progress),
    };
    let mut report = report.map_err(|e| explain(args.repo.location(), e))?;
    // Without a descriptor nothing more can be said; that is a finding already.
    let repository = match opened {
        Ok(repository) => Some(repository),
        // It could be read a moment ago: it is the store that fails.
        Err(error) if report.has_descriptor() => {
            return Err(error.context("cannot end the check"));
        }
        Err(_) => None,
    };
    let mut is_other = false;
    if let Some(repository) = &repository {
        // Where what is remembered cannot be read, backups say so.
        let other = StateArgs::of_environment().other(args.repo.location(), repository);
        if let Ok(Some(other)) = other {
            context.progress.remark(&other);
            is_other = true;
        }
        if !repository.can_read() {
            context.progress.remark(
                &"without an identity the bytes of objects are proved, and not what is in them: --identity FILE",
            );
        }
        #[cfg(feature = "encryption")]
        if let Some(keys) = repository.keys() {
            keys.judge_missing(&mut report, depth != CheckDepth::Structure)?;
        }
        judge_damage(repository, &mut report, |report| {
            if depth != CheckDepth::Structure && !args.no_mark {
                leave_marks(args, repository, report, context);
            }
        })?;
    }
    if context.json {
        context.print_json(&json!({
            "archives": report.archives,
            "objects": report.objects,
            "bytes": report.bytes,
            "objects_read": report.objects_read,
            "bytes_read": report.bytes_read,
            "findings": CHECK_FINDINGS.all(&report).json(),
        }))?;
    } else {
        context.print(check_text(&report))?;
        context.print(summary(&report))?;
    }
    Ok(Ending::problems_if(is_other || report.has_problems()))
}

/// Marks what is damaged. Where nothing can be written, as in a repository that is read-only, that
/// is said and all.
fn leave_marks(args: &Args, repository: &Repository, report: &CheckReport, context: &Context<'_>) {
    match repair::leave_marks(repository, report, now()) {
        Ok((0, 0)) => {}
        Ok((0, taken)) => context
            .progress
            .remark(&format_args!("{taken} objects are sound again: their marks of damage are taken off")),
        Ok((marked, _)) => context.progress.remark(&format_args!(
            "{marked} objects are marked as damaged: the next narthex backup --repo {} stores anew what its data directory still \
             holds of them",
            args.repo.location()
        )),
        Err(error) => context.progress.remark(&format_args!(
            "cannot mark what is damaged, so backups go on relying on it: {}",
            error.chain()
        )),
    }
}

fn summary(report: &CheckReport) -> String {
    let verdict = if report.has_problems() {
        "problems found"
    } else {
        "no problems found"
    };
    format!(
        "{verdict}: {} archives, {} objects of {}; read {} objects of {}\n",
        Value::Count(report.archives),
        Value::Count(report.objects),
        Value::Bytes(report.bytes),
        Value::Count(report.objects_read),
        Value::Bytes(report.bytes_read),
    )
}
