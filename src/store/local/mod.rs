//! Objects as files below one directory.
//!
//! An object is written to `tmp/<random>` below the root, made durable, then given its name by a
//! hard link, which fails when the name is taken, where a rename would overwrite. File systems
//! without hard links get a rename that does not replace. Then the directory is made durable, and
//! the temporary name goes. A crash leaves at worst a file in `tmp/`, never a part of an object.
//!
//! Files are for their owner alone (0600, directories 0700), as samples and labels are nobody
//! else's business. Below a root with the set-group-ID bit, which is how directories are shared,
//! they are for its group as well (0640, directories 0770). What root makes in somebody else's
//! repository is theirs: else a single run as root would keep their next one from reading it.

mod modes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, DirEntry, File, FileType, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::process::geteuid;

use super::name::{TEMPORARY, is_component};
use super::{
    Leftover, ObjectName, Origin, PendingObject, ReadStore, Store, beyond_end, name_taken,
    no_leftover, no_object, not_left_over, too_large,
};
use crate::error::{Error, ErrorKind, Result};
use crate::raw::sync_dir;
use modes::{Modes, make_dirs, parent};

/// How often an object is given its name when its directory is removed at the same moment.
const MAX_TRIES: u32 = 100;

/// What a freshly made file system holds at its root; a repository may well be one, and so may a
/// directory of its first level.
const LOST_AND_FOUND: &str = "lost+found";

/// How the names of documents end. A directory of such a name lies in the place of one, and nothing
/// in it is an object.
const DOCUMENT: &str = ".json";

/// Keeps objects as files below a directory, which is created with the first object.
#[derive(Clone, Debug)]
pub struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    /// The store below `root`, which need not exist. Nothing is read or written yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        LocalStore { root: root.into() }
    }

    /// Permissions of new files and directories.
    fn modes(&self) -> Modes {
        let root = fs::metadata(&self.root).ok();
        let owner = root.as_ref().map(|root| (root.uid(), root.gid()));
        Modes {
            for_group: root.is_some_and(|root| root.mode() & 0o2000 != 0),
            owner: owner.filter(|(user, _)| *user != 0 && geteuid().is_root()),
        }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.root.join(name.as_str())
    }

    /// Makes the entries of `dir`, of the root and of what is between them durable: another writer
    /// may have made any of them and not have come to that.
    fn sync_dirs(&self, dir: &Path) -> Result<()> {
        let inside = |dir: &&Path| dir.starts_with(&self.root);
        dir.ancestors().take_while(inside).try_for_each(sync_dir)
    }

    /// Removes `dir` and the directories above it that are empty, up to the first level, and makes
    /// the last change durable.
    fn remove_empty_dirs(&self, dir: &str) -> Result<()> {
        let ends = dir.match_indices('/').map(|(at, _)| at).rev();
        let dirs = [dir.len()].into_iter().chain(ends);
        for dir in dirs.filter_map(|end| dir.get(..end)) {
            // One that is not empty fails, as it should; writers make a directory again that goes
            // under their hands.
            if !dir.contains('/') || fs::remove_dir(self.root.join(dir)).is_err() {
                return match sync_dir(&self.root.join(dir)) {
                    // Another process has removed it since.
                    Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
                    synced => synced,
                };
            }
        }
        Ok(())
    }

    fn open(&self, name: &ObjectName) -> Result<(File, u64)> {
        let path = self.path(name);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_object(name),
            _ => Error::io("open", &path, e),
        };
        // Asked before opening: whoever opens a pipe waits for its other end.
        let metadata = fs::metadata(&path).map_err(failed)?;
        if !metadata.is_file() || self.barred(dir_of(name)).is_some() {
            return Err(no_object(name));
        }
        let file = File::open(&path).map_err(failed)?;
        Ok((file, metadata.len()))
    }

    /// The first directory on the way to `dir` in which nothing is an object: one with the name of
    /// a document, or a link below the first level, where links are not followed: see
    /// [`kind_of`].
    fn barred(&self, dir: &str) -> Option<PathBuf> {
        let ends = dir.match_indices('/').map(|(at, _)| at);
        let mut dirs = ends.chain([dir.len()]).filter_map(|end| dir.get(..end));
        let barred = dirs.find(|dir| {
            dir.ends_with(DOCUMENT) || dir.contains('/') && self.root.join(dir).is_symlink()
        });
        barred.map(|dir| self.root.join(dir))
    }

    /// Calls `visit` with every file below `dir`: its name from the root on, when that can be an
    /// object's, and its entry.
    fn walk(
        &self,
        dir: &str,
        prefix: &str,
        visit: &mut dyn FnMut(Visited, &DirEntry) -> Result<()>,
    ) -> Result<()> {
        let path = self.root.join(dir);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io("list", &path, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::io("list", &path, e))?;
            let kind = kind_of(&entry, dir).map_err(|e| Error::io("stat", &entry.path(), e))?;
            let file_name = entry.file_name();
            let component = file_name.to_str().filter(|text| is_component(text));
            match component {
                Some(component) if kind.is_dir() && !component.ends_with(DOCUMENT) => {
                    let below = join(dir, component);
                    let slashed = format!("{below}/");
                    if slashed.starts_with(prefix) || prefix.starts_with(&slashed) {
                        self.walk(&below, prefix, visit)?;
                    }
                }
                Some(component) if kind.is_file() => {
                    visit(Visited::of(join(dir, component)), &entry)?;
                }
                _ if !dir.contains('/') && file_name == LOST_AND_FOUND => {}
                _ => visit(
                    Visited::Foreign(join(dir, &file_name.to_string_lossy())),
                    &entry,
                )?,
            }
        }
        Ok(())
    }
}

