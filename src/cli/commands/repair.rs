//! `narthex repair`: makes a repository whole again, as far as it holds what is missing.

use std::collections::BTreeSet;

use serde_json::json;

use super::copy::refuse_same_location;
use crate::cli::args::REPOSITORY_HEADING;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
#[cfg(feature = "encryption")]
use crate::cli::keys;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::cli::stored::remark_unseen;
use crate::copy::{CopyOptions, mend_from};
use crate::dense::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::model::now;
use crate::repair::{RepairOutcome, RepairStep, repair};
#[cfg(feature = "encryption")]
use crate::repair::{bring_keys, mend_keys};
use crate::report::archives::REPAIR_STEPS;
use crate::repository::{ManifestName, Parts, Repository};
use crate::store::{Location, ObjectName};

/// What to repair.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex repair --repo /srv/backup/prometheus --dry-run
  narthex repair --repo /srv/backup/prometheus
  narthex repair --repo /srv/backup/prometheus --from s3://backups/prometheus

Writes a lost or damaged descriptor anew; gives replacements to objects that narthex check --read-data has marked, as far as other \
objects hold what was in them; and makes an archive of the blocks that only damaged manifests named. Nothing is overwritten \
and nothing is deleted. What a data directory still holds, narthex backup mends. With --from, objects that are gone or damaged and archives whose manifests are damaged are \
fetched from a copy first, each proved by its digest; a damaged manifest gives way to the one from there. Exit code 3: something is left that nothing \
in the repository holds.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Fetch what is damaged or gone from this repository, a copy of REPO or what REPO is a copy
    /// of. With --orphans, also archives that only this one has
    #[arg(long, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    pub(crate) from: Option<Location>,
    /// Also make an archive of the blocks that no archive names although every manifest can be
    /// read: for when manifests were deleted. Blocks of archives that were forgotten come back
    /// as well
    #[arg(long)]
    orphans: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let location = args.repo.location();
    let others = match &args.from {
        None => None,
        Some(other) => {
            refuse_same_location(location, std::slice::from_ref(other))?;
            Some(RepoArgs::at(other).open()?)
        }
    };
    let mut steps = Vec::new();
    // Without them it may be that nothing can be opened.
    #[cfg(feature = "encryption")]
    if let Some(others) = &others {
        steps = bring_keys(&*args.repo.store()?, others, args.dry_run)?;
    }
    let mut parts = args.repo.open_own(&args.state)?;
    #[cfg(feature = "encryption")]
    steps.extend(put_back(&parts, others.as_ref(), args.dry_run)?);
    let likely = args.state.last(location)?;
    let others = match others {
        None => None,
        Some(others) => {
            if parts.is_by_source() != others.is_by_source() {
                return Err(Error::unsupported(
                    "one of the repositories is in parts, one for each source, and the other one is not: narthex copy brings archives from one to the other",
                ));
            }
            Some(others)
        }
    };
    let is_first = others.is_some() || parts.is_by_source();
    if parts.is_by_source()
        && args.dry_run
        && let Some(trouble) = parts.root().trouble()
    {
        steps.push(RepairStep {
            outcome: RepairOutcome::Planned,
            object: "narthex.json".to_owned(),
            detail: format!("{trouble}; it would be written anew"),
        });
    }
    // What all parts share; and what is fetched may be the first thing that tells its id.
    if is_first
        && !args.dry_run
        && let Some(written) = parts.root_mut().mend_descriptor(likely.as_deref())?
    {
        steps.push(RepairStep {
            outcome: RepairOutcome::Repaired,
            object: "narthex.json".to_owned(),
            detail: format!(
                "{}; written anew as {written}",
                parts.root().trouble().unwrap_or_default()
            ),
        });
    }
    let hidden = remark_unseen(&parts, context)?;
    let (pairs, is_doubtful) = pairs(&parts, others.as_ref(), args.orphans, context)?;
    for (mut part, other) in pairs {
        let own = repair_part(args, &mut part, other.as_ref(), likely.as_deref(), context)?;
        steps.extend(own.into_iter().map(|step| RepairStep {
            object: if step.object.contains('/') {
                part.full_name(&step.object)
            } else {
                step.object
            },
            ..step
        }));
        if part.part().is_none() {
            *parts.root_mut() = part;
        }
    }
    let dry_run = args.dry_run;
    let is_written = parts.root().trouble().is_some() && !dry_run;
    if is_written && let Some(reason) = args.state.remember(location, parts.root()) {
        context.progress.remark(&reason);
    }
    if context.json {
        context.print_json(&json!({
            "dry_run": dry_run,
            "steps": REPAIR_STEPS.all(&steps).json(),
        }))?;
    } else if steps.is_empty() {
        context.print("nothing to repair: no manifest is damaged, and no object is gone, of another length, or marked as damaged; narthex check --read-data finds and marks what else is\n")?;
    } else {
        context.print(REPAIR_STEPS.all(&steps).paragraphs())?;
    }
    let left = steps.iter().any(|step| step.outcome == RepairOutcome::Left);
    Ok(Ending::problems_if(left || is_doubtful || hidden))
}

