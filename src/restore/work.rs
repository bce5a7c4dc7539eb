//! Staging one block, or the logs, from wherever they come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::exact::CutOutcome;
use super::relatives::Relatives;
use super::stage::{LOGS, Stage};
use super::writer::Writer;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::repository::copies::Copies;
use crate::repository::lineage::is_damaged;
use crate::repository::portable::{Root, read_stored};
use crate::repository::{FilePath, LogObjects, StoredBlock, StoredFile, StoredObject, StoredWal};
use crate::stored::{
    Detour, Fetched, Sink as _, StoredReader, fetch_block, fetch_wal, read_pieces,
};

/// Something that could not be restored, and why.
#[derive(Debug)]
pub struct Failed {
    /// The block's ULID, or `wal`.
    pub name: String,
    /// What is wrong with it.
    pub error: Error,
    /// Whether something can be read of it, and that was not asked for.
    pub salvageable: bool,
}

impl Failed {
    /// What to do about it, behind its name.
    pub fn hint(&self) -> &'static str {
        if self.salvageable {
            " (--salvage brings back what can be read of it)"
        } else {
            ""
        }
    }
}

/// What became of one block, or of the logs: its own damage, or staged.
pub(super) type Outcome<T = ()> = Result<T>;

/// How a block is staged.
pub(super) enum Staged {
    /// As it was.
    Whole,
    /// What is wanted of it.
    Cut(CutOutcome),
}

/// What a restore works with.
pub(super) struct Work<'a> {
    pub(super) copies: &'a Copies,
    pub(super) stage: &'a Stage,
    progress: &'a dyn Progress,
    pub(super) relatives: OnceLock<Relatives<'a>>,
    detours: Mutex<Vec<Detour>>,
    mixed: Mutex<Vec<Failed>>,
}

impl<'a> Work<'a> {
    pub(super) fn new(copies: &'a Copies, stage: &'a Stage, progress: &'a dyn Progress) -> Self {
        Work {
            copies,
            stage,
            progress,
            relatives: OnceLock::new(),
            detours: Mutex::default(),
            mixed: Mutex::default(),
        }
    }

