//! Replacing single damaged blocks of a data directory where they lie.
//!
//! [`Replacer::look`] verifies blocks in full, [`Replacer::replace`] brings a sound copy of one of
//! them: it is written beside, verified in full like any block of a stranger, and only then changes
//! places with the damaged one, which stays under the name `<ULID>.damaged`. What is sound is never
//! touched.
//!
//! The files of a block that a server rewrites, `meta.json` and `tombstones`, stay as they are on
//! the disk where they are sound there and fit the copy: deletions that came after the archive are
//! kept.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::apply::Work;
use super::in_use::user_of;
use super::permissions::Permissions;
use super::stage::{Stage, Target, refuse_without_room};
use super::swap::{self, Settled};
use super::{ProblemKind, RestoreProblem};
use crate::block::{DataDir, DirEntry, DirKind, EntryKind, Meta, Tombstones, read_meta_file};
use crate::error::{Error, Result};
use crate::model::{MAX_TOMBSTONES_BYTES, Millis, Ulid};
use crate::progress::Progress;
use crate::raw::{Folder, Links, ReadMode, read_bounded};
use crate::repository::copies::{Copies, is_stored_alike};
use crate::repository::lineage::{has_problems, is_damaged};
use crate::repository::{Archive, StoredBlock};
use crate::stored::Detour;
use crate::verify::{BlockVerdict, Depth, FindingSeverity, Kind, VerifyOptions, verify_block};

/// A data directory that is held for nobody else while blocks of it are replaced.
#[derive(Debug)]
pub struct Replacer {
    target: Target,
    scanned: DataDir,
    read_mode: ReadMode,
    /// Locks: of the directory, and the one that a server takes.
    _held: Vec<File>,
}

/// What is asked for beyond the blocks themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// Permissions of files; those that the damaged block has where none are given.
    pub mode: Option<u32>,
    /// Numbers of user and group; those that the damaged block has where none are given.
    pub owner: Option<(u32, u32)>,
}

/// A block of the directory.
#[derive(Debug)]
pub struct DataBlock {
    /// Its ULID.
    pub ulid: Ulid,
    /// Size of its files, in bytes.
    pub bytes: u64,
    /// Kinds of problems that were found in it.
    pub problems: BTreeSet<Kind>,
    /// Why it must not be replaced, whatever is wrong with it.
    pub refused: Option<String>,
    worst: Option<FindingSeverity>,
    name: String,
    dir: PathBuf,
    meta: Option<Meta>,
}

/// What became of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplaceOutcome {
    /// Nothing is wrong with it: it was not touched.
    Sound,
    /// A sound copy is in its place.
    Replaced,
    /// A sound copy would come in its place.
    WouldBe,
    /// It stays as it is, and why.
    Stays(String),
}

/// A block, and what became of it.
#[derive(Debug)]
pub struct Replaced {
    /// Its ULID.
    pub ulid: Ulid,
    /// Kinds of problems that were found in it.
    pub problems: BTreeSet<Kind>,
    /// What became of it.
    pub outcome: ReplaceOutcome,
    /// The archive that the copy is of: its id, and when it was made.
    pub archive: Option<(String, Millis)>,
    /// Size of the copy's files, in bytes.
    pub bytes: Option<u64>,
    /// Where the damaged block is.
    pub kept: Option<PathBuf>,
    /// What somebody should know beside.
    pub told: Vec<RestoreProblem>,
    /// Where the copy came from, if not straight from its own objects.
    pub detours: Vec<Detour>,
}

impl DataBlock {
    /// Whether samples of it are lost, wrong or out of reach.
    pub fn is_damaged(&self) -> bool {
        self.worst >= Some(FindingSeverity::Damaged)
    }

    /// Whether anything is wrong with it.
    pub fn has_problems(&self) -> bool {
        self.worst > Some(FindingSeverity::Note)
    }

