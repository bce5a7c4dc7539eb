//! Writing an object: read and compress a batch of frames in parallel, while the batch before it is
//! hashed and written in order.

use std::io::Write as _;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, compress_bound};

use super::buffer::Buffer;
use super::seek_table::SeekTable;
use super::tar_write::{FileDigests, TarStream};
use super::{FRAME_BYTES, Root, SourceFile, frames_in_flight};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::repository::codec::ObjectCodec;
use crate::repository::digest::Hasher;
use crate::repository::entries::{EncryptedForm, StoredFile, StoredObject};
use crate::store::{ObjectName, PendingObject, Store, write_error};

/// An object that is written, but not published yet.
#[must_use = "nothing is stored before it is published"]
pub struct Staged {
    pending: Box<dyn PendingObject>,
    object: StoredObject,
    files: Vec<StoredFile>,
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Staged").field(&self.object).finish()
    }
}

impl Staged {
    /// The object, as it will be.
    pub fn object(&self) -> &StoredObject {
        &self.object
    }

    /// The files in it, in their order.
    pub fn files(&self) -> &[StoredFile] {
        &self.files
    }

    /// Publishes the object.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` when the name is taken; [`Object::contents`](super::Object::contents) says
    /// what is there.
    pub fn publish(self) -> Result<(StoredObject, Vec<StoredFile>)> {
        self.pending.publish()?;
        Ok((self.object, self.files))
    }
}

/// Writes `files` in their order as the object `name`, compressed at `level` (1 to 22). Progress is
/// in raw bytes.
///
/// # Errors
///
/// When a file cannot be read, or changes its size meanwhile, or the store fails.
pub fn write(
    store: &dyn Store,
    name: &ObjectName,
    root: Root,
    files: &[SourceFile<'_>],
    level: i32,
    progress: &dyn Progress,
) -> Result<Staged> {
    if !(1..=22).contains(&level) {
        return Err(Error::invalid(format!(
            "expected a compression level from 1 to 22, found {level}"
        )));
    }
    let stream = TarStream::new(root, files)?;
    let mut output = Output {
        name,
        pending: store.create(name)?,
        table: SeekTable::default(),
        sha256: Hasher::default(),
        files: FileDigests::new(&stream),
        progress,
    };
    let source = Source {
        stream: &stream,
        level,
        idle: Mutex::default(),
    };
    let mut ready = Vec::new();
    for batch in batches(stream.bytes()) {
        let (next, taken) = rayon::join(|| source.frames(batch), || output.take(&ready));
        taken?;
        ready = next?;
    }
    output.take(&ready)?;
    output.finish()
}

/// The frames of a stream, by number, as many at a time as are in flight.
fn batches(bytes: u64) -> impl Iterator<Item = Range<u64>> {
    let frames = bytes.div_ceil(FRAME_BYTES as u64);
    let step = frames_in_flight();
    (0..frames)
        .step_by(step)
        .map(move |first| first..frames.min(first + step as u64))
}

/// A frame, raw and compressed.
struct Frame {
    start: u64,
    raw: Buffer,
    compressed: Buffer,
}

/// Makes frames of a stream.
struct Source<'a> {
    stream: &'a TarStream<'a>,
    level: i32,
    /// Compressors that nobody uses at the moment: they have much memory of their own.
    idle: Mutex<Vec<Compressor<'static>>>,
}

impl Source<'_> {
    fn frames(&self, numbers: Range<u64>) -> Result<Vec<Frame>> {
        numbers
            .into_par_iter()
            .map(|number| self.frame(number))
            .collect()
    }

    fn frame(&self, number: u64) -> Result<Frame> {
        let start = number * FRAME_BYTES as u64;
        let rest = usize::try_from(self.stream.bytes() - start).unwrap_or(usize::MAX);
        let mut raw = Buffer::default();
        self.stream.read(start, rest.min(FRAME_BYTES), &mut raw)?;
        let compressed = self
            .compress(&raw)
            .map_err(|e| Error::new(ErrorKind::Io, "cannot compress").with_source(e))?;
        Ok(Frame {
            start,
            raw,
            compressed,
        })
    }

    fn compress(&self, raw: &[u8]) -> std::io::Result<Buffer> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let reused = idle().pop();
        let mut compressor = reused.map_or_else(|| compressor(self.level), Ok)?;
        let mut compressed = Buffer::default();
        compressed.reserve_exact(compress_bound(raw.len()));
        compressor.compress_to_buffer(raw, &mut *compressed)?;
        idle().push(compressor);
        Ok(compressed)
    }
}

/// Without the content checksum a flipped bit would extract silently by hand.
fn compressor(level: i32) -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

/// The end of the pipe: frames arrive in order.
struct Output<'s, 'a> {
    name: &'s ObjectName,
    pending: Box<dyn PendingObject>,
    table: SeekTable,
    sha256: Hasher,
    files: FileDigests<'s, 'a>,
    progress: &'s dyn Progress,
}

impl Output<'_, '_> {
    fn take(&mut self, frames: &[Frame]) -> Result<()> {
        for frame in frames {
            let size = |len: usize| u32::try_from(len).map_err(|_| too_large());
            self.table
                .push(size(frame.compressed.len())?, size(frame.raw.len())?);
        }
        let (files, sha256, pending) = (&mut self.files, &mut self.sha256, &mut self.pending);
        let (name, progress) = (self.name, self.progress);
        let hash_files = || {
            for frame in frames {
                files.update(frame.start, &frame.raw);
                progress.advance(frame.raw.len() as u64);
            }
        };
        let put = || {
            frames
                .iter()
                .try_for_each(|frame| put(pending, sha256, name, &frame.compressed))
        };
        rayon::join(hash_files, put).1
    }

    fn finish(mut self) -> Result<Staged> {
        let table = self.table.to_bytes().ok_or_else(too_large)?;
        put(&mut self.pending, &mut self.sha256, self.name, &table)?;
        let form = self.pending.finish()?;
        Ok(Staged {
            object: StoredObject {
                name: self.name.clone(),
                codec: ObjectCodec::Portable,
                bytes: self.table.bytes() + table.len() as u64,
                sha256: self.sha256.finish(),
                raw_bytes: self.table.raw_bytes(),
                encrypted: form.map(EncryptedForm::from),
            },
            files: self.files.finish()?,
            pending: self.pending,
        })
    }
}

fn put(
    pending: &mut Box<dyn PendingObject>,
    sha256: &mut Hasher,
    name: &ObjectName,
    bytes: &[u8],
) -> Result<()> {
    sha256.update(bytes);
    pending.write_all(bytes).map_err(|e| write_error(name, e))
}

#[cold]
fn too_large() -> Error {
    Error::unsupported("expected at most 2^29 frames in an object, found more")
}
