//! `narthex check`: proves that a repository is sound.

use serde_json::{Value as Json, json};

use crate::cli::cache::{vanished, vanished_parts};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
#[cfg(feature = "encryption")]
use crate::cli::keys;
use crate::cli::repo::RepoArgs;
use crate::cli::state::{StateArgs, explain};
use crate::copy::{Compared, ComparedSide, compare};
use crate::error::{Error, ErrorKind, Result};
use crate::model::now;
use crate::repair::{self, judge_damage};
use crate::report::archives::{CHECK_FINDINGS, check_text};
use crate::report::copy::{COMPARED, DIFFERENCES};
use crate::report::{Extent, SheetOf as _, Value};
use crate::repository::check::{
    CheckDepth, CheckFinding, CheckReport, CheckShare, Kind, check, check_part, check_shared,
};
#[cfg(feature = "encryption")]
use crate::repository::keyed::Sealed;
use crate::repository::{Parts, Repository, SourceFilter};
use crate::store::Location;

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
    // What cannot be read is compared with nothing.
    let others = match (&args.compare, &opened) {
        (Some(other), Ok(parts)) => {
            let others = RepoArgs::at(other).open()?;
            for parts in [parts, &others] {
                let needed = parts.root().need_identity();
                needed.map_err(|error| error.context("cannot compare"))?;
            }
            Some((other, others))
        }
        _ => None,
    };
    let is_other = match &opened {
        Ok(parts) => recognise(args, parts, context),
        Err(_) => false,
    };
    let checked = match &opened {
        Ok(parts) => check_parts(args, parts, depth, context),
        Err(_) => check(&*args.repo.store()?, depth, context.progress).map(|it| (it, Vec::new())),
    };
    let (checked, opened) = match (checked, opened) {
        // Why it could not be opened says more.
        (Err(error), Err(why)) if error.kind() == ErrorKind::Unsupported => return Err(why),
        both => both,
    };
    let (report, of_parts) = checked.map_err(|e| explain(args.repo.location(), e))?;
    // Without a descriptor nothing more can be said; that is a finding already.
    let parts = match opened {
        Ok(parts) => Some(parts),
        // It could be read a moment ago: it is the store that fails.
        Err(error) if report.has_descriptor() => {
            return Err(error.context("cannot end the check"));
        }
        Err(_) => None,
    };
    if parts.as_ref().is_some_and(|parts| !parts.root().can_read()) {
        let proved = match depth {
            CheckDepth::Structure => "it is proved that objects are there",
            CheckDepth::ReadAll | CheckDepth::ReadShare(_) => "the bytes of objects are proved",
        };
        context.progress.remark(&format_args!(
            "without an identity {proved}, and not what is in them: --identity FILE"
        ));
    }
    let compared = match (&others, &parts) {
        (Some(others), Some(parts)) => {
            Some(compare_with(others, (parts, &of_parts), depth, context)?)
        }
        _ if args.compare.is_none() => None,
        _ => {
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
        context.print(summary(&report, differs))?;
    }
    Ok(Ending::problems_if(
        is_other || differs || report.has_problems(),
    ))
}

/// Whether another repository was there before, which is said; else remembers whose lists of keys
/// are believed.
fn recognise(args: &Args, parts: &Parts, context: &Context<'_>) -> bool {
    // Where what is remembered cannot be read, backups say so.
    let state = StateArgs::of_environment();
    if let Ok(Some(other)) = state.other(args.repo.location(), parts.root()) {
        context.progress.remark(&other);
        return true;
    }
    #[cfg(feature = "encryption")]
    keys::remember(args.repo.location(), parts.root(), &state);
    false
}

/// A part of a repository, and what was found in it.
type CheckedPart = (Repository, CheckReport);

