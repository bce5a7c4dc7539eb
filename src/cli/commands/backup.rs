//! `narthex backup`: archives what is new in a data directory.

use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use serde_json::{Value as Json, json};

use super::copy;
use super::lock::{self, BackupLockArgs};
use crate::archive::{self, BackupOptions, BackupReport, Codec, Preview, Source};
use crate::block::DirKind;
use crate::cli::args::{REPOSITORY_HEADING, local_path, parse_label, parse_name};
use crate::cli::cache::{CACHE_VARIABLE, cache_dir};
use crate::cli::config;
use crate::cli::context::Context;
use crate::cli::exit::Ending;
use crate::cli::repo::RepoArgs;
use crate::cli::state::StateArgs;
use crate::error::{Error, Result, did_you_mean};
use crate::model::now;
use crate::raw::Links;
use crate::report::backup::{BACKUP, LEFT_OUT};
use crate::report::copy::COPIES;
use crate::report::lock::LOCKED;
use crate::report::trouble::{TROUBLE, told};
use crate::report::{Extent, safe_line};
use crate::repository::locks::{LockReport, LockTerms, locks_of};
use crate::repository::portable::DEFAULT_LEVEL;
use crate::repository::{LeftOut, LeftOutKind, Parts, Repository};
use crate::store::Location;
use crate::units::bytes_text;
use crate::verify;

/// What to back up, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  narthex backup /var/lib/prometheus --repo /srv/backup/prometheus
  narthex backup /var/lib/prometheus --repo /srv/backup/prometheus --dry-run
  narthex backup /data --source prometheus-0 --label cluster=eu1 --json
  narthex backup /var/lib/prometheus --repo /srv/backup/prometheus --copy-to s3://backups/prometheus
  narthex backup prometheus-0        # a source of /etc/narthex.toml

Prometheus may run. Blocks that are in the repository already are not read, except for meta.json, tombstones \
and less than 1 KiB of the index. The repository is made, and that is said, when its directory does not exist or is \
empty; not with --no-create, and not where a repository was before: its disk may not be mounted. Of nothing, no block and no sample, no \
archive is made, and the exit code is 3. Damaged blocks are archived \
as they are; they and whatever had to be left out are named on standard error, with exit code 3. So are blocks, or a write-ahead log, that the newest archive of \
the server holds and that are gone from DIR, where neither retention nor a compaction or rewriting explains it: once, for the next backup compares with an archive \
that lacks them. A block of which every series had deletions, or beside which others lost all samples by deletion, is taken for emptied: it is listed as left out, and no problem.

