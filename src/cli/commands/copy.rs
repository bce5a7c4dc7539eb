//! `narthex copy`: copies archives to another repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::backup::{self, CodecArg, remark_on_store};
use crate::archive::{BackupReport, ProblemKind};
use crate::cli::args::{REPOSITORY_HEADING, SourceArgs, local_path};
use crate::cli::cache::{CACHE_VARIABLE, cache_dir, remark_vanished};
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::keep::KeepArgs;
#[cfg(feature = "encryption")]
use crate::cli::keys;
use crate::cli::repo::{REPO_VARIABLE, RepoArgs};
use crate::cli::selection::time_range;
use crate::cli::state::{StateArgs, is_same_place};
use crate::cli::stored::{remark_hidden, remark_unseen};
use crate::copy::{CopyChoice, CopyOptions, CopyReport, Fate, copy, preview};
use crate::error::{Error, Result};
use crate::model::now;
use crate::progress::Silent;
use crate::report::copy::{COPIED, COPY, CopyAfterBackup};
use crate::report::trouble::{TROUBLE, told};
use crate::report::{Extent, SheetOf as _};
use crate::repository::{Parts, Repository, SourceFilter};
use crate::store::Location;
use crate::trouble::Severity;
use crate::units::{bytes_text, count_text};

/// What to copy, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex copy --from /srv/backup/prometheus --to s3://backups/prometheus
  narthex copy latest --source prometheus-0 --from /srv/backup/prometheus --to /mnt/backup
  narthex copy --keep-weekly 8 --from /srv/backup/prometheus --to sftp://backup@host/x --dry-run
  narthex copy --codec portable --from /srv/backup/prometheus --to /mnt/never-needs-narthex
  narthex copy --re-encrypt --from s3://backups/prometheus --to s3://backups/prometheus-2

What is there already is not sent again. Every object is held to the digest of its manifest while it is sent; one that is damaged \
is taken from what stands in for it, and archives that need more than that gives are left out and named, with exit code 3. Nothing is overwritten: what is \
damaged there gets a replacement. A run that was stopped is taken up by the next. Backups and prunes may run in both meanwhile. The repository is made, and that is said, when its place is \
empty. Words of --keep choose what narthex forget would keep.

