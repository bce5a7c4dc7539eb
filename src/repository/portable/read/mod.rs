//! Reading an object: single files out of the middle, or everything in order, a batch of frames
//! decompressed in parallel while the batch before it is consumed.

mod consumer;
mod frames;

use std::collections::BTreeSet;
use std::ops::Range;

use rayon::prelude::*;

use super::buffer::Buffer;
use super::seek_table::{FOOTER_BYTES, Frame, SeekTable};
use super::tar_read::{Header, belongs, file_name, padding, parse_header, parse_long_name};
use super::tar_write::{BLOCK, BLOCK_BYTES, header};
use super::visitor::Visitor;
use super::{FRAME_BYTES, MAX_FILES, Root, TAR, frames_in_flight};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::raw::Malformed;
use crate::repository::codec::ObjectCodec;
use crate::repository::digest::Hasher;
use crate::repository::entries::{StoredFile, StoredObject};
use crate::repository::layout::FilePath;
use crate::store::{ObjectName, Store};
use consumer::{Both, Consumer};
use frames::{decompress, find_frames};

/// An object, opened: its seek table has been read and fits its size.
#[derive(Debug)]
pub struct Object<'a> {
    store: &'a dyn Store,
    name: &'a ObjectName,
    root: Root,
    table: SeekTable,
    /// The seek table as it stands in the object.
    table_bytes: Vec<u8>,
    /// The frame read last by [`Object::read`], with its position.
    last: Option<(usize, Buffer)>,
}

/// A file in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its name below the root.
    pub name: FilePath,
    /// Its size in bytes.
    pub bytes: u64,
    /// Where it begins in the raw stream.
    offset: u64,
}

impl<'a> Object<'a> {
    /// Opens `name`, whose files extract below `root`. Reads only the seek table.
    pub fn open(store: &'a dyn Store, name: &'a ObjectName, root: Root) -> Result<Self> {
        let bytes = store.size(name)?;
        let footer = store.get_range(name, bytes.saturating_sub(FOOTER_BYTES)..bytes)?;
        let size = SeekTable::size(&footer, bytes).map_err(|e| malformed(name, e))?;
        let table_bytes = store.get_range(name, bytes.saturating_sub(size)..bytes)?;
        let table = SeekTable::parse(&table_bytes, bytes.saturating_sub(size))
            .map_err(|e| malformed(name, e))?;
        Ok(Object {
            store,
            name,
            root,
            table,
            table_bytes,
            last: None,
        })
    }

    /// Opens `name` even if its seek table is damaged or was cut off: its frames are then found one
    /// after the other, as far as they can be told. What is read of it must be proved.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or begins with no whole frame.
    pub fn open_damaged(store: &'a dyn Store, name: &'a ObjectName, root: Root) -> Result<Self> {
        let damage = match Self::open(store, name, root) {
            Err(damage) if damage.kind() != crate::ErrorKind::NotFound => damage,
            opened => return opened,
        };
        let table = find_frames(store, name)?;
        if table.frames.is_empty() {
            return Err(damage);
        }
        Ok(Object {
            store,
            name,
            root,
            table,
            table_bytes: Vec::new(),
            last: None,
        })
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.table.bytes() + self.table_bytes.len() as u64
    }

    /// Size of the tar stream in it, in bytes.
    pub fn raw_bytes(&self) -> u64 {
        self.table.raw_bytes()
    }

    /// Names and sizes of its files, in their order. Decompresses only frames that hold a header.
    pub fn entries(&mut self) -> Result<Vec<FileEntry>> {
        let mut entries = Vec::new();
        self.list_into(&mut entries, |_| false)?;
        Ok(entries)
    }

    /// The file called `name`, if there is one. Decompresses nothing behind it.
    pub fn entry(&mut self, name: &FilePath) -> Result<Option<FileEntry>> {
        let mut entries = Vec::new();
        self.list_into(&mut entries, |entry| entry.name == *name)?;
        Ok(entries.pop().filter(|last| last.name == *name))
    }

