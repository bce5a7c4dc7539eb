//! One immutable block directory, and the data directory around it.
//!
//! [`Block::open`] checks what Prometheus checks when it loads a block, and hands out index and
//! segments. [`BlockFiles::scan`] only lists, for those who want to know how a block that does not
//! open is broken.
//!
//! ```
//! use narthex::block::{Block, DataDir};
//! use narthex::raw::ReadMode;
//!
//! let dir = DataDir::scan("fixtures/night-1".as_ref())?;
//! for entry in dir.blocks() {
//!     let block = Block::open(&entry.path, ReadMode::Map)?;
//!     println!("{}: {} segments", block.meta().ulid, block.segments().len());
//! }
//! # Ok::<(), narthex::Error>(())
//! ```

mod datadir;
mod files;
mod meta;
mod tombstones;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub use datadir::{DataDir, DirEntry, DirKind, EntryKind};
pub use files::BlockFiles;
pub use meta::{BlockStats, Compaction, META_VERSION, Meta, Parent};
pub use tombstones::{MAGIC as TOMBSTONES_MAGIC, Tombstone, Tombstones};
pub use writer::{BlockOptions, BlockWriter, write_block};

use crate::chunk::{ChunkRecord, Segment};
use crate::error::{Error, InFile as _, Result};
use crate::index::{Index, IndexFormat};
use crate::model::{ChunkRef, MAX_META_BYTES};
use crate::raw::{FileBytes, Malformed, ReadMode};
use crate::units::resolution_text;

/// A block that opened: its metadata, and its files as bytes.
#[derive(Debug)]
pub struct Block {
    files: BlockFiles,
    meta: Meta,
    index: FileBytes,
    segments: Vec<FileBytes>,
    tombstones: Tombstones,
    faults: Vec<(PathBuf, Malformed)>,
    resolution: String,
}

impl Block {
    /// How much time one aggregate of a downsampled block stands for, as Thanos says it: `5m`,
    /// `1h`. `0ms` for samples.
    pub fn resolution_text(&self) -> &str {
        &self.resolution
    }

    /// Opens the block in `dir`, checking what Prometheus checks: metadata, header and table of
    /// contents of the index, headers of the segments, tombstones.
    ///
    /// # Errors
    ///
    /// The first of these that is wrong, with the path of the file. An unknown metadata version is
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub fn open(dir: &Path, mode: ReadMode) -> Result<Self> {
        let block = Self::open_damaged(dir, mode)?;
        match block.faults.first() {
            Some((path, fault)) => Err(fault.clone()).in_file(path),
            None => Ok(block),
        }
    }

    /// As [`Block::open`], for readers that go on as far as they can: wrong headers of segments and
    /// wrong tombstones are [`Block::faults`].
    ///
    /// # Errors
    ///
    /// When metadata or table of contents are wrong, or a file cannot be read.
    pub fn open_damaged(dir: &Path, mode: ReadMode) -> Result<Self> {
        let files = BlockFiles::scan(dir)?;
        let meta = read_meta(&files)?;
        // Prometheus 2.1 wrote metadata version 2; later releases mend it when they start.
        if meta.version != META_VERSION && meta.version != 2 {
            let path = files.meta();
            return Err(Error::unsupported(format!(
                "{}: expected block metadata of version {META_VERSION}, found {}",
                path.display(),
                meta.version
            )));
        }
        let index = FileBytes::open(&files.index(), mode)?;
        Index::open(&index).in_file(&files.index())?;
        if !files.has_chunks_dir {
            let path = dir.join("chunks");
            return Err(Error::not_found(format!(
                "expected a directory {}",
                path.display()
            )));
        }
        let mut faults = Vec::new();
        let mut segments = Vec::with_capacity(files.segments.len());
        for name in &files.segments {
            let path = files.segment(name);
            let bytes = FileBytes::open(&path, mode)?;
            if let Err(fault) = Segment::new(&bytes).check_header() {
                faults.push((path, fault));
            }
            segments.push(bytes);
        }
        let tombstones = if files.has_tombstones {
            let path = files.tombstones();
            let read = Tombstones::read(&FileBytes::open(&path, mode)?);
            faults.extend(
                read.faults
                    .iter()
                    .map(|fault| (path.clone(), fault.clone())),
            );
            read
        } else {
            Tombstones::default()
        };
        Ok(Block {
            resolution: resolution_text(meta.stream().resolution),
            files,
            meta,
            index,
            segments,
            tombstones,
            faults,
        })
    }

