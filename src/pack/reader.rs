//! Unpacking: groups of a pack, and whole blocks.

use std::io::Write;
use std::sync::Arc;

use rayon::prelude::*;

use super::directory::{
    Directory, GroupEntry, HEADER_LEN, Section, TRAILER_LEN, check_header, read_trailer,
};
use super::group::{self, Unpacked};
use super::index::IndexBuilder;
use super::labels::Labels;
use super::timeline::{self, MAX_TIMES};
use crate::chunk::{SEGMENT_HEADER, put_record, segment_header};
use crate::error::{Error, Result};
use crate::index::Generation;
use crate::model::{ChunkRef, Millis};
use crate::raw::Malformed;

/// Largest section of a pack that is read, in bytes. A group holds some MiB of chunks; labels of millions of series some hundred MiB.
const MAX_SECTION: u64 = 512 << 20;

/// Bytes of a pack, wherever they are kept.
pub trait PackBytes: Sync {
    /// Length of the pack.
    fn length(&self) -> u64;

    /// Exactly the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>>;
}

impl PackBytes for [u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let start = usize::try_from(offset).ok();
        let end = offset
            .checked_add(length)
            .and_then(|end| usize::try_from(end).ok());
        let bytes = start.zip(end).and_then(|(start, end)| self.get(start..end));
        bytes
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::corrupt("expected more bytes of a pack"))
    }
}

/// Receives the segments of a block while it is unpacked.
pub trait SegmentSink {
    /// More bytes of the segment that has this position, counted from 0. Segments come one after the other.
    fn segment(&mut self, position: usize, bytes: &[u8]) -> Result<()>;
}

/// A pack whose directory has been read.
#[derive(Debug)]
pub struct Pack<'p, P: ?Sized> {
    bytes: &'p P,
    directory: Directory,
}

impl<'p, P: PackBytes + ?Sized> Pack<'p, P> {
    /// Reads header, trailer and directory.
    ///
    /// # Errors
    ///
    /// When they are damaged, or of a version this program does not know.
    pub fn open(bytes: &'p P) -> Result<Self> {
        let length = bytes.length();
        if length < HEADER_LEN + TRAILER_LEN {
            return Err(Error::corrupt(format!(
                "expected a pack, found {length} bytes"
            )));
        }
        check_header(&bytes.read(0, HEADER_LEN)?).map_err(malformed)?;
        let at = length - TRAILER_LEN;
        let section = read_trailer(&bytes.read(at, TRAILER_LEN)?, at).map_err(malformed)?;
        let content = read_section(bytes, section, "pack directory")?;
        let directory = Directory::read(&content, section.offset).map_err(malformed)?;
        Ok(Pack { bytes, directory })
    }

