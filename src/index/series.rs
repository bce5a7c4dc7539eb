//! Series entries: labels as symbols, and the list of chunks.

use super::{IndexFormat, SymbolRef};
use crate::model::{ChunkMeta, ChunkRef, Millis, SeriesRef};
use crate::raw::{Malformed, Reader, crc32c};

/// Series entries begin at multiples of this, from format version 2 on.
pub const SERIES_ALIGNMENT: u64 = 16;

/// A decoded series entry. Reuse one for many entries: its vectors keep their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Names and values of the labels, as symbols.
    pub labels: Vec<(SymbolRef, SymbolRef)>,
    /// The chunks, as the index describes them.
    pub chunks: Vec<ChunkMeta>,
}

/// A framed series entry, not yet decoded.
#[derive(Clone, Debug)]
pub struct SeriesEntry<'a> {
    /// How postings refer to it.
    pub reference: SeriesRef,
    /// Offset of the entry (its length field) in the file.
    pub offset: u64,
    /// Offset just behind its checksum.
    pub end: u64,
    body: Reader<'a>,
    stored_crc: u32,
}

impl<'a> SeriesEntry<'a> {
    /// Frames the entry that `reference` names, within the series section from `start` to `end`.
    pub(super) fn at(
        file: &'a [u8],
        reference: SeriesRef,
        start: u64,
        end: u64,
        format: IndexFormat,
    ) -> Result<Self, Malformed> {
        let offset = match format {
            IndexFormat::V1 => Some(reference.0),
            IndexFormat::V2 => reference.0.checked_mul(SERIES_ALIGNMENT),
        };
        let offset = offset
            .filter(|offset| (start..end).contains(offset))
            .ok_or_else(|| {
                let wanted = format!("to an entry between offsets {start} and {end}");
                Malformed::unexpected("series", reference.0, "series reference", wanted, reference)
            })?;
        Self::frame(file, offset, end, format)
    }

    /// Frames the entry at `offset`.
    fn frame(
        file: &'a [u8],
        offset: u64,
        end: u64,
        format: IndexFormat,
    ) -> Result<Self, Malformed> {
        let section = usize::try_from(offset)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| file.get(start..end.min(file.len())))
            .ok_or_else(|| Malformed::truncated("series", offset, 1, 0))?;
        let mut reader = Reader::new(section, offset, "series");
        let length = reader.count(1)?;
        let body = reader.sub(length, "series")?;
        let stored_crc = reader.u32()?;
        let reference = match format {
            IndexFormat::V1 => SeriesRef(offset),
            IndexFormat::V2 => SeriesRef(offset / SERIES_ALIGNMENT),
        };
        Ok(SeriesEntry {
            reference,
            offset,
            end: reader.offset(),
            body,
            stored_crc,
        })
    }

    /// Whether there is nothing in it, not even counts: what zeros look like.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Compares the stored checksum with that of the entry.
    ///
    /// # Errors
    ///
    /// [`Malformed`] with both checksums.
    pub fn check(&self) -> Result<(), Malformed> {
        let computed = crc32c(self.body.rest());
        if computed == self.stored_crc {
            return Ok(());
        }
        let stored = self.stored_crc;
        Err(Malformed::checksum("series", self.offset, stored, computed))
    }

    /// Decodes the entry into `series`, whatever its checksum says.
    ///
    /// # Errors
    ///
    /// When the entry does not hold what its counts promise, or holds more.
    pub fn decode(&self, series: &mut Series) -> Result<(), Malformed> {
        let mut body = self.body;
        series.labels.clear();
        series.chunks.clear();
        // Two symbols take at least two bytes, a chunk at least three.
        let labels = body.count(2)?;
        series.labels.reserve(labels);
        for _ in 0..labels {
            series.labels.push((symbol(&mut body)?, symbol(&mut body)?));
        }
        let chunks = body.count(3)?;
        series.chunks.reserve(chunks);
        let mut previous = ChunkMeta {
            min_time: 0,
            max_time: 0,
            reference: ChunkRef(0),
        };
        for i in 0..chunks {
            // All arithmetic wraps, as Go's does: overlapping chunks of old writers come out right.
            let (min_time, length, reference) = if i == 0 {
                (body.varint()?, body.uvarint()?, body.uvarint()?)
            } else {
                let gap = body.uvarint()? as Millis;
                let length = body.uvarint()?;
                let step = body.varint()? as u64;
                let reference = previous.reference.0.wrapping_add(step);
                (previous.max_time.wrapping_add(gap), length, reference)
            };
            let max_time = min_time.wrapping_add(length as Millis);
            previous = ChunkMeta {
                min_time,
                max_time,
                reference: ChunkRef(reference),
            };
            series.chunks.push(previous);
        }
        if !body.is_empty() {
            let found = format!("{} more bytes", body.remaining());
            return Err(body.unexpected("end of the entry", "after its chunks", found));
        }
        Ok(())
    }
}