Memory grows with the series of the largest block, by some 165 bytes each: 539 MiB at three million, with two threads. Blocks of native histograms are packed at an eighth of
the speed of zstd -9, others at about that speed.")]
pub(crate) struct Args {
    /// A data directory, a Prometheus snapshot, or one block; or a source of the configuration, by
    /// its name
    dir: PathBuf,
    /// The source of the configuration that was named, once it was looked up.
    #[arg(skip)]
    configured: Option<String>,
    #[command(flatten)]
    pub(crate) repo: RepoArgs,
    /// The machine DIR belongs to [default: this one]
    #[arg(long, value_parser = parse_name, help_heading = "What the archive is known by")]
    host: Option<String>,
    /// A name for this Prometheus server, the same every night [default: HOST:DIR]
    #[arg(
        long,
        value_name = "NAME",
        value_parser = parse_name,
        help_heading = "What the archive is known by"
    )]
    source: Option<String>,
    /// Something else to know the archive by; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label, help_heading = "What the archive is known by")]
    labels: Vec<(String, String)>,
    /// Leave out WAL and WBL, and with them the samples that are in no block yet
    #[arg(long, help_heading = "What is archived")]
    no_wal: bool,
    /// Follow symbolic links inside blocks and logs, and blocks that are links. Without it they
    /// are left out and named: whoever owns DIR could have any file archived that the user
    /// running the backup may read
    #[arg(long, help_heading = "What is archived")]
    follow_links: bool,
    /// How new blocks are stored: dense (packed, a fraction of the size) or portable (tar in zstd,
    /// readable without narthex)
    /// [default: dense]
    #[arg(long, value_enum, help_heading = "How blocks are stored")]
    codec: Option<CodecArg>,
    /// Compression level of zstd for whatever is stored portable, from 1 (fast) to 22 (small)
    /// [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=22), help_heading = "How blocks are stored")]
    level: Option<i32>,
    /// Where what is known of stored packs is remembered; it may be lost at any time
    /// [default: narthex in `$XDG_CACHE_HOME` or ~/.cache]
    #[arg(long, value_name = "DIR", env = CACHE_VARIABLE, value_parser = local_path(), help_heading = "How blocks are stored")]
    cache_dir: Option<PathBuf>,
    /// Remember nothing: read packs back where new blocks repeat their samples
    #[arg(long, help_heading = "How blocks are stored")]
    no_cache: bool,
    #[command(flatten)]
    state: StateArgs,
    /// Make no repository: where there is none, its disk may not be mounted
    #[arg(long, help_heading = REPOSITORY_HEADING)]
    no_create: bool,
    /// Copy the archive, and what is missing of the same server, to this repository as well; may be
    /// given several times. Where that fails, the archive stays, and the exit code is 3
    #[arg(long, value_name = "REPO", help_heading = REPOSITORY_HEADING)]
    pub(crate) copy_to: Vec<Location>,
    #[command(flatten)]
    lock: BackupLockArgs,
    /// Back up even if DIR looks like another server than the one archived under this name before,
    /// and miss nothing that is gone from it
    #[arg(long, help_heading = "What is archived")]
    force: bool,
    /// Say what would be done, and do nothing. Blocks are not read for it: what reading them would
    /// tell, damage and parents that their child does not hold, is not said
    #[arg(long)]
    dry_run: bool,
}

const _: () = assert!(DEFAULT_LEVEL == 2, "the help of --level says so");

/// A codec, as typed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum CodecArg {
    Dense,
    Portable,
}

impl From<CodecArg> for Codec {
    fn from(typed: CodecArg) -> Self {
        match typed {
            CodecArg::Dense => Codec::Dense,
            CodecArg::Portable => Codec::Portable,
        }
    }
}

impl Args {
    /// Whether it is only said what would be done.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// The repository, as typed.
    pub(crate) fn location(&self) -> &Location {
        self.repo.location()
    }

    /// The name of the source of the configuration that is backed up.
    pub(crate) fn configured(&self) -> Option<&str> {
        self.configured.as_deref()
    }

    /// If the directory is the name of a source of the configuration: takes from there what was not
    /// typed. Returns what is to be said of that.
    pub(crate) fn complete(&mut self) -> Result<Vec<String>> {
        let Some(config) = config::active()? else {
            return Ok(Vec::new());
        };
        let name = self.dir.to_str().filter(|name| !name.contains('/'));
        let Some(name) = name.map(str::to_owned) else {
            return Ok(Vec::new());
        };
        let is_here = self.dir.exists();
        let Some(source) = config.source(&name) else {
            let names: Vec<_> = config.source_names().collect();
            if is_here || names.is_empty() {
                return Ok(Vec::new());
            }
            let near = did_you_mean(&name, names.iter().copied());
            return Err(Error::not_found(format!(
                "there is no source {name:?} in {}{near}, and no such path here: it has {}",
                config.file,
                names.join(", ")
            )));
        };
        let place = &source.place;
        if is_here {
            return Err(Error::invalid(format!(
                "{name:?} is a source of {place}, and a path here: say ./{name} for the path, or run narthex elsewhere"
            )));
        }
        let Some(path) = &source.path else {
            return Err(Error::invalid(format!(
                "{place}: source.{name}: expected the key path, what is backed up, found none"
            )));
        };
        self.dir.clone_from(&path.value);
        let codec = source.codec.as_ref();
        let codec = codec.and_then(|codec| CodecArg::from_str(&codec.value, false).ok());
        self.codec = self.codec.or(codec);
        self.level = self.level.or(source.level);
        let host = self.host.take();
        self.host = host.or_else(|| source.host.clone());
        self.source.get_or_insert(name.clone());
        for (label, value) in &source.labels {
            if self.labels.iter().all(|(typed, _)| typed != label) {
                self.labels.push((label.clone(), value.clone()));
            }
        }
        self.no_wal |= source.no_wal;
        self.follow_links |= source.follow_links;
        self.no_create |= source.no_create;
        let remark = format!("source {name} of {place}: {}", path.value.display());
        self.configured = Some(name);
        Ok(vec![remark])
    }