    /// What its `meta.json` says otherwise than `stored`, where both can be read.
    pub fn contradiction(&self, stored: &StoredBlock) -> Option<String> {
        let meta = self.meta.as_ref()?;
        let is_told = stored.min_time < stored.max_time;
        let count = |count: u64| i128::from(count);
        let pairs = [
            ("minTime", meta.min_time.into(), stored.min_time.into()),
            ("maxTime", meta.max_time.into(), stored.max_time.into()),
            ("level", meta.compaction.level.into(), count(stored.level)),
            (
                "numSeries",
                count(meta.stats.num_series),
                count(stored.series),
            ),
            (
                "numSamples",
                count(meta.stats.num_samples),
                count(stored.samples),
            ),
        ];
        let differs = pairs.iter().find(|(_, here, there)| here != there);
        differs
            .filter(|_| is_told)
            .map(|(name, here, there)| format!("{name} is {here}, and {there} in the archive"))
    }

    /// Takes it for faulty though nothing was found in it: its metadata are not what was archived.
    pub fn doubt(&mut self) {
        self.worst = self.worst.max(Some(FindingSeverity::Warning));
        self.meta = None;
    }

    /// The block, with what became of it.
    pub fn outcome(&self, outcome: ReplaceOutcome) -> Replaced {
        Replaced {
            ulid: self.ulid,
            problems: self.problems.clone(),
            outcome,
            archive: None,
            bytes: None,
            kept: None,
            told: Vec::new(),
            detours: Vec::new(),
        }
    }
}