fn symbol(body: &mut Reader<'_>) -> Result<SymbolRef, Malformed> {
    let at = *body;
    let symbol = body.uvarint()?;
    u32::try_from(symbol)
        .map(SymbolRef)
        .map_err(|_| at.unexpected("symbol reference", "of 32 bits", symbol))
}

/// Walks the series entries of an index. After an error it yields nothing more until
/// [`SeriesEntries::resync`].
#[derive(Clone, Debug)]
pub struct SeriesEntries<'a> {
    file: &'a [u8],
    next: u64,
    end: u64,
    format: IndexFormat,
    /// Bytes that [`SeriesEntries::resync`] may still look at.
    patience: u64,
}

/// How often [`SeriesEntries::resync`] may look at each byte, on average. Any bytes can be taken
/// for a length, and without a bound each would be believed.
const PATIENCE: u64 = 256;

/// Longest entry that [`SeriesEntries::resync`] finds, in bytes: room for several thousand chunks
/// of one series.
const RESYNC_LEN: u64 = 1 << 16;

impl<'a> SeriesEntries<'a> {
    pub(super) fn new(file: &'a [u8], start: u64, end: u64, format: IndexFormat) -> Self {
        SeriesEntries {
            file,
            next: start,
            end: end.min(file.len() as u64),
            format,
            patience: end
                .min(file.len() as u64)
                .saturating_sub(start)
                .saturating_mul(PATIENCE),
        }
    }

    /// Offset at which the next entry is looked for, before padding.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes to the next place after `offset` where an entry stands whose checksum is right; `false`
    /// if there is none, or if the section is so badly damaged that looking for one has taken
    /// too long.
    ///
    /// Entries of format version 1 are not aligned; a lost place cannot be found again there.
    pub fn resync(&mut self, offset: u64) -> bool {
        if self.format == IndexFormat::V1 {
            return false;
        }
        let mut candidate = (offset / SERIES_ALIGNMENT + 1) * SERIES_ALIGNMENT;
        while candidate < self.end {
            let entry = SeriesEntry::frame(self.file, candidate, self.end, self.format);
            // An empty body has checksum 0, so zeros alone would look like an entry.
            if let Ok(entry) = entry.as_ref()
                && !entry.is_empty()
                && entry.end - entry.offset <= RESYNC_LEN
            {
                let Some(patience) = self.patience.checked_sub(entry.end - entry.offset) else {
                    return false;
                };
                self.patience = patience;
                if entry.check().is_ok() {
                    self.next = candidate;
                    return true;
                }
            }
            candidate += SERIES_ALIGNMENT;
        }
        false
    }

    fn align(&self) -> u64 {
        match self.format {
            IndexFormat::V1 => self.next,
            IndexFormat::V2 => self.next.next_multiple_of(SERIES_ALIGNMENT),
        }
    }
}

/// Walks the series entries whose checksum is right. What is not one is an error, once for each
/// damaged stretch; the walk goes on with the next sound entry behind it. A damaged length thus
/// hides no sound series.
#[derive(Clone, Debug)]
pub struct SoundEntries<'a>(pub(super) SeriesEntries<'a>);

impl SoundEntries<'_> {
    /// Offset at which the next entry is looked for, before padding.
    pub fn position(&self) -> u64 {
        self.0.position()
    }
}

impl<'a> Iterator for SoundEntries<'a> {
    type Item = Result<SeriesEntry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.align();
        let entry = self.0.next()?;
        // An empty body has checksum 0, so zeros alone would look like an entry.
        let sound = entry.and_then(|entry| {
            if entry.body.is_empty() {
                return Err(entry
                    .body
                    .unexpected("a series", "with labels", "an empty entry"));
            }
            entry.check().map(|()| entry)
        });
        if sound.is_err() && self.0.format == IndexFormat::V2 && !self.0.resync(start) {
            self.0.next = self.0.end;
        }
        Some(sound)
    }
}

impl<'a> Iterator for SeriesEntries<'a> {
    type Item = Result<SeriesEntry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.align();
        if self.next >= self.end || start >= self.end {
            return None;
        }
        let entry = SeriesEntry::frame(self.file, start, self.end, self.format);
        self.next = entry.as_ref().map_or(self.end, |entry| entry.end);
        Some(entry)
    }
}