With --codec, blocks that are stored in another codec are unpacked one by one into a temporary directory (TMPDIR), which must have room for the largest of them, \
proved file by file, and stored anew in the repository copied to. All else of an archive stays, and each block is converted once.")]
pub(crate) struct Args {
    /// Only these archives: `latest`, or beginnings of ids [default: all]
    #[arg(value_name = "ARCHIVE")]
    ids: Vec<String>,
    /// The repository to copy from; `NARTHEX_REPO` may say it instead
    #[arg(long, visible_alias = "repo", env = REPO_VARIABLE, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    from: Location,
    /// The repository to copy to
    #[arg(long, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    to: Location,
    #[command(flatten)]
    sources: SourceArgs,
    /// Only archives made from here on [e.g. 2026-11-21T19:00:00Z, 30d (ago)]
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "ids",
        help_heading = "Which archives"
    )]
    since: Option<String>,
    /// Only archives made before this
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        conflicts_with = "ids",
        help_heading = "Which archives"
    )]
    until: Option<String>,
    #[command(flatten)]
    keep: KeepArgs,
    /// Store blocks in this codec, if they are in another one: dense (packed, a fraction of the
    /// size) or portable (tar in zstd, readable without narthex)
    /// [default: each stays in the one it has]
    #[arg(long, value_enum, help_heading = "How blocks are stored")]
    codec: Option<CodecArg>,
    #[command(flatten)]
    state: StateArgs,
    /// Make no repository: where there is none, its disk may not be mounted
    #[arg(long, help_heading = REPOSITORY_HEADING)]
    no_create: bool,
    /// Where manifests are remembered; it may be lost at any time
    /// [default: narthex in `$XDG_CACHE_HOME` or ~/.cache]
    #[arg(long, value_name = "DIR", env = CACHE_VARIABLE, value_parser = local_path())]
    cache_dir: Option<PathBuf>,
    /// Remember nothing: read every manifest
    #[arg(long)]
    no_cache: bool,
    /// Write everything anew for other recipients, and refuse a copy that is in clear, or that
    /// somebody can read who was taken off the list of keys
    #[cfg(feature = "encryption")]
    #[arg(long, help_heading = "Keys")]
    re_encrypt: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Both repositories, as typed.
    pub(crate) fn places(&mut self) -> Vec<&mut Location> {
        vec![&mut self.from, &mut self.to]
    }

    /// The repository to copy to, as typed.
    pub(crate) fn to(&self) -> &Location {
        &self.to
    }

    fn choice(&self) -> Result<CopyChoice> {
        let policy = self.keep.policy();
        if !self.ids.is_empty() && !policy.is_empty() {
            return Err(Error::invalid(
                "expected ids of archives or a policy, found both",
            ));
        }
        Ok(CopyChoice {
            ids: self.ids.clone(),
            filter: self.sources.filter(),
            made: time_range(self.since.as_deref(), self.until.as_deref())?,
            policy: Some(policy).filter(|policy| !policy.is_empty()),
            only_behind: false,
        })
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    refuse_same_location(&args.from, std::slice::from_ref(&args.to))?;
    let choice = args.choice()?;
    let options = CopyOptions {
        cache: cache_dir(args.cache_dir.as_ref(), args.no_cache),
        codec: args.codec.map(Into::into),
        read_mode: context.read_mode,
    };
    let from = RepoArgs::at(&args.from).open()?;
    let to = RepoArgs::at(&args.to);
    let existing = to.existing(&args.state, args.no_create)?;
    refuse_in_clear(from.root(), &to, existing.as_ref())?;
    #[cfg(feature = "encryption")]
    if args.re_encrypt {
        keys::refuse_former(from.root(), &args.to, existing.as_ref().map(Parts::root))?;
    }
    let is_all = choice.ids.is_empty() && choice.filter.source_name.is_none();
    let mut hidden = is_all && remark_unseen(&from, context)?;
    if is_all && from.is_by_source() {
        for part in from.all()? {
            hidden |= remark_hidden(&part, context)?;
        }
    } else if is_all {
        hidden |= remark_vanished(from.root(), context)?;
    }
    let report = if args.dry_run {
        if existing.is_none() {
            let location = &args.to;
            context
                .progress
                .remark(&format_args!("would make a new repository in {location}"));
        }
        let mut report = CopyReport::default();
        for task in tasks(&from, existing.as_ref(), &choice)? {
            let (to, choice) = (task.to.as_ref(), &task.choice);
            let progress = context.progress;
            report.absorb(preview(&task.from, to, choice, &options, now(), progress)?);
        }
        report
    } else {
        if existing.is_none() {
            // No repository is made for nothing.
            for task in tasks(&from, None, &choice)? {
                preview(&task.from, None, &task.choice, &options, now(), &Silent)?;
            }
        }
        let to = to.or_init(existing, &args.state, from.is_by_source(), context)?;
        let mut report = CopyReport::default();
        let tasks = tasks(&from, Some(&to), &choice)?;
        // What is refused of one is refused before anything of another is sent.
        for task in tasks.iter().filter(|_| tasks.len() > 1) {
            let (to, choice) = (task.to.as_ref(), &task.choice);
            preview(&task.from, to, choice, &options, now(), &Silent)?;
        }
        for task in tasks {
            let (from, choice) = (&task.from, &task.choice);
            let progress = context.progress;
            report.absorb(match &task.to {
                Some(to) => copy(from, to, choice, &options, now(), progress)?,
                // What cannot be read is said, and no more.
                None => preview(from, None, choice, &options, now(), progress)?,
            });
        }
        remark_on_store(to.root(), context);
        remark_on_keys(&from, &to, context);
        report
    };
    for problem in &report.problems {
        context.progress.remark(problem);
    }
    if context.json {
        let mut object = COPY.all(&report).object();
        object.insert("dry_run".to_owned(), json!(args.dry_run));
        COPIED.add_to(&mut object, &report, Extent::Document);
        object.insert(
            "problems".to_owned(),
            TROUBLE.all(&told(&report.problems)).json(),
        );
        context.print_json(&Json::Object(object))?;
    } else {
        print(&report, args.dry_run, context)?;
    }
    Ok(Ending::problems_if(hidden || has_problems(&report)))
}

/// A copy from one part of a repository to one of another.
struct Task {
    from: Repository,
    /// Where to; nowhere yet, where nothing can be copied.
    to: Option<Repository>,
    choice: CopyChoice,
}