impl Replacer {
    /// Opens the data directory or Prometheus snapshot at `dir`, and finishes or undoes what an
    /// earlier run left there. With `dry_run` nothing is changed, and it need not be left alone
    /// by others. What somebody should know is added to `told`.
    ///
    /// # Errors
    ///
    /// `Refused` while a server or another narthex is at work there; when `dir` is neither data
    /// directory nor snapshot.
    pub fn open(
        dir: &Path,
        read_mode: ReadMode,
        dry_run: bool,
        told: &mut Vec<RestoreProblem>,
    ) -> Result<Self> {
        let scanned = match DataDir::scan(dir) {
            // A snapshot of one block may have none left under its name.
            Err(error) if !dry_run => {
                let folder = Folder::open(dir, Links::Refused).map_err(|_| error)?;
                finish_interrupted(&folder, told)?;
                DataDir::scan(dir)?
            }
            scanned => scanned?,
        };
        if scanned.place() == DirKind::Block {
            return Err(Error::invalid(format!(
                "expected the data directory that the blocks are in, found a single block in {}: name the directory above it, and the block with --block",
                dir.display()
            )));
        }
        let folder = Folder::open(dir, Links::Refused)?;
        let held = hold(&folder, &scanned, dry_run, told)?;
        if dry_run {
            for name in swap::unsettled(&folder)? {
                let name = name.to_string_lossy();
                let detail = format!(
                    "an interrupted run left block {name} as {name}.replacing: without --dry-run that is settled first"
                );
                told.push(ProblemKind::SwapSettled.at(&*name, detail));
            }
        } else {
            finish_interrupted(&folder, told)?;
        }
        Ok(Replacer {
            target: Target::new(dir, true)?,
            scanned: DataDir::scan(dir)?,
            read_mode,
            _held: held,
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.target.dir()
    }

    /// Hidden directories of restores that died, or that still work.
    pub fn stale_stages(&self) -> Vec<PathBuf> {
        self.target.stale_stages()
    }

    /// Verifies the blocks `wanted`, all of the directory when none is named.
    ///
    /// # Errors
    ///
    /// `NotFound` when one is not there.
    pub fn look(&self, wanted: &BTreeSet<Ulid>, progress: &dyn Progress) -> Result<Vec<DataBlock>> {
        let blocks = self.scanned.blocks().filter_map(|entry| {
            let ulid = entry.ulid?;
            (wanted.is_empty() || wanted.contains(&ulid)).then_some((ulid, entry))
        });
        let blocks: Vec<_> = blocks.collect();
        let there: BTreeSet<Ulid> = blocks.iter().map(|(ulid, _)| *ulid).collect();
        if let Some(missing) = wanted.difference(&there).next() {
            return Err(Error::not_found(format!(
                "there is no block {missing} in {} to be replaced: --add-missing instead of --replace-damaged brings it",
                self.dir().display()
            )));
        }
        let sizes: Vec<_> = blocks.iter().map(|(_, entry)| bytes(&entry.path)).collect();
        let total = sizes.iter().copied().fold(0, u64::saturating_add);
        progress.begin("verify", Some(total));
        let looked = blocks.iter().zip(sizes);
        let looked =
            looked.map(|((ulid, entry), bytes)| self.look_at(*ulid, entry, bytes, progress));
        let looked = looked.collect();
        progress.end();
        Ok(looked)
    }

    fn look_at(
        &self,
        ulid: Ulid,
        entry: &DirEntry,
        bytes: u64,
        progress: &dyn Progress,
    ) -> DataBlock {
        let mut block = DataBlock {
            ulid,
            bytes,
            problems: BTreeSet::new(),
            refused: None,
            worst: None,
            name: entry.name(),
            dir: entry.path.clone(),
            meta: None,
        };
        if entry.kind == EntryKind::SymlinkedBlock {
            block.refused = Some(
                "it is a symbolic link; replace the block in the directory where it leads"
                    .to_owned(),
            );
        } else if let Some(denied) = denied(&entry.path) {
            // What we may not read may well be sound.
            block.refused = Some(format!(
                "it cannot be verified by this user: {}",
                denied.chain()
            ));
        }
        if block.refused.is_some() {
            block.worst = Some(FindingSeverity::Damaged);
            block.problems.insert(Kind::Unreadable);
            return block;
        }
        if let Ok(verdict) = verify_block(&entry.path, self.options(), progress) {
            block.worst = verdict.findings.worst();
            block.problems = problems(&verdict);
            block.meta = verdict.meta.filter(|_| {
                let own = entry.path.join("meta.json");
                let mut findings = verdict.findings.iter();
                !findings.any(|it| it.path == own && it.kind.severity() > FindingSeverity::Note)
            });
        } else {
            block.worst = Some(FindingSeverity::Fatal);
            block.problems.insert(Kind::BlockUnlistable);
        }
        block
    }

    fn options(&self) -> VerifyOptions {
        VerifyOptions {
            depth: Depth::Full,
            read_mode: self.read_mode,
            ..VerifyOptions::default()
        }
    }

    /// Refuses to write `bytes` bytes into the directory if its file system has no room for them.
    /// Where that cannot be told, there is room.
    ///
    /// # Errors
    ///
    /// `Refused`, with both sizes.
    pub fn refuse_without_room(&self, bytes: u64) -> Result<()> {
        refuse_without_room(self.dir(), bytes)
    }

    /// Puts the first of `candidates` that turns out sound in the place of `block`.
    ///
    /// # Errors
    ///
    /// When the directory fails. That no candidate is sound is said in the outcome.
    pub fn replace(
        &self,
        block: &DataBlock,
        candidates: &[&StoredBlock],
        copies: &Copies,
        wishes: Wishes,
        progress: &dyn Progress,
    ) -> Result<Replaced> {
        let mut told = Vec::new();
        let permissions = permissions(block, wishes, &mut told);
        let stage = Stage::new(&self.target, permissions)?;
        let work = Work::new(copies, &stage, progress);
        let mut why = Vec::new();
        let mut taken = None;
        for candidate in candidates {
            progress.begin("restore", Some(candidate.bytes()));
            let staged = work.stage_block(candidate, &block.name)?;
            progress.end();
            let staged = staged.and_then(|()| self.prove(block, &stage, progress));
            match staged {
                Ok(copy) => {
                    taken = Some((*candidate, copy));
                    break;
                }
                Err(error) => {
                    why.push(error.chain());
                    stage.remove(&block.name)?;
                }
            }
        }
        let (detours, mixed) = work.told();
        let Some((candidate, copy)) = taken else {
            stage.finish()?;
            let why = why.join("; ");
            return Ok(block.outcome(ReplaceOutcome::Stays(format!(
                "no sound copy comes back: {why}"
            ))));
        };
        for mixed in mixed {
            let detail = format!(
                "{} comes with metadata and tombstones of another archive: {}",
                mixed.name,
                mixed.error.chain()
            );
            told.push(ProblemKind::Mixed.at(mixed.name, detail));
        }
        let archive = archive_of(candidate, copies);
        self.keep_small_files(block, &copy, &stage, archive.as_ref(), &mut told, progress)?;
        let (kept, left) = stage.replace(&block.name)?;
        if let Some(error) = left {
            let detail = format!(
                "block {} is replaced, and a hidden directory is left, which may be removed: {}",
                block.ulid,
                error.chain()
            );
            told.push(ProblemKind::StageLeft.at(block.ulid.to_string(), detail));
        }
        Ok(Replaced {
            archive,
            bytes: Some(candidate.bytes()),
            kept: Some(self.dir().join(kept)),
            told,
            detours,
            ..block.outcome(ReplaceOutcome::Replaced)
        })
    }

    /// Verifies the copy that is staged: it must be better than the block.
    fn prove(
        &self,
        block: &DataBlock,
        stage: &Stage,
        progress: &dyn Progress,
    ) -> Result<BlockVerdict> {
        progress.begin("verify", None);
        let verdict = verify_block(&stage.path(&block.name), self.options(), progress);
        progress.end();
        let verdict = verdict?;
        let worst = verdict.findings.worst();
        if worst <= Some(FindingSeverity::Note)
            || (worst < block.worst && worst <= Some(FindingSeverity::Warning))
        {
            return Ok(verdict);
        }
        let kinds: Vec<_> = problems(&verdict).iter().map(|kind| kind.id()).collect();
        Err(Error::corrupt(format!(
            "what comes back has faults itself: {}",
            kinds.join(", ")
        )))
    }

    /// Puts `meta.json` and `tombstones` of the damaged block into its copy, as far as they are
    /// sound and fit.
    fn keep_small_files(
        &self,
        block: &DataBlock,
        copy: &BlockVerdict,
        stage: &Stage,
        archive: Option<&(String, Millis)>,
        told: &mut Vec<RestoreProblem>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let staged = stage.path(&block.name);
        let own = own_small_files(block, copy);
        let differs = |(name, content): &(&str, Vec<u8>)| {
            read_bounded(&staged.join(name), MAX_TOMBSTONES_BYTES)
                .ok()
                .as_ref()
                != Some(content)
        };
        let own: Vec<_> = own.into_iter().filter(differs).collect();
        let has_deletions = |content: &[u8]| content != Tombstones::EMPTY_FILE;
        let deletions = own.iter().find(|(name, _)| *name == TOMBSTONES);
        let are_own_lost = deletions.is_none() && !is_sound_file(&block.dir.join(TOMBSTONES));
        let archived: Vec<_> = own
            .iter()
            .map(|(name, _)| {
                (
                    *name,
                    read_bounded(&staged.join(name), MAX_TOMBSTONES_BYTES).ok(),
                )
            })
            .collect();
        for (name, content) in &own {
            stage.rewrite(&block.name, name, Some(content))?;
        }
        let fits = own.is_empty() || self.prove(block, stage, progress).is_ok();
        if !fits {
            for (name, content) in &archived {
                stage.rewrite(&block.name, name, content.as_deref())?;
            }
        }
        let is_lost = !fits && deletions.is_some_and(|(_, content)| has_deletions(content));
        if is_lost || are_own_lost {
            let of = archive.map_or_else(String::new, |(id, time)| {
                format!(" of archive {id}, {}", super::plan::stamp(*time))
            });
            let ulid = block.ulid;
            told.push(ProblemKind::DeletionsDiffer.at(ulid.to_string(), format!(
                "the deletions of block {ulid} could not be kept, and are those{of}: samples that were deleted later are there again"
            )));
        }
        Ok(())
    }
}

const TOMBSTONES: &str = "tombstones";

/// Copies of `block` in the repository that were sound when they were archived: that of `archive`
/// first, then those of the others, the latest first.
pub fn candidates<'c>(
    ulid: Ulid,
    archive: &'c Archive,
    copies: &'c Copies,
) -> Result<Vec<&'c StoredBlock>, String> {
    let own = archive.blocks.iter().filter(|block| block.ulid == ulid);
    let mut all: Vec<&StoredBlock> = own.collect();
    for other in copies.variants(ulid) {
        if !all.iter().any(|known| is_stored_alike(known, other)) {
            all.push(other);
        }
    }
    let unsearched = copies.unsearched();
    let unsearched = unsearched.map_or_else(String::new, |why| format!(" ({why})"));
    if all.is_empty() {
        return Err(format!("no archive holds it{unsearched}"));
    }
    all.retain(|block| !is_damaged(block));
    if all.is_empty() {
        return Err(format!(
            "it was damaged already whenever it was archived{unsearched}"
        ));
    }
    all.sort_by_key(|block| has_problems(block));
    Ok(all)
}

