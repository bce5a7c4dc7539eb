//! `narthex prune`: deletes what no archive needs.

use serde_json::{Value as Json, json};

use crate::cli::cache::remark_vanished;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::cli::stored::remark_unseen;
use crate::error::{Error, Result};
use crate::model::{Millis, now};
use crate::report::retain::{ITEMS, PRUNED};
use crate::report::{Extent, SheetOf};
use crate::repository::{Parts, Repository, SourceFilter};
use crate::retain::{ObjectFate, PruneOptions, Pruned, prune, prune_shared};
use crate::units::{bytes_text, count_text, parse_duration, time_text};

/// How to prune.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex prune --repo /srv/backup/prometheus
  narthex prune --repo /srv/backup/prometheus --dry-run
  narthex prune --json | jq '{deleted_bytes, waiting_bytes, all_due}'

What no archive names is marked in one run and deleted by the first run that comes after the grace period, if it is still \
not named. So bytes become free with the second of two weekly runs. Backups may run meanwhile and lose nothing; a backup that takes longer \
than the grace period may find what it has stored gone, and then fails and has to be run again. \
Where data lies and not one archive, nothing is deleted: the disk of archives/ may not be mounted. \
When the disk is full, --grace 0s deletes at once. Unpublished files of dead runs go after the grace period, at least after a day.")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    #[command(flatten)]
    grace: GraceArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// In a repository in parts: only what belongs to the source of this name
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Delete data although there is no archive at all: all archives were removed on purpose; in a
    /// repository in parts, those of --source
    #[arg(long = "unsafe-allow-remove-all")]
    all: bool,
}

/// How long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct GraceArgs {
    /// How long an object stays marked before it is deleted; longer than any backup takes
    #[arg(long, value_name = "DURATION", default_value = "3d", value_parser = parse_duration)]
    grace: Millis,
    /// Prune although the store replaces objects whose names are taken: no other narthex works
    /// with this repository meanwhile
    #[arg(long)]
    only_writer: bool,
}