    /// The repositories to copy to, as typed.
    pub(super) fn copy_to(&self) -> &[Location] {
        &self.copy_to
    }

    /// What says which repository lies where.
    pub(super) fn state(&self) -> &StateArgs {
        &self.state
    }

    /// Whether repositories are made where there are none.
    pub(super) fn no_create(&self) -> bool {
        self.no_create
    }

    /// Where manifests are remembered.
    pub(super) fn cache(&self) -> Option<PathBuf> {
        cache_dir(self.cache_dir.as_ref(), self.no_cache)
    }

    fn links(&self) -> Links {
        if self.follow_links {
            Links::Followed
        } else {
            Links::Refused
        }
    }
}

pub(crate) fn run(args: &Args, context: &mut Context<'_>) -> Result<Ending> {
    // Nothing is made for a directory that holds nothing to back up.
    crate::block::DataDir::scan(&args.dir)?;
    for location in args.copy_to.iter().chain([args.repo.location()]) {
        refuse_inside(&args.dir, location)?;
    }
    copy::refuse_same_location(args.repo.location(), &args.copy_to)?;
    let options = BackupOptions {
        codec: args.codec.unwrap_or(CodecArg::Dense).into(),
        logs: !args.no_wal,
        level: args.level.unwrap_or(DEFAULT_LEVEL),
        links: args.links(),
        force: args.force,
        labels: args.labels.iter().cloned().collect(),
        cache: args.cache(),
        verify: verify::VerifyOptions {
            read_mode: context.read_mode,
            ..verify::VerifyOptions::default()
        },
        ..BackupOptions::default()
    };
    let terms = args.lock.terms(args.repo.location())?;
    if terms.is_some() {
        locks_of(&*args.repo.store()?)?;
    }
    if args.dry_run {
        return preview(args, &options, terms, context);
    }
    let parts = args
        .repo
        .open_or_init(&args.state, args.no_create, false, context)?;
    let source = recognise(args, Some(&parts), context)?;
    let repository = parts.of_source(&source.name)?;
    #[cfg(feature = "encryption")]
    remark_on_memory(&repository, context)?;
    let mut report = archive::backup(&source, &repository, &options, now(), context.progress)?;
    let locked = lock_archive(args, &repository, &report, terms, context)?;
    let copies = copy::after_backup(args, &repository, &mut report, context);
    for problem in &report.problems {
        context.progress.remark(problem);
    }
    remark_on_store(&repository, context);
    if context.json {
        let mut object = BACKUP.all(&report).object();
        object.insert(
            "left_out".to_owned(),
            LEFT_OUT.all(&report.archive.left_out).json(),
        );
        object.insert("mended".to_owned(), json!(report.mended));
        object.insert("copies".to_owned(), COPIES.all(&copies).json());
        let lock = locked
            .as_ref()
            .map(|(report, _)| LOCKED.all(report).object());
        object.insert("lock".to_owned(), json!(lock));
        object.insert(
            "problems".to_owned(),
            TROUBLE.all(&told(&report.problems)).json(),
        );
        context.print_json(&Json::Object(object))?;
    } else {
        if report.committed {
            let view = &context.view;
            context.print(view.of(&BACKUP, &report, Extent::All).told(view))?;
        }
        if let Some((locked, _)) = &locked {
            context.print(format_args!("{}\n", lock::sentence(locked, false)))?;
        }
        for copied in copies.iter().filter(|copied| copied.is_done) {
            context.print(format_args!("{}\n", copied.sentence()))?;
        }
        print_left_out(&report.archive.left_out, context)?;
    }
    let is_locked = locked.is_none_or(|(_, is_whole)| is_whole);
    Ok(Ending::problems_if(
        !report.problems.is_empty() || !is_locked,
    ))
}

