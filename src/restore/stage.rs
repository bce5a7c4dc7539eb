//! The target directory, and the hidden directory in it where files are written and proved.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::permissions::Permissions;
use super::plan::{RestorePlan, TargetContent};
use super::swap::Swap;
use super::writer::Writer;
use crate::block::{DataDir, Meta};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Kin, Stream};
use crate::raw::{Folder, Links, free_bytes};
use crate::repository::{ArchiveId, StoredBlock};
use crate::units::bytes_text;

/// How the hidden directory's name begins. Prometheus passes over what is no ULID.
const STAGE_PREFIX: &str = ".narthex-restore-";

/// The directories that logs are in. `wal` comes last: with it, a restore is complete.
pub(super) const LOGS: [&str; 2] = ["wbl", "wal"];

/// Where a restore goes to.
#[derive(Clone, Debug)]
pub struct Target {
    dir: PathBuf,
    /// Directories that are to be made, outermost first.
    missing: Vec<PathBuf>,
    entries: Vec<OsString>,
}

impl Target {
    /// Looks at the directory `dir`, which need not exist. Writes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be listed; when it holds something and `add_missing` is not set.
    pub fn new(dir: &Path, add_missing: bool) -> Result<Self> {
        let missing: Vec<_> = dir.ancestors().take_while(|dir| !exists(dir)).collect();
        let mut target = Target {
            dir: dir.to_owned(),
            missing: missing.into_iter().rev().map(Path::to_owned).collect(),
            entries: Vec::new(),
        };
        if target.missing.is_empty() {
            if dir.is_file() {
                let dir = dir.display();
                return Err(Error::invalid(format!(
                    "expected a directory as target, found a file at {dir}"
                )));
            }
            for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
                let entry = entry.map_err(|e| Error::io("list", dir, e))?;
                target.entries.push(entry.file_name());
            }
        }
        let foreign = target.entries.iter().find(|name| !is_harmless(name));
        match foreign {
            Some(name) if !add_missing => Err(Error::refused(format!(
                "expected an empty target, found {} in {}: choose another, or add what is missing with \
                 --add-missing",
                Path::new(name).display(),
                dir.display()
            ))),
            _ => Ok(target),
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it holds already.
    pub fn present(&self) -> Result<TargetContent> {
        // A log directory without files holds no sample: it does not stand in for the archive's.
        let is_empty = |log: &str| {
            fs::read_dir(self.dir.join(log)).is_ok_and(|mut entries| entries.next().is_none())
        };
        let has = |log: &&str| self.entries.iter().any(|entry| entry == log) && !is_empty(log);
        Ok(TargetContent {
            blocks: self.blocks()?,
            logs: LOGS.into_iter().filter(has).map(str::to_owned).collect(),
        })
    }

    fn blocks(&self) -> Result<Vec<Kin>> {
        if self.entries.iter().all(is_harmless) {
            return Ok(Vec::new());
        }
        let scanned = match DataDir::scan(&self.dir) {
            Err(error) if error.kind() == ErrorKind::Invalid => return Ok(Vec::new()),
            scanned => scanned?,
        };
        let blocks = scanned.blocks().filter_map(|entry| {
            let meta = fs::read(entry.path.join("meta.json")).ok();
            let meta = meta.and_then(|content| Meta::parse(&content).ok());
            let ulid = entry.ulid?;
            Some(match meta {
                Some(meta) => meta.kin(ulid),
                None => Kin::new(ulid, &[], Vec::new(), Stream::default()),
            })
        });
        Ok(blocks.collect())
    }

    /// How the block that lies here under the name of `stored` is none of `stored`, by the names
    /// and sizes of what never changes in a block: its first file that is missing or of another
    /// size. Contents are not compared.
    pub fn difference(&self, stored: &StoredBlock) -> Option<String> {
        let dir = self.dir.join(stored.ulid.to_string());
        stored.files.iter().find_map(|file| {
            let (name, wanted) = (&file.name, file.bytes);
            // Marks are rewritten, and deletions written down.
            let is_meta = name.as_str() == "meta.json";
            if !is_meta && !name.is_immutable() {
                return None;
            }
            let found = fs::metadata(dir.join(name.as_str())).ok();
            let found = found.filter(fs::Metadata::is_file).map(|found| found.len());
            match found {
                None => Some(format!("expected a file {name}, found none")),
                Some(found) if !is_meta && found != wanted => {
                    Some(format!("{name}: expected {wanted} bytes, found {found}"))
                }
                Some(_) => None,
            }
        })
    }

    /// Refuses a restore of `plan` for which the target's file system has no room. Where that
    /// cannot be told, there is room.
    ///
    /// # Errors
    ///
    /// `Refused`, with both sizes.
    pub fn refuse_without_room(&self, plan: &RestorePlan<'_>) -> Result<()> {
        refuse_without_room(self.existing(), plan.room())
    }

    /// Bytes that are free in the target's file system, where that can be told.
    pub fn free(&self) -> Option<u64> {
        free_bytes(self.existing())
    }

    /// The target, or what there is above it.
    pub fn existing(&self) -> &Path {
        let mut existing = self.dir.ancestors().filter(|dir| exists(dir));
        let existing = existing.next().unwrap_or(Path::new("."));
        // The end of a relative path's ancestors is the current directory.
        if existing.as_os_str().is_empty() {
            Path::new(".")
        } else {
            existing
        }
    }

    /// Hidden directories of restores that died, or that still work.
    pub fn stale_stages(&self) -> Vec<PathBuf> {
        let stages = self.entries.iter().filter(|name| is_stage(name));
        stages.map(|name| self.dir.join(name)).collect()
    }
}

/// Refuses to write `bytes` bytes into `dir` if its file system has no room for them.
pub(super) fn refuse_without_room(dir: &Path, bytes: u64) -> Result<()> {
    match free_bytes(dir) {
        Some(free) if free < bytes => Err(Error::refused(format!(
            "expected room for {} in {}, found {} free ({} are missing): nothing was written; make room, choose another directory, or bring back less",
            bytes_text(bytes),
            dir.display(),
            bytes_text(free),
            bytes_text(bytes - free)
        ))),
        _ => Ok(()),
    }
}

fn exists(dir: &Path) -> bool {
    // The empty path stands for the current directory, at the end of a relative path's ancestors.
    dir.as_os_str().is_empty() || dir.symlink_metadata().is_ok()
}

/// What may lie in an empty target: `lost+found` of a fresh file system, and what restores leave.
fn is_harmless(name: &OsString) -> bool {
    name == "lost+found" || is_stage(name)
}

fn is_stage(name: &OsString) -> bool {
    name.to_str()
        .is_some_and(|name| name.starts_with(STAGE_PREFIX))
}

/// The hidden directory. Dropped before [`Stage::finish`], it takes everything with it that was
/// made, except what was published.
///
/// Target and hidden directory are held open, and everything is written below them: who owns the
/// target, or a directory above it, may rename what is in it and put links there, and still nothing
/// is written anywhere else.
#[derive(Debug)]
pub(super) struct Stage {
    /// Directories that were made for the target: where, and under which name.
    made: Vec<(Folder, OsString)>,
    /// The target.
    folder: Folder,
    name: OsString,
    /// The hidden directory.
    hidden: Folder,
    permissions: Permissions,
    done: bool,
}

impl Stage {
    /// Makes the target, if need be, and the hidden directory in it. What is restored gets
    /// `permissions`.
    pub(super) fn new(target: &Target, permissions: Permissions) -> Result<Self> {
        let above = target.missing.first().map_or(&*target.dir, |first| {
            first.parent().unwrap_or(Path::new("/"))
        });
        let mut folder = Folder::open(above, Links::Refused)?;
        let mut made = Vec::new();
        for dir in &target.missing {
            let name = dir.file_name().unwrap_or(dir.as_os_str()).to_owned();
            match folder.make(&name) {
                Ok(inner) => made.push((std::mem::replace(&mut folder, inner), name)),
                Err(error) => {
                    remove_made(&made);
                    return Err(error);
                }
            }
        }
        let name = OsString::from(format!("{STAGE_PREFIX}{}", ArchiveId::random()));
        let hidden = folder.make(&name).inspect_err(|_| remove_made(&made))?;
        Ok(Stage {
            made,
            folder,
            name,
            hidden,
            permissions,
            done: false,
        })
    }

