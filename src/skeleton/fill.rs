//! Segments put together again.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::cursor::Cursors;
use super::exemplars::ExemplarReader;
use super::samples::Filler;
use super::section::SectionReader;
use super::{MAGIC, SECTIONS, SKELETON_FILE, Section, SkeletonPart, VERSION, item, max_numbers};
use crate::block::Block;
use crate::error::{Error, InFile as _, Result};
use crate::raw::{FileBytes, Malformed, ReadMode, Reader, varint};
use crate::wal::{Compression, Framer, MAX_RECORD_BYTES};

/// Most bytes that are handed on at once.
const COPY_BYTES: usize = 1 << 16;

/// Longest name of a file of a log, in bytes.
const MAX_NAME_BYTES: usize = 4096;

/// Most parts of a skeleton: segments have 128 MiB each.
const MAX_PARTS: u64 = 1 << 20;

/// A skeleton and the block that it belongs to.
pub struct Skeleton {
    block: Block,
    bytes: FileBytes,
    parts: Vec<SkeletonPart>,
}

impl fmt::Debug for Skeleton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Skeleton");
        out.field("block", &self.block.dir());
        out.field("parts", &self.parts).finish_non_exhaustive()
    }
}

impl Skeleton {
    /// Opens the one in the directory of a block.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, is damaged, or is of a version that this program does not know.
    pub fn open(dir: &Path, mode: ReadMode) -> Result<Self> {
        let block = Block::open(dir, mode)?;
        let path = dir.join(SKELETON_FILE);
        let bytes = FileBytes::open(&path, mode)?;
        let sections = sections(&bytes, &path)?;
        let parts = parts(sections).map_err(|e| e.context(path.display().to_string()))?;
        Ok(Skeleton {
            block,
            bytes,
            parts,
        })
    }

    /// The stretches of files that it brings back, in its order.
    pub fn parts(&self) -> &[SkeletonPart] {
        &self.parts
    }

    /// Writes all parts, one after the other: hands their bytes, in pieces, to `write`.
    ///
    /// # Errors
    ///
    /// When skeleton or block are damaged, or do not belong together; whatever `write` fails with.
    pub fn fill(&self, write: &mut dyn FnMut(&SkeletonPart, &[u8]) -> Result<()>) -> Result<()> {
        let path = self.block.dir().join(SKELETON_FILE);
        let sections = sections(&self.bytes, &path)?;
        let mut fill = Fill::new(&self.block, sections)?;
        for part in &self.parts {
            fill.part(part, write).map_err(|error| {
                let (name, from) = (&part.name, part.from);
                error.context(format!("{}: {name} from {from} on", path.display()))
            })?;
        }
        Ok(())
    }
}

/// The sections as they are stored.
fn sections<'b>(bytes: &'b [u8], path: &Path) -> Result<[&'b [u8]; SECTIONS]> {
    let read = || -> std::result::Result<_, Malformed> {
        let mut reader = Reader::new(bytes, 0, "skeleton");
        reader.magic_word(MAGIC)?;
        let version = reader.u8()?;
        if version != VERSION {
            return Ok(Err(version));
        }
        let mut lengths = [0; SECTIONS];
        for length in &mut lengths {
            *length = reader.u64_le()?;
        }
        let mut sections = [&[][..]; SECTIONS];
        for (section, length) in sections.iter_mut().zip(lengths) {
            *section = reader.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        }
        if reader.is_empty() {
            Ok(Ok(sections))
        } else {
            Err(reader.unexpected("file", "that ends here", "more"))
        }
    };
    read().in_file(path)?.map_err(|version| {
        let path = path.display();
        Error::unsupported(format!(
            "{path}: expected a skeleton of version {VERSION}, found {version}"
        ))
    })
}

fn parts([parts, ..]: [&[u8]; SECTIONS]) -> Result<Vec<SkeletonPart>> {
    let mut section = SectionReader::new(Section::Parts, parts)?;
    let count = section.number()?;
    if count > MAX_PARTS {
        return Err(section.unexpected(&format!("at most {MAX_PARTS} parts"), count));
    }
    let mut parts = Vec::new();
    for _ in 0..count {
        let len = section.number()?;
        let name = section.take(len, MAX_NAME_BYTES)?;
        let name = String::from_utf8_lossy(name).into_owned();
        parts.push(SkeletonPart {
            name,
            from: section.number()?,
            bytes: section.number()?,
        });
    }
    Ok(parts)
}

/// Items on their way to segments.
struct Fill<'a> {
    /// Positions of the series that numbers stand for.
    series: HashMap<u64, u32>,
    samples: Cursors<'a>,
    items: SectionReader<'a>,
    stamps: SectionReader<'a>,
    values: SectionReader<'a>,
    exemplars: ExemplarReader<'a>,
    records: SectionReader<'a>,
    raw: SectionReader<'a>,
    record: Vec<u8>,
    framed: Vec<u8>,
    exceptions: Vec<u64>,
}

/// Where the bytes of a part go.
struct Sink<'s> {
    part: &'s SkeletonPart,
    left: u64,
    framer: Framer,
    write: &'s mut dyn FnMut(&SkeletonPart, &[u8]) -> Result<()>,
}

impl Sink<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| self.of_other_length("more"))?;
        (self.write)(self.part, bytes)
    }

    #[cold]
    fn of_other_length(&self, found: impl fmt::Display) -> Error {
        let bytes = self.part.bytes;
        Error::corrupt(format!("expected {bytes} bytes, found {found}"))
    }
}