/// Locks what the archive needs that was made, if it was; and whether all of it could be.
fn lock_archive(
    args: &Args,
    repository: &Repository,
    report: &BackupReport,
    terms: Option<LockTerms>,
    context: &Context<'_>,
) -> Result<Option<(LockReport, bool)>> {
    let Some(terms) = terms.filter(|_| report.committed) else {
        return Ok(None);
    };
    let archives = std::slice::from_ref(&report.archive);
    let locked = lock::lock(repository, archives, terms, false, &args.state);
    let locked = locked.map_err(|error| {
        let id = report.archive.id.short();
        error.context(format!("archive {id} was made, and is not locked"))
    })?;
    let is_whole = lock::tell(&locked, false, args.repo.location(), context)?;
    Ok(Some((locked, is_whole)))
}

/// Says so where two writers could replace each other's objects, or where that cannot be told.
pub(super) fn remark_on_store(repository: &Repository, context: &Context<'_>) {
    let store = repository.store();
    let place = store.describe();
    match store.is_create_only() {
        Ok(true) => {}
        Ok(false) => context.progress.remark(&format_args!(
            "{place} replaces objects whose names are taken: let only one narthex at a time write to this repository, and give prune --only-writer"
        )),
        Err(error) => context.progress.remark(&format_args!(
            "cannot tell whether {place} gives a name only once: {}",
            error.chain()
        )),
    }
}

/// Says so where this machine can neither read what is there nor remembers it: then all is stored
/// again.
#[cfg(feature = "encryption")]
fn remark_on_memory(repository: &Repository, context: &Context<'_>) -> Result<()> {
    if let Some(memory) = repository.keys().and_then(|keys| keys.memory())
        && memory.is_empty()?
        && !repository.manifest_names()?.is_empty()
    {
        context.progress.remark(
            &"this machine cannot read the archives that are there, and its state directory remembers none of them: if it has made some before, all blocks are \
              stored again (narthex key memory, on a machine that can read, makes anew what is remembered)",
        );
    }
    Ok(())
}

/// The source, and a word on a snapshot that was taken for a server's because of its blocks.
fn recognise(args: &Args, parts: Option<&Parts>, context: &Context<'_>) -> Result<Source> {
    let (host, name) = (args.host.as_deref(), args.source.as_deref());
    let is_by_source = parts.is_some_and(Parts::is_by_source);
    let is_snapshot = || {
        let dir = crate::block::DataDir::scan(&args.dir);
        dir.is_ok_and(|dir| dir.place() == DirKind::PrometheusSnapshot)
    };
    if is_by_source && name.is_none() && is_snapshot() {
        return Err(Error::invalid(format!(
            "expected --source: {} is a Prometheus snapshot, and the repository is in parts, one for each source",
            args.dir.display()
        )));
    }
    let repository = parts.filter(|_| !is_by_source).map(Parts::root);
    let recognised = archive::recognise(&args.dir, host, name, this_host(), repository)?;
    if let Some(server) = &recognised.by_blocks {
        let dir = recognised.source.dir.display();
        context.progress.remark(&format_args!(
            "{dir} is taken for a snapshot of {server}, whose blocks it shares"
        ));
    }
    Ok(recognised.source)
}

/// A repository in the data directory would be lost with it.
fn refuse_inside(source: &Path, location: &Location) -> Result<()> {
    let source = source
        .canonicalize()
        .map_err(|e| Error::io("open", source, e))?;
    let Some(dir) = location.dir() else {
        return Ok(());
    };
    let full = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
    // The repository need not exist yet.
    let existing = full.ancestors().find_map(|dir| dir.canonicalize().ok());
    if existing.is_some_and(|existing| existing.starts_with(&source)) {
        return Err(Error::refused(format!(
            "repository {} lies in the directory that is to be backed up",
            full.display()
        )));
    }
    Ok(())
}

