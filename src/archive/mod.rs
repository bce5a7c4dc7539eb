//! Block → repository: look at what a data directory holds, decide what is new, verify, compress
//! and publish it, and commit an archive that lists everything.
//!
//! The source may be the directory of a running Prometheus: blocks vanish and appear meanwhile, and
//! no race makes a backup fail or lets a sample slip through. Nothing is ever written there. A run
//! that dies leaves objects to which no archive refers; the next run takes them over.
//!
//! ```
//! use std::sync::Arc;
//!
//! use narthex::archive::{BackupOptions, Source, backup};
//! use narthex::model::now;
//! use narthex::progress::Silent;
//! use narthex::repository::Repository;
//! use narthex::store::MemoryStore;
//!
//! let repository = Repository::open_or_init(Arc::new(MemoryStore::new()))?;
//! let source = Source::new("fixtures/night-1".as_ref(), "my-host".to_owned(), None)?;
//! let archive = backup(&source, &repository, &BackupOptions::default(), now(), &Silent)?.archive;
//! assert_eq!(archive.blocks.len(), 3);
//! # Ok::<(), narthex::Error>(())
//! ```

mod gone;
mod hooks;
mod logs;
mod past;
mod pieces;
mod pipeline;
mod plan;
mod problem;
mod proof;
mod relatives;
mod run;
mod server;
mod statistics;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::raw::Links;
use crate::repository::lineage::is_damaged;
use crate::repository::stock::Stock;
use crate::repository::{Archive, ManifestCache, Repository, SourceFilter, StoredBlock, portable};
pub use crate::stored::Codec;
use crate::verify;
use hooks::NoHooks;
pub use past::past;
use plan::Action;
pub use problem::{BackupProblem, ProblemKind};
pub use server::{Recognised, recognise};

/// What is backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Absolute path of the directory: a data directory, a Prometheus snapshot, or one block.
    pub dir: PathBuf,
    /// The machine it is on.
    pub host: String,
    /// One name for each Prometheus server.
    pub name: String,
}

impl Source {
    /// The source `dir` on `host`; called after both, unless `name` says otherwise. A Prometheus
    /// snapshot in a data directory is called as the data directory.
    ///
    /// # Errors
    ///
    /// When there is no such directory.
    pub fn new(dir: &Path, host: String, name: Option<String>) -> Result<Self> {
        let dir = dir.canonicalize().map_err(|e| Error::io("open", dir, e))?;
        let name = name.unwrap_or_else(|| format!("{host}:{}", server::home(&dir).display()));
        Ok(Source { dir, host, name })
    }

    /// Finds the archives of this source.
    pub fn filter(&self) -> SourceFilter {
        SourceFilter {
            host: None,
            source_name: Some(self.name.clone()),
            ..SourceFilter::default()
        }
    }
}

/// How to back up.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// How new blocks are stored.
    pub codec: Codec,
    /// Whether WAL and WBL are archived as well.
    pub logs: bool,
    /// Compression level of zstd, from 1 to 22.
    pub level: i32,
    /// Whether links inside the source's blocks and logs are followed.
    pub links: Links,
    /// Take the source for the server its name says, whatever its blocks say, and miss nothing
    /// that is gone from it.
    pub force: bool,
    /// What else the archive is to be known by.
    pub labels: BTreeMap<String, String>,
    /// How long an out-of-order compaction that is under way is waited for.
    pub patience: Duration,
    /// Directory in which what is known of packs is remembered; without one they are read back
    /// when they are needed.
    pub cache: Option<PathBuf>,
    /// How deeply new blocks are verified, and how files are read for that.
    pub verify: verify::VerifyOptions,
}

impl Default for BackupOptions {
    fn default() -> Self {
        BackupOptions {
            codec: Codec::default(),
            logs: true,
            level: portable::DEFAULT_LEVEL,
            links: Links::default(),
            force: false,
            labels: BTreeMap::new(),
            patience: Duration::from_mins(1),
            cache: None,
            verify: verify::VerifyOptions::default(),
        }
    }
}

