//! Files of a live directory, opened before anything is read of them.
//!
//! Prometheus never changes a block's index and segments, replaces `meta.json` and `tombstones` by
//! rename, and deletes by unlinking: an open file therefore keeps the content it had, whatever
//! happens to its name. What can race is the opening; [`OpenBlock::open`] notices and says
//! [`Miss::Vanished`], never half a block.
//!
//! A process may have only so many files open. Beyond half of that, files are opened anew for each
//! read, and one that is then gone, or another one under its name, makes the whole block vanish.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use rustix::fs::FileType;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, ErrorKind, Result};
use crate::raw::{FileBytes, Folder, FolderEntry, Links, ReadMode};
use crate::repository::{Digest, FilePath, Hasher, portable};

/// How deep directories may be nested inside a block. Prometheus uses one level.
const MAX_DEPTH: usize = 8;

/// Why a block or log could not be opened as a whole.
#[derive(Debug)]
pub(super) enum Miss {
    /// It was deleted, or is being deleted or replaced: list again.
    Vanished,
    /// It is there but cannot be read.
    Unreadable(Error),
}

impl Miss {
    /// As an error about `path`.
    pub(super) fn into_error(self, path: &Path) -> Error {
        match self {
            Miss::Vanished => Error::not_found(format!("{} vanished", path.display())),
            Miss::Unreadable(error) => error,
        }
    }
}

impl From<Error> for Miss {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Miss::Vanished,
            _ => Miss::Unreadable(error),
        }
    }
}

/// One open file, with the length it had when it was opened.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Its path below the block, or below the data directory.
    pub(super) name: FilePath,
    /// Where it was, for messages.
    path: PathBuf,
    /// Its length in bytes; what is appended later does not count.
    pub(super) bytes: u64,
    handle: Handle,
    /// Whether reading it has failed.
    failed: AtomicBool,
    /// Whether that was because its name leads to it no longer.
    vanished: AtomicBool,
    /// Whether there are pages of it that the disk cannot read, which are taken for zeros.
    has_holes: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Handle {
    Held {
        file: File,
        _slot: Slot,
    },
    /// To be opened anew for each read.
    Named(Identity),
    /// There is nothing to read.
    Empty,
}

/// What tells a file from another that has taken its name, and stays when something is appended.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// An inode may be used again. Not every file system knows.
    created: Option<SystemTime>,
}

impl Identity {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Identity {
            device: metadata.dev(),
            inode: metadata.ino(),
            created: metadata.created().ok(),
        }
    }
}

/// How many files are held open, of how many that may be.
#[derive(Debug)]
struct Slots {
    held: AtomicUsize,
    max: OnceLock<usize>,
}

/// Half of what the process may open; the rest is for everything else.
static SLOTS: Slots = Slots::new();

impl Slots {
    const fn new() -> Self {
        Slots {
            held: AtomicUsize::new(0),
            max: OnceLock::new(),
        }
    }

    fn max(&self) -> usize {
        *self.max.get_or_init(|| {
            let limit = getrlimit(Resource::Nofile).current;
            let half = limit.map(|limit| usize::try_from(limit / 2));
            half.and_then(Result::ok).unwrap_or(usize::MAX)
        })
    }

    fn take(&'static self) -> Option<Slot> {
        let more = |held: usize| (held < self.max()).then_some(held + 1);
        let taken = self
            .held
            .try_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.ok().map(|_| Slot(self))
    }
}

