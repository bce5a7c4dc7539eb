//! Writing an object: read and compress a batch of frames in parallel, while the batch before it is hashed and
//! written in order.

use std::io::Write as _;
use std::ops::Range;

use rayon::prelude::*;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::seek_table::SeekTable;
use super::tar_write::{FileDigests, TarStream};
use super::{FRAME_BYTES, Root, SourceFile, frames_in_flight};
use crate::error::{Error, ErrorKind, Result};
use crate::progress::Progress;
use crate::repository::digest::Hasher;
use crate::repository::manifest::{PORTABLE, StoredFile, StoredObject};
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
    /// `AlreadyExists` when the name is taken; [`Object::contents`](super::Object::contents) says what is there.
    pub fn publish(self) -> Result<(StoredObject, Vec<StoredFile>)> {
        self.pending.publish()?;
        Ok((self.object, self.files))
    }
}

/// Writes `files` in their order as the object `name`, compressed at `level` (1 to 22). Progress is in raw bytes.
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
    let mut ready = Vec::new();
    for batch in batches(stream.bytes()) {
        let (next, taken) = rayon::join(
            || compress(&stream, batch, level),
            || output.take(std::mem::take(&mut ready)),
        );
        taken?;
        ready = next?;
    }
    output.take(ready)?;
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
    raw: Vec<u8>,
    compressed: Vec<u8>,
}

fn compress(stream: &TarStream<'_>, frames: Range<u64>, level: i32) -> Result<Vec<Frame>> {
    frames
        .into_par_iter()
        .map_init(
            || compressor(level),
            |compressor, number| {
                let start = number * FRAME_BYTES as u64;
                let rest = usize::try_from(stream.bytes() - start).unwrap_or(usize::MAX);
                let raw = stream.read(start, rest.min(FRAME_BYTES))?;
                let compressed = match compressor {
                    Ok(compressor) => compressor.compress(&raw),
                    Err(e) => Err(std::io::Error::new(e.kind(), e.to_string())),
                };
                let compressed = compressed
                    .map_err(|e| Error::new(ErrorKind::Io, "cannot compress").with_source(e))?;
                Ok(Frame {
                    start,
                    raw,
                    compressed,
                })
            },
        )
        .collect()
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
    fn take(&mut self, frames: Vec<Frame>) -> Result<()> {
        for frame in frames {
            let size = |len: usize| u32::try_from(len).map_err(|_| too_large());
            self.table
                .push(size(frame.compressed.len())?, size(frame.raw.len())?);
            self.put(&frame.compressed)?;
            self.files.update(frame.start, &frame.raw);
            self.progress.advance(frame.raw.len() as u64);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.sha256.update(bytes);
        self.pending
            .write_all(bytes)
            .map_err(|e| write_error(self.name, e))
    }

    fn finish(mut self) -> Result<Staged> {
        let table = self.table.to_bytes().ok_or_else(too_large)?;
        self.put(&table)?;
        Ok(Staged {
            object: StoredObject {
                name: self.name.clone(),
                codec: PORTABLE.to_owned(),
                bytes: self.table.bytes() + table.len() as u64,
                sha256: self.sha256.finish(),
                raw_bytes: self.table.raw_bytes(),
            },
            files: self.files.finish()?,
            pending: self.pending,
        })
    }
}

#[cold]
fn too_large() -> Error {
    Error::unsupported("expected at most 2^29 frames in an object, found more")
}
