//! Records of samples without what is in the block, and with it again.

use std::collections::HashMap;

use super::Section;
use super::cursor::Cursors;
use super::section::SectionReader;
use crate::chunk::OwnedSample;
use crate::error::{Error, Result};
use crate::model::{Millis, Sample};
use crate::raw::{Malformed, Reader, varint};
use crate::wal::{
    Decode, Entries, HeadSeriesRef, MAX_RECORD_BYTES, RecordType, StampReader, write_histogram,
};

/// Bytes of a float.
pub(super) const VALUE_BYTES: usize = 8;

/// A record of samples without what is in the block.
#[derive(Default)]
pub(super) struct Bare {
    /// Type byte, base, and of each entry what stands before its value.
    pub(super) stamps: Vec<u8>,
    /// What the section of values gets.
    pub(super) values: Vec<u8>,
    /// Positions of the samples that are not in the block, as items say them.
    pub(super) gaps: Vec<u8>,
    /// How many these are.
    pub(super) exceptions: u64,
    /// Others since the last of them.
    between: u64,
}

impl Bare {
    /// The next sample is in the block.
    pub(super) fn in_block(&mut self) {
        self.between += 1;
    }

    /// The next sample is not in the block.
    pub(super) fn exception(&mut self) {
        varint::write_uvarint(&mut self.gaps, self.between);
        self.between = 0;
        self.exceptions += 1;
    }
}

/// Lends every entry with its bytes to `visit`, which says whether the record can do without it;
/// `None` where one cannot be read, or it says no.
///
/// # Errors
///
/// What `visit` fails with.
pub(super) fn each_entry<'p, D: Decode<'p>>(
    payload: &'p [u8],
    mut entries: Entries<'p, D>,
    mut visit: impl FnMut(&mut Bare, D::Entry, &'p [u8]) -> Result<bool>,
) -> Result<Option<Bare>> {
    let at = |entries: &Entries<'p, D>| payload.len().saturating_sub(entries.remaining());
    let mut begin = at(&entries);
    let mut bare = Bare::default();
    bare.stamps
        .extend_from_slice(payload.get(..begin).unwrap_or_default());
    while let Some(entry) = entries.next() {
        let end = at(&entries);
        let bytes = payload.get(begin..end).unwrap_or_default();
        let read: std::result::Result<_, Malformed> = entry;
        let Ok(entry) = read else {
            return Ok(None);
        };
        if !visit(&mut bare, entry, bytes)? {
            return Ok(None);
        }
        begin = end;
    }
    Ok(Some(bare))
}

/// A record of samples that gets its values.
pub(super) struct Filler<'f, 'a> {
    /// Positions of the series that numbers stand for.
    pub(super) series: &'f HashMap<u64, u32>,
    pub(super) samples: &'f mut Cursors<'a>,
    /// Values of what is not in the block.
    pub(super) values: &'f mut SectionReader<'a>,
    /// Positions of the samples that are not in the block, the first one last.
    pub(super) exceptions: &'f mut Vec<u64>,
    /// What the record is appended to.
    pub(super) record: &'f mut Vec<u8>,
}

impl Filler<'_, '_> {
    /// Appends the record with these stamps.
    ///
    /// # Errors
    ///
    /// When block or skeleton are damaged, or do not belong together.
    pub(super) fn fill(&mut self, stamps: &[u8]) -> Result<()> {
        let mut reader = Reader::new(stamps, 0, Section::Stamps.name());
        let number = reader.u8().map_err(in_stamps)?;
        let kind = RecordType::from_byte(number);
        let kind = kind.ok_or_else(|| no_samples(&reader, number))?;
        let mut stamp_reader = StampReader::new(kind, &mut reader).map_err(in_stamps)?;
        let is_float = matches!(kind, RecordType::Samples | RecordType::SamplesV2);
        let mut copied = 0;
        let mut copy_to = |reader: &Reader<'_>, record: &mut Vec<u8>| {
            let at = stamps.len() - reader.remaining();
            record.extend_from_slice(stamps.get(copied..at).unwrap_or_default());
            copied = at;
        };
        copy_to(&reader, self.record);
        let mut entry = 0_u64;
        while !reader.is_empty() {
            let (number, time) = stamp_reader.next(&mut reader).map_err(in_stamps)?;
            if !is_float {
                // The hint.
                reader.u8().map_err(in_stamps)?;
            }
            copy_to(&reader, self.record);
            if self.exceptions.pop_if(|at| *at == entry).is_some() {
                self.exception(is_float)?;
            } else {
                self.in_block(number, time, kind)?;
            }
            entry += 1;
            if self.record.len() > MAX_RECORD_BYTES {
                let wanted = format!("a record of at most {MAX_RECORD_BYTES} bytes");
                return Err(self.values.unexpected(&wanted, "a longer one"));
            }
        }
        match self.exceptions.last() {
            None => Ok(()),
            Some(at) => {
                let wanted = format!("a sample at {at} of a record");
                Err(self.values.unexpected(&wanted, format!("{entry} samples")))
            }
        }
    }

    fn exception(&mut self, is_float: bool) -> Result<()> {
        let len = if is_float {
            VALUE_BYTES as u64
        } else {
            self.values.number()?
        };
        let value = self.values.take(len, MAX_RECORD_BYTES)?;
        self.record.extend_from_slice(value);
        Ok(())
    }

    fn in_block(&mut self, number: HeadSeriesRef, time: Millis, kind: RecordType) -> Result<()> {
        let sample = match self.series.get(&number.0) {
            Some(position) => self.samples.sample(*position, time)?,
            None => None,
        };
        let sample = sample.ok_or_else(|| {
            let wanted = format!("a sample of series {number} at {time} in the block");
            self.values.unexpected(&wanted, "none")
        })?;
        self.put_value(&sample, kind)
    }

    fn put_value(&mut self, sample: &OwnedSample, kind: RecordType) -> Result<()> {
        match (kind, sample.lend()) {
            (RecordType::Samples | RecordType::SamplesV2, Sample::Float(float)) => {
                self.record.extend(float.bits.to_be_bytes());
            }
            (
                RecordType::HistogramSamples
                | RecordType::CustomBucketsHistogramSamples
                | RecordType::HistogramSamplesV2,
                Sample::Histogram(histogram),
            ) => write_histogram(&histogram, self.record),
            (
                RecordType::FloatHistogramSamples
                | RecordType::CustomBucketsFloatHistogramSamples
                | RecordType::FloatHistogramSamplesV2,
                Sample::FloatHistogram(histogram),
            ) => write_histogram(&histogram, self.record),
            _ => {
                let wanted = format!("a sample for a {} in the block", kind.name());
                return Err(self.values.unexpected(&wanted, "one of another kind"));
            }
        }
        Ok(())
    }
}

/// Says that it is the stamps that are damaged.
#[cold]
pub(super) fn in_stamps(malformed: Malformed) -> Error {
    let section = Section::Stamps.name();
    Error::new(malformed.kind(), format!("cannot read the {section}")).with_source(malformed)
}

#[cold]
fn no_samples(reader: &Reader<'_>, found: u8) -> Error {
    in_stamps(reader.unexpected("record", "of samples", found))
}