/// What a backup did.
#[derive(Clone, Debug)]
pub struct BackupReport {
    /// The archive that was committed; or would have been, if it held anything.
    pub archive: Archive,
    /// Whether there is an archive: there is none of nothing, no block and no sample.
    pub committed: bool,
    /// Blocks that no archive had before.
    pub new_blocks: usize,
    /// Blocks of which only `meta.json`, tombstones or foreign files had changed.
    pub updated_blocks: usize,
    /// Blocks that were archived before as they are.
    pub unchanged_blocks: usize,
    /// Bytes of the source that were compressed.
    pub read_bytes: u64,
    /// Bytes of the objects they became.
    pub stored_bytes: u64,
    /// What of older archives was damaged and is stored anew, as sentences.
    pub mended: Vec<String>,
    /// What is wrong, and what should have been archived and is not.
    pub problems: Vec<BackupProblem>,
}

/// Backs `source` up into `repository`, as an archive of `time` (now).
///
/// # Errors
///
/// When the source is no data directory, seems to be another server than its name says, or the
/// repository fails. Trouble with single blocks is no error; the report names it.
pub fn backup(
    source: &Source,
    repository: &Repository,
    options: &BackupOptions,
    time: Millis,
    progress: &dyn Progress,
) -> Result<BackupReport> {
    let run = run::Run {
        source,
        repository,
        options,
        progress,
        hooks: &NoHooks,
    };
    run.archive(time)
}

/// What a backup would do.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Blocks that would be read and stored, with their size in bytes.
    pub new: Vec<(Ulid, u64)>,
    /// Blocks of which only small files would be stored.
    pub updated: Vec<Ulid>,
    /// Blocks that are stored already.
    pub unchanged: Vec<Ulid>,
    /// What would be left out, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// What is wrong, and what should be archived and would not be.
    pub problems: Vec<BackupProblem>,
}

/// Says what [`backup`] would do at `time`, and writes nothing. Logs are not read, so nothing is
/// said of where their samples end. Without a repository everything is new. `options` are those of
/// the backup.
///
/// # Errors
///
/// As [`backup`].
pub fn preview(
    source: &Source,
    repository: Option<&Repository>,
    options: &BackupOptions,
    time: Millis,
) -> Result<Preview> {
    let found = survey::survey(&source.dir, &BTreeSet::new(), options.links, &NoHooks)?;
    let mut known = plan::Known::default();
    let mut preview = Preview::default();
    let mut newest = None;
    if let Some(repository) = repository {
        if let Some(dir) = &options.cache {
            ManifestCache::new(dir, &repository.local_id()).refuse_missed(repository)?;
        }
        let latest = repository.latest(&source.filter(), time)?;
        preview
            .problems
            .extend(latest.damaged.iter().map(run::unread));
        preview.problems.extend(latest.ahead.iter().map(run::told));
        newest = latest.archive;
        server::refuse_other_server(source, repository, options.force, newest.as_ref(), &found)?;
        let force = options.force;
        let doubt = server::doubt_server(source, repository, force, newest.as_ref(), &found)?;
        preview.problems.extend(doubt);
        known = run::known(repository, &Stock::look(repository)?, newest.as_ref())?;
        run::solve(repository, &mut known, &found.blocks)?;
    }
    for block in &found.blocks {
        let ulid = block.ulid();
        match known.decide(block) {
            Action::Keep(_) => preview.unchanged.push(ulid),
            Action::Refresh(_) => preview.updated.push(ulid),
            Action::Store => preview.new.push((ulid, block.bytes)),
        }
        if block.meta.is_none() {
            let detail = format!(
                "block {ulid} has no meta.json that can be read, and would be archived as it is"
            );
            preview
                .problems
                .push(ProblemKind::BlockFaulty.at(ulid.to_string(), detail));
        }
    }
    let logs = if options.logs {
        logs::open_logs(&source.dir, options.links, &|_| {})
    } else {
        logs::LogFiles::default()
    };
    for (name, reason) in &logs.odd {
        let detail = format!("{name} would be left out: {reason}");
        preview.problems.push(ProblemKind::LeftOut.at(name, detail));
        preview.left_out.insert(name.clone(), reason.clone());
    }
    for block in &found.blocks {
        preview.problems.extend(run::odd_about(block, time));
        for (path, reason) in &block.listing.strange {
            let name = path.strip_prefix(&source.dir).unwrap_or(path);
            let name = name.to_string_lossy().into_owned();
            let detail = format!("{name} would be left out: {reason}");
            preview
                .problems
                .push(ProblemKind::EntryStrange.at(&name, detail));
            preview.left_out.insert(name, (*reason).to_owned());
        }
    }
    let unreadable = found.unreadable.iter();
    let unreadable = unreadable.map(|(name, error)| (name.clone(), error.chain()));
    let unreadable: BTreeMap<String, String> = unreadable.collect();
    let would_be = unreadable.iter();
    let would_be = would_be.map(|(name, error)| {
        ProblemKind::LeftOut.at(name, format!("{name} would be left out: {error}"))
    });
    preview.problems.extend(would_be);
    let left_out = found.left_out.iter();
    let left_out = left_out.map(|(name, reason)| (name.clone(), (*reason).to_owned()));
    preview.left_out.extend(left_out);
    preview
        .problems
        .extend(nothing(source, &found, &logs, options, newest.as_ref()));
    let judged = newest
        .as_ref()
        .filter(|_| !options.force && !found.blocks.is_empty());
    if let (Some(newest), Some(repository)) = (judged, repository) {
        let left_out = [&preview.left_out, &unreadable];
        let archives = repository.archives()?.archives;
        let archives = Archives {
            newest,
            all: &archives,
        };
        let gone = gone_from(
            &found,
            &source.dir,
            left_out,
            &archives,
            repository,
            options,
        );
        let missed: Vec<_> = gone
            .iter()
            .filter(|gone| !gone.is_deleted)
            .copied()
            .collect();
        preview.problems.extend(gone::problems(&missed));
        let gone = gone.iter().map(gone::Gone::left_out);
        let gone: Vec<_> = gone.map(|left| (left.name, left.reason)).collect();
        preview.left_out.extend(gone);
    }
    preview.left_out.extend(unreadable);
    Ok(preview)
}