/// What would be locked of the newest archive of `source`: of what the next one needs, the most is
/// the same.
fn preview_lock(
    args: &Args,
    source: &Source,
    repository: Option<&Repository>,
    terms: Option<LockTerms>,
    context: &Context<'_>,
) -> Result<Option<LockReport>> {
    let (Some(terms), Some(repository)) = (terms, repository) else {
        return Ok(None);
    };
    let latest = repository.latest(&source.filter(), now())?;
    let archives: Vec<_> = latest.archive.into_iter().collect();
    let locked = lock::lock(repository, &archives, terms, true, &args.state)?;
    lock::tell(&locked, true, args.repo.location(), context)?;
    Ok(Some(locked))
}

fn preview(
    args: &Args,
    options: &BackupOptions,
    terms: Option<LockTerms>,
    context: &mut Context<'_>,
) -> Result<Ending> {
    let repository = args.repo.existing(&args.state, args.no_create)?;
    if repository.is_none() {
        let location = args.repo.location();
        context
            .progress
            .remark(&format_args!("would make a new repository in {location}"));
    }
    for location in &args.copy_to {
        context
            .progress
            .remark(&format_args!("would copy the archive to {location}"));
    }
    let source = recognise(args, repository.as_ref(), context)?;
    let repository = repository.map(|parts| parts.of_source(&source.name));
    let repository = repository.transpose()?;
    let preview = archive::preview(&source, repository.as_ref(), options, now())?;
    let locked = preview_lock(args, &source, repository.as_ref(), terms, context)?;
    for problem in &preview.problems {
        context.progress.remark(problem);
    }
    let left_out = left_out(&preview);
    if context.json {
        let new = preview.new.iter();
        let new: Vec<_> = new
            .map(|(ulid, bytes)| json!({"ulid": ulid, "bytes": bytes}))
            .collect();
        context.print_json(&json!({
            "new": new,
            "updated": preview.updated,
            "unchanged": preview.unchanged,
            "left_out": LEFT_OUT.all(&left_out).json(),
            "lock": locked.as_ref().map(|report| LOCKED.all(report).object()),
            "problems": TROUBLE.all(&told(&preview.problems)).json(),
        }))?;
    } else {
        print_preview(&preview, context)?;
        if let Some(locked) = &locked {
            context.print(format_args!(
                "of the archive before, {}; all that is new would be locked, too\n",
                lock::sentence(locked, true)
            ))?;
        }
        print_left_out(&left_out, context)?;
    }
    Ok(Ending::problems_if(!preview.problems.is_empty()))
}

fn print_preview(preview: &Preview, context: &mut Context<'_>) -> Result<()> {
    for (ulid, bytes) in &preview.new {
        context.print(format_args!("new        {ulid}  {}\n", bytes_text(*bytes)))?;
    }
    for ulid in &preview.updated {
        context.print(format_args!("updated    {ulid}\n"))?;
    }
    for ulid in &preview.unchanged {
        context.print(format_args!("unchanged  {ulid}\n"))?;
    }
    Ok(())
}

fn print_left_out(left_out: &[LeftOut], context: &mut Context<'_>) -> Result<()> {
    let is_passing = |left: &&LeftOut| left.kind() == LeftOutKind::Passing;
    for left in left_out.iter().filter(|left| !is_passing(left)) {
        let (name, reason) = (safe_line(&left.name), safe_line(&left.reason));
        context.print(format_args!("left out: {name} ({reason})\n"))?;
    }
    let passing = left_out.iter().filter(is_passing);
    let passing: Vec<_> = passing.map(|left| safe_line(&left.name)).collect();
    if !passing.is_empty() {
        let names = passing.join(", ");
        context.print(format_args!(
            "not needed: {names} (a server makes them anew)\n"
        ))?;
    }
    Ok(())
}

/// What would be left out, by name.
fn left_out(preview: &Preview) -> Vec<LeftOut> {
    let left_out = preview.left_out.iter();
    let left_out = left_out.map(|(name, reason)| LeftOut {
        name: name.clone(),
        reason: reason.clone(),
    });
    left_out.collect()
}

/// The machine's name, without which archives of several machines could not be told apart.
fn this_host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