    /// The files up to the first header that cannot be read, and why that is, if there is one.
    pub fn readable_entries(&mut self) -> (Vec<FileEntry>, Option<Error>) {
        self.likely_entries(&[])
    }

    /// As [`Object::readable_entries`]; in the place of a header that cannot be read there is
    /// likely to be that of the next of `files`. Whether it is, digests decide.
    pub fn likely_entries(&mut self, files: &[&StoredFile]) -> (Vec<FileEntry>, Option<Error>) {
        // Blocks are stored in this order.
        let mut files = files.to_vec();
        files.sort_by_key(|file| (file.name.as_str() != "meta.json", &file.name));
        let mut entries = Vec::new();
        let mut first = None;
        let mut offset = 0;
        while let Err(error) = self.list_from(offset, &mut entries, |_| false) {
            first.get_or_insert(error);
            let last = entries.last().map(|entry: &FileEntry| {
                let end = entry.offset.saturating_add(entry.bytes);
                let end = end.saturating_add(padding(entry.bytes));
                (end, files.iter().position(|file| file.name == entry.name))
            });
            let (end, next) = match last {
                None => (0, Some(0)),
                Some((end, place)) => (end, place.map(|place| place + 1)),
            };
            let likely = next.and_then(|next| files.get(next));
            let likely = likely.filter(|_| end < self.raw_bytes() && entries.len() < MAX_FILES);
            let Some(file) = likely else {
                break;
            };
            let Ok(header) = header(&self.root.path(&file.name), file.bytes) else {
                break;
            };
            let begin = end.saturating_add(header.len() as u64);
            entries.push(FileEntry {
                name: file.name.clone(),
                bytes: file.bytes,
                offset: begin,
            });
            offset = begin.saturating_add(file.bytes);
            offset = offset.saturating_add(padding(file.bytes));
        }
        (entries, first)
    }

    /// Puts its files into `entries`, up to the first that is `wanted`.
    fn list_into(
        &mut self,
        entries: &mut Vec<FileEntry>,
        wanted: impl Fn(&FileEntry) -> bool,
    ) -> Result<()> {
        self.list_from(0, entries, wanted)
    }

    /// As [`Object::list_into`], from the header at `offset` on.
    fn list_from(
        &mut self,
        mut offset: u64,
        entries: &mut Vec<FileEntry>,
        wanted: impl Fn(&FileEntry) -> bool,
    ) -> Result<()> {
        let mut long_name = None;
        while entries.len() < MAX_FILES {
            let header = self.read(offset, BLOCK)?;
            let header = parse_header(&header, offset)
                .and_then(|header| belongs(&header, long_name.as_deref(), offset).map(|()| header))
                .map_err(|e| malformed(self.name, e))?;
            offset += BLOCK;
            match header {
                Header::End => return Ok(()),
                Header::LongName(len) => {
                    let bytes = len.next_multiple_of(BLOCK_BYTES) as u64;
                    let name = parse_long_name(&self.read(offset, bytes)?, len, offset);
                    long_name = Some(name.map_err(|e| malformed(self.name, e))?);
                    offset += bytes;
                }
                Header::File(path, bytes) => {
                    let path = long_name.take().unwrap_or(path);
                    let name = file_name(self.root, &path).map_err(|e| self.context(e))?;
                    entries.push(FileEntry {
                        name,
                        bytes,
                        offset,
                    });
                    if entries.last().is_some_and(&wanted) {
                        return Ok(());
                    }
                    offset = offset.saturating_add(bytes).saturating_add(padding(bytes));
                }
            }
        }
        Err(self.context(Error::unsupported(format!(
            "expected at most {MAX_FILES} files, found more"
        ))))
    }

    /// Passes one file to `visitor`, piece by piece. Only the frames that hold it are read.
    ///
    /// # Errors
    ///
    /// When a frame of it cannot be read, or `visitor` says so; part of the file has been passed on
    /// then.
    pub fn pass_on(&mut self, entry: &FileEntry, visitor: &mut dyn Visitor) -> Result<()> {
        visitor.begin(&entry.name, entry.bytes)?;
        let mut hasher = Hasher::default();
        let mut done = 0;
        while done < entry.bytes {
            let step = (entry.bytes - done).min(FRAME_BYTES as u64);
            let bytes = self.read(entry.offset.saturating_add(done), step)?;
            hasher.update(&bytes);
            visitor.data(&bytes)?;
            done += step;
        }
        visitor.end(&entry.name, hasher.finish())
    }

