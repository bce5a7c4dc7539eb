//! The target directory, and the hidden directory in it where files are written and proved.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind as Io, Write as _};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use super::fetch::Sink;
use super::plan::Present;
use crate::block::{DataDir, Meta};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Kin, Stream};
use crate::repository::portable::Visitor;
use crate::repository::{ArchiveId, Digest, FilePath};

/// How the hidden directory's name begins. Prometheus passes over what is no ULID.
const STAGE_PREFIX: &str = ".narthex-restore-";

/// The directories that logs are in. `wal` comes last: with it, a restore is complete.
pub(super) const LOGS: [&str; 2] = ["wbl", "wal"];

/// How many files of one block may be on their way to the disk while the next one is written.
const MAX_SYNCING: usize = 4;

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
    pub fn present(&self) -> Result<Present> {
        // A log directory without files holds no sample: it does not stand in for the archive's.
        let is_empty = |log: &str| {
            fs::read_dir(self.dir.join(log)).is_ok_and(|mut entries| entries.next().is_none())
        };
        let has = |log: &&str| self.entries.iter().any(|entry| entry == log) && !is_empty(log);
        Ok(Present {
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

    /// Hidden directories of restores that died, or that still work.
    pub fn stale_stages(&self) -> Vec<PathBuf> {
        let stages = self.entries.iter().filter(|name| is_stage(name));
        stages.map(|name| self.dir.join(name)).collect()
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

/// The hidden directory. Dropped before [`Stage::finish`], it takes everything with it that was made, except what
/// was published.
#[derive(Debug)]
pub(super) struct Stage<'t> {
    target: &'t Target,
    dir: PathBuf,
    done: bool,
}

impl<'t> Stage<'t> {
    /// Makes the target, if need be, and the hidden directory in it.
    pub(super) fn new(target: &'t Target) -> Result<Self> {
        let stage = Stage {
            dir: target
                .dir
                .join(format!("{STAGE_PREFIX}{}", ArchiveId::random())),
            target,
            done: false,
        };
        for dir in &target.missing {
            create_dir(dir)?;
        }
        create_dir(&stage.dir)?;
        Ok(stage)
    }

    /// Where something called `name` is staged.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Renames what was staged as `staged` to `name` in the target, where nothing may have this name.
    pub(super) fn publish(&self, staged: &str, name: &str) -> Result<()> {
        let (from, to) = (self.path(staged), self.target.dir.join(name));
        if LOGS.contains(&name) {
            // An empty log directory may be there, see `Target::present`; one with files stays and stops us.
            let _ = fs::remove_dir(&to);
        }
        if to.symlink_metadata().is_ok() {
            let taken = io::Error::from(Io::AlreadyExists);
            return Err(Error::io("restore to", &to, taken));
        }
        fs::rename(&from, &to).map_err(|e| Error::io("restore to", &to, e))
    }

    /// Makes what was published so far durable.
    pub(super) fn sync(&self) -> Result<()> {
        sync_dir(&self.target.dir)
    }

    /// Makes what was published durable, and removes the hidden directory.
    pub(super) fn finish(mut self) -> Result<()> {
        self.sync()?;
        for dir in &self.target.missing {
            sync_dir(
                dir.parent()
                    .filter(|dir| !dir.as_os_str().is_empty())
                    .unwrap_or(Path::new(".")),
            )?;
        }
        fs::remove_dir_all(&self.dir).map_err(|e| Error::io("remove", &self.dir, e))?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.done {
            // On the way out with an error already; what cannot be removed stays hidden.
            let _ = fs::remove_dir_all(&self.dir);
            for dir in self.target.missing.iter().rev() {
                let _ = fs::remove_dir(dir);
            }
        }
    }
}

/// Writes the files of one block, or of the logs, below a staged directory.
#[derive(Debug)]
pub(super) struct Writer {
    root: PathBuf,
    current: Option<(PathBuf, File)>,
    /// Files that are complete and on their way to the disk.
    syncing: VecDeque<(PathBuf, JoinHandle<io::Result<()>>)>,
    /// Set when the target failed, not the repository: then nothing can go on.
    failed: bool,
}

impl Writer {
    /// Writes below `root`, which is made.
    pub(super) fn new(root: PathBuf) -> Result<Self> {
        create_dir(&root)?;
        Ok(Writer {
            root,
            current: None,
            syncing: VecDeque::new(),
            failed: false,
        })
    }

    /// Another writer below the same directory, for files that are written at the same time.
    pub(super) fn beside(&self) -> Self {
        Writer {
            root: self.root.clone(),
            current: None,
            syncing: VecDeque::new(),
            failed: false,
        }
    }

    /// Takes over what a writer beside this one has begun.
    pub(super) fn join(&mut self, other: Writer) {
        self.syncing.extend(other.syncing);
        self.failed |= other.failed;
    }

    /// Removes what has been written, to begin anew.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.current = None;
        self.await_syncs(0)?;
        let removed = fs::remove_dir_all(&self.root).and_then(|()| fs::create_dir(&self.root));
        let root = self.root.clone();
        self.check("remove", &root, removed)
    }

    /// Makes the directory `name`.
    pub(super) fn make_dir(&mut self, name: &str) -> Result<()> {
        let path = self.root.join(name);
        let made = fs::create_dir_all(&path);
        self.check("create", &path, made)
    }

    /// Makes everything durable: files, then the directories they are in.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.await_syncs(0)?;
        let synced = sync_tree(&self.root);
        self.failed |= synced.is_err();
        synced
    }

    /// Waits until at most `max` files are on their way to the disk.
    fn await_syncs(&mut self, max: usize) -> Result<()> {
        while self.syncing.len() > max
            && let Some((path, thread)) = self.syncing.pop_front()
        {
            let gone = |_| Err(io::Error::other("the thread that synced it has died"));
            let synced = thread.join().unwrap_or_else(gone);
            self.check("sync", &path, synced)?;
        }
        Ok(())
    }

    /// Tells trouble with the target from trouble that the names themselves make, when a manifest says that
    /// something is a file and a directory at once or gives one name twice.
    fn check<T>(&mut self, what: &str, path: &Path, done: io::Result<T>) -> Result<T> {
        done.map_err(|error| match error.kind() {
            Io::AlreadyExists | Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => {
                Error::corrupt(format!(
                    "expected names that fit beside each other, found {}",
                    path.display()
                ))
            }
            _ => {
                self.failed = true;
                Error::io(what, path, error)
            }
        })
    }
}

impl Visitor for Writer {
    fn begin(&mut self, name: &FilePath, _bytes: u64) -> Result<()> {
        let path = self.root.join(name);
        if let Some(parent) = path.parent() {
            let made = fs::create_dir_all(parent);
            self.check("create", parent, made)?;
        }
        let created = File::create_new(&path);
        let file = self.check("create", &path, created)?;
        self.current = Some((path, file));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((path, file)) = &mut self.current else {
            return Ok(());
        };
        let written = file.write_all(bytes);
        let path = path.clone();
        self.check("write", &path, written)
    }

    fn end(&mut self, _name: &FilePath, _sha256: Digest) -> Result<()> {
        let Some((path, file)) = self.current.take() else {
            return Ok(());
        };
        // The disk works on this file while the next one is computed.
        let begun = thread::Builder::new().spawn(move || file.sync_all());
        let thread = self.check("sync", &path, begun)?;
        self.syncing.push_back((path, thread));
        self.await_syncs(MAX_SYNCING)
    }
}

impl Sink for Writer {
    fn takes(&self, _name: &FilePath) -> bool {
        true
    }

    fn abandon(&mut self) -> Result<()> {
        let Some((path, _)) = self.current.take() else {
            return Ok(());
        };
        let removed = fs::remove_file(&path);
        self.check("remove", &path, removed)
    }

    fn has_failed(&self) -> bool {
        self.failed
    }
}

fn create_dir(dir: &Path) -> Result<()> {
    fs::create_dir(dir).map_err(|e| Error::io("create", dir, e))
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| Error::io("sync", dir, e))
}

/// Syncs `dir` and all directories below it.
fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|e| Error::io("list", dir, e))? {
        let entry = entry.map_err(|e| Error::io("list", dir, e))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_tree(&entry.path())?;
        }
    }
    sync_dir(dir)
}