/// The newest archive that has `block` as it is stored.
fn archive_of(block: &StoredBlock, copies: &Copies) -> Option<(String, Millis)> {
    let holds = |archive: &&Archive| archive.blocks.iter().any(|it| is_stored_alike(it, block));
    let archive = copies.archives().iter().rev().find(holds)?;
    Some((archive.id.short().to_owned(), archive.time))
}

/// Finishes or undoes what an interrupted run left, and says so.
fn finish_interrupted(folder: &Folder, told: &mut Vec<RestoreProblem>) -> Result<()> {
    for settled in swap::finish_swaps(folder)? {
        let (name, detail) = match settled {
            Settled::Undone(name) => {
                let detail =
                    format!("block {name} has its name again, which an interrupted run had taken");
                (name, detail)
            }
            Settled::Kept(name, kept) => {
                let kept = kept.to_string_lossy();
                let detail = format!(
                    "block {name} was replaced by an interrupted run; the damaged one is {kept}"
                );
                (name, detail)
            }
        };
        told.push(ProblemKind::SwapSettled.at(name, detail));
    }
    Ok(())
}

/// The locks that keep others out of the directory.
fn hold(
    folder: &Folder,
    scanned: &DataDir,
    dry_run: bool,
    told: &mut Vec<RestoreProblem>,
) -> Result<Vec<File>> {
    let dir = folder.path().display();
    let mut held = Vec::new();
    let mut unknown = |detail: String| {
        told.push(ProblemKind::ServerUnknown.at("lock", detail));
    };
    // Not every release holds its lock while it is at work.
    let mut refused = user_of(folder.path()).map(|user| {
        let (pid, name, path) = (user.pid, user.name, user.path.display());
        format!(
            "process {pid} ({name}) is at work in {dir}, for it has {path} open: stop it, and start it again afterwards"
        )
    });
    match scanned
        .find(EntryKind::Lock)
        .map(|_| folder.lock(Some("lock".as_ref())))
    {
        Some(Ok(Some(file))) => held.push(file),
        Some(Ok(None)) => {
            refused.get_or_insert_with(|| {
                format!(
                    "a server, or another narthex, is at work in {dir} (it holds {dir}/lock): stop it, and start it again afterwards"
                )
            });
        }
        Some(Err(error)) => unknown(format!(
            "cannot tell whether a server is at work in {dir}: {}",
            error.chain()
        )),
        None if scanned.place() == DirKind::DataDir => unknown(format!(
            "there is no file lock in {dir}, and a server of another machine or container may be at work there unseen: make sure that none is"
        )),
        None => {}
    }
    if refused.is_none() && !rustix::process::geteuid().is_root() {
        unknown(format!(
            "only root sees whether a server of another user is at work in {dir}: make sure that none is"
        ));
    }
    // Not every file system knows such locks; where it does not, nothing is overwritten all the
    // same.
    let refused = refused.or_else(|| match folder.lock(None) {
        Ok(Some(file)) => {
            held.push(file);
            None
        }
        Ok(None) => Some(format!(
            "another narthex is at work in {dir}: wait until it has ended"
        )),
        Err(_) => None,
    });
    match refused {
        Some(refused) if !dry_run => Err(Error::refused(refused)),
        Some(refused) => {
            told.push(ProblemKind::ServerUnknown.at("lock", refused));
            Ok(held)
        }
        None => Ok(held),
    }
}