/// Leave to hold one file open.
#[derive(Debug)]
struct Slot(&'static Slots);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl SourceFile {
    /// Opens the regular file `name` in the directory `dir`, which may itself be reached through
    /// links.
    pub(super) fn open(dir: &Path, name: FilePath, links: Links) -> Result<Self> {
        Self::open_within(&SLOTS, &Folder::open(dir, links)?, name)
    }

    /// A file without content, to stand for one that cannot be read.
    pub(super) fn empty(dir: &Path, name: FilePath) -> Self {
        SourceFile {
            path: dir.join(&name),
            name,
            bytes: 0,
            handle: Handle::Empty,
            failed: AtomicBool::new(false),
            vanished: AtomicBool::new(false),
            has_holes: Arc::default(),
        }
    }

    fn open_within(slots: &'static Slots, dir: &Folder, name: FilePath) -> Result<Self> {
        let path = dir.path().join(&name);
        let file = dir.file(name.as_ref())?;
        let metadata = file.metadata().map_err(|e| Error::io("stat", &path, e))?;
        Ok(SourceFile {
            bytes: metadata.len(),
            name,
            path,
            handle: match slots.take() {
                Some(slot) => Handle::Held { file, _slot: slot },
                None => Handle::Named(Identity::of(&metadata)),
            },
            failed: AtomicBool::new(false),
            vanished: AtomicBool::new(false),
            has_holes: Arc::default(),
        })
    }

    /// Reads from the file, which may have to be opened for that.
    fn with_file<T>(&self, read: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        match &self.handle {
            Handle::Held { file, .. } => read(file),
            Handle::Named(identity) => {
                let flags = rustix::fs::OFlags::NONBLOCK.bits();
                let file = File::options()
                    .read(true)
                    .custom_flags(i32::try_from(flags).unwrap_or(0))
                    .open(&self.path)?;
                if Identity::of(&file.metadata()?) == *identity {
                    read(&file)
                } else {
                    Err(io::ErrorKind::NotFound.into())
                }
            }
            Handle::Empty => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn fill(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let read = self.with_file(|file| match FileExt::read_exact_at(file, buffer, offset) {
            Err(error) if is_bad_sector(&error) => {
                self.has_holes.store(true, Ordering::Relaxed);
                read_around(buffer, offset, |page, at| file.read_exact_at(page, at))
            }
            read => read,
        });
        if let Err(error) = &read {
            self.failed.store(true, Ordering::Relaxed);
            let vanished = error.kind() == io::ErrorKind::NotFound;
            self.vanished.fetch_or(vanished, Ordering::Relaxed);
        }
        read
    }

    /// At most `length` bytes from `offset` on; fewer where the file ends.
    pub(super) fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let length = length.min(self.bytes.saturating_sub(offset));
        let length = usize::try_from(length).map_err(|_| self.error(too_large()))?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, offset).map_err(|e| self.error(e))?;
        Ok(bytes)
    }

    /// Its SHA-256 digest.
    pub(super) fn digest(&self) -> Result<Digest> {
        const STEP: u64 = 1 << 20;
        let mut hasher = Hasher::default();
        let mut offset = 0;
        while offset < self.bytes {
            hasher.update(&self.read_at(offset, STEP)?);
            offset += STEP;
        }
        Ok(hasher.finish())
    }

    /// Where it was when it was opened.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether reading it has failed since it was opened.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether it could not be read because it is gone.
    pub(super) fn has_vanished(&self) -> bool {
        self.vanished.load(Ordering::Relaxed)
    }

    /// Whether there are pages of it that the disk cannot read, as far as it was read. They are
    /// taken for zeros, wherever it is read.
    pub(super) fn has_holes(&self) -> bool {
        self.has_holes.load(Ordering::Relaxed)
    }

    /// As a file to be stored.
    pub(super) fn to_store(&self) -> portable::SourceFile<'_> {
        portable::SourceFile {
            name: self.name.clone(),
            content: self,
        }
    }

    /// Its first bytes.
    pub(super) fn prefix(&self, bytes: u64) -> Prefix<'_> {
        Prefix { file: self, bytes }
    }

    /// Its content, to be proved.
    pub(super) fn content(&self, mode: ReadMode) -> Result<Content> {
        Ok(Content {
            bytes: match mode {
                // An empty file cannot be mapped, and one that is not there need not be.
                _ if self.bytes == 0 => Vec::new().into(),
                ReadMode::Read => self.read_at(0, self.bytes)?.into(),
                ReadMode::Map => self
                    .with_file(|file| Ok(FileBytes::of(file, &self.path, mode)))
                    .map_err(|e| self.error(e))??,
            },
            length: usize::try_from(self.bytes).map_err(|_| self.error(too_large()))?,
            has_holes: Arc::clone(&self.has_holes),
        })
    }

    fn error(&self, source: io::Error) -> Error {
        Error::io("read", &self.path, source)
    }
}

/// The first bytes of a [`SourceFile`].
pub(super) struct Prefix<'f> {
    file: &'f SourceFile,
    bytes: u64,
}

impl portable::SourceContent for Prefix<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        portable::SourceContent::read_exact_at(self.file, buffer, offset)
    }
}

/// The content of a [`SourceFile`], without what was appended since it was opened.
pub(super) struct Content {
    bytes: FileBytes,
    length: usize,
    has_holes: Arc<AtomicBool>,
}