    /// What is wrong with headers of segments and with tombstones; nothing after [`Block::open`].
    pub fn faults(&self) -> &[(PathBuf, Malformed)] {
        &self.faults
    }

    /// The block's directory.
    pub fn dir(&self) -> &Path {
        &self.files.dir
    }

    /// Which files there are.
    pub fn files(&self) -> &BlockFiles {
        &self.files
    }

    /// What `meta.json` says.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The index.
    ///
    /// # Errors
    ///
    /// None for a block that was opened; the type says so for the reader's peace of mind.
    pub fn index(&self) -> Result<Index<'_>> {
        let index = Index::open(&self.index).in_file(&self.files.index())?;
        let is_2_1 = self.meta.version == 2 && index.version() == 1;
        Ok(if is_2_1 {
            index.read_as(IndexFormat::V2)
        } else {
            index
        })
    }

    /// The ranges of time that were deleted.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// The segments, by position: chunk references count them from 0, whatever their names say.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = Segment<'_>> {
        self.segments.iter().map(|bytes| Segment::new(bytes))
    }

    /// Path of the segment at `position`, for messages.
    pub fn segment_path(&self, position: usize) -> PathBuf {
        match self.files.segments.get(position) {
            Some(name) => self.files.segment(name),
            None => self
                .files
                .segment(&format!("{:06}", position.saturating_add(1))),
        }
    }

    /// The chunk that `reference` names, its checksum compared.
    ///
    /// # Errors
    ///
    /// When there is no such segment, the record does not fit it, or the checksum is wrong.
    pub fn chunk(&self, reference: ChunkRef) -> Result<ChunkRecord<'_>, Malformed> {
        let record = self.record(reference)?;
        record.check()?;
        Ok(record)
    }

    /// As [`Block::chunk`], for chunks whose checksums were compared before.
    ///
    /// # Errors
    ///
    /// When there is no such segment, or the record does not fit it.
    pub fn record(&self, reference: ChunkRef) -> Result<ChunkRecord<'_>, Malformed> {
        let segment = self.segments.get(reference.segment()).ok_or_else(|| {
            let wanted = format!("of {} segments", self.segments.len());
            let found = reference.segment().saturating_add(1);
            Malformed::unexpected("chunk", reference.offset(), "segment", wanted, found)
        })?;
        Segment::new(segment).record(reference.offset())
    }

    /// Says that this part of the index is not needed soon, as [`FileBytes::release`].
    pub fn release_index(&self, part: &Range<u64>) {
        release(&self.index, part);
    }

    /// Says that this part of the segment at `position` is not needed soon, as
    /// [`FileBytes::release`].
    pub fn release_segment(&self, position: usize, part: &Range<u64>) {
        if let Some(segment) = self.segments.get(position) {
            release(segment, part);
        }
    }

    /// Bytes of the index file.
    pub fn index_bytes(&self) -> u64 {
        self.index.len() as u64
    }

    /// Bytes of all segment files.
    pub fn chunk_bytes(&self) -> u64 {
        self.segments.iter().map(|bytes| bytes.len() as u64).sum()
    }
}

fn release(file: &FileBytes, part: &Range<u64>) {
    let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    file.release(place(part.start), place(part.end));
}

/// Reads and parses `meta.json` of the block whose files are `files`.
///
/// # Errors
///
/// When it is missing, not readable or not block metadata.
pub fn read_meta(files: &BlockFiles) -> Result<Meta> {
    let content = read_meta_bytes(files)?;
    let path = files.meta();
    Meta::parse(&content).map_err(|error| error.context(path.display().to_string()))
}

/// Reads `meta.json` of the block whose files are `files`, whatever it holds.
///
/// # Errors
///
/// When it is missing, not readable, or far longer than any block metadata.
pub fn read_meta_bytes(files: &BlockFiles) -> Result<FileBytes> {
    read_meta_file(&files.meta())
}

/// Reads the `meta.json` at `path`, whatever it holds.
///
/// # Errors
///
/// As [`read_meta_bytes`].
pub fn read_meta_file(path: &Path) -> Result<FileBytes> {
    // Replaced by rename while Prometheus runs, so it is read, not mapped: it is small.
    let bytes = std::fs::metadata(path)
        .map_err(|e| Error::io("stat", path, e))?
        .len();
    if bytes > MAX_META_BYTES {
        let path = path.display();
        return Err(Error::corrupt(format!(
            "{path}: expected at most {MAX_META_BYTES} bytes of metadata, found {bytes}"
        )));
    }
    FileBytes::open(path, ReadMode::Read)
}