    /// Passes one file to `visitor`, with zeros in the place of what cannot be read, up to the last
    /// frame there is. Returns how many bytes of the file are missing.
    ///
    /// # Errors
    ///
    /// When `visitor` says so.
    pub fn pass_on_with_holes(
        &mut self,
        entry: &FileEntry,
        visitor: &mut dyn Visitor,
    ) -> Result<u64> {
        visitor.begin(&entry.name, entry.bytes)?;
        let mut hasher = Hasher::default();
        let (mut done, mut missing) = (0, 0);
        while done < entry.bytes {
            let start = entry.offset.saturating_add(done);
            // Up to the end of the frame, which is read as a whole or not.
            let frame = self.table.covering(start, start.saturating_add(1)).next();
            let Some((_, frame)) = frame else {
                missing += entry.bytes - done;
                break;
            };
            let end = frame.raw_offset.saturating_add(u64::from(frame.raw_bytes));
            let step = end.saturating_sub(start).min(entry.bytes - done);
            let step = step.clamp(1, FRAME_BYTES as u64);
            let bytes = self.read(start, step).unwrap_or_else(|_| {
                missing += step;
                vec![0; usize::try_from(step).unwrap_or(0)]
            });
            hasher.update(&bytes);
            visitor.data(&bytes)?;
            done += step;
        }
        visitor.end(&entry.name, hasher.finish())?;
        Ok(missing)
    }

    /// The content of one file, at most `max_bytes` of it. Only the frames that hold it are read.
    ///
    /// Nothing but the frames' checksums is proved here: compare the digest.
    pub fn read_file(&mut self, entry: &FileEntry, max_bytes: u64) -> Result<Vec<u8>> {
        if entry.bytes > max_bytes {
            return Err(self.context(Error::unsupported(format!(
                "expected file {} to be at most {max_bytes} bytes, found {}",
                entry.name, entry.bytes
            ))));
        }
        self.read(entry.offset, entry.bytes)
    }

    /// The bytes of `range` in one file. Only the frames that hold them are read, and the last of
    /// them is remembered for the next range.
    ///
    /// Nothing but the frames' checksums is proved here.
    ///
    /// # Errors
    ///
    /// When the file has fewer bytes, or a frame cannot be read.
    pub fn read_range(&mut self, entry: &FileEntry, range: Range<u64>) -> Result<Vec<u8>> {
        if range.end > entry.bytes {
            let (name, end, bytes) = (&entry.name, range.end, entry.bytes);
            return Err(self.context(Error::corrupt(format!(
                "expected file {name} to have {end} bytes at least, found {bytes}"
            ))));
        }
        let len = range.end.saturating_sub(range.start);
        self.read(entry.offset.saturating_add(range.start), len)
    }

    /// `len` bytes from `start` on of the raw stream.
    fn read(&mut self, start: u64, len: u64) -> Result<Vec<u8>> {
        let end = start.saturating_add(len);
        if end > self.raw_bytes() {
            let short =
                Malformed::truncated(TAR, start, len, self.raw_bytes().saturating_sub(start));
            return Err(malformed(self.name, short));
        }
        let mut bytes = Vec::new();
        let frames: Vec<_> = self.table.covering(start, end).collect();
        for (number, frame) in frames {
            let raw = match self.last.take() {
                Some((last, raw)) if last == number => raw,
                _ => self.decompress(number, frame, &self.fetch(frame)?)?,
            };
            let within = |offset: u64| {
                let within = offset.saturating_sub(frame.raw_offset);
                usize::try_from(within).map_or(raw.len(), |within| within.min(raw.len()))
            };
            bytes.extend_from_slice(raw.get(within(start)..within(end)).unwrap_or_default());
            self.last = Some((number, raw));
        }
        Ok(bytes)
    }