    /// Where something called `name` is staged, for code that takes paths: see
    /// [`Folder::steady_path`].
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.hidden.steady_path().join(name)
    }

    /// Begins to stage something called `name`.
    pub(super) fn writer(&self, name: &str) -> Result<Writer> {
        let root = self.hidden.make(name.as_ref())?;
        Ok(Writer::new(root, self.permissions))
    }

    /// Gives what some code has staged as `name` its permissions, and makes it durable.
    pub(super) fn give_permissions(&self, name: &str) -> Result<()> {
        self.permissions
            .enforce(&self.hidden.folder(name.as_ref())?)
    }

    /// Removes what was staged as `name`.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        self.hidden.remove_all(name.as_ref())
    }

    /// Writes the file `file` of what was staged as `name` anew; without `content` it is gone.
    pub(super) fn rewrite(&self, name: &str, file: &str, content: Option<&[u8]>) -> Result<()> {
        let staged = self.hidden.folder(name.as_ref())?;
        if staged.has(file.as_ref())? {
            staged.remove_all(file.as_ref())?;
        }
        if let Some(content) = content {
            let path = staged.path().join(file);
            let mut created = staged.create(file.as_ref())?;
            let written = created.write_all(content);
            written.map_err(|e| Error::io("write", &path, e))?;
        }
        self.permissions.enforce(&staged)
    }

    /// Puts what was staged as `name` in the place of the block of this name in the target, and
    /// says under which name that one stays.
    pub(super) fn replace(mut self, name: &str) -> Result<(OsString, Option<Error>)> {
        let mut exchanged = false;
        let swap = Swap {
            folder: &self.folder,
            hidden: &self.hidden,
            name: name.as_ref(),
        };
        let kept = swap.carry_out(true, &mut exchanged);
        match kept {
            // Whatever fails behind it, the copy is in its place.
            Ok(kept) => Ok((kept, self.finish().unwrap_or_else(Some))),
            // What was damaged is in the hidden directory, which stays with it.
            Err(error) if exchanged => {
                self.done = true;
                Ok((Path::new(&self.name).join(name).into(), Some(error)))
            }
            Err(error) => Err(error),
        }
    }

    /// Renames what was staged as `staged` to `name` in the target, where nothing may have this
    /// name.
    pub(super) fn publish(&self, staged: &str, name: &str) -> Result<()> {
        if LOGS.contains(&name) {
            // An empty log directory may be there, see `Target::present`; one with files stays and
            // stops us.
            let _ = self.folder.remove_dir(name.as_ref());
        }
        let staged = Path::new(staged);
        let parent = self
            .hidden
            .folder(staged.parent().unwrap_or(Path::new("")))?;
        let own = staged.file_name().unwrap_or(staged.as_os_str());
        parent.rename(own, &self.folder, name.as_ref())
    }

    /// Makes what was published so far durable.
    pub(super) fn sync(&self) -> Result<()> {
        self.folder.sync()
    }

    /// Makes what was published durable, and removes the hidden directory. Returns why that stays,
    /// if it does: everything is restored then all the same.
    pub(super) fn finish(mut self) -> Result<Option<Error>> {
        if !self.made.is_empty() {
            self.permissions.give_folder(&self.folder)?;
        }
        // Whoever may use the target must be able to reach it. The first was there before.
        for (above, _) in self.made.iter().skip(1) {
            self.permissions.give_folder(above)?;
        }
        self.sync()?;
        for (above, _) in &self.made {
            above.sync()?;
        }
        self.done = true;
        Ok(self.folder.remove_all(&self.name).err())
    }
}

/// Removes the directories that are still empty.
fn remove_made(made: &[(Folder, OsString)]) {
    for (above, name) in made.iter().rev() {
        let _ = above.remove_dir(name);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.done {
            // On the way out with an error already; what cannot be removed stays hidden.
            let _ = self.folder.remove_all(&self.name);
            remove_made(&self.made);
        }
    }
}