impl Content {
    /// Whether there are pages that could not be read so far, and were taken for zeros.
    pub(super) fn has_holes(&self) -> bool {
        self.bytes.unreadable().is_some()
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if self.has_holes() {
            self.has_holes.store(true, Ordering::Relaxed);
        }
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

/// The smallest part of a disk that is lost by itself; also what a map would lose.
const PAGE: usize = 4096;

/// Whether a device failed, and not the file system or this program.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Fills `buffer` with what stands from `offset` on, with zeros for pages that `read` cannot read.
fn read_around(
    buffer: &mut [u8],
    offset: u64,
    read: impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut at = offset;
    let mut rest = buffer;
    while !rest.is_empty() {
        let into_page = usize::try_from(at % PAGE as u64).unwrap_or(0);
        let (part, behind) = rest.split_at_mut((PAGE - into_page).min(rest.len()));
        match read(part, at) {
            Err(error) if is_bad_sector(&error) => part.fill(0),
            read => read?,
        }
        at = at.saturating_add(part.len() as u64);
        rest = behind;
    }
    Ok(())
}

fn too_large() -> io::Error {
    io::ErrorKind::FileTooLarge.into()
}

impl portable::SourceContent for SourceFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = self.fill(buffer, offset);
        read.map_err(|e| io::Error::new(e.kind(), self.error(e).chain()))
    }
}

/// All files of a block, open.
#[derive(Debug)]
pub(super) struct OpenBlock {
    /// `meta.json` first, then by name.
    pub(super) files: Vec<SourceFile>,
    /// What else the directory holds.
    pub(super) listing: Listing,
    dir: Folder,
}

impl OpenBlock {
    /// Opens all files of the block in `dir`, which must not be a link itself where links are
    /// refused.
    ///
    /// The directory is listed again afterwards: a block that is deleted file by file (not by
    /// Prometheus, which renames first) shows another list, and is not taken.
    pub(super) fn open(dir: &Path, links: Links) -> Result<Self, Miss> {
        Self::open_within(&SLOTS, Folder::open_entry(dir, links)?)
    }

    /// As [`OpenBlock::open`], for a block that was given by itself: it may be reached through
    /// links.
    pub(super) fn open_given(dir: &Path, links: Links) -> Result<Self, Miss> {
        Self::open_within(&SLOTS, Folder::open(dir, links)?)
    }

    fn open_within(slots: &'static Slots, dir: Folder) -> Result<Self, Miss> {
        let listing = Listing::of(&dir)?;
        let files = listing
            .files
            .iter()
            .map(|name| SourceFile::open_within(slots, &dir, name.clone()));
        let block = OpenBlock {
            files: files.collect::<Result<_>>()?,
            listing,
            dir,
        };
        if block.is_unchanged() {
            Ok(block)
        } else {
            Err(Miss::Vanished)
        }
    }

    /// Whether the directory still holds what it held when it was opened, and still has its name.
    pub(super) fn is_unchanged(&self) -> bool {
        self.dir.path().is_dir() && Listing::of(&self.dir).is_ok_and(|now| now == self.listing)
    }

    /// The file with this name.
    pub(super) fn get(&self, name: &str) -> Option<&SourceFile> {
        self.files.iter().find(|file| file.name.as_str() == name)
    }

    /// Length of all files together, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Names of everything below a block directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    files: Vec<FilePath>,
    /// Directories that hold nothing.
    pub(super) empty_dirs: Vec<FilePath>,
    /// Entries that cannot be archived, and why.
    pub(super) strange: Vec<(PathBuf, &'static str)>,
}

impl Listing {
    fn of(dir: &Folder) -> Result<Self> {
        let mut listing = Listing::default();
        listing.add(dir, None, 0)?;
        listing.files.sort_by_cached_key(|name| {
            let is_meta = name.as_str() == "meta.json";
            (!is_meta, name.clone())
        });
        listing.empty_dirs.sort();
        listing.strange.sort();
        Ok(listing)
    }

    /// Whether something that Prometheus would read is not among the files.
    pub(super) fn lacks_part(&self, dir: &Path) -> bool {
        self.strange.iter().any(|(path, _)| {
            let name = path.strip_prefix(dir).unwrap_or(path);
            let first = name.components().next();
            let parts = ["meta.json", "index", "tombstones", "chunks"];
            first.is_some_and(|first| parts.iter().any(|part| first.as_os_str() == *part))
        })
    }