/// What an entry of `dir` is. A link to a file is that file, and a link to a directory at the first
/// level (`blocks` on another disk) is that directory; further down it could lead in circles and
/// stays a link.
fn kind_of(entry: &DirEntry, dir: &str) -> io::Result<FileType> {
    let kind = entry.file_type()?;
    if !kind.is_symlink() {
        return Ok(kind);
    }
    match fs::metadata(entry.path()) {
        Ok(target) if target.is_file() || dir.is_empty() => Ok(target.file_type()),
        _ => Ok(kind),
    }
}

/// The name of the directory that `name` is in.
fn dir_of(name: &ObjectName) -> &str {
    name.as_str().rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// A file met by [`LocalStore::walk`].
enum Visited {
    Object(ObjectName),
    Unpublished(String),
    Foreign(String),
}

impl Visited {
    fn of(name: String) -> Self {
        if name.split('/').next() == Some(TEMPORARY) {
            return Visited::Unpublished(name);
        }
        match ObjectName::new(name.as_str()) {
            Ok(object) => Visited::Object(object),
            Err(_) => Visited::Foreign(name),
        }
    }
}

fn join(dir: &str, component: &str) -> String {
    if dir.is_empty() {
        component.to_owned()
    } else {
        format!("{dir}/{component}")
    }
}

impl ReadStore for LocalStore {
    fn get(&self, name: &ObjectName, max_bytes: u64) -> Result<Vec<u8>> {
        let (file, bytes) = self.open(name)?;
        if bytes > max_bytes {
            return Err(too_large(name, bytes, max_bytes));
        }
        read(file, bytes).map_err(|e| Error::io("read", &self.path(name), e))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>> {
        let (mut file, bytes) = self.open(name)?;
        let len = range.end.checked_sub(range.start);
        let Some(len) = len.filter(|_| range.end <= bytes) else {
            return Err(beyond_end(name, bytes, &range));
        };
        file.seek(SeekFrom::Start(range.start))
            .and_then(|_| read(file, len))
            .map_err(|e| Error::io("read", &self.path(name), e))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.open(name).map(|(_, bytes)| bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<(ObjectName, u64)>> {
        let dir = prefix.rsplit_once('/').map_or("", |(dir, _)| dir);
        if !dir.is_empty() && (ObjectName::new(dir).is_err() || self.barred(dir).is_some()) {
            return Ok(Vec::new());
        }
        let mut objects = Vec::new();
        self.walk(dir, prefix, &mut |visited, entry| {
            if let Visited::Object(name) = visited
                && name.as_str().starts_with(prefix)
                && let Some(metadata) = still_there(entry)?
            {
                objects.push((name, metadata.len()));
            }
            Ok(())
        })?;
        objects.sort_unstable();
        Ok(objects)
    }

    fn arrivals(&self, prefix: &str) -> Result<BTreeMap<ObjectName, SystemTime>> {
        let listed = self.list(prefix)?.into_iter();
        let modified = |name: &ObjectName| {
            let (file, _) = self.open(name).ok()?;
            file.metadata().ok()?.modified().ok()
        };
        Ok(listed
            .filter_map(|(name, _)| Some((name.clone(), modified(&name)?)))
            .collect())
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

impl Store for LocalStore {
    fn create(&self, name: &ObjectName) -> Result<Box<dyn PendingObject>> {
        let dir = self.root.join(TEMPORARY);
        let modes = self.modes();
        // Each entry durable before the next one relies on it.
        make_dirs(&dir, Path::new("/"), modes, sync_dir)?;
        let random = ulid::Ulid::generate();
        let temporary = dir.join(random.to_string());
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(modes.file())
            .open(&temporary)
            .and_then(|file| modes.hand_over(&file).map(|()| file))
            .map_err(|e| Error::io("create", &temporary, e))?;
        Ok(Box::new(Pending {
            file,
            temporary: Temporary(temporary),
            store: self.clone(),
            name: name.clone(),
        }))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.open(name)?;
        let path = self.path(name);
        fs::remove_file(&path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => no_object(name),
            _ => Error::io("delete", &path, e),
        })?;
        self.remove_empty_dirs(dir_of(name))
    }

    fn settle(&self, name: &ObjectName) -> Result<()> {
        let (file, _) = self.open(name)?;
        let path = self.path(name);
        file.sync_all().map_err(|e| Error::io("sync", &path, e))?;
        self.sync_dirs(parent(&path))
    }

    fn leftovers(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let mut leftovers = Vec::new();
        self.walk("", prefix, &mut |visited, entry| {
            let (name, origin) = match visited {
                Visited::Object(_) => return Ok(()),
                Visited::Unpublished(name) => (name, Origin::Unpublished),
                Visited::Foreign(name) => (name, Origin::Foreign),
            };
            if !name.starts_with(prefix) {
                return Ok(());
            }
            if let Some(metadata) = still_there(entry)? {
                leftovers.push(Leftover {
                    name,
                    bytes: metadata.len(),
                    modified: metadata.modified().ok(),
                    origin,
                });
            }
            Ok(())
        })?;
        leftovers.sort_unstable();
        Ok(leftovers)
    }

    fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        let is_plain = leftover.name.split('/').all(is_component);
        let own = leftover.name.strip_prefix(TEMPORARY);
        if leftover.origin != Origin::Unpublished
            || !is_plain
            || !own.is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(not_left_over(leftover, "something of somebody else's"));
        }
        let path = self.root.join(&leftover.name);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => no_leftover(leftover),
            _ => Error::io("delete", &path, e),
        };
        let metadata = fs::metadata(&path).map_err(failed)?;
        if metadata.modified().ok() != leftover.modified {
            return Err(not_left_over(leftover, "one that was written just now"));
        }
        fs::remove_file(&path).map_err(failed)
    }

    fn is_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn try_create_only(&self) -> Result<bool> {
        Ok(true)
    }

    fn is_vacant(&self) -> Result<bool> {
        let mut entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            // A file of somebody else's.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(false),
            Err(e) => return Err(Error::io("list", &self.root, e)),
        };
        let own = |name: &std::ffi::OsStr| name == TEMPORARY || name == LOST_AND_FOUND;
        entries.try_fold(true, |vacant, entry| {
            let entry = entry.map_err(|e| Error::io("list", &self.root, e))?;
            Ok(vacant && own(&entry.file_name()))
        })
    }
}

/// Exactly `len` bytes from where `file` stands; it was just seen to hold them.
fn read(file: File, len: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(usize::try_from(len).map_err(io::Error::other)?);
    file.take(len).read_to_end(&mut content)?;
    if content.len() as u64 == len {
        Ok(content)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What is known of an entry, unless another process has removed it since it was listed.
fn still_there(entry: &DirEntry) -> Result<Option<fs::Metadata>> {
    // A link counts as what it leads to, if anything.
    match fs::metadata(entry.path()).or_else(|_| entry.metadata()) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("stat", &entry.path(), e)),
    }
}

struct Pending {
    file: File,
    temporary: Temporary,
    store: LocalStore,
    name: ObjectName,
}

/// A temporary file, removed when dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed stays listable in `tmp/`.
        let _ = fs::remove_file(&self.0);
    }
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl PendingObject for Pending {
    fn publish(self: Box<Self>) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|e| Error::io("sync", &self.temporary.0, e))?;
        let target = self.store.path(&self.name);
        let dir = parent(&target);
        if let Some(barred) = self.store.barred(dir_of(&self.name)) {
            return Err(Error::refused(format!(
                "expected a directory for objects, found a link or the name of a document: {}",
                barred.display()
            )));
        }
        let mut tries = 1..MAX_TRIES;
        // Whoever deletes the last object in a directory removes the directory.
        let mut again = |is_gone: bool| is_gone && tries.next().is_some();
        let modes = self.store.modes();
        loop {
            match make_dirs(dir, &self.store.root, modes, |_| Ok(())) {
                Err(e) if again(e.kind() == ErrorKind::NotFound) => continue,
                made => made?,
            }
            match name_file(&self.temporary.0, &target) {
                Ok(()) => return self.store.sync_dirs(dir),
                Err(e) if again(e.kind() == io::ErrorKind::NotFound) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(name_taken(&self.name));
                }
                Err(e) => return Err(Error::io("publish", &target, e)),
            }
        }
    }
}

/// Gives the file at `temporary` the name `target`, unless that is taken.
fn name_file(temporary: &Path, target: &Path) -> io::Result<()> {
    match fs::hard_link(temporary, target) {
        Err(e) if has_no_hard_links(&e) => rename_without_replacing(temporary, target),
        result => result,
    }
}

/// FAT and many network and user-space file systems answer a hard link with one of these.
fn has_no_hard_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
    )
}

fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from)
}