fn problems(verdict: &BlockVerdict) -> BTreeSet<Kind> {
    let kinds = verdict.findings.counts().map(|(kind, _)| kind);
    kinds
        .filter(|kind| kind.severity() > FindingSeverity::Note)
        .collect()
}

/// Size of the files of the block in `dir`, in bytes.
fn bytes(dir: &Path) -> u64 {
    let of = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let files = entries.filter_map(|entry| entry.metadata().ok());
        let sizes = files.filter(fs::Metadata::is_file).map(|file| file.len());
        sizes.fold(0, u64::saturating_add)
    };
    of(dir).saturating_add(of(&dir.join("chunks")))
}

/// Why a part of the block in `dir` may not be read, if the reason is that we are who we are.
fn denied(dir: &Path) -> Option<Error> {
    let is_denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    for dir in [dir, &dir.join("chunks")] {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if is_denied(&error) => return Some(Error::io("list", dir, error)),
            Err(_) => continue,
        };
        // A pipe would be waited for.
        let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        for entry in entries.flatten().filter(is_file) {
            match File::open(entry.path()) {
                Err(error) if is_denied(&error) => {
                    return Some(Error::io("open", &entry.path(), error));
                }
                _ => {}
            }
        }
    }
    None
}

/// Whether there is such a file of deletions and it can be read to its end, or there is none.
fn is_sound_file(path: &Path) -> bool {
    match read_bounded(path, MAX_TOMBSTONES_BYTES) {
        Ok(content) => Tombstones::read(&content).faults.is_empty(),
        Err(error) => error.kind() == crate::ErrorKind::NotFound,
    }
}

