//! `narthex lock`: locks what archives need, so that nobody can delete it.

use serde_json::{Value as Json, json};

use crate::cli::args::SourceArgs;
use crate::cli::config;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::keep::KeepArgs;
use crate::cli::network;
use crate::cli::repo::{Elsewhere, RepoArgs};
use crate::cli::state::StateArgs;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, now};
use crate::report::lock::LOCKED;
use crate::repository::locks::{LockMemory, LockReport, LockTerms, lock_archives};
use crate::repository::{Ahead, Archive, Repository};
use crate::retain::{Decision, ForgetSelection, Leave, forget};
use crate::store::{Location, LockMode, TrafficCounts};
use crate::units::{count_text, parse_duration, time_text};

/// Which archives to lock, and for how long.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex lock latest --for 30d --repo s3://backups/prometheus
  narthex lock --keep-monthly 12 --for 1y --repo s3://backups/prometheus
  narthex lock --keep-daily 7 --for 14d --source prometheus-0 --dry-run

Until the time is over nobody can delete what these archives need, nor shorten that: not the administrator, and in mode compliance not the vendor. \
Words of --keep choose what narthex forget would keep. Each object is locked for a quarter longer than asked, so that a nightly run extends a lock only now and then. \
The bucket must be one of S3 with Object Lock; anything else is an error before anything is done. \
Locked objects cost storage until the time is over, whatever forget and prune say meanwhile.")]
pub(crate) struct Args {
    /// Only these archives: `latest`, or beginnings of ids
    #[arg(value_name = "ARCHIVE")]
    ids: Vec<String>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// For how long, such as 30d or 1y [default: what the configuration says]
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_lock)]
    time: Option<Millis>,
    /// Who can take it off: nobody (compliance), or whoever may bypass locks (governance)
    /// [default: compliance]
    #[arg(long, value_name = "MODE")]
    lock_mode: Option<LockMode>,
    #[command(flatten)]
    pub(crate) sources: SourceArgs,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Say how many objects would be locked, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// A lock of everything that a backup needs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BackupLockArgs {
    /// Lock all that the archive needs for so long, such as 30d: nobody can delete it until then.
    /// For buckets of S3 with Object Lock [default: what the configuration says]
    #[arg(long, value_name = "DURATION", value_parser = parse_lock, help_heading = "How long it is kept")]
    lock: Option<Millis>,
    /// Who can take the lock off: nobody (compliance), or whoever may bypass locks (governance)
    /// [default: compliance]
    #[arg(long, value_name = "MODE", help_heading = "How long it is kept")]
    lock_mode: Option<LockMode>,
}

/// Longest time that is locked for: S3 ends at a hundred years, and nobody can take it back.
const MOST: Millis = 20 * 365 * 86_400_000;

/// Shortest: what is over before the next backup helps nobody.
const LEAST: Millis = 3_600_000;

/// A time to lock for.
///
/// # Errors
///
/// When it is none, or shorter or longer than makes sense.
pub(crate) fn parse_lock(text: &str) -> Result<Millis> {
    let time = parse_duration(text)?;
    if (LEAST..=MOST).contains(&time) {
        return Ok(time);
    }
    Err(Error::invalid(format!(
        "expected a time to lock for from 1h to 20y, found {text:?}"
    )))
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}

impl BackupLockArgs {
    /// What was typed, or what the configuration says of the repository at `location`.
    ///
    /// # Errors
    ///
    /// `Invalid`, when it is said how firmly to lock and not for how long.
    pub(super) fn terms(&self, location: &Location) -> Result<Option<LockTerms>> {
        let terms = terms(self.lock, self.lock_mode, location)?;
        match (terms, self.lock_mode) {
            (None, Some(_)) => Err(Error::invalid(
                "expected --lock with a duration such as 30d beside --lock-mode, or lock in the configuration, found neither",
            )),
            _ => Ok(terms),
        }
    }
}

fn terms(
    time: Option<Millis>,
    mode: Option<LockMode>,
    location: &Location,
) -> Result<Option<LockTerms>> {
    let configured = config::at(location)?.and_then(|repository| repository.lock);
    let time = time.or(configured.map(|terms| terms.time));
    let mode = mode.or(configured.map(|terms| terms.mode));
    Ok(time.map(|time| LockTerms {
        time,
        mode: mode.unwrap_or_default(),
    }))
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    let location = args.repo.location();
    let terms = terms(args.time, args.lock_mode, location)?;
    let terms = terms.ok_or_else(|| {
        Error::invalid("expected --for with a duration such as 30d, or lock in the configuration, found neither")
    })?;
    let parts = args.repo.open_own(&args.state)?;
    parts.root().need_to_read()?;
    let (mut locked, mut ahead, mut is_any) = (LockReport::default(), false, false);
    let mut elsewhere = Elsewhere::default();
    for (part, ids) in parts.by_part(&args.ids, &args.sources.filter(), now())? {
        let chosen = chosen(args, &part, &ids, context);
        // What is named is in the part that was found to hold it.
        let chosen = if ids.is_empty() {
            elsewhere.pass_over(chosen, &part)?
        } else {
            Some(chosen?)
        };
        let Some((archives, doubtful)) = chosen else {
            continue;
        };
        ahead |= doubtful;
        is_any |= !archives.is_empty();
        locked.absorb(lock(&part, &archives, terms, args.dry_run, &args.state)?);
    }
    ahead |= elsewhere.end(context)?;
    if !is_any {
        return Err(Error::not_found(format!(
            "there is no archive in {location} that could be locked"
        )));
    }
    let is_whole = tell(&locked, args.dry_run, location, context)?;
    if context.json {
        let mut object = LOCKED.all(&locked).object();
        object.insert("dry_run".to_owned(), json!(args.dry_run));
        context.print_json(&Json::Object(object))?;
    } else {
        context.print(format_args!("{}\n", sentence(&locked, args.dry_run)))?;
    }
    Ok(Ending::problems_if(!is_whole || ahead))
}

