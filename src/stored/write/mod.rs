//! Storing a block: from its open files to objects of the repository.
//!
//! A [`Writer`] knows how a block is stored, not which one or when: that is decided by whoever
//! backs up. Both codecs are members of equal rank, [`dense`] and [`portable`]; what of a block has
//! changed since goes into a [`sidecar`]. An object that is there already is taken for the block's
//! own where it holds the same; else the block gets another name.
//!
//! Nothing here judges a block: what is wrong with it is asked of the caller, when as much of it
//! is proved as will be.

mod dense;
mod fingerprint;
mod portable;
mod relatives;
mod sidecar;
mod source;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::dense::Cache;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Millis, Ulid};
use crate::progress::{Progress, Silent};
use crate::raw::ReadMode;
use crate::repository::portable::{self as codec, Object, Root, Staged};
use crate::repository::{Digest, FilePath, FindingCounts, Fingerprint, StoredFile, StoredObject};
use crate::store::{ObjectName, Store};
pub(crate) use fingerprint::{deep_fingerprint, fingerprint};
pub(crate) use relatives::Descent;
pub(crate) use source::{Listing, Miss, OpenBlock, Section, SourceFile};

/// How blocks are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Codec {
    /// Decoded and packed, where that brings back the same bytes; else portable.
    #[default]
    Dense,
    /// As a tar in zstd frames, which anything can read.
    Portable,
}

/// Why a block was not stored.
pub(crate) enum Failure {
    /// The source's fault: the others go on.
    Source(Miss),
    /// The repository's fault: nothing can go on.
    Store(Error),
}

impl From<Miss> for Failure {
    fn from(miss: Miss) -> Self {
        Failure::Source(miss)
    }
}

/// What a repository is known to hold, and what of it is to be relied on.
pub(crate) trait Holdings: Sync {
    /// Whether there is an object of this name.
    fn has_object(&self, name: &ObjectName) -> bool;

    /// Whether an object of this name is about to be deleted: it must not be relied on, and the
    /// name not be used.
    fn is_condemned(&self, name: &ObjectName) -> bool;

    /// Whether `object` must be stored anew under another name: it was seen damaged, or is not as
    /// long as an archive says, or is gone although an archive names it.
    fn is_spoiled(&self, object: &ObjectName) -> bool;

    /// What some archive says of the pack `name`, if that is still so.
    fn pack(&self, name: &ObjectName) -> Option<&StoredObject>;

    /// Size of index and segments of a block, as the latest archive that has it says.
    fn packable_bytes(&self, ulid: Ulid) -> Option<u64>;
}

/// A block whose immutable part is to be stored.
pub(crate) struct NewBlock<'b> {
    /// Its identity in the repository.
    pub(crate) ulid: Ulid,
    /// Identity of its immutable part.
    pub(crate) fingerprint: &'b Fingerprint,
    /// The time it covers.
    pub(crate) range: (Millis, Millis),
    /// Its files.
    pub(crate) open: &'b OpenBlock,
    /// Packs that may hold samples of it, in order of time.
    pub(crate) relatives: Vec<StoredObject>,
}

/// Says what is wrong with the block at hand. Of one that is proved, so that its chunks and its
/// index are known to be sound and to fit each other, only the rest needs to be looked at.
pub(crate) type Examine<'e> = dyn Fn(IsProved) -> Result<Verified, Failure> + Sync + 'e;

/// Whether chunks and index of a block came back as they were, each chunk having been decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsProved {
    Yes,
    No,
}

/// What was learned of a block.
pub(crate) struct Verified {
    pub(crate) findings: FindingCounts,
    /// Whether any finding is more than a note.
    pub(crate) has_problems: bool,
    /// The file of statistics: of a damaged block of what could be read. None where the index
    /// cannot be opened, or the block has a file of that name.
    pub(crate) statistics: Option<Vec<u8>>,
}

impl Verified {
    /// What looks damaged may be half deleted: then `block` has vanished.
    pub(crate) fn unless_vanished(self, block: &OpenBlock) -> Result<Self, Miss> {
        if self.findings.is_empty() || block.is_unchanged() {
            Ok(self)
        } else {
            Err(Miss::Vanished)
        }
    }
}

/// An immutable part that is in the repository.
pub(crate) struct Held {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) object: StoredObject,
    /// Whether the object holds statistics.
    pub(crate) statistics: bool,
    pub(crate) packs: Vec<StoredObject>,
    /// Everything in these, which is how the block was when it was stored first.
    pub(crate) files: Vec<StoredFile>,
    pub(crate) findings: FindingCounts,
}

/// Bytes in and out of a [`Writer`].
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    /// Bytes of the source that were compressed.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of the objects they became.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Counts `read` bytes that became `written`.
    pub(crate) fn add(&self, read: u64, written: u64) {
        self.read.fetch_add(read, Ordering::Relaxed);
        self.written.fetch_add(written, Ordering::Relaxed);
    }
}