impl<'a> Fill<'a> {
    fn new(block: &'a Block, sections: [&'a [u8]; SECTIONS]) -> Result<Self> {
        let [
            _,
            series,
            items,
            stamps,
            values,
            exemplar_stamps,
            repeats,
            exemplar_values,
            labels,
            records,
            raw,
        ] = sections;
        let samples = Cursors::new(block)?;
        Ok(Fill {
            series: numbers(series, samples.len())?,
            samples,
            items: SectionReader::new(Section::Items, items)?,
            stamps: SectionReader::new(Section::Stamps, stamps)?,
            values: SectionReader::new(Section::Values, values)?,
            exemplars: ExemplarReader::new([exemplar_stamps, repeats, exemplar_values, labels])?,
            records: SectionReader::new(Section::Records, records)?,
            raw: SectionReader::new(Section::Raw, raw)?,
            record: Vec::new(),
            framed: Vec::new(),
            exceptions: Vec::new(),
        })
    }

    fn part(
        &mut self,
        part: &SkeletonPart,
        write: &mut dyn FnMut(&SkeletonPart, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut sink = Sink {
            part,
            left: part.bytes,
            framer: Framer::at(part.from),
            write,
        };
        loop {
            match self.items.byte()? {
                item::END if sink.left == 0 => return Ok(()),
                item::END => return Err(sink.of_other_length(part.bytes - sink.left)),
                item::RAW => self.raw(&mut sink)?,
                item::ZEROS => self.zeros(&mut sink)?,
                item::RECORD => self.verbatim(Compression::None, &mut sink)?,
                item::RECORD_SNAPPY => self.verbatim(Compression::Snappy, &mut sink)?,
                item::SAMPLES => self.samples(Compression::None, &mut sink)?,
                item::SAMPLES_SNAPPY => self.samples(Compression::Snappy, &mut sink)?,
                item::EXEMPLARS => self.exemplars(Compression::None, &mut sink)?,
                item::EXEMPLARS_SNAPPY => self.exemplars(Compression::Snappy, &mut sink)?,
                other => return Err(self.items.unexpected("an item of 0 to 8", other)),
            }
        }
    }

    fn raw(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut left = self.items.number()?;
        sink.framer.skip(left);
        while left > 0 {
            let now = left.min(COPY_BYTES as u64);
            sink.put(self.raw.take(now, COPY_BYTES)?)?;
            left -= now;
        }
        Ok(())
    }

    fn zeros(&mut self, sink: &mut Sink<'_>) -> Result<()> {
        let mut left = self.items.number()?;
        sink.framer.skip(left);
        let zeros = vec![0; COPY_BYTES];
        while left > 0 {
            let now = left.min(COPY_BYTES as u64);
            let len = usize::try_from(now).unwrap_or_default();
            sink.put(zeros.get(..len).unwrap_or_default())?;
            left -= now;
        }
        Ok(())
    }

    fn verbatim(&mut self, compression: Compression, sink: &mut Sink<'_>) -> Result<()> {
        let len = self.items.number()?;
        let record = self.records.take(len, MAX_RECORD_BYTES)?;
        frame(record, compression, &mut self.framed, sink)
    }

    fn exemplars(&mut self, compression: Compression, sink: &mut Sink<'_>) -> Result<()> {
        let len = self.items.number()?;
        self.record.clear();
        self.exemplars.fill(len, &mut self.record)?;
        frame(&self.record, compression, &mut self.framed, sink)
    }

    fn samples(&mut self, compression: Compression, sink: &mut Sink<'_>) -> Result<()> {
        let len = self.items.number()?;
        let count = self.items.number()?;
        if count > len {
            let wanted = format!("at most {len} samples that are not in the block");
            return Err(self.items.unexpected(&wanted, count));
        }
        self.exceptions.clear();
        let mut next = 0_u64;
        for _ in 0..count {
            let at = next.saturating_add(self.items.number()?);
            self.exceptions.push(at);
            next = at.saturating_add(1);
        }
        self.exceptions.reverse();
        let stamps = self.stamps.take(len, MAX_RECORD_BYTES)?;
        self.record.clear();
        let mut entries = Filler {
            series: &self.series,
            samples: &mut self.samples,
            values: &mut self.values,
            exceptions: &mut self.exceptions,
            record: &mut self.record,
        };
        entries.fill(stamps)?;
        frame(&self.record, compression, &mut self.framed, sink)
    }
}

/// The record framed, and handed on.
fn frame(
    record: &[u8],
    compression: Compression,
    framed: &mut Vec<u8>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    framed.clear();
    if !sink.framer.frame(record, compression, framed) {
        return Err(Error::corrupt(format!(
            "expected a record that is stored in a way that comes back, found {compression:?}"
        )));
    }
    sink.put(framed)
}

/// The positions of series that numbers stand for, in a block of so many series.
fn numbers(stored: &[u8], series: usize) -> Result<HashMap<u64, u32>> {
    let mut section = SectionReader::new(Section::Series, stored)?;
    let count = section.number()?;
    let max = max_numbers(series);
    if count > max as u64 {
        return Err(section.unexpected(&format!("at most {max} numbers"), count));
    }
    let mut numbers = HashMap::new();
    let (mut number, mut position) = (0_u64, 0_i64);
    for _ in 0..count {
        number = number.wrapping_add(section.number()?);
        position = position.wrapping_add(varint::unzigzag(section.number()?));
        let known = u32::try_from(position).ok();
        let known = known.filter(|position| (*position as usize) < series);
        let Some(known) = known else {
            let wanted = format!("one of {series} series");
            return Err(section.unexpected(&wanted, position));
        };
        numbers.insert(number, known);
    }
    Ok(numbers)
}