    /// Adds what is in `dir`, which is called `inside` within the block, and says whether there was
    /// anything.
    fn add(&mut self, dir: &Folder, inside: Option<&FilePath>, depth: usize) -> Result<bool> {
        let entries = dir.entries()?;
        let any = !entries.is_empty();
        for FolderEntry {
            name,
            kind,
            is_link,
        } in entries
        {
            let path = dir.path().join(&name);
            let Some(full) = self::name(&path, inside) else {
                self.strange
                    .push((path, "expected a name that is plain text"));
                continue;
            };
            match kind {
                FileType::RegularFile => self.files.push(full),
                // Links to directories could lead in circles; only `chunks` on another disk has a
                // meaning.
                FileType::Directory
                    if depth < MAX_DEPTH && (!is_link || full.as_str() == "chunks") =>
                {
                    if !self.add(&dir.folder(name.as_ref())?, Some(&full), depth + 1)? {
                        self.empty_dirs.push(full);
                    }
                }
                FileType::Symlink => self.strange.push((
                    path,
                    "it is a symbolic link, which is not followed (--follow-links follows those that lead somewhere)",
                )),
                _ => self
                    .strange
                    .push((path, "expected a regular file or a directory")),
            }
        }
        Ok(any)
    }
}

/// What the entry at `path` is called within the block; `None` when a repository cannot hold the
/// name.
fn name(path: &Path, inside: Option<&FilePath>) -> Option<FilePath> {
    let own = path.file_name()?.to_str()?;
    let full = match inside {
        Some(dir) => format!("{dir}/{own}"),
        None => own.to_owned(),
    };
    FilePath::new(full).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::portable::SourceContent as _;
    use std::fs;

    fn strange(block: &OpenBlock) -> Vec<PathBuf> {
        let strange = block.listing.strange.iter();
        strange.map(|(path, _)| path.clone()).collect()
    }

    fn names(block: &OpenBlock) -> Vec<&str> {
        block.files.iter().map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn a_block_is_opened_whole_with_meta_json_first_and_strange_entries_named() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path();
        fs::create_dir_all(block.join("chunks")).unwrap();
        fs::create_dir_all(block.join("a/empty")).unwrap();
        fs::create_dir_all(block.join("a/b")).unwrap();
        for name in ["index", "meta.json", "chunks/000001", "a/b/c"] {
            fs::write(block.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", block.join("dangling")).unwrap();
        let opened = OpenBlock::open(block, Links::Refused).unwrap();
        assert_eq!(
            names(&opened),
            ["meta.json", "a/b/c", "chunks/000001", "index"]
        );
        fs::write(block.join("back\\slash"), b"").unwrap();
        let opened = OpenBlock::open(block, Links::Refused).unwrap();
        assert_eq!(
            strange(&opened),
            [block.join("back\\slash"), block.join("dangling")]
        );
        assert_eq!(opened.bytes(), 9 + 5 + 13 + 5);
        let empty: Vec<_> = opened
            .listing
            .empty_dirs
            .iter()
            .map(FilePath::as_str)
            .collect();
        assert_eq!(empty, ["a/empty"]);
    }

    #[test]
    fn links_are_named_and_those_to_files_and_chunks_followed_only_when_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let block = dir.path().join("block");
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, block.join(name)).unwrap();
        };
        fs::create_dir_all(block.join("disk2")).unwrap();
        fs::write(block.join("disk2/000001"), b"x").unwrap();
        link("disk2/000001", "index");
        link("disk2", "chunks");
        link("..", "up");
        link(".", "self");
        let refused = OpenBlock::open(&block, Links::Refused).unwrap();
        assert_eq!(names(&refused), ["disk2/000001"]);
        let left_out = ["chunks", "index", "self", "up"].map(|name| block.join(name));
        assert_eq!(strange(&refused), left_out);
        assert!(refused.listing.lacks_part(&block));
        let followed = OpenBlock::open(&block, Links::Followed).unwrap();
        assert_eq!(names(&followed), ["chunks/000001", "disk2/000001", "index"]);
        assert_eq!(followed.listing.strange.len(), 2);
        assert!(!followed.listing.lacks_part(&block));
        std::os::unix::fs::symlink("block", dir.path().join("linked")).unwrap();
        let linked = dir.path().join("linked");
        assert!(OpenBlock::open(&linked, Links::Refused).is_err());
        let given = OpenBlock::open_given(&linked, Links::Refused).unwrap();
        assert_eq!(names(&given), ["disk2/000001"]);
    }