    /// Reads everything and passes every file to `visitor`. Returns what a manifest says of the
    /// object and its files, as they really are. Progress is in raw bytes.
    pub fn contents(
        &self,
        visitor: &mut dyn Visitor,
        progress: &dyn Progress,
    ) -> Result<(StoredObject, Vec<StoredFile>)> {
        let mut consumer = Consumer::new(self.root, visitor, progress);
        let mut ready = Vec::new();
        for batch in self.batches() {
            let (next, taken) =
                rayon::join(|| self.decompress_batch(batch), || consumer.take(&ready));
            taken.map_err(|e| self.context(e))?;
            ready = next?;
        }
        let taken = consumer.take(&ready);
        let finished = taken.and_then(|()| consumer.finish(&self.table_bytes));
        let (sha256, files) = finished.map_err(|e| self.context(e))?;
        let object = StoredObject {
            name: self.name.clone(),
            codec: ObjectCodec::Portable,
            bytes: self.bytes(),
            sha256,
            raw_bytes: self.raw_bytes(),
            encrypted: None,
        };
        Ok((object, files))
    }

    /// Every frame that cannot be read back, with the reason. Frames are independent: the others
    /// can.
    pub fn damaged_frames(&self) -> Vec<(usize, Error)> {
        let mut damaged = Vec::new();
        for batch in self.batches() {
            let frames = batch.into_par_iter().filter_map(|number| {
                let frame = self.frame(number).ok()?;
                let read = self.fetch(frame);
                let read = read.and_then(|bytes| self.decompress(number, frame, &bytes));
                read.err().map(|e| (number, e))
            });
            damaged.extend(frames.collect::<Vec<_>>());
        }
        damaged
    }

    /// Names of the files that have bytes in any of the frames `numbers`.
    pub(in crate::repository) fn files_in(
        &self,
        entries: &[FileEntry],
        numbers: &BTreeSet<usize>,
    ) -> Vec<FilePath> {
        let hit = |entry: &&FileEntry| {
            let end = entry.offset.saturating_add(entry.bytes);
            let mut frames = self.table.covering(entry.offset, end);
            entry.bytes > 0 && frames.any(|(number, _)| numbers.contains(&number))
        };
        entries
            .iter()
            .filter(hit)
            .map(|entry| entry.name.clone())
            .collect()
    }

    fn batches(&self) -> impl Iterator<Item = Range<usize>> {
        let (frames, step) = (self.table.frames.len(), frames_in_flight());
        (0..frames)
            .step_by(step)
            .map(move |first| first..frames.min(first + step))
    }

    fn frame(&self, number: usize) -> Result<Frame> {
        let frame = self.table.frames.get(number).copied();
        frame.ok_or_else(|| self.context(Error::not_found(format!("there is no frame {number}"))))
    }

    fn decompress_batch(&self, numbers: Range<usize>) -> Result<Vec<Both>> {
        let decompressed = numbers.into_par_iter().map(|number| {
            let frame = self.frame(number)?;
            let compressed = self.fetch(frame)?;
            let raw = self.decompress(number, frame, &compressed)?;
            Ok(Both { compressed, raw })
        });
        decompressed.collect()
    }

    /// The compressed bytes of `frame`; the seek table was made to fit the object, so they are no
    /// more than it holds.
    fn fetch(&self, frame: Frame) -> Result<Vec<u8>> {
        let end = frame.offset + u64::from(frame.bytes);
        self.store.get_range(self.name, frame.offset..end)
    }

    fn decompress(&self, number: usize, frame: Frame, compressed: &[u8]) -> Result<Buffer> {
        decompress(frame, compressed).map_err(|e| {
            self.context(e.context(format!("frame {number} at offset {}", frame.offset)))
        })
    }

    fn context(&self, error: Error) -> Error {
        error.context(format!("object {}", self.name))
    }
}

fn malformed(name: &ObjectName, malformed: Malformed) -> Error {
    Error::new(malformed.kind(), format!("object {name}")).with_source(malformed)
}