/// Writes objects of open files, above all of blocks.
pub(crate) struct Writer<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) known: &'a dyn Holdings,
    /// Compression level of the portable codec.
    pub(crate) level: i32,
    /// How files that are packed are read.
    pub(crate) read_mode: ReadMode,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) traffic: &'a Traffic,
    pub(crate) cache: &'a Cache,
    /// Receives objects that turn out to be damaged, and what is wrong with each.
    pub(crate) suspects: &'a Mutex<BTreeMap<ObjectName, String>>,
}

impl Writer<'_> {
    /// Stores the immutable part of a block that nothing is known of, in the codec `wanted`; or
    /// portable, if that one cannot hold it.
    pub(crate) fn store(
        &self,
        block: &NewBlock<'_>,
        wanted: Codec,
        examine: &Examine<'_>,
    ) -> Result<Held, Failure> {
        if wanted == Codec::Dense
            && let Some(held) = self.store_densely(block, examine)?
        {
            return Ok(held);
        }
        let verified = examine(IsProved::No)?.unless_vanished(block.open)?;
        self.store_portably(block, verified)
    }

    /// Compresses `files` into an object that is not published yet.
    fn write(
        &self,
        name: &ObjectName,
        root: Root,
        files: &[&SourceFile],
    ) -> Result<Staged, Failure> {
        self.write_with(name, root, files, &[])
    }

    /// Compresses parts of files, each under a name of its own, into an object that is not
    /// published yet.
    pub(crate) fn write_parts(
        &self,
        name: &ObjectName,
        root: Root,
        parts: &[(FilePath, Section<'_>)],
    ) -> Result<Staged, Failure> {
        let sources = parts.iter().map(|(name, section)| codec::SourceFile {
            name: name.clone(),
            content: section,
        });
        let files: Vec<_> = parts.iter().map(|(_, section)| section.file).collect();
        let staged = self.compress(name, root, &sources.collect::<Vec<_>>(), &files)?;
        self.traffic.add(
            staged.files().iter().map(|file| file.bytes).sum(),
            staged.object().bytes,
        );
        Ok(staged)
    }

    /// Like [`Writer::write`], with more files that are not from the source.
    fn write_with(
        &self,
        name: &ObjectName,
        root: Root,
        files: &[&SourceFile],
        extra: &[(&str, Vec<u8>)],
    ) -> Result<Staged, Failure> {
        let mut sources: Vec<_> = files.iter().map(|file| file.to_store()).collect();
        for (name, content) in extra {
            let name = FilePath::new(*name).map_err(Failure::Store)?;
            sources.push(codec::SourceFile { name, content });
        }
        let staged = self.compress(name, root, &sources, files)?;
        let read = files.iter().map(|file| file.bytes).sum();
        self.traffic.add(read, staged.object().bytes);
        Ok(staged)
    }

    /// Compresses `sources`, all of them but what is not from the source bytes of `files`.
    fn compress(
        &self,
        name: &ObjectName,
        root: Root,
        sources: &[codec::SourceFile<'_>],
        files: &[&SourceFile],
    ) -> Result<Staged, Failure> {
        let staged = codec::write(self.store, name, root, sources, self.level, self.progress);
        staged.map_err(|error| {
            if files.iter().any(|file| file.has_vanished()) {
                Failure::Source(Miss::Vanished)
            } else if files.iter().any(|file| file.has_failed()) {
                Failure::Source(Miss::Unreadable(error))
            } else {
                Failure::Store(error)
            }
        })
    }

    /// What an object holds that is to be relied on, all of it read; `None` when it is damaged, or
    /// the disk cannot read it.
    fn read(
        &self,
        name: &ObjectName,
        root: Root,
    ) -> Result<Option<(StoredObject, Vec<StoredFile>)>, Failure> {
        let read = Object::open(self.store, name, root)
            .and_then(|object| object.contents(&mut codec::NoVisitor, &Silent))
            .and_then(|(object, files)| Ok((object.lying_in(self.store)?, files)));
        match read {
            // Whoever published it may have died before it was durable.
            Ok(contents) => Ok(if_there(self.store.settle(name))?.map(|()| contents)),
            // A network that fails says nothing of what lies there.
            Err(error) if error.kind() == ErrorKind::Io && self.store.is_far() => {
                Err(Failure::Store(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// What turned out to be damaged so far.
    fn suspects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, String>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was asked of an object that may have been deleted since it was seen; `None` when it has
/// been.
fn if_there<T>(result: Result<T>) -> Result<Option<T>, Failure> {
    match result {
        Err(gone) if gone.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some).map_err(Failure::Store),
    }
}

/// Digests of the files of a block that never change.
fn immutable_digests(block: &OpenBlock) -> Result<Vec<(&SourceFile, Digest)>> {
    let files = block.files.iter().filter(|file| file.name.is_immutable());
    files.map(|file| Ok((file, file.digest()?))).collect()
}

/// Whether `files` have the same immutable part as the block whose digests are `here`.
fn is_same_part(here: &[(&SourceFile, Digest)], files: &[StoredFile]) -> bool {
    let there: Vec<_> = files
        .iter()
        .filter(|file| file.name.is_immutable())
        .collect();
    here.len() == there.len()
        && here.iter().all(|(file, sha256)| {
            there
                .iter()
                .any(|stored| stored.name == file.name && stored.sha256 == *sha256)
        })
}