/// Puts lists of keys back as this machine keeps them.
#[cfg(feature = "encryption")]
fn put_back(parts: &Parts, others: Option<&Parts>, dry_run: bool) -> Result<Vec<RepairStep>> {
    let steps = mend_keys(parts, dry_run)?;
    // Those of the other repository stay gone.
    let theirs = others.and_then(|others| others.root().keys());
    if theirs.is_some_and(|keys| !keys.chain().gone().is_empty()) {
        return Ok(steps);
    }
    if steps
        .iter()
        .all(|step| step.outcome == RepairOutcome::Repaired)
    {
        keys::lists_are_back();
    }
    Ok(steps)
}

/// A part, and that of another repository which is to be fetched from.
type Pair = (Repository, Option<Repository>);

/// The parts of a repository, each with that of another one which is to be fetched from. With
/// `orphans` also those that only the other one has. What neither says of which source it is, is
/// said.
fn pairs(
    parts: &Parts,
    others: Option<&Parts>,
    orphans: bool,
    context: &Context<'_>,
) -> Result<(Vec<Pair>, bool)> {
    let mut pairs: Vec<_> = parts.all()?.into_iter().map(|part| (part, None)).collect();
    let mut is_doubtful = false;
    let Some(others) = others else {
        return Ok((pairs, is_doubtful));
    };
    for other in others.all()? {
        let own = match parts.counterpart(&other) {
            Err(none) if none.kind() == ErrorKind::NotFound => {
                context.progress.remark(&none.chain());
                is_doubtful = true;
                continue;
            }
            own => own?,
        };
        match pairs.iter_mut().find(|(part, _)| part.part() == own.part()) {
            Some((_, known)) => *known = Some(other),
            None if orphans => pairs.push((own, Some(other))),
            None => context.progress.remark(&format_args!(
                "{} is in the other repository only: --orphans brings its archives back, or narthex copy does",
                other.store().describe()
            )),
        }
    }
    Ok((pairs, is_doubtful))
}

/// Repairs one part, with what `other` has.
fn repair_part(
    args: &Args,
    repository: &mut Repository,
    other: Option<&Repository>,
    likely: Option<&str>,
    context: &Context<'_>,
) -> Result<Vec<RepairStep>> {
    let (orphans, dry_run, progress) = (args.orphans, args.dry_run, context.progress);
    let mut steps = Vec::new();
    if let Some(other) = other {
        let options = CopyOptions::default();
        let fetched = mend_from(
            repository,
            other,
            orphans,
            dry_run,
            &options,
            now(),
            progress,
        )?;
        steps.extend(fetched);
    }
    let cache = Cache::default();
    let rest = repair(
        repository,
        &cache,
        orphans,
        dry_run,
        likely,
        now(),
        progress,
    )?;
    // What would be fetched is not planned again, nor what would come back with a manifest.
    let planned: BTreeSet<_> = steps.iter().map(|step| step.object.clone()).collect();
    let manifests = planned
        .iter()
        .filter_map(|name| ObjectName::new(&**name).ok());
    let manifests = manifests.filter_map(|name| ManifestName::parse(&name));
    let archives: BTreeSet<_> = manifests.map(|name| name.id.short().to_owned()).collect();
    steps.extend(rest.into_iter().filter(|step| {
        let mut ids = step.object.split(", ");
        step.object.is_empty()
            || !(planned.contains(&step.object) || ids.all(|id| archives.contains(id)))
    }));
    Ok(steps)
}
