//! One file of a live directory: open, with the length it had when it was opened.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::slots::{SLOTS, Slot, Slots};
use crate::error::{Error, Result};
use crate::raw::{FileBytes, Folder, Links, ReadMode};
use crate::repository::{Digest, FilePath, Hasher, portable};

/// One open file, with the length it had when it was opened.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Its path below the block, or below the data directory.
    pub(crate) name: FilePath,
    /// Where it was, for messages.
    path: PathBuf,
    /// Its length in bytes; what is appended later does not count.
    pub(crate) bytes: u64,
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

impl SourceFile {
    /// Opens the regular file `name` in the directory `dir`, which may itself be reached through
    /// links.
    pub(crate) fn open(dir: &Path, name: FilePath, links: Links) -> Result<Self> {
        Self::open_within(&SLOTS, &Folder::open(dir, links)?, name)
    }

    /// A file without content, to stand for one that cannot be read.
    pub(crate) fn empty(dir: &Path, name: FilePath) -> Self {
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

    pub(super) fn open_within(slots: &'static Slots, dir: &Folder, name: FilePath) -> Result<Self> {
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
    pub(crate) fn read_at(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let length = length.min(self.bytes.saturating_sub(offset));
        let length = usize::try_from(length).map_err(|_| self.error(too_large()))?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, offset).map_err(|e| self.error(e))?;
        Ok(bytes)
    }

    /// Its SHA-256 digest.
    pub(crate) fn digest(&self) -> Result<Digest> {
        let mut hasher = Hasher::default();
        self.pass_on(0..self.bytes, |bytes| hasher.update(bytes))?;
        Ok(hasher.finish())
    }

    /// Passes some of its bytes to `take`, piece by piece.
    pub(crate) fn pass_on(&self, range: Range<u64>, mut take: impl FnMut(&[u8])) -> Result<()> {
        const STEP: u64 = 1 << 20;
        let mut offset = range.start;
        while offset < range.end {
            take(&self.read_at(offset, STEP.min(range.end - offset))?);
            offset += STEP;
        }
        Ok(())
    }

    /// Where it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether reading it has failed since it was opened.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Whether it could not be read because it is gone.
    pub(crate) fn has_vanished(&self) -> bool {
        self.vanished.load(Ordering::Relaxed)
    }

    /// Whether there are pages of it that the disk cannot read, as far as it was read. They are
    /// taken for zeros, wherever it is read.
    pub(crate) fn has_holes(&self) -> bool {
        self.has_holes.load(Ordering::Relaxed)
    }

    /// As a file to be stored.
    pub(crate) fn to_store(&self) -> portable::SourceFile<'_> {
        portable::SourceFile {
            name: self.name.clone(),
            content: self,
        }
    }

    /// Some of its bytes.
    pub(crate) fn section(&self, range: Range<u64>) -> Section<'_> {
        Section { file: self, range }
    }

    /// Its content, to be proved.
    pub(crate) fn content(&self, mode: ReadMode) -> Result<Content> {
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

/// Some bytes of a [`SourceFile`].
pub(crate) struct Section<'f> {
    pub(in crate::stored::write) file: &'f SourceFile,
    range: Range<u64>,
}

impl portable::SourceContent for Section<'_> {
    fn size(&self) -> io::Result<u64> {
        Ok(self.range.end.saturating_sub(self.range.start))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let offset = self.range.start.saturating_add(offset);
        portable::SourceContent::read_exact_at(self.file, buffer, offset)
    }
}

/// The content of a [`SourceFile`], without what was appended since it was opened.
pub(crate) struct Content {
    bytes: FileBytes,
    length: usize,
    has_holes: Arc<AtomicBool>,
}

impl Content {
    /// Whether there are pages that could not be read so far, and were taken for zeros.
    pub(crate) fn has_holes(&self) -> bool {
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
pub(super) const PAGE: usize = 4096;

/// Whether a device failed, and not the file system or this program.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Fills `buffer` with what stands from `offset` on, with zeros for pages that `read` cannot read.
pub(super) fn read_around(
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