    /// What came in another way than straight from its own objects, and what came with small files
    /// of another archive.
    pub(super) fn told(self) -> (Vec<Detour>, Vec<Failed>) {
        let (detours, mixed) = (self.detours.into_inner(), self.mixed.into_inner());
        (
            detours.unwrap_or_else(PoisonError::into_inner),
            mixed.unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn stage_whole(&self, block: &StoredBlock) -> Result<Outcome<Staged>> {
        let staged = self.stage_block(block, &block.ulid.to_string())?;
        Ok(staged.map(|()| Staged::Whole))
    }

    /// Stages `block` as it was, under `name`.
    pub(super) fn stage_block(&self, block: &StoredBlock, name: &str) -> Result<Outcome> {
        let mut writer = self.stage.writer(name)?;
        let counted = Counted::of(self.progress);
        let straight = match self.doubt(block.objects()) {
            Some(doubt) => Err(doubt),
            None => self.write_block(block, &mut writer, &counted),
        };
        let staged = match straight {
            Err(damage) if !writer.has_failed() => self.fetch_block(block, damage, &mut writer),
            straight => straight,
        };
        let staged = staged.and_then(|()| {
            for dir in &block.empty_dirs {
                writer.make_dir(dir.as_str())?;
            }
            writer.sync()
        });
        // What came another way was not counted as it came.
        let counted = counted.bytes.into_inner();
        self.progress.advance(block.bytes().saturating_sub(counted));
        unless_target_failed(&writer, staged)
    }

    /// Why one of `objects` is not to be read straight away: it has a mark of damage, or not the
    /// size it should have.
    fn doubt<'o>(&self, mut objects: impl Iterator<Item = &'o StoredObject>) -> Option<Error> {
        objects.find_map(|object| {
            let name = &object.name;
            if self.copies.is_marked(name) {
                return Some(Error::corrupt(format!(
                    "object {name} has a mark of damage"
                )));
            }
            let store = self.copies.store();
            // Far away a look at each takes longer than a read that fails.
            if store.is_far() {
                return None;
            }
            match store.stored_size(name) {
                Ok(bytes) if bytes == object.listed_bytes() => None,
                Ok(bytes) => Some(Error::corrupt(format!(
                    "object {name}: expected {} bytes, found {bytes}",
                    object.listed_bytes()
                ))),
                Err(error) => Some(error),
            }
        })
    }

    fn write_block(
        &self,
        block: &StoredBlock,
        writer: &mut Writer,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut index = writer.beside();
        let reader = StoredReader::new(self.copies.store(), block);
        let written = reader.read_all(writer, &mut index, progress);
        writer.join(index);
        written
    }

    fn fetch_block(&self, block: &StoredBlock, damage: Error, writer: &mut Writer) -> Result<()> {
        let name = block.ulid.to_string();
        let fetched = self.fetch(block, writer)?;
        let missing = fetched.missing.clone();
        let damage = match fetched.outcome(&name, Some(damage)) {
            Ok(detour) => {
                self.took(detour);
                return Ok(());
            }
            Err(damage) => damage,
        };
        // Other archives may have the same samples beside other metadata and tombstones.
        let has_own = |other: &StoredBlock, name: &FilePath| {
            other.files.iter().any(|file| {
                let mut own = block.files.iter();
                file.name == *name && own.any(|own| own.name == *name && own.sha256 == file.sha256)
            })
        };
        for other in self.copies.variants(block.ulid) {
            let may_be = other.fingerprint == block.fingerprint
                && !is_damaged(other)
                && !missing.iter().any(|name| has_own(other, name));
            if may_be && self.fetch(other, writer)?.outcome(&name, None).is_ok() {
                let mixed = self.mixed.lock();
                let mut mixed = mixed.unwrap_or_else(PoisonError::into_inner);
                mixed.push(Failed {
                    name,
                    error: damage,
                    salvageable: false,
                });
                return Ok(());
            }
        }
        Err(damage)
    }

    fn fetch(&self, block: &StoredBlock, writer: &mut Writer) -> Result<Fetched> {
        writer.clear()?;
        let mut index = writer.beside();
        let fetched = fetch_block(self.copies, block, writer, &mut index);
        writer.join(index);
        fetched
    }

    pub(super) fn took(&self, detour: Detour) {
        let detours = self.detours.lock();
        detours.unwrap_or_else(PoisonError::into_inner).push(detour);
    }

    /// Stages the logs and says which there are.
    pub(super) fn stage_wal(
        &self,
        wal: &StoredWal,
        kin_of: Option<&str>,
    ) -> Result<Result<Vec<&'static str>>> {
        if let Some(odd) = wal.files.iter().find(|file| log_of(file).is_none()) {
            let name = &odd.name;
            let refused = Error::refused(format!("expected a file of the WAL, found {name}"));
            return Ok(Err(refused));
        }
        if let Some(odd) = wal
            .empty_dirs
            .iter()
            .find(|dir| !LOGS.contains(&log_above(dir)))
        {
            let refused = Error::refused(format!("expected a directory of the WAL, found {odd}"));
            return Ok(Err(refused));
        }
        let mut writer = self.stage.writer(STAGED_LOGS)?;
        let doubt = self.doubt(wal.objects());
        let straight = doubt.map_or(Ok(()), Err).and_then(|()| {
            let store = self.copies.store();
            match &wal.held {
                LogObjects::One(object) => read_stored(
                    store,
                    object,
                    Root::Data,
                    &wal.files,
                    &mut writer,
                    self.progress,
                ),
                LogObjects::Pieces(_) => read_pieces(store, wal, &mut writer, self.progress),
            }
        });
        let staged = match straight {
            Err(damage) if !writer.has_failed() => {
                writer.clear()?;
                fetch_wal(self.copies, wal, kin_of, &mut writer)
                    .and_then(|fetched| fetched.outcome("wal", Some(damage)))
                    .map(|detour| self.took(detour))
            }
            straight => straight,
        };
        let staged = staged
            .and_then(|()| {
                let mut dirs = wal.empty_dirs.iter();
                dirs.try_for_each(|dir| writer.make_dir(dir.as_str()))
            })
            .and_then(|()| writer.sync());
        let has = |log: &&str| {
            wal.files.iter().any(|file| log_of(file) == Some(log))
                || wal.empty_dirs.iter().any(|dir| log_above(dir) == *log)
        };
        Ok(unless_target_failed(&writer, staged)?.map(|()| LOGS.into_iter().filter(has).collect()))
    }
}

/// Passes progress on, and keeps account of the bytes.
struct Counted<'p> {
    inner: &'p dyn Progress,
    bytes: AtomicU64,
}

impl<'p> Counted<'p> {
    fn of(inner: &'p dyn Progress) -> Self {
        Counted {
            inner,
            bytes: AtomicU64::new(0),
        }
    }
}

impl Progress for Counted<'_> {
    fn begin(&self, phase: &str, total: Option<u64>) {
        self.inner.begin(phase, total);
    }

    fn advance(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.inner.advance(bytes);
    }

    fn end(&self) {
        self.inner.end();
    }

    fn remark(&self, text: &dyn std::fmt::Display) {
        self.inner.remark(text);
    }
}

/// Where the logs are staged, all of them together.
pub(super) const STAGED_LOGS: &str = "logs";

/// The log that `file` is in.
fn log_of(file: &StoredFile) -> Option<&str> {
    let (log, _) = file.name.as_str().split_once('/')?;
    LOGS.contains(&log).then_some(log)
}

/// The log that the directory `dir` is or is in; another name when it is in none.
fn log_above(dir: &FilePath) -> &str {
    dir.as_str().split('/').next().unwrap_or_default()
}

/// The target's failure is everybody's, any other is the block's own.
fn unless_target_failed(writer: &Writer, staged: Result<()>) -> Result<Outcome> {
    match staged {
        Err(error) if writer.has_failed() => Err(error),
        outcome => Ok(outcome),
    }
}