    /// What the pack consists of, for statistics: the name of each part, and its bytes.
    ///
    /// # Errors
    ///
    /// When a group cannot be read.
    pub fn parts(&self) -> Result<Vec<(&'static str, u64)>> {
        let mut parts = vec![("labels", self.directory.labels.length)];
        let mut add = |name, bytes| match parts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += bytes,
            None => parts.push((name, bytes)),
        };
        let mut sections = HEADER_LEN + self.directory.labels.length;
        for entry in &self.directory.groups {
            add("timelines", entry.timelines.length);
            sections += entry.timelines.length + entry.section.length;
            let content = read_section(self.bytes, entry.section, "group")?;
            for (name, bytes) in group::parts(&content, entry.section.offset).map_err(malformed)? {
                add(name, bytes);
            }
        }
        add(
            "directory",
            self.bytes.length().saturating_sub(sections) + HEADER_LEN,
        );
        Ok(parts)
    }

    /// Samples in all groups.
    pub fn samples(&self) -> u64 {
        let samples = self.directory.groups.iter().map(|group| group.samples);
        samples.fold(0, u64::saturating_add)
    }

    /// Chunks in all groups.
    pub fn chunks(&self) -> u64 {
        let groups = self.directory.groups.iter();
        groups.fold(0, |sum, group| sum.saturating_add(group.chunks))
    }

    /// Unpacks a whole block: segments of so many chunks each, and the index, if it is to be rebuilt.
    ///
    /// Groups are unpacked in parallel, as many at a time as there are threads; `advance` hears of each how many bytes of chunks are
    /// done.
    ///
    /// # Errors
    ///
    /// When the pack is damaged, or something cannot be written.
    pub fn unpack(
        &self,
        segments: &[u64],
        sink: &mut dyn SegmentSink,
        index: Option<(Generation, &mut dyn Write)>,
        advance: &(dyn Fn(u64) + Sync),
    ) -> Result<()> {
        self.check_counts(segments)?;
        let labels = self.labels()?;
        let mut index = match index {
            Some((generation, out)) => Some(IndexBuilder::new(out, generation, &labels)?),
            None => None,
        };
        let mut files = SegmentFiles::new(segments, sink);
        let mut timelines = Vec::new();
        let mut left = MAX_TIMES;
        for wave in self.directory.groups.chunks(rayon::current_num_threads()) {
            let mut sections = Vec::with_capacity(wave.len());
            for entry in wave {
                self.read_timelines(entry, &mut timelines, &mut left)?;
                sections.push(read_section(self.bytes, entry.section, "group")?);
            }
            let line = |number: usize| timelines.get(number).map(|line: &Arc<[Millis]>| &**line);
            let unpacked: Vec<Unpacked> = sections
                .par_iter()
                .zip(wave)
                .map(|(bytes, entry)| {
                    let unpacked =
                        group::read(bytes, entry.section.offset, line).map_err(malformed)?;
                    check_group(&unpacked, entry).map_err(malformed)?;
                    advance(entry.chunk_bytes);
                    Ok(unpacked)
                })
                .collect::<Result<_>>()?;
            for group in unpacked {
                let places = files.put(&group)?;
                if let Some(index) = &mut index {
                    index.add(&group, &mut places.into_iter())?;
                }
            }
        }
        files.finish()?;
        index.map_or(Ok(()), |index| index.finish().map(|_| ()))
    }

    /// Checks that the groups have as many chunks as the segments, before any is unpacked: a few bytes can stand for very many.
    fn check_counts(&self, segments: &[u64]) -> Result<()> {
        let wanted = segments
            .iter()
            .fold(0u64, |sum, count| sum.saturating_add(*count));
        let found = self.chunks();
        if wanted == found {
            return Ok(());
        }
        Err(Error::corrupt(format!(
            "expected a pack of as many chunks as the segments have, {wanted}, found {found}"
        )))
    }

    /// Appends the timelines that `entry` is the first to have; `left` is how many times there may still be.
    fn read_timelines(
        &self,
        entry: &GroupEntry,
        timelines: &mut Vec<Arc<[Millis]>>,
        left: &mut usize,
    ) -> Result<()> {
        let mut lines = Vec::new();
        if entry.timelines.length > 0 {
            let bytes = read_section(self.bytes, entry.timelines, "timelines")?;
            lines = timeline::read(&bytes, entry.timelines.offset, *left).map_err(malformed)?;
        }
        if lines.len() as u64 != entry.timeline_count {
            let wanted = format!("of {}, as the directory says", entry.timeline_count);
            let offset = entry.timelines.offset;
            let found = lines.len();
            return Err(malformed(Malformed::unexpected(
                "timelines",
                offset,
                "number",
                wanted,
                found,
            )));
        }
        *left -= lines.iter().map(|line| line.len()).sum::<usize>();
        timelines.extend(lines);
        Ok(())
    }

    fn labels(&self) -> Result<Labels> {
        let section = self.directory.labels;
        Labels::read(
            &read_section(self.bytes, section, "labels")?,
            section.offset,
        )
        .map_err(malformed)
    }
}