    #[test]
    fn pages_that_the_disk_cannot_read_are_zeros_and_the_others_are_read() {
        let failing = |page: &mut [u8], at: u64| {
            if at / PAGE as u64 == 1 {
                return Err(rustix::io::Errno::IO.into());
            }
            page.fill(7);
            Ok(())
        };
        let mut buffer = vec![1; 2 * PAGE + 200];
        read_around(&mut buffer, PAGE as u64 - 100, failing).unwrap();
        assert!(buffer[..100].iter().all(|byte| *byte == 7));
        assert!(buffer[100..100 + PAGE].iter().all(|byte| *byte == 0));
        assert!(buffer[100 + PAGE..].iter().all(|byte| *byte == 7));
        let other = |_: &mut [u8], _: u64| Err(io::ErrorKind::UnexpectedEof.into());
        assert!(
            read_around(&mut buffer, 0, other).is_err(),
            "not the disk's fault"
        );
    }

    #[test]
    fn an_open_file_keeps_its_content_and_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00000001");
        fs::write(&path, b"0123456789").unwrap();
        let file = SourceFile::open(
            dir.path(),
            FilePath::new("00000001").unwrap(),
            Links::Refused,
        )
        .unwrap();
        fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, b"appended"))
            .unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(file.size().unwrap(), 10);
        assert_eq!(file.digest().unwrap(), Digest::of(b"0123456789"));
        for mode in [ReadMode::Map, ReadMode::Read, ReadMode::Read] {
            assert_eq!(&*file.content(mode).unwrap(), b"0123456789");
        }
        assert_eq!(file.read_at(8, 100).unwrap(), b"89");
        assert_eq!(file.read_at(100, 100).unwrap(), b"");
    }

    #[test]
    fn a_file_that_shrank_is_remembered_as_the_one_that_failed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        fs::write(&path, b"0123456789").unwrap();
        let file =
            SourceFile::open(dir.path(), FilePath::new("index").unwrap(), Links::Refused).unwrap();
        fs::write(&path, b"0").unwrap();
        let error = file.read_exact_at(&mut [0; 10], 0).unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
        assert!(file.has_failed());
    }

    #[test]
    fn of_many_files_few_are_open_and_one_that_is_gone_or_replaced_makes_the_block_vanish() {
        static FEW: Slots = Slots::new();
        FEW.max.set(2).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join("chunks").join(name);
        fs::create_dir(dir.path().join("chunks")).unwrap();
        let names = ["000001", "000002", "000003", "000004", "000005"];
        for name in names {
            fs::write(path(name), name).unwrap();
        }
        let block = OpenBlock::open_within(&FEW, Folder::open(dir.path(), Links::Refused).unwrap())
            .unwrap();
        let read = |file: &SourceFile| file.read_exact_at(&mut [0; 6], 0);
        assert_eq!(FEW.held.load(Ordering::Relaxed), 2);
        assert!(block.files.iter().all(|file| read(file).is_ok()));
        for (file, name) in block.files.iter().zip(names) {
            assert_eq!(file.digest().unwrap(), Digest::of(name.as_bytes()));
            assert_eq!(&*file.content(ReadMode::Map).unwrap(), name.as_bytes());
        }
        fs::remove_file(path("000001")).unwrap();
        fs::remove_file(path("000004")).unwrap();
        fs::write(path("new"), "000005").unwrap();
        fs::rename(path("new"), path("000005")).unwrap();
        let lost: Vec<_> = block.files.iter().map(|file| read(file).is_err()).collect();
        assert_eq!(lost, [false, false, false, true, true]);
        let vanished: Vec<_> = block.files.iter().map(SourceFile::has_vanished).collect();
        assert_eq!(vanished, lost);
        let gone = block.files[3].digest().unwrap_err();
        assert!(matches!(Miss::from(gone), Miss::Vanished));
        drop(block);
        assert_eq!(FEW.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_block_that_is_gone_has_vanished() {
        let dir = tempfile::tempdir().unwrap();
        let missing = OpenBlock::open(&dir.path().join("missing"), Links::Refused);
        assert!(matches!(missing, Err(Miss::Vanished)));
    }
}