impl GraceArgs {
    pub(super) fn options(&self, dry_run: bool, allow_remove_all: bool) -> PruneOptions {
        PruneOptions {
            grace: self.grace,
            dry_run,
            allow_remove_all,
            only_writer: self.only_writer,
        }
    }
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The parts that are meant.
    fn meant(&self, parts: &Parts) -> Result<Vec<Repository>> {
        let filter = SourceFilter {
            source_name: self.source.clone(),
            ..SourceFilter::default()
        };
        let location = self.repo.location();
        match (parts.is_by_source(), &self.source) {
            (false, Some(_)) => Err(Error::invalid(format!(
                "{location} is not in parts, one for each source: there all archives share objects, and prune needs no --source"
            ))),
            (true, None) if self.all => Err(Error::invalid(format!(
                "expected --source with --unsafe-allow-remove-all, found none: {location} is in parts, one for each source, and what is left of each would go; what is in sources/PART goes by the name of its source, or by reconstructed-PART"
            ))),
            _ => {
                let meant = parts.meant(&filter)?;
                let is_there = |part: &Repository| {
                    Ok::<_, Error>(part.part().is_none() || !part.store().is_vacant()?)
                };
                match (&self.source, meant.as_slice()) {
                    (Some(source), [part]) if !is_there(part)? => Err(Error::not_found(format!(
                        "there is nothing of source {source:?} in {location}"
                    ))),
                    _ => Ok(meant),
                }
            }
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let parts = args.repo.open_to_change(&args.state)?;
    let options = args.grace.options(args.dry_run, args.all);
    let all = args.meant(&parts)?;
    let mut unseen = args.source.is_none() && remark_unseen(&parts, context)?;
    let meant: Vec<_> = all.iter().map(|part| (part.clone(), args.all)).collect();
    let (pruned, failed) = run_prune(&parts, &meant, options, context)?;
    if pruned.needed_objects == 0 {
        for part in &all {
            unseen |= remark_vanished(part, context)?;
        }
    }
    let mut ahead = Vec::new();
    for part in &all {
        ahead.extend(part.ahead(now())?);
    }
    for ahead in &ahead {
        context
            .progress
            .remark(&format_args!("{ahead}; what it needs is kept"));
    }
    if context.json {
        context.print_json(&to_json(&pruned, options))?;
    } else {
        print(&pruned, options, context)?;
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Ending::problems_if(
            unseen || !ahead.is_empty() || !pruned.expired_claims.is_empty(),
        )),
    }
}

/// Prunes now what of `parts` is `meant`, each with whether data may go there although there is no
/// archive at all, and says what it took for dead. Where one of several
/// parts cannot be pruned, the others are, and why the last of them cannot comes beside the result.
pub(super) fn run_prune(
    parts: &Parts,
    meant: &[(Repository, bool)],
    options: PruneOptions,
    context: &Context<'_>,
) -> Result<(Pruned, Option<Error>)> {
    let mut pruned = prune_shared(parts, options, now())?;
    let mut failed: Option<Error> = None;
    for (part, allow_remove_all) in meant {
        let options = PruneOptions {
            allow_remove_all: *allow_remove_all,
            ..options
        };
        match prune(part, options, now()) {
            Err(error) if part.part().is_some() => {
                let error = error.context(part.store().describe());
                if let Some(before) = failed.replace(error) {
                    context.progress.remark(&before.chain());
                }
            }
            done => pruned.absorb(done?, part),
        }
    }
    for claim in &pruned.expired_claims {
        context.progress.remark(&format_args!(
            "{claim}: a backup that said by this what it needs did not end within a day, and counts no more; if none has died, the clock of this \
             machine is wrong, or that of another one"
        ));
    }
    if let Some(error) = &pruned.unasked {
        context.progress.remark(&format_args!(
            "cannot tell whether objects are locked that were to be deleted; those that are stay below delete markers until their locks are over: {}",
            error.chain()
        ));
    }
    Ok((pruned, failed))
}

/// The result as JSON.
pub(super) fn to_json(pruned: &Pruned, options: PruneOptions) -> Json {
    let mut object = PRUNED.all(pruned).object();
    object.insert("dry_run".to_owned(), json!(options.dry_run));
    ITEMS.add_to(&mut object, pruned, Extent::Document);
    Json::Object(object)
}

/// The result for people.
pub(super) fn print(
    pruned: &Pruned,
    options: PruneOptions,
    context: &mut Context<'_>,
) -> Result<()> {
    if options.dry_run {
        context.print("dry run: nothing is marked, and nothing deleted\n")?;
    }
    if !pruned.items.is_empty() {
        let view = &context.view;
        let text = view.of(&ITEMS, pruned, Extent::All).text(view);
        context.print(format_args!("{text}\n"))?;
    }
    let would = if options.dry_run { "would be " } else { "" };
    let (deleted, deleted_bytes) = pruned.of(ObjectFate::Deleted);
    context.print(format_args!(
        "{} objects of {} are needed; {deleted} of {} {would}deleted\n",
        count_text(pruned.needed_objects),
        bytes_text(pruned.needed_bytes),
        bytes_text(deleted_bytes),
    ))?;
    let (marked, marked_bytes) = pruned.of(ObjectFate::Marked);
    let (waiting, waiting_bytes) = pruned.of(ObjectFate::Waiting);
    let pending = pruned.items.iter();
    let pending =
        pending.filter(|item| matches!(item.fate, ObjectFate::Marked | ObjectFate::Waiting));
    if let Some(due) = pending.filter_map(|item| item.due).max() {
        let (count, bytes) = (marked + waiting, marked_bytes.saturating_add(waiting_bytes));
        context.print(format_args!(
            "{count} of {} are not needed: a prune after {} deletes them\n",
            bytes_text(bytes),
            time_text(due),
        ))?;
    }
    let (locked, locked_bytes) = pruned.of(ObjectFate::Locked);
    let held = pruned.items.iter();
    let held = held.filter(|item| item.fate == ObjectFate::Locked);
    if let Some(until) = held.filter_map(|item| item.due).max() {
        context.print(format_args!(
            "{locked} of {} are locked until {}: a prune after that deletes them\n",
            bytes_text(locked_bytes),
            time_text(until),
        ))?;
    }
    Ok(())
}