/// `meta.json` and `tombstones` of `block`, as far as they are sound and of the same block as
/// `copy`.
fn own_small_files(block: &DataBlock, copy: &BlockVerdict) -> Vec<(&'static str, Vec<u8>)> {
    let mut own = Vec::new();
    let is_same = |meta: &Meta, other: &Meta| {
        meta.ulid == other.ulid
            && (meta.min_time, meta.max_time) == (other.min_time, other.max_time)
            && meta.stats.num_series == other.stats.num_series
            && meta.stats.num_samples == other.stats.num_samples
            && meta.stats.num_chunks == other.stats.num_chunks
            && meta.compaction.level == other.compaction.level
            && meta.compaction.sources == other.compaction.sources
            && meta.compaction.parents == other.compaction.parents
    };
    let metas = block.meta.as_ref().zip(copy.meta.as_ref());
    if metas.is_some_and(|(meta, other)| is_same(meta, other))
        && let Ok(content) = read_meta_file(&block.dir.join("meta.json"))
    {
        own.push(("meta.json", content.to_vec()));
    }
    let tombstones = read_bounded(&block.dir.join(TOMBSTONES), MAX_TOMBSTONES_BYTES).ok();
    own.extend(
        tombstones
            .filter(|content| Tombstones::read(content).faults.is_empty())
            .map(|content| (TOMBSTONES, content)),
    );
    own
}

/// Those that the damaged block has, unless others are wished for.
fn permissions(block: &DataBlock, wishes: Wishes, told: &mut Vec<RestoreProblem>) -> Permissions {
    let there = fs::metadata(&block.dir).ok();
    let file = ["index", "meta.json", TOMBSTONES];
    let file = file
        .iter()
        .find_map(|name| fs::metadata(block.dir.join(name)).ok());
    let mode = file.map(|file| (file.mode() & 0o777) | 0o600);
    let own = rustix::process::geteuid();
    let theirs = there.as_ref().map(|there| (there.uid(), there.gid()));
    let owner = wishes
        .owner
        .or(theirs.filter(|(uid, _)| own.is_root() || *uid == own.as_raw()));
    if let (None, Some((uid, _))) = (owner, theirs) {
        let (ulid, own) = (block.ulid, own.as_raw());
        told.push(ProblemKind::OwnerDiffers.at(ulid.to_string(), format!(
            "block {ulid} belonged to user {uid}, and its copy belongs to {own}: chown it before the server is started"
        )));
    }
    Permissions {
        mode: wishes.mode.or(mode).unwrap_or(Permissions::default().mode),
        owner,
    }
}