/// Puts chunks into segments.
struct SegmentFiles<'s> {
    sink: &'s mut dyn SegmentSink,
    /// Chunks still to come in the open segment, and how many the later ones have.
    left: u64,
    later: std::slice::Iter<'s, u64>,
    /// Number of segments begun.
    begun: u32,
    /// Bytes in the open one.
    position: u64,
    buffer: Vec<u8>,
}

impl<'s> SegmentFiles<'s> {
    fn new(segments: &'s [u64], sink: &'s mut dyn SegmentSink) -> Self {
        SegmentFiles {
            sink,
            left: 0,
            later: segments.iter(),
            begun: 0,
            position: 0,
            buffer: Vec::new(),
        }
    }

    /// Writes the chunks of a group, and says where each stands.
    fn put(&mut self, group: &Unpacked) -> Result<Vec<ChunkRef>> {
        let mut rest = &group.data[..];
        let mut places = Vec::with_capacity(group.chunks.len());
        for chunk in &group.chunks {
            while self.left == 0 {
                self.begin_segment()?;
            }
            let (data, behind) = rest.split_at_checked(chunk.length).unwrap_or_default();
            rest = behind;
            let offset = u32::try_from(self.position)
                .map_err(|_| Error::corrupt("expected segments below 4 GiB, found a longer one"))?;
            places.push(ChunkRef::new(self.begun - 1, offset));
            let before = self.buffer.len();
            put_record(&mut self.buffer, chunk.encoding, data);
            self.position += (self.buffer.len() - before) as u64;
            self.left -= 1;
        }
        self.flush()?;
        Ok(places)
    }

    /// Begins the next segment that has chunks; segments without any get their header, too.
    fn begin_segment(&mut self) -> Result<()> {
        let Some(chunks) = self.later.next() else {
            return Err(Error::corrupt(
                "expected as many chunks as the segments have, found more",
            ));
        };
        self.flush()?;
        self.begun += 1;
        self.left = *chunks;
        self.buffer.extend_from_slice(&segment_header());
        self.position = SEGMENT_HEADER;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.sink
                .segment(self.begun.saturating_sub(1) as usize, &self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        while self.left == 0 && !self.later.as_slice().is_empty() {
            self.begin_segment()?;
        }
        if self.left > 0 {
            return Err(Error::corrupt(
                "expected as many chunks as the segments have, found fewer",
            ));
        }
        Ok(())
    }
}

/// Checks that a group holds what the directory says.
fn check_group(group: &Unpacked, entry: &GroupEntry) -> std::result::Result<(), Malformed> {
    let found = [group.series.len(), group.chunks.len(), group.data.len()].map(|len| len as u64);
    let wanted = [entry.series, entry.chunks, entry.chunk_bytes];
    if found == wanted {
        return Ok(());
    }
    let words = |[series, chunks, bytes]: [u64; 3]| {
        format!("{series} series, {chunks} chunks and {bytes} bytes of them")
    };
    let wanted = format!("of {}, as the directory says", words(wanted));
    let offset = entry.section.offset;
    Err(Malformed::unexpected(
        "group",
        offset,
        "content",
        wanted,
        words(found),
    ))
}

/// Reads a section and compares its checksum.
fn read_section<P: PackBytes + ?Sized>(
    bytes: &P,
    section: Section,
    name: &'static str,
) -> Result<Vec<u8>> {
    if section.length > MAX_SECTION {
        return Err(Error::unsupported(format!(
            "expected a section of up to {MAX_SECTION} bytes, found {}",
            section.length
        )));
    }
    let content = bytes.read(section.offset, section.length)?;
    section.check(&content, name).map_err(malformed)?;
    Ok(content)
}

fn malformed(malformed: Malformed) -> Error {
    Error::new(malformed.kind(), "damaged pack").with_source(malformed)
}