/// What is known of a source.
struct Archives<'a> {
    /// Its newest archive.
    newest: &'a Archive,
    /// All archives, oldest first.
    all: &'a [Archive],
}

/// Blocks of the newest archive that are gone from what was `found`. Logs are not looked at.
fn gone_from<'a>(
    found: &survey::Survey,
    dir: &Path,
    left_out: [&BTreeMap<String, String>; 2],
    archives: &Archives<'a>,
    repository: &Repository,
    options: &BackupOptions,
) -> Vec<gone::Gone<'a>> {
    let held = |ulid, is_meant: fn(&StoredBlock) -> bool| {
        let newest_first = archives.all.iter().rev();
        newest_first
            .flat_map(|archive| archive.blocks.iter().map(move |block| (archive, block)))
            .find(|(_, block)| block.ulid == ulid && is_meant(block))
    };
    let before = gone::Before {
        newest: archives.newest,
        holding: &|ulid| held(ulid, |_| true),
        sound: &|ulid| held(ulid, |block| !is_damaged(block)),
        told: &|ulid| {
            let name = &archives.newest.source_name;
            let mut own = archives.all.iter().filter(|it| it.source_name == *name);
            own.any(|archive| archive.tells_gone(ulid))
        },
        store: repository.store(),
        read_mode: options.verify.read_mode,
    };
    let now = gone::Now {
        dir,
        is_snapshot: found.is_snapshot,
        blocks: found.blocks.iter().map(gone::Present::surveyed).collect(),
        left_out,
        log: gone::Log::default(),
    };
    gone::gone_blocks(&before, &now)
}

/// What is to be said of a source without blocks. Logs are only looked at for their samples when
/// nothing else is there.
fn nothing(
    source: &Source,
    found: &survey::Survey,
    logs: &logs::LogFiles,
    options: &BackupOptions,
    newest: Option<&Archive>,
) -> Option<BackupProblem> {
    if !found.blocks.is_empty() {
        return None;
    }
    let span = logs.prove(None, options.verify.read_mode);
    let has_samples = span.samples > 0 || !span.problems.is_empty() || !logs.odd.is_empty();
    run::nothing_here(&source.dir, has_samples, true, run::held_before(newest))
}