/// What is to be done to copy what `choice` means. Where none is in parts, it is one task.
fn tasks(from: &Parts, to: Option<&Parts>, choice: &CopyChoice) -> Result<Vec<Task>> {
    let target = |source_name: &str| to.map(|to| to.of_source(source_name)).transpose();
    let mut tasks = Vec::new();
    if !from.is_by_source() && !to.is_some_and(Parts::is_by_source) {
        tasks.push(Task {
            from: from.root().clone(),
            to: to.map(|to| to.root().clone()),
            choice: choice.clone(),
        });
        return Ok(tasks);
    }
    if !choice.ids.is_empty() {
        for (part, ids) in from.by_part(&choice.ids, &choice.filter, now())? {
            let mut by_source: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for id in ids {
                let found = part.find(&id, &choice.filter, now())?;
                by_source
                    .entry(found.archive.source_name)
                    .or_default()
                    .push(id);
            }
            for (source_name, ids) in by_source {
                tasks.push(Task {
                    to: target(&source_name)?,
                    from: part.clone(),
                    choice: CopyChoice {
                        ids,
                        ..choice.clone()
                    },
                });
            }
        }
        return Ok(tasks);
    }
    for part in from.meant(&choice.filter)? {
        let servers = part.servers(&choice.filter)?;
        let names: BTreeSet<_> = servers.iter().map(|server| &server.source_name).collect();
        // Nothing says of which source they are.
        if names.is_empty() && !part.archives()?.damaged.is_empty() {
            tasks.push(Task {
                from: part.clone(),
                to: None,
                choice: choice.clone(),
            });
        }
        for name in names {
            let filter = SourceFilter {
                source_name: Some(name.clone()),
                ..choice.filter.clone()
            };
            tasks.push(Task {
                from: part.clone(),
                to: target(name)?,
                choice: CopyChoice {
                    filter,
                    ..choice.clone()
                },
            });
        }
    }
    if tasks.is_empty() {
        let place = from.root().store().describe();
        return Err(Error::not_found(format!(
            "there is no archive in {place} that could be copied"
        )));
    }
    Ok(tasks)
}

/// Refuses to make a repository in clear for what is encrypted; `existing` is what is there.
fn refuse_in_clear(from: &Repository, to: &RepoArgs, existing: Option<&Parts>) -> Result<()> {
    from.need_identity()?;
    if !from.is_encrypted() || existing.is_some() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{} is encrypted, and there is no repository in {} yet",
        from.store().describe(),
        to.location()
    ))
    .advise("make it first: narthex init --recipient KEY --admin FILE, or narthex init for one in clear"))
}

/// Says what keys do not do any more for archives of `from` in `to`.
fn remark_on_keys(from: &Parts, to: &Parts, context: &Context<'_>) {
    let place = |parts: &Parts| parts.root().store().describe();
    if from.root().is_encrypted() && !to.root().is_encrypted() {
        context.progress.remark(&format_args!(
            "what is encrypted in {} is in clear in {}",
            place(from),
            place(to)
        ));
    }
    if from.is_by_source() && !to.is_by_source() {
        context.progress.remark(&format_args!(
            "{} is in parts, one for each source, and {} is not: there every server lists the archives of all (narthex init --by-source makes one that is)",
            place(from),
            place(to)
        ));
    }
    if to.root().is_encrypted() && from.root().has_signers() && !to.root().has_signers() {
        context.progress.remark(&format_args!(
            "archives in {} are signed, and {} lists no signers: whoever may write there can put archives among the copies, and nobody can tell (narthex key add --signer)",
            place(from),
            place(to)
        ));
    }
}

fn has_problems(report: &CopyReport) -> bool {
    let mut problems = report.problems.iter();
    problems.any(|problem| problem.severity == Severity::Problem) || report.count(Fate::LeftOut) > 0
}

fn print(report: &CopyReport, dry_run: bool, context: &mut Context<'_>) -> Result<()> {
    if !report.archives.is_empty() {
        let view = &context.view;
        let text = view.of(&COPIED, report, Extent::All).text(view);
        context.print(format_args!("{text}\n"))?;
    }
    let (count, would) = if dry_run {
        (report.count(Fate::Planned), "would be ")
    } else {
        (report.count(Fate::Copied), "")
    };
    let more = [
        (report.count(Fate::Present), "there already"),
        (report.count(Fate::Completed), "completed"),
        (report.count(Fate::LeftOut), "left out"),
    ];
    let more = more.iter().filter(|(count, _)| *count > 0);
    let more: Vec<_> = more
        .map(|(count, what)| format!(", {} {what}", count_text(*count)))
        .collect();
    let converted = if report.converted_blocks > 0 {
        format!(
            ", {} blocks of {} {would}converted",
            count_text(report.converted_blocks),
            bytes_text(report.converted_bytes)
        )
    } else {
        String::new()
    };
    context.print(format_args!(
        "{} archives {would}copied, {} objects of {}{converted}{}\n",
        count_text(count),
        count_text(report.objects),
        bytes_text(report.bytes),
        more.concat()
    ))
}

