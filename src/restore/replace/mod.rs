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
//!
//! `look` is the first half of what a [`Replacer`] does, in a file of its own: so the two name each
//! other.

mod hold;
mod look;
mod small_files;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::permissions::Permissions;
use super::stage::{Stage, Target, refuse_without_room};
use super::swap;
use super::work::Work;
use super::{ProblemKind, RestoreProblem};
use crate::block::{DataDir, DirKind};
use crate::error::{Error, Result};
use crate::model::{Millis, Ulid};
use crate::progress::Progress;
use crate::raw::{Folder, Links, ReadMode};
use crate::repository::copies::{Copies, is_stored_alike};
use crate::repository::lineage::{has_problems, is_damaged};
use crate::repository::{Archive, StoredBlock};
use crate::stored::Detour;
use crate::verify::{BlockVerdict, Depth, FindingSeverity, Kind, VerifyOptions, verify_block};
use hold::{finish_interrupted, hold};
pub use look::DataBlock;
use look::problems;

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
