//! `narthex check`: proves that a repository is sound.

use serde_json::{Value as Json, json};

use crate::cli::context::Context;
use crate::cli::exit::Ending;
#[cfg(feature = "encryption")]
use crate::cli::keys;
use crate::cli::repo::RepoArgs;
use crate::cli::state::{StateArgs, explain};
use crate::copy::{Compared, ComparedSide, compare};
use crate::error::{Error, Result};
use crate::model::now;
use crate::repair::{self, judge_damage};
use crate::report::archives::{CHECK_FINDINGS, check_text};
use crate::report::copy::{COMPARED, DIFFERENCES};
use crate::report::{Extent, SheetOf as _, Value};
use crate::repository::check::{CheckDepth, CheckReport, CheckShare, check};
#[cfg(feature = "encryption")]
use crate::repository::keyed::Sealed;
use crate::repository::{Repository, SourceFilter};
use crate::store::Location;
#[cfg(feature = "encryption")]
use crate::store::Store;

/// What to prove.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex check --repo /srv/backup/prometheus
  narthex check --repo /srv/backup/prometheus --read-data
  narthex check --repo /srv/backup/prometheus --read-data=15
  narthex check --repo /srv/backup/prometheus --compare s3://backups/prometheus

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
    /// Compare with this repository: archives and objects that only one of them has, other bytes
    /// of one name, and what is damaged in one and sound in the other. Nothing is written there
    #[arg(long, value_name = "REPO")]
    pub(crate) compare: Option<Location>,
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let depth = match args.read_data {
        None => CheckDepth::Structure,
        Some(100) => CheckDepth::ReadAll,
        Some(percent) => CheckDepth::ReadShare(CheckShare::today(percent)),
    };
    let opened = args.repo.open_silently();
    let store = args.repo.store()?;
    let report = match &opened {
        Ok(repository) if repository.can_read() => {
            check(repository.store(), depth, context.progress)
        }
        #[cfg(feature = "encryption")]
        Ok(repository) if repository.keys().is_some() => {
            let keys = repository.keys().map(Sealed);
            let sealed = keys.as_ref().map_or(&*store, |sealed| sealed as &dyn Store);
            check(sealed, depth, context.progress)
        }
        _ => check(&*store, depth, context.progress),
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
            if !is_other {
                keys::remember(
                    args.repo.location(),
                    repository,
                    &StateArgs::of_environment(),
                );
            }
            let judged = keys.judge_missing(&mut report, depth != CheckDepth::Structure);
            judged.map_err(|e| e.context("cannot tell which archives were removed"))?;
        }
        judge_damage(repository, &mut report, |report| {
            if depth != CheckDepth::Structure && !args.no_mark {
                leave_marks(args, repository, report, context);
            }
        })?;
    }
    let compared = match (&args.compare, &repository) {
        (None, _) => None,
        (Some(other), Some(repository)) => {
            let first = ComparedSide {
                repository,
                report: &report,
            };
            Some(compare_with(other, first, depth, context)?)
        }
        (Some(_), None) => {
            return Err(Error::corrupt(
                "cannot compare a repository without a descriptor and archives; narthex check without --compare says what is wrong",
            ));
        }
    };
    let mut differs = false;
    if let Some((compared, is_sound)) = &compared {
        differs = compared.has_problems() || !is_sound;
    }
    if context.json {
        let mut object = json!({
            "archives": report.archives,
            "objects": report.objects,
            "bytes": report.bytes,
            "objects_read": report.objects_read,
            "bytes_read": report.bytes_read,
            "findings": CHECK_FINDINGS.all(&report).json(),
        });
        if let (Some((compared, _)), Json::Object(object)) = (&compared, &mut object) {
            COMPARED.add_to(object, compared, Extent::Document);
            DIFFERENCES.add_to(object, compared, Extent::Document);
        }
        context.print_json(&object)?;
    } else {
        context.print(check_text(&report))?;
        if let Some((compared, _)) = &compared {
            let view = &context.view;
            let mut text = view.of(&COMPARED, compared, Extent::All).told(view);
            if !compared.differences.is_empty() {
                text = format!(
                    "{}\n{text}",
                    view.of(&DIFFERENCES, compared, Extent::All).text(view)
                );
            }
            context.print(text)?;
        }
        context.print(summary(&report))?;
    }
    Ok(Ending::problems_if(
        is_other || differs || report.has_problems(),
    ))
}

/// Checks the repository at `other`, too, and compares. Gives what differs, and whether nothing is
/// wrong with `other` itself.
fn compare_with(
    other: &Location,
    first: ComparedSide<'_>,
    depth: CheckDepth,
    context: &Context<'_>,
) -> Result<(Compared, bool)> {
    let repository = RepoArgs::at(other).open()?;
    let mut report = check(repository.store(), depth, context.progress)?;
    judge_damage(&repository, &mut report, |_| {})?;
    if report.has_problems() {
        context.progress.remark(&format_args!(
            "problems were found in {other}, too: narthex check --repo {other} lists them"
        ));
    }
    let second = ComparedSide {
        repository: &repository,
        report: &report,
    };
    let compared = compare(first, second, &SourceFilter::default())?;
    Ok((compared, !report.has_problems()))
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