/// The archives that are meant, and whether some are not locked that may be.
fn chosen(
    args: &Args,
    repository: &Repository,
    ids: &[String],
    context: &Context<'_>,
) -> Result<(Vec<Archive>, bool)> {
    let policy = args.keep.policy();
    let filter = args.sources.filter();
    match (ids.is_empty(), policy.is_empty()) {
        (false, false) => Err(Error::invalid(
            "expected ids of archives or a policy, found both",
        )),
        (true, true) => Err(Error::invalid(
            "expected `latest`, ids of archives, or a policy such as --keep-monthly 12, found neither",
        )),
        (false, true) => {
            let mut archives = Vec::new();
            let mut is_doubtful = false;
            for id in ids {
                let chosen = repository.find(id, &filter, now())?;
                for remark in chosen.remarks() {
                    is_doubtful = true;
                    context.progress.remark(&remark);
                }
                archives.push(chosen.archive);
            }
            Ok((archives, is_doubtful))
        }
        (true, false) => {
            let leave = Leave {
                dry_run: true,
                ..Leave::default()
            };
            let now = now();
            let selection = ForgetSelection::Policy(policy);
            let forgotten = forget(repository, &selection, &filter, leave, now)?;
            let is_doubtful = !forgotten.damaged.is_empty() || !forgotten.ahead.is_empty();
            for damaged in &forgotten.damaged {
                let why = damaged.error.chain();
                context
                    .progress
                    .remark(&format_args!("{why}; what it needs is not locked for it"));
            }
            for ahead in &forgotten.ahead {
                context
                    .progress
                    .remark(&format_args!("{ahead}; what it needs is not locked for it"));
            }
            let kept = forgotten.decisions.into_iter();
            let kept = kept.filter(Decision::is_kept).map(|made| made.archive);
            let real = kept.filter(|archive| Ahead::of(archive, now).is_none());
            Ok((real.collect(), is_doubtful))
        }
    }
}

/// Locks what `archives` need.
pub(super) fn lock(
    repository: &Repository,
    archives: &[Archive],
    terms: LockTerms,
    dry_run: bool,
    state: &StateArgs,
) -> Result<LockReport> {
    let id = &repository.local_id();
    let mut memory = match state.locks_dir() {
        Some(dir) => LockMemory::open(&dir, id),
        None => LockMemory::default(),
    };
    lock_archives(repository, archives, terms, &mut memory, dry_run, now())
}

/// Says what could not be locked, or what it would cost; whether all was.
pub(super) fn tell(
    locked: &LockReport,
    dry_run: bool,
    location: &Location,
    context: &Context<'_>,
) -> Result<bool> {
    if dry_run {
        let counts = TrafficCounts {
            writes: locked.extended,
            reads: locked.extended,
            ..TrafficCounts::default()
        };
        if let Some(cost) = network::cost_text(location, &counts)? {
            context.progress.remark(&format_args!(
                "locking {} objects would cost {cost}",
                count_text(locked.extended)
            ));
        }
    }
    let Some(error) = &locked.failure else {
        return Ok(true);
    };
    let more = if error.kind() == ErrorKind::Refused {
        "; the others were not tried"
    } else {
        ""
    };
    context.progress.remark(&format_args!(
        "{} of {} objects are not locked for as long as they should be: {}{more}",
        count_text(locked.failed),
        count_text(locked.objects),
        error.chain()
    ));
    Ok(false)
}

/// What was locked, for people.
pub(super) fn sentence(locked: &LockReport, dry_run: bool) -> String {
    let (extended, objects) = (count_text(locked.extended), count_text(locked.objects));
    let until = time_text(locked.until);
    if dry_run {
        return format!(
            "{extended} of {objects} objects would be locked until {until} at least; the others are"
        );
    }
    if locked.failed > 0 {
        return format!(
            "{extended} of {objects} objects were locked, {} could not be",
            count_text(locked.failed)
        );
    }
    format!(
        "{objects} objects are locked until {until} at least; {extended} locks are new or longer"
    )
}