/// Refuses to copy from one place to the same, as far as that can be told before either is opened.
///
/// # Errors
///
/// `Refused` when one of them is.
pub(super) fn refuse_same_location(from: &Location, to: &[Location]) -> Result<()> {
    for (number, one) in to.iter().enumerate() {
        let earlier = to.iter().take(number);
        for other in earlier.chain([from]) {
            if is_same_place(one, other)? {
                return Err(Error::refused(format!(
                    "{one} and {other} are one place: expected another one to copy to"
                )));
            }
        }
    }
    Ok(())
}

/// Copies the archive that a backup has made, and what is missing of the same server, to each
/// repository that was asked for. What fails there is a problem of the backup, and no more.
pub(super) fn after_backup(
    args: &backup::Args,
    from: &Repository,
    report: &mut BackupReport,
    context: &Context<'_>,
) -> Vec<CopyAfterBackup> {
    let mut copies = Vec::new();
    for location in args.copy_to() {
        if !report.committed {
            let detail = format!("nothing was copied to {location}, for no archive was made");
            report
                .problems
                .push(ProblemKind::CopyBehind.at(location.to_string(), detail));
            continue;
        }
        let archive = &report.archive;
        let choice = CopyChoice {
            filter: SourceFilter {
                host: Some(archive.host.clone()),
                source_name: Some(archive.source_name.clone()),
                ..SourceFilter::default()
            },
            only_behind: true,
            ..CopyChoice::default()
        };
        let mut done = CopyAfterBackup {
            repository: location.to_string(),
            ..CopyAfterBackup::default()
        };
        let failed = copy_behind(args, from, location, &choice, &mut done, context).err();
        let short = archive.id.short();
        let left = failed.map_or_else(String::new, |error| format!(": {}", error.chain()));
        if !done.is_done || done.left_out > 0 {
            let behind = match done.behind {
                Some(behind) => format!("{} archives of this server", count_text(behind)),
                None => format!("archive {short}, and nobody knows how many before it"),
            };
            let detail =
                format!("archive {short} is made, but {location} is behind by {behind}{left}");
            let problem = ProblemKind::CopyBehind.at(location.to_string(), detail);
            report.problems.push(problem);
        } else if let Some(trouble) = &done.trouble {
            let problem = ProblemKind::CopyBehind.at(location.to_string(), trouble);
            report.problems.push(problem);
        }
        copies.push(done);
    }
    copies
}

fn copy_behind(
    args: &backup::Args,
    from: &Repository,
    location: &Location,
    choice: &CopyChoice,
    done: &mut CopyAfterBackup,
    context: &Context<'_>,
) -> Result<()> {
    // On a host that only writes: before anything is made or sent.
    from.need_identity()
        .map_err(|e| e.context("narthex copy on a machine with an identity brings it there"))?;
    let options = CopyOptions {
        cache: args.cache(),
        read_mode: context.read_mode,
        ..CopyOptions::default()
    };
    let to = RepoArgs::at(location);
    let existing = to.existing(args.state(), args.no_create())?;
    refuse_in_clear(from, &to, existing.as_ref())?;
    let to = to.or_init(existing, args.state(), from.part().is_some(), context)?;
    let source_name = choice.filter.source_name.as_deref().unwrap_or_default();
    let to = to.of_source(source_name)?;
    let planned = preview(from, Some(&to), choice, &options, now(), context.progress)?;
    let planned_count = planned.archives.len() as u64;
    done.behind = Some(planned_count);
    let report = copy(from, &to, choice, &options, now(), context.progress)?;
    remark_on_store(&to, context);
    done.copied = report.count(Fate::Copied) + report.count(Fate::Completed);
    done.left_out = report.count(Fate::LeftOut);
    done.behind = Some(done.left_out);
    (done.objects, done.bytes) = (report.objects, report.bytes);
    done.is_done = true;
    for problem in &report.problems {
        context
            .progress
            .remark(&format_args!("{location}: {problem}"));
    }
    if has_problems(&report) {
        let mut problems = report.problems.iter();
        let first = problems.find(|problem| problem.severity == Severity::Problem);
        done.trouble = first.map(|problem| problem.detail.clone());
    }
    Ok(())
}