/// Checks all parts: what was found in all, and in each.
fn check_parts(
    args: &Args,
    parts: &Parts,
    depth: CheckDepth,
    context: &Context<'_>,
) -> Result<(CheckReport, Vec<CheckedPart>)> {
    let mut whole = check_shared(parts)?;
    let mut of_parts = Vec::new();
    let mut all = parts.all()?;
    all.extend(vanished_parts(parts)?);
    for part in all {
        let mut report = check_stored(&part, depth, context)?;
        if report.archives == 0 {
            let is_said = |finding: &CheckFinding| finding.kind == Kind::ManifestsMissing;
            let missed = vanished(&part)?.filter(|_| !report.findings.iter().any(is_said));
            report.findings.extend(missed.map(|missed| {
                CheckFinding::new(Kind::ManifestsMissing, "archives/", missed.to_string())
            }));
        }
        #[cfg(feature = "encryption")]
        if let Some(keys) = part.keys() {
            let judged = keys.judge_missing(&mut report, depth != CheckDepth::Structure);
            judged.map_err(|e| e.context("cannot tell which archives were removed"))?;
        }
        let mark = |report: &CheckReport| {
            if depth != CheckDepth::Structure && !args.no_mark {
                leave_marks(args, &part, report, context);
            }
        };
        if part.can_read() {
            judge_damage(&part, &mut report, mark)?;
        } else {
            // What stands in for something cannot be looked into.
            mark(&report);
        }
        whole.absorb(report.clone(), &part);
        of_parts.push((part, report));
    }
    Ok((whole, of_parts))
}

/// Checks what lies in `part`, as far as this machine can read it.
fn check_stored(
    part: &Repository,
    depth: CheckDepth,
    context: &Context<'_>,
) -> Result<CheckReport> {
    #[cfg(feature = "encryption")]
    if let Some(keys) = part.keys().filter(|_| !part.can_read()) {
        return check_part(&Sealed(keys), part, depth, context.progress);
    }
    let report = check_part(part.store(), part, depth, context.progress)?;
    #[cfg(feature = "encryption")]
    if let Some(keys) = part.keys().filter(|_| report.archives == 0) {
        let is_locked = |finding: &CheckFinding| finding.kind == Kind::ManifestLocked;
        let locked = report.findings.iter().filter(|it| is_locked(it)).cloned();
        let locked: Vec<_> = locked.collect();
        if !locked.is_empty() {
            context.progress.remark(&format_args!(
                "{}: the identities that were given open no archive: the bytes of objects are proved, and not what is in them",
                part.store().describe()
            ));
            let mut sealed = check_part(&Sealed(keys), part, depth, context.progress)?;
            sealed.findings.extend(locked);
            return Ok(sealed);
        }
    }
    Ok(report)
}

/// Checks the repository at `other`, too, and compares. Gives what differs, and whether nothing is
/// wrong with `other` itself.
fn compare_with(
    (other, others): &(&Location, Parts),
    (parts, of_parts): (&Parts, &[CheckedPart]),
    depth: CheckDepth,
    context: &Context<'_>,
) -> Result<(Compared, bool)> {
    if parts.is_by_source() != others.is_by_source() {
        return Err(Error::unsupported(
            "one of the repositories is in parts, one for each source, and the other one is not: they cannot be compared",
        ));
    }
    let (mut compared, mut is_sound) = (Compared::default(), true);
    let mut sides = Vec::new();
    let mut counterpart = |parts: &Parts, of: &Repository| match parts.counterpart(of) {
        Err(none) if none.kind() == ErrorKind::NotFound => {
            context.progress.remark(&format_args!(
                "{}: it is compared with nothing",
                none.chain()
            ));
            is_sound = false;
            Ok(None)
        }
        found => found.map(Some),
    };
    for (part, report) in of_parts {
        if let Some(theirs) = counterpart(others, part)? {
            sides.push(((part.clone(), report.clone()), theirs));
        }
    }
    for theirs in others.all()? {
        let is_new = |((_, _), known): &(CheckedPart, Repository)| known.part() != theirs.part();
        if sides.iter().all(is_new)
            && let Some(own) = counterpart(parts, &theirs)?
        {
            sides.push(((own, CheckReport::default()), theirs));
        }
    }
    for ((part, report), theirs) in &sides {
        let mut found = check_part(theirs.store(), theirs, depth, context.progress)?;
        judge_damage(theirs, &mut found, |_| {})?;
        is_sound &= !found.has_problems();
        let side = |repository, report| ComparedSide { repository, report };
        let filter = SourceFilter::default();
        compared.absorb(compare(side(part, report), side(theirs, &found), &filter)?);
    }
    if !is_sound {
        context.progress.remark(&format_args!(
            "problems were found in {other}, too: narthex check --repo {other} lists them"
        ));
    }
    Ok((compared, is_sound))
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

/// The last line; `differs`, if a repository that it was compared with does, or is not sound.
fn summary(report: &CheckReport, differs: bool) -> String {
    let verdict = if report.has_problems() {
        "problems found"
    } else if differs {
        "no problems found here, but in the comparison"
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
